"""How far back the dedupe index must remember: to the input that lags most, never to the one that leads."""

from meter import topics
from meter.rules import Clock, Rules
from meter.state import PartitionState
from streams.engine.needed import SLACK_MS, NeededSince

RULES = Rules(meter_id="test", partitions=1)
DAY_MS = 86_400_000
NOW = 100 * DAY_MS


def needed(rules: Rules = RULES, *, completed: int = NOW, rerouted: int = NOW) -> tuple[PartitionState, NeededSince]:
    state = PartitionState(rules, 0)
    state.record_time = NOW
    return state, NeededSince(state, {topics.COMPLETED: completed, topics.REROUTED: rerouted})


def test_the_input_that_lags_decides() -> None:
    _, since = needed(completed=NOW - 10 * DAY_MS)
    assert since.since_ms == NOW - 10 * DAY_MS - RULES.remember_ms
    since.folded(topics.COMPLETED, NOW - 9 * DAY_MS)
    assert since.since_ms == NOW - 9 * DAY_MS - SLACK_MS - RULES.remember_ms
    since.folded(topics.COMPLETED, NOW + DAY_MS)
    assert since.since_ms == NOW - RULES.remember_ms  # now the other one


def test_an_input_at_its_end_is_as_far_as_all_that_is_folded() -> None:
    state, since = needed()
    state.record_time = NOW + 5 * DAY_MS
    since.folded(topics.COMPLETED, state.record_time)
    since.at_end(topics.REROUTED)
    assert since.since_ms == NOW + 5 * DAY_MS - SLACK_MS - RULES.remember_ms


def test_it_never_goes_back_and_commands_have_no_say() -> None:
    _, since = needed()
    before = since.since_ms
    since.folded(topics.COMPLETED, 0)
    since.folded(topics.COMMANDS, 2 * NOW)
    assert since.since_ms == before


def test_with_a_simulated_clock_everything_is_remembered() -> None:
    _, since = needed(RULES.model_copy(update={"clock": Clock.SIMULATED}))
    assert since.since_ms == 0
