"""The package as users get it: the sdist of the tree, the wheel made of that, and an environment that has the wheel."""

import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120
NO_NETWORK = ("--no-index", "--no-deps")


class Package(NamedTuple):
    """What was built: the sdist, what is in it, and the wheel."""

    sdist: Path
    source: Path
    wheel: Path


def of_the_tree() -> list[str]:
    """The project's files, whether they are committed yet or not. Outside of a clone the test is skipped."""
    if not (ROOT / ".git").exists():
        pytest.skip("which files belong to the project is known in a clone, not in an unpacked sdist")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=TIMEOUT_S).stdout.decode()
    return sorted(name for name in set(listed.split("\0")) if name and (ROOT / name).is_file())


def copy_tree(to: Path) -> Path:
    """The project's files, and no git."""
    for name in of_the_tree():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, to / name)
    return to


def build(directory: Path) -> Package:
    """Build in `directory`, from a copy without git, with what `requirements-build.lock` pins and no network."""
    tree = copy_tree(directory / "tree")
    python(tree, "-m", "hatchling", "build", "--target", "sdist", "--directory", directory)
    (sdist,) = directory.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(directory / "unpacked", filter="data")
    (source,) = (directory / "unpacked").iterdir()
    pip("wheel", *NO_NETWORK, "--no-build-isolation", "--wheel-dir", directory, sdist)
    (wheel,) = directory.glob("*.whl")
    return Package(sdist, source, wheel)


def install(wheel: Path, directory: Path) -> Path:
    """A new virtual environment with the wheel and nothing else; gives its folder of programs.

    It finds the dependencies where those of this environment are. The tree, which is installed there by a `.pth` file,
    is not found: such files count in an environment's own folder alone.
    """
    venv.create(directory, with_pip=False)
    bin_dir = directory / "bin"
    pip("--python", bin_dir / "python", "install", *NO_NETWORK, wheel)
    (packages,) = directory.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return bin_dir


def pip(*arguments: str | Path) -> None:
    """pip of this environment, which takes nothing from elsewhere."""
    python(ROOT, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def python(cwd: Path, *arguments: str | Path) -> None:
    """Run this environment's Python to a good end."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
