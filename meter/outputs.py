"""What a step puts out, and its canonical bytes, written without building a model for each: as `meter.models` would."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

import msgspec

from meter.models import Header, Rejected, Source, Truncated
from meter.money import CURRENCY, EXACT, decimal_text
from meter.records import Keyed, Rerouted
from meter.rejects import Refusal
from meter.rollup import Total, TotalKey

_encode = msgspec.json.Encoder().encode

#: What a header costs in JSON beside its text, and at most for each byte of its name (`\u0001`).
_HEADER_BYTES = 24
_ESCAPED_BYTES = 6

#: The longest original that `usage.rejected` (records of 4 MiB) takes whole: base64 makes four bytes of three.
MAX_ORIGINAL_BYTES = 2_900_000


@dataclass(slots=True, eq=False)
class Outputs:
    """The records that a step publishes, but for the totals that it changes; `published.OUTPUTS` has their topics."""

    priced: list[Keyed] = field(default_factory=list)
    rejected: list[Keyed] = field(default_factory=list)
    rerouted: list[Rerouted] = field(default_factory=list)
    results: list[Keyed] = field(default_factory=list)
    bills: list[Keyed] = field(default_factory=list)
    notes: list[Keyed] = field(default_factory=list)
    entries: list[Keyed] = field(default_factory=list)
    notices: list[Keyed] = field(default_factory=list)
    services: list[Keyed] = field(default_factory=list)


#: A string as JSON, quotes and all; only what must be escaped is.
json_text = json.encoder.encode_basestring


@lru_cache(maxsize=65_536)
def amount_text(unit_price: str, minutes: int) -> str:
    """Canonical text of minutes times price, exact (guide: "duration in minutes x unit price").

    >>> amount_text("0.28", 60)
    '16.80'
    """
    return decimal_text(EXACT.multiply(Decimal(unit_price), Decimal(minutes)))


@lru_cache(maxsize=262_144)
def account_texts(account_id: str) -> tuple[bytes, str]:
    """An account id as a record's key and as JSON."""
    return account_id.encode(), json_text(account_id)


def total_key(key: TotalKey) -> bytes:
    """The key of a daily total on its topic: `["account","region","day"]`."""
    return _encode(key)


def total_value(key: TotalKey, total: Total) -> bytes:
    """`usage.daily`, as `DayTotal` would write it."""
    account, region, day = key
    return (
        f'{{"v":1,"account_id":{account_texts(account)[1]},"region":"{region}","day":"{day}",'
        f'"jobs":{total.jobs},"minutes":{total.minutes},"amount":"{decimal_text(total.amount)}",'
        f'"currency":"{CURRENCY}"}}'
    ).encode()


def rejected_value(
    refusal: Refusal,
    *,
    amount_at_risk: Decimal | None,
    key: bytes | None,
    value: bytes | None,
    headers: Sequence[tuple[str, bytes | None]],
    source: Source,
) -> bytes:
    """`usage.rejected`: the record as it came, or cut with its SHA-256 where it does not fit."""
    size = len(key or b"") + len(value or b"")
    size += sum(_HEADER_BYTES + _ESCAPED_BYTES * len(k.encode(errors="replace")) + len(v or b"") for k, v in headers)
    fits = size <= MAX_ORIGINAL_BYTES
    return Rejected(
        code=refusal.code,
        message=refusal.message,
        account_id=refusal.account_id,
        job_id=refusal.job_id,
        amount_at_risk=None if amount_at_risk is None else decimal_text(amount_at_risk),
        currency=None if amount_at_risk is None else CURRENCY,
        key=_base64(key if fits else (key or b"")[:1024]),
        record=_base64(value if fits else (value or b"")[:1_000_000]),
        truncated=None if fits else Truncated(bytes=len(value or b""), sha256=hashlib.sha256(value or b"").hexdigest()),
        headers=tuple(Header(key=k, value=_base64(v)) for k, v in headers) if fits else (),
        source=source,
    ).canonical()


def _base64(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
