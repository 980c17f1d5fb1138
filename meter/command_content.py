"""What a command asks for, whatever its record looks like: two records of one id are one command when that is equal.

Amounts are compared by value, and fields that the model does not know are left aside, as is `issued_at`: whoever sends
a command again says when that is.
"""

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from meter.durations import NumberLiteral
from meter.money import decimal_text
from meter.prices import PRICE

#: Hexadecimal characters of a digest: 128 bits.
DIGEST_CHARS = 32

_ASIDE = frozenset({"command_id", "issued_at"})


def digest_of(command: BaseModel) -> str:
    """The digest of a command that its model has read."""
    fields = command.model_dump(exclude=set(_ASIDE))
    return _digest("read", json.dumps({name: _by_value(value) for name, value in fields.items()}, sort_keys=True))


def digest_of_unread(document: Mapping[str, Any]) -> str:
    """The digest of a command that no model can read: of its fields, in any order, with numbers as they are written."""
    fields = {name: _as_written(field) for name, field in document.items() if name not in _ASIDE}
    return _digest("unread", json.dumps(fields, sort_keys=True))


def digest_of_bytes(value: bytes) -> str:
    """The digest of a record that is no command."""
    return _digest("bytes", value.hex())


def _digest(kind: str, content: str) -> str:
    return hashlib.sha256(f"{kind} {content}".encode()).hexdigest()[:DIGEST_CHARS]


def _by_value(value: Any) -> Any:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, Mapping):
        return {name: _price_by_value(price) for name, price in value.items()}
    return value


def _price_by_value(price: str) -> str:
    return decimal_text(Decimal(price)) if PRICE.fullmatch(price) else price


def _as_written(value: Any) -> Any:
    """JSON in which a number cannot be taken for a text."""
    if isinstance(value, dict):
        return {name: _as_written(field) for name, field in value.items()}
    if isinstance(value, list):
        return [_as_written(item) for item in value]
    if isinstance(value, NumberLiteral):
        return f"number {value.text}"
    return f"text {value}" if isinstance(value, str) else value
