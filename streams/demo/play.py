"""What happens in the demo, in order, and what the viewer is told."""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from meter import topics
from meter.models import DayTotal
from meter.money import CURRENCY, EXACT, ZERO, decimal_text
from meter.rules import Clock
from streams.broker import EmbeddedBroker
from streams.broker.connect import embedded
from streams.completions.submit import BATCH_BYTES, JobSender
from streams.demo.finale import on_a_terminal, show_console
from streams.demo.money import MoneyPlay
from streams.demo.stage import Cast, Progress, progress
from streams.demo.traffic import DUPLICATE, MISPLACED, NEW, DayOfTraffic, Sent, guide_example
from streams.errors import Exit
from streams.kafka.clients import sender
from streams.kafka.topics import create, new_rules
from streams.proof.whole import verify
from streams.published.read import daily_totals, rejects
from streams.settings import Settings
from streams.terminal.output import say, say_table

JOBS = 100_000
#: Records between two looks at how far the workers are.
STRIDE = 2_000


def run(settings: Settings, seed: int) -> int:
    """Show it all. Returns the exit code: 1 when a figure is not what was sent."""
    with tempfile.TemporaryDirectory(prefix="meter-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        say("Starting Apache Kafka on this machine: no Java or Docker to install.")
        with EmbeddedBroker(folder, port=0, say=say) as address:
            own = settings.model_copy(update={"data_dir": folder, "topic_prefix": ""})
            mine = embedded(own, address.bootstrap_servers, address.secret)
            return asyncio.run(_Play(mine, seed, folder).run())


class _Play:
    def __init__(self, settings: Settings, seed: int, folder: Path) -> None:
        self._settings = settings
        self._seed = seed
        self._folder = folder
        self._cast = Cast(settings, folder, say)
        self._sent: Counter[str] = Counter()
        self._right = True

    async def run(self) -> int:
        self._rules, _ = await create(self._settings, new_rules(clock=Clock.SIMULATED), 1)
        say(f"A meter with {self._rules.partitions} partitions and a simulated clock: it is 2019-01-01 in Shanghai.")
        try:
            self._cast.start()
            await self._cast.ready(self._rules.partitions)
            async with progress(self._settings, self._rules) as watch:
                await self._guide_example(watch)
                await self._day(watch)
            await self._results(watch)
            await self._money()
            await self._proof()
            if on_a_terminal():
                await show_console(self._settings, self._folder)
            return Exit.OK if self._right else Exit.FAILED
        finally:
            await asyncio.to_thread(self._cast.stop)

    # -- the acts --------------------------------------------------------------------------------------------

    async def _guide_example(self, watch: Progress) -> None:
        _act("The guide's example: account A runs one hour in mainland China.")
        await self._submit([guide_example(self._rules.partitions)])
        await watch.until(1, self._cast)
        found = await daily_totals(self._settings, self._rules, account="A")
        _print_totals(found, by_region=True)
        self._check([(total.minutes, total.amount) for total in found] == [(60, "16.80")])

    async def _day(self, watch: Progress) -> None:
        _act(f"A day of traffic (seed {self._seed}), with duplicates, conflicts, late and broken records among it.")
        records = list(DayOfTraffic(self._seed, JOBS, self._rules.partitions))
        began, settled = time.monotonic(), watch.settled
        sending = asyncio.create_task(self._submit(records))
        await watch.until(settled + len(records) // 2, self._cast)
        killed, done = time.monotonic(), watch.settled - settled
        say(f"  {done:,} records settled, {done / (killed - began):,.0f} a second")
        self._kill()
        await asyncio.gather(sending, watch.until(settled + len(records), self._cast))
        say(f"  all {len(records):,} records settled, {time.monotonic() - killed:.1f} s after the kill")

    def _kill(self) -> None:
        worker = self._cast.workers[0]
        say(f"  kill -9 {worker.pid} ({worker.name}), and start it again")
        worker.kill()
        self._cast.restart(0)

    async def _results(self, watch: Progress) -> None:
        _act("What each account used, from usage.daily:")
        _print_totals(await daily_totals(self._settings, self._rules), by_region=False)
        _act("What was refused and why, from usage.rejected:")
        refused = await self._print_rejects()
        _act("What was sent, and what the meter made of it:")
        self._print_outcomes(watch.counts, refused)

    async def _money(self) -> None:
        money = MoneyPlay(self._settings, self._rules, self._submit)
        await money.run()
        self._right = self._right and money.right

    async def _proof(self) -> None:
        report = await verify(self._settings, say=lambda _: None)
        for difference in [*report.differences[:10], *([report.unprovable] if report.unprovable else [])]:
            say(difference)
        self._check(report.proved)
        if report.proved:
            steps = f"{report.records:,} records in {report.steps:,} steps, {report.bills:,} bills"
            say(f"verify: no difference ({steps})")

    # -- sending and printing --------------------------------------------------------------------------------

    async def _submit(self, records: Iterable[Sent]) -> None:
        async with sender(self._settings, max_batch_size=BATCH_BYTES) as producer:
            jobs = JobSender(producer, self._settings.topic(topics.COMPLETED))
            for number, (partition, key, value, at_ms, outcome) in enumerate(records, 1):
                await jobs.put(partition, key, value, at_ms)
                self._sent[outcome] += 1
                if number % STRIDE == 0:
                    await jobs.flush()
                    await asyncio.sleep(0)  # let the reader look
            await jobs.finish()

    async def _print_rejects(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        at_risk: dict[str, Decimal] = {}
        reasons: dict[str, str] = {}
        unknown: Counter[str] = Counter()
        async for _, found in rejects(self._settings, self._rules):
            counts[found.code] += 1
            reasons.setdefault(found.code, found.message)
            if found.amount_at_risk is None:
                unknown[found.code] += 1
            else:
                at_risk[found.code] = EXACT.add(at_risk.get(found.code, ZERO), Decimal(found.amount_at_risk))
        amounts = {code: _at_risk(at_risk.get(code), unknown[code]) for code in counts}
        rows = [(code, f"{counts[code]:,}", amounts[code], reasons[code]) for code in sorted(counts)]
        say_table(("code", "records", "at risk", "for example"), rows)
        return counts

    def _print_outcomes(self, counts: Counter[str], refused: Counter[str]) -> None:
        sent = self._sent
        rows = [
            ("jobs", sent[NEW] + sent[MISPLACED], "priced, each once", counts["priced"]),
            ("of them misplaced", sent[MISPLACED], "rerouted to their partition", counts["rerouted"]),
            ("sent again", sent[DUPLICATE], "counted as duplicate", counts["duplicate"]),
            *((code, sent[code], f"refused: {code}", refused[code]) for code in sorted({*sent, *refused} - _JOBS)),
        ]
        say_table(("sent", "records", "the meter", "jobs"), [(a, f"{b:,}", c, f"{d:,}") for a, b, c, d in rows])
        self._check(all(b == d for _, b, _, d in rows))

    def _check(self, holds: bool) -> None:
        if not holds:
            self._right = False
            say("THIS IS WRONG: please report it with the seed.")


def _at_risk(amount: Decimal | None, unknown: int) -> str:
    """The money of some refused records, and of how many it is not known."""
    if amount is None:
        return "unknown"
    return decimal_text(amount) + (f" + {unknown:,} unknown" if unknown else "")


def _act(title: str) -> None:
    say("")
    say(title)


_JOBS = {NEW, DUPLICATE, MISPLACED}


def _print_totals(found: list[DayTotal], *, by_region: bool) -> None:
    """The totals, of each region or of all regions together."""
    rows: dict[tuple[str, ...], tuple[int, int, Decimal]] = {}
    for total in found:
        key = (total.day, total.account_id, total.region if by_region else "all")
        jobs, minutes, amount = rows.get(key, (0, 0, ZERO))
        rows[key] = jobs + total.jobs, minutes + total.minutes, EXACT.add(amount, Decimal(total.amount))
    table = [(*key, f"{j:,}", f"{m:,}", decimal_text(a)) for key, (j, m, a) in rows.items()]
    jobs, minutes = sum(row[0] for row in rows.values()), sum(row[1] for row in rows.values())
    amount = ZERO
    for row in rows.values():
        amount = EXACT.add(amount, row[2])
    last = ("sum", "", "", f"{jobs:,}", f"{minutes:,}", f"{decimal_text(amount)} {CURRENCY}")
    say_table(("day", "account", "region", "jobs", "minutes", "amount"), table, last=last if len(rows) > 1 else ())
