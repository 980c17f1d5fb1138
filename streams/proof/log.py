"""One partition's topics, read from their start: nothing of them may be missing."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from meter import topics
from meter.journal import JournalStep, read_entry
from meter.published import Contradiction
from streams.engine.torn import last_step, torn_step
from streams.kafka.clients import offsets, read_range, reader
from streams.kafka.rights import AUDITOR
from streams.proof.differences import UnprovableError
from streams.settings import Settings

#: How long a contradiction must stand where nothing is written: the markers of one transaction do not come to all
#: topics at once. How often to look meanwhile, and how often to begin again where a worker is at work.
MARKERS_S = 3.0
LOOK_S = 0.2
LOOKS = 5


class Cursor:
    """Reads one partition of a topic from its start on, range after range."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, partition: int, end: int) -> None:
        self._chunks = read_range(consumer, topic, partition, 0, end)
        self._buffer: deque[ConsumerRecord] = deque()
        self._ended = False

    async def _fill(self) -> bool:
        if not self._buffer and not self._ended:
            try:
                self._buffer.extend(await anext(self._chunks))
            except StopAsyncIteration:
                self._ended = True
        return bool(self._buffer)

    async def below(self, end: int) -> list[ConsumerRecord]:
        """The records up to a position."""
        taken: list[ConsumerRecord] = []
        while await self._fill() and self._buffer[0].offset < end:
            taken.append(self._buffer.popleft())
        return taken

    async def next(self) -> ConsumerRecord | None:
        """The next record, None at the end."""
        return self._buffer.popleft() if await self._fill() else None


class Readers:
    """Readers of committed records, each used again when it is free: it takes longer to connect than to ask."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._free: list[AIOKafkaConsumer] = []
        self._kept: list[AIOKafkaConsumer] = []

    async def _take(self) -> AIOKafkaConsumer:
        if self._free:
            return self._free.pop()
        return await self._stack.enter_async_context(reader(self._settings, AUDITOR.topics))

    @asynccontextmanager
    async def one(self) -> AsyncIterator[AIOKafkaConsumer]:
        """A reader, for the length of the block."""
        consumer = await self._take()
        yield consumer  # of one that failed nobody knows what it is still at
        self._free.append(consumer)

    async def keep(self) -> AIOKafkaConsumer:
        """A reader, until `release`."""
        self._kept.append(await self._take())
        return self._kept[-1]

    def release(self) -> None:
        """What was kept is needed no more."""
        for consumer in self._kept:
            consumer.assign([])
        self._free += self._kept
        self._kept = []


@asynccontextmanager
async def readers(settings: Settings) -> AsyncIterator[Readers]:
    """Readers for the length of the block."""
    async with AsyncExitStack() as stack:
        yield Readers(settings, stack)


class PartitionLog:
    """The topics of one partition. Its cursors are good until `readers` are released."""

    def __init__(self, settings: Settings, partition: int, readers: Readers) -> None:
        self.partition = partition
        self._settings = settings
        self._readers = readers

    def at(self, topic: str, record: ConsumerRecord | None = None) -> str:
        """Where: topic and partition, and the offset of a record."""
        place = f"{self._settings.topic(topic)}[{self.partition}]"
        return place if record is None else f"{place}@{record.offset}"

    async def ends(self, names: Iterable[str]) -> dict[str, int]:
        """Where the committed part of each of some topics ends now."""
        places = {self._place(topic): topic for topic in names}
        async with self._readers.one() as consumer:
            found = await consumer.end_offsets(list(places))
        return {topic: found[tp] for tp, topic in places.items()}

    def _place(self, topic: str) -> TopicPartition:
        return TopicPartition(self._settings.topic(topic), self.partition)

    async def cursors(self, ends: Mapping[str, int]) -> dict[str, Cursor]:
        """Topics from their start up to their ends. Raises UnprovableError where the start of one is gone."""
        async with self._readers.one() as consumer:
            starts = await consumer.beginning_offsets([self._place(topic) for topic in ends])
        for tp, start in starts.items():
            if start > 0:
                raise UnprovableError(f"unprovable: the log starts at {start} in {tp.topic}[{self.partition}]")
        return {
            topic: Cursor(await self._readers.keep(), self._settings.topic(topic), self.partition, end)
            for topic, end in ends.items()
        }

    async def whole(self, topic: str) -> list[ConsumerRecord]:
        """All of a topic. Raises UnprovableError where its start is gone."""
        ends = await self.ends([topic])
        return await (await self.cursors(ends))[topic].below(ends[topic])

    async def journal(self) -> list[JournalStep]:
        """All steps. Raises UnprovableError where the first ones are gone."""
        entries = [read_entry(record.value) for record in await self.whole(topics.JOURNAL)]
        return [entry for entry in entries if isinstance(entry, JournalStep)]

    async def torn(self) -> list[Contradiction]:
        """How the last step of the state is torn; nothing while a worker is at work, which has looked at its start."""
        async with self._readers.one() as consumer:
            for _ in range(LOOKS):
                found, end = await self._torn(consumer)
                deadline = time.monotonic() + MARKERS_S
                stands = True
                while found and stands and time.monotonic() < deadline:
                    await asyncio.sleep(LOOK_S)
                    found, now = await self._torn(consumer)
                    stands = now == end
                if stands:
                    return found
        return []

    async def _torn(self, consumer: AIOKafkaConsumer) -> tuple[list[Contradiction], int]:
        """How the last step is torn as the log is now, and where the state's log ends."""
        last, end = await last_step(consumer, self._settings, self.partition)
        if last is not None:
            return await torn_step(consumer, self._settings, self.partition, last), end
        journal = await self.journal()
        how = [f"has step {entry.seq}, {topics.STATE} none" for entry in journal[-1:]]
        return [Contradiction(topics.JOURNAL, text) for text in how], end

    async def latest(self, topic: str, end: int | None = None) -> dict[bytes, bytes]:
        """The last value of each key of a compacted topic, up to an end or to its present one."""
        found: dict[bytes, bytes] = {}
        name = self._settings.topic(topic)
        async with self._readers.one() as consumer:
            start, now = await offsets(consumer, name, self.partition)
            async for records in read_range(consumer, name, self.partition, start, now if end is None else end):
                found.update({record.key: record.value for record in records})
        return found
