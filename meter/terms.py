"""Which price and settlement mode an account's jobs have: price books for all, contracts for some."""

from collections import ChainMap
from collections.abc import MutableMapping

from meter.contracts import Contract, Contracts, Mode, contract_price, mode_on
from meter.prices import Price, PriceBook, PriceBooks


class Terms:
    """The price books and contracts of a partition."""

    def __init__(
        self, books: PriceBooks | None = None, contracts: MutableMapping[str, Contracts] | None = None
    ) -> None:
        self.books = PriceBooks() if books is None else books
        self.contracts: MutableMapping[str, Contracts] = {} if contracts is None else contracts

    def contracts_of(self, account_id: str) -> Contracts:
        """An account's contracts, ordered by their start."""
        return self.contracts.get(account_id, ())

    def mode_on(self, account_id: str, day: str) -> Mode:
        """The settlement mode of an account on a billing day."""
        return mode_on(self.contracts_of(account_id), day)

    def price_for(self, account_id: str, region: str, day: str) -> Price:
        """The price of an account's jobs: its contract's, else the book's."""
        contracts = self.contracts.get(account_id)
        own = None if contracts is None else contract_price(contracts, region, day)
        return self.books.price_for(region, day) if own is None else own


class NewTerms(Terms):
    """The terms as a step's commands have changed them so far. `before`: as they were; it is not changed."""

    def __init__(self, before: Terms) -> None:
        super().__init__(before.books, before.contracts)
        self.before = before
        #: The accounts whose contracts changed, each with all that it has now.
        self.changed: dict[str, Contracts] = {}

    def agree(self, account_id: str, contract: Contract) -> None:
        """Add a contract."""
        self._put(account_id, (*self.contracts_of(account_id), contract))

    def withdraw_contract(self, account_id: str, number: int) -> None:
        """Take a contract away that has not begun: what it would have replaced holds on."""
        known = self.contracts_of(account_id)
        self._put(account_id, (*known[:number], *known[number + 1 :]))

    def _put(self, account_id: str, contracts: Contracts) -> None:
        if not self.changed:
            self.contracts = ChainMap(self.changed, self.before.contracts)
        self.changed[account_id] = contracts

    def publish(self, book: PriceBook) -> None:
        """Add a price book."""
        self.books = self.books.with_book(book)

    def withdraw_book(self, version: str) -> None:
        """Take a price book away that has not begun."""
        self.books = self.books.without(version)
