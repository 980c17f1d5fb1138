"""Worker processes: started, measured and ended by the bench."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_S = 40


class WorkerFailed(Exception):  # noqa: N818 - what happened, for the row
    """A worker ended by itself, or did not do its work in time."""


class Worker:
    """One started program, in a process group of its own, with its output in `log`."""

    def __init__(self, command: Sequence[str | Path], env: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as out:
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._root = psutil.Process(self._popen.pid)

    def check(self) -> None:
        """Raises WorkerFailed when the program has ended."""
        code = self._popen.poll()
        if code is not None:
            raise WorkerFailed(f"ended by itself with code {code}:\n{self.last_words()}")

    def last_words(self, lines: int = 12) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])

    def cpu_s(self) -> float:
        """User and system seconds that its processes have used."""
        return sum(cpu_s(process) for process in self._tree())

    def rss(self) -> int:
        """Resident bytes of its processes now."""
        return sum(_rss(process) for process in self._tree())

    def peak_rss(self) -> int:
        """The most resident bytes its first process had, by the kernel's count; now, where the kernel keeps none."""
        status = Path(f"/proc/{self._popen.pid}/status")
        if not status.exists():
            return self.rss()
        peak = next(line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to what is left after a while."""
        self._popen.terminate()
        try:
            self._popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to its whole process group."""
        if self._popen.poll() is None:
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait()

    def _tree(self) -> list[psutil.Process]:
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def cpu_s(process: psutil.Process) -> float:
    """User and system seconds of one process, 0 when it has gone."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


@dataclass(frozen=True)
class Deadline:
    """How long something may take."""

    at: float
    what: str

    @classmethod
    def after(cls, seconds: float, what: str) -> "Deadline":
        """A deadline `seconds` from now."""
        return cls(time.monotonic() + seconds, what)

    def check(self) -> None:
        """Raises WorkerFailed when it has passed."""
        if time.monotonic() > self.at:
            raise WorkerFailed(f"not in time: {self.what}")
