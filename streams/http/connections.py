"""Connections: as many as there is room for, and each with so much time for a head, a body, and to take its answer.

Where there is no room, whoever has kept us waiting for longest gives way; who is being answered does not.
"""

import logging
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

log = structlog.get_logger(__name__)
#: For the library: what strangers send is not worth a line each.
_QUIET = logging.getLogger(__name__)
_QUIET.setLevel(logging.ERROR)

MAX_CONNECTIONS = 1024
MIN_CONNECTIONS = 16
#: Files that the process needs for all else: Kafka, the store, the console's own.
OTHER_FILES = 256
#: Of a request's line and headers together, and how many lines that may be.
MAX_HEAD_BYTES = 16_384
MAX_HEAD_LINES = 100
#: A body comes in few pieces, or in pieces of some size: each costs as much as a small request.
FREE_PIECES = 128
MIN_PIECE_BYTES = 32
#: So much of a body that nobody wants is thrown away before the connection is: a client reads its answer at the end.
MAX_UNREAD_BYTES = 16 << 20
#: How long a head, a body and the taking of an answer may last.
HEAD_S = 10.0
BODY_S = 30.0
ANSWER_S = 30.0

_REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n"


def room_with(files: int) -> int:
    """How many connections there is room for with so many open files."""
    room = min(MAX_CONNECTIONS, max(files - OTHER_FILES, MIN_CONNECTIONS))
    if room < MAX_CONNECTIONS:
        log.warning("few files may be open at a time: raise `ulimit -n`", files=files, connections=room)
    return room


class _Parser(h11.Connection):
    """Reads requests. What is too long is refused before it is taken apart."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD_BYTES)
        self.requests = 0
        self.head_too_long = False
        self._pieces = self._body_bytes = self._unread_bytes = 0

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """As h11's. Raises RemoteProtocolError."""
        if self.their_state is h11.IDLE:
            self._check_head(self.trailing_data[0])
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._check_framing(event)
            self.requests += 1
            self._pieces = self._body_bytes = self._unread_bytes = 0
        elif isinstance(event, h11.Data):
            self._check_piece(len(event.data))
        return event

    def _check_head(self, came: bytes) -> None:
        head = came[: MAX_HEAD_BYTES + 1]
        ends = [end for mark in (b"\n\r\n", b"\n\n") if (end := head.find(mark)) >= 0]
        head = head[: min(ends)] if ends else head
        if len(head) > MAX_HEAD_BYTES or head.count(b"\n") > MAX_HEAD_LINES:
            self.head_too_long = True
            raise h11.RemoteProtocolError("the head is too long", 431)

    def _check_framing(self, request: h11.Request) -> None:
        """Of two lengths a proxy in front may have taken the other, and let a second request through in the first."""
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in request.headers}:
            raise h11.RemoteProtocolError("a body has one length: Content-Length or Transfer-Encoding")

    def _check_piece(self, count: int) -> None:
        self._pieces += 1
        self._body_bytes += count
        if self._pieces > FREE_PIECES and self._body_bytes < self._pieces * MIN_PIECE_BYTES:
            raise h11.RemoteProtocolError("the body comes in too many pieces")
        if self.our_state in {h11.DONE, h11.MUST_CLOSE}:
            self._unread_bytes += count
            if self._unread_bytes > MAX_UNREAD_BYTES:
                raise h11.RemoteProtocolError("the answer is there, and the body does not end")


class _Stage(NamedTuple):
    """What a connection is at; another one as soon as it gets on."""

    limit_s: float
    requests: int
    drained: int


class Connection(H11Protocol):
    """One connection, which knows since when it keeps us waiting. `room`: for how many there is room."""

    room = MAX_CONNECTIONS

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = self._parser = _Parser()
        self.logger = _QUIET
        self.host = ""
        self._drained = 0
        self._stage: _Stage | None = None
        self.since_s = time.monotonic()

    def connection_made(self, transport: Any) -> None:
        """As uvicorn's, where there is room."""
        super().connection_made(transport)
        self.host = self.client[0] if self.client else ""
        if len(self.connections) <= self.room // 2:
            return
        others = [each for each in self.connections if isinstance(each, Connection) and each is not self]
        if not make_room(others, self.host, self.room):
            transport.write(_REFUSED)
            transport.close()

    def resume_writing(self) -> None:
        """The other end has taken a good part of what was written."""
        self._drained += 1
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with a request, if no answer has begun; then it is the end of the connection."""
        if self.cycle is not None and not self.cycle.response_complete:
            # Whoever is at work on its answer has nobody to give it to.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.abort()
            return
        status, text = (431, b"the head is too long") if self._parser.head_too_long else (400, b"no request of HTTP")
        headers = [("content-type", "text/plain"), ("content-length", str(len(text))), ("connection", "close")]
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=text), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def limit_s(self) -> float | None:
        """How long it may go on as it does now; None while it waits for us."""
        if self.transport.get_write_buffer_size():
            return ANSWER_S
        if self.conn.their_state is h11.SEND_BODY:
            return BODY_S
        return HEAD_S if self.conn.their_state is h11.IDLE else None

    def look(self, now_s: float) -> None:
        """End it where it has kept us waiting for too long."""
        limit_s = self.limit_s()
        stage = None if limit_s is None else _Stage(limit_s, self._parser.requests, self._drained)
        if stage is None or stage != self._stage:
            self._stage, self.since_s = stage, now_s
        elif now_s - self.since_s > stage.limit_s:
            self.transport.abort()


def with_room_for(connections: int) -> type[Connection]:
    """The protocol of a server that has so many at most."""
    return type("RoomyConnection", (Connection,), {"room": connections})


def make_room(others: Iterable[Connection], host: str, limit: int) -> bool:
    """See that there is room for one more, of which no address has more than half. False: all are being answered."""
    open_ones = [each for each in others if not each.transport.is_closing()]
    own = [each for each in open_ones if each.host == host]
    for ones, most in ((own, limit // 2), (open_ones, limit)):
        if len(ones) >= most:
            waiting = [each for each in ones if each.limit_s() is not None]
            if not waiting:
                return False
            waiting.sort(key=lambda each: (each.conn.their_state is not h11.IDLE, each.since_s))
            for each in waiting[: 1 + most // 32]:  # a few at once: to look through all takes its time
                each.transport.abort()
            return True
    return True
