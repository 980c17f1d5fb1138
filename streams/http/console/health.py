"""How far metering and the read model are, and what was commanded: for the pages of operators."""

import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError
from anyio import CapacityLimiter
from sqlalchemy import Connection, Row, select

from meter import topics
from streams.errors import BrokerLostError, MeterError
from streams.http.console.views import Scene
from streams.http.problems import Problem, unavailable
from streams.http.services import Services
from streams.kafka.clients import admin, reader
from streams.process.apart import apart
from streams.proof.reconcile import Reconciliation, reconcile_quietly
from streams.settings import Settings
from streams.store.kept_tables import audit_entry
from streams.store.queries.freshness import Reached, positions
from streams.store.queries.pages import RowPage, page
from streams.store.queries.settling import Period, closed_periods
from streams.webhooks.endpoints import listed

INPUTS = (topics.COMPLETED, topics.REROUTED, topics.COMMANDS)
LOOK_S = 3.0
PROOF_PATIENCE_S = 300.0


class WaitingInput(NamedTuple):
    """An input topic: positions that workers have not metered, in all and by partition. Marks of transactions count."""

    topic: str
    waiting: int
    by_partition: dict[int, int]


async def metering_lag(services: Services) -> list[WaitingInput] | None:
    """How far workers are behind, by the offsets that they commit for display; None where Kafka does not say."""
    if not services.log.is_up:
        return None
    with suppress(TimeoutError, KafkaError, BrokerLostError, Problem):
        rules = await services.log.rules()
        return await asyncio.wait_for(_lag(services.settings, rules.partitions), LOOK_S)
    return None


async def _lag(settings: Settings, partitions: int) -> list[WaitingInput]:
    wanted = {topic: [TopicPartition(settings.topic(topic), p) for p in range(partitions)] for topic in INPUTS}
    async with admin(settings) as client:
        done = await client.list_consumer_group_offsets(settings.app_id)
    async with reader(settings) as consumer:
        every = [each for own in wanted.values() for each in own]
        ends, starts = await consumer.end_offsets(every), await consumer.beginning_offsets(every)
    found = []
    for topic, own in wanted.items():
        reached = {tp: max(done[tp].offset, 0) if tp in done else starts[tp] for tp in own}
        parts = {tp.partition: max(ends[tp] - reached[tp], 0) for tp in own}
        found.append(WaitingInput(topic, sum(parts.values()), parts))
    return found


class WorkerRow(NamedTuple):
    """A worker of the group: its name, where it is, and the partitions that it owns."""

    name: str
    host: str
    partitions: list[int]


class WorkersNow(NamedTuple):
    """The workers; `unowned`: partitions that nobody meters. `is_settled`: no hand-over is under way."""

    all: list[WorkerRow]
    unowned: list[int]
    is_settled: bool


async def workers(services: Services) -> WorkersNow | None:
    """Who meters what, as the group's coordinator says; None where Kafka does not."""
    if not services.log.is_up:
        return None
    with suppress(TimeoutError, KafkaError, BrokerLostError, Problem):
        rules = await services.log.rules()
        return await asyncio.wait_for(_workers(services.settings, rules.partitions), LOOK_S)
    return None


async def _workers(settings: Settings, partitions: int) -> WorkersNow:
    async with admin(settings) as client:
        (answer,) = await client.describe_consumer_groups([settings.app_id])
    _, _, state, _, _, members, *_ = answer.groups[0]
    topic = settings.topic(topics.COMPLETED)
    found = [_worker(member, topic) for member in members]
    owned = {partition for each in found for partition in each.partitions}
    unowned = [partition for partition in range(partitions) if partition not in owned]
    return WorkersNow(sorted(found), unowned, state == "Stable")


def _worker(member: Any, topic: str) -> WorkerRow:
    member_id, _, host, _, assignment = member[:5]
    given = ConsumerProtocolMemberAssignment.decode(assignment).partitions() if assignment else []
    # A member's id is its name and a UUID, whose beginning tells those apart that were given no name.
    return WorkerRow(
        f"{member_id[:-37]} {member_id[-36:-28]}",
        host.removeprefix("/"),
        sorted(tp.partition for tp in given if tp.topic == topic),
    )


class TopicLag(NamedTuple):
    """A topic of the read model: how far it is projected."""

    name: str
    lag: int
    age: timedelta
    record_at: datetime | None
    partitions: list[Reached]


class Health(NamedTuple):
    """The read model by topic; workers and their lag where they are known; periods with their state.

    `webhooks`: how many there are, messages that wait, and those that were given up.
    """

    topics: list[TopicLag]
    metering: list[WaitingInput] | None
    workers: WorkersNow | None
    periods: list[tuple[Period, str]]
    webhooks: tuple[int, int, int]


def health_page(
    connection: Connection, here: Scene, metering: list[WaitingInput] | None, found: WorkersNow | None
) -> Health:
    """How far each topic is, as of now."""
    now, by_topic = datetime.now(UTC), dict[str, list[Reached]]()
    for each in positions(connection):
        by_topic.setdefault(each.topic, []).append(each)
    periods = [(each, each.state(here.now)) for each in closed_periods(connection, here.rules, here.now)]
    told = listed(connection)
    counts = len(told), sum(each.waiting for each in told), sum(each.dead for each in told)
    return Health([_topic(name, rows, now) for name, rows in by_topic.items()], metering, found, periods, counts)


def _topic(name: str, rows: list[Reached], now: datetime) -> TopicLag:
    seen = [row.record_at for row in rows if row.record_at is not None]
    age = max(now - min(row.polled_at for row in rows), timedelta())
    return TopicLag(name, sum(row.lag for row in rows), age, max(seen, default=None), rows)


_one_at_a_time = CapacityLimiter(1)


async def reconciled(services: Services) -> Reconciliation:
    """Add it all up from the log, in a process of its own. Raises Problem (503) where Kafka is away, or it is done."""
    if _one_at_a_time.available_tokens < 1:
        raise Problem(503, "busy", "somebody else reconciles just now", headers={"Retry-After": "5"})
    if not services.log.is_up:
        raise unavailable("kafka", f"Kafka is away, nothing can be added up: {services.log.why_down}")
    try:
        async with _one_at_a_time:
            return await apart(reconcile_quietly, services.settings, patience_s=PROOF_PATIENCE_S)
    except (MeterError, TimeoutError) as error:
        raise unavailable("kafka", f"the log could not be read: {error or 'it took too long'}") from error


class Audited(NamedTuple):
    """What somebody did. `who`: the token's id; None: nobody had to say. `fields`: of the command, in its order."""

    at: datetime
    who: str | None
    role: str
    remote: str | None
    action: str
    account_id: str | None
    command_id: str | None
    outcome: str
    code: str | None
    message: str | None
    fields: dict[str, str]


#: Fields of a command that have columns of their own.
_SHOWN = {"v", "command_id", "type", "issued_at", "account_id"}


def audit_page(connection: Connection, account_id: str | None, after: str | None, limit: int) -> RowPage[Audited]:
    """What was done, the latest first; of one account, or all."""
    query = select(audit_entry)
    if account_id is not None:
        query = query.where(audit_entry.c.account_id == account_id)
    return page(connection, query, (audit_entry.c.id,), _audited, after=after, limit=limit, descending=True)


def _audited(row: Row[Any]) -> Audited:
    detail: dict[str, Any] = json.loads(row.detail) if row.detail else {}
    given: dict[str, Any] = detail.get("command") or detail
    fields = {name: _as_text(value) for name, value in given.items() if name not in _SHOWN and value not in (None, {})}
    return Audited(
        row.at, row.token_id, row.role, row.remote, row.action, row.account_id, row.command_id, row.outcome, row.code,
        detail.get("message"), fields,
    )  # fmt: skip


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
