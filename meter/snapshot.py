"""The state of a partition as records of the compacted topic `meter.state`, and back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import zip_longest
from typing import Any, TypeVar

import msgspec

from meter.accounts import Account, Document, OpenBill, Payment
from meter.answers import Answer, Memory
from meter.arrears import Service
from meter.contracts import Contract, Mode
from meter.identity import Identity, Seal
from meter.money import decimal_text
from meter.prices import PriceBook, PriceBooks
from meter.published import Before
from meter.rollup import Total
from meter.settlement import Kind, ShareKey, UnbilledShare, period_of
from meter.state import PartitionState
from meter.step import Step
from meter.terms import NewTerms

_encode = msgspec.json.Encoder(decimal_format="string").encode

_T = TypeVar("_T")

POSITION = b'["position"]'
_CONTRACT = b'["contract"'
#: Which log the state is of. Written once; it does not follow from the inputs, so no replay gives it.
IDENTITY = b'["identity"]'
#: What the last step began behind, and what it changed: see `meter.published`.
BEFORE = b'["before"]'
#: Of the layout of the records below. A state of another version is refused.
VERSION = 2


class StateError(Exception):
    """A record of `meter.state` that this version cannot read."""


def changes(step: Step) -> Iterator[tuple[bytes, bytes | None]]:
    """The records that a step writes to `meter.state`. The position comes last: it is what makes them true."""
    changed = step.changes
    yield from _usage(step)
    yield from _accounts(step)
    for command_id in changed.forgotten:
        yield _encode(("command", command_id)), None
    for command_id, answer in changed.commands.items():
        yield _encode(("command", command_id)), _encode(answer)
    yield from _terms(changed.terms)
    if changed.identity is not None:
        yield IDENTITY, _encode({"cluster": changed.identity.cluster, "topics": changed.identity.topics})
    position = {
        "v": VERSION,
        "seq": changed.position.seq,
        "record_time": changed.position.record_time,
        "due_until": changed.position.due_until,
        "memory": changed.memory,
        "metered_day": step.metered_day(None),
        "next": changed.position.next,
        "last": changed.position.last,
    }
    yield POSITION, _encode(position)


def _terms(terms: NewTerms) -> Iterator[tuple[bytes, bytes | None]]:
    for account_id, contracts in terms.changed.items():
        for number, contract in _changed(terms.before.contracts_of(account_id), contracts):
            yield _encode(("contract", account_id, number)), None if contract is None else _encode(contract)
    if terms.books is not terms.before.books:
        for number, book in _changed(terms.before.books.published, terms.books.published):
            yield _encode(("book", number)), None if book is None else _encode(_book_fields(book))


def _changed(before: Sequence[_T], after: Sequence[_T]) -> Iterator[tuple[int, _T | None]]:
    """The places of a numbered list that are other than before; None: there is nothing any more."""
    for number, (old, new) in enumerate(zip_longest(before, after)):
        if old != new:
            yield number, new


def _book_fields(book: PriceBook) -> dict[str, Any]:
    prices = {zone: decimal_text(price) for zone, price in book.prices}
    return {"version": book.version, "from": book.effective_from, "prices": prices}


def _usage(step: Step) -> Iterator[tuple[bytes, bytes | None]]:
    """Totals, each with its own usage that is not billed yet; usage that came late by the bill that it is to go on."""
    state, changed = step.state, step.changes
    own = {(key.account_id, key.region, key.day): share for key, share in changed.shares.items() if _is_own(key)}
    for key in {**changed.totals, **own}:
        total = changed.totals.get(key) or state.totals.rows[key]
        share = own[key] if key in own else state.unbilled.own(key)
        figures = (total.jobs, total.minutes, decimal_text(total.amount))
        yield _encode(("total", *key)), _encode(figures if share is None else (*figures, share))
    for share_key, share in changed.shares.items():
        if not _is_own(share_key):
            account_id, period, _, region, day = share_key
            yield _encode(("late", account_id, period, region, day)), None if share is None else _encode(share)
    for key in changed.dropped:
        yield _encode(("total", *key)), None


def _is_own(key: ShareKey) -> bool:
    return key.kind is Kind.USAGE


def account_key(account_id: str) -> bytes:
    """The key of an account's record."""
    return _encode(("account", account_id))


def _accounts(step: Step) -> Iterator[tuple[bytes, bytes | None]]:
    changed = step.changes.accounts
    for account_id, account in changed.accounts.items():
        yield account_key(account_id), _encode(account)
    for (account_id, command_id), payment in changed.payments.items():
        yield _encode(("payment", account_id, command_id)), None if payment is None else _encode(payment)
    for (account_id, bill_id), document in changed.documents.items():
        yield _encode(("document", account_id, bill_id)), None if document is None else _encode(document)
        if document is None:
            for ticket in changed.known.tickets_of.get((account_id, bill_id), ()):
                yield _encode(("ticket", account_id, ticket)), None
    for key, (bill_id, amount) in changed.tickets.items():
        yield _encode(("ticket", *key)), _encode((bill_id, decimal_text(amount)))


def with_before(
    step: Step, ends: Mapping[str, int], rerouted: Mapping[int, int]
) -> Iterator[tuple[bytes, bytes | None]]:
    """The changes of a step, each key once, led by the record that says what they came after."""
    rows = dict(changes(step))
    accounts = len({account for account, _ in step.outputs.services})
    yield BEFORE, _encode(Before(ends, rerouted, kept(rows), accounts))
    yield from rows.items()


def kept(rows: Mapping[bytes, bytes | None]) -> int:
    """How many of these keys have a value: compaction takes none of them while they are the last ones."""
    return len(rows) - list(rows.values()).count(None) - (BEFORE in rows)


def read_before(value: bytes) -> Before:
    """The content of the record with the key BEFORE. Raises StateError."""
    try:
        return msgspec.json.decode(value, type=Before)
    except msgspec.MsgspecError as error:
        raise StateError(f"meter.state: cannot read the record with key {BEFORE!r}: {error}") from error


class StateReader:
    """Reads `meter.state` into a PartitionState: hand it every record in order, then `finish`."""

    def __init__(self, state: PartitionState) -> None:
        self.state = state
        self.found = False
        self.before: Before | None = None
        self._records: dict[bytes, bytes] = {}
        self._books: dict[int, PriceBook] = {}
        self._contracts: dict[str, dict[int, Contract]] = {}

    def read(self, key: bytes | None, value: bytes | None) -> None:
        """One record: of each key the last one counts, as compaction would leave it."""
        if key == BEFORE:
            self.before = None if value is None else read_before(value)
            return
        self._records.pop(key or b"", None)
        if value is not None:
            self._records[key or b""] = value

    def finish(self) -> PartitionState:
        """The state, whole. Raises StateError where a record is not of this version."""
        # Contracts first: the period of a day's usage depends on them.
        self._put_all(key for key in self._records if key.startswith(_CONTRACT))
        for account_id, numbered in self._contracts.items():
            self.state.put_contracts(account_id, tuple(contract for _, contract in sorted(numbered.items())))
        self._put_all(key for key in self._records if not key.startswith(_CONTRACT))
        self.state.terms.books = PriceBooks(tuple(book for _, book in sorted(self._books.items())))
        self._records.clear()
        return self.state

    def _put_all(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            try:
                self._put(msgspec.json.decode(key), msgspec.json.decode(self._records[key]))
            except (msgspec.MsgspecError, LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
                raise StateError(f"meter.state: cannot read the record with key {key!r}: {error}") from error

    def _put(self, key: Any, content: Any) -> None:
        match key:
            case ["total", account, region, day]:
                self._put_total((account, region, day), content)
            case ["late", account, period, region, day]:
                self.state.put_share(ShareKey(account, period, Kind.LATE, region, day), _share(content))
            case ["account" | "document" | "payment" | "ticket", account, *about]:
                self._put_account(key[0], account, about, content)
            case ["contract", account, number]:
                self._contracts.setdefault(account, {})[int(number)] = _contract(content)
            case ["command", command_id]:
                self.state.commands[command_id] = Answer(*content)
            case ["book", number]:
                prices = tuple((zone, Decimal(price)) for zone, price in content["prices"].items())
                self._books[int(number)] = PriceBook(content["version"], content["from"], prices)
            case ["position" | "identity" as what]:
                self._put_log(what, content)
            case _:
                raise ValueError("unknown kind of record")

    def _put_account(self, kind: str, account: str, about: list[str], content: Any) -> None:
        match kind, about:
            case "account", []:
                self.state.accounts.put(account, _account(content))
            case "document", [bill_id]:
                self.state.accounts.put_document(account, bill_id, _document(content))
            case "payment", [command_id]:
                amount, at_ms, is_reversed = content
                self.state.accounts.put_payment(account, command_id, Payment(Decimal(amount), at_ms, is_reversed))
            case "ticket", [ticket]:
                self.state.accounts.put_ticket(account, ticket, content[0], Decimal(content[1]))
            case _:
                raise ValueError("unknown kind of record")

    def _put_log(self, what: str, content: Any) -> None:
        """Up to where the log is folded, or which log it is."""
        if what == "identity":
            self.state.identity = Identity(str(content["cluster"]), dict(content["topics"]))
            return
        if content["v"] != VERSION:
            raise ValueError("another version")
        self.found = True
        position = self.state.position
        position.seq, position.record_time = content["seq"], content["record_time"]
        position.due_until = content["due_until"]
        self.state.memory = Memory(*content["memory"])
        # Its total may be forgotten by now.
        totals = self.state.totals
        totals.metered_day = max(totals.metered_day, content["metered_day"])
        position.next.update(content["next"])
        position.last.update({topic: Seal(*sealed) for topic, sealed in content["last"].items()})

    def _put_total(self, key: tuple[str, str, str], content: Any) -> None:
        jobs, minutes, amount, *share = content
        self.state.totals.put(key, Total(jobs, minutes, Decimal(amount)))
        if share:
            account_id, region, day = key
            period = period_of(day, self.state.terms.mode_on(account_id, day))
            self.state.put_share(ShareKey(account_id, period, Kind.USAGE, region, day), _share(share[0]))


def _share(content: Any) -> UnbilledShare:
    jobs, minutes, amount, first_seq, last_seq = content
    return UnbilledShare(jobs, minutes, Decimal(amount), first_seq, last_seq)


def _account(content: Any) -> Account:
    opened_ms, cash, bills, service, since_ms, deadline_ms, low_balance, after_stop, lenient = content
    return Account(
        opened_ms,
        Decimal(cash),
        tuple(OpenBill(bill_id, Decimal(payable), grace_hours) for bill_id, payable, grace_hours in bills),
        Service(service),
        since_ms,
        deadline_ms,
        None if low_balance is None else Decimal(low_balance),
        after_stop,
        Decimal(lenient),
    )


def _document(content: Any) -> Document:
    payable, lines, paid_ms, credited, refunded = content
    return Document(Decimal(payable), tuple(map(Decimal, lines)), paid_ms, Decimal(credited), Decimal(refunded))


def _contract(content: Any) -> Contract:
    contract_id, effective_from, mode, prices, grace_hours = content
    own = tuple((name, Decimal(price)) for name, price in prices)
    return Contract(contract_id, effective_from, Mode(mode), own, grace_hours)
