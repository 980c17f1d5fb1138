"""What only its owner may read: customers' usage and balances, webhooks' secrets, Kafka's own secret.

Each command makes its files with this mask. What an earlier version has left open is closed when it is met.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from streams.errors import SettingError

OTHERS = 0o077
#: What a data directory holds besides the folder of an app id.
OURS = ("kafka", "kafka-cluster", "read-model.sqlite", "up.")
ROOT = 0


@contextmanager
def masked() -> Iterator[None]:
    """Whatever the block makes is for its owner alone: folders 0700, files 0600."""
    before = os.umask(OTHERS)
    try:
        yield
    finally:
        os.umask(before)


def new_folder(path: Path) -> None:
    """A folder for its owner alone, with those above it that are missing. One that is there stays as it is."""
    if not path.parent.exists():
        new_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def make_folder(path: Path) -> None:
    """The same, and one that is there is closed to others."""
    new_folder(path)
    close(path)


def write(path: Path, text: str) -> None:
    """Put a text into a file that is closed to others before anything is in it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.truncate()
        file.write(text)


def create(path: Path) -> BinaryIO:
    """A file for its owner alone, opened to be written anew."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb")


def append(path: Path) -> BinaryIO:
    """A file for its owner alone, opened to add to it, and to be read from its start."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "a+b")
    os.fchmod(file.fileno(), 0o600)
    return file


def keep(path: Path, *, make: bool) -> None:
    """Close a file to others, and make it where it is missing, if it is to be made. What cannot be done is not."""
    with suppress(OSError):
        if make and not path.exists():
            append(path).close()
        close(path)


def close(path: Path) -> None:
    """Take from others what they may do with a file or folder. Raises PermissionError where it is not ours."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & OTHERS:
        path.chmod(mode & ~OTHERS)


def close_data_dir(data_dir: Path, app_id: str) -> None:
    """Close a data directory that is there, or, where others' files are in it too, what is the meter's in it.

    Raises SettingError where it is no directory, is closed to us, or is somebody else's and open to everybody.
    """
    try:
        entries = list(data_dir.iterdir())
    except NotADirectoryError as error:
        raise SettingError(f"METER_DATA_DIR: {data_dir} is no directory") from error
    except FileNotFoundError:
        return  # whoever needs it makes it, or says so
    except PermissionError as error:
        whose = "another user's" if _is_anothers(data_dir) else "not to be read"
        raise SettingError(f"METER_DATA_DIR: {data_dir} is {whose}: choose another directory") from error
    ours = [entry for entry in entries if entry.name == app_id or entry.name.startswith(OURS)]
    for path in ours if len(ours) < len(entries) or data_dir.is_mount() else [data_dir, *ours]:
        _close_ours(path)


def _is_anothers(path: Path) -> bool:
    try:
        return path.stat().st_uid != os.geteuid()
    except OSError:
        return False  # nor is it known, where the folder above it is closed


def _close_ours(path: Path) -> None:
    try:
        close(path)
    except FileNotFoundError:
        return
    except PermissionError as error:
        if path.stat().st_uid == ROOT:  # a volume that was made for us; what is in it is closed
            return
        raise SettingError(
            f"METER_DATA_DIR: {path} belongs to another user and is open to others: choose another directory"
        ) from error
