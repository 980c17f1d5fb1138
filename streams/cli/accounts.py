"""`meter account`: a customer's account as it is, and what an operator can do to it."""

import asyncio
from typing import Annotated, Any

import typer

from meter import topics
from meter.regions import REGION_CODES
from meter.rules import Rules
from streams.broker.connect import connected
from streams.cli.answers import note_waiting
from streams.cli.arguments import At, CommandId, Json, Timeout, read_day
from streams.cli.sending import AccountId, Amount, send
from streams.errors import SettingError
from streams.kafka.rights import reading
from streams.kafka.topics import check
from streams.published.customer import Customer, as_document, customer
from streams.published.lag import Waiting, waiting
from streams.settings import Settings
from streams.terminal.output import Figure, counted, note, say_fields, say_json, say_table


def show(account: AccountId, as_json: Json = False) -> None:
    """Show an account: balance, service, contracts, open bills.

    And what is used and not billed yet. What is owed are the open bills less
    the balance: bills are paid whole or not at all.

    Example:
      meter account show A

    Exit codes: 0 shown; 1 there is no such account.
    """
    with connected(note) as settings:
        rules, customer, wait = asyncio.run(_customer(settings, account))
    note_waiting(wait)
    document = as_document(customer, rules)
    if as_json:
        say_json(document)
    else:
        _print(document)


async def _customer(settings: Settings, account: str) -> tuple[Rules, Customer, Waiting]:
    rules = await check(settings, reading(topics.STATE, *topics.INPUTS))
    wait = await waiting(settings, rules, topics.INPUTS)
    return rules, await customer(settings, rules, account), wait


def _print(document: dict[str, Any]) -> None:
    service = document["service"]
    bills = [f"{bill['bill_id']} ({bill['payable']} CNY)" for bill in document["open_bills"]]
    say_fields(
        {
            "account": document["account_id"],
            "balance": Figure(document["balance"], "CNY"),
            "owed": Figure(document["owed"], "CNY"),
            "service": f"{service['state']} since {service['since']}",
            "deadline": service["deadline"] or "none",
            "open bills": ", ".join(bills) or "none",
            "mode": document["mode"],
            "contract": _terms(document["contract"]),
            **{f"then {terms['effective_from']}": _terms(terms) for terms in document["contracts_to_come"]},
            "low balance": f"told below {document['low_balance']} CNY" if document["low_balance"] else "not told",
            "after the stop": f"{counted(document['completed_after_stop'], 'job')} completed",
            "not billed yet": Figure(document["unbilled"], "CNY"),
        }
    )
    if document["unbilled_usage"]:
        columns = ("period", "kind", "day", "region", "jobs", "minutes", "amount")
        say_table(columns, [[str(usage[name]) for name in columns] for usage in document["unbilled_usage"]])


def _terms(terms: dict[str, Any] | None) -> str:
    if terms is None:
        return "none"
    grace = f", stopped {terms['grace_hours']} h after a failed deduction" if terms["grace_hours"] else ""
    prices = ", ".join(f"{name} {price}" for name, price in terms["prices"].items()) or "of the price book"
    return f"{terms['contract_id']} from {terms['effective_from']} on: {terms['mode']}{grace}; prices: {prices}"


def open_account(
    account: AccountId, command_id: CommandId = None, timeout: Timeout = 30, at: At = None, as_json: Json = False
) -> int:
    """Open an account before its first job, which opens it too.

    It is settled daily, and its balance is 0.00. Money can be paid in from
    then on.

    Example:
      meter account open A

    Exit codes: 0 done; 1 refused (with a code), or no answer in time.
    """
    return send("open_account", f"account {account} is open", account, command_id, timeout, at, as_json)


def topup(
    account: AccountId,
    amount: Amount,
    command_id: CommandId = None,
    timeout: Timeout = 30,
    at: At = None,
    as_json: Json = False,
) -> int:
    """Add what a customer has paid in to the balance.

    Open bills are paid from it at once, oldest first; when nothing is owed
    any more, a stopped service is restored. Give the payment's own number as
    --command-id, and it is never booked twice.

    Example:
      meter account topup A --amount 100 --command-id payment-4711

    Exit codes: 0 done; 1 refused (with a code), or no answer in time.
    """
    done = f"{amount} CNY were added to the balance of {account}"
    return send("top_up", done, account, command_id, timeout, at, as_json, amount=amount)


def refund(
    account: AccountId,
    bill: Annotated[str, typer.Option(metavar="BILL_ID", help="The paid bill that it is given back of.")],
    ticket: Annotated[str, typer.Option(help="The ticket that asked for it; one refund a ticket.")],
    amount: Amount,
    command_id: CommandId = None,
    timeout: Timeout = 30,
    at: At = None,
    as_json: Json = False,
) -> int:
    """Give back to the balance what was paid on a bill or debit note.

    At most what was paid and not given back before, within 92 days of the
    payment. The same ticket again changes nothing.

    Example:
      meter account refund A --bill B20261123-559aead08264d579 \\
        --ticket T-1 --amount 5.00

    Exit codes: 0 done; 1 refused (with a code), or no answer in time.
    """
    done = f"{amount} CNY of bill {bill} were given back to {account}"
    fields = {"bill_id": bill, "ticket": ticket, "amount": amount}
    return send("refund", done, account, command_id, timeout, at, as_json, **fields)


def adjust(
    account: AccountId,
    amount: Annotated[str, typer.Option(metavar="CNY", help="With at most 2 places; -5.00 takes from the balance.")],
    reason: Annotated[str, typer.Option(help="Why, for the ledger and whoever reads it.")],
    command_id: CommandId = None,
    timeout: Timeout = 30,
    at: At = None,
    as_json: Json = False,
) -> int:
    """Correct a balance by hand, up or down, with the reason.

    More than there is cannot be taken: that is what `meter account charge`
    is for.

    Example:
      meter account adjust A --amount -5.00 --reason "booked twice"

    Exit codes: 0 done; 1 refused (with a code), or no answer in time.
    """
    done = f"the balance of {account} was changed by {amount} CNY"
    return send("adjustment", done, account, command_id, timeout, at, as_json, amount=amount, reason=reason)


def limit(
    account: AccountId,
    below: Annotated[str | None, typer.Option(metavar="CNY", help="Tell the customer when less is left.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Tell the customer no longer.")] = False,
    command_id: CommandId = None,
    timeout: Timeout = 30,
    at: At = None,
    as_json: Json = False,
) -> int:
    """Set the balance below which the customer gets a notice.

    Example:
      meter account limit A --below 20

    Exit codes: 0 done; 1 refused (with a code), or no answer in time.
    """
    if (below is None) is not off:
        raise SettingError("limit takes --below CNY or --off, one of them")
    told = "is not told of a low balance" if below is None else f"is told when the balance falls below {below} CNY"
    return send("low_balance", f"{account} {told}", account, command_id, timeout, at, as_json, threshold=below)


def contract(
    account: AccountId,
    start: Annotated[str, typer.Option("--from", metavar="YYYY-MM-DD", help="The billing day from which it holds.")],
    mode: Annotated[
        str | None,
        typer.Option(metavar="daily|monthly", help="A change begins with a month.", show_default="as it is by then"),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="REGION=CNY", help="Per minute in a region, a price zone, or * for all; again for more."),
    ] = None,
    grace_hours: Annotated[
        int | None,
        typer.Option(
            help="Monthly: hours from a failed deduction to the stop.",
            show_default="as it is by then where --mode is left out, else never stopped",
        ),
    ] = None,
    command_id: CommandId = None,
    timeout: Timeout = 30,
    at: At = None,
    as_json: Json = False,
) -> int:
    """Agree a contract: an account's own prices, mode, arrears terms.

    It holds from the start of a billing day, at least an hour from now,
    until the account's next contract. Where it names no price, the price
    book's holds; where it leaves the mode out, the mode stays as it is by
    then, and the hours with it. One that has not begun can be withdrawn.

    Example:
      meter account contract A --from 2027-01-01 --mode monthly \\
        --price "*=0.30" --price ap-guangzhou=0.25 --grace-hours 72

    Exit codes: 0 done; 1 refused (with a code), or no answer in time.
    """
    day, prices = read_day(start, "--from"), _read_prices(price or [])
    fields: dict[str, Any] = {"effective_from": day, "mode": mode, "prices": prices, "grace_hours": grace_hours}
    done = f"the contract of {account} holds from {day} on"
    return send("contract", done, account, command_id, timeout, at, as_json, **fields)


def _read_prices(prices: list[str]) -> dict[str, str]:
    """Regions by their codes, where the name is known; of others the meter says that it is not."""
    found: dict[str, str] = {}
    for text in prices:
        name, equals, price = text.rpartition("=")
        if not equals or REGION_CODES.get(name, name) in found:
            raise SettingError(f"--price is REGION=CNY, each region once, such as ap-tokyo=0.30, got {text!r}")
        found[REGION_CODES.get(name, name)] = price
    return found
