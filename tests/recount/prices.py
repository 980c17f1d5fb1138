"""What a minute costs: an account's own contract first, else the price book in effect on the day."""

from decimal import Decimal
from typing import NamedTuple

from tests.recount.rules import ZONE_OF, ZONES

ANY_REGION = "*"


class Book(NamedTuple):
    """A price book; the guide's starts before every day."""

    version: str
    start: str
    prices: dict[str, Decimal]


class Contract(NamedTuple):
    """An account's terms from a day on; `name` is the id of the command that agreed it."""

    name: str
    start: str
    mode: str
    prices: dict[str, Decimal]
    grace_hours: int | None


class Prices:
    """All books and contracts that one partition has been told of."""

    def __init__(self) -> None:
        self.books = [Book("guide-2023-09-19", "", dict(ZONES))]
        self.contracts: dict[str, list[Contract]] = {}

    def in_book(self, region: str, day: str) -> Decimal:
        """The last to start by that day; of two that start together, the one published later."""
        started = [book for book in self.books if book.start <= day]
        newest = max(book.start for book in started)
        return [book for book in started if book.start == newest][-1].prices[ZONE_OF[region]]

    def of(self, account_id: str, region: str, day: str) -> Decimal:
        contract = self.contract(account_id, day)
        own = contract.prices if contract else {}
        for name in (region, ZONE_OF[region], ANY_REGION):
            if name in own:
                return own[name]
        return self.in_book(region, day)

    def contract(self, account_id: str, day: str) -> Contract | None:
        started = [contract for contract in self.contracts.get(account_id, []) if contract.start <= day]
        return started[-1] if started else None

    def mode(self, account_id: str, day: str) -> str:
        contract = self.contract(account_id, day)
        return contract.mode if contract else "daily"
