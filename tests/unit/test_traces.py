"""What a request leaves behind: an id, a line, lines about who came in or did not, its trace; and never a secret."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI

from streams.http.app import create_app
from streams.http.callers import Role
from streams.http.commits import with_trace
from streams.http.tokens import NewToken, create_token, revoke_token
from streams.http.traces import trace_headers
from streams.process.logs import set_up_logs
from streams.settings import Settings
from streams.store.database import open_engine, writing
from streams.store.migrate import migrate

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the logs of this process say, as JSON."""
    root, said = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(sys, "stderr", said)
    set_up_logs(Settings(log_format="json"))
    yield said
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def found(lines: io.StringIO, **wanted: Any) -> list[dict[str, Any]]:
    """The lines with these fields."""
    every = [json.loads(line) for line in lines.getvalue().splitlines()]
    return [each for each in every if wanted.items() <= each.items()]


class Site:
    def __init__(self, folder: Path, **settings: Any) -> None:
        self.settings = Settings(
            bootstrap_servers="127.0.0.1:9", data_dir=folder, **{"http_requests_per_s": 0} | settings
        )
        self.engine = open_engine(self.settings)
        migrate(self.engine)
        self.app: FastAPI = create_app(self.settings, console=True)

    def token(self, role: Role = Role.OPERATOR, account_id: str | None = None, **more: Any) -> NewToken:
        with writing(self.engine) as connection:
            return create_token(connection, role, account_id, **more)

    def client(self, token: NewToken | None = None) -> httpx.AsyncClient:
        headers = {} if token is None else {"Authorization": f"Bearer {token.text}"}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=("203.0.113.9", 4711))
        return httpx.AsyncClient(transport=transport, base_url="http://meter.example", headers=headers)


async def test_each_request_is_a_line_with_its_route_and_its_caller(tmp_path: Path, lines: io.StringIO) -> None:
    site = Site(tmp_path)
    token = site.token(Role.ACCOUNT, "A")
    async with site.client(token) as client:
        answer = await client.get("/v1/accounts/A%2FB%0A/usage?from=2026-11-01")
    (line,) = found(lines, log="access")
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert line["duration_ms"] >= 0
    expected = {
        "event": "request", "method": "GET", "route": "/v1/accounts/{account_id}/usage", "status": 404,
        "remote": "203.0.113.9", "caller": token.token_id, "role": "account", "account_id": "A",
    }  # fmt: skip
    assert expected.items() <= line.items()


async def test_paths_that_are_no_route_leave_a_line_and_not_their_text(tmp_path: Path, lines: io.StringIO) -> None:
    async with Site(tmp_path).client() as client:
        await client.get("/nowhere/secret-in-a-path")
        await client.get("/console/sign-in?to=/console/x")
    assert [(line["route"], line["status"]) for line in found(lines, log="access")] == [
        (None, 404), ("/console/sign-in", 200),
    ]  # fmt: skip
    assert "secret-in-a-path" not in lines.getvalue()


async def test_lines_of_requests_can_be_left_out(tmp_path: Path, lines: io.StringIO) -> None:
    async with Site(tmp_path, http_access_log=False).client() as client:
        await client.get("/healthz")
    assert not found(lines, log="access")


@pytest.mark.parametrize(
    "library", ["aiokafka.conn", "httpx", "httpcore.connection", "sqlalchemy.engine.Engine", "psycopg", "any.other"]
)
@pytest.mark.parametrize("level", ["debug", "info"])
def test_what_a_library_sends_is_in_no_log(
    library: str, level: Any, monkeypatch: pytest.MonkeyPatch, lines: io.StringIO
) -> None:
    monkeypatch.setattr(sys, "stderr", lines)
    set_up_logs(Settings(log_format="json", log_level=level))
    for each in (logging.DEBUG, logging.INFO):
        logging.getLogger(library).log(each, "Request to broker: sasl_auth_bytes=b'user hunter2'")
    assert "hunter2" not in lines.getvalue()


def test_our_own_lines_and_the_insides_of_the_consumer_follow_the_level(
    monkeypatch: pytest.MonkeyPatch, lines: io.StringIO
) -> None:
    names = ("streams.engine.owner", "aiokafka.consumer.fetcher", "faust.app")
    for level, heard in (("debug", set(names)), ("info", set()), ("debug", set(names))):
        monkeypatch.setattr(sys, "stderr", lines)
        set_up_logs(Settings(log_format="json", log_level=level))
        lines.truncate(0)
        lines.seek(0)
        for name in names:
            logging.getLogger(name).debug("said by %s", name)
        assert {name for name in names if f"said by {name}" in lines.getvalue()} == heard


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        ("4711", True), ("6f1d0c9e-7a55-4c39-9a75-2f0f7f2b1f10", True), ("a" * 128, True), ("a" * 129, False),
        ("a b", False), ("a\tb", False), ("é", False), ("", False), ('"><script>', False),
    ],
)  # fmt: skip
async def test_the_id_of_a_request_is_the_callers_where_it_can_be_one(
    tmp_path: Path, lines: io.StringIO, given: str, is_taken: bool
) -> None:
    async with Site(tmp_path).client() as client:
        answer = await client.get("/v1/nowhere", headers=[(b"X-Request-Id", given.encode())])
    known = answer.headers["X-Request-Id"]
    assert (known == given, 1 <= len(known) <= 128) == (is_taken, True)
    assert answer.json()["request_id"] == known == found(lines, log="access")[0]["request_id"]


async def test_a_bug_is_one_answer_with_an_id_and_one_line_with_its_reason(tmp_path: Path, lines: io.StringIO) -> None:
    site = Site(tmp_path)

    @site.app.get("/v1/broken")
    async def broken() -> None:
        raise RuntimeError("what\n2026 [info] forged\u202e line\x1b[2J")

    async with site.client() as client:
        answer = await client.get("/v1/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
    (line,) = found(lines, event="a request failed")
    assert (line["request_id"], line["level"]) == (answer.headers["X-Request-Id"], "error")
    assert "forged" in line["exception"]
    assert "Traceback" not in answer.text


async def test_who_comes_in_and_who_does_not_leaves_a_line_and_no_secret(tmp_path: Path, lines: io.StringIO) -> None:
    site = Site(tmp_path)
    token, producer = site.token(label="me\n[error] forged"), site.token(Role.PRODUCER)
    wrong = token.text[:-4] + "guess"
    async with site.client() as client:
        for door in (
            client.get("/v1/status", headers={"Authorization": f"Bearer {wrong}"}),
            client.post("/console/sign-in", data={"token": wrong}),
        ):
            assert (await door).status_code == 401
        assert (await client.post("/console/sign-in", data={"token": producer.text})).status_code == 403
        assert (await client.post("/console/sign-in", data={"token": token.text})).status_code == 303
        session = client.cookies["meter_session"]
        assert (await client.post("/console/sign-out", data={"csrf": "wrong"})).status_code == 403
        page = (await client.get("/console/sign-in")).text
        assert page
    async with site.client(producer) as client:
        assert (await client.get("/v1/audit")).status_code == 403
    with writing(site.engine) as connection:
        revoke_token(connection, token.token_id)
        revoke_token(connection, token.token_id)
    events = [(line["event"], line["level"]) for line in found(lines, log="security")]
    assert events == [
        ("a token was made", "info"), ("a token was made", "info"), ("a wrong token", "warning"),
        ("a wrong token", "warning"), ("refused", "warning"), ("signed in", "info"), ("refused", "warning"),
        ("refused", "warning"), ("a token was revoked", "info"),
    ]  # fmt: skip
    (signed_in,) = found(lines, event="signed in")
    assert (signed_in["caller"], signed_in["remote"]) == (token.token_id, "203.0.113.9")
    assert {line["caller"] for line in found(lines, event="refused") if "caller" in line} == {
        token.token_id, producer.token_id,
    }  # fmt: skip
    assert found(lines, event="a token was made")[0]["label"] == "me\n[error] forged"
    secrets = [each.text.rpartition("_")[2] for each in (token, producer)]
    assert not any(secret in lines.getvalue() for secret in (*secrets, wrong.rpartition("_")[2], session))


async def test_of_a_token_that_was_not_made_after_all_there_is_no_line(tmp_path: Path, lines: io.StringIO) -> None:
    site = Site(tmp_path)
    token = site.token()

    def fail() -> None:
        with writing(site.engine) as connection:
            create_token(connection, Role.PRODUCER)
            revoke_token(connection, token.token_id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [each["token"] for each in found(lines, log="security")] == [token.token_id]
    with writing(site.engine) as connection:
        revoke_token(connection, token.token_id)
        assert len(found(lines, log="security")) == 1
    assert [each["event"] for each in found(lines, log="security")] == ["a token was made", "a token was revoked"]


async def test_a_limit_that_is_reached_leaves_a_line(tmp_path: Path, lines: io.StringIO) -> None:
    site = Site(tmp_path, http_requests_per_s=1)
    token = site.token()
    async with site.client(token) as client:
        codes = [(await client.get("/v1/commands/none")).status_code for _ in range(4)]
        assert 429 in codes
    line = found(lines, event="a limit is reached")[0]
    assert (line["code"], line["level"], line["log"]) == ("too_many_requests", "warning", "security")
    assert line["caller"] == token.token_id


async def test_a_session_that_ends_leaves_a_line(tmp_path: Path, lines: io.StringIO) -> None:
    site = Site(tmp_path)
    token = site.token()
    async with site.client() as client:
        await client.post("/console/sign-in", data={"token": token.text})
        with site.engine.connect() as connection:
            csrf = connection.exec_driver_sql("SELECT csrf FROM console_session").scalar_one()
        assert (await client.post("/console/sign-out", data={"csrf": csrf})).status_code == 303
    (line,) = found(lines, event="signed out")
    assert (line["caller"], line["role"]) == (token.token_id, "operator")


@pytest.mark.parametrize("form", ["text", "json"])
def test_whatever_a_line_says_it_is_one_line(form: Any, monkeypatch: pytest.MonkeyPatch, lines: io.StringIO) -> None:
    monkeypatch.setattr(sys, "stderr", lines)
    set_up_logs(Settings(log_format=form))
    nasty = "A\n2026-11-27 [info] forged\r\x1b[2J\u2028\u202e\x85\u200b"
    structlog.get_logger("x").warning(f"said {nasty}", account_id=nasty, each=[nasty], of={"it": nasty})
    logging.getLogger("x").error("said %s", nasty)
    try:
        raise RuntimeError(nasty)
    except RuntimeError:
        structlog.get_logger("x").exception("failed")
    text = lines.getvalue()
    starts = [line for line in text.splitlines() if not line.startswith("  ")]
    assert (len(starts), len(text.splitlines())) == (3, text.count("\n"))
    assert not any(line.startswith("2026-11-27 [info]") for line in text.splitlines())
    assert not {"\r", "\x1b", "\u2028", "\u202e", "\x85", "\u200b"} & set(text)


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        (PARENT, True),
        (f"cc{PARENT[2:]}-more", True),
        (f"{PARENT}-more", False),
        (f"ff{PARENT[2:]}", False),
        (PARENT.upper(), False),
        (PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), False),
        (PARENT.replace("00f067aa0ba902b7", "0" * 16), False),
        (PARENT[:-1], False),
        ("x" * 10_000, False),
    ],
)
async def test_a_trace_is_taken_over_to_the_records_of_a_request(
    tmp_path: Path, lines: io.StringIO, given: str, is_taken: bool
) -> None:
    site = Site(tmp_path)
    seen: list[Any] = []

    @site.app.get("/v1/traced")
    async def traced() -> None:
        seen.append(trace_headers())

    async with site.client() as client:
        await client.get("/v1/traced", headers={"traceparent": given})
        await client.get("/v1/traced")
    assert seen == [[("traceparent", given.encode())] if is_taken else [], []]
    trace_ids = {line.get("trace_id") for line in found(lines, log="access")}
    assert trace_ids == ({PARENT[3:35], None} if is_taken else {None})


def test_a_record_has_one_trace() -> None:
    before = [("traceparent", b"of another"), ("ce_id", b"1")]
    assert with_trace(before, [("traceparent", b"mine")]) == [("ce_id", b"1"), ("traceparent", b"mine")]
