"""Kafka -> records: a partition from its start to its last stable offset, committed records only."""

import json
import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from tests.recount.compare import Published
from tests.recount.count import COMMANDS, COMPLETED, REROUTED, Record

Row = dict[str, Any]
PATIENCE_S = 120  # long enough for a broker to restart


class Log:
    """The topics of one meter. `prefix` stands before every name on the broker, and not in what is read."""

    def __init__(self, bootstrap_servers: str, prefix: str = "", isolation: str = "read_committed") -> None:
        self.prefix = prefix
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "recount",  # never joined: partitions are assigned by hand, nothing is committed
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        # Asked for one by one, each topic costs a second: the client waits for the next turn of its own refresh.
        self._consumer.list_topics(timeout=PATIENCE_S)

    def close(self) -> None:
        self._consumer.close()

    def partitions(self) -> int:
        name = self.prefix + COMPLETED
        return len(self._consumer.list_topics(name, timeout=30).topics[name].partitions)

    def records(self, topic: str, partition: int, start: int = OFFSET_BEGINNING) -> Iterator[Record]:
        """What the partition holds now, in order; it ends at the end."""
        self._consumer.assign([TopicPartition(self.prefix + topic, partition, start)])
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for message in self._consumer.consume(5_000, timeout=0.02):
                deadline = time.monotonic() + PATIENCE_S
                error = message.error()
                if error is None:
                    yield Record(
                        topic,
                        partition,
                        message.offset(),
                        message.timestamp()[1],
                        message.value(),
                        message.key(),
                        tuple(message.headers() or ()),
                    )
                elif error.code() == KafkaError._PARTITION_EOF:
                    return
                elif error.fatal():
                    raise KafkaException(error)
        raise TimeoutError(f"{topic}[{partition}]: the broker has said nothing for {PATIENCE_S} s")

    def rows(self, topic: str, partition: int) -> Iterator[Row]:
        return (json.loads(record.value or b"null") for record in self.records(topic, partition))

    def inputs(self, partition: int) -> dict[str, list[Record]]:
        return {topic: list(self.records(topic, partition)) for topic in (COMMANDS, COMPLETED, REROUTED)}

    def published(self, partition: int) -> Published:
        return Published(
            journal=list(self.rows("meter.journal", partition)),
            priced=list(self.rows("usage.priced", partition)),
            daily=self._last_totals(partition),
            rejected=list(self.rows("usage.rejected", partition)),
            results=list(self.rows("meter.command-results", partition)),
            bills=list(self.rows("billing.bills", partition)),
            ledger=list(self.rows("billing.ledger", partition)),
            notices=list(self.rows("billing.notices", partition)),
            services=list(self.rows("account.service", partition)),
            notes=list(self.rows("billing.notes", partition)),
        )

    def _last_totals(self, partition: int) -> dict[tuple[str, str, str], Row]:
        totals: dict[tuple[str, str, str], Row] = {}
        for record in self.records("usage.daily", partition):
            account_id, region, day = json.loads(record.key or b"")
            if record.value is None:
                totals.pop((account_id, region, day), None)
            else:
                totals[account_id, region, day] = json.loads(record.value)
        return totals
