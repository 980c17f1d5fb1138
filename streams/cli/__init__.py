"""The command `meter`: one module for each group of commands, each a thin layer that reads arguments and prints.

`commands.py` lists them all. A module is imported when its command is named, so that `meter --help` is quick.
"""

import sys
from collections.abc import Sequence

import typer

from meter import __version__
from streams.cli.commands import Commands
from streams.cli.errors import explain
from streams.cli.once import need_once, need_text
from streams.errors import INTERRUPTED
from streams.process.private import masked
from streams.terminal.output import complain, flush, lost_output, open_streams

#: As a shell reports a program that SIGPIPE has ended: whoever read our output wants no more of it.
PIPE_CLOSED = 141

app = typer.Typer(
    name="meter",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"meter {__version__}")
        raise typer.Exit


@app.callback()
def meter(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Exact usage metering for video recognition on Kafka.

    Every finished job is priced once, and every figure can be proved.
    A first run, on this machine alone:
      meter up                  Kafka, two workers, the console, until Ctrl-C
      meter submit jobs.jsonl   completions, one JSON object a line
      meter totals              what each account used, by region and day
      meter verify              recompute it all from the log, and compare

    Settings are environment variables METER_..., or lines of meter.toml
    in the working directory. METER_BOOTSTRAP_SERVERS names a Kafka; without
    it commands use the embedded one, in METER_DATA_DIR (.meter).

    Exit codes: 0 done; 1 the command's own "no", as its help says;
    2 a wrong setting or argument; 3 topics, state or log do not fit;
    4 fenced by another worker; 5 Kafka is not there; 6 a step failed;
    130 stopped by Ctrl-C.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code; what is wrong is one line on standard error, never a traceback."""
    open_streams()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        need_text(given)
        need_once(lambda: typer.main.get_command(app), given)
        with masked():
            code = app(given, prog_name="meter", standalone_mode=False)
        flush()
        return int(code or 0)
    except BrokenPipeError:
        return PIPE_CLOSED
    except SystemExit as end:  # typer's, and rich's, for the same; else of shell completion
        if isinstance(end.__context__, BrokenPipeError):
            return PIPE_CLOSED
        raise
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        code, line = explain(lost_output(error) or error)
        complain(line)
        return code
