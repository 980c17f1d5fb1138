"""Completions from a seed: what every program of the bench is given to meter.

Some 220 bytes of JSON each, as in the contract, from 2,000 accounts, most of them in mainland China; ids are
random, as UUIDs are, so that no store profits from their order. One in a hundred is a byte-for-byte duplicate of a
recent one.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
from aiokafka.partitioner import murmur2

ACCOUNTS = 2_000
CHUNK = 10_000
DUPLICATES = 0.01
BILLING_ZONE = timezone(timedelta(hours=8))
MAINLAND, AMERICA, OTHER = 2800, 3080, 3136
# Region: its share of the accounts, and the guide's price of a minute in CNY / 10,000.
REGIONS = {
    "ap-guangzhou": (0.24, MAINLAND),
    "ap-shanghai": (0.20, MAINLAND),
    "ap-beijing": (0.18, MAINLAND),
    "ap-nanjing": (0.08, MAINLAND),
    "ap-chengdu": (0.06, MAINLAND),
    "ap-chongqing": (0.04, MAINLAND),
    "ap-hongkong": (0.05, OTHER),
    "ap-singapore": (0.04, OTHER),
    "ap-tokyo": (0.02, OTHER),
    "ap-seoul": (0.015, OTHER),
    "ap-bangkok": (0.015, OTHER),
    "ap-mumbai": (0.015, OTHER),
    "eu-frankfurt": (0.015, OTHER),
    "na-siliconvalley": (0.015, AMERICA),
    "na-ashburn": (0.015, AMERICA),
}
KINDS = ["face", "text", "speech", "opening_ending", "frame_tag"]
AWAY = 0.1  # the share of an account's jobs that run outside its home region


@dataclass(frozen=True)
class SentChunk:
    """Consecutive completions to send; `fresh` is False where it is a duplicate; `amounts` in CNY / 10,000."""

    partitions: list[int]
    keys: list[bytes]
    values: list[bytes]
    fresh: np.ndarray
    amounts: np.ndarray

    def __len__(self) -> int:
        return len(self.values)


class Completions:
    """An endless row of completions: the same seed and hour give the same bytes.

    Jobs ended within the day before `now`, because the meter refuses what is older than its horizon.
    """

    def __init__(self, seed: int, partitions: int, now: datetime) -> None:
        self._rng = np.random.default_rng(seed)
        regions = list(REGIONS)
        self._regions_json = [f'"region":"{region}"' for region in regions]
        self._prices = np.array([price for _, price in REGIONS.values()])
        self._shares = np.array([share for share, _ in REGIONS.values()])
        names = [f"acct-{10_000_019 * i % 99_999_989:08}" for i in range(ACCOUNTS)]
        self._keys = [name.encode() for name in names]
        self._accounts_json = [f'"account_id":"{name}"' for name in names]
        self._partitions = [(murmur2(key) & 0x7FFFFFFF) % partitions for key in self._keys]
        self._homes = self._rng.choice(len(regions), ACCOUNTS, p=self._shares)
        self._kinds_json = [_kinds(bits) for bits in range(1, 32)]
        start = now.astimezone(BILLING_ZONE).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
        instants = [start + timedelta(seconds=i) for i in range(0, 86_400, 5)]
        # The task template is a field that the contract does not know: it does no harm.
        self._stamps_json = [f'"completed_at":"{t.isoformat()}","template_id":{20 + t.second}' for t in instants]

    def chunk(self, size: int = CHUNK, *, duplicates: float = DUPLICATES) -> SentChunk:
        """The next `size` completions."""
        rng = self._rng
        accounts = rng.integers(0, ACCOUNTS, size)
        away = rng.choice(len(REGIONS), size, p=self._shares)
        regions = np.where(rng.random(size) < AWAY, away, self._homes[accounts])
        durations_ms = rng.integers(1_000, 7_200_000, size)
        stamps = rng.integers(0, len(self._stamps_json), size)
        kinds = rng.integers(0, len(self._kinds_json), size)
        # A duplicate repeats an earlier completion of its chunk; the first of a chunk is always new.
        fresh = rng.random(size) >= duplicates
        fresh[0] = True
        originals = np.where(fresh, np.arange(size), rng.integers(0, np.maximum(1, np.arange(size))))
        while not fresh[originals].all():
            originals = originals[originals]
        accounts, regions, durations_ms = accounts[originals], regions[originals], durations_ms[originals]
        values = self._values(accounts, regions, kinds, durations_ms, stamps)
        minutes = -(-durations_ms // 60_000)
        rows = accounts.tolist()
        return SentChunk(
            [self._partitions[account] for account in rows],
            [self._keys[account] for account in rows],
            [values[i] for i in originals.tolist()],
            fresh,
            minutes * self._prices[regions],
        )

    def _values(self, *columns: np.ndarray) -> list[bytes]:
        size = len(columns[0])
        ids = self._rng.bytes(16 * size).hex()
        accounts, regions, kinds, stamps = self._accounts_json, self._regions_json, self._kinds_json, self._stamps_json
        rows = enumerate(zip(*(column.tolist() for column in columns), strict=True))
        return [
            f'{{"job_id":"{ids[32 * i : 32 * i + 32]}",{accounts[account]},{regions[region]},{kinds[kind]},'
            f'"duration_s":{ms // 1000}.{ms % 1000:03},{stamps[stamp]}}}'.encode()
            for i, (account, region, kind, ms, stamp) in rows
        ]


def _kinds(bits: int) -> str:
    return '"kinds":[{}]'.format(",".join(f'"{kind}"' for i, kind in enumerate(KINDS) if bits >> i & 1))


def utc_now() -> datetime:
    """The time from which the completions of a run are dated back."""
    return datetime.now(UTC)
