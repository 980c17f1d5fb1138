"""The guide's own example and its price table, through the whole fold of a partition."""

import json
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from meter import topics
from meter.dedupe import MemoryDedupeIndex
from meter.fold import fold as fold_chunk
from meter.models import DayTotal, PricedJob, Rejected
from meter.records import Chunk, HoleError
from meter.rules import Rules
from meter.state import PartitionState
from meter.step import Step

RULES = Rules(meter_id="test", partitions=1)
NEW_YEAR_MS = 1_546_315_200_000  # 2019-01-01 12:00 in Shanghai


def completion(**changes: Any) -> dict[str, Any]:
    """The guide's example: user A uses one hour in mainland China on 2019-01-01."""
    fields: dict[str, Any] = {
        "job_id": "job-1",
        "account_id": "A",
        "region": "Mainland China",
        "kinds": ["face"],
        "duration_s": 3600,
        "completed_at": "2019-01-01T12:00:00+08:00",
    }
    return {**fields, **changes}


def fold(
    *values: Any,
    state: PartitionState | None = None,
    seen: MemoryDedupeIndex | None = None,
    at: int = NEW_YEAR_MS + 1000,
) -> tuple[Step, PartitionState]:
    """One committed step over some completions: dicts, or bytes as they are."""
    state = state or PartitionState(RULES, 0)
    seen = MemoryDedupeIndex() if seen is None else seen
    start = state.position.next[topics.COMPLETED]
    records = [
        SimpleNamespace(
            offset=start + n,
            timestamp=at,
            key=None,
            value=value if isinstance(value, bytes | None) else json.dumps(value).encode(),
            headers=(),
        )
        for n, value in enumerate(values)
    ]
    step = Step(state, seen)
    fold_chunk(step, Chunk(topics.COMPLETED, start, start + len(records), records))
    state.apply(step.changes, seen)
    return step, state


def test_an_hour_in_mainland_china_is_60_minutes_and_16_80_cny() -> None:
    step, state = fold(completion())
    ((_, daily),) = step.daily()
    total = DayTotal.read(daily)
    assert (total.jobs, total.minutes, total.amount, total.day) == (1, 60, "16.80", "2019-01-01")
    assert state.totals.rows["A", "Mainland China", "2019-01-01"].amount == Decimal("16.8")


@pytest.mark.parametrize(
    ("region", "minute"),
    [
        ("Mainland China", "0.28"),
        ("ap-guangzhou", "0.28"),
        ("na-siliconvalley", "0.308"),
        ("Virginia", "0.308"),
        *((name, "0.3136") for name in ("Mumbai", "Seoul", "Bangkok", "Hong Kong", "Tokyo", "Frankfurt", "Singapore")),
    ],
)
def test_the_price_table_of_the_guide(region: str, minute: str) -> None:
    step, _ = fold(completion(region=region, duration_s=60))
    priced = PricedJob.read(step.outputs.priced[0][1])
    assert (priced.minutes, priced.unit_price, priced.amount) == (1, minute, minute)


@pytest.mark.parametrize(
    ("duration", "minutes"),
    [
        (1, 1), (59, 1), (60, 1), (61, 2), ("60.001", 2), (60.0000001, 1), ("60.0000001", 1), (0.0001, 1),
        ("0.0004", 1), (3600, 60), (3600.0004, 60), (3600.0005, 61), (31_536_000, 525_600),
    ],
)  # fmt: skip
def test_a_part_of_a_minute_counts_as_a_whole_minute(duration: Any, minutes: int) -> None:
    step, _ = fold(completion(duration_s=duration))
    assert PricedJob.read(step.outputs.priced[0][1]).minutes == minutes


def test_a_job_is_charged_once_whatever_number_of_kinds_it_ran() -> None:
    kinds = ["face", "text", "speech", "opening_ending", "frame_tag"]
    step, _ = fold(completion(kinds=kinds))
    priced = PricedJob.read(step.outputs.priced[0][1])
    assert (priced.amount, priced.kinds) == ("16.80", tuple(sorted(kinds)))


def test_the_billing_day_begins_at_midnight_in_shanghai() -> None:
    step, _ = fold(
        completion(job_id="a", completed_at="2018-12-31T15:59:59.999Z"),
        completion(job_id="b", completed_at="2018-12-31T16:00:00Z"),
    )
    assert [PricedJob.read(value).day for _, value in step.outputs.priced] == ["2018-12-31", "2019-01-01"]


def test_the_same_again_is_a_duplicate_also_in_other_words() -> None:
    step, state = fold(completion(kinds=["face", "text"]), completion(kinds=["text", "face", "face"]))
    assert (step.counts.priced, step.counts.duplicate) == (1, 1)
    again, _ = fold(
        completion(kinds=["text", "face"], duration_s="3600.0", completed_at="2019-01-01T04:00:00Z"),
        state=state,
        seen=MemoryDedupeIndex(step.changes.sightings),
    )
    assert (again.counts.priced, again.counts.duplicate) == (0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"duration_s": 3601},
        {"region": "ap-tokyo"},
        {"kinds": ["text"]},
        {"completed_at": "2019-01-01T12:00:00.000001+08:00"},
    ],
)
def test_the_same_id_with_other_content_is_a_conflict(changes: dict[str, Any]) -> None:
    step, _ = fold(completion(), completion(**changes))
    rejected = Rejected.read(step.outputs.rejected[0][1])
    assert (step.counts.priced, rejected.code, rejected.job_id) == (1, "conflict", "job-1")
    assert rejected.amount_at_risk is not None


def test_a_job_recorded_before_its_end_is_remembered_until_it_is_too_old() -> None:
    early = completion(completed_at="2019-01-01T12:05:00+08:00")
    step, state = fold(early)
    again, _ = fold(
        early, state=state, seen=MemoryDedupeIndex(step.changes.sightings), at=NEW_YEAR_MS + RULES.horizon_ms + 300_000
    )
    assert (again.counts.priced, again.counts.duplicate) == (0, 1)


def test_an_id_may_come_again_after_the_horizon() -> None:
    step, state = fold(completion())
    later = RULES.remember_ms + 2000
    again, _ = fold(
        completion(completed_at="2019-02-05T12:00:00+08:00"),
        state=state,
        seen=MemoryDedupeIndex(step.changes.sightings),
        at=NEW_YEAR_MS + later,
    )
    assert again.counts.priced == 1


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "not_json"),
        (b"", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[1]", "not_json"),
        (b"{" * 100, "not_json"),
        (b'{"a":NaN}', "not_json"),
        ({}, "bad_fields"),
        (completion(job_id=""), "bad_fields"),
        (completion(job_id="x" * 129), "bad_fields"),
        (completion(account_id=7), "bad_fields"),
        (completion(kinds=[]), "bad_fields"),
        (completion(kinds="face"), "bad_fields"),
        (completion(duration_s=None), "bad_fields"),
        (completion(duration_s=True), "bad_fields"),
        (completion(kinds=["face", "smell"], region="Mars"), "unknown_kind"),
        (completion(region="Mars", duration_s=0), "unknown_region"),
        (completion(duration_s=0, completed_at="yesterday"), "bad_duration"),
        (completion(duration_s=-1), "bad_duration"),
        (completion(duration_s="1e3"), "bad_duration"),
        (completion(duration_s=31_536_000.001), "bad_duration"),
        (completion(completed_at="2019-01-01T12:00:00"), "no_offset"),
        (completion(completed_at="2019-02-30T12:00:00Z"), "no_offset"),
        (completion(completed_at="2019-01-01T12:05:02+08:00"), "in_future"),
        (completion(completed_at="2018-11-27T12:00:00.999+08:00"), "too_old"),
    ],
)
def test_what_is_refused_and_in_which_order(value: Any, code: str) -> None:
    step, _ = fold(value, completion(job_id="good"))
    rejected = Rejected.read(step.outputs.rejected[0][1])
    assert (rejected.code, step.counts.priced, step.counts.rejected) == (code, 1, 1)


@pytest.mark.parametrize("at", ["2019-01-01T12:05:01+08:00", "2018-11-27T12:00:01+08:00"])
def test_just_in_time(at: str) -> None:
    step, _ = fold(completion(completed_at=at))
    assert step.counts.priced == 1


def test_a_hole_in_the_log_is_never_skipped() -> None:
    state = PartitionState(RULES, 0)
    with pytest.raises(HoleError):
        fold_chunk(Step(state, MemoryDedupeIndex()), Chunk(topics.COMPLETED, 5, 6, ()))
