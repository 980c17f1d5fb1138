"""The priced jobs of a period's export, in the order of the log, read in pieces of bounded size."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, func, select

from streams.export.period import Window
from streams.store.schema import priced_usage as jobs
from streams.store.schema import region_total

PIECE_ROWS = 50_000

Rows = Sequence[Row[Any]]

_COLUMNS = (
    jobs.c.day,
    jobs.c.account_id,
    jobs.c.job_id,
    jobs.c.region,
    jobs.c.kinds,
    jobs.c.completed_at,
    jobs.c.duration_s,
    jobs.c.minutes,
    jobs.c.unit_price,
    jobs.c.amount,
    jobs.c.price_version,
    jobs.c.recorded_at,
    jobs.c.source_topic,
    jobs.c.source_partition,
    jobs.c.source_offset,
    jobs.c.origin_topic,
    jobs.c.origin_partition,
    jobs.c.origin_offset,
)


def latest_day(connection: Connection) -> str | None:
    """The latest billing day of which there is a job."""
    found: str | None = connection.execute(select(func.max(region_total.c.day, type_=region_total.c.day.type))).scalar()
    return found


def in_time(connection: Connection, window: Window, account: str | None) -> Iterator[Rows]:
    """The jobs of a window's own day."""
    chosen = select(*_COLUMNS).where(jobs.c.day == window.day, jobs.c.recorded_at < window.until)
    return _pieces(connection, chosen, account)


def late_days(connection: Connection, window: Window, account: str | None) -> list[str]:
    """The earlier days of which there are late jobs in a window."""
    chosen = _of(select(jobs.c.day).distinct().where(_late(window)), account)
    return list(connection.scalars(chosen.order_by(jobs.c.day)))


def late(connection: Connection, window: Window, day: str, account: str | None) -> Iterator[Rows]:
    """The late jobs of one earlier day."""
    return _pieces(connection, select(*_COLUMNS).where(_late(window), jobs.c.day == day), account)


def _late(window: Window) -> Any:
    within = jobs.c.recorded_at >= window.since, jobs.c.recorded_at < window.until
    return and_(jobs.c.day >= window.oldest, jobs.c.day < window.day, *within)


def _of(chosen: Select[Any], account: str | None) -> Select[Any]:
    return chosen if account is None else chosen.where(jobs.c.account_id == account)


def _pieces(connection: Connection, chosen: Select[Any], account: str | None) -> Iterator[Rows]:
    ordered = _of(chosen, account).order_by(jobs.c.partition, jobs.c.position)
    streamed = connection.execution_options(yield_per=PIECE_ROWS).execute(ordered)
    yield from streamed.partitions()
