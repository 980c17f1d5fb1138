"""Whether a log is still the one that a partition's state is of: ids, bounds, and the last record folded of each input.

A topic that was made anew, cut off and filled again, or copied has the same names and offsets, and other records.
"""

from collections.abc import AsyncIterator, Iterable, Iterator

from aiokafka import AIOKafkaConsumer

from meter import topics
from meter.identity import Identity, Seal, seal
from meter.rules import Rules
from meter.snapshot import IDENTITY, POSITION, StateError, StateReader
from meter.state import PartitionState
from streams.errors import RefusalToStartError
from streams.kafka.clients import offsets, read_range, reader
from streams.kafka.identity import identify
from streams.settings import Settings

REMEDY = "restore it, or create a new meter under another METER_TOPIC_PREFIX and METER_APP_ID"
#: How much of a topic's end is looked at first for its last record; markers are offsets without one.
TAIL = 64


async def identity_of(consumer: AIOKafkaConsumer, settings: Settings) -> Identity:
    """Which log this is, now."""
    return await identify(consumer, settings, topics.ALL)


async def differences(settings: Settings, partitions: Iterable[int], rules: Rules) -> list[str]:
    """Every way in which the log is not the one that the states of some partitions are of; quick, on a large log too.

    Raises RefusalToStartError where a state is of another version of the meter.
    """
    found: list[str] = []
    async with reader(settings, topics.ALL) as consumer:
        now = await identity_of(consumer, settings)
        for partition in partitions:
            state = await _position_of(consumer, settings, rules, partition)
            found += other_ids(settings, state.identity, now)
            found += [line async for line in other_records(consumer, settings, state)]
    return list(dict.fromkeys(found))


def other_ids(settings: Settings, known: Identity | None, now: Identity) -> Iterator[str]:
    """What differs between the ids that a state has, and those of now. A topic whose id is not told is left out."""
    if known is None:
        return
    if known.cluster != now.cluster:
        yield (
            f"the state is of the cluster {known.cluster}, this is {now.cluster}: a copy of a meter's topics cannot go "
            "on as that meter; use the cluster that it is of, or create a new meter here"
        )
        return
    for topic, topic_id in known.topics.items():
        if topic in now.topics and now.topics[topic] != topic_id:
            yield (
                f"{settings.topic(topic)} was made anew: the state is of the topic with the id {topic_id}, this one "
                f"has {now.topics[topic]}; {REMEDY}"
            )


async def other_records(consumer: AIOKafkaConsumer, settings: Settings, state: PartitionState) -> AsyncIterator[str]:
    """What differs between the inputs that a state has folded, and those of now: where they end, and the last record.

    Where the last record folded has expired, nothing but the bounds can be compared.
    """
    for topic in topics.INPUTS:
        name = settings.topic(topic)
        where = f"{name}[{state.partition}]"
        start, end = await offsets(consumer, name, state.partition)
        position, last = state.position.next[topic], state.position.last.get(topic)
        if start > position:
            gone = f"{start - position} {'record is' if start - position == 1 else 'records are'} gone"
            yield (
                f"{where} starts at {start}, but is folded only up to {position}: {gone}; restore what is missing, "
                "nothing skips it"
            )
        elif end < position:
            yield (
                f"{where} ends at {end}, but is folded up to {position}: the topic was made anew or cut off; {REMEDY}"
            )
        else:
            known = [] if last is None or last.offset < start else [last]
            begin = last.offset if last is not None and known else start
            if (found := await seals(consumer, name, state.partition, begin, position)) != known:
                yield (
                    f"{where} holds other records below {position} than were folded (at {_at(found)}; folded: "
                    f"{_at(known)}): it was cut off and filled again, or made anew; {REMEDY}"
                )


def _at(found: list[Seal]) -> str:
    return ", ".join(f"{each.offset} of {each.timestamp} ms with {each.checksum}" for each in found) or "none"


async def seals(consumer: AIOKafkaConsumer, topic: str, partition: int, start: int, end: int) -> list[Seal]:
    """The seals of the committed records at the positions [start, end): the first two, where there are more."""
    found: list[Seal] = []
    async for records in read_range(consumer, topic, partition, start, end):
        found += [seal(record) for record in records[:2]]
        if len(found) > 1:
            break
    return found[:2]


async def _position_of(consumer: AIOKafkaConsumer, settings: Settings, rules: Rules, partition: int) -> PartitionState:
    """What a state says of its log: which it is, which was written first, and up to where it is folded."""
    name = settings.topic(topics.STATE)
    start, end = await offsets(consumer, name, partition)
    found = StateReader(PartitionState(rules, partition))
    found.read(IDENTITY, await _first(consumer, name, partition, start, end, IDENTITY))
    begin, window = end, TAIL
    position: bytes | None = None
    while position is None and begin > start:
        begin, window = max(start, end - window), window * 4
        position = await _last(consumer, name, partition, begin, end, POSITION)
    found.read(POSITION, position)
    try:
        return found.finish()
    except StateError as error:
        raise RefusalToStartError(f"{error}; use the meter version that wrote it, or a newer one") from error


async def _first(
    consumer: AIOKafkaConsumer, name: str, partition: int, start: int, end: int, key: bytes
) -> bytes | None:
    """The first value of a key, None where it has none."""
    async for records in read_range(consumer, name, partition, start, end):
        for record in records:
            if record.key == key:
                value: bytes = record.value
                return value
    return None


async def _last(
    consumer: AIOKafkaConsumer, name: str, partition: int, start: int, end: int, key: bytes
) -> bytes | None:
    """The last value of a key, None where it has none."""
    value: bytes | None = None
    async for records in read_range(consumer, name, partition, start, end):
        value = next((record.value for record in reversed(records) if record.key == key), value)
    return value
