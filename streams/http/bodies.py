"""Bodies of requests: bounded while they come in, of known callers only, JSON, and never deeper than a completion."""

import json
from typing import Any

from fastapi import Request, Response
from starlette.datastructures import FormData, Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from meter.intake import MAX_DEPTH, too_deep
from meter.keys import OnceEach, no_such_constant
from streams.http.codings import decoded, is_json, media_type, need_utf8
from streams.http.problems import Problem
from streams.http.routes import CallerRoute, Handler


class BodyLimit:
    """Refuses a body that says it is larger than allowed, or turns out to be."""

    def __init__(self, app: ASGIApp, limit_bytes: int) -> None:
        self._app = app
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # What comes in is bounded, and what it is once it is not compressed any more.
        coming = decoded(Headers(scope=scope), self._bounded(scope, receive))
        await self._app(scope, self._bounded(scope, coming), send)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        declared = Headers(scope=scope).get("content-length", "")
        read_bytes = int(declared) if declared.isdecimal() and int(declared) > self._limit_bytes else 0

        async def bounded() -> Message:
            nonlocal read_bytes
            if read_bytes <= self._limit_bytes:
                message = await receive()
                read_bytes += len(message.get("body", b""))
            if read_bytes > self._limit_bytes:
                raise Problem(413, "too_large", f"the body is larger than {self._limit_bytes} bytes")
            return message

        return bounded


def read_json(body: bytes) -> Any:
    """The document of a body. Raises Problem (400) for what is no JSON, nests too deep or has a key twice."""
    try:
        text = body.decode("utf-8-sig")
        if too_deep(text):
            raise Problem(400, "not_json", f"nested deeper than {MAX_DEPTH} levels")
        keys = OnceEach()
        document = json.loads(text, parse_constant=no_such_constant, object_pairs_hook=keys)
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        raise Problem(400, "not_json", f"the body is not JSON: {error}") from error
    if keys.repeated is not None:
        raise Problem(400, "duplicate_key", keys.reason)
    return document


def fields_once(given: FormData) -> dict[str, str]:
    """The fields of a form, without what surrounds them. Raises Problem (422) for one that is there more than once."""
    values: dict[str, str] = {}
    for name, value in given.multi_items():
        if name in values or not isinstance(value, str):
            raise Problem(422, "bad_fields", f"{name[:100]}: a field of a form is one text, and is sent once")
        values[name] = value.strip()
    return values


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
