"""Questions to the broker that no fetch answers, over a connection of their own."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from meter import topics
from meter.identity import Identity
from streams.engine.held import OpenTransaction, open_transactions
from streams.kafka.options import client_options
from streams.kafka.same_log import identity_of
from streams.settings import Settings


class Questions:
    """Connects with the first question."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()

    async def input_ends(self, partition: int) -> dict[str, int]:
        """Where a partition's inputs end, records of open transactions included: what was appended before now."""
        consumer = await self._connected()
        tps = {TopicPartition(self._settings.topic(topic), partition): topic for topic in topics.INPUTS}
        ends = await consumer.end_offsets(list(tps))
        return {topic: ends[tp] for tp, topic in tps.items()}

    async def identity(self) -> Identity:
        """Which log it is, now."""
        return await identity_of(await self._connected(), self._settings)

    async def open_transactions(self, topic: str, partition: int) -> list[OpenTransaction]:
        """The transactions that are open on a partition of a topic."""
        return await open_transactions(await self._connected(), topic, partition)

    async def _connected(self) -> AIOKafkaConsumer:
        async with self._starting:
            if self._consumer is None:
                consumer = AIOKafkaConsumer(**client_options(self._settings), enable_auto_commit=False)
                await consumer.start()
                self._consumer = consumer
        return self._consumer

    async def close(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            await self._consumer.stop()
