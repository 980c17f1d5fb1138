"""A transaction that hangs: Kafka has forgotten to write the end of a former owner's.

A broker that is killed while a transaction is being ended can, at its restart, take the transaction's partitions for
deleted and leave their markers out ("Couldn't find leader endpoint for partitions"). What the transaction wrote is then
neither committed nor aborted, and the next commit of the same producer would commit it too: a step that was read back
as not done, and is folded again, would count twice. So an owner looks for it after fencing, before it reads anything:
only this partition's writer writes to these outputs, so nothing of them may be open then.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from meter import topics
from meter.journal import JournalStep, read_entry
from meter.published import written_by
from meter.state import PartitionState
from streams.engine.held import open_transactions
from streams.engine.torn import OWN, origins, read_ranges
from streams.engine.writer import PartitionWriter
from streams.errors import RefusalToStartError
from streams.kafka.clients import READ_MS, reader
from streams.process.waiting import until
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: A marker that was written is seen after so long at most, also where it has to be replicated first.
MARKERS_S = 3.0
LOOK_S = 0.05


class Hanging(NamedTuple):
    """An output with records behind its committed part: where that ends, and where the log does."""

    stable: int
    last: int


async def close_what_hangs(
    committed: AIOKafkaConsumer, settings: Settings, partition: int, partitions: int, writer: PartitionWriter
) -> None:
    """Abort what a former owner left open without an end. `committed` reads committed records; the writer has started.

    Raises RefusalToStartError where a part of it may be committed, or it cannot be closed.
    """
    async with reader(settings, isolation_level="read_uncommitted") as everything:
        found = await _hanging(everything, committed, settings, partition)
        if not found:
            return
        steps = await _steps(everything, settings, partition, found)
        if ended := _ended(found, steps):
            raise RefusalToStartError(
                f"partition {partition}: a transaction hangs on {', '.join(sorted(found))} and not on "
                f"{', '.join(ended)}: part of a step may be committed; see `kafka-transactions.sh find-hanging`"
            )
        log.warning(
            "a transaction that Kafka has left without an end is aborted", partition=partition, topics=sorted(found)
        )
        await writer.abort_on(_places(steps, partition, partitions))
        if left := await _hanging(everything, committed, settings, partition):
            raise RefusalToStartError(f"partition {partition}: a transaction hangs on {', '.join(sorted(left))}")


async def end_what_was_sent_on(
    committed: AIOKafkaConsumer, settings: Settings, state: PartitionState, partitions: int, writer: PartitionWriter
) -> None:
    """End what hangs on `recognition.jobs.rerouted` of this partition's, as its step has ended: the state knows.

    It holds up the partition that the records were sent to, however whole the step is everywhere else. Raises
    RefusalToStartError where it is of a step that was committed and of one that was not.
    """
    name = settings.topic(topics.REROUTED)
    places = [TopicPartition(name, q) for q in range(partitions)]
    async with reader(settings, isolation_level="read_uncommitted") as everything:
        last, stable = await everything.end_offsets(places), await committed.end_offsets(places)
        for place in places:
            found = await open_transactions(everything, name, place.partition) if last[place] > stable[place] else []
            starts = [each.start for each in found if each.producer_id == writer.producer_id]
            if not starts:
                continue
            records = (await read_ranges(everything, {place: starts[0]}, last))[place]
            folded = {at < state.position.next[topics.COMPLETED] for at in origins(records, state.partition)}
            if len(folded) > 1:
                raise RefusalToStartError(
                    f"{name}[{place.partition}]: a transaction hangs at {starts[0]} that is of a step that was "
                    f"committed and of one that was not; see `meter verify`"
                )
            commit = True in folded
            log.warning("what was sent on is ended", partition=place.partition, position=starts[0], committed=commit)
            await writer.end_on(topics.REROUTED, place.partition, commit=commit)


async def _hanging(
    everything: AIOKafkaConsumer, committed: AIOKafkaConsumer, settings: Settings, partition: int
) -> dict[str, Hanging]:
    """Outputs with records behind the committed part; a moment is given to markers that are on their way."""
    names = {TopicPartition(settings.topic(topic), partition): topic for topic in OWN}

    async def look() -> dict[str, Hanging]:
        # In this order: what is committed in between is no difference.
        last, stable = await everything.end_offsets(list(names)), await committed.end_offsets(list(names))
        return {topic: Hanging(stable[tp], last[tp]) for tp, topic in names.items() if last[tp] > stable[tp]}

    return await until(look, lambda found: not found, every_s=LOOK_S, within_s=MARKERS_S)


def _ended(found: Mapping[str, Hanging], steps: Iterable[JournalStep]) -> list[str]:
    """Outputs that the transaction wrote to, as far as can be known, and on which it does not hang."""
    wrote = {topics.STATE, topics.JOURNAL}.union(*map(written_by, steps))
    return sorted(wrote - found.keys())


def _places(steps: Iterable[JournalStep], partition: int, partitions: int) -> list[tuple[str, int]]:
    """Where an abort ends all that hangs, and nothing else.

    What hangs on `recognition.jobs.rerouted` alone may be of a step that was committed: it is aborted only where the
    transaction itself has sent records on.
    """
    sent_on = any(step.rerouted for step in steps)
    others = [(topics.REROUTED, other) for other in range(partitions)] if sent_on else []
    return [*((topic, partition) for topic in OWN), *others]


async def _steps(
    everything: AIOKafkaConsumer, settings: Settings, partition: int, found: Mapping[str, Hanging]
) -> list[JournalStep]:
    """What the journal holds behind its committed part: a step says what it wrote."""
    if topics.JOURNAL not in found:
        return []
    tp = TopicPartition(settings.topic(topics.JOURNAL), partition)
    start, end = found[topics.JOURNAL]
    everything.assign([tp])
    everything.seek(tp, start)
    records: list[ConsumerRecord] = []
    while await everything.position(tp) < end:
        records += (await everything.getmany(tp, timeout_ms=READ_MS)).get(tp, ())
    # Of what was aborted between, the records of this module have no content.
    entries = [read_entry(record.value) for record in records if record.value]
    return [entry for entry in entries if isinstance(entry, JournalStep)]
