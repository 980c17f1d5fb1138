"""Which inputs are read, from where, and for whom: between the consumer, which fetches, and the owners, which queue.

Whenever an input is read anew, from another position, that is a new reading with a number of its own. What was fetched
of a former reading may still be on its way; it is dropped.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from faust.types import TP

from meter import topics
from meter.records import Chunk
from streams.engine.inputs import Fetched
from streams.engine.owner import PartitionOwner
from streams.settings import Settings


class Reads(Protocol):
    """What readings need of the consumer."""

    async def read(self, positions: Mapping[TP, int], reading: int) -> None:
        """Read some inputs from these positions on, under this number."""

    async def read_no_more(self, tps: Iterable[TP]) -> None:
        """Stop reading some inputs."""


class Readings:
    """The readings of a worker's open partitions."""

    def __init__(self, settings: Settings, reader: Reads) -> None:
        self._settings = settings
        self._reader = reader
        self._owners: dict[int, PartitionOwner] = {}
        self._numbers: dict[TP, int] = {}
        self._last = 0
        self._changed = asyncio.Event()

    async def begin(self, owner: PartitionOwner) -> None:
        """Read all inputs of a partition from where its owner is."""
        self._owners[owner.state.partition] = owner
        await self._read([owner])

    async def again(self) -> None:
        """Faust has dropped what was on its way to the agent: read it again."""
        await self._read(self._owners.values())

    async def _read(self, owners: Iterable[PartitionOwner]) -> None:
        self._last += 1
        positions = {
            self._tp(topic, owner.state.partition): offset
            for owner in owners
            for topic, offset in owner.queues.expected.items()
        }
        self._numbers.update(dict.fromkeys(positions, self._last))
        await self._reader.read(positions, self._last)
        self._changed.set()

    def drop(self, partition: int) -> None:
        """Accept nothing of a partition from now on."""
        self._owners.pop(partition, None)
        for tp in self._inputs(partition):
            self._numbers.pop(tp, None)

    def drop_all(self) -> None:
        """Accept nothing any more."""
        for partition in [*self._owners]:
            self.drop(partition)

    async def end(self, partition: int) -> None:
        """Read nothing of a partition any more."""
        self.drop(partition)
        await self._reader.read_no_more(self._inputs(partition))

    def accept(self, fetched: Fetched) -> Iterator[tuple[PartitionOwner, Chunk]]:
        """The chunks that a fetch has brought, each with its owner; without those of former readings."""
        for tp, reading, chunk in fetched.chunks:
            if self._numbers.get(tp) == reading:
                yield self._owners[tp.partition], chunk

    def ready(self) -> tuple[set[TP], bool]:
        """Inputs to fetch now, and whether that is all there are."""
        ready = {tp for tp in self._numbers if self._has_room(tp)}
        return ready, len(ready) == len(self._numbers)

    def _has_room(self, tp: TP) -> bool:
        return self._owners[tp.partition].queues.has_room(self._settings.bare(tp.topic))

    async def wait_for_room(self, timeout_s: float) -> None:
        """Wait until some input may be fetched, or for a time."""
        self._changed.clear()
        waits: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(owner.queues.wait_for_room()) for owner in self._owners.values()
        ]
        waits.append(asyncio.ensure_future(self._changed.wait()))
        _, pending = await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in pending:
            wait.cancel()

    def committed(self) -> dict[TP, int]:
        """What is folded and committed, by input."""
        return {
            self._tp(topic, partition): offset
            for partition, owner in self._owners.items()
            for topic, offset in owner.state.position.next.items()
        }

    def _inputs(self, partition: int) -> list[TP]:
        return [self._tp(topic, partition) for topic in topics.INPUTS]

    def _tp(self, topic: str, partition: int) -> TP:
        return TP(self._settings.topic(topic), partition)
