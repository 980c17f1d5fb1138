"""Replay: the whole flow of a partition as a pure function of its inputs and its journal.

What the worker decided at run time, which chunk or command came first, stands in the journal; everything else follows
from the rules. So anyone who has the log can recompute every output, byte for byte: `meter verify` does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from meter.dedupe import DedupeIndex, MemoryDedupeIndex
from meter.fold import fold
from meter.journal import Counts, InputRange, JournalStep
from meter.models import CommandResult
from meter.outputs import json_text
from meter.records import Chunk, Keyed, Record
from meter.rules import Rules
from meter.settle import run_due
from meter.state import PartitionState
from meter.step import Step

#: What a journal entry counts.
COUNTED = (*Counts.model_fields, "bills", "notes", "entries", "daily", "notices", "services")
#: Gives the records of an input topic at the positions [start, next): committed ones only, in order.
ReadRange = Callable[[InputRange], Sequence[Record]]


class JournalError(Exception):
    """The journal contradicts itself or the inputs: something was lost, skipped, or written by another hand."""


def replay(
    rules: Rules, partition: int, journal: Iterable[JournalStep], read: ReadRange, dedupe: DedupeIndex | None = None
) -> Iterator[tuple[JournalStep, Step, PartitionState]]:
    """Each journal entry with the step that it ought to have been, and the state before that step.

    Raises JournalError where an entry does not follow from the one before it, or its counts are not those of the
    records that the inputs hold.
    """
    state = PartitionState(rules, partition)
    memory: DedupeIndex = MemoryDedupeIndex() if dedupe is None else dedupe
    for entry in journal:
        _check_order(entry, state)
        step = Step(state, memory, entry.meter_version, entry.not_after)
        if entry.due is not None:
            _run_due(entry, step)
        for span in entry.inputs:
            expected = step.changes.position.next.get(span.topic)
            if span.start != expected:
                raise JournalError(f"step {entry.seq}: {span.topic} continues at {span.start}, not at {expected}")
            if span.next < span.start:
                raise JournalError(f"step {entry.seq}: {span.topic} runs from {span.start} back to {span.next}")
            fold(step, Chunk(span.topic, span.start, span.next, read(span)))
        _check_counts(entry, step)
        yield entry, step, state
        state.apply(step.changes, memory)


def _run_due(entry: JournalStep, step: Step) -> None:
    """What fell due, in the agenda's order, before the inputs: as much as the journal says, the rest is for later."""
    assert entry.due is not None
    if entry.due.until < step.changes.position.due_until:
        raise JournalError(f"step {entry.seq}: due actions run backwards")
    done = run_due(step, entry.due.until, entry.due.actions)
    if done != entry.due.actions:
        raise JournalError(f"step {entry.seq}: {entry.due.actions} actions in the journal, {done} were due")


def _check_order(entry: JournalStep, state: PartitionState) -> None:
    if entry.seq != state.position.seq + 1:
        raise JournalError(f"step {entry.seq} follows step {state.position.seq}")
    if entry.record_time < state.position.record_time:
        raise JournalError(f"step {entry.seq}: record time runs backwards")


def _check_counts(entry: JournalStep, step: Step) -> None:
    step.check()
    replayed = step.journal_entry()
    for name in COUNTED:
        counted, value = getattr(entry, name), getattr(replayed, name)
        if counted != value:
            raise JournalError(f"step {entry.seq}: {name} is {counted} in the journal, replayed {value}")
    if entry.not_after is not None and not step.taken.ahead:
        raise JournalError(f"step {entry.seq}: nothing was recorded after {entry.not_after}, as the journal says")
    if entry.record_time != replayed.record_time:
        raise JournalError(f"step {entry.seq}: record time is {entry.record_time}, replayed {replayed.record_time}")


def replay_bills(
    rules: Rules, partition: int, account_id: str, journal: Iterable[JournalStep], read: ReadRange
) -> Iterator[Keyed]:
    """The bills of one account, from the records that can concern it: the others of its partition cannot change them.

    Much quicker than `replay`, and it checks nothing but the order of the journal. Records that `may_concern` says no
    to need not be handed over; commands that `refused_for_others` names must not be.
    """
    state = PartitionState(rules, partition)
    memory = MemoryDedupeIndex()
    for entry in journal:
        _check_order(entry, state)
        step = Step(state, memory, entry.meter_version, entry.not_after)
        if entry.due is not None:
            # The agenda holds this account's actions alone: all of them that are due belong to this step or an
            # earlier slice of the same instant.
            run_due(step, entry.due.until, len(state.agenda))
        for span in entry.inputs:
            fold(step, Chunk(span.topic, span.start, span.next, read(span)))
        step.changes.position.record_time = entry.record_time
        yield from (row for row in step.outputs.bills if row[0] == account_id.encode())
        state.apply(step.changes, memory)


def concerns(account_id: str) -> Callable[[bytes | None], bool]:
    """Says of a record whether it can be about an account: it names it, or spells it in a way not looked into."""
    name = json_text(account_id).encode()
    plain = b"\\" not in name

    def may_concern(value: bytes | None) -> bool:
        return value is not None and (not plain or name in value or b"\\" in value or b'"data_base64"' in value)

    return may_concern


def refused_for_others(results: Iterable[bytes]) -> set[int]:
    """The positions of commands about all accounts whose day began too early, by `meter.command-results`.

    A job of any account may have been metered of that day, and the records of one account do not tell.
    """
    answers = map(CommandResult.read, results)
    return {
        answer.source.offset for answer in answers if answer.account_id is None and answer.code == "effective_in_past"
    }
