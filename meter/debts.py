"""Bills and debit notes: they become due, and are paid whole or not at all, oldest first; a newer never overtakes."""

from decimal import Decimal

from meter.account_changes import AccountChanges, EntryName
from meter.accounts import Account, Document, OpenBill, grace_hours_of, with_first_paid, with_open
from meter.contracts import Contract
from meter.ledger import Book, Cause, Posting
from meter.money import EXACT, ZERO, decimal_text
from meter.notes import Note
from meter.service import deduction_failed, money_changed
from meter.settlement import Bill


def bill_account(changes: AccountChanges, account_id: str, bill: Bill, at_ms: int, contract: Contract | None) -> None:
    """A bill is issued: what its lines come to is revenue, and its payable amount is owed."""
    postings = (
        Posting(Book.RECEIVABLE, bill.open.payable),
        Posting(Book.REVENUE, -bill.total),
        Posting(Book.ROUNDING, EXACT.subtract(bill.total, bill.open.payable)),
    )
    _owe(changes, account_id, bill.open, bill.lines, at_ms, contract, Cause.BILL, postings, None)


def debit(
    changes: AccountChanges,
    account_id: str,
    note: Note,
    book: Book,
    cause: Cause,
    at_ms: int,
    contract: Contract | None,
) -> None:
    """A debit note is issued: an open item like a bill."""
    changes.issue(account_id, note, at_ms)
    postings = (Posting(Book.RECEIVABLE, note.amount), Posting(book, -note.amount))
    due = OpenBill(note.note_id, note.amount)
    _owe(changes, account_id, due, (note.amount,), at_ms, contract, cause, postings, note.reason)


def reverse_top_up(changes: AccountChanges, account_id: str, note: Note, at_ms: int, contract: Contract | None) -> None:
    """The top-up that a note names bounced. The caller has checked that it may be reversed."""
    assert note.reference is not None
    payment = changes.any_payment(account_id, note.reference)
    assert payment is not None
    changes.payments[account_id, note.reference] = payment._replace(reversed=True)
    debit(changes, account_id, note, Book.CASH, Cause.PAYMENT_REVERSED, at_ms, contract)


def _owe(
    changes: AccountChanges,
    account_id: str,
    bill: OpenBill,
    lines: tuple[Decimal, ...],
    at_ms: int,
    contract: Contract | None,
    cause: Cause,
    postings: tuple[Posting, ...],
    reason: str | None,
) -> None:
    """Something is to be paid: deduct it at once, or notify and begin the grace period, all in one step."""
    account = changes.opened(account_id, at_ms)
    changes.forget(account_id, at_ms)
    changes.post(account_id, at_ms, cause, EntryName(bill.bill_id, bill.bill_id, reason), postings)
    if not bill.payable:  # nothing waits for nothing: it is settled, whatever else is open
        changes.documents[account_id, bill.bill_id] = Document(ZERO, lines, at_ms)
        changes.accounts[account_id] = account
        return
    bill = bill._replace(grace_hours=grace_hours_of(contract))
    changes.documents[account_id, bill.bill_id] = Document(bill.payable, lines)
    if pay(changes, account_id, with_open(account, bill), at_ms, account.cash, bill.bill_id).open_bills:
        deduction_failed(changes, account_id, bill, at_ms, bill.bill_id)


def pay(
    changes: AccountChanges, account_id: str, account: Account, at_ms: int, before: Decimal, cause_id: str
) -> Account:
    """Pay open bills whole, oldest first. Nothing owed: the service is good. Returns the account as it is then.

    `before`: the balance that the customer last knew of; `cause_id`: the bill or entry that is behind it.
    """
    while account.open_bills and account.cash >= account.open_bills[0].payable:
        bill = account.open_bills[0]
        postings = (Posting(Book.BALANCE, bill.payable), Posting(Book.RECEIVABLE, -bill.payable))
        changes.post(account_id, at_ms, Cause.PAYMENT, EntryName(f"{bill.bill_id}:paid", bill.bill_id), postings)
        mark_paid(changes, account_id, bill.bill_id, at_ms)
        account = with_first_paid(account)
    changes.accounts[account_id] = account
    money_changed(changes, account_id, account, at_ms, cause_id)
    if account.low_balance is not None and account.cash < account.low_balance <= before:
        changes.notify(account_id, "low_balance", at_ms, cause_id, {"balance": decimal_text(account.cash)})
    return changes.accounts[account_id]


def mark_paid(changes: AccountChanges, account_id: str, bill_id: str, at_ms: int) -> None:
    """Nothing is owed of a document from this instant on."""
    document = changes.any_document(account_id, bill_id)
    assert document is not None
    changes.documents[account_id, bill_id] = document._replace(paid_ms=at_ms)
