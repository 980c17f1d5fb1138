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

import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from xxhash import xxh3_128_digest

from meter import topics
from meter.dedupe import Sighting
from meter.identity import Identity, Seal
from streams.engine.slots import (
    HEADER_BYTES,
    MAX_LOAD,
    MIN_SLOTS,
    MOST_LOAD,
    SLOT_BYTES,
    Growth,
    SlotTable,
    drop_unused,
    is_in_use,
    is_large,
    on_disk,
)
from streams.process.private import create, new_folder
from streams.settings import Settings

MARK_VERSION = 2
#: What a mark takes on the disk.
MARK_BYTES = 4096


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


class Saving:
    """A table and what is true of it now, to be put on disk while it is added to: what is added only makes it more."""

    def __init__(self, directory: Path, table: SlotTable, mark: Mark) -> None:
        self._directory = directory
        self._table = table
        self._mark = mark
        table.hold()

    def run(self) -> None:
        """The slots first, then the mark that says up to where they are true. Raises NoRoomError. For any thread."""
        try:
            with on_disk(self._directory, MARK_BYTES):
                self._table.flush()
                self._write_mark()
            self._drop_others()
        finally:
            self._table.close()

    def _write_mark(self) -> None:
        path = _mark_path(self._directory, self._mark.partition)
        scratch = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}.new")
        try:
            with create(scratch) as file:
                file.write(json.dumps({"v": MARK_VERSION, **self._mark._asdict()}).encode())
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        except OSError:
            scratch.unlink(missing_ok=True)
            raise

    def _drop_others(self) -> None:
        for path in self._directory.glob(f"seen-{self._mark.partition}-*.table"):
            if path.name != self._mark.file:
                drop_unused(path)


class DiskIndex:
    """The jobs of one partition that were priced within the horizon. See `meter.dedupe.DedupeIndex`."""

    def __init__(self, directory: Path, table: SlotTable, mark: Mark) -> None:
        self._directory = directory
        self._table = table
        self._mark = mark
        self._digests: dict[str, bytes] = {}
        self._growth: Growth | None = None
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
        with on_disk(directory, HEADER_BYTES + MIN_SLOTS * SLOT_BYTES):
            new_folder(directory)
            found = None if anew else _read_mark(directory, partition)
            if found is not None and (found.meter_id, found.log, found.partition) == (meter_id, log, partition):
                table = _saved_table(directory, found)
                if table is not None:
                    return cls(directory, table, found)
            table = SlotTable.make(directory, partition, secrets.randbits(63), MIN_SLOTS)
            mark = Mark(meter_id, log, partition, table.path.name, MIN_SLOTS, table.seed, 0, 0, None)
            return cls(directory, table, mark)

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
        """See `DedupeIndex.find`."""
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
        """See `DedupeIndex.add`."""
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
            self._growth = Growth(self._directory, self._mark.partition, self._table, self.needed_since_ms, count)
            self._growth.start()
        if self._growth is not None and self._must_finish(filled):
            growth, old, self._growth = self._growth, self._table, None
            self._table = growth.finish()
            self._mark = self._mark._replace(file=self._table.path.name, slots=self._table.slots)
            old.close()

    def _must_finish(self, filled: int) -> bool:
        assert self._growth is not None
        return not (self._growth.is_alive() and is_large(self._table) and filled <= MOST_LOAD * self._table.slots)

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


def index_directory(settings: Settings) -> Path:
    """Where this machine's dedupe indexes are."""
    return settings.data_dir / settings.app_id / f"{settings.topic_prefix}seen"


def log_id(identity: Identity) -> str:
    """Which `usage.priced` an index is of: the ids of the cluster and of the topic."""
    return f"{identity.cluster}/{identity.topics.get(topics.PRICED)}"


def index_is_in_use(directory: Path, partition: int) -> bool:
    """Whether some process has the saved index of a partition open."""
    found = _read_mark(directory, partition)
    return found is not None and is_in_use(directory / found.file)


def saved_positions(directory: Path) -> dict[int, int]:
    """The partitions with an index in a directory, and the position in `usage.priced` up to which each is true."""
    found = {}
    for path in directory.glob("seen-*.json"):
        with suppress(OSError, ValueError, LookupError, TypeError):
            found[int(path.stem.removeprefix("seen-"))] = int(json.loads(path.read_text())["priced_next"])
    return found


def _mark_path(directory: Path, partition: int) -> Path:
    return directory / f"seen-{partition}.json"


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


def _saved_table(directory: Path, mark: Mark) -> SlotTable | None:
    """The table of a mark; None where it is not there, not whole, or in use."""
    path = directory / mark.file
    try:
        # One that was cut off would look for its entries in the wrong slots and not find them.
        if path.stat().st_size != HEADER_BYTES + mark.slots * SLOT_BYTES or not mark.slots:
            return None
        table = SlotTable(path, mark.seed)
    except (OSError, ValueError):
        return None
    if table.used >= mark.used:
        return table
    table.close()
    return None
