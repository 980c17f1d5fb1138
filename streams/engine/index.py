"""The dedupe index of an open partition: told of each commit, and put on disk now and then, beside the steps."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog

from meter.dedupe import DedupeIndex
from meter.identity import Seal
from streams.errors import MeterError

log = structlog.get_logger(__name__)

#: One index at a time: they are mostly on one disk.
_SAVER = ThreadPoolExecutor(1, "dedupe-index")


class Save(Protocol):
    """What is true of an index at one moment, to be put on disk."""

    def run(self) -> None:
        """Put it there. Raises NoRoomError. For any thread."""


class Index(DedupeIndex, Protocol):
    """What an owner needs of a partition's dedupe index: see `disk_index.DiskIndex`."""

    #: Record time in ms before which nothing is asked for any more.
    needed_since_ms: int
    #: Position in `usage.priced` up to which it is true, and the seal of the last record below it.
    priced_next: int
    below: Seal | None

    def __len__(self) -> int: ...

    @property
    def size_bytes(self) -> int:
        """Its size on the disk."""

    def saving(self) -> Save:
        """What is to be put on disk now; one at a time."""

    def close(self) -> None:
        """Let go of it."""


class KeptIndex:
    """Keeps a partition's dedupe index on disk: a save now and then, and one at the end."""

    def __init__(self, partition: int, dedupe: Index, *, next_save_s: float, every_s: float) -> None:
        """`next_save_s`: when it is to be saved first, on the monotonic clock."""
        self.dedupe = dedupe
        self._partition = partition
        self._next_save_s = next_save_s
        self._every_s = every_s
        self._saving: set[asyncio.Task[None]] = set()
        self._close: Callable[[], None] | None = dedupe.close

    def save_if_due(self, now_s: float) -> None:
        """Begin a save where the last one began long ago and has ended. It holds no step up."""
        if now_s > self._next_save_s and not self._saving:
            self._next_save_s = now_s + self._every_s
            save = asyncio.create_task(self._save(self.dedupe.saving()))
            self._saving.add(save)
            save.add_done_callback(self._saving.discard)

    async def saved(self) -> None:
        """Wait for the save that is under way."""
        await asyncio.gather(*self._saving)

    async def _save(self, saving: Save) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(_SAVER, saving.run)
        except MeterError as error:
            log.error("dedupe index not saved: a start reads more", partition=self._partition, reason=str(error))

    def drop(self) -> None:
        """It is of another log: let go of it, and save nothing of it."""
        if self._close is not None:
            self._close()
            self._close = None

    async def close(self) -> None:
        """Put on disk what is true of it, and let go of it."""
        if self._close is not None:
            await self.saved()
            await self._save(self.dedupe.saving())
            self.drop()
