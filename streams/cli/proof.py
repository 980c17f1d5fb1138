"""`meter verify` and `meter demo`: see for yourself."""

import asyncio
import sys
from typing import Annotated

import typer

from streams.cli.arguments import Account, Json, read_day
from streams.cli.output import complain, note, say, say_json
from streams.errors import Exit

SHOWN = 50


def verify(
    day: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="Only this billing day.")] = None,
    account: Account = None,
    as_json: Json = False,
) -> int:
    """Recompute everything from the log; compare with what was put out.

    The journal says what the workers read and in which order; from it and
    the inputs all outputs follow, byte for byte. Prints each difference (the
    first 50), or "verify: no difference".

    Example:
      meter verify --account A --day 2026-11-23

    Exit codes: 0 no difference; 1 differences; 3 unprovable: the log does
    not reach back far enough.
    """
    from streams.connect import connected
    from streams.verify import verify as recompute

    day = read_day(day)
    with connected(note) as settings:
        progress = note if sys.stderr.isatty() else lambda _: None
        report = asyncio.run(recompute(settings, account=account, day=day, say=progress))
    if as_json:
        counts = {"records": report.records, "steps": report.steps}
        say_json({"differences": report.differences, "unprovable": report.unprovable, **counts})
    else:
        for difference in report.differences[:SHOWN]:
            say(difference)
        if len(report.differences) > SHOWN:
            say(f"... and {len(report.differences) - SHOWN:,} more")
    if report.differences:
        complain(f"verify: {len(report.differences):,} differences")
        return Exit.FAILED
    if report.unprovable is not None:
        complain(f"verify: {report.unprovable}")
        return Exit.REFUSES
    if not as_json:
        say(f"verify: no difference ({report.records:,} records in {report.steps:,} steps)")
    return Exit.OK


def demo(seed: Annotated[int, typer.Option(help="Of the day of traffic; the same seed, the same day.")] = 1) -> int:
    """Watch it work: a day of traffic, a SIGKILL, and the proof.

    Kafka, two workers, a day of traffic with duplicates, conflicts and
    broken records among it, a worker killed midway, totals, and the proof
    that nothing was lost or counted twice.

    Example:
      meter demo --seed 7
    """
    from streams.connect import settings_of_command
    from streams.demo import run

    return run(settings_of_command(), seed)
