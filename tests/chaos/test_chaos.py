"""The short forms of chaos. That on a cluster, with customers of its own, is in every test run."""

from pathlib import Path

import pytest

from tests.chaos.__main__ import chaos, cluster_chaos, days_chaos
from tests.chaos.cluster_plan import ClusterPlan
from tests.chaos.days_runner import DaysPlan
from tests.chaos.plan import Plan

SEED = 20_231_119


@pytest.mark.long
@pytest.mark.timeout(400)
def test_short_chaos(tmp_path: Path) -> None:
    assert chaos(Plan.short(SEED), tmp_path, print) == []


@pytest.mark.long
@pytest.mark.timeout(400)
def test_short_chaos_with_settlement(tmp_path: Path) -> None:
    assert days_chaos(DaysPlan.short(SEED), tmp_path, print) == []


@pytest.mark.timeout(600)
def test_short_chaos_on_a_cluster(tmp_path: Path) -> None:
    assert cluster_chaos(ClusterPlan.short(SEED), tmp_path, print) == []
