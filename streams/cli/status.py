"""`meter status` and `meter down`: what `meter up` runs. Quick, since people and scripts ask often."""

from streams.broker.connect import settings_of_command
from streams.cli.arguments import Json
from streams.supervise.detached import down as stop
from streams.supervise.status import as_json as for_programs
from streams.supervise.status import look
from streams.terminal.output import note, say, say_json, say_table


def status(as_json: Json = False) -> int:
    """Show what `meter up` runs on this data directory, where, and if it is ready.

    Each part is asked, where it has a page.

    Example:
      meter status --json

    Exit codes: 0 all is ready; 1 it runs, and something is not ready; 5
    nothing runs.
    """
    settings = settings_of_command()
    code, lines = look(settings)
    if as_json:
        say_json(for_programs(code, lines))
    elif lines:
        rows = [(line.name, line.state, str(line.pid or ""), line.where) for line in lines]
        say_table(("what", "state", "process", "where"), rows)
    else:
        note(f"nothing runs on {settings.data_dir}: `meter up` starts it")
    return code


def down() -> int:
    """Stop the `meter up` of this data directory, and wait for its end.

    However it was started, and also what is left of one that was killed.
    What is metered stays; `meter up` goes on from there. Where none runs
    that is said, and is no error.

    Example:
      meter down

    Exit codes: 0 nothing runs any more; 1 something does not end.
    """
    return stop(settings_of_command(), say)
