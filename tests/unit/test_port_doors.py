"""A worker's own port: connections that nobody finishes are few, and end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from aiohttp import web

from streams.observe import doors

UNFINISHED = b"GET /healthz HTTP/1.1\r\nHost: x\r\nA: "
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@asynccontextmanager
async def kept(monkeypatch: pytest.MonkeyPatch, most: int, lasts_s: float) -> AsyncIterator[int]:
    """The port of a server whose doors are kept."""
    monkeypatch.setattr(doors, "MAX_CONNECTIONS", most)
    monkeypatch.setattr(doors, "LASTS_S", lasts_s)
    monkeypatch.setattr(doors, "LOOK_EVERY_S", 0.05)

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz)])
    runner = web.AppRunner(app)
    keeper = asyncio.create_task(doors.keep_doors(lambda: runner.server))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        await runner.cleanup()


@asynccontextmanager
async def connected(port: int, data: bytes) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        yield reader
    finally:
        writer.close()


async def test_an_unfinished_request_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with kept(monkeypatch, most=64, lasts_s=0.2) as port, connected(port, UNFINISHED) as reader:
        assert await asyncio.wait_for(reader.read(), 20) == b""


async def test_of_too_many_the_oldest_end_and_the_newest_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async with kept(monkeypatch, most=4, lasts_s=600.0) as port, AsyncExitStack() as stack:
        requests = [*[UNFINISHED] * 8, WHOLE]
        first, *_, last = [await stack.enter_async_context(connected(port, data)) for data in requests]
        assert await asyncio.wait_for(first.read(), 20) == b""
        assert (await last.readline()).startswith(b"HTTP/1.1 200")
