"""Identity before position: a log that is not the one that the state is of is found out, whatever its offsets are."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic

from tests.integration.running import COMPLETED, INPUTS, Meter, job, until, value_of
from tests.recount.placement import owner

REFUSES = 3
HOME = owner("A", 2)
CONFIG = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete", "retention.bytes": "-1"}
LEDGER = "billing.ledger"
RETENTION = {COMPLETED: str(400 * 86_400_000), INPUTS[1]: str(400 * 86_400_000), INPUTS[0]: "-1", LEDGER: "-1"}


@pytest.fixture
def meter(kafka: str, tmp_path: Path) -> Iterator[Meter]:
    with Meter(kafka, tmp_path) as meter:
        yield meter.create()


def fill(meter: Meter, topic: str, count: int) -> None:
    """Records on the partition of account A, none of them like another."""
    values = [b"{}" if topic == INPUTS[0] else value_of() for _ in range(count)]
    meter.produce(topic, *({"value": value, "key": b"A", "partition": HOME} for value in values))


def make_anew(meter: Meter, topic: str) -> None:
    """Delete a topic and create it again, as `meter topics create` would."""
    name = meter.topic(topic)
    meter.administer(lambda admin: admin.delete_topics([name]))
    config = CONFIG | {"retention.ms": RETENTION[topic], "max.message.bytes": str(5 << 20)}
    new = NewTopic(name, meter.partitions, 1, config=config)

    def created() -> bool:
        try:
            meter.administer(lambda admin: admin.create_topics([new]))
        except Exception as error:
            if "already exists" in str(error) or "marked for deletion" in str(error):
                return False
            raise
        return True

    until(created, f"{topic} to be made anew")


@pytest.mark.parametrize("topic", INPUTS)
def test_an_input_that_was_made_anew_is_refused(meter: Meter, topic: str) -> None:
    worker = meter.open_worker()
    fill(meter, topic, 10)
    meter.wait_folded()
    assert worker.stop() == 0

    make_anew(meter, topic)
    fill(meter, topic, 40)  # more than were folded: by its offsets alone it would go on at the eleventh
    worker = meter.worker()
    assert worker.ended() == REFUSES
    expected = f"{meter.topic(topic)} was made anew: the state is of the topic with the id "
    assert expected in worker.said()
    assert "Traceback" not in worker.said()
    check = meter.run("topics", "check")
    assert (check.returncode, expected in check.stderr) == (REFUSES, True)
    for command in ("verify", "reconcile"):
        done = meter.run(command)
        assert (done.returncode, expected in done.stdout + done.stderr) == (1, True)


@pytest.mark.parametrize(("topic", "line"), [(COMPLETED, "the topic was deleted"), (LEDGER, "was made anew")])
def test_a_topic_that_is_made_anew_under_a_worker_ends_it(meter: Meter, topic: str, line: str) -> None:
    """Kafka takes the partitions of an input away from the worker as soon as it is deleted."""
    worker = meter.open_worker()
    fill(meter, COMPLETED, 10)
    meter.wait_folded()
    make_anew(meter, topic)
    assert worker.ended() == REFUSES
    assert line in worker.said()
    assert meter.topic(topic) in worker.said()


def test_what_expired_is_no_longer_proved_and_does_no_harm(meter: Meter) -> None:
    worker = meter.open_worker()
    fill(meter, COMPLETED, 10)
    meter.wait_folded()
    assert worker.stop() == 0
    at = TopicPartition(meter.topic(COMPLETED), HOME, 10)
    meter.administer(lambda admin: admin.delete_records([at]))
    meter.open_worker()
    fill(meter, COMPLETED, 5)
    meter.wait_folded()
    assert meter.counts()["priced"] == 15
    assert meter.run("topics", "check").returncode == 0


def test_aborted_and_ended_transactions_between_do_no_harm(meter: Meter) -> None:
    worker = meter.open_worker()
    fill(meter, COMPLETED, 3)
    producer = meter.producer(**{"transactional.id": f"{meter.app_id}-other"})
    producer.init_transactions(30)
    for commits in (True, False, False):
        producer.begin_transaction()
        producer.produce(meter.topic(COMPLETED), value_of(), key=b"A", partition=HOME)
        producer.flush(30)
        if commits:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    meter.wait_folded()
    assert worker.stop() == 0
    assert meter.run("topics", "check").returncode == 0
    worker = meter.open_worker()
    meter.submit(job(), job(account_id="B"))
    assert worker.stop() == 0
    meter.open_worker()
    assert meter.counts()["priced"] == 6
    meter.verified()
