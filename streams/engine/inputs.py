"""What the consumer tells the owners of a partition's inputs, and neither of the two defines."""

from typing import NamedTuple

from faust.types import TP

from meter.records import Chunk


class FetchedChunk(NamedTuple):
    """A chunk on its way to the owner of its partition, with its input and the number of its reading."""

    tp: TP
    reading: int
    chunk: Chunk


class Fetched(NamedTuple):
    """All that one fetch brought: what the agent gets as one event."""

    chunks: list[FetchedChunk]


class InputEnd(NamedTuple):
    """The ends of an input as the last fetch saw them, and when, on the monotonic clock.

    `end`: of what is committed or aborted up to the first open transaction; `last`: of everything.
    """

    end: int
    seen_at: float
    last: int
