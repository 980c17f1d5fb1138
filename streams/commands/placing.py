"""A command on its way: to the partition of its account, or to all of them, and the answers that come back."""

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from meter import topics
from meter.commands import read_command
from meter.rules import Rules
from streams.commands.identity import need_unused
from streams.commands.notice import too_early
from streams.commands.verdict import AnswersSoFar, Outcome, read_answer
from streams.commands.writing import Command, written
from streams.errors import MeterError
from streams.kafka.clients import offsets, reader, sender
from streams.kafka.transactional import transaction
from streams.settings import Settings


async def place(
    settings: Settings, rules: Rules, command: Command, *, at_ms: int, timeout_s: float, id_is_new: bool = True
) -> Outcome:
    """Send a command, with a record time in ms, and gather its answers for `timeout_s` seconds.

    It goes to its account's partition; one that names none goes to all, in one transaction. `id_is_new`: nobody can
    have used its id before. Raises MeterError when the meter could not read a new one, Kafka does not take it, or a new
    command's day begins too soon; ReusedIdError when the id is another's.
    """
    if not id_is_new:
        await need_unused(settings, rules, command, at_ms)
    elif (wrong := read_command(written(command)).refusal) is not None:
        raise MeterError(f"refused: {wrong.code}: {wrong.message}")
    elif (early := too_early(command, rules, at_ms)) is not None:
        raise MeterError(f"refused: {early.code}: {early.message}")
    answers = AnswersSoFar(command, rules)
    name = settings.topic(topics.COMMAND_RESULTS)
    async with reader(settings) as consumer:
        ends = {partition: (await offsets(consumer, name, partition))[1] for partition in answers.partitions}
        consumer.assign([TopicPartition(name, partition) for partition in ends])
        for partition, end in ends.items():
            consumer.seek(TopicPartition(name, partition), end)
        await _send(settings, command, answers.partitions, at_ms, timeout_s)
        await _gather(consumer, answers, timeout_s)
    return answers.outcome


async def _send(
    settings: Settings, command: Command, partitions: tuple[int, ...], at_ms: int, timeout_s: float
) -> None:
    record: dict[str, Any] = {"key": command["command_id"].encode(), "value": written(command), "timestamp_ms": at_ms}
    sending = _to_all if "account_id" not in command else _to_one
    try:
        await asyncio.wait_for(sending(settings, partitions, record), timeout_s)
    except (KafkaError, TimeoutError) as error:
        raise MeterError(
            f"Kafka did not acknowledge the command ({error!r}), which may count all the same; "
            f"ask again with --command-id {command['command_id']}"
        ) from error


async def _to_one(settings: Settings, partitions: tuple[int, ...], record: dict[str, Any]) -> None:
    """No transaction: its id would let only one command be on its way at a time."""
    async with sender(settings) as producer:
        await producer.send_and_wait(settings.topic(topics.COMMANDS), partition=partitions[0], **record)


def transactional_id(settings: Settings) -> str:
    """Under which commands go to all partitions."""
    return f"{settings.app_id}-commands"


async def _to_all(settings: Settings, partitions: tuple[int, ...], record: dict[str, Any]) -> None:
    """All partitions get it, or none."""
    name = settings.topic(topics.COMMANDS)
    async with transaction(settings, transactional_id(settings)) as producer:
        await asyncio.gather(*[await producer.send(name, partition=partition, **record) for partition in partitions])


async def _gather(consumer: AIOKafkaConsumer, answers: AnswersSoFar, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not answers.are_all and (left_s := deadline - time.monotonic()) > 0:
        for batch in (await consumer.getmany(timeout_ms=int(left_s * 1000) + 1)).values():
            for record in batch:
                if (answer := read_answer(record.value)) is not None:
                    answers.take(answer)
