"""How often each may ask: by buckets of which there is a bounded number, and none is forgotten too early."""

import itertools

import pytest

from streams.http import limits
from streams.http.limits import Buckets
from streams.http.problems import Problem

PER_S = 10
KEPT = 50


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test moves."""
    time_s = [1_000.0]
    monkeypatch.setattr("streams.http.limits.time.monotonic", lambda: time_s[0])
    monkeypatch.setattr(limits, "MAX_KEPT", KEPT)
    return time_s


def is_refused(buckets: Buckets, name: str) -> bool:
    try:
        buckets.take(name)
    except Problem:
        return True
    return False


@pytest.mark.parametrize("pause_s", [0.0, 0.001, 0.05])
def test_whoever_has_asked_too_often_is_not_forgotten_for_the_sake_of_other_names(
    now: list[float], pause_s: float
) -> None:
    buckets, taken = Buckets(PER_S), 0
    for number in range(KEPT * 20):
        now[0] += pause_s
        is_refused(buckets, f"made up {number}")
        taken += not is_refused(buckets, "A")
        assert len(buckets) <= KEPT + 1
    assert taken <= 20 + PER_S * pause_s * KEPT * 20


def test_newcomers_have_one_limit_together_while_there_are_too_many(now: list[float]) -> None:
    buckets = Buckets(PER_S)
    for number in range(KEPT):
        assert not is_refused(buckets, f"known {number}")
    refused = [is_refused(buckets, f"made up {number}") for number in range(40)]
    assert refused == [*[False] * 20, *[True] * 20]
    assert not is_refused(buckets, "known 1")


def test_a_bucket_that_is_full_again_makes_room(now: list[float]) -> None:
    buckets = Buckets(PER_S)
    for number in itertools.count():
        assert not is_refused(buckets, f"{number}")
        now[0] += limits.BURST_S / KEPT
        if number > KEPT * 3:
            break
    assert len(buckets) <= KEPT
