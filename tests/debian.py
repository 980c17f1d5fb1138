"""What the tests need of Debian's own packages is installed where it is missing."""

import os
import shutil
import subprocess
from pathlib import Path


def provided(file: Path, *packages: str) -> Path:
    """A file of these packages, which are installed first where it is missing. Raises RuntimeError if they cannot."""
    if not file.exists():
        _install(file, packages)
    return file


def _install(file: Path, packages: tuple[str, ...]) -> None:
    apt, sudo = shutil.which("apt-get"), shutil.which("sudo")
    if apt is None or (os.geteuid() != 0 and sudo is None):
        raise RuntimeError(f"the tests need {file}: install {' and '.join(packages)}")
    command = [apt] if os.geteuid() == 0 else [str(sudo), apt]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *packages]):
        subprocess.run([*command, *step], check=True, timeout=280, env=environment)
