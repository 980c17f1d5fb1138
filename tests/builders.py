"""What the tests of the domain build: completions, records as a consumer gives them, and a partition with its logs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from meter import topics
from meter.dedupe import MemoryDedupeIndex
from meter.fold import fold
from meter.models import CommandResult, PricedJob, Rejected
from meter.records import Chunk
from meter.rules import Rules
from meter.settle import run_due
from meter.snapshot import StateReader, changes
from meter.state import PartitionState
from meter.step import Step
from streams.engine.recovery import sighting_of
from tests.recount.count import Record

RULES = Rules(meter_id="test", partitions=1)
NOON_MS = 1_767_240_000_000  # 2026-01-01 12:00 in Shanghai
HOUR_MS = 3_600_000

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Input:
    """A record of an input topic, as a consumer gives it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def as_consumed(record: Record) -> Input:
    """A record of the log, as the recount has it, as a consumer gives it."""
    return Input(record.offset, record.timestamp_ms, record.key, record.value, record.headers)


def completion(**changes: Any) -> dict[str, Any]:
    """An hour in Guangzhou, finished at noon."""
    fields: dict[str, Any] = {
        "job_id": "job-1",
        "account_id": "A",
        "region": "ap-guangzhou",
        "kinds": ["face"],
        "duration_s": 3600,
        "completed_at": "2026-01-01T12:00:00+08:00",
    }
    return {**fields, **changes}


def price_book(**changes: Any) -> dict[str, Any]:
    """A command that doubles the guide's prices from 2026-01-03 on."""
    fields: dict[str, Any] = {
        "v": 1,
        "command_id": "command-1",
        "type": "price_book",
        "issued_at": "2026-01-01T12:00:00+08:00",
        "version": "2026-01",
        "effective_from": "2026-01-03",
        "currency": "CNY",
        "prices": {
            "Mainland China": "0.56",
            "Silicon Valley, Virginia": "0.616",
            "Mumbai, Seoul, Bangkok, Hong Kong, Tokyo, Frankfurt, Singapore": "0.6272",
        },
    }
    return {**fields, **changes}


def encode(value: Any) -> bytes | None:
    """A value as JSON; bytes and null as they are."""
    return value if isinstance(value, bytes | None) else json.dumps(value, ensure_ascii=False).encode()


class Partition:
    """One partition of a meter: what it put out, and what its process remembers."""

    def __init__(self, rules: Rules = RULES, partition: int = 0) -> None:
        self.rules = rules
        self.partition = partition
        self.steps: list[Step] = []
        self.state_topic: dict[bytes, bytes | None] = {}
        self.priced_topic: list[bytes] = []
        self.daily_topic: dict[bytes, bytes] = {}
        self.reopen()

    def reopen(self) -> None:
        """The process dies: all it knows afterwards is what was published."""
        reader = StateReader(PartitionState(self.rules, self.partition))
        for key, value in self.state_topic.items():
            reader.read(key, value)
        self.state = reader.finish()
        self.seen = MemoryDedupeIndex(map(sighting_of, self.priced_topic))

    def prepare(self, *values: Any, topic: str = topics.COMPLETED, at: int = NOON_MS, headers: Headers = ()) -> Step:
        """A step over some records of one input; nothing is published."""
        start = self.state.position.next[topic]
        records = [Input(start + n, at, b"key", encode(value), headers) for n, value in enumerate(values)]
        return self.prepare_chunks(Chunk(topic, start, start + len(records), records))

    def prepare_chunks(self, *chunks: Chunk) -> Step:
        """A step over chunks; nothing is published."""
        step = Step(self.state, self.seen)
        for chunk in chunks:
            fold(step, chunk)
        return step

    def publish(self, step: Step) -> None:
        """Its transaction commits."""
        self.steps.append(step)
        self.state_topic.update(changes(step))
        self.priced_topic.extend(value for _, value in step.outputs.priced)
        self.daily_topic.update(step.daily())

    def fold(self, *values: Any, topic: str = topics.COMPLETED, at: int = NOON_MS, headers: Headers = ()) -> Step:
        """A step over some records of one input, committed."""
        step = self.prepare(*values, topic=topic, at=at, headers=headers)
        self.publish(step)
        self.state.apply(step.changes, self.seen)
        return step

    def run_due(self, until_ms: int, limit: int) -> Step:
        """A step that does what is due by an instant, committed."""
        step = Step(self.state, self.seen)
        run_due(step, until_ms, limit)
        self.publish(step)
        self.state.apply(step.changes, self.seen)
        return step


def priced_of(step: Step) -> list[PricedJob]:
    """What a step puts on `usage.priced`."""
    return [PricedJob.read(value) for _, value in step.outputs.priced]


def rejects_of(step: Step) -> list[Rejected]:
    """What a step puts on `usage.rejected`."""
    return [Rejected.read(value) for _, value in step.outputs.rejected]


def results_of(step: Step) -> list[CommandResult]:
    """What a step puts on `meter.command-results`."""
    return [CommandResult.read(value) for _, value in step.outputs.results]
