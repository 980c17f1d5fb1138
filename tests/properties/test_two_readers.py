"""Two readers, one contract: the fast one and the careful one accept, refuse and read every input alike."""

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from meter.intake import Job, kinds_json, read_carefully, read_job
from meter.models import KINDS
from meter.outputs import MAX_ORIGINAL_BYTES
from meter.regions import REGION_CODES
from meter.rejects import Code, Refusal
from tests.recount.rules import NotMetered, read

ids = st.one_of(st.text(min_size=1, max_size=130), st.just("job-1"), st.just(""), st.integers())
instants = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.from_regex(
        r"\A20[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
        r"(\.[0-9]{1,9})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])?\Z"
    ),
    st.text(max_size=30),
    st.none(),
)
durations = st.one_of(
    st.integers(-10, 40_000_000),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(min_value=0, max_value=31_536_001, places=4).map(str),
    st.text("0123456789.eE+- ", max_size=12),
    st.booleans(),
    st.none(),
)
extras = st.dictionaries(
    st.sampled_from(["x", "specversion", "type", "data", "data_base64", "traceparent"]),
    st.recursive(st.one_of(st.text(max_size=5), st.floats(), st.none()), lambda inner: st.lists(inner, max_size=2)),
    max_size=2,
)
completions = st.builds(
    lambda fields, extra, dropped: {k: v for k, v in {**fields, **extra}.items() if k not in dropped},
    st.fixed_dictionaries(
        {
            "job_id": ids,
            "account_id": ids,
            "region": st.one_of(st.sampled_from(sorted(REGION_CODES)), st.text(max_size=5)),
            "kinds": st.one_of(st.lists(st.sampled_from([*KINDS, "smell"]), max_size=7), st.text(max_size=3)),
            "duration_s": durations,
            "completed_at": instants,
        }
    ),
    extras,
    st.sets(st.sampled_from(["job_id", "kinds", "duration_s"]), max_size=1),
)
headers = st.sampled_from(
    [
        (),
        (("trace", b"1"),),
        (("ce_specversion", b"1.0"), ("ce_type", b"recognition.job.completed.v1")),
        (("ce_specversion", b"1.0"),),
        (("content-type", b"application/json"),),
        (("Content-Type", b"application/cloudevents+json; charset=utf-8"), ("ce_specversion", b"0.3")),
    ]
)


def encode(document: Any, ascii_only: bool) -> bytes:
    return json.dumps(document, ensure_ascii=ascii_only).encode(errors="surrogatepass")


@settings(max_examples=1500, deadline=None)
@given(completions, st.booleans(), headers)
def test_completions_are_read_alike(document: dict[str, Any], ascii_only: bool, kept: Any) -> None:
    value = encode(document, ascii_only)
    assert read_job(value, kept) == read_carefully(value, kept)


@settings(max_examples=600, deadline=None)
@given(completions, st.lists(st.tuples(st.integers(0, 7), st.booleans(), extras), min_size=1, max_size=3), headers)
def test_completions_with_keys_that_stand_twice_are_read_alike(
    document: dict[str, Any], more: list[tuple[int, bool, dict[str, Any]]], kept: Any
) -> None:
    value = encode(document, False)
    for place, is_escaped, other in more:
        name = json.dumps(list(document)[place % len(document)])
        key = name if not is_escaped or name == '""' else f'"\\u{ord(name[1]):04x}{name[2:]}'
        value = value[:-1] + b"," + key.encode() + b" :" + encode(other, True) + b"}"
    fast, careful = read_job(value, kept), read_carefully(value, kept)
    assert fast == careful
    assert isinstance(careful, Refusal)
    assert careful.code in {Code.DUPLICATE_KEY, Code.NOT_JSON}


numbers = st.one_of(
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,25})?\Z"),
    st.sampled_from(["1e999999999999999999", "1e-999999999999999999", "1e-9999999999999999999", "9" * 5000]),
)
GOOD: dict[str, Any] = {
    "job_id": "j",
    "account_id": "a",
    "region": "Tokyo",
    "kinds": ["face"],
    "duration_s": 1,
    "completed_at": "2026-01-01T00:00:00Z",
}
fields = st.sampled_from(["job_id", "account_id", "region", "kinds", "duration_s", "completed_at", "x"])


@settings(max_examples=500, deadline=None)
@given(fields, numbers, st.sampled_from(["%s", "%s", '"%s"', "[%s,1]", "[%s,2,3,4,5]", '{"seconds":%s}']))
@example("duration_s", "1e999999999999999999", "%s")  # more than what decimals can be divided to
@example("completed_at", "1e999999", "%s")
@example("completed_at", "1e999999", '{"seconds":%s}')
@example("x", "1e9999999999999999999", "%s")  # more than what decimals can be
def test_numbers_of_any_size_are_read_alike_and_stop_nothing(field: str, number: str, around: str) -> None:
    literal = around.replace("%s", number)
    value = json.dumps({**GOOD, field: "here"}).replace('"here"', literal).encode()
    found = read_job(value, ())
    assert found == read_carefully(value, ())
    assert (found.code if isinstance(found, Refusal) else found.duration_ms) == recounted(value)


def recounted(value: bytes) -> Any:
    """The milliseconds of a completion, or the code of its refusal."""
    try:
        return read(value, []).duration_ms
    except NotMetered as refused:
        return str(refused)


@settings(max_examples=600, deadline=None)
@given(completions, st.binary(max_size=4), st.integers(0, 400), st.integers(0, 4))
@example({"job_id": "a"}, b"\xff", 5, 0)
def test_broken_completions_are_read_alike(document: dict[str, Any], junk: bytes, at: int, cut: int) -> None:
    value = encode(document, False)
    broken = value[:at] + junk + value[at + cut :]
    assert read_job(broken, ()) == read_carefully(broken, ())


def test_what_a_lenient_decoder_would_let_through() -> None:
    value = encode(GOOD, False)
    deep = value[:-1] + b',"x":' + b"[" * 101 + b"]" * 101 + b"}"
    for other in (value[:-1] + b',"x":"\xff"}', value[:-1] + b',"\xff":1}', deep):
        assert read_job(other, ()) == read_carefully(other, ())
        assert not isinstance(read_job(other, ()), Job)
    brackets = value[:-1] + b',"x":"' + b"[" * 200 + b'"}'
    assert read_job(brackets, ()) == Job(
        "j", "a", "ap-tokyo", kinds_json(("face",)), 1000, "1", 1_767_225_600_000_000, str(GOOD["completed_at"])
    )
    assert MAX_ORIGINAL_BYTES < 4 << 20
