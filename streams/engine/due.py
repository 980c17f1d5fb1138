"""When may what is due be done? When broker time has passed it, and every input is folded to an end taken after that.

Broker time is the append time of the partition's last journal record plus what has elapsed since, so it is never ahead
of the broker's clock; on a meter with a simulated clock it is the latest record time. No rule asks this machine's own
clock, but where the two are more than an hour apart one of them is wrong: nothing is settled until they agree.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping

import structlog

from meter.rules import Clock
from meter.state import PartitionState
from streams.engine.clocks import MachineClock, Seldom
from streams.engine.limits import Limits

log = structlog.get_logger(__name__)

CLOCKS_APART_MS = 3_600_000
#: How often to ask the broker for the time where nothing else is to be done.
ASK_EVERY_S = 3_600.0

#: The end offsets of a partition's inputs, as the broker has them now.
TakeEnds = Callable[[int], Awaitable[Mapping[str, int]]]


#: How much of a worker's time the slices of all its partitions may take: at first, at most and at least. What else an
#: action costs, its outputs and the changes of the state, is half as much again; the rest is the completions'.
FIRST_SHARE = 0.35
MOST_SHARE = 0.60
LEAST_SHARE = 0.15
#: The share falls where completions are committed later than this after they were fetched, and else it rises.
WAIT_S = 0.15
SHARE_UP = 0.005
SHARE_DOWN = 0.97
#: What an action costs, before one has been measured.
ACTION_S = 0.000_05
#: A slice in which the process itself stood still (stopped, swapped out) is not paid for in full.
MAX_DEBT_S = 1.0


class Pace:
    """How many due actions a worker may do now, over all its partitions, so that completions are not kept waiting."""

    def __init__(self, clock: MachineClock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._share = FIRST_SHARE
        self._credit_s = limits.slice_s
        self._counted_at = clock.monotonic()
        self._action_s = ACTION_S
        #: Held by the partition that does its slice: one after the other, and not all of them in pieces.
        self.turn = asyncio.Lock()

    def allowance(self) -> int:
        """How many actions may be done now; 0: not yet."""
        now, limits = self._clock.monotonic(), self._limits
        self._credit_s = min(limits.slice_s, self._credit_s + (now - self._counted_at) * self._share)
        self._counted_at = now
        actions = int(self._credit_s / self._action_s)
        if actions >= limits.least_actions:
            return actions
        # However dear the last ones were: only doing some can show that they no longer are.
        return limits.least_actions if self._credit_s >= limits.slice_s else 0

    def waited(self, seconds: float) -> None:
        """A step that settled has committed its completions so long after they were fetched: they come first."""
        if seconds > WAIT_S:
            self._share = max(LEAST_SHARE, self._share * SHARE_DOWN)
        else:
            self._share = min(MOST_SHARE, self._share + SHARE_UP)

    def spent(self, actions: int, seconds: float) -> None:
        """So many were done in so many seconds."""
        self._credit_s = max(self._credit_s - seconds, -MAX_DEBT_S)
        if actions:
            self._action_s = max(1e-6, 0.8 * self._action_s + 0.2 * seconds / actions)

    def blocks(self, actions: int) -> Iterator[int]:
        """A slice in parts, between which the worker does what else there is to do."""
        while actions > 0:
            yield min(actions, self._limits.block_actions)
            actions -= self._limits.block_actions


class BrokerTime:
    """What the clock of the broker that leads the journal says at least, and what of it is believed.

    A time that is more than an hour ahead both of what was believed before and of this machine's clock is not believed:
    whatever is wrong, a clock that says so cannot be told from one that is right.
    """

    def __init__(self, clock: MachineClock) -> None:
        self._clock = clock
        #: Whether what was heard last is believed.
        self.is_believed = False
        self._append_ms: int | None = None
        self._seen_at = 0.0
        self._ahead_ms = 0
        self._believed: tuple[int, float] | None = None

    def heard(self, append_ms: int) -> None:
        """A journal record was appended at this time, and that has just been acknowledged."""
        self._append_ms, self._seen_at = append_ms, self._clock.monotonic()
        self._ahead_ms = append_ms - self._clock.wall_ms()
        self.is_believed = append_ms <= self.believable_ms()
        if self.is_believed:
            self._believed = append_ms, self._seen_at

    def now_ms(self) -> int | None:
        """Milliseconds; None before anything was heard."""
        if self._append_ms is None:
            return None
        return self._append_ms + int((self._clock.monotonic() - self._seen_at) * 1000)

    @property
    def ahead_s(self) -> float:
        """By how many seconds the broker's clock was ahead of this machine's when it was last heard of."""
        return self._ahead_ms / 1000

    def age_s(self) -> float:
        """How long ago anything was heard."""
        return float("inf") if self._append_ms is None else self._clock.monotonic() - self._seen_at

    def believable_ms(self) -> int:
        """The latest time that a record can bear: an hour after what is believed, and after this machine's clock."""
        latest = self._clock.wall_ms()
        if self._believed is not None:
            append_ms, seen_at = self._believed
            latest = max(latest, append_ms + int((self._clock.monotonic() - seen_at) * 1000))
        return latest + CLOCKS_APART_MS


class StampGate:
    """Says whether what has come in may be folded: not while its record times are ahead of every clock.

    Where the broker's present clock is believed, the records that are ahead of it were stamped by one that was wrong:
    they are refused, one by one, and the others folded. Else nobody can tell who is right: intake waits, loudly.
    """

    def __init__(self, broker_time: BrokerTime, clock: MachineClock, fresh_s: float) -> None:
        self.paused = False
        self._broker_time = broker_time
        self._clock = clock
        self._fresh_s = fresh_s
        self._says = Seldom(clock)

    def is_suspicious(self, latest_ms: int) -> bool:
        """Whether a record time is ahead of every clock."""
        self.paused = self.paused and latest_ms > self._broker_time.believable_ms()
        return latest_ms > self._broker_time.believable_ms()

    def needs_the_time(self) -> bool:
        """Whether the broker must say what its clock says now, which a journal record can tell."""
        return self._broker_time.age_s() > self._fresh_s

    def not_after(self, latest_ms: int, partition: int) -> int | None:
        """The record time, in ms, after which records are refused; None, and `paused`, while nobody can tell."""
        self.paused = not self._broker_time.is_believed
        if not self.paused:
            return self._broker_time.believable_ms()
        if self._says.may_say():
            log.error(
                "intake is paused: records are stamped more than an hour after the time, and the broker's clock and "
                "this machine's are as far apart",
                partition=partition,
                broker_ahead_s=int(self._broker_time.ahead_s),
                record_ahead_s=(latest_ms - self._clock.wall_ms()) // 1000,
            )
        return None

    def say_refused(self, records: int, partition: int) -> None:
        """Now and then, that records were refused for what they are stamped with."""
        if records and self._says.may_say():
            log.error(
                "records refused as clock_ahead: a broker stamped them whose clock was more than an hour ahead; "
                "`meter rejects redrive --code clock_ahead` sends them again once it is right",
                partition=partition,
                records=records,
            )


class DueGate:
    """Says up to which instant due actions may be done."""

    def __init__(self, take_ends: TakeEnds, broker_time: BrokerTime, clock: MachineClock) -> None:
        self.paused = False
        self._broker_time = broker_time
        self._clock = clock
        self._take_ends = take_ends
        self._until_ms = 0
        self._ends: Mapping[str, int] | None = None
        self._says = Seldom(clock)

    def time_is_unknown(self, state: PartitionState) -> bool:
        """Whether the broker has not said for long what its clock says, which only a journal record can tell."""
        return not self._simulated(state) and self._broker_time.age_s() > ASK_EVERY_S

    def is_due(self, state: PartitionState) -> bool:
        """Whether the first action's time has come, and the clocks agree."""
        first, now = state.agenda.next_ms(), self._now_ms(state)
        if first is None or now is None or first > now:
            return False
        self.paused = state.rules.clock is Clock.BROKER and self._clocks_apart(now, state.partition)
        return not self.paused

    async def until(self, state: PartitionState, covered: Mapping[str, int]) -> int | None:
        """The instant by which due actions may be done now; None while inputs are not `covered` that far."""
        first, now = state.agenda.next_ms(), self._now_ms(state)
        if first is None or now is None:
            return None
        if self._ends is None or first > self._until_ms:
            self._until_ms, self._ends = now, await self._take_ends(state.partition)
        if any(covered[topic] < end for topic, end in self._ends.items()):
            return None
        return self._until_ms

    def forget(self) -> None:
        """Positions of a former assignment mean nothing."""
        self._ends = None

    @staticmethod
    def _simulated(state: PartitionState) -> bool:
        return state.rules.clock is Clock.SIMULATED

    def _now_ms(self, state: PartitionState) -> int | None:
        return state.position.record_time if self._simulated(state) else self._broker_time.now_ms()

    def _clocks_apart(self, now_ms: int, partition: int) -> bool:
        apart_ms = now_ms - self._clock.wall_ms()
        if abs(apart_ms) <= CLOCKS_APART_MS:
            return False
        if self._says.may_say():
            log.error(
                "settlement is paused: the broker's clock and this machine's are more than an hour apart",
                partition=partition,
                broker_ahead_s=apart_ms // 1000,
            )
        return True
