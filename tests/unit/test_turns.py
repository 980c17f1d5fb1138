"""A partition's turns: what is due waits for its turn among the partitions, and for the end of a rebalance."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from meter import topics
from meter.records import Chunk
from meter.rules import Clock, Rules
from streams.engine import due
from streams.engine.clocks import MachineClock
from streams.engine.disk_index import DiskIndex, saved_positions
from streams.engine.due import Pace
from streams.engine.index import KeptIndex, Save
from streams.engine.limits import Limits
from streams.engine.owner import PartitionOwner
from streams.engine.steps import OpenPartition
from tests.builders import HOUR_MS, NOON_MS, Input, Partition, completion, encode
from tests.owning import SlowSave, TurnedClock, Writer, disk_index, kept, owner_of

RULES = Rules(meter_id="m", partitions=1, settlement_spread_s=0, clock=Clock.SIMULATED)
LIMITS = Limits(step_interval_s=0.01)


class BilledDay:
    """An owner with a day to be billed, and what it has committed."""

    def __init__(self, index: KeptIndex, clock: MachineClock) -> None:
        partition = Partition(RULES)
        partition.fold(completion(), at=NOON_MS)
        partition.fold(b"", topic=topics.COMMANDS, at=NOON_MS + 25 * HOUR_MS)
        self.index, self.writer, self.pace = index, Writer(), Pace(clock, LIMITS)
        opened = OpenPartition(partition.state, index, self.writer, None, 0)
        self.owner = owner_of(opened, pace=self.pace, clock=clock, limits=LIMITS)

    async def fold_one(self) -> None:
        """One more completion, and wait until it is committed."""
        start = self.owner.state.position.next[topics.COMPLETED]
        value = encode(completion(job_id=f"job-{start}"))
        self.writer.committed.clear()
        self.owner.offer(Chunk(topics.COMPLETED, start, start + 1, [Input(start, NOON_MS, b"A", value, ())]))
        await asyncio.wait_for(self.writer.committed.wait(), 10)
        await self.owner.quiesce()
        assert self.owner.state.position.next[topics.COMPLETED] == start + 1
        self.owner.go_on()


@asynccontextmanager
async def running(owner: PartitionOwner) -> AsyncIterator[None]:
    work = asyncio.ensure_future(owner.run())
    yield
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


@pytest.fixture
async def turns(tmp_path: Path) -> AsyncIterator[BilledDay]:
    made = BilledDay(kept(disk_index(tmp_path)), MachineClock())
    async with running(made.owner):
        yield made
    await made.index.close()


async def test_no_step_begins_in_a_rebalance(turns: BilledDay) -> None:
    turns.owner.go_on()
    await turns.owner.quiesce()
    turns.owner.look()
    for _ in range(20):
        await asyncio.sleep(0)
    assert turns.writer.steps == []
    turns.owner.go_on()
    await turns.writer.committed.wait()
    assert [len(step.outputs.bills) for step in turns.writer.steps] == [1]


async def test_a_partition_that_waited_long_for_its_turn_and_may_do_nothing_then_comes_again(turns: BilledDay) -> None:
    turns.pace.spent(0, LIMITS.slice_s + 0.02 * due.FIRST_SHARE)  # nothing is left for a while
    async with turns.pace.turn:
        turns.owner.go_on()
        turns.owner.look()
        await asyncio.sleep(2 * LIMITS.step_interval_s)  # what would wake it meanwhile has passed
        turns.pace.spent(0, LIMITS.slice_s + 0.02 * due.FIRST_SHARE)
    await asyncio.wait_for(turns.writer.committed.wait(), 5)
    assert [len(step.outputs.bills) for step in turns.writer.steps] == [1]


class SlowDisk(DiskIndex):
    """An index on a disk that answers when it is told to."""

    begun = 0
    answers: threading.Event

    def saving(self) -> Save:  # type: ignore[override]
        self.begun += 1
        return SlowSave(super().saving(), self.answers)


async def test_a_slow_disk_holds_no_step_up(tmp_path: Path) -> None:
    """The index is saved beside the steps, one save at a time, each of what was true when it began."""
    seen = SlowDisk.open(tmp_path, 0, "m", "log")
    seen.answers, seen.priced_next = threading.Event(), 5
    turns = BilledDay(kept(seen, every_s=0.0), MachineClock())
    async with running(turns.owner):
        turns.owner.go_on()
        await turns.fold_one()
        seen.priced_next = 7
        for _ in range(4):
            await turns.fold_one()
        assert seen.begun == 1
        assert saved_positions(tmp_path) == {}
        seen.answers.set()
        await turns.index.saved()
        assert saved_positions(tmp_path) == {0: 5}
    await turns.index.close()
    assert saved_positions(tmp_path) == {0: 7}


async def test_a_partition_that_stood_still_for_want_of_work_stands_still_only_since_there_is_some(
    tmp_path: Path,
) -> None:
    clock = TurnedClock()
    turns = BilledDay(kept(disk_index(tmp_path)), clock)
    start = turns.owner.queues.expected[topics.COMPLETED]
    for offset in range(start, start + 2):
        clock.now_s += 100
        turns.owner.offer(Chunk(topics.COMPLETED, offset, offset + 1, [Input(offset, NOON_MS, b"A", b"", ())]))
        assert (turns.owner.progress.last_s == clock.now_s) is (offset == start)
    await turns.index.close()
