"""The processes of a meter on this machine, each started again by whoever looks after it: `meter up`, the demo.

They are tied to this one: the kernel stops them should it be killed. Their exits come in through one queue.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from streams.broker import EmbeddedBroker
from streams.broker.child import DIE_WITH_PARENT
from streams.broker.connect import Say, embedded
from streams.broker.ports import free_port
from streams.broker.state import start_time
from streams.process.private import append
from streams.process.readiness import READY, VARIABLE
from streams.process.retrying import Backoff
from streams.settings import PREFIX, Settings
from streams.supervise.state import Part

STOP_PATIENCE_S = 45.0
FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 30.0
#: Whoever ran this long did start: the next delay is the first one again.
STEADY_AFTER_S = 60.0
MAX_PORT = 65_535


class Ended(NamedTuple):
    """Something that was to run has ended; its exit code, negative for a signal, None where it cannot be known."""

    who: "Process | Kafka"
    code: int | None


class Ready(NamedTuple):
    """A process says that it does its work."""

    who: "Process"


def restarts() -> Backoff:
    """How long to wait before each new start of something."""
    return Backoff(FIRST_DELAY_S, LONGEST_DELAY_S, steady_after_s=STEADY_AFTER_S)


class Kafka:
    """The embedded broker, or the one that runs on this data directory already, which is left alone.

    That one may belong to a command that ends soon: when it has ended, one is started in its place.
    """

    name = "Kafka"

    def __init__(self, settings: Settings, port: int, say: Say) -> None:
        self.backoff = restarts()
        self._settings = settings
        self._data_dir = settings.data_dir
        self._port = port
        self._servers: str | None = None
        self._say = say
        self._broker = self._new_broker()

    def _new_broker(self) -> EmbeddedBroker:
        return EmbeddedBroker(self._data_dir, port=self._port, say=self._say)

    def start(self, ended: Callable[[Ended], None]) -> Settings:
        """The settings for it, once it answers; its address is the same at every start. Raises BrokerError."""
        self.backoff.began()
        broker = self._broker
        address = broker.start()
        threading.Thread(target=lambda: ended(Ended(self, broker.wait())), daemon=True).start()
        found = "" if broker.owned else "; it ran already and is left running"
        where = f"{address.bootstrap_servers} (process {address.pid}), log {address.log_file}"
        own = embedded(self._settings, address.bootstrap_servers, address.secret)
        if self._servers not in (None, address.bootstrap_servers):
            # A command came first with one of its own. The workers were told of this address, and wait for it.
            self._say(f"Kafka      {where} is another command's: {self._servers} comes back when that has ended")
            return own
        self._servers, self._port = address.bootstrap_servers, address.port
        self._say(f"Kafka      {where}{found}")
        return own

    def restart(self, ended: Callable[[Ended], None]) -> None:
        """Start it again, on the same port."""
        self._broker.stop()
        self._broker = self._new_broker()
        self.start(ended)

    def stop(self) -> None:
        """Shut it down, if it is ours."""
        if self._broker.owned:
            self._say("stopping Kafka")
        self._broker.stop()


def _wants_access_log(settings: Settings) -> bool:
    """Not by itself on somebody's terminal: an open page of the console asks every few seconds."""
    return settings.http_access_log and "http_access_log" in settings.model_fields_set


# So many fields: what a process is started with, and what is known of the one that runs.
class Process:
    """One process of a meter: `meter <command>`. Its output goes to a file where `log` names one."""

    def __init__(
        self,
        name: str,
        command: str,
        settings: Settings,
        say: Say,
        *,
        where: str,
        page: str | None = None,
        log: Path | None = None,
    ) -> None:
        self.name = name
        self.is_ready = False
        self.backoff = restarts()
        self.counts = command == "worker"
        #: Told each time that it has begun its work.
        self.ready: Callable[[Ready], None] = lambda _: None
        #: Descriptors that it inherits, and so the locks on them.
        self.holds: tuple[int, ...] = ()
        self._command = command.split()
        self._say = say
        self._where = where
        self._page = page
        self._log = log
        #: The environment that the process is started with.
        self.environment = {
            **os.environ,
            f"{PREFIX}BOOTSTRAP_SERVERS": settings.bootstrap_servers or "",
            f"{PREFIX}DATA_DIR": str(settings.data_dir),
            f"{PREFIX}TOPIC_PREFIX": settings.topic_prefix,
            f"{PREFIX}WEB_PORT": str(settings.web_port),
            f"{PREFIX}HTTP_PORT": str(settings.http_port),
            f"{PREFIX}HTTP_ACCESS_LOG": str(_wants_access_log(settings)),
        }
        if settings.instance_id:
            self.environment[f"{PREFIX}INSTANCE_ID"] = settings.instance_id
        if settings.database_url:
            self.environment[f"{PREFIX}DATABASE_URL"] = settings.database_url.get_secret_value()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, ended: Callable[[Ended], None]) -> None:
        """Start the process. It has a session of its own, so that Ctrl-C comes to it through us, and in order."""
        self.backoff.began()
        self.is_ready = False
        hearing, telling = os.pipe()
        tied = [sys.executable, "-I", "-S", str(DIE_WITH_PARENT), str(os.getpid())]
        try:
            with append(self._log) if self._log else nullcontext() as log:
                process = subprocess.Popen(
                    [*tied, sys.executable, "-m", "streams", *self._command],
                    env=self.environment | {VARIABLE: str(telling)},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    pass_fds=(*self.holds, telling),
                )
        except BaseException:
            os.close(hearing)
            raise
        finally:
            os.close(telling)
        self._process = process
        threading.Thread(target=self._follow, args=(process, hearing, ended), daemon=True).start()
        self._say(f"{self.name:<10} process {process.pid}, {self._where}")

    restart = start

    def _follow(self, process: "subprocess.Popen[bytes]", hearing: int, ended: Callable[[Ended], None]) -> None:
        with os.fdopen(hearing) as pipe:
            if pipe.read() == READY:
                self.ready(Ready(self))
        ended(Ended(self, process.wait()))

    @property
    def part(self) -> Part:
        """What `meter status` and `meter down` are to know of it."""
        pid = self._process.pid if self._process is not None else 0
        return Part(self.name, pid, start_time(pid) or "", self._where, self._page, self.is_ready)

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


def stop_all(processes: Iterable[Process]) -> None:
    """Ask them all to stop, and wait until they have ended."""
    asked = list(processes)
    for process in asked:
        process.ask_to_stop()
    deadline = time.monotonic() + STOP_PATIENCE_S
    for process in asked:
        process.wait(deadline)


def worker(number: int, settings: Settings, say: Say, log: Path | None = None) -> Process:
    """Worker `number`, which serves its pages on the web port and its number, with a name of its own in the group."""
    port = settings.web_port + number if settings.web_port else 0
    name = f"{settings.instance_id or settings.app_id}-{number}"
    own = settings.model_copy(update={"web_port": port, "instance_id": name})
    return Process(f"worker {number}", "worker", own, say, where=_pages(own), page=_page(own), log=log)


def readers(settings: Settings, workers: int, say: Say, folder: Path | None = None) -> list[Process]:
    """What only reads: the projector, the API with the console, and the webhooks' sender; none without their packages.

    The projector's pages are on the web port after the workers', the sender's on the one after that.
    """
    if not can_serve():
        say("console    not started: pip install 'recognition-meter[http]'")
        return []
    port = settings.web_port + workers if settings.web_port else 0
    own = settings.model_copy(update={"web_port": port, "http_port": settings.http_port or free_port()})
    sender = own.model_copy(update={"web_port": port + 1 if 0 < port < MAX_PORT else 0})
    told = f"signed messages; {_pages(sender)}"

    def log(name: str) -> Path | None:
        return folder / f"{name}.log" if folder else None

    return [
        Process("projector", "projector", own, say, where=_pages(own), page=_page(own), log=log("projector")),
        Process("webhooks", "webhooks run", sender, say, where=told, page=_page(sender), log=log("webhooks")),
        Process("api", "api", own, say, where=f"console at {console_at(own)}", page=_api_page(own), log=log("api")),
    ]


def can_serve() -> bool:
    """Whether the packages of the console and the API are installed."""
    return all(find_spec(package) is not None for package in ("sqlalchemy", "fastapi"))


def console_at(settings: Settings) -> str:
    """Where a browser on this machine finds the console."""
    return f"http://{on_this_machine(settings.http_host)}:{settings.http_port}/console"


def on_this_machine(host: str) -> str:
    """A host to listen on, as an address has it that is good on this machine."""
    host = "127.0.0.1" if host in {"0.0.0.0", "::"} else host
    return f"[{host}]" if ":" in host else host


def _pages(settings: Settings) -> str:
    return f"http://{settings.web_host}:{settings.web_port}" if settings.web_port else "no web pages"


def _api_page(settings: Settings) -> str:
    return f"http://{on_this_machine(settings.http_host)}:{settings.http_port}/readyz"


def _page(settings: Settings) -> str | None:
    """Where it says, to somebody on this machine, how it is."""
    return f"http://{on_this_machine(settings.web_host)}:{settings.web_port}/readyz" if settings.web_port else None
