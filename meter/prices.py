"""Price books: dated data. The built-in one is the guide's and has no start.

A change takes effect at the start of a billing day that is at least an hour after the command's record time, and of
which nothing has been metered. So one account, region and day has one price, and everyone agrees which.

A customer's own price comes before the book's (`terms.py`); a completion gets its price in `fold_jobs.py`.
"""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

import msgspec

from meter.models import PriceBookCommand
from meter.money import CURRENCY, decimal_text
from meter.periods import BillingDays, instant_us, milliseconds
from meter.regions import ASIA_EUROPE, MAINLAND, NORTH_AMERICA, ZONE_OF, ZONES
from meter.rejects import Refusal
from meter.rules import Rules

#: A book is for all partitions, which append its command at different moments and by different clocks. It is given so
#: much more notice, counted from `issued_at`, which is the same text for all of them, that they decide alike.
MARGIN_MS = 600_000
#: What a price looks like, in CNY per minute.
PRICE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,8})?")


class Price(NamedTuple):
    """A unit price in CNY per minute, and the version of the book that it comes from."""

    unit_price: Decimal
    version: str
    unit_price_text: str
    tail: str  # currency and version as `usage.priced` says them


def price_of(unit_price: Decimal, version: str) -> Price:
    """A price with its texts."""
    tail = f'"currency":"{CURRENCY}","price_version":{msgspec.json.encode(version).decode()}'
    return Price(unit_price, version, decimal_text(unit_price), tail)


class PriceBook(NamedTuple):
    """Prices by zone in CNY per minute, from the start of a billing day on (None: from ever)."""

    version: str
    effective_from: str | None
    prices: tuple[tuple[str, Decimal], ...]

    def price_of(self, zone: str) -> Decimal:
        """CNY per minute in a zone of `meter.regions.ZONES`."""
        return dict(self.prices)[zone]


#: The price table of the guide (billing overview of 2023-09-19).
BUILT_IN = PriceBook(
    version="guide-2023-09-19",
    effective_from=None,
    prices=((MAINLAND, Decimal("0.28")), (NORTH_AMERICA, Decimal("0.308")), (ASIA_EUROPE, Decimal("0.3136"))),
)


class PriceBooks:
    """All books of a meter, oldest first; the last of those in effect on a day gives the price."""

    def __init__(self, published: tuple[PriceBook, ...] = ()) -> None:
        self.published = published
        self._books = (BUILT_IN, *published)
        self._prices: dict[tuple[str, str], Price] = {}

    def price_for(self, region: str, day: str) -> Price:
        """The price of a region (as outputs say it) on a billing day."""
        try:
            return self._prices[region, day]
        except KeyError:
            return self._look_up(region, day)

    def _look_up(self, region: str, day: str) -> Price:
        if len(self._prices) > 100_000:
            self._prices.clear()
        book = self.book_on(day)
        price = self._prices[region, day] = price_of(book.price_of(ZONE_OF[region]), book.version)
        return price

    def book_on(self, day: str) -> PriceBook:
        """The book in effect on a billing day: of two that start on the same day, the one published later."""
        found = BUILT_IN
        for book in self._books:
            if book.effective_from is None or (
                book.effective_from <= day and book.effective_from >= (found.effective_from or "")
            ):
                found = book
        return found

    def with_book(self, book: PriceBook) -> "PriceBooks":
        """These books and one more."""
        return PriceBooks((*self.published, book))

    def without(self, version: str) -> "PriceBooks":
        """These books but for one."""
        return PriceBooks(tuple(book for book in self.published if book.version != version))

    def find(self, version: str) -> PriceBook | None:
        """The published book of a version."""
        return next((book for book in self.published if book.version == version), None)

    def has(self, version: str) -> bool:
        """Whether a book of this version is known."""
        return any(book.version == version for book in self._books)


def accept_book(
    command: PriceBookCommand, books: PriceBooks, record_time: int, rules: Rules, metered_day: str = ""
) -> PriceBook | Refusal:
    """The book of a command, or why it is refused. `record_time` in milliseconds; `metered_day`: the latest of which
    a job was metered on this partition."""
    bad = bad_book(command)
    if bad is not None:
        return bad
    if books.has(command.version):
        return Refusal("version_exists", f"there is a price book {command.version!r} already")
    early = book_begins_early(command.effective_from, command.issued_at, record_time, metered_day, rules)
    if early is not None:
        return early
    prices = tuple((zone, Decimal(command.prices[zone])) for zone in ZONES)
    return PriceBook(command.version, command.effective_from, prices)


def bad_book(command: PriceBookCommand) -> Refusal | None:
    """Why a book cannot be taken whenever it comes: a zone is missing or unknown, a price is none."""
    return _bad_zones(command) or bad_prices(command.prices)


def _bad_zones(command: PriceBookCommand) -> Refusal | None:
    missing = [zone for zone in ZONES if zone not in command.prices]
    if missing:
        return Refusal("missing_zone", f"prices: no price for {missing[0]!r}")
    unknown = [zone for zone in command.prices if zone not in ZONES]
    return Refusal("unknown_zone", f"prices: there is no price zone {unknown[0]!r}") if unknown else None


def bad_prices(prices: Mapping[str, str]) -> Refusal | None:
    """Why one of some prices cannot be taken."""
    return next((bad for name, price in prices.items() if (bad := _bad_price(name, price))), None)


def _bad_price(name: str, price: str) -> Refusal | None:
    """Why a price cannot be taken: it is no plain decimal, or negative."""
    if PRICE.fullmatch(price):
        return None
    return Refusal("bad_price", f"prices: {name!r} needs a decimal of at most 8 places, got {price!r}")


def start_ms(day: str, rules: Rules) -> int | None:
    """When a billing day begins, in milliseconds; None where there is no such day."""
    try:
        return milliseconds(BillingDays(rules.time_zone).start_of(date.fromisoformat(day)))
    except (ValueError, OverflowError):
        return None


def book_begins_early(
    effective_from: str, issued_at: str, record_time: int, metered_day: str, rules: Rules
) -> Refusal | None:
    """Why what holds for all accounts cannot change on a day: see `begins_early`, and `MARGIN_MS`."""
    issued = instant_us(issued_at)
    assert issued is not None  # the model has read it
    return begins_early(effective_from, record_time, 0, metered_day, rules) or begins_early(
        effective_from, issued // 1000, MARGIN_MS, metered_day, rules
    )


def begins_early(effective_from: str, since_ms: int, margin_ms: int, metered_day: str, rules: Rules) -> Refusal | None:
    """Why a book or contract cannot take effect on a day: for want of notice since an instant, in milliseconds, with
    a margin, or because a job of that day or a later one was metered. None: it can."""
    start = start_ms(effective_from, rules)
    if start is None:
        return Refusal("bad_fields", f"effective_from: there is no day {effective_from}")
    notice_ms = rules.price_notice_s * 1000 + margin_ms
    if start - since_ms < notice_ms:
        notice = f"{effective_from} begins less than {notice_ms // 60_000} minutes after the command"
        earliest = earliest_effective_day(since_ms + margin_ms, rules)
        return Refusal("effective_in_past", f"{notice}; the earliest day is {earliest}")
    if effective_from <= metered_day:
        return Refusal("effective_in_past", f"jobs of {metered_day} have been metered already")
    return None


def earliest_effective_day(now_ms: int, rules: Rules) -> str:
    """The first billing day from which a book published now can take effect."""
    days = BillingDays(rules.time_zone)
    day = days.day_of((now_ms + rules.price_notice_s * 1000) * 1000)
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()
