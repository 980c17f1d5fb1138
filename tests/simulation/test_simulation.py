"""100,000 steps with crashes in every test run; and planted bugs, to see that it would tell."""

import pytest

from tests.simulation.run import simulate

STEPS = 25_000
SEEDS = (1, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 3, 4)))
#: What must have happened often enough in a run to prove anything.
OFTEN = {
    "daily bill": 100, "monthly bill": 10, "late line": 100, "arrears": 20, "stopped": 5, "restored": 10,
    "low_balance": 3, "refund": 20, "adjustment": 100, "overlapping": 20, "over_paid": 1, "ticket_conflict": 1,
    "mode_mid_month": 5, "effective_in_past": 20, "charge": 20, "payment_reversed": 20, "credit_note": 5,
    "already_reversed": 5, "unknown_payment": 5, "over_credited": 1, "no_such_line": 1, "unknown_contract": 5,
}  # fmt: skip


@pytest.mark.timeout(480)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_dies_nothing_is_lost_or_doubled(seed: int) -> None:
    outcome = simulate(seed, STEPS)
    assert outcome.differences == []
    assert outcome.steps >= STEPS
    assert outcome.crashes > 1000
    assert {kind: outcome.rows[kind] for kind, least in OFTEN.items() if outcome.rows[kind] < least} == {}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("forget", "priced 2 times"),
        ("partial", "journal"),
        ("top-up lost", "balance folds to"),
        ("never late", "line"),
    ],
)
def test_a_planted_bug_is_found(fault: str, words: str) -> None:
    assert [text for text in simulate(5, 1500, fault).differences if words in text]


def test_what_is_settled_twice_is_no_step() -> None:
    with pytest.raises(AssertionError):
        simulate(5, 1500, "settled twice")


def test_a_guard_that_the_journal_does_not_tell_of_is_found() -> None:
    assert [text for text in simulate(8, 3000, "guard untold").differences if "journal" in text]
