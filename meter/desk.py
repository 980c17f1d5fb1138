"""What a command works on, the times that decide about it, and what it says when it is not done."""

from typing import Any, NamedTuple, Protocol

from meter.contracts import Contract, Contracts
from meter.prices import PriceBook, PriceBooks, begins_early, book_begins_early
from meter.routing import owner
from meter.rules import Rules
from meter.till import Till


class Times(NamedTuple):
    """The times that decide about a command, in ms; apart only where a clock jumped or inputs lag."""

    record: int
    effective: int  # the record time, or the last settlement where that is later
    forgotten: int  # ids that were answered at a record time before are not remembered: see `commands.Memory`


class Desk(Protocol):
    """What a command works on: a step, with the changes of the records before it."""

    books: PriceBooks
    till: Till

    @property
    def rules(self) -> Rules: ...
    @property
    def partition(self) -> int: ...
    def contracts_of(self, account_id: str) -> Contracts: ...
    def agree(self, account_id: str, contract: Contract) -> None: ...
    def withdraw_contract(self, account_id: str, number: int) -> None: ...
    def publish(self, book: PriceBook) -> None: ...
    def withdraw_book(self, version: str) -> None: ...
    def metered_day(self, account_id: str | None) -> str: ...
    def day_of(self, at_ms: int) -> str: ...


class RefusedError(Exception):
    """A command that is not done: a stable code and a sentence."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def own(command: Any, desk: Desk, times: Times) -> None:
    """The account must be this partition's. A deadline that has passed meanwhile comes first."""
    home = owner(command.account_id, desk.rules.partitions)
    if home != desk.partition:
        raise RefusedError("wrong_partition", f"account {command.account_id!r} belongs to partition {home}")
    desk.till.expire(command.account_id, times.effective)


def known(command: Any, desk: Desk, times: Times) -> None:
    """Its own, and it must be there."""
    own(command, desk, times)
    if desk.till.find(command.account_id) is None:
        raise RefusedError("unknown_account", f"there is no account {command.account_id!r}: open it first")


def entry_id(command: Any, times: Times) -> str:
    """With the record time: a command's id may come again, for another command, when it is no longer remembered."""
    return f"command:{command.command_id}:{times.record}"


def need_notice(effective_from: str, command: Any, desk: Desk, times: Times) -> None:
    """A day of an account must begin an hour after the command at least, and after all that was metered of it."""
    metered_day = desk.metered_day(command.account_id)
    early = begins_early(effective_from, times.effective, 0, metered_day, desk.rules)
    if early is not None:
        raise RefusedError(early.code, early.message)


def need_margin(effective_from: str, command: Any, desk: Desk, times: Times) -> None:
    """A day of all accounts: see `meter.prices.MARGIN_MS`."""
    early = book_begins_early(effective_from, command.issued_at, times.record, desk.metered_day(None), desk.rules)
    if early is not None:
        raise RefusedError(early.code, early.message)
