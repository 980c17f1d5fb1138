"""Chaos with settlement: workers are killed at random while simulated days of customers pass, and are billed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

from confluent_kafka import Producer

from tests.chaos.days import FIRST_DAY, DayEvent, Days
from tests.chaos.plan import Plan
from tests.chaos.runner import PARTITIONS, WORKERS, Chaos, Say, Stalled
from tests.chaos.verdict import aborted_steps, wrong_exits, wrong_results
from tests.chaos.watch import OutputWatch
from tests.chaos.workers import Worker
from tests.recount.log import Log
from tests.recount.recount import recount

BILLS = "billing.bills"
#: After the last day everything is settled: the month, and whatever arrears are left.
THE_END = FIRST_DAY + timedelta(days=45)


@dataclass(frozen=True)
class DaysPlan:
    """How many customers, days and kills, and how many aborted transactions prove something."""

    seed: int
    accounts: int
    days: int
    kills: int
    least_aborted: int
    patience_s: int = 180
    bills_between: int = 0  # more bills before the next kill
    at_least: tuple[str, ...] = ("usage", "late", "daily", "monthly", "arrears", "stopped", "restored", "low_balance")

    @classmethod
    def short(cls, seed: int) -> "DaysPlan":
        return cls(seed, accounts=120, days=14, kills=5, least_aborted=1)

    @classmethod
    def long(cls, seed: int) -> "DaysPlan":
        return cls(seed, accounts=1000, days=30, kills=24, least_aborted=8)

    @classmethod
    def settling(cls, seed: int) -> "DaysPlan":
        """Very many customers and one day: the kills fall into its settlement."""
        return cls(
            seed, accounts=100_000, days=1, kills=8, least_aborted=2, patience_s=600, at_least=("usage", "daily")
        )


class DaysChaos(Chaos):
    """One run on a broker of its own, with a simulated clock."""

    def __init__(self, plan: DaysPlan, root: Path, say: Say) -> None:
        super().__init__(Plan.short(plan.seed), root, say)
        self.days_plan = plan
        self.events: Counter[str] = Counter()
        self._producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "enable.idempotence": True,
                "queue.buffering.max.messages": 1_000_000,
                "log_level": 0,
            }
        )

    def settle(self) -> list[str]:
        """Run it; what was wrong, in words."""
        created = self.meter("topics", "create", "--partitions", str(PARTITIONS), "--clock", "simulated")
        if created.returncode:
            raise RuntimeError(f"meter topics create: {created.stderr}")
        self.workers = [Worker(number, self.bootstrap, self.root, None) for number in range(WORKERS)]
        self.watch = OutputWatch(self.bootstrap)
        try:
            self._pass_days()
        except Stalled as stalled:
            self.run.faults.append(str(stalled))
        finally:
            self.watch.close()
            self.stop_workers()
        return self._verdict()

    def _are_billed(self, bills: int) -> bool:
        return self.watch.end(BILLS) >= bills

    def _pass_days(self) -> None:
        plan = self.days_plan
        self._wait("all workers to be up", lambda: all(worker.healthy() for worker in self.workers))
        days = Days(plan.seed, plan.accounts, PARTITIONS)
        kills = Counter(Random(plan.seed).choices(range(plan.days), k=plan.kills))
        for number in range(plan.days):
            self._send(days.day(number))
            noon = FIRST_DAY + timedelta(days=number + 1, hours=13)
            self._send(days.tick(noon))
            before = self.watch.progress()
            for _ in range(kills[number]):
                self._wait("a step before a kill", partial(self._is_beyond, before))
                bills = self.watch.end(BILLS) + plan.bills_between
                self._wait("bills before a kill", partial(self._are_billed, bills))
                self._kill(self._victim())
        self.say(f"{plan.days} days are sent: {dict(self.events)}")
        self._wait("all workers to be up", lambda: all(worker.healthy() for worker in self.workers))
        self._settle_all(THE_END)

    def _send(self, events: list[DayEvent]) -> None:
        for event in events:
            self.events[event.topic] += 1
            self._producer.produce(
                event.topic, event.value, event.key, partition=event.partition, timestamp=event.at_ms
            )
        if self._producer.flush(60):
            raise Stalled("Kafka does not take the events")

    def _settle_all(self, to: datetime) -> None:
        """Move the clock past everything that is due, and wait until it is done."""
        patience = str(self.days_plan.patience_s)
        ended = self.meter("clock", "advance", "--to", to.isoformat(), "--timeout", patience)
        if ended.returncode:
            raise Stalled(f"meter clock advance: {ended.stdout}{ended.stderr}")
        self.say("all is settled")

    def _verdict(self) -> list[str]:
        report = recount(self.bootstrap)
        aborted = aborted_steps(self.bootstrap)
        self.say(f"seed               {self.days_plan.seed}")
        self.say(f"recounted          {dict(report.outcomes)}")
        self.say(f"kills              {self.run.kills}, {self.run.kills_in_transaction} in a transaction")
        self.say(f"exit codes         {dict(sorted(self.run.exits.items()))}")
        self.say(f"aborted            {aborted} transactions of workers")
        return [
            *self.run.faults,
            *wrong_exits(self.run),
            *wrong_results(report),
            *self._commands(),
            *self._too_little(aborted),
        ]

    def _commands(self) -> Iterator[str]:
        for command in (("verify", "--json"), ("reconcile", "--json")):
            ended = self.meter(*command)
            if ended.returncode:
                yield f"meter {command[0]} exited with {ended.returncode}: {ended.stdout[-800:]}{ended.stderr[-800:]}"
            else:
                self.say(f"{command[0]:<19}{ended.stdout.strip()[:300]}")

    def _too_little(self, aborted: int) -> Iterator[str]:
        plan = self.days_plan
        if self.run.kills < plan.kills:
            yield f"proves too little: {self.run.kills} kills of {plan.kills}"
        if aborted < plan.least_aborted:
            yield f"proves too little: {aborted} aborted transactions, at least {plan.least_aborted} are wanted"
        kinds = self._kinds()
        missing = set(plan.at_least) - kinds
        if missing:
            yield f"proves too little: never met {sorted(missing)}"

    def _kinds(self) -> set[str]:
        """The kinds of lines, periods and notices that came up."""
        log = Log(self.bootstrap)
        try:
            bills = [row for p in range(PARTITIONS) for row in log.rows(BILLS, p)]
            told = [row for p in range(PARTITIONS) for row in log.rows("billing.notices", p)]
        finally:
            log.close()
        self.say(f"bills              {len(bills):,}, {sum(len(bill['lines']) for bill in bills):,} lines")
        self.say(f"notices            {dict(Counter(row['kind'] for row in told))}")
        lines = {line["kind"] for bill in bills for line in bill["lines"]}
        return lines | {bill["mode"] for bill in bills} | {row["kind"] for row in told}
