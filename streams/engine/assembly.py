"""The parts of a worker's engine, put together: who is handed what is said here and nowhere else."""

from collections.abc import Callable, MutableMapping
from typing import NamedTuple, Protocol

from faust.types import TP

from meter import topics
from meter.rollup import Total, TotalKey
from meter.rules import Rules
from streams.engine.assignment import Assignment
from streams.engine.clocks import MachineClock, Movement
from streams.engine.due import Pace, TakeEnds
from streams.engine.guards import Guards, HearsKafka
from streams.engine.health import SeesEnds, WorkerHealth
from streams.engine.inputs import InputEnd
from streams.engine.limits import Limits
from streams.engine.opening import Opener
from streams.engine.owner import MeterChunks, PartitionOwner
from streams.engine.owners import Owners
from streams.engine.questions import Questions
from streams.engine.readings import Readings, Reads
from streams.engine.standby import Standbys
from streams.engine.steps import OpenPartition
from streams.observe.metrics import Metrics
from streams.settings import Settings

#: A partition's view of the windowed table, which holds the totals of its state.
TotalsOf = Callable[[int], MutableMapping[TotalKey, Total]]


class Clients(Reads, SeesEnds, HearsKafka, Protocol):
    """All that the engine needs of the consumer's thread: see `ChunkThread`."""

    async def leave(self) -> None:
        """Leave the group at once, and for good."""


class Engine(NamedTuple):
    """Of one worker."""

    settings: Settings
    rules: Rules
    limits: Limits
    owners: Owners
    readings: Readings
    health: WorkerHealth
    guards: Guards
    questions: Questions
    clients: Clients
    metrics: Metrics
    #: Ends the process.
    fail: Callable[[BaseException], None]

    async def stop(self) -> None:
        """Stop in this order: no step is cut off, and the next owners need not wait for the indexes to be on disk."""
        await self.owners.quiesce()
        await self.clients.leave()
        await self.owners.release_all()
        await self.questions.close()


def assemble(
    settings: Settings,
    rules: Rules,
    clients: Clients,
    meter_chunks: MeterChunks,
    totals_of: TotalsOf,
    fail: Callable[[BaseException], None],
) -> Engine:
    """A worker's engine. `meter_chunks`: what its agent does in a step; `fail` ends the process."""
    clock, limits, metrics, questions = MachineClock(), Limits(), Metrics(), Questions(settings)
    assignment = Assignment(settings, clock)
    opener = Opener(settings, rules, totals_of, metrics, clock, limits)
    new_owner = owner_maker(settings, meter_chunks, clients, questions.input_ends, metrics, clock, limits)
    readings = Readings(settings, clients)
    standbys = Standbys(settings, rules, questions.identity, fail)
    owners = Owners(assignment, opener, new_owner, readings, standbys, fail, clock)
    health = WorkerHealth(settings, owners, clients, clock)
    guards = Guards(settings, owners, readings, health, clients, questions, fail, clock)
    return Engine(settings, rules, limits, owners, readings, health, guards, questions, clients, metrics, fail)


def owner_maker(
    settings: Settings,
    meter_chunks: MeterChunks,
    clients: SeesEnds,
    take_ends: TakeEnds,
    metrics: Metrics,
    clock: MachineClock,
    limits: Limits,
) -> Callable[[OpenPartition, Movement], PartitionOwner]:
    """Makes the owners of a worker's partitions, which share one pace."""
    pace = Pace(clock, limits)

    def new_owner(opened: OpenPartition, progress: Movement) -> PartitionOwner:
        commands = TP(settings.topic(topics.COMMANDS), opened.state.partition)

        def commands_seen() -> InputEnd | None:
            return clients.input_end(commands)

        return PartitionOwner(opened, meter_chunks, progress, pace, take_ends, commands_seen, metrics, clock, limits)

    return new_owner
