"""Usage: daily totals of an account or of all, the jobs behind them, and what is not billed yet."""

from collections.abc import Collection, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Row, Select, Table, func, select

from meter.money import EXACT, ZERO
from streams.store.money_columns import money_sum
from streams.store.queries.pages import RowPage, page
from streams.store.schema import bill_line, daily_total, priced_usage, region_total


class Usage(NamedTuple):
    """What was used in a region on a billing day, exactly; minutes as billed."""

    day: str
    region: str
    jobs: int
    minutes: int
    amount: Decimal


class Sum(NamedTuple):
    """The sum of some usage."""

    jobs: int
    minutes: int
    amount: Decimal


class TopicPosition(NamedTuple):
    """Where a record is in a topic."""

    topic: str
    partition: int
    offset: int


# So many fields: the row has them.
class StoredJob(NamedTuple):
    """One job as it was priced. `completed_at_text` as it came; `duration_s` a decimal; `recorded_at` record time."""

    partition: int
    position: int
    account_id: str
    job_id: str
    region: str
    kinds: tuple[str, ...]
    completed_at: datetime
    completed_at_text: str
    day: str
    duration_s: str
    minutes: int
    unit_price: Decimal
    amount: Decimal
    price_version: str
    source: TopicPosition
    origin: TopicPosition | None
    recorded_at: datetime


def account_usage(
    connection: Connection, account_id: str, start: str | None = None, end: str | None = None, region: str | None = None
) -> list[Usage]:
    """An account's totals by day and region, of the days `start` to `end` inclusive, in that order."""
    query = _days(_usage(daily_total).where(daily_total.c.account_id == account_id), daily_total, start, end, region)
    return [Usage(*row) for row in connection.execute(query)]


def totals(
    connection: Connection, start: str | None = None, end: str | None = None, region: str | None = None
) -> list[Usage]:
    """The totals of all accounts by day and region, of the days `start` to `end` inclusive, in that order."""
    return [Usage(*row) for row in connection.execute(_days(_usage(region_total), region_total, start, end, region))]


class Span(NamedTuple):
    """Of what: billing days from `start` to `end` inclusive, of one region; None: from the first, to the last, all."""

    start: str | None = None
    end: str | None = None
    region: str | None = None


class Summed(NamedTuple):
    """A page of usage, and the exact sum of all pages."""

    page: RowPage[Usage]
    sum: Sum


def account_page(
    connection: Connection, account_id: str, span: Span, *, after: str | None = None, limit: int = 100
) -> Summed:
    """An account's totals by day and region, in that order."""
    mine = daily_total.c.account_id == account_id
    return _summed(connection, daily_total, span, mine, after=after, limit=limit)


def totals_page(connection: Connection, span: Span, *, after: str | None = None, limit: int = 100) -> Summed:
    """The totals of all accounts by day and region, in that order."""
    return _summed(connection, region_total, span, after=after, limit=limit)


def _summed(
    connection: Connection, table: Table, span: Span, *of: ColumnElement[bool], after: str | None, limit: int
) -> Summed:
    rows = _within(_usage(table).where(*of), table, *span)
    found = page(connection, rows, (table.c.day, table.c.region), Usage._make, after=after, limit=limit)
    sums = select(_int_sum(table.c.jobs), _int_sum(table.c.minutes), money_sum(table.c.amount))
    count, minutes, amount = connection.execute(_within(sums.where(*of), table, *span)).one()
    return Summed(found, Sum(int(count or 0), int(minutes or 0), ZERO if amount is None else amount))


def _usage(table: Table) -> Select[Any]:
    return select(table.c.day, table.c.region, table.c.jobs, table.c.minutes, table.c.amount)


def _days(query: Select[Any], table: Table, start: str | None, end: str | None, region: str | None) -> Select[Any]:
    """Those of a range of days, each with its region, in order."""
    return _within(query, table, start, end, region).order_by(table.c.day, table.c.region)


def _within(query: Select[Any], table: Table, start: str | None, end: str | None, region: str | None) -> Select[Any]:
    if start is not None:
        query = query.where(table.c.day >= start)
    if end is not None:
        query = query.where(table.c.day <= end)
    return query if region is None else query.where(table.c.region == region)


class AccountDay(NamedTuple):
    """What an account used in a region on a billing day."""

    account_id: str
    day: str
    region: str
    jobs: int
    minutes: int
    amount: Decimal


def day_totals(
    connection: Connection,
    day: str,
    *,
    region: str | None = None,
    regions: Collection[str] | None = None,
    after: str | None = None,
    limit: int = 100,
) -> RowPage[AccountDay]:
    """The totals of a day, account by account."""
    table = daily_total
    query = select(table).where(table.c.day == day)
    if region is not None:
        query = query.where(table.c.region == region)
    if regions is not None:
        query = query.where(table.c.region.in_(sorted(regions)))
    order = (table.c.account_id, table.c.region)
    return page(connection, query, order, AccountDay._make, after=after, limit=limit)


class AccountUse(NamedTuple):
    """What an account used in some days."""

    account_id: str
    jobs: int
    minutes: int
    amount: Decimal


def largest(connection: Connection, day: str, limit: int = 10) -> list[AccountUse]:
    """The accounts that used most minutes on a day, most first."""
    table = daily_total
    minutes = func.sum(table.c.minutes, type_=table.c.minutes.type)
    query = (
        select(table.c.account_id, func.sum(table.c.jobs, type_=table.c.jobs.type), minutes, money_sum(table.c.amount))
        .where(table.c.day == day)
        .group_by(table.c.account_id)
        .order_by(minutes.desc(), table.c.account_id)
        .limit(limit)
    )
    return [AccountUse(row[0], int(row[1]), int(row[2]), row[3]) for row in connection.execute(query)]


def jobs(
    connection: Connection,
    account_id: str,
    start: str | None = None,
    end: str | None = None,
    region: str | None = None,
    *,
    sort: Literal["latest", "longest"] = "latest",
    after: str | None = None,
    limit: int = 100,
) -> RowPage[StoredJob]:
    """An account's priced jobs, the one completed last first, or the one of most minutes."""
    query = _within(select(priced_usage), priced_usage, start, end, region)
    query = query.where(priced_usage.c.account_id == account_id)
    table = priced_usage.c
    latest = (table.day, table.completed_at, table.position)  # by day first: that is what the index has
    order = latest if sort == "latest" else (table.minutes, *latest)
    return page(connection, query, order, job_of, after=after, limit=limit, descending=True)


def jobs_by_id(connection: Connection, account_id: str, job_id: str) -> list[StoredJob]:
    """The priced jobs of an id: one, unless the id was used again after the horizon."""
    query = select(priced_usage).where(priced_usage.c.account_id == account_id, priced_usage.c.job_id == job_id)
    return [job_of(row) for row in connection.execute(query.order_by(priced_usage.c.position))]


def job_of(row: Row[Any]) -> StoredJob:
    """A row of `priced_usage` as a job."""
    origin = None
    if row.origin_topic is not None:
        origin = TopicPosition(row.origin_topic, row.origin_partition, row.origin_offset)
    return StoredJob(
        partition=row.partition,
        position=row.position,
        account_id=row.account_id,
        job_id=row.job_id,
        region=row.region,
        kinds=tuple(row.kinds.split(",")),
        completed_at=row.completed_at,
        completed_at_text=row.completed_at_text,
        day=row.day,
        duration_s=row.duration_s,
        minutes=row.minutes,
        unit_price=row.unit_price,
        amount=row.amount,
        price_version=row.price_version,
        source=TopicPosition(row.source_topic, row.source_partition, row.source_offset),
        origin=origin,
        recorded_at=row.recorded_at,
    )


def of_accounts(connection: Connection, account_ids: Sequence[str], start: str, end: str) -> dict[str, Decimal]:
    """What each of some accounts used in the days `start` to `end` inclusive, in CNY; 0.00 where nothing."""
    table = daily_total.c
    query = select(table.account_id, money_sum(table.amount)).where(
        table.account_id.in_(account_ids), table.day >= start, table.day <= end
    )
    found = {row[0]: row[1] for row in connection.execute(query.group_by(table.account_id))}
    return {account_id: found.get(account_id, ZERO) for account_id in account_ids}


def unbilled(connection: Connection, account_id: str) -> list[Usage]:
    """What an account used and no bill has a line for yet: daily totals less the lines of its bills, where not zero."""
    lines = bill_line.c
    query = select(
        lines.day, lines.region, _int_sum(lines.jobs), _int_sum(lines.minutes), money_sum(lines.amount)
    ).where(lines.account_id == account_id)
    billed = {(r[0], r[1]): Sum(int(r[2]), int(r[3]), r[4]) for r in connection.execute(_by_day_and_region(query))}
    left = [_less(usage, billed.get((usage.day, usage.region))) for usage in account_usage(connection, account_id)]
    return [usage for usage in left if usage.jobs or usage.amount]


def _int_sum(column: Column[Any]) -> Any:
    return func.sum(column, type_=column.type)


def _by_day_and_region(query: Select[Any]) -> Select[Any]:
    return query.group_by(bill_line.c.day, bill_line.c.region)


def _less(usage: Usage, billed: Sum | None) -> Usage:
    if billed is None:
        return usage
    return usage._replace(
        jobs=usage.jobs - billed.jobs,
        minutes=usage.minutes - billed.minutes,
        amount=EXACT.subtract(usage.amount, billed.amount),
    )


def sum_of(rows: list[Usage]) -> Sum:
    """The exact sum of some usage."""
    amount = ZERO
    for row in rows:
        amount = EXACT.add(amount, row.amount)
    return Sum(sum(row.jobs for row in rows), sum(row.minutes for row in rows), amount)
