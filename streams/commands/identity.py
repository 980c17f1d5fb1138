"""An id that was used on another partition: each partition holds the ids of its own accounts, and no other.

The meter itself refuses an id that comes again with other content on the same partition. Whoever names an id looks
first whether one of the others has it, for as long as the meter remembers ids.
"""

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from meter import topics
from meter.commands import Reading, read_command
from meter.periods import BillingDays
from meter.rules import Rules
from streams.commands.writing import Command, asked, digest_of
from streams.errors import MeterError
from streams.kafka.clients import offsets, read_range, reader
from streams.settings import Settings


class ReusedIdError(MeterError):
    """The id of a command was used for another one. The command was not done."""


def elsewhere(command: Command, rules: Rules) -> list[int]:
    """The partitions that will not say whether they know the id; all of them where they could come to disagree."""
    there = asked(command, rules)
    return [partition for partition in range(rules.partitions) if len(there) > 1 or partition not in there]


async def need_unused(
    settings: Settings, rules: Rules, command: Command, now_ms: int, known: Mapping[int, int] | None = None
) -> None:
    """Raises ReusedIdError where another partition has a command of this id with other content.

    `known`: by partition, up to where whoever asks has looked already.
    """
    name, digest = settings.topic(topics.COMMANDS), digest_of(command)
    since_ms = max(0, now_ms - rules.horizon_ms - rules.future_tolerance_ms)
    async with reader(settings) as consumer:
        for partition in elsewhere(command, rules):
            first = await _first_since(consumer, name, partition, since_ms)
            start = max(first, (known or {}).get(partition, 0))
            _, end = await offsets(consumer, name, partition)
            async for records in read_range(consumer, name, partition, start, end):
                for record in records:
                    read = read_command(record.value)
                    if read.command_id == command["command_id"] and read.digest != digest:
                        raise _reused(read, record.timestamp, rules)


async def _first_since(consumer: AIOKafkaConsumer, name: str, partition: int, since_ms: int) -> int:
    """The first position of the commands whose ids the meter may still remember."""
    at = TopicPartition(name, partition)
    first = (await consumer.offsets_for_times({at: since_ms}))[at]
    return int((await offsets(consumer, name, partition))[1] if first is None else first.offset)


def _reused(first: Reading, recorded_ms: int, rules: Rules) -> ReusedIdError:
    whose = "" if first.account_id is None else f" of {first.account_id}"
    when = BillingDays(rules.time_zone).text(recorded_ms)
    first_one = f"{first.command_id!r} was used for another command, {first.kind or 'of no type'}{whose} at {when}"
    return ReusedIdError(f"not done: the id {first_one}; take a new one")
