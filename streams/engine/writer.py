"""The one writer of a partition: a transactional producer whose start fences the former owner."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiokafka.errors import IllegalOperation, ProducerFenced
from aiokafka.structs import RecordMetadata, TopicPartition

from meter import topics
from meter.published import OUTPUTS
from meter.records import Rerouted
from meter.snapshot import with_before
from meter.step import Step
from streams.errors import BrokerLostError
from streams.kafka.batches import batches_of
from streams.kafka.transactional import TransactionalProducer, UnansweredError, start, stop
from streams.kafka.wire import newest_producer
from streams.settings import Settings

#: Bytes of one produced batch: one for each topic of most steps, and below what the topics take. A topic's second
#: batch waits for the first to be acknowledged.
BATCH_BYTES = 4 << 20
CAUSE_PATIENCE_S = 5.0


class OutputBatch(NamedTuple):
    """A batch of a step's outputs: its topic (without the deployment's prefix) and partition, and how many records."""

    topic: str
    partition: int
    records: int
    batch: Any


class CommittedStep(NamedTuple):
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
        self._transactional_id = f"{settings.app_id}-{partition}"
        #: What it writes by: Kafka's own checks hold for whoever uses it.
        self.producer = TransactionalProducer(settings, self._transactional_id, max_batch_size=BATCH_BYTES)
        self._ends: dict[str, int] = {}
        self._rerouted_ends: dict[int, int] = {}

    async def start(self) -> None:
        """Fence whoever wrote for this partition before, and settle what it left open."""
        await start(self.producer, self._settings.publish_timeout_s)

    async def stop(self) -> None:
        """Close the connection; nothing is open between steps."""
        await stop(self.producer)

    def stand_at(self, ends: Mapping[str, int], rerouted_ends: Mapping[int, int]) -> None:
        """Before the first step: where the outputs end, by topic, and `recognition.jobs.rerouted`, by partition."""
        self._ends, self._rerouted_ends = dict(ends), dict(rerouted_ends)

    async def abort_on(self, places: Iterable[tuple[str, int]]) -> None:
        """An aborted transaction with a record on each of these topics and partitions: it ends what hangs there."""
        async with self._deadline("an abort"):
            await self._abort_on(places)

    async def _abort_on(self, places: Iterable[tuple[str, int]]) -> None:
        await self.producer.begin_transaction()
        sends = []
        for topic, partition in places:
            (batch,) = batches_of(self.producer, [(b"aborted", b"", int(time.time() * 1000), [])])
            sends.append(await self.producer.send_batch(batch, self._settings.topic(topic), partition=partition))
        for send in sends:
            await send
        await self.producer.abort_transaction()

    @property
    def producer_id(self) -> int:
        """Kafka's id of the producer, the same as its predecessors'; once it has started."""
        return self.producer.identity.producer_id

    async def end_on(self, topic: str, partition: int, *, commit: bool) -> None:
        """A transaction without a record on one partition: what hangs there of this producer ends as it does."""
        async with self._deadline("an end"):
            await self.producer.begin_transaction()
            self.producer.add_partition(TopicPartition(self._settings.topic(topic), partition))
            await (self.producer.commit_transaction() if commit else self.producer.abort_transaction())

    async def see_that_it_is_the_newest(self) -> None:
        """Raises ProducerFenced where another worker has opened the partition since. It changes nothing."""
        try:
            async with self._deadline("a question"):
                newest = await newest_producer(self.producer.client, self._transactional_id)
        except NotImplementedError:
            return  # Kafka 3.0 is the first that tells
        if newest != self.producer.identity:
            raise ProducerFenced

    def batches(self, step: Step) -> list[OutputBatch]:
        """Everything that a step puts out, as it is sent. Raises InvariantError for a step that cannot be right."""
        step.check()
        return list(self._batches(step))

    async def publish(self, batches: Sequence[OutputBatch]) -> CommittedStep:
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

    async def _publish(self, batches: Sequence[OutputBatch]) -> CommittedStep:
        await self.producer.begin_transaction()
        sends: list[tuple[OutputBatch, asyncio.Future[RecordMetadata]]] = []
        try:
            for output in batches:
                name = self._settings.topic(output.topic)
                sends.append((output, await self.producer.send_batch(output.batch, name, partition=output.partition)))
        except IllegalOperation as error:
            raise await _cause([send for _, send in sends]) or error from error
        ends: dict[tuple[str, int], int] = {}
        priced_ms = journal_ms = 0
        for output, send in sends:
            sent: RecordMetadata = await send
            ends[output.topic, output.partition] = sent.offset + output.records
            if output.topic == topics.PRICED:
                priced_ms = sent.timestamp
            elif output.topic == topics.JOURNAL:
                journal_ms = sent.timestamp
        await self.producer.commit_transaction()
        self._ends.update({topic: end for (topic, _), end in ends.items() if topic != topics.REROUTED})
        self._rerouted_ends.update({q: end for (topic, q), end in ends.items() if topic == topics.REROUTED})
        return CommittedStep(ends.get((topics.PRICED, self._partition)), priced_ms, journal_ms)

    def _batches(self, step: Step) -> Iterable[OutputBatch]:
        """The outputs, topic by topic; batches are closed when they are full."""
        p = self._partition
        now = int(time.time() * 1000)
        for partition, sent_on in _by_partition(step.outputs.rerouted):
            for batch in batches_of(
                self.producer, ((row.key, row.value, row.timestamp, row.headers) for row in sent_on)
            ):
                yield OutputBatch(topics.REROUTED, partition, batch.record_count(), batch)
        homes = {row.partition for row in step.outputs.rerouted}
        rerouted_ends = {q: end for q, end in self._rerouted_ends.items() if q in homes}
        for topic, rows in (
            *((output.topic, output.rows(step)) for output in OUTPUTS),
            (topics.JOURNAL, ((None, step.journal_entry().canonical()),)),
            (topics.STATE, with_before(step, self._ends, rerouted_ends)),
        ):
            for batch in batches_of(self.producer, ((key, value, now, []) for key, value in rows)):
                yield OutputBatch(topic, p, batch.record_count(), batch)


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
