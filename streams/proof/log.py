"""One partition's topics, read from their start: nothing of them may be missing."""

import asyncio
import time
from collections import deque
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from meter import topics
from meter.journal import JournalStep, read_entry
from meter.published import Contradiction
from streams.engine.torn import last_step, torn_step
from streams.kafka import offsets, read_range, reader
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


class PartitionLog:
    """The topics of one partition. Cursors live as long as `stack`."""

    def __init__(self, settings: Settings, partition: int, stack: AsyncExitStack) -> None:
        self.partition = partition
        self._settings = settings
        self._stack = stack

    def at(self, topic: str, record: ConsumerRecord | None = None) -> str:
        """Where: topic and partition, and the offset of a record."""
        place = f"{self._settings.topic(topic)}[{self.partition}]"
        return place if record is None else f"{place}@{record.offset}"

    async def consumer(self) -> AIOKafkaConsumer:
        """A reader of committed records."""
        return await self._stack.enter_async_context(reader(self._settings))

    async def end(self, topic: str) -> int:
        """Where the committed part of a topic ends now."""
        async with reader(self._settings) as consumer:
            return (await offsets(consumer, self._settings.topic(topic), self.partition))[1]

    async def cursor(self, topic: str, end: int) -> Cursor:
        """A topic from its start. Raises UnprovableError where that is gone."""
        consumer, name = await self.consumer(), self._settings.topic(topic)
        start, _ = await offsets(consumer, name, self.partition)
        if start > 0:
            raise UnprovableError(f"unprovable: the log starts at {start} in {name}[{self.partition}]")
        return Cursor(consumer, name, self.partition, end)

    async def journal(self) -> list[JournalStep]:
        """All steps. Raises UnprovableError where the first ones are gone."""
        cursor = await self.cursor(topics.JOURNAL, end := await self.end(topics.JOURNAL))
        entries = [read_entry(record.value) for record in await cursor.below(end)]
        return [entry for entry in entries if isinstance(entry, JournalStep)]

    async def torn(self) -> list[Contradiction]:
        """How the last step of the state is torn; nothing while a worker is at work, which has looked at its start."""
        consumer = await self.consumer()
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

    async def latest(self, topic: str, end: int) -> dict[bytes, bytes]:
        """The last value of each key of a compacted topic."""
        consumer, name = await self.consumer(), self._settings.topic(topic)
        start, _ = await offsets(consumer, name, self.partition)
        found: dict[bytes, bytes] = {}
        async for records in read_range(consumer, name, self.partition, start, end):
            found.update({record.key: record.value for record in records})
        return found
