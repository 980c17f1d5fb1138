"""A reader of topics whose Kafka goes away."""

import asyncio
import logging

import pytest
from aiokafka import TopicPartition

from streams.errors import BrokerLostError
from streams.kafka.clients import reader
from streams.settings import Settings
from tests.client_internals import break_connections, pause_after_failure
from tests.integration.test_broker import create_topic


async def lose(settings: Settings, place: TopicPartition, log: pytest.LogCaptureFixture) -> None:
    """Read, and give up while a fetch pauses, since its connection has broken."""
    async with reader(settings) as consumer:
        consumer.assign([place])
        consumer.seek(place, 0)
        pause_after_failure(consumer, 60.0)
        while "Failed fetch messages" not in log.text:
            break_connections(consumer)
            await asyncio.sleep(0.01)
        raise BrokerLostError("the reason")


async def test_the_reason_is_told_where_kafka_ends_while_it_is_read(
    kafka: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client's end raised CancelledError: a traceback and exit code 1 instead."""
    caplog.set_level(logging.ERROR, "aiokafka.consumer.fetcher")  # whatever a test before has set
    await create_topic(kafka, "reader.lost")
    with pytest.raises(BrokerLostError, match="the reason"):
        await lose(Settings(bootstrap_servers=kafka), TopicPartition("reader.lost", 0), caplog)
