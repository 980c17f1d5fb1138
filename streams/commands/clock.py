"""What time it is for a command: the broker's own, or on a meter with a simulated clock the latest record time.

A simulated clock stands still until a record moves it; `advance` does that, and waits for what fell due.
"""

import asyncio
import operator
import time
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer

from meter import topics
from meter.journal import JournalStep, read_entry
from meter.periods import BillingDays
from meter.rules import Clock, Rules
from meter.state import PartitionState
from streams.commands.placing import place
from streams.commands.verdict import Outcome
from streams.commands.writing import new_command
from streams.completions.submit import Stamps
from streams.errors import MeterError, SettingError
from streams.kafka.clients import offsets, read_range, reader
from streams.process.waiting import until
from streams.published.read import partition_state
from streams.settings import Settings

#: A transaction's journal record is followed by its mark, and aborted ones may lie between: how far to look back first.
TAIL = 16
LOOK_EVERY_S = 0.2


class Advanced(NamedTuple):
    """A simulated clock that was moved: the answers, and the partitions that had still something to do."""

    outcome: Outcome
    behind: list[int]


async def record_time(settings: Settings, rules: Rules, at_ms: int | None) -> int:
    """The record time to give a command, in ms: `at_ms`, else now.

    Raises SettingError for an `at_ms` where the broker gives the time, and where a simulated clock has not begun.
    """
    if rules.clock is Clock.BROKER or at_ms is not None:
        return Stamps(rules, at_ms).of(None)
    now = await simulated_now(settings, rules)
    if not now:
        raise SettingError("this meter's simulated clock has not begun: say when it is, with --at TIME")
    return now


async def simulated_now(settings: Settings, rules: Rules) -> int:
    """The latest record time that any partition has folded, in ms; 0 before the first."""
    async with reader(settings) as consumer:
        name = settings.topic(topics.JOURNAL)
        return max([await _reached(consumer, name, partition) for partition in range(rules.partitions)])


async def _reached(consumer: AIOKafkaConsumer, journal: str, partition: int) -> int:
    start, end = await offsets(consumer, journal, partition)
    reach, first = TAIL, end
    while first > start:
        first, reach = max(start, end - reach), reach * 8
        async for records in read_range(consumer, journal, partition, first, end):
            if isinstance(last := read_entry(records[-1].value), JournalStep):
                return last.record_time
    return 0


async def advance(settings: Settings, rules: Rules, to_ms: int, command_id: str | None, timeout_s: float) -> Advanced:
    """Move a simulated clock, and wait until everything that is due by then is done.

    Raises SettingError where the clock is the broker's, MeterError where it is later already.
    """
    if rules.clock is not Clock.SIMULATED:
        raise SettingError("this meter's clock is the broker's: only a simulated one can be moved")
    if (now := await simulated_now(settings, rules)) > to_ms:
        raise MeterError(f"it is {BillingDays(rules.time_zone).text(now)} already: the clock does not go back")
    began = time.monotonic()
    command = new_command("tick", rules, to_ms, command_id)
    outcome = await place(settings, rules, command, at_ms=to_ms, timeout_s=timeout_s, id_is_new=command_id is None)
    behind = sorted(outcome.answers)

    async def look() -> list[int]:
        nonlocal behind
        behind = await _behind(settings, rules, behind, to_ms)
        return behind

    left_s = timeout_s - (time.monotonic() - began)
    return Advanced(outcome, await until(look, operator.not_, every_s=LOOK_EVERY_S, within_s=left_s))


async def _behind(settings: Settings, rules: Rules, partitions: list[int], to_ms: int) -> list[int]:
    """Those of some partitions that have something to do that is due by an instant."""
    done = await asyncio.gather(*[_is_done(settings, rules, partition, to_ms) for partition in partitions])
    return [partition for partition, is_done in zip(partitions, done, strict=True) if not is_done]


async def _is_done(settings: Settings, rules: Rules, partition: int, to_ms: int) -> bool:
    """Whether a partition has folded all that came in, and has done what is due by an instant."""
    state = await partition_state(settings, rules, partition)
    due_ms = state.agenda.next_ms()
    return (due_ms is None or due_ms > to_ms) and not await _has_more(settings, state)


async def _has_more(settings: Settings, state: PartitionState) -> bool:
    """Whether an input holds records that are not folded; marks of transactions are none."""
    async with reader(settings) as consumer:
        for topic, position in state.position.next.items():
            name = settings.topic(topic)
            _, end = await offsets(consumer, name, state.partition)
            async for _ in read_range(consumer, name, state.partition, position, end):
                return True
    return False
