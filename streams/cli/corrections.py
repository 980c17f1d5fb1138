"""`meter account charge`, `credit`, `reverse`, `withdraw`: what is put right; and `meter notes`: how."""

import asyncio
from typing import Annotated

import typer

from meter import topics
from meter.billing_models import NoteIssued
from streams.broker.connect import connected
from streams.cli.arguments import Account, At, CommandId, Json, Timeout
from streams.cli.sending import AccountId, Amount, send
from streams.kafka.rights import reading
from streams.kafka.topics import check
from streams.published.read import notes as published
from streams.settings import Settings
from streams.terminal.output import note, say_json, say_table

Reason = Annotated[str, typer.Option(help="Why, for the note, the ledger and whoever reads them.")]


def charge(
    account: AccountId,
    amount: Amount,
    reason: Reason,
    command_id: CommandId = None,
    timeout: Timeout = 30,
    at: At = None,
    as_json: Json = False,
) -> int:
    """Charge what the bills do not say: a debit note, with its reason.

    It is owed like a bill: deducted at once where the balance is enough,
    else in arrears, and paid whole, the oldest first.

    Example:
      meter account charge A --amount 5.00 --reason "under-billed in May"

    Exit codes: 0 done; 1 refused (with a code), or no answer in time.
    """
    done = f"{amount} CNY were charged to {account}"
    return send("charge", done, account, command_id, timeout, at, as_json, amount=amount, reason=reason)


def credit(
    account: AccountId,
    bill: Annotated[str, typer.Option(metavar="BILL_ID", help="The bill or debit note that came to too much.")],
    line: Annotated[int, typer.Option(min=1, help="Which of its lines; the first is 1.")],
    amount: Amount,
    reason: Reason,
    command_id: CommandId = None,
    timeout: Timeout = 30,
    at: At = None,
    as_json: Json = False,
) -> int:
    """Credit a line of a bill: a credit note, with its reason.

    At most what the line came to, within 92 days of the bill's payment. It
    lowers what is owed where the bill is open, else it adds to the balance.

    Example:
      meter account credit A --bill B20261123-559aead08264d579 --line 1 \\
        --amount 2.80 --reason "ten minutes were black"

    Exit codes: 0 done; 1 refused (with a code), or no answer in time.
    """
    done = f"{amount} CNY of line {line} of bill {bill} were credited to {account}"
    fields = {"bill_id": bill, "line": line, "amount": amount, "reason": reason}
    return send("credit_note", done, account, command_id, timeout, at, as_json, **fields)


def reverse(
    account: AccountId,
    topup: Annotated[str, typer.Option(metavar="COMMAND_ID", help="The command id of the top-up.")],
    command_id: CommandId = None,
    timeout: Timeout = 30,
    at: At = None,
    as_json: Json = False,
) -> int:
    """Reverse a top-up that bounced: what it brought is owed.

    Once for each top-up, all of it, within 92 days. Bills that it paid stay
    paid; a debit note is owed in their place.

    Example:
      meter account reverse A --topup payment-4711

    Exit codes: 0 done; 1 refused (with a code), or no answer in time.
    """
    done = f"top-up {topup} of {account} was reversed"
    return send("payment_reversed", done, account, command_id, timeout, at, as_json, top_up=topup)


def withdraw(
    account: AccountId,
    contract: Annotated[str, typer.Option(metavar="COMMAND_ID", help="The command id of the contract.")],
    command_id: CommandId = None,
    timeout: Timeout = 30,
    at: At = None,
    as_json: Json = False,
) -> int:
    """Withdraw a contract that has not begun.

    Its first day is at least an hour away. What it would have replaced
    holds on. `meter account show` has the contracts to come.

    Example:
      meter account withdraw A --contract contract-2127

    Exit codes: 0 done; 1 refused (with a code), or no answer in time.
    """
    done = f"contract {contract} of {account} is withdrawn"
    return send("withdraw_contract", done, account, command_id, timeout, at, as_json, contract_id=contract)


def notes(account: Account = None, as_json: Json = False) -> None:
    """Show debit and credit notes, in the order of the log.

    Charges, payments that were reversed, credits on bills. Whether a debit
    note is paid is in the ledger. --json prints one object a line.

    Example:
      meter notes --account A
    """
    with connected(note) as settings:
        found = asyncio.run(_notes(settings, account))
    if as_json:
        for each in found:
            say_json(each.model_dump(mode="json", exclude_none=True))
    elif found:
        say_table(("issued", "account", "note", "kind", "amount", "of", "reason"), [_row(each) for each in found])
    else:
        note("no notes")


async def _notes(settings: Settings, account: str | None) -> list[NoteIssued]:
    return [each async for each in published(settings, await check(settings, reading(topics.NOTES)), account)]


def _row(each: NoteIssued) -> tuple[str, ...]:
    line = "" if each.line is None else f", line {each.line}"
    return (
        each.issued_at,
        each.account_id,
        each.note_id,
        each.kind,
        each.amount,
        f"{each.reference or ''}{line}",
        each.reason or "",
    )
