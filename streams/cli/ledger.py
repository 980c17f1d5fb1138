"""`meter ledger`, `meter statement`, `meter notices`: the money's log, an account's month, what was told."""

import asyncio
from decimal import Decimal
from typing import Annotated, Any

import typer

from meter import topics
from meter.billing_models import BillIssued, LedgerEntry, Notice
from meter.ledger import Book, Cause
from meter.money import EXACT, ZERO, decimal_text
from streams.broker.connect import connected
from streams.cli.arguments import Account, Json, read_month
from streams.errors import Exit, MeterError, SettingError
from streams.kafka.rights import reading
from streams.kafka.topics import check
from streams.published.read import bills, entries
from streams.published.read import notices as published
from streams.published.statement import Balance, Standings, Statement, posted, sums
from streams.published.statement import statement as of_month
from streams.settings import Settings
from streams.terminal.output import complain, note, say, say_fields, say_json, say_table


def ledger(
    account: Account = None,
    cause: Annotated[
        str | None, typer.Option(help="Only top_up, bill, payment, refund or adjustment.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> int:
    """Show the ledger: every entry with its postings, and their sum.

    Double entry, debit positive: each entry sums to zero, and so do all.
    --json prints the entries and the sum of each book as one object.

    Example:
      meter ledger --account A
      meter ledger --cause refund --json | jq .sums.refunds

    Exit codes: 0 it sums to zero; 1 it does not.
    """
    if cause is not None and cause not in set(Cause):
        raise SettingError(f"there is no cause {cause!r}; there are {', '.join(Cause)}")
    with connected(note) as settings:
        found = asyncio.run(_entries(settings, account))
    found = [entry for entry in found if cause in (None, entry.cause)]
    return _print_ledger(found, dict(sums(found)), as_json)


async def _entries(settings: Settings, account: str | None) -> list[LedgerEntry]:
    return [entry async for entry in entries(settings, await check(settings, reading(topics.LEDGER)), account)]


def _print_ledger(found: list[LedgerEntry], books: dict[Any, Decimal], as_json: bool) -> int:
    total = ZERO
    for amount in books.values():
        total = EXACT.add(total, amount)
    if as_json:
        entries = [entry.model_dump(mode="json", exclude_none=True) for entry in found]
        say_json(
            {"entries": entries, "sums": {b: decimal_text(a) for b, a in books.items()}, "sum": decimal_text(total)}
        )
    elif found:
        say_table(("time", "account", "cause", "reference", "postings", "reason"), [_row(entry) for entry in found])
        say(f"sums to {decimal_text(total)}: {', '.join(f'{b} {decimal_text(a)}' for b, a in books.items() if a)}")
    else:
        note("no entries")
    if total:
        complain(f"the ledger sums to {decimal_text(total)} and not to zero: `meter verify` shows where it was changed")
        return Exit.FAILED
    return Exit.OK


def _row(entry: LedgerEntry) -> tuple[str, ...]:
    postings = ", ".join(f"{posting.book} {posting.amount}" for posting in entry.postings)
    return entry.at, entry.account_id, entry.cause, entry.reference, postings, entry.reason or ""


def statement(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account id.", show_default=False)],
    month: Annotated[str, typer.Option(metavar="YYYY-MM", help="In the billing time zone.")],
    as_json: Json = False,
) -> None:
    """Show an account's month: opening balance, entries, closing balance.

    Each entry with what it changes, the balance after it, and what of the
    bills is unpaid then; and the bills that were issued in the month.

    Example:
      meter statement A --month 2026-11

    Exit codes: 0 shown; 1 the ledger has nothing of this account.
    """
    month = read_month(month)
    with connected(note) as settings:
        entries, bills = asyncio.run(_of_account(settings, account))
    if not entries:
        raise MeterError(f"the ledger has nothing of account {account!r}")
    standings = Standings()
    for entry in entries:
        standings.add(entry)
    found = of_month(entries, month)
    issued = [bill for bill in bills if bill.bill_id in set(found.bill_ids)]
    document = {"account_id": account, "month": month, **_document(found), "bills": _issued(issued, standings)}
    if as_json:
        say_json(document)
    else:
        _print_statement(document)


async def _of_account(settings: Settings, account: str) -> tuple[list[LedgerEntry], list[BillIssued]]:
    rules = await check(settings, reading(topics.LEDGER, topics.BILLS))
    # The bills first: so the ledger has the entries of all of them.
    found = [bill async for bill in bills(settings, rules, account)]
    return [entry async for entry in entries(settings, rules, account)], found


def _document(found: Statement) -> dict[str, Any]:
    return {
        "currency": "CNY",
        "opening": _balance(found.opening),
        "entries": [
            {
                **entry.model_dump(mode="json", include={"at", "cause", "reference", "reason"}, exclude_none=True),
                "change": decimal_text(-posted(entry, Book.BALANCE)),
                **_balance(balance),
            }
            for entry, balance in found.entries
        ],
        "closing": _balance(found.closing),
    }


def _balance(balance: Balance) -> dict[str, str]:
    return {"balance": decimal_text(balance.balance), "unpaid": decimal_text(balance.unpaid)}


def _issued(bills: list[BillIssued], standings: Standings) -> list[dict[str, Any]]:
    return [
        {
            "bill_id": bill.bill_id,
            "period": bill.period,
            "total": bill.total,
            "payable": bill.payable,
            "paid_at": standings.of(bill).paid_at,
        }
        for bill in bills
    ]


def _print_statement(document: dict[str, Any]) -> None:
    opening, closing = document["opening"], document["closing"]
    rows = [
        (entry["at"], entry["cause"], entry["reference"], entry["change"], entry["balance"], entry["unpaid"])
        for entry in document["entries"]
    ]
    say_fields({"account": document["account_id"], "month": document["month"]})
    say_table(
        ("time", "cause", "reference", "change", "balance", "unpaid"),
        [("", "opening", "", "", opening["balance"], opening["unpaid"]), *rows],
        last=("", "closing", "", "", f"{closing['balance']} CNY", f"{closing['unpaid']} CNY"),
    )
    if document["bills"]:
        say_table(
            ("bill", "period", "payable", "paid"),
            [
                (bill["bill_id"], bill["period"], bill["payable"], bill["paid_at"] or "open")
                for bill in document["bills"]
            ],
        )


def notices(account: Account = None, as_json: Json = False) -> None:
    """Show what customers were to be told, in the order of the log.

    That a bill was not paid and when the service stops; that it stopped;
    that it was restored; that the balance is low. Sending them is for a
    service that reads billing.notices. --json prints one object a line.

    Example:
      meter notices --account A
    """
    with connected(note) as settings:
        found = asyncio.run(_notices(settings, account))
    if as_json:
        for notice in found:
            say_json(notice.model_dump(mode="json", exclude_none=True))
    elif found:
        say_table(("time", "account", "kind", "what"), [_told(notice) for notice in found])
    else:
        note("no notices")


async def _notices(settings: Settings, account: str | None) -> list[Notice]:
    return [notice async for notice in published(settings, await check(settings, reading(topics.NOTICES)), account)]


def _told(notice: Notice) -> tuple[str, ...]:
    said = {
        "bill": notice.bill_id,
        "payable": notice.payable,
        "owed": notice.owed,
        "balance": notice.balance,
        "deadline": notice.deadline,
    }
    what = ", ".join(f"{name} {value}" for name, value in said.items() if value is not None)
    return notice.at, notice.account_id, notice.kind, what
