"""Completions into a topic, as fast as librdkafka takes them."""

from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import Producer

from bench.cluster import NO_LOG
from bench.completions import CHUNK, DUPLICATES, Completions, SentChunk


@dataclass(frozen=True)
class Load:
    """What was sent, and what has to come out: `unique` priced jobs worth `amount` (CNY / 10,000)."""

    events: int
    unique: int
    amount: int


def producer(bootstrap_servers: str, **settings: object) -> Producer:
    """A producer that keeps order and waits for the broker's word; no compression, so that no reader pays for it."""
    return Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "compression.type": "none",
            # produce_batch takes no partition of a record's own: the key decides, by Java's hash.
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "batch.size": 1 << 20,
            "queue.buffering.max.messages": 200_000,
            "queue.buffering.max.kbytes": 1 << 18,
            **NO_LOG,
            **settings,
        }
    )


def send(out: Producer, topic: str, chunk: SentChunk) -> None:
    """Queue a chunk; waits while the queue is full. Raises RuntimeError when a record cannot be queued at all."""
    records = [{"key": key, "value": value} for key, value in zip(chunk.keys, chunk.values, strict=True)]
    while records:
        out.produce_batch(topic, records)
        left = [record for record in records if "_error" in record]
        if len(left) == len(records) and len(out) == 0:
            raise RuntimeError(f"cannot load {topic}: {left[0]['_error']!r}")
        for record in left:
            del record["_error"]
        records = left
        if left:
            out.poll(0.05)


def load(
    bootstrap_servers: str,
    topic: str,
    source: Completions,
    events: int,
    *,
    duplicates: float = DUPLICATES,
    each_chunk: Callable[[], object] = lambda: None,
) -> Load:
    """Send `events` completions and wait until the broker has them all. Raises RuntimeError when it has not."""
    failed: list[str] = []
    out = producer(bootstrap_servers, error_cb=lambda error: failed.append(str(error)))
    unique = amount = 0
    for start in range(0, events, CHUNK):
        chunk = source.chunk(min(CHUNK, events - start), duplicates=duplicates)
        send(out, topic, chunk)
        unique += int(chunk.fresh.sum())
        amount += int(chunk.amounts[chunk.fresh].sum())
        each_chunk()
    settle(out, topic)
    if failed:
        raise RuntimeError(f"{topic} was not loaded: {failed[0]}")
    return Load(events, unique, amount)


def settle(out: Producer, topic: str) -> None:
    """Wait for the broker's word on all that is queued. Raises RuntimeError when it does not come."""
    left = out.flush(60)
    if left:
        raise RuntimeError(f"{topic} was not loaded: {left} records are left in the queue")
