"""The way to Kafka: records in, see `commits.py`, and the meter's answers back, see `awaited.py`."""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Self

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from meter import topics
from meter.models import CommandResult
from meter.rules import Rules
from streams.errors import MeterError, RefusalToStartError
from streams.http.awaited import AwaitedAnswers
from streams.http.commits import BATCH_BYTES, Outgoing, SharedCommits
from streams.http.problems import Problem, unavailable
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


class KafkaConnection:
    """One process's connection to Kafka, within `async with`. It is made anew, with backoff, whenever it is lost."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rules: Rules | None = None
        self._why = "the connection to Kafka is being made"
        self._is_up = self._was_up = False
        self._commits = SharedCommits(settings)
        self._answers = AwaitedAnswers()
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
        await self._commits.commit(records)

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

    def answers(self, command_id: str) -> AbstractAsyncContextManager["asyncio.Queue[CommandResult]"]:
        """The answers to a command that come in while the block lasts."""
        return self._answers.to(command_id)

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
        self._commits.refuse(self._away())

    async def _connection(self) -> None:
        """Until it is lost: commits, answers, and a look at Kafka now and then. Always ends with an exception."""
        self._rules = await check(self._settings, API, [self._transactional_id])
        answers_topic = self._settings.topic(topics.COMMAND_RESULTS)
        producing = _producer(self._settings, self._transactional_id)
        async with producing as producer, reader(self._settings) as consumer:
            await _start_at_the_end(consumer, answers_topic, self._rules.partitions)
            self._consumer = consumer
            self._is_up = self._was_up = True
            self._looked.set()
            log.info("connected to Kafka", meter_id=self._rules.meter_id)
            try:
                commits, answers = self._commits.run(producer, PATIENCE_S), self._answers.run(consumer)
                await _until_one_fails(commits, answers, _look(consumer, answers_topic))
            except (KafkaError, OSError, TimeoutError) as error:
                self._down(error)  # at once: closing what is lost takes its time
                raise


@asynccontextmanager
async def _producer(settings: Settings, transactional_id: str) -> AsyncIterator[AIOKafkaProducer]:
    """The producer of this connection: it settles what the one before left open."""
    producer = TransactionalProducer(
        settings, transactional_id, request_timeout_s=PATIENCE_S, max_batch_size=BATCH_BYTES
    )
    try:
        await start(producer, PATIENCE_S)
        yield producer
    except UnansweredError:
        raise  # by one who is there
    except KafkaError as error:
        raise await no_broker(settings, error) from error
    finally:
        await stop(producer)


async def _start_at_the_end(consumer: AIOKafkaConsumer, topic: str, partitions: int) -> None:
    ends = {partition: (await offsets(consumer, topic, partition))[1] for partition in range(partitions)}
    consumer.assign([TopicPartition(topic, partition) for partition in ends])
    for partition, end in ends.items():
        consumer.seek(TopicPartition(topic, partition), end)


async def _look(consumer: AIOKafkaConsumer, topic: str) -> None:
    """Ask Kafka something now and then, for ever."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        await asyncio.wait_for(consumer.end_offsets([TopicPartition(topic, 0)]), PATIENCE_S)


def transactional_id(settings: Settings) -> str:
    """The same after a restart, so that a new process settles at once what the one before left open."""
    own = settings.instance_id or (f"{socket.gethostname()}-{settings.http_port}" if settings.http_port else None)
    return f"{settings.app_id}-http-{own or secrets.token_hex(8)}"


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
