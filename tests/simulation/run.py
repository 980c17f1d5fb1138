"""Run the simulation and hold what was committed against replay and recount."""

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from meter import topics
from meter.journal import InputRange, JournalStep, read_entry
from meter.outputs import total_key, total_value
from meter.partition import Keyed
from meter.replay import JournalError, replay
from meter.rules import Rules
from tests.recount.compare import Published, differences, fold_journal
from tests.recount.count import PartitionCount, Record
from tests.simulation.process import Process
from tests.simulation.world import PARTITIONS, World


class Outcome(NamedTuple):
    """What a run did, and how it differs from what it should have done."""

    steps: int
    crashes: int
    records: int
    differences: list[str]


def simulate(seed: int, steps: int, fault: str | None = None) -> Outcome:
    """Run until so many steps were tried, then until all is folded, and compare."""
    world = World(random.Random(seed))
    rules = Rules(meter_id=f"simulation-{seed}", partitions=PARTITIONS)
    processes = [Process(world, rules, partition, fault) for partition in range(PARTITIONS)]
    tried = 0
    while tried < steps:
        world.tick()
        for _ in range(world.chance.randrange(5)):
            world.produce()
        tried += world.chance.choice(processes).step()
    while behind := [process for process in processes if process.is_behind]:
        for process in behind:
            tried += process.step()
    found = [text for p in range(PARTITIONS) for text in (*_replayed(world, rules, p), *_recounted(world, p))]
    read = sum(len(world.log(topics.COMPLETED, p).records) for p in range(PARTITIONS))
    return Outcome(tried, sum(process.crashes for process in processes), read, found)


def _replayed(world: World, rules: Rules, partition: int) -> Iterator[str]:
    entries = (read_entry(record.value or b"") for record in world.log(topics.JOURNAL, partition).records)
    journal = [entry for entry in entries if isinstance(entry, JournalStep)]

    def read(span: InputRange) -> Any:
        return world.log(span.topic, partition).between(span.start, span.next)

    priced: list[Keyed] = []
    rejected: list[Keyed] = []
    daily: dict[bytes, bytes] = {}
    state = None
    try:
        for _, step, now in replay(rules, partition, journal, read):
            state = now
            priced += step.priced
            rejected += step.rejected
    except JournalError as error:
        yield f"{topics.JOURNAL}[{partition}]: {error}"
    if state is not None:
        daily = {total_key(key): total_value(key, total) for key, total in state.totals.items()}
    published = {record.key: record.value for record in world.log(topics.DAILY, partition).records}
    for topic, expected in ((topics.PRICED, priced), (topics.REJECTED, rejected)):
        if [(r.key, r.value) for r in world.log(topic, partition).records] != expected:
            yield f"{topic}[{partition}] is not what replay gives"
    if published != daily:
        yield f"{topics.DAILY}[{partition}] is not what replay gives"


def _recounted(world: World, partition: int) -> Iterator[str]:
    count = PartitionCount(partition, PARTITIONS)
    inputs = {
        topic: [
            Record(topic, partition, r.offset, r.timestamp, r.value, r.key, r.headers)
            for r in world.log(topic, partition).records
        ]
        for topic in topics.INPUTS
    }
    journal = [{"kind": "rules"}, *_rows(world, topics.JOURNAL, partition)]
    yield from fold_journal(count, inputs, journal)
    rows = _rows(world, topics.DAILY, partition)
    daily = {(row["account_id"], row["region"], row["day"]): row for row in rows}
    priced, rejected = _rows(world, topics.PRICED, partition), _rows(world, topics.REJECTED, partition)
    published = Published(journal, priced, daily, rejected)
    yield from differences(count, published)


def _rows(world: World, topic: str, partition: int) -> list[dict[str, Any]]:
    return [json.loads(record.value or b"") for record in world.log(topic, partition).records]
