"""Kafka -> batches: all outward topics, committed records only, from the positions that the store has."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from meter import topics
from meter.identity import Seal, seal
from streams.errors import RefusalToStartError
from streams.kafka.identity import identify
from streams.kafka.specs import SPECS
from streams.settings import Settings
from streams.store.decode import OutwardRecord
from streams.store.positions import PROJECTED, PartitionAdvance, Place, ProjectedPosition
from streams.store.project import Batch

MAX_RECORDS = 20_000
COMPACTED = {spec.name for spec in SPECS if spec.compact}
#: While nothing comes in, so often it is seen whether something did, and whether to stop.
WAIT_MS = 250
#: How long a fetch waits at the broker; meanwhile other partitions' records wait too, as their fetch comes after it.
FETCH_WAIT_MS = 50


class Follower:
    """Reads on from positions, and says what moved. The store may be behind it by the batches that it gave."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, partitions: int) -> None:
        self._settings = settings
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

    async def topic_ids(self) -> Mapping[str, str]:
        """The ids of the topics, now."""
        return (await identify(self._consumer, self._settings, PROJECTED)).topics

    async def prove(self, positions: Mapping[Place, ProjectedPosition]) -> None:
        """See that the last records projected are still where they were. Raises RefusalToStartError.

        Of compacted topics they may be gone, and elsewhere they may have expired.
        """
        starts, _ = await self.bounds()
        known = {
            tp: last
            for tp, place in self._places.items()
            if place[0] not in COMPACTED
            and (last := positions[place].last) is not None
            and last.offset >= starts[place]
        }
        self._consumer.assign(list(known))
        for tp, last in known.items():
            self._consumer.seek(tp, last.offset)
        while known:
            found = await self._consumer.getmany(*known, timeout_ms=WAIT_MS)
            for tp, last in list(known.items()):
                ended = await self._consumer.position(tp) >= positions[self._places[tp]].next_offset
                if tp in found or ended:
                    if tp not in found or seal(found[tp][0]) != last:
                        raise _other_log(tp, last)
                    del known[tp]

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
        records: dict[str, list[OutwardRecord]] = defaultdict(list)
        for tp, place in self._places.items():
            position = await self._consumer.position(tp)
            batch = found.get(tp, ())
            moves.append(self._moved(tp, place, position, batch[-1] if batch else None))
            records[place[0]] += [OutwardRecord(tp.partition, r.offset, r.key, r.value, r.timestamp) for r in batch]
            self._at[place] = position
        return Batch(moves, records)

    def _moved(self, tp: TopicPartition, place: Place, position: int, last: ConsumerRecord | None) -> PartitionAdvance:
        stable = self._consumer.last_stable_offset(tp)
        polled_ms = self._consumer.last_poll_timestamp(tp)
        return PartitionAdvance(
            place,
            self._at[place],
            position,
            None if stable is None else max(position, stable),
            None if last is None else _moment(last.timestamp),
            None if polled_ms is None else _moment(polled_ms),
            None if last is None else seal(last),
        )


def _moment(milliseconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):  # only a producer that gives the time itself can get there
        return datetime.max.replace(tzinfo=UTC)


def expired(what: str) -> RefusalToStartError:
    """The line for a log that does not reach back to the store's positions."""
    return RefusalToStartError(
        f"{what}: records that were never projected are gone. `meter projector rebuild` reads again what is left"
    )


def _other_log(tp: TopicPartition, last: Seal) -> RefusalToStartError:
    return RefusalToStartError(
        f"{tp.topic}[{tp.partition}] holds another record at {last.offset} than was projected: it was cut off and "
        "filled again, or restored from a backup. `meter projector rebuild` reads it from its start"
    )


def check_ids(known: Mapping[Place, ProjectedPosition], topic_ids: Mapping[str, str]) -> None:
    """See that no topic was made anew. Raises RefusalToStartError."""
    for (topic, _), position in sorted(known.items()):
        now = topic_ids.get(topic)
        if now is not None and position.topic_id not in (None, now):
            raise RefusalToStartError(
                f"{topic} was made anew: the store is of the topic with the id {position.topic_id}, this one has "
                f"{now}. `meter projector rebuild` reads it from its start"
            )


def check_bounds(
    positions: Mapping[Place, ProjectedPosition], starts: Mapping[Place, int], ends: Mapping[Place, int]
) -> None:
    """See that the logs are those that the positions are of. Raises RefusalToStartError."""
    for place, (_, position, _, _) in sorted(positions.items()):
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
