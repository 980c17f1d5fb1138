"""A client that is generated from the API's description works: every module, and calls to a real server."""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from meter.models import CLOUD_EVENT_TYPE
from meter.regions import ZONES
from tests.api.serving import Api
from tests.integration.running import Meter, job
from tests.store.stage import CONTRACTED

pytestmark = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)

ROOT = Path(__file__).parents[2]
NAME = "generated_client"


@pytest.fixture(scope="module")
def generated(api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The package that openapi-python-client makes of what the server says; it has nothing to complain of."""
    folder = tmp_path_factory.mktemp("generated")
    with api.client() as client:
        (folder / "openapi.json").write_text(client.get("/openapi.json").text)
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "generated" / "generate.py", folder / "openapi.json", folder / NAME],
        env=os.environ | {"PYTHONPATH": str(Path(sys.prefix) / "generator")},
        check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sys.path.insert(0, str(folder))
    yield importlib.import_module(NAME)
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def client(generated: ModuleType, api: Api) -> Iterator[Any]:
    """As an operator; an answer that the description does not have is an error."""
    token = api.tokens["operator"]
    with generated.AuthenticatedClient(api.url, token, raise_on_unexpected_status=True, timeout=60) as client:
        yield client


def called(name: str, client: Any, *arguments: Any, **named: Any) -> Any:
    """The answer of an operation, read."""
    return importlib.import_module(f"{NAME}.api.{name}").sync(*arguments, client=client, **named)


def model(name: str) -> Any:
    return getattr(importlib.import_module(f"{NAME}.models"), name)


@pytest.mark.filterwarnings("error")
def test_every_module_can_be_imported(generated: ModuleType) -> None:
    names = [found.name for found in pkgutil.walk_packages(generated.__path__, f"{NAME}.")]
    assert f"{NAME}.api.ingest.submit_jobs" in names
    for name in names:
        importlib.import_module(name)


def test_completions_go_in_in_every_form(client: Any, meter: Meter) -> None:
    jobs = [job(account_id="generated", completed_at="2019-01-03T20:00:00+08:00") for _ in range(6)]
    completions = [model("Completion").from_dict(each) for each in jobs]
    events = [
        model("CompletionEvent").from_dict(
            {"specversion": "1.0", "type": CLOUD_EVENT_TYPE, "id": "1", "source": "/s", "data": each}
        )
        for each in jobs
    ]
    bodies = [completions[0], completions[1:3], events[3], events[4:]]
    taken = [called("ingest.submit_jobs", client, body=body).accepted for body in bodies]
    assert taken == [1, 2, 1, 2]
    meter.wait_folded()
    priced = {row["job_id"] for row in meter.rows("usage.priced") if row["account_id"] == "generated"}
    assert {each["job_id"] for each in jobs} <= priced


def test_what_is_wrong_is_a_problem_with_its_code(client: Any) -> None:
    late = model("Completion").from_dict(job(completed_at="2020-01-03T20:00:00+08:00", duration_s="0"))
    problem = called("ingest.submit_jobs", client, body=[late, late])
    assert (problem.status, problem.code) == (422, "completions_refused")
    assert [(error.index, error.code) for error in problem.errors] == [(0, "bad_duration"), (1, "bad_duration")]
    assert called("accounts.get_account", client, "nobody/at all").status == 404


def test_reads_and_commands_are_called_and_answered(client: Any, meter: Meter) -> None:
    accounts = called("accounts.list_accounts", client)
    assert CONTRACTED in [each.account_id for each in accounts.items]
    assert called("accounts.get_account", client, CONTRACTED).account_id == CONTRACTED
    assert called("accounts.list_jobs", client, "A").items
    bill = called("bills.list_bills", client).items[0]
    assert called("bills.get_bill", client, bill.bill_id).bill.total == bill.total
    assert called("figures.get_status", client).kafka == "up"
    key = f"generated-{id(client)}"
    top_up = model("TopUpBody")(amount="1.00")
    answers = [called("commands.top_up", client, "A", body=top_up, idempotency_key=key) for _ in range(2)]
    assert [answer.outcome for answer in answers] == ["done", "done"]
    book = json.dumps({"version": key, "effective_from": "2099-01-01", "prices": dict.fromkeys(ZONES, "9")})
    body = model("PriceBookBody").from_dict(json.loads(book))
    assert called("commands.publish_price_book", client, body=body, idempotency_key=key + "b").outcome == "done"
    withdrawn = model("BookWithdrawalBody").from_dict({"version": key})
    assert called("commands.withdraw_price_book", client, body=withdrawn, idempotency_key=key + "c").outcome == "done"
