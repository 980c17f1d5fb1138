"""What a body is coded in: its media type, its charset, and its compression, which is undone while it comes in.

A compressed body counts as what comes out of it, in small parts, so that one that grows a thousandfold is refused as
soon as it is too large.
"""

import codecs
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from streams.http.problems import Problem

#: So much comes out at a time.
PART_BYTES = 65_536
#: A gzip'd body may be several one after another, each of which costs something to begin.
MAX_MEMBERS = 16
CODINGS = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}
_ACCEPTED = "gzip, deflate, identity"
_GZIP, _ZLIB, _RAW_DEFLATE = 31, 15, -15


def media_type(content_type: str) -> str:
    """A media type without parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def is_json(kind: str) -> bool:
    """Whether a media type is JSON by its name."""
    return kind in ("application/json", "text/json") or (kind.startswith("application/") and kind.endswith("+json"))


def need_utf8(content_type: str, body: bytes) -> None:
    """Raises Problem (415) where a body is said to be in another charset than UTF-8, and is not ASCII alone."""
    for parameter in content_type.split(";", 8)[1:8]:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip("\"'")[:40]
        if name.strip().lower() == "charset" and _name_of(charset) not in ("utf-8", "ascii") and not _is_plain(body):
            raise Problem(415, "unsupported_media_type", f"the body must be in UTF-8, not {charset!r}")


def _name_of(charset: str) -> str:
    try:
        return codecs.lookup(charset).name
    except (LookupError, ValueError):
        return charset


def _is_plain(body: bytes) -> bool:
    """Whether bytes are the same text in every charset that has ASCII."""
    return body.isascii() and b"\x00" not in body


def decoded(headers: Headers, receive: Receive) -> Receive:
    """How to receive a body as it was before it was compressed.

    Receiving raises Problem: 415 for a coding that is not known, 400 where the body is not in it.
    """
    named = ",".join(headers.getlist("content-encoding")).lower()
    codings = [coding for each in named.split(",") if (coding := each.strip()) not in ("", "identity")]
    if not codings:
        return receive
    if len(codings) == 1 and codings[0] in CODINGS:
        return _Inflating(CODINGS[codings[0]], receive).receive
    return _refusing(", ".join(codings))


def _refusing(codings: str) -> Callable[[], Coroutine[Any, Any, Message]]:
    async def refuse() -> Message:
        detail = f"the body is in {codings[:100]!r}: send it in one of {_ACCEPTED}"
        raise Problem(415, "unsupported_media_type", detail, headers={"Accept-Encoding": _ACCEPTED})

    return refuse


class _Inflating:
    """A body that comes in compressed, and goes on as it was, in parts of at most `PART_BYTES`."""

    def __init__(self, coding: str, receive: Receive) -> None:
        self._coding = coding
        self._receive = receive
        self._waiting = b""
        self._more = True  # may come in
        self._inflater: Any = None
        self._members = 0

    async def receive(self) -> Message:
        """The next part."""
        while True:
            while self._more and len(self._waiting) < 2:  # which tell what kind of deflate it is
                message = await self._receive()
                if message["type"] != "http.request":
                    return message
                self._waiting += message.get("body", b"")
                self._more = message.get("more_body", False)
            part = self._next_part()
            is_done = not (self._more or self._waiting or len(part) == PART_BYTES)
            if is_done and self._inflater is not None and not self._inflater.eof:
                raise self._broken("it breaks off")
            if part or is_done:
                return {"type": "http.request", "body": part, "more_body": not is_done}

    def _next_part(self) -> bytes:
        if self._waiting and (self._inflater is None or self._inflater.eof):
            self._begin_member()
        if self._inflater is None:
            return b""
        try:
            part: bytes = self._inflater.decompress(self._waiting, PART_BYTES)
        except zlib.error:
            raise self._broken("it is something else") from None
        self._waiting = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
        return part

    def _begin_member(self) -> None:
        self._members += 1
        if self._members > (MAX_MEMBERS if self._coding == "gzip" else 1):
            raise self._broken("something comes after its end")
        first = self._waiting[:2]
        is_zlib = len(first) == 2 and first[0] & 0x0F == 8 and int.from_bytes(first) % 31 == 0
        self._inflater = zlib.decompressobj(_GZIP if self._coding == "gzip" else _ZLIB if is_zlib else _RAW_DEFLATE)

    def _broken(self, why: str) -> Problem:
        return Problem(400, "bad_request", f"the body is not {self._coding}, as its Content-Encoding says: {why}")
