"""What the CloudEvents SDKs of Python, Java, Go and JavaScript send is metered, at both doors, in every mode."""

import json

import pytest

from meter.intake import Job, read_job
from meter.rejects import Refusal
from streams.http.codings import media_type, need_utf8
from streams.http.ingest import read_items
from tests.builders import Headers, Partition, completion, priced_of
from tests.recount.rules import read as recount
from tests.sdk.messages import RECORDED, SentMessage, all_sent, recorded

SENT = all_sent()


def as_records(sent: SentMessage) -> list[tuple[bytes, Headers]]:
    """The records that a message becomes, by HTTP as the API makes them."""
    if sent.door == "kafka":
        return [(sent.body, [(name, None if value is None else value.encode()) for name, value in sent.headers])]
    headers = [(name.lower(), value or "") for name, value in sent.headers]
    content_type = dict(headers).get("content-type", "")
    need_utf8(content_type, sent.body)
    return [(item.value, item.headers) for item in read_items(media_type(content_type), headers, sent.body)]


@pytest.mark.parametrize("sent", SENT, ids=[sent.name for sent in SENT])
def test_an_event_of_an_official_sdk_is_metered(sent: SentMessage) -> None:
    ((value, headers),) = as_records(sent)
    (job,) = priced_of(Partition().fold(value, headers=headers))
    assert (job.account_id, job.amount) == ("A", "16.80")
    assert recount(value, list(headers)).job_id == job.job_id == f"sdk-{sent.sdk.split()[0]}"


@pytest.mark.parametrize("sdk", [*RECORDED, "python"])
@pytest.mark.parametrize("door", ["http", "kafka"])
@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_each_sdk_was_seen_at_each_door_in_each_mode(sdk: str, door: str, mode: str) -> None:
    assert [sent for sent in SENT if sent.sdk == sdk and sent.door == door and sent.mode.startswith(mode)]


@pytest.mark.parametrize("sent", [sent for sent in SENT if sent.door == "kafka" and "structured" in sent.mode])
def test_the_binding_allows_the_attributes_of_a_structured_event_as_headers_too(sent: SentMessage) -> None:
    ((value, headers),) = as_records(sent)
    typed = [(name, value) for name, value in headers if name != "content-type"]
    both = [*typed, ("content-type", b"application/cloudevents+json"), ("ce_specversion", b"1.0"), ("ce_id", b"7")]
    assert isinstance(read_job(value, both), Job)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (0, "it is a number of seconds since 1970: send it as '2026-01-01T04:00:00Z'"),
        (1, "it is a number of seconds since 1970: send it as '2026-01-01T04:00:00Z'"),
        (2, "it is Java's array of a date-time, which has no offset: write dates as text"),
        (3, "it names a time zone in brackets, it has no seconds: send it as '2026-01-01T12:00:00+08:00'"),
        (4, "it has no seconds: send it as '2026-01-01T12:00:00+08:00'"),
    ],
)
def test_what_java_makes_of_times_by_default_is_told_what_is_right(line: int, hint: str) -> None:
    sent = [sent for sent in recorded("java") if sent.door == "plain"][line]
    refused = read_job(sent.body, ())
    assert isinstance(refused, Refusal)
    assert refused.message.endswith(f"; {hint}")
    assert (refused.account_id, refused.job_id) == ("A", "sdk-java")


def test_the_completion_that_was_sent_is_the_one_that_is_known() -> None:
    for sdk in RECORDED:
        data = next(sent.body for sent in recorded(sdk) if sent.mode.startswith("binary"))
        assert json.loads(data) == completion(job_id=f"sdk-{sdk}")
