"""A transaction that hangs: Kafka has forgotten to write the end of a former owner's.

A broker that is killed while a transaction is being ended can, at its restart, take the transaction's partitions for
deleted and leave their markers out ("Couldn't find leader endpoint for partitions"). What the transaction wrote is then
neither committed nor aborted, and the next commit of the same producer would commit it too: a step that was read back
as not done, and is folded again, would count twice. So an owner looks for it after fencing, before it reads anything:
only this partition's writer writes to these outputs, so nothing of them may be open then.
"""

import asyncio
import time

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from meter import topics
from streams.engine.recovery import OUTPUTS
from streams.engine.writer import PartitionWriter
from streams.errors import RefusalToStartError
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: What nobody but a partition's writer writes to.
OWN = (*OUTPUTS, topics.JOURNAL)
#: A marker that was written is seen after so long at most, also where it has to be replicated first.
MARKERS_S = 3.0
LOOK_S = 0.05


async def close_what_hangs(
    committed: AIOKafkaConsumer, settings: Settings, partition: int, partitions: int, writer: PartitionWriter
) -> None:
    """Abort what a former owner left open without an end. `committed` reads committed records; the writer has started.

    Raises RefusalToStartError where a part of it was committed, or it cannot be closed.
    """
    found = await _hanging(committed, settings, partition)
    if not found:
        return
    if not {topics.STATE, topics.JOURNAL} <= set(found):
        raise RefusalToStartError(
            f"partition {partition}: a transaction hangs on {', '.join(sorted(found))} and not on the state and the "
            "journal: part of a step may be committed; see `kafka-transactions.sh find-hanging`"
        )
    log.warning(
        "a transaction that Kafka has left without an end is aborted", partition=partition, topics=sorted(found)
    )
    everywhere = [(topics.REROUTED, other) for other in range(partitions)]
    await writer.abort_on([*((topic, partition) for topic in OWN), *everywhere])
    if left := await _hanging(committed, settings, partition):
        raise RefusalToStartError(f"partition {partition}: a transaction hangs on {', '.join(sorted(left))}")


async def _hanging(committed: AIOKafkaConsumer, settings: Settings, partition: int) -> list[str]:
    """Outputs with records behind the committed part; a moment is given to markers that are on their way."""
    names = {TopicPartition(settings.topic(topic), partition): topic for topic in OWN}
    everything = AIOKafkaConsumer(**settings.client(), enable_auto_commit=False)
    await everything.start()
    try:
        deadline = time.monotonic() + MARKERS_S
        while True:
            # In this order: what is committed in between is no difference.
            last, stable = await everything.end_offsets(list(names)), await committed.end_offsets(list(names))
            found = [topic for tp, topic in names.items() if last[tp] > stable[tp]]
            if not found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(LOOK_S)
    finally:
        await everything.stop()
