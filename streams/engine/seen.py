"""The dedupe index on disk: which jobs were priced, as far back as is still asked for, exactly. A memory-mapped table.

One slot of 32 bytes a job: 128 bits of its key's digest, 64 of its content's, its record time. Open addressing with
linear probing, a whole chunk at a time in numpy. The digest is seeded at random for each file, so that nobody can
choose job ids that collide. The table lives in the page cache: the system takes its memory back when it needs it.

It is written after the commit only, and the position in `usage.priced` up to which it is true is saved after the slots
themselves are on disk. So it is never ahead of what is committed; where it is behind, `usage.priced` brings it up, and
adding a job twice changes nothing. A crash may tear one slot: what is read again from `usage.priced` writes it whole.
"""

import fcntl
import json
import mmap
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from xxhash import xxh3_128_digest

from meter.dedupe import Sighting

SLOT_BYTES = 32
MIN_SLOTS = 1 << 14
MAX_LOAD = 0.7

Rows = npt.NDArray[np.uint64]


class Mark(NamedTuple):
    """What is saved beside the table: of which meter and file it is, and up to where in `usage.priced` it is true."""

    meter_id: str
    file: str
    slots: int
    seed: int
    priced_next: int


class _Table:
    """The memory-mapped slots of one file, locked while it is open: a table has one writer."""

    def __init__(self, path: Path, slots: int | None = None) -> None:
        self.path = path
        self._file = path.open("r+b" if slots is None else "w+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if slots is not None:
                self._file.truncate(slots * SLOT_BYTES)
            self._map = mmap.mmap(self._file.fileno(), 0)
        except (OSError, ValueError):
            self._file.close()
            raise
        self.rows: Rows = np.frombuffer(self._map, dtype=np.uint64).reshape(-1, 4)
        self.slots = len(self.rows)
        self.used = int(np.count_nonzero(self._occupied(self.rows)))

    @staticmethod
    def _occupied(rows: Rows) -> npt.NDArray[np.bool_]:
        occupied: npt.NDArray[np.bool_] = (rows[:, 0] | rows[:, 1]) != 0
        return occupied

    def flush(self) -> None:
        self._map.flush()

    def close(self) -> None:
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

    def live(self, since_ms: int) -> Rows:
        """The rows whose record time is not before an instant."""
        return self.rows[self._occupied(self.rows) & (self.rows[:, 3] >= np.uint64(max(since_ms, 0)))]


class DiskSeen:
    """The jobs of one partition that were priced within the horizon. See `meter.dedupe.Seen`."""

    def __init__(self, directory: Path, partition: int, table: _Table, mark: Mark) -> None:
        self._directory = directory
        self._partition = partition
        self._table = table
        self._mark = mark
        self._digests: dict[str, bytes] = {}
        #: Record time in ms before which nothing is asked for any more; what is older goes when the table grows.
        self.needed_since_ms = 0
        #: Position in `usage.priced` up to which the table is true.
        self.priced_next = mark.priced_next

    @classmethod
    def open(cls, directory: Path, partition: int, meter_id: str, *, anew: bool = False) -> Self:
        """The index of a partition; an empty one where it is missing, of another meter, or in use elsewhere."""
        directory.mkdir(parents=True, exist_ok=True)
        mark = None if anew else _read_mark(directory, partition, meter_id)
        if mark is not None:
            try:
                return cls(directory, partition, _Table(directory / mark.file), mark)
            except (OSError, ValueError):
                pass
        mark = Mark(meter_id, _new_file(partition), MIN_SLOTS, secrets.randbits(63), 0)
        return cls(directory, partition, _Table(directory / mark.file, MIN_SLOTS), mark)

    def __len__(self) -> int:
        return self._table.used

    @property
    def size_bytes(self) -> int:
        """Size of the table in bytes."""
        return self._table.slots * SLOT_BYTES

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
        if self._table.used + len(rows) > MAX_LOAD * self._table.slots:
            self._grow(len(rows))
        self._table.put(rows)

    def _grow(self, room: int) -> None:
        """A new table for what is still needed; the mark still names the old one until it is saved."""
        old = self._table
        rows = old.live(self.needed_since_ms)
        slots = max(MIN_SLOTS, (len(rows) + room) * 2)
        self._mark = self._mark._replace(file=_new_file(self._partition), slots=slots)
        self._table = _Table(self._directory / self._mark.file, slots)
        self._table.put(rows)
        self._table.used = len(rows)
        old.close()

    def save(self) -> None:
        """Put the table on disk, then the mark that says up to where it is true. Safe to call from a thread."""
        mark = self._mark._replace(priced_next=self.priced_next)
        self._table.flush()
        path = _mark_path(self._directory, self._partition)
        scratch = path.with_suffix(f".{os.getpid()}.new")
        with scratch.open("w") as file:
            json.dump({"v": 1, **mark._asdict()}, file)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
        self._drop_others(mark.file)

    def _drop_others(self, keep: str) -> None:
        for path in self._directory.glob(f"seen-{self._partition}-*.table"):
            if path.name != keep and not _in_use(path):
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file and its lock; what was not saved is read again from `usage.priced`."""
        self._table.close()


def _mark_path(directory: Path, partition: int) -> Path:
    return directory / f"seen-{partition}.json"


def _new_file(partition: int) -> str:
    return f"seen-{partition}-{secrets.token_hex(6)}.table"


def _read_mark(directory: Path, partition: int, meter_id: str) -> Mark | None:
    try:
        saved: dict[str, Any] = json.loads(_mark_path(directory, partition).read_text())
        mark = Mark(**{name: kind(saved[name]) for name, kind in Mark.__annotations__.items()})
        size = (directory / mark.file).stat().st_size
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        return None
    # A table that was cut off would look for its entries in the wrong slots and not find them.
    is_whole = size > 0 and size == mark.slots * SLOT_BYTES
    return mark if saved.get("v") == 1 and mark.meter_id == meter_id and is_whole else None


def _in_use(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
