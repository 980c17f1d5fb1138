"""Prove what was published: recompute every output from the log by `meter.replay`, and compare byte for byte.

The journal's end is taken after the outputs' ends, so a worker may go on working meanwhile: what was put out before is
held against the replay, and what the replay puts out is looked for up to ends taken afterwards.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from xxhash import xxh3_128_digest

from meter import topics
from meter.journal import InputRange, JournalStep, read_entry
from meter.outputs import total_key, total_value
from meter.partition import ORIGIN_HEADER, Keyed, Record, Step
from meter.replay import JournalError, replay
from meter.routing import owner
from meter.rules import Rules
from meter.state import PartitionState
from streams.kafka import offsets, read_range, reader
from streams.settings import Settings
from streams.topics import check

#: Journal entries that are read ahead at a time.
BATCH_STEPS = 200

ORDERED = (topics.PRICED, topics.REJECTED, topics.COMMAND_RESULTS)

Say = Callable[[str], None]


class Difference(NamedTuple):
    """One way in which what was published is not what the log says."""

    text: str
    account_id: str | None = None
    day: str | None = None


@dataclass
class Report:
    """What a verification found. `unprovable` says why it could not be done, if it could not."""

    partitions: int = 0
    steps: int = 0
    records: int = 0
    differences: list[str] = field(default_factory=list)
    unprovable: str | None = None

    @property
    def proved(self) -> bool:
        """Everything was recomputed, and no difference found."""
        return not self.differences and self.unprovable is None


class UnprovableError(Exception):
    """The log no longer holds what the proof needs."""


async def verify(settings: Settings, *, account: str | None = None, day: str | None = None, say: Say) -> Report:
    """Recompute and compare. With an account, its partition alone; with a day, differences of that day alone."""
    rules = await check(settings)
    partitions = range(rules.partitions) if account is None else [owner(account, rules.partitions)]
    report = Report()
    rerouted = _Rerouted()
    try:
        for partition in partitions:
            async with AsyncExitStack() as stack:
                proof = _PartitionProof(settings, rules, partition, stack, report, rerouted)
                found = [d async for d in proof.differences()]
            report.partitions += 1
            report.differences += [d.text for d in found if _concerns(d, account, day)]
            say(f"partition {partition}: {report.steps} steps, {report.records} records so far")
        if account is None:
            differences = [d async for d in rerouted.differences(settings, rules)]
            report.differences += [d.text for d in differences if _concerns(d, account, day)]
    except UnprovableError as error:
        report.unprovable = str(error)
    return report


def _concerns(difference: Difference, account: str | None, day: str | None) -> bool:
    """A difference that names no account or day may concern every one."""
    return (account is None or difference.account_id in {None, account}) and (
        day is None or difference.day in {None, day}
    )


class _Cursor:
    """Reads one partition of a topic from its start on, range after range."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, partition: int, end: int) -> None:
        self._chunks = read_range(consumer, topic, partition, 0, end)
        self._buffer: deque[ConsumerRecord] = deque()
        self._ended = False

    async def _fill(self) -> bool:
        if not self._buffer and not self._ended:
            try:
                self._buffer.extend(await anext(self._chunks))
            except StopAsyncIteration:
                self._ended = True
        return bool(self._buffer)

    async def below(self, end: int) -> list[ConsumerRecord]:
        """The records up to a position."""
        taken: list[ConsumerRecord] = []
        while await self._fill() and self._buffer[0].offset < end:
            taken.append(self._buffer.popleft())
        return taken

    async def next(self) -> ConsumerRecord | None:
        """The next record, None at the end."""
        return self._buffer.popleft() if await self._fill() else None


class _PartitionProof:
    """Replays one partition and compares as it goes."""

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        partition: int,
        stack: AsyncExitStack,
        report: Report,
        rerouted: "_Rerouted",
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._partition = partition
        self._stack = stack
        self._report = report
        self._rerouted = rerouted

    async def differences(self) -> AsyncIterator[Difference]:
        """Everything that differs; ends early where the journal contradicts itself."""
        before = {topic: await self._end(topic) for topic in ORDERED}
        journal = await self._journal()
        after = {topic: await self._end(topic) for topic in (*ORDERED, topics.DAILY, *topics.INPUTS)}
        inputs = {topic: await self._cursor(topic, after[topic]) for topic in topics.INPUTS}
        outputs = {topic: await self._cursor(topic, after[topic]) for topic in ORDERED}
        state = PartitionState(self._rules, self._partition)
        try:
            async for step, now in self._replayed(journal, inputs):
                state = now
                for topic, expected in zip(ORDERED, (step.priced, step.rejected, step.results), strict=True):
                    async for difference in self._compare(topic, expected, outputs[topic]):
                        yield difference
        except JournalError as error:
            yield Difference(f"{topics.JOURNAL}[{self._partition}]: {error}")
            return
        for topic in ORDERED:
            async for difference in self._beyond(topic, outputs[topic], before[topic]):
                yield difference
        async for difference in self._compare_daily(state, after[topics.DAILY], len(journal)):
            yield difference

    async def _consumer(self) -> AIOKafkaConsumer:
        return await self._stack.enter_async_context(reader(self._settings))

    async def _end(self, topic: str) -> int:
        async with reader(self._settings) as consumer:
            return (await offsets(consumer, self._settings.topic(topic), self._partition))[1]

    async def _cursor(self, topic: str, end: int) -> _Cursor:
        consumer, name = await self._consumer(), self._settings.topic(topic)
        start, _ = await offsets(consumer, name, self._partition)
        if start > 0:
            raise UnprovableError(f"unprovable: the log starts at {start} in {name}[{self._partition}]")
        return _Cursor(consumer, name, self._partition, end)

    async def _journal(self) -> list[JournalStep]:
        consumer, name = await self._consumer(), self._settings.topic(topics.JOURNAL)
        start, end = await offsets(consumer, name, self._partition)
        if start > 0:
            raise UnprovableError(f"unprovable: the log starts at {start} in {name}[{self._partition}]")
        steps: list[JournalStep] = []
        async for records in read_range(consumer, name, self._partition, 0, end):
            entries = (read_entry(record.value) for record in records)
            steps += [entry for entry in entries if isinstance(entry, JournalStep)]
        return steps

    async def _replayed(
        self, journal: list[JournalStep], inputs: dict[str, _Cursor]
    ) -> AsyncIterator[tuple[Step, PartitionState]]:
        """Each step, and the state that it is merged into when the next one is asked for."""
        known: dict[InputRange, list[ConsumerRecord]] = {}
        feed: deque[JournalStep] = deque()

        def entries() -> Iterator[JournalStep]:
            while feed:
                yield feed.popleft()

        def read(span: InputRange) -> list[Record]:
            return known.pop(span)

        steps = replay(self._rules, self._partition, entries(), read)
        for start in range(0, len(journal), BATCH_STEPS):
            batch = journal[start : start + BATCH_STEPS]
            for entry in batch:
                for span in entry.inputs:
                    known[span] = await inputs[span.topic].below(span.next) if span.topic in inputs else []
            feed.extend(batch)
            for _ in batch:
                _, step, state = next(steps)
                self._report.steps += 1
                self._report.records += step.read
                self._rerouted.expect(step)
                yield step, state
        next(steps, None)  # merges the last step

    async def _compare(self, topic: str, expected: Iterable[Keyed], published: _Cursor) -> AsyncIterator[Difference]:
        for key, value in expected:
            record = await published.next()
            if record is None:
                yield self._difference(f"{self._at(topic)}: missing {_short(value)}", value)
            elif record.value != value or record.key != key:
                text = f"{self._at(topic, record)}: published {_short(record.value)}, the log says {_short(value)}"
                yield self._difference(text, value)

    async def _beyond(self, topic: str, published: _Cursor, end: int) -> AsyncIterator[Difference]:
        """What was put out before the journal was read, and is in no step."""
        while (record := await published.next()) is not None and record.offset < end:
            text = f"{self._at(topic, record)}: published {_short(record.value)}, the log knows nothing of it"
            yield self._difference(text, record.value)

    async def _compare_daily(self, state: PartitionState, end: int, steps: int) -> AsyncIterator[Difference]:
        consumer, name = await self._consumer(), self._settings.topic(topics.DAILY)
        start, _ = await offsets(consumer, name, self._partition)
        published: dict[bytes, bytes] = {}
        async for records in read_range(consumer, name, self._partition, start, end):
            published.update({record.key: record.value for record in records})
        is_live = len(await self._journal()) > steps
        for key, total in state.totals.items():
            value, found = total_value(key, total), published.pop(total_key(key), None)
            if found != value and not (is_live and found is not None and _jobs(found) > total.jobs):
                text = f"{self._at(topics.DAILY)}: published {_short(found)}, the log says {_short(value)}"
                yield Difference(text, key[0], key[2])
        for value in published.values() if not is_live else ():
            yield self._difference(f"{self._at(topics.DAILY)}: {_short(value)}, the log knows nothing of it", value)

    def _at(self, topic: str, record: ConsumerRecord | None = None) -> str:
        place = f"{self._settings.topic(topic)}[{self._partition}]"
        return place if record is None else f"{place}@{record.offset}"

    @staticmethod
    def _difference(text: str, value: bytes | None) -> Difference:
        try:
            fields: dict[str, Any] = msgspec.json.decode(value or b"{}")
        except msgspec.MsgspecError:
            fields = {}
        return Difference(text, fields.get("account_id"), fields.get("day"))


class _Rerouted:
    """What the steps of all partitions forwarded, by origin, to be found on the rerouted topic exactly once."""

    def __init__(self) -> None:
        self._expected: dict[bytes, tuple[int, bytes]] = {}

    def expect(self, step: Step) -> None:
        """Note what a replayed step forwarded."""
        for row in step.rerouted:
            self._expected[row.headers[-1][1] or b""] = row.partition, xxh3_128_digest(row.value)

    async def differences(self, settings: Settings, rules: Rules) -> AsyncIterator[Difference]:
        """Records that the meter forwarded and the log does not explain, and those that are missing."""
        name = settings.topic(topics.REROUTED)
        seen: set[bytes] = set()
        async with reader(settings) as consumer:
            for partition in range(rules.partitions):
                start, end = await offsets(consumer, name, partition)
                async for records in read_range(consumer, name, partition, start, end):
                    for record in records:
                        origin = next((value for key, value in record.headers if key == ORIGIN_HEADER), None)
                        if origin is None:
                            continue  # not the meter's: it was judged as any input is
                        where = f"{name}[{partition}]@{record.offset}"
                        expected = self._expected.get(origin)
                        if origin in seen:
                            yield Difference(f"{where}: forwarded twice from {origin.decode(errors='replace')}")
                        elif expected is not None and expected != (partition, xxh3_128_digest(record.value or b"")):
                            yield Difference(f"{where}: not what came in at {origin.decode(errors='replace')}")
                        seen.add(origin)
        for origin in self._expected.keys() - seen:
            yield Difference(f"{name}: missing what came in at {origin.decode()}")


def _jobs(value: bytes) -> int:
    return int(msgspec.json.decode(value)["jobs"])


def _short(value: bytes | None) -> str:
    text = "nothing" if value is None else value.decode(errors="replace")
    return text if len(text) <= 400 else f"{text[:400]}..."
