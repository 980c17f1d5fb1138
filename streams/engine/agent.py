"""The agent and its table: the way of a completion through the worker, from the fetch to the windowed table.

Faust gives the worker its place in the consumer group, the stream that the agent reads, the table of daily totals, the
web server. Exactly once is ours: a partition's chunks wait in one queue, `meter_chunks` makes one step of them, and the
step is committed in one transaction.

1. fetch      `streams.engine.clients.ChunkReader.fetch`: committed records, with the positions that they cover
2. queue      `add_agent`, below: each chunk waits with the owner of its partition
3. turn       `streams.engine.owner.PartitionOwner.turn`: begins a step, takes what waits, and calls
4. validate   `meter_chunks`, below, calls this and all that follow. `meter.intake.read_job`: a completion, or what is
              wrong with it, which goes to `usage.rejected`
5. dedupe     `streams.engine.disk_index.DiskIndex.find`: new, the same once more, or in conflict
6. round      `meter.durations.billable_minutes`: minutes begun
7. price      `meter.fold_jobs.Pricing.price`, by `meter.terms.Terms.price_for`: the contract's, else the price book's
8. roll up    `meter.fold_jobs.roll_up`: the total of account, region and billing day
9. commit     `streams.engine.steps.Steps.publish`: all outputs of the step, or none of them, in one transaction of
              `streams.engine.writer.PartitionWriter.publish`
10. apply     `streams.engine.steps.Steps.apply`: the step is part of the state, its totals are written to the table

Validate to roll up are one call, `meter.fold.fold`, of pure functions, which a proof runs again: `meter.replay.replay`.
"""

from collections.abc import Sequence
from typing import Any

import faust

from meter import topics
from meter.fold import fold
from meter.fold_jobs import meter_jobs
from meter.periods import BillingDays
from meter.records import Chunk
from meter.rules import Rules
from meter.step import Step
from streams.engine.assembly import Engine, TotalsOf
from streams.engine.steps import Steps
from streams.engine.table import BillingDay, PartitionTotals


def add_table(app: faust.App, rules: Rules) -> TotalsOf:
    """The daily totals, by billing day. Each partition's state writes its own, once they are committed."""
    day = BillingDay(BillingDays(rules.time_zone))
    daily_totals = app.Table("daily-totals", partitions=rules.partitions).using_window(day)

    def totals_of(partition: int) -> PartitionTotals:
        return PartitionTotals(daily_totals.table, day, partition, rules.partitions)

    return totals_of


async def meter_chunks(steps: Steps, step: Step, chunks: Sequence[Chunk]) -> float:
    """What a partition's turn does with the chunks that the agent queued; a step may hold a slice of settlement, too.

    Returns when it was committed, in seconds of the monotonic clock. Any exception must end the process.
    """
    with steps.folding():
        for chunk in chunks:
            # Validate > route > dedupe > round > price are `meter_jobs`; their sums are rolled up into daily totals.
            fold(step, chunk, meter=meter_jobs)
    published = await steps.publish(step)  # commit: all outputs in one transaction, or none
    return steps.apply(step, published)  # only now is it part of the state, and are its totals in the table


def add_agent(app: faust.App, engine: Engine) -> None:
    """The agent of all inputs: completions, completions of other partitions, commands."""
    inputs = app.topic(
        *(engine.settings.topic(topic) for topic in topics.INPUTS),
        key_serializer="raw",
        value_serializer="raw",
        partitions=engine.rules.partitions,
    )

    @app.agent(inputs, name="meter")
    async def meter(stream: Any) -> None:
        """Queue each chunk with the owner of its partition, whose next turn hands it to `meter_chunks`."""
        async for event in stream.events():
            try:
                for owner, chunk in engine.readings.accept(event.value):
                    owner.offer(chunk)
            except Exception as error:  # Faust would log it, and go on without the chunk
                engine.fail(error)
