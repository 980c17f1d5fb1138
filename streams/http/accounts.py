"""Reads about accounts: the list, one, and what belongs to it."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from meter.arrears import Service
from meter.contracts import Contract, mode_on
from streams.http.access import AnyAccount, Anyone, OpenAccount, Operator
from streams.http.answers import After, Ask, AskedSpan, Limit, Page, answer
from streams.http.bodies import JsonRoute
from streams.http.callers import Role
from streams.http.documents import (
    AccountDocument,
    AccountItem,
    BillItem,
    ContractItem,
    EntryItem,
    JobItem,
    NoteItem,
    NoticeItem,
    OpenBillItem,
    ServiceDocument,
    SumItem,
    UsageDocument,
    UsageItem,
    contract_item,
)
from streams.http.paths import one
from streams.http.problems import PROBLEMS, unknown_account
from streams.http.services import AllServices
from streams.store.queries import accounts, bills, money, usage
from streams.store.queries.commands import AgreedContract, contract_in_force, contracts, low_balance
from streams.store.queries.meter import rules_of, today

#: Admission asks often; a service that stops or is restored is known everywhere this soon.
SERVICE_KEPT = "private, max-age=2"

router = APIRouter(prefix="/v1/accounts", tags=["accounts"], route_class=JsonRoute)
ONE = one("account_id")


@router.get("", response_model=Page[AccountItem], responses=PROBLEMS)
async def list_accounts(
    ask: Ask,
    _: Operator,
    search: Annotated[str | None, Query(max_length=128, description="a part of the id")] = None,
    state: Service | None = None,
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """Accounts by id."""
    return await ask.page(
        AccountItem,
        lambda connection: accounts.accounts(connection, search=search, state=state, after=after, limit=limit),
    )


@router.get(ONE, response_model=AccountDocument, responses=PROBLEMS)
async def show_account(ask: Ask, account: AnyAccount) -> Response:
    """One account: balance, what is owed, open bills, service, contract. Also while it is stopped."""
    return await ask(lambda connection: account_document(connection, account))


def account_document(connection: Connection, account_id: str) -> AccountDocument:
    """All about an account. Raises Problem (404) where there is none."""
    found = accounts.account_by_id(connection, account_id)
    rules = rules_of(connection)
    if found is None or rules is None:
        raise unknown_account(account_id)
    day = today(connection, rules, datetime.now(UTC))
    agreed = contracts(connection, account_id, rules)
    return AccountDocument(
        **found._asdict() | {"state": found.state.value},
        in_state_since=found.in_state_since,
        may_start_jobs=found.may_start_jobs,
        open_bills=[OpenBillItem.model_validate(bill) for bill in accounts.open_bills(connection, account_id)],
        mode=mode_on(tuple(each.contract for each in agreed), day).value,
        contract=_terms(contract_in_force(agreed, day)),
        contracts_to_come=_to_come(agreed, day),
        low_balance=low_balance(connection, account_id, rules),
    )


def _to_come(agreed: list[AgreedContract], day: str) -> list[ContractItem]:
    later = [each.contract for each in agreed if each.contract.effective_from > day]
    return [contract_item(contract) for contract in later]


def _terms(contract: Contract | None) -> ContractItem | None:
    return None if contract is None else contract_item(contract)


@router.get(ONE + "/service", response_model=ServiceDocument, responses=PROBLEMS)
async def show_service(request: Request, services: AllServices, who: Anyone, account_id: str) -> Response:
    """May this account start new jobs? One that is not known may. For admission: cheap, and kept for 2 s."""
    if who.role is Role.ACCOUNT:
        who.need_account(account_id)
    value = await services.store.read(lambda connection: accounts.service_value(connection, account_id))
    fields = {"state": "good", "may_start_jobs": True} if value is None else msgspec.json.decode(value)
    return await answer(request, ServiceDocument(**fields | {"account_id": account_id}), cache=SERVICE_KEPT)


@router.get(ONE + "/usage", response_model=UsageDocument, responses=PROBLEMS)
async def show_usage(
    ask: Ask,
    account: OpenAccount,
    asked: AskedSpan,
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """An account's usage by billing day and region, and the sum of all of it, whatever page this is."""
    return await ask(
        lambda connection: usage_document(usage.account_page(connection, account, asked, after=after, limit=limit))
    )


def usage_document(found: usage.Summed) -> UsageDocument:
    """A page of usage, with the sum of all pages."""
    items = [UsageItem.model_validate(row) for row in found.page.rows]
    return UsageDocument(items=items, next=found.page.next, sum=SumItem.model_validate(found.sum))


@router.get(ONE + "/jobs", response_model=Page[JobItem], responses=PROBLEMS)
async def list_jobs(
    ask: Ask,
    account: OpenAccount,
    asked: AskedSpan,
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """An account's priced jobs, the latest day first."""
    return await ask.page(JobItem, lambda connection: usage.jobs(connection, account, *asked, after=after, limit=limit))


@router.get(ONE + "/bills", response_model=Page[BillItem], responses=PROBLEMS)
async def list_bills(ask: Ask, account: AnyAccount, after: After = None, limit: Limit = 50) -> Response:
    """An account's bills, the latest first. Also while it is stopped."""
    return await ask.page(
        BillItem, lambda connection: bills.bills(connection, account_id=account, after=after, limit=limit)
    )


@router.get(ONE + "/ledger", response_model=Page[EntryItem], responses=PROBLEMS)
async def list_entries(ask: Ask, account: OpenAccount, after: After = None, limit: Limit = 50) -> Response:
    """An account's entries of the ledger, the latest first."""
    return await ask.page(EntryItem, lambda connection: money.ledger(connection, account, after=after, limit=limit))


@router.get(ONE + "/notes", response_model=Page[NoteItem], responses=PROBLEMS)
async def list_notes(ask: Ask, account: AnyAccount, after: After = None, limit: Limit = 50) -> Response:
    """An account's debit and credit notes, the latest first. Also while it is stopped."""
    return await ask.page(NoteItem, lambda connection: money.notes(connection, account, after=after, limit=limit))


@router.get(ONE + "/notices", response_model=Page[NoticeItem], responses=PROBLEMS)
async def list_notices(ask: Ask, account: OpenAccount, after: After = None, limit: Limit = 50) -> Response:
    """What the customer was to be told, the latest first."""
    return await ask.page(
        NoticeItem, lambda connection: money.notices(connection, account_id=account, after=after, limit=limit)
    )
