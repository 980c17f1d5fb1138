"""Views for analysts: what the document promises is there, runs on both stores, and says what the commands say."""

import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from streams.store.database import is_postgres, writing
from streams.store.migrate import migrate
from streams.store.views import views
from tests.docs.markdown import blocks, rows, section
from tests.integration.running import Meter
from tests.recount.billing import bill_id_of
from tests.store.following import engine_of

PAGE = (Path(__file__).parents[2] / "docs" / "sql.md").read_text("utf-8")
QUESTIONS = {
    name[1]: block.text
    for block in blocks(PAGE)
    if block.language == "sql" and (name := re.match(r"-- ([a-z ]+):", block.text))
}
E8 = 10**8


@pytest.fixture
def filled(meter: Meter, url: str, store: Engine) -> Engine:
    done = meter.run("projector", "rebuild", database_url=url)
    assert done.returncode == 0, done.stderr
    return store


def test_what_the_document_asks_agrees_with_what_commands_say(meter: Meter, filled: Engine) -> None:
    asked = {name: ask(filled, question) for name, question in QUESTIONS.items()}
    used: dict[Any, Any] = defaultdict(lambda: [0, 0, 0])
    for row in meter.ask("totals")["totals"]:
        used[escaped(row["account_id"]), row["region"]][0] += row["jobs"]
        used[escaped(row["account_id"]), row["region"]][1] += row["minutes"]
        used[escaped(row["account_id"]), row["region"]][2] += e8(row["amount"])
    assert asked["usage"] == asked["jobs"] == sorted((*key, *sums) for key, sums in used.items())
    bills = meter.ask_lines("bills", "list")
    by_period: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for bill in bills:
        by_period[bill["period"]][0] += 1
        by_period[bill["period"]][1] += e8(bill["payable"])
    assert [row[:3] for row in asked["billed"]] == sorted((period, *sums) for period, sums in by_period.items())
    assert [row[3] for row in asked["billed"]] == [e8("1.50"), 0]
    open_bills = meter.ask_lines("bills", "list", "--open")
    assert [row[1] for row in asked["open"]] == [b["bill_id"] for b in sorted(open_bills, key=whose)]
    assert asked["wrong bills"] == []
    assert [row[0] for row in asked["late"]] == sorted(bill_id_of(account, "2019-01-01") for account in ("A", "B"))
    for account_id, balance, owed, state in asked["balances"]:
        if "\uf8ff" in account_id:
            continue  # a NUL is in no argument of a command
        shown = meter.ask("account", "show", account_id)
        assert (e8(shown["balance"]), e8(shown["owed"]), shown["service"]["state"]) == (balance, owed, state)
    assert asked["then"] == _balances_then(meter)
    assert sum(amount for _, amount in asked["books"]) == 0
    assert counted(asked["notes"]) == counts(row["kind"] for row in meter.ask_lines("notes"))
    assert counted(asked["told"]) == counts(row["kind"] for row in meter.ask_lines("notices"))
    refused = [row for row in meter.rows("usage.rejected") if row.get("job_id") != "put right"]
    assert counted(asked["at risk"]) == counts(row["code"] for row in refused)
    known = sum(e8(row["amount_at_risk"]) for row in refused if "amount_at_risk" in row)
    assert sum(row[3] or 0 for row in asked["at risk"]) == known
    answers = [row for row in meter.rows("meter.command-results") if row["status"] == "refused"]
    assert counted(asked["refused"]) == counts(row["code"] for row in answers)
    assert asked["dead"] == []
    assert {row[0]: row[1] for row in asked["age"]} == dict.fromkeys((row[0] for row in asked["age"]), 0)
    assert len(asked) == len(QUESTIONS) == PAGE.count("```sql")


def ask(engine: Engine, question: str) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(question)]


def e8(amount: str) -> int:
    scaled = Decimal(amount) * E8
    assert scaled == int(scaled)
    return int(scaled)


def escaped(account_id: str) -> str:
    """As the document says of a NUL."""
    return account_id.replace("\uf8ff", "\uf8ff1").replace("\0", "\uf8ff0")


def whose(bill: dict[str, Any]) -> tuple[str, str]:
    return escaped(bill["account_id"]), bill["bill_id"]


def counted(rows: list[tuple[Any, ...]]) -> dict[str, int]:
    return {row[0]: row[1] for row in rows}


def counts(names: Iterator[str]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for name in names:
        found[name] += 1
    return dict(found)


def _balances_then(meter: Meter) -> list[tuple[str, int]]:
    found: dict[str, int] = defaultdict(int)
    for entry in meter.rows("billing.ledger"):
        if entry["at"] < "2019-01-03T00:00:00+08:00":
            change = -sum(e8(each["amount"]) for each in entry["postings"] if each["book"] == "balance")
            found[escaped(entry["account_id"])] += change
    return sorted(found.items())


def test_the_views_have_the_columns_that_are_promised(url: str, store: Engine) -> None:
    migrate(store)
    promised = {row[0]: row[2].split(", ") for row in rows(section(PAGE, "Views"))[1:]}
    with store.connect() as connection:
        found = {name: list(connection.exec_driver_sql(f"SELECT * FROM {name}").keys()) for name in promised}
    assert found == promised
    assert set(promised) == set(views(is_postgres(store.connect())))


def test_money_is_never_a_binary_float(filled: Engine) -> None:
    with filled.connect() as connection:
        for name in views(is_postgres(connection)):
            for row in connection.exec_driver_sql(f"SELECT * FROM {name}"):
                floats = [column for column, value in row._mapping.items() if isinstance(value, float)]
                assert floats == [], (name, floats)
                units = {column: value for column, value in row._mapping.items() if column.endswith("_e8")}
                for column, value in units.items():
                    exact = row._mapping[column.removesuffix("_e8")]
                    assert (value is None) == (exact is None)
                    assert value is None or Decimal(value) == Decimal(exact) * E8


@pytest.mark.parametrize(
    ("amount", "units"),
    [
        ("0.00", 0), ("16.80", 1680000000), ("-0.00000001", -1), ("0.12345678", 12345678),
        ("9999999999.99999999", 999999999999999999), ("-999999999.99", -99999999999000000),
    ],
)  # fmt: skip
def test_units_are_exact(store: Engine, amount: str, units: int) -> None:
    migrate(store)
    with writing(store) as connection:
        connection.execute(
            text("INSERT INTO daily_total VALUES ('A', '2019-01-01', 'ap-tokyo', 1, 1, " + f"'{amount}')")
        )
        assert int(connection.exec_driver_sql("SELECT amount_e8 FROM usage_daily").scalar_one()) == units


def test_what_does_not_fit_sqlites_integers_fails(tmp_path: Path) -> None:
    engine = engine_of(f"sqlite:///{tmp_path}/large.sqlite")
    migrate(engine)
    engine.dispose()
    with sqlite3.connect(tmp_path / "large.sqlite") as connection:
        connection.execute("INSERT INTO daily_total VALUES ('A', '2019-01-01', 'ap-tokyo', 1, 1, '92233720368.55')")
        with pytest.raises(sqlite3.OperationalError, match="overflow"):
            connection.execute("SELECT amount_e8 FROM usage_daily").fetchall()


def test_an_analyst_reads_the_views_and_nothing_else(url: str, store: Engine) -> None:
    if not url.startswith("postgresql"):
        pytest.skip("SQLite has no roles")
    migrate(store)
    (grants,) = [block.text for block in blocks(PAGE) if block.language == "postgresql"]
    with store.begin() as connection:
        for statement in grants.replace("CREATE ROLE", "DROP ROLE IF EXISTS meter_analyst; CREATE ROLE").split(";"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    try:
        _look_as_analyst(store)
    finally:
        with store.begin() as connection:
            connection.exec_driver_sql("DROP OWNED BY meter_analyst")
            connection.exec_driver_sql("DROP ROLE meter_analyst")


def _look_as_analyst(store: Engine) -> None:
    with store.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET ROLE meter_analyst")
        for question in (*QUESTIONS.values(), *(f"SELECT * FROM {name}" for name in views(True))):
            connection.exec_driver_sql(question).all()
        for table in ("api_token", "webhook_endpoint", "console_session", "bill"):
            with pytest.raises(ProgrammingError, match="permission denied"):
                connection.exec_driver_sql(f"SELECT * FROM {table}")
        connection.exec_driver_sql("RESET ROLE")


def test_a_new_version_keeps_rights_on_views(url: str, store: Engine) -> None:
    """Whoever migrates again makes the views anew without taking them away."""
    migrate(store)
    with store.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0007'")
        if is_postgres(connection):
            connection.exec_driver_sql("GRANT SELECT ON usage_daily TO PUBLIC")
    assert migrate(store)[0] == "0007"
    with store.connect() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM usage_daily").scalar_one() == 0
        if is_postgres(connection):
            asked = "SELECT COUNT(*) FROM information_schema.table_privileges WHERE table_name = 'usage_daily'"
            assert connection.exec_driver_sql(f"{asked} AND grantee = 'PUBLIC'").scalar_one() == 1
