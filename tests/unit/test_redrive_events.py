"""Refused CloudEvents once more: what they are is told in the same way as when they came in."""

import base64
import json
from typing import Any

import pytest

from meter.intake import Job, read_job
from meter.models import Header, Rejected, Source
from streams.cli.rejects import RedriveTally
from streams.completions.redrive import Kept, Resend, prepare, read_changes
from streams.http.console.pages.rejects import _fields, _shown
from streams.published.read import PartitionOffset
from tests.builders import Headers, completion
from tests.unit.test_events import BINARY, STRUCTURED, base64_of, event

WHERE = PartitionOffset(0, 7)
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


@pytest.mark.parametrize("kind", ["1e400", "9" * 5000, '"\\ud800"'])
@pytest.mark.parametrize("headers", [(), (STRUCTURED,), BINARY], ids=["plain", "structured", "binary"])
def test_a_record_is_corrected_or_kept_whatever_its_type_is(kind: str, headers: Headers) -> None:
    value = json.dumps(event(data=MARS) | {"type": 0} if headers == (STRUCTURED,) else MARS | {"type": 0})
    rejected = refused({}, headers).model_copy(
        update={"record": base64.b64encode(value.replace('"type": 0', f'"type": {kind}').encode()).decode()}
    )
    found = prepare(WHERE, rejected, read_changes(["region=Tokyo"]), 1)
    assert isinstance(found, Kept if headers == (STRUCTURED,) else Resend)


def test_by_a_code_the_first_ten_are_told_and_the_others_counted(capsys: pytest.CaptureFixture[str]) -> None:
    one = prepare(WHERE, refused(completion()), {}, 1)
    other = prepare(WHERE, refused(MARS), {}, 1)
    for shown, lines in ((10, 11), (None, 12)):
        told = RedriveTally(shown, dry_run=False)
        for outcome in [one, other] * 12:
            told.tell(outcome)
        told.tell_of_others()
        said = capsys.readouterr()
        assert (told.sent, told.kept) == (12, 12)
        assert (said.out.count("\n"), said.err.count("\n")) == (lines, lines)
        assert ("2 more records go\n" in said.out, "2 more records not sent" in said.err) == (shown == 10, shown == 10)


@pytest.mark.parametrize("more", ['"\\ud83d"', "1e400", "9" * 5000, '{"\\ud800":[]}', '["}",{"a":"\\""}]'])
def test_what_is_not_corrected_stays_as_it_is_written(more: str) -> None:
    text = json.dumps(MARS, indent=1).replace("{", f'{{"title" : {more} ,')
    rejected = refused({}).model_copy(update={"record": base64.b64encode(text.encode()).decode()})
    found = prepare(WHERE, rejected, read_changes(["region=Tokyo"]), 1)
    assert isinstance(found, Resend), found
    assert f'"title":{more},'.encode() in found.value
    assert _fields(text.encode())["region"] == "Mars"
    assert more[:9] in "".join(_shown(text.encode()).split())


@pytest.mark.parametrize(("written", "shown"), [("1e400", "1e400"), ('"\\ud83d"', "\\ud83d"), ("[1e400]", "[1e400]")])
def test_a_field_of_any_value_is_shown(written: str, shown: str) -> None:
    text = json.dumps(completion(duration_s=0)).replace('"duration_s": 0', f'"duration_s": {written}')
    assert _fields(text.encode())["duration_s"] == shown


def test_a_list_of_kinds_has_blanks_as_people_write_it() -> None:
    assert read_changes(["kinds=face, text"]) == {"kinds": b'["face","text"]'}


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
