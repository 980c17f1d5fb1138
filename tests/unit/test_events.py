"""CloudEvents on Kafka: which form a record has, and what is refused in which words.

The independent recount reads every record of this page too, and must come to the same verdict.
"""

import base64
import json
from typing import Any

import pytest

from meter.intake import Job, read_carefully, read_job
from meter.models import CLOUD_EVENT_TYPE
from meter.rejects import Refusal
from tests.builders import Headers, completion
from tests.recount.rules import NotMetered
from tests.recount.rules import read as recount

STRUCTURED = ("content-type", b"application/cloudevents+json")
BINARY: Headers = (("ce_specversion", b"1.0"), ("ce_type", CLOUD_EVENT_TYPE.encode()), ("ce_id", b"7"))
BOTH_MODES = (
    "data: the value is an event itself, but its ce_ headers say binary mode: "
    "send a content-type of application/cloudevents+json"
)
OTHER: Headers = (("ce_specversion", b"0.3"), ("ce_type", b"other"))


def event(**changes: Any) -> dict[str, Any]:
    attributes = {"specversion": "1.0", "id": "e", "source": "/s", "type": CLOUD_EVENT_TYPE, "data": completion()}
    return {name: value for name, value in {**attributes, **changes}.items() if value is not ...}


def base64_of(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def read(document: Any, headers: Headers = ()) -> Job | Refusal:
    """As both readers have it; the recount agrees on whether it counts, and on the code."""
    value = document if isinstance(document, bytes) else json.dumps(document).encode()
    found = read_job(value, headers)
    assert found == read_carefully(value, headers)
    assert verdict(value, headers) == (found.code if isinstance(found, Refusal) else (found.account_id, found.job_id))
    return found


def verdict(value: bytes, headers: Headers) -> Any:
    """The recount's: the account and the job, or the code."""
    try:
        counted = recount(value, list(headers))
    except NotMetered as refused:
        return str(refused)
    return counted.account_id, counted.job_id


@pytest.mark.parametrize(
    "headers",
    [
        (STRUCTURED,),
        (STRUCTURED, *BINARY),
        (*OTHER, STRUCTURED),
        (("content-type", b"application/cloudevents+json; charset=UTF-8"), *BINARY),
        (("Content-Type", b" Application/CloudEvents+JSON ;charset=utf-8"), *BINARY),
        (("content-type", b"application/cloudevents"), *BINARY),
        (("content-type", b"text/plain"), STRUCTURED, *OTHER),
    ],
)
def test_the_content_type_decides_that_an_event_is_structured(headers: Headers) -> None:
    assert isinstance(read(event(), headers), Job)


@pytest.mark.parametrize(
    "headers",
    [
        BINARY,
        (*BINARY, ("content-type", b"application/json")),
        (*BINARY, *BINARY),
        tuple((name.title(), value) for name, value in BINARY),
    ],
)
def test_else_its_attributes_make_an_event_binary(headers: Headers) -> None:
    assert isinstance(read(completion(), headers), Job)


def test_records_that_are_no_events_keep_what_headers_they_like() -> None:
    headers = (("content-type", b"application/json"), ("ce_traceparent", b"x"), ("content-type", None), ("x", None))
    assert isinstance(read(completion(), headers), Job)
    assert isinstance(read(completion(specversion="2.0", type="other"), ()), Job)


@pytest.mark.parametrize("version", ["0.3", "2.0", "1", "1.0.0", "", " 1.0", "1.1", 1.0, 1, None, ..., ["1.0"]])
@pytest.mark.parametrize("headers", [(), (STRUCTURED,), (STRUCTURED, *BINARY)], ids=["", "typed", "both"])
def test_a_structured_event_is_of_version_1_0(version: Any, headers: Headers) -> None:
    refused = read(event(specversion=version), headers)
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.message.partition(",")[0]) == (
        "bad_fields",
        "specversion: a CloudEvent must be of version 1.0",
    )
    assert (refused.account_id, refused.job_id, refused.duration_ms) == ("A", "job-1", 3_600_000)


@pytest.mark.parametrize("version", [b"0.3", b"2.0", b"1", b"", b" 1.0", b"\xff", None, ...])
def test_a_binary_event_is_of_version_1_0(version: Any) -> None:
    told = [] if version is ... else [("ce_specversion", version)]
    refused = read(completion(), (*told, *BINARY[1:]))
    assert isinstance(refused, Refusal)
    assert refused.message.startswith("ce_specversion: a CloudEvent must be of version 1.0, got ")
    assert (refused.account_id, refused.job_id, refused.duration_ms) == ("A", "job-1", 3_600_000)


@pytest.mark.parametrize("more", [("ce_specversion", b"0.3"), ("ce_type", b"other"), ("CE_TYPE", None)])
def test_an_attribute_that_is_there_twice_says_the_same(more: tuple[str, bytes | None]) -> None:
    refused = read(completion(), (*BINARY, more))
    assert isinstance(refused, Refusal)
    assert " and " in refused.message


@pytest.mark.parametrize(
    ("document", "headers", "message"),
    [
        (event(type="other"), (STRUCTURED,), f"type: a CloudEvent must be {CLOUD_EVENT_TYPE}, got 'other'"),
        (event(type=...), (STRUCTURED,), f"type: a CloudEvent must be {CLOUD_EVENT_TYPE}, got none"),
        (
            completion(),
            (STRUCTURED,),
            "specversion: a CloudEvent must be of version 1.0, got none",
        ),
        (
            event(),
            (("content-type", b"application/cloudevents+avro"),),
            "content-type: a CloudEvent must be application/cloudevents+json, got 'application/cloudevents+avro'",
        ),
        (
            event(),
            (("content-type", b"application/cloudevents-batch+json"),),
            "content-type: a CloudEvent must be application/cloudevents+json, got 'application/cloudevents-batch+json'",
        ),
        (
            event(),
            BINARY,
            BOTH_MODES,
        ),
        (
            event(data_base64=base64_of(completion(account_id="B"))),
            (),
            "data: a CloudEvent has data or data_base64, and not both",
        ),
        (event(data=..., data_base64="?"), (), "data_base64: must be a JSON object in base64"),
        (event(data=..., data_base64=7), (), "data_base64: must be a JSON object in base64"),
        (
            event(data=json.dumps(completion())),
            (),
            "data: it is JSON in a string: send the object itself",
        ),
    ],
)
def test_what_is_wrong_with_an_event_is_told_in_its_own_words(document: Any, headers: Headers, message: str) -> None:
    refused = read(document, headers)
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.message) == ("bad_fields", message)


def test_of_two_kinds_of_data_only_what_both_say_is_told() -> None:
    refused = read(event(data_base64=base64_of(completion(account_id="B", duration_s=1))))
    assert isinstance(refused, Refusal)
    assert (refused.account_id, refused.job_id, refused.duration_ms) == (None, "job-1", None)


def test_data_that_is_null_is_no_data() -> None:
    assert isinstance(read(event(data=None, data_base64=base64_of(completion()))), Job)
    assert isinstance(read(event(data_base64=None)), Job)
    assert isinstance(read(event(data=None, data_base64=None)), Refusal)
