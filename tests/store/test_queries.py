"""What is asked of the read model: the same answers as from the log, pages that hold each row once, exact sums."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, func, select

from meter.arrears import Service
from meter.periods import BillingDays
from meter.rules import Rules
from streams.errors import SettingError
from streams.store import schema
from streams.store.database import writing
from streams.store.migrate import migrate
from streams.store.money_columns import money_sum
from streams.store.queries import accounts, bills, commands, freshness, money, overview, rejects, usage
from streams.store.queries import meter as whose
from streams.store.queries.pages import BadCursorError, RowPage
from streams.store.types import escaped, unescaped
from tests.integration.running import Meter
from tests.store.following import engine_of
from tests.store.postgres import Postgres
from tests.store.stage import CONTRACTED, ODD

NOW = datetime(2026, 11, 24, tzinfo=UTC)
GUIDE_BILL = "B20190101-559aead08264d579"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def projected(
    request: pytest.FixtureRequest, meter: Meter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """The stage in a store."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('queries')}/store.sqlite"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.new_database()
    done = meter.run("projector", "rebuild", database_url=url)
    assert done.returncode == 0, done.stderr
    engine = engine_of(url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(projected: Engine) -> Iterator[Connection]:
    with projected.connect() as connection:
        yield connection


def rules(store: Connection) -> Rules:
    found = whose.rules_of(store)
    assert found is not None
    return found


@pytest.mark.parametrize("account_id", ["A", "B", CONTRACTED, "empty-handed"])
def test_an_account_is_as_the_meters_own_state_has_it(meter: Meter, store: Connection, account_id: str) -> None:
    shown = meter.ask("account", "show", account_id)
    found = accounts.account_by_id(store, account_id)
    assert found is not None
    text = BillingDays(rules(store).time_zone).text
    deadline = None if found.deadline is None else text(int(found.deadline.timestamp() * 1000))
    assert (found.balance, found.owed) == (Decimal(shown["balance"]), Decimal(shown["owed"]))
    assert (found.state, found.may_start_jobs, deadline) == (
        shown["service"]["state"], shown["service"]["may_start_jobs"], shown["service"]["deadline"],
    )  # fmt: skip
    assert [(b.bill_id, b.payable) for b in accounts.open_bills(store, account_id)] == [
        (bill["bill_id"], Decimal(bill["payable"])) for bill in shown["open_bills"]
    ]
    assert usage.sum_of(usage.unbilled(store, account_id)).amount == Decimal(shown["unbilled"])
    limit = commands.low_balance(store, account_id, rules(store))
    assert limit == (None if shown["low_balance"] is None else Decimal(shown["low_balance"]))
    agreed = commands.contracts(store, account_id, rules(store))
    assert [(a.contract.effective_from, a.contract.mode) for a in agreed] == [
        (terms["effective_from"], terms["mode"]) for terms in shown["contracts_to_come"]
    ]


def test_a_contract_has_the_terms_of_its_command(store: Connection) -> None:
    agreed = commands.contracts(store, CONTRACTED, rules(store))
    assert commands.contract_in_force(agreed, "2019-01-31") is None
    contract = commands.contract_in_force(agreed, "2019-02-01")
    assert contract is not None
    assert contract.prices == (("*", Decimal("0.30")), ("ap-tokyo", Decimal("0.12345678")))
    assert contract.grace_hours == 72


def test_price_books_are_those_of_the_log(meter: Meter, store: Connection) -> None:
    shown = meter.ask("prices", "show", "--day", "2019-02-01")
    published = commands.price_books(store, rules(store))
    assert [each.book.version for each in published] == [book["version"] for book in shown["books"]]
    assert commands.books_of(published).book_on("2019-02-01").version == shown["in_effect"]


def test_bills_are_those_of_the_log_open_or_paid(meter: Meter, store: Connection) -> None:
    shown = {bill["bill_id"]: bill for bill in meter.ask_lines("bills", "list")}
    found = walk(lambda after: bills.bills(store, after=after, limit=2))
    assert {b.bill_id: (str(b.payable), b.paid_at is not None, b.refunded) for b in found} == {
        b["bill_id"]: (b["payable"], b["state"] == "paid", Decimal(b["refunded"])) for b in shown.values()
    }
    for state in ("open", "paid"):
        of_state = walk(lambda after, state=state: bills.bills(store, state=state, after=after, limit=3))  # type: ignore[misc]
        assert {b.bill_id for b in of_state} == {b["bill_id"] for b in shown.values() if b["state"] == state}
    assert len(bills.bills(store, period="2019-01").rows) == len(shown)
    of_day = [bill.bill_id for bill in bills.bills(store, period="2019-01-01").rows]
    assert sorted(of_day) == sorted(b["bill_id"] for b in shown.values() if b["period"] == "2019-01-01")
    assert bills.bills(store, period="2018-12").rows == ()
    with pytest.raises(SettingError, match="a period is a day"):
        bills.bills(store, period="2019-13")


def test_a_bill_comes_with_its_lines_and_as_it_was_published(meter: Meter, store: Connection) -> None:
    found = bills.bill_by_id(store, GUIDE_BILL)
    assert found is not None
    assert found.value in {row["value"] for row in raw(meter, "billing.bills")}
    assert sum((line.amount for line in found.lines), Decimal()) == found.bill.total
    assert found.bill.refunded == Decimal("1.50")
    assert bills.bill_by_id(store, "no such bill") is None


def raw(meter: Meter, topic: str) -> list[dict[str, str]]:
    with meter.log() as log:
        return [{"value": (r.value or b"").decode()} for p in range(meter.partitions) for r in log.records(topic, p)]


LISTS: dict[str, Callable[[Connection, str | None], RowPage[Any]]] = {
    "accounts": lambda c, after: accounts.accounts(c, after=after, limit=2),
    "jobs": lambda c, after: usage.jobs(c, "A", after=after, limit=2),
    "day totals": lambda c, after: usage.day_totals(c, "2019-01-01", after=after, limit=2),
    "ledger": lambda c, after: money.ledger(c, "A", after=after, limit=2),
    "notices": lambda c, after: money.notices(c, after=after, limit=2),
    "rejects": lambda c, after: rejects.rejects(c, after=after, limit=2),
    "commands": lambda c, after: commands.commands(c, "A", after=after, limit=2),
}


def test_a_cursor_of_another_list_is_none(store: Connection) -> None:
    cursors = {name: ask(store, None).next for name, ask in LISTS.items()}
    for name, ask in LISTS.items():
        for other, cursor in cursors.items():
            assert cursor is not None
            if other == name:
                assert ask(store, cursor).rows
                continue
            with pytest.raises(BadCursorError):
                ask(store, cursor)


@pytest.mark.parametrize("ask", LISTS.values(), ids=LISTS)
def test_pages_hold_each_row_once_and_in_order(store: Connection, ask: Callable[..., RowPage[Any]]) -> None:
    paged = walk(lambda after: ask(store, after))
    assert len(paged) > 2
    assert len(set(paged)) == len(paged)
    for cursor in ("nonsense", "W10", "WzEsMl0", "é", "W251bGxd", "WyIyMDE5LTk5LTk5IiwgMV0"):
        with pytest.raises(BadCursorError):
            ask(store, cursor)


def walk(ask: Callable[[str | None], RowPage[Any]]) -> list[Any]:
    """All rows of all pages."""
    rows: list[Any] = []
    after = None
    while True:
        page = ask(after)
        rows += page.rows
        if page.next is None:
            return rows
        after = page.next


def test_a_page_is_of_1_to_1000_rows(store: Connection) -> None:
    for limit in (0, 1001):
        with pytest.raises(SettingError, match="limit is 1 to 1000"):
            accounts.accounts(store, limit=limit)


@pytest.mark.parametrize(
    ("search", "found"),
    [("a", {"A", "empty-handed", CONTRACTED}), ("EMPTY", {"empty-handed"}), ("/", {ODD, CONTRACTED}), ("%_", {ODD}),
     ("北", {CONTRACTED}), ("\0", {ODD}), ("' OR 1=1 --", set())],
)  # fmt: skip
def test_accounts_are_searched_by_a_part_of_the_id_whatever_characters(
    store: Connection, search: str, found: set[str]
) -> None:
    rows = walk(lambda after: accounts.accounts(store, search=search, after=after))
    assert {row.account_id for row in rows} == found


def test_accounts_are_filtered_and_counted_by_state(store: Connection) -> None:
    everybody = walk(lambda after: accounts.accounts(store, after=after))
    totals = accounts.accounts_by_state(store)
    for state in Service:
        of_state = walk(lambda after, state=state: accounts.accounts(store, state=state, after=after))  # type: ignore[misc]
        assert of_state == [row for row in everybody if row.state is state]
        assert totals[state].accounts == len(of_state)
        assert totals[state].owed == sum((row.owed for row in of_state), Decimal())
    assert totals[Service.STOPPED].accounts > 0


def test_rejects_are_filtered_and_one_has_its_original_record(store: Connection) -> None:
    everything = walk(lambda after: rejects.rejects(store, after=after))
    still_open = walk(lambda after: rejects.rejects(store, open_only=True, after=after))
    assert {row.job_id for row in everything} - {row.job_id for row in still_open} == {"put right"}
    (conflict,) = rejects.rejects(store, code="conflict").rows
    found = rejects.reject_at(store, conflict.partition, conflict.position)
    assert found is not None
    assert (found[0], found[1].code, found[1].key) == (conflict, "conflict", "QQ==")
    assert rejects.reject_at(store, 0, 10**9) is None
    at_risk = rejects.amount_at_risk(rejects.at_risk(store))
    assert at_risk == sum((row.amount_at_risk or Decimal() for row in still_open), Decimal())


def test_the_overview_is_of_the_latest_day_of_a_simulated_clock(meter: Meter, store: Connection) -> None:
    seen = overview.overview(store, rules(store), NOW)
    assert seen.day == "2019-01-03"
    sums = usage.sum_of(usage.totals(store))
    assert str(sums.amount) == meter.ask("totals")["sum"]["amount"]
    assert sum(row.accounts for row in seen.accounts.values()) == 5
    assert seen.as_of is not None


def test_every_topic_says_how_far_it_is_projected(meter: Meter, store: Connection) -> None:
    found = freshness.freshness(store)
    assert len(found) == 10
    assert not any(topic.lag for topic in found.values())
    assert all(topic.as_of is not None for topic in found.values())


def test_a_command_comes_with_its_answers(store: Connection) -> None:
    first, again = commands.command_by_id(store, "payment-1")
    assert (first.status, again.status) == ("done", "refused")
    assert '"20"' in first.value
    assert '"999"' in again.value


def test_a_command_that_was_sent_again_is_no_second_contract_or_limit(store: Connection) -> None:
    assert len(commands.contracts(store, CONTRACTED, rules(store))) == 2


def test_sums_are_exact_on_both_stores(tmp_path: Path, postgres: Postgres) -> None:
    amounts = [Decimal("0.1"), Decimal("0.2"), Decimal("999999999999.99"), Decimal("0.00000001"), Decimal("-0.3")]
    for url in (f"sqlite:///{tmp_path}/sums.sqlite", postgres.new_database()):
        store = engine_of(url)
        migrate(store)
        rows = [{"day": f"2019-01-0{n + 1}", "region": "r", "jobs": 1, "minutes": 1, "amount": amount}
                for n, amount in enumerate(amounts)]  # fmt: skip
        with writing(store) as connection:
            assert connection.execute(select(money_sum(schema.region_total.c.amount))).scalar() is None
            connection.execute(schema.region_total.insert(), rows)
            total = connection.execute(select(money_sum(schema.region_total.c.amount))).scalar()
            assert total == Decimal("999999999999.99000001")
            assert connection.execute(select(func.count()).select_from(schema.region_total)).scalar() == len(rows)
        store.dispose()


@pytest.mark.parametrize("text", ["", "a", "\0", "\uf8ff", "\uf8ff0", "\0\uf8ff1", "a\0b"])
def test_any_text_comes_back_as_it_was_and_without_a_nul_meanwhile(text: str) -> None:
    assert "\0" not in escaped(text)
    assert unescaped(escaped(text)) == text
