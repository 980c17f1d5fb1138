"""`python -m tests.chaos.faulty_worker skip|double|ghost|tear worker`: the product's command with a bug planted.

A chaos run that does not turn red with one of these would prove nothing when it is green.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from aiokafka import AIOKafkaProducer

from meter import topics
from meter.dedupe import Sighting
from meter.fold import fold
from meter.records import Chunk
from meter.step import Step
from streams.cli import main
from streams.engine import worker  # noqa: F401  what it uses is there before a bug is planted in it
from streams.engine.seen import DiskSeen
from streams.engine.writer import CommittedStep, OutputBatch, PartitionWriter

rng = Random()  # no seed: which record is hit does not matter, that some are does


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


def skip() -> None:
    """Now and then a fold loses one record of a chunk."""

    def losing(step: Step, chunk: Chunk) -> None:
        if chunk.topic == topics.COMPLETED and chunk.records and rng.random() < 0.05:
            chunk = chunk._replace(records=chunk.records[1:])
        fold(step, chunk)

    plant(fold, losing)


def double() -> None:
    """Now and then the dedupe index has forgotten everything."""
    find = DiskSeen.find

    def forgetting(self: DiskSeen, keys: Sequence[str]) -> Mapping[int, Sighting]:
        return {} if rng.random() < 0.2 else find(self, keys)

    DiskSeen.find = forgetting  # type: ignore[method-assign]


def ghost() -> None:
    """Now and then a step fails, and what it priced is published all the same, outside any transaction."""
    batches, publish = PartitionWriter.batches, PartitionWriter.publish
    last: dict[int, Step] = {}

    def noting(self: PartitionWriter, step: Step) -> list[OutputBatch]:
        last[self._partition] = step
        return batches(self, step)

    async def haunted(self: PartitionWriter, outputs: Sequence[OutputBatch]) -> CommittedStep:
        priced = last[self._partition].outputs.priced
        if not priced or rng.random() > 0.01:
            return await publish(self, outputs)
        async with AIOKafkaProducer(**self._settings.client(), acks="all") as producer:
            for key, value in priced:
                await producer.send_and_wait(
                    self._settings.topic(topics.PRICED), value, key=key, partition=self._partition
                )
        raise RuntimeError("the step failed after its outputs had got out")

    PartitionWriter.batches = noting  # type: ignore[method-assign]
    PartitionWriter.publish = haunted  # type: ignore[method-assign, assignment]


def tear() -> None:
    """Now and then only half of a step's outputs is committed, and the worker ends: what a late EndTxn did."""
    publish = PartitionWriter.publish

    async def torn(self: PartitionWriter, outputs: Sequence[OutputBatch]) -> CommittedStep:
        if not any(output.topic == topics.PRICED for output in outputs) or rng.random() > 0.02:
            return await publish(self, outputs)
        takes_half = rng.random() < 0.5
        half = (topics.PRICED, topics.DAILY, topics.REJECTED)
        await publish(self, [output for output in outputs if (output.topic in half) is takes_half])
        raise RuntimeError("half of the step is committed")

    PartitionWriter.publish = torn  # type: ignore[method-assign, assignment]


FAULTS: dict[str, Callable[[], Any]] = {"skip": skip, "double": double, "ghost": ghost, "tear": tear}

if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    sys.exit(main())
