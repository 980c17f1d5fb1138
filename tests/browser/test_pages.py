"""Every page: no serious accessibility violation in either theme, and its picture for the docs."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from streams.http.sessions import COOKIE
from streams.settings import Settings
from tests.api.serving import Api
from tests.browser.looking import DRAWN, ONLY, Scheme, Visitors, account_path, serious, shoot
from tests.browser.stage import AWKWARD, IN_ARREARS, RICH, SCRIPT, STOPPED, TODAY, Stage

DOCS = Path(__file__).parents[2] / "docs" / "images"
LARGEST_BYTES = 250_000
#: How long a page may be on a phone: some eight screens.
LONGEST_PX = 7000


class PageLook(NamedTuple):
    """A page: who looks, where, and what its picture is called if the docs have one."""

    who: str | None
    path: str
    picture: str | None = None


def looks(bill: str) -> list[PageLook]:
    """All pages."""
    operators = [
        PageLook("operator", "/console/overview", "overview"),
        PageLook("operator", "/console/accounts", "accounts"),
        PageLook("operator", "/console/accounts?q=nobody"),
        PageLook("operator", account_path("harbour-news"), "account"),
        PageLook("operator", account_path("A", "/bills")),
        PageLook("operator", account_path("A", "/ledger"), "ledger"),
        PageLook("operator", account_path(IN_ARREARS, "/notices"), "notices"),
        PageLook("operator", account_path("starlight-video", "/contract")),
        PageLook("operator", account_path("A", "/contract")),
        PageLook("operator", f"/console/bills/{bill}", "bill"),
        PageLook("operator", f"/console/bills/{bill}/print", "bill-print"),
        PageLook("operator", "/console/rejects", "rejects"),
        PageLook("operator", "/console/prices"),
        PageLook("operator", "/console/health", "health"),
        PageLook("operator", "/console/webhooks"),
        PageLook("operator", f"/console/days?day={TODAY}"),
        PageLook("operator", "/console/audit"),
        PageLook("operator", "/console/nowhere"),
    ]
    tabs = ("", "/bills", "/ledger", "/notices", "/contract")
    return [*operators, *[PageLook("A", f"/console/account{tab}", "customer" if not tab else None) for tab in tabs]]


def first_bill(page: Page) -> str:
    page.goto(account_path("A", "/bills"))
    return page.locator("td a.mono").last.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_a_serious_violation(visitors: Visitors, pictures: Path, scheme: Scheme) -> None:
    pages = {who: visitors.signed_in(who, scheme=scheme) for who in ("operator", "A")}
    wrong = {}
    for look in looks(first_bill(pages["operator"])):
        if scheme == "dark" and look.who == "A":
            continue  # the same templates in the same colours
        page = pages[look.who or "operator"]
        page.goto(look.path)
        if look.picture and scheme == "light":
            shoot(page, pictures / f"{look.picture}.png")
        if found := serious(page, only=ONLY[scheme]):
            wrong[look.path] = found
    if scheme == "dark":
        pages["operator"].goto("/console/overview")
        shoot(pages["operator"], pictures / "overview-dark.png")
    assert wrong == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dialogs_and_the_way_in_have_no_serious_violation(visitors: Visitors, pictures: Path, scheme: Scheme) -> None:
    nobody, page = visitors.somebody(scheme=scheme), visitors.signed_in("operator", scheme=scheme)
    nobody.goto("/console/sign-in")
    only = ONLY[scheme]
    wrong = {"sign-in": serious(nobody, only=only)}
    page.goto(account_path("harbour-news"))
    for dialog in ("top-up", "refund", "adjust", "charge", "credit-note", "reversal", "contract", "threshold"):
        if dialog in ("charge", "credit-note", "reversal", "contract"):
            page.locator("details.menu summary").click()
        page.locator(f"[data-open={dialog}]").click()
        wrong[dialog] = serious(page, only=only)
        if dialog == "contract" and scheme == "light":
            shoot(page, pictures / "contract-form.png")
        page.keyboard.press("Escape")
    page.goto("/console/rejects")
    page.locator("tbody td a").first.click()
    wrong["reject"] = serious(page, only=only)
    if scheme == "light":
        shoot(page, pictures / "reject.png")
    assert not any(wrong.values()), wrong


@pytest.fixture
def away(stage: Stage, browser: Browser, tmp_path: Path) -> Iterator[Visitors]:
    """Whoever looks at a console whose store and Kafka cannot be reached."""
    store = SecretStr("postgresql://nobody@127.0.0.1:9/none")
    settings = Settings(bootstrap_servers="127.0.0.1:9", data_dir=tmp_path, database_url=store)
    with Api(settings, console=True) as api, Visitors(stage, browser, api.url) as them:
        yield them
        them.all_well()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_of_what_went_wrong_have_no_serious_violation(
    stage: Stage, visitors: Visitors, away: Visitors, scheme: Scheme
) -> None:
    wrong = {}

    def look(page: Page, path: str, status: int, heading: str) -> None:
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == status
        expect(page.get_by_role("heading", level=1)).to_have_text(heading)
        wrong[heading] = serious(page, only=ONLY[scheme])

    look(visitors.signed_in("A", scheme=scheme), "/console/overview", 403, "This is not yours to see")
    look(away.somebody(scheme=scheme), "/console/overview", 503, "The read model is away")
    expired = visitors.somebody(scheme=scheme)
    expired.context.add_cookies([{"name": COOKIE, "value": "gone", "url": stage.address}])
    look(expired, "/console/prices", 200, "Sign in")
    expired.get_by_label("Token").fill("mtr_nonsense")
    expired.get_by_role("button", name="Sign in").click()
    expect(expired.get_by_role("alert")).to_contain_text("not valid")
    wrong["refused"] = serious(expired, only=ONLY[scheme])
    assert not any(wrong.values()), wrong


#: What does not fit a width: the page itself, links to go on with, names in charts; an amount that takes two lines, is
#: cut by what it is in, or has none of its own width; a date that is broken; what is too small for a finger on a phone.
TOO_WIDE = """() => {
  const hidden = (e) => !e.checkVisibility() || e.closest("thead, dialog:not([open])")
    || e.closest("details:not([open]) > :not(summary)");
  const cut = (e) => {
    const own = e.getBoundingClientRect();
    const lines = new Set([...e.getClientRects()].map((box) => Math.round(box.top)));
    if (lines.size !== 1 || own.left < 0 || own.right > innerWidth + 1) return true;
    for (let up = e.parentElement; up; up = up.parentElement) {
      const box = up.getBoundingClientRect();
      const clips = getComputedStyle(up).overflowX !== "visible";
      if (clips && (own.left < box.left - 1 || own.right > box.left + up.clientLeft + up.clientWidth + 1)) return true;
    }
    return false;
  };
  const amounts = [...document.querySelectorAll(".money, .kpi time, td time, td.num")]
    .filter((e) => !hidden(e) && (e.matches(".money") ? cut(e) : e.scrollWidth > e.clientWidth + 1 && e.matches("td")));
  const links = [...document.querySelectorAll("nav a, .tabs a, .switches button")]
    .filter((a) => a.getBoundingClientRect().right > innerWidth || a.getBoundingClientRect().left < 0);
  const charts = [...document.querySelectorAll("figure canvas")].map((canvas) => Chart.getChart(canvas))
    .filter((chart) => chart.legend.legendHitBoxes.some((box) => box.left + box.width > chart.width)
      || chart.chartArea.height < 120 || chart.canvas.getBoundingClientRect().right > innerWidth);
  const words = [...document.querySelectorAll(".nowrap")].filter((e) => !hidden(e) && e.matches("span, a, tbody th"))
    .filter((e) => new Set([...e.getClientRects()].map((box) => Math.round(box.top))).size > 1);
  const buttons = [...document.querySelectorAll("button, .button, summary, input, select, .chips a, .tabs a, nav a")]
    .filter((e) => innerWidth <= 720 && e.type !== "hidden" && e.checkVisibility())
    .filter((e) => { const box = e.getBoundingClientRect(); return box.height < 44 || box.width < 40; });
  const head = document.querySelector("header.side");
  const gap = (a, b) => b.getBoundingClientRect().top - a.getBoundingClientRect().bottom;
  const away = head && innerWidth >= 390 && innerWidth <= 900
    && gap(head.querySelector(".brand"), head.querySelector(".switches")) >= 0 ? ["switches below"] : [];
  const stretched = head && innerWidth <= 900 && gap(head.querySelector("nav"), head.querySelector(".fresh")) > 16
    ? ["stretched"] : [];
  const page = document.documentElement.scrollWidth > innerWidth ? ["page", ...stretched] : stretched;
  page.push(...away);
  const top = (e) => e.getBoundingClientRect().top;
  const later = [...document.querySelectorAll(".head .actions")].filter((e) => innerWidth <= 720
    && [...e.querySelectorAll(".main")].some((main) => top(main) > top(e) + 1));
  const tall = [...document.querySelectorAll("td.links")]
    .filter((e) => innerWidth <= 720 && !hidden(e) && e.offsetHeight > 52);
  const high = [...document.querySelectorAll("thead")]
    .filter((e) => innerWidth > 720 && !e.closest("details:not([open]) > :not(summary)") && e.offsetHeight > 120);
  const lines = (e) => {
    const all = document.createRange();
    all.selectNodeContents(e);
    return all.getClientRects().length;
  };
  const short = [...document.querySelectorAll("tbody td")].filter((e) => innerWidth >= 1280 && !hidden(e)
    && !e.children.length && e.textContent.trim().length <= 12 && lines(e) > 1);
  page.push(...short.map((e) => `broken ${e.textContent}`));
  page.push(...high.map((e) => `high ${e.textContent}`));
  page.push(...later.map((e) => `main action not first ${e.textContent}`), ...tall.map((e) => `tall ${e.outerHTML}`));
  return [...page, ...words.map((e) => `broken ${e.textContent}`), ...buttons.map((e) => `small ${e.outerHTML}`),
    ...amounts.map((e) => `amount ${e.textContent.trim()}`), ...links.map((a) => a.textContent.trim()),
    ...charts.map((chart) => chart.canvas.ariaLabel)];
}"""


#: What is the same in every language: names of accounts, jobs, tokens and bills on the stage, of formats and products.
SAME = "|".join(
    [*map(re.escape, (*RICH, STOPPED, IN_ARREARS, SCRIPT, AWKWARD)), r"\b(job|guide)-[a-z0-9-]+\b", r"\btypo\b",
     r"\b[BN]20[0-9-]+[0-9a-f]{16}\b", "ap-[a-z]+", "na-[a-z]+", "Kafka", "JSON", "CSV", "SHA-256", "mtr_…",
     "<img src=x>", "<b>bold</b>", r"\bID\b", "operator$"]
)  # fmt: skip
#: Texts in Chinese pages that are none: words in Latin letters, narrow punctuation beside Chinese or between figures,
#: and a space after a full-width sign, which has its room already.
NOT_CHINESE = """(same) => {
  const told = (e) => !e.closest('[translate="no"], [lang="en"], .mono, code, pre, script, style, .switches, datalist');
  const texts = [document.title];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) if (told(walker.currentNode.parentElement)) texts.push(walker.currentNode.data);
  for (const name of ["aria-label", "title", "placeholder", "alt", "data-away", "data-unit"])
    for (const e of document.querySelectorAll(`[${name}]`)) if (told(e)) texts.push(e.getAttribute(name));
  const apart = document.body.innerText.split("\\n").filter((line) => /[。，；：、] [\u4e00-\u9fff]/.test(line));
  return [...apart, ...texts].map((text) => text.trim().replace(new RegExp(same, "g"), ""))
    .filter((text) => /[A-Za-z]{2,}/.test(text) || /[\u4e00-\u9fff][,:;?!()]|[,:;?!()][\u4e00-\u9fff]/.test(text)
      || /[0-9][:,;] [0-9]|[。，；：、] [\u4e00-\u9fff]/.test(text));
}"""


@pytest.mark.parametrize(
    ("width", "language", "scheme"),
    [
        (390, "en-GB", "light"), (390, "zh-CN", "dark"), (1440, "en-GB", "dark"),
        *(pytest.param(width, language, scheme, marks=pytest.mark.long) for width, language, scheme in (
            (768, "en-GB", "dark"), (768, "zh-CN", "light"), (1024, "en-GB", "light"), (1024, "zh-CN", "dark"),
            (1440, "zh-CN", "light"),
        )),
    ],
)  # fmt: skip
def test_nothing_is_cut_or_scrolls_sideways(visitors: Visitors, width: int, language: str, scheme: Scheme) -> None:
    pages = {
        who: visitors.signed_in(who, width=width, language=language, scheme=scheme)
        for who in (("operator", "A") if width == 390 else ("operator",))
    }
    wrong = {}
    for look in looks(first_bill(pages["operator"])):
        if look.who not in pages:
            continue  # the same templates
        page = pages[look.who]
        page.goto(look.path)
        page.wait_for_function(DRAWN)
        found = page.evaluate(TOO_WIDE)
        if page.evaluate("document.documentElement.scrollHeight") > LONGEST_PX:
            found.append("endless")
        if language == "zh-CN":
            found += [f"not Chinese: {text}" for text in page.evaluate(NOT_CHINESE, SAME)]
        if found:
            wrong[look.path] = found
    assert wrong == {}


def test_a_phone_shows_how_old_the_figures_are(visitors: Visitors) -> None:
    assert visitors.signed_in("operator", width=390).locator("#freshness").is_visible()


def test_pages_work_without_scripts(visitors: Visitors, stage: Stage) -> None:
    page = visitors.somebody(java_script_enabled=False)
    page.goto("/console")
    page.get_by_label("Token").fill(stage.tokens["operator"])
    page.get_by_role("button", name="Sign in").click()
    page.goto(account_path("A"))
    page.locator("figure summary").click()
    assert page.locator("figure tbody tr").first.is_visible()


def test_the_docs_pictures_are_small_and_all_there() -> None:
    others = {"overview-dark", "contract-form", "reject", "closed", "review"}
    wanted = others | {look.picture for look in looks("B") if look.picture}
    sizes = {path.stem: path.stat().st_size for path in DOCS.glob("*.png")}
    assert wanted <= set(sizes)
    assert max(sizes.values()) < LARGEST_BYTES
