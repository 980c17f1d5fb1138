"""The traces of a request: an id, the trace that it is part of, a line in the log, and lines about who came in or not.

The id is the caller's `X-Request-Id` where it can be one, is in the answer and its problem, and in each line that the
request leaves. A `traceparent` (W3C) is taken over to the records that the request puts into Kafka. No line has a
token, a session or a body; what comes from outside is made visible before it is written (`process.logs`).
"""

import re
import time
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import structlog
from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.http.callers import Caller
from streams.http.measures import HttpMeasures
from streams.http.paths import route_of
from streams.http.problems import Problem

log = structlog.get_logger(__name__)
access = structlog.get_logger(__name__, log="access")
security = structlog.get_logger(__name__, log="security")

REQUEST_ID = "X-Request-Id"
TRACEPARENT = "traceparent"
_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
_PARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.{0,128})?")
_trace: ContextVar[str | None] = ContextVar("trace", default=None)

#: What a request was refused for by a limit, and not by what it is.
_LIMITS = frozenset({413, 429, 431})


class Traces:
    """Around everything else of an application: gives each request its id, the log its line, and measures it."""

    def __init__(self, app: ASGIApp, measures: HttpMeasures, log_requests: bool) -> None:
        self._app = app
        self._measures = measures
        self._log_requests = log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = request_id = _request_id(scope)
        parent = _traceparent(scope)
        _trace.set(parent)
        status, started = 0, time.perf_counter()

        async def traced(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_ID] = request_id
            await send(message)

        known = {"request_id": request_id} | ({"trace_id": parent.split("-")[1]} if parent else {})
        self._measures.began()
        with structlog.contextvars.bound_contextvars(**known):
            try:
                await self._app(scope, receive, traced)
            except Exception:
                log.exception("a request failed", route=state.get("route"))
                if not status:
                    raise
            finally:
                took_s = time.perf_counter() - started
                self._measures.answered(scope["method"], state.get("route"), status or 500, took_s)
                if self._log_requests:
                    access.info("request", **_line(scope, state, status, took_s))


def _line(scope: Scope, state: Mapping[str, Any], status: int, took_s: float) -> dict[str, Any]:
    return {
        "method": scope["method"],
        "route": state.get("route"),  # and not the path, which anybody can fill with anything
        "status": status,
        "duration_ms": round(took_s * 1000, 1),
        "remote": scope["client"][0] if scope.get("client") else None,
        **said_of(state.get("caller")),
    }


def said_of(who: Caller | None) -> dict[str, str]:
    """A caller, as lines name it."""
    if who is None:
        return {}
    account = {} if who.account_id is None else {"account_id": who.account_id}
    return {"caller": who.token_id or who.label or "", "role": who.role.value, **account}


def known(request: Request, who: Caller) -> None:
    """Remember for the lines of a request whose it is."""
    request.scope.setdefault("state", {})["caller"] = who


def remote_of(request: Request) -> str | None:
    """The caller's address: see `proxies`."""
    return request.client.host if request.client else None


def note_refusal(request: Request, problem: Problem) -> None:
    """A line about a request that its caller has no right to, or that a limit ends."""
    if problem.status_code != 403 and problem.status_code not in _LIMITS:
        return
    what = "refused" if problem.status_code == 403 else "a limit is reached"
    who = said_of(request.scope.get("state", {}).get("caller"))
    route = route_of(request.scope)
    security.warning(what, code=problem.code, method=request.method, route=route, remote=remote_of(request), **who)


def trace_headers() -> list[tuple[str, bytes]]:
    """For the records of the request that is being answered: the trace that it is part of, where it says so."""
    parent = _trace.get()
    return [] if parent is None else [(TRACEPARENT, parent.encode())]


def _request_id(scope: Scope) -> str:
    given = _given(scope, REQUEST_ID)
    return given if given is not None and _ID.fullmatch(given) else uuid.uuid4().hex


def _traceparent(scope: Scope) -> str | None:
    """A valid `traceparent`. Versions above 00 may have more parts."""
    given = _given(scope, TRACEPARENT)
    found = None if given is None else _PARENT.fullmatch(given)
    return None if found is None or (found[1] == "00" and found[3]) else given


def _given(scope: Scope, name: str) -> str | None:
    """A header that is there once."""
    wanted = name.lower().encode()
    found = [value for header, value in scope["headers"] if header == wanted]
    return found[0].decode("latin-1") if len(found) == 1 else None
