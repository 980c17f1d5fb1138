"""Nobody can make others wait: what another caller's question takes under attack, as a ratio to what it takes without.

The server is a process of its own, with a real Kafka and an empty store.
"""

import http.client
import json
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import NamedTuple

import pytest

from streams.http.callers import Role
from streams.http.connections import HEAD_S
from tests.api.serving import make_token, settings_of
from tests.integration.running import METER, Meter, Worker, job, until

ATTACKERS = 2
PROBES = 8
#: Each attack that this is about made others wait a hundred times as long, and more.
WORST_RATIO = 15.0
#: A machine that is busy makes a round worse, never better.
ROUNDS = 4
MIB = 1 << 20


class Served(NamedTuple):
    """A server: its port, its process, and tokens by role."""

    port: int
    pid: int
    tokens: dict[Role, str]


@pytest.fixture(scope="module")
def server(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("stalls")
    with Meter(kafka, folder, http_port=0, http_requests_per_s=0) as meter:
        meter.create()
        settings = settings_of(meter, f"sqlite:///{folder}/store.sqlite")
        tokens = {role: make_token(settings, role, "A" if role is Role.ACCOUNT else None) for role in Role}
        # With as few files as most systems allow: the process itself raises its limit.
        command = ["sh", "-c", f"ulimit -Sn 1024; exec {METER} api"]
        environment = meter.environment(database_url=f"sqlite:///{folder}/store.sqlite")
        process = Worker(folder / "log", environment, 0, command)
        meter.workers.append(process)
        until(lambda: "http://127.0.0.1:" in process.said(), "the API to say where it is")
        port = int(process.said().partition("http://127.0.0.1:")[2].split()[0])
        served = Served(port, process.process.pid, tokens)
        until(
            lambda: b'"up"' in send(served, Attack(200, "GET /v1/status", role=Role.OPERATOR).request(tokens)), "Kafka"
        )
        yield served
        assert process.stop() == 0
        assert "Traceback" not in process.said(), process.said()


def answers(port: int) -> bool:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        client.request("GET", "/healthz")
        return client.getresponse().status == 200


class Attack(NamedTuple):
    """What is sent, by whom (None: by anybody), and with which status it is answered (0: it may be cut off)."""

    status: int
    line: str
    body: Callable[[], bytes] = bytes
    role: Role | None = None
    headers: tuple[str, ...] = ()
    chunked: bool = False
    times: int = 1

    def request(self, tokens: dict[Role, str]) -> bytes:
        """All its bytes."""
        body = self.body()
        size = "Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {len(body)}"
        token = [f"Authorization: Bearer {tokens[self.role]}"] if self.role else []
        lines = [f"{self.line} HTTP/1.1", "Host: 127.0.0.1", size, *token, *self.headers, "", ""]
        return ("\r\n".join(lines).encode() + body) * self.times


def form(status: int, body: Callable[[], bytes], kind: str = "application/x-www-form-urlencoded") -> Attack:
    return Attack(status, "POST /console/sign-in", body, headers=(f"Content-Type: {kind}",))


def jobs(status: int, body: Callable[[], bytes]) -> Attack:
    return Attack(status, "POST /v1/jobs", body, Role.PRODUCER, ("Content-Type: application/json",))


def threshold(status: int, body: Callable[[], bytes]) -> Attack:
    headers = ("Content-Type: application/json", "Idempotency-Key: k")
    return Attack(status, "PUT /v1/accounts/A/low-balance", body, Role.ACCOUNT, headers)


def contract(status: int, body: Callable[[], bytes], role: Role | None = Role.OPERATOR) -> Attack:
    headers = ("Content-Type: application/json", "Idempotency-Key: k")
    return Attack(status, "POST /v1/accounts/A/contracts", body, role, headers)


def members(count: int) -> bytes:
    return b"{" + b",".join(b'"%d":1' % n for n in range(count)) + b"}"


def prices(count: int) -> bytes:
    return json.dumps({"effective_from": "2100-01-01", "prices": {str(n): "1" for n in range(count)}}).encode()


def many_jobs() -> bytes:
    """A large batch whose last one is wrong, so that all are read and none is taken."""
    return json.dumps([*[job(more=["x" * 30] * 90)] * 999, job(region="Mars")]).encode()


def page(header: str, status: int = 200) -> Attack:
    return Attack(status, "GET /console/sign-in", headers=(header,))


TINY = b"1\r\n&\r\n" * 200_000 + b"0\r\n\r\n"
ATTACKS = {
    "a form of empty fields": form(413, lambda: b"&" * (4 * MIB - 1)),
    "a small form of empty fields": form(400, lambda: b"&" * 4_000),
    "a form in parts": form(415, lambda: b"--x\r\n\r\n\r\n" * 400, "multipart/form-data; boundary=x"),
    "a form in tiny chunks": form(0, lambda: TINY)._replace(chunked=True),
    "tiny chunks to nowhere": Attack(0, "POST /nowhere", lambda: TINY, chunked=True),
    "a cookie of backslashes": page('Cookie: meter_session="' + "\\" * 15_000 + '"'),
    "a large cookie of backslashes": page('Cookie: meter_session="' + "\\" * 58_000 + '"', 431),
    "many cookies": page("Cookie: " + "a=1;" * 4_000),
    "many unknown fields": threshold(413, lambda: members(390_000)),
    "unknown fields": threshold(422, lambda: members(6_000)),
    "a long number in a command": threshold(422, lambda: b'{"threshold": ' + b"9" * 65_000 + b"}"),
    "a batch of empty arrays": jobs(413, lambda: b"[" + b"[]," * MIB),
    "a deep batch": jobs(413, lambda: b"[" * (4 * MIB - 1)),
    "a less deep batch": jobs(400, lambda: b"[" * 390_000),
    "a deep completion": jobs(413, lambda: b'{"a":' * 190_000),
    "a less deep completion": jobs(400, lambda: b'{"a":' * 3_000),
    "a batch of ones": jobs(422, lambda: b"[" + b"1," * 390_000 + b"1]"),
    "a batch of wrong completions": jobs(422, lambda: b"[" + b",".join([b"{}"] * 1000) + b"]"),
    "a large batch": jobs(422, many_jobs),
    "a long number": jobs(422, lambda: b'{"n": ' + b"9" * 900_000 + b"}"),
    "a long duration": jobs(422, lambda: json.dumps(job()).replace("3600", "1" + "0" * 900_000).encode()),
    "escapes": jobs(422, lambda: json.dumps(job(more="\n" * 490_000, region="Mars")).encode()),
    "kinds": jobs(422, lambda: json.dumps(job(kinds=["x"] * 4_000)).encode()),
    "many prices": contract(413, lambda: prices(300_000)),
    "prices": contract(422, lambda: prices(4_000)),
    "a deep command": contract(400, lambda: b"[" * 65_000),
    "arrays in a command": contract(422, lambda: b"[" + b"[]," * 21_000 + b"1]"),
    "a body of nobody": contract(401, lambda: b"[" * 65_000, None),
    "a body to nowhere": Attack(404, "POST /v1/nowhere", lambda: b"[" * (4 * MIB)),
    "a body with the wrong method": Attack(405, "DELETE /v1/jobs", lambda: b"[" * (4 * MIB)),
    "many header lines": Attack(431, "GET /healthz", headers=("a: b",) * 10_000),
    "an id of 5 KB": Attack(414, "GET /v1/accounts/" + "%41" * 1_700),
    "a query": Attack(0, "GET /v1/accounts?" + "a=&" * 1_300, role=Role.OPERATOR),
    "many ranges": Attack(0, "GET /console/static/console.css", headers=("Range: bytes=" + "0-," * 5_000 + "0-",)),
    "many tags": Attack(
        200, "GET /v1/accounts", role=Role.OPERATOR, headers=("If-None-Match: " + '"x",' * 3_900,)
    ),
    "many requests at once": Attack(404, "GET /nowhere", times=2_000),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_others_do_not_wait(server: Served, name: str) -> None:
    attack = ATTACKS[name].request(server.tokens)
    found = status_of(send(server, attack))
    assert found == (ATTACKS[name].status or found)
    ratios = []
    for _ in range(ROUNDS):
        ratios.append(ratio(server, attack))
        if ratios[-1] < WORST_RATIO:
            break
    print(f"{name}: others wait {min(ratios):.1f} times as long")
    assert min(ratios) < WORST_RATIO, ratios


def ratio(server: Served, attack: bytes) -> float:
    """What the slowest of another's questions takes under attack, as a ratio to the slowest without."""
    with probing(server) as ask:
        without = [ask() for _ in range(PROBES)]
        with attacking(server, attack):
            under = [ask() for _ in range(PROBES)]
    return max(under) / max(without)


@contextmanager
def probing(server: Served) -> Iterator[Callable[[], float]]:
    """Asks a small question, and says how many seconds the answer took."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as client:

        def ask() -> float:
            began = time.perf_counter()
            client.request("GET", "/v1/accounts", headers={"Authorization": f"Bearer {server.tokens[Role.OPERATOR]}"})
            answer = client.getresponse()
            answer.read()
            assert answer.status == 200
            took = time.perf_counter() - began
            time.sleep(0.01)  # the attack goes on meanwhile
            return took

        ask()
        yield ask


@contextmanager
def attacking(server: Served, attack: bytes) -> Iterator[None]:
    """Some attackers at once, each again and again."""
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            send(server, attack)

    threads = [threading.Thread(target=go_on) for _ in range(ATTACKERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def send(server: Served, data: bytes) -> bytes:
    """Send it, and read what comes until it is answered or cut off."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        try:
            connection.sendall(data)
            return connection.recv(65_536)
        except ConnectionError:
            return b""


def status_of(answer: bytes) -> int:
    return int(answer.split()[1]) if answer else 0


def test_unfinished_heads_keep_nobody_out_and_end(server: Served) -> None:
    with ExitStack() as stack:
        held = []
        for _ in range(1_100):
            held.append(stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30)))
            held[-1].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: ")
        began = time.monotonic()
        assert answers(server.port)
        assert time.monotonic() - began < HEAD_S / 2
        until(lambda: all(ended(each) for each in held), "unfinished heads to be cut off", HEAD_S * 3)


def ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_the_limit_of_files_is_raised(server: Served) -> None:
    soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    assert soft == min(hard, 16_384)


@pytest.mark.parametrize(
    "name", ["unknown fields", "prices", "kinds", "a batch of wrong completions", "a batch of ones"]
)
def test_an_answer_is_bounded(server: Served, name: str) -> None:
    head, _, body = ATTACKS[name].request(server.tokens).partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    method, path, _ = line.split()
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as client:
        client.request(method, path, body, dict(header.split(": ", 1) for header in headers))
        found = client.getresponse().read()
    assert len(json.loads(found).get("errors", [])) <= 100
    assert len(found) < 100_000
