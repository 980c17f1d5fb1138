"""The sender: one task reads the topics, one for each endpoint sends, so that a slow receiver holds up no other."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy import Engine

from meter.rules import Rules
from streams.errors import BrokerLostError, RefusalToStartError
from streams.kafka.clients import wait_for_broker
from streams.kafka.rights import reading
from streams.kafka.topics import check
from streams.observe.pages import Readiness, pages
from streams.process.life import begin, live
from streams.process.retrying import Backoff, patiently
from streams.process.waiting import in_daemon_thread, unless
from streams.settings import Settings
from streams.store.database import StoreLostError, is_store_away, opened_store, store_errors, writing
from streams.store.migrate import migrate
from streams.store.queries.meter import rules_of
from streams.webhooks import queue
from streams.webhooks.endpoints import Endpoint
from streams.webhooks.events import EVENTS
from streams.webhooks.measures import WebhookMeasures
from streams.webhooks.reading import WebhookReader
from streams.webhooks.sending import Client, attempt, new_client

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

#: Seconds from a failed attempt to the next, each give or take a fifth; after the last one a message is dead.
RETRY_AFTER_S = (5, 30, 120, 600, 1_800, 3_600, 7_200, 10_800, 14_400)
JITTER = 0.2
#: How many requests to one endpoint are on their way at a time.
AT_A_TIME = 8
IDLE_S = 1.0
#: An endpoint that takes nothing at all is given time, from this to that long, so that its messages do not all fail
#: in turn.
PAUSE_S = (1.0, 30.0)
#: How long after an attempt its outcome may be written down; later it is tried again.
LEASE_MARGIN_S = 2.0
AWAY_S = (1.0, 15.0)


class Sender:
    """Sends what waits. `retry_after_s` and `pause_s`: see `RETRY_AFTER_S` and `PAUSE_S`."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        partitions: int,
        retry_after_s: Sequence[float] = RETRY_AFTER_S,
        pause_s: tuple[float, float] = PAUSE_S,
        measures: WebhookMeasures | None = None,
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._measures = measures or WebhookMeasures()
        self._reading = WebhookReader(settings, engine, partitions, self._told)
        self._retry_after_s = retry_after_s
        self._pause_s = pause_s
        self._lease = timedelta(seconds=settings.webhook_timeout_s + LEASE_MARGIN_S)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Read and send until cancelled; Kafka or the store may be away meanwhile. Raises OtherSenderError."""
        reading = asyncio.ensure_future(_patiently(self._reading.run, self._measures))
        try:
            await asyncio.wait([reading, self._broken], return_when=asyncio.FIRST_COMPLETED)
            await (reading if reading.done() else self._broken)
        finally:
            tasks = [reading, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task ends by being cancelled; whatever else it ends by ends the process."""
        if not task.cancelled() and (error := task.exception()) is not None and not self._broken.done():
            self._broken.set_exception(error)

    def _told(self, known: list[Endpoint]) -> None:
        """The endpoints there are: each has a task, and may have something new."""
        self._measures.looked(len(known))
        ids = {endpoint.endpoint_id for endpoint in known}
        for gone in set(self._tasks) - ids:
            self._tasks.pop(gone).cancel()
        for endpoint in known:
            self._news.setdefault(endpoint.endpoint_id, asyncio.Event()).set()
            if endpoint.endpoint_id not in self._tasks:
                task = self._tasks[endpoint.endpoint_id] = asyncio.ensure_future(self._serve(endpoint))
                task.add_done_callback(self._ended)

    async def _serve(self, endpoint: Endpoint) -> None:
        async def send_all() -> None:
            backoff = Backoff(*self._pause_s)
            while True:
                tried, taken = await self._send_due(endpoint, client)
                if tried and not taken:
                    await asyncio.sleep(backoff.next_s())
                    continue
                backoff.worked()
                if not tried:
                    await self._wait_for_news(endpoint)

        # Each its own: a connection is kept by its address, and must not serve another name behind the same one,
        # whose certificate nobody has looked at.
        async with new_client() as client:
            await _patiently(send_all, self._measures)

    async def _wait_for_news(self, endpoint: Endpoint) -> None:
        news = self._news[endpoint.endpoint_id]
        news.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), IDLE_S)

    async def _send_due(self, endpoint: Endpoint, client: Client) -> tuple[int, int]:
        """Send what is due, a few at a time. Returns how many were tried and how many of them were taken."""
        deliveries = await asyncio.to_thread(self._claim, endpoint)
        errors = await asyncio.gather(*(self._attempt(endpoint, client, each) for each in deliveries))
        await asyncio.to_thread(self._settle, list(zip(deliveries, errors, strict=True)))
        return len(deliveries), errors.count(None)

    async def _attempt(self, endpoint: Endpoint, client: Client, delivery: queue.Delivery) -> str | None:
        timeout_s, private = self._settings.webhook_timeout_s, self._settings.webhook_private_addresses
        began = time.monotonic()
        error = await attempt(client, endpoint, delivery, timeout_s=timeout_s, private=private)
        self._measures.attempted(error, time.monotonic() - began)
        return error

    def _claim(self, endpoint: Endpoint) -> list[queue.Delivery]:
        with store_errors(self._engine), writing(self._engine) as connection:
            return queue.claim(connection, endpoint, datetime.now(UTC), self._lease, AT_A_TIME)

    def _settle(self, outcomes: Sequence[tuple[queue.Delivery, str | None]]) -> None:
        if not outcomes:
            return
        now = datetime.now(UTC)
        with store_errors(self._engine), writing(self._engine) as connection:
            for delivery, error in outcomes:
                if error is None:
                    queue.delivered(connection, delivery, now)
                else:
                    queue.failed(connection, delivery, error, self._next_attempt(delivery, error, now))

    def _next_attempt(self, delivery: queue.Delivery, error: str, now: datetime) -> datetime | None:
        said = {"webhook": delivery.endpoint_id, "message": delivery.event_id, "attempt": delivery.attempts}
        if delivery.attempts > len(self._retry_after_s):
            log.error("a webhook message is dead: `meter webhooks dead` shows it", error=error, **said)
            return None
        log.warning("a webhook message was not taken", error=error, **said)
        wait_s = self._retry_after_s[delivery.attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)
        return now + timedelta(seconds=wait_s)


async def _patiently(work: Callable[[], Awaitable[_T]], measures: WebhookMeasures, *, starting: bool = False) -> _T:
    """What work gives; it is done again, after a while, when Kafka or the store was away.

    Raises StoreRefusedError where the store will not have us, if the process is only `starting`.
    """

    def is_away(error: Exception) -> bool:
        return isinstance(error, BrokerLostError) or is_store_away(error, starting=starting)

    def say(error: Exception, delay_s: float) -> None:
        log.warning(str(error), retry_in_s=delay_s)
        measures.away(str(error))

    return await patiently(work, is_away, say, Backoff(*AWAY_S, steady_after_s=AWAY_S[1]))


def run_sender(settings: Settings) -> int:
    """Read and send until SIGTERM or SIGINT. Returns the exit code. Raises what `run_webhooks` raises."""
    return live(settings, partial(_send_until_asked, settings))


async def _send_until_asked(settings: Settings, asked: asyncio.Event) -> None:
    with opened_store(settings) as engine:
        sending = asyncio.ensure_future(run_webhooks(settings, engine))
        try:
            await unless(asked, sending)
        finally:
            await asyncio.gather(sending, return_exceptions=True)


async def run_webhooks(settings: Settings, engine: Engine) -> None:
    """Read and send until cancelled. Waits for Kafka and the store.

    Raises what `Sender.run` and `check` raise, and StoreRefusedError.
    """
    measures = WebhookMeasures()

    async def metrics() -> bytes:
        await asyncio.to_thread(_count, engine, measures)
        return measures.text()

    def readiness() -> Readiness:
        return measures.stalled(settings.stalled_after_s), {}

    async with pages(settings, metrics, readiness):
        await wait_for_broker(settings, log.warning)
        rules = await _patiently(lambda: check(settings, reading(*EVENTS.values())), measures)
        await _patiently(lambda: in_daemon_thread(lambda: _check_store(engine, rules)), measures, starting=True)
        # Two are told apart only by what they do: each moves a position from where it expects it.
        only = "one sender for a store: of two, one ends with code 4 when the next message comes"
        log.info("webhooks start", kafka=settings.bootstrap_servers, note=only)
        begin()
        await Sender(settings, engine, rules.partitions, measures=measures).run()


def _count(engine: Engine, measures: WebhookMeasures) -> None:
    """What waits and what is dead, as the store has it; while it is away, as it had it."""
    with suppress(StoreLostError), store_errors(engine), engine.connect() as connection:
        measures.counted(queue.counts(connection))


def _check_store(engine: Engine, rules: Rules) -> None:
    """Bring the store to this version. Raises StoreLostError, RefusalToStartError."""
    migrate(engine)
    with store_errors(engine), engine.connect() as connection:
        known = rules_of(connection)
    if known is not None and known.meter_id != rules.meter_id:
        raise RefusalToStartError("the store is of another meter than these topics")
