"""What came of the tests on one version."""

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

#: Where environments, copies and logs are kept for a look; not part of the project.
FOLDER = Path(__file__).parents[2] / ".matrix"
CLOSING = re.compile(r"^(?:=+ )?(\d+ (?:passed|failed|error).*? in .*?)(?: =+)?$", re.MULTILINE)


class VersionOutcome(NamedTuple):
    """`good` is None where nothing could be run. `said` is pytest's closing line, or the reason."""

    version: str
    good: bool | None
    said: str


class NotRunError(Exception):
    """Why the tests could not be run."""


def run(command: Sequence[str | Path], log: Path, cwd: Path, environment: Mapping[str, str]) -> int:
    """Run to its end, everything that it says added to `log`; its exit code."""
    with log.open("ab") as file:
        return subprocess.run(
            command, cwd=cwd, env=dict(environment), stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False
        ).returncode


def prepare(command: Sequence[str | Path], log: Path, cwd: Path, environment: Mapping[str, str]) -> None:
    """Run what the tests need first. Raises NotRunError with its last line."""
    if run(command, log, cwd, environment) != 0:
        *_, last = log.read_text("utf-8", errors="replace").splitlines() or [""]
        raise NotRunError(f"{last.strip()} (all of it is in {log})")


def run_tests(
    version: str, command: Sequence[str | Path], log: Path, cwd: Path, environment: Mapping[str, str]
) -> VersionOutcome:
    """Run pytest; good is no failure and at least one test."""
    code = run(command, log, cwd, environment)
    found = CLOSING.findall(log.read_text("utf-8", errors="replace"))
    said = found[-1] if found else f"pytest ended with {code} and no closing line"
    return VersionOutcome(version, code == 0 and bool(found), said if code == 0 else f"{said}; see {log}")


def told(what: str, outcomes: Iterable[VersionOutcome]) -> int:
    """Say each as it comes; the exit code: 0 where something was run, and all of that is good."""
    good = []
    for outcome in outcomes:
        state = {True: "passed", False: "FAILED", None: "not run"}[outcome.good]
        print(f"{what} {outcome.version}: {state}: {outcome.said}", flush=True)
        good += [] if outcome.good is None else [outcome.good]
    return 0 if good and all(good) else 1
