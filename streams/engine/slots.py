"""The table of the dedupe index: memory-mapped slots, the thread that makes a larger one, and what a disk may refuse.

Open addressing with linear probing, a whole chunk at a time in numpy. See `disk_index.py` for what the slots mean.
"""

import errno
import mmap
import os
import secrets
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from streams.errors import NoRoomError, SettingError
from streams.process import locks

SLOT_BYTES = 32
#: Before the slots: the file's own name and seed, so that no table is taken for another.
HEADER_BYTES = 4096
MIN_SLOTS = 1 << 14
MAX_LOAD = 0.7
#: While a new table is made beside the steps, the old one may fill up to here.
MOST_LOAD = 0.9
#: A table of so many slots is copied at once, in some 20 ms; a larger one beside the steps: a million ids take most of
#: a second.
COPIED_AT_ONCE = 1 << 16
#: Slots copied at a time, so that the steps have the interpreter in between.
PART_SLOTS = 1 << 14
#: A table counts as in use after so many tries, so many seconds apart.
GLANCE_TRIES = 20
GLANCE_S = 0.005

Rows = npt.NDArray[np.uint64]


class SlotTable:
    """The memory-mapped slots of one file, locked while it is open: a table has one writer.

    It is held by its index, and by a save on its way: growth lets go of it, and the last to do so closes it.
    """

    def __init__(self, path: Path, seed: int, slots: int | None = None) -> None:
        """Open a table, or make it with so many slots. Raises OSError, and ValueError where it is not what it says."""
        self.path = path
        self.seed = seed
        self._holders = 1
        self._letting_go = threading.Lock()
        self._file = path.open("r+b" if slots is None else "x+b")
        try:
            self._lock()
            if os.fstat(self._file.fileno()).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "dropped before it was locked", str(path))
            header = f"meter dedupe index {path.name} {seed}\n".encode()
            if slots is not None:
                self._file.write(header.ljust(HEADER_BYTES, b"\0"))
                self._file.flush()
            elif self._file.read(HEADER_BYTES).rstrip(b"\0") != header:
                raise ValueError("another table")
            # All of it, before it is mapped: a disk that is full later would end the process without a word.
            size = path.stat().st_size if slots is None else HEADER_BYTES + slots * SLOT_BYTES
            os.posix_fallocate(self._file.fileno(), 0, size)
            self._map = mmap.mmap(self._file.fileno(), 0)
        except (OSError, ValueError):
            self._file.close()
            if slots is not None:
                path.unlink(missing_ok=True)
            raise
        self.rows: Rows = np.frombuffer(self._map, dtype=np.uint64, offset=HEADER_BYTES).reshape(-1, 4)
        self.slots = len(self.rows)
        self.used = int(np.count_nonzero(self._occupied(self.rows)))

    def _lock(self) -> None:
        """Raises BlockingIOError for a table that is in use; who only looks whether it is has the lock for a moment."""
        for _ in range(GLANCE_TRIES):
            if locks.take(self._file):
                return
            time.sleep(GLANCE_S)
        raise BlockingIOError(errno.EWOULDBLOCK, "in use", str(self.path))

    @classmethod
    def make(cls, directory: Path, partition: int, seed: int, slots: int) -> Self:
        """A new table with a name of its own. Raises OSError."""
        while True:
            # Between its making and its lock, somebody who tidies up may take it for one that nobody uses.
            with suppress(FileNotFoundError):
                return cls(directory / _new_name(partition), seed, slots)
            directory.stat()

    @staticmethod
    def _occupied(rows: Rows) -> npt.NDArray[np.bool_]:
        occupied: npt.NDArray[np.bool_] = (rows[:, 0] | rows[:, 1]) != 0
        return occupied

    def flush(self) -> None:
        """Put the slots on disk. Not by the map's own flush: it keeps the interpreter while it waits for the disk."""
        os.fdatasync(self._file.fileno())

    def hold(self) -> None:
        """One more needs it open."""
        with self._letting_go:
            self._holders += 1

    def close(self) -> None:
        """Let go of it; the last one closes it."""
        with self._letting_go:
            self._holders -= 1
            if self._holders:
                return
        self.rows = np.empty((0, 4), dtype=np.uint64)
        with suppress(BufferError):  # a view is still alive somewhere: the map goes with it
            self._map.close()
        self._file.close()

    def _start(self, keys: Rows) -> npt.NDArray[np.int64]:
        return (((keys[:, 0] >> np.uint64(32)) * np.uint64(self.slots)) >> np.uint64(32)).astype(np.int64)

    def find(self, keys: Rows) -> tuple[npt.NDArray[np.int64], Rows]:
        """Places in `keys` (n x 2) that are there, and their rows."""
        slot = self._start(keys)
        pending = np.arange(len(keys))
        places, rows = [], []
        while pending.size:
            found = self.rows[slot[pending]]
            same = (found[:, 0] == keys[pending, 0]) & (found[:, 1] == keys[pending, 1])
            if same.any():
                places.append(pending[same])
                rows.append(found[same])
            pending = pending[~same & self._occupied(found)]
            slot[pending] = (slot[pending] + 1) % self.slots
        if not places:
            return np.empty(0, dtype=np.int64), np.empty((0, 4), dtype=np.uint64)
        return np.concatenate(places), np.concatenate(rows)

    def put(self, rows: Rows) -> None:
        """Write rows (n x 4) of different keys, over those of the same key; there must be room."""
        slot = self._start(rows)
        pending = np.arange(len(rows))
        while pending.size:
            at = slot[pending]
            found = self.rows[at]
            same = (found[:, 0] == rows[pending, 0]) & (found[:, 1] == rows[pending, 1])
            free = ~self._occupied(found)
            mine = same | free
            self.rows[at[mine]] = rows[pending[mine]]  # where several want one free slot, one of them gets it
            now = self.rows[at]
            done = mine & (now[:, 0] == rows[pending, 0]) & (now[:, 1] == rows[pending, 1])
            self.used += int(np.count_nonzero(done & free))
            pending = pending[~done]
            slot[pending] = (slot[pending] + 1) % self.slots

    def live(self, since_ms: int) -> Iterator[Rows]:
        """The rows whose record time is not before an instant, a part of the table at a time."""
        since = np.uint64(max(since_ms, 0))
        for start in range(0, self.slots, PART_SLOTS):
            part = self.rows[start : start + PART_SLOTS]
            yield part[self._occupied(part) & (part[:, 3] >= since)]


class Growth(threading.Thread):
    """A new table for what is still needed of one that fills, made beside the steps.

    Meanwhile the old one is asked and added to; what is added is put into the new one as well, over what the copy may
    have caught half written.
    """

    def __init__(self, directory: Path, partition: int, old: SlotTable, since_ms: int, room: int) -> None:
        super().__init__(name="dedupe-index-growth", daemon=True)
        self._directory = directory
        self._old = old
        self._partition = partition
        self._since_ms = since_ms
        self._room = room
        self._added: deque[Rows] = deque()
        self._error: BaseException | None = None
        self._table: SlotTable | None = None

    def also(self, rows: Rows) -> None:
        """Rows that the old table was given meanwhile."""
        self._added.append(rows)

    def run(self) -> None:
        """Copy; an error is raised by `finish`."""
        try:
            live = sum(len(rows) for rows in self._old.live(self._since_ms))
            filling = live + int((MOST_LOAD - MAX_LOAD) * self._old.slots) if is_large(self._old) else 0
            slots = max(MIN_SLOTS, (live + self._room) * 2, int(filling / MAX_LOAD))
            with on_disk(self._directory, HEADER_BYTES + slots * SLOT_BYTES):
                table = self._table = SlotTable.make(self._directory, self._partition, self._old.seed, slots)
            for rows in self._old.live(self._since_ms):
                table.put(rows)
            self._put_added(table)
        except BaseException as error:
            self._error = error

    def _put_added(self, table: SlotTable) -> None:
        while self._added:
            table.put(self._added.popleft())

    def finish(self) -> SlotTable:
        """The new table, whole. Raises NoRoomError."""
        self.join()
        if self._error is not None:
            raise self._error
        assert self._table is not None
        self._put_added(self._table)
        return self._table

    def abandon(self) -> None:
        """The index is closed: nobody needs it."""
        self.join()
        if self._table is not None:
            self._table.close()
            self._table.path.unlink(missing_ok=True)


def is_large(table: SlotTable) -> bool:
    return table.slots > COPIED_AT_ONCE


@contextmanager
def on_disk(directory: Path, needed: int) -> Iterator[None]:
    """Says in one line what a disk has refused; `needed` is in bytes."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoRoomError(
                f"no room for the dedupe index in {directory}: {needed:,} bytes are needed, {_free(directory):,} are "
                "free; make room and start again, nothing was lost"
            ) from error
        raise SettingError(f"METER_DATA_DIR: {directory}: {error.strerror or error}") from error


def _free(directory: Path) -> int:
    """Bytes that are free on the disk of a directory, which may not be there yet."""
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def is_in_use(path: Path) -> bool:
    """Whether some process, or this one, has a table open; one that cannot be looked at is no table to take."""
    try:
        return locks.is_taken(path)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def drop_unused(path: Path) -> None:
    """Remove a table that nobody has open. Under its lock: whoever opens it at that moment sees that it is gone."""
    with suppress(OSError), path.open("rb") as file:
        if locks.take(file):
            path.unlink()


def _new_name(partition: int) -> str:
    return f"seen-{partition}-{secrets.token_hex(6)}.table"
