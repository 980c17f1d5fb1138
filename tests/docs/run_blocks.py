"""Run a document's commands as a new user would: `python -m tests.docs.run_blocks README.md`.

`console` blocks hold commands after `$ ` and, below each, what it prints: `...` is anything, dates and times are any.
`sh` blocks are run as they are. All blocks of a document run in order in one shell, in a fresh clone, with no METER_
setting and no Java. A command that fails fails the document, unless a comment beside it says `(exit code N)`. One with
the comment `a moment later` is run again until it prints what it should: what comes before it takes that moment.

The clone uses the virtual environment that runs this, with its own sources first: installing is tested by `make`.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.docs.markdown import DocumentStep, matches, steps

ROOT = Path(__file__).parents[2]
#: Of one command; `make demo` is the longest.
STEP_TIMEOUT_S = 90.0
LATER_TIMEOUT_S = 45.0
RETRY_S = 0.5
STOP_TIMEOUT_S = 45.0
SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin")


class BlockError(AssertionError):
    """A document's command did not do what the document says."""


class BlockOutcome(NamedTuple):
    """What a command did: its exit code (None: the shell has ended) and what it printed."""

    exit_code: int | None
    output: str


def fresh_clone(directory: Path) -> Path:
    """A clone of what is committed, set up as by `make setup`."""
    clone = directory / "recognition-meter"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True, timeout=60)
    venv = Path(sys.prefix)
    if not (venv / ".installed").exists():  # make would install the clone into it
        raise BlockError(f"{venv} was not made by make: run `make setup`, and this with its Python")
    (clone / ".venv").symlink_to(venv)
    # make compares times: what was installed from these very files is not to be installed again.
    for name in ("requirements.lock", "pyproject.toml", "tests/generated/requirements.lock"):
        os.utime(clone / name, (0, 0))
    return clone


def path_without_java(directory: Path) -> str:
    """The programs of the system, but no Java."""
    directory.mkdir()
    for folder in SYSTEM_PATH:
        for program in Path(folder).iterdir():
            if not program.name.startswith("java"):
                with suppress(FileExistsError):
                    (directory / program.name).symlink_to(program)
    return str(directory)


class Shell:
    """One bash in which the commands of a document run, one after the other."""

    def __init__(self, directory: Path, clone: Path) -> None:
        self._directory = directory
        self._clone = clone
        self._count = 0
        self._is_stuck = False
        reading, writing = os.pipe()
        self._codes = reading
        self._environment = environment = {
            "HOME": os.environ.get("HOME", str(directory)),
            "LANG": "C.UTF-8",
            "PATH": path_without_java(directory / "bin"),
            "PYTHONPATH": str(clone),
            "TMPDIR": str(directory),
        }
        self._bash = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=clone,
            env=environment,
            stdin=subprocess.PIPE,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        self._code_fd = writing

    def run(self, script: str, timeout_s: float) -> BlockOutcome:
        """Run a script in the shell. Raises BlockError when it does not end in time."""
        self._count += 1
        source, output = (self._directory / f"{self._count}.{suffix}" for suffix in ("sh", "out"))
        source.write_text(script, "utf-8")
        self._tell(f"source {source} > {output} 2>&1 < /dev/null {self._code_fd}>&-; echo $? >&{self._code_fd}\n")
        if not select.select([self._codes], [], [], timeout_s)[0]:
            self._is_stuck = True
            raise BlockError(f"no end after {timeout_s:g} s; so far:\n{_text(output)}")
        code = os.read(self._codes, 16)
        return BlockOutcome(int(code) if code else None, _text(output))

    def _tell(self, line: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(line.encode())
        self._bash.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what the document left running, by process id, and the shell."""
        with suppress(BrokenPipeError, BlockError):
            if not self._is_stuck:
                self.run("kill $(jobs -p) 2> /dev/null; wait", STOP_TIMEOUT_S)
        with suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.communicate()
        os.close(self._codes)
        self._end_what_is_in_the_background()

    def _end_what_is_in_the_background(self) -> None:
        """Of a document that failed before its `meter down`."""
        for lock in self._clone.rglob(".meter/**/up.lock"):
            subprocess.run(
                [self._clone / ".venv" / "bin" / "meter", "down"],
                env=self._environment | {"METER_DATA_DIR": str(lock.parent)},
                stdout=subprocess.DEVNULL,
                check=True,
                timeout=STEP_TIMEOUT_S,
            )


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.exists() else ""


def run_step(shell: Shell, step: DocumentStep) -> None:
    """Run one step. Raises BlockError where it does not do what the document says."""
    deadline = time.monotonic() + LATER_TIMEOUT_S
    while True:
        outcome = shell.run(step.script, STEP_TIMEOUT_S)
        wrong = _difference(step, outcome)
        if wrong is None:
            return
        if not step.later or outcome.exit_code is None or time.monotonic() > deadline:
            raise BlockError(wrong)
        time.sleep(RETRY_S)


def _difference(step: DocumentStep, outcome: BlockOutcome) -> str | None:
    if outcome.exit_code is None:
        return f"a command of this block failed; it printed\n{outcome.output}"
    if outcome.exit_code != step.exit_code:
        return f"exit code {outcome.exit_code}, not {step.exit_code}; it printed\n{outcome.output}"
    if step.expected is not None and not matches(step.expected, outcome.output):
        return f"it printed\n{outcome.output}\nthe document says\n{step.expected}"
    return None


def run_document(name: str, directory: Path, *, say: bool = False) -> int:
    """Run all steps of a document of the clone; returns how many there were. Raises BlockError."""
    clone = fresh_clone(directory)
    found = steps(clone / name)
    with Shell(directory, clone) as shell:
        for step in found:
            began = time.monotonic()
            try:
                run_step(shell, step)
            except BlockError as error:
                logs = "".join(f"\n{log.name}: {_text(log)[-2000:]}" for log in sorted(clone.glob("*.log")))
                raise BlockError(f"{name}:{step.line}: {step.script.strip()}\n{error}{logs}") from None
            if say:
                print(f"{time.monotonic() - began:6.1f} s  {name}:{step.line}", flush=True)
    return len(found)


def main(names: list[str]) -> int:
    """Run the documents named. Returns 1 when one of them is wrong."""
    for name in names:
        with tempfile.TemporaryDirectory(prefix="meter-docs-") as directory:
            try:
                count = run_document(name, Path(directory), say=True)
            except BlockError as error:
                print(error, file=sys.stderr)
                return 1
        print(f"{name}: {count} steps, all as it says")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
