"""Money comes in or goes back: top-ups, adjustments, refunds of what was paid, credits on a line."""

from decimal import Decimal

from meter.account_changes import AccountChanges, EntryName
from meter.accounts import Payment, with_less_open
from meter.arrears import Service
from meter.debts import mark_paid, pay
from meter.ledger import Book, Cause, Posting
from meter.money import EXACT, ZERO
from meter.notes import Note
from meter.service import deduction_failed


def credit(
    changes: AccountChanges, account_id: str, amount: Decimal, at_ms: int, book: Book, cause: Cause, entry: EntryName
) -> None:
    """Add to a balance (or take from it, where `amount` is negative), and pay what can be paid."""
    account = changes.opened(account_id, at_ms)
    changes.post(account_id, at_ms, cause, entry, (Posting(book, amount), Posting(Book.BALANCE, -amount)))
    cash = EXACT.add(account.cash, amount)
    known = max(account.cash, cash)
    account = pay(changes, account_id, account._replace(cash=cash), at_ms, known, entry.entry_id)
    if account.pressing > 0 and account.service is Service.IN_ARREARS and account.deadline_ms is None:
        # What was to pay it, once older debt that never stops the service was paid, is gone.
        bill = next(bill for bill in account.open_bills if bill.grace_hours is not None)
        deduction_failed(changes, account_id, bill, at_ms, entry.entry_id)


def top_up(
    changes: AccountChanges, account_id: str, command_id: str, amount: Decimal, at_ms: int, entry: EntryName
) -> None:
    """Add what a customer has paid in; it may be reversed for a while."""
    changes.forget(account_id, at_ms)
    changes.payments[account_id, command_id] = Payment(amount, at_ms)
    credit(changes, account_id, amount, at_ms, Book.CASH, Cause.TOP_UP, entry)


def refund(changes: AccountChanges, account_id: str, bill_id: str, ticket: str, amount: Decimal, at_ms: int) -> None:
    """Give back to the balance what was paid on a bill or debit note. The caller has checked that it may be."""
    paid = changes.any_document(account_id, bill_id)
    assert paid is not None
    changes.documents[account_id, bill_id] = paid._replace(refunded=EXACT.add(paid.refunded, amount))
    changes.tickets[account_id, ticket] = bill_id, amount
    entry = EntryName(f"{bill_id}:refund:{ticket}", bill_id, f"ticket {ticket}")
    credit(changes, account_id, amount, at_ms, Book.REFUNDS, Cause.REFUND, entry)


def credit_a_line(changes: AccountChanges, account_id: str, note: Note, at_ms: int) -> None:
    """A credit note on a line lowers what is owed, or adds to the balance. The caller has checked that it may."""
    bill_id, line, amount = note.reference, note.line, note.amount
    assert bill_id is not None
    assert line is not None
    document = changes.any_document(account_id, bill_id)
    assert document is not None
    account = changes.account(account_id)
    changes.issue(account_id, note, at_ms)
    left = max(EXACT.subtract(document.lines[line - 1], amount), ZERO)
    lines = (*document.lines[: line - 1], left, *document.lines[line:])
    document = document._replace(lines=lines, credited=EXACT.add(document.credited, amount))
    changes.documents[account_id, bill_id] = document
    entry = EntryName(note.note_id, bill_id, note.reason)
    if document.paid_ms is not None:
        credit(changes, account_id, amount, at_ms, Book.CREDITS, Cause.CREDIT_NOTE, entry)
        return
    postings = (Posting(Book.CREDITS, amount), Posting(Book.RECEIVABLE, -amount))
    changes.post(account_id, at_ms, Cause.CREDIT_NOTE, entry, postings)
    if not document.left:
        mark_paid(changes, account_id, bill_id, at_ms)
    pay(changes, account_id, with_less_open(account, bill_id, amount), at_ms, account.cash, note.note_id)
