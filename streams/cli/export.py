"""`meter export`: files for downstream billing, out of the SQL store."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from meter.rules import Rules
from streams.broker.connect import connected, settings_of_command
from streams.cli.arguments import Account, read_day, read_month
from streams.errors import MeterError, SettingError
from streams.export.focus import export_focus as export
from streams.export.formats import CSV, parquet_format
from streams.export.jobs import Written, export_jobs
from streams.export.period import ExportPeriod, span_of
from streams.export.settled import check_settled
from streams.store.database import need_store, open_engine, store_errors
from streams.store.migrate import check_store
from streams.store.queries.meter import rules_of
from streams.terminal.output import counted, note, say

Period = Annotated[str | None, typer.Option(metavar="YYYY-MM", help="A month, day by day.")]
Day = Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="One billing day.")]
Out = Annotated[Path, typer.Option(help="Folder; it is made where it is missing.", show_default=False)]
Partial = Annotated[bool, typer.Option("--partial", help="Also a period that may still change: what is there now.")]


def export_csv(
    out: Out, period: Period = None, day: Day = None, account: Account = None, partial: Partial = False
) -> None:
    """Write the priced jobs of a day or month as CSV, by billing day.

    day=2026-11-03/part-0.csv has the jobs of that day that were recorded
    before its cut, at noon of the day after. Later ones are in the export
    of the day in whose window they came: day=2026-11-03/late-2026-11-07.csv.
    So a file never changes, and each job is in one.

    Example:
      meter export csv --day 2026-11-03 --out usage

    Exit codes: 0 written; 1 the period may still change, or the folder
    cannot be written; 5 Kafka is not there.
    """
    span = _span(period, day)
    _export(span, partial, lambda engine, rules: export_jobs(engine, rules, span, CSV, account, out, partial=partial))


def export_parquet(
    out: Out, period: Period = None, day: Day = None, account: Account = None, partial: Partial = False
) -> None:
    """Write the priced jobs of a day or month as Parquet, by billing day.

    The files are those of `meter export csv`; the day is in the path alone,
    as Hive, Spark and DuckDB read it. Money is decimal128. Needs the extra
    `parquet`.

    Example:
      meter export parquet --period 2026-11 --out usage

    Exit codes: as for csv; 2 pyarrow is not installed.
    """
    span, kind = _span(period, day), parquet_format()
    _export(span, partial, lambda engine, rules: export_jobs(engine, rules, span, kind, account, out, partial=partial))


def export_focus(
    out: Out,
    period: Period = None,
    day: Day = None,
    account: Account = None,
    issuer: Annotated[str, typer.Option(help="Who bills: the file's provider, publisher and issuer.")] = "meter",
    partial: Partial = False,
) -> None:
    """Write the bills of a day or month as a FOCUS 1.2 cost and usage file.

    A row for each line of each bill, and one for its rounding: the rows of
    an InvoiceId sum to what is payable. Late lines are Corrections. Refunds
    and adjustments of the period are rows without an InvoiceId.

    Example:
      meter export focus --period 2026-11 --issuer "Example Ltd" --out finops

    Exit codes: as for csv.
    """
    span = _span(period, day)
    _export(span, partial, lambda engine, rules: [export(engine, rules, span, issuer, account, out)])


def _span(period: str | None, day: str | None) -> ExportPeriod:
    if (period is None) == (day is None):
        raise SettingError("say one of --period YYYY-MM and --day YYYY-MM-DD")
    found = read_day(day) if period is None else read_month(period, "--period")
    assert found is not None
    return span_of(found)


def _export(span: ExportPeriod, partial: bool, write: Callable[[Engine, Rules], Iterable[Written]]) -> None:
    settings = settings_of_command()
    need_store(settings)
    engine = open_engine(settings)
    try:
        check_store(engine)
        with store_errors(engine):
            with engine.connect() as connection:
                rules = rules_of(connection)
            if rules is None:
                raise MeterError("the store is empty: `meter projector` fills it")
            _see_that_it_is_final(engine, rules, span, partial)
            files = 0
            for path, rows in write(engine, rules):
                say(f"{path}: {counted(rows, 'row')}")
                files += 1
            if not files:
                note(f"nothing is written: no day of {span.period} has begun")
    finally:
        engine.dispose()


def _see_that_it_is_final(engine: Engine, rules: Rules, span: ExportPeriod, partial: bool) -> None:
    if partial:
        note(f"partial: {span.period} as far as the store has it now")
        return
    with connected(note) as settings:
        asyncio.run(check_settled(settings, rules, engine, span))
