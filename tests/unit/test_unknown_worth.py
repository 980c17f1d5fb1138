"""Refused records of which nobody can say what they are worth are counted, and never shown as worth nothing."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text

from meter import topics
from meter.periods import BillingDays
from meter.readback import PublishedPriced, PublishedRejected
from streams.demo.play import _at_risk
from streams.http.console.views import Risk
from streams.settings import Settings
from streams.store.accounts import BatchAccounts
from streams.store.database import open_engine, writing
from streams.store.decode import OutwardRecord, decoded
from streams.store.migrate import migrate
from streams.store.project import _put_priced
from streams.store.queries.rejects import at_risk
from streams.store.refusals import put_rejected
from streams.store.schema import rejected_total
from tests.builders import HOUR_MS, NOON_MS, Partition, completion
from tests.unit.test_console import console_of_account_a

DAYS = BillingDays("Asia/Shanghai")
NOBODY: list[Any] = []


def refuse(connection: Connection, position: int, record: dict[str, Any] | bytes) -> None:
    ((_, refused),) = Partition().fold(record).outputs.rejected
    published = OutwardRecord(0, position, None, refused, NOON_MS)
    put_rejected(
        connection,
        [(published, decoded(published, PublishedRejected, topics.REJECTED))],
        BatchAccounts(connection, []),
        DAYS,
    )


def test_they_are_counted_until_they_are_put_right(tmp_path: Path) -> None:
    engine = open_engine(Settings(data_dir=tmp_path))
    migrate(engine)
    with writing(engine) as connection:
        refuse(connection, 0, b"nonsense")
        refuse(connection, 1, completion(region="ap-atlantis"))
        refuse(connection, 2, completion(job_id="valued", kinds=["smell"]))
        seen = Risk.of(at_risk(connection))
        assert (seen.records, seen.unknown) == (3, 2)
        assert seen.amount > 0
        ((_, priced),) = Partition().fold(completion(), at=NOON_MS + HOUR_MS).outputs.priced
        published = OutwardRecord(0, 0, None, priced, NOON_MS + HOUR_MS)
        _put_priced(
            connection,
            [(published, decoded(published, PublishedPriced, topics.PRICED))],
            BatchAccounts(connection, ["A"]),
            DAYS,
        )
        assert (Risk.of(at_risk(connection)).records, Risk.of(at_risk(connection)).unknown) == (2, 1)
        kept = connection.execute(text("SELECT code, unknown, open_unknown FROM rejected_total ORDER BY code")).all()
        assert [tuple(row) for row in kept] == [("not_json", 1, 1), ("unknown_kind", 0, 0), ("unknown_region", 1, 0)]
    engine.dispose()


def risks(connection: Connection, *rows: tuple[str, int, str, int]) -> None:
    for code, records, amount, unknown in rows:
        values = {"records": records, "amount_at_risk": Decimal(amount), "unknown": unknown}
        still_open = {"open_records": records, "open_amount": Decimal(amount), "open_unknown": unknown}
        connection.execute(insert(rejected_total).values(day="2019-01-01", code=code, **values, **still_open))


@pytest.mark.parametrize(
    ("rows", "shown"),
    [
        ([("not_json", 183, "0.00", 183), ("too_old", 126, "16.80", 0)], "and 183 records of unknown value"),
        ([("not_json", 1, "0.00", 1), ("too_old", 1, "16.80", 0)], "and 1 record of unknown value"),
        ([("not_json", 2, "0.00", 2)], "unknown"),
    ],
)
async def test_pages_say_how_many_they_are_beside_the_sum(
    tmp_path: Path, rows: list[tuple[str, int, str, int]], shown: str
) -> None:
    async with console_of_account_a(tmp_path) as client:
        engine = open_engine(Settings(data_dir=tmp_path))
        with writing(engine) as connection:
            risks(connection, *rows)
        engine.dispose()
        overview = (await client.get("/console/overview")).text
        rejects = (await client.get("/console/rejects")).text
    tile = overview.partition("Money at risk")[2].partition("refused record")[0]
    table = rejects.partition("Money at risk")[2].partition("</table>")[0]
    for part in (tile, table):
        assert shown in part
        assert ">0.00<" not in part


@pytest.mark.parametrize(
    ("amount", "unknown", "shown"),
    [(None, 3, "unknown"), ("16.80", 0, "16.80"), ("16.80", 2, "16.80 + 2 unknown"), ("0.00", 0, "0.00")],
)
def test_the_demo_says_it_too(amount: str | None, unknown: int, shown: str) -> None:
    assert _at_risk(None if amount is None else Decimal(amount), unknown) == shown
