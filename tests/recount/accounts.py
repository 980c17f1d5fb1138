"""What customers have and owe: balances, bills that wait to be paid, the service, and what is told of all that."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.recount.periods import DAY_MS, text
from tests.recount.prices import Contract
from tests.recount.rules import money

Row = dict[str, Any]
HOUR_MS = 3_600_000
GRACE_HOURS = 24
REFUND_DAYS = 92


@dataclass
class Paid:
    """A bill that was paid, and how much of that was given back."""

    payable: Decimal
    at_ms: int
    refunded: Decimal = Decimal(0)


@dataclass
class Customer:
    """One account."""

    cash: Decimal = Decimal(0)
    unpaid: list[tuple[str, Decimal]] = field(default_factory=list)
    service: str = "good"
    deadline_ms: int | None = None
    warn_below: Decimal | None = None
    paid: dict[str, Paid] = field(default_factory=dict)
    tickets: dict[str, tuple[str, Decimal]] = field(default_factory=dict)

    @property
    def owed(self) -> Decimal:
        return sum((payable for _, payable in self.unpaid), Decimal(0)) - self.cash


class Accounts:
    """The accounts of one partition, and the entries, notices and service states that they cause."""

    def __init__(self) -> None:
        self.of: dict[str, Customer] = {}
        self.entries: list[Row] = []
        self.notices: list[Row] = []
        self.services: list[Row] = []

    def open(self, account_id: str) -> Customer:
        return self.of.setdefault(account_id, Customer())

    def credit(self, account_id: str, at_ms: int, amount: Decimal, book: str, entry: Row) -> None:
        """Money comes to the balance (or is taken from it), and what can be paid is paid."""
        customer = self.of[account_id]
        known = max(customer.cash, customer.cash + amount)
        self._enter(account_id, at_ms, entry, {book: amount, "balance": -amount})
        customer.cash += amount
        self._pay(account_id, at_ms, known)

    def refund(self, account_id: str, at_ms: int, bill_id: str, ticket: str, amount: Decimal) -> None:
        customer = self.of[account_id]
        customer.paid[bill_id].refunded += amount
        customer.tickets[ticket] = bill_id, amount
        entry = {
            "entry_id": f"{bill_id}:refund:{ticket}",
            "cause": "refund",
            "reference": bill_id,
            "reason": f"ticket {ticket}",
        }
        self.credit(account_id, at_ms, amount, "refunds", entry)

    def charge(self, account_id: str, at_ms: int, bill: Row, total: Decimal, contract: Contract | None) -> None:
        """A bill is issued and deducted; where that fails the customer is told, and the grace begins."""
        customer, bill_id, payable = self.open(account_id), bill["bill_id"], Decimal(bill["payable"])
        self._forget_paid(customer, at_ms)
        postings = {"receivable": payable, "revenue": -total, "rounding": total - payable}
        self._enter(account_id, at_ms, {"entry_id": bill_id, "cause": "bill", "reference": bill_id}, postings)
        customer.unpaid.append((bill_id, payable))
        self._pay(account_id, at_ms, customer.cash)
        if customer.unpaid:
            self._fall_behind(account_id, at_ms, bill, contract)

    def stop_if_late(self, account_id: str, now_ms: int) -> None:
        """The deadline has passed and something is owed: the service stops, as of the deadline."""
        customer = self.of.get(account_id)
        if customer is None or customer.deadline_ms is None or customer.deadline_ms > now_ms or customer.owed <= 0:
            return
        at_ms = customer.deadline_ms
        self._serve(account_id, at_ms, "stopped")
        self._tell(account_id, at_ms, "stopped", owed=customer.owed)

    def _pay(self, account_id: str, at_ms: int, known: Decimal) -> None:
        customer = self.of[account_id]
        while customer.unpaid and customer.unpaid[0][1] <= customer.cash:
            bill_id, payable = customer.unpaid.pop(0)
            entry = {"entry_id": f"{bill_id}:paid", "cause": "payment", "reference": bill_id}
            if payable:
                self._enter(account_id, at_ms, entry, {"balance": payable, "receivable": -payable})
            customer.cash -= payable
            customer.paid[bill_id] = Paid(payable, at_ms)
        if customer.owed <= 0 and customer.service != "good":
            self._serve(account_id, at_ms, "good")
            self._tell(account_id, at_ms, "restored", balance=customer.cash)
        if customer.warn_below is not None and customer.cash < customer.warn_below <= known:
            self._tell(account_id, at_ms, "low_balance", balance=customer.cash)

    def _fall_behind(self, account_id: str, at_ms: int, bill: Row, contract: Contract | None) -> None:
        customer = self.of[account_id]
        if customer.service == "good":
            self._serve(account_id, at_ms, "in_arrears")
        if customer.service == "in_arrears" and customer.deadline_ms is None:
            monthly = contract is not None and contract.mode == "monthly"
            hours = contract.grace_hours if contract is not None and monthly else GRACE_HOURS
            customer.deadline_ms = None if hours is None else at_ms + hours * HOUR_MS
        told = {"bill_id": bill["bill_id"], "payable": bill["payable"], "owed": customer.owed}
        if customer.deadline_ms is not None:
            told["deadline"] = text(customer.deadline_ms)
        self._tell(account_id, at_ms, "arrears", **told)

    @staticmethod
    def _forget_paid(customer: Customer, at_ms: int) -> None:
        """A bill that was paid long ago can no longer be refunded; its tickets go with it."""
        old = [bill_id for bill_id, paid in customer.paid.items() if at_ms - paid.at_ms > REFUND_DAYS * DAY_MS]
        for bill_id in old:
            del customer.paid[bill_id]
        customer.tickets = {ticket: of for ticket, of in customer.tickets.items() if of[0] not in old}

    def _serve(self, account_id: str, at_ms: int, state: str) -> None:
        customer = self.of[account_id]
        customer.service, customer.deadline_ms = state, None
        may_start = state != "stopped"
        self.services.append(
            {"account_id": account_id, "state": state, "may_start_jobs": may_start, "since": text(at_ms)}
        )

    def _tell(self, account_id: str, at_ms: int, kind: str, **told: Any) -> None:
        plain = {name: money(value) if isinstance(value, Decimal) else value for name, value in told.items()}
        self.notices.append({"account_id": account_id, "kind": kind, "at": text(at_ms)} | plain)

    def _enter(self, account_id: str, at_ms: int, entry: Row, postings: dict[str, Decimal]) -> None:
        rows = [{"book": book, "amount": money(amount)} for book, amount in postings.items() if amount]
        self.entries.append({"account_id": account_id, "at": text(at_ms), "postings": rows} | entry)
