"""A chunk holds the records of its positions and no others, whatever reading begins or ends between."""

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher
from faust.types import TP

from meter.records import HoleError
from streams.engine.consumer import ChunkThread

INPUT = TP("recognition.jobs.completed", 0)
OTHER = TP("meter.commands", 0)


def records(*offsets: int) -> list[Any]:
    return [SimpleNamespace(offset=offset) for offset in offsets]


@pytest.fixture
async def thread() -> AsyncIterator[ChunkThread]:
    """With aiokafka's own reader, which has no Kafka."""
    made = ChunkThread.__new__(ChunkThread)
    made._covered = {}
    made._reader = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    made._reader._subscription.assign_from_user(set())
    made._reader._fetcher = Fetcher(made._reader._client, made._reader._subscription)
    made._reader._fetcher._fetch_task.cancel()
    yield made
    await made._reader._fetcher.close()
    made._reader._closed = True


def at_once(work: Any) -> None:
    """It has ended without giving way once."""
    with pytest.raises(StopIteration):
        work.send(None)


async def test_a_seek_and_its_note_are_one(thread: ChunkThread) -> None:
    """Nothing may run between them: a fetch would hand out records of one position under another."""
    at_once(thread._read({INPUT: 7}, 1))
    assert thread._covered == {INPUT: (1, 7)}
    assert (thread._state(INPUT).position, thread._state(INPUT).paused) == (7, False)


async def test_what_is_read_on_stays_where_it_is_when_another_input_is_begun_or_ended(thread: ChunkThread) -> None:
    at_once(thread._read({INPUT: 7}, 1))
    state, assignment = thread._state(INPUT), thread._fetcher._subscriptions.subscription.assignment
    thread._cover(INPUT, 1, 7, 9, records(7, 8))
    at_once(thread._read({OTHER: 2}, 2))
    at_once(thread._read_no_more([OTHER]))
    assert thread._covered == {INPUT: (1, 9)}
    assert thread._state(INPUT) is state
    assert assignment.active
    assert [thread._state(tp).paused for tp in (INPUT, OTHER)] == [False, True]


async def test_a_reading_that_was_overtaken_does_not_move_the_newer_one(thread: ChunkThread) -> None:
    at_once(thread._read({INPUT: 9}, 2))
    at_once(thread._read({INPUT: 7}, 1))
    assert thread._covered == {INPUT: (2, 9)}
    assert thread._state(INPUT).position == 9


async def test_positions_move_on_with_the_records_that_they_cover(thread: ChunkThread) -> None:
    assert not thread._cover(INPUT, 1, 5, 5, [])
    assert thread._cover(INPUT, 1, 5, 9, records(5, 7, 8))
    assert thread._covered == {INPUT: (1, 9)}
    assert thread._cover(INPUT, 1, 9, 12, [])  # markers and aborted records alone


@pytest.mark.parametrize(
    ("start", "position", "found"),
    [(5, 9, (4, 5, 6)), (5, 9, (5, 9)), (5, 4, ()), (5, 9, (1, 2)), (5, 3, (1, 2)), (5, 5, (5,))],
)
async def test_records_of_other_positions_end_the_worker(
    thread: ChunkThread, start: int, position: int, found: tuple[int, ...]
) -> None:
    with pytest.raises(HoleError):
        thread._cover(INPUT, 1, start, position, records(*found))
    assert thread._covered == {}


async def test_when_a_fetch_was_answered_is_told_by_a_clock_that_nobody_sets(
    thread: ChunkThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once(thread._read({INPUT: 7}, 1))
    assert (thread.answered_at(INPUT), thread.input_end(INPUT)) == (0.0, None)
    state = thread._state(INPUT)
    state.lso, state.timestamp = 9, 1  # as aiokafka does, by the wall clock, which was set back to 1970
    end = thread.input_end(INPUT)
    assert end is not None
    assert end.end == 9
    assert 0 <= time.monotonic() - end.seen_at < 5
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert thread.input_end(INPUT) == end
    await asyncio.sleep(0)
