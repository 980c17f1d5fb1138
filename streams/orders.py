"""Commands on their way: to the partition of their account, or to all of them, and the answers that come back.

Nothing is judged here: what is wrong with a command is the meter's to say, with a code.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from meter import topics
from meter.models import CommandResult
from meter.periods import BillingDays
from meter.routing import owner
from meter.rules import Rules
from streams.errors import MeterError
from streams.kafka import offsets, reader, sender
from streams.reuse import need_unused, remembered
from streams.settings import Settings
from streams.transactional import transaction

#: A command as its record says it.
Command = Mapping[str, Any]


class Outcome(NamedTuple):
    """The partitions that were asked, and the answers of those that gave one in time."""

    command_id: str
    asked: tuple[int, ...]
    answers: Mapping[int, CommandResult]

    @property
    def silent(self) -> list[int]:
        """The partitions that did not answer."""
        return [partition for partition in self.asked if partition not in self.answers]


def new_command(kind: str, rules: Rules, at_ms: int, command_id: str | None = None, **fields: Any) -> Command:
    """A command that is issued at its record time; the meter refuses one that was issued long before or after."""
    return {
        "v": 1,
        "command_id": command_id or str(uuid.uuid4()),
        "type": kind,
        "issued_at": issued_at(rules, at_ms),
        **fields,
    }


def issued_at(rules: Rules, at_ms: int) -> str:
    """A record time as a command's `issued_at` says it."""
    return BillingDays(rules.time_zone).text(at_ms)


async def place(
    settings: Settings, rules: Rules, command: Command, *, at_ms: int, timeout_s: float, id_is_new: bool = True
) -> Outcome:
    """Send a command, with a record time in ms, and gather its answers for `timeout_s` seconds.

    It goes to its account's partition; one that names none goes to all, in one transaction. `id_is_new`: nobody can
    have used its id before. Raises MeterError when Kafka does not take it, ReusedIdError when the id is another's.
    """
    asked = _asked(command, rules)
    name = settings.topic(topics.COMMAND_RESULTS)
    before = {} if id_is_new else await remembered(settings, rules, at_ms)
    await need_unused(settings, rules, command, before)
    async with reader(settings) as consumer:
        ends = {partition: (await offsets(consumer, name, partition))[1] for partition in asked}
        consumer.assign([TopicPartition(name, partition) for partition in asked])
        for partition, end in ends.items():
            consumer.seek(TopicPartition(name, partition), end)
        await _send(settings, command, asked, at_ms, timeout_s)
        answers = await _answers(consumer, command["command_id"], len(asked), timeout_s)
    # Another one may have come between the look and ours; what is after ours does not matter.
    between = {p: (before[p][1], answer.source.offset) for p, answer in answers.items() if p in before}
    await need_unused(settings, rules, command, between)
    return Outcome(command["command_id"], asked, answers)


def _asked(command: Command, rules: Rules) -> tuple[int, ...]:
    if "account_id" in command:
        return (owner(command["account_id"], rules.partitions),)
    return tuple(range(rules.partitions))


async def _send(settings: Settings, command: Command, asked: tuple[int, ...], at_ms: int, timeout_s: float) -> None:
    key, value = command["command_id"].encode(), json.dumps(command, ensure_ascii=False).encode()
    record: dict[str, Any] = {"key": key, "value": value, "timestamp_ms": at_ms}
    sending = _to_all if "account_id" not in command else _to_one
    try:
        await asyncio.wait_for(sending(settings, asked, record), timeout_s)
    except (KafkaError, TimeoutError) as error:
        raise MeterError(
            f"Kafka did not acknowledge the command ({error!r}), which may count all the same; "
            f"ask again with --command-id {command['command_id']}"
        ) from error


async def _to_one(settings: Settings, asked: tuple[int, ...], record: dict[str, Any]) -> None:
    """No transaction: its id would let only one command be on its way at a time."""
    async with sender(settings) as producer:
        await producer.send_and_wait(settings.topic(topics.COMMANDS), partition=asked[0], **record)


def transactional_id(settings: Settings) -> str:
    """Under which commands go to all partitions."""
    return f"{settings.app_id}-commands"


async def _to_all(settings: Settings, asked: tuple[int, ...], record: dict[str, Any]) -> None:
    """All partitions get it, or none."""
    name = settings.topic(topics.COMMANDS)
    async with transaction(settings, transactional_id(settings)) as producer:
        await asyncio.gather(*[await producer.send(name, partition=partition, **record) for partition in asked])


async def _answers(
    consumer: AIOKafkaConsumer, command_id: str, count: int, timeout_s: float
) -> dict[int, CommandResult]:
    answers: dict[int, CommandResult] = {}
    deadline = time.monotonic() + timeout_s
    while len(answers) < count and (left_s := deadline - time.monotonic()) > 0:
        for batch in (await consumer.getmany(timeout_ms=int(left_s * 1000) + 1)).values():
            for record in batch:
                result = CommandResult.read(record.value)
                if result.command_id == command_id:
                    answers[result.partition] = result
    return answers
