"""The accounts that a step changes, and the records that say so.

A step works on copies: the state has the changes when the step is committed. What is done to accounts stands in
`debts` (bills and debit notes become due and are paid), `credits` (money comes in or goes back) and `service` (what
follows from that: arrears, stop, restored).
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec

from meter.accounts import Account, Accounts, Document, Payment
from meter.arrears import Event, after, may_start_jobs
from meter.ledger import Cause, Posting, entry_value
from meter.money import CURRENCY
from meter.notes import Note, note_value
from meter.outputs import Outputs

_encode = msgspec.json.Encoder().encode


class EntryName(NamedTuple):
    """What names an entry of the ledger: its id, what it is about, and why, where somebody has to say so."""

    entry_id: str
    reference: str
    reason: str | None = None


class AccountChanges:
    """Changed accounts, documents, payments and refunds of a step, on top of those that are known."""

    def __init__(self, known: Accounts, outputs: Outputs, text: Callable[[int], str]) -> None:
        """`outputs`: where notes, ledger entries, notices and services go; `text`: of an instant in ms."""
        self.known = known
        self.outputs = outputs
        self.text = text
        self.accounts: dict[str, Account] = {}
        self.documents: dict[tuple[str, str], Document | None] = {}
        self.payments: dict[tuple[str, str], Payment | None] = {}
        self.tickets: dict[tuple[str, str], tuple[str, Decimal]] = {}
        #: Accounts that this step has stopped.
        self.stopped: set[str] = set()

    # -- looking ---------------------------------------------------------------------------------------------

    def find(self, account_id: str) -> Account | None:
        """The account as this step has it so far."""
        return self.accounts.get(account_id) or self.known.by_id.get(account_id)

    def account(self, account_id: str) -> Account:
        """The same of an account that is there."""
        return self.accounts.get(account_id) or self.known.by_id[account_id]

    def document(self, account_id: str, bill_id: str, at_ms: int) -> Document | None:
        """A bill or debit note that may be credited or, once it is paid, refunded: within 92 days of its payment."""
        document = self.any_document(account_id, bill_id)
        return None if document is None or document.is_over(at_ms) else document

    def any_document(self, account_id: str, bill_id: str) -> Document | None:
        """The same, however long ago it was paid, as long as it is known."""
        if (account_id, bill_id) in self.documents:
            return self.documents[account_id, bill_id]
        return self.known.documents.get(account_id, {}).get(bill_id)

    def payment(self, account_id: str, command_id: str, at_ms: int) -> Payment | None:
        """A top-up of the last 92 days."""
        payment = self.any_payment(account_id, command_id)
        return None if payment is None or payment.is_over(at_ms) else payment

    def any_payment(self, account_id: str, command_id: str) -> Payment | None:
        """A top-up, however old, as long as it is known."""
        if (account_id, command_id) in self.payments:
            return self.payments[account_id, command_id]
        return self.known.payments.get(account_id, {}).get(command_id)

    def ticket(self, account_id: str, ticket: str) -> tuple[str, Decimal] | None:
        """Bill and amount of a refund that was made by this ticket."""
        return self.tickets.get((account_id, ticket)) or self.known.tickets.get((account_id, ticket))

    # -- changing --------------------------------------------------------------------------------------------

    def opened(self, account_id: str, at_ms: int) -> Account:
        """The account; opened now if it is new: daily mode, no balance."""
        account = self.find(account_id)
        if account is None:
            account = self.accounts[account_id] = Account(opened_ms=at_ms, since_ms=at_ms)
        return account

    def warn_below(self, account_id: str, threshold: Decimal | None) -> None:
        """Set or take away the balance below which the customer wants a notice."""
        self.accounts[account_id] = self.account(account_id)._replace(low_balance=threshold)

    def forget(self, account_id: str, at_ms: int) -> None:
        """Let go of what may no longer be corrected: old payments, and what was paid long ago."""
        for bill_id in self.known.documents.get(account_id, ()):
            document = self.any_document(account_id, bill_id)
            if document is not None and document.is_over(at_ms):
                self.documents[account_id, bill_id] = None
        for command_id in self.known.payments.get(account_id, ()):
            payment = self.any_payment(account_id, command_id)
            if payment is not None and payment.is_over(at_ms):
                self.payments[account_id, command_id] = None

    # -- saying ----------------------------------------------------------------------------------------------

    def post(self, account_id: str, at_ms: int, cause: Cause, entry: EntryName, postings: tuple[Posting, ...]) -> None:
        """`billing.ledger`: an entry. Raises UnbalancedError unless its postings add up to zero."""
        at = self.text(at_ms)
        value = entry_value(entry.entry_id, account_id, at, cause, entry.reference, postings, entry.reason)
        self.outputs.entries.append((account_id.encode(), value))

    def issue(self, account_id: str, note: Note, at_ms: int) -> None:
        """`billing.notes`: a debit or credit note."""
        self.outputs.notes.append((account_id.encode(), note_value(note, account_id, self.text(at_ms))))

    def serve(self, account_id: str, event: Event, at_ms: int, reason: str, deadline: int | None) -> None:
        """`account.service`: the service that follows from an event, and its next deadline in ms."""
        account = self.account(account_id)
        service = after(account.service, event)
        self.accounts[account_id] = account._replace(service=service, since_ms=at_ms, deadline_ms=deadline)
        value = {
            "v": 1,
            "account_id": account_id,
            "state": service,
            "may_start_jobs": may_start_jobs(service),
            "since": self.text(at_ms),
            "reason": reason,
        }
        self.outputs.services.append((account_id.encode(), _encode(value)))

    def notify(self, account_id: str, kind: str, at_ms: int, cause_id: str, fields: Mapping[str, str]) -> None:
        """`billing.notices`: a notice to the customer. `cause_id`: the bill or entry that is behind it."""
        value = {
            "v": 1,
            "notice_id": f"{kind}:{cause_id}:{account_id}",
            "account_id": account_id,
            "kind": kind,
            "at": self.text(at_ms),
            **fields,
        }
        if fields.keys() & {"owed", "balance", "payable"}:
            value["currency"] = CURRENCY
        self.outputs.notices.append((account_id.encode(), _encode(value)))
