"""The columns of a Parquet file of jobs. Needs pyarrow. The billing day is in the file's path, as `day=2026-11-03`."""

from decimal import Decimal
from typing import Any

import pyarrow as pa

from meter.money import CURRENCY
from streams.export.usage import Rows

#: Prices have at most 6 digits and 8 places (`docs/contract.md`), a job at most 525,600 minutes.
PRICE = pa.decimal128(14, 8)
AMOUNT = pa.decimal128(20, 8)
SECONDS = pa.decimal128(12, 3)

SCHEMA = pa.schema(
    [
        pa.field("account_id", pa.string(), nullable=False),
        pa.field("job_id", pa.string(), nullable=False),
        pa.field("region", pa.string(), nullable=False),
        pa.field("kinds", pa.list_(pa.field("element", pa.string(), nullable=False)), nullable=False),
        pa.field("completed_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("duration_s", SECONDS, nullable=False),
        pa.field("minutes", pa.int64(), nullable=False),
        pa.field("unit_price", PRICE, nullable=False),
        pa.field("amount", AMOUNT, nullable=False),
        pa.field("currency", pa.string(), nullable=False),
        pa.field("price_version", pa.string(), nullable=False),
        pa.field("recorded_at", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("source_topic", pa.string(), nullable=False),
        pa.field("source_partition", pa.int32(), nullable=False),
        pa.field("source_offset", pa.int64(), nullable=False),
        pa.field("origin_topic", pa.string()),
        pa.field("origin_partition", pa.int32()),
        pa.field("origin_offset", pa.int64()),
    ]
)


def table(rows: Rows) -> Any:
    """Rows of the store as an Arrow table; decimals keep every digit or raise."""
    found: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in SCHEMA.names if name in _OWN}
    found["kinds"] = [row.kinds.split(",") for row in rows]
    found["duration_s"] = [Decimal(row.duration_s) for row in rows]
    found["currency"] = [CURRENCY] * len(rows)
    return pa.table({name: pa.array(found[name], SCHEMA.field(name).type) for name in SCHEMA.names}, SCHEMA)


_OWN = frozenset(SCHEMA.names) - {"kinds", "duration_s", "currency"}
