"""The traffic without the chaos: the pure domain in memory against the recount, in seconds."""

import json
import zlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from meter import topics
from meter.dedupe import MemoryDedupeIndex
from meter.fold import fold
from meter.records import Chunk
from meter.rules import Rules
from meter.state import PartitionState
from meter.step import Step
from tests.builders import as_consumed
from tests.chaos.traffic import ABORT, ABORTED_PREFIX, CRC32, TRANSACTIONAL, Send, Traffic
from tests.chaos.verdict import CODES, OUTCOMES
from tests.recount.compare import Published, Reroutes, between, differences, fold_journal, reroute_differences
from tests.recount.count import COMPLETED, REROUTED, PartitionCount, Record
from tests.recount.placement import owner

PARTITIONS = 3
RECORDS = 12_000
BASE = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
BASE_MS = int(BASE.timestamp() * 1000)


class MemoryLog:
    """Inputs and outputs of a meter without Kafka: what was committed, with the gaps that the rest leaves."""

    def __init__(self) -> None:
        self.ends: Counter[tuple[str, int]] = Counter()
        self.inputs: list[dict[str, list[Record]]] = [{COMPLETED: [], REROUTED: []} for _ in range(PARTITIONS)]
        self.published = [Published([{"kind": "rules"}], [], {}, []) for _ in range(PARTITIONS)]

    def append(self, topic: str, partition: int, content: Any, at_ms: int, *, committed: bool = True) -> None:
        offset = self.ends[topic, partition]
        self.ends[topic, partition] += 1
        if committed:
            record = Record(topic, partition, offset, at_ms, content.value, content.key, tuple(content.headers))
            self.inputs[partition][topic].append(record)


def place(send: Send) -> int:
    if send.partition is not None:
        return send.partition
    assert send.key is not None
    return zlib.crc32(send.key) % PARTITIONS if send.producer == CRC32 else owner(send.key.decode(), PARTITIONS)


def filled(traffic: Traffic) -> MemoryLog:
    """The traffic on its partitions, at a hundred records a second, so that it crosses the edges of time."""
    log, block = MemoryLog(), list[Send]()
    for number, send in enumerate(traffic):
        block.append(send)
        if send.producer == TRANSACTIONAL and send.end is None:
            continue
        for one in block:
            log.append(COMPLETED, place(one), one, BASE_MS + number * 10, committed=send.end != ABORT)
        block.clear()
    return log


def chunks(rng: Random, log: MemoryLog, state: PartitionState) -> Iterator[Chunk]:
    """Some of what is left, of one input or of both, in either order."""
    for topic in rng.sample((COMPLETED, REROUTED), rng.randint(1, 2)):
        start, end = state.position.next[topic], log.ends[topic, state.partition]
        upto = rng.randint(start, min(end, start + 400))
        if upto > start:
            records = between(log.inputs[state.partition][topic], start, upto)
            yield Chunk(topic, start, upto, [as_consumed(record) for record in records])


def metered(rng: Random, log: MemoryLog) -> None:
    """Let the domain meter everything, its partitions in random turns."""
    rules = Rules(meter_id="m", partitions=PARTITIONS)
    states = [PartitionState(rules, partition) for partition in range(PARTITIONS)]
    memories = [MemoryDedupeIndex() for _ in states]
    while any(log.ends[topic, s.partition] > s.position.next[topic] for s in states for topic in (COMPLETED, REROUTED)):
        state = rng.choice(states)
        step = Step(state, memories[state.partition])
        for chunk in chunks(rng, log, state):
            fold(step, chunk)
        if step.taken.ranges:
            publish(log, step)
            state.apply(step.changes, memories[state.partition])


def publish(log: MemoryLog, step: Step) -> None:
    out = log.published[step.state.partition]
    out.journal.append(json.loads(step.journal_entry().canonical()))
    out.priced.extend(json.loads(value) for _, value in step.outputs.priced)
    out.rejected.extend(json.loads(value) for _, value in step.outputs.rejected)
    out.daily.update({tuple(json.loads(key)): json.loads(value) for key, value in step.daily()})
    for record in step.outputs.rerouted:
        log.append(topics.REROUTED, record.partition, record, step.changes.position.record_time + 1)


def recounted(log: MemoryLog) -> tuple[list[str], Counter[str], Counter[str]]:
    found: list[str] = []
    outcomes, codes, reroutes = Counter[str](), Counter[str](), Reroutes({}, {}, [])
    for partition, (inputs, published) in enumerate(zip(log.inputs, log.published, strict=True)):
        count = PartitionCount(partition, PARTITIONS)
        found += fold_journal(count, inputs, published.journal)
        found += differences(count, published)
        outcomes += count.outcomes
        codes.update(refused.code for refused in count.refused.values())
        reroutes.add(count, published)
    return [*found, *reroute_differences(reroutes)], outcomes, codes


@pytest.mark.parametrize("seed", [1, 2])
def test_domain_equals_recount(seed: int) -> None:
    log = filled(Traffic(seed, RECORDS, BASE, PARTITIONS))
    metered(Random(seed), log)
    found, outcomes, codes = recounted(log)
    assert found == []
    assert set(outcomes) >= OUTCOMES
    assert set(codes) >= CODES
    assert not any(ABORTED_PREFIX in row["job_id"] for out in log.published for row in out.priced)


def test_traffic_depends_on_its_seed_alone() -> None:
    first, again, other = (list(Traffic(seed, 2000, BASE, 8)) for seed in (1, 1, 2))
    assert first == again != other
