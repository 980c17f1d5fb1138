"""`python -m tests.matrix.pythons [VERSION...]`: the tests that need no Kafka, on each Python that is found here.

Each has an environment of its own, with the pinned packages. None is downloaded: what is not found is named.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.matrix.outcome import FOLDER, NotRunError, VersionOutcome, prepare, run_tests, told

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
WITHOUT_KAFKA = ("tests/unit", "tests/properties", "tests/golden")
#: Its version and patch, unless it is one of a virtual environment.
ASK = "import sys; print(*sys.version_info[:3], sep='.') if sys.prefix == sys.base_prefix else None"


def interpreters(version: str) -> Iterator[Path]:
    """Where a Python of this version may be: on the path, pyenv's, uv's."""
    folders = [Path(folder) for folder in os.get_exec_path()]
    yield from (folder / f"python{version}" for folder in folders)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"))
    if uv := shutil.which("uv"):
        command = [uv, "python", "find", "--no-python-downloads", version]
        found = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        yield from map(Path, found.splitlines())


def full_version(python: Path) -> str:
    """Such as 3.12.1; empty where nothing answers, or only a virtual environment does."""
    try:
        asked = subprocess.run([python, "-c", ASK], check=False, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()


def find(version: str) -> tuple[Path, str] | None:
    """The first interpreter that is of this version, and which patch it is."""
    answers = ((python, full_version(python)) for python in interpreters(version))
    return next(((python, said) for python, said in answers if said.startswith(f"{version}.")), None)


def try_python(version: str) -> VersionOutcome:
    """Set it up, and test on it."""
    if (found := find(version)) is None:
        return VersionOutcome(version, None, "none found on the path, of pyenv or of uv")
    python, said = found
    FOLDER.mkdir(exist_ok=True)
    venv, log = FOLDER / version, FOLDER / f"python-{version}.log"
    log.unlink(missing_ok=True)
    pytest = [
        str(venv / "bin/python"),
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "--dist",
        "loadgroup",
        "--no-loadscope-reorder",
    ]
    try:
        prepare(["make", "setup", f"PYTHON={python}", f"VENV={venv}"], log, ROOT, os.environ)
        return run_tests(said, [*pytest, *WITHOUT_KAFKA], log, ROOT, os.environ)
    except NotRunError as error:
        return VersionOutcome(said, None, str(error))


def main(versions: list[str]) -> int:
    """Try each; the exit code."""
    return told("Python", map(try_python, versions or VERSIONS))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
