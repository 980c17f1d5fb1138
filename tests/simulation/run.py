"""Run the simulation and hold what was committed against replay and recount."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from meter import topics
from meter.journal import InputRange, JournalStep, read_entry
from meter.records import Keyed
from meter.replay import JournalError, concerns, refused_for_others, replay, replay_bills
from meter.routing import owner
from meter.rules import Rules
from tests.recount.compare import Published, differences, fold_journal
from tests.recount.compare_money import money_differences
from tests.recount.count import PartitionCount, Record
from tests.simulation.process import SimulatedProcess, outputs
from tests.simulation.world import ACCOUNTS, DAY_MS, PARTITIONS, World

OUTPUTS = (
    topics.PRICED, topics.DAILY, topics.REJECTED, topics.COMMAND_RESULTS, topics.BILLS, topics.NOTES, topics.LEDGER,
    topics.NOTICES, topics.SERVICE,
)  # fmt: skip


#: Long enough for every month in which there was usage to be billed.
THE_END_MS = 70 * DAY_MS


class RunOutcome(NamedTuple):
    """What a run did, and how it differs from what it should have done."""

    steps: int
    crashes: int
    records: int
    rows: Counter[str]
    differences: list[str]


def simulate(seed: int, steps: int, fault: str | None = None) -> RunOutcome:
    """Run until so many steps were tried, then until all is folded and settled, and compare."""
    world, rules, processes, tried = run(seed, steps, fault)
    found = [text for p in range(PARTITIONS) for text in (*replayed(world, rules, p), *recounted(world, rules, p))]
    read = sum(len(world.log(topics.COMPLETED, p).records) for p in range(PARTITIONS))
    return RunOutcome(tried, sum(process.crashes for process in processes), read, _kinds(world), found)


def run(seed: int, steps: int, fault: str | None = None) -> tuple[World, Rules, list[SimulatedProcess], int]:
    """The world after so many steps, and how many it were. With every fourth seed the broker's clock jumps."""
    world = World(random.Random(seed), clock_jumps=seed % 4 == 0)
    rules = Rules(meter_id=f"simulation-{seed}", partitions=PARTITIONS)
    processes = [SimulatedProcess(world, rules, partition, fault) for partition in range(PARTITIONS)]
    tried = 0
    while tried < steps:
        world.tick()
        for _ in range(world.chance.randrange(4)):
            world.produce()
        process = world.chance.choice(processes)
        tried += process.step()
        tried += process.settle()
    tried += _finish(world, processes)
    return world, rules, processes, tried


def _finish(world: World, processes: list[SimulatedProcess]) -> int:
    """Fold and settle all that is left."""
    tried = 0
    while behind := [process for process in processes if process.is_behind]:
        for process in behind:
            tried += process.step()
    world.now_ms += THE_END_MS
    while due := [process for process in processes if process.is_due]:
        for process in due:
            process.settles_from_ms = 0
            tried += process.settle()
    return tried


def _kinds(world: World) -> Counter[str]:
    """How often there was what, to see that a run was worth it."""
    kinds: Counter[str] = Counter()
    for p in range(PARTITIONS):
        kinds.update(f"{row['mode']} bill" for row in _rows(world, topics.BILLS, p))
        kinds.update(f"{line['kind']} line" for row in _rows(world, topics.BILLS, p) for line in row["lines"])
        kinds.update(row["kind"] for row in _rows(world, topics.NOTICES, p))
        kinds.update(row["cause"] for row in _rows(world, topics.LEDGER, p))
        kinds.update(row.get("code", "done") for row in _rows(world, topics.COMMAND_RESULTS, p))
    return kinds


def replayed(world: World, rules: Rules, partition: int) -> Iterator[str]:
    """How what was committed differs from what replay gives."""
    entries = (read_entry(record.value or b"") for record in world.log(topics.JOURNAL, partition).records)
    journal = [entry for entry in entries if isinstance(entry, JournalStep)]

    def read(span: InputRange) -> Any:
        return world.log(span.topic, partition).between(span.start, span.next)

    expected: dict[str, list[Keyed]] = {topic: [] for topic in OUTPUTS}
    try:
        for _, step, _ in replay(rules, partition, journal, read):
            for topic, rows in outputs(step).items():
                expected[topic] += rows
        refused = refused_for_others(value for _, value in expected[topics.COMMAND_RESULTS])
        yield from _each_bill_alone(rules, partition, journal, read, expected[topics.BILLS], refused)
    except JournalError as error:
        yield f"{topics.JOURNAL}[{partition}]: {error}"
    for topic in OUTPUTS:
        if [(r.key, r.value) for r in world.log(topic, partition).records] != expected[topic]:
            yield f"{topic}[{partition}] is not what replay gives"


def _each_bill_alone(
    rules: Rules, partition: int, journal: list[JournalStep], read: Any, bills: list[Keyed], refused: set[int]
) -> Iterator[str]:
    """One account's bills from its own records and the commands: what `meter verify BILL_ID` does."""
    account_id = next((account for account in ACCOUNTS if owner(account, PARTITIONS) == partition), "")
    may_concern = concerns(account_id)

    def read_own(span: InputRange) -> Any:
        if span.topic == topics.COMMANDS:
            return [r for r in read(span) if r.offset not in refused]
        return [r for r in read(span) if may_concern(r.value)]

    alone = list(replay_bills(rules, partition, account_id, journal, read_own))
    if alone != [row for row in bills if row[0] == account_id.encode()]:
        yield f"the bills of account {account_id}, replayed alone, are not those of the whole replay"


def recounted(world: World, rules: Rules, partition: int) -> Iterator[str]:
    """How what was committed differs from the independent recount."""
    count = PartitionCount(partition, PARTITIONS, rules.model_dump(mode="json"))
    inputs = {
        topic: [
            Record(topic, partition, r.offset, r.timestamp, r.value, r.key, r.headers)
            for r in world.log(topic, partition).records
        ]
        for topic in topics.INPUTS
    }
    journal = [{"kind": "rules"}, *_rows(world, topics.JOURNAL, partition)]
    yield from fold_journal(count, inputs, journal)
    daily = {(row["account_id"], row["region"], row["day"]): row for row in _rows(world, topics.DAILY, partition)}
    others = (topics.REJECTED, topics.COMMAND_RESULTS, topics.BILLS, topics.LEDGER, topics.NOTICES, topics.SERVICE)
    rows = [_rows(world, topic, partition) for topic in (*others, topics.NOTES)]
    published = Published(journal, _rows(world, topics.PRICED, partition), daily, *rows)
    yield from differences(count, published)
    yield from money_differences(count, published)


def _rows(world: World, topic: str, partition: int) -> list[dict[str, Any]]:
    return [json.loads(record.value or b"") for record in world.log(topic, partition).records]
