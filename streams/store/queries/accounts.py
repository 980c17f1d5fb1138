"""Accounts: the list, searched and filtered; one with its open bills; how many there are in which state."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from sqlalchemy import Connection, Row, func, literal, select

from meter.arrears import Service, may_start_jobs
from meter.money import EXACT, ZERO
from streams.store.queries.pages import RowPage, page
from streams.store.schema import account, account_total, bill_standing
from streams.store.types import Words


class StoredAccount(NamedTuple):
    """An account. `seen_at`: the earliest record time that the topics have of it, which is when it was opened.

    `since` None: its service was never anything but good. `unpaid`: what open bills come to; `owed`: that less the
    balance, at least 0.00. `deadline`: when the service stops, of an account in arrears; None: never.
    """

    account_id: str
    partition: int
    seen_at: datetime
    state: Service
    since: datetime | None
    reason: str | None
    balance: Decimal
    unpaid: Decimal
    owed: Decimal
    deadline: datetime | None

    @property
    def in_state_since(self) -> datetime:
        """When its state began: where it was never anything but good, when the account was opened."""
        return self.since or self.seen_at

    @property
    def may_start_jobs(self) -> bool:
        """Whether it may start new jobs."""
        return may_start_jobs(self.state)


class StoredOpenBill(NamedTuple):
    """A bill or debit note that is not paid; `payable` less what was credited."""

    bill_id: str
    payable: Decimal
    entered_at: datetime


class StateTotal(NamedTuple):
    """How many accounts are in a state, and what they owe and have in sum."""

    state: Service
    accounts: int
    owed: Decimal
    balance: Decimal


def accounts(
    connection: Connection,
    *,
    search: str | None = None,
    state: Service | None = None,
    sort: Literal["account", "owed", "balance"] = "account",
    after: str | None = None,
    limit: int = 50,
) -> RowPage[StoredAccount]:
    """Accounts by id, or those that owe or have most first; `search`: a part of it (ASCII letters in either case)."""
    query = select(account)
    if search:
        pattern = "%" + search.replace("/", "//").replace("%", "/%").replace("_", "/_") + "%"
        query = query.where(func.lower(account.c.account_id).like(func.lower(literal(pattern, Words())), escape="/"))
    if state is not None:
        query = query.where(account.c.state == str(state))
    by_id = (account.c.account_id,)
    order = by_id if sort == "account" else (account.c[sort], *by_id)
    return page(connection, query, order, account_of, after=after, limit=limit, descending=sort != "account")


def account_by_id(connection: Connection, account_id: str) -> StoredAccount | None:
    """An account; None where no topic has spoken of it."""
    row = connection.execute(select(account).where(account.c.account_id == account_id)).one_or_none()
    return None if row is None else account_of(row)


def service_value(connection: Connection, account_id: str) -> str | None:
    """The account's last record of `account.service`, as published; None: there is none, and it may start jobs."""
    query = select(account.c.service_value).where(account.c.account_id == account_id)
    found: str | None = connection.execute(query).scalar()
    return found


def account_of(row: Row[Any]) -> StoredAccount:
    """A row of `account`. A deadline is of the present arrears, not of those before."""
    state = Service(row.state)
    present = (
        state is Service.IN_ARREARS and row.arrears_at is not None and row.arrears_at >= (row.since or row.seen_at)
    )
    return StoredAccount(
        row.account_id,
        row.partition,
        row.seen_at,
        state,
        row.since,
        row.reason,
        row.balance,
        row.unpaid,
        row.owed,
        row.deadline if present else None,
    )


def open_bills(connection: Connection, account_id: str) -> list[StoredOpenBill]:
    """The bills and debit notes of an account that are not paid, the oldest first."""
    table = bill_standing
    query = (
        select(table.c.bill_id, table.c.payable, table.c.entered_at, table.c.credited)
        .where(table.c.account_id == account_id, table.c.paid_at.is_(None))
        .order_by(table.c.entered_at, table.c.bill_id)
    )
    return [
        StoredOpenBill(row.bill_id, EXACT.subtract(row.payable, row.credited or ZERO), row.entered_at)
        for row in connection.execute(query)
    ]


def accounts_by_state(connection: Connection) -> dict[Service, StateTotal]:
    """All states, each with its accounts."""
    found = {Service(row.state): row for row in connection.execute(select(account_total))}
    return {
        state: StateTotal(state, row.accounts, row.owed, row.balance)
        if (row := found.get(state)) is not None
        else StateTotal(state, 0, ZERO, ZERO)
        for state in Service
    }
