"""A disk that is full under the dedupe index is one line and an exit code: a memory map alone would be SIGBUS."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from streams.errors import Exit
from tests.small_disk import on_small_disk

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("what", "size_kib", "code"),
    [("begins", 100, Exit.NO_ROOM), ("holes", 800, Exit.NO_ROOM), ("grows", 1600, 0), ("saves", 800, 0)],
)
def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path, what: str, size_kib: int, code: int) -> None:
    command = on_small_disk(tmp_path, size_kib, [sys.executable, "-m", "tests.unit.full_disk", what, tmp_path])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    (line,) = done.stdout.splitlines()
    needed = r"no room for the dedupe index in \S+: [1-9][\d,]* bytes are needed, [\d,]+ are free; make room"
    assert re.match(needed, line)
    assert str(tmp_path) in line
