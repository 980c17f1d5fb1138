"""`python -m tests.matrix.kafkas [VERSION...]`: the decisive tests on other Kafkas than the pinned one.

Each runs in a copy of the tree where that version is pinned. Without versions: of each minor version from 3.9 on, the
newest that the repository has.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from streams.broker.jars import BROKER_PROJECT, maven_context
from tests.matrix.outcome import FOLDER, NotRunError, VersionOutcome, prepare, run_tests, told
from tests.package.built import copy_tree

OLDEST = (3, 9)
#: That it is this Kafka; the guide's example; fencing, restarts, duplicates; hanging transactions; counts after kills.
DECISIVE = (
    "tests/integration/test_broker.py::TestRunning::test_it_is_the_pinned_kafka_and_logs_where_it_should",
    "tests/integration/test_guide_example.py",
    "tests/integration/test_restarts.py",
    "tests/integration/test_hanging.py",
    "tests/chaos/test_chaos.py::test_short_chaos",
)


def newest_patches(versions: Iterable[str]) -> list[str]:
    """Of each minor version from the oldest on, the newest release; `4.0.0-rc1` is none."""
    newest: dict[tuple[int, ...], tuple[int, ...]] = {}
    for version in versions:
        if all(part.isdecimal() for part in version.split(".")):
            number = tuple(map(int, version.split(".")))
            minor = number[:2]
            if minor >= OLDEST:
                newest[minor] = max(number, newest.get(minor, number))
    return [".".join(map(str, number)) for _, number in sorted(newest.items())]


def released() -> list[str]:
    """What the repository has."""
    with tempfile.TemporaryDirectory() as cache:
        project = maven_context(Path(cache)).project(*BROKER_PROJECT)
        project.update()
        return newest_patches(project.metadata.versions)


def try_kafka(version: str) -> VersionOutcome:
    """Pin it in a copy, and test there."""
    tree, log = FOLDER / f"kafka-{version}", FOLDER / f"kafka-{version}.log"
    shutil.rmtree(tree, ignore_errors=True)
    log.unlink(missing_ok=True)
    copy_tree(tree)
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "long or not long", *DECISIVE]
    try:
        prepare([sys.executable, "-m", "streams.broker.pin", version], log, tree, environment)
        return run_tests(version, pytest, log, tree, environment)
    except NotRunError as error:
        return VersionOutcome(version, None, str(error))


def main(versions: list[str]) -> int:
    """Try each; the exit code."""
    outcomes: Iterator[VersionOutcome] = map(try_kafka, versions or released())
    return told("Kafka", outcomes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
