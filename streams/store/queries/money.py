"""The ledger of an account, and what customers were told."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, select

from streams.store.queries.pages import Page, page
from streams.store.schema import ledger_entry, notice


class Entry(NamedTuple):
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


class Notice(NamedTuple):
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


def ledger(connection: Connection, account_id: str, *, after: str | None = None, limit: int = 50) -> Page[Entry]:
    """The entries of an account, the latest first."""
    query = select(ledger_entry).where(ledger_entry.c.account_id == account_id)
    return page(connection, query, (ledger_entry.c.position,), Entry._make, after=after, limit=limit, descending=True)


def entries_about(connection: Connection, reference: str) -> list[Entry]:
    """The entries about a bill or command, in order: the bill, its payment, refunds."""
    query = select(ledger_entry).where(ledger_entry.c.reference == reference).order_by(ledger_entry.c.position)
    return [Entry(*row) for row in connection.execute(query)]


def notices(
    connection: Connection,
    *,
    account_id: str | None = None,
    kind: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Page[Notice]:
    """Notices, the latest first."""
    query = select(notice)
    if account_id is not None:
        query = query.where(notice.c.account_id == account_id)
    if kind is not None:
        query = query.where(notice.c.kind == kind)
    order = (notice.c.at, notice.c.partition, notice.c.position)
    return page(connection, query, order, Notice._make, after=after, limit=limit, descending=True)
