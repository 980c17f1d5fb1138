"""The formats of exported jobs: each takes pieces of rows and writes one file. The same rows give the same bytes."""

import csv
from collections.abc import Iterable
from datetime import datetime
from typing import Any, BinaryIO, NamedTuple, Protocol

from sqlalchemy import Row

from meter.money import CURRENCY, decimal_text
from streams.errors import SettingError
from streams.export.files import as_text
from streams.export.usage import PIECE_ROWS, Rows
from streams.text.visible import cell

CSV_COLUMNS = (
    "day", "account_id", "job_id", "region", "kinds", "completed_at", "duration_s", "minutes", "unit_price", "amount",
    "currency", "price_version", "recorded_at", "source_topic", "source_partition", "source_offset", "origin_topic",
    "origin_partition", "origin_offset",
)  # fmt: skip


class Format(NamedTuple):
    """A format: how its files' names end, and what writes one."""

    suffix: str
    write: "Write"


class Write(Protocol):
    """Write pieces of rows to a file; returns how many rows."""

    def __call__(self, pieces: Iterable[Rows], file: BinaryIO) -> int: ...


def utc(moment: datetime) -> str:
    """An instant as text, to the microsecond.

    >>> from datetime import UTC
    >>> utc(datetime(2026, 11, 24, 2, 20, 30, 123000, tzinfo=UTC))
    '2026-11-24T02:20:30.123000Z'
    """
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def write_csv(pieces: Iterable[Rows], file: BinaryIO) -> int:
    """CSV in UTF-8 with a header (RFC 4180, but lines end with a line feed)."""
    count = 0
    with as_text(file) as text:
        table = csv.writer(text, lineterminator="\n")
        table.writerow(CSV_COLUMNS)
        for piece in pieces:
            table.writerows(map(_csv_row, piece))
            count += len(piece)
    return count


def _csv_row(row: Row[Any]) -> tuple[Any, ...]:
    return (
        row.day, cell(row.account_id), cell(row.job_id), row.region, row.kinds.replace(",", ";"), utc(row.completed_at),
        row.duration_s, row.minutes, decimal_text(row.unit_price), decimal_text(row.amount), CURRENCY,
        cell(row.price_version), utc(row.recorded_at), row.source_topic, row.source_partition, row.source_offset,
        row.origin_topic, row.origin_partition, row.origin_offset,
    )  # fmt: skip


def parquet_format() -> Format:
    """Parquet. Raises SettingError where pyarrow is not installed."""
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SettingError("Parquet needs the package pyarrow: pip install 'recognition-meter[parquet]'") from error
    from streams.export import columns  # noqa: PLC0415 - it imports pyarrow

    def write(pieces: Iterable[Rows], file: BinaryIO) -> int:
        # Every option that shapes bytes is said here, so that another version's default changes nothing.
        options: dict[str, Any] = {"version": "2.6", "data_page_version": "1.0", "compression": "zstd"}
        count = 0
        with parquet.ParquetWriter(file, columns.SCHEMA, compression_level=3, store_schema=False, **options) as writer:
            for piece in pieces:
                writer.write_table(columns.table(piece), row_group_size=PIECE_ROWS)
                count += len(piece)
        return count

    return Format("parquet", write)


CSV = Format("csv", write_csv)
