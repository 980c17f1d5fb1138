"""A proxy of the environment is for the world outside: what runs on this machine is asked directly."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from streams.cli import main
from streams.demo import finale, stage
from streams.settings import Settings

PAGES = {
    "/healthz": b"ok",
    "/readyz": b'{"open": [0, 1, 2]}',
    "/v1/status": b'{"topics": [{"as_of": "2026-01-01T00:00:00Z", "lag": 0}]}',
}


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(PAGES[self.path])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Of a process of this machine, behind a proxy that leads nowhere."""
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with HTTPServer(("127.0.0.1", 0), Pages) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def test_the_console_is_found(port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("METER_HTTP_PORT", str(port))
    assert main(["console", "--print"]) == 0
    assert capsys.readouterr() == (f"http://127.0.0.1:{port}/console\n", "")


def test_the_demo_sees_its_workers_and_its_console(port: int) -> None:
    assert stage.open_partitions(port) == 3
    assert finale.is_shown(Settings(http_port=port))
