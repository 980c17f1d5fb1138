"""The dedupe index on disk: which jobs were priced, as far back as is still asked for, exactly. A memory-mapped table.

One slot of 32 bytes a job: 128 bits of its key's digest, 64 of its content's, its record time. Open addressing with
linear probing, a whole chunk at a time in numpy. The digest is seeded at random for each file, so that nobody can
choose job ids that collide. The table lives in the page cache: the system takes its memory back when it needs it.

It is written after the commit only, and the position in `usage.priced` up to which it is true is saved after the slots
themselves are on disk. So it is never ahead of what is committed; where it is behind, `usage.priced` brings it up, and
adding a job twice changes nothing. A crash may tear one slot: what is read again from `usage.priced` writes it whole.

A position alone proves nothing: a log that was restored or made anew has the same ones. So the mark names the log, and
keeps the seal of the record below its position; whoever opens the index compares both (see `recovery.py`).
"""

import errno
import fcntl
import json
import mmap
import os
import secrets
import shutil
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_128_digest

from meter.dedupe import Sighting
from meter.identity import Seal
from streams.errors import NoRoomError, SettingError

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
MARK_VERSION = 2
#: What a mark takes on the disk.
MARK_BYTES = 4096

Rows = npt.NDArray[np.uint64]


class Mark(NamedTuple):
    """What is saved beside the table: of which log and file it is, and up to where in `usage.priced` it is true."""

    meter_id: str
    #: Ids of the cluster and of `usage.priced`.
    log: str
    partition: int
    file: str
    slots: int
    seed: int
    #: So many slots were on disk at least: where there are fewer, some were lost.
    used: int
    priced_next: int
    #: The last record of `usage.priced` below that position.
    below: Seal | None


class _Table:
    """The memory-mapped slots of one file, locked while it is open: a table has one writer.

    It is held by its index, and by a save on its way: growth lets go of it, and the last to do so closes it.
    """

    def __init__(self, path: Path, seed: int, slots: int | None = None) -> None:
        """Open a table, or make it with so many slots. Raises OSError, and ValueError where it is not what it says."""
        self.path = path
        self._holders = 1
        self._letting_go = threading.Lock()
        self._file = path.open("r+b" if slots is None else "x+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


class _Growth(threading.Thread):
    """A new table for what is still needed of one that fills, made beside the steps.

    Meanwhile the old one is asked and added to; what is added is put into the new one as well, over what the copy may
    have caught half written.
    """

    def __init__(self, directory: Path, old: _Table, mark: Mark, since_ms: int, room: int) -> None:
        super().__init__(name="dedupe-index-growth", daemon=True)
        self._directory = directory
        self._old = old
        self._mark = mark
        self._since_ms = since_ms
        self._room = room
        self._added: deque[Rows] = deque()
        self._error: BaseException | None = None
        self._table: _Table | None = None

    def also(self, rows: Rows) -> None:
        """Rows that the old table was given meanwhile."""
        self._added.append(rows)

    def run(self) -> None:
        """Copy; an error is raised by `finish`."""
        try:
            live = sum(len(rows) for rows in self._old.live(self._since_ms))
            filling = live + int((MOST_LOAD - MAX_LOAD) * self._old.slots) if _is_large(self._old) else 0
            slots = max(MIN_SLOTS, (live + self._room) * 2, int(filling / MAX_LOAD))
            file = _new_file(self._mark.partition)
            with _disk(self._directory, HEADER_BYTES + slots * SLOT_BYTES):
                table = _Table(self._directory / file, self._mark.seed, slots)
            self._table, self._mark = table, self._mark._replace(file=file, slots=slots)
            for rows in self._old.live(self._since_ms):
                table.put(rows)
            self._put_added(table)
        except BaseException as error:
            self._error = error

    def _put_added(self, table: _Table) -> None:
        while self._added:
            table.put(self._added.popleft())

    def finish(self) -> tuple[_Table, Mark]:
        """The new table, whole, and its mark, which is not saved yet. Raises NoRoomError."""
        self.join()
        if self._error is not None:
            raise self._error
        assert self._table is not None
        self._put_added(self._table)
        return self._table, self._mark

    def abandon(self) -> None:
        """The index is closed: nobody needs it."""
        self.join()
        if self._table is not None:
            self._table.close()
            self._table.path.unlink(missing_ok=True)


def _is_large(table: _Table) -> bool:
    return table.slots > COPIED_AT_ONCE


class Saving:
    """A table and what is true of it now, to be put on disk while it is added to: what is added only makes it more."""

    def __init__(self, directory: Path, table: _Table, mark: Mark) -> None:
        self._directory = directory
        self._table = table
        self._mark = mark
        table.hold()

    def run(self) -> None:
        """The slots first, then the mark that says up to where they are true. Raises NoRoomError. For any thread."""
        try:
            with _disk(self._directory, MARK_BYTES):
                self._table.flush()
                self._write_mark()
            self._drop_others()
        finally:
            self._table.close()

    def _write_mark(self) -> None:
        path = _mark_path(self._directory, self._mark.partition)
        scratch = path.with_suffix(f".{os.getpid()}.new")
        try:
            with scratch.open("w") as file:
                json.dump({"v": MARK_VERSION, **self._mark._asdict()}, file)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        except OSError:
            scratch.unlink(missing_ok=True)
            raise

    def _drop_others(self) -> None:
        for path in self._directory.glob(f"seen-{self._mark.partition}-*.table"):
            if path.name != self._mark.file and not _in_use(path):
                path.unlink(missing_ok=True)


class DiskSeen:
    """The jobs of one partition that were priced within the horizon. See `meter.dedupe.Seen`."""

    def __init__(self, directory: Path, table: _Table, mark: Mark) -> None:
        self._directory = directory
        self._table = table
        self._mark = mark
        self._digests: dict[str, bytes] = {}
        self._growth: _Growth | None = None
        #: Record time in ms before which nothing is asked for any more; what is older goes when the table grows.
        self.needed_since_ms = 0
        #: Position in `usage.priced` up to which the table is true, and the seal of the last record below it.
        self.priced_next = mark.priced_next
        self.below = mark.below

    @classmethod
    def open(cls, directory: Path, partition: int, meter_id: str, log: str, *, anew: bool = False) -> Self:
        """The index of a partition; an empty one where it is missing, damaged, of another log, or in use elsewhere.

        `log`: the ids of the cluster and of `usage.priced`. Raises NoRoomError, and SettingError for a directory that
        cannot be used.
        """
        with _disk(directory, HEADER_BYTES + MIN_SLOTS * SLOT_BYTES):
            directory.mkdir(parents=True, exist_ok=True)
            found = None if anew else _read_mark(directory, partition)
            if found is not None and (found.meter_id, found.log, found.partition) == (meter_id, log, partition):
                table = _saved_table(directory, found)
                if table is not None:
                    return cls(directory, table, found)
            file, seed = _new_file(partition), secrets.randbits(63)
            mark = Mark(meter_id, log, partition, file, MIN_SLOTS, seed, 0, 0, None)
            return cls(directory, _Table(directory / file, seed, MIN_SLOTS), mark)

    def __len__(self) -> int:
        return self._table.used

    @property
    def size_bytes(self) -> int:
        """Size of the table in bytes."""
        return HEADER_BYTES + self._table.slots * SLOT_BYTES

    def _digest(self, key: str) -> bytes:
        digest = xxh3_128_digest(key.encode(), self._mark.seed)
        return digest if any(digest) else b"\1" * 16

    def find(self, keys: Sequence[str]) -> Mapping[int, Sighting]:
        """See `Seen.find`."""
        if not keys:
            return {}
        seed = self._mark.seed
        digests = [xxh3_128_digest(key.encode(), seed) for key in keys]
        self._digests.update(zip(keys, digests, strict=True))
        packed = np.frombuffer(b"".join(digests), dtype=np.uint64).reshape(-1, 2)
        places, rows = self._table.find(packed)
        return {
            int(place): Sighting(int(row[2]), int(row[3])) for place, row in zip(places.tolist(), rows, strict=True)
        }

    def add(self, sightings: Iterable[tuple[str, Sighting]]) -> None:
        """See `Seen.add`."""
        pairs = dict(sightings)  # of a key that comes twice, the later one
        known, self._digests = self._digests, {}
        if not pairs:
            return
        rows = np.empty((len(pairs), 4), dtype=np.uint64)
        digests = b"".join([known.get(key) or self._digest(key) for key in pairs])
        rows[:, :2] = np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)
        rows[:, 2] = np.array([sighting[0] for sighting in pairs.values()], dtype=np.uint64)
        times = np.array([max(sighting[1], 0) for sighting in pairs.values()], dtype=np.uint64)
        rows[:, 3] = times
        self._make_room(len(rows))
        self._table.put(rows)
        if self._growth is not None:
            self._growth.also(rows)

    def _make_room(self, count: int) -> None:
        """See that so many more fit. The mark names the old table until the new one is saved."""
        filled = self._table.used + count
        if self._growth is None and filled > MAX_LOAD * self._table.slots:
            self._growth = _Growth(self._directory, self._table, self._mark, self.needed_since_ms, count)
            self._growth.start()
        if self._growth is not None and self._must_finish(filled):
            growth, old, self._growth = self._growth, self._table, None
            self._table, self._mark = growth.finish()
            old.close()

    def _must_finish(self, filled: int) -> bool:
        assert self._growth is not None
        return not (self._growth.is_alive() and _is_large(self._table) and filled <= MOST_LOAD * self._table.slots)

    def saving(self) -> Saving:
        """What is to be put on disk now: see `Saving`. One at a time."""
        mark = self._mark._replace(priced_next=self.priced_next, below=self.below, used=self._table.used)
        return Saving(self._directory, self._table, mark)

    def save(self) -> None:
        """Put the index on disk, and wait for it. Raises NoRoomError."""
        self.saving().run()

    def close(self) -> None:
        """Let go of the file and its lock; what was not saved is read again from `usage.priced`."""
        if self._growth is not None:
            self._growth.abandon()
        self._table.close()


@contextmanager
def _disk(directory: Path, needed: int) -> Iterator[None]:
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


def saved_positions(directory: Path) -> dict[int, int]:
    """The partitions with an index in a directory, and the position in `usage.priced` up to which each is true."""
    found = {}
    for path in directory.glob("seen-*.json"):
        with suppress(OSError, ValueError, LookupError, TypeError):
            found[int(path.stem.removeprefix("seen-"))] = int(json.loads(path.read_text())["priced_next"])
    return found


def _mark_path(directory: Path, partition: int) -> Path:
    return directory / f"seen-{partition}.json"


def _new_file(partition: int) -> str:
    return f"seen-{partition}-{secrets.token_hex(6)}.table"


def _read_mark(directory: Path, partition: int) -> Mark | None:
    try:
        saved: dict[str, Any] = json.loads(_mark_path(directory, partition).read_text())
        if saved["v"] != MARK_VERSION:
            return None
        kinds = Mark.__annotations__ | {"below": _read_seal}
        return Mark(**{name: kind(saved[name]) for name, kind in kinds.items()})
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        return None


def _read_seal(saved: Any) -> Seal | None:
    return None if saved is None else Seal(int(saved[0]), int(saved[1]), str(saved[2]))


def _saved_table(directory: Path, mark: Mark) -> _Table | None:
    """The table of a mark; None where it is not there, not whole, or in use."""
    path = directory / mark.file
    try:
        # One that was cut off would look for its entries in the wrong slots and not find them.
        if path.stat().st_size != HEADER_BYTES + mark.slots * SLOT_BYTES or not mark.slots:
            return None
        table = _Table(path, mark.seed)
    except (OSError, ValueError):
        return None
    if table.used >= mark.used:
        return table
    table.close()
    return None


def _in_use(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
