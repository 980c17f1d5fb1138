"""Records of the topics -> rows as both stores take them: texts, whole numbers and None; money and instants as text.

What the meter has published is read strictly: a record that cannot be read is not of this meter, and stops us.
Commands come from anybody, and are read as far as they go.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec

from meter.keys import once_each
from meter.periods import instant_us
from meter.readback import (
    PublishedBill,
    PublishedNote,
    PublishedNotice,
    PublishedPriced,
    PublishedRejected,
    PublishedResult,
)
from streams.errors import RefusalToStartError
from streams.store.types import escaped, moment_text

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)

Row = tuple[Any, ...]
_Published = TypeVar("_Published", bound=msgspec.Struct)


class OutwardRecord(NamedTuple):
    """A record of an outward topic: where it is, its key and value, and the broker's time in ms."""

    partition: int
    position: int
    key: bytes | None
    value: bytes | None
    timestamp: int


class UnreadableError(RefusalToStartError):
    """A record that the meter cannot have published, or a newer one with another form."""


_DECODERS: dict[type[msgspec.Struct], msgspec.json.Decoder[Any]] = {}


def decoded(record: OutwardRecord, kind: type[_Published], topic: str) -> _Published:
    """A record's value. Raises UnreadableError."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    try:
        value: _Published = decoder.decode(record.value or b"")
    except msgspec.MsgspecError as error:
        where = f"{topic}[{record.partition}] at {record.position}"
        raise UnreadableError(f"{where} holds what this version of the meter cannot read: {error}") from error
    return value


def priced_row(record: OutwardRecord, job: PublishedPriced) -> Row:
    """The row of `priced_usage`."""
    source, origin = job.source, job.origin
    return (
        record.partition,
        record.position,
        escaped(job.account_id),
        escaped(job.job_id),
        job.region,
        ",".join(job.kinds),
        instant(job.completed_at),
        job.completed_at,
        job.day,
        job.duration_s,
        job.minutes,
        job.unit_price,
        job.amount,
        escaped(job.price_version),
        source.topic,
        source.partition,
        source.offset,
        of_ms(source.timestamp),
        None if origin is None else origin.topic,
        None if origin is None else origin.partition,
        None if origin is None else origin.offset,
    )


def rejected_row(record: OutwardRecord, refused: PublishedRejected, day: str, at: str, priced_later: bool) -> Row:
    """The row of `rejected`; `at` is when it was refused, `day` the billing day of that: see `refused_at`."""
    source = refused.source
    return (
        record.partition,
        record.position,
        refused.code,
        escaped(refused.message),
        words(refused.account_id),
        words(refused.job_id),
        refused.amount_at_risk,
        day,
        at,
        source.topic,
        source.partition,
        source.offset,
        priced_later,
        as_published(record),
    )


def bill_row(record: OutwardRecord, bill: PublishedBill) -> Row:
    """The row of `bill`."""
    return (
        escaped(bill.bill_id),
        record.partition,
        record.position,
        escaped(bill.account_id),
        bill.period,
        bill.mode,
        bill.total,
        bill.payable,
        bill.rounding,
        instant(bill.issued_at),
        len(bill.lines),
        as_published(record),
    )


def line_rows(bill: PublishedBill) -> list[Row]:
    """The rows of `bill_line`."""
    return [
        (
            escaped(bill.bill_id),
            number,
            escaped(bill.account_id),
            line.kind,
            line.region,
            line.day,
            line.jobs,
            line.minutes,
            line.unit_price,
            line.amount,
            words(line.original_bill_id),
        )
        for number, line in enumerate(bill.lines)
    ]


def note_row(record: OutwardRecord, note: PublishedNote) -> Row:
    """The row of `note`."""
    return (
        record.partition,
        record.position,
        escaped(note.note_id),
        escaped(note.account_id),
        note.kind,
        escaped(note.command_id),
        note.day,
        note.amount,
        instant(note.issued_at),
        words(note.reason),
        words(note.reference),
        note.line,
        as_published(record),
    )


def notice_row(record: OutwardRecord, notice: PublishedNotice) -> Row:
    """The row of `notice`."""
    return (
        record.partition,
        record.position,
        escaped(notice.notice_id),
        escaped(notice.account_id),
        notice.kind,
        instant(notice.at),
        words(notice.bill_id),
        notice.payable,
        notice.owed,
        notice.balance,
        None if notice.deadline is None else instant(notice.deadline),
        as_published(record),
    )


def command_row(record: OutwardRecord) -> Row:
    """The row of `command`: its fields where they are what they should be."""
    value = record.value or b""
    try:
        document, _ = once_each(value.decode())
    except (ValueError, RecursionError):
        document = None
    found = document if isinstance(document, dict) else {}
    return (
        record.partition,
        record.position,
        *(_text(found.get(name)) for name in ("command_id", "type", "account_id", "issued_at")),
        of_ms(record.timestamp),
        as_published(record),
    )


def result_row(record: OutwardRecord, result: PublishedResult) -> Row:
    """The row of `command_result`."""
    return (
        record.partition,
        record.position,
        escaped(result.command_id),
        words(result.account_id),
        result.status,
        result.code,
        words(result.message),
        result.source.offset,
        of_ms(result.source.timestamp),
        words(result.digest),
    )


def _text(field: Any) -> str | None:
    return escaped(field) if isinstance(field, str) and len(field) <= 128 else None


def words(text: str | None) -> str | None:
    """Text as it is kept, where there is some."""
    return None if text is None else escaped(text)


def as_published(record: OutwardRecord) -> str:
    """A record's value as it is kept; bytes that are no text show as `\\xff`."""
    return escaped((record.value or b"").decode(errors="backslashreplace"))


def instant(text: str) -> str:
    """An instant as it is kept, from one of the contract. Offsets are whole minutes: seconds stay as they are."""
    offset = 1 if text[-1] in "Zz" else 6
    fraction = text[20:-offset][:6].ljust(6, "0")
    return f"{_utc_minute(text[:16], text[-offset:])}{text[16:19]}.{fraction}+00:00"


@lru_cache(maxsize=16_384)
def _utc_minute(minute: str, offset: str) -> str:
    """`2026-11-23T10:20` of an offset, in UTC."""
    microseconds = instant_us(f"{minute}:00{offset}")
    if microseconds is None:
        raise UnreadableError(f"an output holds {minute[:16]!r}...{offset!r}, which is no instant")
    return _moment(microseconds)[:16]


@lru_cache(maxsize=65_536)
def of_ms(milliseconds: int) -> str:
    """An instant as it is kept, from a record time."""
    return _moment(milliseconds * 1000)


def _moment(microseconds: int) -> str:
    try:
        return moment_text(_EPOCH + timedelta(microseconds=microseconds))
    except OverflowError:  # only a simulated clock can get there
        return moment_text(_LAST)


_KEY_OF_TOTAL = msgspec.json.Decoder(tuple[str, str, str])


def key_of_total(record: OutwardRecord) -> tuple[str, str, str]:
    """Account (as it is kept), day and region of a record of `usage.daily`. Raises UnreadableError."""
    try:
        account_id, region, day = _KEY_OF_TOTAL.decode(record.key or b"")
    except msgspec.MsgspecError as error:
        raise UnreadableError(f"a daily total has the key {record.key!r}") from error
    return escaped(account_id), day, region
