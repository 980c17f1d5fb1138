"""What /openapi.json says is what the API does: schemathesis asks every route what it can think of.

Its wildest commands move a simulated clock by centuries: the meter is of these tests alone.
"""

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from streams.http import commands
from tests.api.conftest import served, staged
from tests.api.serving import Api
from tests.api.test_access import MATRIX
from tests.store.postgres import Postgres

EXAMPLES = 7
#: Whatever is asked of these is a right question.
TAKES_ANYTHING = {("get", "/v1/accounts/{account_id}/service"), ("get", "/v1/status")}


@pytest.fixture(scope="module")
def asked(kafka: str, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API that is asked."""
    with staged(kafka, tmp_path_factory.mktemp("asked")) as meter, served(meter, postgres.new_database()) as api:
        yield api


@pytest.fixture(scope="module")
def described(asked: Api) -> Any:
    """The API as its description has it. A right question may name what is no longer so: 412."""
    right = ["2xx", "3xx", "401", "403", "404", "409", "412", "429", "5xx"]
    refused = ["400", "401", "403", "404", "405", "409", "412", "413", "414", "415", "422", "429", "431", "5xx"]
    checks = {
        "positive_data_acceptance": {"expected-statuses": right},
        "negative_data_rejection": {"expected-statuses": refused},
    }
    config = schemathesis.Config.from_dict({"checks": checks})
    return schemathesis.openapi.from_url(f"{asked.url}/openapi.json", config=config)


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize(("method", "path"), MATRIX)
def test_a_route_answers_as_described(
    asked: Api,
    described: Any,
    method: str,
    path: str,
    mode: schemathesis.GenerationMode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "SHOWN_WITHIN_S", 0.0)  # no projector runs here
    headers = {"Authorization": f"Bearer {asked.tokens['operator']}"}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(headers=headers)

    with suppress(Unsatisfiable) if (method, path) in TAKES_ANYTHING else nullcontext():
        ask()


def test_the_description_is_openapi_3_1_and_names_what_can_go_wrong(described: Any) -> None:
    document = described.raw_schema
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert {"4XX", "5XX"} <= set(operation["responses"]), path
            assert operation["description"], path
