"""Lists of the console go back and forth, are sorted by exact money, and say how accounts are settled."""

import re
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, Engine, insert, select

from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.kept_tables import audit_entry, webhook_delivery, webhook_endpoint
from streams.store.queries.accounts import accounts
from streams.store.queries.pages import RowPage
from streams.store.queries.usage import jobs
from streams.store.schema import account, daily_total, priced_usage
from tests.unit.test_console import ZONE, console_of_account_a

NOW = datetime.now(ZONE)
#: As text their order is another one, and so it is as binary floats.
OWED = ("9.99", "10.00", "100.00", "99.99", "0.00", "10.00", "9007199254740993.01", "9007199254740993.02")


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The console of a store with account A; there is no Kafka."""
    async with console_of_account_a(tmp_path) as client:
        yield client


@pytest.fixture
def store(client: httpx.AsyncClient, tmp_path: Path) -> Engine:
    """Its store."""
    return open_engine(Settings(data_dir=tmp_path))


def fill(connection: Connection) -> None:
    for number, owed in enumerate(OWED):
        money = {"balance": Decimal("0.00"), "unpaid": Decimal(owed), "owed": Decimal(owed)}
        connection.execute(
            insert(account).values(account_id=f"b{number}", partition=0, seen_at=NOW, state="good", **money)
        )


def there_and_back(ask: Callable[[str | None], RowPage[Any]]) -> tuple[list[Any], list[Any]]:
    """All rows of all pages, first by the links to the next one, then by those to the one before."""
    found, back = [], []
    page = ask(None)
    assert page.previous is None
    while True:
        found.append(page.rows)
        if page.next is None:
            break
        page = ask(page.next)
    while page.previous is not None:
        page = ask(page.previous)
        back.append(page.rows)
    return [row for rows in found for row in rows], [row for rows in [*back[::-1], found[-1]] for row in rows]


@pytest.mark.parametrize("limit", [1, 2, 4, 9, 20])
def test_a_list_goes_back_the_way_it_came(store: Engine, limit: int) -> None:
    with writing(store) as connection:
        fill(connection)
        by_id = there_and_back(lambda after: accounts(connection, after=after, limit=limit))
        by_money = there_and_back(lambda after: accounts(connection, sort="owed", after=after, limit=limit))
    assert [row.account_id for row in by_id[0]] == ["A", *(f"b{number}" for number in range(len(OWED)))]
    assert [str(row.owed) for row in by_money[0]] == [
        "9007199254740993.02", "9007199254740993.01", "100.00", "99.99", "10.00", "10.00", "9.99", "0.00", "0.00",
    ]  # fmt: skip
    for there, back in (by_id, by_money):
        assert back == there


def test_jobs_are_sorted_by_when_they_were_completed_or_how_long_they_are(store: Engine) -> None:
    hours = {"first": (9, 5), "last": (11, 1), "between": (10, 60)}
    with writing(store) as connection:
        for position, (job_id, (hour, minutes)) in enumerate(sorted(hours.items(), reverse=True)):
            at = datetime(2019, 1, 1, hour, tzinfo=ZONE)
            values = {
                "job_id": job_id,
                "minutes": minutes,
                "completed_at": at,
                "completed_at_text": "",
                "recorded_at": at,
            }
            fixed = {"partition": 0, "account_id": "A", "region": "ap-tokyo", "kinds": "face", "day": "2019-01-01"}
            values |= {"completed_at_text": ""}
            money = {"duration_s": "1", "unit_price": Decimal("0.28"), "amount": Decimal("0.28"), "price_version": "1"}
            where = {"position": position, "source_topic": "t", "source_partition": 0, "source_offset": position}
            connection.execute(insert(priced_usage).values(**values, **fixed, **money, **where))
        latest = there_and_back(lambda after: jobs(connection, "A", after=after, limit=2))
        longest = there_and_back(lambda after: jobs(connection, "A", sort="longest", after=after, limit=2))
    assert [job.job_id for job in latest[0]] == ["last", "between", "first"]
    assert [job.job_id for job in longest[0]] == ["between", "first", "last"]
    assert (latest[0], longest[0]) == (latest[1], longest[1])


async def test_the_list_of_accounts_says_how_they_are_settled_and_what_they_used_this_month(
    client: httpx.AsyncClient, store: Engine
) -> None:
    with writing(store) as connection:
        for day in (f"{NOW:%Y-%m}-01", "2019-01-01"):
            used = {"jobs": 1, "minutes": 60, "amount": Decimal("16.80")}
            connection.execute(insert(daily_total).values(account_id="A", day=day, region="ap-tokyo", **used))
    page = (await client.get("/console/accounts")).text
    row = page.partition("<tbody>")[2].partition("</tr>")[0]
    cells = dict(re.findall(r'data-label="([^"]+)"[^>]*>(.*?)</t[dh]>', row, re.DOTALL))
    assert re.sub("<[^>]+>", "", cells["Settled"]) == "daily"
    assert re.sub("<[^>]+>", "", cells[f"{NOW:%B %Y} to date, CNY"]) == "16.80"


async def test_messages_that_were_given_up_are_listed_and_tried_again_once(
    client: httpx.AsyncClient, store: Engine
) -> None:
    with writing(store) as connection:
        connection.execute(
            insert(webhook_endpoint).values(
                endpoint_id="ep_1", url="https://example.test/in", secret="s", events="bill.issued", created_at=NOW
            )
        )
        for number in range(30):
            connection.execute(insert(webhook_delivery).values(_delivery(number)))
    page = (await client.get("/console/webhooks")).text
    assert page.count("connection refused") == 20
    following = re.search(r'href="([^"]+)" rel="next"', page)
    assert following is not None
    second = (await client.get(following[1].replace("&amp;", "&"))).text
    assert second.count("connection refused") == 10
    assert 'rel="prev"' in second
    csrf = re.search(r'name="csrf" value="([^"]+)"', page)
    assert csrf is not None
    one = {"csrf": csrf[1], "endpoint_id": "ep_1", "event_id": "e-07"}
    answers = [(await client.post("/console/webhooks/retry", data=one)).headers["location"] for _ in range(2)]
    assert answers == ["/console/webhooks?again=1", "/console/webhooks?again=0"]
    told = await client.post("/console/webhooks/retry", data=one | {"event_id": ""})
    assert told.headers["location"] == "/console/webhooks?again=29"
    with store.connect() as connection:
        states = connection.execute(select(webhook_delivery.c.state).distinct()).scalars().all()
        assert states == ["waiting"]
        assert connection.execute(select(audit_entry.c.action)).scalars().all() == ["retry_webhook"] * 2
    assert (await client.post("/console/webhooks/retry", data=one | {"csrf": "x"})).status_code == 403


def _delivery(number: int) -> dict[str, Any]:
    return {
        "endpoint_id": "ep_1", "event_id": f"e-{number:02}", "event": "bill.issued", "account_id": "A", "partition": 0,
        "position": number, "payload": "{}", "state": "dead", "attempts": 12, "created_at": NOW,
        "last_error": "connection refused",
    }  # fmt: skip
