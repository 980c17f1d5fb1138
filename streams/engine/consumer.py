"""Faust's consumer, handing the agent all that a fetch brought as one event: chunks, with the positions they cover.

Faust takes a few turns of the event loop for each event, and while a worker settles a turn may take 10 ms: with an
event for each chunk the next fetch would wait for those of all partitions.
"""

import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from meter.records import Chunk, HoleError
from streams.engine.owner import STEP_RECORDS, InputEnd
from streams.kafka import READ_COMMITTED
from streams.settings import Settings

log = structlog.get_logger(__name__)

FETCH_BYTES = 2 << 20
#: How long a fetch waits while some partitions are left out for want of room: they must not wait for it.
BRIEF_S = 0.02


class Patience(NamedTuple):
    """When the broker answers a fetch: at so many bytes, or after so many milliseconds."""

    min_bytes: int
    max_wait_ms: int


#: Nothing came lately: the first record is answered at once.
IDLE = Patience(1, 500)
#: Records come: let some gather. Answering for each alone would cost the broker more than it does to meter them.
BUSY = Patience(1 << 14, 25)


class Fetched(NamedTuple):
    """Chunks on their way to the owners of their partitions, and the group generation in which they were fetched."""

    generation: int
    chunks: list[tuple[int, Chunk]]


class ChunkThread(driver.AIOKafkaConsumerThread):
    """Runs the aiokafka consumer; knows for every partition up to where chunks were handed out."""

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        """Committed records only, Faust's co-partitioning assignor always, and no reset of offsets ever."""
        self._assignor = self.app.assignor
        #: Up to where chunks were handed out, of which assignment. Both belong to this thread alone.
        self._covered: dict[TP, int] = {}
        self._covered_of: Any = None
        settings = self.consumer.settings
        session_ms = int(settings.session_timeout_s * 1000)
        return AIOKafkaConsumer(
            **settings.client(),
            group_id=settings.app_id,
            group_instance_id=settings.instance_id,
            partition_assignment_strategy=[self._assignor],
            isolation_level=READ_COMMITTED,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_min_bytes=IDLE.min_bytes,
            fetch_max_wait_ms=IDLE.max_wait_ms,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=max(200, session_ms // 5),
            rebalance_timeout_ms=max(session_ms, 30_000),
            max_poll_interval_ms=600_000,
            check_crcs=True,
        )

    async def fetch(self, tps: set[TP], timeout_s: float) -> list[tuple[TP, Chunk]]:
        """Chunks of what was fetched for some partitions, in the consumer's own thread."""
        chunks: list[tuple[TP, Chunk]] = await self.call_thread(self._fetch_chunks, tps, timeout_s)
        return chunks

    async def _fetch_chunks(self, tps: set[TP], timeout_s: float) -> list[tuple[TP, Chunk]]:
        if not self.consumer.flow_active:
            return []
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise driver.ConsumerStoppedError
        try:
            with fetcher._subscriptions.fetch_context():
                records = await fetcher.fetched_records(tps, timeout=timeout_s, max_records=2 * STEP_RECORDS)
        except NoOffsetForPartitionError:
            # A rebalance came in between: these inputs stand nowhere until their owners have them sought again.
            return []
        fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = BUSY if records else IDLE
        # From here on nothing else runs in this thread, so positions and records belong together.
        assignment = consumer._subscription.subscription.assignment
        if assignment is not self._covered_of:
            return []  # of a new assignment nothing has been sought yet
        return [
            (tp, Chunk(self.consumer.settings.bare(tp.topic), start, position, records.get(tp, ())))
            for tp in tps
            if (start := self._covered.get(tp)) is not None
            and (position := _position(assignment, tp)) is not None
            and self._cover(tp, start, position, records.get(tp, ()))
        ]

    def _cover(self, tp: TP, start: int, position: int, records: Sequence[Any]) -> bool:
        """Note that positions up to here are handed out; whether there are new ones.

        Raises HoleError where the records are not those of the positions: this is what exactly-once stands on.
        """
        if position == start:
            return False
        if position < start or (records and not start <= records[0].offset <= records[-1].offset < position):
            found = f"{records[0].offset} to {records[-1].offset}" if records else "none"
            raise HoleError(f"{tp.topic}[{tp.partition}]: records {found} for the positions {start} to {position}")
        self._covered[tp] = position
        return True

    async def _seek_wait(self, consumer: AIOKafkaConsumer, partitions: Mapping[TP, int]) -> None:
        """Seek, and note it in the same breath: a fetch that comes between would hand out other records."""
        assignment = consumer._subscription.subscription.assignment
        if assignment is not self._covered_of:
            self._covered_of, self._covered = assignment, {}
        for tp, offset in partitions.items():
            consumer.seek(TopicPartition(*tp), offset)
            self._covered[tp] = offset

    def input_end(self, tp: TP) -> InputEnd | None:
        """The last stable offset that the last fetch saw. Called from other threads: it only reads."""
        consumer = self._consumer
        assignment = consumer and consumer._subscription.subscription and consumer._subscription.subscription.assignment
        if not assignment or tp not in assignment.tps:
            return None
        state = assignment.state_value(TopicPartition(*tp))
        if state.lso is None or state.timestamp is None:
            return None
        return InputEnd(state.lso, time.monotonic() - max(0.0, time.time() - state.timestamp / 1000))

    def group_error(self) -> BaseException | None:
        """Why this worker is no longer a member of its group, if it has stopped being one. It only reads."""
        coordinator = self._consumer and self._consumer._coordinator
        task = getattr(coordinator, "_coordination_task", None)
        if task is None or not task.done() or task.cancelled():
            error: BaseException | None = getattr(coordinator, "_pending_exception", None)
            return error
        return task.exception() or RuntimeError("the group's coordination has ended")

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Group offsets are for display of lag: one that cannot be committed now does no harm."""
        try:
            group_offsets = {TopicPartition(*tp): OffsetAndMetadata(at, "") for tp, at in offsets.items()}
            await self._ensure_consumer().commit(group_offsets)
        except (KafkaError, IllegalStateError) as error:
            log.debug("group offsets not committed", error=str(error))
            return False
        return True


def _position(assignment: Any, tp: TP) -> int | None:
    if not assignment.active or tp not in assignment.tps:
        return None
    state = assignment.state_value(TopicPartition(*tp))
    return state.position if state.has_valid_position else None


class _NoOffsets(dict[TP, Any]):
    """Faust's own memory of what it has read, kept empty: it drops what lies below, also after a seek back."""

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: Any) -> None:
        pass


class ChunkConsumer(driver.Consumer):
    """Faust's consumer, whose positions are those of the partitions' owners and of nobody else."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._read_offset = _NoOffsets()

    @property
    def settings(self) -> Settings:
        """This process's settings."""
        settings: Settings = self.app.meter_settings
        return settings

    @property
    def owners(self) -> Any:
        """The owners of this worker's partitions."""
        return self.app.owners

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """One message for each fetch. What is dropped here on a rebalance is read again: see `perform_seek`."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        generation = self.app.consumer_generation_id
        ready, all_ready = self.owners.ready()
        if not ready:
            await self.owners.wait_for_room(timeout)
            return
        fetched = await self._thread.fetch(ready, timeout if all_ready else BRIEF_S)
        if not fetched:
            return
        outlived = not self.flow_active
        if outlived:
            await self.wait(self.can_resume_flow)
        if self.should_stop:
            return
        if outlived or self.app.consumer_generation_id != generation:
            # The fetch outlived its assignment, and may have taken what the new one was to begin with.
            await self.seek_owners(self.owners.opened())
            return
        tp, first = fetched[0]  # for Faust it comes from one of them
        chunks = [(each.partition, chunk) for each, chunk in fetched]
        yield tp, self._message(tp, first.next - 1, Fetched(generation, chunks))

    @staticmethod
    def _message(tp: TP, offset: int, fetched: Fetched) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            offset,
            time.time(),
            0,
            [],
            None,
            fetched,
            None,
            0,
            0,
            tp,
            generation_id=fetched.generation,
        )

    async def perform_seek(self) -> None:
        """Seek the partitions that are open to their owners' positions: Faust would take the group's offsets."""
        await self.seek_owners(self.owners.opened())

    async def seek_owners(self, partitions: Iterable[int]) -> None:
        """Seek all inputs of some partitions to where their owners are, and let them be fetched."""
        positions = self.owners.positions(partitions)
        mine = {tp: offset for tp, offset in positions.items() if tp in self.assignment()}
        if mine:
            await self.seek_wait(mine)
        self.owners.sought(mine)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit the owners' positions as group offsets, for display."""
        offsets = {tp: at for tp, at in self.owners.committed().items() if self._committed_offset.get(tp) != at}
        offsets = {tp: at for tp, at in offsets.items() if tp in self.assignment()}
        if not offsets or not await self._thread.commit(offsets):
            return False
        self._committed_offset.update(offsets)
        return True

    def ack(self, message: Any) -> bool:
        """Nothing depends on Faust's acks: positions are the owners'."""
        self._unacked_messages.discard(message)
        message.acked = True
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets within a chunk are no gaps."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Readiness watches the owners instead."""

    async def wait_empty(self) -> None:
        """The owners have finished their steps before Faust comes to this."""


class NoProducer(driver.Producer):
    """Faust's own producer, which this app never sends with."""

    async def on_start(self) -> None:
        """No connection."""

    async def on_stop(self) -> None:
        """No connection."""

    async def flush(self) -> None:
        """Nothing is ever buffered."""


class ChunkTransport(driver.Transport):
    """Faust's transport with the consumer above."""

    Consumer = ChunkConsumer
    Producer = NoProducer
