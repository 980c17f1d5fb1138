"""`python -m tests.browser.pictures FOLDER`: every page, at three widths, light and dark, in both languages."""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.chromium import ARGUMENTS, chromium
from tests.browser.looking import DRAWN, Visitors
from tests.browser.stage import Stage, staged
from tests.browser.test_pages import first_bill, looks
from tests.open_kafka import OpenBroker

WIDTHS = (390, 1024, 1440)


def take(stage: Stage, folder: Path) -> None:
    """The pictures of a stage, a folder for each language, theme and width."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        with Visitors(stage, browser) as visitors:
            for language in ("en-GB", "zh-CN"):
                for scheme in ("light", "dark"):
                    for width in WIDTHS:
                        _take(visitors, folder / f"{language[:2]}-{scheme}-{width}", language, scheme, width)
        browser.close()


def _take(visitors: Visitors, folder: Path, language: str, scheme: str, width: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    options = {"language": language, "scheme": scheme, "width": width}
    pages = {who: visitors.signed_in(who, **options) for who in ("operator", "A")}
    for look in looks(first_bill(pages["operator"])):
        page = pages[look.who or "operator"]
        page.goto(look.path)
        page.wait_for_function(DRAWN)
        name = "".join(c if c.isalnum() else "-" for c in look.path.removeprefix("/console/"))
        page.screenshot(path=folder / f"{name[:60]}.png", full_page=True)


def main() -> None:
    """Build the stage, and take them."""
    with (
        tempfile.TemporaryDirectory() as data,
        OpenBroker(Path(data) / "kafka") as broker,
        staged(broker.bootstrap_servers, Path(data)) as stage,
    ):
        take(stage, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
