"""A customer has a few requests at work at a time: others of its own wait, those of others do not."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request
from starlette.types import Receive, Scope, Send

from streams.http.app import create_app
from streams.http.callers import LOOPBACK, Caller, Role
from streams.http.problems import Problem
from streams.http.shares import AT_A_TIME, MAX_WAITING, InTurn, Shares
from streams.http.tokens import create_token
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.migrate import migrate

A, B = (Caller(Role.ACCOUNT, token_id=f"t{name}", account_id=name) for name in "AB")


class Work:
    """Requests that take as long as a test wants."""

    def __init__(self) -> None:
        self.shares = Shares()
        self.running: list[str] = []
        self.done = asyncio.Event()

    async def ask(self, who: Caller) -> None:
        async def app(scope: Scope, _: Receive, __: Send) -> None:
            await self.shares.take(Request(scope), who)
            self.running.append(who.account_id or "")
            await self.done.wait()
            raise ZeroDivisionError

        await InTurn(app)({"type": "http", "state": {}}, _nothing, _nothing)


async def _nothing(*_: Any) -> Any:
    """Nothing is received and nothing sent."""


async def settle() -> None:
    """Let all go on as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_others_of_the_same_account_wait_and_nobody_else_does() -> None:
    work = Work()
    tasks = [asyncio.ensure_future(work.ask(who)) for who in (*[A] * 10, *[LOOPBACK] * 10, B)]
    await settle()
    assert sorted(work.running) == [*[""] * 10, *["A"] * AT_A_TIME, "B"]
    work.done.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in outcomes} == {ZeroDivisionError}
    assert sorted(work.running) == [*[""] * 10, *["A"] * 10, "B"]
    assert len(work.shares) == 0


async def test_where_too_many_wait_more_are_refused_and_one_that_gives_up_makes_room() -> None:
    work = Work()
    tasks = [asyncio.ensure_future(work.ask(A)) for _ in range(AT_A_TIME + MAX_WAITING)]
    await settle()
    with pytest.raises(Problem) as refused:
        await work.ask(A)
    assert refused.value.status_code == 429
    tasks[-1].cancel()
    await settle()
    tasks.append(asyncio.ensure_future(work.ask(A)))
    await settle()
    assert not tasks[-1].done()
    work.done.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert len(work.shares) == 0


async def test_each_turn_ends_with_its_request(tmp_path: Path) -> None:
    settings = Settings(bootstrap_servers="127.0.0.1:9", data_dir=tmp_path, http_requests_per_s=0)
    engine = open_engine(settings)
    migrate(engine)
    with writing(engine) as connection:
        token = create_token(connection, Role.ACCOUNT, "A").text
    app = create_app(settings, console=True)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=("127.0.0.1", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        await client.post("/console/sign-in", data={"token": token})
        mine = {"Authorization": f"Bearer {token}"}
        found = await asyncio.gather(
            *[client.get("/console/reopened") for _ in range(5)],
            *[client.get("/console/account") for _ in range(5)],
            *[client.post("/console/account/threshold", data={"csrf": "wrong"}) for _ in range(3)],
            *[client.get("/v1/accounts/A/usage", headers=mine) for _ in range(5)],
            *[client.get("/v1/audit", headers=mine) for _ in range(5)],
            *[client.put("/v1/accounts/A/low-balance", headers=mine, content=b"[") for _ in range(5)],
        )
    assert {each.status_code for each in found} > {403, 404, 415}
    assert len(app.state.services.shares) == 0
    engine.dispose()
