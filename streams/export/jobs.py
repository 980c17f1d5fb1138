"""The jobs of a period as files, by billing day: `day=2026-11-03/part-0.csv`, and the late ones beside them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from meter.periods import BillingDays
from meter.rules import Rules
from streams.export import usage
from streams.export.files import whole
from streams.export.formats import Format
from streams.export.period import Span, Window, windows
from streams.export.usage import Rows
from streams.store.database import one_moment


class Written(NamedTuple):
    """A file and how many rows it has."""

    path: Path
    rows: int


def export_jobs(
    engine: Engine, rules: Rules, span: Span, kind: Format, account: str | None, out: Path
) -> Iterator[Written]:
    """Write the files of a period's days. Each day has its own, empty or not; late jobs a file for each day's run.

    All are of one moment of the store. Raises MeterError where one cannot be written.
    """
    with one_moment(engine).connect() as connection:
        for window in windows(span, BillingDays(rules.time_zone), rules.horizon_days):
            for path, pieces in _files(connection, window, kind.suffix, account, out):
                with whole(path) as file:
                    rows = kind.write(pieces, file)
                yield Written(path, rows)


def _files(
    connection: Connection, window: Window, suffix: str, account: str | None, out: Path
) -> Iterator[tuple[Path, Iterator[Rows]]]:
    yield out / f"day={window.day}" / f"part-0.{suffix}", usage.in_time(connection, window, account)
    for day in usage.late_days(connection, window, account):
        yield out / f"day={day}" / f"late-{window.day}.{suffix}", usage.late(connection, window, day, account)
