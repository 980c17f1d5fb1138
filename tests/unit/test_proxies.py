"""Forwarding headers count where a setting names the proxy that sends them; no answer leads to a request's own Host."""

import socket
import threading
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from streams.errors import SettingError
from streams.http import access
from streams.http.app import create_app
from streams.http.callers import Role
from streams.http.proxies import Proxies
from streams.http.serve import server_of
from streams.http.tokens import create_token
from streams.settings import Settings, load_settings
from streams.store.database import open_engine, writing
from streams.store.migrate import migrate
from tests.integration.running import until

PROXY, OTHER, CALLER = "10.0.0.5", "192.0.2.7", "203.0.113.9"
TRUSTED = "10.0.0.0/8, 2001:db8::/32"


async def seen(peer: str, *headers: tuple[str, str], trusted: str = TRUSTED) -> tuple[str, str, str]:
    """Address, scheme and host as a handler sees them."""
    found: list[Request] = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        found.append(Request(scope))

    scope = {
        "type": "http", "method": "GET", "path": "/", "query_string": b"", "scheme": "http", "client": (peer, 4711),
        "headers": [(b"host", b"inside"), *((name.lower().encode(), value.encode()) for name, value in headers)],
    }  # fmt: skip
    proxies = Proxies(app, Settings(http_trusted_proxies=trusted).trusted_proxies)
    await proxies(scope, None, None)  # type: ignore[arg-type]
    (request,) = found
    assert request.client is not None
    return request.client.host, request.url.scheme, request.headers["host"]


FOR, PROTO, HOST = "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"


@pytest.mark.parametrize(
    ("sent", "address"),
    [
        (CALLER, CALLER),
        (f"1.2.3.4, {CALLER}", CALLER),  # what a caller says of itself is to the left
        (f"{CALLER}, 10.0.0.9, 10.1.1.1", CALLER),
        (f"junk, {CALLER}", CALLER),
        (f"{CALLER}, junk", PROXY),
        ("", PROXY),
        ("x" * 60_000, PROXY),
        (", ".join(["1.2.3.4"] * 5_000) + f", {CALLER}", CALLER),
        (", ".join(["10.0.0.1"] * 5_000), "10.0.0.1"),
        ("fe80::1%" + "x" * 60_000, "fe80::1"),
        (f"{CALLER}:4711", CALLER),
        ("[2001:db9::1]:4711", "2001:db9::1"),
        (f"::ffff:{CALLER}", CALLER),
        ("2001:db8::7", "2001:db8::7"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
async def test_the_right_most_address_that_is_no_proxys_is_the_callers(sent: str, address: str) -> None:
    assert (await seen(PROXY, (FOR, sent)))[0] == address


async def test_a_header_that_comes_several_times_is_one_list() -> None:
    assert (await seen(PROXY, (FOR, "1.2.3.4"), (FOR, CALLER), (FOR, "10.9.9.9")))[0] == CALLER


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", OTHER, "192.168.0.1", "testclient"])
async def test_of_nobody_else_they_are_believed(peer: str) -> None:
    said = (FOR, CALLER), (PROTO, "https"), (HOST, "meter.example"), ("Forwarded", f"for={CALLER};proto=https")
    assert await seen(peer, *said) == (peer, "http", "inside")
    assert await seen(peer, *said, trusted="") == (peer, "http", "inside")


async def test_scheme_and_host_by_the_same_rule() -> None:
    said = (FOR, CALLER), (PROTO, "http, HTTPS"), (HOST, "evil.example, meter.example:8443")
    assert await seen(PROXY, *said) == (CALLER, "https", "meter.example:8443")
    assert await seen(f"::ffff:{PROXY}", *said) == (CALLER, "https", "meter.example:8443")
    for scheme, host in (("gopher", "a b"), ("", ""), ("https,x", "a/b"), ("h", "x" * 300), ("x", "a@b"), ("y", "[")):
        assert await seen(PROXY, (PROTO, scheme), (HOST, host)) == (PROXY, "http", "inside")


@pytest.mark.parametrize("value", ["10.0.0.1/8", "proxy.example", "10.0.0.0/33", "10.0.0.1;10.0.0.2", "*"])
def test_a_proxy_is_an_address_or_a_network(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METER_HTTP_TRUSTED_PROXIES", value)
    with pytest.raises(SettingError, match="METER_HTTP_TRUSTED_PROXIES"):
        load_settings()


def settings_of(folder: Path) -> Settings:
    settings = Settings(bootstrap_servers="127.0.0.1:9", data_dir=folder, http_requests_per_s=0, http_port=0)
    engine = open_engine(settings)
    migrate(engine)
    with writing(engine) as connection:
        create_token(connection, Role.OPERATOR)
    engine.dispose()
    return settings


def test_wrong_tokens_are_counted_by_true_address_on_a_server_as_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "WRONG_TOKENS_PER_S", 0.01)
    server = server_of(settings_of(tmp_path), console=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        until(lambda: server.started or not thread.is_alive(), "the API to start")
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
                codes = [
                    client.get(
                        "/v1/status",
                        headers={"Authorization": f"Bearer mtr_aaaaaaaa_{n}", FOR: f"198.51.100.{n}"},
                    ).status_code
                    for n in range(5)
                ]
        finally:
            server.should_exit = True
            thread.join()
    assert set(codes) == {401, 429}


async def test_the_addresses_of_one_site_are_counted_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "WRONG_TOKENS_PER_S", 0.01)
    app = create_app(settings_of(tmp_path), console=True)
    codes = []
    for n in range(5):
        transport = httpx.ASGITransport(app, client=(f"2001:db9:1:2::{n:x}", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://meter.example") as client:
            codes.append((await client.post("/console/sign-in", data={"token": "mtr_a_b"})).status_code)
    assert codes == [401, 429, 429, 429, 429]


@pytest.mark.parametrize("path", ["/console/", "/console/sign-in/", "/v1/status/", "/v1/jobs/", "/console/static", "/"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_no_redirect_leads_to_the_host_that_a_request_names(tmp_path: Path, path: str, method: str) -> None:
    app = create_app(settings_of(tmp_path), console=True)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(CALLER, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://meter.example") as client:
        answer = await client.request(method, path, headers={"Host": "evil.example", "Accept": "text/html"})
    assert answer.headers.get("location", "/").startswith("/")
    assert not answer.headers.get("location", "/").startswith("//")
    assert "evil.example" not in f"{answer.headers} {answer.text}"
