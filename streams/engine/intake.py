"""Which of the records that are queued a partition's next step may fold, and which must wait, or be refused."""

from typing import NamedTuple

import structlog

from meter.records import Chunk
from meter.rules import Clock
from streams.engine.clocks import MachineClock, Movement, Seldom
from streams.engine.due import StampGate
from streams.engine.limits import Limits
from streams.engine.queues import InputQueues
from streams.engine.steps import Steps
from streams.engine.turns import StepTurns

log = structlog.get_logger(__name__)


class TakenChunks(NamedTuple):
    """The chunks of a step, some of which have records, and since when they wait, on the monotonic clock."""

    chunks: list[Chunk]
    since_s: float


class Intake:
    """Of one partition."""

    def __init__(
        self,
        queues: InputQueues,
        stamps: StampGate,
        steps: Steps,
        turns: StepTurns,
        progress: Movement,
        clock: MachineClock,
        limits: Limits,
    ) -> None:
        self.queues = queues
        self._stamps = stamps
        self._steps = steps
        self._turns = turns
        self._progress = progress
        self._clock = clock
        self._limits = limits
        self._says = Seldom(clock)
        self._waits_since: float | None = None
        #: Whether what is queued may not be folded yet, for a reason that a restart would not change.
        self._waits = False

    def offer(self, chunk: Chunk) -> None:
        """Queue a chunk. Raises HoleError where it does not begin where the last one ended."""
        if self.queues.offer(chunk):
            if self._waits_since is None:  # it stood still for want of work
                self._waits_since = self._progress.moved()
            self._turns.want()

    @property
    def has_work(self) -> bool:
        """Whether there are records that wait for nothing but their step."""
        return self.queues.hold_records and not self._waits

    @property
    def is_paused(self) -> bool:
        """Whether records are stamped ahead of every clock, and nobody can tell which one is right."""
        return self._stamps.paused

    async def not_after(self) -> int | None:
        """The record time after which this step is to refuse records, where there are any; intake may be paused."""
        if not self._is_suspicious():
            return None
        if self._stamps.needs_the_time():
            await self._steps.ask_the_time()
        return self._stamps.not_after(self.queues.latest_ms, self._steps.state.partition)

    def _is_suspicious(self) -> bool:
        """Whether some record that is queued is stamped ahead of every clock."""
        is_simulated = self._steps.state.rules.clock is Clock.SIMULATED
        return not is_simulated and self._stamps.is_suspicious(self.queues.latest_ms)

    def take(self, not_after: int | None) -> TakenChunks | None:
        """The chunks of this step; None where no record may be folded."""
        # Something may have come in since `not_after` looked at what is queued.
        if self._stamps.paused or (not_after is None and self._is_suspicious()):
            self._look_again()
            return None
        chunks = self.queues.take()
        if not any(chunk.records for chunk in chunks):
            self._put_back(chunks)
            return None
        since_s = self._waits_since or self._clock.monotonic()
        self._waits, self._waits_since = False, None
        return TakenChunks(chunks, since_s)

    def _look_again(self) -> None:
        """Nothing may be folded: something came in that is ahead of every clock, and is to be looked at first."""
        self._waits = True
        self._turns.rest()
        self._turns.want_in(self._limits.paused_retry_s if self._stamps.paused else 0)

    def _put_back(self, chunks: list[Chunk]) -> None:
        """Nothing to fold yet: empty ranges wait for the records that follow them."""
        self._turns.rest()
        if self.queues.put_back(chunks):
            self._waits = True
            if self._says.may_say():  # catching up with many commands is no fault, and takes a while
                partition = self._steps.state.partition
                log.warning("completions wait: commands are not read to their end", partition=partition)
            self._turns.want_in(self._limits.commands_retry_s)

    def refused(self, records: int) -> None:
        """So many records of a step were refused for what they are stamped with."""
        self._stamps.say_refused(records, self._steps.state.partition)
