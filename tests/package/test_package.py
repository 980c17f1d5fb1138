"""The sdist is the whole project, the wheel all that runs, and the installed wheel a meter without the tree."""

import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import meter
from tests.integration.running import clean_environment
from tests.package.built import ROOT, Package, of_the_tree

#: Of the unpacked sdist: a rule, logs that are kept, documents, the Makefile, the bench.
FROM_THE_SDIST = (
    "tests/unit/test_guide.py",
    "tests/unit/test_architecture.py",
    "tests/unit/test_bench_print.py",
    "tests/golden",
    "tests/docs/test_reference.py",
    "tests/docs/test_compose.py",
)


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_every_file_of_both_packages_and_nothing_else(package: Package) -> None:
    names = names_in(package.wheel)
    metadata = {name for name in names if name.startswith(f"recognition_meter-{meter.__version__}.dist-info/")}
    assert sorted(names - metadata) == [name for name in of_the_tree() if name.startswith(("meter/", "streams/"))]
    assert {name.partition("/")[2] for name in metadata} >= {"METADATA", "entry_points.txt", "licenses/LICENSE"}


def test_the_sdist_is_the_whole_project(package: Package) -> None:
    names = {str(path.relative_to(package.source)) for path in package.source.rglob("*") if path.is_file()}
    assert sorted(names - {"PKG-INFO"}) == of_the_tree()


def test_it_was_built_with_what_the_lock_of_the_build_pins() -> None:
    pins = re.findall(r"^(\S+)==(\S+)", (ROOT / "requirements-build.lock").read_text("utf-8"), re.MULTILINE)
    assert "hatchling" in dict(pins)
    assert [(name, version(name)) for name, _ in pins] == pins


def test_the_installed_meter_is_not_the_trees(installed: Path, tmp_path: Path) -> None:
    said = subprocess.run(
        [installed / "python", "-c", "import meter, streams; print(meter.__file__, streams.__file__, sep='\\n')"],
        cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    assert [Path(line).is_relative_to(installed.parent) for line in said.splitlines()] == [True, True]


@pytest.mark.parametrize("arguments", [["--help"], ["quote", "--region", "Mainland China", "--duration", "3600"]])
def test_the_installed_command_runs(installed: Path, tmp_path: Path, arguments: list[str]) -> None:
    done = subprocess.run(
        [installed / "meter", *arguments], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert ("Usage: meter" in done.stdout) or ("16.80 CNY" in done.stdout)


def test_the_sdist_holds_what_its_tests_and_checks_read(package: Package) -> None:
    environment = {**os.environ, "PYTHONPATH": str(package.source)}
    for command in (["ruff", "check", "--no-cache", "."], ["pytest", "-q", "-p", "no:cacheprovider", *FROM_THE_SDIST]):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=package.source, env=environment, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d{3,} passed", done.stdout)
