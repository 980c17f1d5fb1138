"""Each key of a JSON object stands there once: of two amounts nobody can say which is meant.

Parsers take the last one and say nothing. Keys are compared as they read, whatever escapes they are written with, in
objects within others too.
"""

import json
from collections import Counter
from typing import Any

import msgspec

from meter.durations import NumberLiteral

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class OnceEach:
    """An `object_pairs_hook`: an object keeps the keys that stand there once. `repeated`: one that does not, if any."""

    def __init__(self) -> None:
        self.repeated: str | None = None

    def __call__(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """The object of these keys and values."""
        found = dict(pairs)
        if len(found) < len(pairs):
            for name, times in Counter(name for name, _ in pairs).items():
                if times > 1:
                    del found[name]
                    self.repeated = name if self.repeated is None else self.repeated
        return found

    @property
    def reason(self) -> str:
        """What is wrong, in words."""
        return f"the key {(self.repeated or '')[:128]!r} stands in an object more than once"


def repeats_a_key(value: bytes) -> bool:
    """Whether an object in JSON has a key more than once, or one within it has.

    It is exact, and quick where there is none. Raises ValueError and MsgspecError for what is no JSON object.
    """
    fields = _fields(value)
    # A key that stands there again adds its quotes to those of the fields that are left.
    within = b"".join(fields.values())
    if value.count(b'"') != 2 * len(fields) + within.count(b'"'):
        return once_each(value)[1].repeated is not None
    return within.find(b"{") >= 0 and any(map(_repeats_within, map(bytes, fields.values())))


def _repeats_within(value: bytes) -> bool:
    """The same for what a field has, whatever that is."""
    if value.find(b"{") < 0:
        return False
    return repeats_a_key(value) if value[0] == 123 else once_each(value)[1].repeated is not None


def once_each(value: bytes | str) -> tuple[Any, OnceEach]:
    """A document in JSON, numbers as they are written, and which of its keys were left out. Raises ValueError."""
    keys = OnceEach()
    document = json.loads(
        value,
        object_pairs_hook=keys,
        parse_int=NumberLiteral,
        parse_float=NumberLiteral,
        parse_constant=no_such_constant,
    )
    return document, keys


def no_such_constant(name: str) -> None:
    """For `parse_constant`: Python's reader takes NaN and Infinity, which are not JSON."""
    raise ValueError(f"{name} is not JSON")
