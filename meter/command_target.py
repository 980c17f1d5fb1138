"""What a command works on, the times that decide about it, and what it says when it is not done."""

from collections.abc import Callable
from typing import Any, NamedTuple

from meter.account_changes import AccountChanges
from meter.periods import BillingDays
from meter.prices import begins_early, book_begins_early
from meter.rejects import Refusal
from meter.routing import owner
from meter.rules import Rules
from meter.service import expire
from meter.terms import NewTerms


class Times(NamedTuple):
    """The times that decide about a command, in ms; apart only where a clock jumped or inputs lag."""

    record: int
    effective: int  # the record time, or the last settlement where that is later
    forgotten: int  # ids that were answered at a record time before are not remembered: see `answers.Memory`


class CommandTarget(NamedTuple):
    """What a command works on: a partition's terms and accounts, with the changes of the records before it.

    `metered_day`: the latest billing day of which a job of an account (None: of any) was metered; empty: of none.
    """

    rules: Rules
    partition: int
    days: BillingDays
    terms: NewTerms
    accounts: AccountChanges
    metered_day: Callable[[str | None], str]


def own(command: Any, target: CommandTarget, times: Times) -> Refusal | None:
    """Why it is not for this partition; else a deadline of the account that has passed meanwhile comes first."""
    home = owner(command.account_id, target.rules.partitions)
    if home != target.partition:
        return Refusal("wrong_partition", f"account {command.account_id!r} belongs to partition {home}")
    expire(target.accounts, command.account_id, times.effective)
    return None


def known(command: Any, target: CommandTarget, times: Times) -> Refusal | None:
    """Why it is not for this partition, or that there is no such account."""
    refusal = own(command, target, times)
    if refusal is None and target.accounts.find(command.account_id) is None:
        return Refusal("unknown_account", f"there is no account {command.account_id!r}: open it first")
    return refusal


def entry_id(command: Any, times: Times) -> str:
    """With the record time: a command's id may come again, for another command, when it is no longer remembered."""
    return f"command:{command.command_id}:{times.record}"


def too_soon(effective_from: str, command: Any, target: CommandTarget, times: Times) -> Refusal | None:
    """Why a day of an account cannot be named: it is to begin an hour after the command at least, and after all that
    was metered of it."""
    metered_day = target.metered_day(command.account_id)
    return begins_early(effective_from, times.effective, 0, metered_day, target.rules)


def too_soon_for_all(effective_from: str, command: Any, target: CommandTarget, times: Times) -> Refusal | None:
    """Why a day of all accounts cannot be named: see `meter.prices.MARGIN_MS`."""
    metered_day = target.metered_day(None)
    return book_begins_early(effective_from, command.issued_at, times.record, metered_day, target.rules)
