"""`meter submit` and `meter totals`: completions in, daily totals out."""

import asyncio
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from meter import topics
from meter.models import DayTotal
from meter.money import CURRENCY, EXACT, ZERO, decimal_text
from meter.rejects import Refusal
from streams.broker.connect import connected
from streams.cli.answers import note_waiting
from streams.cli.arguments import Account, At, Json, read_at, read_day, read_region
from streams.cli.inputs import called, opened, telling_of_silence
from streams.completions.submit import Stamps, Summary, see_beginning
from streams.completions.submit import submit as submit_lines
from streams.errors import Exit
from streams.kafka.rights import TIMED_PRODUCER, reading
from streams.kafka.topics import check, input_partitions
from streams.published.lag import COMPLETIONS, Waiting, waiting
from streams.published.read import daily_totals
from streams.settings import Settings
from streams.terminal.output import complain, counted, note, say, say_json, say_table

#: Bad lines that people are told of, each with its reason.
SHOWN = 10


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
    error (the first ten; all of them with --json) and not sent, the others
    are, acknowledged by all in-sync replicas.
    Submitting a file twice does no harm: a job is charged once. On a meter
    with a simulated clock the record time is one second after completed_at,
    or --at.

    Example:
      meter submit jobs.jsonl
      zcat jobs.jsonl.gz | meter submit -

    where a line, here broken in two, is
      {"job_id": "j1", "account_id": "A", "region": "ap-guangzhou", "kinds":
       \\["face"], "duration_s": 60, "completed_at": "2026-11-23T10:20:30+08:00"}

    Exit codes: 0 everything was sent; 1 there were bad lines, or it came to
    an end midway; 2 it is no file of JSON lines: nothing was sent.
    """
    at_ms = read_at(at)
    bad = _BadLines(every=as_json)
    with opened(file) as descriptor, bad.told_of(anyway):
        see_beginning(descriptor, file, anyway)
        with (
            connected(note) as settings,
            _bar(descriptor, progress) as moved,
            telling_of_silence(descriptor, file),
        ):
            summary = asyncio.run(_submit(settings, descriptor, file, at_ms, anyway, bad, moved))
        _report(summary, as_json)
    if not summary.acknowledged and not summary.bad:
        note(f"{called(file)} is empty: there was nothing to send")
    return Exit.FAILED if summary.bad else Exit.OK


async def _submit(
    settings: Settings,
    descriptor: int,
    file: str,
    at_ms: int | None,
    anyway: bool,
    bad: "_BadLines",
    moved: Callable[[int], None],
) -> Summary:
    if at_ms is None:
        # Who only delivers need not know more of the meter than where completions go.
        partitions, stamps = await input_partitions(settings), Stamps(None)
    else:
        rules = await check(settings, TIMED_PRODUCER)
        partitions, stamps = rules.partitions, Stamps(rules, at_ms)
    return await submit_lines(
        settings, partitions, descriptor, file, stamps=stamps, anyway=anyway, refused=bad.tell, moved=moved
    )


class _BadLines:
    """Tells of the first bad lines, or of every one, and how many there were."""

    def __init__(self, *, every: bool) -> None:
        self._shown = None if every else SHOWN
        self._count = 0

    def tell(self, number: int, refusal: Refusal) -> None:
        self._count += 1
        if self._shown is None or self._count <= self._shown:
            complain(f"line {number}: {refusal.code}: {refusal.message}")

    @contextmanager
    def told_of(self, anyway: bool) -> Iterator[None]:
        """At the end of the block, whatever ends it, they are counted."""
        try:
            yield
        finally:
            if self._count:
                self._tell_count(anyway)

    def _tell_count(self, anyway: bool) -> None:
        more = 0 if self._shown is None else max(0, self._count - self._shown)
        verb = "was" if self._count == 1 else "were"
        told = f"; {more:,} of them are not shown here: --json tells of all" if more else ""
        complain(f"{counted(self._count, 'bad line')} {verb} {'sent all the same' if anyway else 'not sent'}{told}")


def _report(summary: Summary, as_json: bool) -> None:
    if as_json:
        say_json(summary._asdict())
        return
    rate = summary.acknowledged / max(summary.seconds, 0.001)
    say(f"{counted(summary.acknowledged, 'record')} acknowledged in {summary.seconds:.1f} s ({rate:,.0f} a second)")


@contextmanager
def _bar(descriptor: int, wanted: bool) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, by bytes for a file; nothing when that is no terminal."""
    if not wanted or not sys.stderr.isatty():
        yield lambda _: None
        return
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
    totals only. What Kafka has acknowledged and workers have not metered yet
    is not in them: how many records that are is said on standard error, and
    by --json, which prints totals and sum as one object.

    Example:
      meter totals --account A --day 2026-11-23
      meter totals --json | jq -r '.totals\\[] | .amount'
    """
    role = reading(topics.DAILY, *COMPLETIONS)
    day, region = read_day(day), read_region(region)

    async def read(settings: Settings) -> tuple[list[DayTotal], Waiting]:
        rules = await check(settings, role)
        wait = await waiting(settings, rules)
        return await daily_totals(settings, rules, account=account, day=day, region=region), wait

    with connected(note) as settings:
        found, wait = asyncio.run(read(settings))
    _print_totals(found, wait, as_json)


def _print_totals(found: list[DayTotal], wait: Waiting, as_json: bool) -> None:
    amount = ZERO
    for total in found:
        amount = EXACT.add(amount, Decimal(total.amount))
    jobs, minutes = sum(total.jobs for total in found), sum(total.minutes for total in found)
    if as_json:
        together = {"jobs": jobs, "minutes": minutes, "amount": decimal_text(amount), "currency": CURRENCY}
        totals = [total.model_dump(mode="json") for total in found]
        say_json({"totals": totals, "sum": together, "not_metered": wait.records})
        return
    if not found:
        note("no usage")
    else:
        _print_table(found, (str(jobs), str(minutes), f"{decimal_text(amount)} {CURRENCY}"))
    note_waiting(wait)


def _print_table(found: list[DayTotal], sums: tuple[str, str, str]) -> None:
    say_table(
        ("day", "account", "region", "jobs", "minutes", "amount"),
        [
            (total.day, total.account_id, total.region, str(total.jobs), str(total.minutes), total.amount)
            for total in found
        ],
        last=("sum", "", "", *sums),
    )
