"""Reads about bills, and the proof of one from the log."""

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Path, Query, Response
from sqlalchemy import Connection

from streams.errors import BrokerLostError
from streams.http.access import Anyone, Operator
from streams.http.answers import After, Ask, Limit, Page, Period
from streams.http.bodies import JsonRoute
from streams.http.callers import Caller, Role
from streams.http.documents import BillDocument, BillItem, EntryItem, LineItem, NoteItem, VerifyDocument
from streams.http.paths import one
from streams.http.problems import PROBLEMS, Problem, not_found, unavailable
from streams.http.services import AllServices, Services
from streams.proof.bill import prove_bill
from streams.store.queries import bills, money

router = APIRouter(prefix="/v1/bills", tags=["bills"], route_class=JsonRoute)
ONE = one("bill_id")
BillId = Annotated[str, Path(min_length=1, max_length=128)]
#: A proof reads a partition's whole log.
PROOF_PATIENCE_S = 120.0


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


_one_at_a_time = CapacityLimiter(1)


@router.post(ONE + "/verify", response_model=VerifyDocument, responses=PROBLEMS)
async def verify_bill(services: AllServices, who: Operator, bill_id: BillId) -> VerifyDocument:
    """Recompute the bill from the log, and compare every byte. It reads a partition's whole log: one at a time."""
    return await verify(services, who, bill_id)


async def verify(services: Services, who: Caller, bill_id: str) -> VerifyDocument:
    """Prove a bill in a thread with a loop of its own. Raises Problem: 404, and 503 where Kafka is away or busy."""
    await services.store.read(lambda connection: find_bill(connection, who, bill_id))
    if _one_at_a_time.available_tokens < 1:
        raise Problem(503, "busy", "another bill is being verified", headers={"Retry-After": "5"})
    if not services.log.is_up:
        raise unavailable("kafka", f"Kafka is away, nothing can be verified: {services.log.why_down}")
    try:
        report = await to_thread.run_sync(_prove, services, bill_id, limiter=_one_at_a_time)
    except (BrokerLostError, TimeoutError) as error:
        raise unavailable("kafka", f"the log could not be read: {error or 'it took too long'}") from error
    return VerifyDocument(
        bill_id=bill_id,
        proved=report.proved,
        differences=report.differences,
        unprovable=report.unprovable,
        records=report.records,
        steps=report.steps,
    )


def _prove(services: Services, bill_id: str) -> Any:
    return asyncio.run(asyncio.wait_for(prove_bill(services.settings, bill_id), PROOF_PATIENCE_S))
