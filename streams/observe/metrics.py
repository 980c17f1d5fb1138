"""Prometheus metrics of a worker. Money is exact in the topics; here it is a float, for graphs."""

import time
from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from meter.step import Step
from streams.observe.process import exposition

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 3600)


class HeldInput(Protocol):
    """An input that an open transaction holds, and for how long, in seconds."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def seconds(self) -> float: ...


# So many fields: one for each metric.
class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = r = CollectorRegistry()
        self._records = Counter("meter_records", "Records by what became of them", ["outcome"], registry=r)
        self._amount = Counter("meter_amount_cny", "Priced amount in CNY", ["region"], registry=r)
        self._billed = Counter("meter_billable_seconds", "Billable time: minutes begun", ["region"], registry=r)
        self._refused = Counter("meter_refused", "Refused records by code", ["code"], registry=r)
        self._late = Counter("meter_late_jobs", "Jobs that came after their bill's cut", ["region"], registry=r)
        self._late_amount = Counter("meter_late_amount_cny", "What they come to, in CNY", ["region"], registry=r)
        self._bills = Counter("meter_bills", "Bills issued", registry=r)
        self._notices = Counter("meter_notices", "Notices to customers", registry=r)
        self._lag = Gauge(
            "meter_lag_records", "Positions up to the end of the input", ["topic", "partition"], registry=r
        )
        self._held = Gauge(
            "meter_input_held_seconds",
            "How long an open transaction has held an input, where that is too long",
            ["topic", "partition"],
            registry=r,
        )
        self._chunk = Histogram(
            "meter_step_records",
            "Records folded in one step",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000),
            registry=r,
        )
        self._fold = Histogram("meter_fold_seconds", "Folding a step", buckets=_SECONDS, registry=r)
        self._commit = Histogram("meter_commit_seconds", "Sending and committing a step", buckets=_SECONDS, registry=r)
        self._delay = Histogram(
            "meter_delay_seconds", "From a step's oldest record time to its commit", buckets=_SECONDS, registry=r
        )
        self._recovery = Gauge(
            "meter_recovery_seconds", "Opening a partition, the last time", ["partition"], registry=r
        )
        self._remembered = Gauge("meter_dedupe_ids", "Job ids remembered", ["partition"], registry=r)
        self._bytes = Gauge("meter_dedupe_bytes", "Size of the dedupe index", ["partition"], registry=r)
        self._unbilled = Gauge("meter_unbilled_cny", "Priced and not billed yet, in CNY", ["partition"], registry=r)
        self._difference = Gauge(
            "meter_reconcile_difference_cny",
            "Unbilled less what was priced and not billed since opening, and what its audit found: 0",
            ["partition"],
            registry=r,
        )
        self._paused = Gauge(
            "meter_settlement_paused",
            "1 while the broker's clock and this machine's are too far apart to settle",
            ["partition"],
            registry=r,
        )
        self._intake_paused = Gauge(
            "meter_intake_paused",
            "1 while records are stamped ahead of every clock, and the clocks are too far apart to say who is right",
            ["partition"],
            registry=r,
        )
        self._skew = Gauge(
            "meter_clock_skew_seconds",
            "The broker's clock less this machine's, when a step was last acknowledged",
            ["partition"],
            registry=r,
        )
        self._open = Gauge("meter_partitions_open", "Partitions that this worker meters", registry=r)

    def folded(self, *, fold_s: float) -> None:
        """A step was folded."""
        self._fold.observe(fold_s)

    def delayed(self, *, oldest_ms: int) -> None:
        """A step was committed whose oldest record has this record time."""
        self._delay.observe(max(0.0, time.time() - oldest_ms / 1000))

    def committed(self, *, commit_s: float) -> None:
        """A step's transaction took so long."""
        self._commit.observe(commit_s)

    def stepped(self, step: Step) -> None:
        """A step was committed."""
        for outcome, count in step.counts:
            if outcome != "read" and count:
                self._records.labels(outcome).inc(count)
        for region, (minutes, amount) in step.tally.usage.items():
            self._billed.labels(region).inc(minutes * 60)
            self._amount.labels(region).inc(float(amount))
        for region, (jobs, amount) in step.tally.late.items():
            self._late.labels(region).inc(jobs)
            self._late_amount.labels(region).inc(float(amount))
        for code, count in step.tally.refused.items():
            self._refused.labels(code).inc(count)
        self._bills.inc(len(step.outputs.bills))
        self._notices.inc(len(step.outputs.notices))
        if step.taken.records:
            self._chunk.observe(step.taken.records)

    def opened(self, partition: int, took_s: float) -> None:
        """A partition was opened."""
        self._recovery.labels(partition).set(took_s)
        self._open.inc()

    def closed(self, partition: int) -> None:
        """A partition was let go."""
        self._open.dec()
        for gauge in (self._remembered, self._bytes, self._recovery, self._unbilled, self._difference):
            gauge.remove(partition)
        for gauge in (self._paused, self._intake_paused, self._skew):
            gauge.remove(partition)

    def remembered(self, partition: int, ids: int, size: int) -> None:
        """How large the dedupe index is."""
        self._remembered.labels(partition).set(ids)
        self._bytes.labels(partition).set(size)

    def reconciled(self, partition: int, unbilled: Decimal, difference: Decimal) -> None:
        """What is unbilled, and by how much that is wrong."""
        self._unbilled.labels(partition).set(float(unbilled))
        self._difference.labels(partition).set(float(difference))

    def paused(self, partition: int, *, settlement: bool, intake: bool) -> None:
        """Whether settlement and intake wait for the clocks to agree."""
        self._paused.labels(partition).set(int(settlement))
        self._intake_paused.labels(partition).set(int(intake))

    def skew(self, partition: int, seconds: float) -> None:
        """By how much the broker's clock is ahead of this machine's."""
        self._skew.labels(partition).set(seconds)

    def held(self, inputs: Iterable[HeldInput]) -> None:
        """The inputs that an open transaction has held for too long."""
        self._held.clear()
        for held in inputs:
            self._held.labels(held.topic, held.partition).set(held.seconds)

    def lag(self, topic: str, partition: int, records: int) -> None:
        """How far an input is folded from its end."""
        self._lag.labels(topic, partition).set(records)

    def text(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        return exposition(self.registry)
