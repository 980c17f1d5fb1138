"""Opening a partition: the log is checked, the state and the dedupe index are read back. Only after fencing."""

import asyncio
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from meter import topics
from meter.dedupe import Sighting, content_digest, job_key
from meter.durations import duration_ms, plain_duration_ms
from meter.identity import Identity, seal
from meter.intake import kinds_json
from meter.journal import JournalStep, read_entry
from meter.periods import DAY_MS, instant_us
from meter.readback import PricedIdentity
from meter.rules import Clock
from meter.snapshot import StateError, StateReader
from meter.state import PartitionState
from streams.engine.index import Index
from streams.engine.torn import OWN, LastStep, torn_step
from streams.errors import RefusalToStartError
from streams.kafka.clients import offsets, read_range
from streams.kafka.same_log import other_ids, other_records, seals
from streams.settings import Settings

#: Records of `usage.priced` at a time: some milliseconds, for which the steps of other partitions wait.
PART_RECORDS = 1_000


async def read_state(
    consumer: AIOKafkaConsumer,
    settings: Settings,
    state: PartitionState,
    identity: Identity,
    *,
    moved: Callable[[], object] = lambda: None,
) -> None:
    """Read a new state up to the present end of `meter.state`; it stays new where nothing was ever put out.

    `moved` is told of each part that was read. Raises RefusalToStartError where the log does not fit the state.
    """
    partition = state.partition
    snapshot = StateReader(state)
    name = settings.topic(topics.STATE)
    start, end = await offsets(consumer, name, partition)
    try:
        async for records in read_range(consumer, name, partition, start, end):
            for record in records:
                snapshot.read(record.key, record.value)
            moved()
        snapshot.finish()
    except StateError as error:
        raise RefusalToStartError(f"{name}[{partition}]: {error}; a newer meter wrote it: start that one") from error
    if not snapshot.found:
        await _refuse_outputs_without_state(consumer, settings, partition)
    for difference in other_ids(settings, state.identity, identity):
        raise RefusalToStartError(difference)
    async for difference in other_records(consumer, settings, state):
        raise RefusalToStartError(difference)
    if snapshot.found:
        await _refuse_a_torn_step(consumer, settings, partition, LastStep(state.position.seq, snapshot.before))


async def _refuse_outputs_without_state(consumer: AIOKafkaConsumer, settings: Settings, partition: int) -> None:
    """Folding from the start once more beside outputs that are there would bill everything twice."""
    for topic in OWN:
        name = settings.topic(topic)
        start, end = await offsets(consumer, name, partition)
        async for records in read_range(consumer, name, partition, start, end):
            if any(topic != topics.JOURNAL or isinstance(read_entry(record.value), JournalStep) for record in records):
                raise RefusalToStartError(
                    f"{name}[{partition}] holds records, but {settings.topic(topics.STATE)}[{partition}] "
                    "holds no state: restore meter.state, or create a new meter under another METER_TOPIC_PREFIX"
                )


async def _refuse_a_torn_step(consumer: AIOKafkaConsumer, settings: Settings, partition: int, last: LastStep) -> None:
    """Going on from it would charge for what is not there, or leave out what is."""
    if found := await torn_step(consumer, settings, partition, last):
        raise RefusalToStartError(
            f"partition {partition}: a step is torn: {'; '.join(map(str, found))}. Let no worker go on: see "
            "`meter verify`, and restore the topics of the meter from before it"
        )


_decode = msgspec.json.Decoder(PricedIdentity).decode
#: A few hundred sets of kinds are in use.
_kinds = lru_cache(maxsize=4_096)(kinds_json)


def sighting_of(value: bytes) -> tuple[str, Sighting]:
    """What the dedupe index remembers of a record of `usage.priced`."""
    job = _decode(value)
    # The quick reader knows the forms that we write; what is not one of them costs a moment more.
    milliseconds = plain_duration_ms(job.duration_s.encode()) or duration_ms(job.duration_s)
    completed_us = instant_us(job.completed_at)
    assert milliseconds is not None  # we wrote it
    assert completed_us is not None
    content = content_digest(job.region, _kinds(job.kinds), milliseconds, completed_us)
    return job_key(job.account_id, job.job_id), Sighting(content, job.source.timestamp)


async def catch_up(
    consumer: AIOKafkaConsumer,
    settings: Settings,
    state: PartitionState,
    dedupe: Index,
    since_ms: int,
    *,
    rest: float = 0.0,
    moved: Callable[[], object] = lambda: None,
) -> int:
    """Bring the dedupe index up from `usage.priced`, which is its changelog. Returns how many records it read.

    It gives way to the other partitions again and again, for `rest` times as long as it has worked.
    Raises OtherLogError where the index is not of this log as it is now.
    """
    name = settings.topic(topics.PRICED)
    start, end = await offsets(consumer, name, state.partition)
    position = dedupe.priced_next
    if position == 0:
        position = await _first_since(consumer, name, state, since_ms, start)
    else:
        await _prove_index(consumer, name, state.partition, dedupe, start, end)
    count = 0
    async for records in read_range(consumer, name, state.partition, max(position, start), end):
        for first in range(0, len(records), PART_RECORDS):
            began = time.monotonic()
            part = records[first : first + PART_RECORDS]
            dedupe.add([sighting_of(record.value) for record in part])
            # Both together, at each part: whoever is cancelled here saves what is true by then.
            dedupe.below, dedupe.priced_next = seal(part[-1]), part[-1].offset + 1
            moved()
            await asyncio.sleep(rest * (time.monotonic() - began))
        count += len(records)
    # Without a record below it nothing would prove the position.
    dedupe.priced_next = 0 if dedupe.below is None else end
    return count


class OtherLogError(Exception):
    """The index is of a log that no longer is: it must be made anew."""


async def _prove_index(
    consumer: AIOKafkaConsumer, name: str, partition: int, dedupe: Index, start: int, end: int
) -> None:
    """See that what the index was made of is still there, by the record below its position. Raises OtherLogError."""
    position, below = dedupe.priced_next, dedupe.below
    where = f"{name}[{partition}]"
    if position > end:
        raise OtherLogError(f"{where} ends at {end}, the index knows it up to {position}")
    if below is None or below.offset < start:
        raise OtherLogError(f"{where} starts at {start}: the record that would prove the index is gone")
    if (found := await seals(consumer, name, partition, below.offset, position)) != [below]:
        raise OtherLogError(f"{where} holds other records below {position} than the index was made of: {found[:1]}")


async def _first_since(consumer: AIOKafkaConsumer, name: str, state: PartitionState, since_ms: int, start: int) -> int:
    """The first position that can hold a job priced since then: it was committed later than it was recorded."""
    if state.rules.clock is Clock.SIMULATED:
        return start
    tp = TopicPartition(name, state.partition)
    found: Any = (await consumer.offsets_for_times({tp: max(0, since_ms - DAY_MS)})).get(tp)
    return start if found is None else int(found.offset)
