"""One partition, recounted: its input records in the order in which the journal says they were folded."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from tests.recount.accounts import Accounts
from tests.recount.billing import Billing, Job
from tests.recount.commands import Commands, Times
from tests.recount.placement import owner
from tests.recount.prices import Prices
from tests.recount.rules import FUTURE_US, HORIZON_US, Completion, NotMetered, money, read

COMPLETED = "recognition.jobs.completed"
REROUTED = "recognition.jobs.rerouted"
COMMANDS = "meter.commands"
SPREAD_S = 3600
Row = dict[str, Any]
#: Totals are kept for two days more than a job may be late; see `_settle`.
FORGOTTEN_US = HORIZON_US + 2 * 24 * 3600 * 1_000_000


class Record(NamedTuple):
    """One record as the log has it; `timestamp_ms` is the broker's append time."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def place(self) -> tuple[str, int, int]:
        return self.topic, self.partition, self.offset

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.value or b"").digest()


class Refused(NamedTuple):
    """A rejected record, and what it would have cost where that can be said."""

    code: str
    amount: str | None
    record: Record


class PartitionCount:
    """What must have been published from one partition. Fold records into it, then read its fields."""

    def __init__(self, partition: int, partitions: int, rules: Mapping[str, Any] | None = None) -> None:
        self.partition = partition
        self.partitions = partitions
        rules = rules or {}
        self.prices = Prices()
        self.accounts = Accounts()
        self.billing = Billing(partition, rules.get("settlement_spread_s", SPREAD_S), self.prices, self.accounts)
        self.metered: set[tuple[str, str]] = set()
        clock = rules.get("clock", "broker")
        self.commands = Commands(partition, partitions, clock, self.prices, self.accounts, self.metered)
        self.priced: dict[tuple[str, str], dict[str, Any]] = {}
        self.totals: dict[tuple[str, str, str], tuple[int, int, Decimal]] = {}
        self.refused: dict[tuple[str, int, int], Refused] = {}
        self.forwarded: dict[tuple[str, int, int], tuple[int, bytes]] = {}
        self.arrived: dict[tuple[str, int, int], bytes] = {}
        self.outcomes: Counter[str] = Counter()
        self._seen: dict[tuple[str, str], tuple[tuple[Any, ...], int]] = {}

    def fold(self, records: Sequence[Record], seq: int = 0, not_after: int | None = None) -> Counter[str]:
        """Count these records next, the journal's step `seq`; returns how many came to which outcome.

        What was recorded after `not_after` was stamped by a clock that was ahead.
        """
        counts: Counter[str] = Counter(read=0, priced=0, duplicate=0, rejected=0, rerouted=0, commands=0)
        for record in records:
            counts["read"] += 1
            is_ahead = not_after is not None and record.timestamp_ms > not_after
            counts[self._judge(record, seq, is_ahead)] += 1
        self.outcomes += counts
        return counts

    def _judge(self, record: Record, seq: int, is_ahead: bool) -> str:
        if record.topic == COMMANDS:
            at_ms = record.timestamp_ms
            times = Times(at_ms, max(at_ms, self.billing.settled_until_ms))
            self.commands.fold(record.offset, record.value, times, is_ahead)
            return "commands"
        if record.topic == REROUTED:
            self.arrived[record.place] = record.digest
        try:
            job = read(record.value, list(record.headers))
        except NotMetered as refusal:
            return self._refuse(record, str(refusal), None)
        home = owner(job.account_id, self.partitions)
        if home == self.partition:
            return self._refuse(record, "clock_ahead", job) if is_ahead else self._settle(record, job, seq)
        if record.topic == REROUTED:
            return self._refuse(record, "misplaced", job)
        self.forwarded[record.place] = home, record.digest
        return "rerouted"

    def _settle(self, record: Record, job: Completion, seq: int) -> str:
        """On the owner's partition: the rules that need the append time, then dedupe, then the price."""
        now_us = record.timestamp_ms * 1000
        if job.instant_us > now_us + FUTURE_US:
            return self._refuse(record, "in_future", job)
        forgotten_us = self.billing.settled_until_ms * 1000 - FORGOTTEN_US
        if job.instant_us < max(now_us - HORIZON_US, forgotten_us):
            return self._refuse(record, "too_old", job)
        identity = job.account_id, job.job_id
        # Remembered for as long as the job, recorded up to five minutes before its end, could still be in time.
        oldest_us = max(now_us - HORIZON_US, forgotten_us) - FUTURE_US
        fingerprint, since_us = self._seen.get(identity, ((), oldest_us - 1))
        if since_us >= oldest_us:
            return "duplicate" if fingerprint == job.fingerprint else self._refuse(record, "conflict", job)
        self._seen[identity] = job.fingerprint, now_us
        self._price(record, job, seq)
        return "priced"

    def _price(self, record: Record, job: Completion, seq: int) -> None:
        unit_price = self.prices.of(job.account_id, job.region, job.day)
        price = unit_price * job.minutes
        self.priced[job.account_id, job.job_id] = {
            "v": 1,
            "job_id": job.job_id,
            "account_id": job.account_id,
            "region": job.region,
            "kinds": list(job.kinds),
            "completed_at": job.completed_at,
            "day": job.day,
            "duration_s": job.duration_s,
            "minutes": job.minutes,
            "unit_price": money(unit_price),
            "amount": money(price),
            "currency": "CNY",
            "source": {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "timestamp": record.timestamp_ms,
            },
        }
        key = job.account_id, job.region, job.day
        jobs, minutes, amount = self.totals.get(key, (0, 0, Decimal(0)))
        self.metered.add((job.account_id, job.day))
        self.totals[key] = jobs + 1, minutes + job.minutes, amount + price
        self.accounts.open(job.account_id)
        self.billing.add(Job(job.account_id, job.region, job.day, job.minutes, price, record.timestamp_ms, seq))

    def _refuse(self, record: Record, code: str, job: Completion | None) -> str:
        amount = money(self.prices.in_book(job.region, job.day) * job.minutes) if job else None
        self.refused[record.place] = Refused(code, amount, record)
        return "rejected"
