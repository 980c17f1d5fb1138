"""`python -m tests.chaos.faulty_worker FAULT[,FAULT] BITES worker`: the product's command with bugs planted.

A chaos run that does not turn red with one of these would prove nothing when it is green. BITES is a file: each bug
writes a line there before it bites.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from meter import topics
from meter.dedupe import Sighting
from meter.fold import fold
from meter.fold_jobs import MeterJobs, meter_jobs
from meter.records import Chunk
from meter.step import Step
from streams.cli import main
from streams.engine import worker  # noqa: F401  what it uses is there before a bug is planted in it
from streams.engine.disk_index import DiskIndex
from streams.engine.writer import CommittedStep, OutputBatch, PartitionWriter
from streams.kafka.options import client_options
from streams.settings import Settings
from tests.chaos.faults import DOUBLE, GHOST, SKIP, TEAR, bite

Bite = Callable[[], None]


def plant(right: Callable[..., Any], wrong: Callable[..., Any]) -> None:
    """Put a function in the place of another, wherever it was imported."""
    places = [
        (module, name)
        for module in list(sys.modules.values())
        if module.__name__.startswith("streams.")
        for name, value in vars(module).items()
        if value is right
    ]
    assert places, f"nothing uses {right}"
    for module, name in places:
        setattr(module, name, wrong)


def plant_in(owner: type, right: Callable[..., Any], wrong: Callable[..., Any]) -> None:
    """Put a function in the place of a method. That it is called, a test sees by its bites."""
    assert vars(owner)[right.__name__] is right, f"{owner} has another {right}"
    setattr(owner, right.__name__, wrong)


def turns(first: int, every: int) -> Callable[[], bool]:
    """Whether it is time to bite: at one occasion of a worker's life, and at every so manieth after it."""
    occasions = count(1)
    return lambda: (next(occasions) - first) % every == 0


def skip(bites: Bite) -> None:
    """Now and then a fold loses one record of a chunk."""
    is_time = turns(5, 20)

    def losing(step: Step, chunk: Chunk, meter: MeterJobs = meter_jobs) -> None:
        if chunk.topic == topics.COMPLETED and chunk.records and is_time():
            bites()
            chunk = chunk._replace(records=chunk.records[1:])
        fold(step, chunk, meter=meter)

    plant(fold, losing)


def double(bites: Bite) -> None:
    """Now and then the dedupe index has forgotten what it was asked for."""
    find, is_time = DiskIndex.find, turns(5, 5)

    def forgetting(self: DiskIndex, keys: Sequence[str]) -> Mapping[int, Sighting]:
        found = find(self, keys)
        if not found or not is_time():
            return found
        bites()
        return {}

    plant_in(DiskIndex, find, forgetting)


def ghost(bites: Bite) -> None:
    """Now and then a step fails, and what it priced is published all the same, outside any transaction."""
    batches, publish, is_time = PartitionWriter.batches, PartitionWriter.publish, turns(5, 20)
    steps: dict[int, Step] = {}

    def noting(self: PartitionWriter, step: Step) -> list[OutputBatch]:
        steps[step.state.partition] = step
        return batches(self, step)

    async def haunted(self: PartitionWriter, outputs: Sequence[OutputBatch]) -> CommittedStep:
        partition = _prices_on(outputs)
        if partition is None or not is_time():
            return await publish(self, outputs)
        bites()
        settings = Settings()
        async with AIOKafkaProducer(**client_options(settings), acks="all") as producer:
            for key, value in steps[partition].outputs.priced:
                await producer.send_and_wait(settings.topic(topics.PRICED), value, key=key, partition=partition)
        raise RuntimeError("the step failed after its outputs had got out")

    plant_in(PartitionWriter, batches, noting)
    plant_in(PartitionWriter, publish, haunted)


def tear(bites: Bite) -> None:
    """Now and then only half of a step's outputs is committed, and the worker ends: what a late EndTxn did."""
    publish, is_time = PartitionWriter.publish, turns(5, 20)

    async def torn(self: PartitionWriter, outputs: Sequence[OutputBatch]) -> CommittedStep:
        partition = _prices_on(outputs)
        if partition is None or not is_time():
            return await publish(self, outputs)
        bites()
        half = (topics.PRICED, topics.DAILY, topics.REJECTED)
        await publish(self, [output for output in outputs if (output.topic in half) is (partition % 2 == 0)])
        raise RuntimeError("half of the step is committed")

    plant_in(PartitionWriter, publish, torn)


def _prices_on(outputs: Sequence[OutputBatch]) -> int | None:
    """The partition of a step that prices something."""
    return next((output.partition for output in outputs if output.topic == topics.PRICED), None)


BUGS: dict[str, Callable[[Bite], None]] = {SKIP: skip, DOUBLE: double, GHOST: ghost, TEAR: tear}


def plant_all(faults: Sequence[str], file: Path) -> None:
    for fault in faults:
        BUGS[fault](partial(bite, file, fault))


if __name__ == "__main__":
    plant_all(sys.argv.pop(1).split(","), Path(sys.argv.pop(1)))
    sys.exit(main())
