"""The steps of one open partition: each is begun from its state, committed, and only then made part of its state."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from meter.dedupe import needed_since
from meter.identity import Identity, Seal, checksum
from meter.rules import Clock
from meter.state import PartitionState
from meter.step import Step
from streams.engine.clocks import MachineClock, Movement
from streams.engine.due import BrokerTime
from streams.engine.index import KeptIndex
from streams.engine.unbilled_check import UnbilledCheck
from streams.engine.writer import CommittedStep, OutputBatch
from streams.observe.metrics import Metrics


class StepWriter(Protocol):
    """What a step needs of its partition's one writer: see `writer.PartitionWriter`."""

    def batches(self, step: Step) -> Sequence[OutputBatch]:
        """Everything that a step puts out, as it is sent."""

    async def publish(self, batches: Sequence[OutputBatch]) -> CommittedStep:
        """A step's outputs in one transaction. Any exception leaves the outcome unknown."""


@dataclass(frozen=True)
class OpenPartition:
    """A partition that is open: its former owner is fenced, and all that is known of it was read back and checked."""

    state: PartitionState
    index: KeptIndex
    writer: StepWriter
    #: Which log it is, for the state to keep; None where that is not to be noted.
    identity: Identity | None
    #: Where `meter.commands` ended when it was opened.
    commands_end: int


class Steps:
    """Begins steps and commits them, one at a time."""

    def __init__(
        self,
        opened: OpenPartition,
        broker_time: BrokerTime,
        progress: Movement,
        metrics: Metrics,
        clock: MachineClock,
    ) -> None:
        self.state = opened.state
        self.unbilled_check = UnbilledCheck(opened.state)
        self._index = opened.index
        self._writer = opened.writer
        self._identity = opened.identity
        self._broker_time = broker_time
        self._progress = progress
        self._metrics = metrics
        self._clock = clock

    def begin(self, not_after: int | None = None) -> Step:
        """A step that has done nothing yet; the first one notes which log the state is of.

        `not_after`: see `Step`.
        """
        step = Step(self.state, self._index.dedupe, not_after=not_after)
        if self.state.identity != self._identity:
            step.changes.identity = self._identity
        return step

    @contextmanager
    def folding(self) -> Iterator[None]:
        """The time that chunks take to fold is told as a metric."""
        began = self._clock.monotonic()
        yield
        self._metrics.folded(fold_s=self._clock.monotonic() - began)

    async def ask_the_time(self) -> None:
        """An empty step: its journal record bears the time of the broker."""
        await self.commit(self.begin())

    async def commit(self, step: Step) -> float:
        """Publish a step, then make its changes part of the state.

        Returns when it was committed, in seconds of the monotonic clock. Any exception must end the process: the
        outcome may be unknown.
        """
        published = await self.publish(step)
        return self.apply(step, published)

    async def publish(self, step: Step) -> CommittedStep:
        """All outputs of a step in one transaction, or none of them. `apply` must follow at once."""
        outputs = self._writer.batches(step)
        began = self._clock.monotonic()
        published = await self._writer.publish(outputs)
        self._metrics.committed(commit_s=self._clock.monotonic() - began)
        return published

    def apply(self, step: Step, published: CommittedStep) -> float:
        """Make the changes of a committed step part of the state: its totals, in the windowed table, with the others.

        Returns when, in seconds of the monotonic clock.
        """
        committed = self._progress.moved()
        self.state.apply(step.changes, self._index.dedupe)
        self.unbilled_check.add(step)
        self._mark_index(step, published)
        if self.state.rules.clock is Clock.BROKER:
            self._broker_time.heard(published.journal_ms)
        self._tell(step)
        self._index.save_if_due(committed)
        return committed

    def _mark_index(self, step: Step, published: CommittedStep) -> None:
        """Up to where in `usage.priced` the index is true now."""
        dedupe = self._index.dedupe
        dedupe.needed_since_ms = needed_since(self.state.position.due_until, self.state.rules)
        if published.priced_next is not None:
            dedupe.below = Seal(published.priced_next - 1, published.priced_ms, checksum(*step.outputs.priced[-1]))
            dedupe.priced_next = published.priced_next

    def _tell(self, step: Step) -> None:
        if self.state.rules.clock is Clock.BROKER:
            self._metrics.skew(self.state.partition, self._broker_time.ahead_s)
        self._metrics.stepped(step)
        self._metrics.remembered(self.state.partition, len(self._index.dedupe), self._index.dedupe.size_bytes)
