"""A chunk holds the records of its positions and no others, whatever seek or rebalance comes between."""

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from meter.records import HoleError
from streams.engine.consumer import ChunkThread

INPUT = TP("recognition.jobs.completed", 0)


class Consumer:
    """As much of a consumer as covering needs: an assignment, and positions that a seek moves."""

    def __init__(self) -> None:
        self.positions: dict[Any, int] = {}
        self.rebalance()

    def rebalance(self) -> None:
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=object()))

    def seek(self, tp: Any, offset: int) -> None:
        self.positions[tp] = offset


def thread() -> ChunkThread:
    made = ChunkThread.__new__(ChunkThread)
    made._covered, made._covered_of = {}, None
    return made


def records(*offsets: int) -> list[Any]:
    return [SimpleNamespace(offset=offset) for offset in offsets]


async def test_a_seek_and_its_note_are_one() -> None:
    """Nothing may run between them: a fetch would hand out records of one position under another."""
    covering, consumer = thread(), Consumer()
    seeking = covering._seek_wait(consumer, {INPUT: 7})  # type: ignore[arg-type]
    with pytest.raises(StopIteration):  # it has ended without giving way once
        seeking.send(None)
    assert (covering._covered, covering._covered_of) == ({INPUT: 7}, consumer._subscription.subscription.assignment)
    assert list(consumer.positions.values()) == [7]


async def test_a_new_assignment_begins_with_nothing_covered() -> None:
    covering, consumer = thread(), Consumer()
    await covering._seek_wait(consumer, {INPUT: 7, TP("meter.commands", 0): 2})  # type: ignore[arg-type]
    consumer.rebalance()
    await covering._seek_wait(consumer, {INPUT: 5})  # type: ignore[arg-type]
    assert covering._covered == {INPUT: 5}


def test_positions_move_on_with_the_records_that_they_cover() -> None:
    covering = thread()
    assert not covering._cover(INPUT, 5, 5, [])
    assert covering._cover(INPUT, 5, 9, records(5, 7, 8))
    assert covering._covered == {INPUT: 9}
    assert covering._cover(INPUT, 9, 12, [])  # markers and aborted records alone


@pytest.mark.parametrize(
    ("start", "position", "found"),
    [(5, 9, (4, 5, 6)), (5, 9, (5, 9)), (5, 4, ()), (5, 9, (1, 2)), (5, 3, (1, 2))],
)
def test_records_of_other_positions_end_the_worker(start: int, position: int, found: tuple[int, ...]) -> None:
    covering = thread()
    with pytest.raises(HoleError):
        covering._cover(INPUT, start, position, records(*found))
    assert covering._covered == {}
