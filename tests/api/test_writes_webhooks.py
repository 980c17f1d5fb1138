"""Webhooks by the API: added, shown without their secret, told of what comes, sent again, removed."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import insert

from streams.store.database import open_engine, writing
from streams.store.kept_tables import webhook_delivery
from tests.api.serving import Api, problem

pytestmark = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
BODY = {"url": "https://192.0.2.7/meter", "events": ["notice", "notice", "bill"], "account_id": "A"}


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def test_a_webhook_is_added_and_its_secret_shown_once(operator: httpx.Client) -> None:
    made = operator.post("/v1/webhooks", json=BODY, headers=key("hook-1"))
    document, where = made.json(), made.headers["location"]
    assert (made.status_code, made.headers["cache-control"], document["secret"][:6]) == (201, "no-store", "whsec_")
    assert (document["events"], document["account_id"], document["waiting"]) == (["notice", "bill"], "A", 0)
    again = operator.post("/v1/webhooks", json=BODY, headers=key("hook-1"))
    assert (again.status_code, again.json()) == (201, {**document, "secret": None})
    other = operator.post("/v1/webhooks", json={**BODY, "events": ["bill"]}, headers=key("hook-1"))
    assert problem(other, 409)["code"] == "key_reused"
    for path in ("/v1/webhooks", where, "/v1/audit"):
        assert document["secret"] not in operator.get(path).raise_for_status().text
    listed = operator.get("/v1/webhooks").json()["items"]
    assert [each["webhook_id"] for each in listed].count(document["webhook_id"]) == 1
    assert operator.delete(where).status_code == 204
    assert problem(operator.delete(where), 404)["detail"] == problem(operator.get(where), 404)["detail"]
    actions = [row["action"] for row in operator.get("/v1/audit", params={"limit": 2}).json()["items"]]
    assert actions == ["remove_webhook", "add_webhook"]


def test_a_webhook_that_cannot_work_says_so(operator: httpx.Client) -> None:
    body = {"url": "https://127.0.0.1/hook"}
    made = operator.post("/v1/webhooks", json=body, headers=key("hook-2")).raise_for_status().json()
    assert made["warning"].startswith("nothing will be sent there: 127.0.0.1")
    assert made["events"] == ["bill", "notice", "service"]
    for wrong in ({"url": "ftp://x"}, {"url": "https://u:p@example.com"}, {"events": ["bill"]}, {**body, "events": []}):
        assert problem(operator.post("/v1/webhooks", json=wrong, headers=key("hook-3")), 422)["code"] == "bad_fields"


def test_dead_messages_are_listed_and_sent_again(api: Api, operator: httpx.Client) -> None:
    made = operator.post("/v1/webhooks", json=BODY, headers=key("hook-4")).json()
    where = f"/v1/webhooks/{made['webhook_id']}"
    give_up(api, made["webhook_id"], 3)
    first = operator.get(f"{where}/dead", params={"limit": 2}).json()
    assert [each["message_id"] for each in first["items"]] == ["msg_2", "msg_1"]
    rest = operator.get(f"{where}/dead", params={"limit": 2, "after": first["next"]}).json()
    assert ([each["message_id"] for each in rest["items"]], rest["next"]) == (["msg_0"], None)
    assert operator.post(f"{where}/retries", json={"messages": ["msg_1", "msg_none"]}).json() == {"retried": 1}
    assert (operator.get(where).json()["dead"], operator.get(where).json()["waiting"]) == (2, 1)
    assert [operator.post(f"{where}/retries").json()["retried"] for _ in range(2)] == [2, 0]


def give_up(api: Api, webhook_id: str, count: int) -> None:
    """Messages that nobody has taken."""
    rows = [
        {
            "endpoint_id": webhook_id, "event_id": f"msg_{number}", "event": "notice", "account_id": "A",
            "partition": 0, "position": number, "payload": "{}", "state": "dead", "attempts": 10,
            "created_at": datetime.now(UTC) + timedelta(seconds=number), "last_error": "the receiver answered 500",
        }
        for number in range(count)
    ]  # fmt: skip
    engine = open_engine(api.settings)
    with writing(engine) as connection:
        connection.execute(insert(webhook_delivery), rows)
    engine.dispose()
