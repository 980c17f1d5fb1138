"""The way to Kafka: records in, by transactions that are shared by whoever waits, and the meter's answers back.

What a request brings is in the log as a whole or not at all: its records are committed in one transaction, together
with those of the requests that came meanwhile. Where Kafka gives no answer in time the outcome is unknown; the next
connection, under the same transactional id, settles what was left open. Sending the same again does no harm, since
jobs and commands have ids.
"""

import asyncio
import secrets
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, Self

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import ValidationError

from meter import topics
from meter.events import Headers
from meter.models import CommandResult
from meter.rules import Rules
from streams.errors import MeterError, RefusalToStartError
from streams.http.problems import Problem, unavailable
from streams.http.traces import trace_headers
from streams.kafka.clients import no_broker, offsets, reader
from streams.kafka.rights import API
from streams.kafka.topics import check
from streams.kafka.transactional import TransactionalProducer, UnansweredError, start, stop
from streams.process.retrying import Backoff
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: How long a request waits for Kafka before it is told that it is away.
PATIENCE_S = 8.0
#: How often an idle connection is tried, so that a Kafka that is gone is known before somebody needs it.
LOOK_EVERY_S = 3.0
RETRY_S = (0.5, 10.0)
#: Bytes of one produced batch, well below what the topics of inputs take, and records of one transaction.
BATCH_BYTES = 1 << 18
GROUP_RECORDS = 10_000


class Outgoing(NamedTuple):
    """A record on its way to an input topic; `timestamp_ms` counts where the meter's clock is simulated."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    timestamp_ms: int
    headers: Headers = ()


def with_trace(headers: Headers, trace: list[tuple[str, bytes]]) -> Headers:
    """A record's headers with those of this request's trace, in place of another's."""
    names = {name for name, _ in trace}
    return [*(header for header in headers if header[0] not in names), *trace]


class _Waiting(NamedTuple):
    records: Sequence[Outgoing]
    committed: "asyncio.Future[None]"


class KafkaConnection:
    """One process's connection to Kafka, within `async with`. It is made anew, with backoff, whenever it is lost."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rules: Rules | None = None
        self._why = "the connection to Kafka is being made"
        self._is_up = self._was_up = False
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._expected: dict[str, list[asyncio.Queue[CommandResult]]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._looked = asyncio.Event()
        self._transactional_id = transactional_id(settings)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_connected())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    @property
    def is_up(self) -> bool:
        """Whether Kafka answered when it was last asked, and the meter's topics are as they must be."""
        return self._is_up

    @property
    def why_down(self) -> str | None:
        """What is wrong with the connection, in a line; None while it is up."""
        return None if self._is_up else self._why

    async def rules(self) -> Rules:
        """The meter's rules. Raises Problem (503) while they are not known: Kafka was not there yet."""
        if self._rules is None:
            await self._first_look()
        if self._rules is None:
            raise self._away()
        return self._rules

    async def need(self) -> None:
        """Raises Problem (503) where Kafka is away."""
        await self._first_look()
        if not self._is_up:
            raise self._away()

    async def commit(self, records: Sequence[Outgoing]) -> None:
        """Put records into the log, on all in-sync replicas, all or none. Raises Problem (503) where Kafka is away."""
        await self.need()
        if trace := trace_headers():
            records = [each._replace(headers=with_trace(each.headers, trace)) for each in records]
        waiting = _Waiting(records, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(waiting)
        await waiting.committed

    async def ends(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Where some partitions of a topic end, as Kafka says now. Raises Problem (503) where it is away."""
        await self.need()
        places = {TopicPartition(self._settings.topic(topic), partition): partition for partition in partitions}
        if self._consumer is None:
            raise self._away()
        try:
            found = await asyncio.wait_for(self._consumer.end_offsets(list(places)), PATIENCE_S)
        except (KafkaError, TimeoutError) as error:
            raise unavailable("kafka", f"Kafka does not say where the commands end: {error!r}") from error
        return {places[place]: end for place, end in found.items()}

    @asynccontextmanager
    async def answers(self, command_id: str) -> AsyncIterator["asyncio.Queue[CommandResult]"]:
        """The answers to a command that come in while the block lasts."""
        queue: asyncio.Queue[CommandResult] = asyncio.Queue()
        self._expected[command_id].append(queue)
        try:
            yield queue
        finally:
            self._expected[command_id].remove(queue)
            if not self._expected[command_id]:
                del self._expected[command_id]

    async def _first_look(self) -> None:
        """At the start of the process: whether Kafka is there is not known yet."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._looked.wait(), PATIENCE_S)

    def _away(self) -> Problem:
        return unavailable("kafka", f"Kafka is away, nothing was taken: {self._why}")

    # -- the connection --------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        backoff = Backoff(*RETRY_S)
        while True:
            self._was_up = False
            try:
                await self._connection()
            except (MeterError, KafkaError, OSError, TimeoutError) as error:
                self._down(error)
            except Exception as error:  # whoever waits must be told, and the next connection tried, whatever it was
                log.exception("the connection to Kafka broke")
                self._down(error)
            if self._was_up:
                backoff.worked()
            await asyncio.sleep(backoff.next_s())

    def _down(self, error: BaseException) -> None:
        why = str(error) or type(error).__name__
        self._looked.set()
        say = log.error if isinstance(error, RefusalToStartError) else log.warning
        if why != self._why or self._is_up:
            say("no connection to Kafka", reason=why)
        self._is_up, self._why = False, why
        while not self._queue.empty():
            _fail(self._queue.get_nowait(), self._away())

    async def _connection(self) -> None:
        """Until it is lost: commits, answers, and a look at Kafka now and then. Always ends with an exception."""
        self._rules = await check(self._settings, API, [self._transactional_id])
        async with self._producer() as producer, reader(self._settings) as consumer:
            await self._start_at_the_end(consumer, self._rules.partitions)
            self._consumer = consumer
            self._is_up = self._was_up = True
            self._looked.set()
            log.info("connected to Kafka", meter_id=self._rules.meter_id)
            try:
                await _until_one_fails(self._commit_all(producer), self._hand_out(consumer), self._look(consumer))
            except (KafkaError, OSError, TimeoutError) as error:
                self._down(error)  # at once: closing what is lost takes its time
                raise

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = TransactionalProducer(
            self._settings, self._transactional_id, request_timeout_s=PATIENCE_S, max_batch_size=BATCH_BYTES
        )
        try:
            await start(producer, PATIENCE_S)
            yield producer
        except UnansweredError:
            raise  # by one who is there
        except KafkaError as error:
            raise await no_broker(self._settings, error) from error
        finally:
            await stop(producer)

    async def _start_at_the_end(self, consumer: AIOKafkaConsumer, partitions: int) -> None:
        name = self._settings.topic(topics.COMMAND_RESULTS)
        ends = {partition: (await offsets(consumer, name, partition))[1] for partition in range(partitions)}
        consumer.assign([TopicPartition(name, partition) for partition in ends])
        for partition, end in ends.items():
            consumer.seek(TopicPartition(name, partition), end)

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        first = TopicPartition(self._settings.topic(topics.COMMAND_RESULTS), 0)
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await asyncio.wait_for(consumer.end_offsets([first]), PATIENCE_S)

    async def _hand_out(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    self._hand_over(record)

    def _hand_over(self, record: ConsumerRecord) -> None:
        """Nobody waits for what is no answer: it must not cut off whoever waits for another."""
        try:
            result = CommandResult.read(record.value or b"")
        except ValidationError as error:
            where = f"{record.topic}[{record.partition}] at {record.offset}"
            log.error("a record that is no answer of the meter is left aside", at=where, errors=error.error_count())
            return
        for queue in self._expected.get(result.command_id, ()):
            queue.put_nowait(result)

    # -- commits ---------------------------------------------------------------------------------------------------

    async def _commit_all(self, producer: AIOKafkaProducer) -> None:
        while True:
            group = await self._group()
            try:
                await asyncio.wait_for(self._publish(producer, group), PATIENCE_S)
            except BaseException as error:
                self._why = _reason(error)
                for waiting in group:
                    _fail(waiting, _unknown(self._why))
                raise
            for waiting in group:
                if not waiting.committed.done():
                    waiting.committed.set_result(None)

    async def _group(self) -> list[_Waiting]:
        """Whoever waits: one at least, and no more than one transaction should hold."""
        group = [await self._queue.get()]
        count = len(group[0].records)
        while count < GROUP_RECORDS and not self._queue.empty():
            group.append(self._queue.get_nowait())
            count += len(group[-1].records)
        return group

    async def _publish(self, producer: AIOKafkaProducer, group: Sequence[_Waiting]) -> None:
        batches = [
            (place, batch) for place, records in _by_place(group).items() for batch in _batches(producer, records)
        ]
        await producer.begin_transaction()
        sends = [
            await producer.send_batch(batch, self._settings.topic(topic), partition=partition)
            for (topic, partition), batch in batches
        ]
        await asyncio.gather(*sends)
        await producer.commit_transaction()


def transactional_id(settings: Settings) -> str:
    """The same after a restart, so that a new process settles at once what the one before left open."""
    own = settings.instance_id or (f"{socket.gethostname()}-{settings.http_port}" if settings.http_port else None)
    return f"{settings.app_id}-http-{own or secrets.token_hex(8)}"


def _by_place(group: Sequence[_Waiting]) -> Mapping[tuple[str, int], list[Outgoing]]:
    places: dict[tuple[str, int], list[Outgoing]] = defaultdict(list)
    for waiting in group:
        for record in waiting.records:
            places[record.topic, record.partition].append(record)
    return places


def _batches(producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> list[Any]:
    """Closed batches. One takes its first record whatever its size."""
    batches: list[Any] = []
    for record in records:
        fields = {
            "key": record.key,
            "value": record.value,
            "timestamp": record.timestamp_ms,
            "headers": list(record.headers),
        }
        if not batches or batches[-1].append(**fields) is None:
            batches.append(producer.create_batch())
            batches[-1].append(**fields)
    for batch in batches:
        batch.close()
    return batches


def _fail(waiting: _Waiting, problem: Problem) -> None:
    if not waiting.committed.done():
        waiting.committed.set_exception(problem)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "Kafka did not confirm in time"
    return str(error) if isinstance(error, UnansweredError) else repr(error)


def _unknown(why: str) -> Problem:
    detail = f"{why}: whether it was taken is not known. Send the same again, with the same ids: it counts once"
    return unavailable("kafka", detail)


async def _until_one_fails(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run endless jobs side by side. Raises what the first of them raises; the others are cancelled."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await next(iter(done))
