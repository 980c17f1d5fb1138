"""When a partition's next step begins: there is something to do, the last step is over, and no rebalance holds it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from streams.engine.clocks import MachineClock
from streams.engine.limits import Limits


class StepTurns:
    """The turns of one partition, one at a time. None is given before `go_on`."""

    def __init__(self, clock: MachineClock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._wanted = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._may_go_on = asyncio.Event()
        self._folded_at = 0.0

    def want(self) -> None:
        """There is something to do."""
        self._wanted.set()

    def want_in(self, seconds: float) -> None:
        """There may be something to do in a while."""
        asyncio.get_running_loop().call_later(seconds, self._wanted.set)

    def rest(self) -> None:
        """There is nothing to do until one is wanted again."""
        self._wanted.clear()

    def folded(self, at_s: float) -> None:
        """A step with records was committed at this instant of the monotonic clock."""
        self._folded_at = at_s

    @asynccontextmanager
    async def next(self, queued: Callable[[], int]) -> AsyncIterator[None]:
        """The next turn; `queued` says how many records wait for it."""
        await self._wanted.wait()
        await self._gather(queued())
        await self._may_go_on.wait()
        self._idle.clear()
        try:
            yield
        finally:
            self._idle.set()

    async def _gather(self, queued: int) -> None:
        """Let a small step wait a little for company: what a transaction costs does not depend on its size."""
        pause_s = self._folded_at + self._limits.step_interval_s - self._clock.monotonic()
        if pause_s > 0 and queued < self._limits.step_records // 4:
            await asyncio.sleep(pause_s)

    @property
    def is_idle(self) -> bool:
        """Whether no turn is under way."""
        return self._idle.is_set()

    def hold(self) -> None:
        """No turn begins until `go_on`."""
        self._may_go_on.clear()

    async def idle(self) -> None:
        """Wait for the turn that is under way."""
        await self._idle.wait()

    def go_on(self) -> None:
        """StepTurns may begin."""
        self._may_go_on.set()
