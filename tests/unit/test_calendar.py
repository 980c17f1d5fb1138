"""The calendar ends with the year 9999: what lies beyond it, or a year before, is refused at the door, in one line."""

import itertools
from collections.abc import Iterator

import pytest

from meter import topics
from meter.commands import read_command
from meter.dedupe import MemoryDedupeIndex
from meter.fold import fold
from meter.intake import Job, read_job
from meter.periods import CALENDAR_END_MS, BillingDays
from meter.records import Chunk
from meter.rejects import Code, Refusal
from meter.rules import Clock, Rules
from meter.settle import run_due
from meter.state import PartitionState
from meter.step import Step
from streams.cli.arguments import read_at, read_day, read_month, read_period
from streams.completions.redrive import Kept, prepare
from streams.completions.submit import _read
from streams.errors import SettingError
from streams.http.ingest import Item, check_items
from streams.http.problems import Problem
from streams.published.read import PartitionOffset
from streams.store.following import _moment
from tests.builders import Input, rejects_of
from tests.integration.running import value_of

LONG_AGO, NEVER = -(1 << 62), (1 << 62)
ZONES = ("Asia/Shanghai", "America/Los_Angeles", "Pacific/Kiritimati", "UTC")


async def test_each_door_of_a_simulated_meter_refuses_what_lies_beyond_the_calendar() -> None:
    rules, value = Rules(meter_id="m", clock=Clock.SIMULATED), value_of(completed_at="9999-06-01T00:00:00Z")
    with pytest.raises(Problem) as refused:
        await check_items([Item(value, [])], rules)
    assert (refused.value.status_code, refused.value.code) == (409, "in_future")
    (rejected,) = rejects_of(folded((NEVER, "9999-06-01T00:00:00Z")))
    kept = prepare(PartitionOffset(0, 0), rejected, {}, 1)
    assert isinstance(kept, Kept)
    assert "beyond the meter's calendar" in kept.reason


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("at_ms", [LONG_AGO, -1, 0, CALENDAR_END_MS, 253_402_300_799_999, 253_402_300_800_000, NEVER])
def test_any_stamp_has_a_text_a_day_and_a_period(zone: str, at_ms: int) -> None:
    days = BillingDays(zone)
    assert days.text(at_ms)
    day = days.day_of(at_ms * 1000)
    assert days.cut_ms(day) <= days.cut_ms(day[:7])
    if at_ms >= 0:
        assert days.open_day(at_ms)
    assert _moment(at_ms).tzinfo is not None


def folded(*records: tuple[int, str]) -> Step:
    """Jobs by record time and `completed_at`, on a meter whose clock is simulated."""
    rules = Rules(meter_id="m", partitions=1, clock=Clock.SIMULATED)
    step = Step(PartitionState(rules, 0), MemoryDedupeIndex())
    given = [
        Input(offset, at_ms, b"A", value_of(completed_at=completed_at), ())
        for offset, (at_ms, completed_at) in enumerate(records)
    ]
    fold(step, Chunk(topics.COMPLETED, 0, len(given), given))
    return step


def test_a_record_beyond_the_calendar_is_refused_and_takes_nothing_along() -> None:
    step = folded(
        (253_402_300_799_999, "9999-12-31T23:59:59Z"),
        (NEVER, "9999-12-31T23:59:59+08:00"),
        (1_546_300_800_000, "2019-01-01T00:00:00Z"),
    )
    assert step.tally.refused == {Code.CLOCK_AHEAD: 2}
    assert len(step.outputs.priced) == 1
    assert step.changes.position.record_time == 1_546_300_800_000
    assert step.journal_entry().not_after == CALENDAR_END_MS


def test_the_last_job_of_all_is_billed() -> None:
    step = folded((CALENDAR_END_MS, "9998-12-31T23:59:59.999+00:00"))
    assert len(step.outputs.priced) == 1
    step.state.apply(step.changes, step.dedupe)
    after = Step(step.state, MemoryDedupeIndex())
    assert run_due(after, CALENDAR_END_MS + 366 * 86_400_000 - 1, 10) == 1
    assert len(after.outputs.bills) == 1


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_at, "9999-12-31T23:59:59Z"),
        (read_at, "9999-01-02T00:00:00Z"),
        (read_day, "9999-12-31"),
        (read_day, "0001-01-01"),
        (read_period, "9999-12"),
        (read_period, "9999-12-31"),
        (read_month, "9999-12"),
    ],
)
def test_arguments_beyond_the_calendar_are_refused(read: object, text: str) -> None:
    with pytest.raises(SettingError, match="beyond the meter's calendar"):
        read(text)  # type: ignore[operator]


def test_a_line_beyond_the_calendar_is_a_bad_line() -> None:
    read = _read(value_of(completed_at="9999-12-31T23:59:59Z"))
    assert isinstance(read, Refusal)
    assert read.code is Code.IN_FUTURE
    assert isinstance(_read(value_of(completed_at="9998-12-31T23:59:59Z")), Job)


DIGITS = b"9" * 5000


def with_digits() -> Iterator[bytes]:
    """Completions and commands with a number of more digits than Python reads, in each place."""
    job = {"job_id": b'"j"', "account_id": b'"A"', "region": b'"ap-tokyo"', "kinds": b'["face"]', "duration_s": b"60"}
    job["completed_at"] = b'"2026-11-23T10:20:30Z"'
    command = {"command_id": b'"c"', "type": b'"contract"', "account_id": b'"A"', "v": b"1", "mode": b'"daily"'}
    command |= {"issued_at": job["completed_at"], "effective_from": b'"2027-01-01"', "grace_hours": b"1"}
    for document in (job, command):
        for name, digits in itertools.product([*document, "more"], (DIGITS, b"-" + DIGITS, b"[" + DIGITS + b"]")):
            parts = document | {name: digits}
            yield b"{" + b", ".join(b'"%b": %b' % (key.encode(), value) for key, value in parts.items()) + b"}"


def test_a_number_of_thousands_of_digits_stops_no_reader() -> None:
    for value in (DIGITS, b"[" + DIGITS + b"]", *with_digits()):
        read = read_job(value, ())
        assert isinstance(read, Refusal) or b'"more"' in value, value.replace(DIGITS, b"9...")
        assert read_command(value).refusal is not None or b'"more"' in value, value.replace(DIGITS, b"9...")


@pytest.mark.parametrize(
    "text", ["9" * 5000 + ":1", "1:" + "9" * 5000, "1:-1", "1", "a:b", "\u0661:1", "1:1\n"], ids=range(7)
)
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="PARTITION:OFFSET"):
        PartitionOffset.read(text)


def test_a_memory_that_was_full_says_the_same_as_a_new_one() -> None:
    """Days and texts are remembered up to a bound, and then anew."""
    calendar, minute_us = BillingDays("Asia/Shanghai"), 60_000_000
    first, many = calendar.day_of(0), range(200_010)
    assert {calendar.day_of(minute * minute_us) for minute in many} == {
        BillingDays("Asia/Shanghai").day_of(minute * minute_us) for minute in (*many[::1440], many[-1])
    }
    assert calendar.day_of(0) == first
    texts = [calendar.text(ms) for ms in range(20_010)]
    assert texts[-1] == BillingDays("Asia/Shanghai").text(20_009) == "1970-01-01T08:00:20.009+08:00"
    assert calendar.text(0) == texts[0]
