"""What aiokafka keeps to itself and the meter cannot do without: from outside its classes, here and nowhere else.

Each function says what the client has no public way for. A new version of aiokafka is read beside this file.
"""
# ruff: noqa: SLF001

import asyncio
from typing import Any

from aiokafka.client import AIOKafkaClient
from aiokafka.structs import TopicPartition


def client_of(user: Any) -> AIOKafkaClient:
    """The client of a consumer or an admin client: it asks a node what they have no question for."""
    client: AIOKafkaClient = user._client
    return client


def asked_topics(client: Any) -> set[str]:
    """The topics whose metadata a client keeps up to date: `set_topics` drops all others."""
    topics: set[str] = client._topics
    return topics


async def metadata_of_topic(client: Any, topic: str) -> None:
    """Wait until a client knows a topic's leaders. Raises KafkaError. `fetch_all_metadata` asks for all."""
    await client._wait_on_metadata(topic)


def last_heard(client: Any) -> float:
    """Monotonic time of the last answer over the connections that are open; 0.0 where there is none."""
    return max((connection._last_action for connection in list(client._conns.values())), default=0.0)


# -- admin ---------------------------------------------------------------------------------------------------


async def ask_any(admin: Any, request: Any) -> Any:
    """Any broker's answer to a request that the admin client has no method for. Raises KafkaError."""
    return await admin._send_request(request)


async def ask_node(admin: Any, node: int, request: Any) -> Any:
    """One broker's answer. Raises KafkaError."""
    return await admin._send_request_to_node(node, request)


# -- a consumer's fetcher ------------------------------------------------------------------------------------


def stop_fetching(consumer_fetcher: Any) -> "asyncio.Task[None]":
    """Cancel the task that fetches what is assigned, which may not hear it. Returns it."""
    task: asyncio.Task[None] = consumer_fetcher._fetch_task
    task.cancel()
    return task


def is_fetching_stopped(consumer_fetcher: Any) -> bool:
    """Whether the task that fetches has ended."""
    return bool(consumer_fetcher._fetch_task.done())


def take_fetches(consumer_fetcher: Any) -> "tuple[asyncio.Task[Any], ...]":
    """The fetches that are not answered yet: from here on they are the caller's to end, not the fetcher's."""
    fetches = tuple(consumer_fetcher._pending_tasks)
    consumer_fetcher._pending_tasks.clear()
    return fetches


def is_closed(consumer_fetcher: Any) -> bool:
    """Whether nothing is handed out any more."""
    return bool(consumer_fetcher._closed)


def set_patience(consumer_fetcher: Any, min_bytes: int, max_wait_ms: int) -> None:
    """When the broker answers the next fetches. The client's options hold for its whole life."""
    consumer_fetcher._fetch_min_bytes, consumer_fetcher._fetch_max_wait_ms = min_bytes, max_wait_ms


# -- what a consumer is assigned -----------------------------------------------------------------------------


def never_idle(subscription: Any) -> None:
    """A member that never polls stays in its group: it counts as one whose fetch is under way."""
    subscription._fetch_count += 1


def add_to_assignment(assignment: Any, place: TopicPartition, state: Any) -> None:
    """Assign one partition more, as it is: assigning anew would drop what is being fetched of all others."""
    assignment._tp_state[place] = state
    assignment._topic_partitions |= {TopicPartition(*place)}


# -- a member's group ----------------------------------------------------------------------------------------


async def end_membership(coordinator: Any) -> None:
    """End the member's own tasks, in the midst of a rebalance too, where its `close` would wait for the others."""
    if not coordinator._closing.done():
        coordinator._closing.set_result(None)
    for task in (coordinator._heartbeat_task, coordinator._coordination_task, coordinator._commit_refresh_task):
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def membership_error(coordinator: Any) -> BaseException | None:
    """Why the member has left its group without being asked, if it has. For any thread: it only reads."""
    task = getattr(coordinator, "_coordination_task", None)
    if task is None or not task.done() or task.cancelled():
        error: BaseException | None = getattr(coordinator, "_pending_exception", None)
        return error
    return task.exception() or RuntimeError("the group's coordination has ended")


def instance_id_of(coordinator: Any) -> str | None:
    """The member's static id."""
    instance_id: str | None = coordinator._group_instance_id
    return instance_id


# -- batches and producers -----------------------------------------------------------------------------------


def replace_bytes(batch: Any, kind: type[bytearray]) -> None:
    """Have a batch of aiokafka's reader in Python read its records, decompressed, from bytes of another class."""
    batch._maybe_uncompress()
    batch._buffer = kind(batch._buffer)


async def close_sender(producer: Any) -> None:
    """End what a producer sends, where its `stop` would first flush what it has."""
    await producer._sender.close()
