"""After a crash: the controller is told first that the broker is gone.

A broker that was killed is alive for its controller until its session runs out. Started again, it would go on as leader
of everything at once, end the transactions that were being ended, and lose all leaderships in the middle of it when the
session does run out: a transaction's end that comes then is dropped ("Couldn't find leader endpoint for partitions ...
likely deleted already"), and what had been aborted is committed by the next transaction of the same producer. So the
controller runs alone for a moment, with a short session, until it has taken the broker off everything; the broker then
begins as one that has everything still to lead. It is also quicker than to wait for the session.

In a cluster that is down all its controllers run, since they need a majority. Where others still run, they have done
it, or do it while the node that comes back tries to register.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from streams.broker.child import Child
from streams.broker.config import CONTROLLER_SETTINGS, Files, Node, controller_properties, java_command
from streams.broker.log_tail import LogTail
from streams.process.private import write

LOOK_S = 0.02
#: A controller that knows of no broker any more has nothing to say; then this long is waited in vain.
PATIENCE_S = 8.0
STOP_PATIENCE_S = 5.0


class Mourned(NamedTuple):
    """A node that is down, dead or stopped in order, and the claim to its storage."""

    files: Files
    node: Node
    claim: int


def bury_the_dead(nodes: Sequence[Mourned], jars: list[Path], options: list[str]) -> None:
    """Let the controllers take the brokers that were killed off all partitions. Does nothing where that is done."""
    logs, deadline = [LogTail(each.files.log) for each in nodes], time.monotonic() + PATIENCE_S
    dead = {each.node.number for each in nodes if each.files.has_crashed}
    children: list[Child] = []
    try:
        children += [_controller(each, jars, options) for each in nodes]
        while not (_are_fenced(logs, dead) or children[0].exited.wait(LOOK_S) or time.monotonic() > deadline):
            pass
        if len(children) == 1:
            # It tells what it is about to write. Several tell what a majority has, and asked to stop would wait for it.
            children[0].terminate(STOP_PATIENCE_S)
    finally:
        for child in children:
            child.kill()


def _controller(each: Mourned, jars: list[Path], options: list[str]) -> Child:
    write(each.files.root / CONTROLLER_SETTINGS, controller_properties(each.node))
    extra = [*each.node.jvm_options, *options]
    command = java_command(each.files, jars, "kafka.Kafka", CONTROLLER_SETTINGS, extra=extra)
    return Child(
        command, each.files.console, each.files.root, claim=each.claim, environment=each.node.extras.environment
    )


def _are_fenced(logs: Sequence[LogTail], dead: set[int]) -> bool:
    """Whether the brokers were fenced by the controller in charge, and that is in the metadata of a majority."""
    said = ["\n".join(log.lines()) for log in logs]
    return all(_is_fenced(said, number) for number in dead)


def _is_fenced(said: Sequence[str], number: int) -> bool:
    epochs = {epoch for text in said for epoch in re.findall(rf"Fencing broker {number} at epoch (\d+)", text)}
    recorded = [f"(brokerId={number}, brokerEpoch={epoch}, fenced=1," for epoch in epochs]
    return any(sum(record in text for text in said) * 2 > len(said) for record in recorded)
