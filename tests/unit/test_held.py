"""Since when an open transaction holds an input: as long as its stable end stands below its end."""

import pytest

from meter import topics
from streams.engine.guards import remedy
from streams.engine.held import Held, HeldInputs, OpenTransaction
from streams.engine.inputs import InputEnd

INPUT = ("meter.commands", 3)


class SetClock:
    now_s = 100.0


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


def seconds(inputs: HeldInputs, clock: SetClock, end: int, last: int) -> list[float]:
    """For how long it is held, as it is seen five seconds after it was looked at last."""
    clock.now_s += 5
    inputs.look({INPUT: InputEnd(end, clock.now_s, last)})
    return [each.seconds for each in inputs.all()]


def test_an_input_is_held_while_its_stable_end_stands_below_its_end(clock: SetClock) -> None:
    inputs = HeldInputs()
    assert seconds(inputs, clock, 10, 10) == []
    assert seconds(inputs, clock, 10, 12) == [0]
    assert seconds(inputs, clock, 10, 99) == [5]
    assert seconds(inputs, clock, 20, 99) == [0]  # by another transaction
    assert seconds(inputs, clock, 99, 99) == []
    assert seconds(inputs, clock, 99, 101) == [0]


def test_an_input_of_a_partition_that_was_let_go_is_no_longer_looked_at(clock: SetClock) -> None:
    inputs = HeldInputs()
    assert seconds(inputs, clock, 10, 12) == [0]
    inputs.look({})
    assert list(inputs.all()) == []


def test_an_input_that_is_not_fetched_is_held_no_longer_than_it_was_seen(clock: SetClock) -> None:
    """There is no room for it, however long: what held it when it was seen last has long been committed."""
    inputs = HeldInputs()
    assert seconds(inputs, clock, 10, 12) == [0]
    assert seconds(inputs, clock, 10, 12) == [5]
    for _ in range(3):
        inputs.look({INPUT: InputEnd(10, clock.now_s, 12)})
        assert [each.seconds for each in inputs.all()] == [5]
    assert seconds(inputs, clock, 10, 12) == [10]


def test_what_the_meter_itself_has_left_is_not_to_be_aborted_by_hand() -> None:
    """It may be of a step that was committed."""
    sent_on, command = Held(topics.REROUTED, 3, 10, 61.0), Held(topics.COMMANDS, 3, 10, 61.0)
    found = [OpenTransaction(7, 9, 0)]
    assert "abort" not in remedy(sent_on, "recognition.jobs.rerouted", found)
    assert remedy(command, "x.meter.commands", found).endswith(
        "--topic x.meter.commands --partition 3 --start-offset 9"
    )
