"""Completions to Kafka: lines of JSON, checked, placed on their account's partition, acknowledged by all replicas."""

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from meter import topics
from meter.intake import Job, read_job
from meter.periods import CALENDAR_END_MS
from meter.refusals import refuse
from meter.rejects import Code, Refusal
from meter.routing import owner
from meter.rules import Clock, Rules
from streams.errors import INTERRUPTED, Exit, MeterError, SettingError
from streams.kafka.batches import BatchFilling
from streams.kafka.clients import sender
from streams.process.waiting import in_daemon_thread
from streams.settings import Settings
from streams.text import formats

#: Longer lines are refused: a topic with the broker's own limit takes records of 1 MiB, with headers and all.
MAX_LINE_BYTES = 1_000_000
#: What reads lines that something else makes of a file.
SUBMIT = "meter submit -"
BLOCK_BYTES = 1 << 20
BATCH_BYTES = 1 << 18
BATCH_PATIENCE_S = 30.0

#: On a meter with a simulated clock a job's record comes this long after its completion.
SIMULATED_DELAY_MS = 1000


class StoppedError(MeterError):
    """Submitting ended before all was sent. What was acknowledged is there, and sending it again does no harm."""

    def __init__(self, why: str, acknowledged: int, code: int = Exit.FAILED) -> None:
        count = f"{acknowledged:,} {'record was' if acknowledged == 1 else 'records were'}"
        super().__init__(
            f"{why}: {count} acknowledged, and more may have been sent; "
            "submit all of it again: jobs that are there already count as duplicates"
        )
        self.code = code


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
        self._open: dict[int, BatchFilling] = {}
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
        filling = self._open.get(partition)
        if filling is None:
            filling = self._open[partition] = BatchFilling(self._producer)
        for full in filling.fill([(key, value, timestamp_ms, list(headers))]):
            await self._send(full, partition)

    async def flush(self) -> None:
        """Send what is there, without waiting for its acknowledgement."""
        for partition, filling in list(self._open.items()):
            for batch in filling.rest():
                await self._send(batch, partition)

    async def finish(self) -> None:
        """Send what is there and wait until all of it is acknowledged."""
        await self.flush()
        while self._sends:
            # The client itself never gives up on a batch: an idempotent producer tries again without end.
            done, _ = await asyncio.wait(self._sends, timeout=BATCH_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise KafkaTimeoutError(f"not acknowledged within {BATCH_PATIENCE_S:.0f} s")
            self._collect()

    def so_far(self) -> int:
        """How many were acknowledged by now, whatever became of the others."""
        done = [
            count
            for sent, count in self._sends.items()
            if sent.done() and not sent.cancelled() and not sent.exception()
        ]
        return self.acknowledged + sum(done)

    async def _send(self, batch: Any, partition: int) -> None:
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
    name: str,
    *,
    stamps: Stamps,
    anyway: bool,
    refused: Callable[[int, Refusal], None],
    moved: Callable[[int], None],
) -> Summary:
    """Send the lines of an open file (its descriptor). Bad ones are told to `refused`, and sent only when `anyway`.

    `name` is the file's, `-` for standard input; `moved` is told of bytes that were read. Raises SettingError before
    anything is sent where it is no file of lines of JSON, StoppedError, which says how far it came, when Kafka or the
    file fails or it is cancelled.
    """
    started = time.monotonic()
    bad = 0
    lines = Lines()
    blocks = _known_for_lines(_blocks(file), name, anyway)
    first = await anext(blocks, b"")
    async with sender(settings, max_batch_size=BATCH_BYTES) as producer:
        jobs = JobSender(producer, settings.topic(topics.COMPLETED))

        async def send(numbered: Iterator[tuple[int, bytes]]) -> None:
            nonlocal bad
            for number, line in numbered:
                line = line.removeprefix(formats.BOM)  # noqa: PLW2901 - files put together have one in their midst
                job = _read(line)
                if isinstance(job, Refusal):
                    bad += 1
                    refused(number, job)
                if job is not None and (isinstance(job, Job) or (anyway and job.code is not Code.TOO_LARGE)):
                    partition, key = _place(job, number, partitions)
                    await jobs.put(partition, key, line.rstrip(b"\r"), stamps.of(job.completed_us))

        async def go_on(block: bytes) -> None:
            await send(lines.feed(block))
            await jobs.flush()
            moved(len(block))

        try:
            await go_on(first)
            async for block in blocks:
                await go_on(block)
            await send(lines.end())
            await jobs.finish()
        except (KafkaError, OSError) as error:
            what = "Kafka did not take a batch" if isinstance(error, KafkaError) else "the file cannot be read on"
            raise StoppedError(f"{what} ({error!r})", jobs.so_far()) from error
        except asyncio.CancelledError as error:
            raise StoppedError("stopped", jobs.so_far(), INTERRUPTED) from error
    return Summary(jobs.acknowledged, bad, time.monotonic() - started)


def see_beginning(file: int, name: str, anyway: bool) -> None:
    """Raises SettingError where the beginning of a regular file, which is there at once, shows that it is no JSON."""
    if stat.S_ISREG(os.fstat(file).st_mode):
        head = os.pread(file, formats.HEAD_BYTES, os.lseek(file, 0, os.SEEK_CUR))
        _see(head, name, anyway, ended=len(head) < formats.HEAD_BYTES)


async def _known_for_lines(blocks: AsyncIterator[bytes], name: str, anyway: bool) -> AsyncIterator[bytes]:
    """The blocks of a file, once its beginning has shown that it is of lines of JSON. Raises SettingError.

    With `anyway` any text will do.
    """
    head, known = b"", False
    async for block in blocks:
        if known:
            yield block
            continue
        head += block
        if known := _see(head, name, anyway, ended=False):
            yield head
    if not known and head:
        _see(head, name, anyway, ended=True)
        yield head


def _see(head: bytes, name: str, anyway: bool, *, ended: bool) -> bool:
    """Whether enough of a file is there to say that it may be lines of JSON. Raises SettingError where it is not."""
    if len(head) < formats.LEAST_BYTES and not ended:
        return False
    try:
        wrong = formats.no_text(head, name, SUBMIT)
        if wrong is None and not anyway:
            wrong = formats.no_lines(head, name, SUBMIT, ended=ended)
    except formats.Undecided:
        return False
    if wrong is not None:
        raise SettingError(f"{'standard input' if name == '-' else name} is {wrong}; nothing was sent")
    return True


def _read(line: bytes) -> Job | Refusal | None:
    """The job of a line, its refusal, or None for a blank line."""
    if len(line) > MAX_LINE_BYTES:
        return Refusal(Code.TOO_LARGE, f"the line is longer than {MAX_LINE_BYTES} bytes")
    return in_calendar(read_job(line, ())) if line.strip() else None


def in_calendar(job: Job | Refusal) -> Job | Refusal:
    """A job, or its refusal where a record of its time would lie beyond the calendar, as on a simulated clock."""
    if isinstance(job, Job) and job.completed_us // 1000 > CALENDAR_END_MS:
        return refuse(job, Code.IN_FUTURE, f"completed_at: {job.completed_at} lies beyond the meter's calendar")
    return job


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
