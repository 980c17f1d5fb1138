"""A process that uses a dedupe index on a small disk, and ends as a worker would."""

import os
import sys
from pathlib import Path

from meter.dedupe import Sighting
from streams.engine.disk_index import DiskIndex
from streams.errors import NoRoomError

BATCH = 1000


def fill_up(directory: Path) -> Path:
    """Leave nothing of the disk."""
    path = directory / "else"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return path
    raise AssertionError


def add(seen: DiskIndex, start: int, end: int) -> None:
    for at in range(start, end, BATCH):
        seen.add((f"job-{n}", Sighting(n, n)) for n in range(at, at + BATCH))
        seen.priced_next = at + BATCH


def grows(directory: Path) -> None:
    """Until there is no room; what was saved is there, and there is again room for more once something is deleted."""
    other = directory / "other"
    other.write_bytes(bytes(1000 << 10))
    seen = DiskIndex.open(directory / "index", 0, "meter", "log")
    add(seen, 0, 11_000)
    seen.save()
    try:
        add(seen, 11_000, 100_000)
    except NoRoomError as error:
        print(error)
    else:
        raise AssertionError("there was room")
    seen.close()
    assert len(list(directory.rglob("*.table"))) == 1
    other.unlink()
    seen = DiskIndex.open(directory / "index", 0, "meter", "log")
    assert (len(seen), seen.priced_next) == (11_000, 11_000)
    add(seen, 11_000, 16_000)
    assert len(seen.find([f"job-{n}" for n in range(16_000)])) == 16_000
    seen.save()


def saves(directory: Path) -> None:
    """Where there is no room for the mark, the one before stays."""
    seen = DiskIndex.open(directory / "index", 0, "meter", "log")
    add(seen, 0, 1000)
    seen.save()
    add(seen, 1000, 2000)
    other = fill_up(directory)
    try:
        seen.save()
    except NoRoomError as error:
        print(error)
    else:
        raise AssertionError("there was room")
    seen.close()
    other.unlink()
    seen = DiskIndex.open(directory / "index", 0, "meter", "log")
    assert seen.priced_next == 1000
    assert not list(directory.rglob("*.new"))


def begins(directory: Path) -> None:
    """An index of which not even the first table fits."""
    fill_up(directory)
    DiskIndex.open(directory / "index", 0, "meter", "log")


def holes(directory: Path) -> None:
    """A table whose file has holes, as a copy may have, takes its room when it is opened."""
    seen = DiskIndex.open(directory / "index", 0, "meter", "log")
    seen.save()
    seen.close()
    (path,) = directory.rglob("*.table")
    content = path.read_bytes()
    with path.open("wb") as file:
        file.write(content[:4096])
        file.truncate(len(content))
    fill_up(directory)
    DiskIndex.open(directory / "index", 0, "meter", "log")


if __name__ == "__main__":
    try:
        globals()[sys.argv[1]](Path(sys.argv[2]))
    except NoRoomError as error:
        print(error)
        sys.stdout.flush()
        os._exit(error.code)
