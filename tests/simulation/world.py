"""Logs as lists, a clock that is turned by hand, and the jobs and commands that come in."""

import json
import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from meter import topics
from meter.routing import owner
from tests.simulation.operators import Operators

PARTITIONS = 3
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
ACCOUNTS = [f"account-{n}" for n in range(9)]
REGIONS = ["ap-guangzhou", "Tokyo", "na-siliconvalley", "Mainland China", "eu-frankfurt"]
KINDS = ["face", "text", "speech", "opening_ending", "frame_tag"]


@dataclass(frozen=True)
class LogRecord:
    """A record as a consumer gives it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass
class Log:
    """One partition of a topic. Aborted records and markers take up offsets that no reader sees."""

    records: list[LogRecord] = field(default_factory=list)
    latest: dict[bytes | None, bytes | None] = field(default_factory=dict)  # what compaction leaves
    end: int = 0

    def append(self, timestamp: int, key: bytes | None, value: bytes | None, headers: Any = ()) -> None:
        self.records.append(LogRecord(self.end, timestamp, key, value, tuple(headers)))
        self.latest[key] = value
        self.end += 1

    def waste(self, count: int) -> None:
        self.end += count

    def between(self, start: int, end: int) -> Sequence[LogRecord]:
        low, high = (bisect_left(self.records, position, key=_offset) for position in (start, end))
        return self.records[low:high]


_offset = attrgetter("offset")


class World:
    """All logs of a meter, its clock, and its producers, from one source of chance."""

    def __init__(self, chance: random.Random, clock_jumps: bool = False) -> None:
        self.chance = chance
        self.clock_jumps = clock_jumps
        self.operators = Operators(chance, ACCOUNTS, PARTITIONS)
        self.now_ms = START_MS
        self.broker_ahead_ms = 0  # of the clock that stamps all records, for as long as it is wrong
        self.logs: dict[tuple[str, int], Log] = {}
        self._sent: list[dict[str, Any]] = []
        self._count = 0

    def log(self, topic: str, partition: int) -> Log:
        return self.logs.setdefault((topic, partition), Log())

    @property
    def broker_ms(self) -> int:
        """What the broker's clock says."""
        return self.now_ms + self.broker_ahead_ms

    def tick(self) -> None:
        """Mostly milliseconds pass; now and then hours, seldom weeks, so that ids leave the horizon."""
        roll = self.chance.random()
        leap = 20 * DAY_MS if roll < 0.0002 else 3_600_000 if roll < 0.06 else 50
        self.now_ms += self.chance.randrange(leap) + 1

    def produce(self) -> None:
        """A record comes in: a command, or mostly a new job, else one again, another under its id, late or broken."""
        if self.chance.random() < 0.12:
            partitions, command = self.operators.command(self.now_ms)
            for partition in partitions:
                self.append(topics.COMMANDS, partition, None, command)
            return
        roll = self.chance.random()
        if roll < 0.03:
            value = self.chance.choice([b"junk", b"", b"[]", None, b'{"job_id":"x"}', b"\xff\xfe"])
            self.append(topics.COMPLETED, self.chance.randrange(PARTITIONS), None, value)
            return
        job = self._job(roll)
        account: str = job["account_id"]
        astray = self.chance.random() < 0.1
        partition = self.chance.randrange(PARTITIONS) if astray else owner(account, PARTITIONS)
        self.append(topics.COMPLETED, partition, account.encode(), json.dumps(job).encode())

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        log = self.log(topic, partition)
        if self.chance.random() < 0.05:
            log.waste(self.chance.randrange(1, 4))
        log.append(self.broker_ms + self._jump_ms(), key, value)

    def _jump_ms(self) -> int:
        """How wrong the broker's clock is: now and then it is days back, once in a while up to 40 days ahead."""
        roll = self.chance.random() if self.clock_jumps else 1.0
        if roll < 0.001:
            return self.chance.choice([self.chance.randrange(40 * DAY_MS), 8 * HOUR_MS, HOUR_MS // 2])
        return -self.chance.randrange(3 * DAY_MS) if roll < 0.003 else 0

    def _job(self, roll: float) -> dict[str, Any]:
        if self._sent and roll < 0.25:
            again = dict(self.chance.choice(self._sent[-200:]))
            if roll < 0.08:
                again["duration_s"] = self.chance.randrange(1, 9999)
            return again
        self._count += 1
        age_s = self.chance.choice([0, 1, 60, 86_400, 40 * 86_400 if roll > 0.97 else 5, -400 if roll > 0.98 else 2])
        completed = datetime.fromtimestamp(self.now_ms / 1000, UTC) - timedelta(seconds=age_s)
        job = {
            "job_id": f"job-{self._count}",
            "account_id": self.chance.choice(ACCOUNTS),
            "region": self.chance.choice(REGIONS),
            "kinds": self.chance.sample(KINDS, self.chance.randrange(1, 4)),
            "duration_s": self.chance.choice([60, 61, "0.5", 3600, 59.9999, self.chance.randrange(1, 100_000)]),
            "completed_at": completed.isoformat(timespec="milliseconds"),
        }
        self._sent.append(job)
        return job
