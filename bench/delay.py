"""End-to-end delay at a fixed rate: from the broker's append of a completion to its day's total being readable.

Each committed total says how many jobs it counts, so it tells which completions are in it: the first that many of its
account, region and day. A completion's delay is the time a read_committed consumer got the first total that counts it,
less the time at which the broker appended it. Every completion is measured. Clock and broker are on this machine.
"""

import math
import time
from collections import defaultdict
from dataclasses import dataclass, field

import msgspec
from confluent_kafka import Consumer, KafkaException, Message

from bench.cluster import Cluster
from bench.completions import Completions, SentChunk
from bench.contenders import Contender
from bench.load import producer
from bench.process import Deadline, Worker, WorkerFailed

WARM_UP_S = 5.0
START_S = 90
LAST_S = 20
TICK_S = 0.002
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Delay:
    """Milliseconds from append to readable, over `events` sent at `events_per_s`."""

    name: str
    events: int
    events_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float


class _Completed(msgspec.Struct):
    account_id: str
    region: str
    completed_at: str


class _TotalSeen(msgspec.Struct):
    account_id: str
    region: str
    day: str
    jobs: int


@dataclass
class _Ledger:
    """By account, region and day, in order: when each completion was appended, and when its total could be read (s)."""

    appended: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    readable: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    appends: int = 0
    reads: int = 0
    failed: str | None = None

    def on_delivery(self, error: object, record: Message) -> None:
        """The broker's word on one completion."""
        if error is not None:
            self.failed = str(error)
            return
        job = _decode_completed(record.value())
        # The completions are stamped in the billing time zone: their date is the billing day.
        self.appended[job.account_id, job.region, job.completed_at[:10]].append(record.timestamp()[1] / 1000)
        self.appends += 1

    def on_total(self, record: Message, now: float) -> None:
        """A committed total was read."""
        if record.error() is not None:
            raise KafkaException(record.error())
        total = _decode_daily(record.value())
        readable = self.readable[total.account_id, total.region, total.day]
        more = total.jobs - len(readable)
        readable.extend([now] * more)
        self.reads += more

    def delays_ms(self, since: float, until: float = math.inf) -> list[float]:
        """The delays of the completions appended at or after `since` and before `until`, sorted."""
        return sorted(
            (read - append) * 1000
            for key, appends in self.appended.items()
            for append, read in zip(appends, self.readable[key], strict=True)
            if since <= append < until
        )


_decode_completed = msgspec.json.Decoder(_Completed).decode
_decode_daily = msgspec.json.Decoder(_TotalSeen).decode


def measure(cluster: Cluster, contender: Contender, source: Completions, rate: int, seconds: float) -> Delay:
    """Run one program at `rate` events/s for `seconds` after it has warmed up. Raises WorkerFailed."""
    worker = contender.start()
    try:
        with cluster.reader(contender.daily, from_end=True) as consumer:
            return Run(cluster, contender, worker, consumer).measure(source, rate, seconds)
    finally:
        worker.stop()


class Run:
    """One program at a fixed rate: what was sent, and when it was in a total."""

    def __init__(
        self, cluster: Cluster, contender: Contender, worker: Worker, consumer: Consumer, linger_ms: int = 1
    ) -> None:
        self.contender = contender
        self.worker = worker
        self.consumer = consumer
        self.ledger = _Ledger()
        self.out = producer(cluster.bootstrap_servers, **{"linger.ms": linger_ms})

    def measure(self, source: Completions, rate: int, seconds: float) -> Delay:
        """One completion first, to know that the program is up; then the warm-up and the measured time."""
        self._send(source.chunk(1, duplicates=0))
        self._read_all(Deadline.after(START_S, f"the first total of {self.contender.name}"))
        self._at_rate(source, rate, WARM_UP_S)
        since = time.time()
        sent = self._at_rate(source, rate, seconds)
        took = time.time() - since
        self._read_all(Deadline.after(LAST_S, f"the totals of {self.contender.name}"))
        delays = self.ledger.delays_ms(since)
        return Delay(
            self.contender.name,
            len(delays),
            sent / took,
            delays[len(delays) // 2],
            delays[min(len(delays) - 1, len(delays) * 99 // 100)],
            delays[-1],
        )

    def _at_rate(self, source: Completions, rate: int, seconds: float) -> int:
        total = round(rate * seconds)
        chunk = source.chunk(total, duplicates=0)
        began, sent = time.monotonic(), 0
        while sent < total:
            due = min(total, int((time.monotonic() - began) * rate))
            self._send(chunk, sent, due)
            sent = due
            self._turn()
        return total

    def _send(self, chunk: SentChunk, start: int = 0, stop: int | None = None) -> None:
        rows = zip(chunk.partitions[start:stop], chunk.keys[start:stop], chunk.values[start:stop], strict=True)
        for partition, key, value in rows:
            self.out.produce(
                self.contender.completed, value, key, partition=partition, on_delivery=self.ledger.on_delivery
            )

    def _turn(self) -> None:
        """Take what has come: the broker's acknowledgements and committed totals."""
        self.out.poll(0)
        records = [self.consumer.poll(TICK_S)]
        now = time.time()
        if records[0] is not None:
            records += self.consumer.consume(5_000, timeout=0)
        for record in records:
            if record is not None:
                self.ledger.on_total(record, now)

    def _read_all(self, deadline: Deadline) -> None:
        """Turn until every completion sent is acknowledged and counted in a total."""
        while len(self.out) or self.ledger.reads < self.ledger.appends:
            self.worker.check()
            deadline.check()
            if self.ledger.failed:
                raise WorkerFailed(f"a completion was not acknowledged: {self.ledger.failed}")
            self._turn()
