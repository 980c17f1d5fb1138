"""A partition's turns: what is due waits for its turn among the partitions, and for the end of a rebalance."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from meter import topics
from meter.records import Chunk
from meter.rules import Clock, Rules
from meter.step import Step
from streams.engine import due
from streams.engine import owner as owners
from streams.engine.due import Pace
from streams.engine.held import InputEnd
from streams.engine.owner import PartitionOwner
from streams.engine.seen import DiskSeen, _read_mark
from streams.engine.writer import Output, Published
from streams.observe.metrics import Metrics
from streams.settings import Settings
from tests.builders import HOUR_MS, NOON_MS, Input, Partition, completion, encode

RULES = Rules(meter_id="m", partitions=1, settlement_spread_s=0, clock=Clock.SIMULATED)


class Writer:
    """Instead of the partition's producer: keeps the steps that were committed."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.committed = asyncio.Event()

    def batches(self, step: Step) -> list[Output]:
        self.steps.append(step)
        return []

    async def publish(self, batches: list[Output]) -> Published:
        self.committed.set()
        return Published(None, 0, 0)


class Turns:
    """An owner with a day to be billed, and what it has committed."""

    def __init__(self, owner: PartitionOwner, writer: Writer, pace: Pace) -> None:
        self.owner, self.writer, self.pace = owner, writer, pace


@pytest.fixture
async def turns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Turns]:
    async def ends(partition: int) -> dict[str, int]:
        return dict(made.state.position.next)

    def end(topic: str, partition: int) -> InputEnd | None:
        return None

    monkeypatch.setattr(owners, "STEP_INTERVAL_S", 0.01)
    pace, writer, partition = Pace(), Writer(), Partition(RULES)
    partition.fold(completion(), at=NOON_MS)
    partition.fold(b"", topic=topics.COMMANDS, at=NOON_MS + 25 * HOUR_MS)
    made = PartitionOwner(Settings(), RULES, 0, {}, Metrics(), end, ends, pace)
    await made._writer.stop()
    monkeypatch.setattr(made, "_writer", writer)
    made._seen = DiskSeen.open(tmp_path, 0, "m", "log")
    made.state, made.expected, made.is_open = partition.state, dict(partition.state.position.next), True
    made._saved_at = float("inf")
    running = asyncio.ensure_future(made.run())
    yield Turns(made, writer, pace)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    made._seen.close()


async def test_no_step_begins_in_a_rebalance(turns: Turns) -> None:
    turns.owner.go_on()
    await turns.owner.quiesce()
    turns.owner.look()
    for _ in range(20):
        await asyncio.sleep(0)
    assert turns.writer.steps == []
    turns.owner.go_on()
    await turns.writer.committed.wait()
    assert [len(step.outputs.bills) for step in turns.writer.steps] == [1]


async def test_a_partition_that_waited_long_for_its_turn_and_may_do_nothing_then_comes_again(turns: Turns) -> None:
    turns.pace.spent(0, due.SLICE_S + 0.02 * due.FIRST_SHARE)  # nothing is left for a while
    async with turns.pace.turn:
        turns.owner.go_on()
        turns.owner.look()
        await asyncio.sleep(2 * owners.STEP_INTERVAL_S)  # what would wake it meanwhile has passed
        turns.pace.spent(0, due.SLICE_S + 0.02 * due.FIRST_SHARE)
    await asyncio.wait_for(turns.writer.committed.wait(), 5)
    assert [len(step.outputs.bills) for step in turns.writer.steps] == [1]


async def test_a_slow_disk_holds_no_step_up(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is saved beside the steps, one save at a time, each of what was true when it began."""
    owner = turns.owner
    assert owner._seen is not None
    saves: list[int] = []
    disk_answers = threading.Event()
    flush = owner._seen._table.flush

    def slow_flush() -> None:
        saves.append(len(turns.writer.steps))
        assert disk_answers.wait(30)
        flush()

    monkeypatch.setattr(owner._seen._table, "flush", slow_flush)
    monkeypatch.setattr(owners, "SAVE_INTERVAL_S", 0.0)
    owner._saved_at = 0.0
    owner.go_on()
    for _ in range(5):
        start = owner.state.position.next[topics.COMPLETED]
        value = encode(completion(job_id=f"job-{start}"))
        turns.writer.committed.clear()
        owner.offer(Chunk(topics.COMPLETED, start, start + 1, [Input(start, NOON_MS, b"A", value, ())]))
        await asyncio.wait_for(turns.writer.committed.wait(), 10)
        await owner.quiesce()
        assert owner.state.position.next[topics.COMPLETED] == start + 1
        owner.go_on()
    assert len(saves) == 1
    assert _read_mark(owner._seen._directory, 0) is None
    disk_answers.set()
    await asyncio.gather(*owner._saving)
    mark = _read_mark(owner._seen._directory, 0)
    assert mark is not None
    assert mark.used == 1


async def test_a_partition_that_stood_still_for_want_of_work_stands_still_only_since_there_is_some(
    turns: Turns,
) -> None:
    turns.owner.last_moved = 0.0
    start = turns.owner.expected[topics.COMPLETED]
    for offset in range(start, start + 2):
        turns.owner.offer(Chunk(topics.COMPLETED, offset, offset + 1, [Input(offset, NOON_MS, b"A", b"", ())]))
        assert bool(turns.owner.last_moved) is (offset == start)
        turns.owner.last_moved = 0.0
