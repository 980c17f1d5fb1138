"""`meter up` in the background: started until it is ready, and stopped, by other commands."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from streams.broker.config import Files
from streams.broker.connect import Say
from streams.broker.process import STOP_PATIENCE_S as KAFKA_PATIENCE_S
from streams.broker.state import read_state as kafka_state
from streams.errors import Exit, MeterError, SettingError
from streams.process.private import append, new_folder
from streams.process.readiness import READY, VARIABLE
from streams.settings import Settings
from streams.supervise.only_one import holder, is_held
from streams.supervise.processes import STOP_PATIENCE_S
from streams.supervise.state import forget, read_state
from streams.supervise.status import RunningPart, look
from streams.terminal.output import note

#: Lines of the log that are shown when it does not start.
LAST_WORDS = 20
LOOK_S = 0.1
#: How long what has begun is waited for until it is ready by its own word.
READY_PATIENCE_S = 15.0
#: It asks its processes, then Kafka, and kills what does not end.
PATIENCE_S = STOP_PATIENCE_S + KAFKA_PATIENCE_S + 15.0


def log_of(data_dir: Path) -> Path:
    """What a `meter up` in the background says; that of the one before is kept beside it."""
    return data_dir / "up.log"


def detach(settings: Settings, workers: int, port: int, say: Say) -> int:
    """Start `meter up` and wait until it is ready. Returns the exit code; when it is not 0 nothing is left running.

    Raises MeterError where another one runs, or there can be no log.
    """
    if (pid := holder(settings.data_dir)) is not None:
        raise SettingError(f"`meter up` runs on {settings.data_dir} already (process {pid}): `meter status` shows it")
    path = log_of(settings.data_dir)
    with _new_log(path) as log:
        process, hearing = _start(workers, port, log)
        try:
            with os.fdopen(hearing) as pipe:
                heard = pipe.read()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            return 130
    said = path.read_text("utf-8", "replace").splitlines()
    if heard == READY:
        late = _not_ready(settings)
        for line in said:
            if line.startswith(("Kafka ", "topics ", "worker ", "projector ", "webhooks ", "api ")):
                say(line)
        for each in late:
            note(f"{each.name} has begun, and is not ready yet: {each.where}")
        say(f"ready; its log is {path}, `meter status` looks at it, `meter down` stops it")
        return Exit.OK
    code = process.wait() or Exit.FAILED
    if not heard:  # the reason is somebody else's: a worker's
        for line in said[-LAST_WORDS:]:
            note(line)
    raise _NotStartedError(heard.strip() or f"it did not start, and nothing is left running; its log is {path}", code)


def _not_ready(settings: Settings) -> list[RunningPart]:
    """What has begun its work and says all the same that it is not ready, such as a projector that catches up."""
    deadline = time.monotonic() + READY_PATIENCE_S
    while True:
        code, lines = look(settings)
        if code == Exit.OK or time.monotonic() > deadline:
            return [line for line in lines if not line.is_ready]
        time.sleep(LOOK_S)


class _NotStartedError(MeterError):
    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = Exit(code) if code in list(Exit) else Exit.FAILED


def _new_log(path: Path) -> BinaryIO:
    try:
        new_folder(path.parent)
        with suppress(FileNotFoundError):
            path.replace(path.with_name("up.log.1"))
        return append(path)
    except OSError as error:
        raise MeterError(f"cannot write {path}: {error.strerror}") from error


def _start(workers: int, port: int, log: BinaryIO) -> tuple["subprocess.Popen[bytes]", int]:
    """`meter up`, and a pipe that is closed when it has ended, or when it is ready and has said so."""
    hearing, telling = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams", "up", "--workers", str(workers), "--port", str(port)],
            env=os.environ | {VARIABLE: str(telling)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(telling,),
        )
    finally:
        os.close(telling)
    return process, hearing


def down(settings: Settings, say: Say) -> int:
    """Stop the `meter up` of a data directory, and what a killed one has left. Returns when all has ended.

    Raises MeterError where something does not end.
    """
    data_dir = settings.data_dir
    if not is_held(data_dir) and not _kafka_is_left(data_dir):
        forget(data_dir)  # one that was killed may have ended whole, by itself
        say(f"`meter up` does not run on {data_dir}")
        return Exit.OK
    pid = holder(data_dir)
    if pid is not None:
        _ask(pid, data_dir)
    if not _ends(data_dir, PATIENCE_S):
        if pid is not None and holder(data_dir) == pid:
            raise MeterError(f"`meter up` (process {pid}) has not ended for {PATIENCE_S:g} s; its log says why")
        _kill_what_is_left(data_dir)
        if not _ends(data_dir, STOP_PATIENCE_S):
            raise MeterError(f"what a killed `meter up` has left on {data_dir} does not end")
    forget(data_dir)
    say(f"stopped; all that is metered stays in {data_dir}")
    return Exit.OK


def _ask(pid: int, data_dir: Path) -> None:
    """SIGTERM, to this very process: an id may be another's by the time that it is used."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if holder(data_dir) == pid:
            signal.pidfd_send_signal(process, signal.SIGTERM)
            signal.pidfd_send_signal(process, signal.SIGCONT)  # one that Ctrl-Z has stopped hears nothing until then
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise MeterError(f"`meter up` on {data_dir} is another user's (process {pid})") from error
    finally:
        os.close(process)


def _ends(data_dir: Path, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while is_held(data_dir) or _kafka_is_left(data_dir):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_S)  # other programs' children: their end cannot be waited for
    return True


def _kafka_is_left(data_dir: Path) -> bool:
    """Whether a Kafka shuts down, since whoever had started it is gone."""
    state = kafka_state(Files.of(data_dir))
    return state is not None and state.is_leaving


def _kill_what_is_left(data_dir: Path) -> None:
    state, kafka = read_state(data_dir), kafka_state(Files.of(data_dir))
    left = [part.pid for part in state.parts if part.is_alive] if state is not None else []
    if kafka is not None and kafka.is_leaving:
        left.append(kafka.pid)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
