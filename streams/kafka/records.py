"""What a producer may write and aiokafka cannot read: header names that are not UTF-8.

Its decoder gives up the whole batch for one, again after every restart, so that one record would stop a partition for
good. Here such a batch is read once more, with the bytes in question written as `\\xff`.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

from streams.kafka.internals import replace_bytes

_LENGTH_AT = 8
_HEAD_BYTES = 12
_MAGIC_AT = 16


class _LenientBytes(bytearray):
    """Bytes whose text never fails to decode."""

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return _LenientBytes(part) if isinstance(key, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace" if errors == "strict" else errors)


class _Batch:
    """A batch of aiokafka's, read leniently where it cannot be read as it is."""

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except (UnicodeDecodeError, CorruptRecordException):
            if self._data[_MAGIC_AT] < 2:  # has no headers
                raise
            batch = _DefaultRecordBatchPy(self._data)
            replace_bytes(batch, _LenientBytes)
            return iter(list(batch))


class LenientRecords:
    """aiokafka's MemoryRecords, with batches that can all be read."""

    def __init__(self, data: bytes) -> None:
        self._records = MemoryRecords(data)
        self._data = memoryview(data)
        self._at = 0

    def size_in_bytes(self) -> int:
        """As in aiokafka."""
        size: int = self._records.size_in_bytes()
        return size

    def has_next(self) -> bool:
        """As in aiokafka."""
        there: bool = self._records.has_next()
        return there

    def next_batch(self) -> _Batch:
        """As in aiokafka."""
        batch = self._records.next_batch()
        start = self._at
        length = int.from_bytes(self._data[start + _LENGTH_AT : start + _HEAD_BYTES], "big")
        self._at = start + _HEAD_BYTES + length
        return _Batch(batch, self._data[start : self._at])


def install() -> None:
    """Every consumer of this process reads like this."""
    fetcher.MemoryRecords = LenientRecords
