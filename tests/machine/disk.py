"""A disk of a few MiB: a file system in memory, mounted on a folder."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """Mount one of so many MiB on a folder, which is made if need be. Fails the test where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0777", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"this test mounts a small disk, as root with CAP_SYS_ADMIN: {done.stderr.strip()}", pytrace=False)
    try:
        yield folder
    finally:
        # Lazy: a process that is just being killed may still have files open there.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
