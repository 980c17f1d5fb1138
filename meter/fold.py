"""One chunk of an input is folded into a step: commands are answered, completions metered and rolled up.

decode > validate > route > dedupe > round > price > roll up
"""

from operator import attrgetter

from meter import topics
from meter.fold_commands import answer_commands
from meter.fold_jobs import MeterJobs, meter_jobs, roll_up
from meter.identity import seal
from meter.journal import InputRange
from meter.records import Chunk, HoleError
from meter.step import Step

_timestamp = attrgetter("timestamp")


def fold(step: Step, chunk: Chunk, meter: MeterJobs = meter_jobs) -> None:
    """Fold one chunk. Raises HoleError unless it starts where its input's last one ended.

    `meter`: what makes priced records and sums of completions; another one must give the same bytes.
    """
    position = step.changes.position
    expected = position.next[chunk.topic]
    if chunk.start != expected:
        raise HoleError(f"{chunk.topic}[{step.state.partition}]: expected position {expected}, got {chunk.start}")
    if chunk.records:
        position.record_time = max(position.record_time, _latest(step, chunk))
        position.last[chunk.topic] = seal(chunk.records[-1])
    if chunk.topic == topics.COMMANDS:
        answer_commands(step, chunk)
    else:
        roll_up(step, meter(step, chunk))
    position.next[chunk.topic] = chunk.next
    step.taken.records += len(chunk.records)
    step.taken.ranges.append(InputRange(topic=chunk.topic, start=chunk.start, next=chunk.next))


def _latest(step: Step, chunk: Chunk) -> int:
    """The latest record time of a chunk that is believed; at least 0."""
    latest: int = max(map(_timestamp, chunk.records))
    if latest > step.not_after:
        believed = [record.timestamp for record in chunk.records if record.timestamp <= step.not_after]
        step.taken.ahead += len(chunk.records) - len(believed)
        latest = max(believed, default=0)
    return max(latest, 0)
