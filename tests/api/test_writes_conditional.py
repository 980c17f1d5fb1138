"""Changes that replace what their sender has seen, and nothing newer: If-Match on contracts and limits."""

import threading
from typing import Any

import httpx
import pytest

from streams.http import conditions
from tests.api.conftest import project
from tests.api.serving import Api, at, problem
from tests.integration.running import Meter

pytestmark = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
LIMIT, CONTRACTS = "/low-balance", "/contracts"


def headers(name: str, tag: str) -> dict[str, str]:
    return {"Idempotency-Key": name, "If-Match": tag}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No projector runs here: what is on its way does not come."""
    monkeypatch.setattr(conditions, "SHOWN_WITHIN_S", 0.2)


def shown(api: Api, meter: Meter) -> None:
    """All that was done is shown."""
    assert api.settings.database_url is not None
    project(meter, api.settings.database_url.get_secret_value())


def change(client: httpx.Client, rest: str, number: int, name: str, tag: str) -> httpx.Response:
    """A change of the limit, or a contract."""
    if rest == LIMIT:
        return client.put(at("A", rest), json={"threshold": f"{number}.00"}, headers=headers(name, tag))
    body = {"effective_from": f"{2140 + number}-01-01", "prices": {"*": "0.25"}}
    return client.post(at("A", rest), json=body, headers=headers(name, tag))


@pytest.mark.parametrize("rest", [LIMIT, CONTRACTS])
def test_a_change_replaces_what_was_seen_and_nothing_newer(
    api: Api, operator: httpx.Client, meter: Meter, rest: str
) -> None:
    shown(api, meter)
    tag = operator.get(at("A", rest)).headers["etag"]
    assert problem(change(operator, rest, 1, f"wrong {rest}", '"another"'), 412)["code"] == "changed"
    assert problem(change(operator, rest, 1, f"weak {rest}", f"W/{tag}"), 412)["code"] == "changed"
    first = change(operator, rest, 1, f"first {rest}", f'"x", {tag}')
    assert (first.status_code, first.json()["outcome"]) == (200, "done")
    again = change(operator, rest, 1, f"first {rest}", f'"x", {tag}')
    assert (again.status_code, again.json()) == (200, first.json())
    # The read model does not have it yet, and still says the same: nobody is told that nothing has changed.
    assert operator.get(at("A", rest)).headers["etag"] == tag
    early = change(operator, rest, 2, f"early {rest}", tag)
    assert (problem(early, 503)["code"], early.headers["retry-after"]) == ("store_unavailable", "1")
    shown(api, meter)
    late = change(operator, rest, 2, f"late {rest}", tag)
    now = operator.get(at("A", rest)).headers["etag"]
    assert (problem(late, 412)["code"], late.headers["etag"]) == ("changed", now)
    assert change(operator, rest, 2, f"late {rest}", now).json()["outcome"] == "done"  # a 412 left its key free
    assert change(operator, rest, 3, f"any {rest}", "*").status_code == 503
    shown(api, meter)
    assert change(operator, rest, 3, f"any {rest}", "*").json()["outcome"] == "done"


def test_of_two_changes_at_once_one_is_too_late(api: Api, operator: httpx.Client, meter: Meter) -> None:
    shown(api, meter)
    tag = operator.get(at("A", LIMIT)).headers["etag"]
    answers: list[Any] = []

    def set_limit(number: int) -> None:
        with api.client(api.tokens["operator"]) as client:
            answers.append(change(client, LIMIT, number, f"at once {number}", tag).status_code)

    threads = [threading.Thread(target=set_limit, args=(number,)) for number in range(11, 15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 503, 503, 503]


def test_what_is_shown_is_what_was_agreed(api: Api, operator: httpx.Client, meter: Meter) -> None:
    shown(api, meter)
    assert operator.get(at("A", LIMIT)).json()["threshold"] == meter.ask("account", "show", "A")["low_balance"]
    items = operator.get(at("A", CONTRACTS)).json()["items"]
    known = operator.get(at("A")).json()
    assert items[-len(known["contracts_to_come"]) :] == known["contracts_to_come"] != []
