"""What can be read of a record that is refused: one thing that is wrong takes nothing from the others."""

import gzip
import json
import zlib
from typing import Any

import pytest

from meter.intake import read_job
from meter.readable import SCANNED_BYTES
from meter.rejects import Refusal
from tests.builders import Partition, completion, rejects_of

VALUE = json.dumps(completion()).encode()
NONE = (None,) * 5
ALL = ("A", "job-1", "ap-guangzhou", 3_600_000, 1_767_240_000_000_000)


def refused(value: bytes) -> Refusal:
    found = read_job(value, ())
    assert isinstance(found, Refusal)
    return found


def read_of(value: bytes) -> tuple[Any, ...]:
    return refused(value)[2:]


WRAPPED: list[tuple[str, bytes, str]] = [
    ("gzip", gzip.compress(VALUE), "compressed with gzip: send it as it is, Kafka compresses batches"),
    ("a string", json.dumps(VALUE.decode()).encode(), "JSON in a JSON string: send it encoded once"),
    ("an array", b"[" + VALUE + b"]", "an array: each record is one completion"),
    ("a byte-order mark", b"\xef\xbb\xbf" + VALUE, "begins with a byte-order mark"),
    ("UTF-16 without a mark", VALUE.decode().encode("utf-16-le"), "UTF-16: send UTF-8"),
    ("UTF-16 of the other order", VALUE.decode().encode("utf-16-be"), "UTF-16: send UTF-8"),
    ("UTF-16", VALUE.decode().encode("utf-16"), "UTF-16: send UTF-8"),
    ("a schema registry", b"\0\0\0\0\x07" + VALUE, "a schema registry's five bytes"),
    ("deep", VALUE[:-1] + b',"x":' + b"[" * 200 + b"]" * 200 + b"}", "deeper than 100 levels"),
    ("no UTF-8 elsewhere", VALUE[:-1] + b',"x":"\xff"}', "not JSON"),
    ("a comma too many", VALUE[:-1] + b",}", "not JSON"),
    ("an end that is missing", VALUE[:-1] + b', "x": {"y"', "not JSON"),
    ("not a number elsewhere", VALUE[:-1] + b',"x": NaN}', "NaN is not JSON"),
    ("an event in gzip", gzip.compress(b'{"specversion":"1.0","data":' + VALUE + b"}"), "compressed with gzip"),
]


@pytest.mark.parametrize(("value", "message"), [row[1:] for row in WRAPPED], ids=[row[0] for row in WRAPPED])
def test_what_is_no_json_object_is_told_and_read_all_the_same(value: bytes, message: str) -> None:
    found = refused(value)
    assert found.code == "not_json"
    assert message in found.message
    assert found[2:] == ALL
    (reject,) = rejects_of(Partition().fold(value))
    assert (reject.account_id, reject.job_id, reject.amount_at_risk) == ("A", "job-1", "16.80")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (
            b'{"job_id": "j", "account_id": "A", "duration_s": NaN, "region": "Tokyo"}',
            ("A", "j", "ap-tokyo", None, None),
        ),
        (b'{"account_id": "A", "duration_s": 36', ("A", None, None, None, None)),
        (b'{"account_id": "A", "job_id": "jo', ("A", None, None, None, None)),
        (b'{"account_id": "A", "account_id": "B", "job_id": "j",', (None, "j", None, None, None)),
        (b'{"account_id": "A", "account_id": "A", "job_id": "j",', ("A", "j", None, None, None)),
        (b'{"x": {"account_id": "B"}, "y": [{"job_id": "k"}], "account_id": "A",', ("A", None, None, None, None)),
        (b'{"x": ["account_id", "B"], "data": 1,', (None, None, None, None, None)),
        (b'{"account_id": "A\xff", "job_id": "j",}', (None, "j", None, None, None)),
        (b'{"account_id": "\\ud800", "job_id": "j",}', (None, "j", None, None, None)),
        (b"[" + VALUE + b"," + VALUE + b"]", NONE),
        (b"[[" + VALUE + b"]]", NONE),
        (gzip.compress(VALUE)[:-9], NONE),
        (gzip.compress(b" " * (SCANNED_BYTES + 1) + VALUE), NONE),
        (b"\x1f\x8b junk", NONE),
        (zlib.compress(VALUE), NONE),
        (b" " * SCANNED_BYTES + VALUE[:-1], NONE),
        (b'"\\"', NONE),
        (b'"' + b"[" * 100_000, NONE),
        (b"{" * 50_000, NONE),
        (b'{"' * 50_000, NONE),
        (b"", NONE),
    ],
)
def test_only_what_is_surely_said_is_told(value: bytes, read: tuple[Any, ...]) -> None:
    assert read_of(value) == read


@pytest.mark.parametrize(
    "changes",
    [
        {"kinds": "face", "x": 1},
        {"kinds": [5]},
        {"region": 7},
        {"duration_s": []},
        {"completed_at": []},
        {"job_id": 5},
        {"account_id": 5},
        {"job_id": ""},
        {"account_id": "x" * 129},
    ],
)
def test_one_wrong_field_takes_nothing_from_the_others(changes: dict[str, Any]) -> None:
    found = read_of(json.dumps(completion(**changes)).encode())
    names = ("account_id", "job_id", "region", "duration_s", "completed_at")
    assert found == tuple(None if name in changes else value for name, value in zip(names, ALL, strict=True))


def test_money_is_estimated_of_what_is_only_another_spelling() -> None:
    wrong = completion(region="guangzhou", duration_s="PT1H", completed_at="2026-01-01 12:00:00")
    (reject,) = rejects_of(Partition().fold(wrong))
    assert (reject.code, reject.amount_at_risk) == ("unknown_region", "16.80")
