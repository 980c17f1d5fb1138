"""A transaction that Kafka has left without an end is found before anything is read back, and never committed."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced

from meter import topics
from meter.dedupe import MemoryDedupeIndex
from meter.journal import JournalStep
from meter.models import Origin
from meter.records import ORIGIN_HEADER
from meter.state import PartitionState
from meter.step import Step
from streams.broker.config import Extras
from streams.engine import hanging
from streams.engine.clocks import MachineClock, Movement
from streams.engine.hanging import close_what_hangs, end_what_was_sent_on
from streams.engine.limits import Limits
from streams.engine.opening import Opener
from streams.engine.torn import OWN
from streams.engine.writer import PartitionWriter
from streams.errors import RefusalToStartError
from streams.kafka.clients import offsets, read_range, reader
from streams.kafka.options import client_options
from streams.observe.metrics import Metrics
from streams.settings import Settings
from tests.builders import RULES
from tests.client_internals import as_if_added, is_fetching
from tests.integration.running import Meter, until
from tests.open_kafka import OpenBroker

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
    producer = AIOKafkaProducer(**client_options(settings), transactional_id=f"{settings.topic_prefix}lost")
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


async def test_the_open_step_of_a_newer_owner_is_not_taken_for_one_that_hangs(
    settings: Settings,
) -> None:
    """A worker that was frozen while it opened the partition gives it up: it ends nothing, and refuses nothing."""
    newer, clock = PartitionWriter(settings, 0), MachineClock()

    class FrozenAfterStart(PartitionWriter):
        async def start(self) -> None:
            await super().start()
            await newer.start()
            await newer.producer.begin_transaction()
            for name in (topics.JOURNAL, topics.STATE):
                await newer.producer.send_and_wait(settings.topic(name), STEP.canonical(), key=b"k", partition=0)

    opener = Opener(settings, RULES, lambda _: {}, Metrics(), clock, Limits(), FrozenAfterStart)
    with pytest.raises(ProducerFenced):
        async with AsyncExitStack() as closing:
            await opener.open(0, Movement(clock), closing)
    await newer.producer.abort_transaction()
    await newer.see_that_it_is_the_newest()
    await newer.stop()


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker that does not ask whether a batch's partition is in a transaction: so one can be left there for ever."""
    extras = Extras(settings={"transaction.partition.verification.enable": "false"})
    with OpenBroker(tmp_path_factory.mktemp("careless"), extras=extras) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def left(careless: str, tmp_path: Path) -> Settings:
    with Meter(careless, tmp_path, web_port=0) as meter:
        meter.create()
        return Settings(bootstrap_servers=careless, topic_prefix=meter.prefix, app_id=meter.app_id)


async def forget(settings: Settings, *records: tuple[str, dict[str, Any]]) -> None:
    """Records of a transaction of partition 0's producer of which Kafka's coordinator knows nothing."""
    producer = AIOKafkaProducer(**client_options(settings), transactional_id=f"{settings.app_id}-0")
    await producer.start()
    await producer.begin_transaction()
    for name, record in records:
        as_if_added(producer, TopicPartition(settings.topic(name), 0))
        await producer.send_and_wait(settings.topic(name), partition=0, **record)
    await producer.stop()


async def end_of(settings: Settings, name: str) -> int:
    async with reader(settings) as consumer:
        return (await offsets(consumer, settings.topic(name), 0))[1]


async def committed_on(settings: Settings, name: str) -> list[bytes]:
    async with reader(settings) as consumer:
        found = read_range(consumer, settings.topic(name), 0, *await offsets(consumer, settings.topic(name), 0))
        return [record.value async for records in found for record in records]


async def test_a_step_that_was_forgotten_is_ended_on_every_output(left: Settings) -> None:
    step = {"value": STEP.canonical(), "key": b"k"}
    await forget(left, *((name, step if name == topics.JOURNAL else {"value": b"x", "key": b"k"}) for name in OWN))
    writer = PartitionWriter(left, 0)
    await writer.start()
    async with reader(left) as consumer:
        await close_what_hangs(consumer, left, 0, 2, writer)
    await writer.publish(writer.batches(Step(PartitionState(RULES, 0), MemoryDedupeIndex())))
    await writer.stop()
    assert await committed_on(left, topics.PRICED) == []


@pytest.mark.parametrize("was_committed", [True, False])
async def test_what_was_sent_on_and_forgotten_there_alone_is_ended_as_its_step_was(
    left: Settings, was_committed: bool
) -> None:
    origin = Origin(topic=topics.COMPLETED, partition=0, offset=4).model_dump_json().encode()
    await forget(left, (topics.REROUTED, {"value": b"a job", "headers": [(ORIGIN_HEADER, origin)]}))
    writer, state = PartitionWriter(left, 0), PartitionState(RULES, 0)
    state.position.next[topics.COMPLETED] = 5 if was_committed else 4
    await writer.start()
    async with reader(left) as consumer:
        await close_what_hangs(consumer, left, 0, 2, writer)
        assert await end_of(left, topics.REROUTED) == 0
        await end_what_was_sent_on(consumer, left, state, 2, writer)
    await writer.stop()
    # The record and its marker, which is there a moment after the end was answered.
    await asyncio.to_thread(until, lambda: asyncio.run(end_of(left, topics.REROUTED)) == 2, "its end")
    assert await committed_on(left, topics.REROUTED) == [b"a job"] * was_committed


@pytest.mark.parametrize("turns", range(6))
async def test_a_reader_that_has_just_let_go_of_what_it_fetches_ends(settings: Settings, turns: int) -> None:
    name = settings.topic(topics.JOURNAL)
    async with asyncio.timeout(10) as patience, reader(settings, fetch_max_wait_ms=500) as consumer:
        chunks = read_range(consumer, name, 0, *await offsets(consumer, name, 0))
        assert await anext(chunks)
        while not is_fetching(consumer):  # noqa: ASYNC110 - the client tells nobody
            await asyncio.sleep(0)
        assert [each async for each in chunks] == []  # its end lets go
        for _ in range(turns):
            await asyncio.sleep(0)
    assert not patience.expired()
