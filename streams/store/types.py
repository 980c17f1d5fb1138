"""Column types that say the same on SQLite and PostgreSQL: exact money, aware instants, billing days, any text."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Date, DateTime, Dialect, Numeric, Text, TypeDecorator
from sqlalchemy.types import TypeEngine

from meter.money import decimal_text

_ESCAPE = "\uf8ff"


def escaped(text: str) -> str:
    """Text as it is kept. PostgreSQL cannot hold a NUL, and an id may have one: it is written with an escape.

    >>> escaped("A"), unescaped(escaped("a\\0b")) == "a\\0b"
    ('A', True)
    """
    if "\0" not in text and _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE, _ESCAPE + "1").replace("\0", _ESCAPE + "0")


def unescaped(text: str) -> str:
    """The text that was kept."""
    if _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE + "0", "\0").replace(_ESCAPE + "1", _ESCAPE)


class Words(TypeDecorator[str]):
    """Text of any characters, compared byte by byte on both stores, so that pages have one order."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text(collation="C") if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else escaped(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:
        return None if value is None else unescaped(value)


class Money(TypeDecorator[Decimal]):
    """Exact decimals in CNY: NUMERIC in PostgreSQL; canonical text in SQLite, whose numbers are binary floats."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Numeric() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any | None:
        if value is None:
            return None
        if not isinstance(value, Decimal):
            raise TypeError(f"money is a Decimal, got {value!r}")
        return value if dialect.name == "postgresql" else decimal_text(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


class Moment(TypeDecorator[datetime]):
    """Instants, aware and in UTC when they are read: TIMESTAMPTZ in PostgreSQL, sortable text in SQLite."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=True) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise TypeError(f"an instant has an offset, got {value!r}")
        return value if dialect.name == "postgresql" else moment_text(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.astimezone(UTC)


def moment_text(value: datetime) -> str:
    """An instant as text that sorts as it does: UTC, to the microsecond."""
    return value.astimezone(UTC).isoformat(timespec="microseconds")


class Day(TypeDecorator[str]):
    """Billing days, `YYYY-MM-DD` to whoever reads and writes: DATE in PostgreSQL, text in SQLite."""

    impl = Date
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Date() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any | None:
        if value is None or dialect.name != "postgresql":
            return value
        return date.fromisoformat(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:
        return value.isoformat() if isinstance(value, date) else value
