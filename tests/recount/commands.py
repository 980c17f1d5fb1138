"""Commands: what each is allowed to do, and the code of the first rule that it breaks."""

from collections.abc import Callable
from decimal import ROUND_UP, Decimal
from typing import Any, NamedTuple

from tests.recount.accounts import Accounts, Customer, Document, note
from tests.recount.fields import (
    LONGEST_REASON,
    Refused,
    Row,
    amount,
    content,
    day,
    exact,
    grace_hours,
    is_name,
    issued_at_ms,
    line_of,
    mode_of,
    name,
    price_table,
    threshold,
)
from tests.recount.periods import DAY_MS, day_of, day_start_ms
from tests.recount.placement import owner
from tests.recount.prices import ANY_REGION, Book, Contract, Prices
from tests.recount.rules import ZONE_OF, ZONES, NotMetered, has_lone_surrogate, parse_clear

HOUR_MS = 3_600_000
HORIZON_MS = 35 * DAY_MS
TOLERANCE_MS = 5 * 60 * 1000
REFUND_DAYS = 92
BOOK_MARGIN_MS = 10 * 60 * 1000
MOST_UNPAID = 10_000
#: The kind of a command in which a key stands twice; it is the same as no other.
AMBIGUOUS = object()
#: The kind of one that has no id, or is of no kind.
UNREADABLE = object()
#: The accounts and billing days of which a job was priced.
Metered = set[tuple[str, str]]


class Answer(NamedTuple):
    """What became of a command; `code` None: done."""

    code: str | None
    account_id: str | None
    at_ms: int


class Known(NamedTuple):
    """The first command of an id, and its answer."""

    content: tuple[Any, ...]
    answer: Answer


class Times(NamedTuple):
    """When a command was recorded, and when it takes effect."""

    record_ms: int
    effective_ms: int


def account_of(fields: Row) -> str | None:
    account_id = fields.get("account_id")
    return account_id if is_name(account_id) else None


class Commands:
    """The commands of one partition, in the order of its log, and their answers."""

    def __init__(
        self, partition: int, partitions: int, clock: str, prices: Prices, accounts: Accounts, metered: Metered
    ) -> None:
        self.metered = metered
        self.partition = partition
        self.partitions = partitions
        self.clock = clock
        self.prices = prices
        self.accounts = accounts
        self.answers: list[tuple[int, str, Answer]] = []  # offset, command id, answer
        self.contents: dict[int, tuple[Any, ...]] = {}  # by offset, where there is an id
        self._known: dict[str, Known] = {}
        self._forgotten_ms = 0  # what was answered at a record time before is not known any more
        self._answered_ms = 0  # the latest record time of an answer that is remembered
        self._do: dict[str, Callable[[Row, Times], None]] = {
            "price_book": self._price_book,
            "open_account": self._open_account,
            "top_up": self._top_up,
            "adjustment": self._adjustment,
            "refund": self._refund,
            "payment_reversed": self._payment_reversed,
            "charge": self._charge,
            "credit_note": self._credit_note,
            "low_balance": self._low_balance,
            "withdraw_contract": self._withdraw_contract,
            "withdraw_price_book": self._withdraw_price_book,
            "contract": self._contract,
            "tick": self._tick,
        }

    def fold(self, offset: int, value: bytes | None, times: Times, is_ahead: bool = False) -> None:
        fields, command_id = self._envelope(value)
        self.answers.append((offset, command_id, self._one_answer(offset, fields, command_id, times, is_ahead)))

    def _one_answer(self, offset: int, fields: Row, command_id: str, times: Times, is_ahead: bool) -> Answer:
        """A command is its id and its content: the first one of an id has the id to itself."""
        if not is_ahead:
            oldest = min(times.record_ms - HORIZON_MS - TOLERANCE_MS, self._answered_ms + 1)
            self._forgotten_ms = max(self._forgotten_ms, oldest)
        refused = Answer("clock_ahead", account_of(fields), times.record_ms)
        if not command_id:
            return refused if is_ahead else self._answer(fields, times)
        asked = self.contents[offset] = content(fields)
        before = self._known.get(command_id)
        if before is None or before.answer.at_ms < self._forgotten_ms:
            if is_ahead:
                return refused
            self._known[command_id] = Known(asked, self._answer(fields, times))
            self._answered_ms = max(self._answered_ms, times.record_ms)
            return self._known[command_id].answer
        if before.content != asked:
            return Answer("id_reused", account_of(fields), times.record_ms)
        return before.answer

    @staticmethod
    def _envelope(value: bytes | None) -> tuple[Row, str]:
        """The fields, and the id: empty where none can be read."""
        try:
            fields, is_clear = parse_clear(value)
            if not is_clear:
                ids = {field: fields[field] for field in ("command_id", "account_id") if is_name(fields.get(field))}
                return ids | {"type": AMBIGUOUS, "record": value}, str(ids.get("command_id", ""))
        except NotMetered:
            return {}, ""
        type_of, command_id = fields.get("type"), fields.get("command_id")
        if is_name(command_id) and isinstance(type_of, str) and not has_lone_surrogate(type_of):
            return fields, str(command_id)
        return fields | {"type": UNREADABLE}, ""

    def _answer(self, fields: Row, times: Times) -> Answer:
        account_id = account_of(fields)
        try:
            if not fields or fields["type"] is UNREADABLE:
                raise Refused("bad_fields")
            if fields["type"] is AMBIGUOUS:
                raise Refused("duplicate_key")
            if fields["type"] not in self._do:
                raise Refused("unknown_command")
            self._do[fields["type"]](fields, times)
        except Refused as refused:
            return Answer(str(refused), account_id, times.record_ms)
        return Answer(None, account_id, times.record_ms)

    # Each of them reads its own fields first, then asks when it was issued, whose account it is, and what may be done.

    _version_and_issue = staticmethod(issued_at_ms)

    def _in_time(self, issued_ms: int, times: Times) -> None:
        if issued_ms < max(times.record_ms - HORIZON_MS, self._forgotten_ms + TOLERANCE_MS):
            raise Refused("too_old")
        if issued_ms - times.record_ms > TOLERANCE_MS:
            raise Refused("in_future")

    def _here(self, account_id: str, issued_ms: int, times: Times) -> None:
        self._in_time(issued_ms, times)
        if owner(account_id, self.partitions) != self.partition:
            raise Refused("wrong_partition")
        self.accounts.stop_if_late(account_id, times.effective_ms)

    def _customer(self, account_id: str, issued_ms: int, times: Times) -> Customer:
        self._here(account_id, issued_ms, times)
        if account_id not in self.accounts.of:
            raise Refused("unknown_account")
        return self.accounts.of[account_id]

    def _open_account(self, fields: Row, times: Times) -> None:
        issued_ms, account_id = self._version_and_issue(fields), name(fields, "account_id")
        self._here(account_id, issued_ms, times)
        if account_id in self.accounts.of:
            raise Refused("account_exists")
        self.accounts.open(account_id)

    def _top_up(self, fields: Row, times: Times) -> None:
        issued_ms, account_id, paid_in = self._version_and_issue(fields), name(fields, "account_id"), amount(fields)
        customer, command_id = self._customer(account_id, issued_ms, times), fields["command_id"]
        if command_id in customer.top_ups and not self._is_old(customer.top_ups[command_id].at_ms, times):
            raise Refused("id_reused")
        entry = {"entry_id": f"command:{command_id}:{times.record_ms}", "cause": "top_up", "reference": command_id}
        self.accounts.top_up(account_id, times.effective_ms, paid_in, entry)

    @staticmethod
    def _is_old(at_ms: int, times: Times) -> bool:
        return times.effective_ms - at_ms > REFUND_DAYS * DAY_MS

    def _debit(self, kind: str, fields: Row, times: Times, **rest: Any) -> None:
        account_id = fields["account_id"]
        issued = note(account_id, kind, fields, times.effective_ms, times.record_ms, **rest)
        self.accounts.debit(
            account_id, times.effective_ms, issued, self.prices.contract(account_id, day_of(times.effective_ms))
        )

    def _payment_reversed(self, fields: Row, times: Times) -> None:
        issued_ms, account_id = self._version_and_issue(fields), name(fields, "account_id")
        command_id = name(fields, "top_up")
        paid = self._customer(account_id, issued_ms, times).top_ups.get(command_id)
        if paid is None or self._is_old(paid.at_ms, times):
            raise Refused("unknown_payment")
        if paid.bounced:
            raise Refused("already_reversed")
        self._debit("payment_reversed", fields, times, amount=paid.amount, reference=command_id)

    def _charge(self, fields: Row, times: Times) -> None:
        issued_ms, account_id, owed = self._version_and_issue(fields), name(fields, "account_id"), amount(fields)
        reason = name(fields, "reason", LONGEST_REASON)
        if len(self._customer(account_id, issued_ms, times).unpaid) >= MOST_UNPAID:
            raise Refused("too_many_open")
        self._debit("charge", fields, times, amount=owed, reason=reason)

    def _credit_note(self, fields: Row, times: Times) -> None:
        issued_ms, account_id = self._version_and_issue(fields), name(fields, "account_id")
        bill_id, line = name(fields, "bill_id"), line_of(fields)
        less, reason = amount(fields), name(fields, "reason", LONGEST_REASON)
        document = self._document(self._customer(account_id, issued_ms, times), bill_id, times)
        if document is None:
            raise Refused("unknown_bill")
        if line > len(document.lines):
            raise Refused("no_such_line")
        came_to = document.lines[line - 1].quantize(Decimal("0.01"), ROUND_UP)
        if less > min(came_to, document.payable - document.given_back):
            raise Refused("over_credited")
        rest = {"amount": less, "reason": reason, "reference": bill_id, "line": line}
        issued = note(account_id, "credit_note", fields, times.effective_ms, times.record_ms, **rest)
        self.accounts.credit_note(account_id, times.effective_ms, issued)

    @staticmethod
    def _document(customer: Customer, bill_id: str, times: Times) -> Document | None:
        document = customer.documents.get(bill_id)
        return None if document is None or document.too_old(times.effective_ms) else document

    def _adjustment(self, fields: Row, times: Times) -> None:
        issued_ms, account_id = self._version_and_issue(fields), name(fields, "account_id")
        change, reason = amount(fields, negative=True), name(fields, "reason", LONGEST_REASON)
        customer = self._customer(account_id, issued_ms, times)
        if customer.cash + change < 0:
            raise Refused("over_balance")
        command_id = fields["command_id"]
        entry = {
            "entry_id": f"command:{command_id}:{times.record_ms}",
            "cause": "adjustment",
            "reference": command_id,
            "reason": reason,
        }
        self.accounts.credit(account_id, times.effective_ms, change, "adjustments", entry)

    def _refund(self, fields: Row, times: Times) -> None:
        issued_ms, account_id = self._version_and_issue(fields), name(fields, "account_id")
        ticket, bill_id, back = name(fields, "ticket"), name(fields, "bill_id"), amount(fields)
        customer = self._customer(account_id, issued_ms, times)
        if ticket in customer.tickets:
            if customer.tickets[ticket] != (bill_id, back):
                raise Refused("ticket_conflict")
            return
        paid = self._document(customer, bill_id, times)
        if paid is None or paid.at_ms is None:
            raise Refused("not_paid")
        if back > paid.payable - paid.given_back:
            raise Refused("over_paid")
        self.accounts.refund(account_id, times.effective_ms, bill_id, ticket, back)

    def _low_balance(self, fields: Row, times: Times) -> None:
        issued_ms, account_id = self._version_and_issue(fields), name(fields, "account_id")
        below = threshold(fields)
        self._customer(account_id, issued_ms, times).warn_below = below

    def _contract(self, fields: Row, times: Times) -> None:
        issued_ms, account_id, start = self._version_and_issue(fields), name(fields, "account_id"), day(fields)
        mode, prices = mode_of(fields), price_table(fields)
        if not all(place in ZONE_OF or place == ANY_REGION for place in prices):
            raise Refused("unknown_region")
        grace = grace_hours(fields)
        self._here(account_id, issued_ms, times)
        self._check_start(account_id, start, times)
        if any(contract.name == fields["command_id"] for contract in self.prices.contracts.get(account_id, [])):
            raise Refused("id_reused")
        before = self.prices.contract(account_id, start)
        if mode is None:
            mode = before.mode if before else "daily"
            grace = before.grace_hours if before and grace is None else grace
        if mode != self.prices.mode(account_id, start) and not start.endswith("-01"):
            raise Refused("mode_mid_month")
        if grace is not None and mode == "daily":
            raise Refused("bad_fields")
        contract = Contract(fields["command_id"], start, mode, exact(prices), grace)
        self.prices.contracts.setdefault(account_id, []).append(contract)
        self.accounts.open(account_id)

    def _check_start(self, account_id: str, start: str, times: Times) -> None:
        known = self.prices.contracts.get(account_id, [])
        self._need_notice(account_id, start, times)
        if known and known[-1].start >= start:
            raise Refused("overlapping")

    def _need_notice(self, account_id: str, start: str, times: Times) -> None:
        """An hour's notice, and after every day of which a job was priced."""
        start_ms = day_start_ms(start)
        if start_ms is None:
            raise Refused("bad_fields")
        days = [day for account, day in self.metered if account == account_id]
        if start_ms < times.effective_ms + HOUR_MS or start <= max(days, default=""):
            raise Refused("effective_in_past")

    def _need_margin(self, start: str, issued_ms: int, times: Times) -> None:
        """A book is for all partitions, which may take it at different moments: more notice, by its own words."""
        start_ms = day_start_ms(start)
        if start_ms is None:
            raise Refused("bad_fields")
        if start_ms < max(times.record_ms + HOUR_MS, issued_ms + HOUR_MS + BOOK_MARGIN_MS):
            raise Refused("effective_in_past")
        if start <= max((day for _, day in self.metered), default=""):
            raise Refused("effective_in_past")

    def _withdraw_contract(self, fields: Row, times: Times) -> None:
        issued_ms, account_id = self._version_and_issue(fields), name(fields, "account_id")
        contract_id = name(fields, "contract_id")
        self._here(account_id, issued_ms, times)
        known = self.prices.contracts.get(account_id, [])
        found = [contract for contract in known if contract.name == contract_id]
        if not found:
            raise Refused("unknown_contract")
        self._need_notice(account_id, found[0].start, times)
        left = [contract for contract in known if contract is not found[0]]
        modes = ["daily", *(contract.mode for contract in left)]
        if any(m != contract.mode and contract.start[8:] != "01" for m, contract in zip(modes, left, strict=False)):
            raise Refused("mode_mid_month")
        self.prices.contracts[account_id] = left

    def _withdraw_price_book(self, fields: Row, times: Times) -> None:
        issued_ms, version = self._version_and_issue(fields), name(fields, "version")
        self._in_time(issued_ms, times)
        found = [book for book in self.prices.books[1:] if book.version == version]
        if not found:
            raise Refused("unknown_version")
        self._need_margin(found[0].start, issued_ms, times)
        self.prices.books.remove(found[0])

    def _price_book(self, fields: Row, times: Times) -> None:
        issued_ms, version, start = self._version_and_issue(fields), name(fields, "version"), day(fields)
        prices, zones = price_table(fields), [zone for zone, _ in ZONES]
        if fields.get("currency", "CNY") != "CNY" or "prices" not in fields:
            raise Refused("bad_fields")
        self._in_time(issued_ms, times)
        if any(zone not in prices for zone in zones):
            raise Refused("missing_zone")
        if any(place not in zones for place in prices):
            raise Refused("unknown_zone")
        minutely = exact(prices)
        if any(book.version == version for book in self.prices.books):
            raise Refused("version_exists")
        self._need_margin(start, issued_ms, times)
        self.prices.books.append(Book(version, start, minutely))

    def _tick(self, fields: Row, times: Times) -> None:
        self._in_time(self._version_and_issue(fields), times)
        if self.clock != "simulated":
            raise Refused("not_simulated")
