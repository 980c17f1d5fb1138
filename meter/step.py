"""A step as data: what it began from, what it read, what goes out, what changes, what is counted.

`fold` and `run_due` fill it, and change nothing else. When, and only when, its outputs are committed, `changes` become
part of the state. The same inputs in the same order give the same bytes, which is what `replay` builds on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from meter import __version__
from meter.account_changes import AccountChanges
from meter.changes import Changes
from meter.dedupe import DedupeIndex
from meter.invariants import must
from meter.journal import Counts, DueRun, InputRange, JournalStep
from meter.money import EXACT, ZERO
from meter.outputs import Outputs, total_key, total_value
from meter.periods import CALENDAR_END_MS
from meter.records import Keyed
from meter.rollup import Total, TotalKey
from meter.state import PartitionState
from meter.terms import NewTerms


@dataclass(slots=True, eq=False)
class Taken:
    """What a step took in: ranges of its inputs, how many records, how many of them were stamped ahead of all clocks,
    and what was due before."""

    ranges: list[InputRange] = field(default_factory=list)
    records: int = 0
    ahead: int = 0
    due: DueRun | None = None


@dataclass(slots=True, eq=False)
class Tally:
    """What is counted of a step beside its outputs. `usage`: (minutes, CNY) by region; `late`: (jobs, CNY)."""

    duplicate: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    usage: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    late: dict[str, tuple[int, Decimal]] = field(default_factory=dict)
    billed: Decimal = ZERO


class Step:
    """One step of a partition."""

    def __init__(
        self, state: PartitionState, dedupe: DedupeIndex, meter_version: str = __version__, not_after: int | None = None
    ) -> None:
        """`not_after`: records stamped later, in ms, are refused: no clock could say so (None: all that have a day)."""
        self.state = state
        self.dedupe = dedupe
        self.meter_version = meter_version
        self.not_after = CALENDAR_END_MS if not_after is None else min(not_after, CALENDAR_END_MS)
        self.taken = Taken()
        self.outputs = Outputs()
        accounts = AccountChanges(state.accounts, self.outputs, state.days.text)
        self.changes = Changes(state.position.following(), NewTerms(state.terms), accounts, state.memory)
        self.tally = Tally()
        #: The state's totals that this step adds to, as it has found them.
        self.found: dict[TotalKey, Total] = {}
        #: Answers that the state remembers, oldest first, from where this step has come to in forgetting them.
        self.oldest_commands = iter(state.commands.items())

    @property
    def counts(self) -> Counts:
        """What became of the records read."""
        return Counts(
            read=self.taken.records,
            priced=len(self.outputs.priced),
            duplicate=self.tally.duplicate,
            rejected=len(self.outputs.rejected),
            rerouted=len(self.outputs.rerouted),
            commands=len(self.outputs.results),
        )

    def daily(self) -> Iterator[Keyed]:
        """`usage.daily`: the totals that this step changed."""
        for key, total in self.changes.totals.items():
            yield total_key(key), total_value(key, total)

    def metered_day(self, account_id: str | None) -> str:
        """The latest billing day of which a job of an account (None: of any) was metered; empty where none was."""
        totals = self.changes.totals
        if account_id is None:
            return max(self.state.totals.metered_day, *(day for _, _, day in totals), "")
        own = [day for account, _, day in totals if account == account_id]
        return max((*own, *(day for _, day in self.state.totals.used.get(account_id, ()))), default="")

    def journal_entry(self) -> JournalStep:
        """The step's journal entry."""
        position, outputs = self.changes.position, self.outputs
        return JournalStep(
            **self.counts.model_dump(),
            seq=position.seq,
            record_time=position.record_time,
            not_after=self.not_after if self.taken.ahead else None,
            inputs=tuple(self.taken.ranges),
            due=self.taken.due,
            bills=len(outputs.bills),
            notes=len(outputs.notes),
            entries=len(outputs.entries),
            daily=len(self.changes.totals),
            notices=len(outputs.notices),
            services=len(outputs.services),
            meter_version=self.meter_version,
        )

    def check(self) -> None:
        """What must hold of every step before it is committed. Raises InvariantError."""
        counts, before, after = self.counts, self.state.position, self.changes.position
        must(after.seq == before.seq + 1, "step", after.seq, "after", before.seq)
        became = counts.priced + counts.duplicate + counts.rejected + counts.rerouted + counts.commands
        must(counts.read == became, "step", after.seq, "read", counts.read, "records and has", became)
        must(after.record_time >= before.record_time, "record time falls to", after.record_time)
        must(after.due_until >= before.due_until, "settlement goes back to", after.due_until)
        for topic, position in after.next.items():
            must(position >= before.next[topic], topic, "goes back to", position)
        for key, total in self.changes.totals.items():
            known = self.found[key]
            if not (total.jobs > known.jobs and total.minutes > known.minutes and total.amount >= known.amount):
                must(False, "the total of", key, "falls to", total)


def add_to(sums: dict[str, tuple[int, Decimal]], name: str, count: int, amount: Decimal) -> None:
    """Add to a count and an exact amount."""
    before, money = sums.get(name, (0, ZERO))
    sums[name] = before + count, EXACT.add(money, amount)
