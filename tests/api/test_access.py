"""Who may do what: each route and each role, tokens that end, and what happens without any."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.http import access
from streams.http.callers import Role
from streams.http.tokens import revoke_token
from streams.store.database import open_engine, writing
from tests.api.serving import JSON, Api, at, make_token, problem, settings_of
from tests.integration.running import COMPLETED, Meter, job, until
from tests.store.postgres import Postgres

pytestmark = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)

OPERATOR, CUSTOMER, STOPPED, STRANGER, PRODUCER = "operator", "customer", "stopped", "stranger", "producer"
#: Of a route: who may use it. `customer` is the account of the path, `stopped` too, `stranger` another account.
EVERYBODY = {OPERATOR, CUSTOMER, STOPPED, STRANGER, PRODUCER}
ALWAYS, RUNNING = {OPERATOR, CUSTOMER, STOPPED}, {OPERATOR, CUSTOMER}
MATRIX: dict[tuple[str, str], set[str]] = {
    ("post", "/v1/jobs"): {OPERATOR, PRODUCER},
    ("get", "/v1/accounts"): {OPERATOR},
    ("post", "/v1/accounts"): {OPERATOR},
    ("get", "/v1/accounts/{account_id}"): ALWAYS,
    ("get", "/v1/accounts/{account_id}/service"): ALWAYS | {PRODUCER},
    ("get", "/v1/accounts/{account_id}/usage"): RUNNING,
    ("get", "/v1/accounts/{account_id}/jobs"): RUNNING,
    ("get", "/v1/accounts/{account_id}/bills"): ALWAYS,
    ("get", "/v1/accounts/{account_id}/ledger"): RUNNING,
    ("get", "/v1/accounts/{account_id}/notes"): ALWAYS,
    ("get", "/v1/accounts/{account_id}/notices"): RUNNING,
    ("post", "/v1/accounts/{account_id}/top-ups"): {OPERATOR},
    ("post", "/v1/accounts/{account_id}/refunds"): {OPERATOR},
    ("post", "/v1/accounts/{account_id}/adjustments"): {OPERATOR},
    ("post", "/v1/accounts/{account_id}/contracts"): {OPERATOR},
    ("post", "/v1/accounts/{account_id}/charges"): {OPERATOR},
    ("post", "/v1/accounts/{account_id}/credit-notes"): {OPERATOR},
    ("post", "/v1/accounts/{account_id}/reversals"): {OPERATOR},
    ("post", "/v1/accounts/{account_id}/withdrawals"): {OPERATOR},
    ("put", "/v1/accounts/{account_id}/low-balance"): RUNNING,
    ("get", "/v1/accounts/{account_id}/contracts"): ALWAYS,
    ("get", "/v1/accounts/{account_id}/low-balance"): RUNNING,
    ("get", "/v1/bills"): {OPERATOR},
    ("get", "/v1/bills/{bill_id}"): ALWAYS,
    ("get", "/v1/bills/{bill_id}/published"): ALWAYS,
    ("post", "/v1/bills/{bill_id}/verify"): {OPERATOR},
    ("get", "/v1/rejects"): {OPERATOR},
    ("get", "/v1/rejects/{position}"): {OPERATOR},
    ("post", "/v1/rejects/{position}/redrive"): {OPERATOR},
    ("get", "/v1/totals"): {OPERATOR},
    ("get", "/v1/totals/{day}/accounts"): {OPERATOR},
    ("get", "/v1/prices"): {OPERATOR, CUSTOMER, STOPPED, STRANGER},
    ("post", "/v1/prices"): {OPERATOR},
    ("post", "/v1/prices/withdrawals"): {OPERATOR},
    ("get", "/v1/status"): {OPERATOR},
    ("get", "/v1/commands/{command_id}"): {OPERATOR, STRANGER},  # it is the stranger's own
    ("get", "/v1/audit"): {OPERATOR},
    ("get", "/v1/tokens"): {OPERATOR},
    ("post", "/v1/tokens"): {OPERATOR},
    ("get", "/v1/tokens/{token_id}"): {OPERATOR},
    ("delete", "/v1/tokens/{token_id}"): {OPERATOR},
    ("get", "/v1/webhooks"): {OPERATOR},
    ("post", "/v1/webhooks"): {OPERATOR},
    ("get", "/v1/webhooks/{webhook_id}"): {OPERATOR},
    ("delete", "/v1/webhooks/{webhook_id}"): {OPERATOR},
    ("get", "/v1/webhooks/{webhook_id}/dead"): {OPERATOR},
    ("post", "/v1/webhooks/{webhook_id}/retries"): {OPERATOR},
}
#: A body that each route takes for the right kind of thing, and that changes nothing.
BODIES: dict[str, Any] = {
    "/v1/jobs": [],
    "/v1/accounts": {"account_id": "A"},
    "/v1/prices": {"version": "x", "effective_from": "2019-01-01", "prices": {}},
    "top-ups": {"amount": "0"},
    "refunds": {"ticket": "t", "bill_id": "b", "amount": "0"},
    "adjustments": {"amount": "0", "reason": "r"},
    "contracts": {"effective_from": "2019-01-01"},
    "low-balance": {"threshold": "-1"},
    "charges": {"amount": "0", "reason": "r"},
    "credit-notes": {"bill_id": "b", "line": 0, "amount": "0", "reason": "r"},
    "reversals": {"top_up": ""},
    "withdrawals": {},
    "/v1/tokens": {"role": "king"},
    "/v1/webhooks": {"url": "ftp://x"},
    "retries": {"messages": []},
}
REFUSED = ("forbidden", "not_found", "unknown_account", "account_stopped")
#: Things of paths of which there is none.
NOT_THERE = ("position", "command_id", "token_id", "webhook_id")
ACCOUNT, IN_ARREARS = "B", "empty-handed"


def test_the_matrix_has_every_route(api: Api, operator: httpx.Client) -> None:
    paths = operator.get("/openapi.json").json()["paths"]
    assert {(method, path) for path, methods in paths.items() for method in methods} == set(MATRIX)


@pytest.mark.parametrize("who", [*sorted(EVERYBODY), "nobody", "wrong"])
@pytest.mark.parametrize(("method", "path"), MATRIX)
def test_a_route_serves_its_roles_and_no_other(
    api: Api, method: str, path: str, who: str, bill_of: dict[str, str]
) -> None:
    account_id = IN_ARREARS if who == STOPPED else ACCOUNT
    names = {"account_id": account_id, "bill_id": bill_of[account_id], "position": "0:0", "day": "2019-01-01"}
    url = path.format(command_id="payment-1", token_id="none", webhook_id="none", **names)
    body = BODIES.get(path, BODIES.get(path.rpartition("/")[2])) if method != "get" else None
    with api.client(token_of(api, who)) as client:
        answer = client.request(method, url, json=body, headers={"Idempotency-Key": f"matrix {method} {path}"[:128]})
    if who in MATRIX[method, path]:
        assert answer.status_code not in (401, 403), answer.text
        assert answer.status_code != 404 or any(f"{{{name}}}" in path for name in NOT_THERE), answer.text
    elif who in ("nobody", "wrong"):
        assert problem(answer, 401)["code"] == "not_signed_in"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    else:
        assert problem(answer, answer.status_code)["code"] in REFUSED, answer.text
        assert answer.status_code in (403, 404)


@pytest.fixture(scope="module")
def bill_of(api: Api) -> dict[str, str]:
    """A bill of each account."""
    with api.client(api.tokens["operator"]) as operator:
        return {name: operator.get(at(name, "/bills")).json()["items"][0]["bill_id"] for name in (ACCOUNT, IN_ARREARS)}


def token_of(api: Api, who: str) -> str | None:
    """A token of somebody, made once for each server."""
    whose = {CUSTOMER: ACCOUNT, STOPPED: IN_ARREARS, STRANGER: "A"}.get(who)
    if who in ("nobody", "wrong"):
        return None if who == "nobody" else api.tokens["operator"][:-1] + "~"
    if who not in api.tokens:
        role = Role.ACCOUNT if whose is not None else Role(who)
        api.tokens[who] = make_token(api.settings, role, whose)
    return api.tokens[who]


def test_another_account_looks_like_none(api: Api, operator: httpx.Client, bill_of: dict[str, str]) -> None:
    with api.client(token_of(api, STRANGER)) as stranger:
        there, gone = stranger.get(at("B")), stranger.get(at("gone"))
        assert (there.status_code, there.json()["detail"]) == (404, gone.json()["detail"].replace("gone", "B"))
        assert (
            stranger.get(f"/v1/bills/{bill_of['B']}").status_code == stranger.get("/v1/bills/gone").status_code == 404
        )


def test_a_stopped_account_is_told_so(api: Api) -> None:
    with api.client(token_of(api, STOPPED)) as client:
        assert problem(client.get(at(IN_ARREARS, "/usage")), 403)["code"] == "account_stopped"
        assert client.get(at(IN_ARREARS)).json()["owed"] != "0.00"


def test_a_token_that_is_revoked_or_has_expired_counts_no_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "FRESH_S", 0.2)
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    ending, revoked = (make_token(api.settings, Role.OPERATOR, expires_at=at) for at in (soon, None))
    for token in (ending, revoked):
        with api.client(token) as client:
            assert client.get("/v1/status").status_code == 200
    engine = open_engine(api.settings)
    with writing(engine) as connection:
        revoke_token(connection, revoked.split("_")[1])
    engine.dispose()
    for token in (ending, revoked):
        with api.client(token) as client:
            until(lambda: client.get("/v1/status").status_code == 401, "the token to end", 5)


@pytest.fixture
def lonely(meter: Meter, tmp_path: Path, api: Api) -> Iterator[Api]:
    """An API whose store has no tokens, and that serves five requests a second."""
    with Api(settings_of(meter, f"sqlite:///{tmp_path}/store.sqlite", http_requests_per_s=5)) as lonely:
        yield lonely


def test_without_tokens_this_machine_alone_may_do_everything(lonely: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "FRESH_S", 0.0)
    with lonely.client() as client:
        assert client.get("/v1/status").status_code == 200
        for headers in ({"Host": "evil.example"}, {"X-Forwarded-For": "1.2.3.4"}, {"Forwarded": "for=1.2.3.4"}):
            assert problem(client.get("/v1/status", headers=headers), 403)["code"] == "forbidden"
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
            answer = client.post("/v1/jobs", json=job(), headers=headers)
            assert problem(answer, 403)["code"] == "forbidden"
        make_token(lonely.settings, Role.PRODUCER)
        assert problem(client.get("/v1/status"), 401)["code"] == "not_signed_in"


def too_soon(client: httpx.Client) -> httpx.Response | None:
    """The answer to one request more, where it is one too many."""
    answer = client.get("/v1/status")
    return answer if answer.status_code == 429 else None


def test_a_token_that_asks_too_often_is_told_when_to_come_again(lonely: Api) -> None:
    with lonely.client(make_token(lonely.settings, Role.OPERATOR)) as client:
        assert client.get("/v1/status").status_code == 200
        late = until(lambda: too_soon(client), "one request too many")
        assert late is not None
        assert (problem(late, 429)["code"], late.headers["retry-after"]) == ("too_many_requests", "1")
        until(lambda: client.get("/v1/status").status_code == 200, "the bucket to fill", 3)


def test_while_the_store_is_away_completions_still_come_in(
    meter: Meter, api: Api, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "FRESH_S", 0.0)
    with Postgres() as server:
        settings = settings_of(meter, server.new_database())
        token, unseen = (make_token(settings, Role.OPERATOR) for _ in range(2))
        with Api(settings) as lost, lost.client(token) as client:
            body = json.dumps(job(completed_at="2019-01-03T20:00:00+08:00", account_id="store-away"))
            assert client.post("/v1/jobs", content=body, headers=JSON).status_code == 202
            server.stop()
            assert client.post("/v1/jobs", content=body, headers=JSON).status_code == 202
            assert problem(client.get(at("A")), 503)["code"] == "store_unavailable"
            assert client.get("/v1/status").json()["store"] == "down"
            with lost.client(unseen) as other:
                assert problem(other.post("/v1/jobs", content=body, headers=JSON), 503)["code"] == "store_unavailable"
            server.start()
            assert client.get("/v1/status").json()["store"] == "up"
    with meter.log() as log:
        rows = [row for part in range(meter.partitions) for row in log.records(COMPLETED, part)]
    assert sum(1 for row in rows if row.key == b"store-away") == 2
