"""`meter api`: completions, figures and commands over HTTP, and the console."""

from streams.broker.connect import connected
from streams.broker.taken_ports import look_at_api
from streams.cli.ports import DEFAULT_PORT
from streams.http.serve import run_api
from streams.terminal.output import note, say


def api() -> int:
    """Serve the HTTP API and the console, until Ctrl-C or SIGTERM.

    Completions and commands go to Kafka, figures come out of the read model
    that `meter projector` keeps. On METER_HTTP_HOST and METER_HTTP_PORT; its
    description is at /openapi.json. Without any token whoever is on this
    machine may do everything, and no other address is served; the first
    `meter token create` ends that. Kafka and the store may be away: what
    needs them is answered with 503.

    Example:
      METER_HTTP_PORT=8080 meter api

    Exit codes: 0 asked to stop; 2 wrong setting; 3 a newer version has
    written the store.
    """
    with connected(note, port=DEFAULT_PORT, first=look_at_api) as settings:
        return run_api(settings, say)
