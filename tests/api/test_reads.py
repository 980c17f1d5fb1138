"""Figures over HTTP are those of the topics, on both stores, for ids of any characters."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from streams.http.callers import Role
from streams.http.paths import segment
from tests.api.conftest import project
from tests.api.serving import Api, at, make_token, problem
from tests.integration.running import Meter
from tests.store.stage import ODD


def whole(client: httpx.Client, path: str, limit: int) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    found: list[dict[str, object]] = []
    after: dict[str, str] = {}
    while True:
        page = client.get(path, params={"limit": limit, **after}).raise_for_status().json()
        found += page["items"]
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


def test_an_account_is_as_the_command_shows_it(api: Api, operator: httpx.Client, meter: Meter) -> None:
    assert api.settings.database_url is not None
    project(meter, api.settings.database_url.get_secret_value())  # tests before this one have given commands
    for name in ("A", "B", ODD, "empty-handed"):
        shown = meter.ask("account", "show", name)
        answered = operator.get(at(name)).raise_for_status().json()
        for field in ("account_id", "balance", "owed", "mode", "low_balance"):
            assert answered[field] == shown[field], (name, field)
        assert answered["state"] == shown["service"]["state"]
        assert [bill["bill_id"] for bill in answered["open_bills"]] == [bill["bill_id"] for bill in shown["open_bills"]]


def test_usage_is_that_of_the_daily_totals_and_sums_up(operator: httpx.Client, meter: Meter) -> None:
    rows = [row for row in meter.ask("totals", "--account", ODD)["totals"] if row["day"] == "2019-01-01"]
    answer = operator.get(at(ODD, "/usage"), params={"from": "2019-01-01", "to": "2019-01-01"}).json()
    assert [item["amount"] for item in answer["items"]] == [row["amount"] for row in rows]
    assert Decimal(answer["sum"]["amount"]) == sum(Decimal(row["amount"]) for row in rows)
    only = operator.get(at(ODD, "/usage"), params={"region": "东京"}).json()
    assert {item["region"] for item in only["items"]} == {"ap-tokyo"}


def test_a_published_bill_is_the_record_byte_for_byte(operator: httpx.Client, meter: Meter) -> None:
    with meter.log() as log:
        values = [record.value for part in range(meter.partitions) for record in log.records("billing.bills", part)]
    assert values
    for value in values:
        bill = json.loads(value or b"")
        path = f"/v1/bills/{bill['bill_id']}"
        assert operator.get(f"{path}/published").content == value
        shown = operator.get(path).json()
        assert (shown["published"], shown["bill"]["payable"]) == (bill, bill["payable"])


@pytest.mark.parametrize(
    "path",
    ["/v1/accounts", "/v1/bills", "/v1/rejects", "/v1/totals/2019-01-01/accounts", at("A", "/jobs")],
)
def test_pages_of_one_and_a_page_of_all_are_the_same_list(operator: httpx.Client, path: str) -> None:
    rows = whole(operator, path, 1000)
    assert len(rows) > 3
    assert whole(operator, path, len(rows) // 4) == rows


@pytest.mark.parametrize("path", [at("A", "/usage"), "/v1/totals"])
def test_each_page_of_usage_has_the_sum_of_all(operator: httpx.Client, path: str) -> None:
    rows = whole(operator, path, 1000)
    first = operator.get(path, params={"limit": 1, "to": "2019-01-03"}).json()
    after = operator.get(path, params={"limit": 1, "to": "2019-01-03", "after": first["next"]}).json()
    assert [first["items"], after["items"]] == [rows[:1], rows[1:2]]
    assert first["sum"] == after["sum"] != {name: rows[0][name] for name in first["sum"]}
    assert Decimal(first["sum"]["amount"]) == sum(Decimal(r["amount"]) for r in rows if r["day"] <= "2019-01-03")
    none = operator.get(path, params={"from": "2001-01-01", "to": "2001-01-01"}).json()
    assert (none["items"], none["next"], none["sum"]) == ([], None, {"jobs": 0, "minutes": 0, "amount": "0.00"})


def test_pages_of_an_accounts_ledger_and_notices_are_the_whole_list(operator: httpx.Client, meter: Meter) -> None:
    entries = [row for row in meter.rows("billing.ledger") if row["account_id"] == "B"]
    notices = [row for row in meter.rows("billing.notices") if row["account_id"] == "B"]
    assert [row["entry_id"] for row in whole(operator, at("B", "/ledger"), 2)] == [e["entry_id"] for e in entries[::-1]]
    assert {row["notice_id"] for row in whole(operator, at("B", "/notices"), 1)} == {n["notice_id"] for n in notices}
    assert len(whole(operator, at("B", "/bills"), 1)) == len(operator.get(at("B", "/bills")).json()["items"]) > 0


def test_a_service_says_who_may_start_jobs_and_an_unknown_account_may(operator: httpx.Client) -> None:
    stopped = operator.get(at("empty-handed", "/service"))
    assert (stopped.json()["state"], stopped.json()["may_start_jobs"]) == ("stopped", False)
    assert stopped.headers["cache-control"] == "private, max-age=2"
    new = operator.get(at("never/heard of", "/service"))
    assert (new.status_code, new.json()["may_start_jobs"]) == (200, True)


def test_what_has_not_changed_is_not_sent_again(operator: httpx.Client) -> None:
    first = operator.get(at("A"))
    tag = first.headers["etag"]
    again = operator.get(at("A"), headers={"If-None-Match": f'"x", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert operator.get(at("A"), headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize("account_id", [ODD, "harbour news/北京"])
def test_an_id_of_any_characters_is_one_segment(operator: httpx.Client, account_id: str) -> None:
    for path in (at(account_id), f"/v1/accounts/{segment(account_id)}", f"/v1/accounts/{segment('~' + account_id)}"):
        answer = operator.get(path)
        if "~" not in path[:14]:
            assert answer.json()["account_id"] == account_id
        else:
            problem(answer, 404)


@pytest.mark.parametrize("account_id", [".", "..", "~", "~x", "a/../b", "%2F", "a b", "é\0"])
def test_a_segment_is_read_as_the_id_that_it_was_made_of(operator: httpx.Client, account_id: str) -> None:
    found = operator.get(f"/v1/accounts/{segment(account_id)}/service").raise_for_status().json()
    assert found["account_id"] == account_id


@pytest.mark.parametrize(
    "path",
    [
        "/v1/accounts/%FF",
        "/v1/accounts/~%21%21",
        "/v1/bills/none",
        "/v1/rejects/9:9",
        "/v1/commands/none",
        "/v1/nothing",
        "/v1",
    ],
)
def test_what_is_not_there_is_a_problem(operator: httpx.Client, path: str) -> None:
    assert problem(operator.get(path), 404)["code"] == "not_found"


INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
#: As the topics have them: to the millisecond, in the billing time zone.
ONE_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+08:00")


def test_instants_have_one_form_everywhere(operator: httpx.Client) -> None:
    bill = operator.get(at("A", "/bills")).json()["items"][0]["bill_id"]
    reject = operator.get("/v1/rejects").json()["items"][0]["position"]
    paths = [at("A"), *(at("B", rest) for rest in ("", "/bills", "/ledger", "/notes", "/notices", "/service"))]
    paths += ["/v1/accounts", f"/v1/bills/{bill}", "/v1/prices", f"/v1/rejects/{reject}", "/v1/rejects", "/v1/status"]
    found = []
    for path in paths:
        answer = operator.get(path).raise_for_status()
        said = [text for name, text in instants(answer.json()) if name != "completed_at"]
        found += [*said, answer.headers.get("meter-as-of", said[-1])]
    assert len(found) > 50
    assert [text for text in found if not ONE_FORM.fullmatch(text)] == []


def instants(node: object, name: str = "") -> Iterator[tuple[str, str]]:
    """All instants of a document, each with the name of its field; a published record's among them."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from instants(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from instants(value, name)
    elif isinstance(node, str) and INSTANT.match(node):
        yield name, node


@pytest.mark.parametrize("rest", ["", "/usage", "/jobs", "/bills", "/ledger", "/notes", "/notices"])
def test_an_unknown_account_is_the_same_everywhere(api: Api, rest: str) -> None:
    tokens = api.tokens["operator"], *(make_token(api.settings, Role.ACCOUNT, whose) for whose in ("nobody", "A"))
    for token in tokens:
        with api.client(token) as client:
            unknown = problem(client.get(at("nobody", rest)), 404)
        assert (unknown["code"], unknown["detail"]) == ("unknown_account", "there is no account 'nobody'")


def test_another_method_is_a_problem(operator: httpx.Client) -> None:
    answer = operator.delete("/v1/prices")
    assert (problem(answer, 405)["code"], answer.headers["allow"]) == ("method_not_allowed", "GET, HEAD, POST")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/accounts?after=nonsense", 404, "bad_cursor"),
        ("/v1/accounts?limit=0", 422, "bad_fields"),
        ("/v1/totals?from=2019-02-30", 422, "bad_fields"),
        ("/v1/rejects?code=unheard_of", 422, "bad_fields"),
        ("/v1/rejects?to=0.5", 422, "bad_fields"),
        ("/v1/bills?period=2019-13", 422, "bad_fields"),
        ("/v1/bills?period=2019-02-30", 422, "bad_fields"),
        (at("A", "/jobs") + "?after=WyIyMDE5LTk5LTk5IiwxXQ", 404, "bad_cursor"),
    ],
)
def test_a_wrong_question_is_a_problem(operator: httpx.Client, path: str, status: int, code: str) -> None:
    assert problem(operator.get(path), status)["code"] == code


def test_prices_and_totals_are_those_of_the_commands(operator: httpx.Client, meter: Meter) -> None:
    prices = operator.get("/v1/prices", params={"day": "2019-03-01"}).json()
    assert prices["in_force"] == "2019-02"
    assert [book["version"] for book in prices["books"]][:2] == ["guide-2023-09-19", "2019-02"]
    day = {"from": "2019-01-01", "to": "2019-01-01"}
    assert (
        operator.get("/v1/totals", params=day).json()["sum"]["amount"]
        == meter.ask("totals", "--day", "2019-01-01")["sum"]["amount"]
    )


def test_a_reject_comes_with_its_original(operator: httpx.Client, meter: Meter) -> None:
    rows = meter.ask_lines("rejects", "list")
    assert {row["position"] for row in rows} == {row["position"] for row in whole(operator, "/v1/rejects", 2)}
    for row in rows:
        shown = operator.get(f"/v1/rejects/{row['position']}").json()
        assert (shown["code"], shown["published"].get("record")) == (row["code"], row.get("record"))
    smell = operator.get("/v1/rejects", params={"code": "unknown_kind", "state": "open"}).json()["items"]
    assert {item["code"] for item in smell} == {"unknown_kind"}


def test_the_status_says_how_old_the_figures_are(operator: httpx.Client, api: Api) -> None:
    status = operator.get("/v1/status").json()
    assert (status["kafka"], status["store"], status["kafka_problem"]) == ("up", "up", None)
    assert {topic["lag"] for topic in status["topics"]} == {0}


def test_every_answer_has_the_security_headers(operator: httpx.Client) -> None:
    for path in ("/v1/status", "/v1/nothing", "/openapi.json"):
        headers = operator.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "server" not in headers
