"""The demo as its viewer runs it: every figure that it prints is what it sent."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

from streams.demo.traffic import MISPLACED, NEW, Day

METER = Path(sys.executable).with_name("meter")


def test_the_demo_shows_the_guides_bill_a_kill_and_the_proof() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("METER_")}
    ended = subprocess.run(
        [METER, "demo", "--seed", "7"], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (ended.returncode, "WRONG" in ended.stdout) == (0, False), ended.stdout + ended.stderr
    for part in ("60    16.80", "kill -9", "starlight-video", "unknown_region", "conflict", "verify: no difference"):
        assert part in ended.stdout


def test_a_seed_gives_the_same_day_with_all_kinds_of_trouble_in_it() -> None:
    day, again = list(Day(3, 20_000, 8)), list(Day(3, 20_000, 8))
    assert day == again
    assert list(Day(4, 100, 8)) != day[:100]
    codes = {"not_json", "bad_fields", "unknown_kind", "unknown_region", "bad_duration", "no_offset"}
    assert {sent.outcome for sent in day} >= codes | {NEW, MISPLACED, "sent again", "conflict", "too_old", "in_future"}
    assert all(before.at_ms <= after.at_ms for before, after in itertools.pairwise(day))
