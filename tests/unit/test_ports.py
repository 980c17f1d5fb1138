"""A worker's port: its three pages, and nothing of what Faust brings along."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from meter.rules import Rules
from streams.engine.app import create_app
from streams.engine.web import add_pages
from streams.observe.gate import pages_alone
from streams.settings import Settings

FAUSTS = [
    "/", "/router/", "/router", "/router/daily-totals/", "/router/daily-totals/A/", "/table/", "/table",
    "/table/daily-totals/", "/table/none/", "/table/daily-totals/A/", "/graph", "/graph/", "/stats", "/performance",
    "/performance/", "/assignment/", "/static/", "/send_event", "/metrics/", "/metrics/../table/", "/%00",
]  # fmt: skip


@asynccontextmanager
async def seen(app: web.Application) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize("debug", [False, True])
async def test_of_a_workers_port_only_three_pages_are_there(tmp_path: Path, debug: bool) -> None:
    settings = Settings(bootstrap_servers="127.0.0.1:9", data_dir=tmp_path)
    app = create_app(settings, Rules(meter_id="m", partitions=1), lambda _: None)
    add_pages(app)
    app.web.init_server()
    asyncio.get_running_loop().set_debug(debug)
    async with seen(app.web.web_app) as client:
        for path in FAUSTS:
            for method in ("GET", "HEAD", "POST", "OPTIONS", "PROPFIND"):
                answer = await client.request(method, path)
                text = await answer.text()
                assert (answer.status, "Traceback" in text, len(text) < 100) == (404, False, True), (method, path)
        for path in ("/metrics", "/healthz", "/readyz"):
            assert (await client.get(path)).status in {200, 503}
            assert (await client.head(path)).status in {200, 503}
            for method in ("POST", "DELETE", "OPTIONS", "PROPFIND"):
                answer = await client.request(method, path)
                assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


async def test_a_page_that_breaks_shows_nothing_of_the_inside() -> None:
    async def broken(_: web.Request) -> web.Response:
        raise RuntimeError("a secret")

    app = web.Application(middlewares=[pages_alone("127.0.0.1")])
    app.add_routes([web.get("/healthz", broken)])
    asyncio.get_running_loop().set_debug(True)
    async with seen(app) as client:
        answer = await client.get("/healthz")
        assert answer.status == 500
        assert "secret" not in await answer.text()


@pytest.mark.parametrize(
    ("web_host", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("127.0.0.1", {"Host": "localhost:8321"}, 200),
        ("localhost", {"Host": "[::1]:8321"}, 200),
        ("127.0.0.1", {"Host": "rebound.example:8321"}, 403),
        ("127.0.0.1", {"Host": "127.0.0.1.example"}, 403),
        ("localhost", {"Host": "[::1"}, 403),
        ("127.0.0.1", {"Host": ""}, 403),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, 403),
        ("127.0.0.1", {"Via": "1.1 proxy"}, 403),
        ("0.0.0.0", {"Host": "meter.example:8321", "Via": "1.1 proxy"}, 200),
    ],
)
async def test_on_loopback_metrics_are_for_this_machine(
    tmp_path: Path, web_host: str, headers: dict[str, str], status: int
) -> None:
    """A page of another site, whose name leads here, would read what was earned."""
    settings = Settings(bootstrap_servers="127.0.0.1:9", data_dir=tmp_path, web_host=web_host)
    app = create_app(settings, Rules(meter_id="m", partitions=1), lambda _: None)
    add_pages(app)
    app.web.init_server()
    async with seen(app.web.web_app) as client:
        assert (await client.get("/metrics", headers=headers)).status == status
        assert (await client.get("/healthz", headers=headers)).status == 200
