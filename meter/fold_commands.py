"""Commands are done or refused, in their order; one that comes again gets the answer that it was given."""

from itertools import islice

from meter.answers import Answer
from meter.command_target import CommandTarget, Times
from meter.commands import Reading, apply_command, clock_ahead, id_reused, read_command, result_value
from meter.models import Source
from meter.records import Chunk
from meter.step import Step

#: So many of the oldest ids are looked at with each command, whether they may be forgotten.
LOOKED_AT = 2


def answer_commands(step: Step, chunk: Chunk) -> None:
    """Answer the commands of a chunk."""
    state, changes = step.state, step.changes
    target = CommandTarget(state.rules, state.partition, state.days, changes.terms, changes.accounts, step.metered_day)
    for record in chunk.records:
        read = read_command(record.value)
        answer = _answer(step, target, read, record.timestamp)
        source = Source(topic=chunk.topic, partition=state.partition, offset=record.offset, timestamp=record.timestamp)
        command_id = read.command_id or ""
        result = result_value(command_id, state.partition, answer, source)
        step.outputs.results.append((command_id.encode(), result))
        forget_commands(step)


def forget_commands(step: Step) -> None:
    """Let go of ids that would be refused as too old anyway, a few at a time."""
    changes = step.changes
    changes.forgotten += [
        command_id
        for command_id, answer in islice(step.oldest_commands, LOOKED_AT)
        if answer.record_time < changes.memory.forgotten and command_id not in changes.commands
    ]


def _answer(step: Step, target: CommandTarget, read: Reading, record_time: int) -> Answer:
    """The answer that the id was given, if this is the same command; the first one to an id is remembered."""
    changes, is_ahead = step.changes, record_time > step.not_after
    if not is_ahead:
        changes.memory = changes.memory.at(record_time, target.rules)
    known = _known_answer(step, read.command_id)
    if known is not None:
        return known if known.digest == read.digest else id_reused(read, known, record_time, target.days.text)
    if is_ahead:
        return clock_ahead(read, record_time)
    times = Times(record_time, max(record_time, changes.position.due_until), changes.memory.forgotten)
    answer = apply_command(read, target, times)
    if read.command_id is not None:
        changes.commands[read.command_id] = answer
        changes.memory = changes.memory.with_answer(record_time)
    return answer


def _known_answer(step: Step, command_id: str | None) -> Answer | None:
    known = step.changes.commands.get(command_id or "") or step.state.commands.get(command_id or "")
    return None if known is None or known.record_time < step.changes.memory.forgotten else known
