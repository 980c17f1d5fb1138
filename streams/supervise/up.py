"""Everything on this machine until Ctrl-C: Kafka, the topics, workers, projector, API and console.

What exits is started again. Exits come in through one queue; the main thread alone starts and stops.
"""

import asyncio
import os
import queue
import signal
import time
from contextlib import suppress

from meter.rules import Rules
from streams.broker.connect import Say
from streams.broker.taken_ports import look_at_ports
from streams.errors import Exit, MeterError, RefusalToStartError, SettingError
from streams.kafka.rights import WORKER
from streams.kafka.topics import check, create, new_rules
from streams.process.life import stop_signals_interrupt
from streams.process.nearby import is_loopback
from streams.process.readiness import VARIABLE, announce, give_up
from streams.settings import Settings
from streams.supervise.only_one import is_lost, only_one
from streams.supervise.processes import Ended, Kafka, Process, Ready, can_serve, readers, stop_all, worker
from streams.supervise.state import UpState, forget
from streams.terminal.output import OutputLostError

#: Starting again cannot help: a wrong setting, or topics, state and log that do not fit.
FATAL = (Exit.WRONG_SETTING, Exit.REFUSES)
#: A worker that was killed before has its partitions back after a session timeout; indexes may have to be read anew.
READY_WITHIN_S = 180.0


def run_up(settings: Settings, workers: int, port: int, say: Say) -> int:
    """Run it all until SIGINT or SIGTERM. For the main thread. Returns the exit code.

    Where somebody waits until it is ready (`meter up --detach`), whatever is not ready in time ends it all.
    Raises MeterError where a port is taken, Kafka cannot start or the topics do not fit.
    """
    if settings.web_port and settings.web_port + workers > 65535:
        raise SettingError(
            f"METER_WEB_PORT: {workers} workers and the projector need ports {settings.web_port} and up, 65535 at most"
        )
    with stop_signals_interrupt():
        try:
            with only_one(settings.data_dir, say) as lock:
                look_at_ports(settings, workers, port)
                if not is_loopback(settings.http_host) and can_serve():
                    from streams.http.serve import look_at_tokens  # noqa: PLC0415 - its packages need not be installed

                    look_at_tokens(settings)
                return Supervisor(settings, workers, port, _patient(say), lock).run()
        except KeyboardInterrupt:
            return Exit.OK
        except MeterError as error:
            give_up(str(error))
            raise


def _patient(say: Say) -> Say:
    """What cannot be said, on a disk that is full or to a reader that is gone, ends nothing."""

    def said(line: str) -> None:
        with suppress(OSError, OutputLostError):
            say(line)

    return said


class Supervisor:
    """What runs, and what is to be started again."""

    def __init__(self, settings: Settings, workers: int, port: int, say: Say, lock: int) -> None:
        self._settings = settings
        self._count = workers
        self._say = say
        self._kafka = Kafka(settings, port, say) if settings.bootstrap_servers is None else None
        self._processes: list[Process] = []
        self._events: queue.SimpleQueue[Ended | Ready] = queue.SimpleQueue()
        #: What is to be started again, and from which instant on (monotonic).
        self.due: list[tuple[float, Process | Kafka]] = []
        self._servers = settings.bootstrap_servers or ""
        self._lock = lock
        #: Until when all must be ready, where somebody waits for it.
        self._ready_by: float | None = None
        self._is_awaited = VARIABLE in os.environ

    def run(self) -> int:
        """Start in order, look after it, stop in the opposite order. The processes hold the lock too."""
        try:
            self._start()
            return self._look_after()
        finally:
            self._stop()
            forget(self._settings.data_dir)

    def _start(self) -> None:
        settings = self._settings
        if self._kafka is not None:
            settings = self._kafka.start(self._events.put)
            self._servers = settings.bootstrap_servers or ""
        else:
            self._say(f"Kafka      {settings.bootstrap_servers} (METER_BOOTSTRAP_SERVERS)")
        rules, new = asyncio.run(self._topics(settings))
        made = "created" if new else "as they were"
        self._say(f"topics     {rules.partitions} partitions, {rules.time_zone}, {rules.clock} clock, {made}")
        self._processes = [worker(number, settings, self._say) for number in range(self._count)]
        self._processes += readers(settings, self._count, self._say)
        for process in self._processes:
            process.holds, process.ready = (self._lock,), self._events.put
            process.start(self._events.put)
        self._ready_by = time.monotonic() + READY_WITHIN_S if self._is_awaited else None
        self._note()
        self._say("Ctrl-C stops it all")

    def _note(self) -> None:
        """Put down what runs; on a full disk what was put down before is what there is."""
        with suppress(OSError):
            UpState.mine(self._servers, [process.part for process in self._processes]).write(self._settings.data_dir)

    async def _topics(self, settings: Settings) -> tuple[Rules, bool]:
        """Made when missing on our own Kafka. On a configured one somebody has to say how often they are replicated."""
        if self._kafka is None:
            return await check(settings, WORKER), False
        return await create(settings, new_rules(), 1)

    def _look_after(self) -> int:
        while True:
            try:
                event = self._events.get(timeout=self._next_due_s())
            except queue.Empty:
                if self._ready_by is not None and time.monotonic() > self._ready_by:
                    waited = ", ".join(process.name for process in self._processes if not process.is_ready)
                    self._say(f"not ready after {READY_WITHIN_S:g} s: {waited}; stopping all")
                    return Exit.FAILED
                self.restart_due()
                continue
            if isinstance(event, Ready):
                self._is_ready(event.who)
            elif (code := self._has_ended(event)) is not None:
                return code

    def _is_ready(self, process: Process) -> None:
        process.is_ready = True
        self._note()
        if self._is_awaited and all(each.is_ready for each in self._processes):
            self._ready_by, self._is_awaited = None, False
            announce()

    def _has_ended(self, ended: Ended) -> int | None:
        """Start it again later. Returns the exit code where all is to end."""
        if isinstance(ended.who, Process) and ended.code is not None and ended.code in FATAL:
            refused = f"{ended.who.name} refused to run (exit code {ended.code}, its reason is above)"
            if ended.who.counts or self._is_awaited:
                self._say(f"{refused}: stopping all")
                return ended.code
            self._say(f"{refused}: the rest goes on without it")
        else:
            delay_s = ended.who.backoff.next_s()
            self.due.append((time.monotonic() + delay_s, ended.who))
            self._say(f"{ended.who.name} ended {_how(ended.code)}; starting it again in {delay_s:g} s")
        if isinstance(ended.who, Process):
            ended.who.is_ready = False
        self._note()
        return None

    def _next_due_s(self) -> float | None:
        times = [when for when, _ in self.due] + ([] if self._ready_by is None else [self._ready_by])
        return max(0.0, min(times) - time.monotonic()) if times else None

    def restart_due(self) -> None:
        """Start what is due. Raises RefusalToStartError where that would begin a new, empty meter."""
        now = time.monotonic()
        due = [who for when, who in self.due if when <= now]
        self.due = [(when, who) for when, who in self.due if when > now]
        if due and is_lost(self._settings.data_dir, self._lock):
            raise RefusalToStartError(f"{self._settings.data_dir} was deleted or moved while this ran: stopping all")
        for who in due:
            try:
                who.restart(self._events.put)
            except (MeterError, OSError) as error:  # a full disk, which somebody may make room on
                self.due.append((now + who.backoff.next_s(), who))
                self._say(f"{who.name} cannot be started, which is tried again: {error}")
        self._note()

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
