"""Questions to Kafka that the client library is too old for: topic ids, rights, and whose a transactional id is.

The versions are those that Kafka 3.9 and 4.3 both speak. Layouts are Kafka's own (`MetadataRequest.json` and so on).
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from io import BytesIO
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupIdNotFound,
    KafkaError,
    TransactionalIdAuthorizationFailed,
    for_code,
)
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from streams.kafka.internals import ask_any, ask_node
from streams.kafka.protocol import message

NO_TOPIC_ID = bytes(16)
#: Coordinators are those of groups or of transactions.
GROUP, TRANSACTION = 0, 1
#: A set of rights that Kafka does not tell.
NOT_SAID = -(2**31)
_DENIED = (GroupAuthorizationFailedError, TransactionalIdAuthorizationFailed)


class Operation(IntEnum):
    """What somebody may do; in a set of rights each is the bit of its number."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10

    def __str__(self) -> str:
        return self.name.title().replace("_", "")  # as `kafka-acls.sh --operation` takes it


class Topic(NamedTuple):
    """A topic as its metadata tell of it. What may not even be seen, or is not there, has an `error` and no more.

    `replicas` is how many the least replicated partition has. `rights` is None where Kafka does not say.
    """

    name: str
    error: type[KafkaError] | None
    id: bytes
    partitions: int
    replicas: int
    rights: frozenset[Operation] | None


class _Uuid(AbstractType[bytes]):
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


_Metadata = message(
    3,
    12,
    asks=Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    ),
    answers=Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    ),
)


_DescribeGroups = message(
    15,
    5,
    asks=Schema(
        ("groups", CompactArray(CompactString("utf-8"))),
        ("include_authorized_operations", Boolean),
        ("tags", TaggedFields),
    ),
    answers=Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            CompactArray(
                ("error_code", Int16),
                ("group", CompactString("utf-8")),
                ("state", CompactString("utf-8")),
                ("protocol_type", CompactString("utf-8")),
                ("protocol", CompactString("utf-8")),
                (
                    "members",
                    CompactArray(
                        ("member_id", CompactString("utf-8")),
                        ("group_instance_id", CompactString("utf-8")),
                        ("client_id", CompactString("utf-8")),
                        ("client_host", CompactString("utf-8")),
                        ("member_metadata", CompactBytes),
                        ("member_assignment", CompactBytes),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    ),
)


_FindCoordinators = message(
    10,
    4,
    asks=Schema(
        ("key_type", Int8),
        ("coordinator_keys", CompactArray(CompactString("utf-8"))),
        ("tags", TaggedFields),
    ),
    answers=Schema(
        ("throttle_time_ms", Int32),
        (
            "coordinators",
            CompactArray(
                ("key", CompactString("utf-8")),
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    ),
)


_DescribeTransactions = message(
    65,
    0,
    asks=Schema(("transactional_ids", CompactArray(CompactString("utf-8"))), ("tags", TaggedFields)),
    answers=Schema(
        ("throttle_time_ms", Int32),
        (
            "transactions",
            CompactArray(
                ("error_code", Int16),
                ("transactional_id", CompactString("utf-8")),
                ("state", CompactString("utf-8")),
                ("timeout_ms", Int32),
                ("start_ms", Int64),
                ("producer_id", Int64),
                ("producer_epoch", Int16),
                (
                    "topics",
                    CompactArray(
                        ("topic", CompactString("utf-8")), ("partitions", CompactArray(Int32)), ("tags", TaggedFields)
                    ),
                ),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    ),
)


class ProducerOf(NamedTuple):
    """The producer to which a transactional id belongs: the newest one that has started."""

    producer_id: int
    epoch: int


def metadata_of(names: Iterable[str]) -> Request[Any]:
    """Asks for topics by name: their ids, their partitions, and this client's rights on them."""
    # Never created by asking, whatever the cluster allows: it would get the cluster's defaults.
    return _Metadata([(NO_TOPIC_ID, name, {}) for name in names], False, True, {})


async def describe_topics(client: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, Topic]:
    """Topics by name, in the order asked, as they are now, with this client's rights. None is created by it."""
    wanted = list(names)
    answer = await ask_any(client, metadata_of(wanted))
    said = {topic["name"]: topic for topic in answer.to_object()["topics"]}
    return {name: _topic(said[name]) for name in wanted}


def _topic(said: Any) -> Topic:
    partitions = said["partitions"]
    return Topic(
        said["name"],
        for_code(said["error_code"]) if said["error_code"] else None,
        said["topic_id"],
        len(partitions),
        min((len(partition["replicas"]) for partition in partitions), default=0),
        _rights(said["authorized_operations"]),
    )


async def group_rights(client: AIOKafkaAdminClient, group: str) -> frozenset[Operation] | None:
    """This client's rights on a consumer group, which need not be there. None where Kafka does not say.

    Raises KafkaError where the group's coordinator is not there yet.
    """
    (found,) = await _coordinators(client, GROUP, [group])
    if found.error in _DENIED:
        return frozenset()
    if found.error is not None:
        raise found.error(found.said or found.key)
    answer = await ask_node(client, found.node, _DescribeGroups([group], True, {}))
    (said,) = answer.to_object()["groups"]
    error = for_code(said["error_code"])
    if error in _DENIED:
        return frozenset()
    if said["error_code"] and error is not GroupIdNotFound:
        raise error(group)
    return _rights(said["authorized_operations"])


async def denied_transactions(client: AIOKafkaAdminClient, ids: Sequence[str]) -> list[str]:
    """Those of some transactional ids that this client may not even describe."""
    return [found.key for found in await _coordinators(client, TRANSACTION, ids) if found.error in _DENIED]


async def newest_producer(client: AIOKafkaClient, transactional_id: str) -> ProducerOf:
    """The newest producer of a transactional id that was started before. It changes nothing. Raises KafkaError."""
    node = await client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
    answer = await client.send(node, _DescribeTransactions([transactional_id], {}))
    (said,) = answer.to_object()["transactions"]
    if said["error_code"]:
        raise for_code(said["error_code"])(transactional_id)
    return ProducerOf(said["producer_id"], said["producer_epoch"])


class _Coordinator(NamedTuple):
    key: str
    node: int
    error: type[KafkaError] | None
    said: str | None


async def _coordinators(client: AIOKafkaAdminClient, key_type: int, keys: Sequence[str]) -> list[_Coordinator]:
    answer = await ask_any(client, _FindCoordinators(key_type, list(keys), {}))
    return [
        _Coordinator(
            said["key"],
            said["node_id"],
            for_code(said["error_code"]) if said["error_code"] else None,
            said["error_message"],
        )
        for said in answer.to_object()["coordinators"]
    ]


def _rights(bits: int) -> frozenset[Operation] | None:
    return None if bits == NOT_SAID else frozenset(each for each in Operation if bits >> each & 1)
