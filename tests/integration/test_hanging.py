"""A transaction that Kafka has left without an end is found before anything is read back, and never committed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from meter import topics
from streams.engine.hanging import OWN, close_what_hangs
from streams.engine.writer import PartitionWriter
from streams.errors import RefusalToStartError
from streams.kafka import offsets, reader
from streams.settings import Settings
from tests.integration.running import Meter


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    with Meter(kafka, tmp_path, web_port=0) as meter:
        meter.create()
        return Settings(bootstrap_servers=kafka, topic_prefix=meter.prefix, app_id=meter.app_id)


@pytest.fixture
async def committed(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    async with reader(settings) as consumer:
        yield consumer


@pytest.fixture
async def writer(settings: Settings) -> AsyncIterator[PartitionWriter]:
    made = PartitionWriter(settings, 0)
    await made.start()
    yield made
    await made.stop()


async def leave_open(settings: Settings, *names: str) -> AIOKafkaProducer:
    """A transaction without an end, of somebody whom no new owner fences."""
    producer = AIOKafkaProducer(**settings.client(), transactional_id=f"{settings.topic_prefix}lost")
    await producer.start()
    await producer.begin_transaction()
    for name in names:
        await producer.send_and_wait(settings.topic(name), b"", key=b"k", partition=0)
    return producer


async def test_where_nothing_hangs_nothing_is_written(
    settings: Settings, committed: AIOKafkaConsumer, writer: PartitionWriter
) -> None:
    before = [await offsets(committed, settings.topic(name), 0) for name in OWN]
    await close_what_hangs(committed, settings, 0, 1, writer)
    assert [await offsets(committed, settings.topic(name), 0) for name in OWN] == before


@pytest.mark.parametrize(
    ("names", "says"),
    [(OWN, "a transaction hangs on"), ((topics.PRICED,), "usage.priced and not on the state and the journal")],
    ids=["everywhere", "in part"],
)
async def test_an_owner_refuses_to_start_beside_one_that_it_cannot_end(
    settings: Settings, committed: AIOKafkaConsumer, writer: PartitionWriter, names: tuple[str, ...], says: str
) -> None:
    producer = await leave_open(settings, *names)
    with pytest.raises(RefusalToStartError, match=says):
        await close_what_hangs(committed, settings, 0, 1, writer)
    await producer.abort_transaction()
    await producer.stop()
    await close_what_hangs(committed, settings, 0, 1, writer)


async def test_what_ends_it_is_aborted_on_every_output_and_seen_by_nobody(
    settings: Settings, committed: AIOKafkaConsumer, writer: PartitionWriter
) -> None:
    places = [(name, 0) for name in (*OWN, topics.REROUTED)]
    await writer.abort_on(places)
    await close_what_hangs(committed, settings, 0, 1, writer)
    for name, partition in places:
        _, end = await offsets(committed, settings.topic(name), partition)
        assert end >= 2, name  # the record and its marker
