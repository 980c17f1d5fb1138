"""A real Chromium for the tests: Debian's own. `python -m tests.browser.chromium` installs it where it is missing."""

import os
import shutil
import subprocess
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
#: The browser, and letters for Chinese.
PACKAGES = ("chromium", "fonts-noto-cjk")
#: Nothing of its own goes out to the network, and it runs as root in a container.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--disable-sync",
    "--disable-quic",
)


def chromium() -> str:
    """Its path; it is installed first where it is missing. Raises RuntimeError where that cannot be done."""
    if not CHROMIUM.exists():
        _install()
    return str(CHROMIUM)


def _install() -> None:
    apt, sudo = shutil.which("apt-get"), shutil.which("sudo")
    if apt is None or (os.geteuid() != 0 and sudo is None):
        raise RuntimeError(f"the browser tests need {CHROMIUM}: install {' and '.join(PACKAGES)}")
    command = [apt] if os.geteuid() == 0 else [str(sudo), apt]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for step in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *PACKAGES]):
        subprocess.run([*command, *step], check=True, timeout=280, env=environment)


if __name__ == "__main__":
    print(chromium())
