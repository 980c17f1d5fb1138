"""What tests need of aiokafka's clients and they keep to themselves: all of it, and why, is here."""
# ruff: noqa: SLF001

from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher


def is_fetching(consumer: AIOKafkaConsumer) -> bool:
    """Whether a request to fetch is on its way; the client tells nobody when one is sent."""
    return bool(consumer._fetcher._in_flight)


def pause_after_failure(consumer: AIOKafkaConsumer, pause_s: float) -> None:
    """After a fetch that has failed it waits so long; the client's option is the same for all it asks."""
    consumer._fetcher._retry_backoff = pause_s


def break_connections(consumer: AIOKafkaConsumer) -> None:
    """As a broker that ends does."""
    for connection in list(consumer._client._conns.values()):
        connection.close()


def is_closed(consumer: AIOKafkaConsumer) -> bool:
    """Whether it was stopped."""
    return bool(consumer._closed)


def as_if_added(producer: AIOKafkaProducer, place: TopicPartition) -> None:
    """The producer takes a partition for a part of its transaction, of which the coordinator was not told."""
    producer._txn_manager._txn_partitions.add(place)


def coordinators(producer: AIOKafkaProducer) -> set[int]:
    """The nodes that coordinate its transactions."""
    return set(producer._sender._coordinators.values())


def assignment_of(consumer: AIOKafkaConsumer) -> Any:
    """The assignment that is being fetched; another one would drop what is on its way."""
    return consumer._subscription.subscription.assignment


def begin_without_kafka(consumer: AIOKafkaConsumer) -> None:
    """As a consumer is that has started, but for the task that fetches."""
    consumer._subscription.assign_from_user(set())
    consumer._fetcher = Fetcher(consumer._client, consumer._subscription)
    consumer._fetcher._fetch_task.cancel()


async def end_without_kafka(consumer: AIOKafkaConsumer) -> None:
    """It was begun like that: its own end would wait for a Kafka."""
    await consumer._fetcher.close()
    consumer._closed = True
