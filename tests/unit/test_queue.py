"""A partition's queue: each input has its own room, so that none keeps another from being fetched."""

from collections.abc import AsyncIterator

import pytest

from meter import topics
from meter.records import Chunk
from meter.rules import Rules
from streams.engine.due import Pace
from streams.engine.held import InputEnd
from streams.engine.owner import QUEUE_RECORDS, PartitionOwner
from streams.observe.metrics import Metrics
from streams.settings import Settings
from tests.builders import Input


async def no_ends(partition: int) -> dict[str, int]:
    return {}


@pytest.fixture
async def owner() -> AsyncIterator[PartitionOwner]:
    def input_end(topic: str, partition: int) -> InputEnd | None:
        return None

    rules = Rules(meter_id="m", partitions=1)
    made = PartitionOwner(Settings(), rules, 0, {}, Metrics(), input_end, no_ends, Pace())
    made.expected = dict.fromkeys(topics.INPUTS, 0)
    made.is_open = True
    yield made
    await made._writer.stop()


def chunk(topic: str, count: int) -> Chunk:
    return Chunk(topic, 0, count, [Input(offset, 0, None, b"{}", ()) for offset in range(count)])


async def test_completions_that_wait_leave_room_for_the_commands_that_they_wait_for(owner: PartitionOwner) -> None:
    owner._commands_end = 5
    owner.offer(chunk(topics.COMPLETED, QUEUE_RECORDS))
    assert not owner.has_room(topics.COMPLETED)
    assert owner._take() == []
    assert owner.has_room(topics.COMMANDS)
    owner.offer(chunk(topics.COMMANDS, 5))
    taken = owner._take()
    assert [each.topic for each in taken] == [topics.COMMANDS, topics.COMPLETED]
    assert len(taken[0].records) == 5


async def test_what_is_taken_makes_room(owner: PartitionOwner) -> None:
    owner.offer(chunk(topics.COMPLETED, QUEUE_RECORDS))
    assert sum(len(taken.records) for taken in owner._take()) > 0
    assert owner.has_room(topics.COMPLETED)


async def test_an_owner_whose_inputs_are_all_full_is_waited_for(owner: PartitionOwner) -> None:
    owner._has_room.set()
    for topic in topics.INPUTS:
        assert owner._has_room.is_set()
        owner.offer(chunk(topic, QUEUE_RECORDS))
    assert not owner._has_room.is_set()
    owner._take()
    assert owner._has_room.is_set()
