"""What is refused: the order of the codes, the money at risk, and the record itself, whole or cut."""

import base64
import hashlib
import json
from typing import Any

import pytest

from meter import topics
from meter.intake import MAX_DEPTH
from meter.models import Rejected
from meter.outputs import MAX_ORIGINAL_BYTES
from meter.rejects import FINAL_CODES, PRECEDENCE, Code
from meter.rules import Rules
from tests.builders import NOON_MS, Headers, Partition, completion, price_book, priced_of, rejects_of

TYPE = "recognition.job.completed.v1"
BINARY = (("ce_specversion", b"1.0"), ("ce_type", TYPE.encode()), ("ce_id", b"7"), ("ce_time", b"junk"))
LARGEST_REJECT_BYTES = 4 << 20

#: Each way to be wrong, in the order of precedence: a record that is wrong in several has the first one's code.
FAULTS: list[tuple[str, dict[str, Any]]] = [
    ("bad_fields", {"job_id": ""}),
    ("unknown_kind", {"kinds": ["smell"]}),
    ("unknown_region", {"region": "Mars"}),
    ("bad_duration", {"duration_s": 0}),
    ("no_offset", {"completed_at": "2026-01-01T12:00:00"}),
]


def rejected(value: Any, headers: Headers = (), partition: Partition | None = None) -> Rejected:
    (reject,) = rejects_of((partition or Partition()).fold(value, headers=headers))
    return reject


def event(**changes: Any) -> dict[str, Any]:
    attributes = {"specversion": "1.0", "id": "e", "source": "/s", "type": TYPE, "time": "never", "data": completion()}
    return {name: value for name, value in {**attributes, **changes}.items() if value is not ...}


def base64_of(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize("first", range(len(FAULTS)))
def test_of_several_faults_the_first_in_order_gives_the_code(first: int) -> None:
    changes = {name: value for _, fault in FAULTS[first:] for name, value in fault.items()}
    assert rejected(completion(**changes)).code == FAULTS[first][0]


def test_the_codes_and_their_order_are_stable() -> None:
    assert list(PRECEDENCE) == [
        "not_json", "duplicate_key", "bad_fields", "unknown_kind", "unknown_region", "bad_duration", "no_offset",
        "clock_ahead", "in_future", "too_old", "conflict", "misplaced", "too_large",
    ]  # fmt: skip
    assert {Code.TOO_OLD, Code.CONFLICT} == FINAL_CODES


@pytest.mark.parametrize(
    "changes",
    [
        {"kinds": 5},
        {"kinds": [5]},
        {"kinds": {"face": 1}},
        {"kinds": None},
        {"region": 7},
        {"completed_at": 1_767_240_000},
        {"duration_s": [60]},
        {"account_id": "\ud800"},
        {"job_id": 5},
        {"job_id": True},
    ],
)
def test_a_field_of_the_wrong_type_is_a_wrong_field(changes: dict[str, Any]) -> None:
    assert rejected(json.dumps(completion(**changes)).encode()).code == "bad_fields"


@pytest.mark.parametrize("missing", list(completion()))
def test_each_field_is_needed_and_named(missing: str) -> None:
    reject = rejected({name: value for name, value in completion().items() if name != missing})
    assert (reject.code, reject.message) == ("bad_fields", f"{missing}: Field required")


@pytest.mark.parametrize(("depth", "code"), [(MAX_DEPTH - 1, None), (MAX_DEPTH, "not_json")])
def test_json_nests_as_deep_as_the_rule_says(depth: int, code: str | None) -> None:
    value = json.dumps(completion()).encode()[:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}"
    assert [reject.code for reject in rejects_of(Partition().fold(value))] == ([] if code is None else [code])


@pytest.mark.parametrize(
    ("changes", "amount"),
    [
        ({"kinds": ["smell"]}, "16.80"),
        ({"job_id": ""}, "16.80"),
        ({"completed_at": "2026-01-01T12:05:00.001+08:00"}, "16.80"),
        ({"completed_at": "2025-11-27T11:59:59.999999+08:00"}, "16.80"),
        ({"kinds": ["smell"], "region": "Tokyo", "duration_s": "60.001"}, "0.6272"),
        ({"kinds": ["smell"], "duration_s": 60.0000001}, "0.28"),
        ({"region": "Mars"}, None),
        ({"region": ["Tokyo"]}, None),
        ({"duration_s": 0}, None),
        ({"duration_s": "long"}, None),
        ({"duration_s": True}, None),
        ({"completed_at": "yesterday"}, None),
        ({"completed_at": None}, None),
    ],
)
def test_the_money_at_risk_is_told_where_it_can_be_reckoned(changes: dict[str, Any], amount: str | None) -> None:
    reject = rejected(completion(**changes))
    assert (reject.amount_at_risk, reject.currency) == (amount, None if amount is None else "CNY")


def test_the_money_at_risk_is_at_the_price_of_the_jobs_own_day() -> None:
    partition = Partition()
    partition.fold(price_book(), topic=topics.COMMANDS)
    days = ("2026-01-02T23:00:00+08:00", "2026-01-03T01:00:00+08:00")
    step = partition.fold(*(completion(kinds=["smell"], completed_at=day) for day in days))
    assert [reject.amount_at_risk for reject in rejects_of(step)] == ["16.80", "33.60"]


def test_what_could_be_read_of_a_refused_record_is_told() -> None:
    reject = rejected(completion(region="Mars"))
    assert (reject.account_id, reject.job_id) == ("A", "job-1")
    reject = rejected(completion(account_id=5, job_id="x" * 129))
    assert (reject.account_id, reject.job_id) == (None, None)


@pytest.mark.parametrize("value", [None, b"", b"\x00\xff" * 1000, b"junk"])
def test_the_record_is_kept_byte_for_byte(value: bytes | None) -> None:
    headers = (("trace", b"\xff\x00"), ("empty", b""), ("null", None), ("trace", b"again"), ("\u2028", b"x"))
    reject = rejected(value, headers)
    kept = None if reject.record is None else base64.b64decode(reject.record)
    assert (kept, base64.b64decode(reject.key or "")) == (value, b"key")
    kept_headers = [(h.key, None if h.value is None else base64.b64decode(h.value)) for h in reject.headers]
    assert kept_headers == list(headers)
    assert reject.truncated is None


def test_a_reject_says_where_it_was_read() -> None:
    partition = Partition()
    partition.fold(completion())
    ((key, value),) = partition.fold(completion(duration_s=1), at=NOON_MS + 5).outputs.rejected
    source = {"topic": topics.COMPLETED, "partition": 0, "offset": 1, "timestamp": NOON_MS + 5}
    assert (key, json.loads(value)["source"]) == (b"A", source)


@pytest.mark.parametrize(("size", "is_whole"), [(MAX_ORIGINAL_BYTES, True), (MAX_ORIGINAL_BYTES + 1, False)])
def test_an_original_that_does_not_fit_is_cut_with_its_sha_256(size: int, is_whole: bool) -> None:
    partition = Partition()
    value = b"x" * (size - len(b"key"))
    step = partition.fold(value)
    (reject,) = rejects_of(step)
    kept = base64.b64decode(reject.record or "")
    assert value.startswith(kept)
    assert (kept == value) is is_whole
    if is_whole:
        assert reject.truncated is None
    else:
        assert reject.truncated is not None
        assert reject.truncated.model_dump() == {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    assert len(step.outputs.rejected[0][1]) < LARGEST_REJECT_BYTES


@pytest.mark.parametrize(
    "headers",
    [
        (("\x01" * 1_000_000, b""),),
        (("", None),) * 300_000,
        (("a", b"x" * 3_000_000),),
        (("\U0001f600" * 700_000, b""),),
    ],
    ids=["escaped", "many", "long", "wide"],
)
def test_headers_never_make_a_reject_larger_than_its_topic_takes(headers: Headers) -> None:
    step = Partition().fold(b"junk", headers=headers)
    assert len(step.outputs.rejected[0][1]) < LARGEST_REJECT_BYTES
    (reject,) = rejects_of(step)
    assert base64.b64decode(reject.record or "") == b"junk"
    assert reject.truncated is not None


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (event(), ()),
        (event(data=..., data_base64=base64_of(completion())), ()),
        (event(data=None, data_base64=base64_of(completion())), ()),
        (event(id=..., time=..., source=...), ()),
        (completion(), BINARY),
        (completion(specversion="1.0", type="other"), ()),
        (completion(type="other", data={}), ()),
    ],
    ids=["structured", "base64", "base64 beside null", "bare", "binary", "plain with specversion", "plain with type"],
)
def test_a_completion_comes_in_three_forms(value: Any, headers: Headers) -> None:
    partition = Partition()
    (job,) = priced_of(partition.fold(value, headers=headers))
    assert (job.job_id, job.account_id, job.amount) == ("job-1", "A", "16.80")
    assert partition.fold(completion()).counts.duplicate == 1


@pytest.mark.parametrize(
    ("value", "headers", "code"),
    [
        (event(type="other"), (), "bad_fields"),
        (event(type=...), (), "bad_fields"),
        (event(type=7), (), "bad_fields"),
        (event(data=...), (), "bad_fields"),
        (event(data=[completion()]), (), "bad_fields"),
        (event(data=json.dumps(completion())), (), "bad_fields"),
        (event(data={}), (), "bad_fields"),
        (event(data=event()), (), "bad_fields"),
        (event(data=completion(region="Mars")), (), "unknown_region"),
        (event(data_base64="?"), (), "bad_fields"),
        (event(data_base64="é"), (), "bad_fields"),
        (event(data_base64=base64.b64encode(b"{").decode()), (), "not_json"),
        (event(data_base64=base64.b64encode(b"[" * 200).decode()), (), "not_json"),
        (completion(), (("ce_specversion", b"1.0"), ("ce_type", b"other")), "bad_fields"),
        (completion(), (("ce_specversion", b"1.0"), ("ce_type", b"\xff")), "bad_fields"),
        (completion(), (("ce_specversion", b"1.0"), ("ce_type", None)), "bad_fields"),
        (completion(), (("ce_specversion", b"1.0"),), "bad_fields"),
        (completion(region="Mars"), BINARY, "unknown_region"),
        (None, BINARY, "not_json"),
        (event(), BINARY, "bad_fields"),
    ],
)
def test_what_is_wrong_with_a_cloud_event(value: Any, headers: Headers, code: str) -> None:
    assert rejected(value, headers).code == code


def test_time_is_judged_by_record_time_to_the_microsecond() -> None:
    rules = Rules(meter_id="test", partitions=1, horizon_days=1, future_tolerance_s=60)
    times = {
        "2026-01-01T12:01:00.000000+08:00": None,
        "2026-01-01T12:01:00.000001+08:00": "in_future",
        "2025-12-31T12:00:00.000000+08:00": None,
        "2025-12-31T11:59:59.999999+08:00": "too_old",
    }
    for completed_at, code in times.items():
        step = Partition(rules).fold(completion(completed_at=completed_at))
        assert [reject.code for reject in rejects_of(step)] == ([] if code is None else [code]), completed_at


def test_a_rejected_record_leaves_no_entry_and_can_come_again_corrected() -> None:
    partition = Partition()
    partition.fold(completion(region="Mars"))
    assert partition.fold(completion()).counts.priced == 1
    assert partition.fold(completion(duration_s=1)).counts.rejected == 1
    assert partition.fold(completion()).counts.duplicate == 1


def test_records_without_a_time_are_judged_like_all_others() -> None:
    step = Partition().fold(completion(), completion(completed_at="1970-01-01T00:00:00Z"), at=-1)
    assert ([reject.code for reject in rejects_of(step)], step.counts.priced) == (["in_future"], 1)
    assert step.journal_entry().record_time == 0
