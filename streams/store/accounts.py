"""The accounts that a batch touches: read once, folded in memory, written once, with the sums over all accounts."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from meter.arrears import Service
from meter.money import EXACT, ZERO, decimal_text
from streams.store.decode import Row
from streams.store.schema import account, account_total
from streams.store.types import escaped, moment_text
from streams.store.writing import given, upsert

#: How many accounts are remembered as seen: beyond, the oldest are asked for again.
REMEMBERED = 200_000


@dataclass(slots=True)
class AccountRow:
    """A row of `account`; instants as they are kept."""

    account_id: str  # as it is kept
    partition: int
    seen_at: str
    state: str = Service.GOOD
    since: str | None = None
    reason: str | None = None
    balance: Decimal = ZERO
    unpaid: Decimal = ZERO
    arrears_at: str | None = None
    deadline: str | None = None
    service_value: str | None = None

    @property
    def owed(self) -> Decimal:
        """What is missing to pay all open bills, in CNY."""
        return max(EXACT.subtract(self.unpaid, self.balance), ZERO)

    def row(self) -> Row:
        """As it is written."""
        return (
            self.account_id,
            self.partition,
            self.seen_at,
            str(self.state),
            self.since,
            self.reason,
            decimal_text(self.balance),
            decimal_text(self.unpaid),
            decimal_text(self.owed),
            self.arrears_at,
            self.deadline,
            self.service_value,
        )


class KnownAccounts:
    """Accounts that the store has, and since when: a job of one of them changes nothing of its row."""

    def __init__(self) -> None:
        self._since: dict[str, str] = {}

    def knows(self, account_id: str, at: str) -> bool:
        """Whether the store has seen the account (id as kept) by then."""
        since = self._since.get(account_id)
        return since is not None and since <= at

    def note(self, rows: Iterable[AccountRow]) -> None:
        """These rows are committed."""
        if len(self._since) > REMEMBERED:
            self._since.clear()
        for row in rows:
            self._since[row.account_id] = row.seen_at


class BatchAccounts:
    """The accounts of a batch, with what it has made of them."""

    def __init__(self, connection: Connection, touched: Iterable[str]) -> None:
        """`touched`: ids as they are kept."""
        self._connection = connection
        self._before: dict[str, AccountRow] = {}
        self.rows: dict[str, AccountRow] = {}
        self._asked = set(touched)
        self._load(sorted(self._asked))

    def asked(self, account_id: str) -> bool:
        """Whether the store was asked for the account's row."""
        return account_id in self._asked

    def _load(self, ids: list[str]) -> None:
        if not ids:
            return
        wanted = given(self._connection, ids)
        query = select(account).join(wanted, account.c.account_id == wanted.c.c0)
        for found in self._connection.execute(query):
            row = _account_row(found)
            self.rows[row.account_id] = row
            self._before[row.account_id] = _account_row(found)

    def seen(self, account_id: str, partition: int, at: str) -> AccountRow:
        """The account (id as kept), which something speaks of at an instant. The store was asked for it."""
        assert account_id in self._asked, account_id
        row = self.rows.get(account_id)
        if row is None:
            row = self.rows[account_id] = AccountRow(account_id, partition, at)
        elif at < row.seen_at:
            row.seen_at = at
        return row

    def save(self) -> None:
        """Write what has changed, and the sums."""
        changed = [row for row in self.rows.values() if row != self._before.get(row.account_id)]
        if not changed:
            return
        # In order, as whoever else might lock rows does.
        changed.sort(key=lambda row: row.account_id)
        upsert(self._connection, account, [row.row() for row in changed])
        self._save_totals(changed)

    def _save_totals(self, changed: list[AccountRow]) -> None:
        totals: dict[str, list[Any]] = {
            row.state: [row.accounts, row.owed, row.balance] for row in self._connection.execute(select(account_total))
        }
        for row in changed:
            if (before := self._before.get(row.account_id)) is not None:
                _add(totals, before, -1)
            _add(totals, row, 1)
        rows = [(str(s), n, decimal_text(owed), decimal_text(has)) for s, (n, owed, has) in sorted(totals.items())]
        upsert(self._connection, account_total, rows)


def _add(totals: dict[str, list[Any]], row: AccountRow, sign: int) -> None:
    total = totals.setdefault(str(row.state), [0, ZERO, ZERO])
    total[0] += sign
    put = EXACT.add if sign > 0 else EXACT.subtract
    total[1] = put(total[1], row.owed)
    total[2] = put(total[2], row.balance)


def _account_row(found: Any) -> AccountRow:
    return AccountRow(
        escaped(found.account_id),
        found.partition,
        moment_text(found.seen_at),
        found.state,
        _kept(found.since),
        None if found.reason is None else escaped(found.reason),
        found.balance,
        found.unpaid,
        _kept(found.arrears_at),
        _kept(found.deadline),
        None if found.service_value is None else escaped(found.service_value),
    )


def _kept(moment: Any) -> str | None:
    return None if moment is None else moment_text(moment)
