"""What the ledger says about bills and months, told as entries that a domain step has written."""

from decimal import Decimal

import pytest

from meter.ledger import Book
from streams.published.statement import Balance, Standing, Standings, statement, sums
from tests.unit.billing import Customers


@pytest.fixture
def customers() -> Customers:
    """A pays 20 CNY, and is billed 16.80 on 31 January and 0.63 on 1 February, of which one is refunded in part."""
    customers = Customers()
    customers.top_up("2019-01-30 09:00", "20")
    customers.runs("A", "2019-01-30 10:00")
    customers.time_is("2019-01-31 12:00")
    customers.runs("A", "2019-01-31 13:00", region="ap-tokyo", duration_s=61)
    customers.time_is("2019-02-01 12:00")
    bill = customers.bills()[0].bill_id
    customers.command("2019-02-02 09:00", "refund", bill_id=bill, ticket="T-1", amount="5.00")
    customers.runs("A", "2019-02-02 10:00")
    customers.time_is("2019-02-03 12:00")
    return customers


@pytest.mark.parametrize(
    ("month", "opening", "entries", "closing"),
    [
        ("2018-12", ("0.00", "0.00"), 0, ("0.00", "0.00")),
        ("2019-01", ("0.00", "0.00"), 3, ("3.20", "0.00")),
        ("2019-02", ("3.20", "0.00"), 4, ("7.57", "16.80")),
        ("2019-03", ("7.57", "16.80"), 0, ("7.57", "16.80")),
    ],
)
def test_a_month_opens_with_what_the_one_before_it_closed_with(
    customers: Customers, month: str, opening: tuple[str, str], entries: int, closing: tuple[str, str]
) -> None:
    found = statement(customers.entries(), month)
    assert (found.opening, found.closing) == (balance(*opening), balance(*closing))
    assert len(found.entries) == entries


def balance(cash: str, unpaid: str) -> Balance:
    return Balance(Decimal(cash), Decimal(unpaid))


def test_the_last_balance_is_the_accounts_own(customers: Customers) -> None:
    closing = statement(customers.entries(), "2019-02").closing
    assert closing == (customers.account().cash, sum(bill.payable for bill in customers.account().open_bills))


def test_a_bill_is_paid_by_its_payment_and_refunded_by_tickets(customers: Customers) -> None:
    standings = Standings()
    for entry in customers.entries():
        standings.add(entry)
    assert [standings.of(bill) for bill in customers.bills()] == [
        Standing("2019-01-31T12:00:00.000+08:00", Decimal("5.00")),
        Standing("2019-02-01T12:00:00.000+08:00", Decimal("0.00")),
        Standing(None, Decimal("0.00")),
    ]


def test_a_bill_with_nothing_to_pay_has_no_payment_and_is_paid() -> None:
    customers = Customers()
    customers.command("2019-01-01 09:00", "contract", effective_from="2019-01-02", prices={"*": "0"})
    customers.runs("A", "2019-01-02 10:00")
    customers.time_is("2019-01-03 12:00")
    (bill,) = customers.bills()
    assert bill.payable == "0.00"
    assert Standings().of(bill).paid_at == bill.issued_at


def test_all_books_together_are_zero(customers: Customers) -> None:
    books = sums(customers.entries())
    assert sum(books.values()) == 0
    assert (books[Book.CASH], books[Book.ROUNDING]) == (Decimal("20.00"), Decimal("-0.0028"))
