"""The ledger of an account, its notes, and what customers were told."""

from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, select

from meter.money import ZERO
from meter.notes import NoteKind
from streams.store.queries.pages import RowPage, page
from streams.store.schema import bill_standing, ledger_entry, note, notice


class StoredEntry(NamedTuple):
    """An entry of the ledger: what it changed of the account's balance, and what there is after it.

    `unpaid_after`: what open bills come to. `value`: the JSON as published, with all postings.
    """

    partition: int
    position: int
    entry_id: str
    account_id: str
    at: datetime
    cause: str
    reference: str
    reason: str | None
    change: Decimal
    balance_after: Decimal
    unpaid_after: Decimal
    value: str


# So many fields: the row has them.
class StoredNote(NamedTuple):
    """A debit or credit note. `paid_at` None: a debit note is open; of a credit note there is none.

    `credited` and `refunded`: how much of a debit note was given back. `value`: the JSON as published.
    """

    partition: int
    position: int
    note_id: str
    account_id: str
    kind: str
    command_id: str
    day: str
    amount: Decimal
    issued_at: datetime
    reason: str | None
    reference: str | None
    line: int | None
    value: str
    paid_at: datetime | None
    refunded: Decimal
    credited: Decimal


class StoredNotice(NamedTuple):
    """What a customer was to be told; `kind` arrears, stopped, restored or low_balance. `value`: as published."""

    partition: int
    position: int
    notice_id: str
    account_id: str
    kind: str
    at: datetime
    bill_id: str | None
    payable: Decimal | None
    owed: Decimal | None
    balance: Decimal | None
    deadline: datetime | None
    value: str


def ledger(
    connection: Connection, account_id: str, *, after: str | None = None, limit: int = 50
) -> RowPage[StoredEntry]:
    """The entries of an account, the latest first."""
    query = select(ledger_entry).where(ledger_entry.c.account_id == account_id)
    return page(
        connection, query, (ledger_entry.c.position,), StoredEntry._make, after=after, limit=limit, descending=True
    )


def notes(connection: Connection, account_id: str, *, after: str | None = None, limit: int = 50) -> RowPage[StoredNote]:
    """The notes of an account, the latest first."""
    query = _notes().where(note.c.account_id == account_id)
    return page(connection, query, (note.c.position,), _note, after=after, limit=limit, descending=True)


def notes_on(connection: Connection, bill_id: str) -> list[StoredNote]:
    """The credit notes on a bill or debit note, in order."""
    query = _notes().where(note.c.reference == bill_id, note.c.kind == str(NoteKind.CREDIT_NOTE))
    return [_note(row) for row in connection.execute(query.order_by(note.c.position))]


def _notes() -> Select[Any]:
    joined = note.outerjoin(bill_standing, note.c.note_id == bill_standing.c.bill_id)
    standing = bill_standing.c
    return select(*note.c, standing.paid_at, standing.refunded, standing.credited).select_from(joined)


def _note(row: Row[Any]) -> StoredNote:
    return StoredNote._make((*row[:-2], row.refunded or ZERO, row.credited or ZERO))


def entries_about(connection: Connection, reference: str) -> list[StoredEntry]:
    """The entries about a bill or command, in order: the bill, its payment, refunds, credit notes."""
    query = select(ledger_entry).where(ledger_entry.c.reference == reference).order_by(ledger_entry.c.position)
    return [StoredEntry(*row) for row in connection.execute(query)]


def notices(
    connection: Connection,
    *,
    account_id: str | None = None,
    kind: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> RowPage[StoredNotice]:
    """Notices, the latest first."""
    query = select(notice)
    if account_id is not None:
        query = query.where(notice.c.account_id == account_id)
    if kind is not None:
        query = query.where(notice.c.kind == kind)
    order = (notice.c.at, notice.c.partition, notice.c.position)
    return page(connection, query, order, StoredNotice._make, after=after, limit=limit, descending=True)
