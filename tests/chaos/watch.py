"""What the log says while the workers run: how far they came, and whether a transaction is open just now."""

import json
import time
from collections.abc import Iterable
from functools import partial

from confluent_kafka import IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from tests.recount.count import COMPLETED, REROUTED
from tests.recount.log import PATIENCE_S, Log

JOURNAL = "meter.journal"
WRITTEN_IN_STEPS = (JOURNAL, "meter.state", "usage.priced")
Ends = dict[tuple[str, int], int]


class OutputWatch:
    """A reader of one meter's log, beside its workers."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._log = Log(bootstrap_servers)
        self._new_admin = partial(AdminClient, {"bootstrap.servers": bootstrap_servers, "log_level": 0})
        self._admin = self._new_admin()
        self.partitions = self._log.partitions()
        self._journal = [(JOURNAL, partition) for partition in range(self.partitions)]
        self._read = dict.fromkeys(range(self.partitions), 0)
        self._reached: Ends = {}

    def close(self) -> None:
        self._log.close()

    def open_transactions(self) -> Ends:
        """Where transactions of steps are open: (topic, partition) -> the offset that they hold back."""
        places = [(topic, p) for topic in WRITTEN_IN_STEPS for p in range(self.partitions)]
        stable = self._ends(places, IsolationLevel.READ_COMMITTED)
        last = self._ends(places, IsolationLevel.READ_UNCOMMITTED)
        return {place: stable[place] for place in places if stable[place] < last[place]}

    def progress(self) -> int:
        """A number that grows with every step that commits."""
        return self.end(JOURNAL)

    def end(self, topic: str) -> int:
        """The committed ends of a topic, added up."""
        places = [(topic, partition) for partition in range(self.partitions)]
        return sum(self._ends(places, IsolationLevel.READ_COMMITTED).values())

    def _ends(self, places: Iterable[tuple[str, int]], isolation: IsolationLevel) -> Ends:
        asked = {TopicPartition(*place): OffsetSpec.latest() for place in places}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answers = self._admin.list_offsets(asked, isolation_level=isolation, request_timeout=10)
                return {(tp.topic, tp.partition): answer.result().offset for tp, answer in answers.items()}
            except KafkaException:  # the broker is just coming back
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
                self._admin = self._new_admin()  # the old one holds on to the leader epochs that it knew

    def all_folded(self) -> bool:
        """Whether no committed record of an input is left that the journal does not cover."""
        inputs = [(topic, p) for topic in (COMPLETED, REROUTED) for p in range(self.partitions)]
        for _, partition in self._journal:
            self._follow(partition)
        return not any(self._left(topic, partition) for topic, partition in inputs)

    def _follow(self, partition: int) -> None:
        for record in self._log.records(JOURNAL, partition, self._read[partition]):
            self._read[partition] = record.offset + 1
            for part in json.loads(record.value or b"{}").get("inputs", []):
                self._reached[part["topic"], partition] = part["to"]

    def _left(self, topic: str, partition: int) -> bool:
        # Not a comparison with the end offset: what follows the last record may be markers, which nobody folds.
        return any(True for _ in self._log.records(topic, partition, self._reached.get((topic, partition), 0)))


def uncommitted(bootstrap_servers: str, topic: str) -> list[int]:
    """For each partition, how many runs of records there are that only a reader of uncommitted ones sees.

    A run is one aborted transaction where one producer at a time writes to the partition: its records follow on one
    another, and the marker that ends it takes an offset.
    """
    committed, everything = Log(bootstrap_servers), Log(bootstrap_servers, isolation="read_uncommitted")
    try:
        return [runs(committed, everything, topic, p) for p in range(everything.partitions())]
    finally:
        committed.close()
        everything.close()


def runs(committed: Log, everything: Log, topic: str, partition: int) -> int:
    seen = {record.offset for record in committed.records(topic, partition)}
    count, follows = 0, -1
    for record in everything.records(topic, partition):
        if record.offset not in seen:
            count += record.offset != follows
            follows = record.offset + 1
    return count
