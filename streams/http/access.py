"""Who is asking: a bearer token, or on a machine without tokens nobody has to say.

What a token stands for is asked of the store and kept for a moment; while the store is away it is believed for longer,
so that completions still come in. A revoked token counts no more within `FRESH_S`.
"""

import hashlib
import ipaddress
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

from fastapi import Depends, Path, Request
from sqlalchemy import Connection

from meter.arrears import Service
from streams.http import traces
from streams.http.callers import LOOPBACK, Caller, Role
from streams.http.limits import Buckets
from streams.http.problems import Problem, unknown_account
from streams.http.store import Store
from streams.http.tokens import Token, any_token, find_token, used
from streams.process.nearby import asks_this_machine, is_forwarded, is_loopback
from streams.store.queries.accounts import StoredAccount, account_by_id

FRESH_S = 5.0
#: How long a token is believed that was valid when the store was last there.
BELIEVED_S = 900.0
USED_EVERY = timedelta(minutes=10)
MAX_KEPT = 10_000
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
WRONG_TOKENS_PER_S = 10
#: Where a request's scope, which is of this request alone, has its caller.
CALLER = "meter.caller"


class _Seen(NamedTuple):
    token: Token | None
    at_s: float


class Access:
    """What is known of tokens, and how much each may still ask."""

    def __init__(self, store: Store, requests_per_s: float) -> None:
        self._store = store
        self._seen: dict[bytes, _Seen] = {}
        self._open: _Seen | None = None
        self._is_open = False
        self._buckets = Buckets(requests_per_s)
        self._wrong = Buckets(WRONG_TOKENS_PER_S)

    async def identify(self, request: Request) -> Caller:
        """The caller of a request to the API. Raises Problem: 401, 403, 429, or 503 where it cannot be found out."""
        text = _bearer(request)
        if text is None:
            if not await self.is_open():
                raise _not_signed_in("this needs a token, as `Authorization: Bearer mtr_...`")
            need_local(request)
            return LOOPBACK
        token = await self._token(text)
        if token is None:
            self.wrong(request)
            raise _not_signed_in("this token is not valid: unknown, expired or revoked")
        who = token.caller()
        traces.known(request, who)
        request.state.allowance = self.take(token.token_id)
        return who

    def take(self, token_id: str) -> Mapping[str, str]:
        """Count one request of a token. Returns headers that say what is left. Raises Problem (429) at too many."""
        return self._buckets.take(token_id)

    def wrong(self, request: Request) -> None:
        """Count one wrong token of an address. Raises Problem (429) where there are too many."""
        remote = traces.remote_of(request)
        self._wrong.take(_neighbourhood(remote or ""))
        traces.security.warning("a wrong token", remote=remote, method=request.method)

    async def is_open(self) -> bool:
        """Whether there is no token at all, so that everybody on this machine is an operator.

        Once there was one it stays closed: a store that was put in place of another opens nothing while this runs.
        """
        if self._open is not None and not self._is_open:
            return False
        now = time.monotonic()
        if self._open is None or now - self._open.at_s > FRESH_S:
            try:
                self._is_open = not await self._store.read(any_token)
            except Problem:
                if self._open is None:
                    raise
            self._open = _Seen(None, now)
        return self._is_open

    def forget(self) -> None:
        """What is known of tokens counts no more: one was made or revoked just now."""
        self._seen.clear()
        if self._is_open:
            self._open = None

    async def _token(self, text: str) -> Token | None:
        key, now = hashlib.sha256(text.encode(errors="replace")).digest(), time.monotonic()
        seen = self._seen.get(key)
        if seen is None or now - seen.at_s > FRESH_S:
            try:
                seen = _Seen(await self._store.read(lambda connection: find_token(connection, text)), now)
                await self._note_use(seen.token)
            except Problem:
                if seen is None or now - seen.at_s > BELIEVED_S:
                    raise
        self._keep(key, seen)
        if seen.token is not None and seen.token.state(datetime.now(UTC)) != "active":
            return None
        return seen.token

    def _keep(self, key: bytes, seen: _Seen) -> None:
        self._seen.pop(key, None)
        if seen.token is None:
            return
        if len(self._seen) >= MAX_KEPT:
            del self._seen[next(iter(self._seen))]  # the one that came in longest ago
        self._seen[key] = seen

    async def _note_use(self, token: Token | None) -> None:
        now = datetime.now(UTC)
        if token is None or (token.last_used_at is not None and now - token.last_used_at < USED_EVERY):
            return
        token_id = token.token_id

        def note(connection: Connection) -> None:
            used(connection, token_id, now)

        await self._store.write(note)


def _neighbourhood(host: str) -> str:
    """What is counted as one address: of version 6 the 64 bits that a site gets, since it makes the rest up."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    return host if address.version == 4 else str(ipaddress.ip_network((address, 64), strict=False))


def _bearer(request: Request) -> str | None:
    headers = request.headers.getlist("authorization")
    if not headers:
        return None
    if len(headers) > 1:
        raise _not_signed_in("there is more than one `Authorization`: which is meant?")
    header = headers[0]
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "bearer":
        raise _not_signed_in("the scheme is Bearer: `Authorization: Bearer mtr_...`")
    return text.strip()


def _not_signed_in(detail: str) -> Problem:
    return Problem(401, "not_signed_in", detail, headers={"WWW-Authenticate": 'Bearer realm="meter"'})


def need_local(request: Request) -> None:
    """Raises Problem (403) unless a request without a token was made on this machine, for this machine.

    A page of another site, a name that leads here, or a proxy in front must not make an operator of whoever is behind.
    """
    peer = request.client.host if request.client else ""
    if not (is_loopback(peer) and asks_this_machine(request.headers.get("host", ""))):
        raise Problem(403, "forbidden", "without tokens only this machine is served, as 127.0.0.1, [::1] or localhost")
    if is_forwarded(request.headers):
        raise Problem(403, "forbidden", "behind a proxy this needs tokens: `meter token create --role operator`")
    need_same_origin(request)


def need_same_origin(request: Request) -> None:
    """Raises Problem (403) where a page of another site makes a browser change something here."""
    if request.method in SAFE_METHODS:
        return
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise Problem(403, "forbidden", "pages of other sites may not do this")
    if request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        raise Problem(403, "forbidden", "pages of other sites may not do this")


async def caller(request: Request) -> Caller:
    """Dependency: who is asking; found out once for a request."""
    if CALLER not in request.scope:
        access: Access = request.app.state.services.access
        who = await access.identify(request)
        traces.known(request, who)
        await request.app.state.services.shares.take(request, who)
        request.scope[CALLER] = who
    known: Caller = request.scope[CALLER]
    return known


def need(*roles: Role) -> Callable[[Caller], Caller]:
    """Dependency: who is asking, if the role is one of these."""

    def checked(who: Annotated[Caller, Depends(caller)]) -> Caller:
        who.need(*roles)
        return who

    return checked


Anyone = Annotated[Caller, Depends(caller)]
Operator = Annotated[Caller, Depends(need(Role.OPERATOR))]
Producer = Annotated[Caller, Depends(need(Role.OPERATOR, Role.PRODUCER))]


async def account_read(
    account_id: Annotated[str, Path(min_length=1, max_length=128)], request: Request, who: Anyone
) -> str:
    """Dependency: the account of the path, if the caller may read all of it now: a stopped one's console is closed."""
    who.need_account(account_id)
    found = await _account(request, account_id)
    if found is None:
        raise unknown_account(account_id)
    _need_running(who, found)
    return account_id


async def account_always(
    account_id: Annotated[str, Path(min_length=1, max_length=128)], request: Request, who: Anyone
) -> str:
    """Dependency: the account of the path, if the caller may read it, also while it is stopped."""
    who.need_account(account_id)
    if await _account(request, account_id) is None:
        raise unknown_account(account_id)
    return account_id


async def account_ordered(
    account_id: Annotated[str, Path(min_length=1, max_length=128)], request: Request, who: Anyone
) -> str:
    """Dependency: the account of the path, if the caller may change something of it now.

    Whether it is there the meter says, who knows it before the read model does.
    """
    who.need_account(account_id)
    if who.role is Role.ACCOUNT and (found := await _account(request, account_id)) is not None:
        _need_running(who, found)
    return account_id


async def _account(request: Request, account_id: str) -> StoredAccount | None:
    store: Store = request.app.state.services.store
    return await store.read(lambda connection: account_by_id(connection, account_id))


def _need_running(who: Caller, found: StoredAccount) -> None:
    """Raises Problem (403) where the customer's account is stopped."""
    if who.role is Role.ACCOUNT and found.state is Service.STOPPED:
        raise Problem(
            403,
            "account_stopped",
            "this account is stopped: its balance, its bills and its service can be read, and it can be paid for",
        )


OpenAccount = Annotated[str, Depends(account_read)]
AnyAccount = Annotated[str, Depends(account_always)]
OrderedAccount = Annotated[str, Depends(account_ordered)]
