"""Who is it: the ids of a cluster and its topics. Only Metadata of version 10 tells them; aiokafka asks for older."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NodeNotReadyError
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Schema, TaggedFields

from meter.identity import Identity
from streams.errors import RefusalToStartError
from streams.settings import Settings

ATTEMPTS = 5
RETRY_S = 0.2


class _Uuid(AbstractType[str]):
    """16 bytes; as text in the form of Kafka's own tools. All zeros: there is none."""

    @classmethod
    def encode(cls, value: str) -> bytes:
        return bytes(16)

    @classmethod
    def decode(cls, data: BytesIO) -> str:
        found = data.read(16)
        return urlsafe_b64encode(found).decode().rstrip("=") if any(found) else ""


class _MetadataResponse(Response):
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
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
                ("topic", CompactString("utf-8")),
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
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):
    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):
    API_KEY = 3

    def __init__(self, names: Iterable[str]) -> None:
        self._topics: list[tuple[str, str, dict[int, bytes]]] = [("", name, {}) for name in names]

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        return request_struct_class(self._topics, False, False, False, {})


async def identify(client: Any, settings: Settings, names: Iterable[str]) -> Identity:
    """The identity of the cluster and of some topics, as a broker tells it now; a topic that is not there has no id.

    `client` is an aiokafka consumer or producer that has started. Raises KafkaError, and RefusalToStartError where the
    brokers do not know topics by id.
    """
    request = _MetadataRequest(settings.topic(name) for name in dict.fromkeys(names))
    for left in reversed(range(ATTEMPTS)):
        answer = await _ask(client._client, request)
        ids = {settings.bare(topic[1]): topic[2] for topic in answer.topics if not topic[0] and topic[2]}
        if len(ids) == len(answer.topics) or not left:
            break
        await asyncio.sleep(RETRY_S)  # a broker learns of a topic a moment after it was created
    return Identity(answer.cluster_id or "", ids)


async def _ask(client: AIOKafkaClient, request: _MetadataRequest) -> Any:
    for left in reversed(range(ATTEMPTS)):
        try:
            return await client.send(_some_node(client), request)
        except NotImplementedError as error:
            raise RefusalToStartError("these brokers give topics no ids: Kafka 2.8 or newer is needed") from error
        except KafkaError:
            if not left:
                raise
            await asyncio.sleep(RETRY_S)
    raise AssertionError


def _some_node(client: AIOKafkaClient) -> int:
    node: int | None = client.get_random_node()
    if node is None:
        raise NodeNotReadyError("no broker is known")
    return node
