"""Exact money: decimals that are never rounded but in `payable`, a bill's total; and their canonical text."""

from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    Inexact,
    InvalidOperation,
    Overflow,
)
from functools import lru_cache

CURRENCY = "CNY"

#: Arithmetic that is exact or raises: 60 digits are more than any total of this meter can need.
EXACT = Context(prec=60, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[Inexact, InvalidOperation, Overflow])

ZERO = Decimal("0.00")


_CENT = Decimal("0.01")
_PAYABLE = Context(prec=60, Emin=MIN_EMIN, Emax=MAX_EMAX, rounding=ROUND_HALF_UP, traps=[InvalidOperation, Overflow])

_SCALED = Context(prec=60, Emin=MIN_EMIN, Emax=MAX_EMAX, rounding=ROUND_DOWN, traps=[InvalidOperation, Overflow])


def payable(total: Decimal) -> Decimal:
    """What is to be paid of a bill's exact total: rounded once, half up, to 0.01 CNY.

    >>> payable(Decimal("16.8")), payable(Decimal("0.308")), payable(Decimal("0.005"))
    (Decimal('16.80'), Decimal('0.31'), Decimal('0.01'))
    """
    return total.quantize(_CENT, context=_PAYABLE)


def scaled(amount: Decimal, by: int, over: int) -> Decimal:
    """An amount times a fraction. What a decimal cannot hold is cut off, so that `payable` still rounds it rightly.

    >>> payable(scaled(Decimal("0.01"), 1, 3)), payable(scaled(Decimal("0.01"), 5, 2))
    (Decimal('0.00'), Decimal('0.03'))
    """
    return _SCALED.divide(EXACT.multiply(amount, Decimal(by)), Decimal(over))


def creditable(amount: Decimal) -> Decimal:
    """The most that can be credited of a line: what it came to, up to the next 0.01 CNY.

    So that the lines of any bill can take a credit of all that was payable; never more, which the bill sees to.

    >>> creditable(Decimal("16.8")), creditable(Decimal("0.3136"))
    (Decimal('16.80'), Decimal('0.32'))
    """
    return amount.quantize(_CENT, rounding=ROUND_CEILING, context=_PAYABLE)


@lru_cache(maxsize=65_536)
def decimal_text(value: Decimal) -> str:
    """Canonical text of an amount: plain notation, at least two places, no further trailing zeros.

    >>> decimal_text(Decimal("16.8")), decimal_text(Decimal("0.31360")), decimal_text(Decimal("1E+2"))
    ('16.80', '0.3136', '100.00')
    """
    if not value:
        return "0.00"  # also of a negative zero, which is equal to it and so remembered with it
    whole, _, places = f"{value:f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"
