"""One partition's owner: queues its chunks, folds and commits them, one step at a time.

The order, stated once:

1. The partition's transactional producer starts: the former owner is fenced, what it left open is settled. What Kafka
   itself has left without an end is aborted: see `hanging.py`.
2. Only then the state is read back, committed records only, up to an end taken after fencing; the log is checked
   against it; the dedupe index is brought up from `usage.priced`. Both are done by `opening.py`; an owner begins with
   a partition that is open as a whole.
3. The consumer is seeked to the state's positions and nowhere else: see `Owners`.
4. A step does a slice of what is due, if anything may be done yet (see `due.py`), takes chunks from the queues,
   commands first, folds them, sends everything in one transaction, awaits every send, and commits. Then, and only
   then, its changes become part of the state: `Steps.commit`.
5. A slice is small, so that intake never stalls, and shares the step's transaction, which costs more than the slice.
6. Any error or unknown outcome ends the process. Restart is the only recovery path.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from meter.records import Chunk
from meter.state import PartitionState
from meter.step import Step
from streams.engine.clocks import MachineClock, Movement
from streams.engine.due import BrokerTime, DueGate, Pace, StampGate, TakeEnds
from streams.engine.inputs import InputEnd
from streams.engine.intake import Intake, TakenChunks
from streams.engine.limits import Limits
from streams.engine.queues import CommandsRule, InputQueues
from streams.engine.settling import Settlement
from streams.engine.steps import OpenPartition, Steps
from streams.engine.turns import StepTurns
from streams.engine.unbilled_check import UnbilledCheck
from streams.observe.metrics import Metrics

#: Folds chunks into a step and commits it. Returns when it was committed, in seconds of the monotonic clock.
MeterChunks = Callable[[Steps, Step, Sequence[Chunk]], Awaitable[float]]


class PartitionOwner:
    """See the module's docstring."""

    def __init__(
        self,
        opened: OpenPartition,
        meter_chunks: MeterChunks,
        progress: Movement,
        pace: Pace,
        take_ends: TakeEnds,
        commands_seen: Callable[[], InputEnd | None],
        metrics: Metrics,
        clock: MachineClock,
        limits: Limits,
    ) -> None:
        """`meter_chunks`: what a step does with its chunks, see `agent.py`.

        `commands_seen`: the end of `meter.commands` as the last fetch of it saw it.
        """
        state, broker_time = opened.state, BrokerTime(clock)
        commands = CommandsRule(opened.commands_end, commands_seen, clock)
        self.progress = progress
        self.queues = InputQueues(state.partition, state.position.next, commands, limits)
        self._turns = StepTurns(clock, limits)
        self._meter_chunks = meter_chunks
        self._steps = Steps(opened, broker_time, progress, metrics, clock)
        stamps = StampGate(broker_time, clock, limits.fresh_s)
        self.intake = Intake(self.queues, stamps, self._steps, self._turns, progress, clock, limits)
        self.settlement = Settlement(state, DueGate(take_ends, broker_time, clock), pace, clock)
        self._metrics = metrics
        self._clock = clock
        self._step_interval_s = limits.step_interval_s

    @property
    def state(self) -> PartitionState:
        """What is folded and committed."""
        return self._steps.state

    @property
    def unbilled_check(self) -> UnbilledCheck:
        """What was priced and billed, against what the state says is unbilled."""
        return self._steps.unbilled_check

    # -- what others see of it, and tell it ------------------------------------------------------------------

    def offer(self, chunk: Chunk) -> None:
        """Queue a chunk for the next step. Raises HoleError where it does not begin where the last one ended."""
        self.intake.offer(chunk)

    def look(self) -> None:
        """Time has passed: see whether something is due."""
        if self.settlement.needs_the_time or self.settlement.is_due:
            self._turns.want()

    async def quiesce(self) -> None:
        """Wait for the step in flight, and forget what is queued: it is read again. No step begins until `go_on`."""
        self._turns.hold()
        self.queues.forget()
        self.settlement.forget()
        await self._turns.idle()
        self.queues.expect(self.state.position.next)

    def go_on(self) -> None:
        """The inputs stand where they are to be read on: steps may be done."""
        self._turns.go_on()

    def folded(self) -> dict[str, int]:
        """Up to where each input is folded and committed; markers behind the last record count as folded."""
        return self.queues.covered() if self._turns.is_idle else dict(self.state.position.next)

    @property
    def should_move(self) -> bool:
        """Whether it is in a step, or has records that wait for nothing but their step."""
        return not self._turns.is_idle or self.intake.has_work

    # -- steps -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Fold and commit what is queued, until cancelled between steps. Any exception must end the process."""
        while True:
            async with self._turns.next(lambda: self.queues.records):
                await self.turn()
            # Let the others have the loop: a fold does not give way by itself.
            await asyncio.sleep(0)

    async def turn(self) -> None:
        """One step, if there is anything to do. An empty one tells the time where nothing else has."""
        if self.settlement.needs_the_time:
            await self._steps.ask_the_time()
        not_after = await self.intake.not_after()
        until_ms = await self.settlement.until(self.queues.covered())
        step = self._steps.begin(not_after)
        settles = until_ms is not None and await self._settle(step, until_ms)
        # What came in meanwhile is in this step, not in the next one.
        if taken := self.intake.take(not_after):
            await self._meter(step, taken, settles=settles)
        elif settles:
            await self._steps.commit(step)

    async def _settle(self, step: Step, until_ms: int) -> bool:
        """Do a slice of what is due, and come back for the rest."""
        settles = await self.settlement.run(step, until_ms)
        self._turns.want_in(self._step_interval_s)
        return settles

    async def _meter(self, step: Step, taken: TakenChunks, *, settles: bool) -> None:
        """Fold chunks into a step, and commit it: as the agent says."""
        self._turns.folded(await self._meter_chunks(self._steps, step, taken.chunks))
        self.intake.refused(step.taken.ahead)
        if settles:
            self.settlement.completions_waited(self._clock.monotonic() - taken.since_s)
        self._metrics.delayed(oldest_ms=min(r.timestamp for chunk in taken.chunks for r in chunk.records[:1]))
