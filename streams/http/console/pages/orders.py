"""What the forms do: say what is wrong, show what would happen, and give the command once that is confirmed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response

from meter.periods import milliseconds
from streams.commands.writing import new_command
from streams.http.bodies import fields_once
from streams.http.console import forms, views
from streams.http.console.closed import OpenVisitor, OperatorVisitor
from streams.http.console.forms import FORMS, OPEN, WITHDRAW_BOOK, field_of
from streams.http.console.pages.account import ONE, OWN, account_page, own_account
from streams.http.console.pages.board import accounts_page, prices_page
from streams.http.console.render import account_base, look_of, see
from streams.http.console.review import Review, review
from streams.http.orders import command_id
from streams.http.paths import segment
from streams.http.problems import Problem, not_found
from streams.http.services import Services
from streams.http.sessions import Visitor, check_form
from streams.http.words import WORDS, reason, text, word
from streams.store.queries.commands import command_by_id

router = APIRouter()

Text = Annotated[str, Form(max_length=5000)]
SHOWN_WITHIN_S = 3.0
LOOK_EVERY_S = 0.1


@router.post("/console/accounts")
async def open_account(
    request: Request, visitor: OperatorVisitor, account_id: Text = "", csrf: Text = "", key: Text = ""
) -> Response:
    """Open an account."""
    check_form(request, visitor, csrf)

    async def again(form: Mapping[str, Any], status: int) -> Response:
        return await accounts_page(request, visitor, form=form, status=status)

    given = _Given("open", OPEN, {"account_id": account_id.strip()}, key, is_confirmed=True)
    return await _give(request, visitor, given, {}, again, f"/console/accounts/{segment(account_id.strip())}")


@router.post("/console/prices/withdraw")
async def withdraw_book(request: Request, visitor: OperatorVisitor) -> Response:
    """Withdraw a price book that has not begun."""

    async def again(form: Mapping[str, Any], status: int) -> Response:
        return await prices_page(request, visitor, form=form, status=status)

    given = await _read(request, visitor, "withdraw-book", WITHDRAW_BOOK)
    return await _give(request, visitor, given, {}, again, "/console/prices")


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

    async def again(form: Mapping[str, Any], status: int) -> Response:
        return await account_page(request, visitor, account_id, "usage", form=form, status=status)

    given = await _read(request, visitor, kind, FORMS[kind])
    return await _give(request, visitor, given, {"account_id": account_id}, again, account_base(visitor, account_id))


class _Given(NamedTuple):
    """A form as it was sent. `is_edited`: not yet what is meant; `is_confirmed`: what would happen was seen."""

    kind: str
    form: forms.Form
    values: Mapping[str, str]
    key: str
    is_edited: bool = False
    is_confirmed: bool = False

    @property
    def command_key(self) -> str:
        """What makes it the same command when it is sent again."""
        return self.values["number"] if self.form.has_number else self.key

    def shown(self, language: str, problem: Problem | None = None, found: Review | None = None) -> dict[str, Any]:
        """The form as a page shows it again: as it was filled in, and what is wrong with it, or what it would do."""
        errors: dict[str, str] = {}
        refused = None
        if problem is not None:
            known = problem.code in WORDS["refusal"]
            said = word(language, "refusal", problem.code) if known else reason(language, problem.code, problem.text)
            about = field_of(self.form, problem.code)
            if about is None:
                refused = said
            else:
                errors[about] = said
        # What may have been taken all the same keeps its key, so that sent again it is the same command.
        keeps = found is not None or (problem is not None and problem.status_code >= 500)
        return {
            "kind": self.kind,
            "values": self.values,
            "errors": errors,
            "refused": refused,
            "review": found,
            "kept": {"key": self.key} if keeps and self.key else {},
        }


async def _read(request: Request, visitor: Visitor, kind: str, form: forms.Form) -> _Given:
    async with request.form(max_files=0, max_fields=20) as given:
        values = fields_once(given)
    check_form(request, visitor, values.pop("csrf", ""))
    own = {name: values.get(name, "") for name in form.checks}
    step = values.get("step", "")
    return _Given(kind, form, own, values.get("key", ""), step == "edit", step == "confirm" or not form.is_reviewed)


_Again = Callable[[Mapping[str, Any], int], Awaitable[Response]]


async def _give(
    request: Request, visitor: Visitor, given: _Given, whose: Mapping[str, str], again: _Again, then: str
) -> Response:
    """One step of a form: `again` shows it again, `then` is where it leads once it is done."""
    language = look_of(request).language
    if given.is_edited:
        return await again(given.shown(language), 200)
    if wrong := given.form.wrong(given.values):
        said = {name: text(language, message) for name, message in wrong.items()}
        return await again(given.shown(language) | {"errors": said}, 422)
    fields = given.form.command_fields(given.values) | dict(whose)
    found: Review | None = None
    try:
        if given.form.is_reviewed:
            found = await _review(request, visitor, given, fields)
            if found.refused is not None and not given.is_confirmed:
                raise Problem(409, found.refused, found.refused)
            if not given.is_confirmed:
                return await again(given.shown(language, found=found), 200)
        is_done = await _order(request, visitor, given.form.command, given.command_key, fields)
    except Problem as problem:
        if problem.status_code in (401, 403):
            raise
        found = found if problem.status_code >= 500 else None
        return await again(given.shown(language, problem, found), problem.status_code)
    return see(then, done=given.kind if is_done else "sent")


async def _review(request: Request, visitor: Visitor, given: _Given, fields: Mapping[str, Any]) -> Review:
    services: Services = request.app.state.services
    own_id = command_id(visitor.caller, given.command_key)

    def ask(connection: Any) -> Review:
        here = views.scene(connection)
        if here is None:
            raise Problem(503, "no_figures", "no projector has run yet")
        command = new_command(given.form.command, here.rules, milliseconds(here.now), own_id, **fields)
        return review(connection, here, command)

    return await services.store.read(ask)


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
