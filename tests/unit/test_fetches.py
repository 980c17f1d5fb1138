"""What a fetch brings while the group rebalances is read again: none of it is lost between two assignments."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from faust.types import TP

from meter import topics
from meter.records import Chunk
from meter.rules import Rules
from streams.app import MeterApp, create_app
from streams.engine.consumer import ChunkConsumer, Fetched
from streams.engine.owner import PartitionOwner
from streams.settings import Settings
from tests.builders import Input

SETTINGS = Settings(bootstrap_servers="127.0.0.1:1")
ALL = {TP(SETTINGS.topic(topic), 0) for topic in topics.INPUTS}
COMPLETED = TP(SETTINGS.topic(topics.COMPLETED), 0)


class Log:
    """Instead of the consumer's thread: hands out one record after the other, from where it was sought."""

    def __init__(self) -> None:
        self.at: dict[TP, int] = {}
        self.has_records = asyncio.Event()
        self.asked = asyncio.Event()
        self.answered = asyncio.Event()

    async def fetch(self, tps: set[TP], timeout_s: float) -> list[tuple[TP, Chunk]]:
        self.asked.set()
        await self.has_records.wait()
        start = self.at[COMPLETED]
        self.at[COMPLETED] += 1
        self.answered.set()
        return [(COMPLETED, Chunk(topics.COMPLETED, start, start + 1, [Input(start, 0, None, b"{}", ())]))]

    async def seek_wait(self, positions: dict[TP, int]) -> None:
        self.at.update(positions)

    def assignment(self) -> set[TP]:
        return ALL


class Worker:
    """A worker's consumer and the owner of its one partition, without a Kafka."""

    def __init__(self, app: MeterApp, consumer: ChunkConsumer, owner: PartitionOwner, log: Log) -> None:
        self.app, self.consumer, self.owner, self.log = app, consumer, owner, log

    async def fetch(self) -> None:
        async for _, message in self.consumer.getmany(1.0):
            assert isinstance(message.value, Fetched)
            self.app.owners.accept(message.value)

    @property
    def queued(self) -> list[int]:
        return [record.offset for chunk in self.owner._queues[topics.COMPLETED] for record in chunk.records]


def fail(error: BaseException) -> None:
    raise error


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    rules = Rules(meter_id="m", partitions=1)
    app = create_app(SETTINGS, rules, fail)
    app.consumer_generation_id = 1
    consumer, log = app.consumer, Log()
    assert isinstance(consumer, ChunkConsumer)
    monkeypatch.setattr(consumer, "_thread", log)
    owners = app.owners
    owner = PartitionOwner(
        SETTINGS, rules, 0, owners._totals(0), app.metrics, lambda *_: None, owners._ends.take, owners._pace
    )
    owner._expected = dict.fromkeys(topics.INPUTS, 0)
    owner.is_open = True
    owners.by_partition[0] = owner
    await consumer.perform_seek()
    consumer.resume_flow()
    yield Worker(app, consumer, owner, log)
    await owner._writer.stop()


@pytest.mark.parametrize("generation", [2, 1], ids=["of another generation", "of the same generation"])
async def test_what_comes_after_the_seek_and_before_the_flow_goes_on_is_read_again(
    worker: Worker, generation: int
) -> None:
    fetching = asyncio.ensure_future(worker.fetch())
    await worker.log.asked.wait()
    worker.consumer.stop_flow()  # as Faust does where partitions are revoked
    await worker.app.owners.pause()
    worker.app.consumer_generation_id = generation
    await worker.consumer.perform_seek()
    worker.log.has_records.set()
    await worker.log.answered.wait()
    worker.consumer.resume_flow()
    await fetching
    await worker.fetch()
    assert worker.queued == [0]
