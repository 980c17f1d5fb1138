"""The one writer of a partition: a transactional producer whose start fences the former owner."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka.errors import IllegalOperation
from aiokafka.structs import RecordMetadata

from meter import topics
from meter.partition import Step
from meter.records import Rerouted
from meter.snapshot import changes
from streams.errors import BrokerLostError
from streams.settings import Settings
from streams.transactional import TransactionalProducer, UnansweredError, start, stop

#: Bytes of one produced batch: one for each topic of most steps, and below what the topics take. A topic's second
#: batch waits for the first to be acknowledged.
BATCH_BYTES = 4 << 20
CAUSE_PATIENCE_S = 5.0

Row = tuple[bytes | None, bytes | None, int, list[tuple[str, bytes | None]]]


class Output(NamedTuple):
    """A batch of a step's outputs: its topic (without the deployment's prefix) and partition, and how many records."""

    topic: str
    partition: int
    records: int
    batch: Any


class Published(NamedTuple):
    """A committed step: the position after its last record in `usage.priced`, None if it priced nothing, and the
    broker's append time of that record; and that of its journal record. Times are in milliseconds."""

    priced_next: int | None
    priced_ms: int
    journal_ms: int


class PartitionWriter:
    """Publishes each step of a partition as one transaction."""

    def __init__(self, settings: Settings, partition: int) -> None:
        self._settings = settings
        self._partition = partition
        self._producer = TransactionalProducer(settings, f"{settings.app_id}-{partition}", max_batch_size=BATCH_BYTES)

    async def start(self) -> None:
        """Fence whoever wrote for this partition before, and settle what it left open."""
        await start(self._producer, self._settings.publish_timeout_s)

    async def stop(self) -> None:
        """Close the connection; nothing is open between steps."""
        await stop(self._producer)

    async def abort_on(self, places: Iterable[tuple[str, int]]) -> None:
        """An aborted transaction with a record on each of these topics and partitions: it ends what hangs there."""
        async with self._deadline("an abort"):
            await self._abort_on(places)

    async def _abort_on(self, places: Iterable[tuple[str, int]]) -> None:
        await self._producer.begin_transaction()
        sends = []
        for topic, partition in places:
            batch = self._producer.create_batch()
            batch.append(timestamp=int(time.time() * 1000), key=b"aborted", value=b"", headers=[])
            batch.close()
            sends.append(await self._producer.send_batch(batch, self._settings.topic(topic), partition=partition))
        for send in sends:
            await send
        await self._producer.abort_transaction()

    def batches(self, step: Step) -> list[Output]:
        """Everything that a step puts out, as it is sent."""
        return list(self._batches(step))

    async def publish(self, batches: Sequence[Output]) -> Published:
        """A step's outputs in one transaction; every send is awaited before the commit.

        Any exception leaves the outcome unknown: the caller must end the process.
        """
        async with self._deadline("a step"):
            return await self._publish(batches)

    @asynccontextmanager
    async def _deadline(self, what: str) -> AsyncIterator[None]:
        """The client itself never gives up on a batch."""
        seconds = self._settings.publish_timeout_s
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise BrokerLostError(
                f"Kafka has not taken {what} of partition {self._partition} within {seconds:.0f} s; "
                "start again, nothing was lost"
            ) from error
        except UnansweredError as error:
            raise BrokerLostError(
                f"partition {self._partition}: {error}: whether {what} was done is not known; "
                "start again, which settles it"
            ) from error

    async def _publish(self, batches: Sequence[Output]) -> Published:
        await self._producer.begin_transaction()
        sends: list[tuple[str, int, asyncio.Future[RecordMetadata]]] = []
        try:
            for topic, partition, count, batch in batches:
                name = self._settings.topic(topic)
                sends.append((topic, count, await self._producer.send_batch(batch, name, partition=partition)))
        except IllegalOperation as error:
            raise await _cause([send for _, _, send in sends]) or error from error
        priced_next: int | None = None
        priced_ms = journal_ms = 0
        for topic, count, send in sends:
            sent: RecordMetadata = await send
            if topic == topics.PRICED:
                priced_next, priced_ms = sent.offset + count, sent.timestamp
            elif topic == topics.JOURNAL:
                journal_ms = sent.timestamp
        await self._producer.commit_transaction()
        return Published(priced_next, priced_ms, journal_ms)

    def _batches(self, step: Step) -> Iterable[Output]:
        """The outputs, topic by topic; batches are closed when they are full."""
        p = self._partition
        now = int(time.time() * 1000)
        for partition, sent_on in _by_partition(step.rerouted):
            for batch in self._fill((row.key, row.value, row.timestamp, row.headers) for row in sent_on):
                yield Output(topics.REROUTED, partition, batch.record_count(), batch)
        for topic, rows in (
            (topics.PRICED, step.priced),
            (topics.DAILY, step.daily()),
            (topics.REJECTED, step.rejected),
            (topics.COMMAND_RESULTS, step.results),
            (topics.BILLS, step.bills),
            (topics.NOTES, step.till.notes),
            (topics.LEDGER, step.till.entries),
            (topics.NOTICES, step.till.notices),
            (topics.SERVICE, step.till.services),
            (topics.JOURNAL, ((None, step.journal_entry().canonical()),)),
            (topics.STATE, changes(step)),
        ):
            for batch in self._fill((key, value, now, []) for key, value in rows):
                yield Output(topic, p, batch.record_count(), batch)

    def _fill(self, rows: Iterable[Row]) -> Iterable[Any]:
        """Closed batches of the rows. A batch takes its first record whatever its size."""
        batch = None
        for key, value, timestamp, headers in rows:
            if batch is None or batch.append(timestamp=timestamp, key=key, value=value, headers=headers) is None:
                if batch is not None:
                    batch.close()
                    yield batch
                batch = self._producer.create_batch()
                batch.append(timestamp=timestamp, key=key, value=value, headers=headers)
        if batch is not None:
            batch.close()
            yield batch


def _by_partition(rows: Iterable[Rerouted]) -> Iterable[tuple[int, list[Rerouted]]]:
    """The rows of each partition, in their order."""
    found: dict[int, list[Rerouted]] = {}
    for row in rows:
        found.setdefault(row.partition, []).append(row)
    return found.items()


async def _cause(sends: Sequence["asyncio.Future[Any]"]) -> BaseException | None:
    """Why a transaction has ended under our hands: the sends before know, as soon as the client has told them."""
    if not sends:
        return None
    done, _ = await asyncio.wait(sends, timeout=CAUSE_PATIENCE_S, return_when=asyncio.FIRST_EXCEPTION)
    return next((cause for send in done if (cause := send.exception()) is not None), None)
