"""One stage and one browser for all of the console's tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.chromium import ARGUMENTS, chromium
from tests.browser.looking import Visitors
from tests.browser.stage import Stage, staged


@pytest.fixture(scope="package")
def stage(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Two weeks of a meter, open until the tests end."""
    with staged(kafka, tmp_path_factory.mktemp("stage")) as it:
        yield it


@pytest.fixture(scope="package")
def browser(stage: Stage) -> Iterator[Browser]:
    """A real Chromium. After the stage: Playwright keeps a loop of its own in this thread, and commands need one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def visitors(stage: Stage, browser: Browser) -> Iterator[Visitors]:
    """Whoever looks, each with cookies of their own. Nothing may come from another host, or go wrong in a page."""
    with Visitors(stage, browser) as them:
        yield them
        them.all_well()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures of pages go: SCREENSHOTS=docs/images keeps them for the docs."""
    return Path(os.environ.get("SCREENSHOTS", tmp_path))
