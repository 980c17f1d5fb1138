"""Refused CloudEvents once more: what they are is told in the same way as when they came in."""

import base64
import json
from typing import Any

import pytest

from meter.intake import Job, read_job
from meter.models import Header, Rejected, Source
from streams.read import Position
from streams.redrive import Kept, Resend, prepare, read_changes
from tests.builders import Headers, completion
from tests.unit.test_events import BINARY, STRUCTURED, base64_of, event

WHERE = Position(0, 7)
MARS = completion(region="Mars")


def refused(document: Any, headers: Headers = (), code: str = "unknown_region") -> Rejected:
    """A record of `usage.rejected`, as any version of the meter may have written it."""
    return Rejected(
        code=code,
        message="as it was said then",
        record=base64.b64encode(json.dumps(document).encode()).decode(),
        headers=tuple(Header(key=name, value=base64.b64encode(value or b"").decode()) for name, value in headers),
        source=Source(topic="recognition.jobs.completed", partition=0, offset=7, timestamp=0),
    )


def sent_again(rejected: Rejected, *changes: str) -> Job:
    """The job that it is now."""
    found = prepare(WHERE, rejected, read_changes(changes), 1)
    assert isinstance(found, Resend), found
    job = read_job(found.value, found.headers)
    assert isinstance(job, Job)
    return job


def test_a_structured_event_that_was_refused_for_its_other_headers_goes_in_as_it_came() -> None:
    for headers in ((STRUCTURED, *BINARY), (*BINARY, STRUCTURED), (STRUCTURED, ("ce_type", b"other"))):
        assert sent_again(refused(event(), headers, "bad_fields")).account_id == "A"


@pytest.mark.parametrize("headers", [(), (STRUCTURED,), (STRUCTURED, *BINARY)], ids=["bare", "typed", "both"])
@pytest.mark.parametrize(
    "document",
    [
        event(data=MARS),
        event(data=..., data_base64=base64_of(MARS)),
        event(data=None, data_base64=base64_of(MARS)),
        event(data=MARS, data_base64=None),
    ],
    ids=["data", "base64", "null data", "null base64"],
)
def test_a_field_of_a_structured_event_is_corrected_within_its_data(document: Any, headers: Headers) -> None:
    assert sent_again(refused(document, headers), "region=Tokyo").region == "ap-tokyo"


def test_a_field_of_a_binary_event_is_corrected_in_the_value() -> None:
    assert sent_again(refused(MARS, BINARY), "region=Tokyo").region == "ap-tokyo"
    assert sent_again(refused(MARS | {"specversion": "x"}, BINARY), "region=Tokyo").region == "ap-tokyo"


def test_what_cannot_be_put_right_by_a_field_is_kept_with_its_reason() -> None:
    both = refused(event(data=MARS, data_base64=base64_of(MARS)), (), "bad_fields")
    found = prepare(WHERE, both, read_changes(["region=Tokyo"]), 1)
    assert found == Kept(WHERE, "it has both data and data_base64; submit a corrected record")
    old = prepare(WHERE, refused(event(specversion="0.3"), (), "bad_fields"), {}, 1)
    assert isinstance(old, Kept)
    assert "a CloudEvent must be of version 1.0, got '0.3'" in old.reason
