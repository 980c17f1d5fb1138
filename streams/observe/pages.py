"""The pages /metrics, /healthz and /readyz of a process that serves no others, as a worker has them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from streams.errors import SettingError
from streams.observe.doors import keep_doors
from streams.observe.gate import pages_alone
from streams.settings import Settings

log = structlog.get_logger(__name__)

#: Why it is not ready (nothing: it is), and what else there is to say.
Readiness = tuple[list[str], Mapping[str, Any]]


@asynccontextmanager
async def pages(
    settings: Settings, metrics: Callable[[], Awaitable[bytes]], readiness: Callable[[], Readiness]
) -> AsyncIterator[None]:
    """The pages, on METER_WEB_PORT, while the block runs. Raises SettingError where the port cannot be had.

    A process whose port nobody has chosen goes on without them: beside a worker, the usual one is taken.
    """
    runner = web.AppRunner(_application(settings.web_host, metrics, readiness), access_log=None)
    await runner.setup()
    keeping = asyncio.create_task(keep_doors(lambda: runner.server))
    try:
        if settings.web_port:
            await _listen(runner, settings)
        yield
    finally:
        keeping.cancel()
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: Settings) -> None:
    try:
        await web.TCPSite(runner, settings.web_host, settings.web_port).start()
    except OSError as error:
        why = f"METER_WEB_PORT: {settings.web_host}:{settings.web_port}: {error.strerror}; 0 means no pages"
        if "web_port" in settings.model_fields_set:
            raise SettingError(why) from error
        log.warning(f"no pages: {why}")


def _application(
    web_host: str, metrics: Callable[[], Awaitable[bytes]], readiness: Callable[[], Readiness]
) -> web.Application:
    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=await metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(_: web.Request) -> web.Response:
        stalled, more = readiness()
        body = {"status": "stalled" if stalled else "ok", "stalled": stalled, **more}
        return web.json_response(body, status=503 if stalled else 200)

    app = web.Application(middlewares=[pages_alone(web_host)])
    app.add_routes([web.get("/metrics", show_metrics), web.get("/healthz", healthz), web.get("/readyz", readyz)])
    return app
