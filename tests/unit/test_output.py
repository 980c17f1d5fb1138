"""Standard output that is closed, full or no longer read, and Ctrl-C: one line or none, and an exit code."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import pytest

from tests.integration.running import METER, clean_environment, heeds_ctrl_c, until

COMMANDS = (
    ["quote", "--region", "Frankfurt", "--duration", "60", "--json"],
    ["prices", "show"],
    ["--help"],
)
EVERY = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)


def shell(script: str, tmp_path: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `meter` is ours."""
    environment = clean_environment(**settings) | {"PATH": f"{METER.parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def typed(command: Sequence[str]) -> str:
    return f"meter {' '.join(command)}"


@EVERY
def test_closed_standard_output_is_one_line(tmp_path: Path, command: Sequence[str]) -> None:
    done = shell(f"{typed(command)} >&-", tmp_path)
    assert (done.returncode, done.stderr) == (
        1, "meter: the answer cannot be written to standard output: it is closed\n",
    )  # fmt: skip


@EVERY
def test_a_full_disk_is_one_line_and_its_own_exit_code(tmp_path: Path, command: Sequence[str]) -> None:
    done = shell(f"{typed(command)} > /dev/full", tmp_path)
    assert (done.returncode, done.stderr) == (
        7, "meter: the answer cannot be written to standard output: No space left on device\n",
    )  # fmt: skip


@EVERY
def test_a_reader_who_has_gone_is_nothing_to_speak_of(tmp_path: Path, command: Sequence[str]) -> None:
    # The reader has closed its end before the writer begins: it waits for a file that the reader makes then.
    done = shell(
        f"mkfifo go; {{ read _ < go; {typed(command)}; echo $? > code; }} | {{ exec <&-; echo > go; }}; cat code",
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("141\n", "")


@EVERY
def test_closed_standard_error_takes_nothing_of_the_answer(tmp_path: Path, command: Sequence[str]) -> None:
    done = shell(f"{typed(command)} 2>&-", tmp_path)
    assert (done.returncode, done.stdout) == (0, shell(typed(command), tmp_path).stdout)


@pytest.mark.parametrize("streams", ["2>&-", "2> /dev/full", "<&- 2>&-"])
def test_what_is_wrong_never_gets_into_the_answer(tmp_path: Path, streams: str) -> None:
    done = shell(f"meter quote --region Mars --duration 60 {streams}", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_a_terminal_that_is_not_of_utf_8_shows_the_rest(tmp_path: Path) -> None:
    done = shell("PYTHONIOENCODING=ascii meter quote --region 录像 --duration 60; meter prices show", tmp_path)
    assert done.stderr.startswith("meter: unknown region '\\u5f55\\u50cf'")
    done = shell("PYTHONIOENCODING=latin-1 meter prices show", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "----" in done.stdout


@pytest.mark.parametrize("moment_s", [0.0, 0.1, 0.3])
def test_ctrl_c_is_silent(tmp_path: Path, moment_s: float) -> None:
    """A named pipe that nobody writes to holds the command up."""
    os.mkfifo(tmp_path / "jobs")
    process = subprocess.Popen(
        [METER, "submit", "jobs"], cwd=tmp_path, env=clean_environment(), stdout=-1, stderr=-1, text=True,
        preexec_fn=heeds_ctrl_c,  # noqa: PLW1509 - it only sets how a signal is taken
    )  # fmt: skip
    until(lambda: waits_for(process, "jobs"), "the command to open the pipe")
    time.sleep(moment_s)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")


def waits_for(process: "subprocess.Popen[str]", name: str) -> bool:
    """Whether one of its threads waits in the opening of a named pipe."""
    stacks = Path(f"/proc/{process.pid}/task").glob("*/wchan")
    return any("fifo" in stack.read_text() or "wait_for_partner" in stack.read_text() for stack in stacks)


def test_ctrl_c_while_python_loads_the_program_is_silent(tmp_path: Path) -> None:
    for delay_s in (0.05, 0.1, 0.15, 0.2, 0.3):
        process = subprocess.Popen(
            [sys.executable, "-m", "streams", "--help"], env=clean_environment(), stdout=-1, stderr=-1, text=True
        )
        time.sleep(delay_s)  # whatever it is at by then
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert "streams/cli" not in err
        assert process.returncode in (0, 130, -signal.SIGINT, 1)


def test_a_named_pipe_that_nobody_writes_to_is_told_of(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "jobs")
    process = subprocess.Popen(
        [METER, "submit", "jobs"], cwd=tmp_path, env=clean_environment(), stderr=-1, text=True,
        preexec_fn=heeds_ctrl_c,  # noqa: PLW1509 - as above
    )  # fmt: skip
    stderr: IO[str] | None = process.stderr
    assert stderr is not None
    assert stderr.readline() == "jobs is a named pipe: waiting until somebody writes to it; Ctrl-C ends that\n"
    process.send_signal(signal.SIGINT)
    assert (process.wait(20), stderr.read()) == (130, "")
    stderr.close()


def test_standard_input_that_is_closed_is_one_line(tmp_path: Path) -> None:
    for command in ("submit -", "prices publish -"):
        done = shell(f"meter {command} <&-", tmp_path)
        assert (done.returncode, done.stderr) == (2, "meter: standard input is closed: there is nothing to read\n")


@pytest.mark.skipif(sys.platform != "linux", reason="named by Linux")
def test_a_wrong_file_starts_no_kafka(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("job_id,account_id,region\nj1,A,ap-tokyo\n")
    done = shell("meter submit jobs.csv", tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "CSV" in done.stderr
    assert not (tmp_path / ".meter").exists()
