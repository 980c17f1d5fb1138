"""What the log must hold behind the step before the last one: exactly the last one."""

from typing import Any

import pytest

from meter import topics
from meter.journal import JournalStep
from meter.published import OUTPUTS, Before, Behind, torn, written_by
from meter.snapshot import BEFORE, kept, read_before, with_before
from tests.builders import Partition, completion

STEP = JournalStep(
    seq=7, record_time=0, inputs=(), meter_version="x", read=9, priced=4, rejected=2, rerouted=2, commands=1, daily=3,
    bills=2, notes=3, entries=4, notices=1, services=2,
)  # fmt: skip
ENDS = {output.topic: 100 for output in OUTPUTS} | {topics.JOURNAL: 6, topics.STATE: 50}
#: One account's service changed twice.
LAST = Before(ENDS, {1: 9}, changes=5, accounts=1)
COUNTS = {
    topics.PRICED: 4, topics.DAILY: 3, topics.REJECTED: 2, topics.COMMAND_RESULTS: 1, topics.BILLS: 2, topics.NOTES: 3,
    topics.LEDGER: 4, topics.NOTICES: 1, topics.SERVICE: 2,
}  # fmt: skip
WHOLE = Behind([STEP], COUNTS, changes=5, rerouted=2)


def found(seq: int = 7, **changes: Any) -> list[str]:
    return [str(each) for each in torn(seq, LAST, WHOLE._replace(**changes))]


def test_a_whole_step_contradicts_nothing() -> None:
    assert found() == []


@pytest.mark.parametrize("topic", COUNTS)
@pytest.mark.parametrize("more", [-1, 1])
def test_one_record_more_or_less_of_any_output_is_named_with_its_place(topic: str, more: int) -> None:
    texts = found(counts=COUNTS | {topic: COUNTS[topic] + more})
    compacted = topic == topics.SERVICE and more < 0
    expected = f"{topic} holds {COUNTS[topic] + more} from 100 on, the journal counts {COUNTS[topic]}"
    assert texts == ([] if compacted else [expected])


def test_what_compaction_and_retention_take_is_not_missed() -> None:
    assert found(counts={topics.SERVICE: 1}) == []
    assert found(counts={topics.SERVICE: 0}) == ["account.service holds 0 from 100 on, the journal counts 2"]
    assert found(rerouted=None) == []


@pytest.mark.parametrize(
    ("seq", "changes", "text"),
    [
        (8, {}, "meter.journal has step 7 at 6, meter.state is of step 8"),
        (6, {}, "meter.journal has step 7 at 6, meter.state is of step 6"),
        (7, {"entries": []}, "meter.journal has no step at 6, meter.state is of step 7"),
        (7, {"entries": [STEP, STEP.model_copy(update={"seq": 8})]}, "meter.journal has step 7, 8 at 6"),
        (7, {"changes": 4}, "meter.state holds 4 changes from 50 on, not 5"),
        (7, {"rerouted": 1}, "recognition.jobs.rerouted holds 1 of the step, the journal counts 2"),
    ],
)
def test_journal_state_and_what_was_sent_on_must_be_of_the_step(seq: int, changes: dict[str, Any], text: str) -> None:
    (said,) = found(seq, **changes)
    assert said.startswith(text)


def test_a_step_says_what_it_wrote() -> None:
    assert set(written_by(STEP)) == {*COUNTS, topics.JOURNAL, topics.STATE}
    bare = JournalStep(seq=1, record_time=0, inputs=(), meter_version="x", notices=1)
    assert set(written_by(bare)) == {topics.NOTICES, topics.JOURNAL, topics.STATE}


def test_every_record_of_a_step_is_counted_by_its_journal_entry() -> None:
    partition = Partition()
    step = partition.prepare(completion(), completion(account_id="B"), b"junk")
    assert [output.count(step.journal_entry()) for output in OUTPUTS] == [len([*o.rows(step)]) for o in OUTPUTS]


def test_the_state_says_what_its_last_step_came_after() -> None:
    partition = Partition()
    step = partition.prepare(completion())
    rows = list(with_before(step, ENDS, {3: 12}))
    assert rows[0][0] == BEFORE
    last = read_before(rows[0][1] or b"")
    assert (last.ends, last.rerouted, last.accounts) == (ENDS, {3: 12}, 0)
    assert last.changes == kept(dict(rows)) == len(rows) - 1
