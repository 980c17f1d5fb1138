"""A transaction that Kafka has left without an end is found before anything is read back, and never committed."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from meter import topics
from meter.journal import JournalStep
from streams.engine import hanging
from streams.engine.hanging import OWN, close_what_hangs
from streams.engine.writer import PartitionWriter
from streams.errors import RefusalToStartError
from streams.kafka import offsets, reader
from streams.settings import Settings
from tests.integration.running import Meter

#: Prices, and so changes daily totals.
STEP = JournalStep(seq=1, record_time=0, inputs=(), read=1, priced=1, daily=1, meter_version="test")


@pytest.fixture
def settings(kafka: str, tmp_path: Path) -> Settings:
    with Meter(kafka, tmp_path, web_port=0) as meter:
        meter.create()
        return Settings(bootstrap_servers=kafka, topic_prefix=meter.prefix, app_id=meter.app_id)


@pytest.fixture(autouse=True)
def no_marker_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hanging, "MARKERS_S", 0.5)


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


async def leave_open(settings: Settings, *names: str, step: JournalStep = STEP) -> AIOKafkaProducer:
    """A transaction without an end, of somebody whom no new owner fences."""
    producer = AIOKafkaProducer(**settings.client(), transactional_id=f"{settings.topic_prefix}lost")
    await producer.start()
    await producer.begin_transaction()
    for name in names:
        value = step.canonical() if name == topics.JOURNAL else b""
        await producer.send_and_wait(settings.topic(name), value, key=b"k", partition=0)
    return producer


async def test_where_nothing_hangs_nothing_is_written(
    settings: Settings, committed: AIOKafkaConsumer, writer: PartitionWriter
) -> None:
    before = [await offsets(committed, settings.topic(name), 0) for name in OWN]
    await close_what_hangs(committed, settings, 0, 1, writer)
    assert [await offsets(committed, settings.topic(name), 0) for name in OWN] == before


#: Without its daily totals: somewhere they were ended.
PART = tuple(name for name in OWN if name != topics.DAILY)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (OWN, "a transaction hangs on"),
        ((topics.PRICED,), "usage.priced and not on meter.journal, meter.state"),
        (PART, "and not on usage.daily"),
    ],
    ids=["everywhere", "without state and journal", "without what its journal record says that it wrote"],
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


@pytest.mark.parametrize("rerouted", [0, 1])
async def test_only_a_step_that_sent_records_on_is_aborted_where_they_were_sent(
    settings: Settings,
    committed: AIOKafkaConsumer,
    writer: PartitionWriter,
    rerouted: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What hangs there of an earlier step, which may be committed, is left alone."""
    aborted: list[tuple[str, int]] = []

    async def abort_on(places: Iterable[tuple[str, int]]) -> None:
        aborted.extend(places)

    monkeypatch.setattr(writer, "abort_on", abort_on)
    producer = await leave_open(settings, *OWN, step=STEP.model_copy(update={"rerouted": rerouted}))
    with pytest.raises(RefusalToStartError, match="a transaction hangs on"):
        await close_what_hangs(committed, settings, 0, 2, writer)
    await producer.abort_transaction()
    await producer.stop()
    assert set(OWN) <= {name for name, _ in aborted}
    assert [place for place in aborted if place[0] == topics.REROUTED] == [
        (topics.REROUTED, partition) for partition in range(2 * rerouted)
    ]


async def test_what_ends_it_is_aborted_on_every_output_and_seen_by_nobody(
    settings: Settings, committed: AIOKafkaConsumer, writer: PartitionWriter
) -> None:
    places = [(name, 0) for name in (*OWN, topics.REROUTED)]
    await writer.abort_on(places)
    await close_what_hangs(committed, settings, 0, 1, writer)
    for name, partition in places:
        _, end = await offsets(committed, settings.topic(name), partition)
        assert end >= 2, name  # the record and its marker
