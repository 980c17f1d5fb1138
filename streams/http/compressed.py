"""Answers in gzip, for whoever takes it: figures, the description, metrics, and the console's files.

Not pages of the console: they hold a form's secret beside what a request may choose, and the size of what is compressed
tells of what it holds (BREACH). Nor what a request changes or makes, which may show a secret. A compressed answer is
another representation, so its tag is another: `"...-gzip"`, which is read back as what it was made of.
"""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Below this a packet is a packet (bytes).
MIN_SIZE = 1024
LEVEL = 5
#: What is small already, and pages, wherever they come from.
NEVER = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "text/html")
PATHS = ("/v1/", "/openapi.json", "/metrics", "/console/static/")
_TAGS = (b"if-none-match", b"if-match", b"if-range")
_MARKED = re.compile(rb'-gzip"')


class Compressed:
    """Compresses what may be, when it is asked to."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        scope = {**scope, "headers": [_plain(name, value) for name, value in scope["headers"]]}
        if not _may_be(scope):
            await self._app(scope, receive, send)
            return
        takes = takes_gzip(asked.get("accept-encoding", ""))
        inner = GZipResponder(self._app, MIN_SIZE, LEVEL, exclude_content_types=NEVER) if takes else self._app
        await inner(scope, receive, _varied(send, asked.get("if-none-match", "")))


def _may_be(scope: Scope) -> bool:
    """A part of a file is a part of it as it is."""
    has_range = any(name == b"range" for name, _ in scope["headers"])
    return scope["method"] in ("GET", "HEAD") and scope["path"].startswith(PATHS) and not has_range


def takes_gzip(accepted: str) -> bool:
    """Whether gzip may be sent: it, or all, is named with a weight that is not 0 (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for part in accepted.lower().split(","):
        coding, _, weight = part.partition(";")
        weights[coding.strip()] = _weight(weight.strip())
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _weight(text: str) -> float:
    if not text.startswith("q="):
        return 1.0
    try:
        return float(text[2:])
    except ValueError:
        return 0.0


def _plain(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return (name, _MARKED.sub(b'"', value)) if name in _TAGS else (name, value)


def _varied(send: Send, known: str) -> Send:
    """Says that an answer depends on what the client takes, and marks the tag of one that is compressed.

    `known`: the tags that the client has; a 304 is about one of them.
    """

    async def varied(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.add_vary_header("Accept-Encoding")
            tag = headers.get("etag", "")
            marked = f'{tag[:-1]}-gzip"'
            if tag and (headers.get("content-encoding") == "gzip" or (message["status"] == 304 and marked in known)):
                headers["etag"] = marked
        await send(message)

    return varied
