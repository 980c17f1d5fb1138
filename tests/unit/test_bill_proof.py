"""A bill is proved as the meter version that issued it signed it."""

from streams.proof.bill import _as_of
from tests.unit.billing import Customers


def test_a_bill_of_another_version_differs_in_its_last_field_alone() -> None:
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00")
    meter.time_is("2019-01-02 12:00")
    ((_, value),) = meter.steps[-1].outputs.bills
    version = meter.bills()[0].proof.meter_version
    other = _as_of(value, "9.9")
    assert _as_of(value, version) == value
    assert other != value
    assert _as_of(other, version) == value
