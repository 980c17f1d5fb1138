"""Kafka -> batches: all outward topics, committed records only, from the positions that the store has."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from meter import topics
from streams.errors import RefusalToStartError
from streams.settings import Settings
from streams.store.decode import Published
from streams.store.positions import PROJECTED, Moved, Place
from streams.store.project import Batch

MAX_RECORDS = 20_000
#: While nothing comes in, so often it is seen whether something did, and whether to stop.
WAIT_MS = 250
#: How long a fetch waits at the broker; meanwhile other partitions' records wait too, as their fetch comes after it.
FETCH_WAIT_MS = 50


class Follower:
    """Reads on from positions, and says what moved. The store may be behind it by the batches that it gave."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, partitions: int) -> None:
        self._consumer = consumer
        self._places = {
            TopicPartition(settings.topic(topic), partition): (topic, partition)
            for topic in PROJECTED
            for partition in range(partitions)
        }
        self._at: dict[Place, int] = {}

    async def bounds(self) -> tuple[dict[Place, int], dict[Place, int]]:
        """Where each log starts, and where its committed part ends."""
        starts = await self._consumer.beginning_offsets(list(self._places))
        ends = await self._consumer.end_offsets(list(self._places))
        return self._by_place(starts), self._by_place(ends)

    def _by_place(self, offsets: Mapping[TopicPartition, int]) -> dict[Place, int]:
        return {self._places[tp]: offset for tp, offset in offsets.items()}

    def seek(self, positions: Mapping[Place, int]) -> None:
        """Read on from here."""
        self._consumer.assign(list(self._places))
        self._at = dict(positions)
        for tp, place in self._places.items():
            self._consumer.seek(tp, positions[place])

    async def next(self) -> Batch:
        """What came in, once something did, else after a moment an empty batch with the positions looked at."""
        try:
            found = await self._consumer.getmany(timeout_ms=WAIT_MS, max_records=MAX_RECORDS)
        except OffsetOutOfRangeError as error:
            raise expired(str(error)) from error
        moves = []
        records: dict[str, list[Published]] = defaultdict(list)
        for tp, place in self._places.items():
            position = await self._consumer.position(tp)
            batch = found.get(tp, ())
            moves.append(self._moved(tp, place, position, batch[-1].timestamp if batch else None))
            records[place[0]] += [Published(tp.partition, r.offset, r.key, r.value, r.timestamp) for r in batch]
            self._at[place] = position
        return Batch(moves, records)

    def _moved(self, tp: TopicPartition, place: Place, position: int, timestamp: int | None) -> Moved:
        stable = self._consumer.last_stable_offset(tp)
        polled_ms = self._consumer.last_poll_timestamp(tp)
        return Moved(
            place,
            self._at[place],
            position,
            None if stable is None else max(position, stable),
            None if timestamp is None else _moment(timestamp),
            None if polled_ms is None else _moment(polled_ms),
        )


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def expired(what: str) -> RefusalToStartError:
    """The line for a log that does not reach back to the store's positions."""
    return RefusalToStartError(
        f"{what}: records that were never projected are gone. `meter projector rebuild` reads again what is left"
    )


def check_bounds(
    positions: Mapping[Place, tuple[int, int]], starts: Mapping[Place, int], ends: Mapping[Place, int]
) -> None:
    """See that the logs are those that the positions are of. Raises RefusalToStartError."""
    for place, (_, position) in sorted(positions.items()):
        if place not in starts:
            raise RefusalToStartError(
                f"the store has a position of {place[0]}[{place[1]}], which is no partition of this meter"
            )
        if starts[place] > position:
            raise expired(f"{place[0]}[{place[1]}] starts at {starts[place]} now, and the store is at {position}")
        if ends[place] < position:
            raise RefusalToStartError(
                f"{place[0]}[{place[1]}] ends at {ends[place]}, and the store is at {position}: the topic was made "
                "anew. `meter projector rebuild` reads it from its start"
            )


def check_whole(starts: Mapping[Place, int], places: Iterable[Place]) -> None:
    """See that the ledger is there from its start: balances are folds of all of it. Raises RefusalToStartError."""
    for place in sorted(places):
        if place[0] == topics.LEDGER and starts[place] > 0:
            raise RefusalToStartError(
                f"{place[0]}[{place[1]}] starts at {starts[place]}: balances cannot be told without its first entries"
            )
