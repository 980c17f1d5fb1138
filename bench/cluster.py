"""The broker of a run and what the bench asks of it: topics, committed ends, committed records."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from bench.process import cpu_s
from tests.open_kafka import OpenBroker

PARTITIONS = 8
LEADER_S = 30.0
#: librdkafka's log stays out of the figures: what goes wrong is raised, or said to a callback.
NO_LOG: dict[str, object] = {"log_level": 0}


@dataclass(frozen=True)
class Cluster:
    """A running broker, and a directory for whatever the run leaves behind."""

    bootstrap_servers: str
    work_dir: Path
    _broker: psutil.Process
    _admin: AdminClient

    def broker_cpu_s(self) -> float:
        """CPU seconds that the broker has used."""
        return cpu_s(self._broker)

    def create_topics(self, topics: Mapping[str, Mapping[str, str]]) -> None:
        """Make topics with these settings, as many partitions as the meter's. Raises KafkaException."""
        wanted = [NewTopic(name, PARTITIONS, 1, config=dict(config)) for name, config in topics.items()]
        for done in self._admin.create_topics(wanted).values():
            done.result()

    def committed_end(self, topic: str) -> int:
        """The last stable offsets of a topic, added up: its committed records and a few transaction markers.

        0 while the topic is still being made.
        """
        wanted = {TopicPartition(topic, partition): OffsetSpec.latest() for partition in range(PARTITIONS)}
        ends = self._admin.list_offsets(wanted, isolation_level=IsolationLevel.READ_COMMITTED)
        try:
            return sum(end.result().offset for end in ends.values())
        except KafkaException:
            return 0

    @contextmanager
    def reader(self, topic: str, *, from_end: bool = False) -> Iterator[Consumer]:
        """A read_committed consumer of all partitions of a topic, from its beginning or its end."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap_servers,
                "group.id": "bench-reader",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": not from_end,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 100,
                "check.crcs": False,
                **NO_LOG,
            }
        )
        parts = [TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)]
        if from_end:
            for part in parts:
                part.offset = _end_of(consumer, part)
        consumer.assign(parts)
        try:
            yield consumer
        finally:
            consumer.close()

    def committed_records(self, topic: str) -> Iterator[Message]:
        """Every committed record of a topic up to its end now."""
        with self.reader(topic) as consumer:
            open_partitions = PARTITIONS
            while open_partitions:
                for record in consumer.consume(10_000, timeout=0.2):
                    error = record.error()
                    if error is None:
                        yield record
                    elif error.code() == KafkaError._PARTITION_EOF:
                        open_partitions -= 1
                    else:
                        raise KafkaException(error)


def _end_of(consumer: Consumer, part: TopicPartition) -> int:
    """Where a partition ends. A topic that was just made has no leader for a moment."""
    deadline = time.monotonic() + LEADER_S
    while True:
        try:
            return int(consumer.get_watermark_offsets(part, timeout=10)[1])
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            consumer.poll(0.05)


def admin_client(bootstrap_servers: str) -> AdminClient:
    """A client that makes topics and asks where they end."""
    return AdminClient({"bootstrap.servers": bootstrap_servers, **NO_LOG})


@contextmanager
def run_broker(work_dir: Path) -> Iterator[Cluster]:
    """The embedded broker, as `meter broker` runs it, on a port of its own and an empty directory."""
    with OpenBroker(work_dir / "broker") as broker:
        admin = admin_client(broker.bootstrap_servers)
        yield Cluster(broker.bootstrap_servers, work_dir, psutil.Process(broker.pid), admin)
