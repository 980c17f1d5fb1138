"""What a step puts out, topic by topic, and what its journal entry says of it: one table for all who write or check.

A step is one transaction, so all of it is in the log or nothing. `torn` says where that is not so: the state keeps,
written with each step, up to where each output was when the step before was committed; what lies behind that must be
the last journal entry's records, no more and no fewer.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from meter import topics
from meter.journal import JournalStep
from meter.records import Keyed
from meter.step import Step


class OutputTopic(NamedTuple):
    """One topic of outputs: the records that a step puts there, and how many its journal entry counts."""

    topic: str
    rows: Callable[[Step], Iterable[Keyed]]
    count: Callable[[JournalStep], int]
    compacted: bool = False


#: In the order in which a step sends them. The journal's entry and the state's records come after.
OUTPUTS = (
    OutputTopic(topics.PRICED, lambda step: step.outputs.priced, lambda entry: entry.priced),
    OutputTopic(topics.DAILY, lambda step: step.daily(), lambda entry: entry.daily, compacted=True),
    OutputTopic(topics.REJECTED, lambda step: step.outputs.rejected, lambda entry: entry.rejected),
    OutputTopic(topics.COMMAND_RESULTS, lambda step: step.outputs.results, lambda entry: entry.commands),
    OutputTopic(topics.BILLS, lambda step: step.outputs.bills, lambda entry: entry.bills),
    OutputTopic(topics.NOTES, lambda step: step.outputs.notes, lambda entry: entry.notes),
    OutputTopic(topics.LEDGER, lambda step: step.outputs.entries, lambda entry: entry.entries),
    OutputTopic(topics.NOTICES, lambda step: step.outputs.notices, lambda entry: entry.notices),
    OutputTopic(topics.SERVICE, lambda step: step.outputs.services, lambda entry: entry.services, compacted=True),
)


def written_by(entry: JournalStep) -> Iterator[str]:
    """The topics that a step wrote to, all but `recognition.jobs.rerouted`."""
    yield from (output.topic for output in OUTPUTS if output.count(entry))
    yield from (topics.JOURNAL, topics.STATE)


class Before(NamedTuple):
    """What the state keeps of its last step.

    `ends`: up to where each output, the journal and the state itself were before it; `rerouted`: the same of the
    partitions that it forwarded records to; `changes`: how many keys of the state it gave a value; `accounts`: of how
    many it changed the service. Compaction leaves one record of each, of those that were changed twice as well.
    """

    ends: Mapping[str, int]
    rerouted: Mapping[int, int]
    changes: int
    accounts: int


class Behind(NamedTuple):
    """What the log holds behind those positions: entries of the journal; records of each output whose log still
    begins before; keys of the state; and how many records the step of the last entry forwarded, None where the
    log no longer tells."""

    entries: Sequence[JournalStep]
    counts: Mapping[str, int]
    changes: int
    rerouted: int | None


class Contradiction(NamedTuple):
    """A topic whose records are not those of the last step, and how."""

    topic: str
    how: str

    def __str__(self) -> str:
        return f"{self.topic} {self.how}"


def torn(seq: int, before: Before, behind: Behind) -> Iterator[Contradiction]:
    """Where the log contradicts that the state's last step, of this sequence, is there as a whole and the last."""
    last = [entry.seq for entry in behind.entries]
    if last != [seq]:
        at = before.ends[topics.JOURNAL]
        yield Contradiction(topics.JOURNAL, f"has {_steps(last)} at {at}, {topics.STATE} is of step {seq}")
    if not behind.entries:
        return
    entry = behind.entries[-1]
    for output in OUTPUTS:
        counted, start = output.count(entry), before.ends[output.topic]
        found = behind.counts.get(output.topic, counted)
        fewest = min(before.accounts, counted) if output.topic == topics.SERVICE else counted
        if not fewest <= found <= counted:
            yield Contradiction(output.topic, f"holds {found} from {start} on, the journal counts {counted}")
    if behind.changes != before.changes:
        start = before.ends[topics.STATE]
        yield Contradiction(topics.STATE, f"holds {behind.changes} changes from {start} on, not {before.changes}")
    if behind.rerouted not in {None, entry.rerouted}:
        yield Contradiction(
            topics.REROUTED, f"holds {behind.rerouted} of the step, the journal counts {entry.rerouted}"
        )


def _steps(numbers: Sequence[int]) -> str:
    return f"step {', '.join(map(str, numbers))}" if numbers else "no step"
