"""Replay: from inputs and journal to the same bytes, and a clear error where the two contradict each other."""

from typing import Any

import pytest

from meter import topics
from meter.fold import fold
from meter.journal import DueRun, InputRange, JournalStep
from meter.records import Chunk, HoleError
from meter.replay import JournalError, refused_for_others, replay, replay_bills
from tests.builders import NOON_MS, RULES, Input, Partition, completion, encode, price_book

LOGS = {
    topics.COMMANDS: [encode(price_book())],
    topics.REROUTED: [encode(completion(job_id="r", completed_at="2025-12-31T12:00:00+08:00"))],
    topics.COMPLETED: [
        encode(completion()),
        b"junk",
        encode(completion()),
        encode(completion(duration_s=1)),
        encode(completion(job_id="job-2")),
    ],
}


def read(span: InputRange) -> list[Input]:
    """The inputs, as they lie in the log: record time goes on by a second with each."""
    values = LOGS[span.topic][span.start : span.next]
    return [Input(n, NOON_MS + n * 1000, None, value, ()) for n, value in enumerate(values, span.start)]


def chunk_of(span: InputRange) -> Chunk:
    return Chunk(span.topic, span.start, span.next, read(span))


def entry(seq: int, *spans: tuple[str, int, int], record_time: int, **counts: int) -> JournalStep:
    inputs = tuple(InputRange(topic=topic, start=start, next=end) for topic, start, end in spans)
    return JournalStep(seq=seq, record_time=record_time, inputs=inputs, meter_version="0", **counts)


JOURNAL = [
    entry(1, (topics.COMMANDS, 0, 1), (topics.COMPLETED, 0, 2), record_time=NOON_MS + 1000, read=3, priced=1,
          rejected=1, commands=1, daily=1),
    entry(2, (topics.REROUTED, 0, 1), (topics.COMPLETED, 2, 3), record_time=NOON_MS + 2000, read=2, priced=1,
          duplicate=1, daily=1),
    entry(3, (topics.COMPLETED, 3, 5), record_time=NOON_MS + 4000, read=2, priced=1, rejected=1, daily=1),
]  # fmt: skip


def replayed(*journal: JournalStep) -> list[Any]:
    return [step for _, step, _ in replay(RULES, 0, journal, read)]


def changed(place: int, **changes: Any) -> list[JournalStep]:
    journal = list(JOURNAL)
    journal[place] = journal[place].model_copy(update=changes)
    return journal


def outputs(steps: list[Any]) -> list[Any]:
    out = [(step.outputs, step) for step in steps]
    return [(o.priced, list(step.daily()), o.rejected, o.results, step.journal_entry()) for o, step in out]


def test_replay_gives_what_the_partition_put_out_byte_for_byte() -> None:
    partition = Partition()
    for step in JOURNAL:
        lived = partition.prepare_chunks(*(chunk_of(span) for span in step.inputs))
        partition.publish(lived)
        partition.state.apply(lived.changes, partition.seen)
    again = replayed(*(step.journal_entry() for step in partition.steps))
    assert outputs(again) == outputs(partition.steps)
    assert [step.journal_entry().counts for step in again] == [step.counts for step in JOURNAL]


def test_the_state_before_each_step_is_shown() -> None:
    assert [state.position.seq for _, _, state in replay(RULES, 0, JOURNAL, read)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("journal", "reason"),
    [
        (JOURNAL[1:], "step 2 follows step 0"),
        ([JOURNAL[0], JOURNAL[2]], "step 3 follows step 1"),
        ([JOURNAL[0], JOURNAL[0]], "step 1 follows step 1"),
        (changed(1, inputs=(InputRange(topic=topics.COMPLETED, start=3, next=4),)), "continues at 3, not at 2"),
        (changed(1, inputs=(InputRange(topic=topics.COMPLETED, start=1, next=3),)), "continues at 1, not at 2"),
        (changed(1, inputs=(InputRange(topic=topics.COMPLETED, start=2, next=1),)), "from 2 back to 1"),
        (changed(1, inputs=(InputRange(topic="weather", start=0, next=3),)), "continues at 0, not at None"),
        *((changed(1, **{name: 9}), f"{name} is 9 in the journal") for name in
          ("read", "priced", "duplicate", "rejected", "rerouted", "commands", "bills", "notes", "entries", "daily",
           "notices", "services")),
        (changed(1, record_time=NOON_MS), "record time runs backwards"),
        (changed(1, record_time=NOON_MS + 1001), "record time is"),
        ([*changed(0, due=DueRun(until=5, actions=0))[:1], *changed(1, due=DueRun(until=4, actions=0))[1:]],
         "step 2: due actions run backwards"),
    ],
)  # fmt: skip
def test_a_journal_that_contradicts_itself_or_the_inputs_is_an_error(journal: list[JournalStep], reason: str) -> None:
    with pytest.raises(JournalError, match=reason):
        replayed(*journal)


def test_an_input_that_lost_a_record_is_an_error() -> None:
    def holey(span: InputRange) -> list[Input]:
        return [record for record in read(span) if record.offset != 4]

    with pytest.raises(JournalError, match="step 3: read is 2 in the journal, replayed 1"):
        list(replay(RULES, 0, JOURNAL, holey))


def test_a_chunk_must_start_where_the_last_one_ended() -> None:
    partition = Partition()
    first = partition.prepare_chunks(chunk_of(InputRange(topic=topics.COMPLETED, start=0, next=2)))
    for start in (0, 1, 3):
        with pytest.raises(HoleError, match=f"expected position 2, got {start}"):
            fold(first, chunk_of(InputRange(topic=topics.COMPLETED, start=start, next=5)))
    assert partition.state.position.next[topics.COMPLETED] == 0  # a step changes nothing before its changes are applied


def test_a_bill_alone_does_not_go_by_a_book_that_was_refused_for_another_accounts_job() -> None:
    """By a clock that was ahead or by lag: the book is folded after jobs of its first day, of another account."""
    partition = Partition()
    day_starts_ms = NOON_MS + 36 * 3_600_000
    of_b = completion(account_id="B", completed_at="2026-01-03T00:10:00+08:00")
    of_a = completion(completed_at="2026-01-03T00:20:00+08:00")
    logs = {topics.COMMANDS: (price_book(), NOON_MS), topics.COMPLETED: (of_a, day_starts_ms + 1_200_000)}
    partition.fold(of_b, at=day_starts_ms + 600_000)
    (refused,) = partition.fold(price_book(), topic=topics.COMMANDS).outputs.results
    partition.fold(of_a, at=day_starts_ms + 1_200_000)
    (bill,) = [row for row in partition.run_due(NOON_MS + 90 * 3_600_000, 10).outputs.bills if row[0] == b"A"]
    left_out = refused_for_others([refused[1]])
    assert left_out == {0}

    def of_account(span: InputRange) -> list[Input]:
        value, at = logs[span.topic]
        of_another = span.start == 0 if span.topic == topics.COMPLETED else span.start in left_out
        return [] if of_another else [Input(span.start, at, None, encode(value), ())]

    journal = [step.journal_entry() for step in partition.steps]
    assert list(replay_bills(RULES, 0, "A", journal, of_account)) == [bill]
