"""What a request may cost before it is known who sends it: bounded address, cookies and body, and JSON that is counted.

A body is read when its sender is known; it is bounded while it comes in. What it holds is counted before anything is
made of it, so that no answer is longer, and no work larger, than a request is worth.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meter.intake import MAX_DEPTH, outside_strings, too_deep
from meter.keys import OnceEach, no_such_constant
from streams.http.codings import decoded, is_json, media_type, need_utf8
from streams.http.problems import Problem
from streams.http.routes import CallerRoute, Handler

#: The address that takes completions: the only one whose bodies may be large.
INGEST = "/v1/jobs"
#: Addresses whose bodies anybody may send: a token, an address and a language are short.
OPEN_FORMS = frozenset({"/console/sign-in", "/console/look"})
MAX_BODY_BYTES = 65_536
MAX_OPEN_BODY_BYTES = 4_096
#: Of all bodies together that are on their way in.
MAX_BODIES_BYTES = 1 << 27
#: An id of 128 characters, percent-encoded, has 1,536 bytes; where it is part of a query it is encoded twice.
MAX_PATH_BYTES = 2_048
MAX_QUERY_BYTES = 4_096
#: Of objects and arrays in a body, all levels together, and these themselves. A contract with a price for each region
#: has 30.
MAX_MEMBERS = 256

_OUR_COOKIE = re.compile(rb"((?:__Host-)?meter_[a-z_]{1,32})=([A-Za-z0-9_.~-]{0,256})")
MAX_COOKIES = 100
MAX_DIGITS = 1_000


class Bounds:
    """Refuses an address, a body, and all bodies together where they are larger than allowed; keeps our cookies alone.

    `limit_bytes`: of a body with completions.
    """

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes
        self._coming_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if len(scope.get("raw_path") or b"") > MAX_PATH_BYTES or len(scope["query_string"]) > MAX_QUERY_BYTES:
            detail = f"an address has at most {MAX_PATH_BYTES} bytes, and {MAX_QUERY_BYTES} of a query"
            await Problem(414, "address_too_long", detail).response()(scope, receive, send)
            return
        # What comes in is bounded, and what it is once it is not compressed any more.
        limit_bytes = self._limit_of(scope["path"])
        coming = _Body(scope, receive, limit_bytes)
        body = _Body(scope, decoded(Headers(scope=scope), coming.receive), limit_bytes, self._take)
        try:
            await self._app({**scope, "headers": _with_our_cookies(scope["headers"])}, body.receive, send)
        finally:
            self._coming_bytes -= body.read_bytes

    def _limit_of(self, path: str) -> int:
        if path == INGEST:
            return self._limit_bytes
        return MAX_OPEN_BODY_BYTES if path in OPEN_FORMS else MAX_BODY_BYTES

    def _take(self, count: int) -> None:
        """Count bytes of a body that came in. Raises Problem (503) where all that come in are too much to hold."""
        self._coming_bytes += count
        if self._coming_bytes > MAX_BODIES_BYTES:
            raise Problem(503, "busy", "too much comes in at once", headers={"Retry-After": "1"})


class _Body:
    """The body of a request, as far as it was read. `take` counts it with all others."""

    def __init__(
        self, scope: Scope, receive: Receive, limit_bytes: int, take: Callable[[int], None] = lambda _: None
    ) -> None:
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "")
        self._declared_bytes = int(declared) if declared.isdecimal() and len(declared) < 20 else 0
        self._take = take
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._is_whole = not self._declared_bytes and "transfer-encoding" not in headers
        self.read_bytes = 0

    async def receive(self) -> Message:
        """The next part. Raises Problem: 413 for what is, or says that it is, too large; 400 where it breaks off."""
        if max(self._declared_bytes, self.read_bytes) > self._limit_bytes:
            raise self._too_large()
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._is_whole:
            raise Problem(400, "bad_request", "the body breaks off")
        count = len(message.get("body", b""))
        self.read_bytes += count
        self._take(count)
        if self.read_bytes > self._limit_bytes:
            raise self._too_large()
        self._is_whole = not message.get("more_body", False)
        return message

    def _too_large(self) -> Problem:
        return Problem(413, "too_large", f"the body is larger than {self._limit_bytes} bytes")


def _with_our_cookies(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers with those cookies alone that can be ours. The library's reader of others takes quadratic time.

    (CVE-2024-7592, in Pythons that this runs on.)
    """
    return [(name, _our_cookies(value) if name == b"cookie" else value) for name, value in headers]


def _our_cookies(header: bytes) -> bytes:
    parts = (_OUR_COOKIE.fullmatch(part.strip()) for part in header.split(b";", MAX_COOKIES))
    return b"; ".join(match[0] for match in parts if match is not None)


def read_json(body: bytes) -> Any:
    """The document of a body.

    Raises Problem: 400 for what is no JSON, nests too deep or has a key twice, 422 for too many members.
    """
    try:
        text = body.decode("utf-8-sig")
        if too_deep(text):
            raise Problem(400, "not_json", f"nested deeper than {MAX_DEPTH} levels")
        _need_few(text)
        keys = OnceEach()
        document = json.loads(text, parse_int=_whole, parse_constant=no_such_constant, object_pairs_hook=keys)
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        raise Problem(400, "not_json", f"the body is not JSON: {error}") from error
    if keys.repeated is not None:
        raise Problem(400, "duplicate_key", keys.reason)
    return document


def _whole(literal: str) -> int | float:
    """A whole number; one of more digits than Python reads is as good as infinite: no field takes it."""
    return int(literal) if len(literal) <= MAX_DIGITS else float(literal)


def _need_few(text: str) -> None:
    """Raises Problem (422) where objects and arrays have too many members: each that is wrong would be said."""
    outside = outside_strings(text)
    if sum(map(outside.count, "[{,")) > MAX_MEMBERS:
        raise Problem(422, "bad_fields", f"a body has at most {MAX_MEMBERS} members, all levels together")


class _JsonRequest(Request):
    async def body(self) -> bytes:
        body = await super().body()
        content_type = self.headers.get("content-type", "")
        need_utf8(content_type, body)
        kind = media_type(content_type)
        if body and not is_json(kind):
            raise Problem(415, "unsupported_media_type", f"the body must be application/json, got {kind[:100]!r}")
        return body

    async def json(self) -> Any:
        return read_json(await self.body())


class JsonRoute(CallerRoute):
    """A route whose body, where it has one, is JSON within bounds, and is read once it is known who sends it.

    The framework by itself reads a body first.
    """

    def get_route_handler(self) -> Handler:
        """The handler, on a request that reads its body by these rules."""
        handler = super().get_route_handler()

        async def bounded(request: Request) -> Response:
            return await handler(_JsonRequest(request.scope, request.receive))

        return bounded
