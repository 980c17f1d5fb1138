"""How much of everything a run on a cluster has, in which order."""

from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from tests.chaos import blows
from tests.chaos.blows import OF_BROKERS, OF_WORKERS, WIRE, Blow

WORKERS = 3


class Wave(NamedTuple):
    """Blows that fall at the same time: one for each worker or none, and one for the cluster or none."""

    workers: tuple[Blow | None, ...]
    broker: Blow | None

    @property
    def kinds(self) -> set[str]:
        """The kinds of fault in it."""
        return {blow.kind for blow in (*self.workers, self.broker) if blow is not None}


@dataclass(frozen=True)
class ClusterPlan:
    """How many blows of each kind, and within how many seconds everything must move again after the last one."""

    seed: int
    blows: dict[str, int]
    rate_per_s: int
    long_freezes: bool
    moves_within_s: float = 60.0
    fault: str | None = None

    @classmethod
    def short(cls, seed: int, fault: str | None = None) -> "ClusterPlan":
        """About a minute of blows."""
        few = {blows.KILL: 3, blows.FREEZE: 1, blows.BROKER_KILL: 1, blows.DISK_LOST: 1, **dict.fromkeys(WIRE, 1)}
        few |= {blows.HELD: 2, blows.BROKER_FREEZE: 1, blows.LEADERS: 1}
        return cls(seed, few, rate_per_s=120, long_freezes=False, fault=fault)

    @classmethod
    def long(cls, seed: int, fault: str | None = None) -> "ClusterPlan":
        """Some 35 minutes on two cores."""
        many = {blows.KILL: 100, blows.FREEZE: 20, **dict.fromkeys(WIRE, 20), blows.BROKER_KILL: 20}
        rest = {blows.BROKER_FREEZE: 8, blows.DISK_LOST: 4, blows.ROLL: 3, blows.LEADERS: 6}
        return cls(seed, many | rest, rate_per_s=100, long_freezes=True, fault=fault)

    def waves(self) -> list[Wave]:
        """All blows in random order, as many at a time as there is somebody to strike."""
        rng = Random(self.seed)
        struck = [self._blow(rng, kind, n) for kind in OF_WORKERS for n in range(self.blows.get(kind, 0))]
        on_brokers = [self._blow(rng, kind, n) for kind in OF_BROKERS for n in range(self.blows.get(kind, 0))]
        rng.shuffle(struck)
        rng.shuffle(on_brokers)
        padded: list[Blow | None] = [*struck, *[None] * (-len(struck) % WORKERS)]
        groups = [tuple(padded[start : start + WORKERS]) for start in range(0, len(padded), WORKERS)]
        lots = [*on_brokers, *[None] * (len(groups) - len(on_brokers))]
        rng.shuffle(lots)
        return [Wave(*each) for each in zip(groups, lots, strict=True)]

    def _blow(self, rng: Random, kind: str, number: int) -> Blow:
        return Blow(kind, rng.uniform(*self._length(kind, number)), rng.randrange(2**32))

    def _length(self, kind: str, number: int) -> tuple[float, float]:
        """Between how many seconds: mostly short ones, some longer than each time-out that there is."""
        if kind == blows.FREEZE and not self.long_freezes:
            return blows.PAST_SESSION_S
        if (
            kind in (blows.FREEZE, blows.BLACK_HOLE, blows.CUT_ANSWERS, blows.HELD, blows.HALF_OPEN)
            and self.long_freezes
        ):
            longer = {0: blows.PAST_REQUEST_S, 1: blows.PAST_TRANSACTION_S, 2: blows.PAST_SESSION_S}
            return longer.get(number % 10, blows.PAST_SESSION_S if kind == blows.FREEZE else blows.SHORT_S)
        if kind in (blows.BROKER_FREEZE, blows.BROKER_KILL):
            return blows.PAST_SESSION_S if number % 2 else blows.SHORT_S
        return blows.SHORT_S
