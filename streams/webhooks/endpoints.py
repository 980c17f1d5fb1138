"""The endpoints: who is told of what, where, and with which secret it is signed."""

import base64
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from streams.errors import MeterError, SettingError
from streams.store.kept_tables import webhook_delivery, webhook_endpoint, webhook_position
from streams.store.queries.pages import RowPage, page
from streams.webhooks.addresses import read_url
from streams.webhooks.events import EVENTS

SECRET_BYTES = 32
#: (topic without the prefix, partition) -> the offset of the next record
Positions = Mapping[tuple[str, int], int]


class Endpoint(NamedTuple):
    """An endpoint. `events`: of `EVENTS`; `account_id` None: of all accounts."""

    endpoint_id: str
    url: str
    secret: str
    events: tuple[str, ...]
    account_id: str | None
    created_at: datetime

    def wants(self, event: str, account_id: str) -> bool:
        """Whether it is to be told."""
        return event in self.events and self.account_id in (None, account_id)


class Listed(NamedTuple):
    """An endpoint, and how many of its deliveries wait or are dead."""

    endpoint: Endpoint
    waiting: int
    dead: int


def read_events(text: str) -> tuple[str, ...]:
    """Events as people write them, joined by commas. Raises SettingError."""
    wanted = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [name for name in wanted if name not in EVENTS]
    if unknown:
        raise SettingError(f"there is no event {unknown[0]!r}; there are {', '.join(EVENTS)}")
    return wanted


def add(
    connection: Connection,
    url: str,
    events: tuple[str, ...],
    account_id: str | None,
    positions: Positions,
    topic_ids: Mapping[str, str],
) -> Endpoint:
    """Add an endpoint: it is told of the records from `positions` on, in the topics with these ids.

    Raises SettingError for a URL that is none.
    """
    read_url(url)
    endpoint = Endpoint(
        f"ep_{secrets.token_hex(8)}",
        url,
        f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}",
        events,
        account_id,
        datetime.now(UTC),
    )
    row = {**endpoint._asdict(), "events": ",".join(events)}
    connection.execute(insert(webhook_endpoint).values(row))
    connection.execute(
        insert(webhook_position),
        [
            {
                "endpoint_id": endpoint.endpoint_id,
                "topic": topic,
                "partition": partition,
                "next_offset": offset,
                "topic_id": topic_ids.get(topic),
            }
            for (topic, partition), offset in positions.items()
        ],
    )
    return endpoint


def remove(connection: Connection, endpoint_id: str) -> None:
    """Remove an endpoint; it is sent nothing more. Raises MeterError where there is none."""
    changed = connection.execute(
        update(webhook_endpoint)
        .where(webhook_endpoint.c.endpoint_id == endpoint_id, webhook_endpoint.c.removed_at.is_(None))
        .values(removed_at=datetime.now(UTC))
    )
    if not changed.rowcount:
        raise MeterError(f"there is no webhook {endpoint_id!r}; `meter webhooks list` shows what there is")


def endpoints(connection: Connection) -> list[Endpoint]:
    """The endpoints, oldest first."""
    table = webhook_endpoint.c
    return [_endpoint(row) for row in connection.execute(_present().order_by(table.created_at, table.endpoint_id))]


def _present() -> Select[Any]:
    table = webhook_endpoint.c
    return select(*[getattr(table, name) for name in Endpoint._fields]).where(table.removed_at.is_(None))


def _endpoint(row: Row[Any]) -> Endpoint:
    return Endpoint._make(row)._replace(events=tuple(row.events.split(",")))


def listed(connection: Connection) -> list[Listed]:
    """The endpoints with what waits for them."""
    return _listed(connection, endpoints(connection))


def listed_page(connection: Connection, *, after: str | None = None, limit: int = 100) -> RowPage[Listed]:
    """The endpoints with what waits for them, the oldest first."""
    table = webhook_endpoint.c
    order = (table.created_at, table.endpoint_id)
    found = page(connection, _present(), order, _endpoint, after=after, limit=limit)
    return RowPage(tuple(_listed(connection, found.rows)), found.next)


def listed_one(connection: Connection, endpoint_id: str) -> Listed | None:
    """An endpoint with what waits for it; None where there is none."""
    row = connection.execute(_present().where(webhook_endpoint.c.endpoint_id == endpoint_id)).first()
    return None if row is None else _listed(connection, [_endpoint(row)])[0]


def _listed(connection: Connection, known: Sequence[Endpoint]) -> list[Listed]:
    table = webhook_delivery.c
    mine = table.endpoint_id.in_([each.endpoint_id for each in known])
    query = select(table.endpoint_id, table.state, func.count()).where(table.state.in_(("waiting", "dead")), mine)
    counts = {(row[0], row[1]): row[2] for row in connection.execute(query.group_by(table.endpoint_id, table.state))}
    return [
        Listed(each, counts.get((each.endpoint_id, "waiting"), 0), counts.get((each.endpoint_id, "dead"), 0))
        for each in known
    ]


def positions_of(connection: Connection, known: Iterable[Endpoint]) -> dict[str, dict[tuple[str, int], int]]:
    """How far each of these endpoints has read."""
    table = webhook_position.c
    found: dict[str, dict[tuple[str, int], int]] = {endpoint.endpoint_id: {} for endpoint in known}
    for row in connection.execute(select(webhook_position).where(table.endpoint_id.in_(found))):
        found[row.endpoint_id][row.topic, row.partition] = row.next_offset
    return found


def topic_ids_of(connection: Connection, known: Iterable[Endpoint]) -> set[tuple[str, str]]:
    """The topics and their ids that the positions of these endpoints are of."""
    table = webhook_position.c
    query = select(table.topic, table.topic_id).where(
        table.endpoint_id.in_([endpoint.endpoint_id for endpoint in known]), table.topic_id.is_not(None)
    )
    return {(row.topic, row.topic_id) for row in connection.execute(query.distinct())}
