"""What a step changes: data, which `PartitionState.apply` makes part of the state once the step is committed."""

from dataclasses import dataclass, field

from meter import topics
from meter.account_changes import AccountChanges
from meter.answers import Answer, Memory
from meter.dedupe import Sighting
from meter.identity import Identity, Seal
from meter.rollup import Total, TotalKey
from meter.settlement import ShareKey, UnbilledShare
from meter.terms import NewTerms


@dataclass(slots=True, eq=False)
class Position:
    """Up to where a partition is folded.

    `seq`: number of the last step; `next`: of each input, the position after its last record that is folded; `last`:
    of each input that record's seal, which proves that a log is the one that `next` is of; `record_time`: the latest
    record time, and `due_until` the instant up to which settlement has come, both in ms.
    """

    seq: int = 0
    record_time: int = 0
    due_until: int = 0
    next: dict[str, int] = field(default_factory=lambda: dict.fromkeys(topics.INPUTS, 0))
    last: dict[str, Seal] = field(default_factory=dict)

    def following(self) -> "Position":
        """Where the next step begins."""
        return Position(self.seq + 1, self.record_time, self.due_until, dict(self.next), dict(self.last))


@dataclass(slots=True, eq=False)
class Changes:
    """What becomes of a partition's state.

    `actions`: so many of the first on the agenda are done; `forgotten`: ids of commands that are no longer remembered;
    `dropped`: totals to which no job can be added any more; `shares`: usage to be billed, None once it has been;
    `identity`: which log it is, where that is to be kept: it comes from outside, and no replay knows it.
    """

    position: Position
    terms: NewTerms
    accounts: AccountChanges
    memory: Memory
    actions: int = 0
    commands: dict[str, Answer] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    totals: dict[TotalKey, Total] = field(default_factory=dict)
    dropped: dict[TotalKey, None] = field(default_factory=dict)
    shares: dict[ShareKey, UnbilledShare | None] = field(default_factory=dict)
    sightings: dict[str, Sighting] = field(default_factory=dict)
    identity: Identity | None = None
