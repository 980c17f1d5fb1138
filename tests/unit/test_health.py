"""What a worker says of itself: ready where everything it was given is open, healthy unless a restart is due."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from meter.rules import Rules
from streams.app import create_app
from streams.engine.owners import STUCK_STALLS, Owners
from streams.settings import Settings

SETTINGS = Settings(bootstrap_servers="a:1", stalled_after_s=60)


@pytest.fixture
async def owners() -> Owners:
    return create_app(SETTINGS, Rules(meter_id="m", partitions=2), lambda _: None).owners


def owner(*, is_open: bool = True, should_move: bool = True, moved_s: float = 0.0) -> Any:
    return SimpleNamespace(is_open=is_open, should_move=should_move, last_moved=time.monotonic() - moved_s)


async def test_a_worker_is_ready_once_everything_it_was_given_is_open(owners: Owners) -> None:
    assert owners.state() == "joining"
    owners.generation = 1
    assert owners.state() == "standby"  # more workers than partitions
    owners.assigned = {0, 1}
    owners.by_partition = {0: owner(), 1: owner(is_open=False)}
    assert owners.state() == "opening"
    owners.by_partition[1].is_open = True
    assert owners.state() == "open"


async def test_one_stuck_partition_among_moving_ones_makes_the_worker_unhealthy(owners: Owners) -> None:
    long = STUCK_STALLS * SETTINGS.stalled_after_s + 1
    owners.by_partition = {0: owner(), 1: owner(moved_s=long)}
    assert owners.stuck() == [1]
    owners.by_partition[1] = owner(moved_s=long - 5)
    assert owners.stuck() == []
    owners.by_partition[1] = owner(moved_s=long, should_move=False)  # idle, or it waits for a reason
    assert owners.stuck() == []
