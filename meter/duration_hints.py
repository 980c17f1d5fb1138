"""Durations that are written in another way: what they are, for the sentence that says why they are refused.

What clients in several languages write by default is told by name, with what is right: `PT1M30S`, `90s`, `00:01:30`. A
hint is never taken for the field itself; it is good for an estimate of the money at risk.
"""

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal, DecimalException
from functools import lru_cache
from typing import Any, NamedTuple

from meter.durations import DURATION_STRING, MAX_DURATION_S, as_number, duration_ms
from meter.hints import MAX_HINTED_CHARS, hinted_number

_UNITS_S = {
    "ns": Decimal("1e-9"), "us": Decimal("1e-6"), "µs": Decimal("1e-6"), "μs": Decimal("1e-6"), "ms": Decimal("1e-3"),
    "s": Decimal(1), "sec": Decimal(1), "secs": Decimal(1), "second": Decimal(1), "seconds": Decimal(1),
    "秒": Decimal(1), "m": Decimal(60), "min": Decimal(60), "mins": Decimal(60), "minute": Decimal(60),
    "minutes": Decimal(60), "分": Decimal(60), "分钟": Decimal(60), "h": Decimal(3600), "hr": Decimal(3600),
    "hour": Decimal(3600),
    "hours": Decimal(3600), "小时": Decimal(3600), "d": Decimal(86400), "day": Decimal(86400), "days": Decimal(86400),
}  # fmt: skip
_NUMBER = r"[0-9]{1,18}(?:\.[0-9]{1,18})?"
_WITH_UNITS = re.compile(rf"(?:{_NUMBER} ?[^\W\d_]+[ ,]*)+")
_PLAIN = re.compile(r"[0-9]{1,32}(?:\.[0-9]{1,32})?")
_PART = re.compile(rf"({_NUMBER}) ?([^\W\d_]+)")
_ISO = re.compile(
    rf"P(?:({_NUMBER})W)?(?:({_NUMBER})D)?(?:T(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?", re.IGNORECASE
)
_CLOCK = re.compile(r"(?:([0-9]{1,8})[. ](?:days?, )?)?(?:([0-9]{1,8}):)?([0-9]{1,8}):([0-9]{1,2}(?:\.[0-9]{1,18})?)")
_PYTHON_DAYS = re.compile(r"^([0-9]+) days?, ")
_LOOSE_NUMBER = re.compile(r"[+-]?(?:[0-9][0-9_]*\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")


class Meant(NamedTuple):
    """What a text is, in words, and the seconds that it stands for."""

    what: str
    seconds: Decimal


class Unit(NamedTuple):
    """What a number may be, in words, and how many places its seconds have after the point."""

    what: str
    places: int


_FINER_UNITS = (
    Unit("if these are milliseconds", 3),
    Unit("if these are microseconds", 6),
    Unit("if these are nanoseconds", 9),
)


def _in_units(text: str) -> Meant | None:
    """`90s`, `1m30s`, `1.5 min`: Go, protobuf, people."""
    if not _WITH_UNITS.fullmatch(text):
        return None
    seconds = Decimal(0)
    for number, unit in _PART.findall(text):
        if unit.lower() not in _UNITS_S:
            return None
        seconds += Decimal(number) * _UNITS_S[unit.lower()]
    return Meant("it has a unit of its own", seconds)


def _iso(text: str) -> Meant | None:
    """`PT1M30S`: Java, JavaScript's Temporal."""
    match = _ISO.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    parts = zip(match.groups(), (604_800, 86_400, 3600, 60, 1), strict=True)
    return Meant("it is an ISO 8601 duration", sum((Decimal(part or 0) * each for part, each in parts), Decimal(0)))


def _on_a_clock(text: str) -> Meant | None:
    """`00:01:30`, `1.02:03:04.5`, `1 day, 0:01:30`: .NET, Python, people."""
    match = _CLOCK.fullmatch(_PYTHON_DAYS.sub(r"\1.", text))
    if match is None:
        return None
    parts = zip(match.groups(), (86_400, 3600, 60, 1), strict=True)
    return Meant("it is written as on a clock", sum((Decimal(part or 0) * each for part, each in parts), Decimal(0)))


def _loose(text: str) -> Meant | None:
    """`1e3`, `+90`, `.5`, ` 90`: numbers that are not written plainly."""
    if text.count(",") == 1 and re.fullmatch(r"[0-9]+,[0-9]{1,2}|0,[0-9]+", text):
        return Meant("it has a comma for the point", Decimal(text.replace(",", ".")))
    if re.fullmatch(r"[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?", text):
        return Meant("it has commas between the digits", Decimal(text.replace(",", "")))
    if not _LOOSE_NUMBER.fullmatch(text):
        return None
    seconds = Decimal(text.replace("_", "").rstrip("."))
    return Meant("a string needs plain digits, with a point at most", seconds)


@lru_cache(maxsize=1024)
def duration_meant(text: str) -> Meant | None:
    """What a duration that is no plain number stands for."""
    if not text or len(text) > MAX_HINTED_CHARS:
        return None
    stripped = unicodedata.normalize("NFKC", text).strip()
    if stripped != text and DURATION_STRING.fullmatch(stripped):
        return Meant("it has blanks or wide digits", Decimal(stripped))
    for reading in (_iso, _on_a_clock, _in_units, _loose):
        try:
            meant = reading(stripped)
        except DecimalException:
            return None
        if meant is not None:
            return meant
    return None


def duration_hint(value: Any) -> str | None:
    """What a duration is, and what is right."""
    literal = value if isinstance(value, str) and _PLAIN.fullmatch(value) else as_number(value)
    if literal is not None:
        return _too_long(literal)
    if isinstance(value, str):
        return _of_meant(duration_meant(value))
    return "seconds and their fraction are one number" if isinstance(value, Mapping | list) else None


def _of_meant(meant: Meant | None) -> str | None:
    if meant is None:
        return None
    what, seconds = meant
    return f"{what}: send it as {_plain_number(seconds)!r}" if 0 < seconds <= MAX_DURATION_S else what


def _too_long(literal: str) -> str | None:
    """Milliseconds and finer units are told by their size alone, where no video is that long."""
    value = hinted_number(literal)
    if value is None or value <= MAX_DURATION_S:
        return None
    for what, places in _FINER_UNITS:
        seconds = value.scaleb(-places)
        if seconds < 86_400:
            return f"{what}, send seconds: {_plain_number(seconds)}"
    return None


def _plain_number(value: Decimal) -> str:
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text)[:32]


def estimated_duration_ms(value: Any) -> int | None:
    """Milliseconds of a duration as it is written, or of what it is another spelling of."""
    number = as_number(value)
    if number is not None:
        return duration_ms(number)
    if not isinstance(value, str):
        return None
    if DURATION_STRING.fullmatch(value):
        return duration_ms(value)
    meant = duration_meant(value)
    return None if meant is None else duration_ms(_plain_number(meant.seconds))
