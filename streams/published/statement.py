"""What the ledger says: what became of each bill, and an account's month. Folds of its entries alone."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from meter.billing_models import BillIssued, LedgerEntry
from meter.ledger import Book, Cause
from meter.money import EXACT, ZERO


class Standing(NamedTuple):
    """What became of a bill: when it was paid (None: it is open), what was given back of it and credited, in CNY."""

    paid_at: str | None = None
    refunded: Decimal = ZERO
    credited: Decimal = ZERO
    credited_at: str | None = None


class Standings:
    """What became of each bill, as the entries that are added say."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}

    def add(self, entry: LedgerEntry) -> None:
        """One entry of the ledger, in order."""
        before = self._standings.get(entry.reference, Standing())
        if entry.cause is Cause.PAYMENT:
            self._standings[entry.reference] = before._replace(paid_at=entry.at)
        elif entry.cause is Cause.REFUND:
            refunded = EXACT.add(before.refunded, posted(entry, Book.REFUNDS))
            self._standings[entry.reference] = before._replace(refunded=refunded)
        elif entry.cause is Cause.CREDIT_NOTE:
            credited = EXACT.add(before.credited, posted(entry, Book.CREDITS))
            self._standings[entry.reference] = before._replace(credited=credited, credited_at=entry.at)

    def of(self, bill: BillIssued) -> Standing:
        """What became of a bill. One with nothing to pay is paid when it is issued, or when all of it is credited."""
        standing = self._standings.get(bill.bill_id, Standing())
        if not Decimal(bill.payable):
            return standing._replace(paid_at=bill.issued_at)
        if standing.paid_at is None and standing.credited == Decimal(bill.payable):
            return standing._replace(paid_at=standing.credited_at)
        return standing


class Balance(NamedTuple):
    """What a customer has with us, and what of its bills is not paid, in CNY."""

    balance: Decimal = ZERO
    unpaid: Decimal = ZERO

    def after(self, entry: LedgerEntry) -> "Balance":
        """The balance with one more entry. In the ledger the customer's money is a liability: credit is negative."""
        return Balance(
            EXACT.subtract(self.balance, posted(entry, Book.BALANCE)),
            EXACT.add(self.unpaid, posted(entry, Book.RECEIVABLE)),
        )


class Statement(NamedTuple):
    """An account's month: its entries in order, each with the balance after it."""

    opening: Balance
    entries: tuple[tuple[LedgerEntry, Balance], ...]

    @property
    def closing(self) -> Balance:
        """The balance at the end of the month."""
        return self.entries[-1][1] if self.entries else self.opening

    @property
    def bill_ids(self) -> list[str]:
        """The bills that were issued in the month."""
        return [entry.reference for entry, _ in self.entries if entry.cause is Cause.BILL]


def statement(entries: Iterable[LedgerEntry], month: str) -> Statement:
    """The statement of a month, `YYYY-MM` in the billing time zone, from all entries of an account in order."""
    opening = Balance()
    of_month = []
    for entry in entries:
        if entry.at[:7] < month:
            opening = opening.after(entry)
        elif entry.at[:7] == month:
            of_month.append(entry)
    return Statement(opening, tuple(_running(opening, of_month)))


def _running(balance: Balance, entries: Iterable[LedgerEntry]) -> Iterable[tuple[LedgerEntry, Balance]]:
    for entry in entries:
        balance = balance.after(entry)
        yield entry, balance


def posted(entry: LedgerEntry, book: Book) -> Decimal:
    """What an entry puts into a book, debit positive, in CNY."""
    total = ZERO
    for posting in entry.postings:
        if posting.book is book:
            total = EXACT.add(total, Decimal(posting.amount))
    return total


def sums(entries: Iterable[LedgerEntry]) -> dict[Book, Decimal]:
    """What is in each book. Together they are zero: each entry is."""
    totals = dict.fromkeys(Book, ZERO)
    for entry in entries:
        for posting in entry.postings:
            totals[posting.book] = EXACT.add(totals[posting.book], Decimal(posting.amount))
    return totals
