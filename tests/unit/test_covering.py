"""A chunk holds the records of its positions and no others, whatever reading begins or ends between."""

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from meter.records import HoleError
from streams.engine.clients import ChunkReader
from streams.engine.limits import Limits
from streams.settings import Settings
from tests.client_internals import assignment_of, begin_without_kafka, end_without_kafka

INPUT = TP("recognition.jobs.completed", 0)
OTHER = TP("meter.commands", 0)


def records(*offsets: int) -> list[Any]:
    return [SimpleNamespace(offset=offset) for offset in offsets]


@pytest.fixture
async def reader() -> AsyncIterator[ChunkReader]:
    """As aiokafka has it when it has started; it has no Kafka."""
    made = ChunkReader(Settings(bootstrap_servers="127.0.0.1:1"), Limits())
    begin_without_kafka(made)
    yield made
    await end_without_kafka(made)


def at_once(work: Any) -> None:
    """It has ended without giving way once."""
    with pytest.raises(StopIteration):
        work.send(None)


async def test_a_seek_and_its_note_are_one(reader: ChunkReader) -> None:
    """Nothing may run between them: a fetch would hand out records of one position under another."""
    at_once(reader.read({INPUT: 7}, 1))
    assert reader.covered == {INPUT: (1, 7)}
    assert (reader.state_of(INPUT).position, reader.state_of(INPUT).paused) == (7, False)


async def test_what_is_read_on_stays_where_it_is_when_another_input_is_begun_or_ended(reader: ChunkReader) -> None:
    at_once(reader.read({INPUT: 7}, 1))
    state, assignment = reader.state_of(INPUT), assignment_of(reader)
    reader.cover(INPUT, 1, 7, 9, records(7, 8))
    at_once(reader.read({OTHER: 2}, 2))
    at_once(reader.read_no_more([OTHER]))
    assert reader.covered == {INPUT: (1, 9)}
    assert reader.state_of(INPUT) is state
    assert assignment.active
    assert [reader.state_of(tp).paused for tp in (INPUT, OTHER)] == [False, True]


async def test_a_reading_that_was_overtaken_does_not_move_the_newer_one(reader: ChunkReader) -> None:
    at_once(reader.read({INPUT: 9}, 2))
    at_once(reader.read({INPUT: 7}, 1))
    assert reader.covered == {INPUT: (2, 9)}
    assert reader.state_of(INPUT).position == 9


async def test_positions_move_on_with_the_records_that_they_cover(reader: ChunkReader) -> None:
    assert not reader.cover(INPUT, 1, 5, 5, [])
    assert reader.cover(INPUT, 1, 5, 9, records(5, 7, 8))
    assert reader.covered == {INPUT: (1, 9)}
    assert reader.cover(INPUT, 1, 9, 12, [])  # markers and aborted records alone


@pytest.mark.parametrize(
    ("start", "position", "found"),
    [(5, 9, (4, 5, 6)), (5, 9, (5, 9)), (5, 4, ()), (5, 9, (1, 2)), (5, 3, (1, 2)), (5, 5, (5,))],
)
async def test_records_of_other_positions_end_the_worker(
    reader: ChunkReader, start: int, position: int, found: tuple[int, ...]
) -> None:
    with pytest.raises(HoleError):
        reader.cover(INPUT, 1, start, position, records(*found))
    assert reader.covered == {}


async def test_when_a_fetch_was_answered_is_told_by_a_clock_that_nobody_sets(
    reader: ChunkReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(reader.read({INPUT: 7}, 1))
    assert (reader.answered_at(INPUT), reader.input_end(INPUT)) == (0.0, None)
    state = reader.state_of(INPUT)
    state.lso, state.timestamp = 9, 1  # as aiokafka does, by the wall clock, which was set back to 1970
    end = reader.input_end(INPUT)
    assert end is not None
    assert end.end == 9
    assert 0 <= time.monotonic() - end.seen_at < 5
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert reader.input_end(INPUT) == end
    await asyncio.sleep(0)
