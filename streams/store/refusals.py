"""Refused records into SQL, with the money at risk; a job that is priced after it was refused is put right."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, exists, func, select, update

from meter.money import EXACT, ZERO, decimal_text
from meter.periods import BillingDays
from meter.readback import PublishedRejected
from meter.rejects import refused_at
from streams.store import decode
from streams.store.accounts import BatchAccounts
from streams.store.decode import OutwardRecord, Row
from streams.store.schema import priced_usage, rejected, rejected_total
from streams.store.types import escaped, moment_text
from streams.store.writing import given, insert, upsert

#: A job that is refused for another of the same id: what is priced later under the id does not pay for it.
_NEVER_PUT_RIGHT = "conflict"

_JobKey = tuple[str, str]  # account and job, as they are kept


class _Change(NamedTuple):
    records: int = 0
    amount: Decimal = ZERO
    open_records: int = 0
    open_amount: Decimal = ZERO
    unknown: int = 0
    open_unknown: int = 0

    def plus(self, other: "_Change") -> "_Change":
        """The two together."""
        return _Change(
            self.records + other.records,
            EXACT.add(self.amount, other.amount),
            self.open_records + other.open_records,
            EXACT.add(self.open_amount, other.open_amount),
            self.unknown + other.unknown,
            self.open_unknown + other.open_unknown,
        )


_Changes = dict[tuple[str, str], _Change]  # by day and code


def put_rejected(
    connection: Connection, read: Sequence[tuple[OutwardRecord, PublishedRejected]], _: BatchAccounts, days: BillingDays
) -> None:
    """`usage.rejected`, and its sums."""
    priced = _priced_at(connection, {key for _, refused in read if (key := _key(refused)) is not None})
    changes: _Changes = defaultdict(_Change)
    rows = []
    for record, refused in read:
        at_ms = refused_at(refused.code, refused.source.timestamp, record.timestamp)
        day, at = days.day_of(at_ms * 1000), decode.of_ms(at_ms)
        later = priced.get(_key(refused) or ("", ""), "") >= at
        rows.append(decode.rejected_row(record, refused, day, at, later))
        unknown = int(refused.amount_at_risk is None)
        amount = Decimal(refused.amount_at_risk or 0)
        is_open = int(not later)
        change = _Change(1, amount, is_open, ZERO if later else amount, unknown, unknown * is_open)
        changes[day, refused.code] = changes[day, refused.code].plus(change)
    insert(connection, rejected, rows)
    _add(connection, changes)


def _key(refused: PublishedRejected) -> _JobKey | None:
    if refused.account_id is None or refused.job_id is None or refused.code == _NEVER_PUT_RIGHT:
        return None
    return escaped(refused.account_id), escaped(refused.job_id)


def _priced_at(connection: Connection, keys: Iterable[_JobKey]) -> dict[_JobKey, str]:
    """When jobs of these ids were last recorded and priced, as it is kept."""
    pairs = sorted(keys)
    if not pairs:
        return {}
    wanted = given(connection, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    table = priced_usage.c
    latest = func.max(table.recorded_at, type_=table.recorded_at.type)
    query = (
        select(table.account_id, table.job_id, latest)
        .join(wanted, (table.account_id == wanted.c.c0) & (table.job_id == wanted.c.c1))
        .group_by(table.account_id, table.job_id)
    )
    return {(escaped(row[0]), escaped(row[1])): moment_text(row[2]) for row in connection.execute(query)}


def put_priced_later(connection: Connection, rows: Sequence[Row]) -> None:
    """Jobs were priced (rows of `priced_usage`): what was refused of them before is put right."""
    table = rejected.c
    open_jobs = ~table.priced_later & table.job_id.is_not(None)
    if not connection.execute(select(exists().where(open_jobs))).scalar():
        return
    wanted = given(connection, [row[2] for row in rows], [row[3] for row in rows])
    query = (
        select(table.partition, table.position, table.day, table.code, table.amount_at_risk)
        .select_from(rejected)
        .join(wanted, (table.account_id == wanted.c.c0) & (table.job_id == wanted.c.c1))
        .join(
            priced_usage,
            (priced_usage.c.account_id == table.account_id)
            & (priced_usage.c.job_id == table.job_id)
            & (priced_usage.c.recorded_at >= table.recorded_at),  # a simulated clock may stand still
        )
        .where(~table.priced_later, table.code != _NEVER_PUT_RIGHT)
        .distinct()
    )
    changes: _Changes = defaultdict(_Change)
    for row in connection.execute(query).all():
        at = (table.partition == row.partition) & (table.position == row.position)
        connection.execute(update(rejected).where(at).values(priced_later=True))
        unknown = int(row.amount_at_risk is None)
        less = _Change(0, ZERO, -1, EXACT.minus(row.amount_at_risk or ZERO), 0, -unknown)
        changes[row.day, row.code] = changes[row.day, row.code].plus(less)
    _add(connection, changes)


def _add(connection: Connection, changes: _Changes) -> None:
    if not changes:
        return
    table = rejected_total.c
    known = connection.execute(select(rejected_total).where(table.day.in_(sorted({day for day, _ in changes}))))
    sums = {(row.day, row.code): _Change(*row[2:]) for row in known}
    rows = []
    for (day, code), change in sorted(changes.items()):
        total = sums.get((day, code), _Change()).plus(change)
        amounts = decimal_text(total.amount), decimal_text(total.open_amount)
        counts = total.unknown, total.open_unknown
        rows.append((day, code, total.records, amounts[0], total.open_records, amounts[1], *counts))
    upsert(connection, rejected_total, rows)
