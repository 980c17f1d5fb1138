"""A disk of a few MiB, really full when it is full: a file system in memory, seen by one process and its children."""

import os
from collections.abc import Sequence
from pathlib import Path


def on_small_disk(place: Path, size_kib: int, command: Sequence[str | os.PathLike[str]]) -> list[str]:
    """A command whose `place`, a directory that is there, is a disk of its own of this size."""
    script = 'mount -t tmpfs -o "size=$1k" tmpfs "$0" && shift && exec "$@"'
    own_rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *own_rights, "sh", "-c", script, str(place), str(size_kib), *map(os.fspath, command)]
