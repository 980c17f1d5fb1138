"""Faust's consumer, handing the agent all that a fetch brought as one event: chunks, with the positions they cover.

Faust takes a few turns of the event loop for each event, and while a worker settles a turn may take 10 ms: with an
event for each chunk the next fetch would wait for those of all partitions.
"""

import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol

import structlog
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from meter import topics
from streams.engine.clients import ChunkReader, GroupMember
from streams.engine.inputs import Fetched, FetchedChunk, InputEnd
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: How long a fetch waits while some partitions are left out for want of room: they must not wait for it.
BRIEF_S = 0.02


class Positions(Protocol):
    """What the consumer needs of the partitions' owners: see `Readings`."""

    def ready(self) -> tuple[set[TP], bool]:
        """Inputs to fetch now, and whether that is all there are."""

    async def wait_for_room(self, timeout_s: float) -> None:
        """Wait until some input may be fetched, or for a time."""

    def committed(self) -> Mapping[TP, int]:
        """What is folded and committed, by input."""


class Fetches(Protocol):
    """What the consumer needs of its thread."""

    async def fetch(self, tps: set[TP], timeout_s: float) -> list[FetchedChunk]:
        """Chunks of what was fetched for some inputs."""

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit group offsets; whether they are."""


class ChunkThread(driver.AIOKafkaConsumerThread):
    """Runs the two clients of `clients.py` in a thread of their own. Its methods may be called from any thread."""

    _reader: ChunkReader | None = None
    _heard_at = 0.0

    def _create_worker_consumer(self, transport: Any) -> GroupMember:
        """The member. The assignor is ours: all inputs of a partition on one worker."""
        self._assignor = self.app.assignor
        return GroupMember(self._settings, self._assignor)

    async def on_start(self) -> None:
        """Start both."""
        await super().on_start()
        reader = ChunkReader(self._settings, self.app.engine.limits)
        await reader.start_on(self._settings.topic(topic) for topic in topics.INPUTS)
        self._reader = reader

    async def on_thread_stop(self) -> None:
        """Stop both."""
        await super().on_thread_stop()
        if self._reader is not None:
            await self._reader.stop()

    @property
    def _settings(self) -> Settings:
        settings: Settings = self.app.engine.settings
        return settings

    @property
    def _open_reader(self) -> ChunkReader:
        assert self._reader is not None
        return self._reader

    async def read(self, positions: Mapping[TP, int], reading: int) -> None:
        """Read some inputs from these positions on, under this number."""
        await self.call_thread(self._open_reader.read, positions, reading)

    async def read_no_more(self, tps: Iterable[TP]) -> None:
        """Stop reading some inputs."""
        await self.call_thread(self._open_reader.read_no_more, list(tps))

    async def fetch(self, tps: set[TP], timeout_s: float) -> list[FetchedChunk]:
        """Chunks of what was fetched for some inputs."""
        chunks: list[FetchedChunk] = await self.call_thread(self._open_reader.fetch, tps, timeout_s)
        return chunks

    async def leave(self) -> None:
        """Leave the group at once, and for good."""
        await self.call_thread(self._ensure_consumer().leave)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Group offsets are for display of lag: one that cannot be committed now does no harm."""
        try:
            group_offsets = {TopicPartition(*tp): OffsetAndMetadata(at, "") for tp, at in offsets.items()}
            await self._ensure_consumer().commit(group_offsets)
        except (KafkaError, IllegalStateError) as error:
            log.debug("group offsets not committed", error=str(error))
            return False
        return True

    # -- what is known of Kafka ------------------------------------------------------------------------------

    def input_end(self, tp: TP) -> InputEnd | None:
        """The ends that the last fetch of an input saw."""
        return None if self._reader is None else self._reader.input_end(tp)

    def answered_at(self, tp: TP) -> float:
        """Monotonic time of the last answer to a fetch of an input; 0.0 before the first."""
        return 0.0 if self._reader is None else self._reader.answered_at(tp)

    def heard_at(self) -> float:
        """Monotonic time of the last answer of any broker to any request of either client; 0.0 before the first."""
        heard = [client.heard_at() for client in (self._consumer, self._reader) if client is not None]
        self._heard_at = max(self._heard_at, *heard, 0.0)
        return self._heard_at

    def ask(self) -> None:
        """Ask a broker something: nobody else may have a question. What it answers is heard."""
        if self._reader is not None:
            self.thread_loop.call_soon_threadsafe(self._reader.ask)

    def group_error(self) -> BaseException | None:
        """Why this worker is no longer a member of its group, if it has stopped being one."""
        error: BaseException | None = self._consumer and self._consumer.group_error()
        return error


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
        self.clients: Fetches = self._thread

    @property
    def _positions(self) -> Positions:
        positions: Positions = self.app.engine.readings
        return positions

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """One message for each fetch. What Faust drops in a rebalance is read again: see `OwnedTables`."""
        ready, all_ready = self._positions.ready()
        if not ready:
            await self._positions.wait_for_room(timeout)
            return
        fetched = await self.clients.fetch(ready, timeout if all_ready else BRIEF_S)
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

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit the owners' positions as group offsets, for display."""
        offsets = {tp: at for tp, at in self._positions.committed().items() if self._committed_offset.get(tp) != at}
        offsets = {tp: at for tp, at in offsets.items() if tp in self.assignment()}
        if not offsets or not await self.clients.commit(offsets):
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
