"""Completions to Kafka: lines of JSON, checked, placed on their account's partition, acknowledged by all replicas."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from meter import topics
from meter.intake import Job, read_job
from meter.rejects import Code, Refusal
from meter.routing import owner
from meter.rules import Clock, Rules
from streams.errors import MeterError, SettingError
from streams.kafka import sender
from streams.settings import Settings
from streams.waiting import in_daemon_thread

#: Longer lines are refused: a topic with the broker's own limit takes records of 1 MiB, with headers and all.
MAX_LINE_BYTES = 1_000_000
BLOCK_BYTES = 1 << 20
BATCH_BYTES = 1 << 18
BATCH_PATIENCE_S = 30.0

#: On a meter with a simulated clock a job's record comes this long after its completion.
SIMULATED_DELAY_MS = 1000


class Summary(NamedTuple):
    """What became of the lines: records acknowledged, bad lines (sent or not), and how long it took."""

    acknowledged: int
    bad: int
    seconds: float


class Stamps:
    """The record time that a producer has to give: on a meter with a simulated clock, and on no other.

    `rules` None, of a meter whose rules may not be read: as if it were simulated, since another's broker gives its own.
    """

    def __init__(self, rules: Rules | None, at_ms: int | None = None) -> None:
        self._simulated = rules is None or rules.clock is Clock.SIMULATED
        if at_ms is not None and not self._simulated:
            raise SettingError("--at is for a meter with a simulated clock; on this one the broker gives the time")
        self._at_ms = at_ms

    def of(self, completed_us: int | None) -> int:
        """Milliseconds for the record of a job; a broker with its own clock replaces them."""
        if self._at_ms is not None:
            return self._at_ms
        if self._simulated and completed_us is not None:
            return max(0, completed_us // 1000 + SIMULATED_DELAY_MS)
        return int(time.time() * 1000)


class JobSender:
    """Batches of completions, one open for each partition. What is queued and in flight is bounded."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self.acknowledged = 0
        self._producer = producer
        self._topic = topic
        self._open: dict[int, Any] = {}
        self._sends: dict[asyncio.Future[Any], int] = {}

    async def put(
        self,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> None:
        """Add a record; a full batch goes out. Raises KafkaError when an earlier batch was not acknowledged."""
        record = {"key": key, "value": value, "timestamp": timestamp_ms, "headers": list(headers)}
        batch = self._open.get(partition)
        if batch is None or batch.append(**record) is None:
            if batch is not None:
                await self._send(partition)
            batch = self._open[partition] = self._producer.create_batch()
            batch.append(**record)

    async def flush(self) -> None:
        """Send what is there, without waiting for its acknowledgement."""
        for partition in list(self._open):
            await self._send(partition)

    async def finish(self) -> None:
        """Send what is there and wait until all of it is acknowledged."""
        await self.flush()
        while self._sends:
            # The client itself never gives up on a batch: an idempotent producer tries again without end.
            done, _ = await asyncio.wait(self._sends, timeout=BATCH_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise KafkaTimeoutError(f"not acknowledged within {BATCH_PATIENCE_S:.0f} s")
            self._collect()

    async def _send(self, partition: int) -> None:
        batch = self._open.pop(partition)
        batch.close()
        sent = await self._producer.send_batch(batch, self._topic, partition=partition)
        self._sends[sent] = batch.record_count()
        self._collect()

    def _collect(self) -> None:
        for sent in [sent for sent in self._sends if sent.done()]:
            count = self._sends.pop(sent)
            sent.result()
            self.acknowledged += count


class Lines:
    """Numbered lines from blocks of bytes. Of a line that is too long only the beginning is kept."""

    def __init__(self) -> None:
        self._number = 0
        self._rest = b""

    def feed(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        """The lines that end in this block."""
        *whole, rest = block.split(b"\n")
        for piece in whole:
            self._number += 1
            yield self._number, self._rest + piece
            self._rest = b""
        self._rest = (self._rest + rest)[: MAX_LINE_BYTES + 1]

    def end(self) -> Iterator[tuple[int, bytes]]:
        """The last line, where no newline ends it."""
        if self._rest:
            yield self._number + 1, self._rest


async def submit(
    settings: Settings,
    partitions: int,
    file: int,
    *,
    stamps: Stamps,
    anyway: bool,
    refused: Callable[[int, Refusal], None],
    moved: Callable[[int], None],
) -> Summary:
    """Send the lines of an open file (its descriptor). Bad ones are told to `refused`, and sent only when `anyway`.

    `moved` is told of bytes that were read. Raises MeterError, which says how far it came, when Kafka fails.
    """
    started = time.monotonic()
    bad = 0
    lines = Lines()
    async with sender(settings, max_batch_size=BATCH_BYTES) as producer:
        jobs = JobSender(producer, settings.topic(topics.COMPLETED))

        async def send(numbered: Iterator[tuple[int, bytes]]) -> None:
            nonlocal bad
            for number, line in numbered:
                job = _read(line)
                if isinstance(job, Refusal):
                    bad += 1
                    refused(number, job)
                if job is not None and (isinstance(job, Job) or (anyway and job.code is not Code.TOO_LARGE)):
                    partition, key = _place(job, number, partitions)
                    await jobs.put(partition, key, line.rstrip(b"\r"), stamps.of(job.completed_us))

        try:
            async for block in _blocks(file):
                await send(lines.feed(block))
                await jobs.flush()
                moved(len(block))
            await send(lines.end())
            await jobs.finish()
        except KafkaError as error:
            count = f"{jobs.acknowledged} {'record was' if jobs.acknowledged == 1 else 'records were'}"
            raise MeterError(
                f"Kafka did not take a batch ({error!r}) after {count} acknowledged; "
                "submit all of it again: jobs that are there already count as duplicates"
            ) from error
    return Summary(jobs.acknowledged, bad, time.monotonic() - started)


def _read(line: bytes) -> Job | Refusal | None:
    """The job of a line, its refusal, or None for a blank line."""
    if len(line) > MAX_LINE_BYTES:
        return Refusal(Code.TOO_LARGE, f"the line is longer than {MAX_LINE_BYTES} bytes")
    return read_job(line, ()) if line.strip() else None


def _place(job: Job | Refusal, number: int, partitions: int) -> tuple[int, bytes | None]:
    """Partition and key: of the account; lines that name none go round."""
    if job.account_id is None:
        return number % partitions, None
    return owner(job.account_id, partitions), job.account_id.encode()


async def _blocks(file: int) -> AsyncIterator[bytes]:
    """What can be read of a file or pipe, as it comes, up to its end."""
    # An input that pauses holds up neither acknowledgements nor Ctrl-C.
    while block := await in_daemon_thread(lambda: os.read(file, BLOCK_BYTES)):
        yield block
