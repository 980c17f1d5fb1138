"""The projector: follows the topics and writes batches, one after the other, until it is asked to stop.

    fetch the next batch while the last one is written -> one SQL transaction: positions by compare-and-set, rows

A store that is away is waited for; what was in flight may or may not have been committed, so the positions are read
from the store again, and reading goes on from there. Everything else ends the process: a restart begins at the same
place.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

import structlog
from aiokafka.errors import KafkaError
from sqlalchemy import Engine

from meter.periods import BillingDays
from meter.rules import Rules
from streams.errors import BrokerLostError
from streams.kafka.clients import reader
from streams.process.retrying import FIRST_S, LONGEST_S, Backoff, patiently
from streams.process.waiting import in_daemon_thread, unless
from streams.settings import Settings
from streams.store import positions
from streams.store.accounts import AccountRow, KnownAccounts
from streams.store.database import StoreLostError, is_store_away, store_errors, writing
from streams.store.following import FETCH_WAIT_MS, Follower, check_bounds, check_ids, check_whole
from streams.store.measures import ProjectorMeasures
from streams.store.positions import Place, ProjectedPosition
from streams.store.project import Batch, apply

log = structlog.get_logger(__name__)

#: A small batch waits for more, so that a quiet stream does not become a transaction for each record.
LINGER_S = 0.1
SMALL_RECORDS = 1_000
#: So often the store is told that there was nothing new, for it to say how old it is.
TOUCH_EVERY_S = 2.0

_T = TypeVar("_T")


class Projector:
    """One projector of a meter's topics into one store."""

    def __init__(self, settings: Settings, rules: Rules, engine: Engine, measures: ProjectorMeasures) -> None:
        self._settings = settings
        self._rules = rules
        self._engine = engine
        self._days = BillingDays(rules.time_zone)
        self._seen = KnownAccounts()
        self._measures = measures
        self._known: Mapping[Place, ProjectedPosition] = {}
        self._looked = self._touched = 0.0
        self._has_written = False

    async def run(self, asked: asyncio.Event, caught_up: bool = False) -> None:
        """Project until asked to stop, or with `caught_up` until all is projected that the topics hold when it begins.

        Raises RefusalToStartError, StoreRefusedError, OtherProjectorError, BrokerLostError.
        """
        async with reader(self._settings, fetch_max_wait_ms=FETCH_WAIT_MS) as consumer:
            follower = Follower(self._settings, consumer, self._rules.partitions)
            starts, ends = await follower.bounds()
            check_whole(starts, starts)
            ids = await _kafka(follower.topic_ids())
            known = await self._waiting(lambda: self._begin(starts, ends, ids), asked, starting=True)
            await _kafka(follower.prove(known))
            self._known = known
            follower.seek({place: position.next_offset for place, position in known.items()})
            log.info("follows the topics", partitions=self._rules.partitions)
            backoff = Backoff(FIRST_S, LONGEST_S)
            while not asked.is_set():
                self._has_written = False
                try:
                    await self._follow(follower, asked, ends if caught_up else None)
                    return
                except StoreLostError as error:
                    # A store may answer and yet take nothing, with a full disk for example.
                    if self._has_written:
                        backoff.worked()
                    delay_s = backoff.next_s()
                    log.warning(str(error), what="the store is away; what comes in waits in Kafka", retry_in_s=delay_s)
                    await _pause(asked, delay_s)
                    self._seen = KnownAccounts()
                    follower.seek(await self._waiting(self._positions, asked))

    async def _follow(self, follower: Follower, asked: asyncio.Event, until: dict[Place, int] | None) -> None:
        """Write batch after batch; the next one is fetched meanwhile."""
        fetching = asyncio.ensure_future(follower.next())
        try:
            while not asked.is_set():
                await self._look_at_ids(follower)
                batch = await _kafka(fetching)
                fetching = asyncio.ensure_future(follower.next())
                await self._put(batch)
                if until is not None and all(m.next_offset >= until[m.place] for m in batch.moves):
                    return
                if sum(map(len, batch.records.values())) < SMALL_RECORDS:
                    await asyncio.sleep(LINGER_S)
        finally:
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)

    async def _look_at_ids(self, follower: Follower) -> None:
        """Now and then, see that no topic is made anew while it is followed. Raises RefusalToStartError."""
        now = time.monotonic()
        if now - self._looked < TOUCH_EVERY_S:
            return
        self._looked = now
        check_ids(self._known, await _kafka(follower.topic_ids()))

    async def _put(self, batch: Batch) -> None:
        """Write a batch, where there is anything to write."""
        now = time.monotonic()
        if now - self._touched >= TOUCH_EVERY_S:
            self._touched = now
        else:
            batch = Batch([move for move in batch.moves if move.next_offset != move.expected], batch.records)
        if batch.moves:
            rows = await asyncio.to_thread(self._write, batch)
            self._has_written = True
            self._seen.note(rows)
            self._measures.wrote(batch, time.monotonic() - now)

    def _write(self, batch: Batch) -> Sequence[AccountRow]:
        with store_errors(self._engine), writing(self._engine) as connection:
            return apply(connection, batch, self._days, self._seen)

    def _begin(
        self, starts: dict[Place, int], ends: dict[Place, int], topic_ids: Mapping[str, str]
    ) -> dict[Place, ProjectedPosition]:
        """The positions to read on from; the store is this meter's from now on. Raises RefusalToStartError."""
        now = datetime.now(UTC)
        with store_errors(self._engine), writing(self._engine) as connection:
            positions.claim(connection, self._settings, self._rules, now)
            known = positions.load(connection)
            check_ids(known, topic_ids)
            check_bounds(known, starts, ends)
            new = {place: (start, ends[place]) for place, start in starts.items() if place not in known}
            positions.begin(connection, new, topic_ids, now)
            return positions.load(connection)

    def _positions(self) -> dict[Place, int]:
        with store_errors(self._engine), self._engine.connect() as connection:
            return {place: position.next_offset for place, position in positions.load(connection).items()}

    async def _waiting(self, ask: Callable[[], _T], asked: asyncio.Event, *, starting: bool = False) -> _T:
        return await wait_for_store(ask, asked, self._measures, starting=starting)


async def wait_for_store(
    ask: Callable[[], _T], asked: asyncio.Event, measures: ProjectorMeasures, *, starting: bool = False
) -> _T:
    """What the store answers; while it is away it is asked again, with backoff and without end, until asked to stop.

    Raises StoreRefusedError where it will not have us, if the process is only `starting`.
    """

    def say(error: Exception, delay_s: float) -> None:
        measures.store_is_away(True)
        log.warning(str(error), retry_in_s=delay_s)

    asking = patiently(lambda: in_daemon_thread(ask), partial(is_store_away, starting=starting), say)
    answer = await unless(asked, asking)
    measures.store_is_away(False)
    return answer


async def _pause(asked: asyncio.Event, seconds: float) -> None:
    """Wait, unless the process is asked to stop."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asked.wait(), seconds)


async def _kafka(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except KafkaError as error:
        raise BrokerLostError(f"Kafka is lost: {error!r}; start again, nothing was lost") from error
