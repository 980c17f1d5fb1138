"""A file of an export is there whole or not at all."""

import subprocess
import sys
from pathlib import Path

import pytest

from streams.export.files import whole

KILLED = """
import os, signal, sys
from pathlib import Path
from streams.export.files import whole
with whole(Path(sys.argv[1])) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_export_leaves_the_file_as_it_was_and_the_next_one_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "day=2026-11-03" / "part-0.csv"
    for before in (None, b"all of it"):
        done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        assert done.returncode == -9
        assert (path.read_bytes() if path.exists() else None) == before
        with whole(path) as file:
            file.write(b"all of it")
    assert [each.name for each in path.parent.iterdir()] == ["part-0.csv"]


def test_an_error_in_the_middle_leaves_none(tmp_path: Path) -> None:
    def fail() -> None:
        with whole(tmp_path / "file") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not (tmp_path / "file").exists()
