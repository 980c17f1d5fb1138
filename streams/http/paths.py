"""Ids in addresses. They may hold anything: quotes, slashes, emoji, dots alone.

One segment of the path, percent-encoded, is one id, and a slash within it (%2F) does not end it: requests are routed
by their raw path. Some ids do not survive on the way, since browsers take `.` and `..` away and some proxies decode
%2F; so a segment that begins with `~` is the id in base64url.
"""

import base64
import binascii
from urllib.parse import quote, unquote_to_bytes

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import ASGIApp, Receive, Scope, Send

from streams.http.problems import not_found


def segment(text: str) -> str:
    """An id as a segment of an address."""
    if text.startswith("~") or not text.strip("."):
        return "~" + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return quote(text, safe="")


def read_segment(raw: str) -> str:
    """The id of a segment. Raises Problem (404) where it can be none."""
    data = unquote_to_bytes(raw)
    try:
        if data.startswith(b"~"):
            coded = data[1:]
            data = base64.b64decode(coded + b"=" * (-len(coded) % 4), altchars=b"-_", validate=True)
        return data.decode()
    except (binascii.Error, ValueError):
        raise not_found(f"{raw[:200]!r} is no id: percent-encoded UTF-8, or ~ and base64url") from None


class _IdConvertor(Convertor[str]):
    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return read_segment(value)

    def to_string(self, value: str) -> str:
        return segment(value)


register_url_convertor("id", _IdConvertor())


def one(name: str) -> str:
    """A parameter of a route that is an id, which the handler gets as it is."""
    return f"/{{{name}:id}}"


def route_of(scope: Scope) -> str | None:
    """The route that answers a request, with the names of its parameters in place of what they are."""
    route = scope.get("route")
    return getattr(route, "path_format", None)


class RawPaths:
    """Routes by the path as it was sent, so that an encoded slash is part of an id and not of the route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (raw := scope.get("raw_path")):
            scope = {**scope, "path": raw.decode("latin-1")}
        try:
            await self._app(scope, receive, send)
        finally:
            scope.setdefault("state", {})["route"] = route_of(scope)
