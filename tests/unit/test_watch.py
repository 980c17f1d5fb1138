"""Silence of Kafka: what counts as an answer, whose silence it is, and that of this process itself."""

import pytest
from faust.types import TP

from streams.engine.watch import LOOK_S, Watch
from streams.errors import BrokerLostError
from streams.settings import Settings
from tests.owning import TurnedClock

SETTINGS = Settings(bootstrap_servers="a:1", session_timeout_s=10, stalled_after_s=60)
ONE, OTHER = TP("recognition.jobs.completed", 0), TP("recognition.jobs.completed", 1)


class QuietKafka:
    """A clock, and when Kafka answered what."""

    def __init__(self) -> None:
        self.clock = TurnedClock()
        self.heard = self.clock.now_s
        self.answered: dict[TP, float] = {}
        self.asked = 0

    def heard_at(self) -> float:
        return self.heard

    def answered_at(self, tp: TP) -> float:
        return self.answered.get(tp, 0.0)

    def ask(self) -> None:
        self.asked += 1


@pytest.fixture
def kafka() -> QuietKafka:
    return QuietKafka()


def passes(kafka: QuietKafka, watch: Watch, seconds: float, *fetching: TP, heard: bool = True) -> None:
    for _ in range(int(seconds / LOOK_S)):
        kafka.clock.now_s += LOOK_S
        kafka.heard = kafka.clock.now_s if heard else kafka.heard
        watch.look(kafka, fetching)


def test_any_answer_is_one_whatever_is_assigned(kafka: QuietKafka) -> None:
    """An idle worker in a row of rebalances: nothing is read, nothing moves, and heartbeats are answered."""
    passes(kafka, Watch(SETTINGS, kafka.clock), 600)
    assert kafka.asked == 0


def test_a_silent_kafka_is_asked_and_then_lost(kafka: QuietKafka) -> None:
    watch = Watch(SETTINGS, kafka.clock)
    passes(kafka, watch, 29, heard=False)
    assert kafka.asked > 0
    with pytest.raises(BrokerLostError, match="Kafka at a:1 has not answered for 30 s"):
        passes(kafka, watch, 3, heard=False)


def test_an_answer_to_what_it_was_asked_will_do(kafka: QuietKafka) -> None:
    """A join that waits for another member is no silence."""
    watch = Watch(SETTINGS, kafka.clock)
    for _ in range(10):
        passes(kafka, watch, 10, heard=False)
        passes(kafka, watch, 1)


def test_one_leader_that_is_silent_among_others_that_answer(kafka: QuietKafka) -> None:
    watch = Watch(SETTINGS, kafka.clock)

    def one_answers() -> None:
        for _ in range(200):
            kafka.answered[ONE] = kafka.clock.now_s
            passes(kafka, watch, 1, ONE, OTHER)

    with pytest.raises(BrokerLostError, match=r"leader of recognition.jobs.completed\[1\] has not answered for 60 s"):
        one_answers()
    assert kafka.clock.now_s == pytest.approx(1_060, abs=3)


def test_an_input_that_was_not_fetched_meanwhile_is_not_silent(kafka: QuietKafka) -> None:
    """Its queue was full: nobody asked for more."""
    watch = Watch(SETTINGS, kafka.clock)
    for _ in range(5):
        passes(kafka, watch, 50, ONE)
        passes(kafka, watch, 1)


def test_a_process_that_was_frozen_has_heard_nothing_and_does_not_complain(kafka: QuietKafka) -> None:
    watch = Watch(SETTINGS, kafka.clock)
    passes(kafka, watch, 5, ONE)
    kafka.clock.now_s += 3_600
    watch.look(kafka, [ONE])
    passes(kafka, watch, 20, ONE, heard=False)
