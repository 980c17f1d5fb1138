"""Clocks that are wrong: what a broker stamps ahead of every other clock is not folded, and poisons nothing."""

from decimal import Decimal
from typing import Any

import pytest

from meter import topics
from meter.fold import fold as fold_chunk
from meter.journal import InputRange
from meter.prices import PriceBook
from meter.records import Chunk
from meter.regions import ZONES
from meter.replay import JournalError, replay
from meter.rules import Rules
from meter.settlement import TwoPricesError
from meter.step import Step
from streams.engine.due import BrokerTime, StampGate
from tests.builders import (
    HOUR_MS,
    NOON_MS,
    Input,
    Partition,
    completion,
    encode,
    price_book,
    priced_of,
    rejects_of,
    results_of,
)
from tests.owning import TurnedClock
from tests.unit.billing import Customers, ms

DAY_MS = 24 * HOUR_MS
AHEAD_MS = NOON_MS + 36 * DAY_MS
NOT_AFTER = NOON_MS + HOUR_MS
DAY_STARTS_MS = NOON_MS + 36 * HOUR_MS  # of the test's book


def fold(partition: Partition, *records: tuple[Any, int], topic: str = topics.COMPLETED) -> Step:
    """A committed step over records of some values and stamps, after `NOT_AFTER` refused."""
    start = partition.state.position.next[topic]
    inputs = [Input(start + n, at, b"key", encode(value), ()) for n, (value, at) in enumerate(records)]
    step = Step(partition.state, partition.seen, not_after=NOT_AFTER)
    fold_chunk(step, Chunk(topic, start, start + len(inputs), inputs))
    partition.publish(step)
    partition.state.apply(step.changes, partition.seen)
    return step


def top_up(command_id: str, issued_at: str = "2026-01-01T12:00:00+08:00") -> dict[str, Any]:
    return {"command_id": command_id, "type": "top_up", "account_id": "A", "amount": "5.00", "issued_at": issued_at}


# -- records that are stamped ahead of every clock ----------------------------------------------------------------


def test_a_job_that_is_stamped_ahead_is_refused_with_its_money_and_its_stamp_stays_nowhere() -> None:
    partition = Partition()
    step = fold(partition, (completion(), AHEAD_MS), (completion(job_id="2"), NOT_AFTER))
    (refused,) = rejects_of(step)
    assert (refused.code, refused.amount_at_risk, refused.source.timestamp) == ("clock_ahead", "16.80", AHEAD_MS)
    assert [job.job_id for job in priced_of(step)] == ["2"]
    assert step.journal_entry().not_after == NOT_AFTER
    assert (partition.state.position.record_time, partition.state.accounts.by_id["A"].opened_ms) == (
        NOT_AFTER,
        NOT_AFTER,
    )
    again = partition.fold(completion())  # redriven, with a stamp of a clock that is right
    assert [job.job_id for job in priced_of(again)] == ["job-1"]


def test_what_is_wrong_with_a_record_comes_before_its_stamp_and_a_misplaced_one_is_sent_on() -> None:
    rules = Rules(meter_id="test", partitions=2)
    partition = Partition(rules, 1)
    step = fold(partition, (b"junk", AHEAD_MS), (completion(account_id="A"), AHEAD_MS))
    assert ([reject.code for reject in rejects_of(step)], len(step.outputs.rerouted)) == (["not_json"], 1)


def test_a_command_that_is_stamped_ahead_is_answered_so_and_its_id_stays_free() -> None:
    partition = Partition()
    partition.fold({"command_id": "0", "type": "open_account", "account_id": "A", "issued_at": "2026-01-01T04:00:00Z"},
                   topic=topics.COMMANDS)  # fmt: skip
    (answer,) = results_of(fold(partition, (top_up("1"), AHEAD_MS), topic=topics.COMMANDS))
    assert (answer.status, answer.code, answer.account_id) == ("refused", "clock_ahead", "A")
    assert set(partition.state.commands) == {"0"}
    (answer,) = results_of(partition.fold(top_up("1"), topic=topics.COMMANDS))
    assert answer.status == "done"
    (answer,) = results_of(fold(partition, (top_up("1"), AHEAD_MS), topic=topics.COMMANDS))
    assert answer.status == "done"  # the answer that it has
    assert partition.state.accounts.by_id["A"].cash == 5


def test_replay_follows_the_journal_and_says_where_it_lies() -> None:
    partition = Partition()
    values = [(completion(), NOT_AFTER + 1), (completion(job_id="2"), NOON_MS)]
    step = fold(partition, *values)
    records = [Input(n, at, b"key", encode(value), ()) for n, (value, at) in enumerate(values)]

    def read(span: InputRange) -> list[Input]:
        return records[span.start : span.next]

    entry = step.journal_entry()
    ((_, again, _),) = replay(partition.rules, 0, [entry], read)
    assert (again.outputs.rejected, again.journal_entry()) == (step.outputs.rejected, entry)
    lies: list[tuple[dict[str, int | None], str]] = [
        ({"not_after": None}, "priced is 1 in the journal, replayed 2"),
        ({"not_after": None, "priced": 2, "rejected": 0}, "record time is"),
        ({"not_after": AHEAD_MS, "priced": 2, "rejected": 0}, "nothing was recorded after"),
    ]
    for lie, words in lies:
        with pytest.raises(JournalError, match=words):
            list(replay(partition.rules, 0, [entry.model_copy(update=lie)], read))


# -- nothing is poisoned by a stamp that was believed -------------------------------------------------------------


def test_commands_are_not_too_old_after_a_record_of_a_month_ahead() -> None:
    meter = Customers()
    meter.command("2019-01-05 09:00", "open_account")
    meter.runs("A", "2019-02-10 10:00")
    assert meter.command("2019-01-05 10:00", "top_up", amount="5.00").status == "done"
    meter.command("2019-02-12 10:00", "tick", None)
    assert meter.command("2019-01-05 10:06", "top_up", amount="5.00").status == "done"


def test_contracts_for_tomorrow_are_agreed_after_a_record_of_tonight() -> None:
    meter = Customers()
    meter.runs("A", "2019-01-05 10:00")
    meter.runs("B", "2019-01-06 01:00", completed="2019-01-05 17:00")
    assert meter.command("2019-01-05 17:01", "contract", effective_from="2019-01-06").status == "done"
    meter.runs("B", "2019-01-06 01:00")
    late = meter.command("2019-01-05 17:02", "contract", "B", effective_from="2019-01-06")
    assert (late.code, late.message) == ("effective_in_past", "jobs of 2019-01-06 have been metered already")


def test_a_book_is_refused_where_a_job_of_its_day_was_metered_so_that_no_day_has_two_prices() -> None:
    partition = Partition()
    partition.fold(completion(completed_at="2026-01-03T00:00:00+08:00"), at=DAY_STARTS_MS)
    (answer,) = results_of(partition.fold(price_book(), topic=topics.COMMANDS, at=DAY_STARTS_MS - 2 * HOUR_MS))
    assert (answer.code, answer.message) == ("effective_in_past", "jobs of 2026-01-03 have been metered already")
    partition.reopen()
    again = price_book(command_id="2")
    (answer,) = results_of(partition.fold(again, topic=topics.COMMANDS, at=DAY_STARTS_MS - 2 * HOUR_MS))
    assert answer.code == "effective_in_past"


@pytest.mark.parametrize("crash", [False, True])
def test_a_day_that_was_metered_stays_so_when_its_total_is_forgotten_and_the_process_dies(crash: bool) -> None:
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00")
    meter.time_is("2019-01-02 12:00")
    meter.runs("A", "2019-02-04 10:00", completed="2019-01-01 11:00")
    meter.time_is("2019-02-09 12:00")  # the bill of the late job is the last for which the total is needed
    assert not meter.partition.state.totals.rows
    if crash:
        meter.crash()
    book = {"version": "early", "effective_from": "2019-01-01", "prices": dict.fromkeys(ZONES, "0.56")}
    answer = meter.command("2018-12-25 10:00", "price_book", None, **book)  # all clocks went back
    assert (answer.code, answer.message) == ("effective_in_past", "jobs of 2019-01-01 have been metered already")


def test_partitions_that_append_a_book_on_both_sides_of_the_hour_decide_alike() -> None:
    for issued_s, code in ((-600, None), (-599, "effective_in_past")):
        issued = DAY_STARTS_MS - HOUR_MS + issued_s * 1000
        text = Partition().state.days.text(issued)
        codes = [
            results_of(Partition().fold(price_book(issued_at=text), topic=topics.COMMANDS, at=issued + late))[0].code
            for late in (-300_000, 0, 1, 599_000)
        ]
        assert codes == [code] * 4


def test_a_bill_that_would_say_two_prices_for_a_day_cannot_be_made() -> None:
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00")
    book = PriceBook("planted", "2019-01-01", tuple((zone, Decimal("0.56")) for zone in ZONES))
    meter.partition.state.terms.books = meter.partition.state.terms.books.with_book(book)
    with pytest.raises(TwoPricesError, match=r"60 minutes at 0\.56 are not 16\.80 CNY"):
        meter.partition.run_due(ms("2019-01-02 12:00"), 1)


# -- what the broker's clock says, and what of it is believed -----------------------------------------------------


class Clocks(TurnedClock):
    """This machine's clock and the time that passes."""

    def go_on(self, ms: int) -> None:
        self.machine_ms += ms
        self.now_s += ms / 1000


@pytest.fixture
def clocks() -> Clocks:
    return Clocks(machine_ms=NOON_MS)


def test_a_clock_that_jumps_ahead_is_not_believed_and_one_that_comes_back_is(clocks: Clocks) -> None:
    broker = BrokerTime(clocks)
    assert (broker.is_believed, broker.believable_ms()) == (False, NOON_MS + HOUR_MS)
    broker.heard(AHEAD_MS)
    assert (broker.is_believed, broker.ahead_s, broker.now_ms()) == (False, 36 * 86_400, AHEAD_MS)
    assert broker.believable_ms() == NOON_MS + HOUR_MS
    broker.heard(NOON_MS + HOUR_MS)
    assert (broker.is_believed, broker.believable_ms()) == (True, NOON_MS + 2 * HOUR_MS)
    clocks.go_on(HOUR_MS)
    clocks.machine_ms -= 8 * HOUR_MS  # this machine's clock is wrong now: what was believed goes on
    broker.heard(NOON_MS + 2 * HOUR_MS)
    assert (broker.is_believed, broker.believable_ms()) == (True, NOON_MS + 3 * HOUR_MS)


def test_records_ahead_are_refused_where_the_clocks_agree_and_wait_where_they_do_not(clocks: Clocks) -> None:
    broker = BrokerTime(clocks)
    gate = StampGate(broker, clocks, 1.0)
    assert not gate.is_suspicious(NOON_MS + HOUR_MS)
    assert gate.is_suspicious(AHEAD_MS)
    assert gate.needs_the_time()
    broker.heard(AHEAD_MS)
    assert not gate.needs_the_time()
    assert (gate.not_after(AHEAD_MS, 0), gate.paused) == (None, True)
    broker.heard(NOON_MS)
    assert (gate.not_after(AHEAD_MS, 0), gate.paused) == (NOON_MS + HOUR_MS, False)
    broker.heard(AHEAD_MS)
    assert (gate.not_after(AHEAD_MS, 0), gate.paused) == (None, True)
    clocks.go_on(36 * DAY_MS)  # time itself has caught up
    assert not gate.is_suspicious(AHEAD_MS)
    assert not gate.paused
