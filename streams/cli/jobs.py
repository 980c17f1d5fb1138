"""`meter submit` and `meter totals`: completions in, daily totals out."""

import asyncio
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.arguments import Account, At, Json, opened, read_at, read_day, read_region
from streams.cli.output import complain, counted, note, say, say_json, say_table
from streams.errors import Exit

if TYPE_CHECKING:
    from meter.models import DayTotal
    from meter.rejects import Refusal
    from streams.settings import Settings
    from streams.submit import Summary


def submit(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="JSON lines; -: standard input.")],
    progress: Annotated[bool, typer.Option("--progress/--no-progress", help="A bar, on a terminal.")] = True,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Send bad lines too: the meter puts them in usage.rejected.")
    ] = False,
    at: At = None,
    as_json: Json = False,
) -> int:
    """Send finished jobs to the meter, one JSON object a line.

    Each line is checked first; bad ones are reported by number on standard
    error and not sent, the others are, acknowledged by all in-sync replicas.
    Submitting a file twice does no harm: a job is charged once. On a meter
    with a simulated clock the record time is one second after completed_at,
    or --at.

    Example:
      meter submit jobs.jsonl
      zcat jobs.jsonl.gz | meter submit -

    where a line, here broken in two, is
      {"job_id": "j1", "account_id": "A", "region": "ap-guangzhou", "kinds":
       \\["face"], "duration_s": 60, "completed_at": "2026-11-23T10:20:30+08:00"}

    Exit codes: 0 everything was sent; 1 there were bad lines.
    """
    from streams.connect import connected

    at_ms = read_at(at)
    with opened(file) as descriptor, connected(note) as settings, _bar(descriptor, progress) as moved:
        summary = asyncio.run(_submit(settings, descriptor, at_ms, anyway, moved))
    _report(summary, anyway, as_json)
    return Exit.FAILED if summary.bad else Exit.OK


async def _submit(
    settings: "Settings", descriptor: int, at_ms: int | None, anyway: bool, moved: Callable[[int], None]
) -> "Summary":
    from streams.rights import TIMED_PRODUCER
    from streams.submit import Stamps
    from streams.submit import submit as submit_lines
    from streams.topics import check, input_partitions

    if at_ms is None:
        # Who only delivers need not know more of the meter than where completions go.
        partitions, stamps = await input_partitions(settings), Stamps(None)
    else:
        rules = await check(settings, TIMED_PRODUCER)
        partitions, stamps = rules.partitions, Stamps(rules, at_ms)
    return await submit_lines(
        settings, partitions, descriptor, stamps=stamps, anyway=anyway, refused=_bad_line, moved=moved
    )


def _bad_line(number: int, refusal: "Refusal") -> None:
    complain(f"line {number}: {refusal.code}: {refusal.message}")


def _report(summary: "Summary", anyway: bool, as_json: bool) -> None:
    if as_json:
        say_json(summary._asdict())
        return
    rate = summary.acknowledged / max(summary.seconds, 0.001)
    say(f"{counted(summary.acknowledged, 'record')} acknowledged in {summary.seconds:.1f} s ({rate:,.0f} a second)")
    if summary.bad:
        verb = "was" if summary.bad == 1 else "were"
        complain(f"{counted(summary.bad, 'bad line')} {verb} {'sent all the same' if anyway else 'not sent'}")


@contextmanager
def _bar(descriptor: int, wanted: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, by bytes for a file; nothing when that is no terminal."""
    if not wanted or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    status = os.fstat(descriptor)
    total = status.st_size if stat.S_ISREG(status.st_mode) else None
    columns = (TextColumn("submitting"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda moved: bar.advance(task, moved)


def totals(
    account: Account = None,
    day: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="Only this billing day.")] = None,
    region: Annotated[str | None, typer.Option(help="Only this region: its code or its name.")] = None,
    as_json: Json = False,
) -> None:
    """Show what was used, by billing day, account and region.

    Jobs, minutes, and the exact amount in CNY, from usage.daily: committed
    totals only. --json prints them and their sum as one object.

    Example:
      meter totals --account A --day 2026-11-23
      meter totals --json | jq -r '.totals\\[] | .amount'
    """
    from meter import topics
    from streams.connect import connected
    from streams.read import daily_totals
    from streams.rights import reading
    from streams.topics import check

    role = reading(topics.DAILY)
    day, region = read_day(day), read_region(region)

    async def read(settings: "Settings") -> "list[DayTotal]":
        return await daily_totals(settings, await check(settings, role), account=account, day=day, region=region)

    with connected(note) as settings:
        found = asyncio.run(read(settings))
    _print_totals(found, as_json)


def _print_totals(found: "list[DayTotal]", as_json: bool) -> None:
    from decimal import Decimal

    from meter.money import CURRENCY, EXACT, ZERO, decimal_text

    amount = ZERO
    for total in found:
        amount = EXACT.add(amount, Decimal(total.amount))
    jobs, minutes = sum(total.jobs for total in found), sum(total.minutes for total in found)
    if as_json:
        together = {"jobs": jobs, "minutes": minutes, "amount": decimal_text(amount), "currency": CURRENCY}
        say_json({"totals": [total.model_dump(mode="json") for total in found], "sum": together})
        return
    if not found:
        note("no usage")
        return
    say_table(
        ("day", "account", "region", "jobs", "minutes", "amount"),
        [
            (total.day, total.account_id, total.region, str(total.jobs), str(total.minutes), total.amount)
            for total in found
        ],
        last=("sum", "", "", str(jobs), str(minutes), f"{decimal_text(amount)} {CURRENCY}"),
    )
