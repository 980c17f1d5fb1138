"""The agent and its table: the way of a completion through the worker, from the fetch to the windowed table.

Faust gives the worker its place in the consumer group, the stream that the agent reads, the table of daily totals, the
web server. Exactly once is ours: a partition's chunks go through one queue, and what a step makes of them is committed
in one transaction.

1. fetch      `streams.engine.clients.ChunkReader.fetch`: committed records, with the positions that they cover
2. queue      `streams.engine.owner.PartitionOwner.offer`, called by the agent below; the partition's next turn takes it
3. validate   `meter.intake.read_job`: a completion, or what is wrong with it, which goes to `usage.rejected`
4. dedupe     `streams.engine.seen.DiskSeen.find`: new, the same once more, or in conflict
5. round      `meter.rounding.billable_minutes`: minutes begun
6. price      `meter.terms.Terms.price_for`: the contract's, else the price book's
7. roll up    `meter.fold_jobs.roll_up`: the total of account, region and billing day
8. commit     `streams.engine.steps.Steps.commit`: all outputs of the step, or none of them
9. apply      the same call then makes the step part of the state; its totals go into the table below, by
              `streams.engine.table.PartitionTotals`

A turn is `streams.engine.owner.PartitionOwner.turn`. Within it 3 to 7 are one call, `meter.fold.fold`, of pure
functions, which a proof runs again: `meter.replay.replay`.
"""

from typing import Any

import faust

from meter import topics
from meter.periods import BillingDays
from meter.rules import Rules
from streams.engine.assembly import Engine, TotalsOf
from streams.engine.table import BillingDay, PartitionTotals


def add_table(app: faust.App, rules: Rules) -> TotalsOf:
    """The daily totals, by billing day. Each partition's state writes its own, once they are committed."""
    day = BillingDay(BillingDays(rules.time_zone))
    daily_totals = app.Table("daily-totals", partitions=rules.partitions).using_window(day)

    def totals_of(partition: int) -> PartitionTotals:
        return PartitionTotals(daily_totals.table, day, partition, rules.partitions)

    return totals_of


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
        """Each chunk goes to the owner of its partition, which meters it with its next step: see this module."""
        async for event in stream.events():
            try:
                for owner, chunk in engine.readings.accept(event.value):
                    owner.offer(chunk)
            except Exception as error:  # Faust would log it, and go on without the chunk
                engine.fail(error)
