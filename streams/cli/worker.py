"""`meter worker`: one worker."""

from streams.broker.connect import connected
from streams.broker.taken_ports import look_at_pages
from streams.cli.ports import DEFAULT_PORT
from streams.engine.worker import run_worker
from streams.terminal.output import note


def worker() -> int:
    """Run one worker, until Ctrl-C or SIGTERM.

    It shares the partitions with the others of METER_APP_ID. Topics must be
    there (`meter topics create`). Logs go to standard error; /metrics,
    /healthz and /readyz are on METER_WEB_PORT. METER_INSTANCE_ID gives it
    back its partitions at once after a restart. Without
    METER_BOOTSTRAP_SERVERS it uses the embedded Kafka of METER_DATA_DIR, or
    starts it.

    Example:
      METER_INSTANCE_ID=meter-0 meter worker

    Exit codes: 0 asked to stop; 2 wrong setting; 3 refuses to start;
    4 fenced by another worker; 5 Kafka lost; 6 a step failed. After 4, 5
    and 6 start it again: nothing is lost or counted twice.
    """
    with connected(note, port=DEFAULT_PORT, first=look_at_pages) as settings:
        return run_worker(settings)
