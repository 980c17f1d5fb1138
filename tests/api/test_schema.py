"""What /openapi.json says is what the API does: schemathesis asks every route what it can think of."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings

from tests.api.serving import Api

pytestmark = pytest.mark.parametrize("api", ["sqlite"], indirect=True)
EXAMPLES = 12


@pytest.fixture
def described(api: Api) -> Any:
    return schemathesis.openapi.from_url(f"{api.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_every_route_answers_as_described(case: Any, api: Api) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {api.tokens['operator']}"})


def test_the_description_is_openapi_3_1_and_has_examples(api: Api) -> None:
    with api.client() as client:
        document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert {"4XX", "5XX"} <= set(operation["responses"]), path
            assert operation["description"], path
