"""What two revisions came to is told as shares of the read bound, and judged by their ratio."""

import pytest

from bench.compare import LATER, SLOWER, Figures, is_worse, ratios, told

BEFORE = Figures([40_000.0, 44_000.0], 100.0)


def test_both_are_told_as_shares_of_what_reading_alone_takes() -> None:
    lines = told(420_000.0, Figures([63_000.0, 63_000.0], 50.0), BEFORE, ("this tree", "abc1234"))
    assert [" ".join(line.split()) for line in lines] == [
        "read bound 420,000 events/s",
        "this tree 0.150 of it (63,000, 63,000 events/s); p99 50 ms",
        "abc1234 0.100 of it (40,000, 44,000 events/s); p99 100 ms",
        "events/s 1.50 times",
        "p99 0.50 times",
    ]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("rate", "late", "worse"),
    [(1.0, 1.0, False), (SLOWER + 0.01, LATER - 0.01, False), (SLOWER - 0.01, 1.0, True), (1.0, LATER + 0.01, True)],
)
def test_worse_is_what_is_slower_or_later_by_more_than_two_runs_differ(rate: float, late: float, worse: bool) -> None:
    now = Figures([rate * 42_000], late * 100)
    assert ratios(now, BEFORE) == pytest.approx((rate, late))
    assert is_worse(now, BEFORE) is worse
