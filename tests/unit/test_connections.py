"""Connections that keep a server waiting: each has so much time, and there is always room for one more."""

import http.client
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial

import pytest
import uvicorn

from streams.http import connections
from streams.http.serve import server_of
from streams.settings import Settings
from streams.store.database import open_engine
from streams.store.migrate import migrate
from tests.integration.running import until

ROOM = 24
LIMIT_S = 1.0
#: A large file that anybody may have.
LARGE = "/console/static/vendor/chart.js"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[uvicorn.Server]:
    settings = Settings(bootstrap_servers="127.0.0.1:9", data_dir=tmp_path_factory.mktemp("connections"))
    engine = open_engine(settings)
    migrate(engine)
    engine.dispose()
    with pytest.MonkeyPatch.context() as limits, socket.create_server(("127.0.0.1", 0)) as listener:
        for name in ("HEAD_S", "BODY_S", "ANSWER_S"):
            limits.setattr(connections, name, LIMIT_S)
        server = server_of(settings, console=True, room=ROOM)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        until(lambda: server.started, "the server")
        server.config.port = listener.getsockname()[1]
        yield server
        server.should_exit = True
        thread.join()


@contextmanager
def connected(server: uvicorn.Server, data: bytes = b"", buffer_bytes: int | None = None) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        if buffer_bytes is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        connection.connect(("127.0.0.1", server.config.port))
        connection.settimeout(LIMIT_S * 20)
        connection.sendall(data)
        yield connection


def is_over(connection: socket.socket) -> bool:
    """Whether the other end has ended it; what it said before is left aside."""
    connection.setblocking(False)
    try:
        while connection.recv(65_536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


SIGN_IN = b"POST /console/sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
UNFINISHED = {
    "nothing": b"",
    "a line": b"GET / HT",
    "a head": b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
    "a second head": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\n",
    "a body": SIGN_IN + b"Content-Length: 100\r\n\r\ntoken=",
    "a body in chunks": SIGN_IN + b"Transfer-Encoding: chunked\r\n\r\n6\r\ntoken=\r\n",
    "a body of nobody": b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    "a body to nowhere": b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
}


def test_what_is_no_request_is_said_to_be_none_and_alarms_nobody(
    server: uvicorn.Server, caplog: pytest.LogCaptureFixture
) -> None:
    broken = {b"GET\r\n\r\n": b" 400 ", SIGN_IN + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n": b" 400 "}
    long = {b"GET / HTTP/1.1\r\n" + line: b" 431 " for line in (b"a: b\r\n" * 101, b"a: " + b"b" * 20_000)}
    for data, status in (broken | long).items():
        with connected(server, data) as connection:
            assert status in connection.recv(65_536)
    ours = [record for record in caplog.records if not record.name.startswith("aiokafka")]
    assert [record for record in ours if record.levelno >= logging.WARNING] == []


def test_what_is_not_finished_ends(server: uvicorn.Server) -> None:
    with ExitStack() as stack:
        for name, connection in [
            (name, stack.enter_context(connected(server, data))) for name, data in UNFINISHED.items()
        ]:
            until(partial(is_over, connection), f"the end of {name}", LIMIT_S * 10)


def test_a_head_that_comes_byte_by_byte_ends(server: uvicorn.Server) -> None:
    with connected(server, b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: ") as connection:

        def is_cut_off() -> bool:
            try:
                connection.sendall(b"a")
            except ConnectionError:
                return True
            return False

        until(is_cut_off, "its end", LIMIT_S * 10)


def test_an_answer_that_nobody_takes_ends(server: uvicorn.Server) -> None:
    with connected(server, f"GET {LARGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 4_096) as connection:
        until(lambda: server.server_state.connections, "the request")
        until(lambda: not server.server_state.connections, "its end", LIMIT_S * 10)
        # What the system has taken already, it goes on sending.
        until(partial(is_over, connection), "the end of what was sent", LIMIT_S * 10)


def test_who_asks_again_and_again_stays(server: uvicorn.Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.config.port, timeout=30)) as client:
        client.connect()
        first = client.sock
        began = time.monotonic()
        while time.monotonic() - began < LIMIT_S * 4:
            client.request("GET", "/healthz")
            assert client.getresponse().read()
            assert client.sock is first
            time.sleep(0.2)  # of which nothing is waited for: a client that is not in a hurry


def test_there_is_room_for_one_more_and_who_waits_longest_gives_way(server: uvicorn.Server) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connected(server, b"GET /healthz HTTP/1.1\r\nA: ")) for _ in range(ROOM * 3)]
        with closing(http.client.HTTPConnection("127.0.0.1", server.config.port, timeout=30)) as client:
            began = time.monotonic()
            client.request("GET", "/healthz")
            assert client.getresponse().status == 200
            assert time.monotonic() - began < LIMIT_S
        assert is_over(held[0])
        assert len(server.server_state.connections) <= ROOM


class Busy:
    """A connection that is being answered, from an address."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.transport = self

    def is_closing(self) -> bool:
        return False

    def limit_s(self) -> float | None:
        return None


@pytest.mark.parametrize(
    ("own", "others", "has_room"), [(0, 0, True), (11, 12, True), (12, 0, False), (1, 22, True), (1, 23, False)]
)
def test_who_is_being_answered_does_not_give_way(own: int, others: int, has_room: bool) -> None:
    there = [Busy("a")] * own + [Busy(str(number)) for number in range(others)]
    assert connections.make_room(there, "a", ROOM) is has_room  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [1, -1])
def test_a_body_with_two_lengths_is_refused_and_nothing_after_it_is_read(server: uvicorn.Server, order: int) -> None:
    """A proxy in front that takes the other length lets a request of its own choice through in the first."""
    lengths = b"\r\n".join([b"Content-Length: 5", b"Transfer-Encoding: chunked"][::order])
    first = b"POST /nowhere HTTP/1.1\r\nHost: x\r\n" + lengths + b"\r\n\r\n0\r\n\r\n"
    with (
        connected(server, first + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") as connection,
        connection.makefile("rb") as answers,
    ):
        said = answers.read()
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.count(b"HTTP/1.1 ") == 1
