"""Pages of a list by keyset: a cursor says where the next one begins, whatever is added meanwhile.

A cursor that begins with `~` says where the page before ends, for whoever goes back.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from sqlalchemy import BigInteger, Column, ColumnElement, Connection, Integer, Row, Select, literal, tuple_

from meter.money import decimal_text
from streams.errors import SettingError
from streams.store.money_columns import money_order
from streams.store.types import Day, Moment, Money

MAX_LIMIT = 1000
BACK = "~"

_MONEY = re.compile(r"-?[0-9]{1,30}\.[0-9]{2,30}")
_T = TypeVar("_T")


class RowPage(NamedTuple, Generic[_T]):
    """Some rows, and the cursors of those that follow and of those before; None: there are none."""

    rows: tuple[_T, ...]
    next: str | None
    previous: str | None = None


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
) -> RowPage[_T]:
    """A page of a query, ordered by columns that it selects, under their own names.

    Raises BadCursorError for an `after` that is none of this list, and SettingError for a limit out of 1..1000.
    """
    if not 1 <= limit <= MAX_LIMIT:
        raise SettingError(f"limit is 1 to {MAX_LIMIT}, got {limit}")
    name = _name_of(order, descending)
    is_back = after is not None and after.startswith(BACK)
    down = descending is not is_back
    if after is not None:
        query = query.where(_beyond(order, _read(after.removeprefix(BACK), order, name), down))
    query = query.order_by(*[key.desc() if down else key.asc() for key in map(_key, order)])
    found = connection.execute(query.limit(limit + 1)).all()
    is_more, rows = len(found) > limit, found[:limit]
    if is_back:
        rows = rows[::-1]
    is_before, is_after = (is_more, bool(rows)) if is_back else (after is not None and bool(rows), is_more)
    return RowPage(
        tuple(make(row) for row in rows),
        _cursor(rows[-1], order, name) if is_after else None,
        BACK + _cursor(rows[0], order, name) if is_before else None,
    )


def _key(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return money_order(column) if isinstance(column.type, Money) else column


def _beyond(order: Sequence[Column[Any]], values: Sequence[Any], descending: bool) -> ColumnElement[bool]:
    here = tuple_(*map(_key, order))
    there = tuple_(*[_key(literal(value, column.type)) for column, value in zip(order, values, strict=True)])
    return here < there if descending else here > there


def _name_of(order: Sequence[Column[Any]], descending: bool) -> int:
    """What a list is known by in its cursors: by what it is ordered. Another list's would begin a page anywhere."""
    return zlib.crc32(f"{' '.join(map(str, order))} {descending}".encode())


def _cursor(row: Row[Any], order: Sequence[Column[Any]], name: int) -> str:
    values = [row._mapping[column.name] for column in order]
    plain = [_plain(value) for value in values]
    return base64.urlsafe_b64encode(msgspec.json.encode([name, *plain])).decode().rstrip("=")


def _plain(value: Any) -> str | int:
    if isinstance(value, datetime):
        return value.isoformat()
    return decimal_text(value) if isinstance(value, Decimal) else value


def _read(cursor: str, order: Sequence[Column[Any]], name: int) -> list[Any]:
    bad = BadCursorError("the cursor is none that this list has given")
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
        named, *values = msgspec.json.decode(data, type=list[str | int])
    except (binascii.Error, ValueError) as error:  # msgspec's errors are ValueErrors
        raise bad from error
    if named != name or len(values) != len(order):
        raise bad
    return [_typed(value, column, bad) for value, column in zip(values, order, strict=True)]


def _typed(value: str | int, column: Column[Any], bad: BadCursorError) -> Any:
    if isinstance(column.type, Integer):
        if isinstance(value, int) and abs(value) < (2**63 if isinstance(column.type, BigInteger) else 2**31):
            return value
        raise bad
    if not isinstance(value, str):
        raise bad
    if isinstance(column.type, Money):
        if not _MONEY.fullmatch(value):
            raise bad
        return Decimal(value)
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
