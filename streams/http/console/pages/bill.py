"""A bill: its lines and proof, verified from the log when asked, as a page to print, and as CSV."""

import csv
import io
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from meter.billing_models import BillIssued
from meter.capitals import in_capitals
from meter.money import decimal_text
from streams.http.bills import find_bill, verify
from streams.http.console.closed import OpenVisitor
from streams.http.console.render import account_base, page, plain
from streams.http.console.views import Scene
from streams.http.documents import VerifyDocument
from streams.http.forms import FormRoute
from streams.http.paths import one
from streams.http.problems import Problem
from streams.http.services import AllServices, Services
from streams.http.sessions import Visitor, check_form
from streams.store.queries import money
from streams.text.visible import cell

router = APIRouter(route_class=FormRoute)

ONE = "/console/bills" + one("bill_id")
BillId = Annotated[str, Path(max_length=128)]
HEAD = ("bill_id", "account_id", "period")
LINE = ("kind", "region", "day", "jobs", "minutes", "unit_price", "amount", "original_bill_id")


@router.get(ONE)
async def bill(request: Request, visitor: OpenVisitor, bill_id: BillId) -> Response:
    """The bill, with what the ledger says of it."""
    return await bill_page(request, visitor, bill_id, "bill.html")


@router.get(ONE + "/print")
async def printable(request: Request, visitor: OpenVisitor, bill_id: BillId) -> Response:
    """The bill alone, on paper."""
    return await bill_page(request, visitor, bill_id, "bill_print.html")


async def bill_page(
    request: Request, visitor: Visitor, bill_id: str, template: str, checked: Mapping[str, Any] | None = None
) -> Response:
    """A page of a bill; `checked`: what a verification found."""

    services: Services = request.app.state.services
    parties = services.parties.parties()

    def ask(connection: Connection, _: Scene) -> Mapping[str, Any]:
        whole = find_bill(connection, visitor.caller, bill_id)
        return {
            "b": whole.bill,
            "issuer": parties.issuer,
            "customer": parties.customers.get(whole.bill.account_id),
            "capitals": in_capitals(whole.bill.payable),
            "lines": whole.lines,
            "proof": BillIssued.model_validate(msgspec.json.decode(whole.value), extra="ignore").proof,
            "published": whole.value,
            "entries": money.entries_about(connection, bill_id),
            "base": account_base(visitor, whole.bill.account_id),
            "checked": checked,
        }

    return await page(request, visitor, template, ask)


@router.get(ONE + "/csv")
async def as_csv(services: AllServices, visitor: OpenVisitor, bill_id: BillId) -> Response:
    """The lines, exact, with the rounding of the sum as the last."""
    whole = await services.store.read(lambda connection: find_bill(connection, visitor.caller, bill_id))
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow([*HEAD, *LINE])
    bill = whole.bill
    head = [bill.bill_id, cell(bill.account_id), bill.period]
    for line in whole.lines:
        amounts = [decimal_text(line.unit_price), decimal_text(line.amount)]
        used = [line.kind, line.region, line.day, line.jobs, line.minutes]
        rows.writerow([*head, *used, *amounts, line.original_bill_id or ""])
    rows.writerow([*head, "rounding", "", "", "", "", "", decimal_text(bill.rounding), ""])
    headers = {"Content-Disposition": f'attachment; filename="{bill.bill_id}.csv"'}
    return Response(text.getvalue().encode("utf-8-sig"), 200, headers, "text/csv; charset=utf-8")


@router.get(ONE + "/json")
async def as_json(services: AllServices, visitor: OpenVisitor, bill_id: BillId) -> Response:
    """The record of `billing.bills`, byte for byte."""
    whole = await services.store.read(lambda connection: find_bill(connection, visitor.caller, bill_id))
    headers = {"Content-Disposition": f'attachment; filename="{whole.bill.bill_id}.json"'}
    return Response(whole.value.encode(), 200, headers, "application/json")


@router.post(ONE + "/verify")
async def verify_now(
    request: Request, services: AllServices, visitor: OpenVisitor, bill_id: BillId, csrf: Annotated[str, Form()] = ""
) -> Response:
    """Recompute the bill from the log, and say what was found; whoever may see a bill may have it proved."""
    check_form(request, visitor, csrf)
    found: VerifyDocument | None = None
    problem: Problem | None = None
    try:
        found = await verify(services, visitor.caller, bill_id)
    except Problem as error:
        if error.status_code == 404:
            raise
        problem = error
    checked = {"found": found, "problem": problem, "bill_id": bill_id}
    if request.headers.get("hx-request"):
        return plain(request, visitor, "verified.html", checked=checked)
    return await bill_page(request, visitor, bill_id, "bill.html", checked)
