"""Two workers' owners on one event loop: rebalances and slow answers come by chance, between any two turns.

A partition goes from one to the other in the midst of a step, comes back before the first has heard of it, or stays.
The owners are the product's, queues, gates, pace and all; Kafka is the simulation's lists, and time passes only where
all wait. What was committed is held against replay and recount, and against the cuts.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiokafka.errors import KafkaError, ProducerFenced, UnknownError
from faust.types import TP

from meter import topics
from meter.dedupe import MemoryDedupeIndex
from meter.identity import Identity, Seal
from meter.records import Chunk
from meter.rules import Clock, Rules
from meter.step import Step
from streams.engine.agent import meter_chunks
from streams.engine.assembly import owner_maker
from streams.engine.assignment import Assignment
from streams.engine.clocks import MachineClock, Movement
from streams.engine.index import KeptIndex
from streams.engine.inputs import Fetched, FetchedChunk, InputEnd
from streams.engine.limits import Limits
from streams.engine.owners import Owners
from streams.engine.readings import Readings
from streams.engine.standby import Standbys
from streams.engine.steps import OpenPartition
from streams.engine.writer import CommittedStep
from streams.observe.metrics import Metrics
from streams.settings import Settings
from tests.builders import HOUR_MS
from tests.simulation.process import SimulatedProcess
from tests.simulation.run import THE_END_MS, recounted, replayed
from tests.simulation.world import PARTITIONS, World

SETTINGS = Settings()
ROUNDS = 3_000
#: Rounds in which all that is left must be done.
PATIENCE = 4 * ROUNDS
A_SESSION_AND_MORE_S = 15.0
#: Small steps and slices, so that much happens between few records; no index is ever saved.
LIMITS = Limits(
    step_records=12,
    queue_records=30,
    step_interval_s=0.002,
    paused_retry_s=0.02,
    fresh_s=0.01,
    save_interval_s=float("inf"),
    slice_s=0.000_2,
    least_actions=2,
    block_actions=1,
)


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


class SimulatedClock(MachineClock):
    """The loop's time and the world's."""

    def __init__(self, loop: VirtualLoop, world: World) -> None:
        self.loop, self.world = loop, world

    def monotonic(self) -> float:
        self.loop.now_s += 0.000_02
        return self.loop.now_s

    def wall_ms(self) -> int:
        return self.world.now_ms


class SimulatedIndex(MemoryDedupeIndex):
    """The dedupe index, in memory."""

    priced_next = 0
    below: Seal | None = None
    needed_since_ms = 0
    size_bytes = 0

    def saving(self) -> "SimulatedIndex":
        return self

    def run(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""


class Writer:
    """Instead of the partition's producer: its answers take some turns of the loop, and a newer one fences it."""

    def __init__(self, process: SimulatedProcess, kafka: "SimulatedKafka") -> None:
        self.process, self.kafka = process, kafka
        self.is_busy = False
        self.is_stopped = False
        self.epoch = kafka.epochs[process.partition] = kafka.epochs[process.partition] + 1

    def batches(self, step: Step) -> list[Any]:
        return [step]

    async def publish(self, batches: Sequence[Any]) -> CommittedStep:
        assert not self.is_busy
        assert not self.is_stopped
        self.is_busy = True
        try:
            await turns(self.process.world)
            self._see_that_it_is_the_newest()
            if self.kafka.rules.clock is Clock.BROKER:
                # Whatever came in, and whatever the broker's clock says: nothing that is ahead of time is folded.
                assert batches[0].changes.position.record_time <= self.process.world.now_ms + HOUR_MS
                self.kafka.refused += batches[0].taken.ahead
            self.process.publish(batches[0], aborted=False)
            await turns(self.process.world)
            if self.process.world.chance.random() < 0.02:
                self._see_that_it_is_the_newest()  # committed, and told of the newer one all the same
        finally:
            self.is_busy = False
        return CommittedStep(None, 0, self.process.world.broker_ms)

    def _see_that_it_is_the_newest(self) -> None:
        if self.epoch != self.kafka.epochs[self.process.partition]:
            self.kafka.fenced += 1
            if self.process.world.chance.random() < 0.2:
                raise KafkaError("in the midst of the commit") from UnknownError()
            raise ProducerFenced

    async def stop(self) -> None:
        assert not self.is_busy
        self.is_stopped = True


async def turns(world: World) -> None:
    for _ in range(world.chance.randrange(6)):
        await asyncio.sleep(0)
    if world.chance.random() < 0.05:
        await asyncio.sleep(0.004)


class SimulatedOpener:
    """Opens a partition from the simulation's lists."""

    def __init__(self, world: World, rules: Rules, kafka: "SimulatedKafka") -> None:
        self.world, self.rules, self.kafka = world, rules, kafka

    async def open(self, partition: int, progress: Movement, closing: AsyncExitStack) -> OpenPartition:
        process = SimulatedProcess(self.world, self.rules, partition)
        await turns(self.world)
        writer = Writer(process, self.kafka)
        closing.push_async_callback(writer.stop)
        await turns(self.world)
        state, seen = process.read_back()
        index = KeptIndex(partition, SimulatedIndex(seen), next_save_s=float("inf"), every_s=float("inf"))
        closing.push_async_callback(index.close)
        return OpenPartition(state, index, writer, None, 0)


class Consumer:
    """A worker's reader. What it hands out takes some turns, or is dropped where the group has a new assignment."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.covered: dict[TP, tuple[int, int]] = {}
        self.on_the_way: list[Fetched] = []

    async def read(self, positions: Mapping[TP, int], reading: int) -> None:
        await turns(self.world)
        for tp, offset in positions.items():
            if reading >= self.covered.get(tp, (0, 0))[0]:
                self.covered[tp] = reading, offset

    async def read_no_more(self, tps: Iterable[TP]) -> None:
        await turns(self.world)
        for tp in tps:
            self.covered.pop(tp, None)

    def input_end(self, tp: TP) -> InputEnd:
        return InputEnd(end := self.world.log(*tp).end, 0.0, end)

    def fetch(self, ready: set[TP]) -> None:
        """Some of what is there, of any input that has room; one of them lags behind for hours."""
        slow = topics.INPUTS[self.world.now_ms // (7 * HOUR_MS) % len(topics.INPUTS)]
        chunks = []
        for tp in sorted(ready & self.covered.keys()):
            if tp.topic == slow and self.world.chance.random() < 0.98:
                continue
            log, (reading, start) = self.world.log(*tp), self.covered[tp]
            end = min(log.end, start + self.world.chance.randrange(15))
            if end > start:
                chunks.append(FetchedChunk(tp, reading, Chunk(tp.topic, start, end, log.between(start, end))))
                self.covered[tp] = reading, end
        self.on_the_way.append(Fetched(chunks))


async def no_identity() -> Identity:
    return Identity("", {})


class Worker:
    """The owners of one worker, the product's."""

    def __init__(self, world: World, rules: Rules, kafka: "SimulatedKafka") -> None:
        self.world, self.kafka = world, kafka
        self.consumer = Consumer(world)
        self.readings = Readings(SETTINGS, self.consumer)
        self.owners = self._owners(rules)
        self.next: list[tuple[set[int], int]] = []
        self.group: asyncio.Future[None] = asyncio.ensure_future(self._follow_the_group())

    def _owners(self, rules: Rules) -> Owners:
        """As `assemble` puts them together, with what is simulated."""
        clock, standbys = self.kafka.clock, Standbys(SETTINGS, rules, no_identity, self._fail)
        new_owner = owner_maker(SETTINGS, meter_chunks, self.consumer, self.take, Metrics(), clock, LIMITS)
        opener, assignment = SimulatedOpener(self.world, rules, self.kafka), Assignment(SETTINGS, clock)
        return Owners(assignment, opener, new_owner, self.readings, standbys, self._fail, clock)

    def _fail(self, error: BaseException) -> None:
        self.kafka.failures.append(error)

    async def take(self, partition: int) -> dict[str, int]:
        ends = {topic: self.world.log(topic, partition).end for topic in topics.INPUTS}
        await turns(self.world)
        return ends

    async def _follow_the_group(self) -> None:
        while True:
            await turns(self.world)
            if self.next:
                partitions, generation = self.next.pop(0)
                if self.next and self.world.chance.random() < 0.5:
                    continue  # the group went on before this worker had heard of it
                tps = {TP(topic, partition) for topic in topics.INPUTS for partition in partitions}
                self.owners.assign(tps, generation)
                if self.world.chance.random() < 0.5:
                    self.consumer.on_the_way.clear()
                await self.readings.again()
            await asyncio.sleep(0)

    def fetch(self) -> None:
        self.consumer.fetch(self.readings.ready()[0])
        while self.consumer.on_the_way and self.world.chance.random() < 0.8:
            for owner, chunk in self.readings.accept(self.consumer.on_the_way.pop(0)):
                owner.offer(chunk)
        for each in self.owners.open.values():
            each.look()

    async def stop(self) -> None:
        self.group.cancel()
        await asyncio.gather(self.group, return_exceptions=True)
        await self.owners.quiesce()
        await self.owners.release_all()


class SimulatedKafka:
    """What the workers share: whose producer of a partition is the newest, and the group."""

    def __init__(self, world: World, rules: Rules, clock: MachineClock) -> None:
        self.world, self.rules, self.clock = world, rules, clock
        self.refused = self.paused = 0  # records that were ahead; looks at a partition whose intake waits
        self.epochs = dict.fromkeys(range(PARTITIONS), 0)
        self.generation = self.fenced = self.stayed = 0
        self.failures: list[BaseException] = []

    def rebalance(self, workers: Sequence[Worker]) -> None:
        """Each partition goes to any worker, or stays; each worker hears of it in its own time."""
        self.generation += 1
        shares: list[set[int]] = [set() for _ in workers]
        for partition in range(PARTITIONS):
            shares[self.world.chance.randrange(len(workers))].add(partition)
        for worker, share in zip(workers, shares, strict=True):
            self.stayed += len(share & worker.owners.assignment.partitions)
            worker.next.append((share, self.generation))


async def work(world: World, rules: Rules, kafka: SimulatedKafka) -> None:
    """Fold and settle what comes in, with rebalances among two workers; then all that is left."""
    chance = world.chance
    workers = [Worker(world, rules, kafka) for _ in range(2)]
    kafka.rebalance(workers)
    for _ in range(ROUNDS):
        world.tick()
        for _ in range(chance.randrange(4)):
            world.produce()
        for worker in workers:
            worker.fetch()
        await turns(world)
        assert kafka.failures == []
        kafka.paused += sum(owner.intake.is_paused for worker in workers for owner in worker.owners.open.values())
        set_the_clock(world, rules)
        if chance.random() < (0.1 if any(is_due(worker, world) for worker in workers) else 0.02):
            for _ in range(chance.choice([1, 1, 2])):
                kafka.rebalance(workers)
    await finish(world, rules, kafka, workers)
    for worker in workers:
        await worker.stop()


async def finish(world: World, rules: Rules, kafka: SimulatedKafka, workers: Sequence[Worker]) -> None:
    """Time passes, and all that is left is folded and settled."""
    world.now_ms += THE_END_MS
    world.broker_ahead_ms = 0
    for partition in range(PARTITIONS):
        world.append(topics.COMMANDS, partition, None, b"time passes")
    patience = PATIENCE
    while patience % 50 or not is_done(world, rules, workers):
        patience -= 1
        assert patience, "it does not come to an end"
        if patience == PATIENCE // 2:
            await asyncio.sleep(A_SESSION_AND_MORE_S)  # whoever was fenced by a worker that heard late opens again
        for worker in workers:
            worker.fetch()
        await turns(world)
        assert kafka.failures == []


def set_the_clock(world: World, rules: Rules) -> None:
    """Now and then the broker's clock is set wrong, or right again."""
    if rules.clock is Clock.BROKER and world.chance.random() < 0.02:
        world.broker_ahead_ms = world.chance.choice([0, 0, 0, 8 * HOUR_MS, 36 * 24 * HOUR_MS, -8 * HOUR_MS])


def is_due(worker: Worker, world: World) -> bool:
    firsts = (owner.state.agenda.next_ms() for owner in worker.owners.open.values())
    return any(first is not None and first <= world.now_ms for first in firsts)


def is_done(world: World, rules: Rules, workers: Sequence[Worker]) -> bool:
    """Whether each partition is open somewhere, and has folded and settled all."""
    done = set()
    for worker in workers:
        for partition in worker.owners.open:
            process = SimulatedProcess(world, rules, partition) if not worker.next else None
            if process and not process.is_behind and not process.is_due:
                done.add(partition)
    return done == set(range(PARTITIONS))


def in_time_and_not_billed(world: World, partition: int) -> list[tuple[str, str]]:
    """Accounts and days of which a job that came in before the cut is on no line of its own day's bill."""
    days = SimulatedProcess(world, RULES, partition).state.days
    contracted = SimulatedProcess(world, RULES, partition).state.terms.contracts
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


def run(seed: int, rules: Rules = RULES) -> tuple[World, SimulatedKafka]:
    loop, world = VirtualLoop(), World(random.Random(seed), clock_jumps=rules.clock is Clock.BROKER)
    kafka = SimulatedKafka(world, rules, SimulatedClock(loop, world))
    try:
        loop.run_until_complete(work(world, rules, kafka))
    finally:
        loop.close()
    return world, kafka


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_whatever_is_assigned_anew_between_two_turns_all_is_billed_once_and_in_time(seed: int) -> None:
    world, kafka = run(seed)
    for partition in range(PARTITIONS):
        assert [*replayed(world, RULES, partition), *recounted(world, RULES, partition)] == []
        assert in_time_and_not_billed(world, partition) == []
    settled = [
        json.loads(r.value or b"").get("due") for p in range(PARTITIONS) for r in world.log(topics.JOURNAL, p).records
    ]
    assert sum(1 for slice_ in settled if slice_ and slice_["actions"] > LIMITS.block_actions) > 5
    assert min(kafka.fenced, kafka.stayed) > 10


@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.long)])
def test_a_broker_whose_clock_is_hours_or_a_month_ahead_for_a_while_has_nothing_folded_that_is_ahead(seed: int) -> None:
    rules = RULES.model_copy(update={"clock": Clock.BROKER})
    world, kafka = run(seed, rules)
    for partition in range(PARTITIONS):
        assert [*replayed(world, rules, partition), *recounted(world, rules, partition)] == []
    assert min(kafka.refused, kafka.paused) > 10
