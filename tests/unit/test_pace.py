"""Settlement goes on whatever a slice of it has cost: nothing that was measured once keeps it waiting for ever."""

import pytest

from streams.engine import due
from streams.engine.due import Pace
from streams.engine.limits import Limits
from tests.owning import TurnedClock

LIMITS = Limits()


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def pace(clock: TurnedClock) -> Pace:
    return Pace(clock, LIMITS)


def test_a_few_slow_actions_do_not_end_settlement(clock: TurnedClock, pace: Pace) -> None:
    pace.spent(5, 0.1)  # as when the garbage collector, or another process, comes in between
    clock.now_s += 10
    assert pace.allowance() == LIMITS.least_actions


def test_a_process_that_was_stopped_for_an_hour_within_a_slice_settles_again_within_seconds(
    clock: TurnedClock, pace: Pace
) -> None:
    pace.spent(100, 3_600.0)
    clock.now_s += 4
    assert pace.allowance() >= LIMITS.least_actions


def test_the_pace_is_found_again_once_actions_are_quick(clock: TurnedClock, pace: Pace) -> None:
    before = pace.allowance()
    pace.spent(5, 0.1)
    for _ in range(60):
        clock.now_s += 1
        done = pace.allowance()
        pace.spent(done, done * due.ACTION_S)
    clock.now_s += 1
    assert pace.allowance() >= 0.9 * before


def test_actions_that_stay_slow_leave_completions_their_time(clock: TurnedClock, pace: Pace) -> None:
    spent_s, began_s = 0.0, clock.now_s
    while clock.now_s - began_s < 60:
        clock.now_s += 0.03
        if done := pace.allowance():
            pace.spent(done, done * 0.005)
            spent_s += done * 0.005
            clock.now_s += done * 0.005
    assert 0 < spent_s <= 60 * due.MOST_SHARE + LIMITS.slice_s * 10


def settled_in(clock: TurnedClock, pace: Pace, seconds: float, wait_s: float) -> float:
    """The part of some time that slices took, where completions wait so long in each step."""
    spent_s, began_s = 0.0, clock.now_s
    while clock.now_s - began_s < seconds:
        clock.now_s += 0.01
        if done := pace.allowance():
            pace.spent(done, done * due.ACTION_S)
            spent_s += done * due.ACTION_S
            pace.waited(wait_s)
    return spent_s / seconds


def test_settlement_gives_way_to_completions_that_wait_but_never_ends(clock: TurnedClock, pace: Pace) -> None:
    settled_in(clock, pace, 5, 2 * due.WAIT_S)
    assert settled_in(clock, pace, 5, 2 * due.WAIT_S) == pytest.approx(due.LEAST_SHARE, rel=0.1)


def test_settlement_takes_the_time_that_completions_leave(clock: TurnedClock, pace: Pace) -> None:
    settled_in(clock, pace, 5, due.WAIT_S / 2)
    assert settled_in(clock, pace, 5, due.WAIT_S / 2) == pytest.approx(due.MOST_SHARE, rel=0.1)


def test_a_slice_is_done_in_blocks_that_come_to_all_of_it(pace: Pace) -> None:
    block = LIMITS.block_actions
    assert list(pace.blocks(0)) == []
    assert list(pace.blocks(2 * block + 1)) == [block, block, 1]
