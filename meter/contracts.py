"""Contracts: what a customer has agreed, dated. Its own prices, the settlement mode, and the arrears terms.

A contract holds from the start of a billing day until the next one of the account. Guide, "Settlement": "Large
customers negotiate both mode and price."
"""

from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from meter.prices import Price, price_of
from meter.regions import ZONE_OF

EVERY_REGION = "*"


class Mode(StrEnum):
    """How often usage is billed. Daily is the default (guide, "Settlement")."""

    DAILY = "daily"
    MONTHLY = "monthly"


class Contract(NamedTuple):
    """Terms from a billing day on. `prices` in CNY per minute by region code, price zone or `*`.

    `grace_hours` None: the account is told of arrears and never stopped; for monthly accounts.
    """

    contract_id: str
    effective_from: str
    mode: Mode = Mode.DAILY
    prices: tuple[tuple[str, Decimal], ...] = ()
    grace_hours: int | None = None


Contracts = tuple[Contract, ...]


def contract_on(contracts: Contracts, day: str) -> Contract | None:
    """The contract in effect on a billing day. They are ordered by their start."""
    found = None
    for contract in contracts:
        if contract.effective_from <= day:
            found = contract
    return found


def mode_on(contracts: Contracts, day: str) -> Mode:
    """The settlement mode of a billing day; the same for all days of a month."""
    contract = contract_on(contracts, day)
    return Mode.DAILY if contract is None else contract.mode


def terms_of(mode: Mode | None, grace_hours: int | None, before: Contracts, day: str) -> tuple[Mode, int | None]:
    """Mode and grace hours of a new contract from a day on: one that leaves the mode out leaves both as they are."""
    if mode is not None:
        return mode, grace_hours
    in_force = contract_on(before, day) or Contract("", "")
    return in_force.mode, in_force.grace_hours if grace_hours is None else grace_hours


@lru_cache(maxsize=65_536)
def contract_price(contracts: Contracts, region: str, day: str) -> Price | None:
    """A contract's own price: of the region, else of its zone, else of every region; None where the book decides."""
    contract = contract_on(contracts, day)
    if contract is None:
        return None
    prices = dict(contract.prices)
    for name in (region, ZONE_OF[region], EVERY_REGION):
        if name in prices:
            return price_of(prices[name], f"contract:{contract.contract_id}")
    return None
