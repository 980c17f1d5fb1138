"""All partitions of this worker: opened in the background when they are assigned, let go when they are revoked."""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from meter import topics
from meter.identity import Identity
from meter.rules import Rules
from streams.engine.consumer import Fetched
from streams.engine.due import Pace
from streams.engine.owner import InputEnd, PartitionOwner
from streams.engine.table import BillingDay, PartitionTotals
from streams.errors import BrokerLostError, RefusalToStartError
from streams.observe.metrics import Metrics
from streams.samelog import identity_of, other_ids
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: A broker that answers no fetch for so many session timeouts is lost: fetches wait half a second at most.
BROKER_SILENCE_SESSIONS = 3


#: How often to look for what is due.
LOOK_S = 0.5
#: How often to ask whether the topics are still the same ones.
IDENTITY_EVERY_S = 2.0


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

    async def close(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            await self._consumer.stop()


class Owners:
    """The owners by partition, and what the consumer needs to know of them.

    `fail` ends the process: no error is survived, restart is the only recovery path.
    """

    def __init__(
        self, settings: Settings, rules: Rules, app: Any, metrics: Metrics, fail: Callable[[BaseException], None]
    ) -> None:
        self.by_partition: dict[int, PartitionOwner] = {}
        self._settings = settings
        self._rules = rules
        self._app = app
        self._metrics = metrics
        self._fail = fail
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._sought: set[TP] = set()
        self._changed = asyncio.Event()
        self._ends = InputEnds(settings)
        self._pace = Pace()

    # -- assignment ------------------------------------------------------------------------------------------

    async def pause(self) -> None:
        """A rebalance begins: the steps in flight are finished, what is queued is forgotten."""
        self._sought.clear()
        await asyncio.gather(*(owner.quiesce() for owner in self.by_partition.values() if owner.is_open))

    async def assign(self, assigned: set[TP]) -> None:
        """Take over the partitions assigned, in the background, and let go of the others."""
        partitions = self._whole_partitions(assigned)
        gone = [p for p in self.by_partition if p not in partitions]
        await asyncio.gather(*(self._release(p) for p in gone))
        for partition in partitions - self.by_partition.keys():
            self._tasks[partition] = asyncio.create_task(self._own(partition), name=f"partition-{partition}")

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

    async def _own(self, partition: int) -> None:
        """Open a partition and run it, until it is released."""
        owner = PartitionOwner(
            self._settings,
            self._rules,
            partition,
            self._totals(partition),
            self._metrics,
            self._input_end,
            self._ends.take,
            self._pace,
        )
        self.by_partition[partition] = owner
        try:
            await owner.open()
            await self._app.consumer.seek_owners([partition])
            await owner.run()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fail(error)

    async def _release(self, partition: int) -> None:
        owner = self.by_partition.pop(partition)
        await owner.quiesce()
        task = self._tasks.pop(partition)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await owner.close()
        log.info("partition released", partition=partition)

    async def release_all(self) -> None:
        """The worker stops: finish the steps in flight, put the dedupe indexes on disk."""
        self._sought.clear()
        await asyncio.gather(*(self._release(partition) for partition in list(self.by_partition)))
        await self._ends.close()

    def _totals(self, partition: int) -> PartitionTotals:
        window: BillingDay = self._app.billing_day
        return PartitionTotals(self._app.daily_totals.table, window, partition, self._rules.partitions)

    # -- chunks ----------------------------------------------------------------------------------------------

    def accept(self, fetched: Fetched) -> None:
        """Chunks from the agent. Those of an earlier generation are dropped: they are read again."""
        if fetched.generation != self._app.consumer_generation_id:
            return
        for partition, chunk in fetched.chunks:
            owner = self.by_partition.get(partition)
            if owner is None or not owner.is_open or self._tp(chunk.topic, partition) not in self._sought:
                continue
            try:
                owner.offer(chunk)
            except Exception as error:
                self._fail(error)

    def ready(self) -> tuple[set[TP], bool]:
        """Inputs to fetch now, and whether that is all there are."""
        ready = {tp for tp in self._sought if self._has_room(tp)}
        return ready, len(ready) == len(self._app.consumer.assignment())

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

    def positions(self, partitions: Iterable[int]) -> dict[TP, int]:
        """Where to read on, for all inputs of some partitions."""
        return {
            self._tp(topic, partition): offset
            for partition in partitions
            for topic, offset in self.by_partition[partition].state.next.items()
        }

    def committed(self) -> dict[TP, int]:
        """What is folded and committed, by input."""
        return self.positions(self.opened())

    def sought(self, tps: Collection[TP]) -> None:
        """The consumer stands at these inputs' positions: they may be fetched, and their owners go on."""
        self._sought.update(tps)
        for partition in {tp.partition for tp in tps} & self.by_partition.keys():
            self.by_partition[partition].go_on()
        self._changed.set()

    def _tp(self, topic: str, partition: int) -> TP:
        return TP(self._settings.topic(topic), partition)

    def _input_end(self, topic: str, partition: int) -> InputEnd | None:
        return self._input_end_of(self._tp(topic, partition))

    def _input_end_of(self, tp: TP) -> InputEnd | None:
        end: InputEnd | None = self._app.consumer._thread.input_end(tp)
        return end

    # -- health ----------------------------------------------------------------------------------------------

    def lags(self) -> dict[tuple[str, int], int]:
        """Positions between what is committed and the last stable offset, by topic and partition."""
        lags = {}
        for partition in self.opened():
            for topic, position in self.by_partition[partition].state.next.items():
                end = self._input_end(topic, partition)
                if end is not None:
                    lags[topic, partition] = max(0, end.end - position)
        return lags

    def stalled(self) -> list[int]:
        """Partitions that have lag, or are not open, and have not moved for longer than they may."""
        lagging = {partition for (_, partition), lag in self.lags().items() if lag}
        limit = time.monotonic() - self._settings.stalled_after_s
        return [
            partition
            for partition, owner in self.by_partition.items()
            if owner.last_moved < limit and (partition in lagging or not owner.is_open)
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

    async def watch(self) -> None:
        """Look for what is due; end the process when Kafka is silent for too long, or the group is lost."""
        while True:
            await asyncio.sleep(LOOK_S)
            for owner in self.by_partition.values():
                owner.look()
            if (error := self._app.consumer._thread.group_error()) is not None:
                # aiokafka's own task has ended with it, and nothing else would ever say so.
                self._fail(error)
            heard = [end.seen_at for tp in self._sought if (end := self._input_end_of(tp)) is not None]
            heard += [owner.last_moved for owner in self.by_partition.values()]
            silence_s = BROKER_SILENCE_SESSIONS * self._settings.session_timeout_s
            if heard and time.monotonic() - max(heard) > silence_s:
                self._fail(
                    BrokerLostError(
                        f"Kafka at {self._settings.bootstrap_servers} has not answered for {silence_s:.0f} s"
                    )
                )
