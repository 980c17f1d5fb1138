"""The jobs of a period as files, by billing day: `day=2026-11-03/part-0.csv`, and the late ones beside them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from meter.periods import BillingDays
from meter.rules import Rules
from streams.export import usage
from streams.export.files import whole
from streams.export.formats import Format
from streams.export.period import ExportPeriod, Window, windows
from streams.export.usage import Rows
from streams.store.database import one_moment
from streams.store.queries.meter import today


class Written(NamedTuple):
    """A file and how many rows it has."""

    path: Path
    rows: int


def export_jobs(
    engine: Engine,
    rules: Rules,
    span: ExportPeriod,
    kind: Format,
    account: str | None,
    out: Path,
    *,
    partial: bool = False,
) -> Iterator[Written]:
    """Write the files of a period's days. Each day has its own, empty or not; late jobs a file for each day's run.

    All are of one moment of the store; `partial`: without the days that are still to come. Raises MeterError where one
    cannot be written.
    """
    with one_moment(engine).connect() as connection:
        last = _last_begun(connection, rules) if partial else span.last
        begun = span._replace(days=tuple(day for day in span.days if day <= last))
        for window in windows(begun, BillingDays(rules.time_zone), rules.horizon_days):
            for path, pieces in _files(connection, window, kind.suffix, account, out):
                with whole(path) as file:
                    rows = kind.write(pieces, file)
                yield Written(path, rows)


def _last_begun(connection: Connection, rules: Rules) -> str:
    """Today, or tomorrow where a job is of it already: clocks differ by some minutes."""
    return max(today(connection, rules, datetime.now(UTC)), usage.latest_day(connection) or "")


def _files(
    connection: Connection, window: Window, suffix: str, account: str | None, out: Path
) -> Iterator[tuple[Path, Iterator[Rows]]]:
    yield out / f"day={window.day}" / f"part-0.{suffix}", usage.in_time(connection, window, account)
    for day in usage.late_days(connection, window, account):
        yield out / f"day={day}" / f"late-{window.day}.{suffix}", usage.late(connection, window, day, account)
