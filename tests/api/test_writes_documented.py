"""The requests of docs/api.md, sent as they stand there."""

import json
import re
from pathlib import Path

import httpx
import pytest

from streams.http.documents import RedriveDocument
from streams.http.rejects import RedriveBody
from tests.api.serving import JSON, Api
from tests.api.test_access import MATRIX
from tests.docs.markdown import Exchange, exchanges, matches

pytestmark = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
EXCHANGES = exchanges((Path(__file__).parents[2] / "docs" / "api.md").read_text("utf-8"))
REDRIVE = "/v1/rejects/{position}/redrive"
#: What they name is another one on each meter.
OF_OTHER_IDS = {
    ("post", REDRIVE),
    ("delete", "/v1/tokens/{token_id}"),
    ("delete", "/v1/webhooks/{webhook_id}"),
    ("post", "/v1/webhooks/{webhook_id}/retries"),
}


def route_of(one: Exchange) -> tuple[str, str]:
    """The route of the API that a request is one of."""
    return next(
        (method, path)
        for method, path in MATRIX
        if method == one.method.lower() and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), one.path)
    )


def test_every_request_that_changes_something_has_an_example(api: Api) -> None:
    completions = ("post", "/v1/jobs")
    wanted = {route for route in MATRIX if route[0] != "get"} - {completions}
    assert {route_of(one) for one in EXCHANGES} == wanted


def test_the_examples_are_answered_as_they_say_one_after_the_other(operator: httpx.Client) -> None:
    for one in EXCHANGES:
        if route_of(one) not in OF_OTHER_IDS:
            answer = operator.request(one.method, one.path, content=one.body or None, headers=one.headers | JSON)
            assert answer.status_code == one.status, (one.path, answer.text)
            assert matches(one.answer, json.dumps(answer.json())), one.path


def test_the_example_of_a_redrive_is_of_its_models(api: Api) -> None:
    (one,) = [each for each in EXCHANGES if route_of(each)[1] == REDRIVE]
    assert RedriveBody.model_validate_json(one.body).set.model_dump(exclude_none=True)
    assert set(json.loads(one.answer)) == set(RedriveDocument.model_fields)
