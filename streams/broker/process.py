"""The embedded broker: start it or find it, and stop it."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from streams.broker import storage
from streams.broker.child import Child
from streams.broker.config import HOST, NODE_ID, Extras, Files, Node
from streams.broker.errors import BrokerError
from streams.broker.jars import class_path, default_cache_dir, kafka_version, read_lock
from streams.broker.launch import PortLostError, launch
from streams.broker.ports import free_port, is_free
from streams.broker.quickstart import QuickStart
from streams.broker.secret import kept_secret, new_secret, write_client_properties
from streams.broker.state import BrokerAddress, Known, State, read_state, running_broker, start_lock, wait_for_end
from streams.broker.transactions import wait_for_ends
from streams.process.private import write

DEFAULT_PORT = 19092
START_TRIES = 5
STOP_PATIENCE_S = 30.0
CHECK_INTERVAL_S = 0.1


class EmbeddedBroker:
    """Apache Kafka on loopback for one data directory; a child of this program that ends when this program does.

    `port` 0 is any free one, which this object keeps for its later starts. `say` is told of what takes long.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = DEFAULT_PORT,
        say: Callable[[str], None] | None = None,
        extras: Extras | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._files = Files.of(data_dir)
        self._port = port
        self._extras = extras or Extras()
        self._say = say or (lambda _: None)
        self._child: Child | None = None
        self._found: BrokerAddress | None = None

    @property
    def owned(self) -> bool:
        """Whether this object started the broker that it gave, and stops it; not one that was running already."""
        return self._child is not None

    def start(self, timeout_s: float = 60) -> BrokerAddress:
        """Start Kafka and wait until it answers; if one runs on this data directory already, that is the answer.

        `timeout_s` is for Kafka to become ready; fetching its jars, once, takes what it takes. Raises BrokerError.
        """
        try:
            with start_lock(self._files, self._say):
                found = _running_cluster(self._data_dir)
                storage_or_running = found or claim_or_running(self._files, lambda: running_broker(self._data_dir))
                if isinstance(storage_or_running, BrokerAddress):
                    self._found = storage_or_running
                    return storage_or_running
                with storage_or_running as claim:  # the broker has inherited it by the end of the block
                    return self._start(timeout_s, claim.fileno())
        except OSError as error:
            raise BrokerError(f"cannot start Kafka in {self._data_dir}: {error.strerror or error}") from error

    def _start(self, timeout_s: float, claim: int) -> BrokerAddress:
        kafka = kafka_version(read_lock())
        storage.check(self._files, kafka)
        self._require_port()
        cache_dir = default_cache_dir()
        jars = class_path(cache_dir, self._say)
        quick = QuickStart(self._files, cache_dir, jars)
        try:
            self._child, self._port = self._launch(jars, quick, timeout_s, claim)
            write(self._files.version, kafka)
            address = State.of(self._child.pid, self._port).address(self._files, kept_secret(self._files))
            write_client_properties(self._files, address.bootstrap_servers, address.secret)
            quick.make(self._say)
        except BaseException:
            self.stop()
            raise
        return address

    def _launch(self, jars: list[Path], quick: QuickStart, timeout_s: float, claim: int) -> tuple[Child, int]:
        for _ in range(START_TRIES):
            self._require_port()
            port = self._port or free_port()
            # The port lost may be the controller's, which is always a free one, so another try has another.
            with suppress(PortLostError):
                controllers = {NODE_ID: free_port()}
                node = Node(port, controllers, kept_secret(self._files), new_secret(), extras=self._extras)
                return launch(self._files, jars, quick, node=node, timeout_s=timeout_s, claim=claim), port
        raise BrokerError(f"other programs took every port chosen on {HOST}")

    def _require_port(self) -> None:
        if self._port and not is_free(self._port):
            raise BrokerError(
                f"port {self._port} on {HOST} is taken by another program; choose one with --port, or 0 for any"
            )

    def wait(self) -> int | None:
        """Wait until the broker ends by itself; its exit code (negative: the signal that ended it).

        None for one that ran already: it is another program's child, and only that learns its code.
        """
        child, found = self._child, self._found
        if child is not None:
            child.exited.wait()
            return child.exit_code or 0
        assert found is not None
        wait_for_end(found.pid)
        return None

    def stop(self) -> None:
        """Shut Kafka down and wait for it, with SIGKILL as the last resort. Nothing when this object runs none."""
        if self._child is not None:
            self._files.state.unlink(missing_ok=True)  # first, so that nobody takes up one that is about to go
            if self._port and not self._child.exited.is_set():
                wait_for_ends(self._port, kept_secret(self._files))
            self._child.terminate(STOP_PATIENCE_S)
            self._child = None

    def kill(self) -> None:
        """SIGKILL, as a crash would: for tests."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def __enter__(self) -> BrokerAddress:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _running_cluster(data_dir: Path) -> BrokerAddress | None:
    """The cluster of this data directory, which is used. One node beside it would be a Kafka with other records."""
    known = Known.read(data_dir)
    if known is None:
        return None
    found = running_broker(data_dir)
    if found is None:
        raise BrokerError(
            f"{data_dir} holds a cluster: start it with `meter broker --nodes {len(known.ports)}`, "
            "or choose another --data-dir"
        )
    return found


def claim_or_running(files: Files, running: Callable[[], BrokerAddress | None]) -> IO[bytes] | BrokerAddress:
    """The claim to the storage of one node, or the broker that holds it and can be used.

    In between is one that shuts down, because it was told to or its owner ended. When it does not end although its
    owner is gone, it is killed; one that has an owner is the owner's to end.
    """
    deadline = time.monotonic() + STOP_PATIENCE_S
    while (claim := storage.claim(files)) is None:
        found = running()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            _end_orphan(files, read_state(files))
        time.sleep(CHECK_INTERVAL_S)  # another program's child: its end cannot be waited for
    return claim


def _end_orphan(files: Files, state: State | None) -> None:
    if state is None or not state.is_leaving:
        process = f" (process {state.pid})" if state else ""
        raise BrokerError(f"the Kafka of {files.root}{process} neither answers nor ends: end it")
    with suppress(ProcessLookupError):
        os.kill(state.pid, signal.SIGKILL)


@contextmanager
def broker_for(
    data_dir: Path, *, port: int = DEFAULT_PORT, say: Callable[[str], None] | None = None
) -> Iterator[BrokerAddress]:
    """The running broker of this data directory, on whatever port it has, else one started for the block."""
    with EmbeddedBroker(data_dir, port=port, say=say) as address:
        yield address
