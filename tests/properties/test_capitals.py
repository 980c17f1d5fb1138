"""Amounts in Chinese capitals: the People's Bank's own examples, and a reader of their own that reads them back."""

import re
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meter.capitals import in_capitals

#: Of 支付结算办法, annex 1, and what follows from it.
EXAMPLES = {
    "1409.50": "壹仟肆佰零玖元伍角",
    "6007.14": "陆仟零柒元壹角肆分",
    "1680.32": "壹仟陆佰捌拾元叁角贰分",
    "107000.53": "壹拾万零柒仟元伍角叁分",
    "16409.02": "壹万陆仟肆佰零玖元零贰分",
    "325.04": "叁佰贰拾伍元零肆分",
    "0": "零元整",
    "0.00": "零元整",
    "-0.00": "零元整",
    "0.01": "壹分",
    "0.10": "壹角",
    "0.15": "壹角伍分",
    "16.80": "壹拾陆元捌角",
    "10": "壹拾元整",
    "100": "壹佰元整",
    "1010": "壹仟零壹拾元整",
    "10000": "壹万元整",
    "10001": "壹万零壹元整",
    "100100": "壹拾万零壹佰元整",
    "1000000": "壹佰万元整",
    "100000000": "壹亿元整",
    "100010000": "壹亿零壹万元整",
    "1000100000": "壹拾亿零壹拾万元整",
    "100000001.01": "壹亿零壹元零壹分",
    "1000000000000": "壹万亿元整",
    "1000000010000": "壹万亿零壹万元整",
    "10000000000000000": "壹亿亿元整",
    "999999999999.99": "玖仟玖佰玖拾玖亿玖仟玖佰玖拾玖万玖仟玖佰玖拾玖元玖角玖分",
    "-5.00": "负伍元整",
    "-1409.50": "负壹仟肆佰零玖元伍角",
    "1E+3": "壹仟元整",
}


@pytest.mark.parametrize("amount", EXAMPLES)
def test_as_the_rules_say(amount: str) -> None:
    assert in_capitals(Decimal(amount)) == f"人民币{EXAMPLES[amount]}"


@pytest.mark.parametrize("amount", ["0.001", "1.10000", "NaN", "Infinity"])
def test_what_has_no_capitals_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="at most 2 places"):
        in_capitals(Decimal(amount))


AMOUNTS = st.integers(-(10**18), 10**18).map(lambda cents: Decimal(cents).scaleb(-2))


@given(AMOUNTS)
@example(Decimal("100000000.00"))
def test_what_is_written_is_read_back(amount: Decimal) -> None:
    assert read(in_capitals(amount)) == amount


@given(AMOUNTS)
def test_zeros_are_where_they_may_be(amount: Decimal) -> None:
    text = in_capitals(amount).removeprefix("人民币").removeprefix("负")
    assert "零零" not in text
    assert not re.search("零[元万亿角分整拾佰仟]", text) or text == "零元整"
    assert text.endswith("整") == (amount == int(amount))
    assert not text.startswith("零") or not amount
    assert set(text) <= set("零壹贰叁肆伍陆柒捌玖拾佰仟万亿元角分整")


def read(text: str) -> Decimal:
    """An amount from its capitals, by a grammar of its own: the largest unit splits the text in two."""
    found = re.fullmatch(r"人民币(负)?(?:([^元角分]+)元)?(?:零?([^元角分整零])角)?(?:零?([^元角分整零])分)?整?", text)
    assert found is not None, text
    sign, yuan, jiao, fen = found.groups()
    cents = 100 * number(yuan or "零") + 10 * number(jiao or "零") + number(fen or "零")
    return Decimal(-cents if sign else cents).scaleb(-2)


def number(text: str) -> int:
    """A whole number in capitals."""
    for unit, size in (("亿", 10**8), ("万", 10**4), ("仟", 1000), ("佰", 100), ("拾", 10)):
        high, found, low = text.rpartition(unit)
        if found:
            return number(high) * size + number(low or "零")
    return "零壹贰叁肆伍陆柒捌玖".index(text.removeprefix("零") or "零")
