"""`meter verify` and `meter demo`: see for yourself."""

import asyncio
import sys
from decimal import Decimal
from typing import Annotated

import typer

from meter.money import decimal_text
from streams.broker.connect import connected
from streams.cli.arguments import Account, Json, read_day, read_period
from streams.errors import Exit, SettingError
from streams.proof.bill import prove_bill
from streams.proof.differences import Report, Scope
from streams.proof.reconcile import reconcile as add_up
from streams.proof.whole import verify as recompute
from streams.terminal.output import Figure, complain, counted, note, say, say_fields, say_json

SHOWN = 50


def verify(
    bill_id: Annotated[
        str | None, typer.Argument(metavar="[BILL_ID]", help="One bill; without it, all outputs.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All outputs: what happens without a bill.")] = False,
    day: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="Only this billing day.")] = None,
    period: Annotated[
        str | None, typer.Option(metavar="YYYY-MM[-DD]", help="Only bills and usage of this month or day.")
    ] = None,
    account: Account = None,
    as_json: Json = False,
) -> int:
    """Recompute everything, or one bill, from the log; compare.

    The journal says what the workers read and in which order; from it and
    the inputs all outputs follow, byte for byte. Prints each difference (the
    first 50), or "verify: no difference".

    Example:
      meter verify --account A --day 2026-11-23
      meter verify --all --period 2026-11
      meter verify B20261123-559aead08264d579

    Exit codes: 0 no difference; 1 differences, or no such bill or
    account; 3 unprovable: the log does not reach back far enough.
    """
    scope = Scope(account, read_day(day), read_period(period))
    if bill_id is not None and (everything or scope != Scope()):
        raise SettingError("a bill is verified whole: give its id alone")
    with connected(note) as settings:
        progress = note if sys.stderr.isatty() else lambda _: None
        if bill_id is not None:
            report = asyncio.run(prove_bill(settings, bill_id))
        else:
            report = asyncio.run(recompute(settings, scope, say=progress))
    return _say_report(report, as_json)


def _say_report(report: Report, as_json: bool) -> int:
    counts = {"records": report.records, "steps": report.steps, "bills": report.bills}
    if as_json:
        say_json({"differences": report.differences, "unprovable": report.unprovable, **counts})
    else:
        for difference in report.differences[:SHOWN]:
            say(difference)
        if len(report.differences) > SHOWN:
            say(f"... and {len(report.differences) - SHOWN:,} more")
    if report.differences:
        complain(f"verify: {counted(len(report.differences), 'difference')}")
        return Exit.FAILED
    if report.unprovable is not None:
        complain(f"verify: {report.unprovable}")
        return Exit.REFUSES
    if not as_json:
        bills = f", {counted(report.bills, 'bill')}" if report.bills else ""
        read = f"{counted(report.records, 'record')} in {counted(report.steps, 'step')}"
        say(f"verify: no difference ({read}{bills})")
    return Exit.OK


def reconcile(as_json: Json = False) -> int:
    """Add up what came in, what was priced, billed and paid.

    Records read are priced, duplicates, rejected, rerouted or commands; what
    was priced is what the daily totals say, and is billed or not billed yet;
    the ledger sums to zero; balances are what its entries make of them.

    Example:
      meter reconcile

    Exit codes: 0 it all agrees; 1 it does not (each line says where); 3 the
    log does not reach back far enough.
    """
    with connected(note) as settings:
        result = asyncio.run(add_up(settings, say=note if sys.stderr.isatty() else lambda _: None))
    figures = {name: _figure(value) for name, value in result.sums._asdict().items()}
    if as_json:
        difference = decimal_text(result.difference)
        outcome = {"difference": difference, "differences": result.differences, "unprovable": result.unprovable}
        say_json({**figures, **outcome})
    elif result.unprovable is None:
        say_fields({name.replace("_", " "): Figure(value) for name, value in figures.items()})
    for text in result.differences[:SHOWN]:
        complain(text)
    if result.unprovable is not None:
        complain(f"reconcile: {result.unprovable}")
        return Exit.REFUSES
    if result.differences:
        complain(f"reconcile: {counted(len(result.differences), 'difference')}")
        return Exit.FAILED
    if not as_json:
        say("reconcile: no difference")
    return Exit.OK


def _figure(value: int | Decimal) -> str:
    return f"{value}" if isinstance(value, int) else decimal_text(value)
