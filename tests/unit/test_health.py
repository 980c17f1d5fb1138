"""What a worker says of itself: ready where everything it was given is open, healthy unless a restart is due."""

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from meter import topics
from streams.engine.assignment import Assignment
from streams.engine.clocks import Movement
from streams.engine.health import STUCK_STALLS, WorkerHealth
from streams.engine.inputs import InputEnd
from streams.settings import Settings
from tests.owning import TurnedClock

SETTINGS = Settings(bootstrap_servers="a:1", stalled_after_s=60)


class Worker:
    """A worker's partitions, as far as its health asks for them, and the ends of their inputs."""

    def __init__(self) -> None:
        self.clock = TurnedClock()
        self.assignment = Assignment(SETTINGS, self.clock)
        self.open: dict[int, Any] = {}
        self.opening: dict[int, Movement] = {}
        self.ends: dict[TP, InputEnd] = {}
        self.health = WorkerHealth(SETTINGS, self, self, self.clock)

    def input_end(self, tp: TP) -> InputEnd | None:
        return self.ends.get(tp)

    def give(self, *partitions: int) -> None:
        self.assignment.give({TP(topic, p) for topic in topics.INPUTS for p in partitions}, 1, ())

    def is_open(self, partition: int, *, should_move: bool = True, moved_s: float = 0.0) -> None:
        folded = dict.fromkeys(topics.INPUTS, 0)
        moved = self.opened(moved_s)
        self.open[partition] = SimpleNamespace(progress=moved, should_move=should_move, folded=lambda: folded)

    def opened(self, ago_s: float) -> Movement:
        progress = Movement(self.clock)
        progress.last_s -= ago_s
        return progress


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_a_worker_is_ready_once_everything_it_was_given_is_open(worker: Worker) -> None:
    assert worker.health.state() == "joining"
    worker.give()
    assert worker.health.state() == "standby"  # more workers than partitions
    worker.give(0, 1)
    worker.is_open(0)
    worker.opening[1] = worker.opened(0)
    assert worker.health.state() == "opening"
    worker.is_open(1)
    assert worker.health.state() == "open"


def test_one_stuck_partition_among_moving_ones_makes_the_worker_unhealthy(worker: Worker) -> None:
    long = STUCK_STALLS * SETTINGS.stalled_after_s + 1
    worker.is_open(0)
    worker.is_open(1, moved_s=long)
    assert worker.health.stuck() == [1]
    worker.is_open(1, moved_s=long - 5)
    assert worker.health.stuck() == []
    worker.is_open(1, moved_s=long, should_move=False)  # idle, or it waits for a reason
    assert worker.health.stuck() == []
    worker.opening[2] = worker.opened(long)
    assert worker.health.stuck() == [2]


def test_a_partition_is_stalled_that_has_lag_or_is_being_opened_and_does_not_move(worker: Worker) -> None:
    long = SETTINGS.stalled_after_s + 1
    for partition in range(2):
        worker.is_open(partition, moved_s=long)
    assert worker.health.stalled() == []
    worker.ends[TP(topics.COMPLETED, 1)] = InputEnd(5, 0.0, 7)
    assert worker.health.lags() == {(topics.COMPLETED, 1): 7}
    assert worker.health.stalled() == [1]
    worker.opening[2] = worker.opened(long)
    assert worker.health.stalled() == [1, 2]


def test_a_partition_is_stalled_while_an_open_transaction_holds_an_input_and_it_is_this_workers(worker: Worker) -> None:
    worker.is_open(0)
    for seen_at in (0.0, SETTINGS.stalled_after_s + 1):
        worker.ends[TP(topics.COMMANDS, 0)] = InputEnd(5, seen_at, 7)
        worker.health.look_for_held()
    assert [held.position for held in worker.health.held()] == [5]
    assert worker.health.stalled() == [0]
    del worker.open[0]
    assert worker.health.stalled() == []
