"""A disk that is full under the dedupe index is one line and an exit code: a memory map alone would be SIGBUS."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from streams.cli import main
from streams.errors import Exit
from tests.machine.disk import small_disk

ROOT = Path(__file__).parents[2]
CASES = [("begins", 1, Exit.NO_ROOM), ("holes", 1, Exit.NO_ROOM), ("grows", 2, 0), ("saves", 1, 0)]


@pytest.mark.parametrize(("what", "mib", "code"), CASES, ids=[what for what, _, _ in CASES])
def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path, what: str, mib: int, code: int) -> None:
    with small_disk(tmp_path / "disk", mib) as disk:
        command = [sys.executable, "-m", "tests.unit.full_disk", what, str(disk)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    (line,) = done.stdout.splitlines()
    needed = r"no room for the dedupe index in \S+: [1-9][\d,]* bytes are needed, [\d,]+ are free; make room"
    assert re.match(needed, line)
    assert str(disk) in line


@pytest.mark.parametrize(
    "command", [("up", "--port", "0"), ("up", "--detach", "--port", "0"), ("broker", "--nodes", "3")]
)
def test_kafka_is_not_started_where_it_has_no_room(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It would end midway, and say so with a trace of Java's."""
    with small_disk(tmp_path / "disk", 1) as disk:
        monkeypatch.chdir(tmp_path)
        for name, value in {"DATA_DIR": disk / "data", "WEB_PORT": 0, "HTTP_PORT": 0}.items():
            monkeypatch.setenv(f"METER_{name}", str(value))
        assert main(command) == Exit.NO_ROOM
        (line,) = capfd.readouterr().err.splitlines()
        needed = r"meter: no room for Kafka in \S+: [1-9][\d,]* bytes are needed, [\d,]+ are free; make room"
        assert re.fullmatch(needed, line)
        assert str(disk) in line
        assert not list(disk.rglob("kafka.log"))
