"""A receiver of webhooks on a port of its own: it notes what comes, and answers as it is told."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self


class Request(NamedTuple):
    """One request: its headers (names in lower case), its body, and the port that it came from."""

    headers: dict[str, str]
    body: bytes
    came_from: int

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]


class Receiver:
    """`answer` gives the status for the n-th request, counted from 0."""

    def __init__(self, answer: Callable[[int, Request], int] = lambda *_: 204) -> None:
        self.requests: list[Request] = []
        self._answer = answer
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers["content-length"])
                body = self.rfile.read(size)
                if len(body) < size:
                    self.close_connection = True
                    return  # the sender was killed half-way: that is no request yet
                request = Request(
                    {name.lower(): value for name, value in self.headers.items()}, body, self.client_address[1]
                )
                self.send_response(receiver.take(request))
                self.send_header("content-length", "0")
                self.send_header("location", receiver.url)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/meter"

    def take(self, request: Request) -> int:
        with self._lock:
            status = self._answer(len(self.requests), request)
            self.requests.append(request)
        return status

    def has(self, requests: int) -> bool:
        """Whether so many have come, or more."""
        return len(self.requests) >= requests

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
