"""What a fetch brings while the group rebalances is read once: it stays, or Faust drops it and it is read again."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

import pytest
from faust.types import TP

from meter import topics
from meter.records import Chunk
from meter.rules import Rules
from streams.engine.app import MeterApp, create_app
from streams.engine.consumer import ChunkConsumer
from streams.engine.inputs import Fetched, FetchedChunk
from streams.engine.owner import PartitionOwner
from streams.engine.readings import Readings
from streams.settings import Settings
from tests.builders import Input
from tests.owning import disk_index, kept, opened, owner_of

SETTINGS = Settings(bootstrap_servers="127.0.0.1:1")
ALL = {TP(SETTINGS.topic(topic), 0) for topic in topics.INPUTS}
COMPLETED = TP(SETTINGS.topic(topics.COMPLETED), 0)


class Log:
    """Instead of the consumer's thread: hands out one record after the other, from where it was sought."""

    def __init__(self) -> None:
        self.at: dict[TP, tuple[int, int]] = {}
        self.has_records = asyncio.Event()
        self.asked = asyncio.Event()

    async def fetch(self, tps: set[TP], timeout_s: float) -> list[FetchedChunk]:
        self.asked.set()
        await self.has_records.wait()
        reading, start = self.at[COMPLETED]
        self.at[COMPLETED] = reading, start + 1
        chunk = Chunk(topics.COMPLETED, start, start + 1, [Input(start, 0, None, b"{}", ())])
        return [FetchedChunk(COMPLETED, reading, chunk)]

    async def read(self, positions: Mapping[TP, int], reading: int) -> None:
        self.at |= {tp: (reading, offset) for tp, offset in positions.items()}

    async def read_no_more(self, tps: Iterable[TP]) -> None:
        for tp in tps:
            self.at.pop(tp, None)

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        return False


class Worker:
    """A worker's consumer and the owner of its one partition, without a Kafka."""

    def __init__(self, app: MeterApp, consumer: ChunkConsumer, owner: PartitionOwner, log: Log) -> None:
        self.app, self.consumer, self.owner, self.log = app, consumer, owner, log

    async def fetch(self) -> list[Fetched]:
        return [message.value async for _, message in self.consumer.getmany(1.0)]

    def accept(self, fetched: Iterable[Fetched]) -> None:
        for each in fetched:
            for owner, chunk in self.app.engine.readings.accept(each):
                owner.offer(chunk)

    @property
    def queued(self) -> list[int]:
        """Offsets of the completions that wait."""
        return [record.offset for chunk in self.owner.queues.take() for record in chunk.records]


def fail(error: BaseException) -> None:
    raise error


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    app, log = create_app(SETTINGS, Rules(meter_id="m", partitions=1), fail), Log()
    app.consumer_generation_id = 1
    app.engine = app.engine._replace(readings=Readings(SETTINGS, log))
    consumer = app.consumer
    assert isinstance(consumer, ChunkConsumer)
    consumer.clients = log
    index = kept(disk_index(tmp_path))
    owner = owner_of(opened(index))
    await app.engine.readings.begin(owner)
    yield Worker(app, consumer, owner, log)
    await index.close()


async def test_a_rebalance_does_not_stop_what_is_being_fetched(worker: Worker) -> None:
    fetching = asyncio.ensure_future(worker.fetch())
    await worker.log.asked.wait()
    await worker.app.consumer.on_partitions_revoked(ALL)
    worker.log.has_records.set()
    worker.accept(await fetching)
    assert worker.queued == [0]


@pytest.mark.parametrize("dropped", [True, False])
async def test_what_was_on_its_way_when_the_new_assignment_came_is_read_once(worker: Worker, dropped: bool) -> None:
    worker.log.has_records.set()
    worker.accept(await worker.fetch())
    on_their_way = await worker.fetch()
    worker.app.consumer_generation_id = 2
    await worker.app.engine.readings.again()
    if not dropped:
        worker.accept(on_their_way)
    worker.accept(await worker.fetch())
    assert worker.queued == [0, 1]
