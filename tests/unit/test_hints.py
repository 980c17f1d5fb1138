"""What clients in several languages write by default is refused with what is wrong and what is right."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from meter.billing_models import AgreeContract
from meter.intake import Job, read_carefully, read_job
from meter.models import CLOUD_EVENT_TYPE
from meter.rejects import Refusal
from streams.cli import main
from streams.errors import Exit
from tests.builders import completion

TEN_TO_NOON_US = 1_767_239_400_000_000  # 2026-01-01 11:50 in Shanghai


def refused(**changes: Any) -> Refusal:
    found = read_job(json.dumps(completion(**changes), ensure_ascii=False).encode(), ())
    assert isinstance(found, Refusal)
    assert (found.account_id, found.job_id) == ("A", "job-1")
    return found


@pytest.mark.parametrize(
    ("wrong", "what", "right"),
    [
        ("PT1M30S", "an ISO 8601 duration", "90"),  # Java, Temporal
        ("PT90.5S", "an ISO 8601 duration", "90.5"),
        ("P1DT1S", "an ISO 8601 duration", "86401"),
        ("90s", "a unit", "90"),  # protobuf
        ("1m30.5s", "a unit", "90.5"),  # Go
        ("90000ms", "a unit", "90"),
        ("1.5 min", "a unit", "90"),
        ("1分30秒", "a unit", "90"),
        ("00:01:30", "as on a clock", "90"),
        ("0:01:30.500000", "as on a clock", "90.5"),  # Python
        ("1 day, 0:00:01", "as on a clock", "86401"),
        ("1.00:00:01.5000000", "as on a clock", "86401.5"),  # .NET
        ("01:30", "as on a clock", "90"),
        ("1e3", "plain digits", "1000"),
        ("9.5E1", "plain digits", "95"),
        ("+90", "plain digits", "90"),
        (" 90", "blanks", "90"),
        ("\uff19\uff10", "wide digits", "90"),
        ("1,5", "comma", "1.5"),
        ("90,000", "commas", "90000"),
    ],
)
def test_a_duration_in_another_form_is_named_and_put_right(wrong: str, what: str, right: str) -> None:
    found = refused(duration_s=wrong)
    assert found.code == "bad_duration"
    assert what in found.message
    assert found.message.endswith(f": send it as {right!r}")
    assert "more than 0" not in found.message
    assert isinstance(read_job(json.dumps(completion(duration_s=right)).encode(), ()), Job)
    assert found.duration_ms == float(right) * 1000


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (40_000_000, "if these are milliseconds, send seconds: 40000"),
        (90_000_000_000, "if these are nanoseconds, send seconds: 90"),  # Go's time.Duration
        (9e10, "if these are nanoseconds, send seconds: 90"),
        ("90000000000", "if these are nanoseconds, send seconds: 90"),
    ],
)
def test_a_duration_beyond_a_year_is_told_its_unit(wrong: Any, hint: str) -> None:
    found = refused(duration_s=wrong)
    assert (found.code, found.duration_ms) == ("bad_duration", None)
    assert found.message.endswith(hint)


@pytest.mark.parametrize(
    "wrong", [0, -1, "0", "0.0", "-5", "", "NaN", "Infinity", "1e999999999", "PT0S", "P", "s", ":"]
)
def test_a_duration_that_is_none_has_no_false_hint(wrong: Any) -> None:
    found = refused(duration_s=wrong)
    assert (found.code, found.duration_ms) == ("bad_duration", None)
    assert "send" not in found.message


@pytest.mark.parametrize("field", ["job_id", "account_id", "region", "kinds", "duration_s", "completed_at"])
@pytest.mark.parametrize("wrap", ["%s", "[%s, 0]", '{"seconds": %s, "nanos": 0}'])
@pytest.mark.parametrize("number", ["1e999999999", "-1E999999", "17e1000001", f"{'9' * 70}e400000", "-1e-999999999"])
def test_a_number_of_any_size_is_refused_and_stops_nobody(number: str, wrap: str, field: str) -> None:
    """Arithmetic raises at such exponents: one record would stop its partition for good."""
    text = json.dumps(completion(**{field: "?"})).replace('"?"', wrap % number)
    assert wrap % number in text
    event = json.dumps({"specversion": "1.0", "type": CLOUD_EVENT_TYPE, "id": "1", "source": "s", "data": "?"})
    for value in (text, event.replace('"?"', text)):
        for read in (read_job, read_carefully):
            assert isinstance(read(value.encode(), ()), Refusal)


@pytest.mark.parametrize("right", [1e3, 1.5e1, 60.0000001, "61.5", "0060.500"])
def test_durations_that_are_well_written_are_taken(right: Any) -> None:
    assert isinstance(read_job(json.dumps(completion(duration_s=right)).encode(), ()), Job)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("guangzhou", "ap-guangzhou"),
        ("AP-Guangzhou", "ap-guangzhou"),
        ("GUANGZHOU", "ap-guangzhou"),
        ("廣州", "ap-guangzhou"),
        ("广州市", "ap-guangzhou"),
        ("华南地区（广州）", "ap-guangzhou"),
        ("cn-guangzhou", "ap-guangzhou"),
        ("ap-guangzhou-3", "ap-guangzhou"),
        ("ap_hong_kong", "ap-hongkong"),
        (" Tokyo ", "ap-tokyo"),
        ("mainland china", "Mainland China"),
        ("MAINLAND_CHINA", "Mainland China"),
        ("中国大陆", "Mainland China"),
        ("大陆", "Mainland China"),
        ("virginia", "na-ashburn"),
        ("硅谷、弗吉尼亚", "Silicon Valley, Virginia"),
        ("広州", "ap-guangzhou"),
        ("東京リージョン", "ap-tokyo"),
        ("シンガポール", "ap-singapore"),
        ("서울", "ap-seoul"),
        ("Франкфурт", "eu-frankfurt"),
    ],
)
def test_a_region_in_another_spelling_is_asked_for_and_good_for_an_estimate(wrong: str, meant: str) -> None:
    found = refused(region=wrong)
    assert (found.code, found.region) == ("unknown_region", meant)
    assert found.message == f"region: unknown region {wrong!r}; did you mean {meant!r}?"


@pytest.mark.parametrize(("wrong", "meant"), [("Frankfurtt", "eu-frankfurt"), ("ap-singapor", "ap-singapore")])
def test_a_misspelt_region_is_asked_for_and_is_no_estimate(wrong: str, meant: str) -> None:
    found = refused(region=wrong)
    assert found.message == f"region: unknown region {wrong!r}; did you mean {meant!r}?"
    assert found.region is None


@pytest.mark.parametrize("wrong", ["Mars", "", "ap-", "x" * 5000, "北京上海东京"])
def test_a_region_that_nobody_knows_has_no_hint(wrong: str) -> None:
    found = refused(region=wrong)
    assert found.region is None
    assert "mean" not in found.message


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (["FACE"], "; did you mean 'face'?"),
        (["frameTag"], "; did you mean 'frame_tag'?"),
        (["opening-ending"], "; did you mean 'opening_ending'?"),
        (["FaceRecognition"], "; did you mean 'face'?"),
        (["speach"], "; did you mean 'speech'?"),
        (["smell"], "'smell'"),
        ("face", '; it is one string: send ["face"]'),
        ("face, speech", '; it is one string: send ["face", "speech"]'),
    ],
)
def test_a_kind_in_another_spelling_is_asked_for(wrong: Any, hint: str) -> None:
    assert refused(kinds=wrong).message.endswith(hint)


ISO = "2026-01-01T03:50:00"


@pytest.mark.parametrize(
    ("wrong", "what", "right"),
    [
        (ISO, "it has no offset: send ", f"{ISO}Z"),
        (f"{ISO}.123456789", "it has no offset: send ", f"{ISO}.123456789Z"),
        (f"{ISO}+0000", "its offset has no colon", f"{ISO}+00:00"),
        ("2026-01-01T11:50:00+0800", "its offset has no colon", "2026-01-01T11:50:00+08:00"),
        ("2026-01-01T11:50:00+08", "its offset has no minutes", "2026-01-01T11:50:00+08:00"),
        ("2026-01-01 11:50:00+08:00", "a blank for the T", "2026-01-01T11:50:00+08:00"),
        ("2026-01-01 03:50:00", "a blank for the T, and it has no offset", f"{ISO}Z"),
        ("2026-01-01T03:50Z", "no seconds", f"{ISO}Z"),  # Java's OffsetDateTime
        ("2026-01-01T11:50+08:00", "no seconds", "2026-01-01T11:50:00+08:00"),
        ("2026-01-01T11:50:00+08:00[Asia/Shanghai]", "a time zone in brackets", "2026-01-01T11:50:00+08:00"),
        ("2026-01-01 11:50:00 +0800 CST m=+0.01", "Go's monotonic clock", "2026-01-01T11:50:00+08:00"),
        ("2026-01-01 03:50:00 +0000 UTC", "a zone's name", f"{ISO}+00:00"),
        (f"{ISO}GMT", "a zone's name", f"{ISO}Z"),
        (f"{ISO},000Z", "a comma for the point", f"{ISO}.000Z"),
        (f"{ISO}:000Z", "a colon for the point", f"{ISO}.000Z"),  # as one vendor's notifications
        ("2026/01/01 03:50:00Z", "slashes in the date", f"{ISO}Z"),
        ("20260101T035000Z", "no hyphens and colons", f"{ISO}Z"),
        ("20260101035000", "no hyphens and colons", f"{ISO}Z"),
        (f" {ISO}Z", "blanks around it", f"{ISO}Z"),
        ("\uff12\uff10\uff12\uff16-01-01T03:50:00Z", "wide digits", f"{ISO}Z"),
        ("2026-01-01T03\uff1a50\uff1a00Z", "wide digits or signs", f"{ISO}Z"),
        ("2025-12-31T19:50:00\u221208:00", "wide digits or signs", "2025-12-31T19:50:00-08:00"),
        ("2026-W01-4T03:50:00Z", "a date by its week", f"{ISO}Z"),
        ("2026-001T03:50:00Z", "a date by its day of the year", f"{ISO}Z"),
        ("2026年1月1日 3:50:00Z", "for people", f"{ISO}Z"),
        ("2026年01月01日 03时50分00秒", "for people, and it has no offset", f"{ISO}Z"),
        ("Thu, 01 Jan 2026 03:50:00 GMT", "for people", f"{ISO}Z"),  # JavaScript's toUTCString
        ("Thu Jan 01 2026 11:50:00 GMT+0800 (China Standard Time)", "for people", "2026-01-01T11:50:00+08:00"),
        ("/Date(1767239400000)/", ".NET's date", f"{ISO}Z"),
        ("1767239400000", "milliseconds since 1970", f"{ISO}Z"),
        ("1767239400", "seconds since 1970", f"{ISO}Z"),
        (1_767_239_400_000, "milliseconds since 1970", f"{ISO}Z"),  # JavaScript
        (1_767_239_400, "seconds since 1970", f"{ISO}Z"),
        (1_767_239_400.5, "seconds since 1970", f"{ISO}.500Z"),  # Java's Instant by Jackson
        (1_767_239_400_000_000, "microseconds since 1970", f"{ISO}Z"),
        (1_767_239_400_000_000_000, "nanoseconds since 1970", f"{ISO}Z"),
        (639_028_362_000_000_000, ".NET ticks", f"{ISO}Z"),
        ([1_767_239_400, 0], "seconds and nanoseconds", f"{ISO}Z"),
        ({"seconds": 1_767_239_400, "nanos": 0}, "an object with a number of seconds", f"{ISO}Z"),
        ({"epochSecond": 1_767_239_400, "nano": 0}, "an object with a number of seconds", f"{ISO}Z"),
    ],
)
def test_an_instant_in_another_form_is_named_and_put_right(wrong: Any, what: str, right: str) -> None:
    found = refused(completed_at=wrong)
    assert found.code == ("no_offset" if isinstance(wrong, str) else "bad_fields")
    assert what in found.message
    assert repr(right) in found.message
    assert isinstance(read_job(json.dumps(completion(completed_at=right)).encode(), ()), Job)
    assert found.completed_us is not None
    assert found.completed_us // 1_000_000 == TEN_TO_NOON_US // 1_000_000


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ([2026, 1, 1, 11, 50, 0, 0], "; it is Java's array of a date-time, which has no offset: write dates as text"),
        ([2026, 1, 1, 11, 50], "; it is Java's array of a date-time, which has no offset: write dates as text"),
        ("2026-01-01", "; it is a day without a time"),
        (
            "01/02/2026 11:50",
            "which is the month cannot be told: write the year first, as in 2026-11-24T10:20:30+08:00",
        ),
        ("2026-02-30T11:50:00Z", "; there is no such day, hour or offset"),
        ("2026-01-01T24:50:00Z", "; there is no such day, hour or offset"),
        ("2026-01-01T11:50:00+24:00", "; there is no such day, hour or offset"),
        ("2026-02-30 11:50:00", "; there is no such day, hour or offset"),
        (f"{ISO}.{'0' * 60}Z", "; it has more than 64 characters"),
        ("yesterday", "got 'yesterday'"),
        (5, "must be a string"),
        (None, "must be a string"),
        ([], "must be a string"),
        ({}, "must be a string"),
        (True, "must be a string"),
        ("9" * 64, f"got '{'9' * 64}'"),
    ],
)
def test_an_instant_that_cannot_be_put_right_is_told_what_it_is(wrong: Any, hint: str) -> None:
    found = refused(completed_at=wrong)
    assert found.message.endswith(hint)
    assert found.completed_us is None


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("2017-01-01T07:59:60.5+08:00", "2017-01-01T07:59:59.5+08:00"),
    ],
)
def test_a_leap_second_is_called_one(wrong: str, right: str) -> None:
    found = refused(completed_at=wrong).message
    assert found.startswith(f"completed_at: cannot be a leap second, got {wrong!r}; ")
    assert found.endswith(f"; the second before it is the nearest instant: send it as {right!r}")


@pytest.mark.parametrize("right", [f"{ISO}.123456789Z", "2026-01-01t03:50:00z", "2026-01-01T03:50:00.1234567-00:00"])
def test_instants_that_are_well_written_are_taken(right: str) -> None:
    assert isinstance(read_job(json.dumps(completion(completed_at=right)).encode(), ()), Job)


@pytest.mark.parametrize(
    ("renamed", "hint"),
    [
        ({"job_id": "jobId"}, "'jobId'"),
        ({"duration_s": "durationS"}, "'durationS'"),
        ({"region": "Region"}, "'Region'"),
    ],
)
def test_a_field_under_another_name_is_pointed_at(renamed: dict[str, str], hint: str) -> None:
    document = {renamed.get(name, name): value for name, value in completion().items()}
    found = read_job(json.dumps(document).encode(), ())
    assert isinstance(found, Refusal)
    (field,) = renamed
    assert found.message == f"{field}: Field required; there is {hint}: names are as in {field!r}"
    assert (found.account_id, found.job_id, found.region, found.duration_ms) == (
        "A",
        "job-1",
        "ap-guangzhou",
        3_600_000,
    )


def test_a_number_for_an_id_is_told_to_be_in_quotes() -> None:
    found = read_job(json.dumps(completion(account_id=10012345)).encode(), ())
    assert isinstance(found, Refusal)
    assert found.message.endswith("; it is a number: send it in quotes, '10012345'")
    assert (found.account_id, found.job_id, found.duration_ms) == (None, "job-1", 3_600_000)


def test_a_contract_asks_for_the_region_that_may_be_meant() -> None:
    fields = {"command_id": "c", "issued_at": f"{ISO}Z", "account_id": "A", "effective_from": "2027-01-01"}
    for wrong, hint in (("guangzhou", "; did you mean 'ap-guangzhou'?"), ("Mars", "")):
        with pytest.raises(ValidationError) as refused:
            AgreeContract.model_validate({**fields, "prices": {wrong: "0.3"}})
        assert refused.value.errors()[0]["msg"] == f"unknown region {wrong!r}{hint}"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (
            ("--region", "AP-Guangzhou", "--duration", "60"),
            "unknown region 'AP-Guangzhou'; did you mean 'ap-guangzhou'?",
        ),
        (("--region", "Tokyo", "--duration", "PT1M"), "; it is an ISO 8601 duration: send it as '60'"),
    ],
)
def test_the_command_line_asks_too(arguments: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quote", *arguments]) == Exit.WRONG_SETTING
    assert capsys.readouterr().err.endswith(f"{hint}\n")
