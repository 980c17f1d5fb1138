"""A JVM as a child process that ends when its owner does."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from streams.process import die_with_parent
from streams.process.private import OTHERS, append

# Options for any JVM that a user may have set: this one runs as it was pinned and measured.
FOREIGN_OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH")
DIE_WITH_PARENT = Path(die_with_parent.__file__)


class Child:
    """A running command, its output appended to `console`. In a session of its own: Ctrl-C is for the owner to see.

    A thread starts it and waits for it, because the kernel ties a child to the thread that started it and not to
    the process: the thread lives exactly as long as the child, or ends with the process. `claim` is an open file that
    the child holds as long as it lives, and with it the lock on it. `environment` is put on top of this program's.
    """

    def __init__(
        self,
        command: list[str],
        console: Path,
        cwd: Path,
        *,
        claim: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.exited = threading.Event()
        self._started = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._error: OSError | None = None
        arguments = (command, console, cwd, claim, environment or {})
        threading.Thread(target=self._run, args=arguments, name="kafka-child", daemon=True).start()
        self._started.wait()
        if self._error is not None:
            raise self._error

    def _run(
        self, command: list[str], console: Path, cwd: Path, claim: int | None, environment: Mapping[str, str]
    ) -> None:
        try:
            self._process = _spawn(command, console, cwd, claim, environment)
        except OSError as error:
            self._error = error
            return
        finally:
            self._started.set()
        self._process.wait()
        self.exited.set()

    @property
    def pid(self) -> int:
        """Its process id, the JVM's own."""
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        assert self._process is not None
        return self._process.returncode

    def terminate(self, patience_s: float) -> None:
        """SIGTERM, and SIGKILL when it has not ended after `patience_s` seconds."""
        assert self._process is not None
        self._process.terminate()
        if not self.exited.wait(patience_s):
            self.kill()

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process is not None
        self._process.kill()
        self.exited.wait()


def run(command: list[str], console: Path, cwd: Path, timeout_s: float, *, claim: int | None = None) -> bool:
    """Run a command to its end, `timeout_s` seconds at most; whether it succeeded. Nothing of it is left behind."""
    child = Child(command, console, cwd, claim=claim)
    try:
        child.exited.wait(timeout_s)
    finally:
        if not child.exited.is_set():
            child.kill()
    return child.exit_code == 0


def _spawn(
    command: list[str], console: Path, cwd: Path, claim: int | None, extra: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    launcher = [sys.executable, "-I", "-S", str(DIE_WITH_PARENT), str(os.getpid())]
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN_OPTIONS}
    environment["LC_ALL"] = "C.UTF-8"  # else Java cannot open a file whose name is not ASCII
    environment |= extra
    with append(console) as output:
        return subprocess.Popen(
            [*launcher, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=environment,
            pass_fds=() if claim is None else (claim,),
            start_new_session=True,
            umask=OTHERS,
        )
