"""Opening a partition: steps 1 and 2 of the order that `owner.py` states. What comes of it is open, and whole.

Whatever an opening has taken in hand is let go of through the exit stack that it was given, however far it came.
"""

import asyncio
from collections.abc import Callable, MutableMapping
from contextlib import AsyncExitStack, suppress
from typing import Protocol

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from meter import topics
from meter.dedupe import needed_since
from meter.identity import Identity
from meter.rollup import Total, TotalKey
from meter.rules import Rules
from meter.state import PartitionState
from streams.engine.clocks import MachineClock, Movement
from streams.engine.disk_index import DiskIndex, index_directory, index_is_in_use, log_id
from streams.engine.hanging import close_what_hangs, end_what_was_sent_on
from streams.engine.index import KeptIndex
from streams.engine.limits import Limits
from streams.engine.recovery import OtherLogError, catch_up, read_state
from streams.engine.steps import OpenPartition
from streams.engine.torn import ends_of, rerouted_ends
from streams.engine.writer import PartitionWriter
from streams.errors import RefusalToStartError
from streams.kafka.clients import offsets, reader
from streams.kafka.same_log import identity_of
from streams.observe.metrics import Metrics
from streams.process.waiting import until
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: How long to wait for an index that another worker of this machine still holds, before one is made anew beside it.
INDEX_PATIENCE_S = 3.0
INDEX_RETRY_S = 0.05
#: How long a producer may take to close its connections.
WRITER_STOP_S = 5.0
#: Accounts whose totals are taken out of the table before others have the loop.
CLEARED_AT_ONCE = 1_000


class Opens(Protocol):
    """What the owners need of whoever opens their partitions."""

    async def open(self, partition: int, progress: Movement, closing: AsyncExitStack) -> OpenPartition:
        """Open a partition. `closing` lets go of it again, also where the opening was cut short.

        Raises RefusalToStartError where the log does not fit, ProducerFenced.
        """


class Opener:
    """Opens the partitions of a worker: see `Opens`."""

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        totals: Callable[[int], MutableMapping[TotalKey, Total]],
        metrics: Metrics,
        clock: MachineClock,
        limits: Limits,
        new_writer: Callable[[Settings, int], PartitionWriter] = PartitionWriter,
    ) -> None:
        """`totals`: a partition's view of the windowed table, which holds the totals of its state."""
        self._settings = settings
        self._rules = rules
        self._totals = totals
        self._metrics = metrics
        self._clock = clock
        self._limits = limits
        self._new_writer = new_writer

    async def open(self, partition: int, progress: Movement, closing: AsyncExitStack) -> OpenPartition:
        """See `Opens`."""
        began = self._clock.monotonic()
        state = PartitionState(self._rules, partition, self._totals(partition))
        closing.push_async_callback(clear_totals, state)
        writer = self._new_writer(self._settings, partition)
        closing.push_async_callback(_stop, writer)
        await writer.start()
        try:
            opened, caught_up = await self._recover(state, writer, progress, closing)
        except RefusalToStartError:
            # Whoever has opened it since has gone on: what is open or new is theirs, and no fault of the log's.
            await writer.see_that_it_is_the_newest()
            raise
        self._tell(opened, caught_up, took_s=progress.moved() - began)
        closing.callback(self._metrics.closed, partition)
        return opened

    async def _recover(
        self, state: PartitionState, writer: PartitionWriter, progress: Movement, closing: AsyncExitStack
    ) -> tuple[OpenPartition, int]:
        """Step 2: read back, checked, and how many records the dedupe index lacked. Raises RefusalToStartError."""
        settings, partition, partitions = self._settings, state.partition, self._rules.partitions
        async with reader(settings, topics.ALL) as consumer:
            await close_what_hangs(consumer, settings, partition, partitions, writer)
            found = await identity_of(consumer, settings)
            await read_state(consumer, settings, state, found, moved=progress.moved)
            identity = found.beside(state.identity)
            await end_what_was_sent_on(consumer, settings, state, partitions, writer)
            writer.stand_at(
                await ends_of(consumer, settings, partition),
                await rerouted_ends(consumer, settings, partitions),
            )
            index, caught_up = await self.open_index(consumer, state, identity, progress, closing)
            commands_end = (await offsets(consumer, settings.topic(topics.COMMANDS), partition))[1]
        return OpenPartition(state, index, writer, identity, commands_end), caught_up

    async def open_index(
        self,
        consumer: AIOKafkaConsumer,
        state: PartitionState,
        identity: Identity,
        progress: Movement,
        closing: AsyncExitStack,
        *,
        anew: bool = False,
    ) -> tuple[KeptIndex, int]:
        """The dedupe index, brought up to date, and how many records that took; made anew where it is ahead."""
        index = await self._index_on_disk(state, identity, anew=anew)
        closing.push_async_callback(index.close)  # cut short, it is saved as far as it came
        since_ms = index.dedupe.needed_since_ms = needed_since(state.position.due_until, self._rules)
        try:
            caught_up = await catch_up(consumer, self._settings, state, index.dedupe, since_ms, moved=progress.moved)
        except OtherLogError as error:
            log.warning("dedupe index made anew", partition=state.partition, reason=str(error))
            index.drop()
            return await self.open_index(consumer, state, identity, progress, closing, anew=True)
        return index, caught_up

    async def _index_on_disk(self, state: PartitionState, identity: Identity, *, anew: bool) -> KeptIndex:
        directory, partition = index_directory(self._settings), state.partition

        async def is_free() -> bool:  # a worker beside this one is about to let go
            return not index_is_in_use(directory, partition)

        await until(is_free, bool, every_s=INDEX_RETRY_S, within_s=INDEX_PATIENCE_S)
        dedupe = await asyncio.to_thread(
            DiskIndex.open, directory, partition, self._rules.meter_id, log_id(identity), anew=anew
        )
        # Not all partitions of a worker are saved at a time: each save takes the disk for a moment.
        every_s, part = self._limits.save_interval_s, 1 - partition / self._rules.partitions
        return KeptIndex(partition, dedupe, next_save_s=self._clock.monotonic() + every_s * part, every_s=every_s)

    def _tell(self, opened: OpenPartition, caught_up: int, *, took_s: float) -> None:
        state, dedupe = opened.state, opened.index.dedupe
        self._metrics.opened(state.partition, took_s)
        self._metrics.remembered(state.partition, len(dedupe), dedupe.size_bytes)
        log.info(
            "partition open",
            partition=state.partition,
            seq=state.position.seq,
            next=state.position.next[topics.COMPLETED],
            remembered=len(dedupe),
            caught_up=caught_up,
            took_s=round(took_s, 3),
        )


async def _stop(writer: PartitionWriter) -> None:
    with suppress(TimeoutError, KafkaError):  # what is open no more, or fenced, is not sent any more either
        await asyncio.wait_for(writer.stop(), WRITER_STOP_S)


async def clear_totals(state: PartitionState) -> None:
    """Take a partition's totals out of the table, which holds those of the others too."""
    for count, (account_id, days) in enumerate(state.totals.used.items()):
        for region, day in days:
            state.totals.rows.pop((account_id, region, day), None)
        if count % CLEARED_AT_ONCE == 0:
            await asyncio.sleep(0)
