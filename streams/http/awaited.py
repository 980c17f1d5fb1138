"""The meter's answers to commands, as they come in, for the requests that wait for them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from meter.models import CommandResult
from streams.commands.verdict import read_answer

log = structlog.get_logger(__name__)


class AwaitedAnswers:
    """Who waits for the answer to which command."""

    def __init__(self) -> None:
        self._expected: dict[str, list[asyncio.Queue[CommandResult]]] = defaultdict(list)

    @asynccontextmanager
    async def to(self, command_id: str) -> AsyncIterator["asyncio.Queue[CommandResult]"]:
        """The answers to a command that come in while the block lasts."""
        queue: asyncio.Queue[CommandResult] = asyncio.Queue()
        self._expected[command_id].append(queue)
        try:
            yield queue
        finally:
            self._expected[command_id].remove(queue)
            if not self._expected[command_id]:
                del self._expected[command_id]

    async def run(self, consumer: AIOKafkaConsumer) -> None:
        """Hand out what comes in, for ever."""
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    self._hand_over(record)

    def _hand_over(self, record: ConsumerRecord) -> None:
        """Nobody waits for what is no answer: it must not cut off whoever waits for another."""
        result = read_answer(record.value)
        if result is None:
            where = f"{record.topic}[{record.partition}] at {record.offset}"
            log.error("a record that is no answer of the meter is left aside", at=where)
            return
        for queue in self._expected.get(result.command_id, ()):
            queue.put_nowait(result)
