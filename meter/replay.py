"""Replay: the whole flow of a partition as a pure function of its inputs and its journal.

What the worker decided at run time, which chunk or command came first, stands in the journal; everything else follows
from the rules. So anyone who has the log can recompute every output, byte for byte: `meter verify` does.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from meter.dedupe import MemorySeen, Seen
from meter.journal import InputRange, JournalStep
from meter.partition import Chunk, Record, Step
from meter.rules import Rules
from meter.state import PartitionState

#: Gives the records of an input topic at the positions [start, next): committed ones only, in order.
ReadRange = Callable[[InputRange], Sequence[Record]]


class JournalError(Exception):
    """The journal contradicts itself or the inputs: something was lost, skipped, or written by another hand."""


def replay(
    rules: Rules, partition: int, journal: Iterable[JournalStep], read: ReadRange, seen: Seen | None = None
) -> Iterator[tuple[JournalStep, Step, PartitionState]]:
    """Each journal entry with the step that it ought to have been, and the state before that step.

    Raises JournalError where an entry does not follow from the one before it, or its counts are not those of the
    records that the inputs hold.
    """
    state = PartitionState(rules, partition)
    memory: Seen = MemorySeen() if seen is None else seen
    for entry in journal:
        _check_order(entry, state)
        step = Step(state, memory, entry.meter_version)
        for span in entry.inputs:
            if span.start != step.next.get(span.topic):
                raise JournalError(
                    f"step {entry.seq}: {span.topic} continues at {span.start}, not at {step.next.get(span.topic)}"
                )
            if span.next < span.start:
                raise JournalError(f"step {entry.seq}: {span.topic} runs from {span.start} back to {span.next}")
            step.fold(Chunk(span.topic, span.start, span.next, read(span)))
        if entry.due is not None:
            _run_due(entry, step)
        _check_counts(entry, step)
        yield entry, step, state
        state.merge(step, memory)


def _run_due(entry: JournalStep, step: Step) -> None:
    """What fell due, in the agenda's order: what is left over of it must be what the journal leaves for later."""
    assert entry.due is not None
    if entry.inputs:
        raise JournalError(f"step {entry.seq}: inputs and due actions in one step")
    if entry.due.until < step.due_until:
        raise JournalError(f"step {entry.seq}: due actions run backwards")
    done = step.run_due(entry.due.until, entry.due.actions)
    if done != entry.due.actions:
        raise JournalError(f"step {entry.seq}: {entry.due.actions} actions in the journal, {done} were due")


def _check_order(entry: JournalStep, state: PartitionState) -> None:
    if entry.seq != state.seq + 1:
        raise JournalError(f"step {entry.seq} follows step {state.seq}")
    if entry.record_time < state.record_time:
        raise JournalError(f"step {entry.seq}: record time runs backwards")


def _check_counts(entry: JournalStep, step: Step) -> None:
    for name, value in step.counts:
        if getattr(entry, name) != value:
            raise JournalError(f"step {entry.seq}: {name} is {getattr(entry, name)} in the journal, replayed {value}")
    if entry.record_time != step.record_time:
        raise JournalError(f"step {entry.seq}: record time is {entry.record_time}, replayed {step.record_time}")
