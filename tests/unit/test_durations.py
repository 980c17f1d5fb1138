"""The two rounding rules of a duration, and exact money: every literal that can come, and the same answer for all."""

from decimal import Decimal, Inexact

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.durations import billable_minutes, duration_ms, duration_text, plain_duration_ms
from meter.money import EXACT, decimal_text


@pytest.mark.parametrize(
    ("literal", "milliseconds"),
    [
        ("60", 60_000), ("60.0", 60_000), ("6e1", 60_000), ("6E+1", 60_000), ("600e-1", 60_000), ("60.0004999", 60_000),
        ("60.0005", 60_001), ("0.0005", 1), ("0.0004", 1), ("1e-18", 1), ("1e-400", 1), ("0." + "0" * 500 + "1", 1),
        ("0.0015", 2), ("0.0025", 3),  # half up, not half even
        ("0.00149999999999999999999999999999999999999999999999999999999999999999999", 1),
        ("31536000", 31_536_000_000), ("31535999.9999", 31_536_000_000), ("31536000." + "0" * 100, 31_536_000_000),
        ("31536000.0001", None), ("31536001", None), ("1e400", None), ("1e999999999999999999999", None),
        ("31536000." + "0" * 100 + "1", None),
        ("0", None), ("0.0", None), ("-0", None), ("-1", None), ("-1e-30", None), ("NaN", None), ("Infinity", None),
        ("", None), ("x", None), ("9" * 100_000, None),
    ],
)  # fmt: skip
def test_a_duration_is_taken_to_the_millisecond_half_up(literal: str, milliseconds: int | None) -> None:
    assert duration_ms(literal) == milliseconds


@pytest.mark.parametrize(
    ("milliseconds", "minutes"),
    [(1, 1), (59_999, 1), (60_000, 1), (60_001, 2), (120_000, 2), (120_001, 3), (31_536_000_000, 525_600)],
)
def test_a_part_of_a_minute_counts_as_a_whole_one(milliseconds: int, minutes: int) -> None:
    assert billable_minutes(milliseconds) == minutes


@settings(deadline=None)
@given(st.integers(1, 31_536_000_000))
def test_the_canonical_text_of_a_duration_is_read_back(milliseconds: int) -> None:
    text = duration_text(milliseconds)
    assert duration_ms(text) == milliseconds
    quick = plain_duration_ms(text.encode())
    assert quick == milliseconds or (quick is None and len(text) > 7)


@settings(max_examples=500, deadline=None)
@given(st.from_regex(rb"\A[0-9]{1,9}(\.[0-9]{0,5})?\Z") | st.binary(max_size=8))
def test_the_quick_reading_of_a_duration_is_right_or_leaves_it(literal: bytes) -> None:
    quick = plain_duration_ms(literal)
    if quick is not None and quick <= 31_536_000_000:
        assert quick == duration_ms(literal.decode())
        assert literal.endswith(b"0") or duration_text(quick) == literal.decode()


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**15, places=8))
def test_the_text_of_an_amount_is_canonical_and_exact(amount: Decimal) -> None:
    text = decimal_text(amount)
    whole, places = text.split(".")
    assert Decimal(text) == amount
    assert whole.isdigit()
    assert len(places) == 2 or (len(places) > 2 and not places.endswith("0"))


def test_money_that_would_be_rounded_raises() -> None:
    with pytest.raises(Inexact):
        EXACT.divide(Decimal(1), Decimal(3))
    with pytest.raises(Inexact):
        EXACT.add(Decimal(10) ** 60, Decimal("0.01"))
