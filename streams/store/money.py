"""Bills, notes and the ledger into SQL: balances and what became of each bill are folds of the entries, in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from meter.ledger import Book, Cause
from meter.money import EXACT, ZERO, decimal_text
from meter.periods import BillingDays
from meter.readback import PublishedBill, PublishedEntry, PublishedNote
from streams.store import decode
from streams.store.accounts import BatchAccounts
from streams.store.decode import OutwardRecord, Row
from streams.store.schema import bill, bill_line, bill_standing, ledger_entry, note, posting
from streams.store.types import escaped, moment_text
from streams.store.writing import given, insert, upsert


def put_bills(
    connection: Connection, read: Sequence[tuple[OutwardRecord, PublishedBill]], _: BatchAccounts, __: BillingDays
) -> None:
    """`billing.bills` with their lines."""
    insert(connection, bill, [decode.bill_row(record, issued) for record, issued in read])
    insert(connection, bill_line, [row for _, issued in read for row in decode.line_rows(issued)])


def put_notes(
    connection: Connection, read: Sequence[tuple[OutwardRecord, PublishedNote]], _: BatchAccounts, __: BillingDays
) -> None:
    """`billing.notes`."""
    insert(connection, note, [decode.note_row(record, issued) for record, issued in read])


def put_ledger(
    connection: Connection,
    read: Sequence[tuple[OutwardRecord, PublishedEntry]],
    accounts: BatchAccounts,
    _: BillingDays,
) -> None:
    """`billing.ledger`: entries with the balance after each, postings, accounts, and the standings of bills."""
    insert(connection, ledger_entry, [_enter(record, entry, accounts) for record, entry in read])
    insert(connection, posting, [row for record, entry in read for row in _posting_rows(record, entry)])
    _put_standings(connection, [entry for _, entry in read])


def _enter(record: OutwardRecord, entry: PublishedEntry, accounts: BatchAccounts) -> Row:
    """The row of an entry; the account's balance goes on with it. A customer's balance is a liability: credit."""
    at = decode.instant(entry.at)
    account = accounts.seen(escaped(entry.account_id), record.partition, at)
    change = EXACT.subtract(ZERO, entry.posted(Book.BALANCE))
    account.balance = EXACT.add(account.balance, change)
    account.unpaid = EXACT.add(account.unpaid, entry.posted(Book.RECEIVABLE))
    return (
        record.partition,
        record.position,
        escaped(entry.entry_id),
        escaped(entry.account_id),
        at,
        entry.cause,
        escaped(entry.reference),
        decode.words(entry.reason),
        decimal_text(change),
        decimal_text(account.balance),
        decimal_text(account.unpaid),
        decode.as_published(record),
    )


def _posting_rows(record: OutwardRecord, entry: PublishedEntry) -> list[Row]:
    return [
        (record.partition, record.position, line, each.book, each.amount) for line, each in enumerate(entry.postings)
    ]


@dataclass(slots=True)
class _Standing:
    """A row of `bill_standing`; ids and instants as they are kept."""

    bill_id: str
    account_id: str
    payable: Decimal
    entered_at: str
    paid_at: str | None
    refunded: Decimal
    credited: Decimal = ZERO

    def row(self) -> Row:
        return (
            self.bill_id,
            self.account_id,
            decimal_text(self.payable),
            self.entered_at,
            self.paid_at,
            decimal_text(self.refunded),
            decimal_text(self.credited),
        )

    def credit(self, entry: PublishedEntry, at: str) -> None:
        """A credit note; one on all that was still to be paid of an open bill settles it."""
        self.credited = EXACT.add(self.credited, entry.posted(Book.CREDITS))
        if self.paid_at is None and self.credited == self.payable:
            self.paid_at = at


def _put_standings(connection: Connection, entries: Sequence[PublishedEntry]) -> None:
    """The entry of a bill or debit note opens it, its payment closes it, refunds and credit notes add up."""
    of_bills = [entry for entry in entries if entry.cause not in (Cause.TOP_UP, Cause.ADJUSTMENT)]
    standings = _load_standings(connection, sorted({escaped(entry.reference) for entry in of_bills}))
    for entry in of_bills:
        reference, at = escaped(entry.reference), decode.instant(entry.at)
        if entry.cause in (Cause.BILL, Cause.CHARGE, Cause.PAYMENT_REVERSED):
            payable = entry.posted(Book.RECEIVABLE)
            # A bill of 0.00 has no payment: it is paid when it is issued.
            paid_at = None if payable else at
            standings[reference] = _Standing(reference, escaped(entry.account_id), payable, at, paid_at, ZERO)
        elif entry.cause == Cause.PAYMENT:
            standings[reference].paid_at = at
        elif entry.cause == Cause.CREDIT_NOTE:
            standings[reference].credit(entry, at)
        else:
            standing = standings[reference]
            standing.refunded = EXACT.add(standing.refunded, entry.posted(Book.REFUNDS))
    upsert(connection, bill_standing, [standing.row() for standing in standings.values()])


def _load_standings(connection: Connection, bill_ids: list[str]) -> dict[str, _Standing]:
    if not bill_ids:
        return {}
    wanted = given(connection, bill_ids)
    query = select(bill_standing).join(wanted, bill_standing.c.bill_id == wanted.c.c0)
    return {escaped(row.bill_id): _standing(row) for row in connection.execute(query)}


def _standing(row: Any) -> _Standing:
    return _Standing(
        escaped(row.bill_id),
        escaped(row.account_id),
        row.payable,
        moment_text(row.entered_at),
        None if row.paid_at is None else moment_text(row.paid_at),
        row.refunded,
        row.credited or ZERO,
    )
