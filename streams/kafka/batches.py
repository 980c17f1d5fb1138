"""Records into batches of a producer, each filled up to its size: for the step's writer, the API and submitting."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

#: Key, value, timestamp in milliseconds, headers.
BatchRow = tuple[bytes | None, bytes | None, int, Sequence[tuple[str, bytes | None]]]


class BatchFilling:
    """Fills one batch of one partition after the other. A batch takes its first record whatever its size."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._batch: Any = None

    def fill(self, rows: Iterable[BatchRow]) -> Iterator[Any]:
        """Add rows. Closed batches, as they get full; the last one stays open."""
        batch = self._batch
        for key, value, timestamp_ms, headers in rows:
            if batch is None or batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
                if batch is not None:
                    self._batch = None
                    batch.close()
                    yield batch
                batch = self._batch = self._producer.create_batch()
                batch.append(timestamp=timestamp_ms, key=key, value=value, headers=headers)

    def rest(self) -> Iterator[Any]:
        """The batch that is open, closed, where there is one."""
        if self._batch is not None:
            rest, self._batch = self._batch, None
            rest.close()
            yield rest


def batches_of(producer: AIOKafkaProducer, rows: Iterable[BatchRow]) -> Iterator[Any]:
    """Closed batches of the rows of one partition, in their order."""
    filling = BatchFilling(producer)
    yield from filling.fill(rows)
    yield from filling.rest()
