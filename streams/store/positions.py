"""How far the store is: positions that move by compare-and-set, and whose store it is."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, Connection, bindparam, func, select

from meter import topics
from meter.identity import Seal
from meter.rules import Rules
from streams.errors import Exit, MeterError, RefusalToStartError
from streams.settings import Settings
from streams.store.schema import meter_info, projector_position
from streams.store.types import Moment, Words

#: What is projected, in the order in which a batch is folded.
PROJECTED = (
    topics.COMMANDS,
    topics.COMMAND_RESULTS,
    topics.PRICED,
    topics.DAILY,
    topics.REJECTED,
    topics.BILLS,
    topics.NOTES,
    topics.LEDGER,
    topics.NOTICES,
    topics.SERVICE,
)

Place = tuple[str, int]


class ProjectedPosition(NamedTuple):
    """How far a partition is projected, where its log began when it was first read, and what proves which log it is."""

    first_offset: int
    next_offset: int
    topic_id: str | None
    last: Seal | None


class OtherProjectorError(MeterError):
    """Another projector has moved a position."""

    code = Exit.FENCED


class PartitionAdvance(NamedTuple):
    """A partition's position, from one offset to the next.

    `record_at`: the broker's time of the last record, if there was one; `end_offset` and `polled_at`: where the log
    ended and when, by the broker's last word of the partition; None where it has not told yet. `last`: the seal of the
    last record, if there was one.
    """

    place: Place
    expected: int
    next_offset: int
    end_offset: int | None
    record_at: datetime | None
    polled_at: datetime | None
    last: Seal | None = None


def claim(connection: Connection, settings: Settings, rules: Rules, now: datetime) -> None:
    """Note whose store this is. Raises RefusalToStartError where it is another meter's."""
    found = connection.execute(select(meter_info)).one_or_none()
    if found is None:
        values = {
            "id": 1,
            "meter_id": rules.meter_id,
            "topic_prefix": settings.topic_prefix,
            "rules": rules.model_dump_json(),
            "created_at": now,
        }
        connection.execute(meter_info.insert().values(values))
    elif found.meter_id != rules.meter_id:
        raise RefusalToStartError(
            f"the store holds the figures of another meter ({found.meter_id}; this is {rules.meter_id}): "
            "set METER_DATABASE_URL to another store, or empty this one by `meter projector rebuild`"
        )


def load(connection: Connection) -> dict[Place, ProjectedPosition]:
    """The position in each partition of each topic."""
    found = {}
    for row in connection.execute(select(projector_position)):
        last = None if row.last_offset is None else Seal(row.last_offset, row.last_ms, row.last_checksum)
        found[row.topic, row.partition] = ProjectedPosition(row.first_offset, row.next_offset, row.topic_id, last)
    return found


def begin(
    connection: Connection, logs: Mapping[Place, tuple[int, int]], topic_ids: Mapping[str, str], now: datetime
) -> None:
    """Positions for partitions that have none, at the start of their logs, which are known to end where they do now."""
    rows = [
        {
            "topic": topic,
            "partition": partition,
            "first_offset": start,
            "next_offset": start,
            "end_offset": end,
            "polled_at": now,
            "topic_id": topic_ids.get(topic),
        }
        for (topic, partition), (start, end) in sorted(logs.items())
    ]
    if rows:
        connection.execute(projector_position.insert(), rows)


_TABLE = projector_position.c
_MOVE = (
    projector_position.update()
    .where(
        _TABLE.topic == bindparam("the_topic"),
        _TABLE.partition == bindparam("the_partition"),
        _TABLE.next_offset == bindparam("expected"),
    )
    .values(
        next_offset=bindparam("next"),
        end_offset=func.coalesce(bindparam("end", type_=BigInteger()), _TABLE.end_offset),
        polled_at=func.coalesce(bindparam("polled", type_=Moment()), _TABLE.polled_at),
        record_at=func.coalesce(bindparam("record", type_=Moment()), _TABLE.record_at),
        last_offset=func.coalesce(bindparam("last_offset_", type_=BigInteger()), _TABLE.last_offset),
        last_ms=func.coalesce(bindparam("last_ms_", type_=BigInteger()), _TABLE.last_ms),
        last_checksum=func.coalesce(bindparam("last_checksum_", type_=Words()), _TABLE.last_checksum),
    )
)


def move(connection: Connection, moves: Iterable[PartitionAdvance]) -> None:
    """Move positions by compare-and-set, in one order. Raises OtherProjectorError where one is not as expected.

    One projector at a time: where two are at work, their batches may move different positions and still add to the same
    sums, which are read and written anew.
    """
    connection.execute(select(meter_info.c.id).with_for_update())
    for moved in sorted(moves, key=lambda moved: moved.place):
        topic, partition = moved.place
        values = {
            "the_topic": topic,
            "the_partition": partition,
            "expected": moved.expected,
            "next": moved.next_offset,
            "end": moved.end_offset,
            "polled": moved.polled_at,
            "record": moved.record_at,
            "last_offset_": None if moved.last is None else moved.last.offset,
            "last_ms_": None if moved.last is None else moved.last.timestamp,
            "last_checksum_": None if moved.last is None else moved.last.checksum,
        }
        if connection.execute(_MOVE, values).rowcount != 1:
            raise OtherProjectorError(
                f"another projector is at work on this store: {topic}[{partition}] has left {moved.expected}. "
                "Nothing of this batch was written"
            )
