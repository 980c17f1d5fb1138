"""What came in, what was priced, billed and paid, added up and held together: `meter reconcile`.

Everything is looked at as of one step, the last one that `meter.state` tells of: the journal says how many records of
each ordered topic belong to the steps up to it. So a worker may go on working meanwhile.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import msgspec

from meter import topics
from meter.journal import JournalStep
from meter.ledger import Book, Cause
from meter.money import EXACT, ZERO, decimal_text
from meter.notes import NoteKind
from meter.readback import PricedAmount, PublishedBill, PublishedEntry, PublishedNote, PublishedTotal
from meter.rules import Rules
from meter.snapshot import StateReader
from meter.state import PartitionState
from streams.kafka import same_log as samelog
from streams.kafka.rights import AUDITOR
from streams.kafka.topics import check
from streams.proof.differences import UnprovableError
from streams.proof.log import PartitionLog, readers
from streams.settings import Settings

Say = Callable[[str], None]


# So many fields: one for each sum that is printed.
class ReconciledSums(NamedTuple):
    """What one partition, or all of them, come to; money in CNY."""

    read: int = 0
    priced: int = 0
    duplicate: int = 0
    rejected: int = 0
    rerouted: int = 0
    commands: int = 0
    priced_amount: Decimal = ZERO
    daily_amount: Decimal = ZERO
    billed_amount: Decimal = ZERO
    unbilled_amount: Decimal = ZERO
    payable: Decimal = ZERO
    charged: Decimal = ZERO
    credited: Decimal = ZERO
    ledger: Decimal = ZERO
    balances: Decimal = ZERO
    receivable: Decimal = ZERO

    def plus(self, other: "ReconciledSums") -> "ReconciledSums":
        """Both together."""
        pairs: Iterator[tuple[Any, Any]] = zip(self, other, strict=True)
        added: Any = (a + b if isinstance(a, int) else EXACT.add(a, b) for a, b in pairs)
        return ReconciledSums(*added)


@dataclass
class Reconciliation:
    """The sums, and every place where two of them that should be equal are not."""

    sums: ReconciledSums = field(default_factory=ReconciledSums)
    differences: list[str] = field(default_factory=list)
    unprovable: str | None = None

    @property
    def difference(self) -> Decimal:
        """Priced less billed and unbilled, in CNY: zero."""
        sums = self.sums
        return EXACT.subtract(sums.priced_amount, EXACT.add(sums.billed_amount, sums.unbilled_amount))


#: What an entry's posting must add up to, by cause and book.
_DOCUMENTS: dict[tuple[str, str], str] = {
    (Cause.BILL, Book.RECEIVABLE): "bills",
    (Cause.CHARGE, Book.RECEIVABLE): "debit notes",
    (Cause.PAYMENT_REVERSED, Book.RECEIVABLE): "debit notes",
    (Cause.CREDIT_NOTE, Book.CREDITS): "credit notes",
}


async def reconcile(settings: Settings, *, say: Say) -> Reconciliation:
    """Add it all up. `unprovable` says so where the log does not reach back to its start, or a record is unreadable."""
    rules = await check(settings, AUDITOR)
    result = Reconciliation(differences=await samelog.differences(settings, range(rules.partitions), rules))
    try:
        async with readers(settings) as log_readers:
            for partition in range(rules.partitions):
                sums, found = await _Partition(PartitionLog(settings, partition, log_readers), rules).reconcile()
                log_readers.release()
                result.sums = result.sums.plus(sums)
                result.differences += found
                say(f"partition {partition}: {result.sums.read:,} records so far")
    except UnprovableError as error:
        result.unprovable = str(error)
    except msgspec.MsgspecError as error:
        result.unprovable = f"a record that this version of the meter cannot read: {error}"
    return result


async def reconcile_quietly(settings: Settings) -> Reconciliation:
    """The same, where nobody looks on."""
    return await reconcile(settings, say=lambda _: None)


def published_cny(text: str) -> Decimal:
    """An amount as it was published. Raises UnprovableError where it is none."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise UnprovableError(f"a record that this version of the meter cannot read: {text!r} is no amount")
    return amount


class _Partition:
    def __init__(self, log: PartitionLog, rules: Rules) -> None:
        self._log = log
        self._state = PartitionState(rules, log.partition)
        self._sums = ReconciledSums()
        self._daily: dict[tuple[str, str, str], tuple[int, Decimal]] = {}
        self._balances: dict[str, Decimal] = {}
        self._receivable: dict[str, Decimal] = {}

    async def reconcile(self) -> tuple[ReconciledSums, list[str]]:
        await self._read_state()
        steps = [step for step in await self._log.journal() if step.seq <= self._state.position.seq]
        found = [
            *(f"a step is torn: {text}" for text in await self._log.torn()),
            *self._journal(steps),
            *await self._usage(sum(step.priced for step in steps)),
            *await self._bills(sum(step.bills for step in steps)),
            *await self._notes(sum(step.notes for step in steps)),
            *await self._ledger(sum(step.entries for step in steps)),
            *self._accounts(),
        ]
        return self._sums, [f"partition {self._log.partition}: {text}" for text in found]

    async def _read_state(self) -> None:
        reader = StateReader(self._state)
        for key, value in (await self._log.latest(topics.STATE)).items():
            reader.read(key, value)
        reader.finish()

    def _journal(self, steps: list[JournalStep]) -> Iterator[str]:
        names = ("read", "priced", "duplicate", "rejected", "rerouted", "commands")
        totals = {name: sum(getattr(step, name) for step in steps) for name in names}
        self._sums = self._sums._replace(**totals)
        if totals["read"] != sum(totals[name] for name in names[1:]):
            yield f"{totals['read']} records read, but {sum(totals[n] for n in names[1:])} accounted for"
        if len(steps) != self._state.position.seq:
            yield f"the state is of step {self._state.position.seq}, the journal has {len(steps)} up to it"

    async def _first(self, topic: str, count: int) -> AsyncIterator[bytes]:
        """The first records of an ordered topic: those of the steps looked at."""
        cursor = (await self._log.cursors(await self._log.ends([topic])))[topic]
        for _ in range(count):
            record = await cursor.next()
            if record is None:
                return
            yield record.value

    async def _usage(self, count: int) -> list[str]:
        decode = msgspec.json.Decoder(PricedAmount).decode
        total, rows = ZERO, 0
        async for value in self._first(topics.PRICED, count):
            row = decode(value)
            key = row.account_id, row.region, row.day
            jobs, amount = self._daily.get(key, (0, ZERO))
            self._daily[key] = jobs + 1, EXACT.add(amount, row.amount)
            total, rows = EXACT.add(total, row.amount), rows + 1
        self._sums = self._sums._replace(priced_amount=total)
        found = [] if rows == count else [f"{count} jobs priced in the journal, {rows} in {topics.PRICED}"]
        return [*found, *await self._daily_totals()]

    async def _daily_totals(self) -> list[str]:
        published = await self._log.latest(topics.DAILY)
        decode = msgspec.json.Decoder(PublishedTotal).decode
        found: list[str] = []
        total = ZERO
        for key, (jobs, amount) in self._daily.items():
            value = published.get(msgspec.json.encode(key))
            told = (0, ZERO) if value is None else ((daily := decode(value)).jobs, published_cny(daily.amount))
            # A worker at work may have counted more by now; then ours is what it was.
            counted = amount if told[0] > jobs else told[1]
            total = EXACT.add(total, counted)
            if told[0] < jobs or counted != amount:
                found.append(
                    f"{key}: {jobs} jobs, {decimal_text(amount)} CNY priced; "
                    f"{told[0]} jobs, {decimal_text(told[1])} CNY in total"
                )
        self._sums = self._sums._replace(daily_amount=total)
        return found

    async def _bills(self, count: int) -> list[str]:
        decode = msgspec.json.Decoder(PublishedBill).decode
        bills = [decode(value) async for value in self._first(topics.BILLS, count)]
        found = [] if len(bills) == count else [f"{count} bills in the journal, {len(bills)} in {topics.BILLS}"]
        billed = to_pay = ZERO
        seen: set[tuple[str, str]] = set()
        for bill in bills:
            lines = ZERO
            for line in bill.lines:
                lines = EXACT.add(lines, published_cny(line.amount))
            if lines != published_cny(bill.total):
                sums = f"its lines come to {decimal_text(lines)}, its total is {bill.total}"
                found.append(f"bill {bill.bill_id}: {sums}")
            if (bill.account_id, bill.period) in seen:
                found.append(f"bill {bill.bill_id}: the second one of {bill.account_id} and {bill.period}")
            seen.add((bill.account_id, bill.period))
            billed, to_pay = EXACT.add(billed, lines), EXACT.add(to_pay, published_cny(bill.payable))
        unbilled = self._state.unbilled.added_up()
        self._sums = self._sums._replace(billed_amount=billed, unbilled_amount=unbilled, payable=to_pay)
        if EXACT.add(billed, unbilled) != (priced := self._sums.priced_amount):
            parts = f"{decimal_text(billed)} billed and {decimal_text(unbilled)} unbilled"
            found.append(f"{decimal_text(priced)} CNY priced, but {parts}")
        return found

    async def _notes(self, count: int) -> list[str]:
        decode = msgspec.json.Decoder(PublishedNote).decode
        notes = [decode(value) async for value in self._first(topics.NOTES, count)]
        found = [] if len(notes) == count else [f"{count} notes in the journal, {len(notes)} in {topics.NOTES}"]
        charged = credited = ZERO
        seen: set[str] = set()
        for note in notes:
            if note.kind == NoteKind.CREDIT_NOTE:
                credited = EXACT.add(credited, published_cny(note.amount))
            else:
                charged = EXACT.add(charged, published_cny(note.amount))
            if note.note_id in seen:
                found.append(f"note {note.note_id} is there twice")
            seen.add(note.note_id)
        self._sums = self._sums._replace(charged=charged, credited=credited)
        return found

    async def _ledger(self, count: int) -> list[str]:
        decode = msgspec.json.Decoder(PublishedEntry).decode
        entries = [decode(value) async for value in self._first(topics.LEDGER, count)]
        found = [] if len(entries) == count else [f"{count} entries in the journal, {len(entries)} in {topics.LEDGER}"]
        total = ZERO
        entered = dict.fromkeys(_DOCUMENTS.values(), ZERO)
        for entry in entries:
            balance = ZERO
            for posting in entry.postings:
                amount = published_cny(posting.amount)
                balance = EXACT.add(balance, amount)
                self._post(entry.account_id, posting.book, amount)
                if (what := _DOCUMENTS.get((entry.cause, posting.book))) is not None:
                    entered[what] = EXACT.add(entered[what], amount)
            total = EXACT.add(total, balance)
            if balance:
                found.append(f"ledger entry {entry.entry_id} sums to {decimal_text(balance)}")
        self._sums = self._sums._replace(ledger=total)
        sums = self._sums
        for what, stated in (("bills", sums.payable), ("debit notes", sums.charged), ("credit notes", sums.credited)):
            if entered[what] != stated:
                in_ledger = decimal_text(entered[what])
                found.append(f"{what} come to {decimal_text(stated)} CNY, their ledger entries to {in_ledger}")
        return found

    def _post(self, account_id: str, book: str, amount: Decimal) -> None:
        if book == Book.BALANCE:
            self._balances[account_id] = EXACT.subtract(self._balances.get(account_id, ZERO), amount)
        elif book == Book.RECEIVABLE:
            self._receivable[account_id] = EXACT.add(self._receivable.get(account_id, ZERO), amount)

    def _accounts(self) -> Iterator[str]:
        balances = receivable = ZERO
        for account_id in self._balances.keys() | self._receivable.keys() | self._state.accounts.by_id.keys():
            account = self._state.accounts.by_id.get(account_id)
            cash, owed = self._balances.get(account_id, ZERO), self._receivable.get(account_id, ZERO)
            balances, receivable = EXACT.add(balances, cash), EXACT.add(receivable, owed)
            known = (account.cash, account.open_amount) if account else (ZERO, ZERO)
            if known != (cash, owed):
                in_state = f"{decimal_text(known[0])} CNY and {decimal_text(known[1])} open in the state"
                by_ledger = f"{decimal_text(cash)} and {decimal_text(owed)} by the ledger"
                yield f"account {account_id!r}: {in_state}, {by_ledger}"
        self._sums = self._sums._replace(balances=balances, receivable=receivable)
