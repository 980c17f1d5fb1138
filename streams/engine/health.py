"""What a worker says of itself: how far it is, which of its partitions stand still, and why."""

from collections.abc import Mapping
from typing import Protocol

from faust.types import TP

from meter import topics
from streams.engine.assignment import Assignment
from streams.engine.clocks import MachineClock, Movement
from streams.engine.held import Held, HeldInputs, Place
from streams.engine.inputs import InputEnd
from streams.engine.intake import Intake
from streams.settings import Settings

#: A partition that has not moved for so many times METER_STALLED_AFTER_S makes the worker unhealthy.
STUCK_STALLS = 3


class OpenOwner(Protocol):
    """What is asked of the owner of an open partition: see `PartitionOwner`."""

    @property
    def progress(self) -> Movement: ...
    @property
    def should_move(self) -> bool: ...
    @property
    def intake(self) -> Intake: ...
    def folded(self) -> dict[str, int]: ...


class Partitions(Protocol):
    """What is asked of a worker's partitions: see `Owners`."""

    @property
    def assignment(self) -> Assignment: ...
    @property
    def open(self) -> Mapping[int, OpenOwner]: ...
    @property
    def opening(self) -> Mapping[int, Movement]: ...


class SeesEnds(Protocol):
    """What is asked of the consumer: see `ChunkThread`."""

    def input_end(self, tp: TP) -> InputEnd | None: ...


class WorkerHealth:
    """Of one worker, for its pages, its metrics and whoever waits for it."""

    def __init__(self, settings: Settings, owners: Partitions, ends: SeesEnds, clock: MachineClock) -> None:
        self._settings = settings
        self._owners = owners
        self._ends = ends
        self._clock = clock
        self._held = HeldInputs()

    def state(self) -> str:
        """`joining`: the group has given nothing yet; `opening`: some partition; `standby`: none is for this worker."""
        assignment = self._owners.assignment
        if not assignment.generation:
            return "joining"
        if not assignment.partitions:
            return "standby"
        return "open" if assignment.partitions <= self._owners.open.keys() else "opening"

    def lags(self) -> dict[Place, int]:
        """Positions between what is committed and the end, by topic and partition.

        Not the last stable offset: what is behind an open transaction waits as well.
        """
        folded = {partition: owner.folded() for partition, owner in self._owners.open.items()}
        return {(topic, p): max(0, end.last - folded[p][topic]) for (topic, p), end in self._input_ends().items()}

    def _input_ends(self) -> dict[Place, InputEnd]:
        """The ends of the inputs of the open partitions, as far as they are known."""
        places = [(topic, partition) for partition in self._owners.open for topic in topics.INPUTS]
        ends = {place: self._ends.input_end(TP(self._settings.topic(place[0]), place[1])) for place in places}
        return {place: end for place, end in ends.items() if end is not None}

    def look_for_held(self) -> None:
        """See which inputs an open transaction holds now."""
        self._held.look(self._input_ends())

    def held(self) -> list[Held]:
        """Inputs that an open transaction has held for longer than they may be."""
        return [held for held in self._held.all() if held.seconds > self._settings.stalled_after_s]

    def stalled(self) -> list[int]:
        """Partitions that have lag, or are not open, and have not moved for longer than they may, or have an input
        that an open transaction has held for as long."""
        lagging = {partition for (_, partition), lag in self.lags().items() if lag}
        held = {each.partition for each in self.held()}
        still = self._still(self._settings.stalled_after_s)
        return sorted((held & self._owners.open.keys()) | (still & (lagging | self._owners.opening.keys())))

    def stuck(self) -> list[int]:
        """Partitions that have stood still for so long that a restart is due: with work, and no reason to wait."""
        should_move = {partition for partition, owner in self._owners.open.items() if owner.should_move}
        still = self._still(STUCK_STALLS * self._settings.stalled_after_s)
        return sorted(still & (should_move | self._owners.opening.keys()))

    def _still(self, seconds: float) -> set[int]:
        """Partitions, open or being opened, that have not moved for so long."""
        progress = {**self._owners.opening, **{p: owner.progress for p, owner in self._owners.open.items()}}
        limit = self._clock.monotonic() - seconds
        return {partition for partition, each in progress.items() if each.last_s < limit}

    def paused(self) -> list[int]:
        """Partitions whose intake waits for the clocks to agree."""
        return [partition for partition, owner in self._owners.open.items() if owner.intake.is_paused]
