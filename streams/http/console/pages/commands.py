"""What is sent by forms: what is filled in leads on to what would happen; once that is confirmed, it is commanded."""

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response

from streams.http.console import forms
from streams.http.console.closed import OpenVisitor, OperatorVisitor
from streams.http.console.forms import FORMS, OPEN, WITHDRAW_BOOK
from streams.http.console.given import MAX_CHARS, Given
from streams.http.console.pages.account import ONE, OWN, own_account
from streams.http.console.render import account_base, look_of, see
from streams.http.forms import FormRoute
from streams.http.paths import segment
from streams.http.problems import Problem, not_found
from streams.http.services import Services
from streams.http.sessions import Visitor, check_form
from streams.store.queries.commands import command_by_id

router = APIRouter(route_class=FormRoute)

Text = Annotated[str, Form(max_length=5000)]
SHOWN_WITHIN_S = 3.0
LOOK_EVERY_S = 0.1


@router.post("/console/accounts")
async def open_account(
    request: Request, visitor: OperatorVisitor, account_id: Text = "", csrf: Text = "", key: Text = ""
) -> Response:
    """Open an account."""
    check_form(request, visitor, csrf)
    given = Given("open", OPEN, {"account_id": account_id.strip()}, key)
    then = f"/console/accounts/{segment(account_id.strip())}"
    return await _give(request, visitor, given, {}, "/console/accounts", then=then)


@router.post("/console/prices/withdraw")
async def withdraw_book(request: Request, visitor: OperatorVisitor) -> Response:
    """Withdraw a price book that has not begun."""
    given, is_confirmed = await _read(request, visitor, "withdraw-book", WITHDRAW_BOOK)
    return await _give(request, visitor, given, {}, "/console/prices", is_confirmed)


@router.post(OWN + "/threshold")
async def own_threshold(request: Request, visitor: OpenVisitor) -> Response:
    """A customer may say when it wants a notice; money is the operators' and payment systems' to book."""
    return await _send(request, visitor, own_account(visitor), "threshold")


@router.post(ONE + "/{kind}")
async def send(
    request: Request, visitor: OperatorVisitor, account_id: Annotated[str, Path(max_length=128)], kind: str
) -> Response:
    """A form of an account's page."""
    return await _send(request, visitor, account_id, kind)


async def _send(request: Request, visitor: Visitor, account_id: str, kind: str) -> Response:
    if kind not in FORMS:
        raise not_found(f"there is no form {kind[:100]!r}")
    given, is_confirmed = await _read(request, visitor, kind, FORMS[kind])
    whose, page = {"account_id": account_id}, account_base(visitor, account_id)
    return await _give(request, visitor, given, whose, page, is_confirmed)


async def _read(request: Request, visitor: Visitor, kind: str, form: forms.CommandForm) -> tuple[Given, bool]:
    """What was filled in, and whether it is confirmed: what would happen was seen."""
    async with request.form() as sent:
        values = {name: str(value).strip() for name, value in sent.items()}
    check_form(request, visitor, values.pop("csrf", ""))
    own = {name: values.get(name, "")[:MAX_CHARS] for name in form.checks}
    given = Given(kind, form, own, values.get("key", ""))
    return given, values.get("step") == "confirm" or not form.is_reviewed


async def _give(
    request: Request,
    visitor: Visitor,
    given: Given,
    whose: Mapping[str, str],
    page: str,
    is_confirmed: bool = True,
    then: str | None = None,
) -> Response:
    """Give the command of a form once it is confirmed; else show it again on its `page`. `then`: where it leads to."""
    if not is_confirmed or given.wrong(look_of(request).language):
        return see(page, **given.asked())
    fields = given.form.command_fields(given.values) | dict(whose)
    try:
        is_done = await _order(request, visitor, given.form.command, given.command_key, fields)
    except Problem as problem:
        if problem.status_code in (401, 403):
            raise
        return see(page, **given.asked(problem))
    return see(then or page, done=given.kind if is_done else "sent")


async def _order(request: Request, visitor: Visitor, command: str, key: str, fields: Mapping[str, Any]) -> bool:
    """Whether the meter has done it by now. Raises Problem where it refuses, or Kafka is away."""
    services: Services = request.app.state.services
    remote = request.client.host if request.client else None
    order = await services.desk.order(visitor.caller, remote, command, key, **fields)
    order.raise_if_refused()
    if order.outcome == "done":
        await _shown(services, order.command_id)
    return order.outcome == "done"


async def _shown(services: Services, command_id: str) -> None:
    """Wait a moment for the read model, so that whoever sent a form sees what it did; pages go on looking."""
    deadline = time.monotonic() + SHOWN_WITHIN_S
    while time.monotonic() < deadline:
        found = await services.store.read(lambda connection: command_by_id(connection, command_id))
        if any(each.status is not None for each in found):
            return
        await asyncio.sleep(LOOK_EVERY_S)
