"""What pages are made of: the forecast, languages, ways back, and the pages of what is away."""

import re
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import Connection, insert, update

from meter.contracts import Contract, Contracts, Mode
from meter.periods import BillingDays
from meter.regions import ASIA_EUROPE
from meter.rules import Rules
from streams.http.app import create_app
from streams.http.console.forecast import Forecast, forecasts
from streams.http.console.languages import LocaleFormat
from streams.http.console.render import back_to
from streams.http.languages import NAMES, chosen
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.migrate import migrate
from streams.store.queries.usage import Usage
from streams.store.schema import account, meter_info, projector_position
from tests.browser.messages import catalogue, messages

ZONE = ZoneInfo("Asia/Shanghai")
DAYS = BillingDays("Asia/Shanghai")
MONTHLY: Contracts = (Contract("c", "2019-01-01", Mode.MONTHLY),)


def used(day: str, amount: str) -> Usage:
    return Usage(day, "ap-tokyo", 1, 1, Decimal(amount))


def at(day: int, hour: int) -> datetime:
    return datetime(2019, 1, day, hour, tzinfo=ZONE)


def told(found: list[Forecast]) -> list[tuple[str, str, str, str]]:
    return [(each.period, str(each.used), str(each.late), str(each.forecast)) for each in found]


def test_a_day_goes_on_at_the_same_rate() -> None:
    (found,) = forecasts([used("2019-01-02", "8.40")], (), DAYS, at(2, 8))
    assert (found.used, found.forecast, found.percent, found.over) == (Decimal("8.40"), Decimal("25.20"), 33, False)


def test_a_day_that_is_over_is_what_was_used_until_its_bill_is_there() -> None:
    unbilled = [used("2019-01-01", "16.8049"), used("2019-01-02", "1.00")]
    assert told(forecasts(unbilled, (), DAYS, at(2, 6))) == [
        ("2019-01-01", "16.8049", "0.00", "16.80"),
        ("2019-01-02", "1.00", "0.00", "4.00"),
    ]
    assert [each.period for each in forecasts(unbilled, (), DAYS, at(2, 13))] == ["2019-01-01", "2019-01-02"]


def test_what_is_left_long_after_the_cut_is_late_on_the_next_bill() -> None:
    unbilled = [used("2019-01-01", "2.80"), used("2019-01-03", "3.00")]
    assert told(forecasts(unbilled, (), DAYS, at(3, 12))) == [("2019-01-03", "3.00", "2.80", "8.80")]
    assert told(forecasts(unbilled[:1], (), DAYS, at(3, 12))) == [("2019-01-03", "0.00", "2.80", "2.80")]


def test_a_month_is_one_bill() -> None:
    unbilled = [used("2019-01-01", "10.00"), used("2019-01-10", "21.00")]
    assert told(forecasts(unbilled, MONTHLY, DAYS, at(11, 0))) == [("2019-01", "31.00", "0.00", "96.10")]


def test_half_a_cent_is_rounded_up_and_no_usage_is_no_bill() -> None:
    (found,) = forecasts([used("2019-01-01", "0.005")], (), DAYS, at(2, 0))
    assert found.forecast == Decimal("0.01")
    assert forecasts([], (), DAYS, at(2, 0)) == []


def test_every_message_is_translated_with_the_same_placeholders() -> None:
    for language in set(NAMES) - {"en"}:
        kept = catalogue(language)
        for message in messages():
            if not message.id:
                continue
            own = kept.get(message.id[0] if isinstance(message.id, tuple) else message.id, message.context)
            assert own is not None, message.id
            texts = own.string if isinstance(own.string, tuple) else (str(own.string),)
            assert all(texts), message.id
            asked = message.id[-1] if isinstance(message.id, tuple) else str(message.id)
            assert all(_placeholders(text) == _placeholders(asked) for text in texts), message.id


COUNTED = "accounts|bills|days|hours|jobs|lines|partitions|records|rows|steps"


def test_a_message_that_counts_something_can_say_one() -> None:
    texts = [message.id for message in messages() if isinstance(message.id, str)]
    assert [text for text in texts if re.search(rf"%\(\w+\)s (refused |open )?({COUNTED})\b", text)] == []


def _placeholders(text: str) -> set[str]:
    return {part.partition(")")[0] for part in text.split("%(")[1:]}


def test_money_is_shown_with_all_its_digits() -> None:
    english = LocaleFormat("en", ZONE)
    assert english.money(Decimal("1234567.00274")).striptags() == "1,234,567.00274"
    assert english.money(Decimal(f"{'9' * 30}.12345678")).striptags().replace(",", "") == f"{'9' * 30}.12345678"
    assert english.money(Decimal("-0.5"), 4) == '<span class="money" data-pad="00">−0.50</span>'  # noqa: RUF001
    assert LocaleFormat("zh", ZONE).region("ap-tokyo") == "东京"


def test_chinese_has_forms_of_its_own() -> None:
    chinese, english = LocaleFormat("zh", ZONE), LocaleFormat("en", ZONE)
    assert [chinese.span(timedelta(seconds=each)) for each in (1, 300, 7200)] == ["1 秒", "5 分钟", "2 小时"]
    assert english.span(timedelta(seconds=1)) == "1 second"
    assert [chinese.region(each) for each in ("ap-hongkong", ASIA_EUROPE)] == [
        "中国香港",
        "孟买、首尔、曼谷、中国香港、东京、法兰克福、新加坡",
    ]
    # An entry is told by its sides, which are 借 above 0 and 贷 below.
    assert chinese.posting("应收", Decimal("11.20")).striptags() == "借 应收 11.20"
    assert chinese.posting("收入", Decimal("-11.20")).striptags() == "贷 收入 11.20"
    assert english.posting("revenue", Decimal("-11.20")).striptags() == "revenue −11.20"  # noqa: RUF001


@pytest.mark.parametrize(
    ("cookie", "asked", "language"),
    [
        (None, "zh-CN,zh;q=0.9", "zh"),
        ("en", "zh", "en"),
        (None, "fr, en;q=0.5", "en"),
        ("xx", "", "en"),
        (None, "en;q=0.5, zh-TW", "zh"),
        (None, "zh;q=0, en;q=0.1", "en"),
        (None, "zhx, *", "en"),
    ],
)
def test_the_cookie_goes_before_what_the_browser_asks_for(cookie: str | None, asked: str, language: str) -> None:
    assert chosen(cookie, asked) == language


@pytest.mark.parametrize(
    "given", ["https://evil.example", "//evil.example", "/v1/jobs", "/console\\@x", "/console\r\nx"]
)
def test_a_form_leads_back_into_the_console_only(given: str) -> None:
    assert back_to(given) == "/console"


def test_a_form_leads_back_to_where_it_was() -> None:
    assert back_to("/console/accounts/a%2Fb?days=7") == "/console/accounts/a%2Fb?days=7"


async def test_a_store_that_is_away_is_a_page_that_says_so(tmp_path: Path) -> None:
    settings = Settings(
        bootstrap_servers="127.0.0.1:9", data_dir=tmp_path, database_url="postgresql://nobody@127.0.0.1:9/none"
    )
    transport = httpx.ASGITransport(create_app(settings, console=True), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        away = await client.get("/console/overview")
        in_chinese = await client.get("/console/overview", headers={"Accept-Language": "zh"})
        style = await client.get("/console/static/console.css")
    assert (away.status_code, away.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "The read model is away" in away.text
    assert "查询库暂不可用" in in_chinese.text
    assert style.status_code == 200


def test_pages_have_no_script_or_style_of_their_own_and_name_no_other_host() -> None:
    for path in (Path(__file__).parents[2] / "streams/http/console/templates").glob("*.html"):
        markup = path.read_text()
        assert " style=" not in markup, path
        assert "<style" not in markup, path
        assert " onclick=" not in markup, path
        assert "http://" not in markup and "https://" not in markup, path  # noqa: PT018
        assert set("".join(part[:1] for part in markup.split("<script")[1:])) <= set(string.whitespace), path


BAD = {
    "/console/accounts?after=nonsense": 404,
    "/console/accounts/A/bills?after=nonsense": 404,
    "/console/accounts?state=nonsense": 200,
    "/console/accounts?q=%00%F0%9F%8E%AC%25_": 200,
    "/console/accounts/A?days=10000&show=nonsense&done=nonsense": 200,
    "/console/accounts/A/nonsense": 404,
    "/console/accounts/%FF": 404,
    f"/console/accounts/{'x' * 200}": 404,
    "/console/bills/nonsense": 404,
    "/console/rejects/nonsense": 404,
    "/console/rejects/0:17": 404,
    "/console/nonsense": 404,
}


async def test_a_wrong_address_is_a_page_and_never_a_failure(tmp_path: Path) -> None:
    async with console_of_account_a(tmp_path) as client:
        answers = {path: await client.get(path) for path in BAD}
        wrong_way = await client.post("/console/overview")
    assert {path: answer.status_code for path, answer in answers.items()} == BAD
    assert all("Recognition meter" in answer.text for answer in [*answers.values(), wrong_way])
    assert wrong_way.status_code == 405


BROWSER = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("/v1/nowhere", BROWSER, "application/problem+json"),
        ("/v2/jobs", "*/*", "application/problem+json"),
        ("/metric", "application/json", "application/problem+json"),
        ("/consoles", "*/*", "application/problem+json"),
        ("/nowhere", BROWSER, "text/html; charset=utf-8"),
        ("/console/nowhere", "*/*", "text/html; charset=utf-8"),
    ],
)
async def test_what_is_not_there_is_a_page_for_browsers_and_a_problem_for_programs(
    tmp_path: Path, path: str, accept: str, kind: str
) -> None:
    async with console_of_account_a(tmp_path) as client:
        answer = await client.get(path, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (404, kind)


@pytest.mark.parametrize(("since", "shown"), [(None, at(1, 8)), (at(2, 13), at(2, 13))])
async def test_an_account_is_in_its_state_since_that_began_or_since_it_was_opened(
    tmp_path: Path, since: datetime | None, shown: datetime
) -> None:
    async with console_of_account_a(tmp_path) as client:
        engine = open_engine(Settings(data_dir=tmp_path))
        with writing(engine) as connection:
            connection.execute(update(account).values(seen_at=at(1, 8), since=since))
        engine.dispose()
        one = (await client.get("/v1/accounts/A")).json()
        (listed,) = (await client.get("/v1/accounts")).json()["items"]
    assert datetime.fromisoformat(one["since"]) == datetime.fromisoformat(listed["since"]) == shown


async def test_without_kafka_figures_stay_and_a_form_keeps_its_key(tmp_path: Path) -> None:
    async with console_of_account_a(tmp_path) as client:
        page = await client.get("/console/accounts/A")
        assert page.status_code == 200
        assert "Kafka is away" in page.text
        fields = dict(re.findall(r'name="(csrf|key)" value="([^"]+)"', page.text))
        given = {"amount": "5.00", "number": "payment-4711", "step": "confirm"}
        answer = await client.post("/console/accounts/A/top-up", data=fields | given)
        assert answer.status_code == 303
        answer = await client.get(answer.headers["location"])
    assert "it counts once" in answer.text
    assert set(re.findall(r'name="key" value="([^"]+)"', answer.text)) == {fields["key"]}
    assert 'name="amount" value="5.00"' in answer.text
    assert 'name="number" value="payment-4711"' in answer.text


@asynccontextmanager
async def console_of_account_a(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The console of a store with one account, without a Kafka."""
    settings = Settings(bootstrap_servers="127.0.0.1:9", data_dir=folder)
    engine = open_engine(settings)
    migrate(engine)
    with writing(engine) as connection:
        fill_one_account(connection, "A")
    engine.dispose()
    app = create_app(settings, console=True)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client


def fill_one_account(connection: Connection, account_id: str) -> None:
    rules, now = Rules(meter_id="m", partitions=2), datetime.now(ZONE)
    connection.execute(
        insert(meter_info).values(id=1, meter_id="m", topic_prefix="", rules=rules.model_dump_json(), created_at=now)
    )
    money = {"balance": Decimal("0.00"), "unpaid": Decimal("0.00"), "owed": Decimal("0.00")}
    connection.execute(insert(account).values(account_id=account_id, partition=0, seen_at=now, state="good", **money))
    at = {"first_offset": 0, "next_offset": 1, "end_offset": 1, "record_at": now, "polled_at": now}
    connection.execute(insert(projector_position).values(topic="usage.priced", partition=0, **at))
