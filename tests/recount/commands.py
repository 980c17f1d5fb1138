"""Commands: what each is allowed to do, and the code of the first rule that it breaks."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from tests.recount.accounts import Accounts, Customer
from tests.recount.periods import DAY_MS, day_start_ms
from tests.recount.placement import owner
from tests.recount.prices import ANY_REGION, Book, Contract, Prices
from tests.recount.rules import ZONE_OF, ZONES, NotMetered, has_lone_surrogate, microseconds, parse_object

Row = dict[str, Any]
HOUR_MS = 3_600_000
HORIZON_MS = 35 * DAY_MS
TOLERANCE_MS = 5 * 60 * 1000
LONGEST_REASON = 500
LONGEST_GRACE_HOURS = 8784
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
MONEY = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,2})?")
PRICE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,8})?")


class Refused(Exception):  # noqa: N818  (a verdict on a command, no error of this program)
    """The command is not done; the argument is the stable code."""


class Answer(NamedTuple):
    """What became of a command; `code` None: done."""

    code: str | None
    account_id: str | None
    at_ms: int


class Times(NamedTuple):
    """When a command was recorded, when it takes effect, and the latest that the partition has heard of."""

    record_ms: int
    effective_ms: int
    latest_ms: int


def name(fields: Row, field: str, longest: int = 128) -> str:
    value = fields.get(field)
    if not isinstance(value, str) or not 1 <= len(value) <= longest or has_lone_surrogate(value):
        raise Refused("bad_fields")
    return value


def amount(fields: Row, field: str = "amount", negative: bool = False) -> Decimal:
    value = fields.get(field)
    if field not in fields:
        raise Refused("bad_fields")
    if not isinstance(value, str) or not MONEY.fullmatch(value):
        raise Refused("bad_amount")
    if Decimal(value) == 0 or (Decimal(value) < 0 and not negative):
        raise Refused("bad_amount")
    return Decimal(value)


def day(fields: Row) -> str:
    value = fields.get("effective_from")
    if not isinstance(value, str) or not DAY.fullmatch(value):
        raise Refused("bad_fields")
    return value


def price_table(fields: Row) -> dict[str, str]:
    value = fields.get("prices", {})
    if not isinstance(value, dict) or not all(isinstance(price, str) for price in value.values()):
        raise Refused("bad_fields")
    return value


def exact(prices: dict[str, str]) -> dict[str, Decimal]:
    if not all(PRICE.fullmatch(price) for price in prices.values()):
        raise Refused("bad_price")
    return {place: Decimal(price) for place, price in prices.items()}


class Commands:
    """The commands of one partition, in the order of its log, and their answers."""

    def __init__(self, partition: int, partitions: int, clock: str, prices: Prices, accounts: Accounts) -> None:
        self.partition = partition
        self.partitions = partitions
        self.clock = clock
        self.prices = prices
        self.accounts = accounts
        self.answers: list[tuple[int, str, Answer]] = []  # offset, command id, answer
        self._known: dict[str, Answer] = {}
        self._do: dict[str, Callable[[Row, Times], None]] = {
            "price_book": self._price_book,
            "open_account": self._open_account,
            "top_up": self._top_up,
            "adjustment": self._adjustment,
            "refund": self._refund,
            "low_balance": self._low_balance,
            "contract": self._contract,
            "tick": self._tick,
        }

    def fold(self, offset: int, value: bytes | None, times: Times) -> None:
        fields, command_id = self._envelope(value)
        answer = self._known.get(command_id)
        if answer is None or times.latest_ms - answer.at_ms > HORIZON_MS + TOLERANCE_MS:
            answer = self._answer(fields, times)
            if command_id:
                self._known[command_id] = answer
        self.answers.append((offset, command_id, answer))

    @staticmethod
    def _envelope(value: bytes | None) -> tuple[Row, str]:
        """The fields, and the id: empty where none can be read."""
        try:
            fields = parse_object(value)
            type_of = fields.get("type")
            command_id = name(fields, "command_id")
        except (NotMetered, Refused):
            return {}, ""
        return (fields, command_id) if isinstance(type_of, str) else ({}, "")

    def _answer(self, fields: Row, times: Times) -> Answer:
        account_id = fields.get("account_id")
        if not isinstance(account_id, str) or len(account_id) > 128:
            account_id = None
        try:
            if not fields:
                raise Refused("bad_fields")
            if fields["type"] not in self._do:
                raise Refused("unknown_command")
            self._do[fields["type"]](fields, times)
        except Refused as refused:
            return Answer(str(refused), account_id, times.record_ms)
        return Answer(None, account_id, times.record_ms)

    # Each of them reads its own fields first, then asks when it was issued, whose account it is, and what may be done.

    @staticmethod
    def _version_and_issue(fields: Row) -> int:
        if fields.get("v", 1) != 1 or not isinstance(fields.get("issued_at"), str):
            raise Refused("bad_fields")
        try:
            return microseconds(fields["issued_at"]) // 1000
        except NotMetered:
            raise Refused("bad_fields") from None

    @staticmethod
    def _in_time(issued_ms: int, times: Times) -> None:
        if times.latest_ms - issued_ms > HORIZON_MS:
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
        self._customer(account_id, issued_ms, times)
        command_id = fields["command_id"]
        entry = {"entry_id": f"command:{command_id}:{times.record_ms}", "cause": "top_up", "reference": command_id}
        self.accounts.credit(account_id, times.effective_ms, paid_in, "cash", entry)

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
        paid = customer.paid.get(bill_id)
        if paid is None:
            raise Refused("not_paid")
        if back > paid.payable - paid.refunded:
            raise Refused("over_paid")
        self.accounts.refund(account_id, times.effective_ms, bill_id, ticket, back)

    def _low_balance(self, fields: Row, times: Times) -> None:
        issued_ms, account_id = self._version_and_issue(fields), name(fields, "account_id")
        nothing = "threshold" in fields and fields["threshold"] is None
        threshold = None if nothing else amount(fields, "threshold")
        self._customer(account_id, issued_ms, times).warn_below = threshold

    def _contract(self, fields: Row, times: Times) -> None:
        issued_ms, account_id, start = self._version_and_issue(fields), name(fields, "account_id"), day(fields)
        mode, prices, grace = fields.get("mode", "daily"), price_table(fields), fields.get("grace_hours")
        if mode not in {"daily", "monthly"}:
            raise Refused("bad_fields")
        if not all(place in ZONE_OF or place == ANY_REGION for place in prices):
            raise Refused("unknown_region")
        if grace is not None and not (isinstance(grace, Decimal) and 1 <= grace <= LONGEST_GRACE_HOURS):
            raise Refused("bad_fields")
        self._here(account_id, issued_ms, times)
        self._check_start(account_id, start, times)
        if mode != self.prices.mode(account_id, start) and not start.endswith("-01"):
            raise Refused("mode_mid_month")
        if grace is not None and mode == "daily":
            raise Refused("bad_fields")
        contract = Contract(start, mode, exact(prices), None if grace is None else int(grace))
        self.prices.contracts.setdefault(account_id, []).append(contract)
        self.accounts.open(account_id)

    def _check_start(self, account_id: str, start: str, times: Times) -> None:
        """An hour's notice, after every day of which a job may have been priced, and after the contract before."""
        start_ms, known = day_start_ms(start), self.prices.contracts.get(account_id, [])
        if start_ms is None:
            raise Refused("bad_fields")
        if start_ms < times.effective_ms + HOUR_MS or start_ms <= times.latest_ms + TOLERANCE_MS:
            raise Refused("effective_in_past")
        if known and known[-1].start >= start:
            raise Refused("overlapping")

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
        start_ms = day_start_ms(start)
        if start_ms is None:
            raise Refused("bad_fields")
        if start_ms < times.record_ms + HOUR_MS:
            raise Refused("effective_in_past")
        self.prices.books.append(Book(version, start, minutely))

    def _tick(self, fields: Row, times: Times) -> None:
        self._in_time(self._version_and_issue(fields), times)
        if self.clock != "simulated":
            raise Refused("not_simulated")
