"""What is watched beside the steps: whether Kafka answers, whether it is the same log, which inputs are held up."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog
from aiokafka.errors import KafkaError

from meter import topics
from meter.identity import Identity
from streams.engine.clocks import MachineClock, Seldom
from streams.engine.health import WorkerHealth
from streams.engine.held import Held, OpenTransaction, Place
from streams.engine.owners import Owners
from streams.engine.questions import Questions
from streams.engine.readings import Readings
from streams.engine.watch import Ears, Watch
from streams.errors import BrokerLostError, RefusalToStartError
from streams.kafka.same_log import other_ids
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: How often to ask whether the topics are still the same ones.
IDENTITY_EVERY_S = 2.0
#: How often to look for inputs that an open transaction holds.
HELD_EVERY_S = 1.0


class HearsKafka(Ears, Protocol):
    """What the guards need of the consumer's thread."""

    def group_error(self) -> BaseException | None: ...


class Guards:
    """A worker's guards. `fail` ends the process."""

    def __init__(
        self,
        settings: Settings,
        owners: Owners,
        readings: Readings,
        health: WorkerHealth,
        clients: HearsKafka,
        questions: Questions,
        fail: Callable[[BaseException], None],
        clock: MachineClock,
    ) -> None:
        self._settings = settings
        self._owners = owners
        self._readings = readings
        self._health = health
        self._clients = clients
        self._questions = questions
        self._fail = fail
        self._clock = clock
        self._watch = Watch(settings, clock)

    async def run(self) -> None:
        """Watch until cancelled. It never ends by itself: an error of its own must end the process."""
        await asyncio.gather(self._watch_kafka(), self._watch_identity(), self._watch_held())

    async def _watch_kafka(self) -> None:
        """Look for what is due; end the process when Kafka is silent for too long, or the group is lost."""
        try:
            await self._watch.run(self._clients, lambda: self._readings.ready()[0], self._look)
        except BrokerLostError as error:
            self._fail(error)

    def _look(self) -> None:
        for owner in self._owners.open.values():
            owner.look()
        if (error := self._clients.group_error()) is not None:
            # aiokafka's own task has ended with it, and nothing else would ever say so.
            self._fail(error)

    async def _watch_identity(self) -> None:
        """End the process when a topic is made anew under it: positions would mean other records."""
        known: Identity | None = None
        while True:
            with suppress(KafkaError):  # a Kafka that is silent is noticed elsewhere
                now = await self._questions.identity()
                known = known or now
                for difference in other_ids(self._settings, known, now):
                    self._fail(RefusalToStartError(difference))
            await asyncio.sleep(IDENTITY_EVERY_S)

    async def _watch_held(self) -> None:
        """Say which inputs an open transaction holds: whoever reads up to its beginning has no other sign of it."""
        says: dict[Place, Seldom] = {}
        while True:
            self._health.look_for_held()
            for held in self._health.held():
                if says.setdefault((held.topic, held.partition), Seldom(self._clock)).may_say():
                    await self._say_held(held)
            await asyncio.sleep(HELD_EVERY_S)

    async def _say_held(self, held: Held) -> None:
        topic = self._settings.topic(held.topic)
        found: list[OpenTransaction] = []
        with suppress(KafkaError):  # a Kafka that is silent is noticed elsewhere
            found = await self._questions.open_transactions(topic, held.partition)
        log.error(
            "an input is held by an open transaction: nothing behind it is metered or settled until it ends",
            topic=topic,
            partition=held.partition,
            position=held.position,
            for_s=round(held.seconds),
            producer_ids=[each.producer_id for each in found],
            remedy=remedy(held, topic, found),
        )


def remedy(held: Held, topic: str, found: Sequence[OpenTransaction]) -> str:
    """What to do about an input that is held; `topic` has the deployment's prefix."""
    if held.topic == topics.REROUTED:
        # By hand it could be ended otherwise than its step was; an owner that opens its partition knows.
        return "start all workers of the meter again: what one of them has left there is ended as its step was"
    start = found[0].start if found else held.position
    return f"kafka-transactions.sh abort --topic {topic} --partition {held.partition} --start-offset {start}"
