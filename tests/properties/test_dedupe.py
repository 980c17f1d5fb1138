"""Each job is billed once: which jobs are one, which contents are the same, and how long an id is remembered."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.dedupe import MemoryDedupeIndex, Sighting, content_digest, job_key, remembered
from streams.engine.recovery import sighting_of
from tests.builders import NOON_MS, Partition, completion

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6) | st.sampled_from(
    ["1", "11", "1:", ":1", "1:1", "12:"]
)
CONTENT: dict[str, Any] = {"region": "ap-tokyo", "kinds": '["face"]', "duration_ms": 1000, "completed_us": 5}


@settings(deadline=None)
@given(st.text("1:", min_size=2, max_size=20) | st.text(min_size=2), st.data())
def test_no_two_jobs_share_a_key(text: str, data: st.DataObject) -> None:
    """The hardest case: the same characters, parted into account and job at different places."""
    cuts = [data.draw(st.integers(1, len(text) - 1)) for _ in range(2)]
    first, second = (job_key(text[:cut], text[cut:]) for cut in cuts)
    assert (first == second) is (cuts[0] == cuts[1])


@pytest.mark.parametrize(
    "change", [{"region": "ap-seoul"}, {"kinds": '["text"]'}, {"duration_ms": 1001}, {"completed_us": 6}]
)
def test_each_field_is_part_of_the_content(change: dict[str, Any]) -> None:
    assert content_digest(**CONTENT) == content_digest(**CONTENT)
    assert content_digest(**CONTENT) != content_digest(**(CONTENT | change))


@pytest.mark.parametrize(("age_ms", "is_remembered"), [(-5, True), (0, True), (1000, True), (1001, False)])
def test_an_id_is_remembered_to_the_millisecond(age_ms: int, is_remembered: bool) -> None:
    assert remembered(Sighting(1, 50), 50 + age_ms, remember_ms=1000) is is_remembered
    assert not remembered(None, 50, remember_ms=1000)


def test_jobs_of_two_accounts_with_one_id_are_two_jobs() -> None:
    step = Partition().fold(completion(), completion(account_id="B"))
    assert step.counts.priced == 2


@settings(deadline=None)
@given(
    texts,
    texts,
    st.sampled_from(["Tokyo", "Mainland China", "na-ashburn"]),
    st.sets(st.sampled_from(["face", "text", "speech"]), min_size=1),
    st.sampled_from([1, 60, "60.0010", 60.0000001, 0.0001, "31536000"]),
    st.sampled_from(["2026-01-01T12:00:00.1234567+08:00", "2025-12-31T23:00:00-05:00", "2026-01-01t04:00:00z"]),
)
def test_the_index_learns_from_the_priced_job_what_the_fold_remembered(
    account: str, job: str, region: str, kinds: set[str], duration: Any, completed_at: str
) -> None:
    value = completion(
        account_id=account, job_id=job, region=region, kinds=list(kinds), duration_s=duration, completed_at=completed_at
    )
    step = Partition().fold(value, at=NOON_MS + 7)
    assert dict(map(sighting_of, (value for _, value in step.outputs.priced))) == step.changes.sightings


def test_a_job_that_is_seen_again_has_the_later_sighting() -> None:
    seen = MemoryDedupeIndex()
    seen.add([("a", Sighting(1, 1)), ("b", Sighting(2, 2))])
    seen.add([("a", Sighting(3, 3))])
    assert seen.find(["c", "a", "b", "a"]) == {1: Sighting(3, 3), 2: Sighting(2, 2), 3: Sighting(3, 3)}
