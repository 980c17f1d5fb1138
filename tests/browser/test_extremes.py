"""What is rare is shown as well as what is common: on the narrowest screen, and at a desk that is zoomed to 200 %."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.api.serving import Api
from tests.browser.extremes import PAGES, fill
from tests.browser.looking import DRAWN, Visitors
from tests.browser.stage import Stage
from tests.browser.test_pages import TOO_WIDE


@pytest.fixture(scope="module")
def rare(stage: Stage, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visitors]:
    """Whoever looks at ids and amounts as long as they may be."""
    settings = fill(tmp_path_factory.mktemp("rare"))
    with Api(settings, console=True) as api, Visitors(stage, browser, api.url) as them:
        yield them
        them.all_well()


@pytest.mark.parametrize(("width", "language"), [(320, "en-GB"), (720, "zh-CN"), (1024, "zh-CN")])
def test_the_longest_ids_and_amounts_fit(rare: Visitors, width: int, language: str) -> None:
    page = rare.somebody(width=width, language=language)
    wrong = {}
    for path in PAGES:
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        page.wait_for_function(DRAWN)
        found = page.evaluate(TOO_WIDE)
        if width > 720:  # a table may be wider than there is room, within its own scroll bar
            found = [each for each in found if not each.startswith("amount ")]
        if found:
            wrong[path] = found
    assert wrong == {}
