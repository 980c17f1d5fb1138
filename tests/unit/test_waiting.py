"""A process that is asked to stop while it waits for something stops at once, whatever hangs."""

import asyncio
import threading
from typing import Any, cast

import pytest

from streams.engine import app
from streams.errors import BrokerLostError
from streams.http import serve
from streams.process.waiting import AskedToStop, in_daemon_thread, unless
from streams.store.measures import ProjectorMeasures
from streams.store.projector import wait_for_store

PATIENCE_S = 10.0


@pytest.mark.parametrize("process", ["projector", "api"])
def test_a_store_that_hangs_does_not_hold_up_a_stop(monkeypatch: pytest.MonkeyPatch, process: str) -> None:
    hangs, asking, ended = threading.Event(), threading.Event(), threading.Event()

    def ask(*_: object) -> None:
        asking.set()
        hangs.wait()

    async def start(asked: asyncio.Event) -> None:
        if process == "api":
            monkeypatch.setattr(serve, "_look_at_store", ask)
            with pytest.raises(AskedToStop):
                await serve.store_has_tokens(cast(Any, None), asked)
        else:
            with pytest.raises(AskedToStop):
                await wait_for_store(ask, asked, ProjectorMeasures())

    async def run() -> None:
        asked = asyncio.Event()
        starting = asyncio.ensure_future(start(asked))
        await asyncio.to_thread(asking.wait)
        asked.set()
        await starting

    # The end of a loop waits for its own threads: one that hangs in one of those would hold up the process.
    threading.Thread(target=lambda: (asyncio.run(run()), ended.set()), daemon=True).start()
    stopped = ended.wait(PATIENCE_S)
    hangs.set()
    assert stopped


def test_work_gives_what_it_finds_and_raises_what_it_raises() -> None:
    async def both() -> int:
        asked = asyncio.Event()
        with pytest.raises(ZeroDivisionError):
            await unless(asked, in_daemon_thread(lambda: 1 // 0))
        return await unless(asked, in_daemon_thread(lambda: 42))

    assert asyncio.run(both()) == 42


@pytest.mark.parametrize("takes_s", [0.0, 1e6])
def test_a_worker_that_is_asked_to_stop_while_it_starts_waits_for_no_kafka(
    monkeypatch: pytest.MonkeyPatch, takes_s: float
) -> None:
    monkeypatch.setattr(app, "START_PATIENCE_S", 0.05)

    class Starting:
        async def start(self) -> None:
            await asyncio.sleep(takes_s)

    class EndedError(Exception):
        pass

    def fail(error: BaseException) -> None:
        assert isinstance(error, BrokerLostError)
        raise EndedError

    async def start() -> None:
        asked = asyncio.Event()
        asked.set()
        await asyncio.wait_for(app.start(cast(Any, Starting()), asked, fail), PATIENCE_S)

    if takes_s:
        with pytest.raises(EndedError):
            asyncio.run(start())
    else:
        asyncio.run(start())
