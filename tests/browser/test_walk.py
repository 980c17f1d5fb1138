"""The walk through the console, in a real Chromium on a real meter."""

import re
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.looking import DRAWN, ONLY, PATIENCE_MS, Visitors, account_path, await_figure, figure, serious, shoot
from tests.browser.stage import AWKWARD, DAYS, IN_ARREARS, SCRIPT, STOPPED, Stage, a_job, at
from tests.integration.running import until


def test_a_figure_changes_by_itself_after_a_submit(stage: Stage, visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    before = Decimal(figure(page, "amount"))
    page.evaluate("window.untouched = true")
    job = a_job("mountain-sports", "seen-live", at(DAYS - 1, 13, 50), 3600, "ap-guangzhou")
    stage.submit(job)
    await_figure(page, "amount", f"{before + Decimal('16.80'):.2f}")
    assert page.evaluate("window.untouched"), "the page was loaded again"


def test_a_bill_is_verified_from_the_log_and_downloaded(visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    page.get_by_role("link", name="Accounts", exact=True).click()
    page.get_by_role("link", name="A", exact=True).click()
    page.get_by_role("link", name="Bills", exact=True).click()
    page.get_by_role("row", name=re.compile(r"^1 Jan 2019")).get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="Bill of 1 Jan 2019")).to_be_visible()
    expect(page.locator("tfoot tr").last).to_contain_text("25.20")
    page.get_by_role("button", name="Verify from the log").click()
    expect(page.locator("#verified")).to_contain_text("No difference.")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = download.value.path().read_text("utf-8-sig").splitlines()
    assert [row.split(",")[3:10] for row in rows[1:]] == [
        ["usage", "Mainland China", "2019-01-01", "1", "60", "0.28", "16.80"],
        ["usage", "ap-guangzhou", "2019-01-01", "1", "30", "0.28", "8.40"],
        ["rounding", "", "", "", "", "", "0.00"],
    ]


def test_a_stopped_customers_console_is_closed_until_a_top_up(visitors: Visitors, pictures: Path) -> None:
    customer, operator = visitors.signed_in(STOPPED), visitors.signed_in("operator")
    expect(customer.get_by_role("heading", name="Your service is stopped")).to_be_visible()
    assert figure(customer, "owed") == "84.66"
    assert serious(customer) == []
    assert serious(visitors.signed_in(STOPPED, scheme="dark"), only=ONLY["dark"]) == []
    shoot(customer, pictures / "closed.png")
    for path in ("/console/account", "/console/account/bills", "/console/freshness"):
        assert customer.request.get(path).status == 403, path
    operator.goto(account_path(STOPPED))
    operator.get_by_role("button", name="Top up").first.click()
    expect(operator.locator("#top-up-amount")).to_be_focused()
    operator.locator("#top-up-amount").fill("100")
    operator.locator("#top-up-number").fill("payment-1")
    operator.locator("dialog[open] button.main").dblclick()
    expect(operator.locator("dialog[open]")).to_contain_text("The service is restored")
    assert serious(operator) == []
    shoot(operator, pictures / "review.png")
    operator.get_by_role("button", name="Confirm: Top up").dblclick()
    expect(operator.get_by_role("status").first).to_contain_text("The top-up is booked.")
    await_figure(operator, "state", "Good")
    await_figure(operator, "balance", "15.34")
    expect(customer.get_by_role("heading", name="Usage", exact=True)).to_be_visible()


def test_sent_twice_a_form_is_one_command(stage: Stage, visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    page.goto(account_path(IN_ARREARS))
    csrf, key = (page.locator(f"#top-up input[name={name}]").get_attribute("value") for name in ("csrf", "key"))
    form: dict[str, str | float | bool] = {"csrf": csrf or "", "key": key or ""}
    given: dict[str, str | float | bool] = {"amount": "5.00", "number": "payment-2", "step": "confirm"}
    for _ in range(2):
        answer = page.request.post(
            account_path(IN_ARREARS, "/top-up"), form=given | form, headers={"Origin": stage.address}
        )
        assert answer.ok
    page.reload()
    await_figure(page, "owed", "32.63")


def test_a_wrong_amount_is_said_in_the_form_with_what_was_filled_in(visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    page.goto(account_path("A"))
    page.get_by_role("button", name="Adjust").first.click()
    page.locator("#adjust-amount").fill("-9999")
    page.locator("#adjust-reason").fill("too much")
    page.locator("#adjust-number").fill("case-1")
    page.locator("#adjust button.main").click()
    expect(page.get_by_role("alert")).to_have_text("That would take more than the balance.")
    expect(page.locator("#adjust-amount")).to_be_focused()
    assert page.locator("#adjust-reason").input_value() == "too much"


def test_going_back_to_what_was_refused_shows_it_again_and_sends_nothing(visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    page.goto(account_path("A"))
    page.get_by_role("button", name="Low balance").first.click()
    page.locator("#threshold-threshold").fill("much")
    page.locator("#threshold button.main").click()
    said = page.locator("#threshold").get_by_role("alert")
    expect(said).to_contain_text("at most 2 places")
    page.goto("/console/overview")
    page.go_back()
    expect(said).to_contain_text("at most 2 places")
    expect(page.locator("#threshold-threshold")).to_have_value("much")


def test_nothing_is_booked_twice(visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    page.goto(account_path(AWKWARD))
    before = Decimal(figure(page, "balance").replace(",", ""))
    balance = f"{before + 5:,.2f}"
    _top_up(page)
    page.get_by_role("button", name="Confirm: Top up").dblclick()
    expect(page.get_by_role("status").first).to_contain_text("The top-up is booked.")
    await_figure(page, "balance", balance)
    page.go_back()
    page.get_by_role("button", name="Confirm: Top up").click()
    expect(page.get_by_role("status").first).to_contain_text("The top-up is booked.")
    page.reload()
    await_figure(page, "balance", balance)
    _top_up(page)  # the answer was lost, and the form is filled in anew
    expect(page.locator("dialog[open]")).to_contain_text("This was done already")
    page.get_by_role("button", name="Confirm: Top up").click()
    expect(page.get_by_role("status").first).to_contain_text("The top-up is booked.")
    await_figure(page, "balance", balance)
    page.goto(account_path(AWKWARD, "/ledger"))
    assert page.locator("tbody").get_by_text("payment-4711").count() == 1


def _top_up(page: Page) -> None:
    page.goto(account_path(AWKWARD))
    page.get_by_role("button", name="Top up").first.click()
    page.locator("#top-up-amount").fill("5")
    page.locator("#top-up-number").fill("payment-4711")
    page.locator("dialog[open] button.main").click()
    page.get_by_role("button", name="Confirm: Top up").wait_for()


def test_a_bill_has_its_refund(visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    page.goto(account_path("harbour-news", "/bills"))
    page.locator("td a.mono").last.click()
    bill = page.locator("p.mono").first.inner_text()
    page.get_by_role("link", name="Refund").click()
    assert page.locator("#refund-bill_id").input_value() == bill
    page.locator("#refund-ticket").fill("T-1")
    page.locator("#refund-amount").fill("0.01")
    page.locator("dialog[open] button.main").click()
    page.get_by_role("button", name="Confirm: Refund").click()
    expect(page.get_by_role("status").first).to_contain_text("The refund is booked.")


def test_a_refused_record_is_corrected_and_sent_again(visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    page.get_by_role("link", name="Refused records", exact=True).click()
    page.get_by_role("row", name="ap-atlantis").get_by_role("link").first.click()
    expect(page.locator("pre")).to_contain_text('"region": "ap-atlantis"')
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown region")
    page.goto("/console/overview")
    page.go_back()
    expect(page.get_by_role("alert")).to_contain_text("unknown region")
    page.get_by_label("Region").fill("ap-tokyo")
    page.get_by_label("Completed at").fill(at(DAYS - 1, 13, 55).isoformat())
    page.get_by_role("button", name="Send again").click()
    expect(page.get_by_role("status").first).to_contain_text("It was sent again.")

    def put_right() -> bool:
        page.reload()
        return page.locator(".title").get_by_text("Put right").is_visible()

    until(put_right, "the record to be put right", PATIENCE_MS / 1000)


def test_the_language_is_switched_and_stays(visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    page.get_by_role("button", name="简体中文").click()
    expect(page.get_by_role("heading", name="概览")).to_be_visible()
    page.get_by_role("link", name="账户", exact=True).click()
    expect(page.get_by_role("heading", name="账户")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Accounts")).to_be_visible()


def test_a_browser_in_chinese_gets_chinese(visitors: Visitors) -> None:
    page = visitors.signed_in("A", language="zh-CN")
    expect(page.get_by_role("heading", name="用量", exact=True)).to_be_visible()
    expect(page.locator("figure thead")).to_contain_text("广州")


#: How a chart is drawn: the end of its scale, its highest bar, the colours by series, the unit above its axis.
DRAWING = """() => {
  const chart = Chart.getChart(document.querySelector("figure canvas"));
  const bars = chart.data.labels.map((_, at) => chart.data.datasets.reduce((sum, one) => sum + one.data[at], 0));
  return { end: chart.scales.y.max, most: Math.max(...bars), unit: chart.options.plugins.subtitle.text,
    colours: Object.fromEntries(chart.data.datasets.map((one) => [one.label, one.backgroundColor])) };
}"""
#: Where the middle of a bar is on the screen: of the series and day, both from 0.
BAR = """([series, day]) => {
  const chart = Chart.getChart(document.querySelector("figure canvas"));
  const bar = chart.getDatasetMeta(series).data[day], canvas = chart.canvas.getBoundingClientRect();
  return [canvas.x + bar.x, canvas.y + bar.y + bar.height / 2];
}"""


def test_one_high_day_does_not_flatten_the_rest_of_a_chart(visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    page.wait_for_function(DRAWN)
    cut = page.evaluate(DRAWING)
    assert cut["most"] > 2 * cut["end"]
    expect(page.locator("[data-clipped]")).to_contain_text("its bar is cut")
    page.get_by_role("button", name="Whole scale").click()
    expect(page.locator("[data-clipped]")).to_be_hidden()
    whole = page.evaluate(DRAWING)
    assert whole["end"] >= whole["most"]
    assert whole["unit"] == "CNY"


def test_a_region_has_one_colour_whoever_used_it(visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    colours: dict[str, set[str]] = {}
    for account in ("harbour-news", "lotus-education", "panda-kids"):
        page.goto(account_path(account))
        page.wait_for_function(DRAWN)
        for region, colour in page.evaluate(DRAWING)["colours"].items():
            colours.setdefault(region, set()).add(colour)
    assert len(colours) > 3
    assert all(len(own) == 1 for own in colours.values())
    assert len(set.union(*colours.values())) == len(colours)


def test_a_bar_leads_to_the_jobs_behind_it_and_so_does_its_table(visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    page.goto(account_path("harbour-news") + "?days=7")
    page.wait_for_function(DRAWN)
    page.locator("figure").scroll_into_view_if_needed()
    region = page.locator("figure thead th").nth(1).text_content() or ""
    with page.expect_navigation():
        page.mouse.click(*page.evaluate(BAR, [0, 6]))
    expect(page.locator("#jobs header p")).to_contain_text(f"14 Jan 2019 · {region}")
    assert set(page.locator("#jobs tbody tr td:nth-child(3)").all_inner_texts()) == {region}
    page.locator("figure summary").click()
    page.locator("figure tbody tr").last.locator("td a").first.press("Enter")
    expect(page.locator("#jobs header p")).to_contain_text(f"14 Jan 2019 · {region}")
    page.goto("/console/overview")
    page.locator("figure summary").click()
    page.locator("figure tbody tr").last.locator("th a").click()
    expect(page.get_by_role("heading", name="Usage of 14 Jan 2019")).to_be_visible()
    page.get_by_role("link", name="harbour-news").first.click()
    expect(page.locator("#jobs header p")).to_contain_text("14 Jan 2019")


def test_health_says_who_works_what_is_settled_and_what_could_not_be_delivered(visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    page.goto("/console/health")
    workers = page.get_by_role("table", name="Who meters which partitions").locator("tbody tr")
    expect(workers).to_have_count(1)
    expect(workers).to_contain_text("0, 1")
    settled = page.get_by_role("table", name="Bills of the periods").locator("tbody tr").first
    expect(settled).to_contain_text("13 Jan 2019")
    expect(settled).to_contain_text("All billed")
    page.get_by_role("link", name="All webhooks").click()
    expect(page.get_by_role("heading", name="Webhooks", exact=True)).to_be_visible()


@pytest.mark.parametrize("account", [SCRIPT, AWKWARD])
def test_an_id_that_looks_like_markup_or_a_path_is_shown_and_linked(visitors: Visitors, account: str) -> None:
    page = visitors.signed_in("operator")
    page.get_by_role("link", name="Accounts", exact=True).click()
    page.get_by_role("searchbox").fill(account[:4])
    page.get_by_role("link", name=account, exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(account)
    page.get_by_role("link", name="Ledger", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(account)
    page.get_by_role("link", name="Bills", exact=True).click()
    page.locator("td a.mono").first.click()
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    expect(page.locator(".crumbs")).to_contain_text(account)


def test_a_customer_sees_itself_and_nobody_else(visitors: Visitors) -> None:
    operator, customer = visitors.signed_in("operator"), visitors.signed_in("A")
    expect(customer.get_by_role("heading", name="Usage", exact=True)).to_be_visible()
    expect(customer.locator("#forecast, [data-figure=forecast]").first).to_be_visible()
    operator.goto(account_path("harbour-news", "/bills"))
    theirs = operator.locator("td a.mono").first.get_attribute("href")
    others = ("/console/accounts/A", "/console/overview", "/console/rejects", "/console/audit", "/console/health")
    for path, status in ((theirs, 404), *((other, 403) for other in others)):
        answer = customer.goto(str(path))
        assert answer is not None
        assert answer.status == status, path
        expect(customer.get_by_role("link", name="To the console")).to_be_visible()


def test_a_customer_sets_when_it_is_told_of_a_low_balance(visitors: Visitors) -> None:
    page = visitors.signed_in("A")
    page.get_by_role("button", name="Low balance").click()
    page.get_by_label("Below").fill("20.50")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#summary")).to_contain_text("a notice below 20.50 CNY")
    assert page.request.post("/console/accounts/A/top-up", form={"amount": "5"}).status == 403


def test_a_wrong_token_opens_nothing_and_signing_out_ends_it(stage: Stage, visitors: Visitors) -> None:
    page = visitors.somebody()
    page.goto("/console/prices")
    page.get_by_label("Token").fill("mtr_nonsense")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    page.get_by_label("Token").fill(stage.tokens["operator"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Prices", exact=True)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.goto("/console/prices")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_a_form_without_its_secret_does_nothing(stage: Stage, visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    form: dict[str, str | float | bool] = {"amount": "5", "csrf": "guess", "key": "k"}
    answer = page.request.post(account_path("A", "/top-up"), form=form, headers={"Origin": stage.address})
    assert answer.status == 403


def test_everything_is_reached_by_the_keyboard(visitors: Visitors) -> None:
    page = visitors.signed_in("operator")
    page.goto(account_path("A"))
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.open") == "top-up":
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Top up")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Top up")).to_be_hidden()
    assert page.evaluate("document.activeElement.dataset.open") == "top-up"
