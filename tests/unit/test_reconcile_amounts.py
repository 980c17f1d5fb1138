"""An amount of a published record that is none ends `reconcile` with its verdict, not with a traceback."""

from decimal import Decimal

import pytest

from streams.proof.differences import UnprovableError
from streams.proof.reconcile import published_cny


def test_an_amount_is_exact() -> None:
    assert str(published_cny("-0.30800000")) == "-0.30800000"
    assert published_cny("16.80") == Decimal("16.8")


@pytest.mark.parametrize("text", ["", "16,80", "sixteen", "NaN", "sNaN", "-Infinity"])
def test_what_is_no_amount_cannot_be_proven(text: str) -> None:
    with pytest.raises(UnprovableError, match=f"{text!r} is no amount"):
        published_cny(text)
