"""100,000 steps with crashes in every test run; and two planted bugs, to see that it would tell."""

import pytest

from tests.simulation.run import simulate

STEPS = 100_000
SEEDS = (1, 2, 3, 4)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_dies_nothing_is_lost_or_doubled(seed: int) -> None:
    outcome = simulate(seed, STEPS // len(SEEDS))
    assert outcome.differences == []
    assert outcome.steps >= STEPS // len(SEEDS)
    assert outcome.crashes > 1000


@pytest.mark.parametrize("fault", ["forget", "partial"])
def test_a_planted_bug_is_found(fault: str) -> None:
    assert simulate(5, 1000, fault).differences != []
