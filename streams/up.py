"""Everything on this machine until Ctrl-C: Kafka, the topics, the workers; what exits is started again.

Workers are processes of their own, tied to this one: the kernel stops them should it be killed. Exits, a worker's or
Kafka's, come in through one queue; the main thread alone starts and stops.
"""

import asyncio
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from meter.rules import Rules
from streams.broker import EmbeddedBroker
from streams.broker.child import TIED
from streams.broker.foreground import stop_signals_interrupt
from streams.connect import Say
from streams.errors import Exit, SettingError
from streams.settings import PREFIX, Settings
from streams.topics import check, create, new_rules

STOP_PATIENCE_S = 45.0
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
#: Whoever ran this long did start: the next delay is the first one again.
STEADY_AFTER_S = 60.0

#: Starting again cannot help: a wrong setting, or topics, state and log that do not fit.
FATAL = (Exit.WRONG_SETTING, Exit.REFUSES)


class Ended(NamedTuple):
    """Something that was to run has ended; its exit code, negative for a signal."""

    who: "Worker | Kafka"
    code: int


class Backoff:
    """How long to wait before the next start: longer each time, until something has run for a while."""

    def __init__(self) -> None:
        self._delay_s = FIRST_DELAY_S
        self._started = 0.0

    def started(self) -> None:
        """A start was made now."""
        self._started = time.monotonic()

    def next_s(self) -> float:
        """Seconds until the next start."""
        steady = time.monotonic() - self._started >= STEADY_AFTER_S
        delay_s = FIRST_DELAY_S if steady else self._delay_s
        self._delay_s = min(delay_s * 2, LONGEST_DELAY_S)
        return delay_s


class Kafka:
    """The embedded broker, or the one that runs on this data directory already, which is left alone."""

    name = "Kafka"

    def __init__(self, settings: Settings, port: int, say: Say) -> None:
        self.backoff = Backoff()
        self._broker = EmbeddedBroker(settings.data_dir, port=port, say=say)
        self._say = say

    def start(self, ended: Callable[[Ended], None]) -> str:
        """Its address, once it answers. Raises BrokerError."""
        self.backoff.started()
        address = self._broker.start()
        if self._broker.owned:
            threading.Thread(target=lambda: ended(Ended(self, self._broker.wait())), daemon=True).start()
        found = "" if self._broker.owned else "; it ran already and is left running"
        self._say(f"Kafka      {address.bootstrap_servers} (process {address.pid}), log {address.log_file}{found}")
        return address.bootstrap_servers

    def restart(self, ended: Callable[[Ended], None]) -> None:
        """Start it again, on the same port."""
        self._broker.stop()
        self.start(ended)

    def stop(self) -> None:
        """Shut it down, if it is ours."""
        if self._broker.owned:
            self._say("stopping Kafka")
        self._broker.stop()


class Worker:
    """One worker process. Its output goes to a file where `log` names one."""

    def __init__(self, number: int, settings: Settings, say: Say, log: Path | None = None) -> None:
        self.name = f"worker {number}"
        self.backoff = Backoff()
        self._say = say
        self._log = log
        self._web = f"http://{settings.web_host}:{settings.web_port + number}" if settings.web_port else "no web pages"
        web_port = settings.web_port + number if settings.web_port else 0
        self._environment = {
            **os.environ,
            f"{PREFIX}BOOTSTRAP_SERVERS": settings.bootstrap_servers or "",
            f"{PREFIX}DATA_DIR": str(settings.data_dir),
            f"{PREFIX}TOPIC_PREFIX": settings.topic_prefix,
            f"{PREFIX}INSTANCE_ID": f"{settings.instance_id or settings.app_id}-{number}",
            f"{PREFIX}WEB_PORT": str(web_port),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ended: Callable[[Ended], None]) -> None:
        """Start the process. It has a session of its own, so that Ctrl-C comes to it through us, and in order."""
        self.backoff.started()
        tied = [sys.executable, "-I", "-S", str(TIED), str(os.getpid())]
        with self._log.open("ab") if self._log else nullcontext() as log:
            process = subprocess.Popen(
                [*tied, sys.executable, "-m", "streams", "worker"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._process = process
        threading.Thread(target=lambda: ended(Ended(self, process.wait())), daemon=True).start()
        self._say(f"{self.name}   process {process.pid}, {self._web}")

    restart = start

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def ask_to_stop(self) -> None:
        """Finish the step in flight, leave the group, end."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, deadline: float) -> None:
        """Wait until it has ended; one that has not by the deadline is killed, which loses nothing."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._say(f"{self.name} does not end: killed")
            self.kill()


def run_up(settings: Settings, workers: int, port: int, say: Say) -> int:
    """Run it all until SIGINT or SIGTERM. For the main thread. Returns the exit code.

    Raises MeterError where Kafka cannot start or the topics do not fit.
    """
    if settings.web_port and settings.web_port + workers - 1 > 65535:
        raise SettingError(f"METER_WEB_PORT: {workers} workers need ports {settings.web_port} and up, to 65535 at most")
    with stop_signals_interrupt():
        try:
            return _Up(settings, workers, port, say).run()
        except KeyboardInterrupt:
            return Exit.OK


class _Up:
    def __init__(self, settings: Settings, workers: int, port: int, say: Say) -> None:
        self._settings = settings
        self._count = workers
        self._say = say
        self._kafka = Kafka(settings, port, say) if settings.bootstrap_servers is None else None
        self._workers: list[Worker] = []
        self._events: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._due: list[tuple[float, Worker | Kafka]] = []

    def run(self) -> int:
        """Start in order, look after it, stop in the opposite order."""
        try:
            self._start()
            return self._look_after()
        finally:
            self._stop()

    def _start(self) -> None:
        settings = self._settings
        if self._kafka is not None:
            servers = self._kafka.start(self._events.put)
            settings = settings.model_copy(update={"bootstrap_servers": servers})
        else:
            self._say(f"Kafka      {settings.bootstrap_servers} (METER_BOOTSTRAP_SERVERS)")
        rules, new = asyncio.run(self._topics(settings))
        made = "created" if new else "as they were"
        self._say(f"topics     {rules.partitions} partitions, {rules.time_zone}, {rules.clock} clock, {made}")
        for number in range(self._count):
            worker = Worker(number, settings, self._say)
            self._workers.append(worker)
            worker.start(self._events.put)
        self._say("Ctrl-C stops it all")

    async def _topics(self, settings: Settings) -> tuple[Rules, bool]:
        """Made when missing on our own Kafka. On a configured one somebody has to say how often they are replicated."""
        if self._kafka is None:
            return await check(settings), False
        return await create(settings, new_rules(), 1)

    def _look_after(self) -> int:
        while True:
            try:
                ended = self._events.get(timeout=self._next_due_s())
            except queue.Empty:
                self._restart_due()
                continue
            if isinstance(ended.who, Worker) and ended.code in FATAL:
                self._say(
                    f"{ended.who.name} refused to run (exit code {ended.code}, its reason is above): stopping all"
                )
                return ended.code
            delay_s = ended.who.backoff.next_s()
            self._due.append((time.monotonic() + delay_s, ended.who))
            self._say(f"{ended.who.name} ended {_how(ended.code)}; starting it again in {delay_s:g} s")

    def _next_due_s(self) -> float | None:
        return max(0.0, min(when for when, _ in self._due) - time.monotonic()) if self._due else None

    def _restart_due(self) -> None:
        now = time.monotonic()
        due = [who for when, who in self._due if when <= now]
        self._due = [(when, who) for when, who in self._due if when > now]
        for who in due:
            who.restart(self._events.put)

    def _stop(self) -> None:
        """Workers first, while there is a Kafka to commit their last steps to."""
        if self._workers:
            self._say("stopping the workers")
        for worker in self._workers:
            worker.ask_to_stop()
        deadline = time.monotonic() + STOP_PATIENCE_S
        for worker in self._workers:
            worker.wait(deadline)
        if self._kafka is not None:
            self._kafka.stop()


def _how(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
