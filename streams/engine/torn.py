"""A torn step: part of a transaction is committed and part of it is not.

Nothing that is known does that to a step (see `streams/kafka/transactional.py`), and what is not known must not go on
to cost money. So an owner that opens a partition holds the last step against every output, as `meter.published` says,
and so do `meter verify` and `meter reconcile`.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from meter import topics
from meter.journal import JournalStep, read_entry
from meter.published import OUTPUTS, Before, Behind, Contradiction, torn
from meter.readback import PublishedSource
from meter.records import ORIGIN_HEADER
from meter.snapshot import BEFORE, POSITION, kept, read_before
from streams.kafka.clients import READ_MS, offsets, reader
from streams.settings import Settings

#: What only a partition's writer writes to, all of it on that partition.
OWN = (*(output.topic for output in OUTPUTS), topics.JOURNAL, topics.STATE)
#: How long to wait for other partitions' transactions, and how often to look: most of them are committed in a moment.
HELD_S = 3.0
LOOK_S = 0.2
#: Positions of the state that are read for its last step at first, and how much more each time that was not enough.
TAIL = 20_000
TAIL_GROWS = 8


class LastStep(NamedTuple):
    """The last step that the state tells of; `before` is None where its record is missing."""

    seq: int
    before: Before | None


async def torn_step(
    consumer: AIOKafkaConsumer, settings: Settings, partition: int, last: LastStep
) -> list[Contradiction]:
    """How the log contradicts that the state's last step is there as a whole, and that nothing came after it."""
    if last.before is None:
        return [Contradiction(topics.STATE, f"does not say what step {last.seq} came after")]
    places = {TopicPartition(settings.topic(topic), partition): end for topic, end in last.before.ends.items()}
    gone, _, records = await _behind(consumer, places)

    def of(topic: str) -> list[ConsumerRecord]:
        return records[TopicPartition(settings.topic(topic), partition)]

    entries = [entry for record in of(topics.JOURNAL) if isinstance(entry := read_entry(record.value), JournalStep)]
    counts = {
        output.topic: len(of(output.topic))
        for output in OUTPUTS
        if TopicPartition(settings.topic(output.topic), partition) not in gone
    }
    changes = kept({record.key: record.value for record in of(topics.STATE)})
    step = entries[-1] if entries else None
    rerouted = None if step is None else await sent_on(consumer, settings, partition, step, last.before.rerouted)
    return list(torn(last.seq, last.before, Behind(entries, counts, changes, rerouted)))


async def sent_on(
    consumer: AIOKafkaConsumer, settings: Settings, partition: int, step: JournalStep, before: Mapping[int, int]
) -> int | None:
    """How many records the step has sent on; None where the log does not tell.

    It may begin only after them, or end before them for now: the writers of other partitions send there as well, and
    what one of them has not committed yet hides what lies behind it.
    """
    places = {TopicPartition(settings.topic(topics.REROUTED), q): end for q, end in before.items()}
    deadline = time.monotonic() + HELD_S
    while places:
        gone, ends, records = await _behind(consumer, places)
        if gone:
            return None
        found = _forwarded_by(step, partition, [record for some in records.values() for record in some])
        if found >= step.rerouted or not await _are_held(settings, ends):
            return found
        if time.monotonic() > deadline:
            return None
        await asyncio.sleep(LOOK_S)
    return 0


async def _are_held(settings: Settings, ends: Mapping[TopicPartition, int]) -> bool:
    """Whether anything lies behind these ends of what is committed."""
    async with reader(settings, isolation_level="read_uncommitted") as everything:
        last = await everything.end_offsets(list(ends))
    return any(last[tp] > end for tp, end in ends.items())


async def ends_of(consumer: AIOKafkaConsumer, settings: Settings, partition: int) -> dict[str, int]:
    """Where the committed part of each output of a partition ends."""
    names = {TopicPartition(settings.topic(topic), partition): topic for topic in OWN}
    ends = await consumer.end_offsets(list(names))
    return {topic: ends[tp] for tp, topic in names.items()}


async def rerouted_ends(consumer: AIOKafkaConsumer, settings: Settings, partitions: int) -> dict[int, int]:
    """Where the committed part of each partition of `recognition.jobs.rerouted` ends."""
    ends = await consumer.end_offsets([TopicPartition(settings.topic(topics.REROUTED), q) for q in range(partitions)])
    return {tp.partition: end for tp, end in ends.items()}


async def last_step(consumer: AIOKafkaConsumer, settings: Settings, partition: int) -> tuple[LastStep | None, int]:
    """The last step that `meter.state` tells of, if there is one, and where its committed part ends."""
    name = settings.topic(topics.STATE)
    start, end = await offsets(consumer, name, partition)
    size, tp = TAIL, TopicPartition(name, partition)
    while True:
        first = max(start, end - size)
        records = (await read_ranges(consumer, {tp: first}, {tp: end}))[tp]
        rows = {record.key: record.value for record in records}
        if POSITION in rows and (
            BEFORE in rows or first == start
        ):  # a step leads with it: a long one begins further back
            before = rows.get(BEFORE)
            seq = msgspec.json.decode(rows[POSITION])["seq"]
            return LastStep(seq, None if before is None else read_before(before)), end
        if first == start:
            return None, end
        size *= TAIL_GROWS


async def _behind(
    consumer: AIOKafkaConsumer, places: Mapping[TopicPartition, int]
) -> tuple[set[TopicPartition], Mapping[TopicPartition, int], dict[TopicPartition, list[ConsumerRecord]]]:
    """Where the log begins only after some positions; where what is committed ends; and the records between."""
    starts, ends = await consumer.beginning_offsets(list(places)), await consumer.end_offsets(list(places))
    gone = {tp for tp, position in places.items() if starts[tp] > position}
    begin = {tp: max(starts[tp], position) for tp, position in places.items()}
    return gone, ends, await read_ranges(consumer, begin, ends)


async def read_ranges(
    consumer: AIOKafkaConsumer, starts: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, list[ConsumerRecord]]:
    """The records of several ranges, all at once."""
    found: dict[TopicPartition, list[ConsumerRecord]] = {tp: [] for tp in starts}
    left = {tp for tp, start in starts.items() if start < ends[tp]}
    consumer.assign(list(left))
    for tp in left:
        consumer.seek(tp, starts[tp])
    while left:
        for tp, records in (await consumer.getmany(*left, timeout_ms=READ_MS)).items():
            found[tp] += [record for record in records if record.offset < ends[tp]]
        left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
    consumer.assign([])  # see `read_range`
    return found


def _forwarded_by(step: JournalStep, partition: int, records: Iterable[ConsumerRecord]) -> int:
    """How many of these records the step has sent on: their origin is in what it read."""
    read = [span for span in step.inputs if span.topic == topics.COMPLETED]
    return len({at for at in origins(records, partition) if any(span.start <= at < span.next for span in read)})


def origins(records: Iterable[ConsumerRecord], partition: int) -> set[int]:
    """Offsets of the completions of a partition that these records, of `recognition.jobs.rerouted`, were once."""
    found = set()
    for record in records:
        header = next((value for key, value in record.headers if key == ORIGIN_HEADER), None)
        try:
            origin = msgspec.json.decode(header or b"", type=PublishedSource)
        except msgspec.MsgspecError:
            continue  # not the meter's
        if (origin.topic, origin.partition) == (topics.COMPLETED, partition):
            found.add(origin.offset)
    return found
