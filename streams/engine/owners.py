"""All partitions of this worker: opened in the background when they are assigned, let go when they are revoked."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import InvalidProducerEpoch, KafkaError, ProducerFenced, UnknownError
from faust.types import TP

from meter import topics
from meter.identity import Identity
from meter.rules import Rules
from streams.engine.consumer import Fetched
from streams.engine.due import Pace
from streams.engine.held import Held, HeldInputs, InputEnd, OpenTransaction, Place, open_transactions
from streams.engine.owner import SAY_EVERY_S, PartitionOwner
from streams.engine.seen import index_directory, saved_positions
from streams.engine.standby import Standbys
from streams.engine.table import BillingDay, PartitionTotals
from streams.engine.watch import Watch
from streams.errors import BrokerLostError, RefusalToStartError
from streams.observe.metrics import Metrics
from streams.samelog import identity_of, other_ids
from streams.settings import Settings
from streams.transactional import UnansweredError

log = structlog.get_logger(__name__)

#: How often to ask whether the topics are still the same ones.
IDENTITY_EVERY_S = 2.0
#: How often to look for inputs that an open transaction holds.
HELD_EVERY_S = 1.0
#: What a new owner of a partition does to the one before it. A broker that is ending a transaction and fencing its
#: producer at once answers the end with an unknown error: what became of it, the new owner reads back.
FENCED = (ProducerFenced, InvalidProducerEpoch, UnknownError)
#: Within so many session timeouts a partition is opened anew only once that somebody has taken and the group has not.
AGAIN_AFTER_SESSIONS = 6
#: A partition that has not moved for so many times METER_STALLED_AFTER_S makes the worker unhealthy.
STUCK_STALLS = 3


class InputEnds:
    """Asks the broker where inputs end, records of open transactions included: what was appended before now."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()

    async def take(self, partition: int) -> dict[str, int]:
        """The end offsets of a partition's inputs, by topic."""
        consumer = await self._connected()
        tps = {TopicPartition(self._settings.topic(topic), partition): topic for topic in topics.INPUTS}
        ends = await consumer.end_offsets(list(tps))
        return {topic: ends[tp] for tp, topic in tps.items()}

    async def _connected(self) -> AIOKafkaConsumer:
        async with self._starting:
            if self._consumer is None:
                consumer = AIOKafkaConsumer(**self._settings.client(), enable_auto_commit=False)
                await consumer.start()
                self._consumer = consumer
        return self._consumer

    async def identity(self) -> Identity:
        """Which log it is, now."""
        return await identity_of(await self._connected(), self._settings)

    async def open_transactions(self, topic: str, partition: int) -> list[OpenTransaction]:
        """The transactions that are open on a partition of a topic."""
        return await open_transactions(await self._connected(), topic, partition)

    async def close(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            await self._consumer.stop()


class Owners:
    """The owners by partition, and what the consumer needs to know of them.

    `fail` ends the process: no error is survived, restart is the only recovery path. But a partition that another
    worker was given, and has opened, is no error: this one has lost it, and goes on with the others. See decision 13.
    """

    def __init__(
        self, settings: Settings, rules: Rules, app: Any, metrics: Metrics, fail: Callable[[BaseException], None]
    ) -> None:
        self.by_partition: dict[int, PartitionOwner] = {}
        #: What the group has given to this worker, and in which of its generations; 0: in none yet.
        self.assigned: set[int] = set()
        self.generation = 0
        self._settings = settings
        self._rules = rules
        self._app = app
        self._metrics = metrics
        self._fail = fail
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._lost: dict[int, asyncio.Event] = {}
        #: Partitions that others may have had since they were opened here: the group went on without this worker.
        self._doubtful: set[int] = set()
        #: When partitions were opened anew that the group had not taken away.
        self._opened_again: dict[int, float] = {}
        self._reassigned = asyncio.Event()
        self._readings: dict[TP, int] = {}
        self._reading = 0
        self._changed = asyncio.Event()
        self._ends = InputEnds(settings)
        self._pace = Pace()
        self._watch = Watch(settings)
        self._standbys = Standbys(settings, rules, self._ends.identity, fail)
        self._held = HeldInputs()

    @property
    def partitions(self) -> int:
        """How many the meter has."""
        return self._rules.partitions

    # -- assignment ------------------------------------------------------------------------------------------

    async def assign(self, assigned: set[TP], generation: int, standby: frozenset[int] = frozenset()) -> None:
        """Take over the partitions assigned and let go of the others, in the background; those that stay go on."""
        partitions = self._whole_partitions(assigned)
        if not self.generation <= generation <= self.generation + 1:  # a group that is made anew counts from 1
            self._doubtful |= self.by_partition.keys()
        self.assigned, self.generation = partitions, generation
        for partition in self._lost.keys() - partitions:
            self._lost[partition].set()
        for partition in sorted(partitions - self._tasks.keys()):
            self._tasks[partition] = asyncio.create_task(self._hold(partition), name=f"partition-{partition}")
        self._standbys.keep(standby - partitions)
        self._reassigned.set()
        self._reassigned = asyncio.Event()

    def _whole_partitions(self, assigned: set[TP]) -> set[int]:
        """The partitions assigned; all inputs of one must be: another worker would fold the rest of it."""
        inputs = {self._settings.topic(topic) for topic in topics.INPUTS}
        by_partition: dict[int, set[str]] = {}
        for tp in assigned:
            if tp.topic in inputs:
                by_partition.setdefault(tp.partition, set()).add(tp.topic)
        for partition, names in by_partition.items():
            if names != inputs:
                missing = sorted(inputs - names)
                raise RefusalToStartError(
                    f"partition {partition} was assigned without {missing[0]}: the topic was deleted, or not all "
                    f"members of the consumer group {self._settings.app_id!r} are meter workers of one version"
                )
        return set(by_partition)

    async def _hold(self, partition: int) -> None:
        """Own a partition for as long as it is assigned; anew where another worker has had it meanwhile."""
        try:
            while partition in self.assigned:
                await self._own(partition)
        except Exception as error:
            self._fail(error)
        finally:
            del self._tasks[partition]

    async def _own(self, partition: int) -> None:
        """Open a partition and run it until it is lost."""
        owner = self.by_partition[partition] = self._new_owner(partition)
        lost = self._lost[partition] = asyncio.Event()
        self._doubtful.discard(partition)
        working = asyncio.ensure_future(self._work(owner))
        losing = asyncio.ensure_future(lost.wait())
        try:
            await asyncio.wait([working, losing], return_when=asyncio.FIRST_COMPLETED)
            self._forget_readings(partition)
            if not working.done():
                await owner.quiesce()
            working.cancel()
            (error,) = await asyncio.gather(working, return_exceptions=True)
            if error is not None and _is_by(error, FENCED):
                await self._be_fenced(partition, error)
            elif error is not None and not isinstance(error, asyncio.CancelledError):
                self._fail(error)
        finally:
            losing.cancel()
            del self.by_partition[partition], self._lost[partition]
            await self._app.consumer.read_no_more(self._forget_readings(partition))
            await owner.close()
        log.info("partition released", partition=partition)

    def _new_owner(self, partition: int) -> PartitionOwner:
        return PartitionOwner(
            self._settings,
            self._rules,
            partition,
            self._totals(partition),
            self._metrics,
            self._input_end,
            self._ends.take,
            self._pace,
        )

    async def _work(self, owner: PartitionOwner) -> None:
        await self._standbys.release(owner.partition)
        await owner.open()
        await self._read([owner.partition])
        owner.go_on()
        await owner.run()

    async def _be_fenced(self, partition: int, error: BaseException) -> None:
        """Somebody else has opened the partition: give in where the group says so.

        Where it still says that it is ours, it is opened anew, once. Whoever takes it away again is no member, or this
        one is none any more: the process ends.
        """
        if _is_by(error, (UnansweredError,)):
            deadline = time.monotonic()  # nobody was heard of, only nothing from Kafka
        else:
            log.info("partition taken over by another worker", partition=partition)
            deadline = time.monotonic() + self._settings.session_timeout_s
        while partition in self.assigned and partition not in self._doubtful:
            try:
                await asyncio.wait_for(self._reassigned.wait(), deadline - time.monotonic())
            except TimeoutError:
                if not self._may_open_again(partition, error):
                    self._fail(error)
                return

    def _may_open_again(self, partition: int, error: BaseException) -> bool:
        """Once: a member that heard late of two rebalances may have opened it after this worker did, by mistake."""
        if _is_by(error, (UnansweredError,)):
            return False
        now, last = time.monotonic(), self._opened_again.get(partition)
        self._opened_again[partition] = now
        return last is None or now - last > AGAIN_AFTER_SESSIONS * self._settings.session_timeout_s

    def warm(self) -> dict[int, int]:
        """Partitions whose dedupe index is on this machine, and up to where each is true."""
        return saved_positions(index_directory(self._settings))

    async def quiesce(self) -> None:
        """The worker stops: finish the steps in flight, and begin no others."""
        self.assigned = set()
        self._reassigned.set()
        self._readings.clear()
        await asyncio.gather(*(owner.quiesce() for owner in self.by_partition.values()))

    async def release_all(self) -> None:
        """The worker stops: put the dedupe indexes on disk."""
        self.assigned = set()
        for lost in self._lost.values():
            lost.set()
        await asyncio.gather(*self._tasks.values(), self._standbys.release_all())
        await self._ends.close()

    def _totals(self, partition: int) -> PartitionTotals:
        window: BillingDay = self._app.billing_day
        return PartitionTotals(self._app.daily_totals.table, window, partition, self._rules.partitions)

    # -- chunks ----------------------------------------------------------------------------------------------

    async def _read(self, partitions: Iterable[int]) -> None:
        """Read all inputs of some partitions from where their owners are; chunks of former readings are dropped."""
        self._reading += 1
        positions = {
            self._tp(topic, partition): offset
            for partition in partitions
            for topic, offset in self.by_partition[partition].expected.items()
        }
        self._readings.update(dict.fromkeys(positions, self._reading))
        await self._app.consumer.read(positions, self._reading)
        self._changed.set()

    async def read_again(self) -> None:
        """Faust has dropped what was on its way to the agent: read it again."""
        await self._read({tp.partition for tp in self._readings})

    def _forget_readings(self, partition: int) -> list[TP]:
        """The inputs of a partition, of which nothing is accepted from now on."""
        read = [self._tp(topic, partition) for topic in topics.INPUTS]
        for tp in read:
            self._readings.pop(tp, None)
        return read

    def accept(self, fetched: Fetched) -> None:
        """Chunks from the agent."""
        for tp, reading, chunk in fetched.chunks:
            if self._readings.get(tp) == reading:
                try:
                    self.by_partition[tp.partition].offer(chunk)
                except Exception as error:
                    self._fail(error)

    def ready(self) -> tuple[set[TP], bool]:
        """Inputs to fetch now, and whether that is all there are."""
        ready = {tp for tp in self._readings if self._has_room(tp)}
        return ready, len(ready) == len(self._readings)

    def _has_room(self, tp: TP) -> bool:
        owner = self.by_partition.get(tp.partition)
        return owner is not None and owner.has_room(self._settings.bare(tp.topic))

    async def wait_for_room(self, timeout_s: float) -> None:
        """Wait until some input may be fetched, or for a time."""
        self._changed.clear()
        waits: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(owner.wait_for_room()) for owner in self.by_partition.values() if owner.is_open
        ]
        waits.append(asyncio.ensure_future(self._changed.wait()))
        _, pending = await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()

    def opened(self) -> list[int]:
        """Partitions whose state is known."""
        return [partition for partition, owner in self.by_partition.items() if owner.is_open]

    def committed(self) -> dict[TP, int]:
        """What is folded and committed, by input."""
        return {
            self._tp(topic, partition): offset
            for partition in self.opened()
            for topic, offset in self.by_partition[partition].state.position.next.items()
        }

    def _tp(self, topic: str, partition: int) -> TP:
        return TP(self._settings.topic(topic), partition)

    def _input_end(self, topic: str, partition: int) -> InputEnd | None:
        end: InputEnd | None = self._app.consumer._thread.input_end(self._tp(topic, partition))
        return end

    # -- health ----------------------------------------------------------------------------------------------

    def lags(self) -> dict[tuple[str, int], int]:
        """Positions between what is committed and the end, by topic and partition.

        Not the last stable offset: what is behind an open transaction waits as well.
        """
        folded = {partition: self.by_partition[partition].folded() for partition in self.opened()}
        ends = self._input_ends()
        return {(topic, p): max(0, ends[topic, p].last - folded[p][topic]) for topic, p in ends}

    def _input_ends(self) -> dict[Place, InputEnd]:
        """The ends of the inputs of the open partitions, as far as they are known."""
        places = [(topic, partition) for partition in self.opened() for topic in topics.INPUTS]
        return {place: end for place in places if (end := self._input_end(*place)) is not None}

    def held(self) -> list[Held]:
        """Inputs that an open transaction has held for longer than they may be."""
        return [held for held in self._held.all() if held.seconds > self._settings.stalled_after_s]

    async def watch_held(self) -> None:
        """Say which inputs an open transaction holds: whoever reads up to its beginning has no other sign of it."""
        said_at: dict[Place, float] = {}
        while True:
            self._held.look(self._input_ends())
            for held in self.held():
                place, now = (held.topic, held.partition), time.monotonic()
                if now - said_at.get(place, -SAY_EVERY_S) >= SAY_EVERY_S:
                    said_at[place] = now
                    await self._say_held(held)
            await asyncio.sleep(HELD_EVERY_S)

    async def _say_held(self, held: Held) -> None:
        topic = self._settings.topic(held.topic)
        found: list[OpenTransaction] = []
        with suppress(KafkaError):  # a Kafka that is silent is noticed elsewhere
            found = await self._ends.open_transactions(topic, held.partition)
        log.error(
            "an input is held by an open transaction: nothing behind it is metered or settled until it ends",
            topic=topic,
            partition=held.partition,
            position=held.position,
            for_s=round(held.seconds),
            producer_ids=[each.producer_id for each in found],
            remedy=_remedy(held, topic, found),
        )

    def stalled(self) -> list[int]:
        """Partitions that have lag, or are not open, and have not moved for longer than they may, or have an input
        that an open transaction has held for as long."""
        lagging = {partition for (_, partition), lag in self.lags().items() if lag}
        held = {each.partition for each in self.held()}
        limit = time.monotonic() - self._settings.stalled_after_s
        return [
            partition
            for partition, owner in self.by_partition.items()
            if partition in held or (owner.last_moved < limit and (partition in lagging or not owner.is_open))
        ]

    def paused(self) -> list[int]:
        """Partitions whose intake waits for the clocks to agree."""
        return [partition for partition, owner in self.by_partition.items() if owner.intake_is_paused]

    async def watch_identity(self) -> None:
        """End the process when a topic is made anew under it: positions would mean other records."""
        known: Identity | None = None
        while True:
            with suppress(KafkaError):  # a Kafka that is silent is noticed elsewhere
                now = await self._ends.identity()
                known = known or now
                for difference in other_ids(self._settings, known, now):
                    self._fail(RefusalToStartError(difference))
            await asyncio.sleep(IDENTITY_EVERY_S)

    def state(self) -> str:
        """`joining`: the group has given nothing yet; `opening`: some partition; `standby`: none is for this worker."""
        if not self.generation:
            return "joining"
        if not self.assigned:
            return "standby"
        return "open" if self.assigned <= set(self.opened()) else "opening"

    def stuck(self) -> list[int]:
        """Partitions that have stood still for so long that a restart is due: with work, and no reason to wait."""
        limit = time.monotonic() - STUCK_STALLS * self._settings.stalled_after_s
        return [
            partition
            for partition, owner in self.by_partition.items()
            if owner.last_moved < limit and owner.should_move
        ]

    async def watch(self) -> None:
        """Look for what is due; end the process when Kafka is silent for too long, or the group is lost."""
        thread = self._app.consumer._thread
        try:
            await self._watch.run(thread, lambda: self.ready()[0], self._look)
        except BrokerLostError as error:
            self._fail(error)

    def _look(self) -> None:
        for owner in self.by_partition.values():
            owner.look()
        if (error := self._app.consumer._thread.group_error()) is not None:
            # aiokafka's own task has ended with it, and nothing else would ever say so.
            self._fail(error)


def _remedy(held: Held, topic: str, found: Sequence[OpenTransaction]) -> str:
    if held.topic == topics.REROUTED:
        # By hand it could be ended otherwise than its step was; an owner that opens its partition knows.
        return "start all workers of the meter again: what one of them has left there is ended as its step was"
    start = found[0].start if found else held.position
    return f"kafka-transactions.sh abort --topic {topic} --partition {held.partition} --start-offset {start}"


def _is_by(error: BaseException, causes: tuple[type[BaseException], ...]) -> bool:
    """Whether one of these is behind an error."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, causes):
        cause = cause.__cause__
    return cause is not None
