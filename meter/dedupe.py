"""Each job is billed once: new, a duplicate (the same again), or a conflict (the same id with other content).

What has been seen is exact, never a filter that can be wrong about "seen": that would be lost money.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from xxhash import xxh3_64_intdigest

from meter.rules import Rules


class Sighting(NamedTuple):
    """A job that was priced: digest of its content (64 bits) and its record time in milliseconds."""

    content: int
    record_time: int


class DedupeIndex(Protocol):
    """The jobs of one partition that were priced within the horizon, by `job_key`."""

    def find(self, keys: Sequence[str]) -> Mapping[int, Sighting]:
        """Positions in `keys` of those that were seen, each with its sighting."""

    def add(self, sightings: Iterable[tuple[str, Sighting]]) -> None:
        """Remember jobs that were priced; a key that is there already is replaced."""


class MemoryDedupeIndex(dict[str, Sighting]):
    """`DedupeIndex` in memory: what replay, tests and the simulation use."""

    def find(self, keys: Sequence[str]) -> Mapping[int, Sighting]:
        """See `DedupeIndex.find`."""
        return {place: self[key] for place, key in enumerate(keys) if key in self}

    def add(self, sightings: Iterable[tuple[str, Sighting]]) -> None:
        """See `DedupeIndex.add`."""
        self.update(sightings)


def job_key(account_id: str, job_id: str) -> str:
    """One string that names a job of an account; no two jobs share one."""
    return f"{len(account_id)}:{account_id}{job_id}"


def content_digest(region: str, kinds: str, duration_ms: int, completed_us: int) -> int:
    """Digest of the normalised contract fields: what must be equal for a resend to be a duplicate."""
    return xxh3_64_intdigest(f"{region}|{kinds}|{duration_ms}|{completed_us}".encode())


def remembered(sighting: Sighting | None, record_time: int, remember_ms: int, since_ms: int = 0) -> bool:
    """Whether a sighting still counts: an id may be used again once its job could no longer be in time.

    `since_ms`: see `needed_since`.
    """
    return (
        sighting is not None and record_time - sighting.record_time <= remember_ms and sighting.record_time >= since_ms
    )


def needed_since(due_until: int, rules: Rules) -> int:
    """The record time, in ms, before which no sighting counts any more once settlement has come to `due_until`.

    A job that was completed so long ago is refused, whatever its record time is; and it was recorded no earlier than
    the tolerance before its end. So an index may drop what is older: no clock, behind or ahead, brings it back.
    """
    return max(0, rules.forgotten_ms(due_until) - rules.future_tolerance_ms)
