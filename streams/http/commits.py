"""Records into the log, by transactions that are shared by whoever waits.

What a request brings is in the log as a whole or not at all: its records are committed in one transaction, together
with those of the requests that came meanwhile. Where Kafka gives no answer in time the outcome is unknown; the next
connection, under the same transactional id, settles what was left open. Sending the same again does no harm, since
jobs and commands have ids.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from meter.events import Headers
from streams.http.problems import Problem, unavailable
from streams.http.traces import trace_headers
from streams.kafka.batches import BatchRow, batches_of
from streams.kafka.transactional import UnansweredError
from streams.settings import Settings

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


class SharedCommits:
    """The records that wait for the next transaction, and the one after the other that take them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()

    async def commit(self, records: Sequence[Outgoing]) -> None:
        """Records with the trace of this request, all or none. Raises Problem (503) where Kafka is away."""
        if trace := trace_headers():
            records = [each._replace(headers=with_trace(each.headers, trace)) for each in records]
        waiting = _Waiting(records, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(waiting)
        await waiting.committed

    def refuse(self, problem: Problem) -> None:
        """Nothing of what waits is taken."""
        while not self._queue.empty():
            _fail(self._queue.get_nowait(), problem)

    async def run(self, producer: AIOKafkaProducer, patience_s: float) -> None:
        """Commit what waits, for ever. Whatever it raises is the end of the connection."""
        while True:
            group = await self._group()
            try:
                await asyncio.wait_for(self._publish(producer, group), patience_s)
            except BaseException as error:
                for waiting in group:
                    _fail(waiting, _unknown(_reason(error)))
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
            (place, batch) for place, records in _by_place(group).items() for batch in batches_of(producer, records)
        ]
        await producer.begin_transaction()
        sends = [
            await producer.send_batch(batch, self._settings.topic(topic), partition=partition)
            for (topic, partition), batch in batches
        ]
        await asyncio.gather(*sends)
        await producer.commit_transaction()


def _by_place(group: Sequence[_Waiting]) -> Mapping[tuple[str, int], list[BatchRow]]:
    places: dict[tuple[str, int], list[BatchRow]] = defaultdict(list)
    for waiting in group:
        for record in waiting.records:
            row = record.key, record.value, record.timestamp_ms, list(record.headers)
            places[record.topic, record.partition].append(row)
    return places


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
