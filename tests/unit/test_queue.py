"""A partition's queues: each input has its own room, so that none keeps another from being fetched."""

import asyncio

import pytest

from meter import topics
from meter.records import Chunk
from streams.engine.inputs import InputEnd
from streams.engine.limits import Limits
from streams.engine.queues import COMMANDS_SILENCE_S, CommandsRule, InputQueues
from tests.builders import Input
from tests.owning import TurnedClock

LIMITS = Limits()
FULL = LIMITS.queue_records


def queues(commands_end: int = 0) -> InputQueues:
    rule = CommandsRule(commands_end, lambda: None, TurnedClock())
    return InputQueues(0, dict.fromkeys(topics.INPUTS, 0), rule, LIMITS)


def chunk(topic: str, count: int) -> Chunk:
    return Chunk(topic, 0, count, [Input(offset, 0, None, b"{}", ()) for offset in range(count)])


def test_completions_that_wait_leave_room_for_the_commands_that_they_wait_for() -> None:
    made = queues(commands_end=5)
    made.offer(chunk(topics.COMPLETED, FULL))
    assert not made.has_room(topics.COMPLETED)
    assert made.take() == []
    assert made.has_room(topics.COMMANDS)
    made.offer(chunk(topics.COMMANDS, 5))
    taken = made.take()
    assert [each.topic for each in taken] == [topics.COMMANDS, topics.COMPLETED]
    assert len(taken[0].records) == 5


def test_what_is_taken_makes_room() -> None:
    made = queues()
    made.offer(chunk(topics.COMPLETED, FULL))
    assert sum(len(taken.records) for taken in made.take()) == LIMITS.step_records
    assert made.has_room(topics.COMPLETED)


async def test_queues_that_are_all_full_are_waited_for() -> None:
    made = queues()
    for topic in topics.INPUTS:
        await made.wait_for_room()
        made.offer(chunk(topic, FULL))
    waiting = asyncio.ensure_future(made.wait_for_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    made.take()
    await waiting


@pytest.mark.parametrize(("silent_s", "allowed"), [(COMMANDS_SILENCE_S - 1, True), (COMMANDS_SILENCE_S, False)])
def test_completions_go_on_for_an_hour_without_the_commands_having_been_read_to_their_end(
    silent_s: float, allowed: bool
) -> None:
    clock = TurnedClock()
    ends = [InputEnd(7, clock.now_s, 7)]
    rule = CommandsRule(0, lambda: ends[-1], clock)
    assert rule.allows(7)
    ends.append(InputEnd(8, clock.now_s + 5, 8))  # another command, which does not come
    clock.now_s += silent_s
    assert rule.allows(7) is allowed
    assert rule.allows(8)
