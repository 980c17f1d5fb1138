"""The fields of a command: read one by one, and what all of them ask for."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.recount.prices import ANY_REGION
from tests.recount.rules import ZONE_OF, NotMetered, has_lone_surrogate, microseconds

Row = dict[str, Any]
LONGEST_REASON = 500
LONGEST_GRACE_HOURS = 8784
MOST_LINES = 1_000_000
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
MONEY = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,2})?")
PRICE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,8})?")


class Refused(Exception):  # noqa: N818  (a verdict on a command, no error of this program)
    """The command is not done; the argument is the stable code."""


def name(fields: Row, field: str, longest: int = 128) -> str:
    value = fields.get(field)
    if not is_name(value, longest):
        raise Refused("bad_fields")
    return str(value)


def is_name(value: Any, longest: int = 128) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= longest and not has_lone_surrogate(value)


def amount(fields: Row, field: str = "amount", negative: bool = False) -> Decimal:
    value = fields.get(field)
    if field not in fields:
        raise Refused("bad_fields")
    if not isinstance(value, str) or not MONEY.fullmatch(value):
        raise Refused("bad_amount")
    if Decimal(value) == 0 or (Decimal(value) < 0 and not negative):
        raise Refused("bad_amount")
    return Decimal(value)


def day(fields: Row) -> str:
    value = fields.get("effective_from")
    if not isinstance(value, str) or not DAY.fullmatch(value):
        raise Refused("bad_fields")
    return value


def price_table(fields: Row) -> dict[str, str]:
    value = fields.get("prices", {})
    if not isinstance(value, dict) or not all(isinstance(price, str) for price in value.values()):
        raise Refused("bad_fields")
    if any(map(has_lone_surrogate, [*value, *value.values()])):
        raise Refused("bad_fields")
    return value


def exact(prices: dict[str, str]) -> dict[str, Decimal]:
    if not all(PRICE.fullmatch(price) for price in prices.values()):
        raise Refused("bad_price")
    return {place: Decimal(price) for place, price in prices.items()}


def grace_hours(fields: Row) -> int | None:
    value = fields.get("grace_hours")
    if value is None:
        return None
    if not isinstance(value, Decimal) or not 1 <= value <= LONGEST_GRACE_HOURS or value % 1:
        raise Refused("bad_fields")
    return int(value)


def line_of(fields: Row) -> int:
    value = fields.get("line")
    if not isinstance(value, Decimal) or not 1 <= value <= MOST_LINES or value % 1:
        raise Refused("bad_fields")
    return int(value)


def mode_of(fields: Row) -> str | None:
    """None where it is left out."""
    value = fields.get("mode")
    if value not in ("daily", "monthly", None):
        raise Refused("bad_fields")
    return None if value is None else str(value)


def issued_at_ms(fields: Row) -> int:
    """When a command was issued; it is of version 1."""
    if fields.get("v", 1) != 1 or not isinstance(fields.get("issued_at"), str):
        raise Refused("bad_fields")
    try:
        return microseconds(fields["issued_at"]) // 1000
    except NotMetered:
        raise Refused("bad_fields") from None


def _own_prices(fields: Row) -> dict[str, Decimal | str]:
    """By value where they are prices."""
    table = price_table(fields)
    return {place: Decimal(price) if PRICE.fullmatch(price) else price for place, price in table.items()}


def _contract_prices(fields: Row) -> dict[str, Decimal | str]:
    prices = _own_prices(fields)
    if not all(place in ZONE_OF or place == ANY_REGION for place in prices):
        raise Refused("unknown_region")
    return prices


def _book_prices(fields: Row) -> dict[str, Decimal | str]:
    if fields.get("currency", "CNY") != "CNY" or "prices" not in fields:
        raise Refused("bad_fields")
    return _own_prices(fields)


#: What each kind of command asks for, field by field.
ASKED: dict[str, Callable[[Row], tuple[Any, ...]]] = {
    "price_book": lambda row: (name(row, "version"), day(row), _book_prices(row)),
    "open_account": lambda row: (name(row, "account_id"),),
    "top_up": lambda row: (name(row, "account_id"), amount(row)),
    "adjustment": lambda row: (
        name(row, "account_id"), amount(row, negative=True), name(row, "reason", LONGEST_REASON)
    ),
    "refund": lambda row: (name(row, "account_id"), name(row, "ticket"), name(row, "bill_id"), amount(row)),
    "low_balance": lambda row: (name(row, "account_id"), threshold(row)),
    "contract": lambda row: (
        name(row, "account_id"), day(row), mode_of(row), _contract_prices(row), grace_hours(row)
    ),
    "payment_reversed": lambda row: (name(row, "account_id"), name(row, "top_up")),
    "charge": lambda row: (name(row, "account_id"), amount(row), name(row, "reason", LONGEST_REASON)),
    "credit_note": lambda row: (
        name(row, "account_id"), name(row, "bill_id"), line_of(row), amount(row), name(row, "reason", LONGEST_REASON)
    ),
    "withdraw_contract": lambda row: (name(row, "account_id"), name(row, "contract_id")),
    "withdraw_price_book": lambda row: (name(row, "version"),),
    "tick": lambda _: (),
}  # fmt: skip


def threshold(fields: Row) -> Decimal | None:
    return None if "threshold" in fields and fields["threshold"] is None else amount(fields, "threshold")


def content(fields: Row) -> tuple[Any, ...]:
    """What a command asks for: two records of one id are one command when it is equal, whenever they were issued."""
    kind = fields["type"]
    try:
        issued_at_ms(fields)
        return "read", kind, ASKED[kind](fields)
    except (KeyError, Refused):
        rest = {field: value for field, value in fields.items() if field not in ("command_id", "issued_at")}
        return "unread", as_written(rest)


def as_written(value: Any) -> Any:
    """JSON that is equal only where each value is of the same kind: numbers by their literals."""
    if isinstance(value, dict):
        return {field: as_written(inner) for field, inner in value.items()}
    if isinstance(value, list):
        return [as_written(inner) for inner in value]
    return type(value).__name__, str(value)
