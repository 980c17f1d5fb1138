"""A day of completions from a seed, 2019-01-01 in China, with what real producers get wrong.

Every record says what is to become of it, so that the meter's own counts can be held against it.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from meter.models import KINDS
from meter.regions import REGIONS
from meter.routing import owner

DAY = datetime(2019, 1, 1, tzinfo=ZoneInfo("Asia/Shanghai"))
NEW, DUPLICATE, MISPLACED = "new", "sent again", "on another account's partition"

#: Account -> its weight in the day's traffic.
ACCOUNTS = {
    "starlight-video": 30,
    "harbour-news": 22,
    "mountain-sports": 15,
    "lotus-education": 11,
    "silk-road-travel": 8,
    "panda-kids": 6,
    "night-market-live": 4,
    "old-town-archive": 2,
    "quiet-cinema": 1,
    "studio-42": 1,
}
#: Jobs by hour of the day: people upload after breakfast and in the evening.
HOURS = (2, 1, 1, 1, 1, 2, 4, 8, 12, 14, 14, 13, 12, 13, 14, 14, 13, 13, 14, 18, 20, 18, 12, 6)
#: A conflict or duplicate comes after this many other records at most.
RECENT = 500

BROKEN: tuple[tuple[str, Any], ...] = (
    ("not_json", b"\x00\x01 half a rec"),
    ("not_json", b'{"job_id": "cut-of'),
    ("bad_fields", {"kinds": "face"}),
    ("unknown_kind", {"kinds": ["smell"]}),
    ("unknown_region", {"region": "ap-atlantis"}),
    ("bad_duration", {"duration_s": 0}),
    ("bad_duration", {"duration_s": "an hour"}),
    ("no_offset", {"completed_at": "2019-01-01T12:00:00"}),
)


class Sent(NamedTuple):
    """One record to send: where, what, its record time in ms, and what is to become of it."""

    partition: int
    key: bytes | None
    value: bytes
    at_ms: int
    outcome: str


def at(day: int, hour: int, minute: int = 0) -> int:
    """Milliseconds of an hour in China, `day` days after the day of the traffic."""
    return int((DAY + timedelta(days=day, hours=hour, minutes=minute)).timestamp() * 1000)


def guide_example(partitions: int) -> Sent:
    """The guide's worked example: user A uses one hour in mainland China on 2019-01-01."""
    return _of_account_a("guide-example", 3600, "2019-01-01T00:00:01+08:00", at(0, 0, 1), partitions)


def late_job(partitions: int) -> Sent:
    """Ten minutes of the same day, reported the day after, three hours past the cut of that day's bill."""
    return _of_account_a("late-job", 600, "2019-01-01T22:00:00+08:00", at(1, 15), partitions)


def _of_account_a(job_id: str, duration_s: int, completed_at: str, at_ms: int, partitions: int) -> Sent:
    fields = {
        "job_id": job_id,
        "account_id": "A",
        "region": "Mainland China",
        "kinds": ["face", "text"],
        "duration_s": duration_s,
        "completed_at": completed_at,
    }
    return Sent(owner("A", partitions), b"A", json.dumps(fields).encode(), at_ms, NEW)


class DayOfTraffic:
    """Iterate over it to get the day's records, in the order of their time; about `jobs` of them."""

    def __init__(self, seed: int, jobs: int, partitions: int) -> None:
        self._rng = Random(seed)
        self._jobs = jobs
        self._partitions = partitions
        self._recent: list[dict[str, Any]] = []

    def __iter__(self) -> Iterator[Sent]:
        for number, moment in enumerate(sorted(self._moments())):
            job = self._job(f"job-{number:06d}", moment)
            yield self._first(job, moment)
            yield from self._trouble(number, moment)

    def _moments(self) -> Iterator[datetime]:
        hours = self._rng.choices(range(24), HOURS, k=self._jobs)
        for hour in hours:
            # The last minute of the day stays free: what is sent again comes a little later.
            yield DAY + timedelta(hours=hour, milliseconds=self._rng.randrange(3_540_000))

    def _job(self, job_id: str, moment: datetime) -> dict[str, Any]:
        rng = self._rng
        (account,) = rng.choices(list(ACCOUNTS), list(ACCOUNTS.values()))
        return {
            "job_id": job_id,
            "account_id": account,
            "region": rng.choice(REGIONS).code,
            "kinds": rng.sample(KINDS, rng.randint(1, 3)),
            "duration_s": round(min(14_400.0, 5 + rng.lognormvariate(5.5, 1.2)), 3),
            "completed_at": moment.isoformat(timespec="milliseconds"),
        }

    def _first(self, job: dict[str, Any], moment: datetime) -> Sent:
        """A job for the first time: at home mostly; one in fifty where a producer with another hash puts it."""
        home = owner(job["account_id"], self._partitions)
        if self._rng.random() < 0.02:
            away = (home + self._rng.randrange(1, self._partitions)) % self._partitions
            return self._sent(job, moment, MISPLACED, away)
        self._recent.append(job)
        del self._recent[:-RECENT]
        return self._sent(job, moment, NEW, home)

    def _trouble(self, number: int, moment: datetime) -> Iterator[Sent]:
        """Now and then something that must not be charged."""
        roll = self._rng.random()
        if roll < 0.02 and self._recent:
            yield self._again(self._rng.choice(self._recent), moment, DUPLICATE)
        elif roll < 0.022 and self._recent:
            before = self._rng.choice(self._recent)
            yield self._again(before | {"duration_s": before["duration_s"] + 60}, moment, "conflict")
        elif roll < 0.023:
            job = self._job(f"late-{number:06d}", moment - timedelta(days=self._rng.randint(36, 90)))
            yield self._again(job, moment, "too_old")
        elif roll < 0.024:
            job = self._job(f"early-{number:06d}", moment + timedelta(hours=self._rng.randint(1, 48)))
            yield self._again(job, moment, "in_future")
        elif roll < 0.027:
            yield self._broken(number, moment)

    def _again(self, job: dict[str, Any], moment: datetime, outcome: str) -> Sent:
        return self._sent(job, moment, outcome, owner(job["account_id"], self._partitions))

    def _broken(self, number: int, moment: datetime) -> Sent:
        code, fault = self._rng.choice(BROKEN)
        job = self._job(f"broken-{number:06d}", moment)
        if isinstance(fault, bytes):
            return self._sent(job, moment, code, number % self._partitions)._replace(key=None, value=fault)
        return self._again(job | fault, moment, code)

    def _sent(self, job: dict[str, Any], moment: datetime, outcome: str, partition: int) -> Sent:
        at_ms = int(moment.timestamp() * 1000) + 1000
        return Sent(partition, job["account_id"].encode(), json.dumps(job).encode(), at_ms, outcome)
