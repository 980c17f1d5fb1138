"""Accounts: balance, open bills and service of each customer, and what a step does to them.

A step works on copies: `Till` collects the changed accounts and what is to be published of them.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

import msgspec

from meter.arrears import GRACE_HOURS, HOUR_MS, Event, Service, after, may_start_jobs
from meter.contracts import Contract, Mode
from meter.ledger import Book, Cause, Posting, entry_value
from meter.money import CURRENCY, EXACT, ZERO, decimal_text

_encode = msgspec.json.Encoder().encode

Keyed = tuple[bytes, bytes]


class OpenBill(NamedTuple):
    """A bill that is not paid yet; `payable` in CNY."""

    bill_id: str
    payable: Decimal


class PaidBill(NamedTuple):
    """A bill that was paid, as long as something may be refunded of it."""

    payable: Decimal
    paid_ms: int
    refunded: Decimal = ZERO


class Account(NamedTuple):
    """One customer. `deadline_ms`: when the service stops unless everything owed is paid; None: never."""

    opened_ms: int
    cash: Decimal = ZERO
    open_bills: tuple[OpenBill, ...] = ()
    service: Service = Service.GOOD
    since_ms: int = 0
    deadline_ms: int | None = None
    low_balance: Decimal | None = None
    completed_after_stop: int = 0

    @property
    def open_amount(self) -> Decimal:
        """What all open bills come to, in CNY."""
        total = ZERO
        for bill in self.open_bills:
            total = EXACT.add(total, bill.payable)
        return total

    @property
    def owed(self) -> Decimal:
        """Open bills less cash, in CNY; negative or zero: nothing is owed."""
        return EXACT.subtract(self.open_amount, self.cash)


class Till:
    """The accounts that a step changes, and the records that say so."""

    def __init__(
        self,
        accounts: Mapping[str, Account],
        paid: Mapping[str, Mapping[str, PaidBill]],
        tickets: Mapping[tuple[str, str], tuple[str, Decimal]],
        text: Callable[[int], str],
    ) -> None:
        self._accounts = accounts
        self._paid = paid
        self._tickets = tickets
        self._text = text
        self.changed: dict[str, Account] = {}
        self.paid: dict[tuple[str, str], PaidBill | None] = {}
        self.tickets: dict[tuple[str, str], tuple[str, Decimal]] = {}
        self.entries: list[Keyed] = []
        self.notices: list[Keyed] = []
        self.services: list[Keyed] = []
        self.stopped: set[str] = set()

    # -- looking ---------------------------------------------------------------------------------------------

    def find(self, account_id: str) -> Account | None:
        """The account as this step has it so far."""
        return self.changed.get(account_id) or self._accounts.get(account_id)

    def paid_bill(self, account_id: str, bill_id: str) -> PaidBill | None:
        """A bill that was paid and may still be refunded."""
        if (account_id, bill_id) in self.paid:
            return self.paid[account_id, bill_id]
        return self._paid.get(account_id, {}).get(bill_id)

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
        self._pay(account_id, account._replace(cash=cash), at_ms, max(account.cash, cash), entry.entry_id)

    def charge(self, account_id: str, bill: OpenBill, total: Decimal, at_ms: int, contract: Contract | None) -> None:
        """A bill is issued: deduct it at once, or notify and begin the grace period, all in one step."""
        account = self.opened(account_id, at_ms)
        postings = (
            Posting(Book.RECEIVABLE, bill.payable),
            Posting(Book.REVENUE, -total),
            Posting(Book.ROUNDING, EXACT.subtract(total, bill.payable)),
        )
        self._enter(account_id, at_ms, Cause.BILL, Entry(bill.bill_id, bill.bill_id), postings)
        account = account._replace(open_bills=(*account.open_bills, bill))
        if self._pay(account_id, account, at_ms, account.cash, bill.bill_id).open_bills:
            self._deduction_failed(account_id, bill, at_ms, contract)

    def expire(self, account_id: str, at_ms: int) -> None:
        """Stop the service when the deadline has been reached with something owed."""
        account = self.find(account_id)
        if account is None or account.deadline_ms is None or account.deadline_ms > at_ms or account.owed <= 0:
            return
        self.stopped.add(account_id)
        owed = f"{decimal_text(account.owed)} {CURRENCY}"
        self._serve(account_id, Event.DEADLINE_REACHED, account.deadline_ms, f"{owed} were not paid in time", None)
        at_ms = account.deadline_ms
        self._notify(account_id, "stopped", at_ms, str(at_ms), {"owed": decimal_text(account.owed)})

    def refund(self, account_id: str, bill_id: str, ticket: str, amount: Decimal, at_ms: int) -> None:
        """Give back to the balance what was paid on a bill. The caller has checked that it may be."""
        paid = self.paid_bill(account_id, bill_id)
        assert paid is not None
        self.paid[account_id, bill_id] = paid._replace(refunded=EXACT.add(paid.refunded, amount))
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

    # -- inside ----------------------------------------------------------------------------------------------

    def _put(self, account_id: str, account: Account) -> None:
        self.changed[account_id] = account

    def _pay(self, account_id: str, account: Account, at_ms: int, before: Decimal, cause_id: str) -> Account:
        """Pay open bills whole, oldest first; a newer one never overtakes. Nothing owed: the service is good.

        `before`: the balance that the customer last knew of; `cause_id`: the bill or entry that is behind it. Returns
        the account as it is then.
        """
        while account.open_bills and account.cash >= account.open_bills[0].payable:
            bill, *rest = account.open_bills
            if bill.payable:
                postings = (Posting(Book.BALANCE, bill.payable), Posting(Book.RECEIVABLE, -bill.payable))
                self._enter(account_id, at_ms, Cause.PAYMENT, Entry(f"{bill.bill_id}:paid", bill.bill_id), postings)
            self.paid[account_id, bill.bill_id] = PaidBill(bill.payable, at_ms)
            account = account._replace(cash=EXACT.subtract(account.cash, bill.payable), open_bills=tuple(rest))
        self._put(account_id, account)
        if account.service is not Service.GOOD and account.owed <= 0:
            self._serve(account_id, Event.NOTHING_OWED, at_ms, "nothing is owed", None)
            self._notify(account_id, "restored", at_ms, cause_id, {"balance": decimal_text(account.cash)})
        if account.low_balance is not None and account.cash < account.low_balance <= before:
            self._notify(account_id, "low_balance", at_ms, cause_id, {"balance": decimal_text(account.cash)})
        return self.changed[account_id]

    def _deduction_failed(self, account_id: str, bill: OpenBill, at_ms: int, contract: Contract | None) -> None:
        account = self.changed[account_id]
        deadline = account.deadline_ms
        if account.service is not Service.STOPPED and deadline is None:
            deadline = deadline_of(contract, at_ms)
        if account.service is Service.GOOD:
            self._serve(account_id, Event.DEDUCTION_FAILED, at_ms, f"bill {bill.bill_id} is not paid", deadline)
        else:
            service = after(account.service, Event.DEDUCTION_FAILED)
            self._put(account_id, account._replace(service=service, deadline_ms=deadline))
        fields = {"bill_id": bill.bill_id, "payable": decimal_text(bill.payable), "owed": decimal_text(account.owed)}
        if deadline is not None:
            fields["deadline"] = self._text(deadline)
        self._notify(account_id, "arrears", at_ms, bill.bill_id, fields)

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


class Entry(NamedTuple):
    """What names an entry of the ledger: its id, what it is about, and why, where somebody has to say so."""

    entry_id: str
    reference: str
    reason: str | None = None


def deadline_of(contract: Contract | None, at_ms: int) -> int | None:
    """When the service stops after a failed deduction: 24 h later for daily accounts; by contract for monthly ones."""
    if contract is None or contract.mode is Mode.DAILY:
        return at_ms + GRACE_HOURS * HOUR_MS
    return None if contract.grace_hours is None else at_ms + contract.grace_hours * HOUR_MS
