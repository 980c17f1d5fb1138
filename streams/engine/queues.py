"""What was fetched of a partition and is not folded yet: a queue for each input, commands before completions.

A price takes effect no sooner than an hour after its command, so completions may be folded as long as commands were
read to their end within the hour.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter

from meter import topics
from meter.records import Chunk, HoleError
from streams.engine.clocks import MachineClock
from streams.engine.inputs import InputEnd
from streams.engine.limits import Limits

#: How long completions go on without the commands having been read to their end: a price takes effect no sooner.
COMMANDS_SILENCE_S = 3_600.0

_timestamp = attrgetter("timestamp")


class CommandsRule:
    """Whether completions may be folded: commands were read to their end within the hour."""

    def __init__(self, end: int, seen_end: Callable[[], InputEnd | None], clock: MachineClock) -> None:
        """`end`: of the commands, when the partition was opened; `seen_end`: as the last fetch saw it."""
        self._end = end
        self._seen_end = seen_end
        self._clock = clock
        self._end_at: float | None = None

    def allows(self, next_command: int) -> bool:
        """`next_command`: the position of the first command that is not taken yet."""
        if next_command < self._end:
            return False
        seen = self._seen_end()
        if seen is not None and next_command >= seen.end:
            self._end_at = seen.seen_at
        if self._end_at is None:
            self._end_at = self._clock.monotonic()  # the end taken at opening
        return self._clock.monotonic() - self._end_at < COMMANDS_SILENCE_S


class InputQueues:
    """The chunks of a partition that wait for a step, input by input, without a hole between them."""

    def __init__(self, partition: int, positions: Mapping[str, int], commands: CommandsRule, limits: Limits) -> None:
        """`positions`: of each input the next to read."""
        self._partition = partition
        self._commands = commands
        self._limits = limits
        self._queues: dict[str, deque[Chunk]] = {topic: deque() for topic in topics.INPUTS}
        self._records = dict.fromkeys(topics.INPUTS, 0)
        self._has_room = asyncio.Event()
        self._has_room.set()
        #: Up to where each input was offered: the next position to read.
        self.expected = dict(positions)
        #: The latest record time, in ms, of the records that are queued, and of some that were; 0: none is.
        self.latest_ms = 0

    def has_room(self, topic: str) -> bool:
        """Whether more of an input should be fetched."""
        return self._records[topic] < self._limits.queue_records

    async def wait_for_room(self) -> None:
        """Wait until more of any input should be fetched."""
        await self._has_room.wait()

    @property
    def records(self) -> int:
        """How many records wait."""
        return sum(self._records.values())

    def offer(self, chunk: Chunk) -> bool:
        """Queue a chunk; whether that brought records.

        What is below the expected position is trimmed; a hole above raises HoleError.
        """
        expected = self.expected[chunk.topic]
        if chunk.next <= expected:
            return False
        if chunk.start > expected:
            raise HoleError(f"{chunk.topic}[{self._partition}]: expected position {expected}, fetched {chunk.start}")
        if chunk.start < expected:
            chunk = Chunk(chunk.topic, expected, chunk.next, [r for r in chunk.records if r.offset >= expected])
        self._queues[chunk.topic].append(chunk)
        self.expected[chunk.topic] = chunk.next
        self._records[chunk.topic] += len(chunk.records)
        if not any(map(self.has_room, topics.INPUTS)):
            self._has_room.clear()
        if not chunk.records:
            return False
        self.latest_ms = max(self.latest_ms, *map(_timestamp, chunk.records))
        return True

    def take(self) -> list[Chunk]:
        """The next step's chunks, in the order in which they are folded."""
        taken: list[Chunk] = []
        room = self._limits.step_records
        for topic in topics.INPUTS:
            queue = self._queues[topic]
            if topic != topics.COMMANDS and not self._commands.allows(self._next_to_take(topics.COMMANDS)):
                break
            while queue and room > 0:
                chunk = queue.popleft()
                if len(chunk.records) > room:
                    chunk, rest = split(chunk, room)
                    queue.appendleft(rest)
                taken.append(chunk)
                room -= len(chunk.records)
                self._records[topic] -= len(chunk.records)
        if not any(self._queues.values()):
            self.latest_ms = 0
        if any(map(self.has_room, topics.INPUTS)):
            self._has_room.set()
        return taken

    def _next_to_take(self, topic: str) -> int:
        queue = self._queues[topic]
        return queue[0].start if queue else self.expected[topic]

    def put_back(self, chunks: Iterable[Chunk]) -> bool:
        """Chunks without records wait for the records that follow them; whether any record waits."""
        for chunk in reversed([*chunks]):
            self._queues[chunk.topic].appendleft(chunk)
        return self.hold_records

    @property
    def hold_records(self) -> bool:
        """Whether any record waits."""
        return any(chunk.records for queue in self._queues.values() for chunk in queue)

    def covered(self) -> dict[str, int]:
        """Up to where each input is taken; what holds no records, only markers, counts as taken."""
        return {
            topic: next((chunk.start for chunk in queue if chunk.records), self.expected[topic])
            for topic, queue in self._queues.items()
        }

    def forget(self) -> None:
        """Drop what is queued: it is read again."""
        for queue in self._queues.values():
            queue.clear()
        self._records = dict.fromkeys(topics.INPUTS, 0)
        self.latest_ms = 0

    def expect(self, positions: Mapping[str, int]) -> None:
        """Nothing is queued: each input is to be read on from here."""
        self.expected = dict(positions)
        self._has_room.set()


def split(chunk: Chunk, count: int) -> tuple[Chunk, Chunk]:
    """The first records of a chunk, and the rest: the cut lies at the first record of the rest."""
    cut = chunk.records[count].offset
    return (
        Chunk(chunk.topic, chunk.start, cut, chunk.records[:count]),
        Chunk(chunk.topic, cut, chunk.next, chunk.records[count:]),
    )
