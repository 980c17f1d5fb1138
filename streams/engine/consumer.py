"""Faust's consumer, handing the agent all that a fetch brought as one event: chunks, with the positions they cover.

Faust takes a few turns of the event loop for each event, and while a worker settles a turn may take 10 ms: with an
event for each chunk the next fetch would wait for those of all partitions.
"""

import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from meter import topics
from meter.records import Chunk, HoleError
from streams.engine.held import InputEnd
from streams.engine.leaving import leave
from streams.engine.owner import STEP_RECORDS
from streams.kafka import READ_COMMITTED
from streams.settings import Settings

log = structlog.get_logger(__name__)

FETCH_BYTES = 2 << 20
#: How soon a member hears of a rebalance, at the latest: all the others wait for it in one.
HEARTBEAT_MS = 500
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
    """Chunks on their way to the owners of their partitions, each with its input and the number of its reading."""

    chunks: list[tuple[TP, int, Chunk]]


class ReadState(TopicPartitionState):
    """aiokafka's state of a partition that is read. It notes by which instant of our own clock a fetch was answered."""

    answered_at = 0.0

    @property
    def timestamp(self) -> float | None:
        """Monotonic time of the last answer; None before the first."""
        return self.answered_at or None

    @timestamp.setter
    def timestamp(self, wall_ms: int | None) -> None:
        if wall_ms is not None:
            self.answered_at = time.monotonic()


class ChunkThread(driver.AIOKafkaConsumerThread):
    """Runs two clients: a member of the group, which fetches nothing, and a reader without a group.

    So a rebalance does not touch what is read. Which partitions the reader reads, and from where, their owners say.
    """

    _reader: AIOKafkaConsumer | None = None
    _heard_at = 0.0

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        """The member. The assignor is ours: all inputs of a partition on one worker."""
        self._assignor = self.app.assignor
        settings = self.consumer.settings
        session_ms = int(settings.session_timeout_s * 1000)
        rebalance_ms = max(session_ms, 30_000)
        return AIOKafkaConsumer(
            **settings.client(),
            group_id=settings.app_id,
            group_instance_id=settings.instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(HEARTBEAT_MS, session_ms // 5),
            rebalance_timeout_ms=rebalance_ms,
            request_timeout_ms=rebalance_ms + 10_000,  # a join is answered when the others have joined, too
        )

    def _create_reader(self) -> AIOKafkaConsumer:
        """The reader: committed records only, and no reset of offsets ever."""
        settings = self.consumer.settings
        return AIOKafkaConsumer(
            **settings.client(),
            isolation_level=READ_COMMITTED,
            enable_auto_commit=False,
            auto_offset_reset="none",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_min_bytes=IDLE.min_bytes,
            fetch_max_wait_ms=IDLE.max_wait_ms,
            # A fetch that is not answered by then has its connection dropped, and another leader is asked for.
            request_timeout_ms=max(5_000, int(settings.session_timeout_s * 1000)),
            check_crcs=True,
        )

    async def on_start(self) -> None:
        """Start both."""
        #: Of each input that is read: the number of the reading, and up to where chunks were handed out.
        self._covered: dict[TP, tuple[int, int]] = {}
        await super().on_start()
        member: Any = self._consumer
        member._fetcher._fetch_task.cancel()
        member._subscription._fetch_count += 1  # it is never idle: who does not poll would have to leave the group
        reader = self._create_reader()
        await reader.start()
        reader._client.set_topics({self.consumer.settings.topic(topic) for topic in topics.INPUTS})
        reader._subscription.assign_from_user(set())
        self._reader = reader

    async def on_thread_stop(self) -> None:
        """Stop both."""
        await super().on_thread_stop()
        if self._reader is not None:
            await self._reader.stop()

    # -- reading ---------------------------------------------------------------------------------------------

    async def read(self, positions: Mapping[TP, int], reading: int) -> None:
        """Read some inputs from these positions on; what was fetched of a former reading is of no use any more."""
        await self.call_thread(self._read, positions, reading)

    async def read_no_more(self, tps: Iterable[TP]) -> None:
        """Stop reading some inputs."""
        await self.call_thread(self._read_no_more, list(tps))

    async def fetch(self, tps: set[TP], timeout_s: float) -> list[tuple[TP, int, Chunk]]:
        """Chunks of what was fetched for some inputs, and the numbers of their readings."""
        chunks: list[tuple[TP, int, Chunk]] = await self.call_thread(self._fetch_chunks, tps, timeout_s)
        return chunks

    async def _read(self, positions: Mapping[TP, int], reading: int) -> None:
        """Seek, and note it in the same breath: a fetch that comes between would hand out other records."""
        for tp, offset in positions.items():
            if reading >= self._covered.get(tp, (0, 0))[0]:
                state = self._state(tp)
                self._fetcher.seek_to(tp, offset)
                state.resume()
                self._covered[tp] = reading, offset

    async def _read_no_more(self, tps: Iterable[TP]) -> None:
        for tp in tps:
            if self._covered.pop(tp, None) is not None:
                self._state(tp).pause()

    @property
    def _fetcher(self) -> Any:
        assert self._reader is not None
        return self._reader._fetcher

    def _state(self, tp: TP) -> ReadState:
        """An input's state in the reader, made when it is first read.

        Added to the assignment as it is: assigning anew would drop what is being fetched of all others.
        """
        assignment = self._fetcher._subscriptions.subscription.assignment
        if tp not in assignment.tps:
            assignment._tp_state[tp] = ReadState(assignment)
            assignment._topic_partitions |= {TopicPartition(*tp)}
        state: ReadState = assignment.state_value(tp)
        return state

    async def _fetch_chunks(self, tps: set[TP], timeout_s: float) -> list[tuple[TP, int, Chunk]]:
        fetcher = self._fetcher
        if fetcher._closed:
            raise driver.ConsumerStoppedError
        records = await fetcher.fetched_records(tps, timeout=timeout_s, max_records=2 * STEP_RECORDS)
        fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = BUSY if records else IDLE
        # From here on nothing else runs in this thread, so positions and records belong together.
        return [
            (tp, covered[0], Chunk(self.consumer.settings.bare(tp.topic), covered[1], position, records.get(tp, ())))
            for tp in tps
            if (covered := self._covered.get(tp)) is not None
            and self._cover(tp, *covered, position := self._state(tp).position, records.get(tp, ()))
        ]

    def _cover(self, tp: TP, reading: int, start: int, position: int, records: Sequence[Any]) -> bool:
        """Note that positions up to here are handed out; whether there are new ones.

        Raises HoleError where the records are not those of the positions: this is what exactly-once stands on.
        """
        if position == start and not records:
            return False
        if position < start or (records and not start <= records[0].offset <= records[-1].offset < position):
            found = f"{records[0].offset} to {records[-1].offset}" if records else "none"
            raise HoleError(f"{tp.topic}[{tp.partition}]: records {found} for the positions {start} to {position}")
        self._covered[tp] = reading, position
        return True

    # -- what is known of Kafka, for other threads: they only read ---------------------------------------------

    def input_end(self, tp: TP) -> InputEnd | None:
        """The ends that the last fetch of an input saw."""
        state = self._read_state(tp)
        if state is None or state.lso is None or not state.answered_at:
            return None
        return InputEnd(state.lso, state.answered_at, max(state.lso, state.highwater or 0))

    def answered_at(self, tp: TP) -> float:
        """Monotonic time of the last answer to a fetch of an input; 0.0 before the first."""
        state = self._read_state(tp)
        return 0.0 if state is None else state.answered_at

    def heard_at(self) -> float:
        """Monotonic time of the last answer of any broker to any request of either client; 0.0 before the first."""
        for client in (self._consumer, self._reader):
            if client is not None:
                answers = [connection._last_action for connection in list(client._client._conns.values())]
                self._heard_at = max(self._heard_at, *answers, 0.0)
        return self._heard_at

    def ask(self) -> None:
        """Ask a broker something: nobody else may have a question. What it answers is heard."""
        reader = self._reader
        if reader is not None:
            self.thread_loop.call_soon_threadsafe(reader._client.force_metadata_update)

    def _read_state(self, tp: TP) -> ReadState | None:
        if self._reader is None:
            return None
        state: ReadState | None = self._fetcher._subscriptions.subscription.assignment.state_value(tp)
        return state

    def group_error(self) -> BaseException | None:
        """Why this worker is no longer a member of its group, if it has stopped being one. It only reads."""
        coordinator = self._consumer and self._consumer._coordinator
        task = getattr(coordinator, "_coordination_task", None)
        if task is None or not task.done() or task.cancelled():
            error: BaseException | None = getattr(coordinator, "_pending_exception", None)
            return error
        return task.exception() or RuntimeError("the group's coordination has ended")

    async def leave(self) -> None:
        """Leave the group at once, and for good."""
        await self.call_thread(leave, self._ensure_consumer())

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Group offsets are for display of lag: one that cannot be committed now does no harm."""
        try:
            group_offsets = {TopicPartition(*tp): OffsetAndMetadata(at, "") for tp, at in offsets.items()}
            await self._ensure_consumer().commit(group_offsets)
        except (KafkaError, IllegalStateError) as error:
            log.debug("group offsets not committed", error=str(error))
            return False
        return True


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
        """One message for each fetch. What Faust drops in a rebalance is read again: see `OwnedTables`."""
        ready, all_ready = self.owners.ready()
        if not ready:
            await self.owners.wait_for_room(timeout)
            return
        fetched = await self._thread.fetch(ready, timeout if all_ready else BRIEF_S)
        if not fetched or self.should_stop:
            return
        tp, _, first = fetched[0]  # for Faust it comes from one of them
        yield tp, self._message(tp, first.next - 1, Fetched(fetched))

    def _message(self, tp: TP, offset: int, fetched: Fetched) -> ConsumerMessage:
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
            generation_id=self.app.consumer_generation_id,
        )

    async def perform_seek(self) -> None:
        """Nothing: Faust would take the group's offsets; what is read, and from where, the owners say."""

    async def read(self, positions: Mapping[TP, int], reading: int) -> None:
        """Read some inputs from these positions on."""
        await self._thread.read(positions, reading)

    async def read_no_more(self, tps: Iterable[TP]) -> None:
        """Stop reading some inputs."""
        await self._thread.read_no_more(tps)

    async def leave(self) -> None:
        """Leave the group at once, and for good."""
        await self._thread.leave()

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
