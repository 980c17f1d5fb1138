"""Tokens by the API: shown once, of no more rights than their maker's, written down, and of no use once revoked."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from streams.http.callers import Role
from tests.api.serving import Api, make_token, problem
from tests.unit.test_manners import without_kafka


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """An API on a store that has an operator's token."""
    with without_kafka(tmp_path_factory.mktemp("tokens")) as api:
        api.tokens["operator"] = make_token(api.settings, Role.OPERATOR, label="first")
        yield api


@pytest.fixture
def operator(api: Api) -> Iterator[httpx.Client]:
    """A client of the first operator."""
    with api.client(api.tokens["operator"]) as client:
        yield client


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def test_a_token_is_made_shown_once_used_and_revoked(api: Api, operator: httpx.Client) -> None:
    body = {"role": "account", "account_id": "A", "label": "portal", "expires_at": "2127-01-01T00:00:00.000+08:00"}
    made = operator.post("/v1/tokens", json=body, headers=key("t1"))
    token = made.json()["token"]
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    assert made.json().items() >= {**body, "state": "active"}.items()
    again = operator.post("/v1/tokens", json=body, headers=key("t1"))
    assert (again.status_code, again.json()) == (201, {**made.json(), "token": None})
    other = operator.post("/v1/tokens", json={"role": "producer"}, headers=key("t1"))
    assert problem(other, 409)["code"] == "key_reused"
    where = made.headers["location"]
    assert operator.get(where).json() == {name: value for name, value in made.json().items() if name != "token"}
    for path in ("/v1/tokens", "/v1/audit", where, "/v1/commands/t1"):
        assert token.rpartition("_")[2] not in operator.get(path).raise_for_status().text
    with api.client(token) as customer:
        assert customer.get("/v1/accounts/A/service").status_code == 200
        assert [operator.delete(where).status_code for _ in range(2)] == [204, 204]
        assert problem(customer.get("/v1/accounts/A/service"), 401)["code"] == "not_signed_in"
    assert operator.get(where).json()["state"] == "revoked"


def test_the_audit_trail_says_who_made_and_revoked_which_token(operator: httpx.Client) -> None:
    made = operator.post("/v1/tokens", json={"role": "producer", "label": "eu"}, headers=key("t2")).json()
    for _ in range(2):
        operator.delete(f"/v1/tokens/{made['token_id']}").raise_for_status()
    revoked, created = operator.get("/v1/audit", params={"limit": 2}).json()["items"]
    assert (revoked["action"], created["action"], created["command_id"]) == ("revoke_token", "create_token", "t2")
    assert created["detail"]["made"] == revoked["detail"]["token"] == made["token_id"]
    assert created["detail"]["command"].items() >= {"role": "producer", "label": "eu"}.items()
    assert {row["token_id"] for row in (revoked, created)} == {operator.headers["authorization"].split("_")[1]}


@pytest.mark.parametrize(
    ("role", "expires_in", "wanted", "for_days", "status"),
    [
        (Role.PRODUCER, None, "producer", None, 403),
        (Role.ACCOUNT, None, "account", None, 403),
        (Role.OPERATOR, 1, "operator", None, 403),
        (Role.OPERATOR, 1, "operator", 2, 403),
        (Role.OPERATOR, 2, "operator", 1, 201),
        (Role.OPERATOR, 1, "producer", None, 201),
        (Role.OPERATOR, None, "operator", None, 201),
    ],
)
def test_no_token_makes_one_of_more_rights(
    api: Api, role: Role, expires_in: int | None, wanted: str, for_days: int | None, status: int
) -> None:
    def ends(days: int | None) -> datetime | None:
        return None if days is None else datetime.now(UTC) + timedelta(days=days)

    maker = make_token(api.settings, role, "A" if role is Role.ACCOUNT else None, expires_at=ends(expires_in))
    until = ends(for_days)
    whose = "A" if wanted == "account" else None
    body = {"role": wanted, "account_id": whose, "expires_at": until and until.isoformat()}
    with api.client(maker) as client:
        answer = client.post("/v1/tokens", json=body, headers=key(f"more {role} {expires_in} {wanted} {for_days}"))
        assert answer.status_code == status, answer.text
        if role is not Role.OPERATOR:
            for method, path in (("get", "/v1/tokens"), ("delete", "/v1/tokens/x"), ("get", "/v1/webhooks")):
                assert problem(client.request(method, path), 403)["code"] == "forbidden"


def test_the_first_token_is_an_operators_and_closes_the_door(tmp_path: Path) -> None:
    with without_kafka(tmp_path) as api, api.client() as here:
        first = here.post("/v1/tokens", json={"role": "producer"}, headers=key("p"))
        assert problem(first, 409)["code"] == "operator_first"
        assert here.get("/v1/tokens").json()["items"] == []
        made = here.post("/v1/tokens", json={"role": "operator"}, headers=key("o")).raise_for_status().json()
        assert problem(here.get("/v1/tokens"), 401)["code"] == "not_signed_in"
        with api.client(made["token"]) as operator:
            assert operator.get("/v1/tokens").json()["items"][0]["token_id"] == made["token_id"]


@pytest.mark.parametrize(
    "body",
    [
        {"role": "king"},
        {"role": "account"},
        {"role": "operator", "account_id": "A"},
        {"role": "producer", "expires_at": "2001-01-01T00:00:00Z"},
        {"role": "producer", "expires_at": "tomorrow"},
        {"role": "producer", "secret": "mine"},
    ],
)
def test_a_token_that_cannot_be_uses_no_key(operator: httpx.Client, body: dict[str, str]) -> None:
    mine = key(str(sorted(body.items())))
    assert problem(operator.post("/v1/tokens", json=body, headers=mine), 422)["code"] == "bad_fields"
    assert operator.post("/v1/tokens", json={"role": "producer"}, headers=mine).status_code == 201
    assert problem(operator.post("/v1/tokens", json={"role": "producer"}), 422)["code"] == "bad_key"


def test_tokens_come_in_pages_the_latest_first(operator: httpx.Client) -> None:
    for number in range(3):
        operator.post("/v1/tokens", json={"role": "producer"}, headers=key(f"n{number}")).raise_for_status()
    every = operator.get("/v1/tokens", params={"limit": 1000}).json()["items"]
    first = operator.get("/v1/tokens", params={"limit": 2}).json()
    rest = operator.get("/v1/tokens", params={"limit": 1000, "after": first["next"]}).json()
    assert (first["items"] + rest["items"], rest["next"], every[-1]["label"]) == (every, None, "first")
    assert [each["created_at"] for each in every] == sorted((each["created_at"] for each in every), reverse=True)
    assert problem(operator.get("/v1/tokens/none"), 404)["code"] == "not_found"
    assert problem(operator.delete("/v1/tokens/none"), 404)["code"] == "not_found"
