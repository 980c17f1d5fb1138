"""A worker refuses to start where topics, state and log do not fit: exit code 3, and one line that says what to do."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_END, KafkaException, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic

from tests.integration.running import COMPLETED, Meter, job, until

REFUSES = 3


def refusal(meter: Meter) -> str:
    """Why a worker does not start: all that it says beside its greeting is one line."""
    worker = meter.worker()
    assert worker.ended() == REFUSES, worker.said()
    said = worker.said()
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if "[error" in line]
    return line


@pytest.fixture(scope="module")
def idle(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    """A meter that has metered nothing."""
    with Meter(kafka, tmp_path_factory.mktemp("idle")) as meter:
        yield meter.create()


@pytest.fixture
def used(kafka: str, tmp_path: Path) -> Iterator[Meter]:
    """A meter of one partition that has metered some jobs; its worker is stopped."""
    with Meter(kafka, tmp_path, partitions=1) as meter:
        worker = meter.create().open_worker()
        meter.submit(*(job() for _ in range(3)))
        assert worker.stop() == 0
        yield meter


def alter(meter: Meter, topic: str, **config: str) -> None:
    entries = [
        ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
        for name, value in config.items()
    ]
    resource = ConfigResource(ConfigResource.Type.TOPIC, meter.topic(topic), incremental_configs=entries)
    meter.administer(lambda admin: admin.incremental_alter_configs([resource]))


def make_anew(meter: Meter, topic: str) -> None:
    """Delete a topic and create it with the same configuration: what was in it is gone."""
    name = meter.topic(topic)
    resource = ConfigResource(ConfigResource.Type.TOPIC, name)
    (described,) = meter.administer(lambda admin: admin.describe_configs([resource]))
    config = {entry.name: entry.value for entry in described.values() if not entry.is_default}
    meter.administer(lambda admin: admin.delete_topics([name]))

    def created() -> bool:
        """The broker deletes in its own time, and refuses the name until it has."""
        try:
            meter.administer(lambda admin: admin.create_topics([NewTopic(name, meter.partitions, 1, config=config)]))
        except KafkaException:
            return False
        return True

    until(created, "the topic to be created again")


@pytest.mark.parametrize(
    ("topic", "name", "wrong", "right"),
    [
        (COMPLETED, "message.timestamp.type", "CreateTime", "LogAppendTime"),
        (COMPLETED, "retention.ms", "86400000", str(400 * 86_400_000)),
        ("meter.journal", "retention.ms", "86400000", "-1"),
        ("usage.rejected", "max.message.bytes", "1048588", str(5 << 20)),
        ("meter.state", "cleanup.policy", "delete", "compact"),
        ("meter.state", "segment.bytes", str(1 << 30), str(32 << 20)),
        ("usage.daily", "min.compaction.lag.ms", "86400000", "0"),
        ("billing.ledger", "unclean.leader.election.enable", "true", "false"),
        ("meter.state", "min.insync.replicas", "2", "1"),  # more than there are: nothing could be written
    ],
)
def test_a_topic_with_another_configuration(idle: Meter, topic: str, name: str, wrong: str, right: str) -> None:
    key = name.replace(".", "_")
    alter(idle, topic, **{key: wrong})
    try:
        line = refusal(idle)
        checked = idle.run("topics", "check")
    finally:
        alter(idle, topic, **{key: right})
    advice = f"kafka-configs.sh --bootstrap-server {idle.bootstrap_servers} --alter --topic {idle.topic(topic)}"
    said = f"{idle.topic(topic)}: {name} is {wrong}, it must be {right}: {advice} --add-config {name}={right}"
    assert said in line
    assert (checked.returncode, checked.stderr) == (REFUSES, f"meter: {said}\n")
    assert idle.run("topics", "check").returncode == 0


def test_a_check_shows_all_that_does_not_fit_and_one_command_for_each_topic(idle: Meter) -> None:
    wrong = {"retention_ms": "1", "unclean_leader_election_enable": "true"}
    alter(idle, "usage.priced", **wrong)
    alter(idle, "usage.daily", segment_bytes=str(1 << 30))
    try:
        done = idle.run("topics", "check")
        assert "(and 2 more: `meter topics check` shows all)" in refusal(idle)
    finally:
        alter(idle, "usage.priced", retention_ms=str(400 * 86_400_000), unclean_leader_election_enable="false")
        alter(idle, "usage.daily", segment_bytes=str(32 << 20))
    assert done.returncode == REFUSES
    assert [line.split(" is ")[0].removeprefix("meter: ") for line in done.stderr.splitlines()] == [
        f"{idle.topic('usage.priced')}: unclean.leader.election.enable",
        f"{idle.topic('usage.priced')}: retention.ms",
        f"{idle.topic('usage.daily')}: segment.bytes",
    ]
    assert (
        done.stderr.count(f"--add-config unclean.leader.election.enable=false,retention.ms={400 * 86_400_000}\n") == 2
    )


def test_no_topics(kafka: str, tmp_path: Path) -> None:
    with Meter(kafka, tmp_path) as meter:
        assert f"topic {meter.topic('meter.commands')} is missing: run `meter topics create`" in refusal(meter)


def test_another_partition_count_on_one_topic(kafka: str, tmp_path: Path) -> None:
    with Meter(kafka, tmp_path, partitions=1) as meter:
        meter.create()
        name = meter.topic("usage.priced")
        meter.administer(lambda admin: admin.create_partitions([NewPartitions(name, 2)]))
        assert f"{name} has 2 partitions, the rules say 1: a meter's partition count never changes" in refusal(meter)


def test_rules_that_differ_between_the_partitions_of_the_journal(kafka: str, tmp_path: Path) -> None:
    with Meter(kafka, tmp_path) as meter:
        rules = meter.create().rows("meter.journal")[0]
        make_anew(meter, "meter.journal")
        for partition in range(2):
            other = {**rules, "meter_id": f"meter-{partition}"}
            meter.produce("meter.journal", {"value": json.dumps(other).encode(), "partition": partition})
        assert "its partitions hold different rules records; this is not one meter's journal" in refusal(meter)


def test_a_journal_without_rules(kafka: str, tmp_path: Path) -> None:
    with Meter(kafka, tmp_path, partitions=1) as meter:
        meter.create()
        make_anew(meter, "meter.journal")
        assert "the journal holds no rules record: run `meter topics create`" in refusal(meter)


def expire(meter: Meter) -> None:
    """The log's beginning goes, a record that was not yet folded with it."""
    meter.produce(COMPLETED, {"value": json.dumps(job()).encode()})
    expire_all(meter)


def expire_all(meter: Meter) -> None:
    """The log's beginning goes, up to its end."""
    everything = TopicPartition(meter.topic(COMPLETED), 0, OFFSET_END)
    meter.administer(lambda admin: admin.delete_records([everything]))


def state_made_anew(meter: Meter) -> None:
    make_anew(meter, "meter.state")


def input_made_anew(meter: Meter) -> None:
    make_anew(meter, COMPLETED)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            expire,
            r"completed\[0\] starts at (\d+), but is folded only up to (\d+): 1 record is gone; restore what",
        ),
        (input_made_anew, r"completed was made anew: the state is of the topic with the id \S+, this one has \S+; r"),
        (state_made_anew, r"\[0\] holds records, but \S+meter.state\[0\] holds no state: restore meter.state"),
    ],
)
def test_a_log_that_does_not_fit_the_state(used: Meter, damage: Callable[[Any], None], expected: str) -> None:
    before = used.rows("usage.priced")
    damage(used)
    line = refusal(used)
    assert re.search(expected, line), line
    assert used.rows("usage.priced") == before


def test_a_log_whose_beginning_is_gone_is_unprovable(used: Meter) -> None:
    expire_all(used)
    done = used.run("verify")
    name = used.topic(COMPLETED)
    assert (done.returncode, done.stderr) == (3, f"meter: verify: unprovable: the log starts at 3 in {name}[0]\n")
