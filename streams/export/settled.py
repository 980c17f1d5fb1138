"""A period is exported when nothing of it can change any more: it is settled, and the store has all of it.

That is asked of the log, in this order: its time is past the period's cut and the hour in which bills are issued;
everything recorded before is folded; nothing of it waits to be billed; what came out of that is in the store.
"""

import asyncio
import time
from collections.abc import Mapping

from sqlalchemy import Engine

from meter import topics
from meter.periods import BillingDays
from meter.rules import Clock, Rules
from meter.state import PartitionState
from streams.engine.due import CLOCKS_APART_MS
from streams.errors import MeterError, RefusalToStartError
from streams.export.period import ExportPeriod
from streams.kafka.clients import offsets, read_range, reader
from streams.kafka.rights import reading
from streams.kafka.same_log import differences
from streams.kafka.topics import check
from streams.published.read import partition_state
from streams.settings import Settings
from streams.store.queries.freshness import positions

#: The topics of which exports are made, and the commands that made the price books.
SHOWN = (topics.PRICED, topics.BILLS, topics.LEDGER, topics.COMMANDS, topics.COMMAND_RESULTS)
EXPORTER = reading(topics.STATE, *topics.INPUTS, *SHOWN)
STORE_PATIENCE_S = 30.0
LOOK_S = 0.2


class GrowingError(MeterError):
    """The period may still change."""

    def __init__(self, span: ExportPeriod, why: str) -> None:
        super().__init__(f"{span.period} may still change: {why}; --partial exports what is there now")


async def check_settled(settings: Settings, rules: Rules, engine: Engine, span: ExportPeriod) -> None:
    """See that a period is final. Raises GrowingError with the reason, BrokerLostError, and RefusalToStartError."""
    if (await check(settings, EXPORTER)).meter_id != rules.meter_id:
        raise RefusalToStartError(
            "the store is of another meter than these topics: METER_DATABASE_URL, METER_TOPIC_PREFIX"
        )
    for difference in await differences(settings, range(rules.partitions), rules):
        raise RefusalToStartError(difference)
    days = BillingDays(rules.time_zone)
    due_ms = days.cut_ms(span.last) + rules.settlement_spread_s * 1000
    # As for settlement itself, the broker's clock and this machine's may be an hour apart.
    ready_ms = due_ms + CLOCKS_APART_MS
    if rules.clock is Clock.BROKER and time.time_ns() // 1_000_000 < ready_ms:
        raise GrowingError(span, f"it is settled at {days.text(due_ms)}, and can be exported an hour later")
    for partition in range(rules.partitions):
        await _check_partition(settings, rules, span, partition, due_ms)
    await _check_store(settings, rules, engine, span)


async def _check_partition(settings: Settings, rules: Rules, span: ExportPeriod, partition: int, due_ms: int) -> None:
    state = await partition_state(settings, rules, partition)
    if rules.clock is Clock.SIMULATED and state.position.record_time < due_ms:
        raise GrowingError(span, f"it is settled at {state.days.text(due_ms)}, and it is not that late yet")
    if await _unfolded(settings, state, due_ms):
        raise GrowingError(span, f"partition {partition} has not metered all that was recorded before its settlement")
    first = state.agenda.next_ms()
    if first is not None and first <= due_ms:
        raise GrowingError(span, f"partition {partition} has not issued all of its bills")


async def _unfolded(settings: Settings, state: PartitionState, before_ms: int) -> bool:
    """Whether an input has a committed record from before an instant that is not folded; later ones do no harm."""
    async with reader(settings) as consumer:
        for topic in topics.INPUTS:
            name = settings.topic(topic)
            _, end = await offsets(consumer, name, state.partition)
            async for records in read_range(consumer, name, state.partition, state.position.next[topic], end):
                if min(record.timestamp for record in records) < before_ms:
                    return True
    return False


async def _check_store(settings: Settings, rules: Rules, engine: Engine, span: ExportPeriod) -> None:
    """Wait until the store has what the topics have by now."""
    ends: dict[tuple[str, int], int] = {}
    async with reader(settings) as consumer:
        for topic in SHOWN:
            for partition in range(rules.partitions):
                _, ends[topic, partition] = await offsets(consumer, settings.topic(topic), partition)
    deadline = time.monotonic() + STORE_PATIENCE_S
    while behind := await asyncio.to_thread(_behind, engine, ends):
        if time.monotonic() > deadline:
            topic, partition = behind
            raise GrowingError(
                span, f"the store has not all of {topic}[{partition}] yet: is `meter projector` running?"
            )
        await asyncio.sleep(LOOK_S)


def _behind(engine: Engine, ends: Mapping[tuple[str, int], int]) -> tuple[str, int] | None:
    with engine.connect() as connection:
        reached = {(at.topic, at.partition): at.next_offset for at in positions(connection)}
    return next((place for place, end in ends.items() if reached.get(place, 0) < end), None)
