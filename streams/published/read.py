"""Reading what the meter put out: daily totals, rejects, the money, the state; committed records only."""

import re
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple, TypeVar

import msgspec

from meter import topics
from meter.billing_models import BillIssued, LedgerEntry, NoteIssued, Notice
from meter.models import DayTotal, OutputRecord, Rejected
from meter.periods import BillingDays
from meter.rejects import refused_at
from meter.routing import owner
from meter.rules import Rules
from meter.snapshot import StateError, StateReader
from meter.state import PartitionState
from streams.errors import MeterError, RefusalToStartError, SettingError
from streams.kafka.clients import offsets, read_all, read_range, reader
from streams.settings import Settings

_Record = TypeVar("_Record", bound=OutputRecord)
#: A partition's number has 31 bits, an offset has 63.
_POSITION = re.compile(r"([0-9]{1,10}):([0-9]{1,19})")


class PartitionOffset(NamedTuple):
    """Where a record is in a topic; written `partition:offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def read(cls, text: str) -> "PartitionOffset":
        """The position of a text such as 3:17. Raises SettingError."""
        found = _POSITION.fullmatch(text)
        if found is None:
            raise SettingError(f"a position is PARTITION:OFFSET, such as 3:17, got {text!r:.100}")
        return cls(int(found[1]), int(found[2]))


async def daily_totals(
    settings: Settings, rules: Rules, *, account: str | None = None, day: str | None = None, region: str | None = None
) -> list[DayTotal]:
    """The totals of `usage.daily` (the last value of each key), sorted by day, account and region."""
    wanted = (account, region, day)
    latest: dict[bytes, bytes | None] = {}
    async for _, records in read_all(settings, topics.DAILY, _partitions(rules, account)):
        for record in records:
            key = msgspec.json.decode(record.key or b"[]")
            if all(want in (None, part) for want, part in zip(wanted, key, strict=True)):
                latest[record.key] = record.value
    totals = [DayTotal.read(value) for value in latest.values() if value is not None]
    return sorted(totals, key=lambda total: (total.day, total.account_id, total.region))


def _partitions(rules: Rules, account: str | None) -> Iterable[int]:
    """Where an account's records are, or everybody's."""
    return range(rules.partitions) if account is None else [owner(account, rules.partitions)]


async def rejects(
    settings: Settings, rules: Rules, *, code: str | None = None, account: str | None = None, day: str | None = None
) -> AsyncIterator[tuple[PartitionOffset, Rejected]]:
    """The refused records in the order of the log; `day` is the billing day of their record time."""
    days = BillingDays(rules.time_zone)
    async for partition, records in read_all(settings, topics.REJECTED, range(rules.partitions)):
        for record in records:
            found = Rejected.read(record.value)
            if (
                code in (None, found.code)
                and account in (None, found.account_id)
                and (
                    day is None
                    or days.day_of(refused_at(found.code, found.source.timestamp, record.timestamp) * 1000) == day
                )
            ):
                yield PartitionOffset(partition, record.offset), found


async def rejects_at(
    settings: Settings, rules: Rules, positions: Iterable[PartitionOffset]
) -> AsyncIterator[tuple[PartitionOffset, Rejected]]:
    """The refused records at these positions. Raises MeterError where there is none."""
    name = settings.topic(topics.REJECTED)
    async with reader(settings) as consumer:
        for position in positions:
            found = None
            if position.partition < rules.partitions:
                start, end = await offsets(consumer, name, position.partition)
                if start <= position.offset < end:
                    span = (position.offset, position.offset + 1)
                    async for records in read_range(consumer, name, position.partition, *span):
                        found = Rejected.read(records[0].value)
            if found is None:
                raise MeterError(f"{name} has no record at {position}; `meter rejects list` shows what there is")
            yield position, found


def bills(settings: Settings, rules: Rules, account: str | None = None) -> AsyncIterator[BillIssued]:
    """All bills, or an account's, in the order of the log."""
    return _published(settings, rules, topics.BILLS, BillIssued, account)


def entries(settings: Settings, rules: Rules, account: str | None = None) -> AsyncIterator[LedgerEntry]:
    """The ledger, or an account's part of it, in the order of the log."""
    return _published(settings, rules, topics.LEDGER, LedgerEntry, account)


def notes(settings: Settings, rules: Rules, account: str | None = None) -> AsyncIterator[NoteIssued]:
    """All debit and credit notes, or an account's, in the order of the log."""
    return _published(settings, rules, topics.NOTES, NoteIssued, account)


def notices(settings: Settings, rules: Rules, account: str | None = None) -> AsyncIterator[Notice]:
    """All notices, or an account's, in the order of the log."""
    return _published(settings, rules, topics.NOTICES, Notice, account)


async def _published(
    settings: Settings, rules: Rules, topic: str, model: type[_Record], account: str | None
) -> AsyncIterator[_Record]:
    key = None if account is None else account.encode()
    async for _, records in read_all(settings, topic, _partitions(rules, account)):
        for record in records:
            if key in (None, record.key):
                yield model.read(record.value)


async def partition_state(
    settings: Settings, rules: Rules, partition: int, account: str | None = None
) -> PartitionState:
    """The state of a partition from `meter.state`, or only what concerns one of its accounts.

    Raises RefusalToStartError where it is of another version of the meter.
    """
    name = None if account is None else msgspec.json.encode(account)
    found = StateReader(PartitionState(rules, partition))
    async for _, records in read_all(settings, topics.STATE, [partition]):
        for record in records:
            if name is None or name in record.key or record.key.startswith((b'["position"', b'["book"')):
                found.read(record.key, record.value)
    try:
        return found.finish()
    except StateError as error:
        raise RefusalToStartError(f"{error}; use the meter version that wrote it, or a newer one") from error
