"""Golden logs: files of records, read as the recount reads Kafka and as replay reads its inputs."""

import json
import lzma
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from confluent_kafka import OFFSET_BEGINNING

from meter import topics
from meter.published import OUTPUTS
from meter.records import Record as InputRecord
from tests.builders import as_consumed
from tests.recount.count import COMPLETED, Record
from tests.recount.log import Log

LOGS = Path(__file__).parent / "logs"


class Golden(Log):
    """One kept log. Of the inputs it holds committed records only, with the gaps of the rest."""

    def __init__(self, path: Path) -> None:  # no consumer: there is no Kafka
        self.prefix = ""
        self._of: dict[tuple[str, int], list[Record]] = defaultdict(list)
        with lzma.open(path, "rt") as lines:
            for record in map(_read, lines):
                self._of[record.topic, record.partition].append(record)

    def close(self) -> None:
        pass

    def partitions(self) -> int:
        return 1 + max(partition for topic, partition in self._of if topic == COMPLETED)

    def records(self, topic: str, partition: int, start: int = OFFSET_BEGINNING) -> Iterator[Record]:
        return iter(self._of[topic, partition])

    def between(self, topic: str, partition: int, start: int, end: int) -> Sequence[InputRecord]:
        """The records of a range of positions, as replay asks for them."""
        records = self._of[topic, partition]
        low, high = (bisect_left(records, position, key=lambda record: record.offset) for position in (start, end))
        return [as_consumed(record) for record in records[low:high]]

    def latest(self, topic: str, partition: int) -> dict[bytes | None, bytes]:
        """What compaction would leave."""
        rows: dict[bytes | None, bytes | None] = {r.key: r.value for r in self._of[topic, partition]}
        return {key: value for key, value in rows.items() if value is not None}


def keep(path: Path, records: Iterable[Record]) -> None:
    """Write a golden log."""
    with lzma.open(path, "wt", preset=9) as lines:
        for r in records:
            headers = [[name, _text(value)] for name, value in r.headers]
            row = [r.topic, r.partition, r.offset, r.timestamp_ms, _text(r.key), _text(r.value), headers]
            lines.write(json.dumps(row) + "\n")


def _read(line: str) -> Record:
    topic, partition, offset, timestamp_ms, key, value, headers = json.loads(line)
    named = tuple((name, _bytes(content)) for name, content in headers)
    return Record(topic, partition, offset, timestamp_ms, _bytes(value), _bytes(key), named)


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode(errors="surrogateescape")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode(errors="surrogateescape")


#: The topics of a golden log.
KEPT = (*topics.INPUTS, topics.JOURNAL, topics.STATE, *(output.topic for output in OUTPUTS))
