"""Sessions of the console: signed in with a token, kept in the store as a hash, with a secret for each form.

For the console's own handlers: `visitor` is a dependency; `sign_in` and `sign_out` set the cookie; a handler that
changes something calls `check_form` with what the form gave.
"""

import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple

from fastapi import Depends, Request, Response
from sqlalchemy import Connection, delete, insert, select

from streams.http.access import Access, need_local, need_same_origin
from streams.http.callers import LOOPBACK, Caller, Role
from streams.http.problems import Problem
from streams.http.store import Store
from streams.http.tokens import find_token, hash_of, token_of
from streams.store.own import console_session

COOKIE = "meter_session"
LASTS = timedelta(hours=12)


class Visitor(NamedTuple):
    """Who looks at a page, and the secret that its forms carry in the field `csrf` (or the header `X-CSRF-Token`)."""

    caller: Caller
    csrf: str

    @property
    def signed_in(self) -> bool:
        """Whether there is anything to sign out of."""
        return self.caller.token_id is not None


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
        cookie = request.cookies.get(COOKIE)
        found = await self._store.read(lambda connection: _session(connection, cookie)) if cookie else None
        if found is not None:
            assert found.caller.token_id is not None
            self._access.take(found.caller.token_id)
            return found
        if not await self._access.is_open():
            raise SignInNeededError
        need_local(request)
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
        session = secrets.token_urlsafe(32)
        await self._store.write(lambda connection: _begin(connection, token.token_id, session))
        response.set_cookie(
            COOKIE,
            session,
            max_age=int(LASTS.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return token.caller()

    async def sign_out(self, request: Request, response: Response) -> None:
        """End the session, in the store too."""
        ended = hash_of(request.cookies.get(COOKIE, ""))
        gone = delete(console_session).where(console_session.c.session_hash == ended)

        def end(connection: Connection) -> None:
            connection.execute(gone)

        await self._store.write(end)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")


def check_form(request: Request, visitor: Visitor, given: str | None) -> None:
    """Raises Problem (403) unless a form is the visitor's own: `given` is its field `csrf`."""
    need_same_origin(request)
    given = given or request.headers.get("x-csrf-token") or ""
    if not hmac.compare_digest(given.encode(), visitor.csrf.encode()):
        raise Problem(403, "stale_form", "this form is not of this session: load the page again")


def _begin(connection: Connection, token_id: str, session: str) -> None:
    now = datetime.now(UTC)
    connection.execute(delete(console_session).where(console_session.c.expires_at <= now))
    connection.execute(
        insert(console_session).values(
            session_hash=hash_of(session),
            token_id=token_id,
            csrf=secrets.token_urlsafe(24),
            created_at=now,
            expires_at=now + LASTS,
            seen_at=now,
        )
    )


def _session(connection: Connection, cookie: str) -> Visitor | None:
    known = select(console_session).where(console_session.c.session_hash == hash_of(cookie))
    row = connection.execute(known).first()
    if row is None or row.expires_at <= datetime.now(UTC):
        return None
    token = token_of(connection, row.token_id)
    return None if token is None else Visitor(token.caller(), row.csrf)


async def visitor(request: Request) -> Visitor:
    """Dependency: who looks at a page of the console. Raises SignInNeededError (401) where nobody is signed in."""
    sessions: Sessions = request.app.state.services.sessions
    return await sessions.visitor(request)


AnyVisitor = Annotated[Visitor, Depends(visitor)]
