"""Amounts in Chinese capitals, 大写金额, as they are written on bills so that no digit can be changed.

After the People's Bank's rules for filling in payment documents (支付结算办法, annex 1): 人民币 goes before; an amount
without 角 and 分 ends in 整, one with either does not; zeros within yuan are one 零; 分 without 角 have 零 before them,
and 角 that follow yuan have none.
"""

from decimal import Decimal

from meter.money import decimal_text

_DIGITS = "零壹贰叁肆伍陆柒捌玖"
#: Units of four digits, and of what is above them; 亿 may be said of 亿, as in 壹万亿 and 壹亿亿.
_TENS = ("", "拾", "佰", "仟")
_TEN_THOUSAND, _HUNDRED_MILLION = 10**4, 10**8


def in_capitals(amount: Decimal) -> str:
    """CNY with at most two places. Raises ValueError for more, and for what is no number.

    >>> in_capitals(Decimal("1409.50")), in_capitals(Decimal("107000.53")), in_capitals(Decimal("-0.04"))
    ('人民币壹仟肆佰零玖元伍角', '人民币壹拾万零柒仟元伍角叁分', '人民币负肆分')
    """
    if not amount.is_finite() or amount.as_tuple().exponent < -2:  # type: ignore[operator]  # of a finite one it is a number
        raise ValueError(f"an amount in capitals has at most 2 places, got {decimal_text(amount)}")
    yuan, cents = divmod(int(abs(amount).scaleb(2)), 100)
    whole = f"{_whole(yuan)}元" if yuan else ""
    text = whole + _cents(cents, after_yuan=bool(yuan))
    return f"人民币{'负' if amount < 0 else ''}{text or '零元整'}"


def _cents(cents: int, *, after_yuan: bool) -> str:
    if not cents:
        return "整" if after_yuan else ""
    jiao, fen = divmod(cents, 10)
    tenths = f"{_DIGITS[jiao]}角" if jiao else ("零" if after_yuan else "")
    return tenths + (f"{_DIGITS[fen]}分" if fen else "")


def _whole(number: int) -> str:
    """A whole number, more than 0."""
    if number < _TEN_THOUSAND:
        return _four(number)
    size, unit = (_HUNDRED_MILLION, "亿") if number >= _HUNDRED_MILLION else (_TEN_THOUSAND, "万")
    high, low = divmod(number, size)
    gap = "零" if low and (low < size // 10 or high % 10 == 0) else ""
    return f"{_whole(high)}{unit}{gap}{_whole(low) if low else ''}"


def _four(number: int) -> str:
    """Four digits at most: a zero between others is said once, and none at the end."""
    text, gap = "", False
    for place, tens in reversed(list(enumerate(_TENS))):
        digit = number // 10**place % 10
        if digit:
            text += ("零" if gap and text else "") + _DIGITS[digit] + tens
        gap = not digit
    return text
