"""Instants that are written in another way: what they are, for the sentence that says why they are refused.

What clients in several languages write by default is told by name, with what is right: a number of milliseconds, Java's
arrays, `+0800`, a blank for the T. A hint is never taken for the field itself; it is good for an estimate of the money
at risk.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from meter.durations import as_number
from meter.hints import MAX_HINTED_CHARS, hinted_number
from meter.periods import MAX_INSTANT_CHARS, instant_us

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICKS_OF_1970 = 621_355_968_000_000_000


class Count(NamedTuple):
    """What a number may count since 1970, in words, and how many microseconds its units have."""

    what: str
    microseconds: Decimal


_SINCE_1970 = (
    Count("it is a number of seconds since 1970", Decimal(10**6)),
    Count("it is a number of milliseconds since 1970", Decimal(10**3)),
    Count("it is a number of microseconds since 1970", Decimal(1)),
    Count("it is a number of nanoseconds since 1970", Decimal("0.001")),
)
#: Counts of instants from 2001 to 2100: no two units overlap.
_EARLIEST_S, _LATEST_S = 978_307_200, 4_102_444_800

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
_NAMED = re.compile(  # Mon, 24 Nov 2026 10:20:30 GMT; Tue Nov 24 2026 10:20:30 GMT+0800 (CST)
    r"(?:[A-Za-z]{3,9},? )?(?:([0-9]{1,2}) ([A-Za-z]{3}) ([0-9]{4})|([A-Za-z]{3}) ([0-9]{1,2}) ([0-9]{4})) "
    r"([0-9]{2}:[0-9]{2}:[0-9]{2}) ?(?:GMT|UTC)?([+-][0-9]{2}:?[0-9]{2})?(?: \([^)]*\))?"
)
_COMPACT = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})[Tt ]?([0-9]{2})([0-9]{2})([0-9]{2})(\.[0-9]+)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?"
)
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,18})?([eE]\+?[0-9]{1,2})?")
_DOT_NET = re.compile(r"\\?/Date\((-?[0-9]{1,15})([+-][0-9]{4})?\)\\?/")
_MONTH_OR_DAY = re.compile(r"[0-9]{1,2}[/.-][0-9]{1,2}[/.-][0-9]{4}")
_RFC_3339 = re.compile(r"[0-9-]{10}[Tt][0-9:]{8}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})")
_WEEK_OR_ORDINAL = re.compile(r"([0-9]{4})-?(?:W([0-9]{2})-?([1-7])|([0-9]{3}))([Tt ].*)")
_CHINESE = re.compile(
    r"([0-9]{4})年([0-9]{1,2})月([0-9]{1,2})[日号](?: ?([0-9]{1,2})[:时点]([0-9]{1,2})(?:[:分]([0-9]{1,2})?)?秒?)? ?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_LEAP_SECOND = re.compile(r"(.{16}):60(\.[0-9]+)?(.*)", re.DOTALL)


class Repair(NamedTuple):
    """Something that is put right: how it is known, what takes its place, and what is wrong, in words."""

    wrong: re.Pattern[str]
    right: str
    what: str


#: Done one after another.
_REPAIRS = (
    Repair(re.compile(r"\[[A-Za-z_/+-]{1,40}\]$"), "", "it names a time zone in brackets"),
    Repair(re.compile(r" m=[+-][0-9.]+$"), "", "it ends in Go's monotonic clock"),
    Repair(re.compile(r"^([^+]{19,29}?) ?(?:GMT|UTC)$"), r"\1Z", "it has a zone's name for the Z"),
    Repair(re.compile(r" (?![AP]M)[A-Z]{2,5}$"), "", "it ends in a zone's name"),
    Repair(re.compile(r"^([0-9]{4})/([0-9]{2})/([0-9]{2})"), r"\1-\2-\3", "it has slashes in the date"),
    Repair(re.compile(r"^([0-9]{4}-[0-9]{2}-[0-9]{2}) +"), r"\1T", "it has a blank for the T"),
    Repair(re.compile(r"^([^ ]{19,29}) (?=[Zz+-])"), r"\1", "it has a blank before the offset"),
    Repair(re.compile(r"(:[0-9]{2}),([0-9])"), r"\1.\2", "it has a comma for the point"),
    Repair(re.compile(r"(:[0-9]{2}:[0-9]{2}):([0-9])"), r"\1.\2", "it has a colon for the point"),
    Repair(re.compile(r"([+-][0-9]{2})([0-9]{2})$"), r"\1:\2", "its offset has no colon"),
    Repair(re.compile(r"(:[0-9]{2}(?:\.[0-9]+)?[+-][0-9]{2})$"), r"\1:00", "its offset has no minutes"),
    Repair(re.compile(r"(T[0-9]{2}:[0-9]{2})(?=[Zz+-]|$)"), r"\1:00", "it has no seconds"),
    Repair(re.compile(r"(:[0-9]{2})\.(?=[Zz+-]|$)"), r"\1", "it has a point and no fraction"),
)
_NO_OFFSET = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?")


class InstantHint(NamedTuple):
    """What is wrong with an instant, in words, and the right text where that is known, without its offset or with."""

    what: str
    right: str | None = None


def _text_of(microseconds: int | Decimal) -> str:
    moment = _EPOCH + timedelta(microseconds=int(microseconds))
    spec = "microseconds" if moment.microsecond % 1000 else "milliseconds" if moment.microsecond else "seconds"
    text = moment.isoformat(timespec=spec)
    return text.replace("+00:00", "Z")


def _counted(literal: str) -> InstantHint | None:
    """A number of seconds or finer units since 1970, or of .NET's ticks since the year 1."""
    value = hinted_number(literal)
    if value is None:
        return None
    for what, microseconds in _SINCE_1970:
        since = value * microseconds
        if _EARLIEST_S * 10**6 <= since < _LATEST_S * 10**6:
            return InstantHint(what, _text_of(since))
    since = (value - _TICKS_OF_1970).scaleb(-1)
    if _EARLIEST_S * 10**6 <= since < _LATEST_S * 10**6:
        return InstantHint("it is a number of .NET ticks", _text_of(since))
    return None


def _of_parts(value: list[Any] | Mapping[str, Any]) -> InstantHint | None:
    """Java's date-times and instants as arrays; those of protobuf and Java as objects."""
    if isinstance(value, list):
        numbers = [as_number(part) for part in value[:8]]
        if len(numbers) == 2 and numbers[0] is not None:
            counted = _counted(numbers[0])
            return None if counted is None else InstantHint("it is an array of seconds and nanoseconds", counted.right)
        if 5 <= len(numbers) <= 7 and None not in numbers:
            return InstantHint("it is Java's array of a date-time, which has no offset: write dates as text")
        return None
    seconds = next((value[name] for name in ("seconds", "epochSecond", "$date", "_seconds") if name in value), None)
    number = as_number(seconds)
    counted = None if number is None else _counted(number)
    return None if counted is None else InstantHint("it is an object with a number of seconds", counted.right)


def _named(text: str) -> InstantHint | None:
    match = _NAMED.fullmatch(text)
    if match is None:
        return None
    name = (match[2] or match[4]).lower()
    if name not in _MONTHS.split():
        return None
    month = _MONTHS.index(name) // 4 + 1
    day, year, offset = match[1] or match[5], match[3] or match[6], match[8] or "Z"
    if len(offset) == 5:
        offset = f"{offset[:3]}:{offset[3:]}"
    return InstantHint("it is written for people", f"{year}-{month:02d}-{int(day):02d}T{match[7]}{offset}")


def _compact(text: str) -> InstantHint | None:
    match = _COMPACT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    if offset is not None and len(offset) == 5:
        offset = f"{offset[:3]}:{offset[3:]}"
    right = f"{year}-{month}-{day}T{hour}:{minute}:{second}{fraction or ''}{offset or ''}"
    return InstantHint("it has no hyphens and colons", right)


def _repaired(text: str) -> InstantHint | None:
    found = []
    for repair in _REPAIRS:
        text, count = repair.wrong.subn(repair.right, text, count=1)
        found += [repair.what] * count
    if not found and not _NO_OFFSET.fullmatch(text):
        return None
    return InstantHint(", ".join(found), text)


def _leap_second(text: str) -> InstantHint | None:
    match = _LEAP_SECOND.fullmatch(text)
    right = None if match is None else f"{match[1]}:59{match[2] or ''}{match[3]}"
    if right is None or instant_us(right) is None:
        return None
    return InstantHint("the second before it is the nearest instant", right)


def _number(text: str) -> InstantHint | None:
    return _counted(text) if _NUMBER.fullmatch(text) else None


def _dot_net(text: str) -> InstantHint | None:
    match = _DOT_NET.fullmatch(text)
    counted = None if match is None else _counted(match[1])
    return None if counted is None else InstantHint("it is .NET's date", counted.right)


def _day(text: str) -> InstantHint | None:
    return InstantHint("it is a day without a time") if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None


def _none_such(text: str) -> InstantHint | None:
    if _MONTH_OR_DAY.match(text):
        return InstantHint("which is the month cannot be told: write the year first, as in 2026-11-24T10:20:30+08:00")
    is_well_formed = len(text) <= MAX_INSTANT_CHARS and _RFC_3339.fullmatch(text) is not None
    return InstantHint("there is no such day, hour or offset") if is_well_formed else None


def _of_a_week(text: str) -> InstantHint | None:
    match = _WEEK_OR_ORDINAL.fullmatch(text)
    if match is None:
        return None
    year, week, weekday, ordinal, rest = match.groups()
    try:
        if ordinal is None:
            return InstantHint(
                "it is a date by its week", f"{date.fromisocalendar(int(year), int(week), int(weekday))}{rest}"
            )
        day = datetime.strptime(f"{year} {ordinal}", "%Y %j").date()  # noqa: DTZ007 - a day alone
    except ValueError:
        return InstantHint("there is no such day, hour or offset")
    return InstantHint("it is a date by its day of the year", f"{day}{rest}")


def _in_chinese(text: str) -> InstantHint | None:
    match = _CHINESE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second, offset = match.groups()
    if hour is None:
        return InstantHint("it is a day without a time")
    right = f"{year}-{month:0>2}-{day:0>2}T{hour:0>2}:{minute:0>2}:{second or 0:0>2}{offset or ''}"
    return InstantHint("it is written for people", right)


_READINGS = (_leap_second, _number, _dot_net, _day, _named, _compact, _in_chinese, _of_a_week, _none_such, _repaired)


@lru_cache(maxsize=1024)
def instant_meant(text: str) -> InstantHint | None:
    """What is wrong with a text that is no RFC 3339 date-time with an offset."""
    if len(text) > MAX_HINTED_CHARS:
        return None
    plain = unicodedata.normalize("NFKC", text).replace("\u2212", "-")
    if plain != text:
        return _of_wide(plain)
    stripped = text.strip()
    if stripped != text and instant_us(stripped) is not None:
        return InstantHint("it has blanks around it", stripped)
    return next((told for reading in _READINGS if (told := reading(stripped)) is not None), None)


def _of_wide(plain: str) -> InstantHint | None:
    """What a text is that has digits or signs of another width, which `plain` has not."""
    if instant_us(plain) is not None:
        return InstantHint("it has wide digits or signs", plain)
    return instant_meant(plain)


def instant_hint(value: Any) -> str | None:
    """What an instant is, and what is right."""
    told = _told(value)
    if told is not None:
        return _of_told(told)
    is_long = isinstance(value, str) and len(value) > MAX_INSTANT_CHARS
    return f"it has more than {MAX_INSTANT_CHARS} characters" if is_long else None


def _of_told(told: InstantHint) -> str | None:
    what, right = told
    if right is None:
        return what or None
    if instant_us(right) is not None:
        return f"{what}: send it as {right!r}"
    if not _NO_OFFSET.fullmatch(right) or instant_us(f"{right}Z") is None:
        is_day = instant_us(f"{right[:10]}T00:00:00Z") is not None
        return (what or None) if is_day else "there is no such day, hour or offset"
    if what:
        return f"{what}, and it has no offset: send {right + 'Z'!r} if it is UTC"
    return f"it has no offset: send {right + 'Z'!r} if it is UTC, else such as '+08:00' for the Z"


def _told(value: Any) -> InstantHint | None:
    if isinstance(value, str):
        return instant_meant(value)
    if isinstance(value, list | Mapping):
        return _of_parts(value)
    number = as_number(value)
    return None if number is None else _counted(number)


def estimated_instant_us(value: Any) -> int | None:
    """The instant of a completion as it is written, or of what it is another spelling of; without an offset, of UTC."""
    if isinstance(value, str):
        instant = instant_us(value)
        if instant is not None:
            return instant
    told = _told(value)
    if told is None or told.right is None:
        return None
    instant = instant_us(told.right)
    return instant if instant is not None else instant_us(f"{told.right}Z")
