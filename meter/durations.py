"""The two rounding rules of a duration: to the millisecond, then up to whole minutes.

Guide: "Of a video's length, a part of a minute counts as a whole minute." A float's idea of a minute
(60.0000001 s) is one minute all the same, because the millisecond comes first.
Money is rounded in another place, once for a bill: `meter.money.payable`.
"""

import re
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from numbers import Real
from typing import Any

MAX_DURATION_S = 31_536_000  # a video of a year
_MAX_DURATION = Decimal(MAX_DURATION_S)
_MILLISECOND = Decimal("0.001")
_POSITIVE = re.compile(r"[0.]*[1-9]")


def _context(digits: int) -> Context:
    """One that holds so many digits exactly."""
    return Context(prec=digits, Emin=MIN_EMIN, Emax=MAX_EMAX, rounding=ROUND_HALF_UP, traps=[InvalidOperation])


_CONTEXT = _context(60)

#: A duration that came as a JSON string.
DURATION_STRING = re.compile(r"[0-9]{1,9}(\.[0-9]{1,18})?")


@dataclass(frozen=True, slots=True)
class NumberLiteral:
    """A JSON number as it was written: no binary float comes between the record and the minutes."""

    text: str

    def __repr__(self) -> str:
        return self.text


def as_number(value: Any) -> str | None:
    """The literal of a number, however it was read; None for what is none."""
    if isinstance(value, NumberLiteral):
        return value.text
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        return None
    return str(value)  # type: ignore[decimal-text] # as a literal may be: with an exponent


def duration_ms(literal: str) -> int | None:
    """Milliseconds, half up and at least one, of a number's literal in seconds; None out of (0, a year].

    >>> duration_ms("3600"), duration_ms("60.0000001"), duration_ms("6.0001e1"), duration_ms("0.0001")
    (3600000, 60000, 60001, 1)
    """
    try:
        context = _CONTEXT if len(literal) <= 40 else _context(len(literal))
        seconds = context.create_decimal(literal)
        # What is positive has a digit: beside an exponent such as e-9999999999999999999 it is 0 for decimals.
        if not _POSITIVE.match(literal) or seconds > _MAX_DURATION:
            return None
        return max(1, int(seconds.quantize(_MILLISECOND, context=_CONTEXT).scaleb(3, _CONTEXT)))
    except InvalidOperation:
        return None


def plain_duration_ms(literal: bytes) -> int | None:
    """The same for the common forms: `123`, or `123.4` to `123.456`. None for every other form, also valid ones."""
    whole, point, places = literal.partition(b".")
    digits = whole + places
    if not digits.isdigit() or not 1 <= len(whole) <= 7 or len(places) > 3 or (whole[0] == 48 and len(whole) > 1):
        return None
    if point and not places:
        return None
    return int(digits) * (1000, 100, 10, 1)[len(places)] or None


def billable_minutes(milliseconds: int) -> int:
    """Whole minutes of a duration: a part of a minute counts as a whole one (guide, "Price").

    >>> billable_minutes(60_000), billable_minutes(60_001), billable_minutes(1)
    (1, 2, 1)
    """
    return -(-milliseconds // 60_000)


def duration_text(milliseconds: int) -> str:
    """Canonical text of a duration in seconds, to the millisecond, without trailing zeros.

    >>> duration_text(3_600_000), duration_text(60_001), duration_text(1_500)
    ('3600', '60.001', '1.5')
    """
    rest = milliseconds % 1000
    seconds = milliseconds // 1000
    if not rest:
        return str(seconds)
    return f"{seconds}.{rest:03d}" if rest % 10 else f"{seconds}.{rest:03d}".rstrip("0")
