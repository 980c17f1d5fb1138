"""What the demo runs on: a Kafka and two workers of its own, and a reader that sees how far they are."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from meter import topics
from meter.journal import JournalStep, read_entry
from meter.rules import Rules
from streams.broker.ports import free_port
from streams.errors import MeterError
from streams.kafka.clients import reader
from streams.process.nearby import open_page
from streams.process.waiting import until
from streams.settings import Settings
from streams.supervise.processes import Ended, stop_all, worker

PATIENCE_S = 60.0
LOOK_S = 0.05


class Cast:
    """The two workers; what they log goes to files."""

    def __init__(self, settings: Settings, folder: Path, say: Callable[[str], None]) -> None:
        self._ports = [free_port() for _ in range(2)]
        self._logs = [folder / f"worker-{number}.log" for number in range(2)]
        self._stopping = False
        self.exits: list[int | None] = []
        self.workers = [
            worker(number, settings.model_copy(update={"web_port": port - number}), say, log=log)
            for number, (port, log) in enumerate(zip(self._ports, self._logs, strict=True))
        ]

    def start(self) -> None:
        """Start both."""
        for process in self.workers:
            process.start(self._ended)

    def restart(self, number: int) -> None:
        """Start one again, as `meter up` or any supervisor does."""
        self.workers[number].start(self._ended)

    def stop(self) -> None:
        """Ask both to stop, and wait."""
        self._stopping = True
        stop_all(self.workers)

    def _ended(self, ended: Ended) -> None:
        if not self._stopping:
            self.exits.append(ended.code)

    async def ready(self, partitions: int) -> None:
        """Wait until all partitions are open. Raises MeterError with a worker's last words when one has ended."""

        async def look() -> bool:
            return sum([await asyncio.to_thread(open_partitions, port) for port in self._ports]) >= partitions

        if not await until(look, lambda is_open: is_open or self.exits, every_s=LOOK_S, within_s=PATIENCE_S):
            raise MeterError(f"the workers did not start: {self.last_words()}")

    def last_words(self) -> str:
        """The last line of either log."""
        lines = [line for log in self._logs if log.exists() for line in log.read_text("utf-8", "replace").splitlines()]
        return lines[-1] if lines else "they said nothing"


def open_partitions(port: int) -> int:
    """How many partitions the worker whose pages are at this port has open; 0 where it does not answer."""
    try:
        with open_page(f"http://127.0.0.1:{port}/readyz", 2) as page:
            return len(json.load(page)["open"])
    except (OSError, ValueError):
        return 0


class Progress:
    """What became of the records so far, read from the journal as any auditor would."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.counts: Counter[str] = Counter()
        self._consumer = consumer

    @property
    def settled(self) -> int:
        """Records that came to their end: a rerouted one does so on the other partition."""
        return self.counts["priced"] + self.counts["duplicate"] + self.counts["rejected"]

    async def look(self) -> None:
        """Read what has been committed since the last look, or for a moment."""
        found: dict[Any, Any] = await self._consumer.getmany(timeout_ms=int(LOOK_S * 1000))
        for record in (record for batch in found.values() for record in batch):
            entry = read_entry(record.value)
            if isinstance(entry, JournalStep):
                self.counts.update(entry.counts.model_dump())

    async def until(self, settled: int, cast: Cast) -> None:
        """Look until so many records are settled; the patience begins anew with every step."""
        before, deadline = -1, 0.0
        while self.settled < settled:
            if self.settled != before:
                before, deadline = self.settled, time.monotonic() + PATIENCE_S
            elif time.monotonic() > deadline:
                raise MeterError(f"the workers do not get on: {cast.last_words()}")
            await self.look()


@asynccontextmanager
async def progress(settings: Settings, rules: Rules) -> AsyncIterator[Progress]:
    """Follow the journal of all partitions from its start."""
    partitions = [TopicPartition(settings.topic(topics.JOURNAL), p) for p in range(rules.partitions)]
    async with reader(settings) as consumer:
        consumer.assign(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        yield Progress(consumer)
