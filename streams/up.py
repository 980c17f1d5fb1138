"""Everything on this machine until Ctrl-C: Kafka, the topics, workers, projector, API and console.

What exits is started again. Exits come in through one queue; the main thread alone starts and stops.
"""

import asyncio
import queue
import signal
import time

from meter.rules import Rules
from streams.broker.foreground import stop_signals_interrupt
from streams.connect import Say
from streams.errors import Exit, MeterError, SettingError
from streams.only_one import only_one
from streams.processes import Ended, Kafka, Process, readers, stop_all, worker
from streams.rights import WORKER
from streams.settings import Settings
from streams.topics import check, create, new_rules

#: Starting again cannot help: a wrong setting, or topics, state and log that do not fit.
FATAL = (Exit.WRONG_SETTING, Exit.REFUSES)


def run_up(settings: Settings, workers: int, port: int, say: Say) -> int:
    """Run it all until SIGINT or SIGTERM. For the main thread. Returns the exit code.

    Raises MeterError where Kafka cannot start or the topics do not fit.
    """
    if settings.web_port and settings.web_port + workers > 65535:
        raise SettingError(
            f"METER_WEB_PORT: {workers} workers and the projector need ports {settings.web_port} and up, 65535 at most"
        )
    with stop_signals_interrupt():
        try:
            with only_one(settings.data_dir, say) as lock:
                return _Up(settings, workers, port, say).run(lock)
        except KeyboardInterrupt:
            return Exit.OK


class _Up:
    def __init__(self, settings: Settings, workers: int, port: int, say: Say) -> None:
        self._settings = settings
        self._count = workers
        self._say = say
        self._kafka = Kafka(settings, port, say) if settings.bootstrap_servers is None else None
        self._processes: list[Process] = []
        self._events: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._due: list[tuple[float, Process | Kafka]] = []

    def run(self, lock: int) -> int:
        """Start in order, look after it, stop in the opposite order. The processes hold the lock too."""
        try:
            self._start(lock)
            return self._look_after()
        finally:
            self._stop()

    def _start(self, lock: int) -> None:
        settings = self._settings
        if self._kafka is not None:
            settings = self._kafka.start(self._events.put)
        else:
            self._say(f"Kafka      {settings.bootstrap_servers} (METER_BOOTSTRAP_SERVERS)")
        rules, new = asyncio.run(self._topics(settings))
        made = "created" if new else "as they were"
        self._say(f"topics     {rules.partitions} partitions, {rules.time_zone}, {rules.clock} clock, {made}")
        self._processes = [worker(number, settings, self._say) for number in range(self._count)]
        self._processes += readers(settings, self._count, self._say)
        for process in self._processes:
            process.holds = (lock,)
            process.start(self._events.put)
        self._say("Ctrl-C stops it all")

    async def _topics(self, settings: Settings) -> tuple[Rules, bool]:
        """Made when missing on our own Kafka. On a configured one somebody has to say how often they are replicated."""
        if self._kafka is None:
            return await check(settings, WORKER), False
        return await create(settings, new_rules(), 1)

    def _look_after(self) -> int:
        while True:
            try:
                ended = self._events.get(timeout=self._next_due_s())
            except queue.Empty:
                self._restart_due()
                continue
            if isinstance(ended.who, Process) and ended.code is not None and ended.code in FATAL:
                refused = f"{ended.who.name} refused to run (exit code {ended.code}, its reason is above)"
                if ended.who.counts:
                    self._say(f"{refused}: stopping all")
                    return ended.code
                self._say(f"{refused}: the rest goes on without it")
                continue
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
            try:
                who.restart(self._events.put)
            except (MeterError, OSError) as error:  # a full disk, which somebody may make room on
                self._due.append((now + who.backoff.next_s(), who))
                self._say(f"{who.name} cannot be started, which is tried again: {error}")

    def _stop(self) -> None:
        """Workers first, while there is a Kafka to commit their last steps to."""
        if self._processes:
            self._say("stopping the workers")
        stop_all(self._processes)
        if self._kafka is not None:
            self._kafka.stop()


def _how(code: int | None) -> str:
    if code is None:
        return "with the program that had started it"
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
