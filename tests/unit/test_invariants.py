"""What must hold in every step: one that breaks it is not published, whatever has broken it."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from meter import topics
from meter.account_changes import EntryName
from meter.invariants import InvariantError
from meter.ledger import Book, Cause, Posting, UnbalancedError
from meter.money import ZERO
from meter.rollup import Total
from meter.step import Step
from tests.builders import NOON_MS, Partition, completion

KEY = ("A", "ap-guangzhou", "2026-01-01")


def loses_a_record(step: Step) -> None:
    step.outputs.priced.pop()


def skips_a_number(step: Step) -> None:
    step.changes.position.seq += 1


def goes_back(step: Step) -> None:
    step.changes.position.next[topics.COMMANDS] = -1


def is_earlier(step: Step) -> None:
    step.changes.position.record_time = NOON_MS - 1


def settles_backwards(step: Step) -> None:
    step.changes.position.due_until = -1


def lowers_a_total(step: Step) -> None:
    step.changes.totals[KEY] = Total(1, 60, ZERO)


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (loses_a_record, "read 1 records and has 0"),
        (skips_a_number, "step 3 after 1"),
        (goes_back, "meter.commands goes back to -1"),
        (is_earlier, "record time falls"),
        (settles_backwards, "settlement goes back to -1"),
        (lowers_a_total, "falls to"),
    ],
)
def test_a_step_that_cannot_be_right_is_not_published(breaks: Callable[[Step], None], words: str) -> None:
    partition = Partition()
    partition.fold(completion())
    step = partition.prepare(completion(job_id="job-2"))
    step.check()
    breaks(step)
    with pytest.raises(InvariantError, match=words):
        step.check()


def test_a_step_is_made_part_of_the_state_once() -> None:
    partition = Partition()
    step = partition.fold(completion())
    with pytest.raises(InvariantError, match="step 1 after 1"):
        partition.state.apply(step.changes, partition.seen)


def test_an_entry_of_the_ledger_adds_up_to_zero() -> None:
    accounts = Partition().prepare(completion()).changes.accounts
    one_sided = (Posting(Book.CASH, Decimal(1)),)
    with pytest.raises(UnbalancedError):
        accounts.post("A", NOON_MS, Cause.TOP_UP, EntryName("e", "r"), one_sided)
