"""The ledger: every cause's entry as a table, double entry or nothing, and balances as folds of it."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from meter.billing_models import LedgerEntry
from meter.ledger import Book, Cause, Posting, UnbalancedError, entry_value
from meter.settlement import bill_id_of
from tests.unit.billing import Customers, ms

BILL = bill_id_of("A", "2019-01-01")


def customer() -> Customers:
    """Account A with 20.00 CNY, and an hour's use on 2019-01-01 that is billed and paid the next noon."""
    meter = Customers()
    meter.top_up("2019-01-01 08:00", "20.00")
    meter.runs("A", "2019-01-01 10:00")
    meter.time_is("2019-01-02 12:00")
    return meter


def in_debt() -> Customers:
    """The same without money, and paid later."""
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00", region="ap-tokyo", duration_s=60)
    meter.time_is("2019-01-02 12:00")
    meter.top_up("2019-01-02 15:00", "1.00")
    return meter


def refunded() -> Customers:
    meter = customer()
    meter.command("2019-01-02 13:00", "refund", bill_id=BILL, ticket="T-1", amount="6.8")
    return meter


def adjusted(amount: str) -> Callable[[], Customers]:
    def history() -> Customers:
        meter = customer()
        meter.command("2019-01-02 13:00", "adjustment", amount=amount, reason="a slip of the pen")
        return meter

    return history


def postings(entry: LedgerEntry) -> dict[str, str]:
    return {posting.book: posting.amount for posting in entry.postings}


@pytest.mark.parametrize(
    ("history", "place", "entry_id", "cause", "reference", "expected", "reason"),
    [
        (customer, 0, f"command:command-2:{ms('2019-01-01 08:00')}", "top_up", "command-2",
         {"cash": "20.00", "balance": "-20.00"}, None),
        (customer, 1, BILL, "bill", BILL, {"receivable": "16.80", "revenue": "-16.80"}, None),
        (customer, 2, f"{BILL}:paid", "payment", BILL, {"balance": "16.80", "receivable": "-16.80"}, None),
        (in_debt, 0, BILL, "bill", BILL, {"receivable": "0.31", "revenue": "-0.3136", "rounding": "0.0036"}, None),
        (in_debt, -1, f"{BILL}:paid", "payment", BILL, {"balance": "0.31", "receivable": "-0.31"}, None),
        (refunded, -1, f"{BILL}:refund:T-1", "refund", BILL, {"refunds": "6.80", "balance": "-6.80"}, "ticket T-1"),
        (adjusted("0.5"), -1, f"command:command-3:{ms('2019-01-02 13:00')}", "adjustment", "command-3",
         {"adjustments": "0.50", "balance": "-0.50"}, "a slip of the pen"),
        (adjusted("-3.20"), -1, f"command:command-3:{ms('2019-01-02 13:00')}", "adjustment", "command-3",
         {"adjustments": "-3.20", "balance": "3.20"}, "a slip of the pen"),
    ],
)  # fmt: skip
def test_every_cause_has_its_entry(
    history: Callable[[], Customers],
    place: int,
    entry_id: str,
    cause: str,
    reference: str,
    expected: dict[str, str],
    reason: str | None,
) -> None:
    entry = history().entries()[place]
    assert (entry.entry_id, entry.cause, entry.reference, entry.reason) == (entry_id, cause, reference, reason)
    assert postings(entry) == expected
    assert sum(Decimal(amount) for amount in postings(entry).values()) == 0


def test_an_entry_that_does_not_sum_to_zero_is_a_bug_and_is_not_written() -> None:
    uneven = (Posting(Book.CASH, Decimal("1.00")), Posting(Book.BALANCE, Decimal("-0.99")))
    with pytest.raises(UnbalancedError, match=r"e-1: the postings sum to 0\.01"):
        entry_value("e-1", "A", "2019-01-01T00:00:00.000+08:00", Cause.TOP_UP, "c", uneven, None)


def test_postings_of_nothing_are_left_out() -> None:
    rows = (Posting(Book.CASH, Decimal(1)), Posting(Book.ROUNDING, Decimal("0.00")), Posting(Book.BALANCE, Decimal(-1)))
    entry = LedgerEntry.read(entry_value("e", "A", "now", Cause.TOP_UP, "c", rows, None))
    assert postings(entry) == {"cash": "1.00", "balance": "-1.00"}


@pytest.mark.parametrize("history", [customer, in_debt, refunded, adjusted("7"), adjusted("-3.20")])
def test_the_balance_is_the_fold_of_the_ledger_and_the_ledger_sums_to_zero(history: Callable[[], Customers]) -> None:
    meter = history()
    assert meter.balance() == meter.account().cash
    assert sum(Decimal(p.amount) for entry in meter.entries() for p in entry.postings) == 0
    assert len({entry.entry_id for entry in meter.entries()}) == len(meter.entries())


def test_one_ticket_number_of_two_customers_makes_two_entries() -> None:
    meter = Customers()
    for account in "AB":
        meter.top_up("2019-01-01 08:00", "20.00", account)
        meter.runs(account, "2019-01-01 10:00")
    meter.time_is("2019-01-02 12:00")
    for account in "AB":
        bill_id = bill_id_of(account, "2019-01-01")
        meter.command("2019-01-02 13:00", "refund", account, bill_id=bill_id, ticket="T-1", amount="1.00")
    assert len({entry.entry_id for entry in meter.entries() if entry.cause == "refund"}) == 2


def test_bills_entries_notices_and_services_are_written_as_the_models_write_them() -> None:
    meter = refunded()
    meter.command("2019-01-02 13:00", "low_balance", threshold="9.00")
    meter.command("2019-01-02 14:00", "adjustment", amount="-2.00", reason='so "quoted" \\ and ©')
    for day in ("2019-01-02", "2019-01-03"):
        meter.runs("A", f"{day} 15:00", region="eu-frankfurt")
        meter.runs("A", f"{day} 15:00", completed="2019-01-01 09:00", duration_s=1)
    meter.time_is("2019-01-03 12:00")
    meter.time_is("2019-01-05 12:00")
    meter.top_up("2019-01-06 12:00", "100")
    meter.command("2019-01-06 13:00", "charge", amount="1.00", reason="r")
    meter.command("2019-01-06 13:00", "payment_reversed", top_up="command-2")
    bill_id = bill_id_of("A", "2019-01-01")
    meter.command("2019-01-06 13:00", "credit_note", bill_id=bill_id, line=1, amount="1.00", reason="r")
    groups: dict[str, tuple[list[bytes | None], Sequence[Any]]] = {
        "bills": ([value for step in meter.steps for _, value in step.outputs.bills], meter.bills()),
        "entries": ([value for step in meter.steps for _, value in step.outputs.entries], meter.entries()),
        "notices": ([value for step in meter.steps for _, value in step.outputs.notices], meter.notices()),
        "services": ([value for step in meter.steps for _, value in step.outputs.services], meter.services()),
    }
    assert {notice.kind for notice in meter.notices()} == {"arrears", "stopped", "restored", "low_balance"}
    assert {entry.cause for entry in meter.entries()} == set(Cause)
    assert any(line.original_bill_id for bill in meter.bills() for line in bill.lines)
    for written, models in groups.values():
        assert written == [model.canonical() for model in models]


def test_a_commands_id_that_is_used_again_when_it_is_forgotten_makes_an_entry_of_its_own() -> None:
    meter = Customers()
    meter.top_up("2019-01-01 08:00", "20.00")
    meter.command("2019-04-15 08:00", "top_up", amount="20.00", command_id="command-2")
    assert len({entry.entry_id for entry in meter.entries()}) == len(meter.entries()) == 2
