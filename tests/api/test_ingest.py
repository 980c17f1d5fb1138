"""Completions by HTTP: all of a request is in Kafka when it is accepted, or nothing is, and each fault is named."""

import gzip
import json
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from meter.models import CLOUD_EVENT_TYPE
from meter.routing import owner
from streams.http import kafka as http_kafka
from tests.api.serving import JSON, Api, problem
from tests.integration.running import COMPLETED, Meter, job, padded, until

#: What comes in does not depend on the store.
pytestmark = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)

AT = "2019-01-03T20:00:00+08:00"
EVENT = {"content-type": "application/cloudevents+json"}
EVENTS = {"content-type": "application/cloudevents-batch+json"}

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def completion(**changes: Any) -> dict[str, Any]:
    return job(**{"completed_at": AT} | changes)


def event(**changes: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "type": CLOUD_EVENT_TYPE, "id": "1", "source": "/s", "data": completion(**changes)}


def submitted(meter: Meter, job_ids: set[str]) -> dict[str, int]:
    """Those of these jobs that are in the log, committed: how often each, wherever it is."""
    found: dict[str, int] = {}
    with meter.log() as log:
        for partition in range(meter.partitions):
            for record in log.records(COMPLETED, partition):
                for job_id in job_ids:
                    if json.dumps(job_id).encode() in (record.value or b""):
                        found[job_id] = found.get(job_id, 0) + 1
    return found


def count(meter: Meter) -> int:
    """How many completions the log has."""
    with meter.log() as log:
        return sum(1 for partition in range(meter.partitions) for _ in log.records(COMPLETED, partition))


def test_what_is_accepted_is_in_kafka_on_its_accounts_partition(operator: httpx.Client, meter: Meter) -> None:
    jobs = [completion(account_id=f"ingest-{number}") for number in range(1000)]
    answer = operator.post("/v1/jobs", json=jobs, headers={"traceparent": TRACE})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1000})
    with meter.log() as log:
        found = {
            record.key: (partition, dict(record.headers))
            for partition in range(meter.partitions)
            for record in log.records(COMPLETED, partition)
        }
    for each in jobs:
        place = owner(each["account_id"], meter.partitions)
        assert found[each["account_id"].encode()] == (place, {"traceparent": TRACE.encode()})


def test_each_form_of_a_completion_is_metered(operator: httpx.Client, meter: Meter) -> None:
    jobs = [completion(account_id="forms", job_id=f"form-{number}-{id(operator)}") for number in range(9)]
    plain, structured, first, second, binary, untyped, named, packed, streamed = jobs
    attributes = {"ce-specversion": "1.0", "ce-type": CLOUD_EVENT_TYPE, "ce-id": "1", "ce-source": "/%E5%8C%97"}
    posts: list[tuple[Any, dict[str, str]]] = [
        (plain, JSON),
        (event(**structured), EVENT),
        ([event(**first), event(**second)], EVENTS),
        (binary, JSON | attributes),
        (untyped, attributes),
        (named, {"content-type": "Text/JSON ;charset=UTF-8"}),
    ]
    accepted = [operator.post("/v1/jobs", content=json.dumps(body), headers=headers).json() for body, headers in posts]
    coded = gzip.compress(json.dumps(packed).encode()), zlib.compress(json.dumps([event(**streamed)]).encode())
    accepted += [
        operator.post("/v1/jobs", content=coded[0], headers=JSON | {"content-encoding": "gzip"}).json(),
        operator.post("/v1/jobs", content=iter([coded[1]]), headers=EVENTS | {"content-encoding": "deflate"}).json(),
    ]
    assert [each["accepted"] for each in accepted] == [1, 1, 2, 1, 1, 1, 1, 1]
    meter.wait_folded()
    priced = {row["job_id"] for row in meter.rows("usage.priced") if row["account_id"] == "forms"}
    assert {each["job_id"] for each in jobs} <= priced


def test_numbers_reach_the_log_as_they_were_written(operator: httpx.Client, meter: Meter) -> None:
    body = json.dumps([completion(job_id=f"literal-{id(operator)}", account_id="literal")])
    body = body.replace("3600", "60.00000000000000000001")
    operator.post("/v1/jobs", content=body, headers=JSON).raise_for_status()
    meter.wait_folded()
    (priced,) = [row for row in meter.rows("usage.priced") if row["job_id"] == f"literal-{id(operator)}"]
    assert (priced["duration_s"], priced["minutes"]) == ("60", 1)


def test_of_a_batch_with_faults_nothing_is_taken_and_each_is_named(operator: httpx.Client, meter: Meter) -> None:
    before = count(meter)
    mars = completion(region="Mars")
    jobs = [
        completion(),
        mars,
        7,
        completion(kinds=[]),
        completion(completed_at="2019-01-01T12:00:00"),
    ]
    found = problem(operator.post("/v1/jobs", json=jobs), 422)
    assert found["code"] == "completions_refused"
    assert [(error["index"], error["code"]) for error in found["errors"]] == [
        (1, "unknown_region"), (2, "not_json"), (3, "bad_fields"), (4, "no_offset"),
    ]  # fmt: skip
    assert found["errors"][0]["job_id"] == mars["job_id"]
    assert count(meter) == before


GZIP = JSON | {"content-encoding": "gzip"}
DEEP = b"[" * 20_000
WRONG: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("nothing", b"", JSON, 400, "not_json"),
    ("no JSON", b"{", JSON, 400, "not_json"),
    ("no UTF-8", b'{"job_id": "\xff"}', JSON, 400, "not_json"),
    ("not a number of JSON", b'[{"duration_s": NaN}]', JSON, 400, "not_json"),
    ("a scalar", b"7", JSON, 400, "not_json"),
    ("an array that does not end", b"[{}, ", JSON, 400, "not_json"),
    ("nested too deep", DEEP, JSON, 400, "not_json"),
    ("an object nested too deep", b'{"a":' * 4_000, JSON, 400, "not_json"),
    ("an object of too many parts", b'{"a":' * 20_000, JSON, 413, "too_large"),
    ("an empty array", b"[]", JSON, 422, "bad_length"),
    ("too many", b"[" + b",".join([b"{}"] * 1001) + b"]", JSON, 422, "bad_length"),
    ("another type", b"{}", {"content-type": "text/plain"}, 415, "unsupported_media_type"),
    ("no type", b"{}", {}, 415, "unsupported_media_type"),
    ("no batch", b"{}", EVENTS, 400, "not_json"),
    ("another event", json.dumps({**event(), "type": "other"}).encode(), EVENT, 422, "bad_fields"),
    ("no event", json.dumps(completion()).encode(), EVENT, 422, "bad_fields"),
    ("an array of one event", b"[]", JSON | {"ce-specversion": "1.0"}, 400, "bad_request"),
    ("a coding that is not known", b"{}", JSON | {"content-encoding": "br"}, 415, "unsupported_media_type"),
    ("no gzip", b"{}", GZIP, 400, "bad_request"),
    ("gzip that breaks off", gzip.compress(b"{}")[:-4], GZIP, 400, "bad_request"),
    (
        "a charset that is not UTF-8",
        "北".encode("gbk"),
        {"content-type": "application/json; charset=gbk"},
        415,
        "unsupported_media_type",
    ),
    ("an event of 0.3", json.dumps({**event(), "specversion": "0.3"}).encode(), EVENT, 422, "bad_fields"),
    ("a batch of 2.0", json.dumps([{**event(), "specversion": "2.0"}]).encode(), EVENTS, 422, "bad_fields"),
    ("an untyped event of 0.3", b"{}", {"ce-specversion": "0.3", "ce-type": CLOUD_EVENT_TYPE}, 422, "bad_fields"),
    ("two kinds of data", json.dumps({**event(), "data_base64": "e30="}).encode(), EVENT, 422, "bad_fields"),
    ("too large once it is not compressed", gzip.compress(b" " * 5_000_000), GZIP, 413, "too_large"),
    ("a thousandfold of a thousandfold", gzip.compress(b" " * 300_000_000), GZIP, 413, "too_large"),
    ("too large for one", padded(1_000_001), JSON, 413, "too_large"),
    ("too large for any", b" " * 5_000_000, JSON, 413, "too_large"),
]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG]
)
def test_a_wrong_body_is_a_problem(
    operator: httpx.Client, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    assert problem(operator.post("/v1/jobs", content=body, headers=headers), status)["code"] == code


def test_a_command_may_be_compressed_too(operator: httpx.Client) -> None:
    body, key = gzip.compress(b'{"amount": "1.00"}'), {"Idempotency-Key": f"packed-{id(operator)}"}
    assert operator.post("/v1/accounts/A/top-ups", content=body, headers=GZIP | key).json()["outcome"] == "done"
    other = operator.post("/v1/accounts/A/top-ups", content=body, headers=JSON | key | {"content-encoding": "zstd"})
    assert problem(other, 415)["detail"] == "the body is in 'zstd': send it in one of gzip, deflate, identity"
    assert other.headers["accept-encoding"] == "gzip, deflate, identity"


def test_a_body_that_does_not_say_its_size_is_bounded_too(operator: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 100_000

    assert problem(operator.post("/v1/jobs", content=endless(), headers=JSON), 413)["code"] == "too_large"


def test_while_kafka_is_away_nothing_is_half_accepted_and_the_same_again_counts_once(
    api: Api, operator: httpx.Client, meter: Meter, kafka_process: psutil.Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_kafka, "PATIENCE_S", 1.5)
    jobs = [completion(account_id=f"away-{number}", job_id=f"away-{number}-{id(api)}") for number in range(200)]
    job_ids = {each["job_id"] for each in jobs}
    kafka_process.suspend()
    try:
        away = operator.post("/v1/jobs", json=jobs)
        assert problem(away, 503)["code"] == "kafka_unavailable"
        assert int(away.headers["retry-after"]) > 0
        top_up = operator.post(
            "/v1/accounts/A/top-ups", json={"amount": "1"}, headers={"Idempotency-Key": f"x-{id(api)}"}
        )
        assert problem(top_up, 503)["code"] == "kafka_unavailable"
        assert operator.get("/v1/accounts/A").status_code == 200
        assert operator.get("/v1/status").json()["kafka"] == "down"
    finally:
        kafka_process.resume()
    until(lambda: operator.get("/v1/status").json()["kafka"] == "up", "the API to find Kafka again")
    assert len(submitted(meter, job_ids)) in (0, len(jobs))
    operator.post("/v1/jobs", json=jobs).raise_for_status()
    meter.wait_folded()
    priced = [row["job_id"] for row in meter.rows("usage.priced") if row["job_id"] in job_ids]
    assert sorted(priced) == sorted(job_ids)


def test_many_at_once_share_transactions_and_lose_nothing(api: Api, meter: Meter) -> None:
    job_ids = [[f"crowd-{id(api)}-{sender}-{n}" for n in range(20)] for sender in range(16)]
    statuses: list[int] = []

    def send(ids: list[str]) -> None:
        with api.client(api.tokens["operator"]) as client:
            bodies = [completion(job_id=job_id, account_id="crowd") for job_id in ids]
            statuses.extend(client.post("/v1/jobs", json=body).status_code for body in bodies)

    threads = [threading.Thread(target=send, args=(ids,)) for ids in job_ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [202] * 320
    assert submitted(meter, {each for ids in job_ids for each in ids}) == {each: 1 for ids in job_ids for each in ids}
