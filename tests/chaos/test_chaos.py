"""The short form of `make chaos`, in every test run."""

from pathlib import Path

import pytest

from tests.chaos.__main__ import chaos
from tests.chaos.plan import Plan

SEED = 20_231_119


@pytest.mark.timeout(400)
def test_short_chaos(tmp_path: Path) -> None:
    assert chaos(Plan.short(SEED), tmp_path, print) == []
