"""Pages of a list by keyset: a cursor says where the next one begins, whatever is added meanwhile."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Integer, Row, Select, literal, tuple_

from streams.errors import SettingError
from streams.store.types import Day, Moment

MAX_LIMIT = 1000

_T = TypeVar("_T")


class Page(NamedTuple, Generic[_T]):
    """Some rows, and the cursor of those that follow; None: there are none."""

    rows: tuple[_T, ...]
    next: str | None


class BadCursorError(SettingError):
    """A cursor that this list has not given."""


def page(
    connection: Connection,
    query: Select[Any],
    order: Sequence[Column[Any]],
    make: Callable[[Row[Any]], _T],
    *,
    after: str | None,
    limit: int,
    descending: bool = False,
) -> Page[_T]:
    """A page of a query, ordered by columns that it selects, under their own names.

    Raises BadCursorError for an `after` that is none of this list, and SettingError for a limit out of 1..1000.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise SettingError(f"limit is 1 to {MAX_LIMIT}, got {limit}")
    if after is not None:
        query = query.where(_beyond(order, _read(after, order), descending))
    query = query.order_by(*[column.desc() if descending else column.asc() for column in order])
    found = connection.execute(query.limit(limit + 1)).all()
    more = found[limit - 1] if len(found) > limit else None
    return Page(tuple(make(row) for row in found[:limit]), None if more is None else _cursor(more, order))


def _beyond(order: Sequence[Column[Any]], values: Sequence[Any], descending: bool) -> ColumnElement[bool]:
    here = tuple_(*order)
    there = tuple_(*[literal(value, column.type) for column, value in zip(order, values, strict=True)])
    return here < there if descending else here > there


def _cursor(row: Row[Any], order: Sequence[Column[Any]]) -> str:
    values = [row._mapping[column.name] for column in order]
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(msgspec.json.encode(plain)).decode().rstrip("=")


def _read(cursor: str, order: Sequence[Column[Any]]) -> list[Any]:
    bad = BadCursorError("the cursor is none that this list has given")
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
        values = msgspec.json.decode(data, type=list[str | int])
    except (binascii.Error, ValueError) as error:  # msgspec's errors are ValueErrors
        raise bad from error
    if len(values) != len(order):
        raise bad
    return [_typed(value, column, bad) for value, column in zip(values, order, strict=True)]


def _typed(value: str | int, column: Column[Any], bad: BadCursorError) -> Any:
    if isinstance(column.type, Integer):
        if isinstance(value, int) and abs(value) < (2**63 if isinstance(column.type, BigInteger) else 2**31):
            return value
        raise bad
    if not isinstance(value, str):
        raise bad
    try:
        if isinstance(column.type, Day):
            return date.fromisoformat(value).isoformat()
        if not isinstance(column.type, Moment):
            return value
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise bad
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter for the first and the last hours of all
        raise bad from None
