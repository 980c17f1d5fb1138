"""What differs, in words, and what a verification found."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec


class Difference(NamedTuple):
    """One way in which what was published is not what the log says. What it names narrows whom it concerns."""

    text: str
    account_id: str | None = None
    day: str | None = None
    period: str | None = None


@dataclass
class Report:
    """What a verification found. `unprovable` says why it could not be done, if it could not."""

    partitions: int = 0
    steps: int = 0
    records: int = 0
    bills: int = 0
    differences: list[str] = field(default_factory=list)
    unprovable: str | None = None

    @property
    def proved(self) -> bool:
        """Everything was recomputed, and no difference found."""
        return not self.differences and self.unprovable is None


class UnprovableError(Exception):
    """The log no longer holds what the proof needs."""


class Scope(NamedTuple):
    """What a verification is asked about: an account, a day, a period; None: all."""

    account: str | None = None
    day: str | None = None
    period: str | None = None

    def concerns(self, found: Difference) -> bool:
        """Whether a difference is asked about. One that names nothing may concern everyone."""
        return (
            (self.account is None or found.account_id in {None, self.account})
            and (self.day is None or found.day in {None, self.day})
            and (self.period is None or self._of_period(found))
        )

    def _of_period(self, found: Difference) -> bool:
        named = found.period or found.day
        return named is None or named.startswith(self.period or "")


def differs(where: str, published: bytes | None, expected: bytes) -> Difference:
    """A record that is not what the log says; of a bill, the line."""
    fields = _fields(expected)
    text = f"{where}: published {short(published)}, the log says {short(expected)}"
    if "bill_id" in fields and "lines" in fields and published is not None:
        wrong = "; ".join(_wrong_parts(_fields(published), fields))
        text = f"{where}: bill {fields['bill_id']}: {wrong or 'its bytes'} differ from what the log says"
    return named(text, expected)


def _wrong_parts(published: dict[str, Any], expected: dict[str, Any]) -> Iterator[str]:
    """The parts of a bill that differ: `line 2 amount: published 0.29, the log says 0.28`."""
    for name in {**expected, **published}:
        if name != "lines" and published.get(name) != expected.get(name):
            yield _says(name, published.get(name), expected.get(name))
    lines = published.get("lines")
    theirs, ours = lines if isinstance(lines, list) else [], expected["lines"]
    if len(theirs) != len(ours):
        yield f"lines: published {len(theirs)}, the log says {len(ours)}"
    for number, (line, right) in enumerate(zip(theirs, ours, strict=False), 1):
        for name in right:
            if not isinstance(line, dict) or line.get(name) != right[name]:
                yield _says(f"line {number} {name}", line.get(name) if isinstance(line, dict) else line, right[name])


def _says(name: str, published: object, expected: object) -> str:
    return f"{name}: published {published}, the log says {expected}"


def named(text: str, value: bytes | None) -> Difference:
    """A difference that concerns whom a record names."""
    fields = _fields(value)
    return Difference(text, fields.get("account_id"), fields.get("day"), fields.get("period"))


def _fields(value: bytes | None) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(value or b"{}")
    except msgspec.MsgspecError:
        return {}
    return fields if isinstance(fields, dict) else {}


def short(value: bytes | None) -> str:
    """A record as text, cut where it is long."""
    text = "nothing" if value is None else value.decode(errors="replace")
    return text if len(text) <= 400 else f"{text[:400]}..."
