"""A whole partition replayed, and held against what was published.

The journal's end is taken after the outputs' ends, so a worker may go on working meanwhile: what was put out before is
held against the replay, and what the replay puts out is looked for up to ends taken afterwards.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

import msgspec
from aiokafka import ConsumerRecord

from meter import topics
from meter.journal import InputRange, JournalStep
from meter.published import OUTPUTS
from meter.records import Keyed, Record
from meter.replay import JournalError, replay
from meter.rules import Rules
from meter.snapshot import BEFORE, IDENTITY, POSITION, account_key, changes
from meter.step import Step
from streams.proof.differences import Difference, Report, differs, named, short
from streams.proof.log import Cursor, PartitionLog
from streams.proof.rerouted import RerouteCheck

#: Journal entries that are read ahead at a time.
BATCH_STEPS = 200

ORDERED = tuple(output for output in OUTPUTS if not output.compacted)
#: Of these the last value of each key counts.
COMPACTED = tuple(output for output in OUTPUTS if output.compacted)
#: Of the state, what follows from no input: which log it is, and what its last step came after.
NO_FOLD = (IDENTITY, BEFORE)
#: Of the state, the kinds of record that are of no account.
NOBODYS = ("position", "book", "command")


class PartitionProof:
    """Replays one partition and compares as it goes."""

    def __init__(self, log: PartitionLog, rules: Rules, report: Report, rerouted: RerouteCheck) -> None:
        self._log = log
        self._rules = rules
        self._report = report
        self._rerouted = rerouted
        self._state: dict[bytes, bytes | None] = {}
        self._latest: dict[str, dict[bytes, bytes]] = {output.topic: {} for output in COMPACTED}

    async def differences(self) -> AsyncIterator[Difference]:
        """Everything that differs; ends early where the journal contradicts itself."""
        for torn in await self._torn():
            yield torn
        ordered, compacted = ([output.topic for output in some] for some in (ORDERED, COMPACTED))
        before = await self._log.ends(ordered)
        journal = await self._log.journal()
        after = await self._log.ends((*ordered, *compacted, *topics.INPUTS, topics.STATE))
        inputs = await self._log.cursors({topic: after[topic] for topic in topics.INPUTS})
        outputs = await self._log.cursors({topic: after[topic] for topic in ordered})
        try:
            async for step in self._replayed(journal, inputs):
                for output in ORDERED:
                    async for difference in self._compare(output.topic, output.rows(step), outputs[output.topic]):
                        yield difference
        except JournalError as error:
            yield Difference(f"{self._log.at(topics.JOURNAL)}: {error}")
            return
        for topic in ordered:
            async for difference in self._beyond(topic, outputs[topic], before[topic]):
                yield difference
        is_live = len(await self._log.journal()) > len(journal)
        async for difference in self._latest_values(after, is_live):
            yield difference

    def knows(self, account_id: str) -> bool:
        """Whether there is such an account, by what was replayed."""
        return account_key(account_id) in self._state

    async def _torn(self) -> list[Difference]:
        """Journal and state of different steps. Of the other topics each record is held against the replay."""
        found = [each for each in await self._log.torn() if each.topic in {topics.JOURNAL, topics.STATE}]
        return [Difference(f"{self._log.at(each.topic)}: a step is torn: {each}") for each in found]

    async def _replayed(self, journal: list[JournalStep], inputs: dict[str, Cursor]) -> AsyncIterator[Step]:
        """Each step; its changes are applied to the state when the next one is asked for."""
        known: dict[InputRange, list[ConsumerRecord]] = {}
        feed: deque[JournalStep] = deque()

        def entries() -> Iterator[JournalStep]:
            while feed:
                yield feed.popleft()

        def read(span: InputRange) -> list[Record]:
            return known.pop(span)

        steps = replay(self._rules, self._log.partition, entries(), read)
        for start in range(0, len(journal), BATCH_STEPS):
            batch = journal[start : start + BATCH_STEPS]
            for entry in batch:
                for span in entry.inputs:
                    known[span] = await inputs[span.topic].below(span.next) if span.topic in inputs else []
            feed.extend(batch)
            for _ in batch:
                _, step, _ = next(steps)
                self._note(step)
                yield step
        next(steps, None)  # merges the last step

    def _note(self, step: Step) -> None:
        self._report.steps += 1
        self._report.records += step.taken.records
        self._report.bills += len(step.outputs.bills)
        self._rerouted.expect(step)
        for output in COMPACTED:
            self._latest[output.topic].update(output.rows(step))
        self._state.update(changes(step))

    async def _compare(self, topic: str, expected: Iterable[Keyed], published: Cursor) -> AsyncIterator[Difference]:
        for key, value in expected:
            record = await published.next()
            if record is None:
                yield named(f"{self._log.at(topic)}: missing {short(value)}", value)
            elif record.value != value or record.key != key:
                yield differs(self._log.at(topic, record), record.value, value)

    async def _beyond(self, topic: str, published: Cursor, end: int) -> AsyncIterator[Difference]:
        """What was put out before the journal was read, and is in no step."""
        while (record := await published.next()) is not None and record.offset < end:
            text = f"{self._log.at(topic, record)}: published {short(record.value)}, the log knows nothing of it"
            yield named(text, record.value)

    async def _latest_values(self, ends: Mapping[str, int], is_live: bool) -> AsyncIterator[Difference]:
        """Of what is compacted. The state is ahead of the journal that was read where a worker is at work."""
        for topic in self._latest:
            async for difference in self._compare_latest(topic, ends[topic], is_live):
                yield difference
        if not is_live:
            async for difference in self._compare_state(ends[topics.STATE]):
                yield difference

    async def _compare_latest(self, topic: str, end: int, is_live: bool) -> AsyncIterator[Difference]:
        published = await self._log.latest(topic, end)
        for key, value in self._latest[topic].items():
            found = published.pop(key, None)
            if found != value and not (is_live and found is not None and _newer(topic, found, value)):
                yield differs(self._log.at(topic), found, value)
        for value in published.values() if not is_live else ():
            yield named(f"{self._log.at(topic)}: {short(value)}, the log knows nothing of it", value)

    async def _compare_state(self, end: int) -> AsyncIterator[Difference]:
        """The state that a worker would go on from. Whether it is of the last step is looked at with torn steps."""
        known = await self._log.latest(topics.STATE, end)
        if _seq(known.get(POSITION)) != _seq(self._state.get(POSITION)):
            return
        state = {key: value for key, value in known.items() if value is not None and key not in NO_FOLD}
        for key, value in self._state.items():
            if (found := state.pop(key, None)) != value:
                yield self._of_state(key, f"{short(found)}, the log says {short(value)}")
        for key, value in state.items():
            yield self._of_state(key, f"{short(value)}, the log knows nothing of it")

    def _of_state(self, key: bytes, text: str) -> Difference:
        kind, *about = msgspec.json.decode(key)
        account = None if kind in NOBODYS else about[0]
        day = about[2] if kind == "total" else None
        return Difference(f"{self._log.at(topics.STATE)} {short(key)}: {text}", account, day)


def _seq(position: bytes | None) -> Any:
    fields = msgspec.json.decode(position or b"{}")
    return fields.get("seq") if isinstance(fields, dict) else None


def _newer(topic: str, found: bytes, expected: bytes) -> bool:
    """Whether a value was put out after the journal was read: a worker is at work."""
    if topic == topics.SERVICE:
        return True
    return int(msgspec.json.decode(found)["jobs"]) > int(msgspec.json.decode(expected)["jobs"])
