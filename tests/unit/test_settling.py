"""How far settlement is: who is billed, who waits, and since when that is late."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, insert

from meter.rules import Rules
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.migrate import migrate
from streams.store.queries.settling import closed_periods
from streams.store.schema import bill, command, command_result, daily_total, priced_usage

ZONE = ZoneInfo("Asia/Shanghai")
RULES = Rules(meter_id="m", partitions=2)
SEP_3 = datetime(2019, 9, 3, 12, 30, tzinfo=ZONE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Connection]:
    engine = open_engine(Settings(data_dir=tmp_path))
    migrate(engine)
    with writing(engine) as connection:
        yield connection
    engine.dispose()


def used(store: Connection, account: str, day: str, *, recorded: datetime | None = None) -> None:
    at = recorded or datetime.fromisoformat(f"{day}T09:00:00+08:00")
    position = len(store.execute(priced_usage.select()).all())
    money = {"unit_price": Decimal("0.28"), "amount": Decimal("16.80")}
    store.execute(
        insert(priced_usage).values(
            partition=0, position=position, account_id=account, job_id=f"j{position}", region="ap-tokyo", kinds="face",
            completed_at=at, completed_at_text="", day=day, duration_s="1", minutes=60, price_version="1",
            source_topic="t", source_partition=0, source_offset=position, recorded_at=at, **money,
        )
    )  # fmt: skip
    total = {"jobs": 1, "minutes": 60, "amount": Decimal("16.80")}
    store.execute(insert(daily_total).values(account_id=account, day=day, region="ap-tokyo", **total))


def billed(store: Connection, account: str, period: str) -> None:
    position = len(store.execute(bill.select()).all())
    amounts = {"total": Decimal("16.80"), "payable": Decimal("16.80"), "rounding": Decimal("0.00")}
    whose = {"bill_id": f"B{position}", "account_id": account, "period": period, "mode": "daily"}
    store.execute(
        insert(bill).values(partition=0, position=position, issued_at=SEP_3, lines=1, value="{}", **whose, **amounts)
    )


def agreed_monthly(store: Connection, account: str) -> None:
    where = {"partition": 0, "position": 0, "command_id": "c", "account_id": account, "recorded_at": SEP_3}
    value = '{"type":"contract","command_id":"c","account_id":"M","effective_from":"2019-01-01","mode":"monthly"}'
    store.execute(insert(command).values(type="contract", value=value, **where))
    store.execute(insert(command_result).values(status="done", command_position=0, **where))


def told(store: Connection, now: datetime) -> list[tuple[str, int, int, str]]:
    return [(each.period, each.billed, each.waiting, each.state(now)) for each in closed_periods(store, RULES, now)]


def test_a_day_is_due_from_its_cut_late_after_its_window_and_done_once_all_are_billed(store: Connection) -> None:
    for account in ("A", "B"):
        used(store, account, "2019-09-02")
    billed(store, "A", "2019-09-02")
    before, due, late = SEP_3 - timedelta(hours=1), SEP_3, SEP_3 + timedelta(hours=6)
    assert [each[0] for each in told(store, before)] == ["2019-09-01", "2019-08-31", "2019-08-30"]
    assert told(store, due)[0] == ("2019-09-02", 1, 1, "due")
    assert told(store, late)[0] == ("2019-09-02", 1, 1, "late")
    billed(store, "B", "2019-09-02")
    assert told(store, late)[0] == ("2019-09-02", 2, 0, "done")


def test_what_came_after_the_cut_is_on_a_later_bill_and_nobody_waits_for_it(store: Connection) -> None:
    used(store, "A", "2019-09-01", recorded=SEP_3)
    assert told(store, SEP_3 + timedelta(hours=9))[1] == ("2019-09-01", 0, 0, "done")


def test_a_monthly_account_waits_for_its_month_alone(store: Connection) -> None:
    agreed_monthly(store, "M")
    used(store, "M", "2019-08-31")
    used(store, "M", "2019-09-02")
    assert told(store, SEP_3) == [
        ("2019-09-02", 0, 0, "done"), ("2019-09-01", 0, 0, "done"), ("2019-08-31", 0, 0, "done"),
        ("2019-08", 0, 1, "late"),
    ]  # fmt: skip
    billed(store, "M", "2019-08")
    assert told(store, SEP_3)[-1] == ("2019-08", 1, 0, "done")
