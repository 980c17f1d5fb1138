"""An id that was used for another command: to the meter it is that command, sent again.

The meter does not compare contents: it repeats its answer, and so would say done of what it has not done. Whoever
names an id looks first whether the log has it, on any partition, for as long as the meter remembers ids.
"""

import json
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition

from meter import topics
from meter.commands import command_digest, read_command
from meter.periods import BillingDays
from meter.rules import Rules
from streams.errors import MeterError
from streams.kafka import offsets, read_range, reader
from streams.settings import Settings

#: Ranges of `meter.commands`: partition -> the offsets [start, end).
Spans = Mapping[int, tuple[int, int]]


class ReusedIdError(MeterError):
    """The id of a command was used for another one. The command was not done."""


async def remembered(settings: Settings, rules: Rules, now_ms: int) -> Spans:
    """Where in the log the commands are whose ids the meter may still remember."""
    name = settings.topic(topics.COMMANDS)
    since_ms = max(0, now_ms - rules.horizon_ms - rules.future_tolerance_ms)
    spans: dict[int, tuple[int, int]] = {}
    async with reader(settings) as consumer:
        for partition in range(rules.partitions):
            at = TopicPartition(name, partition)
            first = (await consumer.offsets_for_times({at: since_ms}))[at]
            _, end = await offsets(consumer, name, partition)
            spans[partition] = (end if first is None else first.offset, end)
    return spans


async def need_unused(settings: Settings, rules: Rules, command: Mapping[str, Any], spans: Spans) -> None:
    """Raises ReusedIdError where one of these ranges has another command of the same id; `issued_at` may differ."""
    name = settings.topic(topics.COMMANDS)
    digest = command_digest(json.dumps(command, ensure_ascii=False).encode())
    async with reader(settings) as consumer:
        for partition, (start, end) in spans.items():
            async for records in read_range(consumer, name, partition, start, end):
                for record in records:
                    read = read_command(record.value)
                    if read.command_id == command["command_id"] and read.digest != digest:
                        raise _reused(command["command_id"], record.value, record.timestamp, rules)


def _reused(command_id: str, value: bytes, recorded_ms: int, rules: Rules) -> ReusedIdError:
    first = json.loads(value)
    whose = f" of {first['account_id']}" if "account_id" in first else ""
    when = BillingDays(rules.time_zone).text(recorded_ms)
    first_one = f"{first['type']}{whose} at {when}"
    return ReusedIdError(f"not done: the id {command_id!r} was used for another command, {first_one}; take a new one")
