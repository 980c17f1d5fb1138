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
from streams.app import create_app
from streams.observe.gate import pages_alone
from streams.observe.web import add_pages
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

    app = web.Application(middlewares=[pages_alone])
    app.add_routes([web.get("/healthz", broken)])
    asyncio.get_running_loop().set_debug(True)
    async with seen(app) as client:
        answer = await client.get("/healthz")
        assert answer.status == 500
        assert "secret" not in await answer.text()
