"""A real Chromium for the tests: Debian's own. `python -m tests.browser.chromium` installs it where it is missing."""

from pathlib import Path

from tests.debian import provided

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
    return str(provided(CHROMIUM, *PACKAGES))


if __name__ == "__main__":
    print(chromium())
