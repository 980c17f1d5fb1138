"""Exact money: decimals that are never rounded behind one's back, and their canonical text."""

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact, InvalidOperation, Overflow

CURRENCY = "CNY"

#: Arithmetic that is exact or raises: 60 digits are more than any total of this meter can need.
EXACT = Context(prec=60, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[Inexact, InvalidOperation, Overflow])

ZERO = Decimal("0.00")


def decimal_text(value: Decimal) -> str:
    """Canonical text of an amount: plain notation, at least two places, no further trailing zeros.

    >>> decimal_text(Decimal("16.8")), decimal_text(Decimal("0.31360")), decimal_text(Decimal("1E+2"))
    ('16.80', '0.3136', '100.00')
    """
    whole, _, places = f"{value:f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"
