"""The topics of a meter: created with what the contract promises, checked at every start, and the rules record."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from pydantic import ValidationError

from meter import topics
from meter.journal import read_entry
from meter.rules import Clock, Rules
from streams.errors import MeterError, RefusalToStartError
from streams.kafka import admin, offsets, read_range, reader
from streams.settings import Settings
from streams.transactional import transaction

DAY_MS = 86_400_000
FOR_EVER = -1
#: How long after its creation a topic may take to be in the metadata that brokers give.
METADATA_PATIENCE_S = 30.0
METADATA_RETRY_S = 0.05
#: Records of 4 MiB and their batch. The inputs keep the broker's own limit.
LARGE_BYTES = 5 << 20


class TopicSpec(NamedTuple):
    """What one topic must be like. `retention_ms` -1: for ever."""

    name: str
    compact: bool = False
    retention_ms: int = 400 * DAY_MS
    max_message_bytes: int | None = LARGE_BYTES
    is_input: bool = False

    def config(self, clock: Clock) -> dict[str, str]:
        """The topic's configuration in Kafka's words."""
        append_time = not (self.is_input and clock is Clock.SIMULATED)
        config = {
            "cleanup.policy": "compact" if self.compact else "delete",
            "message.timestamp.type": "LogAppendTime" if append_time else "CreateTime",
        }
        if not self.compact:
            config["retention.ms"] = str(self.retention_ms)
            config["retention.bytes"] = "-1"
        if self.max_message_bytes is not None:
            config["max.message.bytes"] = str(self.max_message_bytes)
        if not append_time:
            # Records of a simulated 2019 must neither expire at once nor be refused for their stamps.
            config["retention.ms"] = str(FOR_EVER)
            config["message.timestamp.before.max.ms"] = config["message.timestamp.after.max.ms"] = str(2**63 - 1)
        return config


SPECS = (
    TopicSpec(topics.COMPLETED, max_message_bytes=None, is_input=True),
    TopicSpec(topics.REROUTED, is_input=True),
    TopicSpec(topics.COMMANDS, retention_ms=FOR_EVER, max_message_bytes=None, is_input=True),
    TopicSpec(topics.COMMAND_RESULTS),
    TopicSpec(topics.PRICED),
    TopicSpec(topics.DAILY, compact=True),
    TopicSpec(topics.REJECTED),
    TopicSpec(topics.BILLS, retention_ms=FOR_EVER),
    TopicSpec(topics.NOTES, retention_ms=FOR_EVER),
    TopicSpec(topics.LEDGER, retention_ms=FOR_EVER),
    TopicSpec(topics.NOTICES, retention_ms=FOR_EVER),
    TopicSpec(topics.SERVICE, compact=True),
    TopicSpec(topics.JOURNAL, retention_ms=FOR_EVER),
    TopicSpec(topics.STATE, compact=True),
)


def new_rules(**choices: Any) -> Rules:
    """The rules of a meter that is about to be created."""
    return Rules(meter_id=str(uuid.uuid4()), **choices)


async def create(settings: Settings, rules: Rules, replication: int) -> tuple[Rules, bool]:
    """Create what is missing of a meter's topics and its rules record; run again, it changes nothing.

    Returns the rules in force and whether they are new. Raises RefusalToStartError where topics that are there
    already do not fit.
    """
    async with admin(settings) as client:
        missing = [spec for spec in SPECS if settings.topic(spec.name) not in await client.list_topics()]
        known = await _known_rules(settings) if len(missing) < len(SPECS) else None
        in_force = known or rules
        await _create_topics(client, settings, missing, in_force, replication)
        await _check_topics(client, settings, in_force)
    if known is None:
        await _write_rules(settings, rules)
    return in_force, known is None


async def _create_topics(
    client: AIOKafkaAdminClient, settings: Settings, specs: Sequence[TopicSpec], rules: Rules, replication: int
) -> None:
    new = [
        NewTopic(settings.topic(spec.name), rules.partitions, replication, topic_configs=spec.config(rules.clock))
        for spec in specs
    ]
    if not new:
        return
    response = await client.create_topics(new)
    for topic, code, *message in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise MeterError(f"cannot create {topic}: {(message and message[0]) or error.__name__}")
    await _wait_until_known(client, [topic.name for topic in new])


async def _wait_until_known(client: AIOKafkaAdminClient, names: Sequence[str]) -> None:
    """A topic is created a moment before the metadata says so; until then it seems to have no partitions."""
    async with asyncio.timeout(METADATA_PATIENCE_S):
        while True:
            if not any(topic["error_code"] for topic in await client.describe_topics(names)):
                return
            await asyncio.sleep(METADATA_RETRY_S)


async def _write_rules(settings: Settings, rules: Rules) -> None:
    """The rules, on every partition of the journal, in one transaction: all of them or none."""
    value = rules.model_dump_json().encode()
    try:
        async with (
            asyncio.timeout(settings.publish_timeout_s),
            transaction(settings, f"{settings.app_id}-topics") as producer,
        ):
            for partition in range(rules.partitions):
                await producer.send_and_wait(settings.topic(topics.JOURNAL), value, partition=partition)
    except (KafkaError, TimeoutError) as error:
        raise MeterError(f"cannot write the rules record: {error!r}; run `meter topics create` again") from error


async def check(settings: Settings) -> Rules:
    """The rules in force. Raises RefusalToStartError, saying what to do, where topics or rules do not fit."""
    async with admin(settings) as client:
        there = set(await client.list_topics())
        missing = [settings.topic(spec.name) for spec in SPECS if settings.topic(spec.name) not in there]
        if missing:
            raise RefusalToStartError(f"topic {missing[0]} is missing: run `meter topics create`")
        rules = await _known_rules(settings)
        if rules is None:
            raise RefusalToStartError("the journal holds no rules record: run `meter topics create`")
        await _check_topics(client, settings, rules)
    return rules


async def _known_rules(settings: Settings) -> Rules | None:
    """The rules record of the journal; it must be the same on every partition."""
    async with admin(settings) as client:
        name = settings.topic(topics.JOURNAL)
        if name not in await client.list_topics():
            return None
        (description,) = await client.describe_topics([name])
    found: set[Rules | None] = set()
    async with reader(settings) as consumer:
        for partition in range(len(description["partitions"])):
            found.add(await _first_rules(consumer, name, partition))
    if len(found) > 1:
        raise RefusalToStartError(
            f"{name}: its partitions hold different rules records; this is not one meter's journal"
        )
    return found.pop() if found else None


async def _first_rules(consumer: Any, name: str, partition: int) -> Rules | None:
    start, end = await offsets(consumer, name, partition)
    if start > 0:
        raise RefusalToStartError(
            f"{name}[{partition}]: unprovable: the log starts at {start}, its retention must be -1"
        )
    async for records in read_range(consumer, name, partition, 0, end):
        try:
            entry = read_entry(records[0].value)
        except ValidationError as error:
            raise RefusalToStartError(
                f"{name}[{partition}]: the first record is no rules record of version 1"
            ) from error
        if isinstance(entry, Rules):
            return entry
        raise RefusalToStartError(f"{name}[{partition}]: the first record is no rules record")
    return None


async def _check_topics(client: AIOKafkaAdminClient, settings: Settings, rules: Rules) -> None:
    names = [settings.topic(spec.name) for spec in SPECS]
    counts = {d["topic"]: len(d["partitions"]) for d in await client.describe_topics(names)}
    configs = await _configs(client, names)
    for spec in SPECS:
        name = settings.topic(spec.name)
        if counts.get(name) != rules.partitions:
            raise RefusalToStartError(
                f"{name} has {counts.get(name)} partitions, the rules say {rules.partitions}: "
                "a meter's partition count never changes; restore the topic, or create a new meter"
            )
        for key, wanted in spec.config(rules.clock).items():
            if not _fits(key, configs[name].get(key), wanted):
                raise RefusalToStartError(
                    f"{name}: {key} is {configs[name].get(key)}, it must be {wanted}: "
                    f"kafka-configs.sh --alter --topic {name} --add-config {key}={wanted}"
                )


def _fits(key: str, actual: str | None, wanted: str) -> bool:
    """More room and longer retention than promised do no harm."""
    if actual is None:
        return False
    if key in ("retention.ms", "retention.bytes", "max.message.bytes"):
        return int(actual) == FOR_EVER or (int(wanted) != FOR_EVER and int(actual) >= int(wanted))
    return actual == wanted


async def _configs(client: AIOKafkaAdminClient, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for response in await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, n) for n in names]):
        for code, message, _, name, entries in response.resources:
            if code:
                raise MeterError(f"cannot read the configuration of {name}: {message or for_code(code).__name__}")
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found
