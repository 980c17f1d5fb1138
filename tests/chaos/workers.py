"""Who dies: worker processes, each brought up again whenever it exits, as `meter up` or systemd would."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.request import urlopen

from tests.chaos.faults import BITES

METER = Path(sys.executable).parent / "meter"
SESSION_TIMEOUT_S = 6
FENCED = 4
STOP_PATIENCE_S = 45


def environment(bootstrap_servers: str, data_dir: Path, instance: str, web_port: int = 0) -> dict[str, str]:
    """The settings of one worker, and nothing of the caller's own meter."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("METER_")}
    return inherited | {
        "METER_BOOTSTRAP_SERVERS": bootstrap_servers,
        "METER_DATA_DIR": str(data_dir),
        "METER_INSTANCE_ID": instance,
        "METER_WEB_PORT": str(web_port),
        "METER_SESSION_TIMEOUT_S": str(SESSION_TIMEOUT_S),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(root: Path, fault: str | None) -> list[str]:
    """How a worker is started; with a fault, a program that has it planted, and notes its bites in the run's folder."""
    if fault is None:
        return [str(METER), "worker"]
    return [sys.executable, "-m", "tests.chaos.faulty_worker", fault, str(root / BITES), "worker"]


class Worker:
    """One worker and what happened to it. A thread waits for its exit and starts it again."""

    def __init__(self, number: int, bootstrap_servers: str, root: Path, fault: str | None) -> None:
        self.number = number
        self.data_dir = root / f"worker-{number}"
        self.log = root / f"worker-{number}.log"
        self.exits: Counter[int] = Counter()
        self._command = command(root, fault)
        self._web_port = free_port()
        self._environment = environment(bootstrap_servers, self.data_dir, f"chaos-{number}", self._web_port)
        self._restart_after_s = 0.0
        self._wipe = False
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._start()
        self._keeper = threading.Thread(target=self._keep, name=f"keeper-{number}", daemon=True)
        self._keeper.start()

    def _start(self) -> None:
        with self._lock, self.log.open("ab") as log:
            if not self._stopping.is_set():
                self._process = subprocess.Popen(
                    self._command, env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
                )

    def _keep(self) -> None:
        while True:
            self.exits[self._process.wait()] += 1
            if self._wipe:
                shutil.rmtree(self.data_dir, ignore_errors=True)
            # A second at least, as any supervisor waits: a worker that cannot start must not spin.
            if self._stopping.wait(max(1.0, self._restart_after_s)):
                return
            self._wipe, self._restart_after_s = False, 0.0
            self._start()

    def running(self) -> bool:
        return self._process.poll() is None

    def healthy(self) -> bool:
        """Whether it serves its page: it is past its start and takes SIGTERM as a wish."""
        try:
            with urlopen(f"http://127.0.0.1:{self._web_port}/healthz", timeout=1) as page:
                return bool(page.status == 200)
        except OSError:
            return False

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self, restart_after_s: float, *, wipe: bool) -> None:
        """SIGKILL; back after so many seconds, with its data directory or without."""
        self._restart_after_s, self._wipe = restart_after_s, wipe
        self._process.kill()

    def taken_over(self) -> int:
        """How often another worker had opened a partition of its, and it went on with the others."""
        return self.log.read_text(errors="replace").count("partition taken over by another worker")

    def last_words(self) -> list[str]:
        """What it said each time when it ended by itself."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [f"worker {self.number}: {line.split(maxsplit=1)[-1]}" for line in lines if "exit_code=" in line]

    def ask_to_stop(self) -> None:
        """SIGTERM, and no restart after it."""
        with self._lock:
            self._stopping.set()
            self._process.terminate()

    def stopped(self, deadline: float) -> int:
        """Its exit code once it has stopped; a worker that has not by then (monotonic) is killed: -9."""
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._keeper.join()
        return self._process.wait()
