"""The command `meter`: one module for each group of commands, each a thin layer that reads arguments and prints.

A module is imported when its command is named, so that `meter --help` is quick; its own imports are plain.
"""

import sys
from collections.abc import Sequence
from types import MappingProxyType

import typer

from meter import __version__
from streams.cli.errors import explain
from streams.cli.lazy import LazyGroup, ListedCommand
from streams.cli.once import need_once, need_text
from streams.errors import INTERRUPTED
from streams.process.private import masked
from streams.terminal.output import complain, flush, lost_output, open_streams

#: As a shell reports a program that SIGPIPE has ended: whoever read our output wants no more of it.
PIPE_CLOSED = 141

RUN, USE, MONEY, LOOK = "Run a meter", "Submit and read", "Bills and accounts", "Look after it"


class Commands(LazyGroup):
    """All there are. A new one is a line here and a module beside this one; a group has its own in its module."""

    package = "streams.cli"
    listed = MappingProxyType(
        {
            "up": ListedCommand(
                RUN, "up:up", "Run it all on this machine, until Ctrl-C: Kafka, topics, workers, console."
            ),
            "down": ListedCommand(
                RUN, "status:down", "Stop the `meter up` of this data directory, and wait for its end."
            ),
            "status": ListedCommand(
                RUN, "status:status", "Show what `meter up` runs on this data directory, where, and if it is ready."
            ),
            "worker": ListedCommand(RUN, "worker:worker", "Run one worker, until Ctrl-C or SIGTERM."),
            "broker": ListedCommand(RUN, "broker:broker", "Run the embedded Kafka, until Ctrl-C."),
            "projector": ListedCommand(RUN, "projector:app", "Project the topics into SQL, until Ctrl-C or SIGTERM."),
            "api": ListedCommand(RUN, "api:api", "Serve the HTTP API and the console, until Ctrl-C or SIGTERM."),
            "console": ListedCommand(RUN, "console:console", "Open the console in a browser, and print its address."),
            "topics": ListedCommand(RUN, "topics:app", "Create a meter's topics, or check them."),
            "demo": ListedCommand(RUN, "demo:demo", "Watch it work: a day of traffic, a SIGKILL, and the proof."),
            "submit": ListedCommand(USE, "jobs:submit", "Send finished jobs to the meter, one JSON object a line."),
            "totals": ListedCommand(USE, "jobs:totals", "Show what was used, by billing day, account and region."),
            "quote": ListedCommand(USE, "prices:quote", "Say what a job costs: its minutes, unit price and amount."),
            "account": ListedCommand(
                MONEY, "accounts:app", "Show an account, top it up, refund, charge, credit, agree a contract."
            ),
            "bills": ListedCommand(MONEY, "bills:app", "List bills, or show one with its lines and its proof."),
            "ledger": ListedCommand(
                MONEY, "ledger:ledger", "Show the ledger: every entry with its postings, and their sum."
            ),
            "statement": ListedCommand(
                MONEY, "ledger:statement", "Show an account's month: opening balance, entries, closing balance."
            ),
            "notes": ListedCommand(MONEY, "corrections:notes", "Show debit and credit notes, in the order of the log."),
            "notices": ListedCommand(
                MONEY, "ledger:notices", "Show what customers were to be told, in the order of the log."
            ),
            "export": ListedCommand(
                MONEY,
                "export:app",
                "Write the jobs or the bills of a period to files; the same period, the same bytes.",
            ),
            "webhooks": ListedCommand(
                MONEY, "webhooks:app", "Tell other systems of bills, notices and service changes over HTTP."
            ),
            "prices": ListedCommand(LOOK, "prices:app", "Show the price books, publish one, or withdraw it."),
            "rejects": ListedCommand(
                LOOK, "rejects:app", "Records that were refused: list them, show one, send them again."
            ),
            "token": ListedCommand(
                LOOK, "tokens:app", "Tokens of the API and the console: make, list and revoke them."
            ),
            "clock": ListedCommand(LOOK, "clock:app", "Move the simulated clock of a test or demo meter."),
            "verify": ListedCommand(LOOK, "proof:verify", "Recompute everything, or one bill, from the log; compare."),
            "reconcile": ListedCommand(
                LOOK, "proof:reconcile", "Add up what came in, what was priced, billed and paid."
            ),
        }
    )


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
