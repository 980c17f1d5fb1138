"""One `meter up` for a data directory: a lock that it holds, and that its processes inherit.

The kernel frees it however they end. Until the last one has ended there is nothing to start in their place: they have
the ports.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from streams.broker.connect import Say
from streams.broker.state import start_time
from streams.errors import SettingError
from streams.process import locks
from streams.process.private import append, new_folder

LOOK_EVERY_S = 0.1


@contextmanager
def only_one(data_dir: Path, say: Say) -> Iterator[int]:
    """Hold the lock of a data directory for the block; gives its descriptor.

    Waits for what a killed one has left behind. Raises SettingError where another one runs.
    """
    try:
        new_folder(data_dir)
        file = append(data_dir / "up.lock")
    except OSError as error:
        raise SettingError(f"METER_DATA_DIR: {data_dir}: {error.strerror}") from error
    with file:
        _take(file, data_dir, say)
        file.truncate(0)
        file.write(f"{os.getpid()} {start_time(os.getpid())}".encode())
        file.flush()
        yield file.fileno()


def holder(data_dir: Path) -> int | None:
    """The process of the `meter up` that runs on a data directory; not on the one that this is a copy of."""
    if not is_held(data_dir):
        return None
    try:
        with (data_dir / "up.lock").open("rb") as file:
            return _holder(file)
    except OSError:
        return None


def is_held(data_dir: Path) -> bool:
    """Whether `meter up`, or a process of one, is there: they all hold the lock."""
    with suppress(OSError):
        return locks.is_taken(data_dir / "up.lock")
    return False


def is_lost(data_dir: Path, lock: int) -> bool:
    """Whether the data directory of a lock's descriptor is no longer there, or another one stands in its place."""
    try:
        return not os.path.samestat(os.fstat(lock), (data_dir / "up.lock").stat())
    except FileNotFoundError:
        return True


def _take(file: IO[bytes], data_dir: Path, say: Say) -> None:
    has_told = False
    while not locks.take(file):
        if (pid := _holder(file)) is not None:
            raise SettingError(f"`meter up` runs on {data_dir} already (process {pid})")
        if not has_told:
            say("waiting for the end of what a killed `meter up` has left")
            has_told = True
        time.sleep(LOOK_EVERY_S)  # other programs' children: their end cannot be waited for


def _holder(file: IO[bytes]) -> int | None:
    """The process that has taken the lock, if it is there; its start time says that it is the same one."""
    file.seek(0)
    pid, _, started = file.read().decode("ascii", "replace").partition(" ")
    return int(pid) if pid.isdecimal() and start_time(int(pid)) == started else None
