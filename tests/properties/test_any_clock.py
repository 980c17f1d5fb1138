"""Whatever clocks say, ahead or behind, believed or not: nothing is charged or done twice, and a day has one price."""

import json
from collections import Counter, defaultdict
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meter import topics
from meter.billing_models import BillIssued, LedgerEntry
from meter.dedupe import MemoryDedupeIndex, needed_since
from meter.fold import fold as fold_chunk
from meter.records import Chunk
from meter.regions import ZONES
from meter.step import Step
from tests.builders import HOUR_MS, NOON_MS, Input, Partition, completion, encode, priced_of, rejects_of, results_of
from tests.unit.billing import RULES

DAY_MS = 24 * HOUR_MS
#: Hours that a broker's clock may show, from months behind to months ahead; and those of jobs and commands.
STAMPS = st.sampled_from([0, 1, 24, 36 * 24, 38 * 24, -36 * 24]) | st.integers(-900, 930)
WHEN = st.sampled_from([0, 0, -1, 24]) | st.integers(-900, 900)


def text(hours: int) -> str:
    return Partition().state.days.text(NOON_MS + hours * HOUR_MS)


def fold(partition: Partition, value: Any, hours: int, topic: str, not_after: int | None) -> Step:
    start = partition.state.position.next[topic]
    record = Input(start, NOON_MS + hours * HOUR_MS, b"key", encode(value), ())
    step = Step(partition.state, partition.seen, not_after=None if not_after is None else NOON_MS + not_after * HOUR_MS)
    fold_chunk(step, Chunk(topic, start, start + 1, [record]))
    partition.publish(step)
    partition.state.apply(step.changes, partition.seen)
    return step


class Forgetful(MemoryDedupeIndex):
    """An index that drops all that is not needed, each time that it learns something."""

    partition: Partition

    def add(self, sightings: Any) -> None:
        super().add(sightings)
        since = needed_since(self.partition.state.position.due_until, self.partition.rules)
        for key in [key for key, sighting in self.items() if sighting.record_time < since]:
            del self[key]


FOLDS = st.tuples(st.just("fold"), st.integers(0, 1), STAMPS, st.none() | st.integers(0, 24))
SETTLES = st.tuples(st.just("settle"), st.just(0), STAMPS, st.none())


@settings(deadline=None, max_examples=300)
@given(st.lists(WHEN, min_size=2, max_size=2), st.lists(FOLDS | SETTLES, max_size=12))
def test_a_job_is_charged_once_and_what_the_index_drops_is_never_asked_for(
    completed: list[int], events: list[tuple[str, int, int, int | None]]
) -> None:
    exact, forgetful = Partition(RULES), Partition(RULES)
    forgetful.seen = index = Forgetful()
    index.partition = forgetful
    priced: Counter[str] = Counter()
    for what, number, hours, not_after in events:
        if what == "settle":
            for partition in (exact, forgetful):
                partition.run_due(NOON_MS + hours * HOUR_MS, 1000)
            continue
        job = completion(job_id=str(number), completed_at=text(completed[number]))
        steps = [fold(partition, job, hours, topics.COMPLETED, not_after) for partition in (exact, forgetful)]
        assert steps[0].outputs.priced == steps[1].outputs.priced
        assert [reject.code for reject in rejects_of(steps[0])] == [reject.code for reject in rejects_of(steps[1])]
        priced.update(found.job_id for found in priced_of(steps[0]))
    assert max(priced.values(), default=0) <= 1
    billed = sum(
        line.jobs for step in exact.steps for _, value in step.outputs.bills for line in BillIssued.read(value).lines
    )
    waiting = sum(share.jobs for share in exact.state.unbilled.shares())
    assert billed + waiting == sum(priced.values())


@settings(deadline=None, max_examples=300)
@given(
    st.lists(WHEN, min_size=2, max_size=2),
    st.lists(st.tuples(st.integers(0, 1), STAMPS, st.none() | st.integers(0, 24)), max_size=12),
)
def test_a_command_that_is_sent_again_is_done_once(issued: list[int], sent: list[tuple[int, int, int | None]]) -> None:
    partition = Partition(RULES)
    partition.fold(completion())  # opens the account
    for number, hours, not_after in sent:
        command = {"command_id": str(number), "type": "adjustment", "account_id": "A", "amount": "1.00", "reason": "r"}
        fold(partition, {**command, "issued_at": text(issued[number])}, hours, topics.COMMANDS, not_after)
    entries = [LedgerEntry.read(value) for step in partition.steps for _, value in step.outputs.entries]
    done = Counter(entry.reference for entry in entries if entry.cause == "adjustment")
    assert max(done.values(), default=0) <= 1
    assert partition.state.accounts.by_id["A"].cash == len(done)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.integers(0, 24 * 30), min_size=1, max_size=10).map(sorted),
    st.integers(0, 9),
    st.integers(1, 24 * 400),
    st.sampled_from([topics.COMPLETED, topics.COMMANDS]),
)
def test_one_record_of_a_clock_that_is_ahead_costs_no_command_that_is_issued_later(
    hours: list[int], when: int, ahead: int, topic: str
) -> None:
    """Even one that was believed, since this machine's clock was ahead as well."""
    partition = Partition(RULES)
    partition.fold(completion())
    for number, hour in enumerate(hours):
        command = {"command_id": str(number), "type": "adjustment", "account_id": "A", "amount": "1.00", "reason": "r"}
        step = fold(partition, {**command, "issued_at": text(hour + 1)}, hour + 1, topics.COMMANDS, None)
        repeated = number and hour == hours[number - 1]  # within five minutes of the last answer
        assert repeated or [(result.status, result.code) for result in results_of(step)] == [("done", None)]
        if number == when:
            value = completion(job_id="ahead", completed_at=text(hour + ahead)) if topic == topics.COMPLETED else (
                {"command_id": "ahead", "type": "tick", "issued_at": text(hour + ahead)})  # fmt: skip
            fold(partition, value, hour + ahead, topic, None)


PRICES = st.sampled_from(["0.1", "0.25", "0.33333333"])
EVENTS = st.tuples(st.sampled_from(["job", "job", "book", "contract", "settle"]), STAMPS, WHEN, PRICES)


@settings(deadline=None, max_examples=300)
@given(st.lists(EVENTS, max_size=12))
def test_an_account_a_region_and_a_day_have_one_price(events: list[tuple[str, int, int, str]]) -> None:
    partition = Partition(RULES)
    for number, (what, hours, when, price) in enumerate(events):
        day, issued = text(when)[:10], text(hours)
        common = {"command_id": str(number), "issued_at": issued, "effective_from": day}
        match what:
            case "job":
                fold(partition, completion(job_id=str(number), completed_at=text(when)), hours, topics.COMPLETED, None)
            case "book":
                book = {"type": "price_book", "version": str(number), "prices": dict.fromkeys(ZONES, price)}
                fold(partition, common | book, hours, topics.COMMANDS, None)
            case "contract":
                contract = {"type": "contract", "account_id": "A", "prices": {"*": price}}
                fold(partition, common | contract, hours, topics.COMMANDS, None)
            case _:
                partition.run_due(NOON_MS + hours * HOUR_MS, 1000)
    partition.run_due(NOON_MS + 1000 * DAY_MS, 10_000)
    prices = defaultdict(set)
    for step in partition.steps:
        for job in priced_of(step):
            prices[job.account_id, job.region, job.day].add(job.unit_price)
    assert all(len(found) == 1 for found in prices.values())
    for step in partition.steps:
        for _, value in step.outputs.bills:
            for line in json.loads(value)["lines"]:
                assert Decimal(line["unit_price"]) * line["minutes"] == Decimal(line["amount"])
                assert prices["A", line["region"], line["day"]] == {line["unit_price"]}
