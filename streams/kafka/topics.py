"""The topics of a meter: created with what the contract promises, checked at every start, and the rules record."""

import asyncio
import threading
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from pydantic import ValidationError

from meter import topics
from meter.journal import read_entry
from meter.rules import Rules
from streams.errors import MeterError, RefusalToStartError
from streams.kafka.clients import READ_MS, Reader, admin, reader
from streams.kafka.rights import CREATOR, PRODUCER, KafkaRole, Missing, MissingRightsError, need, refused
from streams.kafka.specs import SPECS, TopicSpec, unfit
from streams.kafka.transactional import transaction
from streams.kafka.wire import Operation, Topic, describe_topics
from streams.process.waiting import until
from streams.settings import Settings

#: How long after its creation a topic may take to be in the metadata that brokers give.
METADATA_PATIENCE_S = 30.0
METADATA_RETRY_S = 0.05
ASK_PATIENCE_S = 5.0
#: How long an open transaction on the journal is waited for, where it holds the only record of a partition.
SETTLED_PATIENCE_S = 5.0
UNCOMMITTED = "read_uncommitted"
#: Kafka's own, with the outcome of every transaction.
TRANSACTION_LOG = "__transaction_state"


def new_rules(**choices: Any) -> Rules:
    """The rules of a meter that is about to be created."""
    return Rules(meter_id=str(uuid.uuid4()), **choices)


async def create(settings: Settings, rules: Rules, replication: int | None) -> tuple[Rules, bool]:
    """Create what is missing of a meter's topics and its rules record; run again, it changes nothing.

    `replication` None: as many replicas as the topics have that are there, else 1. Returns the rules in force and
    whether they are new. Raises RefusalToStartError where topics that are there already do not fit.
    """
    async with admin(settings) as client:
        found = await _described(client, settings)
        await need(client, settings, CREATOR, found, [_own_transactions(settings)])
        there = [topic for topic in found.values() if topic.error is None]
        missing = [spec for spec in SPECS if found[settings.topic(spec.name)].error is not None]
        known = await _known_rules(settings, found)
        if known is None and there:
            await _settle(settings)
            known = await _known_rules(settings, found)
        in_force = known or rules
        replicas = replication or max((topic.replicas for topic in there), default=1)
        await _create_topics(client, settings, missing, in_force, replicas)
        found = await _wait_until_known(client, settings)
        await need(client, settings, CREATOR, found)
        refuse_misfits(await _misfits(client, settings, in_force, found))
    if known is None:
        await _write_rules(settings, rules)
    return in_force, known is None


async def _described(
    client: AIOKafkaAdminClient, settings: Settings, names: Iterable[str] | None = None
) -> dict[str, Topic]:
    """The metadata of some topics of the contract, or of all of them, by full name."""
    wanted = [spec.name for spec in SPECS] if names is None else names
    return await describe_topics(client, [settings.topic(name) for name in wanted])


def _own_transactions(settings: Settings) -> str:
    return f"{settings.app_id}-topics"


async def _create_topics(
    client: AIOKafkaAdminClient, settings: Settings, specs: Sequence[TopicSpec], rules: Rules, replicas: int
) -> None:
    new = [
        NewTopic(
            settings.topic(spec.name), rules.partitions, replicas, topic_configs=spec.config(rules.clock, replicas)
        )
        for spec in specs
    ]
    if not new:
        return
    denied = []
    for topic, code, *message in (await client.create_topics(new)).topic_errors:
        error = for_code(code)
        if error is TopicAuthorizationFailedError:
            denied.append(Missing(f"topic {topic}", Operation.CREATE))
        elif code and error is not TopicAlreadyExistsError:
            raise MeterError(f"cannot create {topic}: {(message and message[0]) or error.__name__}")
    if denied:
        raise MissingRightsError(refused(settings, denied))


async def _wait_until_known(client: AIOKafkaAdminClient, settings: Settings) -> dict[str, Topic]:
    """A topic is created a moment before the metadata says so; until then it seems not to be there."""
    async with asyncio.timeout(METADATA_PATIENCE_S):
        while True:
            found = await _described(client, settings)
            if not any(topic.error for topic in found.values()):
                return found
            await asyncio.sleep(METADATA_RETRY_S)


async def _settle(settings: Settings) -> None:
    """What an earlier creation has left open is ended, the one way or the other, before anybody goes by it."""
    try:
        async with transaction(settings, _own_transactions(settings)):
            pass
    except KafkaError as error:
        raise MeterError(f"cannot settle what was left open: {error!r}; run `meter topics create` again") from error


async def _write_rules(settings: Settings, rules: Rules) -> None:
    """The rules, on every partition of the journal, in one transaction: all of them or none."""
    value = rules.model_dump_json().encode()
    try:
        async with (
            asyncio.timeout(settings.publish_timeout_s),
            transaction(settings, _own_transactions(settings)) as producer,
        ):
            for partition in range(rules.partitions):
                await producer.send_and_wait(settings.topic(topics.JOURNAL), value, partition=partition)
    except (KafkaError, TimeoutError) as error:
        raise MeterError(f"cannot write the rules record: {error!r}; run `meter topics create` again") from error


async def check(settings: Settings, role: KafkaRole, transactional_ids: Sequence[str] = ()) -> Rules:
    """The rules in force, for one who has a role, and who will write under some transactional ids.

    Raises RefusalToStartError, saying what to do, where rights, topics or rules do not fit. A role that reads
    configurations has them held against the contract.
    """
    async with admin(settings) as client:
        rules, misfits = await _looked_at(client, settings, role, transactional_ids)
    refuse_misfits(misfits)
    return rules


def missing_rights(settings: Settings, role: KafkaRole) -> str | None:
    """Which rights are missing now, for a process that was refused one at work; None where Kafka does not say.

    Asked from a thread with a loop of its own: the caller's is not to go on.
    """
    found: list[str] = []

    def ask() -> None:
        with suppress(Exception):  # the process ends by what it was refused
            try:
                asyncio.run(asyncio.wait_for(check(settings, role), ASK_PATIENCE_S))
            except MissingRightsError as error:
                found.append(str(error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(ASK_PATIENCE_S)
    return found[0] if found else None


async def compare(settings: Settings, role: KafkaRole) -> "tuple[Rules, list[Misfit]]":
    """The rules in force, and all that topics have otherwise than the contract says. Raises as `check` does."""
    async with admin(settings) as client:
        return await _looked_at(client, settings, role)


async def _looked_at(
    client: AIOKafkaAdminClient, settings: Settings, role: KafkaRole, transactional_ids: Sequence[str] = ()
) -> "tuple[Rules, list[Misfit]]":
    found = await _described(client, settings, role.topics)
    journal = found[settings.topic(topics.JOURNAL)]
    own = [f"{settings.app_id}-{partition}" for partition in range(journal.partitions)] if role.joins else []
    _need_there(found)
    await need(client, settings, role, found, [*own, *transactional_ids])
    rules = await _known_rules(settings, found)
    if rules is None:
        raise RefusalToStartError("the journal holds no rules record: run `meter topics create`")
    _check_counts(rules, found)
    return rules, await _misfits(client, settings, rules, found) if role.configures else []


def _need_there(found: Mapping[str, Topic]) -> None:
    for topic in found.values():
        if topic.error is not None and topic.error is not TopicAuthorizationFailedError:
            raise RefusalToStartError(f"topic {topic.name} is missing: run `meter topics create`")


async def input_partitions(settings: Settings) -> int:
    """How many partitions completions go to, for one who may do no more than write them.

    Raises RefusalToStartError where the topic is not there, or where it can be seen not to fit the journal.
    """
    async with admin(settings) as client:
        found = await _described(client, settings, [topics.JOURNAL, *PRODUCER.topics])
        _need_there(found)
        await need(client, settings, PRODUCER, found)
    completed, journal = found[settings.topic(topics.COMPLETED)], found[settings.topic(topics.JOURNAL)]
    if journal.error is None and journal.partitions != completed.partitions:
        raise RefusalToStartError(_other_count(completed, journal.partitions))
    return completed.partitions


async def _known_rules(settings: Settings, found: Mapping[str, Topic]) -> Rules | None:
    """The rules record of the journal, which must be the same on every partition; None where there is none."""
    journal = found[settings.topic(topics.JOURNAL)]
    if journal.error is not None:
        return None
    names = [topics.JOURNAL]
    async with reader(settings, names) as committed, reader(settings, names, isolation_level=UNCOMMITTED) as everything:
        first = await _settled_records(committed, everything, journal)
    records = {None if record is None else _rules(place, record) for place, record in first.items()}
    if len(records) > 1:
        raise RefusalToStartError(
            f"{journal.name}: its partitions hold different rules records; this is not one meter's journal"
        )
    return records.pop() if records else None


async def _settled_records(
    committed: Reader, everything: Reader, journal: Topic
) -> dict[TopicPartition, ConsumerRecord | None]:
    """The first record of every partition, None where it has none.

    Kafka writes what a commit means to each partition only after it has acknowledged it, and where it is stopped in
    between, after its next start: a moment is given to what is open.
    """
    places = [TopicPartition(journal.name, partition) for partition in range(journal.partitions)]

    async def look() -> tuple[dict[TopicPartition, ConsumerRecord | None], bool]:
        last, stable = await everything.end_offsets(places), await committed.end_offsets(places)
        found = await _first_records(committed, places, stable)
        return found, all(found[place] or last[place] <= stable[place] for place in places)

    found, _ = await until(look, itemgetter(1), every_s=METADATA_RETRY_S, within_s=SETTLED_PATIENCE_S)
    return found


async def _first_records(
    consumer: Reader, places: Sequence[TopicPartition], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, ConsumerRecord | None]:
    """The first record of each of some partitions, None where it has none; asked for all of them at once."""
    starts = await consumer.beginning_offsets(places)
    for place, start in starts.items():
        if start > 0:
            raise RefusalToStartError(
                f"{_named(place)}: unprovable: the log starts at {start}, its retention must be -1"
            )
    found: dict[TopicPartition, ConsumerRecord | None] = dict.fromkeys(places)
    left = [place for place in places if ends[place] > 0]
    consumer.assign(left)
    for place in left:
        consumer.seek(place, 0)
    while left:
        for place, records in (await consumer.getmany(*left, timeout_ms=READ_MS)).items():
            found[place] = records[0]
        left = [place for place in left if found[place] is None and await consumer.position(place) < ends[place]]
    consumer.assign([])
    return found


def _rules(place: TopicPartition, record: ConsumerRecord) -> Rules:
    try:
        entry = read_entry(record.value)
    except ValidationError as error:
        raise RefusalToStartError(f"{_named(place)}: the first record is no rules record of version 1") from error
    if isinstance(entry, Rules):
        return entry
    raise RefusalToStartError(f"{_named(place)}: the first record is no rules record")


def _named(place: TopicPartition) -> str:
    return f"{place.topic}[{place.partition}]"


class Misfit(NamedTuple):
    """What a topic has otherwise than the contract says, and what puts it right."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


def refuse_misfits(misfits: Sequence[Misfit]) -> None:
    """Raises RefusalToStartError where there are any."""
    if not misfits:
        return
    more = f" (and {len(misfits) - 1} more: `meter topics check` shows all)" if len(misfits) > 1 else ""
    raise RefusalToStartError(f"{misfits[0]}{more}")


def _check_counts(rules: Rules, found: Mapping[str, Topic]) -> None:
    for topic in found.values():
        if topic.partitions != rules.partitions:
            raise RefusalToStartError(_other_count(topic, rules.partitions))


def _other_count(topic: Topic, partitions: int) -> str:
    return (
        f"{topic.name} has {topic.partitions} partitions, the rules say {partitions}: "
        "a meter's partition count never changes; restore the topic, or create a new meter"
    )


async def _misfits(
    client: AIOKafkaAdminClient, settings: Settings, rules: Rules, found: Mapping[str, Topic]
) -> list[Misfit]:
    """What the topics have otherwise than is wanted. Raises RefusalToStartError for another partition count."""
    _check_counts(rules, found)
    replicas = max(topic.replicas for topic in found.values())
    log = (await describe_topics(client, [TRANSACTION_LOG]))[TRANSACTION_LOG]
    misfits = [*_fewer_replicas([*found.values(), log], replicas)]
    configs = await _configs(client, list(found))
    for spec in SPECS:
        topic = found[settings.topic(spec.name)]
        misfits += _of_config(settings, topic, configs[topic.name], spec.config(rules.clock, topic.replicas))
    if log.rights is not None and Operation.DESCRIBE_CONFIGS in log.rights:
        held = {"min.insync.replicas": str(min(2, replicas)), "unclean.leader.election.enable": "false"}
        misfits += _of_config(settings, log, (await _configs(client, [log.name]))[log.name], held)
    return misfits


def _fewer_replicas(found: Iterable[Topic], replicas: int) -> Iterable[Misfit]:
    """One topic with fewer replicas is lost before the others, and the meter with it."""
    for topic in found:
        if topic.error is None and topic.replicas < replicas:
            yield Misfit(
                f"{topic.name} has {topic.replicas} replicas of a partition, others of the meter's topics {replicas}",
                "raise it with kafka-reassign-partitions.sh",
            )


def _of_config(
    settings: Settings, topic: Topic, actual: Mapping[str, "_ConfigEntry"], wanted: Mapping[str, str]
) -> Iterable[Misfit]:
    values = {name: entry.value for name, entry in actual.items()}
    names = list(unfit(wanted, values, topic.replicas))
    if not names:
        return
    added = ",".join(f"{name}={wanted[name]}" for name in names)
    remedy = (
        f"kafka-configs.sh --bootstrap-server {settings.bootstrap_servers} --alter --topic {topic.name} "
        f"--add-config {added}"
    )
    if any(name in actual and actual[name].is_read_only for name in names):
        remedy = f"this Kafka does not let it be changed; ask those who run it for {added}"
    for name in names:
        yield Misfit(f"{topic.name}: {name} is {values.get(name)}, it must be {wanted[name]}", remedy)


class _ConfigEntry(NamedTuple):
    value: str | None
    is_read_only: bool


async def _configs(client: AIOKafkaAdminClient, names: Sequence[str]) -> Mapping[str, Mapping[str, _ConfigEntry]]:
    """The configurations of topics that are there; a broker may have to learn of them yet."""
    found: dict[str, dict[str, _ConfigEntry]] = {}
    deadline = time.monotonic() + METADATA_PATIENCE_S
    while left := [ConfigResource(ConfigResourceType.TOPIC, name) for name in names if name not in found]:
        (response,) = await client.describe_configs(left)
        for code, message, _, name, entries in response.resources:
            if for_code(code) is UnknownTopicOrPartitionError and time.monotonic() < deadline:
                await asyncio.sleep(METADATA_RETRY_S)
                break
            if code:
                raise MeterError(f"cannot read the configuration of {name}: {message or for_code(code).__name__}")
            found[name] = {entry[0]: _ConfigEntry(entry[1], entry[2]) for entry in entries}
    return found
