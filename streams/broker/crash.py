"""After a crash: the controller is told first that the broker is gone.

A broker that was killed is alive for its controller until its session runs out. Started again, it would go on as leader
of everything at once, end the transactions that were being ended, and lose all leaderships in the middle of it when the
session does run out: a transaction's end that comes then is dropped ("Couldn't find leader endpoint for partitions ...
likely deleted already"), and what had been aborted is committed by the next transaction of the same producer. So the
controller runs alone for a moment, with a short session, until it has taken the broker off everything; the broker then
begins as one that has everything still to lead. It is also quicker than to wait for the session.
"""

import time
from pathlib import Path

from streams.broker.child import Child
from streams.broker.config import CONTROLLER_SETTINGS, Files, controller_properties, java_command
from streams.broker.news import News
from streams.broker.ports import free_port

LOOK_S = 0.02
#: A controller that knows of no broker any more has nothing to say; then this long is waited in vain.
PATIENCE_S = 8.0
STOP_PATIENCE_S = 5.0


def bury_the_dead(files: Files, jars: list[Path], options: list[str], claim: int) -> None:
    """Let the controller take the broker that was killed off all partitions. Does nothing where that is done."""
    (files.root / CONTROLLER_SETTINGS).write_text(controller_properties(free_port()), "utf-8")
    log, deadline = News(files.log), time.monotonic() + PATIENCE_S
    command = java_command(files, jars, "kafka.Kafka", CONTROLLER_SETTINGS, extra=options)
    child = Child(command, files.console, files.root, claim=claim)
    try:
        while not (_is_done(log) or child.exited.wait(LOOK_S) or time.monotonic() > deadline):
            pass
        child.terminate(STOP_PATIENCE_S)
    finally:
        child.kill()


def _is_done(log: News) -> bool:
    """Whether the log tells that the broker was fenced, and that this is in the metadata."""
    _, fencing, after = "\n".join(log.lines()).partition("Fencing broker ")
    return bool(fencing) and "fenced=1" in after
