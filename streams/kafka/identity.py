"""Who is it: the ids of a cluster and its topics."""

import asyncio
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, NodeNotReadyError
from aiokafka.protocol.api import Request

from meter.identity import Identity
from streams.errors import RefusalToStartError
from streams.kafka.internals import client_of
from streams.kafka.wire import NO_TOPIC_ID, metadata_of
from streams.settings import Settings

ATTEMPTS = 5
RETRY_S = 0.2


async def identify(client: Any, settings: Settings, names: Iterable[str]) -> Identity:
    """The identity of the cluster and of some topics, as a broker tells it now; a topic that is not there has no id.

    `client` is an aiokafka consumer or producer that has started. Raises KafkaError, and RefusalToStartError where the
    brokers do not know topics by id.
    """
    request = metadata_of(settings.topic(name) for name in dict.fromkeys(names))
    for left in reversed(range(ATTEMPTS)):
        answer = await _ask(client_of(client), request)
        topics = answer["topics"]
        ids = {settings.bare(topic["name"]): _text(topic["topic_id"]) for topic in topics if _has_id(topic)}
        if len(ids) == len(topics) or not left:
            break
        await asyncio.sleep(RETRY_S)  # a broker learns of a topic a moment after it was created
    return Identity(answer["cluster_id"] or "", ids)


def _has_id(topic: Any) -> bool:
    return not topic["error_code"] and topic["topic_id"] != NO_TOPIC_ID


def _text(topic_id: bytes) -> str:
    """As Kafka's own tools write it."""
    return urlsafe_b64encode(topic_id).decode().rstrip("=")


async def _ask(client: AIOKafkaClient, request: Request[Any]) -> Any:
    for left in reversed(range(ATTEMPTS)):
        try:
            return (await client.send(_some_node(client), request)).to_object()
        except NotImplementedError as error:
            raise RefusalToStartError("these brokers give topics no ids: Kafka 3.1 or newer is needed") from error
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
