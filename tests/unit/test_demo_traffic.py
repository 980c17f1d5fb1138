"""The day of traffic of the demo. The demo itself runs in the README, where its figures are compared."""

import itertools

from streams.demo.traffic import MISPLACED, NEW, DayOfTraffic


def test_a_seed_gives_the_same_day_with_all_kinds_of_trouble_in_it() -> None:
    day, again = list(DayOfTraffic(3, 20_000, 8)), list(DayOfTraffic(3, 20_000, 8))
    assert day == again
    assert list(DayOfTraffic(4, 100, 8)) != day[:100]
    codes = {"not_json", "bad_fields", "unknown_kind", "unknown_region", "bad_duration", "no_offset"}
    assert {sent.outcome for sent in day} >= codes | {NEW, MISPLACED, "sent again", "conflict", "too_old", "in_future"}
    assert all(before.at_ms <= after.at_ms for before, after in itertools.pairwise(day))
