"""Settlement: what was used in a period becomes a bill.

Guide, "Settlement": each day between 12:00 and 18:00 the cost of the day before is billed and deducted; by contract,
on the 1st of each month that of the month before. A job whose record time is before the cut of its period is on that
period's bill. One that comes later is an adjustment line on the first bill whose cut is later. So a bill depends on
the inputs alone: not on outages, slices or speed.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest

from meter.accounts import OpenBill
from meter.contracts import Contracts, Mode, mode_on
from meter.money import CURRENCY, EXACT, ZERO, decimal_text, payable
from meter.periods import BillingDays
from meter.prices import Price
from meter.rules import Rules

_encode = msgspec.json.Encoder().encode


class TwoPricesError(Exception):
    """An account, a region and a day would have two prices: no bill says so. Commands are refused before that."""


class Kind(StrEnum):
    """What a line of a bill is: usage of its period, or usage of an earlier one that came late."""

    USAGE = "usage"
    LATE = "late"


class ShareKey(NamedTuple):
    """Where usage is to be billed: account and period of the bill, then the line."""

    account_id: str
    period: str
    kind: Kind
    region: str
    day: str


class UnbilledShare(NamedTuple):
    """Usage that is not billed yet: jobs, minutes, exact CNY, and the first and last step that priced some of it."""

    jobs: int
    minutes: int
    amount: Decimal
    first_seq: int
    last_seq: int

    def plus(self, jobs: int, minutes: int, amount: Decimal, seq: int) -> "UnbilledShare":
        """This share and some more jobs."""
        return UnbilledShare(
            self.jobs + jobs, self.minutes + minutes, EXACT.add(self.amount, amount), self.first_seq, seq
        )


class Bill(NamedTuple):
    """A bill: what is owed, its lines' amounts and exact total, and its record."""

    open: OpenBill
    lines: tuple[Decimal, ...]
    total: Decimal
    value: bytes


PriceOf = Callable[[str, str, str], Price]


def period_of(day: str, mode: Mode) -> str:
    """The billing period of a day: the day itself, or its month."""
    return day if mode is Mode.DAILY else day[:7]


def last_day(period: str) -> str:
    """A day of the period that no later contract of the period can follow."""
    return period if len(period) == 10 else f"{period}-31"


def late_period(days: BillingDays, contracts: Contracts, effective_ms: int) -> str:
    """The period of the first bill whose cut is after an instant."""
    day = days.open_day(effective_ms)
    return period_of(day, mode_on(contracts, day))


def due_ms(days: BillingDays, rules: Rules, account_id: str, period: str) -> int:
    """When an account's period is settled: at its cut, and a moment of its own in the window's first part."""
    spread_ms = rules.settlement_spread_s * 1000
    offset = xxh3_64_intdigest(account_id.encode()) % spread_ms if spread_ms else 0
    return days.cut_ms(period) + offset


def bill_id_of(account_id: str, period: str) -> str:
    """A bill's id: a pure function of account and period, so that there is one at most, ever.

    >>> bill_id_of("A", "2019-01-01")
    'B20190101-559aead08264d579'
    """
    return f"B{period.replace('-', '')}-{hashlib.sha256(account_id.encode()).hexdigest()[:16]}"


def bill(
    account_id: str,
    period: str,
    shares: Mapping[ShareKey, UnbilledShare],
    *,
    days: BillingDays,
    rules: Rules,
    partition: int,
    contracts: Contracts,
    price_of: PriceOf,
    meter_version: str,
) -> Bill:
    """The bill of what is to be billed in a period; the same usage gives the same bytes, whenever it runs."""
    ordered = sorted(shares.items(), key=lambda item: (item[0].kind is Kind.LATE, item[0].day, item[0].region))
    total = ZERO
    lines = []
    prices = set()
    for key, share in ordered:
        price = price_of(account_id, key.region, key.day)
        total = EXACT.add(total, share.amount)
        lines.append(_line(key, share, price, contracts))
        prices.add((key.region, key.day, price.version, price.unit_price_text))
    due = OpenBill(bill_id_of(account_id, period), payable(total))
    value = {
        "v": 1,
        "bill_id": due.bill_id,
        "account_id": account_id,
        "period": period,
        "mode": Mode.DAILY if len(period) == 10 else Mode.MONTHLY,
        "lines": lines,
        "total": decimal_text(total),
        "payable": decimal_text(due.payable),
        "rounding": decimal_text(EXACT.subtract(due.payable, total)),
        "currency": CURRENCY,
        "issued_at": days.text(due_ms(days, rules, account_id, period)),
        "proof": {
            "journal": {
                "partition": partition,
                "from": min(share.first_seq for _, share in ordered),
                "to": max(share.last_seq for _, share in ordered),
            },
            "cut": days.text(days.cut_ms(period)),
            "prices_hash": _prices_hash(frozenset(prices)),
            "rules_version": rules.rules_version,
            "meter_version": meter_version,
        },
    }
    return Bill(due, tuple(share.amount for _, share in ordered), total, _encode(value))


@lru_cache(maxsize=4_096)
def _prices_hash(prices: frozenset[tuple[str, str, str, str]]) -> str:
    """SHA-256 of the prices that a bill's lines go by: (region, day, version, unit price), sorted, as JSON."""
    return hashlib.sha256(_encode(sorted(prices))).hexdigest()


def _line(key: ShareKey, share: UnbilledShare, price: Price, contracts: Contracts) -> dict[str, object]:
    if EXACT.multiply(price.unit_price, Decimal(share.minutes)) != share.amount:
        where = f"{key.account_id!r}, {key.region}, {key.day}"
        amount = decimal_text(share.amount)
        raise TwoPricesError(f"{where}: {share.minutes} minutes at {price.unit_price_text} are not {amount} CNY")
    line: dict[str, object] = {
        "kind": key.kind,
        "region": key.region,
        "day": key.day,
        "jobs": share.jobs,
        "minutes": share.minutes,
        "unit_price": price.unit_price_text,
        "amount": decimal_text(share.amount),
    }
    if key.kind is Kind.LATE:
        line["original_bill_id"] = bill_id_of(key.account_id, period_of(key.day, mode_on(contracts, key.day)))
    return line


class Unbilled:
    """All usage of a partition that is not billed yet, by account and period."""

    def __init__(self) -> None:
        self._of: dict[tuple[str, str], dict[ShareKey, UnbilledShare]] = {}
        self._own: dict[tuple[str, str, str], UnbilledShare] = {}
        self._amount = ZERO

    def get(self, key: ShareKey) -> UnbilledShare | None:
        """The share of one line."""
        return self.of(key.account_id, key.period).get(key)

    def own(self, key: tuple[str, str, str]) -> UnbilledShare | None:
        """What was in time of an account, region and day, whatever the period of its bill."""
        return self._own.get(key)

    def put(self, key: ShareKey, share: UnbilledShare | None) -> bool:
        """Set a share; None: it has been billed. Returns whether its account's period had nothing to be billed."""
        account_id, period, kind, region, day = key
        if kind is Kind.USAGE:
            if share is None:
                del self._own[account_id, region, day]
            else:
                self._own[account_id, region, day] = share
        place = account_id, period
        shares = self._of.get(place)
        if share is None:
            assert shares is not None
            self._amount = EXACT.subtract(self._amount, shares.pop(key).amount)
            if not shares:
                del self._of[place]
        elif shares is None:
            self._amount = EXACT.add(self._amount, share.amount)
            self._of[place] = {key: share}
        else:
            before = shares.get(key)
            more = share.amount if before is None else EXACT.subtract(share.amount, before.amount)
            self._amount = EXACT.add(self._amount, more)
            shares[key] = share
        return shares is None

    def of(self, account_id: str, period: str) -> Mapping[ShareKey, UnbilledShare]:
        """The lines of one account's period."""
        return self._of.get((account_id, period), _NO_SHARES)

    def amount(self) -> Decimal:
        """What all of it comes to, in CNY: kept with every change."""
        return self._amount

    def added_up(self) -> Decimal:
        """The same, added up anew: for proofs, since it looks at all there is."""
        total = ZERO
        for share in self.shares():
            total = EXACT.add(total, share.amount)
        return total

    def shares(self) -> Iterator[UnbilledShare]:
        """All there is, in the order in which it came up."""
        for shares in self._of.values():
            yield from shares.values()


_NO_SHARES: Mapping[ShareKey, UnbilledShare] = {}
