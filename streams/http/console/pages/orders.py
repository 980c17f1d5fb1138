"""Forms that command something: each is one command, whatever often it is sent, by the key that it carries."""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request
from fastapi.responses import Response

from meter.regions import REGION_CODES
from streams.http.console.closed import OpenVisitor, OperatorVisitor
from streams.http.console.pages.account import ONE, OWN, account_page, own_account
from streams.http.console.pages.board import accounts_page
from streams.http.console.render import account_base, look_of, see
from streams.http.paths import segment
from streams.http.problems import Problem, not_found
from streams.http.services import Services
from streams.http.sessions import Visitor, check_form
from streams.http.words import WORDS, reason, word
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
    try:
        done = await _order(request, visitor, "open_account", key, {"account_id": account_id})
    except Problem as problem:
        form = _again(request, problem, "open", {"account_id": account_id}, key)
        return await accounts_page(request, visitor, form=form, status=problem.status_code)
    return see(f"/console/accounts/{segment(account_id)}", done="open" if done else "sent")


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
    async with request.form(max_files=0, max_fields=20) as given:
        values = {name: value.strip() for name, value in given.items() if isinstance(value, str)}
    check_form(request, visitor, values.pop("csrf", ""))
    key = values.pop("key", "")
    command, read = FORMS[kind]
    try:
        fields = read(values) | {"account_id": account_id}
        done = await _order(request, visitor, command, key, fields)
    except Problem as problem:
        form = _again(request, problem, kind, values, key)
        return await account_page(request, visitor, account_id, "usage", form=form, status=problem.status_code)
    return see(account_base(visitor, account_id), done=kind if done else "sent")


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


def _again(request: Request, problem: Problem, kind: str, values: Mapping[str, str], key: str) -> dict[str, Any]:
    """The form as it was filled in, and why it was refused. Raises the problem where it is not about the form.

    Where it may have been taken all the same, it keeps its key, so that sent again it is the same command.
    """
    if problem.status_code in (401, 403):
        raise problem
    language = look_of(request).language
    known = problem.code in WORDS["refusal"]
    said = word(language, "refusal", problem.code) if known else reason(language, problem.code, problem.text)
    kept = {"key": key} if problem.status_code >= 500 else {}
    return {"kind": kind, "values": values, "refused": said, "kept": kept}


def _top_up(values: Mapping[str, str]) -> dict[str, Any]:
    return {"amount": values.get("amount", "")}


def _refund(values: Mapping[str, str]) -> dict[str, Any]:
    return {name: values.get(name, "") for name in ("ticket", "bill_id", "amount")}


def _adjustment(values: Mapping[str, str]) -> dict[str, Any]:
    return {name: values.get(name, "") for name in ("amount", "reason")}


def _low_balance(values: Mapping[str, str]) -> dict[str, Any]:
    return {"threshold": values.get("threshold") or None}


def _contract(values: Mapping[str, str]) -> dict[str, Any]:
    grace = values.get("grace_hours", "")
    if grace and not re.fullmatch(r"[0-9]{1,4}", grace):
        raise Problem(422, "bad_fields", f"the hours are a whole number, got {grace!r}")
    return {
        "effective_from": values.get("effective_from", ""),
        "mode": values.get("mode") or None,
        "prices": _prices(values.get("prices", "")),
        "grace_hours": int(grace) if grace else None,
    }


def _prices(lines: str) -> dict[str, str]:
    """`ap-tokyo = 0.30`, a line each. Of unknown regions the meter says that they are."""
    prices: dict[str, str] = {}
    for line in filter(None, map(str.strip, lines.splitlines())):
        name, equals, price = (part.strip() for part in line.rpartition("="))
        region = REGION_CODES.get(name, name)
        if not equals or region in prices:
            raise Problem(422, "bad_fields", f"a line is REGION = CNY, each region once, got {line[:200]!r}")
        prices[region] = price
    return prices


#: Form -> the command that it gives, and its fields from what was filled in.
FORMS = {
    "top-up": ("top_up", _top_up),
    "refund": ("refund", _refund),
    "adjust": ("adjustment", _adjustment),
    "contract": ("contract", _contract),
    "threshold": ("low_balance", _low_balance),
}
