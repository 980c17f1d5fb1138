"""How old what is shown is: how far each topic is projected, and when somebody looked."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select

from meter import topics
from streams.store.schema import projector_position


class Reached(NamedTuple):
    """How far a partition of a topic is projected.

    `lag`: positions up to the end of the log as it was at `polled_at`. `record_at`: the broker's time of the last
    record projected. `first_offset`: where the log began when it was first read; what is before it is not here.
    """

    topic: str
    partition: int
    first_offset: int
    next_offset: int
    end_offset: int
    record_at: datetime | None
    polled_at: datetime

    @property
    def lag(self) -> int:
        """Positions that are not projected yet."""
        return max(0, self.end_offset - self.next_offset)


class Freshness(NamedTuple):
    """A topic as a whole: `as_of` is the time up to which it is surely shown; None before the first look."""

    topic: str
    lag: int
    record_at: datetime | None
    as_of: datetime | None


def positions(connection: Connection) -> list[Reached]:
    """All partitions of all topics that are projected, in order."""
    table = projector_position.c
    columns = [getattr(table, name) for name in Reached._fields]
    return [Reached(*row) for row in connection.execute(select(*columns).order_by(table.topic, table.partition))]


def positions_of_commands(connection: Connection) -> dict[int, int]:
    """Up to where each partition's commands are projected."""
    table = projector_position.c
    query = select(table.partition, table.next_offset).where(table.topic == topics.COMMANDS)
    return {row.partition: row.next_offset for row in connection.execute(query)}


def freshness(connection: Connection) -> dict[str, Freshness]:
    """Topic by topic. A partition without lag is as of when it was looked at, one with lag as of its last record."""
    found: dict[str, list[Reached]] = {}
    for reached in positions(connection):
        found.setdefault(reached.topic, []).append(reached)
    return {topic: _whole(topic, rows) for topic, rows in found.items()}


def _whole(topic: str, rows: list[Reached]) -> Freshness:
    seen = [row.record_at for row in rows if row.record_at is not None]
    as_of = [_as_of(row) for row in rows]
    surely = [at for at in as_of if at is not None]
    return Freshness(
        topic,
        sum(row.lag for row in rows),
        max(seen) if seen else None,
        min(surely) if len(surely) == len(as_of) else None,
    )


def _as_of(row: Reached) -> datetime | None:
    return row.record_at if row.lag else row.polled_at


def data_as_of(connection: Connection) -> datetime | None:
    """The time up to which everything is surely shown; None before a projector has looked at all topics."""
    times = [each.as_of for each in freshness(connection).values()]
    sure = [at for at in times if at is not None]
    return min(sure) if sure and len(sure) == len(times) else None
