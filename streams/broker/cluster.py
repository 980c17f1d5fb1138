"""Three Kafkas of one data directory: each record in three copies, two of which must be written for it to count.

They share a machine, so this is for tests and for trying things out: it shows what a real cluster does when a node is
lost, and keeps nothing safer than one disk does.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from streams.broker import storage
from streams.broker.child import Child
from streams.broker.config import HOST, Extras, Files, Node, cluster_root
from streams.broker.crash import Mourned, bury_the_dead
from streams.broker.errors import BrokerError
from streams.broker.jars import class_path, default_cache_dir, kafka_version, read_lock
from streams.broker.launch import PROBE_INTERVAL_S, PortLostError, run_node
from streams.broker.ports import free_port, is_free
from streams.broker.probe import answer_at
from streams.broker.process import START_TRIES, STOP_PATIENCE_S, claim_or_running
from streams.broker.quickstart import QuickStart
from streams.broker.secret import kept_secret, new_secret, write_client_properties
from streams.broker.state import BrokerAddress, Known, running_broker, running_node, start_lock
from streams.broker.transactions import wait_for_ends
from streams.process.private import make_folder, write

NODES = 3
START_TIMEOUT_S = 90.0


# So many methods: one for each thing that can be done to a node, most of them a line.
class ClusterNode:
    """One Kafka of a cluster. It can be stopped, killed, frozen and started again while the others run."""

    def __init__(self, cluster: "EmbeddedCluster", files: Files) -> None:
        self.number = files.node_id
        self.files = files
        self.extras = Extras()
        self._cluster = cluster
        self._child: Child | None = None

    @property
    def port(self) -> int:
        """Its port for clients, the same at every start."""
        return self._cluster.ports[self.number]

    @property
    def pid(self) -> int:
        """Its process. Raises BrokerError when it is down."""
        if self._child is None:
            raise BrokerError(f"node {self.number} is down")
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether its process is there, frozen or not."""
        return self._child is not None and not self._child.exited.is_set()

    @property
    def exit_code(self) -> int | None:
        """How it ended by itself: negative, the signal. None while it runs, and after it was ended here."""
        return None if self._child is None else self._child.exit_code

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start it again beside the others, and wait until it answers. Nothing when it runs. Raises BrokerError."""
        if not self.is_running:
            try:
                with self.claimed() as claim:
                    self.launch(claim, self._cluster.java(), timeout_s)
            except PortLostError:
                raise BrokerError(f"another program took a port of node {self.number}") from None

    def stop(self) -> None:
        """Shut it down: it hands over what it leads, if others can take it. SIGKILL as the last resort."""
        if self.is_running:
            wait_for_ends(self.port, self._cluster.secret)
        self._end(lambda child: child.terminate(STOP_PATIENCE_S))

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self._end(Child.kill)

    def freeze(self) -> None:
        """SIGSTOP: its connections stay, and nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Lose its disk; it must be down. Started again it has everything copied from the others."""
        if self.is_running:
            raise BrokerError(f"node {self.number} runs: its disk cannot be lost under it")
        shutil.rmtree(self.files.records)

    def _end(self, how: Callable[[Child], None]) -> None:
        if self._child is not None:
            self.files.state.unlink(missing_ok=True)
            how(self._child)
            self._child = None

    def claimed(self) -> IO[bytes]:
        """Its storage, for one Kafka. Raises BrokerError when another program's uses it."""
        claim = claim_or_running(self.files, lambda: running_node(self.files))
        if isinstance(claim, BrokerAddress):
            raise BrokerError(f"node {self.number} runs already, for another program (process {claim.pid})")
        return claim

    def settled(self) -> Node:
        """What it is started with."""
        cluster = self._cluster
        return Node(
            self.port, cluster.controllers, cluster.secret, cluster.controllers_password, self.number, self.extras
        )

    def prepare(self, claim: IO[bytes], java: "Java", timeout_s: float) -> None:
        """Write its settings, and format its storage where that is new."""
        make_folder(self.files.log.parent)
        self.files.write_settings(self.settled())
        if not self.files.meta.exists():
            quick, cluster_id = java.quick(self.files), self._cluster.cluster_id
            storage.format_storage(self.files, java.jars, quick.options(), timeout_s, claim.fileno(), cluster_id)

    def launch(self, claim: IO[bytes], java: "Java", timeout_s: float) -> None:
        """Run it and wait until it answers, which takes a majority of all. Raises BrokerError, PortLostError."""
        self.prepare(claim, java, timeout_s)
        options = java.quick(self.files).options()
        self._child = run_node(
            self.files, java.jars, options, node=self.settled(), timeout_s=timeout_s, claim=claim.fileno()
        )
        write(self.files.version, java.version)


@dataclass(frozen=True)
class Java:
    """Kafka's jars, their version, and where an archive for quick starts is kept."""

    jars: list[Path]
    version: str
    cache_dir: Path

    def quick(self, files: Files) -> QuickStart:
        """The quick start of a node."""
        return QuickStart(files, self.cache_dir, self.jars)


# So many methods: starting all at once takes many steps, each of which has a name.
class EmbeddedCluster:
    """The cluster of one data directory; its processes are children of this program and end when it does.

    `port` is the first node's, the others have the next ones; 0: any free ones, which this object keeps for its later
    starts. `extras` are by node number, 1 and up. `say` is told of what takes long.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        nodes: int = NODES,
        port: int = 0,
        say: Callable[[str], None] | None = None,
        extras: Mapping[int, Extras] | None = None,
    ) -> None:
        self.nodes = [ClusterNode(self, Files.of_node(data_dir, number)) for number in range(1, nodes + 1)]
        self.ports: dict[int, int] = {}
        self.controllers: dict[int, int] = {}
        self.cluster_id = ""
        self.secret = ""
        self.controllers_password = new_secret()
        self._data_dir = data_dir
        self._port = port
        self._say = say or (lambda _: None)
        self._java: Java | None = None
        for node in self.nodes:
            node.extras = (extras or {}).get(node.number, Extras())

    @property
    def bootstrap_servers(self) -> str:
        """The address of each node, as clients take them."""
        return self._known().bootstrap_servers

    @property
    def root(self) -> Path:
        """Where the nodes keep what they have: their logs are under `node-<n>/logs`."""
        return cluster_root(self._data_dir)

    def node(self, number: int) -> ClusterNode:
        """A node by its number, as Kafka names it: 1 and up."""
        return self.nodes[number - 1]

    def _known(self) -> Known:
        return Known(self.cluster_id, self.ports)

    def start(self, timeout_s: float = START_TIMEOUT_S) -> Self:
        """Start all nodes and wait until each knows of all. Raises BrokerError, also where it runs already."""
        try:
            make_folder(self.root)
            with start_lock(self.nodes[0].files, self._say):
                self._identify()
                self.secret = kept_secret(self.nodes[0].files)
                self._start(timeout_s)
                write_client_properties(self.nodes[0].files, self._known().bootstrap_servers, self.secret)
        except OSError as error:
            raise BrokerError(f"cannot start Kafka in {self._data_dir}: {error.strerror or error}") from error
        return self

    def _identify(self) -> None:
        """Which cluster it is: the one of this directory, or a new one."""
        known = Known.read(self._data_dir)
        if known is not None and len(known.ports) != len(self.nodes):
            raise BrokerError(f"{self._data_dir} holds a cluster of {len(known.ports)} nodes, not {len(self.nodes)}")
        if Files.of(self._data_dir).meta.exists():
            raise BrokerError(f"{self._data_dir} holds a Kafka of one node: choose another --data-dir for a cluster")
        if (running := running_broker(self._data_dir)) is not None:
            raise BrokerError(f"the Kafka of {self._data_dir} already runs at {running.bootstrap_servers}")
        self.cluster_id = known.cluster_id if known else storage.new_cluster_id()

    def _start(self, timeout_s: float) -> None:
        java = self.java()
        for node in self.nodes:
            storage.check(node.files, java.version)
        for _ in range(START_TRIES):
            self._choose_ports()
            try:
                self._launch_all(java, timeout_s)
            except PortLostError:
                self.kill()
            except BaseException:
                self.kill()
                raise
            else:
                java.quick(self.nodes[0].files).make(self._say)
                return
        raise BrokerError(f"other programs took every port chosen on {HOST}")

    def _choose_ports(self) -> None:
        if not self.ports:
            chosen = range(self._port, self._port + len(self.nodes)) if self._port else distinct(len(self.nodes))
            self.ports = {node.number: port for node, port in zip(self.nodes, chosen, strict=True)}
        for port in self.ports.values():
            if not is_free(port):
                raise BrokerError(
                    f"port {port} on {HOST} is taken by another program; choose others with --port, or 0 for any"
                )
        chosen = distinct(len(self.nodes), besides=self.ports.values())
        self.controllers = {node.number: port for node, port in zip(self.nodes, chosen, strict=True)}

    def _launch_all(self, java: Java, timeout_s: float) -> None:
        with ExitStack() as stack, ThreadPoolExecutor(len(self.nodes)) as pool:
            claims = [stack.enter_context(node.claimed()) for node in self.nodes]
            together = list(zip(self.nodes, claims, strict=True))
            list(pool.map(lambda each: each[0].prepare(each[1], java, timeout_s), together))
            self._known().write(self._data_dir)
            self._bury(together, java)
            list(pool.map(lambda each: each[0].launch(each[1], java, timeout_s), together))
        self._introduce(timeout_s)

    def _introduce(self, timeout_s: float) -> None:
        """A node that answers knows of itself. Clients ask any of them, and are to be told of all."""
        ports, deadline = set(self.ports.values()), time.monotonic() + timeout_s
        for port in ports:
            while (answer := answer_at(port, self.secret)) is None or not answer.ports >= ports:
                if time.monotonic() > deadline:
                    raise BrokerError(f"the Kafka at {HOST}:{port} does not know of all others after {timeout_s:g} s")
                time.sleep(PROBE_INTERVAL_S)

    def _bury(self, nodes: Iterable[tuple[ClusterNode, IO[bytes]]], java: Java) -> None:
        """Where nodes have crashed, their controllers come first: see `crash.py`."""
        down = [Mourned(node.files, node.settled(), claim.fileno()) for node, claim in nodes]
        if any(each.files.has_crashed for each in down):
            bury_the_dead(down, java.jars, java.quick(down[0].files).options())

    def java(self) -> Java:
        """Kafka's jars, fetched where they are missing."""
        if self._java is None:
            cache_dir = default_cache_dir()
            self._java = Java(class_path(cache_dir, self._say), kafka_version(read_lock()), cache_dir)
        return self._java

    def stop(self) -> None:
        """Shut the nodes down, one after another: each hands over what it leads.

        The last one is killed: without a majority nobody lets it go, and it would wait for that. What it has written
        alone was not acknowledged to anybody.
        """
        for node in self.nodes[:-1]:
            node.stop()
        self.nodes[-1].kill()

    def kill(self) -> None:
        """SIGKILL to all, as when the machine fails."""
        for node in self.nodes:
            node.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def distinct(count: int, *, besides: Iterable[int] = ()) -> list[int]:
    """So many free ports, none twice."""
    found: dict[int, None] = {}
    taken = set(besides)
    while len(found) < count:
        port = free_port()
        if port not in taken:
            found[port] = None
    return list(found)
