"""Locks of files, which the kernel frees however their holder ends."""

import fcntl
from pathlib import Path
from typing import IO, Any


def take(file: IO[Any]) -> bool:
    """Lock an open file for as long as it is open, here or in a process that inherits it; whether it was free."""
    return _is_given(file, fcntl.LOCK_EX)


def is_taken(path: Path) -> bool:
    """Whether some process, or this one, has a file locked. Raises OSError for one that cannot be opened."""
    with path.open("rb") as file:
        return not _is_given(file, fcntl.LOCK_SH)


def _is_given(file: IO[Any], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
