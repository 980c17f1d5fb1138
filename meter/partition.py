"""One partition: its state, and a step that folds chunks of its inputs into outputs.

decode > validate > route > dedupe > round > price > roll up. A step changes nothing: it collects its outputs and what
is to become of the state; `PartitionState.merge` follows when, and only when, the outputs are committed. The same
inputs in the same order give the same bytes, which is what `replay` builds on.
"""

from collections.abc import Iterator, MutableMapping, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

from pydantic import ValidationError

from meter import __version__, topics
from meter.commands import Answer, apply_command, command_id_of, result_value
from meter.dedupe import Seen, Sighting, content_digest, job_key, remembered
from meter.intake import Headers, Job, read_job
from meter.journal import Counts, InputRange, JournalStep
from meter.models import Origin, Source
from meter.money import EXACT, ZERO
from meter.outputs import account_texts, amount_text, json_text, rejected_value, total_key, total_value
from meter.periods import BillingDays
from meter.prices import PriceBook, PriceBooks
from meter.rejects import Code, Refusal
from meter.rollup import NOTHING, Total, TotalKey
from meter.rounding import billable_minutes
from meter.routing import owner
from meter.rules import Rules

#: The header that tells where a rerouted completion first came in.
ORIGIN_HEADER = "meter-origin"

#: Rerouted records larger than this (the topic takes 4 MiB, with some of it for the batch) are refused instead.
MAX_REROUTED_BYTES = 4_100_000

Keyed = tuple[bytes, bytes]

_new_tuple = tuple.__new__


class Record(Protocol):
    """A record of an input topic, as aiokafka's consumer gives it. `timestamp` is the record time in ms."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Chunk(NamedTuple):
    """Records of one input, and the positions `[start, next)` that they cover: aborted records are in none."""

    topic: str
    start: int
    next: int
    records: Sequence[Record]


class Rerouted(NamedTuple):
    """A completion on its way to the partition that owns its account."""

    partition: int
    key: bytes
    value: bytes
    timestamp: int
    headers: list[tuple[str, bytes | None]]


class HoleError(Exception):
    """The log handed over does not continue where the state ends: a bug or a broken log, never to be skipped."""


class PartitionState:
    """All that the meter knows of one partition. Read back from `meter.state`; changed by `merge` alone."""

    def __init__(self, rules: Rules, partition: int, totals: MutableMapping[TotalKey, Total] | None = None) -> None:
        self.rules = rules
        self.partition = partition
        self.days = BillingDays(rules.time_zone)
        self.next: dict[str, int] = dict.fromkeys(topics.INPUTS, 0)
        self.seq = 0
        self.record_time = 0
        self.totals: MutableMapping[TotalKey, Total] = {} if totals is None else totals
        self.books = PriceBooks()
        self.commands: dict[str, Answer] = {}

    def merge(self, step: "Step", seen: Seen) -> None:
        """Make a committed step's changes part of the state."""
        self.next.update(step.next)
        self.seq = step.seq
        self.record_time = step.record_time
        self.totals.update(step.totals)
        self.books = step.books
        self.commands.update(step.commands)
        seen.add(step.sightings.items())


class Step:
    """One step: reads the state, collects outputs and changes. Lists of (key, value) are records to publish."""

    def __init__(self, state: PartitionState, seen: Seen) -> None:
        self.state = state
        self.seen = seen
        self.seq = state.seq + 1
        self.next = dict(state.next)
        self.record_time = state.record_time
        self.books = state.books
        self.inputs: list[InputRange] = []
        self.read = self.duplicate = 0
        self.priced: list[Keyed] = []
        self.rejected: list[Keyed] = []
        self.rerouted: list[Rerouted] = []
        self.results: list[Keyed] = []
        self.totals: dict[TotalKey, Total] = {}
        self.sightings: dict[str, Sighting] = {}
        self.commands: dict[str, Answer] = {}
        self.new_books: list[PriceBook] = []
        self.usage_by_region: dict[str, tuple[int, Decimal]] = {}
        self.refused: dict[Code, int] = {}

    # -- folding ---------------------------------------------------------------------------------------------

    def fold(self, chunk: Chunk) -> None:
        """Fold one chunk. Raises HoleError unless it starts where its input's last one ended."""
        expected = self.next[chunk.topic]
        if chunk.start != expected:
            raise HoleError(f"{chunk.topic}[{self.state.partition}]: expected position {expected}, got {chunk.start}")
        if chunk.topic == topics.COMMANDS:
            self._fold_commands(chunk)
        else:
            self._fold_jobs(chunk)
        self.next[chunk.topic] = chunk.next
        self.read += len(chunk.records)
        self.inputs.append(InputRange(topic=chunk.topic, start=chunk.start, next=chunk.next))
        if chunk.records:
            self.record_time = max(self.record_time, *(record.timestamp for record in chunk.records), 0)

    def _fold_jobs(self, chunk: Chunk) -> None:
        mine = list(self._own_jobs(chunk))
        keys = [job_key(job.account_id, job.job_id) for _, job in mine]
        found = self.seen.find(keys)
        remember_ms = self.state.rules.remember_ms
        sightings = self.sightings
        is_rerouted = chunk.topic == topics.REROUTED
        source = f'"source":{{"topic":"{chunk.topic}","partition":{self.state.partition},"offset":'
        usage: dict[TotalKey, list[int]] = {}
        for place, (record, job) in enumerate(mine):
            key = keys[place]
            content = content_digest(job.region, job.kinds, job.duration_ms, job.completed_us)
            before = sightings.get(key)
            if before is None and place in found:
                before = found[place]
            if before is not None and remembered(before, record.timestamp, remember_ms):
                if before.content == content:
                    self.duplicate += 1
                else:
                    self._reject(chunk, record, _conflict(job))
                continue
            sightings[key] = _new_tuple(Sighting, (content, record.timestamp))
            self._price(record, job, source, usage, _origin(record) if is_rerouted else "")
        self._roll_up(usage)

    def _own_jobs(self, chunk: Chunk) -> Iterator[tuple[Record, Job]]:
        """The jobs of a chunk that this partition is to meter; the others are rejected or rerouted on the way."""
        rules, partition = self.state.rules, self.state.partition
        tolerance_us = rules.future_tolerance_ms * 1000
        horizon_us = rules.horizon_ms * 1000
        for record in chunk.records:
            job = read_job(record.value, record.headers)
            if isinstance(job, Refusal):
                self._reject(chunk, record, job)
                continue
            home = owner(job.account_id, rules.partitions)
            if home != partition:
                self._reroute(chunk, record, job, home)
                continue
            age_us = record.timestamp * 1000 - job.completed_us
            if -tolerance_us <= age_us <= horizon_us:
                yield record, job
            else:
                self._reject(chunk, record, _untimely(job, age_us < 0, rules))

    def _price(self, record: Record, job: Job, source: str, usage: dict[TotalKey, list[int]], origin: str) -> None:
        job_id, account_id, region, kinds, milliseconds, duration_s, completed_us, completed_at = job
        day = self.state.days.day_of(completed_us)
        minutes = billable_minutes(milliseconds)
        _, _, unit_price, tail = self.books.price_for(region, day)
        account_key, account_text = account_texts(account_id)
        value = (
            f'{{"v":1,"job_id":{json_text(job_id)},"account_id":{account_text},"region":"{region}","kinds":{kinds},'
            f'"completed_at":"{completed_at}","day":"{day}","duration_s":"{duration_s}",'
            f'"minutes":{minutes},"unit_price":"{unit_price}","amount":"{amount_text(unit_price, minutes)}",'
            f'{tail},{source}{record.offset},"timestamp":{record.timestamp}}}{origin}}}'
        )
        self.priced.append((account_key, value.encode()))
        key = (account_id, region, day)
        used = usage.get(key)
        if used is None:
            usage[key] = [1, minutes]
        else:
            used[0] += 1
            used[1] += minutes

    def _roll_up(self, usage: dict[TotalKey, list[int]]) -> None:
        """Add a chunk's usage to the totals: one account, region and day has one price."""
        for key, (jobs, minutes) in usage.items():
            amount = EXACT.multiply(self.books.price_for(key[1], key[2]).unit_price, Decimal(minutes))
            before = self.totals.get(key) or self.state.totals.get(key, NOTHING)
            self.totals[key] = before.plus(jobs, minutes, amount)
            minutes_so_far, amount_so_far = self.usage_by_region.get(key[1], (0, ZERO))
            self.usage_by_region[key[1]] = minutes_so_far + minutes, EXACT.add(amount_so_far, amount)

    def _reroute(self, chunk: Chunk, record: Record, job: Job, home: int) -> None:
        if chunk.topic == topics.REROUTED:
            refusal = _refuse(job, Code.MISPLACED, f"account {job.account_id!r} belongs to partition {home}")
            self._reject(chunk, record, refusal)
            return
        origin = Origin(topic=chunk.topic, partition=self.state.partition, offset=record.offset)
        headers = [header for header in record.headers if header[0] != ORIGIN_HEADER]
        headers.append((ORIGIN_HEADER, origin.model_dump_json().encode()))
        key, value = job.account_id.encode(), record.value or b""
        size = len(key) + len(value) + sum(len(name) * 4 + len(data or b"") + 16 for name, data in headers)
        if size > MAX_REROUTED_BYTES:
            refusal = _refuse(job, Code.TOO_LARGE, f"{size} bytes on another account's partition cannot be forwarded")
            self._reject(chunk, record, refusal)
            return
        self.rerouted.append(Rerouted(home, key, value, record.timestamp, headers))

    def _reject(self, chunk: Chunk, record: Record, refusal: Refusal) -> None:
        source = Source(
            topic=chunk.topic,
            partition=self.state.partition,
            offset=record.offset,
            timestamp=record.timestamp,
        )
        value = rejected_value(
            refusal,
            amount_at_risk=self._amount_at_risk(refusal),
            key=record.key,
            value=record.value,
            headers=record.headers,
            source=source,
        )
        self.refused[refusal.code] = self.refused.get(refusal.code, 0) + 1
        self.rejected.append(((refusal.account_id or "").encode(), value))

    def _amount_at_risk(self, refusal: Refusal) -> Decimal | None:
        if refusal.region is None or refusal.duration_ms is None or refusal.completed_us is None:
            return None
        day = self.state.days.day_of(refusal.completed_us)
        price = self.books.price_for(refusal.region, day).unit_price
        return EXACT.multiply(price, Decimal(billable_minutes(refusal.duration_ms)))

    def _fold_commands(self, chunk: Chunk) -> None:
        for record in chunk.records:
            command_id = command_id_of(record.value)
            known = self.commands.get(command_id or "") or self.state.commands.get(command_id or "")
            answer = known
            if answer is None:
                answer, book = apply_command(record.value, self.books, record.timestamp, self.state.rules)
                if book is not None:
                    self.books = self.books.with_book(book)
                    self.new_books.append(book)
                if command_id is not None:
                    self.commands[command_id] = answer
            source = Source(
                topic=chunk.topic,
                partition=self.state.partition,
                offset=record.offset,
                timestamp=record.timestamp,
            )
            result = result_value(command_id or "", self.state.partition, answer, source)
            self.results.append(((command_id or "").encode(), result))

    # -- outputs ---------------------------------------------------------------------------------------------

    @property
    def counts(self) -> Counts:
        """What became of the records read."""
        return Counts(
            read=self.read,
            priced=len(self.priced),
            duplicate=self.duplicate,
            rejected=len(self.rejected),
            rerouted=len(self.rerouted),
            commands=len(self.results),
        )

    def daily(self) -> Iterator[Keyed]:
        """`usage.daily`: the totals that this step changed."""
        for key, total in self.totals.items():
            yield total_key(key), total_value(key, total)

    def journal_entry(self) -> JournalStep:
        """The step's journal entry."""
        return JournalStep(
            **self.counts.model_dump(),
            seq=self.seq,
            record_time=self.record_time,
            inputs=tuple(self.inputs),
            meter_version=__version__,
        )


def _refuse(job: Job, code: Code, message: str) -> Refusal:
    return Refusal(code, message, job.account_id, job.job_id, job.region, job.duration_ms, job.completed_us)


def _conflict(job: Job) -> Refusal:
    return _refuse(job, Code.CONFLICT, f"job {job.job_id!r} was metered before with other content")


def _untimely(job: Job, in_future: bool, rules: Rules) -> Refusal:
    if in_future:
        message = f"completed_at: {job.completed_at} is more than {rules.future_tolerance_s} s after the record time"
        return _refuse(job, Code.IN_FUTURE, message)
    message = f"completed_at: {job.completed_at} is more than {rules.horizon_days} days before the record time"
    return _refuse(job, Code.TOO_OLD, message)


def _origin(record: Record) -> str:
    """The `origin` field of a rerouted completion, as JSON with the comma before it; empty where it has none."""
    value = next((value for name, value in record.headers if name == ORIGIN_HEADER), None)
    try:
        return f',"origin":{Origin.model_validate_json(value or b"").model_dump_json()}'
    except ValidationError:
        return ""
