"""Reads about bills, and the proof of one from the log."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Connection

from streams.http.access import Anyone, Operator
from streams.http.answers import After, Ask, AsOf, Limit, Page, Period, encoded
from streams.http.bodies import JsonRoute
from streams.http.callers import Caller, Role
from streams.http.documents import (
    BillDocument,
    BillItem,
    EntryItem,
    LineItem,
    NoteItem,
    VerifyDocument,
    VerifyingDocument,
)
from streams.http.paths import one
from streams.http.problems import MAX_ERRORS, PROBLEMS, not_found, unavailable
from streams.http.services import AllServices, Services
from streams.store.queries import bills, money

router = APIRouter(prefix="/v1/bills", tags=["bills"], route_class=JsonRoute)
ONE = one("bill_id")
BillId = Annotated[str, Path(min_length=1, max_length=128)]


@router.get("", response_model=Page[BillItem], responses=PROBLEMS)
async def list_bills(
    ask: Ask,
    _: Operator,
    period: Annotated[Period | None, Query()] = None,
    state: Annotated[Literal["open", "paid"] | None, Query()] = None,
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """All accounts' bills, the latest first."""
    return await ask.page(
        BillItem, lambda connection: bills.bills(connection, period=period, state=state, after=after, limit=limit)
    )


@router.get(ONE, response_model=BillDocument, responses=PROBLEMS)
async def show_bill(ask: Ask, who: Anyone, bill_id: BillId) -> Response:
    """A bill with its lines, entries, credit notes, and what was published. Also while the account is stopped."""

    def question(connection: Connection) -> BillDocument:
        whole = find_bill(connection, who, bill_id)
        return BillDocument(
            bill=BillItem.model_validate(whole.bill),
            lines=[LineItem.model_validate(line) for line in whole.lines],
            entries=[EntryItem.model_validate(entry) for entry in money.entries_about(connection, bill_id)],
            credit_notes=[NoteItem.model_validate(note) for note in money.notes_on(connection, bill_id)],
            published=msgspec.json.decode(whole.value),
        )

    return await ask(question)


@router.get(ONE + "/published", response_model=dict[str, Any], responses=PROBLEMS)
async def show_published(ask: Ask, who: Anyone, bill_id: BillId) -> Response:
    """The record of `billing.bills`, byte for byte."""
    return await ask(lambda connection: find_bill(connection, who, bill_id).value.encode())


def find_bill(connection: Connection, who: Caller, bill_id: str) -> bills.WholeBill:
    """A bill that the caller may see. Raises Problem (404, 403)."""
    who.need(Role.OPERATOR, Role.ACCOUNT)
    whole = bills.bill_by_id(connection, bill_id)
    if whole is None or (who.role is Role.ACCOUNT and whole.bill.account_id != who.account_id):
        raise not_found(f"there is no bill {bill_id!r}")
    return whole


@router.post(
    ONE + "/verify",
    response_model=VerifyDocument,
    responses={**PROBLEMS, 202: {"model": VerifyingDocument, "description": "It goes on: ask again"}},
)
async def verify_bill(request: Request, services: AllServices, who: Operator, bill_id: BillId) -> Any:
    """Recompute the bill from the log, and compare every byte. It reads a partition's whole log: one at a time.

    What was found is kept for ten minutes. 202: it takes longer than a request may wait; ask again for what it found.
    """
    found = await verify(services, who, bill_id)
    if found is not None:
        seen: AsOf = await request.app.state.age.look(services)
        return Response(encoded(found, seen.days), media_type="application/json")
    return JSONResponse({"bill_id": bill_id, "state": "running"}, 202, {"Retry-After": "5"})


async def verify(services: Services, who: Caller, bill_id: str) -> VerifyDocument | None:
    """What a proof of the bill found; None: it goes on. Raises Problem: 404, 429, 503 where Kafka is away or busy."""
    await services.store.read(lambda connection: find_bill(connection, who, bill_id))
    if not services.log.is_up:
        raise unavailable("kafka", f"Kafka is away, nothing can be verified: {services.log.why_down}")
    proof = await services.proofs.prove(who, bill_id)
    if proof is None:
        return None
    report = proof.report
    return VerifyDocument(
        bill_id=bill_id,
        proved=report.proved,
        differences=report.differences[:MAX_ERRORS],
        unprovable=report.unprovable,
        records=report.records,
        steps=report.steps,
        checked_at=proof.at,
    )
