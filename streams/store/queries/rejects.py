"""Refused records: the list by reason, time and account; one with its original; the money at risk."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from meter.models import Rejected
from meter.money import EXACT, ZERO
from streams.store.money_columns import money_sum
from streams.store.queries.pages import RowPage, page
from streams.store.schema import rejected, rejected_total


# So many fields: the row has them.
class Reject(NamedTuple):
    """A refused record. `partition` and `position` name it for `meter rejects redrive`; `recorded_at` is record time.

    `priced_later`: a job of this account and id was priced after it had been refused, so it is put right.
    """

    partition: int
    position: int
    code: str
    message: str
    account_id: str | None
    job_id: str | None
    amount_at_risk: Decimal | None
    day: str
    recorded_at: datetime
    source_topic: str
    source_partition: int
    source_offset: int
    priced_later: bool


class AtRisk(NamedTuple):
    """Refused records of a code, and the money at risk; `open_*`: of those that were not priced later.

    `unknown`: records whose worth nobody can say; they are not in the amounts.
    """

    code: str
    records: int
    amount: Decimal
    open_records: int
    open_amount: Decimal
    unknown: int
    open_unknown: int


_COLUMNS = [column for column in rejected.c if column.name != "value"]


def rejects(
    connection: Connection,
    *,
    code: str | None = None,
    account_id: str | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    open_only: bool = False,
    after: str | None = None,
    limit: int = 50,
) -> RowPage[Reject]:
    """Refused records by record time in [start, end), the latest first."""
    query = select(*_COLUMNS)
    if code is not None:
        query = query.where(rejected.c.code == code)
    if account_id is not None:
        query = query.where(rejected.c.account_id == account_id)
    if start is not None:
        query = query.where(rejected.c.recorded_at >= start)
    if end is not None:
        query = query.where(rejected.c.recorded_at < end)
    if open_only:
        query = query.where(rejected.c.priced_later.is_(False))
    order = (rejected.c.recorded_at, rejected.c.partition, rejected.c.position)
    return page(connection, query, order, Reject._make, after=after, limit=limit, descending=True)


def priced_later(connection: Connection) -> list[tuple[int, int]]:
    """The partitions and positions of all that is put right."""
    query = select(rejected.c.partition, rejected.c.position).where(rejected.c.priced_later.is_(True))
    return [(row.partition, row.position) for row in connection.execute(query)]


def reject_at(connection: Connection, partition: int, position: int) -> tuple[Reject, Rejected] | None:
    """One refused record, and all that was published of it, with the original; None where there is none."""
    query = select(*_COLUMNS, rejected.c.value)
    row = connection.execute(
        query.where(rejected.c.partition == partition, rejected.c.position == position)
    ).one_or_none()
    return None if row is None else (Reject(*row[:-1]), Rejected.model_validate_json(row.value))


def at_risk(connection: Connection, start: str | None = None, end: str | None = None) -> list[AtRisk]:
    """Refused records and money by code, of the days `start` to `end` (of their record time), most at risk first."""
    table = rejected_total.c
    query = select(
        table.code,
        func.sum(table.records, type_=table.records.type),
        money_sum(table.amount_at_risk),
        func.sum(table.open_records, type_=table.records.type),
        money_sum(table.open_amount),
        func.sum(table.unknown, type_=table.unknown.type),
        func.sum(table.open_unknown, type_=table.unknown.type),
    ).group_by(table.code)
    if start is not None:
        query = query.where(table.day >= start)
    if end is not None:
        query = query.where(table.day <= end)
    rows = [AtRisk(r[0], int(r[1]), r[2], int(r[3]), r[4], int(r[5]), int(r[6])) for r in connection.execute(query)]
    return sorted(rows, key=lambda row: (-row.open_amount, -row.open_records, row.code))


def amount_at_risk(rows: Iterable[AtRisk]) -> Decimal:
    """The money at risk of all codes that is not put right, as far as it is known."""
    total = ZERO
    for row in rows:
        total = EXACT.add(total, row.open_amount)
    return total
