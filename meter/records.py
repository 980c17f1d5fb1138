"""Records as a partition takes them in and forwards them."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from pydantic import ValidationError

from meter.events import Headers
from meter.models import Origin

#: The header that tells where a rerouted completion first came in.
ORIGIN_HEADER = "meter-origin"

#: Rerouted records larger than this (the topic takes 4 MiB, with some of it for the batch) are refused instead.
MAX_REROUTED_BYTES = 4_100_000

#: Key and value of a record to publish.
Keyed = tuple[bytes, bytes]


class Record(Protocol):
    """A record of an input topic, as aiokafka's consumer gives it. `timestamp` is the record time in ms."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Chunk(NamedTuple):
    """Records of one input, and the positions `[start, next)` that they cover: aborted records are in none."""

    topic: str
    start: int
    next: int
    records: Sequence[Record]


class Rerouted(NamedTuple):
    """A completion on its way to the partition that owns its account."""

    partition: int
    key: bytes
    value: bytes
    timestamp: int
    headers: list[tuple[str, bytes | None]]


class HoleError(Exception):
    """The log handed over does not continue where the state ends: a bug or a broken log, never to be skipped."""


def origin_field(record: Record) -> str:
    """The `origin` field of a rerouted completion, as JSON with the comma before it; empty where it has none."""
    value = next((value for name, value in record.headers if name == ORIGIN_HEADER), None)
    try:
        return f',"origin":{Origin.model_validate_json(value or b"").model_dump_json()}'
    except ValidationError:
        return ""
