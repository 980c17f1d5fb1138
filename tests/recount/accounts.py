"""What customers have and owe: balances, bills and notes that wait to be paid, the service, and what is told of it.

Bills are paid oldest first. Whether a service stops is another matter: for that, money counts as if it had been paid on
what stops the service first, since debt under terms that never stop it shall not.
"""

import hashlib
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.recount.periods import DAY_MS, day_of, text
from tests.recount.prices import Contract
from tests.recount.rules import money

Row = dict[str, Any]
HOUR_MS = 3_600_000
GRACE_HOURS = 24
REFUND_DAYS = 92
BOOKS = {"charge": "charges", "payment_reversed": "cash"}
LETTERS = {"charge": "D", "payment_reversed": "R", "credit_note": "C"}


@dataclass
class Document:
    """A bill or debit note, what its lines still come to, and how much of it was given back; `at_ms`: when paid."""

    payable: Decimal
    lines: list[Decimal]
    at_ms: int | None = None
    given_back: Decimal = Decimal(0)

    def too_old(self, now_ms: int) -> bool:
        return self.at_ms is not None and now_ms - self.at_ms > REFUND_DAYS * DAY_MS


@dataclass
class Paid:
    """A top-up."""

    amount: Decimal
    at_ms: int
    bounced: bool = False


@dataclass
class Open:
    """What waits to be paid of a bill or debit note. `grace_hours` None: it never stops the service."""

    bill_id: str
    payable: Decimal
    grace_hours: int | None


@dataclass
class Customer:
    """One account."""

    cash: Decimal = Decimal(0)
    unpaid: list[Open] = field(default_factory=list)
    service: str = "good"
    deadline_ms: int | None = None
    warn_below: Decimal | None = None
    documents: dict[str, Document] = field(default_factory=dict)
    top_ups: dict[str, Paid] = field(default_factory=dict)
    tickets: dict[str, tuple[str, Decimal]] = field(default_factory=dict)

    pressing: Decimal = Decimal(0)  # owed, and stops the service
    spare: Decimal = Decimal(0)  # paid in, and not needed for that

    @property
    def waiting(self) -> Decimal:
        return sum((item.payable for item in self.unpaid), Decimal(0))

    @property
    def owed(self) -> Decimal:
        return self.waiting - self.cash

    def gain(self, amount: Decimal) -> None:
        """Money, or a credit, goes to what is pressing; what is over is spare. A loss goes the other way."""
        net = self.spare - self.pressing + amount
        self.spare, self.pressing = max(net, Decimal(0)), max(-net, Decimal(0))

    def bound(self) -> None:
        """What never stops the service is no more than what waits; the rest was paid of the spare money."""
        if (excess := self.owed - self.pressing + self.spare - self.waiting) > 0:
            self.gain(-excess)


class Accounts:
    """The accounts of one partition, and the entries, notices and service states that they cause."""

    def __init__(self) -> None:
        self.of: dict[str, Customer] = {}
        self.notes: list[Row] = []
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
        customer.gain(amount)
        self._pay(account_id, at_ms, known)
        if customer.service == "in_arrears" and customer.pressing > 0 and customer.deadline_ms is None:
            self._fall_behind(account_id, at_ms, next(item for item in customer.unpaid if item.grace_hours is not None))

    def top_up(self, account_id: str, at_ms: int, amount: Decimal, entry: Row) -> None:
        self._forget(self.of[account_id], at_ms)
        self.of[account_id].top_ups[entry["reference"]] = Paid(amount, at_ms)
        self.credit(account_id, at_ms, amount, "cash", entry)

    def refund(self, account_id: str, at_ms: int, bill_id: str, ticket: str, amount: Decimal) -> None:
        customer = self.of[account_id]
        customer.documents[bill_id].given_back += amount
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
        bill_id, payable = bill["bill_id"], Decimal(bill["payable"])
        postings = {"receivable": payable, "revenue": -total, "rounding": total - payable}
        entry = {"entry_id": bill_id, "cause": "bill", "reference": bill_id}
        lines = [Decimal(line["amount"]) for line in bill["lines"]]
        self._owe(account_id, at_ms, Document(payable, lines), contract, entry, postings)

    def debit(self, account_id: str, at_ms: int, note: Row, contract: Contract | None) -> None:
        """A debit note is issued; it waits in one queue with the bills."""
        amount, note_id = Decimal(note["amount"]), note["note_id"]
        if note["kind"] == "payment_reversed":
            self.of[account_id].top_ups[note["reference"]].bounced = True
        self.notes.append(note)
        entry = {"entry_id": note_id, "cause": note["kind"], "reference": note_id}
        if "reason" in note:
            entry["reason"] = note["reason"]
        postings = {"receivable": amount, BOOKS[note["kind"]]: -amount}
        self._owe(account_id, at_ms, Document(amount, [amount]), contract, entry, postings)

    def credit_note(self, account_id: str, at_ms: int, note: Row) -> None:
        """A line came to too much: less is owed, or, where it was paid, there is more."""
        customer, amount, bill_id = self.of[account_id], Decimal(note["amount"]), note["reference"]
        document = customer.documents[bill_id]
        self.notes.append(note)
        document.lines[note["line"] - 1] = max(document.lines[note["line"] - 1] - amount, Decimal(0))
        document.given_back += amount
        entry = {
            "entry_id": note["note_id"],
            "cause": "credit_note",
            "reference": bill_id,
            "reason": note["reason"],
        }
        if document.at_ms is not None:
            self.credit(account_id, at_ms, amount, "credits", entry)
            return
        self._enter(account_id, at_ms, entry, {"credits": amount, "receivable": -amount})
        item = next(item for item in customer.unpaid if item.bill_id == bill_id)
        item.payable -= amount
        if not item.payable:
            customer.unpaid.remove(item)
            document.at_ms = at_ms
        if item.grace_hours is not None:
            customer.gain(amount)
        customer.bound()
        self._pay(account_id, at_ms, customer.cash)

    def _owe(
        self,
        account_id: str,
        at_ms: int,
        document: Document,
        contract: Contract | None,
        entry: Row,
        postings: dict[str, Decimal],
    ) -> None:
        customer, bill_id = self.open(account_id), entry["reference"]
        self._forget(customer, at_ms)
        self._enter(account_id, at_ms, entry, postings)
        customer.documents[bill_id] = document
        if not document.payable:
            document.at_ms = at_ms
            return
        monthly = contract is not None and contract.mode == "monthly"
        hours = contract.grace_hours if contract is not None and monthly else GRACE_HOURS
        item = Open(bill_id, document.payable, hours)
        customer.unpaid.append(item)
        if hours is not None:
            customer.gain(-item.payable)
        self._pay(account_id, at_ms, customer.cash)
        if customer.unpaid:
            self._fall_behind(account_id, at_ms, item)

    def stop_if_late(self, account_id: str, now_ms: int) -> None:
        """The deadline has passed and something is owed: the service stops, as of the deadline."""
        customer = self.of.get(account_id)
        if customer is None or customer.deadline_ms is None or customer.deadline_ms > now_ms:
            return
        at_ms = customer.deadline_ms
        self._serve(account_id, at_ms, "stopped")
        self._tell(account_id, at_ms, "stopped", owed=customer.owed)

    def _pay(self, account_id: str, at_ms: int, known: Decimal) -> None:
        customer = self.of[account_id]
        while customer.unpaid and customer.unpaid[0].payable <= customer.cash:
            item = customer.unpaid.pop(0)
            entry = {"entry_id": f"{item.bill_id}:paid", "cause": "payment", "reference": item.bill_id}
            self._enter(account_id, at_ms, entry, {"balance": item.payable, "receivable": -item.payable})
            customer.cash -= item.payable
            if item.grace_hours is None:
                customer.spare -= min(customer.spare, item.payable)
            customer.bound()
            customer.documents[item.bill_id].at_ms = at_ms
        was, clear = customer.service, customer.pressing == 0
        if customer.owed <= 0 and was != "good":
            self._serve(account_id, at_ms, "good")
        elif clear and (was == "stopped" or customer.deadline_ms is not None):
            self._serve(account_id, at_ms, "in_arrears")
        if was != "good" and (customer.service == "good" or (was == "stopped" and clear)):
            self._tell(account_id, at_ms, "restored", balance=customer.cash)
        if customer.warn_below is not None and customer.cash < customer.warn_below <= known:
            self._tell(account_id, at_ms, "low_balance", balance=customer.cash)

    def _fall_behind(self, account_id: str, at_ms: int, item: Open) -> None:
        customer = self.of[account_id]
        if customer.service == "good":
            self._serve(account_id, at_ms, "in_arrears")
        if customer.service == "in_arrears" and customer.deadline_ms is None and customer.pressing > 0:
            assert item.grace_hours is not None
            customer.deadline_ms = at_ms + item.grace_hours * HOUR_MS
        told = {"bill_id": item.bill_id, "payable": item.payable, "owed": customer.owed}
        if customer.deadline_ms is not None:
            told["deadline"] = text(customer.deadline_ms)
        self._tell(account_id, at_ms, "arrears", **told)

    @staticmethod
    def _forget(customer: Customer, at_ms: int) -> None:
        """What was paid long ago can no longer be put right; the tickets of a bill go with it."""
        old = [bill_id for bill_id, document in customer.documents.items() if document.too_old(at_ms)]
        for bill_id in old:
            del customer.documents[bill_id]
        for top_up in [each for each, paid in customer.top_ups.items() if at_ms - paid.at_ms > REFUND_DAYS * DAY_MS]:
            del customer.top_ups[top_up]
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


def note(account_id: str, kind: str, command: Row, at_ms: int, record_ms: int, **fields: Any) -> Row:
    """A note as `billing.notes` has it; its id is a hash of the account, the command's id and its record time."""
    day, command_id = day_of(at_ms), command["command_id"]
    named = json.dumps([account_id, f"command:{command_id}:{record_ms}"], ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(named.encode()).hexdigest()[:16]
    return {
        "v": 1,
        "note_id": f"{LETTERS[kind]}{day.replace('-', '')}-{digest}",
        "account_id": account_id,
        "kind": kind,
        "command_id": command_id,
        "day": day,
        "currency": "CNY",
        "issued_at": text(at_ms),
    } | {name: money(value) if isinstance(value, Decimal) else value for name, value in fields.items()}
