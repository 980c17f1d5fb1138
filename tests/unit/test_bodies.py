"""What of a request is read before it is known who sends it, and what of a body is counted before it is read."""

import time
from math import inf

import pytest

from meter.intake import MAX_DEPTH, too_deep
from streams.http.bodies import MAX_MEMBERS, _our_cookies, read_json
from streams.http.forms import MAX_FIELD_CHARS, MAX_FIELDS, read_form
from streams.http.problems import MAX_ERRORS, Problem, of_fields


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (b"meter_session=a-B_9", b"meter_session=a-B_9"),
        (b"x=1; meter_session=a ;meter_theme=dark", b"meter_session=a; meter_theme=dark"),
        (b"__Host-meter_session=b", b"__Host-meter_session=b"),
        (b'meter_session="a"', b""),
        (b'meter_session="\\141"', b""),
        (b"meter_session", b""),
        (b"=meter_session=a", b""),
        (b"METER_session=a; Xmeter_session=a; meter_session =a", b""),
        (b"meter_session=" + b"a" * 257, b""),
        (b";" * 200 + b"meter_session=a", b""),
        (b"", b""),
    ],
)  # fmt: skip
def test_our_cookies_alone_are_read(header: bytes, kept: bytes) -> None:
    assert _our_cookies(header) == kept


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"", {}),
        (b"token=mtr_a&to=%2Fconsole%3Fa%3Db+c", {"token": "mtr_a", "to": "/console?a=b c"}),
        ("name=北".encode().replace("北".encode(), b"%E5%8C%97"), {"name": "北"}),
        (b"empty=&other", {"empty": "", "other": ""}),
    ],
)
def test_a_form_is_read(body: bytes, fields: dict[str, str]) -> None:
    assert dict(read_form(body)) == fields


@pytest.mark.parametrize(
    "body",
    [
        b"&" * MAX_FIELDS,
        b"a=1&" * MAX_FIELDS,
        b"a=" + b"x" * (MAX_FIELD_CHARS + 1),
        b"a=%FF",
        "a=é".encode(),
        b"a=1&a=2",
    ],
    ids=["nothing", "many", "long", "no UTF-8", "no ASCII", "twice"],
)
def test_a_form_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(Problem) as refused:
        read_form(body)
    assert refused.value.status_code == 400


@pytest.mark.parametrize(
    ("body", "is_taken"),
    [
        (b"[" + b"1," * (MAX_MEMBERS - 1) + b"1]", True),
        (b"[" + b"1," * MAX_MEMBERS + b"1]", False),
        (b"[" + b"[]," * (MAX_MEMBERS // 2 - 1) + b"[]]", True),
        (b"[" + b"[]," * (MAX_MEMBERS // 2) + b"[]]", False),
        (b'{"a": {"b": [' + b"1," * (MAX_MEMBERS - 2) + b"1]}}", False),
        (rb'["\"' + b"," * 10_000 + b'"]', True),
        (b'"' + b"," * 10_000 + b'"', True),
    ],
)
def test_members_are_counted_at_all_levels_together(body: bytes, is_taken: bool) -> None:
    if is_taken:
        read_json(body)
        return
    with pytest.raises(Problem) as refused:
        read_json(body)
    assert (refused.value.status_code, refused.value.code) == (422, "bad_fields")


def test_a_number_of_thousands_of_digits_is_json_and_no_amount() -> None:
    assert read_json(b'{"a": %b, "b": %b}' % (b"9" * 1_000, b"-" + b"9" * 5_000)) == {"a": int("9" * 1_000), "b": -inf}


def test_of_many_errors_a_hundred_are_said_and_of_a_long_name_its_beginning() -> None:
    errors = [{"loc": ("body", "x" * 60_000), "type": "extra_forbidden", "msg": "m" * 60_000}] * 5_000
    said = of_fields(errors).document()
    assert len(said["errors"]) == MAX_ERRORS
    assert len(str(said)) < 100_000


@pytest.mark.parametrize(
    ("text", "deep"),
    [
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, False),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), True),
        ('{"a":' * (MAX_DEPTH + 1), True),
        ('["' + "[" * 200 + '"]', False),
        (r'["\"' + "[" * 200 + '"]', False),
        (r'["\\",' + "[" * 200 + "]", True),
        (r'["\\\"' + "[" * 200 + '"]', False),
        ("[]" * 200, False),
    ],
)
def test_depth_is_that_of_brackets_outside_of_strings(text: str, deep: bool) -> None:
    assert too_deep(text) is deep


def test_the_depth_of_four_megabytes_is_found_in_a_moment() -> None:
    """It took five seconds, for which nothing else went on."""
    for text in ("[[]," * (1 << 20), '["' + "\\n" * (1 << 21) + '"' + "[" * 101, '"",' * (1 << 20) + "[" * 101):
        began = time.process_time()
        too_deep(text)
        assert time.process_time() - began < 1.5
