"""A batch of records into SQL: one transaction with the positions that it moves, so all of it counts or nothing."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, cast, delete, select

from meter import readback, topics
from meter.money import EXACT, ZERO, decimal_text
from meter.periods import BillingDays
from meter.readback import PublishedPriced, PublishedRejected, PublishedTotal
from streams.store import decode
from streams.store.accounts import AccountRow, BatchAccounts, KnownAccounts
from streams.store.decode import OutwardRecord, decoded
from streams.store.money import put_bills, put_ledger, put_notes
from streams.store.positions import PartitionAdvance, move
from streams.store.refusals import put_priced_later, put_rejected
from streams.store.schema import command, command_result, daily_total, notice, priced_usage, region_total
from streams.store.types import Day, escaped
from streams.store.writing import given, insert, upsert


class Batch(NamedTuple):
    """What was fetched: the positions that it moves, and the records, by topic, each partition's in order."""

    moves: Sequence[PartitionAdvance]
    records: Mapping[str, Sequence[OutwardRecord]]


def apply(connection: Connection, batch: Batch, days: BillingDays, seen: KnownAccounts) -> list[AccountRow]:
    """Write a batch; the caller commits, and then notes the accounts that this gives.

    Raises OtherProjectorError where a position is not as expected; then nothing may be committed.
    """
    move(connection, batch.moves)
    read = {topic: _read(topic, records) for topic, records in batch.records.items() if records}
    accounts = BatchAccounts(connection, _touched(read, seen))
    for topic, put in _PUT.items():
        if topic in read:
            put(connection, read[topic], accounts, days)
    accounts.save()
    return list(accounts.rows.values())


_Read = Sequence[tuple[OutwardRecord, Any]]

_KINDS: dict[str, type[Any]] = {
    topics.PRICED: PublishedPriced,
    topics.REJECTED: PublishedRejected,
    topics.BILLS: readback.PublishedBill,
    topics.NOTES: readback.PublishedNote,
    topics.LEDGER: readback.PublishedEntry,
    topics.NOTICES: readback.PublishedNotice,
    topics.SERVICE: readback.PublishedService,
    topics.COMMAND_RESULTS: readback.PublishedResult,
}


def _read(topic: str, records: Sequence[OutwardRecord]) -> _Read:
    if topic == topics.COMMANDS:
        return [(record, None) for record in records]
    if topic == topics.DAILY:  # a tombstone takes its total away
        return [
            (record, None if record.value is None else decoded(record, PublishedTotal, topic)) for record in records
        ]
    if topic == topics.SERVICE:
        records = [record for record in records if record.value is not None]
    return [(record, decoded(record, _KINDS[topic], topic)) for record in records]


def _touched(read: Mapping[str, _Read], seen: KnownAccounts) -> Iterable[str]:
    """The accounts whose rows may change, ids as they are kept."""
    for topic in (topics.LEDGER, topics.NOTICES, topics.SERVICE):
        yield from (escaped(value.account_id) for _, value in read.get(topic, ()))
    for _, result in read.get(topics.COMMAND_RESULTS, ()):
        if _made_sure(result):
            yield escaped(result.account_id)
    for _, job in read.get(topics.PRICED, ()):
        account_id = escaped(job.account_id)
        if not seen.knows(account_id, decode.of_ms(job.source.timestamp)):
            yield account_id


def _made_sure(result: readback.PublishedResult) -> bool:
    """Whether an answer says that its account is there."""
    return result.status == "done" and result.account_id is not None


# -- one function for each topic ---------------------------------------------------------------------------------


def _put_commands(connection: Connection, read: _Read, _: BatchAccounts, __: BillingDays) -> None:
    insert(connection, command, [decode.command_row(record) for record, _ in read])


def _put_results(connection: Connection, read: _Read, accounts: BatchAccounts, _: BillingDays) -> None:
    insert(connection, command_result, [decode.result_row(record, result) for record, result in read])
    for record, result in read:
        if _made_sure(result):
            account_id = escaped(result.account_id)
            accounts.seen(account_id, record.partition, decode.of_ms(result.source.timestamp))


def _put_priced(connection: Connection, read: _Read, accounts: BatchAccounts, _: BillingDays) -> None:
    rows = [decode.priced_row(record, job) for record, job in read]
    insert(connection, priced_usage, rows)
    first: dict[str, tuple[int, str]] = {}
    for record, job in read:
        at = decode.of_ms(job.source.timestamp)
        account_id = escaped(job.account_id)
        known = first.get(account_id)
        if known is None or at < known[1]:
            first[account_id] = record.partition, at
    for account_id, (partition, at) in first.items():
        if accounts.asked(account_id):  # of the others the store has the row, and a job changes nothing of it
            accounts.seen(account_id, partition, at)
    put_priced_later(connection, rows)


def _put_daily(connection: Connection, read: _Read, _: BatchAccounts, __: BillingDays) -> None:
    last: dict[_TotalKey, PublishedTotal | None] = {decode.key_of_total(record): total for record, total in read}
    before = _totals_before(connection, last)
    for account_id, day, region in [key for key, total in last.items() if total is None and key in before]:
        at = (daily_total.c.account_id == account_id) & (daily_total.c.day == day) & (daily_total.c.region == region)
        connection.execute(delete(daily_total).where(at))
    rows = [(*key, total.jobs, total.minutes, total.amount) for key, total in last.items() if total is not None]
    upsert(connection, daily_total, sorted(rows))
    _put_region_totals(connection, last, before)


_TotalKey = tuple[str, str, str]  # account as it is kept, day, region
_Sum = tuple[int, int, Decimal]
_NOTHING: _Sum = (0, 0, ZERO)


def _totals_before(connection: Connection, keys: Iterable[_TotalKey]) -> dict[_TotalKey, _Sum]:
    """The totals as the store has them, of the accounts and days of these keys."""
    pairs = sorted({(account_id, day) for account_id, day, _ in keys})
    wanted = given(connection, [pair[0] for pair in pairs], [pair[1] for pair in pairs])
    table = daily_total.c
    query = select(daily_total).join(
        wanted, (table.account_id == wanted.c.c0) & (table.day == cast(wanted.c.c1, Day()))
    )
    return {
        (escaped(row.account_id), row.day, row.region): (row.jobs, row.minutes, row.amount)
        for row in connection.execute(query)
    }


def _put_region_totals(
    connection: Connection,
    after: Mapping[_TotalKey, PublishedTotal | None],
    before: Mapping[_TotalKey, _Sum],
) -> None:
    changes: dict[tuple[str, str], _Sum] = defaultdict(lambda: _NOTHING)
    for key, total in after.items():
        now = _NOTHING if total is None else (total.jobs, total.minutes, Decimal(total.amount))
        where = key[1], key[2]
        changes[where] = _plus(changes[where], now, before.get(key, _NOTHING))
    table = region_total.c
    known = connection.execute(select(region_total).where(table.day.in_(sorted({day for day, _ in changes}))))
    sums = {(row.day, row.region): (row.jobs, row.minutes, row.amount) for row in known}
    rows = []
    for (day, region), change in sorted(changes.items()):
        jobs, minutes, amount = _plus(sums.get((day, region), _NOTHING), change, _NOTHING)
        rows.append((day, region, jobs, minutes, decimal_text(amount)))
    upsert(connection, region_total, rows)


def _plus(total: _Sum, more: _Sum, less: _Sum) -> _Sum:
    return (
        total[0] + more[0] - less[0],
        total[1] + more[1] - less[1],
        EXACT.subtract(EXACT.add(total[2], more[2]), less[2]),
    )


def _put_notices(connection: Connection, read: _Read, accounts: BatchAccounts, _: BillingDays) -> None:
    insert(connection, notice, [decode.notice_row(record, told) for record, told in read])
    for record, told in read:
        at = decode.instant(told.at)
        account = accounts.seen(escaped(told.account_id), record.partition, at)
        if told.kind == "arrears":
            account.arrears_at = at
            account.deadline = None if told.deadline is None else decode.instant(told.deadline)


def _put_services(_: Connection, read: _Read, accounts: BatchAccounts, __: BillingDays) -> None:
    for record, service in read:
        since = decode.instant(service.since)
        account = accounts.seen(escaped(service.account_id), record.partition, since)
        account.state = service.state
        account.since = since
        account.reason = escaped(service.reason)
        account.service_value = decode.as_published(record)


_PUT: dict[str, Callable[[Connection, _Read, BatchAccounts, BillingDays], None]] = {
    topics.COMMANDS: _put_commands,
    topics.COMMAND_RESULTS: _put_results,
    topics.PRICED: _put_priced,
    topics.DAILY: _put_daily,
    topics.REJECTED: put_rejected,
    topics.BILLS: put_bills,
    topics.NOTES: put_notes,
    topics.LEDGER: put_ledger,
    topics.NOTICES: _put_notices,
    topics.SERVICE: _put_services,
}
