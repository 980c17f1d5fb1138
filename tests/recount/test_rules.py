"""One record: the guide's 16.80 CNY, the edges of rounding, and every code that needs no clock."""

import json
from base64 import b64encode
from typing import Any

import pytest
from aiokafka.partitioner import murmur2 as reference_murmur2

from tests.recount.placement import murmur2, owner
from tests.recount.rules import PRICES, Completion, NotMetered, money, read

GUIDE = {
    "job_id": "j1",
    "account_id": "A",
    "region": "Mainland China",
    "kinds": ["face"],
    "duration_s": 3600,
    "completed_at": "2019-01-01T10:00:00+08:00",
}
EVENT = {"specversion": "1.0", "type": "recognition.job.completed.v1", "id": "e1", "source": "/s"}
NESTED = b'{"a":%s%s}'
BINARY: list[tuple[str, bytes | None]] = [("ce_specversion", b"1.0"), ("ce_type", b"recognition.job.completed.v1")]


def job(**changes: Any) -> Completion:
    return read(json.dumps(GUIDE | changes).encode(), [])


def code_of(value: bytes | None, headers: list[tuple[str, bytes | None]] | None = None) -> str:
    with pytest.raises(NotMetered) as refused:
        read(value, headers or [])
    return str(refused.value)


def test_guide_example() -> None:
    guide = job()
    assert (guide.minutes, money(PRICES[guide.region] * guide.minutes), guide.day) == (60, "16.80", "2019-01-01")


@pytest.mark.parametrize(
    ("literal", "duration_s", "minutes"),
    [
        ("60", "60", 1),
        ("60.0", "60", 1),
        ('"60.000"', "60", 1),
        ("6e1", "60", 1),
        ("60.0000001", "60", 1),
        ("60.0004999999999999999999999", "60", 1),
        ("60.0005", "60.001", 2),
        ('"60.001"', "60.001", 2),
        ("0.0001", "0.001", 1),
        ("1e-400", "0.001", 1),
        ("1e-9999999999999999999", "0.001", 1),
        ("59.9994", "59.999", 1),
        ("31536000", "31536000", 525600),
        ("100", "100", 2),
    ],
)
def test_durations(literal: str, duration_s: str, minutes: int) -> None:
    value = json.dumps(GUIDE | {"duration_s": "X"}).replace('"X"', literal).encode()
    completion = read(value, [])
    assert (completion.duration_s, completion.minutes) == (duration_s, minutes)


@pytest.mark.parametrize(
    ("region", "code", "price"),
    [
        ("ap-guangzhou", "ap-guangzhou", "0.28"),
        ("广州", "ap-guangzhou", "0.28"),
        ("Virginia", "na-ashburn", "0.308"),
        ("Frankfurt", "eu-frankfurt", "0.3136"),
        ("Silicon Valley, Virginia", "Silicon Valley, Virginia", "0.308"),
    ],
)
def test_regions_and_prices(region: str, code: str, price: str) -> None:
    assert (job(region=region).region, money(PRICES[job(region=region).region])) == (code, price)


def test_money_is_plain_text() -> None:
    assert [money(PRICES["ap-tokyo"] * n) for n in (1, 5, 625, 100_000)] == [
        "0.3136",
        "1.568",
        "196.00",
        "31360.00",
    ]


@pytest.mark.parametrize(
    ("completed_at", "day"),
    [
        ("2026-11-22T15:59:59.999999Z", "2026-11-22"),
        ("2026-11-22T16:00:00Z", "2026-11-23"),
        ("2026-11-23T00:00:00+08:00", "2026-11-23"),
        ("2026-11-22T11:30:00-04:30", "2026-11-23"),
        ("2026-11-22t15:59:59.9999999z", "2026-11-22"),
        ("9999-12-31T23:59:59Z", "9999-12-31"),  # a day later in Shanghai there is no calendar
        ("0001-01-01T00:00:00Z", "0001-01-01"),
    ],
)
def test_billing_day_is_shanghais(completed_at: str, day: str) -> None:
    assert job(completed_at=completed_at).day == day


def test_same_content_in_other_bytes_is_the_same_job() -> None:
    first = job(kinds=["face", "text"], duration_s=60, region="ap-tokyo")
    again = job(
        kinds=["text", "face", "text"],
        duration_s="60.0",
        region="东京",
        completed_at="2019-01-01T02:00:00.000Z",
    )
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != job(kinds=["face"], duration_s=60, region="ap-tokyo").fingerprint


def test_cloud_events() -> None:
    assert read(json.dumps(EVENT | {"data": GUIDE}).encode(), []) == job()
    assert read(json.dumps(GUIDE).encode(), BINARY) == job()
    assert (
        read(json.dumps(EVENT | {"data_base64": b64encode(json.dumps(GUIDE).encode()).decode()}).encode(), []) == job()
    )
    assert code_of(json.dumps(EVENT | {"data_base64": "?"}).encode()) == "bad_fields"
    assert read(json.dumps(GUIDE | {"specversion": "1.0"}).encode(), []) == job()
    assert code_of(NESTED % (b"[" * 99, b"]" * 99)) == "bad_fields"
    assert code_of(json.dumps(EVENT | {"type": "other", "data": GUIDE}).encode()) == "bad_fields"
    assert code_of(json.dumps(EVENT).encode()) == "bad_fields"
    assert code_of(json.dumps(GUIDE).encode(), [("ce_specversion", b"1.0")]) == "bad_fields"


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"null",
        b"12",
        b'{"a":"\xff"}',
        b'{"a":NaN}',
        b"{} {}",
        b"[" * 100_000,
        NESTED % (b"[" * 100, b"]" * 100),
    ],
)
def test_not_json(value: bytes | None) -> None:
    assert code_of(value) == "not_json"


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("bad_fields", {"job_id": ""}),
        ("bad_fields", {"account_id": "a" * 129}),
        ("bad_fields", {"account_id": 7}),
        ("bad_fields", {"account_id": "\ud800"}),
        ("bad_fields", {"kinds": []}),
        ("bad_fields", {"kinds": "face"}),
        ("bad_fields", {"duration_s": None}),
        ("bad_fields", {"completed_at": 1_700_000_000}),
        ("unknown_kind", {"kinds": ["face", "smell"], "region": "nowhere"}),
        ("unknown_region", {"region": "ap-Tokyo", "duration_s": 0}),
        ("bad_duration", {"duration_s": 0, "completed_at": "yesterday"}),
        ("bad_duration", {"duration_s": -1}),
        ("bad_duration", {"duration_s": 31_536_000.001}),
        ("bad_duration", {"duration_s": "1e3"}),
        ("bad_duration", {"duration_s": " 60"}),
        ("bad_duration", {"duration_s": "٦٠"}),
        ("no_offset", {"completed_at": "2026-11-23T10:00:00"}),
        ("no_offset", {"completed_at": "2026-11-23"}),
        ("no_offset", {"completed_at": "2026-02-30T10:00:00Z"}),
        ("no_offset", {"completed_at": "2026-02-20T10:00:00+08:60"}),
    ],
)
def test_refused_in_order(code: str, changes: dict[str, Any]) -> None:
    assert code_of(json.dumps(GUIDE | changes).encode()) == code


@pytest.mark.parametrize("missing", list(GUIDE))
def test_missing_field(missing: str) -> None:
    assert code_of(json.dumps({k: v for k, v in GUIDE.items() if k != missing}).encode()) == "bad_fields"


@pytest.mark.parametrize(
    ("text", "java"),
    [
        ("21", -973932308),
        ("abc", 479470107),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    ],
)
def test_murmur2_is_kafkas(text: str, java: int) -> None:
    assert murmur2(text.encode()) == java & 0xFFFFFFFF


def test_placement_is_aiokafkas() -> None:
    for n in range(2000):
        account = f"账户-{n:x}"[: n % 9 + 1]
        assert owner(account, 8) == (reference_murmur2(account.encode()) & 0x7FFFFFFF) % 8
