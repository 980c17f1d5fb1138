"""Which versions are tried, and that nothing is taken for good that was not run."""

import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.matrix.kafkas import newest_patches
from tests.matrix.outcome import NotRunError, VersionOutcome, prepare, run_tests, told
from tests.matrix.pythons import ROOT, VERSIONS, find, full_version


def test_of_each_minor_version_of_kafka_the_newest_release_is_tried() -> None:
    there = ["3.8.1", "3.9.0", "3.9.10", "3.9.9", "4.0.0-rc1", "4.0.0", "4.10.1", "4.9.0", "4.10.0"]
    assert newest_patches(there) == ["3.9.10", "4.0.0", "4.9.0", "4.10.1"]


def test_every_python_that_is_promised_is_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    assert promised
    assert set(promised) <= set(VERSIONS)
    assert project["requires-python"] == f">={VERSIONS[0]}"


def test_a_python_is_known_by_what_it_says_and_one_of_an_environment_is_none(tmp_path: Path) -> None:
    told_wrong = tmp_path / "python3.11"
    told_wrong.write_text("#!/bin/sh\necho '3.11: command not found' >&2; exit 127\n")
    told_wrong.chmod(0o755)
    assert [full_version(told_wrong), full_version(tmp_path / "none"), full_version(Path(sys.executable))] == [""] * 3
    assert find("3.0") is None


@pytest.mark.parametrize(
    ("script", "good", "said"),
    [
        ("print('2 passed in 0.1s')", True, "2 passed in 0.1s"),
        ("print('= 1 failed, 2 passed in 1.00s =\\n'); raise SystemExit(1)", False, "1 failed, 2 passed in 1.00s"),
        ("print('no tests ran in 0.1s'); raise SystemExit(5)", False, "pytest ended with 5 and no closing line"),
        ("pass", False, "pytest ended with 0 and no closing line"),
    ],
)
def test_only_a_closing_line_without_failures_is_good(script: str, good: bool, said: str, tmp_path: Path) -> None:
    outcome = run_tests("1.0", [sys.executable, "-c", script], tmp_path / "log", tmp_path, os.environ)
    assert (outcome.good, outcome.said.partition("; see ")[0]) == (good, said)


def test_what_cannot_be_prepared_says_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(NotRunError, match=r"^no such jar \(all of it is in .*log\)$"):
        prepare([sys.executable, "-c", "raise SystemExit('no such jar')"], tmp_path / "log", tmp_path, os.environ)


@pytest.mark.parametrize(
    ("found", "code"), [([True, None], 0), ([True, False], 1), ([None, None], 1), ([True, True], 0)]
)
def test_it_is_good_when_something_ran_and_all_of_that_is(
    found: list[bool | None], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told("Kafka", [VersionOutcome("1.0", each, "why") for each in found]) == code
    assert capsys.readouterr().out.count("Kafka 1.0: ") == len(found)
