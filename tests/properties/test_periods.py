"""Instants and billing days: RFC 3339 to the microsecond, and days as long as their time zone makes them."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meter.models import JobCompleted
from meter.periods import MAX_INSTANT_CHARS, BillingDays, _second_us, instant_us, milliseconds
from streams.engine.table import BillingDay

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEW_YORK = "America/New_York"
#: Summer time by the hour, by half an hour, at midnight, and a calendar that left a day out.
ZONES = ["Asia/Shanghai", "UTC", NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kolkata",
         "Pacific/Apia", "America/Havana"]  # fmt: skip

instants = st.datetimes(datetime(1973, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: (moment - EPOCH) // timedelta(microseconds=1)
)


def us(*parts: int) -> int:
    return (datetime(*parts, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-01-01T12:00:00+08:00", us(2026, 1, 1, 4)),
        ("2026-01-01t04:00:00z", us(2026, 1, 1, 4)),
        ("2026-01-01T04:00:00-00:00", us(2026, 1, 1, 4)),
        ("2026-01-01T00:00:00+23:59", us(2025, 12, 31, 0, 1)),
        ("2025-12-31T23:59:59.9-23:59", us(2026, 1, 1, 23, 58, 59, 900_000)),
        ("2026-01-01T04:00:00.000001Z", us(2026, 1, 1, 4, 0, 0, 1)),
        ("2026-01-01T04:00:00.0000019Z", us(2026, 1, 1, 4, 0, 0, 1)),
        ("2026-01-01T04:00:00." + "9" * 43 + "Z", us(2026, 1, 1, 4, 0, 0, 999_999)),
        ("2024-02-29T00:00:00Z", us(2024, 2, 29)),
        ("0001-01-01T00:00:00Z", us(1, 1, 1)),
        ("9999-12-31T23:59:59Z", us(9999, 12, 31, 23, 59, 59)),
    ],
)
def test_forms_of_rfc_3339(text: str, instant: int) -> None:
    assert instant_us(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "", "2026-01-01", "2026-01-01T04:00:00", "2026-01-01T04:00Z", "2026-01-01 04:00:00Z", "2026-01-01T04:00:00+08",
        "2026-01-01T04:00:00+0800", "2026-01-01T04:00:00+24:00", "2026-01-01T04:00:00+08:60", "2026-01-01T24:00:00Z",
        "2026-01-01T04:60:00Z", "2026-01-01T04:00:60Z", "2026-01-01T23:59:60Z", "2026-02-29T04:00:00Z",
        "2026-13-01T04:00:00Z", "2026-00-01T04:00:00Z", "0000-01-01T00:00:00Z", "2026-01-01T04:00:00.Z",
        "2026-01-01T04:00:00,5Z", " 2026-01-01T04:00:00Z", "2026-01-01T04:00:00Z ", "2026-01-01T04:00:00Z\n",
        "+2026-01-01T04:00:00Z", "20260101T040000Z", "2026-W01-1T04:00:00Z", "2026-01-01T04:00:00 Z",
        "2026-01-01T04:00:00\u2212" + "08:00", "\uff12026-01-01T04:00:00Z", "2026-01-01T0\u0664:00:00Z",
        "2026-01-01T04:00:00." + "9" * 44 + "Z",
    ],
)  # fmt: skip
def test_what_is_no_rfc_3339_instant(text: str) -> None:
    assert instant_us(text) is None


def test_a_long_text_is_not_remembered() -> None:
    before = _second_us.cache_info().currsize
    assert instant_us("2026-01-01T04:00:00." + "1" * 1_000_000 + "Z") is None
    assert _second_us.cache_info().currsize == before
    schema = JobCompleted.model_json_schema()["properties"]["completed_at"]
    assert schema["maxLength"] == MAX_INSTANT_CHARS == 64


@settings(max_examples=500, deadline=None)
@given(st.datetimes(timezones=st.timezones() | st.just(UTC)), st.sampled_from("Tt"))
def test_instants_are_read_as_python_reads_them(moment: datetime, separator: str) -> None:
    offset = moment.utcoffset()
    assert offset is not None
    if offset % timedelta(minutes=1):
        moment = moment.replace(tzinfo=UTC)  # RFC 3339 has no seconds in an offset
    text = moment.isoformat(separator)
    assert instant_us(text) == (moment - EPOCH) // timedelta(microseconds=1)


def test_a_moment_is_rounded_down_to_the_millisecond() -> None:
    assert milliseconds(EPOCH + timedelta(microseconds=1999)) == 1
    assert milliseconds(EPOCH - timedelta(microseconds=1)) == -1


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-08", 23), ("2026-11-01", 25), ("2026-07-04", 24), ("2026-12-31", 24)]
)
def test_a_day_is_as_long_as_summer_time_makes_it(day: str, hours: int) -> None:
    days = BillingDays(NEW_YORK)
    first = date.fromisoformat(day)
    start, end = (milliseconds(days.start_of(d)) * 1000 for d in (first, first + timedelta(days=1)))
    assert end - start == hours * 3_600_000_000
    assert [days.day_of(instant) for instant in (start - 1, start, end - 1, end)] == [
        (first - timedelta(days=1)).isoformat(), day, day, (first + timedelta(days=1)).isoformat(),
    ]  # fmt: skip


def test_every_day_in_shanghai_has_24_hours() -> None:
    days = BillingDays("Asia/Shanghai")
    starts = [milliseconds(days.start_of(date(2026, 1, 1) + timedelta(days=n))) for n in range(800)]
    assert {b - a for a, b in pairwise(starts)} == {86_400_000}


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        (us(9999, 12, 31, 23, 59), "9999-12-31"), (10**18, "9999-12-31"), (us(1, 1, 1), "0001-01-01"),
        (-(10**18), "0001-01-01"),
    ],
)  # fmt: skip
def test_the_calendars_ends_stand_for_what_lies_beyond(instant: int, day: str) -> None:
    assert BillingDays(NEW_YORK if instant < 0 else "Asia/Shanghai").day_of(instant) == day


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(ZONES), instants)
@example(NEW_YORK, us(2026, 11, 1, 5, 30))  # an hour that comes twice
@example("America/Sao_Paulo", us(2018, 11, 4, 3))  # a day without a midnight
@example("Pacific/Apia", us(2011, 12, 30, 10))  # the day after the one that was left out
def test_the_window_of_the_table_is_the_billing_day(time_zone: str, instant: int) -> None:
    days = BillingDays(time_zone)
    window = BillingDay(days)
    seconds = instant / 1_000_000
    day = days.day_of(instant)
    start, end = window.current(seconds)
    assert start <= seconds < end
    assert window.day_of_range((start, end)) == day
    assert day == (EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(time_zone)).date().isoformat()
    assert window.ranges(seconds) == [(start, end)] == [window.earliest(seconds)]
    assert window.current(start) == (start, end)
    assert window.current(end)[0] == end
    assert window.delta(seconds, timedelta(days=3)) == window.current(seconds - 3 * 86_400)
    assert not window.stale(seconds, seconds + 10**9)


@given(
    st.sampled_from([*ZONES, "Africa/Monrovia", "Europe/Amsterdam"]),
    st.lists(st.integers(-(10**13), 4 * 10**12), max_size=5),
)
@example("Africa/Monrovia", [63_593_069_999, 63_593_070_000, 63_593_099_999])  # an offset of seconds, and its end
@example(NEW_YORK, [1_762_063_199_999, 1_762_063_200_000])  # summer time ends
def test_an_instant_is_written_as_datetime_writes_it(time_zone: str, moments: list[int]) -> None:
    days = BillingDays(time_zone)
    for ms in [near for moment in moments for near in (moment, moment + 1, moment + 59_999, moment)]:
        wanted = (EPOCH + timedelta(milliseconds=ms)).astimezone(ZoneInfo(time_zone)).isoformat(timespec="milliseconds")
        assert days.text(ms) == wanted
