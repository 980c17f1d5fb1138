"""Commands by HTTP: done once however often they are sent, refused with the meter's codes, and written down."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.http import commands
from streams.http.callers import Role
from tests.api.conftest import project
from tests.api.serving import Api, at, make_token, problem
from tests.integration.running import PATIENCE_S, Meter
from tests.store.following import RunningProjector
from tests.store.stage import ODD


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def entries(meter: Meter, command_id: str) -> list[dict[str, Any]]:
    return [row for row in meter.rows("billing.ledger") if row["reference"] == command_id]


@pytest.fixture
def mine(api: Api) -> str:
    """A beginning for ids of this test alone."""
    return f"{api.settings.http_port}-{id(api)}"


@pytest.fixture
def customer(api: Api) -> Iterator[httpx.Client]:
    """A client of account B."""
    token = api.tokens.get("B") or api.tokens.setdefault("B", make_token(api.settings, Role.ACCOUNT, "B"))
    with api.client(token) as client:
        yield client


def test_a_top_up_sent_twice_is_done_once(operator: httpx.Client, meter: Meter, mine: str) -> None:
    payment = f"payment-{mine}"
    answers = [operator.post(at(ODD, "/top-ups"), json={"amount": "0.50"}, headers=key(payment)) for _ in range(2)]
    assert [answer.json()["outcome"] for answer in answers] == ["done", "done"]
    assert len(entries(meter, payment)) == 1


def test_a_top_up_sent_by_many_at_once_is_done_once(api: Api, meter: Meter, mine: str) -> None:
    payment, outcomes = f"crowd-{mine}", []

    def pay() -> None:
        with api.client(api.tokens["operator"]) as client:
            outcomes.append(
                client.post(at("A", "/top-ups"), json={"amount": "0.01"}, headers=key(payment)).json()["outcome"]
            )

    threads = [threading.Thread(target=pay) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["done"] * 8
    assert len(entries(meter, payment)) == 1


def test_a_key_is_of_one_command_alone(operator: httpx.Client, meter: Meter, mine: str) -> None:
    payment = key(f"once-{mine}")
    operator.post(at("A", "/top-ups"), json={"amount": "0.01"}, headers=payment).raise_for_status()
    for path, body in ((at("A", "/top-ups"), {"amount": "0.02"}), (at("B", "/top-ups"), {"amount": "0.01"})):
        assert problem(operator.post(path, json=body, headers=payment), 409)["code"] == "key_reused"
    assert len(entries(meter, f"once-{mine}")) == 1


@pytest.mark.parametrize(
    ("rest", "body", "status", "code"),
    [
        ("/top-ups", {"amount": "0"}, 422, "bad_amount"),
        ("/top-ups", {"amount": 5}, 422, "bad_amount"),
        ("/top-ups", {"amount": "1.234"}, 422, "bad_amount"),
        ("/top-ups", {"ammount": "1"}, 422, "bad_fields"),
        ("/adjustments", {"amount": "-100000", "reason": "no"}, 409, "over_balance"),
        ("/adjustments", {"amount": "1", "reason": ""}, 422, "bad_fields"),
        ("/refunds", {"ticket": "t", "bill_id": "none", "amount": "1"}, 409, "not_paid"),
        ("/charges", {"amount": "-1", "reason": "r"}, 422, "bad_amount"),
        ("/charges", {"amount": "1"}, 422, "bad_fields"),
        ("/reversals", {"top_up": "none"}, 409, "unknown_payment"),
        ("/credit-notes", {"bill_id": "none", "line": 1, "amount": "1", "reason": "r"}, 409, "unknown_bill"),
        ("/credit-notes", {"bill_id": "none", "line": "1", "amount": "1", "reason": "r"}, 422, "bad_fields"),
        ("/credit-notes", {"bill_id": "none", "line": 1.5, "amount": "1", "reason": "r"}, 422, "bad_fields"),
        ("/withdrawals", {"contract_id": "none"}, 409, "unknown_contract"),
        ("/contracts", {"effective_from": "2019-01-01"}, 409, "effective_in_past"),
        ("/contracts", {"effective_from": "2019-06-02", "mode": "monthly"}, 409, "mode_mid_month"),
        ("/contracts", {"effective_from": "2019-06-01", "prices": {"Mars": "1"}}, 422, "unknown_region"),
        ("/contracts", {"effective_from": "2019-06-01", "prices": {"*": "free"}}, 422, "bad_price"),
    ],
)
def test_what_the_meter_refuses_is_a_problem_with_its_code(
    operator: httpx.Client, mine: str, rest: str, body: dict[str, Any], status: int, code: str
) -> None:
    answer = operator.post(at("A", rest), json=body, headers=key(f"{mine}{rest}{body}"[:128]))
    assert problem(answer, status)["code"] == code


def test_what_is_wrong_by_itself_leaves_its_key_free(operator: httpx.Client, mine: str) -> None:
    prices = operator.get("/v1/prices").json()["books"][0]["prices"]
    book = {"version": f"free-{mine}", "effective_from": "2131-01-01", "prices": prices}
    term = {"effective_from": "2130-01-01", "prices": {"*": "0.30"}}
    for path, right, wrong in (
        (at("A", "/top-ups"), {"amount": "0.01"}, {"amount": "0"}),
        (at("A", "/contracts"), term, {"prices": {"*": "free"}}),
        ("/v1/prices", book, {"prices": prices | {"Mars": "1"}}),
        ("/v1/prices", book | {"version": f"free-2-{mine}"}, {"prices": {}}),
    ):
        spare = key(f"spare {mine} {wrong}"[:128])
        assert problem(operator.post(path, json=right | wrong, headers=spare), 422)["code"] != "key_reused"
        assert operator.post(path, json=right, headers=spare).raise_for_status().json()["outcome"] == "done"


@pytest.mark.parametrize(
    ("rest", "body", "other", "code"),
    [
        ("/adjustments", {"amount": "-100000", "reason": "r"}, {"amount": "0.01", "reason": "r"}, "over_balance"),
        ("/contracts", {"effective_from": "2019-01-01"}, {"effective_from": "2129-01-01"}, "effective_in_past"),
    ],
)
def test_what_the_meter_knows_against_it_uses_its_key_up(
    operator: httpx.Client, mine: str, rest: str, body: dict[str, str], other: dict[str, str], code: str
) -> None:
    used = key(f"used-{code}-{mine}")
    for _ in range(2):
        found = problem(operator.post(at("A", rest), json=body, headers=used), 409)
        assert (found["code"], found["command_id"]) == (code, used["Idempotency-Key"])
    assert problem(operator.post(at("A", rest), json=other, headers=used), 409)["code"] == "key_reused"
    shown = operator.get(f"/v1/commands/{used['Idempotency-Key']}").json()
    assert (shown["outcome"], shown["code"]) == ("refused", code)


def test_a_refused_command_is_refused_again(operator: httpx.Client, mine: str) -> None:
    for _ in range(2):
        answer = operator.post(at(f"nobody-{mine}", "/top-ups"), json={"amount": "1"}, headers=key(f"nobody-{mine}"))
        found = problem(answer, 404)
        assert (found["code"], found["command_id"]) == ("unknown_account", f"nobody-{mine}")


def test_an_account_is_opened_under_an_address_of_its_own(
    api: Api, operator: httpx.Client, meter: Meter, mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "SHOWN_WITHIN_S", PATIENCE_S)  # the projector only begins
    assert api.settings.database_url is not None
    projector = RunningProjector(meter, api.settings.database_url.get_secret_value(), tmp_path / "projector.log")
    try:
        open_and_look(operator, mine)
    finally:
        projector.kill()


def open_and_look(operator: httpx.Client, mine: str) -> None:
    for number, account_id in enumerate((f"{mine}/é '\"<script>", f"~{mine}")):
        answer = operator.post("/v1/accounts", json={"account_id": account_id}, headers=key(f"open-{number}-{mine}"))
        assert answer.status_code == 201
        assert operator.get(answer.headers["location"]).json()["account_id"] == account_id
        again = operator.post("/v1/accounts", json={"account_id": account_id}, headers=key(f"again-{number}-{mine}"))
        assert problem(again, 409)["code"] == "account_exists"


def test_an_account_that_the_read_model_does_not_have_yet_has_its_address(
    api: Api, operator: httpx.Client, meter: Meter, mine: str
) -> None:
    account_id = f"early-{mine}"
    answer = operator.post("/v1/accounts", json={"account_id": account_id}, headers=key(account_id))
    assert (answer.status_code, answer.headers["location"]) == (201, at(account_id))
    assert operator.get(at(account_id)).status_code == 404
    assert api.settings.database_url is not None
    project(meter, api.settings.database_url.get_secret_value())
    assert operator.get(at(account_id)).json()["account_id"] == account_id


def test_a_price_book_is_on_all_partitions(operator: httpx.Client, meter: Meter, mine: str) -> None:
    prices = operator.get("/v1/prices").json()["books"][0]["prices"]
    body = {"version": f"book-{mine}", "effective_from": "2031-01-01", "prices": prices}
    assert operator.post("/v1/prices", json=body, headers=key(f"book-{mine}")).json()["outcome"] == "done"
    rows = [row for row in meter.rows("meter.command-results") if row["command_id"] == f"book-{mine}"]
    assert sorted(row["partition"] for row in rows) == list(range(meter.partitions))
    late = operator.post("/v1/prices", json=body | {"version": f"late-{mine}"}, headers=key(f"late-{mine}"))
    assert late.json()["outcome"] == "done"
    twice = operator.post("/v1/prices", json=body, headers=key(f"twice-{mine}"))
    assert problem(twice, 409)["code"] == "version_exists"


def test_a_customer_sets_its_low_balance_with_keys_of_its_own(
    operator: httpx.Client, customer: httpx.Client, meter: Meter, mine: str
) -> None:
    done = customer.put(at("B", "/low-balance"), json={"threshold": "3.00"}, headers=key(f"both-{mine}"))
    assert done.json()["outcome"] == "done"
    assert meter.ask("account", "show", "B")["low_balance"] == "3.00"
    operator.post(at("B", "/top-ups"), json={"amount": "0.01"}, headers=key(f"both-{mine}")).raise_for_status()
    assert len(entries(meter, f"both-{mine}")) == 1
    shown = customer.get(f"/v1/commands/{done.json()['command_id']}").raise_for_status()
    assert shown.json()["outcome"] == "done"
    assert problem(customer.get("/v1/commands/payment-1"), 404)["code"] == "not_found"


def test_a_command_without_a_key_or_with_a_wrong_one_is_refused(operator: httpx.Client) -> None:
    for headers in ({}, key(""), key("x" * 129)):
        found = problem(operator.post(at("A", "/top-ups"), json={"amount": "1"}, headers=headers), 422)
        assert (found["code"], found["errors"][0]["field"]) == ("bad_key", "Idempotency-Key")


def test_a_command_that_is_not_answered_in_time_can_be_asked_about(
    api: Api, operator: httpx.Client, meter: Meter, mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(api.settings), "http_wait_s", 0.0, raising=False)
    object.__setattr__(api.settings, "http_wait_s", 0.0)
    try:
        sent = operator.post(at("A", "/top-ups"), json={"amount": "0.01"}, headers=key(f"slow-{mine}"))
    finally:
        object.__setattr__(api.settings, "http_wait_s", 10.0)
    assert (sent.status_code, sent.json()["outcome"]) == (202, "sent")
    assert operator.get(sent.headers["location"]).json()["outcome"] == "sent"
    again = operator.post(at("A", "/top-ups"), json={"amount": "0.01"}, headers=key(f"slow-{mine}"))
    assert (again.status_code, again.json()["outcome"]) == (200, "done")
    assert operator.get(sent.headers["location"]).json()["outcome"] == "done"
    assert len(entries(meter, f"slow-{mine}")) == 1


def test_the_audit_trail_says_who_gave_which_command_and_what_came_of_it(
    operator: httpx.Client, customer: httpx.Client, api: Api, mine: str
) -> None:
    operator.post(at("A", "/top-ups"), json={"amount": "0.07"}, headers=key(f"audit-{mine}")).raise_for_status()
    operator.post(at("gone", "/top-ups"), json={"amount": "0.07"}, headers=key(f"audit-2-{mine}"))
    customer.put(at("B", "/low-balance"), json={"threshold": None}, headers=key("off")).raise_for_status()
    rows = operator.get("/v1/audit", params={"limit": 3}).json()["items"]
    assert [(row["action"], row["account_id"], row["outcome"], row["code"], row["role"]) for row in rows] == [
        ("low_balance", "B", "done", None, "account"),
        ("top_up", "gone", "refused", "unknown_account", "operator"),
        ("top_up", "A", "done", None, "operator"),
    ]
    assert rows[2]["token_id"] == api.tokens["operator"].split("_")[1]
    assert rows[2]["detail"]["command"]["amount"] == "0.07"
    assert api.tokens["operator"] not in str(rows)


def test_a_reject_is_redriven_once_it_is_corrected(operator: httpx.Client, meter: Meter) -> None:
    rejects = {
        row["code"]: row for row in operator.get("/v1/rejects").json()["items"] if row["account_id"] in (ODD, "A")
    }
    lost = rejects["unknown_region"]
    path = f"/v1/rejects/{lost['position']}/redrive"
    assert "unknown_region" in problem(operator.post(path), 409)["detail"]
    sent = operator.post(path, json={"set": {"region": "Tokyo", "kinds": ["face"]}})
    assert (sent.status_code, sent.json()["job_id"]) == (202, lost["job_id"])
    meter.wait_folded()
    assert [row["region"] for row in meter.rows("usage.priced") if row["job_id"] == lost["job_id"]] == ["ap-tokyo"]
    final = problem(operator.post(f"/v1/rejects/{rejects['conflict']['position']}/redrive"), 409)
    assert (final["code"], "adjustment" in final["detail"]) == ("not_redriven", True)
    assert operator.get("/v1/audit", params={"limit": 1}).json()["items"][0]["action"] == "redrive"


def test_a_bill_is_verified_from_the_log(operator: httpx.Client) -> None:
    bill = operator.get("/v1/bills").json()["items"][0]["bill_id"]
    found = operator.post(f"/v1/bills/{bill}/verify").raise_for_status().json()
    assert (found["proved"], found["differences"], found["unprovable"]) == (True, [], None)
    assert re.fullmatch(r"[0-9T:-]{19}\.[0-9]{3}\+08:00", found["checked_at"])
    assert problem(operator.post("/v1/bills/none/verify"), 404)["code"] == "not_found"


def test_what_cannot_be_edited_is_put_right(operator: httpx.Client, meter: Meter, mine: str) -> None:
    account = f"corrected-{mine}"

    def give(path: str, name: str, **body: Any) -> None:
        answer = operator.post(at(account, path), json=body, headers=key(f"{name}-{mine}"))
        assert answer.raise_for_status().json()["outcome"] == "done"

    operator.post("/v1/accounts", json={"account_id": account}, headers=key(f"o-{mine}")).raise_for_status()
    give("/top-ups", "bounced", amount="10.00")
    give("/charges", "charge", amount="4.00", reason="under-billed")
    give("/reversals", "reverse", top_up=f"bounced-{mine}")
    (charge, bounced) = [row for row in meter.rows("billing.notes") if row["account_id"] == account]
    assert (charge["kind"], charge["amount"], bounced["reference"]) == ("charge", "4.00", f"bounced-{mine}")
    give("/credit-notes", "credit", bill_id=charge["note_id"], line=1, amount="1.50", reason="too much")
    give("/contracts", "typo", effective_from="2127-01-01")
    give("/withdrawals", "withdraw", contract_id=f"typo-{mine}")
    shown = meter.ask("account", "show", account)
    assert (shown["balance"], shown["owed"], shown["contracts_to_come"]) == ("7.50", "2.50", [])
    assert [bill["payable"] for bill in shown["open_bills"]] == ["10.00"]


def test_a_price_book_is_withdrawn_on_all_partitions(operator: httpx.Client, meter: Meter, mine: str) -> None:
    prices = operator.get("/v1/prices").json()["books"][0]["prices"]
    body = {"version": f"typo-{mine}", "effective_from": "2127-01-01", "prices": prices}
    operator.post("/v1/prices", json=body, headers=key(f"typo-book-{mine}")).raise_for_status()
    for number, outcome in enumerate(("done", "unknown_version")):
        answer = operator.post(
            "/v1/prices/withdrawals", json={"version": f"typo-{mine}"}, headers=key(f"withdraw-{number}-{mine}")
        ).json()
        assert outcome in (answer.get("outcome"), answer.get("code"))
    rows = [row for row in meter.rows("meter.command-results") if row["command_id"] == f"withdraw-0-{mine}"]
    assert [row["status"] for row in rows] == ["done"] * meter.partitions
    assert f"typo-{mine}" not in [book["version"] for book in meter.ask("prices", "show")["books"]]
