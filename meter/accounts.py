"""Accounts: balance, open bills and debit notes, service of each customer, and what may still be corrected."""

from decimal import Decimal
from typing import NamedTuple

from meter.agenda import Action, Agenda, Due
from meter.arrears import GRACE_HOURS, Service
from meter.contracts import Contract, Mode
from meter.money import EXACT, ZERO
from meter.periods import DAY_MS

#: How long a bill may be refunded or credited after it was paid, and a payment be reversed; later a charge or an
#: adjustment is the way.
CORRECTED_MS = 92 * DAY_MS


class OpenBill(NamedTuple):
    """A bill or debit note that is not paid yet; `payable` in CNY, less what was credited.

    `grace_hours`: from the failed deduction to the stop, by the terms of the day it is of; None: it never stops.
    """

    bill_id: str
    payable: Decimal
    grace_hours: int | None = GRACE_HOURS


class Document(NamedTuple):
    """A bill or debit note as long as something may be credited or refunded of it, in CNY.

    `lines`: what is left of each, exactly, after credits. `paid_ms` None: it is open.
    """

    payable: Decimal
    lines: tuple[Decimal, ...]
    paid_ms: int | None = None
    credited: Decimal = ZERO
    refunded: Decimal = ZERO

    @property
    def left(self) -> Decimal:
        """What of it was neither credited nor refunded."""
        return EXACT.subtract(self.payable, EXACT.add(self.credited, self.refunded))

    def is_over(self, at_ms: int) -> bool:
        """Whether it was paid too long ago to be corrected."""
        return self.paid_ms is not None and at_ms - self.paid_ms > CORRECTED_MS


class Payment(NamedTuple):
    """A top-up, as long as it may be reversed; `amount` in CNY."""

    amount: Decimal
    at_ms: int
    reversed: bool = False

    def is_over(self, at_ms: int) -> bool:
        """Whether it is too old to be reversed."""
        return at_ms - self.at_ms > CORRECTED_MS


class Account(NamedTuple):
    """One customer. `deadline_ms`: when the service stops unless what is pressing is paid; None: never.

    `lenient`: how much of what is owed never stops the service. Bills are paid oldest first, whatever their terms; as
    long as there is something pressing, what a payment of older, lenient debt takes is as good as paid on that.
    """

    opened_ms: int
    cash: Decimal = ZERO
    open_bills: tuple[OpenBill, ...] = ()
    service: Service = Service.GOOD
    since_ms: int = 0
    deadline_ms: int | None = None
    low_balance: Decimal | None = None
    completed_after_stop: int = 0
    lenient: Decimal = ZERO

    @property
    def open_amount(self) -> Decimal:
        """What all open bills and debit notes come to, in CNY."""
        total = ZERO
        for bill in self.open_bills:
            total = EXACT.add(total, bill.payable)
        return total

    @property
    def owed(self) -> Decimal:
        """Open bills less cash, in CNY; negative or zero: nothing is owed."""
        return EXACT.subtract(self.open_amount, self.cash)

    @property
    def pressing(self) -> Decimal:
        """What is owed that stops the service when its time has come; negative or zero: nothing."""
        return EXACT.subtract(self.owed, self.lenient)


def grace_hours_of(contract: Contract | None) -> int | None:
    """From a failed deduction to the stop: 24 h for daily accounts; by contract for monthly ones, None: never."""
    return GRACE_HOURS if contract is None or contract.mode is Mode.DAILY else contract.grace_hours


def with_open(account: Account, bill: OpenBill) -> Account:
    """The account with one more open bill."""
    lenient = account.lenient if bill.grace_hours is not None else EXACT.add(account.lenient, bill.payable)
    return account._replace(open_bills=(*account.open_bills, bill), lenient=lenient)


def with_less_open(account: Account, bill_id: str, amount: Decimal) -> Account:
    """The account with less to be paid of an open bill; with nothing left to be paid, the bill is no longer open."""
    open_bills, lenient = [], account.lenient
    for bill in account.open_bills:
        if bill.bill_id != bill_id:
            open_bills.append(bill)
            continue
        if bill.grace_hours is None:
            lenient = EXACT.subtract(lenient, amount)
        if left := EXACT.subtract(bill.payable, amount):
            open_bills.append(bill._replace(payable=left))
    account = account._replace(open_bills=tuple(open_bills))
    return account._replace(lenient=min(lenient, account.open_amount))


def with_first_paid(account: Account) -> Account:
    """The account once its oldest open bill is paid. What lenient debt took counts for what was pressing first."""
    bill, *rest = account.open_bills
    lenient = account.lenient
    if bill.grace_hours is None:
        spare = max(EXACT.subtract(lenient, account.owed), ZERO)
        lenient = EXACT.subtract(lenient, min(bill.payable, spare))
    account = account._replace(cash=EXACT.subtract(account.cash, bill.payable), open_bills=tuple(rest))
    return account._replace(lenient=min(lenient, account.open_amount))


class Accounts:
    """The accounts of a partition, with what may still be corrected of each; their deadlines are on the agenda."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self.by_id: dict[str, Account] = {}
        self.documents: dict[str, dict[str, Document]] = {}
        self.payments: dict[str, dict[str, Payment]] = {}
        #: (account id, ticket) -> bill and amount of a refund
        self.tickets: dict[tuple[str, str], tuple[str, Decimal]] = {}
        #: (account id, bill id) -> tickets
        self.tickets_of: dict[tuple[str, str], dict[str, None]] = {}
        self.stopped: set[str] = set()

    def put(self, account_id: str, account: Account) -> None:
        """An account as it is now, and its deadline."""
        before = self.by_id.get(account_id)
        self.by_id[account_id] = account
        deadline, former = account.deadline_ms, None if before is None else before.deadline_ms
        if deadline != former:
            if former is not None:
                self._agenda.remove(Due(former, Action.STOP, account_id))
            if deadline is not None:
                self._agenda.add(Due(deadline, Action.STOP, account_id))
        if account.service is Service.STOPPED:
            self.stopped.add(account_id)
        else:
            self.stopped.discard(account_id)

    def put_payment(self, account_id: str, command_id: str, payment: Payment | None) -> None:
        """A top-up that may be reversed, or None when it may no longer be."""
        payments = self.payments.setdefault(account_id, {})
        if payment is not None:
            payments[command_id] = payment
        else:
            del payments[command_id]

    def put_document(self, account_id: str, bill_id: str, document: Document | None) -> None:
        """A bill or debit note that may be credited or refunded, or None when it may no longer be."""
        documents = self.documents.setdefault(account_id, {})
        if document is not None:
            documents[bill_id] = document
            return
        del documents[bill_id]
        for ticket in self.tickets_of.pop((account_id, bill_id), ()):
            del self.tickets[account_id, ticket]

    def put_ticket(self, account_id: str, ticket: str, bill_id: str, amount: Decimal) -> None:
        """A refund that was made by a ticket, of a bill."""
        self.tickets[account_id, ticket] = bill_id, amount
        self.tickets_of.setdefault((account_id, bill_id), {})[ticket] = None
