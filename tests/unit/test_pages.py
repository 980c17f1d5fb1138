"""The pages of a process that serves no others: there while it waits, on the port that was chosen."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from streams.broker.ports import free_port
from streams.errors import SettingError
from streams.observe.pages import pages
from streams.settings import Settings
from streams.store.database import open_engine
from streams.webhooks.run import run_webhooks


async def metrics() -> bytes:
    return b"up 1\n"


def settings_of(folder: Path, port: int, *, chosen: bool = True) -> Settings:
    """Settings with a port for pages, and no Kafka."""
    store = f"sqlite:///{folder}/store.sqlite"
    settings = Settings(bootstrap_servers="127.0.0.1:1", data_dir=folder, database_url=store, web_port=port)
    if not chosen:
        settings.model_fields_set.discard("web_port")
    return settings


def seen(settings: Settings, look: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    """What somebody sees while the pages are there."""

    async def main() -> None:
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.web_port}")
        async with pages(settings, metrics, lambda: (["the store is away"], {"age_s": 1.5})), client:
            await look(client)

    asyncio.run(main())


def test_the_pages_are_a_workers(tmp_path: Path) -> None:
    async def look(client: httpx.AsyncClient) -> None:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (
            503,
            {"status": "stalled", "stalled": ["the store is away"], "age_s": 1.5},
        )
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        shown, head = await client.get("/metrics"), await client.head("/metrics")
        assert (shown.text, head.status_code, head.content) == ("up 1\n", 200, b"")
        assert shown.headers["content-type"].startswith("text/plain; version=")
        assert (await client.get("/")).status_code == 404

    seen(settings_of(tmp_path, free_port()), look)


def test_a_port_that_was_chosen_and_is_taken_is_an_error_and_another_is_no_reason_to_end(tmp_path: Path) -> None:
    async def look(_: httpx.AsyncClient) -> None:
        return

    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(SettingError, match=f"METER_WEB_PORT: 127.0.0.1:{taken}"):
            seen(settings_of(tmp_path, taken), look)
        seen(settings_of(tmp_path, taken, chosen=False), look)


def test_the_sender_has_its_pages_while_it_waits_for_kafka(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, free_port())

    async def main() -> None:
        engine = open_engine(settings)
        sending = asyncio.ensure_future(run_webhooks(settings, engine))
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.web_port}") as client:
                ready = await answered(client)
                assert (ready.status_code, ready.json()["status"]) == (503, "stalled")
                assert "meter_webhook_attempts_total" in (await client.get("/metrics")).text
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending
            engine.dispose()

    asyncio.run(main())


async def answered(client: httpx.AsyncClient) -> httpx.Response:
    """The first answer of a process that begins."""
    async with asyncio.timeout(30):
        while True:
            with suppress(httpx.ConnectError):
                return await client.get("/readyz")
            await asyncio.sleep(0.02)
