"""One try at starting Kafka: write its settings, format new storage, run it, wait until it answers or ends."""

import itertools
import re
import time
from pathlib import Path

from streams.broker import storage
from streams.broker.child import Child
from streams.broker.config import SETTINGS, Files, Node, java_command
from streams.broker.crash import Mourned, bury_the_dead
from streams.broker.errors import BrokerError
from streams.broker.log_tail import LogTail
from streams.broker.probe import STRANGER, cluster_at
from streams.broker.quickstart import QuickStart
from streams.broker.secret import admit
from streams.broker.state import State

PROBE_INTERVAL_S = 0.05
PORT_IN_USE = "Address already in use"
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \S+ [A-Z]+ ")
ERROR_LINE = re.compile(r"\d{4}-\d\d-\d\d \S+ (ERROR|FATAL) ")


class PortLostError(Exception):
    """Another program took a port between the look at it and Kafka's use of it."""


def launch(files: Files, jars: list[Path], quick: QuickStart, *, node: Node, timeout_s: float, claim: int) -> Child:
    """A Kafka of one node that answers on its port and holds the `claim` to its storage.

    Raises BrokerError with Kafka's last error, or PortLostError.
    """
    files.write_settings(node)
    if not files.meta.exists():
        storage.format_storage(files, jars, quick.options(), timeout_s, claim, storage.new_cluster_id())
    elif not files.was_stopped.exists():
        bury_the_dead([Mourned(files, node, claim)], jars, quick.options())
    return run_node(files, jars, quick.recording_options(), node=node, timeout_s=timeout_s, claim=claim)


def run_node(files: Files, jars: list[Path], options: list[str], *, node: Node, timeout_s: float, claim: int) -> Child:
    """Run a node on storage that is ready for it, and wait until it answers. Raises as `launch` does."""
    log, console = LogTail(files.log), LogTail(files.console)
    command = java_command(files, jars, "kafka.Kafka", SETTINGS, extra=[*node.jvm_options, *options])
    child = Child(command, files.console, files.root, claim=claim, environment=node.extras.environment)
    try:
        State.of(child.pid, node.port).write(files)
        if _is_ready(child, node, storage.cluster_id(files), timeout_s):
            return child
        if not child.exited.is_set():
            raise BrokerError(f"Kafka was not ready after {timeout_s:g} s; its log is {files.log}")
        raise _failure(files, log.lines(), console.lines())
    except BaseException:
        child.kill()
        raise


def _is_ready(child: Child, node: Node, cluster_id: str, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while (found := cluster_at(node.port, node.secret)) != cluster_id:
        if found == STRANGER.cluster_id:
            admit(node)
        if child.exited.wait(PROBE_INTERVAL_S) or time.monotonic() > deadline:
            return False
    return True


def _failure(files: Files, log: list[str], console: list[str]) -> Exception:
    if any(PORT_IN_USE in line for line in log):
        return PortLostError()
    reason = _last_error(log) or (console or ["without a word"])[-1]
    return BrokerError(f"Kafka ended during its start: {reason}; its log is {files.log}")


def _last_error(log: list[str]) -> str | None:
    """The innermost cause under the last error of Kafka's log, or that error itself."""
    errors = [number for number, line in enumerate(log) if ERROR_LINE.match(line)]
    if not errors:
        return None
    message, *trace = log[errors[-1] :]
    own_trace = list(itertools.takewhile(lambda line: not LOG_LINE.match(line), trace))
    causes = [line.removeprefix("Caused by: ") for line in own_trace if line and not line.startswith("\t")]
    return causes[-1] if causes else message
