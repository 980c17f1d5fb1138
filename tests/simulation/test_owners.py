"""A worker's owners on one event loop: rebalances, releases and slow answers come by chance, between any two turns.

The owners are the product's, queues, gates, pace and all; Kafka is the simulation's lists, and time passes only where
all wait. What was committed is held against replay and recount, and against the cuts.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from meter import topics
from meter.dedupe import MemorySeen
from meter.partition import Step
from meter.records import Chunk
from meter.rules import Clock, Rules
from streams.engine import due
from streams.engine import owner as owners
from streams.engine.due import Pace
from streams.engine.owner import InputEnd, PartitionOwner
from streams.engine.sums import Sums
from streams.engine.writer import Published
from streams.observe.metrics import Metrics
from streams.settings import Settings
from tests.builders import HOUR_MS
from tests.simulation.process import Process
from tests.simulation.run import THE_END_MS, recounted, replayed
from tests.simulation.world import PARTITIONS, World

ROUNDS = 5_000


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes where all wait, and a little wherever somebody looks at the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0
        select = self._selector.select  # type: ignore[attr-defined]

        def wait(timeout: float | None) -> Any:
            if timeout:
                self.now_s += min(timeout, 0.01)  # a thread's answer takes no time
            return select(None if timeout is None else 0)

        self._selector.select = wait  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now_s

    def monotonic(self) -> float:
        self.now_s += 0.000_02
        return self.now_s


class Index(MemorySeen):
    """The dedupe index, in memory."""

    priced_next = 0
    below = None
    needed_since_ms = 0
    size_bytes = 0

    def saving(self) -> "Index":
        return self

    def run(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


class Writer:
    """Instead of the partition's producer: its answers take some turns of the loop."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.is_busy = False
        self.is_stopped = False

    def batches(self, step: Step) -> list[Any]:
        return [step]

    async def publish(self, batches: list[Any]) -> Published:
        assert not self.is_busy
        assert not self.is_stopped
        self.is_busy = True
        await turns(self.process.world)
        self.process._publish(batches[0], aborted=False)
        await turns(self.process.world)
        self.is_busy = False
        return Published(None, 0, self.process.world.now_ms)

    async def stop(self) -> None:
        assert not self.is_busy
        self.is_stopped = True


async def turns(world: World) -> None:
    for _ in range(world.chance.randrange(6)):
        await asyncio.sleep(0)
    if world.chance.random() < 0.05:
        await asyncio.sleep(0.004)


class Place:
    """A partition on this worker, its owner, and how far its inputs were fetched."""

    def __init__(self, world: World, rules: Rules, partition: int, pace: Pace) -> None:
        self.world, self.rules, self.partition, self.pace = world, rules, partition, pace
        self.process = Process(world, rules, partition)
        self.is_sought = False

    async def open(self) -> None:
        made = PartitionOwner(
            Settings(), self.rules, self.partition, {}, Metrics(), self._input_end, self._ends, self.pace
        )
        await made._writer.stop()
        state, seen = self.process._open()
        for name, part in {"_writer": Writer(self.process), "_seen": Index(seen)}.items():
            setattr(made, name, part)
        made.state, made.sums, made._expected = state, Sums(state), dict(state.next)
        made._saved_at, made.is_open = float("inf"), True
        self.owner = made
        self.task = asyncio.ensure_future(made.run())
        self.seek()

    def _input_end(self, topic: str, partition: int) -> InputEnd:
        return InputEnd(self.world.log(topic, partition).end, 0.0)

    async def _ends(self, partition: int) -> dict[str, int]:
        ends = {topic: self.world.log(topic, partition).end for topic in topics.INPUTS}
        await turns(self.world)
        return ends

    def seek(self) -> None:
        self.at, self.is_sought = dict(self.owner.state.next), True
        self.owner.go_on()

    async def pause(self) -> None:
        self.is_sought = False
        await self.owner.quiesce()

    async def release(self) -> None:
        await self.pause()
        self.task.cancel()
        (ended,) = await asyncio.gather(self.task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended
        await self.owner.close()

    def fetch(self) -> None:
        """Some of what is there, of any input that has room; one of them lags behind for hours."""
        slow = topics.INPUTS[self.world.now_ms // (7 * HOUR_MS) % len(topics.INPUTS)]
        for topic in topics.INPUTS:
            if topic == slow and self.world.chance.random() < 0.98:
                continue
            log, start = self.world.log(topic, self.partition), self.at[topic]
            end = min(log.end, start + self.world.chance.randrange(15))
            if end > start and self.owner.has_room(topic):
                self.owner.offer(Chunk(topic, start, end, log.between(start, end)))
                self.at[topic] = end
        self.owner.look()

    @property
    def is_due(self) -> bool:
        self.process.state = self.owner.state
        return self.process.is_due

    @property
    def is_behind(self) -> bool:
        return self.is_due or self.process.is_behind


async def work(world: World, rules: Rules) -> None:
    """Fold and settle what comes in, with rebalances; then all that is left."""
    pace, chance = Pace(), world.chance
    places = [Place(world, rules, partition, pace) for partition in range(PARTITIONS)]
    for place in places:
        await place.open()
    for _ in range(ROUNDS):
        world.tick()
        for _ in range(chance.randrange(4)):
            world.produce()
        for place in places:
            place.fetch()
        await turns(world)
        if chance.random() < (0.2 if any(place.is_due for place in places) else 0.02):
            await chance.choice([rebalance, move])(world, places)
    world.now_ms += THE_END_MS
    for place in places:
        world._append(topics.COMMANDS, place.partition, None, b"time passes")
    patience = ROUNDS
    while any(place.is_behind for place in places):
        patience -= 1
        assert patience, "it does not come to an end"
        for place in places:
            place.fetch()
        await turns(world)
    for place in places:
        await place.release()


async def rebalance(world: World, places: list[Place]) -> None:
    """All partitions stay here; nothing is committed between the two assignments."""
    await asyncio.gather(*(place.pause() for place in places))
    before = [place.owner.state.seq for place in places]
    for _ in range(5):
        for place in places:
            place.owner.look()
        await turns(world)
    assert [place.owner.state.seq for place in places] == before
    for place in places:
        place.seek()


async def move(world: World, places: list[Place]) -> None:
    """A partition goes and comes back."""
    place = world.chance.choice(places)
    await place.release()
    await turns(world)
    await place.open()


def in_time_and_not_billed(world: World, partition: int) -> list[tuple[str, str]]:
    """Accounts and days of which a job that came in before the cut is on no line of its own day's bill."""
    days = Process(world, RULES, partition).state.days
    contracted = Process(world, RULES, partition).state.contracts
    jobs: Counter[tuple[str, str]] = Counter()
    for record in world.log(topics.PRICED, partition).records:
        job = json.loads(record.value or b"")
        if job["source"]["topic"] == topics.COMPLETED and job["source"]["timestamp"] < days.cut_ms(job["day"]):
            jobs[job["account_id"], job["day"]] += 1
    for record in world.log(topics.BILLS, partition).records:
        bill = json.loads(record.value or b"")
        for line in bill["lines"]:
            if line["kind"] == "usage":
                jobs[bill["account_id"], line["day"]] -= line["jobs"]
    return [key for key, left in jobs.items() if left > 0 and key[0] not in contracted]


RULES = Rules(meter_id="owners", partitions=PARTITIONS, clock=Clock.SIMULATED)


def run(monkeypatch: pytest.MonkeyPatch, seed: int, work: Callable[[World, Rules], Awaitable[None]]) -> World:
    loop, world = VirtualLoop(), World(random.Random(seed))
    for module in (due, owners):
        monkeypatch.setattr(module, "time", loop)
    monkeypatch.setattr(owners, "STEP_INTERVAL_S", 0.002)
    monkeypatch.setattr(owners, "STEP_RECORDS", 12)
    monkeypatch.setattr(owners, "QUEUE_RECORDS", 30)
    monkeypatch.setattr(due, "BLOCK_ACTIONS", 1)
    monkeypatch.setattr(due, "LEAST_ACTIONS", 2)
    monkeypatch.setattr(due, "SLICE_S", 0.000_2)
    try:
        loop.run_until_complete(work(world, RULES))
    finally:
        loop.close()
    return world


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_is_assigned_anew_between_two_turns_all_is_billed_once_and_in_time(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    world = run(monkeypatch, seed, work)
    for partition in range(PARTITIONS):
        assert [*replayed(world, RULES, partition), *recounted(world, RULES, partition)] == []
        assert in_time_and_not_billed(world, partition) == []
    settled = [
        json.loads(r.value or b"").get("due") for p in range(PARTITIONS) for r in world.log(topics.JOURNAL, p).records
    ]
    assert sum(1 for slice_ in settled if slice_ and slice_["actions"] > due.BLOCK_ACTIONS) > 10
