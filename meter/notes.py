"""Notes: what is owed, or no longer owed, beside the bills. Documents of their own; the bills stay as they were issued.

A *debit note* is a charge with its reason, or a payment that was reversed. It is an open item like a bill: in the same
queue, paid whole, oldest first, with the same arrears. A *credit note* lowers what one line of a bill or debit note
came to: what is owed where that is not paid yet, else it adds to the balance.
"""

import hashlib
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import msgspec

from meter.money import CURRENCY, decimal_text

_encode = msgspec.json.Encoder().encode


class NoteKind(StrEnum):
    """What a note is."""

    CHARGE = "charge"
    PAYMENT_REVERSED = "payment_reversed"
    CREDIT_NOTE = "credit_note"


class Note(NamedTuple):
    """A note. `reference`: the top-up that was reversed, or the bill or debit note that is credited on `line`."""

    note_id: str
    kind: NoteKind
    command_id: str
    day: str
    amount: Decimal
    reason: str | None = None
    reference: str | None = None
    line: int | None = None


_PREFIX = {NoteKind.CHARGE: "D", NoteKind.PAYMENT_REVERSED: "R", NoteKind.CREDIT_NOTE: "C"}


def note_id_of(kind: NoteKind, account_id: str, day: str, entry_id: str) -> str:
    """A note's id: a pure function of its account, day and command (by id and record time).

    >>> note_id_of(NoteKind.CHARGE, "A", "2019-01-02", "command:c-1:1546401600000")
    'D20190102-89f8a0c9b5c6c86e'
    """
    digest = hashlib.sha256(_encode((account_id, entry_id))).hexdigest()[:16]
    return f"{_PREFIX[kind]}{day.replace('-', '')}-{digest}"


def note_value(note: Note, account_id: str, issued_at: str) -> bytes:
    """`billing.notes`, as `NoteIssued` would write it."""
    value: dict[str, object] = {
        "v": 1,
        "note_id": note.note_id,
        "account_id": account_id,
        "kind": note.kind,
        "command_id": note.command_id,
        "day": note.day,
        "amount": decimal_text(note.amount),
        "currency": CURRENCY,
        "issued_at": issued_at,
    }
    if note.reason is not None:
        value["reason"] = note.reason
    if note.reference is not None:
        value["reference"] = note.reference
    if note.line is not None:
        value["line"] = note.line
    return _encode(value)
