"""Who runs the broker of a data directory: written down by the one that started it, checked by everyone else."""

import fcntl
import json
import os
import select
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from streams.broker import storage
from streams.broker.config import HOST, Files, cluster_root
from streams.broker.errors import BrokerError
from streams.broker.probe import cluster_at
from streams.broker.secret import secret_of
from streams.process.private import append, make_folder, write


@dataclass(frozen=True)
class BrokerAddress:
    """Where a running broker is: its address for clients, what lets them in, its process, Kafka's own log."""

    bootstrap_servers: str
    port: int
    pid: int
    log_file: Path
    secret: str = field(repr=False)


@dataclass(frozen=True)
class State:
    """A broker process and the program that it belongs to, each with its start time, since process ids are reused."""

    pid: int
    pid_start: str
    owner: int
    owner_start: str
    port: int

    @classmethod
    def of(cls, pid: int, port: int) -> "State":
        """The state of a broker that this program has just started."""
        return cls(pid, start_time(pid) or "", os.getpid(), start_time(os.getpid()) or "", port)

    @property
    def is_alive(self) -> bool:
        """Whether the broker's process is there, ready or not."""
        return start_time(self.pid) == self.pid_start

    @property
    def is_leaving(self) -> bool:
        """Whether its owner has ended, so that the kernel has told it to shut down."""
        return start_time(self.owner) != self.owner_start

    def write(self, files: Files) -> None:
        """Replace the state file in one step."""
        part = files.state.with_suffix(".part")
        write(part, json.dumps(asdict(self)))
        part.replace(files.state)

    def address(self, files: Files, secret: str) -> BrokerAddress:
        """The same for the user of a broker."""
        return BrokerAddress(f"{HOST}:{self.port}", self.port, self.pid, files.log, secret)


def start_time(pid: int) -> str | None:
    """When a process began, in clock ticks since boot; None when there is no such process or it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def wait_for_end(pid: int) -> None:
    """Wait until a process has ended that need not be a child of this one."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        ended.poll()
    finally:
        os.close(descriptor)


def read_state(files: Files) -> State | None:
    """The state of a broker process that is there; None for a copied, stale, damaged or missing state file."""
    try:
        state = State(**json.loads(files.state.read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return state if state.is_alive and storage.is_claimed(files) else None


def has_kafka(data_dir: Path) -> bool:
    """Whether a Kafka keeps its records here, running or not. Raises BrokerError for a file that is damaged."""
    return Files.of(data_dir).meta.exists() or Known.read(data_dir) is not None


def running_broker(data_dir: Path) -> BrokerAddress | None:
    """The broker of this data directory, if one runs, stays, and answers a metadata request as the one it should be."""
    return running_node(Files.of(data_dir)) or _running_cluster(data_dir)


def running_node(files: Files) -> BrokerAddress | None:
    """The same of one node of a cluster, or of the only one."""
    state = read_state(files)
    if state is None or state.is_leaving or not files.meta.exists() or (secret := secret_of(files)) is None:
        return None
    return state.address(files, secret) if cluster_at(state.port, secret) == storage.cluster_id(files) else None


def _running_cluster(data_dir: Path) -> BrokerAddress | None:
    """The first of its nodes that answers, with the addresses of all: those that are down may come back."""
    known = Known.read(data_dir)
    for number in known.ports if known else ():
        if known is not None and (found := running_node(Files.of_node(data_dir, number))) is not None:
            return replace(found, bootstrap_servers=known.bootstrap_servers)
    return None


@dataclass(frozen=True)
class Known:
    """What is written down of the cluster of a data directory: its id, and its nodes' ports for clients."""

    cluster_id: str
    ports: Mapping[int, int]

    @classmethod
    def read(cls, data_dir: Path) -> "Known | None":
        """None where there is no cluster. Raises BrokerError for a file that is damaged."""
        file = cls._file(data_dir)
        try:
            content = json.loads(file.read_text("utf-8"))
            return cls(content["cluster_id"], {int(number): int(port) for number, port in content["ports"].items()})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise BrokerError(f"{file} is damaged: restore it, or choose another --data-dir") from error

    def write(self, data_dir: Path) -> None:
        """Replace the file in one step."""
        file = self._file(data_dir)
        part = file.with_suffix(".part")
        write(part, json.dumps(asdict(self)))
        part.replace(file)

    @staticmethod
    def _file(data_dir: Path) -> Path:
        return cluster_root(data_dir) / "cluster.json"

    @property
    def bootstrap_servers(self) -> str:
        """The address of each node, as clients take them."""
        return ",".join(f"{HOST}:{port}" for port in self.ports.values())


@contextmanager
def start_lock(files: Files, say: Callable[[str], None]) -> Iterator[None]:
    """One start at a time in a data directory; the next one waits, and then finds the first one's broker."""
    make_folder(files.root)
    make_folder(files.log.parent)
    with append(files.lock) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another start of this broker")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
