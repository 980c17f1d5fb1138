"""What Kafka has acknowledged and the meter has not folded yet: so much is missing in what is shown, and is said.

The journal says how far each partition is. What follows is read, and counted: the ends of transactions have positions
too, and those that were aborted count for nothing.
"""

from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer

from meter import topics
from meter.journal import JournalStep, read_entry
from meter.rules import Rules
from streams.kafka.clients import offsets, read_range, reader
from streams.settings import Settings

COMPLETIONS = (topics.COMPLETED, topics.REROUTED)
#: Beyond so many positions they are not read one by one.
COUNTED = 5_000
#: Entries of the journal that are looked at first, from its end; then four times as many.
WINDOW = 32


class Waiting(NamedTuple):
    """So many records; where they are too many to be counted, so many at most."""

    records: int
    is_exact: bool

    def __str__(self) -> str:
        noun = "acknowledged record is" if self.records == 1 else "acknowledged records are"
        return f"{'' if self.is_exact else 'up to '}{self.records:,} {noun} not metered yet"


async def waiting(settings: Settings, rules: Rules, names: Iterable[str] = COMPLETIONS) -> Waiting:
    """What waits in the inputs of these names, in all partitions. Looked at before something is read, it is never less.

    Raises BrokerLostError.
    """
    wanted, records, is_exact = tuple(names), 0, True
    async with reader(settings, [topics.JOURNAL, *wanted]) as consumer:
        for partition in range(rules.partitions):
            spans = await _spans(consumer, settings, wanted, partition)
            for name, (start, end) in spans.items():
                if end - start > COUNTED:
                    records, is_exact = records + end - start, False
                    continue
                async for found in read_range(consumer, settings.topic(name), partition, start, end):
                    records += len(found)
    return Waiting(records, is_exact)


async def _spans(
    consumer: AIOKafkaConsumer, settings: Settings, names: Iterable[str], partition: int
) -> dict[str, tuple[int, int]]:
    """The positions [start, end) of each input that the journal does not cover."""
    spans = {name: await offsets(consumer, settings.topic(name), partition) for name in names}
    spans = {name: span for name, span in spans.items() if span[0] < span[1]}
    reached = await _reached(consumer, settings.topic(topics.JOURNAL), partition, set(spans)) if spans else {}
    return {name: (max(start, reached.get(name, 0)), end) for name, (start, end) in spans.items()}


async def _reached(consumer: AIOKafkaConsumer, journal: str, partition: int, names: set[str]) -> dict[str, int]:
    """The next position of each input, by the last step that read from it; from the journal's end backwards."""
    first, last = await offsets(consumer, journal, partition)
    window, reached = WINDOW, dict[str, int]()
    while last > first and names - reached.keys():
        start, later = max(first, last - window), reached
        reached = {}
        async for records in read_range(consumer, journal, partition, start, last):
            for entry in (read_entry(record.value) for record in records):
                if isinstance(entry, JournalStep):
                    reached |= {covered.topic: covered.next for covered in entry.inputs}
        reached |= later
        last, window = start, window * 4
    return reached
