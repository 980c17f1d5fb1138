"""How much of everything a run has, and what happened in it."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

KILL, FREEZE, BROKER = "kill", "freeze", "broker"


@dataclass(frozen=True)
class Plan:
    """How much of everything, and what the run must have seen to prove anything."""

    seed: int
    records: int
    rate_per_s: int
    kills: int
    freezes: int
    least_aborted: int
    least_fenced: int
    stall_s: float
    fault: str | None = None
    broker_kills: int = 1

    @classmethod
    def short(cls, seed: int, fault: str | None = None) -> "Plan":
        return cls(seed, 40_000, 2_500, kills=6, freezes=1, least_aborted=2, least_fenced=0, stall_s=60, fault=fault)

    @classmethod
    def long(cls, seed: int, fault: str | None = None) -> "Plan":
        return cls(
            seed, 1_000_000, 10_000, kills=24, freezes=5, least_aborted=12, least_fenced=1, stall_s=180, fault=fault
        )

    @classmethod
    def broker(cls, seed: int) -> "Plan":
        """The broker dies again and again, while transactions are open and while they are ended."""
        return cls(
            seed, 200_000, 4_000, kills=4, freezes=0, least_aborted=4, least_fenced=0, stall_s=180, broker_kills=20
        )

    def blows(self) -> list[str]:
        """In random order, but a single broker's restart somewhere in the middle."""
        blows = [KILL] * self.kills + [FREEZE] * self.freezes + [BROKER] * (self.broker_kills - 1)
        Random(self.seed).shuffle(blows)
        return [*blows[: len(blows) // 2], BROKER, *blows[len(blows) // 2 :]]


@dataclass
class Run:
    """What happened."""

    plan: Plan
    kills: int = 0
    kills_in_transaction: int = 0
    freezes: int = 0
    freezes_in_transaction: int = 0
    wipes: int = 0
    broker_restarts: int = 0
    #: Transactions whose ends the broker says that it has left out, at its start.
    forgotten_ends: int = 0
    steps: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)
    #: Partitions that a worker let go, and went on, since another had opened them.
    taken_over: int = 0
    last_exits: list[int] = field(default_factory=list)
    last_words: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
