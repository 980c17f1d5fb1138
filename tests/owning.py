"""A partition's owner without a Kafka: what it is handed is made here."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from meter.rules import Rules
from meter.state import PartitionState
from meter.step import Step
from streams.engine.agent import meter_chunks
from streams.engine.clocks import MachineClock, Movement
from streams.engine.disk_index import DiskIndex
from streams.engine.due import Pace, TakeEnds
from streams.engine.index import Index, KeptIndex, Save
from streams.engine.inputs import InputEnd
from streams.engine.limits import Limits
from streams.engine.owner import PartitionOwner
from streams.engine.steps import OpenPartition
from streams.engine.writer import CommittedStep, OutputBatch
from streams.observe.metrics import Metrics


class TurnedClock(MachineClock):
    """Clocks that the test turns: seconds that have passed, and milliseconds of the time of day."""

    def __init__(self, now_s: float = 1_000.0, machine_ms: int = 0) -> None:
        self.now_s, self.machine_ms = now_s, machine_ms

    def monotonic(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return self.machine_ms


class Writer:
    """Instead of the partition's producer: keeps the steps that were committed."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.committed = asyncio.Event()

    def batches(self, step: Step) -> list[OutputBatch]:
        self.steps.append(step)
        return []

    async def publish(self, batches: Sequence[OutputBatch]) -> CommittedStep:
        self.committed.set()
        return CommittedStep(None, 0, 0)


class SlowSave:
    """A save to a disk that answers when it is told to."""

    def __init__(self, save: Save, answers: threading.Event) -> None:
        self.save, self.answers = save, answers

    def run(self) -> None:
        assert self.answers.wait(30)
        self.save.run()


def kept(seen: Index, partition: int = 0, every_s: float = float("inf")) -> KeptIndex:
    """An index that is saved so often; never, unless told otherwise."""
    return KeptIndex(partition, seen, next_save_s=every_s, every_s=every_s)


def disk_index(path: Path) -> DiskIndex:
    """A new index on disk."""
    return DiskIndex.open(path, 0, "m", "log")


def opened(index: KeptIndex, state: PartitionState | None = None, commands_end: int = 0) -> OpenPartition:
    """A partition that is open; a new one, unless its state is given."""
    state = state or PartitionState(Rules(meter_id="m", partitions=1), 0)
    return OpenPartition(state, index, Writer(), None, commands_end)


def owner_of(
    partition: OpenPartition,
    *,
    pace: Pace | None = None,
    take_ends: TakeEnds | None = None,
    clock: MachineClock | None = None,
    limits: Limits | None = None,
) -> PartitionOwner:
    """Its owner; the inputs end where they are folded, unless told otherwise."""

    async def ends(_: int) -> Mapping[str, int]:
        return dict(partition.state.position.next)

    def no_end() -> InputEnd | None:
        return None

    clock, limits = clock or MachineClock(), limits or Limits()
    pace = pace or Pace(clock, limits)
    return PartitionOwner(
        partition, meter_chunks, Movement(clock), pace, take_ends or ends, no_end, Metrics(), clock, limits
    )
