"""One bill, recomputed from the log alone and compared byte for byte: `meter verify BILL_ID`."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec
from aiokafka import ConsumerRecord

from meter import topics
from meter.journal import InputRange, JournalStep
from meter.records import Record
from meter.replay import JournalError, concerns, refused_for_others, replay_bills
from meter.routing import owner
from meter.rules import Rules
from streams.errors import MeterError
from streams.kafka.clients import read_all
from streams.kafka.rights import AUDITOR
from streams.kafka.topics import check
from streams.proof.differences import Report, UnprovableError, differs
from streams.proof.log import PartitionLog, readers
from streams.settings import Settings


class FoundBill(NamedTuple):
    """A bill as it was published, and where."""

    partition: int
    record: ConsumerRecord
    account_id: str


async def prove_bill(settings: Settings, bill_id: str) -> Report:
    """Recompute one bill. Raises MeterError where there is none of this id."""
    rules = await check(settings, AUDITOR)
    report = Report(partitions=1)
    found = [bill async for bill in _published(settings, rules, bill_id)]
    if not found:
        raise MeterError(f"there is no bill {bill_id!r}; `meter bills list` shows what there is")
    first, *more = found
    for bill in more:
        report.differences.append(f"{topics.BILLS}[{bill.partition}]@{bill.record.offset}: published more than once")
    try:
        async with readers(settings) as log_readers:
            home = owner(first.account_id, rules.partitions)
            await _compare(PartitionLog(settings, home, log_readers), rules, first, bill_id, report)
    except UnprovableError as error:
        report.unprovable = str(error)
    return report


async def _published(settings: Settings, rules: Rules, bill_id: str) -> AsyncIterator[FoundBill]:
    name = bill_id.encode()
    async for partition, records in read_all(settings, topics.BILLS, range(rules.partitions)):
        for record in records:
            if name in record.value:
                fields = msgspec.json.decode(record.value)
                if fields.get("bill_id") == bill_id:
                    yield FoundBill(partition, record, fields["account_id"])


async def _compare(log: PartitionLog, rules: Rules, bill: FoundBill, bill_id: str, report: Report) -> None:
    journal = await log.journal()
    known = await _records(log, journal, bill.account_id, report)
    where = f"{log.at(topics.BILLS)}@{bill.record.offset}"
    try:
        for _, value in replay_bills(rules, log.partition, bill.account_id, journal, known.pop):
            if msgspec.json.decode(value)["bill_id"] == bill_id:
                report.bills += 1
                # Slices of one settlement may be of two versions of the meter; which one's is not looked into here.
                versions = {entry.meter_version for entry in journal if entry.due is not None}
                if bill.record.value not in {value, *(_as_of(value, version) for version in versions)}:
                    report.differences.append(differs(where, bill.record.value, value).text)
    except JournalError as error:
        report.differences.append(f"{log.at(topics.JOURNAL)}: {error}")
    report.steps = len(journal)
    if not report.bills and not report.differences:
        report.differences.append(f"{where}: bill {bill_id}: the log knows nothing of it")


def _as_of(value: bytes, meter_version: str) -> bytes:
    """The bill as another version of the meter would have signed it: that is its last field."""
    name = b'"meter_version":'
    return value[: value.rindex(name)] + name + msgspec.json.encode(meter_version) + b"}}"


async def _records(
    log: PartitionLog, journal: list[JournalStep], account_id: str, report: Report
) -> dict[InputRange, list[Record]]:
    """The records of every range that can concern the account."""
    may_concern = concerns(account_id)
    refused = refused_for_others(record.value for record in await log.whole(topics.COMMAND_RESULTS))
    known: dict[InputRange, list[Record]] = {}
    cursors = await log.cursors(await log.ends(topics.INPUTS))
    for entry in journal:
        for span in entry.inputs:
            records = await cursors[span.topic].below(span.next)
            report.records += len(records)
            if span.topic == topics.COMMANDS:
                known[span] = [record for record in records if record.offset not in refused]
            else:
                known[span] = [record for record in records if may_concern(record.value)]
    return known
