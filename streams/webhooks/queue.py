"""The deliveries: which is next, who tries it, what became of it.

In order within an endpoint and account: a delivery is tried when no earlier one waits. Whoever tries one claims it
first, by compare-and-set on its attempts, for as long as an attempt may take; what a killed sender had claimed is tried
again after that.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, exists, func, literal_column, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from streams.errors import Exit, MeterError
from streams.store.database import is_postgres
from streams.store.kept_tables import webhook_delivery, webhook_endpoint, webhook_position
from streams.store.queries.pages import RowPage, page
from streams.webhooks.endpoints import Endpoint
from streams.webhooks.events import EVENTS, Message

WAITING, DELIVERED, DEAD = "waiting", "delivered", "dead"
#: As a literal, so that the store sees that its index of what waits will do.
_WAITING: ColumnElement[str] = literal_column("'waiting'")
MAX_ERROR_CHARS = 300


class OtherSenderError(MeterError):
    """Another process reads for the same webhooks."""

    code = Exit.FENCED


class Delivery(NamedTuple):
    """A message on its way to one endpoint; `attempts` counts the one that it was claimed for."""

    endpoint_id: str
    event_id: str
    account_id: str
    payload: str
    attempts: int


class Dead(NamedTuple):
    """A message that was given up."""

    endpoint_id: str
    event_id: str
    event: str
    account_id: str
    attempts: int
    created_at: datetime
    last_error: str | None


class EndpointAdvance(NamedTuple):
    """An endpoint's position in a partition of a topic, before and after."""

    endpoint_id: str
    topic: str
    partition: int
    before: int
    after: int


class Put(NamedTuple):
    """A message for an endpoint, with where its record is."""

    endpoint_id: str
    partition: int
    position: int
    message: Message


def put(connection: Connection, messages: Sequence[Put], moves: Iterable[EndpointAdvance], now: datetime) -> None:
    """Put messages down and move the positions past them. Raises OtherSenderError, and nothing is to be committed.

    `messages` in the order of their logs, which is the order in which those of one event go out, whatever the brokers'
    clocks said: none is put down as earlier than the one before it, nor as later than `now`.
    """
    table = webhook_position.c
    for move in moves:
        changed = connection.execute(
            update(webhook_position)
            .where(table.endpoint_id == move.endpoint_id, table.topic == move.topic)
            .where(table.partition == move.partition, table.next_offset == move.before)
            .values(next_offset=move.after)
        )
        if not changed.rowcount:
            raise OtherSenderError("another `meter webhooks run` reads for these webhooks")
    if messages:
        dialect = postgresql if is_postgres(connection) else sqlite
        statement: Any = dialect.insert(webhook_delivery).on_conflict_do_nothing()
        connection.execute(statement, _rows(connection, messages, now))


def _rows(connection: Connection, messages: Sequence[Put], now: datetime) -> list[dict[str, Any]]:
    """The deliveries, each at its place in the order; the latest of each log is noted."""
    table = webhook_position.c
    ids = {each.endpoint_id for each in messages}
    latest = {
        (row.endpoint_id, row.topic, row.partition): row.latest_at
        for row in connection.execute(select(webhook_position).where(table.endpoint_id.in_(ids)))
    }
    rows, noted = [], {}
    for each in messages:
        log = each.endpoint_id, EVENTS[each.message.event], each.partition
        at = min(each.message.recorded_at, now)
        before = latest.get(log)
        latest[log] = noted[log] = at if before is None else max(at, before)
        rows.append(_row(each, latest[log], now))
    for (endpoint_id, topic, partition), at in noted.items():
        connection.execute(
            update(webhook_position)
            .where(table.endpoint_id == endpoint_id, table.topic == topic, table.partition == partition)
            .values(latest_at=at)
        )
    return rows


def _row(each: Put, at: datetime, now: datetime) -> dict[str, Any]:
    message = each.message
    return {
        "endpoint_id": each.endpoint_id,
        "event_id": message.message_id,
        "event": message.event,
        "account_id": message.account_id,
        "partition": each.partition,
        "position": each.position,
        "payload": message.payload,
        "state": WAITING,
        "attempts": 0,
        "created_at": at,
        "next_attempt_at": now,
    }


def claim(connection: Connection, endpoint: Endpoint, now: datetime, lease: timedelta, limit: int) -> list[Delivery]:
    """The deliveries of an endpoint that are to be tried now, claimed for the length of `lease`."""
    this, earlier = webhook_delivery.c, webhook_delivery.alias().c
    before = tuple_(earlier.created_at, earlier.event, earlier.position) < tuple_(
        this.created_at, this.event, this.position
    )
    waits = exists().where(
        earlier.endpoint_id == this.endpoint_id,
        earlier.account_id == this.account_id,
        earlier.state == _WAITING,
        before,
    )
    due = (
        select(this.event_id, this.account_id, this.payload, this.attempts)
        .join(webhook_endpoint, webhook_endpoint.c.endpoint_id == this.endpoint_id)
        .where(webhook_endpoint.c.removed_at.is_(None), this.endpoint_id == endpoint.endpoint_id)
        .where(this.state == _WAITING, this.next_attempt_at <= now, ~waits)
        .order_by(this.next_attempt_at, this.created_at, this.event, this.position)
        .limit(limit)
    )
    claimed = []
    for row in connection.execute(due).all():
        of_this = update(webhook_delivery).where(
            this.endpoint_id == endpoint.endpoint_id, this.event_id == row.event_id
        )
        changed = connection.execute(
            of_this.where(this.state == WAITING, this.attempts == row.attempts).values(
                attempts=row.attempts + 1, next_attempt_at=now + lease
            )
        )
        if changed.rowcount:
            claimed.append(Delivery(endpoint.endpoint_id, *row[:3], row.attempts + 1))
    return claimed


def delivered(connection: Connection, delivery: Delivery, now: datetime) -> None:
    """It was taken."""
    _finish(connection, delivery, state=DELIVERED, delivered_at=now, next_attempt_at=None, last_error=None)


def failed(connection: Connection, delivery: Delivery, error: str, next_attempt_at: datetime | None) -> None:
    """It was not taken; None: it is not tried again."""
    state = DEAD if next_attempt_at is None else WAITING
    _finish(connection, delivery, state=state, next_attempt_at=next_attempt_at, last_error=error[:MAX_ERROR_CHARS])


def _finish(connection: Connection, delivery: Delivery, **values: Any) -> None:
    """What became of an attempt, unless somebody has claimed the delivery meanwhile."""
    table = webhook_delivery.c
    connection.execute(
        update(webhook_delivery)
        .where(table.endpoint_id == delivery.endpoint_id, table.event_id == delivery.event_id)
        .where(table.state == WAITING, table.attempts == delivery.attempts)
        .values(**values)
    )


def dead(connection: Connection, endpoint_id: str | None = None) -> list[Dead]:
    """The messages that were given up, of endpoints that are still there."""
    table = webhook_delivery.c
    query = _dead(endpoint_id).order_by(
        table.created_at, table.event, table.partition, table.position, table.endpoint_id
    )
    return [Dead(*row) for row in connection.execute(query)]


def dead_page(
    connection: Connection, endpoint_id: str | None = None, *, after: str | None = None, limit: int = 50
) -> RowPage[Dead]:
    """The same, the latest first, page by page."""
    table = webhook_delivery.c
    order = (table.created_at, table.event_id, table.endpoint_id)
    return page(connection, _dead(endpoint_id), order, Dead._make, after=after, limit=limit, descending=True)


def _dead(endpoint_id: str | None) -> Select[Any]:
    table = webhook_delivery.c
    query = (
        select(*(getattr(table, name) for name in Dead._fields))
        .join(webhook_endpoint, webhook_endpoint.c.endpoint_id == table.endpoint_id)
        .where(table.state == DEAD, webhook_endpoint.c.removed_at.is_(None))
    )
    return query if endpoint_id is None else query.where(table.endpoint_id == endpoint_id)


def counts(connection: Connection) -> dict[str, int]:
    """How many messages wait, and how many are dead."""
    state = webhook_delivery.c.state
    query = select(state, func.count()).where(state.in_(("waiting", "dead"))).group_by(state)
    return {row[0]: row[1] for row in connection.execute(query)}


def retry(connection: Connection, chosen: Iterable[Dead], now: datetime) -> int:
    """Let dead messages be tried again from the start. Returns how many."""
    table = webhook_delivery.c
    count = 0
    for each in chosen:
        changed = connection.execute(
            update(webhook_delivery)
            .where(table.endpoint_id == each.endpoint_id, table.event_id == each.event_id, table.state == DEAD)
            .values(state=WAITING, attempts=0, next_attempt_at=now)
        )
        count += changed.rowcount
    return count


__all__ = [
    "Dead",
    "Delivery",
    "EndpointAdvance",
    "OtherSenderError",
    "Put",
    "claim",
    "counts",
    "dead",
    "dead_page",
    "delivered",
    "failed",
    "put",
    "retry",
]
