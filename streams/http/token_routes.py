"""Tokens by the API, for operators: made, listed without their secrets, revoked.

No token makes one of more rights. An operator may do everything but outlive itself: an operator's token that ends makes
no operator's token that ends later.
"""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import Field
from sqlalchemy import Connection

from meter.models import Id
from streams.http.access import Operator
from streams.http.answers import After, Ask, AsOf, Instant, Limit, Page, encoded
from streams.http.bodies import JsonRoute
from streams.http.callers import Caller, Role
from streams.http.commands import Body, Key
from streams.http.documents import NewTokenDocument, TokenItem, token_item
from streams.http.once import Change, once
from streams.http.paths import one, segment
from streams.http.problems import PROBLEMS, Problem, not_found
from streams.http.services import AllServices
from streams.http.tokens import By, create_token, revoke_token, token_by_id, token_of, token_page
from streams.http.traces import remote_of

router = APIRouter(prefix="/v1/tokens", tags=["tokens"], route_class=JsonRoute)
ONE = one("token_id")
TokenId = Annotated[str, Path(min_length=1, max_length=128)]


class TokenBody(Body):
    """Whom a token stands for, and until when."""

    role: Role = Field(description="what it may do; `account` names its account", examples=["producer"])
    account_id: Id | None = Field(None, examples=[None])
    label: Annotated[str, Field(max_length=200)] | None = Field(None, examples=["recognition-eu"])
    expires_at: Instant | None = Field(None, description="null: never", examples=["2127-12-31T00:00:00.000+08:00"])


@router.get("", response_model=Page[TokenItem], responses=PROBLEMS)
async def list_tokens(ask: Ask, _: Operator, after: After = None, limit: Limit = 50) -> Response:
    """All tokens, the latest first, without their secrets."""

    def question(connection: Connection) -> Page[TokenItem]:
        found = token_page(connection, after=after, limit=limit)
        return Page(items=[token_item(each) for each in found.rows], next=found.next)

    return await ask(question)


@router.get(ONE, response_model=TokenItem, responses=PROBLEMS)
async def show_token(ask: Ask, _: Operator, token_id: TokenId) -> Response:
    """One token, without its secret."""
    return await ask(lambda connection: _item(connection, token_id))


def _item(connection: Connection, token_id: str) -> TokenItem:
    found = token_by_id(connection, token_id)
    if found is None:
        raise not_found(f"there is no token {token_id!r}")
    return token_item(found)


@router.post("", status_code=201, response_model=NewTokenDocument, responses=PROBLEMS)
async def make_token(request: Request, services: AllServices, who: Operator, key: Key, body: TokenBody) -> Response:
    """Make a token. `token` is shown this once: sent again with the same key, the answer is the same without it."""
    asked = body.model_dump(mode="json")
    remote = remote_of(request)
    change = Change(who, remote, key, "create_token", asked, body.account_id)

    def work(connection: Connection) -> NewTokenDocument:
        shown: list[str] = []

        def make() -> str:
            _need_rights(connection, who, body.role, body.expires_at)
            by = By(who.token_id, remote, is_written_down=True)
            made = create_token(connection, body.role, body.account_id, body.label, body.expires_at, by)
            shown.append(made.text)
            return made.token_id

        token_id, _ = once(connection, change, make)
        item = _item(connection, token_id)
        return NewTokenDocument(**item.model_dump(), token=shown[0] if shown else None)

    document = await services.store.write(work)
    services.access.forget()
    return await _made(request, document)


async def _made(request: Request, document: NewTokenDocument) -> Response:
    seen: AsOf = await request.app.state.age.look(request.app.state.services)
    headers = {"Location": f"/v1/tokens/{segment(document.token_id)}", "Cache-Control": "no-store"}
    return Response(encoded(document, seen.days), 201, headers, "application/json")


def _need_rights(connection: Connection, who: Caller, role: Role, expires_at: datetime | None) -> None:
    """Raises Problem: 401 where the maker was revoked a moment ago, 403 for a token that may do more than its maker."""
    if who.token_id is None:
        if role is not Role.OPERATOR:
            raise Problem(409, "operator_first", "make an operator's token first: after this one nobody could")
        return
    maker = token_of(connection, who.token_id)
    if maker is None:
        raise Problem(401, "not_signed_in", "this token is not valid: unknown, expired or revoked")
    ends_later = maker.expires_at is not None and (expires_at is None or expires_at > maker.expires_at)
    if role is Role.OPERATOR and ends_later:
        raise Problem(403, "forbidden", "a token that ends makes no operator's token that ends later than itself")


@router.delete(ONE, status_code=204, responses=PROBLEMS)
async def end_token(request: Request, services: AllServices, who: Operator, token_id: TokenId) -> Response:
    """Revoke a token: here it counts no more at once, elsewhere within 5 seconds. Again, it changes nothing."""
    remote = remote_of(request)

    def work(connection: Connection) -> None:
        if _item(connection, token_id).revoked_at is None:
            revoke_token(connection, token_id, By(who.token_id, remote))

    await services.store.write(work)
    services.access.forget()
    return Response(status_code=204)
