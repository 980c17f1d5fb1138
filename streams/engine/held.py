"""Inputs that an open transaction holds up: nobody can read beyond its first record until it ends.

It is some producer's. Kafka ends it after the producer's own transaction timeout, unless that is long, or the end was
forgotten: then it holds the input, and with it the partition's settlement, for ever. Nothing but this tells so: up to
the last stable offset everything is read.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields
from aiokafka.structs import TopicPartition

from streams.engine.inputs import InputEnd
from streams.kafka.internals import client_of, metadata_of_topic
from streams.kafka.protocol import message

#: (topic, partition)
Place = tuple[str, int]


class Held(NamedTuple):
    """An input that nobody can read beyond a position, and for how long it has been so, in seconds."""

    topic: str
    partition: int
    position: int
    seconds: float


class HeldInputs:
    """Notes since when each input's stable end stands below its end, and until when that was seen.

    An input for which there is no room is not fetched: what was seen of it last is no news.
    """

    def __init__(self) -> None:
        #: Position, since when, and until when.
        self._stands: dict[Place, tuple[int, float, float]] = {}

    def look(self, ends: Mapping[Place, InputEnd]) -> None:
        """See how the inputs of this worker are now."""
        known, self._stands = self._stands, {}
        for place, seen in ends.items():
            if seen.last > seen.end:
                position, since, _ = known.get(place, (-1, 0.0, 0.0))
                self._stands[place] = seen.end, since if position == seen.end else seen.seen_at, seen.seen_at

    def all(self) -> Iterator[Held]:
        """Every input that is held, however short: in most of them a transaction is about to be committed."""
        for (topic, partition), (position, since, until) in self._stands.items():
            yield Held(topic, partition, position, until - since)


class OpenTransaction(NamedTuple):
    """A transaction that is open on a partition: its producer's id, its first record, and when it wrote last (ms)."""

    producer_id: int
    start: int
    last_ms: int


_DescribeProducers = message(
    61,
    0,
    asks=Schema(
        (
            "topics",
            CompactArray(("name", CompactString("utf-8")), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)),
        ),
        ("tags", TaggedFields),
    ),
    answers=Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("error_message", CompactString("utf-8")),
                        (
                            "producers",
                            CompactArray(
                                ("producer_id", Int64),
                                ("producer_epoch", Int32),
                                ("last_sequence", Int32),
                                ("last_timestamp", Int64),
                                ("coordinator_epoch", Int32),
                                ("start_offset", Int64),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    ),
)


async def open_transactions(client: Any, topic: str, partition: int) -> list[OpenTransaction]:
    """The transactions that are open on a partition, the one that holds it first; none where Kafka does not tell.

    `client` is an aiokafka consumer or producer that has started; neither has another way than its own client to ask
    one node. Raises KafkaError.
    """
    asking = client_of(client)
    await metadata_of_topic(asking, topic)
    leader = asking.cluster.leader_for_partition(TopicPartition(topic, partition))
    if leader in {None, -1}:
        return []
    try:
        answer = await asking.send(leader, _DescribeProducers([(topic, [partition], {})], {}))
    except NotImplementedError:
        return []  # Kafka 2.8 is the first that tells
    producers = answer.topics[0][1][0][3] or []
    found = [OpenTransaction(each[0], each[5], each[3]) for each in producers if each[5] >= 0]
    return sorted(found, key=lambda each: each.start)
