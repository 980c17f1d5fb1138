"""Each key of a JSON object stands there once: of two amounts nobody can say which is meant.

Parsers take the last one and say nothing. Keys are compared as they read, whatever escapes they are written with, in
objects within others too.
"""

import json
from collections import Counter
from typing import Any

import msgspec

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

    It is exact, and quicker for objects without others in them. Raises ValueError and MsgspecError for what is no JSON.
    """
    if value.count(b"{") == 1:
        fields = _fields(value)
        # A key that stands there again adds its quotes to those of the fields that are left.
        if value.count(b'"') == 2 * len(fields) + b"".join(fields.values()).count(b'"'):
            return False
    return once_each(value)[1].repeated is not None


def once_each(value: bytes) -> tuple[Any, OnceEach]:
    """A document in JSON, numbers as they are written, and which of its keys were left out. Raises ValueError."""
    keys = OnceEach()
    document = json.loads(
        value, object_pairs_hook=keys, parse_int=str, parse_float=str, parse_constant=no_such_constant
    )
    return document, keys


def no_such_constant(name: str) -> None:
    """For `parse_constant`: Python's reader takes NaN and Infinity, which are not JSON."""
    raise ValueError(f"{name} is not JSON")
