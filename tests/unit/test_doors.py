"""The API's doors, tried by those who should not come in: other machines, proxies, other sites, whoever guesses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import delete

from streams.http import access
from streams.http.app import create_app
from streams.http.callers import Role
from streams.http.sessions import COOKIE
from streams.http.tokens import create_token
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.kept_tables import api_token, console_session
from streams.store.migrate import migrate

HERE, ELSEWHERE = "127.0.0.1", "203.0.113.9"


def made(folder: Path, role: Role | None = None, requests_per_s: float = 0.5) -> tuple[FastAPI, str]:
    """An application on a new store, and the text of its one token, if it has one."""
    settings = Settings(bootstrap_servers="127.0.0.1:9", data_dir=folder, http_requests_per_s=requests_per_s)
    engine = open_engine(settings)
    migrate(engine)
    text = ""
    if role is not None:
        with writing(engine) as connection:
            text = create_token(connection, role).text
    engine.dispose()
    return create_app(settings, console=True), text


@asynccontextmanager
async def seen_from(app: FastAPI, peer: str = HERE) -> AsyncIterator[httpx.AsyncClient]:
    """A client at some address."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8300") as client:
        yield client


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        (ELSEWHERE, {}),
        (HERE, {"Host": "meter.example"}),
        (HERE, {"Host": "[::1"}),
        (HERE, {"X-Real-IP": ELSEWHERE}),
        (HERE, {"X-Forwarded-Host": "meter.example"}),
        (HERE, {"Via": "1.1 proxy"}),
    ],
)
@pytest.mark.parametrize("path", ["/v1/status", "/console/health"])
async def test_without_tokens_nobody_comes_in_from_elsewhere_whatever_they_call_this_machine(
    tmp_path: Path, peer: str, headers: dict[str, str], path: str
) -> None:
    app, _ = made(tmp_path)
    async with seen_from(app) as client:
        assert (await client.get(path)).status_code != 403
    async with seen_from(app, peer) as client:
        assert (await client.get(path, headers=headers)).status_code == 403


async def test_a_store_that_has_lost_its_tokens_opens_nothing_while_the_server_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "FRESH_S", 0.0)
    app, _ = made(tmp_path, Role.OPERATOR)
    async with seen_from(app) as client:
        assert (await client.get("/v1/status")).status_code == 401
        engine = open_engine(Settings(data_dir=tmp_path))
        with writing(engine) as connection:
            connection.execute(delete(api_token))
        engine.dispose()
        assert (await client.get("/v1/status")).status_code == 401


@pytest.mark.parametrize("origin", ["http://[", "null", "https://evil.example", "localhost:8300", ""])
async def test_a_sign_in_from_another_site_is_refused_and_never_a_failure(tmp_path: Path, origin: str) -> None:
    app, text = made(tmp_path, Role.OPERATOR)
    async with seen_from(app) as client:
        answer = await client.post("/console/sign-in", data={"token": text}, headers={"Origin": origin})
        assert (answer.status_code, COOKIE in answer.cookies) == (403, False)
        answer = await client.post(
            "/console/sign-in", data={"token": text}, headers={"Origin": "http://localhost:8300"}
        )
        assert (answer.status_code, COOKIE in answer.cookies) == (303, True)


async def test_a_wrong_token_waits_for_nobody_who_writes(tmp_path: Path) -> None:
    app, _ = made(tmp_path, Role.OPERATOR)
    engine = open_engine(Settings(data_dir=tmp_path))
    async with seen_from(app) as client:
        with writing(engine):
            refused = client.post("/console/sign-in", data={"token": "mtr_aaaaaaaa_guess"})
            assert (await asyncio.wait_for(refused, 5)).status_code == 401
    engine.dispose()


async def test_a_token_begins_no_more_sessions_than_it_may_ask_questions(tmp_path: Path) -> None:
    app, text = made(tmp_path, Role.OPERATOR)
    async with seen_from(app) as client:
        answers = [await client.post("/console/sign-in", data={"token": text}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [303, 429, 429]
    engine = open_engine(Settings(data_dir=tmp_path))
    with engine.connect() as connection:
        assert len(connection.execute(console_session.select()).all()) == 1
    engine.dispose()


@pytest.mark.parametrize("body", [b"{", b"[" * 200, b'{"amount": 1}'])
async def test_of_a_caller_who_is_not_known_no_body_is_read(tmp_path: Path, body: bytes) -> None:
    app, text = made(tmp_path, Role.PRODUCER)
    json = {"Content-Type": "application/json"}
    async with seen_from(app) as client:
        for path in ("/v1/accounts", "/v1/accounts/A/top-ups", "/v1/prices", "/v1/rejects/0:0/redrive", "/v1/jobs"):
            assert (await client.post(path, content=body, headers=json)).status_code == 401
        known = json | {"Authorization": f"Bearer {text}"}
        assert (await client.post("/v1/prices", content=body, headers=known)).status_code in (400, 403)


async def test_a_producers_token_opens_no_console(tmp_path: Path) -> None:
    app, text = made(tmp_path, Role.PRODUCER)
    async with seen_from(app) as client:
        assert (await client.post("/console/sign-in", data={"token": text})).status_code == 403


async def test_a_header_that_says_one_thing_is_there_once(tmp_path: Path) -> None:
    app, text = made(tmp_path, Role.OPERATOR, 0)
    known, json = ("Authorization", f"Bearer {text}"), ("Content-Type", "application/json")
    path, key = "/v1/accounts/A/top-ups", ("Idempotency-Key", "k1")
    async with seen_from(app) as client:
        for more, status in ((("Idempotency-Key", "k2"), 400), (("Content-Type", "text/plain"), 400), (known, 401)):
            answer = await client.post(path, content=b'{"amount":"5"}', headers=[known, json, key, more])
            assert answer.status_code == status, more
            assert "more than" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/console/accounts", "/console/accounts/A/top-up", "/console/sign-out"])
async def test_of_a_visitor_who_is_not_known_no_form_is_read(tmp_path: Path, path: str) -> None:
    """A form in parts of which the boundary is missing: whoever reads it says so."""
    app, _ = made(tmp_path, Role.OPERATOR)
    no_form = {"Content-Type": "multipart/form-data"}
    async with seen_from(app) as client:
        answer = await client.post(path, content=b"--", headers=no_form)
        assert (answer.status_code, answer.headers["location"][:16]) == (303, "/console/sign-in")


@pytest.mark.parametrize(("body", "status"), [(b"token=x&" + b"a" * 4_096, 413), (b"&" * 40, 400), (b"token=x", 401)])
async def test_the_form_that_anybody_may_send_is_small(tmp_path: Path, body: bytes, status: int) -> None:
    app, _ = made(tmp_path, Role.OPERATOR)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with seen_from(app) as client:
        assert (await client.post("/console/sign-in", content=body, headers=form)).status_code == status
