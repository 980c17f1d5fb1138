"""From the topics to the deliveries: what an endpoint wants is put down, and its position moves, in one transaction."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from sqlalchemy import Engine

from streams.errors import RefusalToStartError
from streams.kafka.clients import offsets, reader
from streams.kafka.identity import identify
from streams.settings import Settings
from streams.store.database import store_errors, writing
from streams.webhooks import queue
from streams.webhooks.endpoints import Endpoint, endpoints, positions_of, topic_ids_of
from streams.webhooks.events import EVENTS, message_of
from streams.webhooks.queue import EndpointAdvance, Put

MAX_RECORDS = 2_000
POLL_MS = 500
COMPARE_EVERY_S = 2.0

Read = Mapping[TopicPartition, list[ConsumerRecord]]


async def committed_ends(settings: Settings, partitions: int) -> tuple[dict[tuple[str, int], int], Mapping[str, str]]:
    """Where the topics of all events end now, and their ids."""
    async with reader(settings) as consumer:
        ends = {
            (topic, partition): (await offsets(consumer, settings.topic(topic), partition))[1]
            for topic in EVENTS.values()
            for partition in range(partitions)
        }
        return ends, (await identify(consumer, settings, EVENTS.values())).topics


class WebhookReader:
    """Reads the topics once for all endpoints. `tell` is called with the endpoints there are, after each look."""

    def __init__(
        self, settings: Settings, engine: Engine, partitions: int, tell: Callable[[list[Endpoint]], None]
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._places = [(topic, partition) for topic in EVENTS.values() for partition in range(partitions)]
        self._tell = tell
        self._compared = -COMPARE_EVERY_S

    async def run(self) -> None:
        """Read until cancelled. Raises BrokerLostError, StoreLostError, OtherSenderError, RefusalToStartError."""
        async with reader(self._settings) as consumer:
            consumer.assign([self._at(*place) for place in self._places])
            reached: dict[tuple[str, int], int] = {}
            while True:
                await self._look(consumer, reached)

    async def _look(self, consumer: AIOKafkaConsumer, reached: dict[tuple[str, int], int]) -> None:
        known, positions, ids = await asyncio.to_thread(self._load)
        self._tell(known)
        if not known:
            await asyncio.sleep(POLL_MS / 1000)
            return
        await self._compare(consumer, ids)
        for place in self._places:
            wanted = min(of_endpoint[place] for of_endpoint in positions.values())
            if reached.get(place) != wanted:
                consumer.seek(self._at(*place), wanted)
                reached[place] = wanted
        try:
            found: Read = await consumer.getmany(timeout_ms=POLL_MS, max_records=MAX_RECORDS)
        except OffsetOutOfRangeError as error:
            raise RefusalToStartError(
                "a topic does not have the records that webhooks are to be told of: it was made anew, or cut; "
                "remove the webhooks and add them again"
            ) from error
        if found:
            await asyncio.to_thread(self._put, found, known, positions)
            reached |= {self._place(at): records[-1].offset + 1 for at, records in found.items()}
            self._tell(known)

    async def _compare(self, consumer: AIOKafkaConsumer, known: set[tuple[str, str]]) -> None:
        """Now and then, see that no topic was made anew: its offsets would mean other records."""
        now = time.monotonic()
        if now - self._compared < COMPARE_EVERY_S:
            return
        self._compared = now
        try:
            ids = (await identify(consumer, self._settings, EVENTS.values())).topics
        except KafkaError:
            return  # whether it is there is seen elsewhere
        for topic, topic_id in sorted(known):
            if ids.get(topic, topic_id) != topic_id:
                raise RefusalToStartError(
                    f"{self._settings.topic(topic)} was made anew: webhooks are to be told of the topic with the id "
                    f"{topic_id}, this one has {ids[topic]}; remove the webhooks and add them again"
                )

    def _load(self) -> tuple[list[Endpoint], dict[str, dict[tuple[str, int], int]], set[tuple[str, str]]]:
        with store_errors(self._engine), self._engine.connect() as connection:
            known = endpoints(connection)
            return known, positions_of(connection, known), topic_ids_of(connection, known)

    def _put(self, found: Read, known: list[Endpoint], positions: Mapping[str, Mapping[tuple[str, int], int]]) -> None:
        messages, moves = [], []
        for at, records in found.items():
            topic, partition = place = self._place(at)
            after = records[-1].offset + 1
            for endpoint in known:
                before = positions[endpoint.endpoint_id][place]
                if after > before:
                    moves.append(EndpointAdvance(endpoint.endpoint_id, topic, partition, before, after))
            for record in records:
                message = message_of(topic, record.value, record.timestamp)
                messages += [
                    Put(endpoint.endpoint_id, partition, record.offset, message)
                    for endpoint in known
                    if record.offset >= positions[endpoint.endpoint_id][place]
                    and endpoint.wants(message.event, message.account_id)
                ]
        with store_errors(self._engine), writing(self._engine) as connection:
            queue.put(connection, messages, moves, datetime.now(UTC))

    def _at(self, topic: str, partition: int) -> TopicPartition:
        return TopicPartition(self._settings.topic(topic), partition)

    def _place(self, at: TopicPartition) -> tuple[str, int]:
        return self._settings.bare(at.topic), at.partition
