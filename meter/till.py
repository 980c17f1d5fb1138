"""What a step does to accounts: bills and debit notes owed and paid, money in and out, the service that follows.

A step works on copies: `Till` collects the changed accounts and what is to be published of them. Bills and debit notes
are paid whole or not at all, oldest first; a newer one never overtakes.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec

from meter.accounts import (
    Account,
    Document,
    OpenBill,
    Payment,
    grace_hours_of,
    with_first_paid,
    with_less_open,
    with_open,
)
from meter.arrears import HOUR_MS, Event, Service, after, may_start_jobs
from meter.contracts import Contract
from meter.ledger import Book, Cause, Posting, entry_value
from meter.money import CURRENCY, EXACT, ZERO, decimal_text
from meter.notes import Note, note_value

_encode = msgspec.json.Encoder().encode

Keyed = tuple[bytes, bytes]


class Entry(NamedTuple):
    """What names an entry of the ledger: its id, what it is about, and why, where somebody has to say so."""

    entry_id: str
    reference: str
    reason: str | None = None


class Till:
    """The accounts that a step changes, and the records that say so."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        documents: Mapping[str, Mapping[str, Document]],
        payments: Mapping[str, Mapping[str, Payment]],
        tickets: Mapping[tuple[str, str], tuple[str, Decimal]],
        text: Callable[[int], str],
    ) -> None:
        self._accounts = accounts
        self._documents = documents
        self._payments = payments
        self._tickets = tickets
        self._text = text
        self.changed: dict[str, Account] = {}
        self.documents: dict[tuple[str, str], Document | None] = {}
        self.payments: dict[tuple[str, str], Payment | None] = {}
        self.tickets: dict[tuple[str, str], tuple[str, Decimal]] = {}
        self.notes: list[Keyed] = []
        self.entries: list[Keyed] = []
        self.notices: list[Keyed] = []
        self.services: list[Keyed] = []
        self.stopped: set[str] = set()

    # -- looking ---------------------------------------------------------------------------------------------

    def find(self, account_id: str) -> Account | None:
        """The account as this step has it so far."""
        return self.changed.get(account_id) or self._accounts.get(account_id)

    def document(self, account_id: str, bill_id: str, at_ms: int) -> Document | None:
        """A bill or debit note that may be credited or, once it is paid, refunded: within 92 days of its payment."""
        document = self._document(account_id, bill_id)
        return None if document is None or document.is_over(at_ms) else document

    def payment(self, account_id: str, command_id: str, at_ms: int) -> Payment | None:
        """A top-up of the last 92 days."""
        payment = self._payment(account_id, command_id)
        return None if payment is None or payment.is_over(at_ms) else payment

    def ticket(self, account_id: str, ticket: str) -> tuple[str, Decimal] | None:
        """Bill and amount of a refund that was made by this ticket."""
        return self.tickets.get((account_id, ticket)) or self._tickets.get((account_id, ticket))

    # -- doing -----------------------------------------------------------------------------------------------

    def opened(self, account_id: str, at_ms: int) -> Account:
        """The account; opened now if it is new: daily mode, no balance."""
        account = self.find(account_id)
        if account is None:
            account = self.changed[account_id] = Account(opened_ms=at_ms, since_ms=at_ms)
        return account

    def credit(self, account_id: str, amount: Decimal, at_ms: int, book: Book, cause: Cause, entry: "Entry") -> None:
        """Add to a balance (or take from it, where `amount` is negative), and pay what can be paid."""
        account = self.opened(account_id, at_ms)
        postings = (Posting(book, amount), Posting(Book.BALANCE, -amount))
        self._enter(account_id, at_ms, cause, entry, postings)
        cash = EXACT.add(account.cash, amount)
        account = self._pay(account_id, account._replace(cash=cash), at_ms, max(account.cash, cash), entry.entry_id)
        if account.pressing > 0 and account.service is Service.IN_ARREARS and account.deadline_ms is None:
            # What was to pay it, once older debt that never stops the service was paid, is gone.
            bill = next(bill for bill in account.open_bills if bill.grace_hours is not None)
            self._deduction_failed(account_id, bill, at_ms, entry.entry_id)

    def top_up(self, account_id: str, command_id: str, amount: Decimal, at_ms: int, entry: "Entry") -> None:
        """Add what a customer has paid in; it may be reversed for a while."""
        self._forget(account_id, at_ms)
        self.payments[account_id, command_id] = Payment(amount, at_ms)
        self.credit(account_id, amount, at_ms, Book.CASH, Cause.TOP_UP, entry)

    def bill(
        self,
        account_id: str,
        bill: OpenBill,
        lines: tuple[Decimal, ...],
        total: Decimal,
        at_ms: int,
        contract: Contract | None,
    ) -> None:
        """A bill is issued; `lines` and `total` exactly, in CNY."""
        postings = (
            Posting(Book.RECEIVABLE, bill.payable),
            Posting(Book.REVENUE, -total),
            Posting(Book.ROUNDING, EXACT.subtract(total, bill.payable)),
        )
        self._owe(account_id, bill, lines, at_ms, contract, Cause.BILL, postings, None)

    def debit(
        self, account_id: str, note: Note, book: Book, cause: Cause, at_ms: int, contract: Contract | None
    ) -> None:
        """A debit note is issued: an open item like a bill."""
        self.notes.append((account_id.encode(), note_value(note, account_id, self._text(at_ms))))
        postings = (Posting(Book.RECEIVABLE, note.amount), Posting(book, -note.amount))
        due = OpenBill(note.note_id, note.amount)
        self._owe(account_id, due, (note.amount,), at_ms, contract, cause, postings, note.reason)

    def reverse(self, account_id: str, note: Note, at_ms: int, contract: Contract | None) -> None:
        """The top-up that a note names bounced. The caller has checked that it may be reversed."""
        assert note.reference is not None
        payment = self._payment(account_id, note.reference)
        assert payment is not None
        self.payments[account_id, note.reference] = payment._replace(reversed=True)
        self.debit(account_id, note, Book.CASH, Cause.PAYMENT_REVERSED, at_ms, contract)

    def credit_line(self, account_id: str, note: Note, at_ms: int) -> None:
        """A credit note on a line lowers what is owed, or adds to the balance. The caller has checked that it may."""
        bill_id, line, amount = note.reference, note.line, note.amount
        assert bill_id is not None
        assert line is not None
        document = self._document(account_id, bill_id)
        account = self.find(account_id)
        assert document is not None
        assert account is not None
        self.notes.append((account_id.encode(), note_value(note, account_id, self._text(at_ms))))
        left = max(EXACT.subtract(document.lines[line - 1], amount), ZERO)
        lines = (*document.lines[: line - 1], left, *document.lines[line:])
        document = document._replace(lines=lines, credited=EXACT.add(document.credited, amount))
        self.documents[account_id, bill_id] = document
        entry = Entry(note.note_id, bill_id, note.reason)
        if document.paid_ms is not None:
            self.credit(account_id, amount, at_ms, Book.CREDITS, Cause.CREDIT_NOTE, entry)
            return
        postings = (Posting(Book.CREDITS, amount), Posting(Book.RECEIVABLE, -amount))
        self._enter(account_id, at_ms, Cause.CREDIT_NOTE, entry, postings)
        if not document.left:
            self._settled(account_id, bill_id, at_ms)
        self._pay(account_id, with_less_open(account, bill_id, amount), at_ms, account.cash, note.note_id)

    def expire(self, account_id: str, at_ms: int) -> None:
        """Stop the service when the deadline has been reached with something pressing."""
        account = self.find(account_id)
        if account is None or account.deadline_ms is None or account.deadline_ms > at_ms or account.pressing <= 0:
            return
        self.stopped.add(account_id)
        pressing = f"{decimal_text(account.pressing)} {CURRENCY}"
        self._serve(account_id, Event.DEADLINE_REACHED, account.deadline_ms, f"{pressing} were not paid in time", None)
        at_ms = account.deadline_ms
        self._notify(account_id, "stopped", at_ms, str(at_ms), {"owed": decimal_text(account.owed)})

    def refund(self, account_id: str, bill_id: str, ticket: str, amount: Decimal, at_ms: int) -> None:
        """Give back to the balance what was paid on a bill or debit note. The caller has checked that it may be."""
        paid = self._document(account_id, bill_id)
        assert paid is not None
        self.documents[account_id, bill_id] = paid._replace(refunded=EXACT.add(paid.refunded, amount))
        self.tickets[account_id, ticket] = bill_id, amount
        entry = Entry(f"{bill_id}:refund:{ticket}", bill_id, f"ticket {ticket}")
        self.credit(account_id, amount, at_ms, Book.REFUNDS, Cause.REFUND, entry)

    def warn_below(self, account_id: str, threshold: Decimal | None) -> None:
        """Set or take away the balance below which the customer wants a notice."""
        account = self.find(account_id)
        assert account is not None
        self._put(account_id, account._replace(low_balance=threshold))

    def completed_after_stop(self, account_id: str, jobs: int) -> None:
        """Count jobs that were completed after the stop; they are billed like any other."""
        account = self.find(account_id)
        assert account is not None
        self._put(account_id, account._replace(completed_after_stop=account.completed_after_stop + jobs))

    def _document(self, account_id: str, bill_id: str) -> Document | None:
        if (account_id, bill_id) in self.documents:
            return self.documents[account_id, bill_id]
        return self._documents.get(account_id, {}).get(bill_id)

    def _payment(self, account_id: str, command_id: str) -> Payment | None:
        if (account_id, command_id) in self.payments:
            return self.payments[account_id, command_id]
        return self._payments.get(account_id, {}).get(command_id)

    # -- inside ----------------------------------------------------------------------------------------------

    def _put(self, account_id: str, account: Account) -> None:
        self.changed[account_id] = account

    def _owe(
        self,
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
        account = self.opened(account_id, at_ms)
        self._forget(account_id, at_ms)
        self._enter(account_id, at_ms, cause, Entry(bill.bill_id, bill.bill_id, reason), postings)
        if not bill.payable:  # nothing waits for nothing: it is settled, whatever else is open
            self.documents[account_id, bill.bill_id] = Document(ZERO, lines, at_ms)
            self._put(account_id, account)
            return
        bill = bill._replace(grace_hours=grace_hours_of(contract))
        self.documents[account_id, bill.bill_id] = Document(bill.payable, lines)
        if self._pay(account_id, with_open(account, bill), at_ms, account.cash, bill.bill_id).open_bills:
            self._deduction_failed(account_id, bill, at_ms, bill.bill_id)

    def _settled(self, account_id: str, bill_id: str, at_ms: int) -> None:
        document = self._document(account_id, bill_id)
        assert document is not None
        self.documents[account_id, bill_id] = document._replace(paid_ms=at_ms)

    def _forget(self, account_id: str, at_ms: int) -> None:
        """Let go of what may no longer be corrected: old payments, and what was paid long ago."""
        for bill_id in self._documents.get(account_id, ()):
            document = self._document(account_id, bill_id)
            if document is not None and document.is_over(at_ms):
                self.documents[account_id, bill_id] = None
        for command_id in self._payments.get(account_id, ()):
            payment = self._payment(account_id, command_id)
            if payment is not None and payment.is_over(at_ms):
                self.payments[account_id, command_id] = None

    def _pay(self, account_id: str, account: Account, at_ms: int, before: Decimal, cause_id: str) -> Account:
        """Pay open bills whole, oldest first; a newer one never overtakes. Nothing owed: the service is good.

        `before`: the balance that the customer last knew of; `cause_id`: the bill or entry that is behind it. Returns
        the account as it is then.
        """
        while account.open_bills and account.cash >= account.open_bills[0].payable:
            bill = account.open_bills[0]
            postings = (Posting(Book.BALANCE, bill.payable), Posting(Book.RECEIVABLE, -bill.payable))
            self._enter(account_id, at_ms, Cause.PAYMENT, Entry(f"{bill.bill_id}:paid", bill.bill_id), postings)
            self._settled(account_id, bill.bill_id, at_ms)
            account = with_first_paid(account)
        self._put(account_id, account)
        self._follow(account_id, account, at_ms, cause_id)
        if account.low_balance is not None and account.cash < account.low_balance <= before:
            self._notify(account_id, "low_balance", at_ms, cause_id, {"balance": decimal_text(account.cash)})
        return self.changed[account_id]

    def _follow(self, account_id: str, account: Account, at_ms: int, cause_id: str) -> None:
        """What the service makes of a change of the balance, or of what is open."""
        if account.service is Service.GOOD:
            return
        restored = account.owed <= 0 or (account.service is Service.STOPPED and account.pressing <= 0)
        if account.owed <= 0:
            self._serve(account_id, Event.NOTHING_OWED, at_ms, "nothing is owed", None)
        elif account.pressing <= 0 and (account.service is Service.STOPPED or account.deadline_ms is not None):
            self._serve(account_id, Event.NOTHING_PRESSING, at_ms, "what is owed does not stop the service", None)
        if restored:
            self._notify(account_id, "restored", at_ms, cause_id, {"balance": decimal_text(account.cash)})

    def _deduction_failed(self, account_id: str, bill: OpenBill, at_ms: int, cause_id: str) -> None:
        account = self.changed[account_id]
        deadline = account.deadline_ms
        if account.service is not Service.STOPPED and deadline is None and account.pressing > 0:
            assert bill.grace_hours is not None
            deadline = at_ms + bill.grace_hours * HOUR_MS
        if account.service is Service.GOOD:
            self._serve(account_id, Event.DEDUCTION_FAILED, at_ms, f"bill {bill.bill_id} is not paid", deadline)
        else:
            service = after(account.service, Event.DEDUCTION_FAILED)
            self._put(account_id, account._replace(service=service, deadline_ms=deadline))
        fields = {"bill_id": bill.bill_id, "payable": decimal_text(bill.payable), "owed": decimal_text(account.owed)}
        if deadline is not None:
            fields["deadline"] = self._text(deadline)
        self._notify(account_id, "arrears", at_ms, cause_id, fields)

    def _serve(self, account_id: str, event: Event, at_ms: int, reason: str, deadline: int | None) -> None:
        account = self.changed.get(account_id) or self._accounts[account_id]
        service = after(account.service, event)
        self._put(account_id, account._replace(service=service, since_ms=at_ms, deadline_ms=deadline))
        value = {
            "v": 1,
            "account_id": account_id,
            "state": service,
            "may_start_jobs": may_start_jobs(service),
            "since": self._text(at_ms),
            "reason": reason,
        }
        self.services.append((account_id.encode(), _encode(value)))

    def _enter(self, account_id: str, at_ms: int, cause: Cause, entry: "Entry", postings: tuple[Posting, ...]) -> None:
        value = entry_value(
            entry.entry_id, account_id, self._text(at_ms), cause, entry.reference, postings, entry.reason
        )
        self.entries.append((account_id.encode(), value))

    def _notify(self, account_id: str, kind: str, at_ms: int, cause_id: str, fields: dict[str, str]) -> None:
        value = {
            "v": 1,
            "notice_id": f"{kind}:{cause_id}:{account_id}",
            "account_id": account_id,
            "kind": kind,
            "at": self._text(at_ms),
            **fields,
        }
        if fields.keys() & {"owed", "balance", "payable"}:
            value["currency"] = CURRENCY
        self.notices.append((account_id.encode(), _encode(value)))
