"""What is due on a partition, done in slices: one in each of its steps, in turn with the worker's other partitions."""

import asyncio
from collections.abc import Mapping

from meter.settle import run_due
from meter.state import PartitionState
from meter.step import Step
from streams.engine.clocks import MachineClock
from streams.engine.due import DueGate, Pace


class Settlement:
    """A partition's settlement. `gate` says what may be done, `pace`, which all partitions share, how much of it."""

    def __init__(self, state: PartitionState, gate: DueGate, pace: Pace, clock: MachineClock) -> None:
        self._state = state
        self._gate = gate
        self._pace = pace
        self._clock = clock

    @property
    def is_paused(self) -> bool:
        """Whether what is due waits for the broker's clock and this machine's to agree."""
        return self._gate.paused

    @property
    def needs_the_time(self) -> bool:
        """Whether the broker must say what its clock says, which only the journal record of a step can tell."""
        return self._gate.time_is_unknown(self._state)

    @property
    def is_due(self) -> bool:
        """Whether the time of the first action has come."""
        return self._gate.is_due(self._state)

    async def until(self, covered: Mapping[str, int]) -> int | None:
        """The instant by which what is due may be done now, before anything more is folded; None: nothing may be.

        `covered`: up to where each input is folded.
        """
        return await self._gate.until(self._state, covered) if self.is_due else None

    def forget(self) -> None:
        """Positions of a former assignment mean nothing."""
        self._gate.forget()

    async def run(self, step: Step, until_ms: int) -> bool:
        """Do as much of what is due as may be done now; whether that was anything."""
        async with self._pace.turn:
            allowed = self._pace.allowance()
            for actions in self._pace.blocks(allowed):
                began = self._clock.monotonic()
                done = run_due(step, until_ms, actions)
                self._pace.spent(done, self._clock.monotonic() - began)
                if done < actions:
                    break
                await asyncio.sleep(0)  # the other partitions' steps are under way
        return bool(allowed)

    def completions_waited(self, seconds: float) -> None:
        """A step that settled has committed its completions so long after they were fetched."""
        self._pace.waited(seconds)
