"""Memory by remembered ids, and the time from SIGKILL until every partition has committed again.

The worker gets its ids the honest way: by metering them. Then it is killed in the middle of work and started again
at once, and every partition gets new completions: it has recovered when each has a priced record of them that is
committed.
"""

import time
from dataclasses import dataclass

import msgspec
from confluent_kafka import Consumer, KafkaException, Producer

from bench.cluster import PARTITIONS, Cluster
from bench.completions import CHUNK, Completions, SentChunk
from bench.contenders import Meter
from bench.load import load, producer, send, settle
from bench.process import Deadline, Worker

STEPS = (0.0, 0.1, 0.25, 0.5, 1.0)
POLL_S = 0.1
QUIET_S = 1.0
BURST = 5 * CHUNK
AFTER = 2_000  # completions after the kill: a few hundred for each partition
START_S = 90
SLOWEST_PER_S = 10_000
RECOVERY_S = 180


@dataclass(frozen=True)
class PeakMemory:
    """Resident bytes of the worker's processes when it remembers `ids`."""

    ids: int
    rss: int


@dataclass(frozen=True)
class Recovery:
    """Seconds from SIGKILL until all partitions had committed again; the most resident bytes of the new worker."""

    ids: int
    seconds: float
    first_partition_s: float
    peak_rss: int


class MemoryCurve:
    """The worker's memory whenever its committed records pass the next step."""

    def __init__(self, cluster: Cluster, meter: Meter, worker: Worker, ids: int) -> None:
        self.points: list[PeakMemory] = []
        self._cluster = cluster
        self._meter = meter
        self._worker = worker
        self._wanted = [round(ids * step) for step in STEPS]
        self._deadline = Deadline.after(START_S + ids / SLOWEST_PER_S, f"{ids} ids metered")

    def look(self) -> int:
        """The committed records now. Raises WorkerFailed when the worker has ended or is too slow."""
        self._worker.check()
        self._deadline.check()
        done = self._cluster.committed_end(self._meter.priced)
        while len(self.points) < len(STEPS) and done >= max(1, self._wanted[len(self.points)]):
            self.points.append(PeakMemory(self._wanted[len(self.points)], self._worker.rss()))
        return done

    def wait_for(self, records: int) -> None:
        """Look until so many records are committed, and for QUIET_S no more: a few of them are markers."""
        done, changed_at = self.look(), time.monotonic()
        while done < records or time.monotonic() - changed_at < QUIET_S:
            time.sleep(POLL_S)
            before, done = done, self.look()
            changed_at = time.monotonic() if done != before else changed_at


def fill(cluster: Cluster, meter: Meter, worker: Worker, source: Completions, ids: int) -> list[PeakMemory]:
    """Let the worker meter `ids` new jobs while they are loaded; its memory on the way. Raises WorkerFailed."""
    curve = MemoryCurve(cluster, meter, worker, ids)
    # One alone, so that the first point is a worker that is up and remembers next to nothing.
    load(cluster.bootstrap_servers, meter.completed, source, 1, duplicates=0)
    curve.wait_for(1)
    load(cluster.bootstrap_servers, meter.completed, source, ids - 1, duplicates=0, each_chunk=curve.look)
    curve.wait_for(ids)
    return curve.points


def kill_and_recover(
    cluster: Cluster, meter: Meter, worker: Worker, source: Completions, ids: int
) -> tuple[Recovery, Worker]:
    """SIGKILL the worker at work, start another, time it. Returns the new worker too. Raises WorkerFailed."""
    out = producer(cluster.bootstrap_servers)
    with cluster.reader(meter.priced, from_end=True) as reader:
        _wait_until_at_work(cluster, meter, worker, out, source)
        worker.kill()
        killed_at = time.monotonic()
        worker = meter.start()
        after = source.chunk(AFTER, duplicates=0)
        send(out, meter.completed, after)
        settle(out, meter.completed)
        try:
            back = _partitions_back(reader, worker, after, killed_at)
        except BaseException:
            worker.kill()
            raise
    return Recovery(ids, max(back), min(back), worker.peak_rss()), worker


def _wait_until_at_work(cluster: Cluster, meter: Meter, worker: Worker, out: Producer, source: Completions) -> None:
    """Give the worker more than it can do at once, and return when it has begun."""
    before = cluster.committed_end(meter.priced)
    for _ in range(BURST // CHUNK):
        send(out, meter.completed, source.chunk(duplicates=0))
    deadline = Deadline.after(START_S, "the burst before the kill")
    while cluster.committed_end(meter.priced) == before:
        worker.check()
        deadline.check()


class _Job(msgspec.Struct):
    job_id: str


def _partitions_back(reader: Consumer, worker: Worker, after: SentChunk, killed_at: float) -> list[float]:
    """For each partition, seconds from the kill to the first committed record of a completion sent after it."""
    decode = msgspec.json.Decoder(_Job).decode
    sent_after = {decode(value).job_id for value in after.values}
    back: dict[int, float] = {}
    deadline = Deadline.after(RECOVERY_S, "a commit on every partition after the restart")
    while len(back) < PARTITIONS:
        worker.check()
        deadline.check()
        for record in reader.consume(1_000, timeout=0.01):
            if record.error() is not None:
                raise KafkaException(record.error())
            if record.partition() not in back and decode(record.value()).job_id in sent_after:
                back[record.partition()] = time.monotonic() - killed_at
    return list(back.values())
