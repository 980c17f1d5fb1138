"""The ledger: double entry, append only. Every entry sums to zero, names its cause and has a deterministic id.

Postings are debit-positive. A customer's money with us is a liability, so its `balance` is credited by a top-up.
"""

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import msgspec

from meter.money import CURRENCY, EXACT, ZERO, decimal_text

_encode = msgspec.json.Encoder().encode


class Book(StrEnum):
    """The accounts of the ledger. `balance` and `receivable` are kept by customer."""

    CASH = "cash"  # what customers have paid us
    BALANCE = "balance"  # what a customer has with us
    RECEIVABLE = "receivable"  # what a customer owes us for bills and debit notes
    REVENUE = "revenue"
    ROUNDING = "rounding"  # between a bill's exact total and what is payable
    REFUNDS = "refunds"
    ADJUSTMENTS = "adjustments"
    CHARGES = "charges"  # what debit notes charged beside the bills
    CREDITS = "credits"  # what credit notes took from bills and debit notes


class Cause(StrEnum):
    """Why there is an entry."""

    TOP_UP = "top_up"
    BILL = "bill"
    PAYMENT = "payment"
    REFUND = "refund"
    ADJUSTMENT = "adjustment"
    CHARGE = "charge"
    PAYMENT_REVERSED = "payment_reversed"
    CREDIT_NOTE = "credit_note"


class Posting(NamedTuple):
    """One side of an entry, debit positive, in CNY."""

    book: Book
    amount: Decimal


class UnbalancedError(Exception):
    """A bug: the postings of an entry do not sum to zero."""


def entry_value(
    entry_id: str,
    account_id: str,
    at: str,
    cause: Cause,
    reference: str,
    postings: Iterable[Posting],
    reason: str | None,
) -> bytes:
    """`billing.ledger`, as `LedgerEntry` would write it. Raises UnbalancedError."""
    rows = [posting for posting in postings if posting.amount]
    total = ZERO
    for posting in rows:
        total = EXACT.add(total, posting.amount)
    if total:
        raise UnbalancedError(f"{entry_id}: the postings sum to {decimal_text(total)}")
    value = {
        "v": 1,
        "entry_id": entry_id,
        "account_id": account_id,
        "at": at,
        "cause": cause,
        "reference": reference,
        "postings": [{"book": book, "amount": decimal_text(amount)} for book, amount in rows],
        "currency": CURRENCY,
    }
    if reason is not None:
        value["reason"] = reason
    return _encode(value)
