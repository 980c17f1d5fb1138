"""What is sent: a stream of records that depends on a seed and on nothing else (times are relative to `base`).

Most of it is ordinary. Among it: resends with the same and with other bytes, conflicts, late and future jobs,
jobs on the edge of both, broken records of every kind, records on partitions that are not their account's, records of
1 MiB, and blocks from a transactional producer, of which some are aborted.
"""

from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count, islice
from random import Random
from typing import NamedTuple

from tests.chaos.jobs import Headers, PlannedJob, altered, broken, fields, literal, new_job, packed, written

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
CRC32 = "crc32"
TRANSACTIONAL = "transactional"
COMMIT = "commit"
ABORT = "abort"
ABORTED_PREFIX = "aborted-"
BLOCK = 40  # records in a transaction
BIG_BYTES = 1_047_000  # with batch overhead just under the 1 MiB that a topic takes by default


class Send(NamedTuple):
    """One record and how to send it. `partition` None: as the producer places its key. `end` closes a transaction."""

    value: bytes | None
    key: bytes | None
    headers: Headers
    producer: str
    partition: int | None = None
    end: str | None = None


class Traffic:
    """Iterate over it to get the records, exactly `records` of them."""

    def __init__(self, seed: int, records: int, base: datetime, partitions: int) -> None:
        self.rng = Random(seed)
        self.records = records
        self.base = base
        self.partitions = partitions
        self.accounts = [account(n) for n in range(400)]
        self._numbers = count(1)
        self._recent: deque[PlannedJob] = deque(maxlen=3000)
        self._early: list[PlannedJob] = []
        self._aborted: list[PlannedJob] = []

    def __iter__(self) -> Iterator[Send]:
        return islice(self._sends(), self.records)

    def _sends(self) -> Iterator[Send]:
        big = {self.records * part // 4 for part in (1, 2, 3)}
        block_every = max(BLOCK * 8, self.records // 200)
        for n in count():
            if n in big:
                yield self._big()
            if n % block_every == block_every - 1:
                yield from self._block(abort=self.rng.random() < 0.5)
            yield self._send()

    def _send(self) -> Send:
        content = self.rng.random()
        if content < 0.045:
            job = self._pick()
            return self._placed(job, broken(self.rng, job), [])
        if content < 0.16:
            job = self._again(content)
        elif content < 0.18:
            job = self._out_of_time()
        else:
            job = self._pick()
            self._remember(job)
        return self._placed(job, *written(self.rng, job))

    def _again(self, content: float) -> PlannedJob:
        """A job that was sent before: a resend, in whatever bytes, or a conflict."""
        known = self._early if self.rng.random() < 0.3 and self._early else self._recent
        job = self.rng.choice(known) if known else self._pick()
        return altered(self.rng, job) if content < 0.06 else job

    def _pick(self) -> PlannedJob:
        # A few accounts do most of the work, as in life.
        chosen = self.accounts[int(len(self.accounts) * self.rng.random() ** 2)]
        return new_job(self.rng, f"job-{next(self._numbers):x}", chosen, self.base)

    def _remember(self, job: PlannedJob) -> None:
        self._recent.append(job)
        if len(self._early) < 3000 and self.rng.random() < 0.2:
            self._early.append(job)

    def _out_of_time(self) -> PlannedJob:
        """Too late, too early, or within minutes of either limit, so that the append time decides."""
        minutes = self.rng.uniform(0, 6)
        shift = self.rng.choice(
            (
                timedelta(days=-self.rng.uniform(35.1, 4000)),
                timedelta(days=self.rng.uniform(0.1, 4000)),
                timedelta(days=-35, minutes=minutes),
                timedelta(minutes=5 + minutes),
            )
        )
        job = self._pick()._replace(instant=self.base + shift)
        if shift < timedelta(minutes=20):
            self._remember(job)
        return job

    def _placed(self, job: PlannedJob, value: bytes | None, headers: Headers) -> Send:
        key = job.account_id.encode()
        place = self.rng.random()
        codec = self.rng.choice(CODECS)
        if place < 0.94:
            return Send(value, key, headers, codec)
        if place < 0.97:
            return Send(value, key, headers, CRC32)
        partition = self.rng.randrange(self.partitions)
        if place < 0.98:
            return Send(value, key, headers, codec, partition)
        if place < 0.99:
            return Send(value, None, headers, codec, partition)
        return Send(value, self.rng.choice(self.accounts).encode(), headers, codec)

    def _big(self) -> Send:
        """A record as large as topics take: priced, rerouted or refused like any other."""
        job = self._pick()
        content = fields(self.rng, job)
        if self.rng.random() < 0.3:
            content["duration_s"] = literal("0.0")
        value, headers = packed(self.rng, content | {"padding": ""}, job.instant)
        padding = b"x" * (BIG_BYTES - len(value) - sum(len(name) + len(text) for name, text in headers))
        value = value.replace(b'"padding":""', b'"padding":"' + padding + b'"')
        return self._placed(job, value, headers)._replace(producer="none")

    def _block(self, *, abort: bool) -> Iterator[Send]:
        """One transaction. What an aborted one held is partly sent again later, with other content."""
        for left in reversed(range(BLOCK)):
            job = self._block_job(abort)
            send = self._placed(job, *written(self.rng, job))
            end = (ABORT if abort else COMMIT) if left == 0 else None
            yield send._replace(producer=TRANSACTIONAL, end=end)

    def _block_job(self, abort: bool) -> PlannedJob:
        job = self._pick()
        if not abort:
            return altered(self.rng, self._aborted.pop()) if self._aborted else job
        if self.rng.random() < 0.5:
            return job._replace(job_id=ABORTED_PREFIX + job.job_id)
        self._aborted.append(job)
        return job


def account(n: int) -> str:
    return (f"account-{n}", f"客户-{n}", f"{n:032x}", f'a "quoted" \\ {n}')[n % 4 if n % 20 < 4 else 0]
