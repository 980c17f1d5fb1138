"""Instants and billing days: RFC 3339 text to microseconds, microseconds to the day in the billing time zone."""

import re
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

#: The hour of settlement's cut, billing time zone.
CUT = time(12, 0)

MINUTE_US = 60_000_000
DAY_MS = 86_400_000
#: The calendar of everything that is computed with ends with the year 9999. What is recorded later than this instant, a
#: year before that, is refused, so that cuts, deadlines and months still have a day.
CALENDAR_END_MS = (date(9999, 1, 1) - date(1970, 1, 1)).days * DAY_MS
#: Longer texts are refused by rule: a fraction without end would make outputs and caches without end.
MAX_INSTANT_CHARS = 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_TO_MINUTE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2})")
_FROM_SECOND = re.compile(r":([0-5][0-9])(?:\.([0-9]+))?(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))")


def instant_us(text: str) -> int | None:
    """Microseconds since the epoch of an RFC 3339 date-time with an offset, of at most 64 characters; else None.

    Digits beyond the microsecond are dropped. Jobs of one stretch of time share their first sixteen characters
    and their ends, so both halves are remembered: this is read once for every job.
    """
    if len(text) > MAX_INSTANT_CHARS:
        return None
    minute, second = _minute_us(text[:16]), _second_us(text[16:])
    return None if minute is None or second is None else minute + second


def is_leap_second(text: str) -> bool:
    """Whether a text is an RFC 3339 date-time with an offset, but for being of a 61st second."""
    return text[16:19] == ":60" and instant_us(f"{text[:17]}59{text[19:]}") is not None


@lru_cache(maxsize=16_384)
def _minute_us(text: str) -> int | None:
    """`2026-11-23T10:20` as if it were UTC."""
    match = _TO_MINUTE.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(f"{match[1]}T{match[2]}:00+00:00")
    except ValueError:  # no such day or hour
        return None
    return (moment - _EPOCH) // timedelta(microseconds=1)


@lru_cache(maxsize=262_144)
def _second_us(text: str) -> int | None:
    """`:30.123+08:00`: the seconds of the minute, less the offset from UTC."""
    match = _FROM_SECOND.fullmatch(text)
    if match is None:
        return None
    seconds, fraction, sign, hours, minutes = match.groups()
    micros = int(seconds) * 1_000_000 + int((fraction or "0")[:6].ljust(6, "0"))
    offset = 0 if sign is None else (int(hours) * 60 + int(minutes)) * MINUTE_US
    return micros + offset if sign == "-" else micros - offset


class BillingDays:
    """The billing day, `YYYY-MM-DD`, of an instant in one time zone."""

    def __init__(self, time_zone: str) -> None:
        self.zone = ZoneInfo(time_zone)
        self._day_of_minute: dict[int, str] = {}
        self._cuts: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._minutes: dict[int, tuple[str, str]] = {}

    def day_of(self, instant: int) -> str:
        """The day of an instant in microseconds. The calendar's first and last day stand for what lies beyond."""
        minute = instant // MINUTE_US
        try:
            return self._day_of_minute[minute]
        except KeyError:
            return self._remember(minute)

    def _remember(self, minute: int) -> str:
        if len(self._day_of_minute) > 200_000:
            self._day_of_minute.clear()
        try:
            day = (_EPOCH + timedelta(minutes=minute)).astimezone(self.zone).date().isoformat()
        except OverflowError:
            day = (date.max if minute > 0 else date.min).isoformat()
        self._day_of_minute[minute] = day
        return day

    def start_of(self, day: date) -> datetime:
        """The instant at which a billing day begins."""
        return datetime.combine(day, time.min, tzinfo=self.zone)

    def cut_ms(self, period: str) -> int:
        """The cut of a billing period, in milliseconds: 12:00 of the day after a day or month (guide, "Settlement").

        `period` is a day, `YYYY-MM-DD`, or a month, `YYYY-MM`. The monthly hour is ours.
        """
        try:
            return self._cuts[period]
        except KeyError:
            cut = self._cuts[period] = milliseconds(datetime.combine(_after(period), CUT, tzinfo=self.zone))
            return cut

    def bounds_ms(self, period: str) -> tuple[int, int]:
        """When a billing period, a day or a month, begins and ends, in milliseconds."""
        first = date.fromisoformat(period if len(period) == 10 else f"{period}-01")
        return milliseconds(self.start_of(first)), milliseconds(self.start_of(_after(period)))

    def open_day(self, instant_ms: int) -> str:
        """The first billing day whose cut is after an instant."""
        today = date.fromisoformat(self.day_of(instant_ms * 1000))
        yesterday = (today - timedelta(days=1)).isoformat()
        return yesterday if instant_ms < self.cut_ms(yesterday) else today.isoformat()

    def text(self, instant_ms: int) -> str:
        """An instant as RFC 3339 in the billing time zone. Those of a settlement come up again and again."""
        text = self._texts.get(instant_ms)
        if text is None:
            if len(self._texts) > 20_000:
                self._texts.clear()
            text = self._texts[instant_ms] = self._text(instant_ms)
        return text

    def _text(self, instant_ms: int) -> str:
        """What is due at one cut is spread over few minutes: only the seconds are made anew."""
        minute, rest = divmod(instant_ms, 60_000)
        around = self._minutes.get(minute) or self._note(minute)
        if around is None:
            return _local(instant_ms, self.zone).isoformat(timespec="milliseconds")
        return f"{around[0]}{rest // 1000:02d}.{rest % 1000:03d}{around[1]}"

    def _note(self, minute: int) -> tuple[str, str] | None:
        """What all texts of a minute begin and end with; None where they differ by more than their seconds."""
        first, last = (_local(ms, self.zone) for ms in (minute * 60_000, minute * 60_000 + 59_999))
        if first.second or first.utcoffset() != last.utcoffset():
            return None
        if len(self._minutes) > 20_000:
            self._minutes.clear()
        text = first.isoformat(timespec="milliseconds")
        around = self._minutes[minute] = text[:17], text[23:]
        return around


def _local(instant_ms: int, zone: ZoneInfo) -> datetime:
    """An instant in a time zone; the calendar's first and last one stand for what lies beyond, as a stamp may."""
    try:
        return (_EPOCH + timedelta(milliseconds=instant_ms)).astimezone(zone)
    except OverflowError:
        return (_LAST if instant_ms > 0 else _FIRST).replace(tzinfo=zone)


def _after(period: str) -> date:
    """The day on which a period is cut: the first one after it. The calendar's last period is cut on its last day."""
    try:
        if len(period) == 10:
            return date.fromisoformat(period) + timedelta(days=1)
        first = date.fromisoformat(f"{period}-01")
        return (first + timedelta(days=32)).replace(day=1)
    except OverflowError:
        return date.max


def milliseconds(moment: datetime) -> int:
    """An aware datetime as milliseconds since the epoch, rounded down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
