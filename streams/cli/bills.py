"""`meter bills`: what was billed, and whether it is paid."""

import asyncio
from typing import Annotated, Any

import typer

from meter import topics
from meter.billing_models import BillIssued
from meter.money import decimal_text
from streams.broker.connect import connected
from streams.cli.arguments import Account, Json, read_period
from streams.errors import MeterError
from streams.kafka.rights import reading
from streams.kafka.topics import check
from streams.published.read import bills, entries
from streams.published.statement import Standing, Standings
from streams.settings import Settings
from streams.terminal.output import Figure, note, say_fields, say_json, say_table


def list_bills(
    account: Account = None,
    period: Annotated[str | None, typer.Option(metavar="YYYY-MM[-DD]", help="Only bills of this month or day.")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only bills that are not paid.")] = False,
    as_json: Json = False,
) -> None:
    """List bills: period, account, what is payable, open or paid.

    --json prints one object a line: the bill as it was published, with
    state, paid_at, refunded and credited.

    Example:
      meter bills list --account A --period 2026-11
      meter bills list --open --json | jq -r .payable
    """
    period = read_period(period)
    with connected(note) as settings:
        found = asyncio.run(_bills(settings, account))
    found = [(bill, standing) for bill, standing in found if bill.period.startswith(period or "")]
    _print_list([item for item in found if not (only_open and item[1].paid_at)], as_json)


async def _bills(settings: Settings, account: str | None) -> list[tuple[BillIssued, Standing]]:
    """Bills by period and account, each with what became of it."""
    rules = await check(settings, reading(topics.LEDGER, topics.BILLS))
    found = [bill async for bill in bills(settings, rules, account)]
    standings = Standings()
    async for entry in entries(settings, rules, account):
        standings.add(entry)
    found.sort(key=lambda bill: (bill.period, bill.account_id))
    return [(bill, standings.of(bill)) for bill in found]


def _print_list(found: list[tuple[BillIssued, Standing]], as_json: bool) -> None:
    if as_json:
        for bill, standing in found:
            say_json(_document(bill, standing))
        return
    if not found:
        note("no bills")
        return
    rows = [
        (bill.period, bill.account_id, bill.bill_id, bill.payable, _state(standing), *_given_back(standing))
        for bill, standing in found
    ]
    say_table(("period", "account", "bill", "payable", "state", "refunded", "credited"), rows)


def _state(standing: Standing) -> str:
    return "open" if standing.paid_at is None else "paid"


def _given_back(standing: Standing) -> tuple[str, str]:
    """What was refunded and what was credited; empty where it is nothing."""
    refunded, credited = (decimal_text(amount) if amount else "" for amount in (standing.refunded, standing.credited))
    return refunded, credited


def _document(bill: BillIssued, standing: Standing) -> dict[str, Any]:
    return {
        **bill.model_dump(mode="json", by_alias=True, exclude_none=True),
        "state": _state(standing),
        "paid_at": standing.paid_at,
        "refunded": decimal_text(standing.refunded),
        "credited": decimal_text(standing.credited),
    }


def show(
    bill_id: Annotated[str, typer.Argument(metavar="BILL_ID", help="From the list.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show one bill: its lines, what is payable, its proof.

    A line of kind late is usage of an earlier period that came in after its
    cut; it names the bill that it belongs to. `meter verify BILL_ID`
    recomputes the bill from the log.

    Example:
      meter bills show B20261123-559aead08264d579

    Exit codes: 0 shown; 1 there is no such bill.
    """
    with connected(note) as settings:
        found = asyncio.run(_bills(settings, None))
    for bill, standing in found:
        if bill.bill_id == bill_id:
            say_json(_document(bill, standing)) if as_json else _print_bill(bill, standing)
            return
    raise MeterError(f"there is no bill {bill_id!r}; `meter bills list` shows what there is")


def _print_bill(bill: BillIssued, standing: Standing) -> None:
    proof, journal = bill.proof, bill.proof.journal
    refunded, credited = _given_back(standing)
    say_fields(
        {
            "bill": bill.bill_id,
            "account": bill.account_id,
            "period": f"{bill.period} ({bill.mode})",
            "issued": bill.issued_at,
            "total": Figure(bill.total, bill.currency),
            "rounding": Figure(bill.rounding, bill.currency),
            "payable": Figure(bill.payable, bill.currency),
            "state": "open" if standing.paid_at is None else f"paid at {standing.paid_at}",
            "refunded": Figure(refunded or "0.00", bill.currency),
            "credited": Figure(credited or "0.00", bill.currency),
            "proof": f"steps {journal.first} to {journal.last} of partition {journal.partition}, cut {proof.cut}",
            "prices": f"SHA-256 {proof.prices_hash}",
            "made by": f"meter {proof.meter_version}, rules {proof.rules_version}",
        }
    )
    rows = [
        (
            *(line.kind, line.day, line.region, str(line.jobs), str(line.minutes), line.unit_price, line.amount),
            line.original_bill_id or "",
        )
        for line in bill.lines
    ]
    say_table(("kind", "day", "region", "jobs", "minutes", "unit price", "amount", "belongs to"), rows)
