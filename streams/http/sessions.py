"""Sessions of the console: signed in with a token, kept in the store as a hash, with a secret for each form.

For the console's own handlers: `visitor` is a dependency; `sign_in` and `sign_out` set the cookie; a handler that
changes something calls `check_form` with what the form gave.

A browser has one session: a second sign-in ends the first. A token has a few, and its oldest end for more. The id of a
session is a new one every now and then; its end and its forms' secret stay as they are. Over TLS the cookie's name
begins with `__Host-`, so that no other host of the domain can set it, and no other name counts.
"""

import hmac
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, Request, Response
from sqlalchemy import Connection, Select, delete, insert, select, update

from streams.http import traces
from streams.http.access import Access, need_local, need_same_origin
from streams.http.callers import LOOPBACK, Caller, Role
from streams.http.problems import Problem
from streams.http.store import Store
from streams.http.tokens import find_token, hash_of, token_of
from streams.store.kept_tables import console_session

COOKIE = "meter_session"
SECURE_COOKIE = f"__Host-{COOKIE}"
LASTS = timedelta(hours=12)
MAX_OF_A_TOKEN = 20
#: An id is used for so long, and is taken for so long after that, of requests that were on their way.
RENEWED_AFTER = timedelta(hours=1)
STILL_TAKEN = timedelta(seconds=30)
#: Where a request's scope has its visitor.
VISITOR = "meter.visitor"


class Visitor(NamedTuple):
    """Who looks at a page, and the secret that its forms carry in the field `csrf` (or the header `X-CSRF-Token`)."""

    caller: Caller
    csrf: str

    @property
    def signed_in(self) -> bool:
        """Whether there is anything to sign out of."""
        return self.caller.token_id is not None


class _Session(NamedTuple):
    visitor: Visitor
    is_old: bool


class SignInNeededError(Problem):
    """Nobody is signed in, or no longer: 401; the console shows its sign-in page."""

    def __init__(self, detail: str = "sign in first") -> None:
        super().__init__(401, "not_signed_in", detail)


class Sessions:
    """The sessions of a store. `_own`: what forms carry where nobody has to sign in."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access
        self._own = secrets.token_urlsafe(24)

    async def visitor(self, request: Request) -> Visitor:
        """Who looks at a page. Raises SignInNeededError."""
        cookie = request.cookies.get(cookie_name(request))
        found = await self._store.read(lambda connection: _session(connection, cookie)) if cookie else None
        if cookie and found is not None:
            assert found.visitor.caller.token_id is not None
            traces.known(request, found.visitor.caller)
            self._access.take(found.visitor.caller.token_id)
            if found.is_old:
                await self._renew(request, cookie)
            return found.visitor
        if not await self._access.is_open():
            raise SignInNeededError
        need_local(request)
        traces.known(request, LOOPBACK)
        return Visitor(LOOPBACK, self._own)

    async def sign_in(self, request: Request, response: Response, text: str) -> Caller:
        """Begin a session with the text of a token, and set its cookie. Raises SignInNeededError, Problem."""
        need_same_origin(request)
        # Looked for in a read: whoever has no token must not take the turn of those who write.
        token = await self._store.read(lambda connection: find_token(connection, text.strip()))
        if token is None:
            self._access.wrong(request)
            raise SignInNeededError("this token is not valid: unknown, expired or revoked")
        if token.role is Role.PRODUCER:
            raise Problem(403, "forbidden", "a token of role producer brings completions in; it opens no console")
        self._access.take(token.token_id)
        session, before = secrets.token_urlsafe(32), _ids_of(request)

        def begin(connection: Connection) -> None:
            _end(connection, before)
            _begin(connection, token.token_id, session)

        await self._store.write(begin)
        _set(request, response, session)
        who = token.caller()
        traces.known(request, who)
        traces.security.info("signed in", remote=traces.remote_of(request), **traces.said_of(who))
        return who

    async def sign_out(self, request: Request, response: Response) -> None:
        """End the session, in the store too."""
        ids = _ids_of(request)
        await self._store.write(lambda connection: _end(connection, ids))
        name = cookie_name(request)
        state = request.scope.get("state", {})
        state.pop("cookies", None)  # of an id that was renewed on the way here
        who = state.get("caller")
        traces.security.info("signed out", remote=traces.remote_of(request), **traces.said_of(who))
        response.delete_cookie(name, httponly=True, samesite="strict", secure=name == SECURE_COOKIE)

    async def _renew(self, request: Request, old: str) -> None:
        """Give the session another id. The answer to this request, whatever it is, takes it to the browser."""
        new, carrier = secrets.token_urlsafe(32), Response()
        if await self._store.write(lambda connection: _rename(connection, old, new)):
            _set(request, carrier, new)
            request.scope.setdefault("state", {})["cookies"] = carrier.headers.getlist("set-cookie")


def cookie_name(request: Request) -> str:
    """The name of a session's cookie: another one over TLS, ours or a trusted proxy's."""
    return SECURE_COOKIE if request.url.scheme == "https" else COOKIE


def _ids_of(request: Request) -> list[str]:
    """What a browser has of sessions, those of before its way here had TLS too."""
    return [request.cookies[name] for name in (COOKIE, SECURE_COOKIE) if name in request.cookies]


def _set(request: Request, response: Response, session: str) -> None:
    name = cookie_name(request)
    response.set_cookie(
        name,
        session,
        max_age=int(LASTS.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=name == SECURE_COOKIE,
    )


def check_form(request: Request, visitor: Visitor, given: str | None) -> None:
    """Raises Problem (403) unless a form is the visitor's own: `given` is its field `csrf`."""
    need_same_origin(request)
    given = given or request.headers.get("x-csrf-token") or ""
    if not hmac.compare_digest(given.encode(), visitor.csrf.encode()):
        raise Problem(403, "stale_form", "this form is not of this session: load the page again")


def _begin(connection: Connection, token_id: str, session: str) -> None:
    now = datetime.now(UTC)
    connection.execute(delete(console_session).where(console_session.c.expires_at <= now))
    of_token = select(console_session.c.session_hash).where(console_session.c.token_id == token_id)
    kept = of_token.order_by(console_session.c.created_at.desc()).limit(MAX_OF_A_TOKEN - 1)
    latest = [row.session_hash for row in connection.execute(kept)]
    mine = console_session.c.token_id == token_id
    connection.execute(delete(console_session).where(mine, console_session.c.session_hash.not_in(latest)))
    _put(connection, session, token_id, secrets.token_urlsafe(24), now, now + LASTS)


def _put(
    connection: Connection, session: str, token_id: str, csrf: str, created_at: datetime, expires_at: datetime
) -> None:
    connection.execute(
        insert(console_session).values(
            session_hash=hash_of(session),
            token_id=token_id,
            csrf=csrf,
            created_at=created_at,
            expires_at=expires_at,
            seen_at=created_at,
        )
    )


def _end(connection: Connection, sessions: Sequence[str]) -> None:
    """End sessions under all ids that they have now: these have one forms' secret."""
    known = console_session.c.session_hash.in_([hash_of(each) for each in sessions])
    secrets_of_forms = select(console_session.c.csrf).where(known)
    connection.execute(delete(console_session).where(console_session.c.csrf.in_(secrets_of_forms)))


def _rename(connection: Connection, old: str, new: str) -> bool:
    """Put the new id beside the old one, which is soon over. False where another request has done so already."""
    now = datetime.now(UTC)
    row = connection.execute(_of(old).where(console_session.c.expires_at > now + STILL_TAKEN)).first()
    if row is None:
        return False
    soon_over = update(console_session).values(expires_at=now + STILL_TAKEN)
    connection.execute(soon_over.where(console_session.c.session_hash == row.session_hash))
    _put(connection, new, row.token_id, row.csrf, now, row.expires_at)
    return True


def _of(session: str) -> Select[Any]:
    return select(console_session).where(console_session.c.session_hash == hash_of(session))


def _session(connection: Connection, cookie: str) -> _Session | None:
    now = datetime.now(UTC)
    row = connection.execute(_of(cookie)).first()
    if row is None or row.expires_at <= now:
        return None
    token = token_of(connection, row.token_id)
    is_old = now - row.created_at > RENEWED_AFTER and row.expires_at - now > STILL_TAKEN
    return None if token is None else _Session(Visitor(token.caller(), row.csrf), is_old)


async def visitor(request: Request) -> Visitor:
    """Dependency: who looks at a page of the console; found out once for a request.

    Raises SignInNeededError (401) where nobody is signed in.
    """
    if VISITOR not in request.scope:
        sessions: Sessions = request.app.state.services.sessions
        found = await sessions.visitor(request)
        await request.app.state.services.shares.take(request, found.caller)
        request.scope[VISITOR] = found
    known: Visitor = request.scope[VISITOR]
    return known


AnyVisitor = Annotated[Visitor, Depends(visitor)]
