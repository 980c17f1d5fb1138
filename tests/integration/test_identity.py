"""Identity before position: a log that is not the one that the state is of is found out, whatever its offsets are."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic

from tests.integration.running import COMPLETED, INPUTS, Meter, job, until, value_of
from tests.recount.placement import owner
from tests.store.following import RunningProjector, engine_of, reached

REFUSES = 3
HOME = owner("A", 2)
CONFIG = {"message.timestamp.type": "LogAppendTime", "cleanup.policy": "delete", "retention.bytes": "-1"}
LEDGER = "billing.ledger"
PRICED = "usage.priced"
BILLS = "billing.bills"
FOR_EVER = (INPUTS[0], LEDGER, BILLS)


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
    retention_ms = "-1" if topic in FOR_EVER else str(400 * 86_400_000)
    config = CONFIG | {"retention.ms": retention_ms, "max.message.bytes": str(5 << 20)}
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


@pytest.mark.parametrize(("topic", "line"), [(COMPLETED, "made anew|was deleted"), (LEDGER, "was made anew")])
def test_a_topic_that_is_made_anew_under_a_worker_ends_it(meter: Meter, topic: str, line: str) -> None:
    """Of an input the worker hears at once, from whoever is first: its fetch, the group, or the look at the ids."""
    worker = meter.open_worker()
    fill(meter, COMPLETED, 10)
    meter.wait_folded()
    make_anew(meter, topic)
    assert worker.ended() == REFUSES
    said = worker.said().splitlines()[-1]
    assert re.search(line, said)
    assert meter.topic(topic) in said


class TestReaders:
    """The read model and the webhooks keep positions of their own."""

    @pytest.fixture
    def projected(self, meter: Meter, tmp_path: Path) -> Iterator[RunningProjector]:
        """A projector that has all of ten jobs, and follows."""
        worker = meter.open_worker()
        fill(meter, COMPLETED, 10)
        meter.wait_folded()
        assert worker.stop() == 0
        projector = self.projector(meter, tmp_path)
        engine = engine_of(self.url(tmp_path))
        until(lambda: (tmp_path / "store").exists() and "follows" in projector.said(), "the projector to follow")
        until(lambda: sum(at for (topic, _), at in reached(engine).items() if topic == PRICED) >= 10, "all of it")
        yield projector
        engine.dispose()
        projector.kill()

    @staticmethod
    def url(tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/store"

    def projector(self, meter: Meter, tmp_path: Path) -> RunningProjector:
        return RunningProjector(meter, self.url(tmp_path), tmp_path / "projector.log")

    def test_a_topic_made_anew_is_refused(self, meter: Meter, projected: RunningProjector, tmp_path: Path) -> None:
        assert projected.stop() == 0
        make_anew(meter, PRICED)
        fill(meter, PRICED, 40)
        again = self.projector(meter, tmp_path)
        assert again.ended() == REFUSES
        assert f"{PRICED} was made anew: the store is of the topic with the id " in again.said()
        assert "meter projector rebuild" in again.said()

    def test_a_topic_made_anew_while_it_is_followed_ends_it(self, meter: Meter, projected: RunningProjector) -> None:
        make_anew(meter, LEDGER)
        assert projected.ended() == REFUSES
        assert "meter projector rebuild" in projected.said()

    def test_a_log_that_was_cut_off_and_has_grown_again_is_refused(
        self, meter: Meter, projected: RunningProjector, tmp_path: Path
    ) -> None:
        """Or the store was: it has another record where the topic has one by now."""
        assert projected.stop() == 0
        engine = engine_of(self.url(tmp_path))
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE projector_position SET last_checksum = 'x' WHERE last_offset IS NOT NULL"
            )
        engine.dispose()
        again = self.projector(meter, tmp_path)
        assert again.ended() == REFUSES
        assert "holds another record at " in again.said()

    def test_what_expired_does_no_harm(self, meter: Meter, projected: RunningProjector, tmp_path: Path) -> None:
        assert projected.stop() == 0
        at = TopicPartition(meter.topic(PRICED), HOME, 11)  # ten records, and the end of their transaction at least
        meter.administer(lambda admin: admin.delete_records([at]))
        said = projected.said().count("follows")
        again = self.projector(meter, tmp_path)
        until(lambda: again.said().count("follows") > said, "the projector to follow")
        assert again.stop() == 0

    def test_webhooks_refuse_a_topic_made_anew(self, meter: Meter, tmp_path: Path) -> None:
        with_store = {"database_url": self.url(tmp_path)}
        added = meter.run("webhooks", "add", "http://127.0.0.1:9/", **with_store)
        assert added.returncode == 0, added.stderr
        make_anew(meter, BILLS)
        fill(meter, BILLS, 3)
        run = meter.execute("webhooks", "run", **with_store)
        assert run.returncode == REFUSES
        assert f"{meter.topic(BILLS)} was made anew" in run.stderr


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
