"""Whoever looks at the console: signed in, with an eye on what their pages ask for and complain of."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request, expect

from streams.http.paths import segment
from tests.browser.stage import Stage

PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)  # its own 5 s would be less patient than all else
#: The rules of axe by theme: all in the light; in the dark only those that colours can break.
ONLY: dict[str, Sequence[str]] = {"light": (), "dark": ("color-contrast", "link-in-text-block")}
#: All charts of a page are drawn.
DRAWN = "[...document.querySelectorAll('figure[data-chart]')].every(f => f.dataset.drawn)"


Scheme = Literal["dark", "light"]


class Visitors:
    """Browser contexts of one test; `address`: of another server than the stage's."""

    def __init__(self, stage: Stage, browser: Browser, address: str | None = None) -> None:
        self._stage = stage
        self._address = address or stage.address
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._elsewhere: list[str] = []
        self._complaints: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for context in self._contexts:
            context.close()

    def somebody(self, *, scheme: Scheme = "light", language: str = "en-GB", width: int = 1360, **options: Any) -> Page:
        """A page of somebody who is not signed in."""
        context = self._browser.new_context(
            base_url=self._address,
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            locale=language,
            reduced_motion="reduce",
            **options,
        )
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append(context)
        page = context.new_page()
        page.on("request", self._asked)
        page.on("console", self._said)
        page.on("pageerror", self._failed)
        return page

    def signed_in(self, who: str, **options: Any) -> Page:
        """A page of an operator, or of the customer of an account, at the beginning of its console.

        Each signs in once; who looks later has the same session, and cookies of its own.
        """
        if who not in self._stage.sessions:
            self._stage.sessions[who] = self._sign_in(who)
        page = self.somebody(storage_state=self._stage.sessions[who], **options)
        page.goto("/console")
        return page

    def _sign_in(self, who: str) -> Any:
        page = self.somebody()
        page.goto("/console")
        page.get_by_label("Token").fill(self._stage.tokens[who])
        page.get_by_role("button", name="Sign in").click()
        page.locator("main.content, .panel .amount-due").first.wait_for()
        return page.context.storage_state()

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme != "data" and f"{parts.scheme}://{parts.netloc}" != self._address:
            self._elsewhere.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        # Chromium also says so of every page that is answered with 403 or 404, which the tests ask for.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self._complaints.append(message.text)

    def _failed(self, error: Error) -> None:
        self._complaints.append(str(error))

    def all_well(self) -> None:
        """No page asked another host for anything; no script failed, and the security policy refused nothing."""
        assert (self._elsewhere, self._complaints) == ([], [])


def account_path(account: str, tab: str = "") -> str:
    """The address of an account's page, for operators."""
    return f"/console/accounts/{segment(account)}{tab}"


def figure(page: Page, name: str) -> str:
    """A live figure, as it is shown."""
    return page.locator(f"[data-figure={name}]").inner_text().split("\n")[0].removesuffix("CNY").strip()


def await_figure(page: Page, name: str, value: str) -> None:
    """Wait until a live figure is this; the page is not loaded again."""
    page.locator(f"[data-figure={name}]").filter(has_text=value).wait_for()


def shoot(page: Page, path: Path) -> None:
    """A picture of what is on the screen, once its charts are drawn."""
    page.wait_for_function(DRAWN)
    page.evaluate("document.fonts.ready")
    page.screenshot(path=path)


def serious(page: Page, *, only: Sequence[str] = ()) -> list[tuple[str, list[Any]]]:
    """The violations of all rules, or some, that axe calls serious or critical: the rule, and where."""
    found = Axe().run(page, options={"runOnly": list(only)} if only else {}).response["violations"]
    wrong = [each for each in found if each["impact"] in {"serious", "critical"}]
    return [(each["id"], [node["target"] for node in each["nodes"]][:3]) for each in wrong]
