"""Reading and writing Kafka outside the worker's hot path: one way to wait for a broker, read a range, send a few."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError, KafkaError

from streams.errors import BrokerLostError, BrokerRefusesError
from streams.kafka import connections, internals
from streams.kafka import records as lenient
from streams.kafka.diagnosis import why_not
from streams.kafka.options import client_options
from streams.kafka.transactional import start, stop
from streams.process.retrying import patiently
from streams.settings import Settings

connections.install()
lenient.install()

READ_COMMITTED = "read_committed"
PRODUCER_STOP_S = 5.0
STOP_AGAIN_S = 0.05
#: A fetch of nothing but the markers of transactions wakes nobody: how often to look how far it came.
READ_MS = 20


@asynccontextmanager
async def admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client. Raises BrokerLostError when no broker answers."""
    client = AIOKafkaAdminClient(**client_options(settings))
    try:
        await client.start()
    except KafkaError as error:
        await client.close()
        raise await no_broker(settings, error) from error
    try:
        yield client
    finally:
        await client.close()


class Reader(AIOKafkaConsumer):
    """aiokafka's consumer, which forgets where a topic is as soon as another is assigned, and asks again each time.

    Here it is asked once, for all topics of a question together.
    """

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        self._subscription.assign_from_user(partitions)
        asked = internals.asked_topics(self._client)
        if new := {tp.topic for tp in partitions} - asked:
            self._client.set_topics(asked | new)

    async def beginning_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        await self.know({tp.topic for tp in partitions})
        found: dict[TopicPartition, int] = await super().beginning_offsets(partitions)
        return found

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        await self.know({tp.topic for tp in partitions})
        found: dict[TopicPartition, int] = await super().end_offsets(partitions)
        return found

    async def know(self, names: set[str]) -> None:
        """Ask where these topics are, those of them that it was never asked for."""
        asked = internals.asked_topics(self._client)
        if new := names - asked:
            await self._client.set_topics(asked | new)

    async def stop(self) -> None:
        """End it. A cancellation that comes while a gone assignment's fetch is cancelled is lost: it is given again."""
        while self._fetcher is not None and not internals.is_fetching_stopped(self._fetcher):
            await asyncio.wait([internals.stop_fetching(self._fetcher)], timeout=STOP_AGAIN_S)
        if self._fetcher is not None:
            # The client's own end awaits each: one that pauses, since Kafka is gone, would raise its CancelledError.
            fetches = internals.take_fetches(self._fetcher)
            for fetch in fetches:
                fetch.cancel()
            await asyncio.gather(*fetches, return_exceptions=True)
        await super().stop()


@asynccontextmanager
async def reader(
    settings: Settings,
    names: Iterable[str] = (),
    *,
    fetch_max_wait_ms: int = 20,
    isolation_level: str = READ_COMMITTED,
    **options: Any,
) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group, of committed records unless told otherwise; assign and seek it.

    It asks at once where the topics are that it is for, `names` in the contract.
    """
    consumer = Reader(
        **client_options(settings),
        isolation_level=isolation_level,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=4 << 20,
        # A fetch that waits for records holds up the next question on its connection; what is read here is there.
        fetch_max_wait_ms=fetch_max_wait_ms,
        # The first question about a topic waits this long for its metadata; the client's own 100 ms add up.
        retry_backoff_ms=20,
        **options,
    )
    try:
        await consumer.start()
        await consumer.know({settings.topic(name) for name in names})
    except KafkaError as error:
        await consumer.stop()
        raise await no_broker(settings, error) from error
    except BaseException:
        await consumer.stop()
        raise
    # The client's own tasks begin to run: stopping it while one has not begun raises CancelledError.
    await asyncio.sleep(0)
    try:
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def sender(settings: Settings, **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A producer whose records count as sent when all in-sync replicas have them.

    It sends a batch that is not answered again, without end, and Kafka takes it once. So whoever waits for one needs a
    deadline of their own.
    """
    producer = AIOKafkaProducer(**client_options(settings), acks="all", enable_idempotence=True, **options)
    try:
        await start(producer, settings.publish_timeout_s)
    except KafkaError as error:
        await stop(producer)
        raise await no_broker(settings, error) from error
    except BaseException:
        await stop(producer)
        raise
    try:
        yield producer
    finally:
        # Stopping sends what is left, without end where there is no Kafka; whoever needs it sent has awaited that.
        await stop(producer, PRODUCER_STOP_S)


async def no_broker(settings: Settings, error: BaseException) -> BrokerLostError:
    """The one line for a Kafka that does not answer, or lets nobody in with these settings."""
    found = await why_not(settings)
    for server, what, is_setting in found:
        if is_setting:
            return BrokerRefusesError(f"Kafka at {server}: {what}")
    said = (
        "; ".join(f"{server}: {what}" for server, what, _ in found)
        if len(found) > 1
        else "".join(w.what for w in found)
    )
    return BrokerLostError(f"no Kafka at {settings.bootstrap_servers}: {said or error or type(error).__name__}")


async def wait_for_broker(settings: Settings, say: Any) -> None:
    """Wait, with backoff and without end, until a broker answers: what a worker does at its start.

    Raises SettingError and BrokerRefusesError where waiting does not help.
    """

    async def look() -> None:
        async with admin(settings):
            pass

    await patiently(look, _is_away, lambda error, delay_s: say(str(error), retry_in_s=delay_s))


def _is_away(error: Exception) -> bool:
    is_lost = isinstance(error, BrokerLostError | KafkaConnectionError)
    return is_lost and not isinstance(error, BrokerRefusesError)


async def read_range(
    consumer: AIOKafkaConsumer, topic: str, partition: int, start: int, end: int
) -> AsyncIterator[list[ConsumerRecord]]:
    """Lists of the committed records at the positions [start, end), in order."""
    if start >= end:
        return
    tp = TopicPartition(topic, partition)
    consumer.assign([tp])
    consumer.seek(tp, start)
    while await consumer.position(tp) < end:
        batches = await consumer.getmany(tp, timeout_ms=READ_MS, max_records=20_000)
        for records in batches.values():
            within = records if records[-1].offset < end else [r for r in records if r.offset < end]
            if within:
                yield within
    # What is still assigned is fetched on, and each question on the connection waits for a fetch that finds nothing.
    consumer.assign([])


async def read_all(
    settings: Settings, topic: str, partitions: Iterable[int]
) -> AsyncIterator[tuple[int, list[ConsumerRecord]]]:
    """Every committed record of a topic up to its present end, partition by partition."""
    name = settings.topic(topic)
    async with reader(settings) as consumer:
        for partition in partitions:
            start, end = await offsets(consumer, name, partition)
            async for records in read_range(consumer, name, partition, start, end):
                yield partition, records


async def offsets(consumer: AIOKafkaConsumer, topic: str, partition: int) -> tuple[int, int]:
    """Where a partition's log starts and where its committed part ends."""
    tp = TopicPartition(topic, partition)
    starts: Mapping[TopicPartition, int] = await consumer.beginning_offsets([tp])
    ends: Mapping[TopicPartition, int] = await consumer.end_offsets([tp])
    return starts[tp], ends[tp]
