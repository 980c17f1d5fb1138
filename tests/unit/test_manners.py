"""Manners of the API that need no Kafka: what it is not asked for, HEAD, tags, limits, its description."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from streams.http.callers import Role
from streams.http.description import OPERATIONS, operations
from streams.http.problems import Problem
from streams.settings import Settings
from streams.store.database import open_engine
from streams.store.migrate import migrate
from tests.api.serving import Api, make_token, problem

#: Where nothing listens.
NO_KAFKA = "127.0.0.1:1"
#: What stands in a path.
FILLED = {"day": "2026-01-01", "position": "0:0"}


@contextmanager
def without_kafka(folder: Path) -> Iterator[Api]:
    """An API on an empty store, without a Kafka, that serves 400 requests of a token in two seconds."""
    settings = Settings(
        bootstrap_servers=NO_KAFKA,
        data_dir=folder,
        database_url=f"sqlite:///{folder}/store.sqlite",
        http_port=0,
        http_requests_per_s=200,
    )
    engine = open_engine(settings)
    migrate(engine)
    engine.dispose()
    with Api(settings, console=True) as api:
        yield api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One for all tests here, with a token of an operator."""
    with without_kafka(tmp_path_factory.mktemp("manners")) as api:
        api.tokens["operator"] = make_token(api.settings, Role.OPERATOR)
        yield api


@pytest.fixture
def operator(api: Api) -> Iterator[httpx.Client]:
    """A client of an operator."""
    with api.client(api.tokens["operator"]) as client:
        yield client


def routes(operator: httpx.Client) -> list[tuple[str, str, dict[str, Any]]]:
    """The API's operations: method, path with something in it, and what is said of it."""
    paths = operator.get("/openapi.json").json()["paths"]
    return [
        (method, re.sub(r"\{(\w+)\}", lambda found: FILLED.get(found[1], "x"), path), each)
        for path, methods in paths.items()
        for method, each in methods.items()
    ]


#: Some of the names that clients have been given.
STABLE = {
    "submit_jobs",
    "get_account",
    "list_usage",
    "top_up",
    "agree_contract",
    "get_bill",
    "verify_bill",
    "list_audit",
}
SYSTEM = ["/openapi.json", "/healthz", "/readyz"]


def test_what_no_route_knows_is_refused_and_the_nearest_is_named(operator: httpx.Client) -> None:
    for method, path, described in routes(operator):
        known = [each["name"] for each in described.get("parameters", []) if each["in"] == "query"]
        for name in known or ["anything"]:
            misspelt = name + "x"
            answer = operator.request(method, path, params={misspelt: "1"}, headers={"Idempotency-Key": "k"})
            found = problem(answer, 422)
            assert (found["code"], found["errors"][0]["field"]) == ("unknown_parameter", misspelt), path
            assert (repr(name) if known else "takes none") in found["detail"], path
    for path in SYSTEM:
        assert problem(operator.get(path, params={"pretty": "1"}), 422)["code"] == "unknown_parameter"


def test_what_is_given_twice_is_refused(operator: httpx.Client) -> None:
    for method, path, described in routes(operator):
        for each in described.get("parameters", []):
            if each["in"] == "query":
                answer = operator.request(method, path, params=[(each["name"], "1")] * 2)
                assert problem(answer, 422)["code"] == "repeated_parameter", path


def test_who_asks_is_found_out_before_what(api: Api) -> None:
    with api.client() as nobody:
        for method, path, _ in routes(nobody):
            assert problem(nobody.request(method, path, params={"x": "1"}), 401)["code"] == "not_signed_in", path


def test_a_long_question_has_a_short_answer(operator: httpx.Client) -> None:
    query = "&".join(f"x{number}{'y' * 20}" for number in range(150))
    answer = operator.get(f"/v1/accounts?{query}")
    assert len(problem(answer, 422)["errors"]) == 10
    assert len(answer.content) < 5_000


def test_head_is_get_without_its_body(operator: httpx.Client) -> None:
    gets = [path for method, path, _ in routes(operator) if method == "get"]
    for path in [*gets, *SYSTEM, "/console/sign-in", "/v1/nothing"]:
        whole, head = operator.get(path), operator.head(path)
        assert (head.status_code, head.content) == (whole.status_code, b""), path
        for name in ("content-type", "content-length", "etag"):
            assert head.headers.get(name) == whole.headers.get(name), (path, name)
    posts = operator.head("/v1/jobs")
    assert (posts.status_code, posts.headers["allow"]) == (405, "POST")
    assert operator.put("/v1/prices").headers["allow"] == "GET, HEAD, POST"
    assert operator.post("/console/static/nothing").headers["allow"] == "GET, HEAD"


def test_a_region_that_there_is_not_is_refused_and_the_nearest_is_named(operator: httpx.Client) -> None:
    asked = 0
    for method, path, described in routes(operator):
        if any(each["name"] == "region" for each in described.get("parameters", [])):
            assert described["responses"]["422"], path
            if "/x/" in path:
                continue  # nobody has opened this account
            found = problem(operator.request(method, path, params={"region": "guangzhou"}), 422)
            assert (found["code"], "did you mean 'ap-guangzhou'?" in found["detail"]) == ("unknown_region", True), path
            asked += 1
    assert asked == 2
    backwards = problem(operator.get("/v1/totals", params={"from": "2026-02-01", "to": "2026-01-31"}), 422)
    assert backwards["detail"] == "from: 2026-02-01 is after 2026-01-31"
    for known in ("广州", "ap-tokyo", "Mainland China"):
        assert operator.get("/v1/totals", params={"region": known}).status_code == 200


def test_the_api_is_ready_where_what_it_needs_is_there(operator: httpx.Client) -> None:
    answer = operator.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "away")
    (kafka,) = answer.json()["away"]
    assert "Kafka" in kafka


def test_the_metrics_are_of_requests_and_of_the_process(operator: httpx.Client) -> None:
    def counted(name: str, **labels: str) -> float:
        families = text_string_to_metric_families(operator.get("/metrics").text)
        samples = [each for family in families for each in family.samples if each.name == name]
        return sum(each.value for each in samples if labels.items() <= each.labels.items())

    route = {"method": "GET", "route": "/v1/accounts/{account_id}/usage", "status": "404"}
    before = counted("meter_http_requests_total", **route)
    for account in ("a", "b"):
        operator.get(f"/v1/accounts/{account}/usage")
    assert counted("meter_http_requests_total", **route) == before + 2
    operator.request("BREW", "/v1/nothing/at/all")
    assert counted("meter_http_requests_total", method="other", route="none") > 0
    operator.get("/v1/status", params={"a": "x" * 5_000})
    assert counted("meter_http_requests_total", route="none", status="414") > 0
    operator.head("/v1/status")
    assert counted("meter_http_requests_total", method="HEAD", route="/v1/status") > 0
    assert counted("meter_http_requests_open") == 1
    assert counted("process_open_fds") > 0
    assert (counted("python_info"), counted("meter_http_kafka_up")) == (1, 0)


def test_metrics_are_for_this_machine_and_for_operators(api: Api) -> None:
    with api.client() as here, api.client(make_token(api.settings, Role.PRODUCER)) as producer:
        assert here.get("/metrics").headers["content-type"].startswith("text/plain; version=")
        assert problem(here.get("/metrics", headers={"Host": "meter.example"}), 403)["code"] == "forbidden"
        assert problem(here.get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}), 403)["code"] == "forbidden"
        assert problem(producer.get("/metrics"), 403)["code"] == "forbidden"
    with api.client(api.tokens["operator"]) as operator:
        assert operator.get("/metrics", headers={"Host": "meter.example"}).status_code == 200


def test_the_description_has_a_tag(operator: httpx.Client) -> None:
    first = operator.get("/openapi.json")
    again = operator.get("/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert operator.get("/openapi.json", headers={"If-None-Match": '"another"'}).status_code == 200


def test_the_description_is_written_once(operator: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may ask for it, and it is large."""
    first = operator.get("/openapi.json")
    monkeypatch.setattr("streams.http.system.json.dumps", None)
    assert operator.get("/openapi.json").content == first.content


@pytest.mark.parametrize("period", ["0001-01-01", "0001-01", "9999-12-31", "9999-12"])
def test_a_period_at_an_end_of_the_calendar_is_one_without_bills(operator: httpx.Client, period: str) -> None:
    assert operator.get("/v1/bills", params={"period": period}).raise_for_status().json()["items"] == []


@pytest.mark.parametrize("period", ["2026-W01-1", "2026-W01", "2026-02-30", "20260101", "2026-1-1"])
def test_what_is_no_day_and_no_month_is_no_period(operator: httpx.Client, period: str) -> None:
    problem(operator.get("/v1/bills", params={"period": period}), 422)


def test_the_description_says_all_of_each_operation(operator: httpx.Client) -> None:
    document = operator.get("/openapi.json").json()
    ids, tags = [], {tag["name"] for tag in document["tags"] if tag["description"]}
    assert document["servers"][0]["url"]
    for method, path, each in operations(document):
        where, answers = (method, path), each["responses"]
        ids.append(each["operationId"])
        assert set(each["tags"]) <= tags, where
        assert all(each[said] for said in ("tags", "summary", "description")), where
        assert each["security"] == [{"token": []}], where
        assert set(answers) >= {"401", "403", "422", "429", "500", "503", "4XX", "5XX"}, where
        assert ("404" in answers) is ("{" in path), where
        assert ("409" in answers) is (method not in ("get", "delete")), where
        conditions = [each for each in each.get("parameters", ()) if each["name"] == "If-Match"]
        assert ("412" in answers) is bool(conditions), where
        assert ("413" in answers) is ("requestBody" in each), where
        assert all("Retry-After" in answers[late]["headers"] for late in ("429", "503")), where
        (right,) = [answer for status, answer in answers.items() if status in ("200", "201", "204")] or [answers["202"]]
        assert set(right["headers"]) >= {"RateLimit", "RateLimit-Policy"}, where
        assert ("ETag" in right["headers"]) is (method == "get"), where
    assert len(set(ids)) == len(ids) == len(OPERATIONS)


def test_all_examples_of_the_description_are_what_it_says(operator: httpx.Client) -> None:
    document = operator.get("/openapi.json").json()
    for method, path, each in operations(document):
        contents = [each.get("requestBody", {}), *each["responses"].values()]
        said = [content for one in contents for content in one.get("content", {}).values()]
        for content in [*said, *each.get("parameters", ())]:
            named = content.get("examples", {}).values()
            examples = [content["example"]] if "example" in content else [one["value"] for one in named]
            schema = Draft202012Validator({**content["schema"], "components": document["components"]})
            assert examples, (method, path)
            for example in examples:
                schema.validate(example)


def test_names_of_operations_are_no_functions(operator: httpx.Client) -> None:
    """Clients are generated from these names: one that changes breaks them."""
    known = {each["operationId"] for _, _, each in operations(operator.get("/openapi.json").json())}
    assert known >= STABLE


def sent(client: httpx.Client, path: str, accepted: str | None = "gzip", **headers: str) -> httpx.Response:
    """The answer as it was sent: its content is decoded by the client."""
    return client.get(path, headers={"Accept-Encoding": accepted or "", **headers})


def test_large_answers_are_compressed_for_whoever_takes_it(operator: httpx.Client) -> None:
    plain, small = sent(operator, "/openapi.json", "identity"), sent(operator, "/v1/nothing")
    packed = sent(operator, "/openapi.json")
    assert packed.headers["content-encoding"] == "gzip"
    assert (packed.content, "content-encoding" in plain.headers) == (plain.content, False)
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 5
    assert all("Accept-Encoding" in answer.headers["vary"] for answer in (plain, packed, small))
    assert "content-encoding" not in small.headers
    for accepted, encoding in (("br, gzip;q=0.5", "gzip"), ("*", "gzip"), ("gzip;q=0", None), ("br", None), ("", None)):
        assert sent(operator, "/openapi.json", accepted).headers.get("content-encoding") == encoding, accepted


def test_a_compressed_answer_has_a_tag_of_its_own(operator: httpx.Client) -> None:
    plain, packed = (sent(operator, "/openapi.json", accepted).headers["etag"] for accepted in ("identity", "gzip"))
    assert packed == f'{plain[:-1]}-gzip"'
    for tag in (plain, packed):
        again = sent(operator, "/openapi.json", **{"If-None-Match": tag})
        assert (again.status_code, again.headers["etag"], again.content) == (304, tag, b"")


def test_head_of_a_compressed_answer_is_that_of_get(operator: httpx.Client) -> None:
    whole = sent(operator, "/openapi.json")
    head = operator.head("/openapi.json", headers={"Accept-Encoding": "gzip"})
    for name in ("content-encoding", "content-length", "etag", "vary"):
        assert head.headers[name] == whole.headers[name]


def test_pages_with_secrets_and_parts_are_not_compressed(api: Api) -> None:
    with api.client() as here:
        page = sent(here, "/console/sign-in")
        assert (page.status_code, len(page.content) > 1024) == (200, True)
        assert "content-encoding" not in page.headers
        script = "/console/static/console.js"
        whole, part = sent(here, script), sent(here, script, Range="bytes=0-99")
        assert whole.headers["content-encoding"] == "gzip"
        assert (part.status_code, len(part.content), "content-encoding" in part.headers) == (206, 100, False)
        missing = sent(here, f"{script}/none", Accept="text/html")
        assert (missing.status_code, len(missing.content) > 1024) == (404, True)
        assert "content-encoding" not in missing.headers


def test_answers_say_how_much_may_still_be_asked(api: Api) -> None:
    with api.client(make_token(api.settings, Role.PRODUCER)) as client:
        answers = [client.get("/v1/accounts/A/service") for _ in range(3)]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=400;w=2'}
        left = [int(answer.headers["ratelimit"].split(";r=")[1].partition(";")[0]) for answer in answers]
        assert left[0] == 399
        assert 390 <= left[2] <= left[0]
        assert client.get("/v1/bills").headers["ratelimit-policy"]  # a 403
    with api.client() as nobody:
        assert "ratelimit" not in nobody.get("/healthz").headers


@pytest.mark.parametrize("status", [429, 503])
def test_whoever_is_to_come_later_is_told_when(status: int) -> None:
    assert int(Problem(status, "busy", "later").headers["Retry-After"]) > 0  # type: ignore[index]
