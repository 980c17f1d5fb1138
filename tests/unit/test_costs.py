"""What one thing costs does not grow with everything: the same at 1,000 and at 100,000 of what it does not concern."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from time import perf_counter_ns
from typing import Any

import pytest

from meter import topics
from meter.accounts import Document
from meter.agenda import Action, Due
from meter.answers import Answer
from meter.contracts import Contract
from meter.fold_commands import forget_commands
from meter.periods import BillingDays
from meter.rollup import Total, TotalKey
from meter.routing import owner as owner_of
from meter.settle import run_due
from meter.settlement import Kind, ShareKey, UnbilledShare
from meter.snapshot import changes
from meter.state import PartitionState
from meter.step import Step
from streams.engine.opening import clear_totals
from streams.engine.table import BillingDay, PartitionTotals
from streams.engine.unbilled_check import UnbilledCheck
from tests.builders import NOON_MS, RULES, Partition

FEW, MANY = 1_000, 100_000
#: What is the same at both sizes differs by caches, allocators and whoever else has the machine.
FACTOR, SLACK_NS = 10, 40_000
ROUNDS = 30


def cheapest(action: Callable[[], Any]) -> int:
    """What an action costs when nothing comes between, in ns."""
    best = 1 << 62
    for _ in range(ROUNDS):
        began = perf_counter_ns()
        action()
        best = min(best, perf_counter_ns() - began)
    return best


def check_shape(make: Callable[[int], Callable[[], Any]]) -> None:
    """`make` gives the action in the midst of so many others."""
    few, many = cheapest(make(FEW)), cheapest(make(MANY))
    assert many <= FACTOR * few + SLACK_NS, f"{few / 1000:.0f} us among {FEW}, {many / 1000:.0f} us among {MANY}"


def contract_command(partition: Partition) -> dict[str, Any]:
    return {
        "command_id": "c", "type": "contract", "account_id": "new", "effective_from": "2026-02-01",
        "issued_at": "2026-01-01T12:00:00+08:00", "prices": {"*": "0.1"},
    }  # fmt: skip


def test_a_contract_among_many() -> None:
    def make(count: int) -> Callable[[], Any]:
        partition = Partition()
        terms = (Contract("c", "2026-01-01"),)
        partition.state.terms.contracts.update((f"account-{n}", terms) for n in range(count))
        return lambda: list(changes(partition.prepare(contract_command(partition), topic=topics.COMMANDS)))

    check_shape(make)


def test_a_contract_is_added_among_many() -> None:
    def make(count: int) -> Callable[[], Any]:
        partition = Partition()
        terms = (Contract("c", "2026-01-01"),)
        partition.state.terms.contracts.update((f"account-{n}", terms) for n in range(count))

        def agree_one_more() -> None:
            step = Step(partition.state, partition.seen)
            step.changes.terms.agree("new", Contract("d", "2026-03-01"))
            partition.state.apply(step.changes, partition.seen)

        return agree_one_more

    check_shape(make)


def test_contracts_of_a_step_are_seen_by_its_jobs_and_by_nobody_before_the_commit() -> None:
    partition = Partition()
    step = partition.prepare(contract_command(partition), topic=topics.COMMANDS)
    assert [contract.contract_id for contract in step.changes.terms.contracts_of("new")] == ["c"]
    assert step.changes.terms.price_for("new", "ap-tokyo", "2026-02-01").unit_price == Decimal("0.1")
    assert partition.state.terms.contracts == {}
    partition.publish(step)
    partition.state.apply(step.changes, partition.seen)
    assert [contract.contract_id for contract in partition.state.terms.contracts["new"]] == ["c"]


def test_a_bill_that_is_forgotten_among_many_tickets() -> None:
    def make(count: int) -> Callable[[], Any]:
        state = PartitionState(RULES, 0)
        document = Document(Decimal(1), (Decimal(1),), NOON_MS)
        for n in range(count):
            state.accounts.put_ticket(f"account-{n}", "T", "B", Decimal(1))

        def forget() -> None:
            state.accounts.put_document("A", "B", document)
            state.accounts.put_ticket("A", "T-1", "B", Decimal(1))
            step = Step(state, Partition().seen)
            step.changes.accounts.documents["A", "B"] = None
            keys = [key for key, value in changes(step) if value is None]
            assert keys == [b'["document","A","B"]', b'["ticket","A","T-1"]']
            state.accounts.put_document("A", "B", None)

        return forget

    check_shape(make)


def in_use(count: int) -> PartitionState:
    """A partition of which so many accounts have used something that is not billed yet."""
    state = PartitionState(RULES, 0)
    for n in range(count):
        account, amount = f"account-{n}", Decimal("16.80")
        state.totals.put((account, "ap-tokyo", "2026-01-01"), Total(1, 60, amount))
        key = ShareKey(account, "2026-01-01", Kind.USAGE, "ap-tokyo", "2026-01-01")
        state.put_share(key, UnbilledShare(1, 60, amount, 1, 1))
    return state


def test_a_scrape_among_much_that_is_unbilled() -> None:
    def make(count: int) -> Callable[[], Any]:
        state = in_use(count)
        sums = UnbilledCheck(state)

        def look() -> None:
            for _ in range(11):  # a whole round where there are few
                assert sums.look() == (Decimal("16.80") * count, Decimal(0))

        return look

    check_shape(make)


@pytest.mark.parametrize("place", [0, 150, 299])
def test_usage_that_is_off_is_found_by_the_audit_wherever_it_is(place: int) -> None:
    state = in_use(300)
    sums = UnbilledCheck(state)
    assert [sums.look()[1] for _ in range(8)] == [0] * 8
    shares: Any = state.unbilled.of(f"account-{place}", "2026-01-01")  # behind the back of what keeps the sum
    (key,) = shares
    shares[key] = shares[key]._replace(amount=Decimal("16.00"))
    assert min(sums.look()[1] for _ in range(4)) == Decimal("-0.80")
    shares[key] = shares[key]._replace(amount=Decimal("16.80"))
    assert [sums.look()[1] for _ in range(12)][-1] == 0


def test_a_change_that_does_not_come_from_a_step_is_found_at_once() -> None:
    state = in_use(3)
    sums = UnbilledCheck(state)
    state.put_share(ShareKey("account-1", "2026-01-01", Kind.USAGE, "ap-tokyo", "2026-01-01"), None)
    assert sums.look() == (Decimal("33.60"), Decimal("-16.80"))
    assert state.unbilled.added_up() == Decimal("33.60")


def test_late_usage_is_in_the_totals_and_not_off() -> None:
    state = in_use(1)
    state.totals.put(("account-0", "ap-tokyo", "2026-01-01"), Total(2, 120, Decimal("33.60")))
    late = ShareKey("account-0", "2026-01-02", Kind.LATE, "ap-tokyo", "2026-01-01")
    state.put_share(late, UnbilledShare(1, 60, Decimal("16.80"), 2, 2))
    state.position.record_time = NOON_MS + 25 * 3_600_000
    assert UnbilledCheck(state).look() == (Decimal("33.60"), Decimal(0))


def test_the_next_block_of_a_long_slice() -> None:
    """What was done of a slice is not looked through again for the rest of it."""

    def make(count: int) -> Callable[[], Any]:
        state = PartitionState(RULES, 0)
        for n in range(count + 50 * ROUNDS):
            state.agenda.add(Due(n, Action.STOP, f"account-{n}"))
        step = Step(state, Partition().seen)
        assert run_due(step, NOON_MS, count) == count
        return lambda: run_due(step, NOON_MS, 40)

    check_shape(make)


def test_a_command_at_the_end_of_a_step_that_forgets_many() -> None:
    def make(count: int) -> Callable[[], Any]:
        partition = Partition()
        old = Answer(None, None, 0, None, "")
        partition.state.commands.update((f"old-{n}", old) for n in range(2 * count + 1000))
        step = Step(partition.state, partition.seen)
        step.changes.memory = step.changes.memory.at(NOON_MS, RULES)
        for _ in range(count):
            forget_commands(step)
        assert len(step.changes.forgotten) == 2 * count
        return lambda: forget_commands(step)

    check_shape(make)


def test_ids_that_are_used_again_do_not_keep_older_ones_from_being_forgotten() -> None:
    partition = Partition()
    late_ms = NOON_MS + 50 * 86_400_000
    ticks = [{"command_id": f"{n}", "type": "dance"} for n in range(6)]
    partition.fold(*ticks, topic=topics.COMMANDS)
    for _ in range(2):
        partition.fold(*ticks[:3], topic=topics.COMMANDS, at=late_ms)
    assert set(partition.state.commands) == {"0", "1", "2"}
    before = list(partition.state.commands)
    partition.reopen()
    assert list(partition.state.commands) == before


class CountedTable(dict[Any, Any]):
    """A table of Faust's as far as `PartitionTotals` uses it; counts how many of its keys are looked through."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_through = 0

    @property
    def data(self) -> "CountedTable":
        return self

    def __iter__(self) -> Iterator[Any]:
        for key in super().__iter__():
            self.looked_through += 1
            yield key


async def test_a_partition_that_is_let_go_takes_its_own_totals_along_and_no_others() -> None:
    rules = RULES.model_copy(update={"partitions": 2})
    table, window = CountedTable(), BillingDay(BillingDays(rules.time_zone))
    states = [PartitionState(rules, p, PartitionTotals(table, window, p, 2)) for p in range(2)]
    for n in range(200):
        key: TotalKey = (f"account-{n}", "ap-tokyo", "2026-01-01")
        states[owner_of(key[0], 2)].totals.put(key, Total(1, 60, Decimal("16.80")))
    mine = len(states[0].totals.rows)
    table.looked_through = 0
    await clear_totals(states[0])
    assert table.looked_through == 0
    assert list(states[0].totals.rows) == []
    assert 0 < len(table) == 200 - mine


def test_what_is_forgotten_leaves_nothing_behind() -> None:
    state = in_use(1)
    state.accounts.put_document("account-0", "B", Document(Decimal(1), (Decimal(1),), NOON_MS))
    state.accounts.put_ticket("account-0", "T", "B", Decimal(1))
    state.accounts.put_document("account-0", "B", None)
    step = Step(state, Partition().seen)
    step.changes.dropped["account-0", "ap-tokyo", "2026-01-01"] = None
    state.apply(step.changes, Partition().seen)
    assert (state.accounts.tickets, state.accounts.tickets_of, state.totals.used) == ({}, {}, {})
