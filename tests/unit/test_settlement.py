"""Settlement as the guide has it: daily bills at noon, monthly ones on the 1st, late jobs as adjustment lines."""

from decimal import Decimal

import pytest

from meter.billing_models import BillIssued
from meter.periods import BillingDays
from meter.rules import Rules
from meter.settle import run_due
from meter.settlement import bill_id_of
from meter.snapshot import changes
from meter.step import Step
from tests.unit.billing import Customers, lines, ms


def test_the_guides_bill_of_16_80_is_issued_on_2019_01_02_and_deducted() -> None:
    meter = Customers()
    meter.top_up("2019-01-01 08:00", "20.00")
    meter.runs("A", "2019-01-01 12:00", duration_s=3600)
    meter.time_is("2019-01-02 11:59")
    assert meter.bills() == []
    meter.time_is("2019-01-02 12:00")
    (bill,) = meter.bills()
    assert (bill.period, bill.mode, bill.total, bill.payable, bill.rounding) == (
        "2019-01-01", "daily", "16.80", "16.80", "0.00",
    )  # fmt: skip
    assert lines(bill) == [("usage", "2019-01-01", "Mainland China", 60, "16.80")]
    assert bill.lines[0].unit_price == "0.28"
    assert bill.issued_at == "2019-01-02T12:00:00.000+08:00"
    assert (meter.account().cash, meter.balance()) == (Decimal("3.20"), Decimal("3.20"))
    assert meter.account().open_bills == ()


def test_the_three_zones_each_at_its_price_on_one_bill() -> None:
    meter = Customers()
    for region in ("ap-guangzhou", "na-ashburn", "eu-frankfurt"):
        meter.runs("A", "2019-01-01 10:00", region=region, duration_s=60)
    meter.time_is("2019-01-02 18:00")
    (bill,) = meter.bills()
    assert {line.region: line.amount for line in bill.lines} == {
        "ap-guangzhou": "0.28", "na-ashburn": "0.308", "eu-frankfurt": "0.3136",
    }  # fmt: skip
    assert (bill.total, bill.payable, bill.rounding) == ("0.9016", "0.90", "-0.0016")


@pytest.mark.parametrize(("duration", "amount"), [(59, "0.28"), (60, "0.28"), (60.001, "0.56"), (3601, "17.08")])
def test_part_minutes_are_billed_as_whole_ones(duration: float, amount: str) -> None:
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00", duration_s=duration)
    meter.time_is("2019-01-02 18:00")
    assert meter.bills()[0].total == amount


def test_a_day_without_usage_has_no_bill() -> None:
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00")
    meter.runs("A", "2019-01-03 10:00")
    meter.time_is("2019-01-10 12:00")
    assert [bill.period for bill in meter.bills()] == ["2019-01-01", "2019-01-03"]


def test_by_contract_a_month_is_billed_on_the_1st() -> None:
    meter = Customers()
    assert meter.command("2019-01-31 22:59", "contract", effective_from="2019-02-01", mode="monthly").status == "done"
    for day in ("2019-02-01 00:00", "2019-02-14 10:00", "2019-02-28 23:59"):
        meter.runs("A", day)
    meter.time_is("2019-03-01 11:59")
    assert meter.bills() == []
    meter.time_is("2019-03-01 12:00")
    (bill,) = meter.bills()
    assert (bill.period, bill.mode, bill.total) == ("2019-02", "monthly", "50.40")
    assert [line.day for line in bill.lines] == ["2019-02-01", "2019-02-14", "2019-02-28"]


def test_a_mode_changes_with_a_month_and_each_day_is_billed_by_its_own() -> None:
    meter = Customers()
    meter.command("2019-01-15 10:00", "contract", effective_from="2019-02-01", mode="monthly")
    meter.command("2019-02-15 10:00", "contract", effective_from="2019-03-01", mode="daily")
    for day in ("2019-01-31 10:00", "2019-02-01 10:00", "2019-03-01 10:00"):
        meter.runs("A", day)
        meter.time_is(day)
    meter.time_is("2019-04-01 12:00")
    assert [bill.period for bill in meter.bills()] == ["2019-01-31", "2019-02", "2019-03-01"]


def test_a_job_before_the_cut_is_on_its_bill_and_one_at_the_cut_is_an_adjustment_on_the_next() -> None:
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00", duration_s=60)
    meter.runs("A", "2019-01-02 11:59:59", completed="2019-01-01 23:00", duration_s=60)
    meter.runs("A", "2019-01-02 12:00", completed="2019-01-01 23:30", duration_s=120)
    meter.time_is("2019-01-03 12:00")
    first, second = meter.bills()
    assert lines(first) == [("usage", "2019-01-01", "Mainland China", 2, "0.56")]
    assert lines(second) == [("late", "2019-01-01", "Mainland China", 2, "0.56")]
    assert second.lines[0].original_bill_id == first.bill_id
    assert second.period == "2019-01-02"  # though nothing else is on it


def test_a_late_job_is_charged_at_its_own_days_price() -> None:
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00")
    meter.command("2019-01-01 11:00", "contract", effective_from="2019-01-02", prices={"*": "0.10"})
    meter.runs("A", "2019-01-03 13:00", completed="2019-01-01 09:00", duration_s=60)
    meter.runs("A", "2019-01-03 13:00", duration_s=60)
    meter.time_is("2019-01-05 12:00")
    assert [(line.kind, line.unit_price) for line in meter.bills()[-1].lines] == [("usage", "0.10"), ("late", "0.28")]


def test_a_late_job_of_a_monthly_account_waits_for_the_next_months_bill() -> None:
    meter = Customers()
    meter.command("2019-01-15 10:00", "contract", effective_from="2019-02-01", mode="monthly")
    meter.runs("A", "2019-02-10 10:00", duration_s=60)
    meter.runs("A", "2019-03-01 12:00", completed="2019-02-10 10:00", duration_s=60)
    meter.time_is("2019-04-01 12:00")
    first, second = meter.bills()
    assert (first.period, second.period) == ("2019-02", "2019-03")
    assert second.lines[0].original_bill_id == first.bill_id == bill_id_of("A", "2019-02")


def test_after_an_outage_the_bills_are_the_same_to_the_byte_in_any_slices() -> None:
    def bills(outage: bool, slice_of: int) -> list[BillIssued]:
        meter = Customers(Rules(meter_id="test", partitions=1))
        for day in range(1, 5):
            for account in "ABCDE":
                meter.runs(account, f"2019-01-0{day} 10:00", region="ap-tokyo", duration_s=60 * day)
                meter.runs(account, f"2019-01-0{day} 14:00", completed=f"2019-01-0{max(1, day - 2)} 09:00")
            if not outage:
                meter.time_is(f"2019-01-0{day} 18:00", slice_of)
        meter.time_is("2019-01-08 18:00", slice_of)
        return sorted((b for b in meter.bills()), key=lambda bill: (bill.account_id, bill.period))

    on_time = bills(outage=False, slice_of=1)
    assert len(on_time) == 20

    def without_place(found: list[BillIssued]) -> list[bytes]:
        """Where in the journal the usage is depends on how it was folded; nothing else does."""
        range_of = on_time[0].proof.journal
        return [
            b.model_copy(update={"proof": b.proof.model_copy(update={"journal": range_of})}).canonical() for b in found
        ]

    for other in (bills(outage=True, slice_of=1), bills(outage=True, slice_of=1000), bills(False, 7)):
        assert without_place(other) == without_place(on_time)


def test_accounts_are_spread_over_the_windows_first_hour() -> None:
    meter = Customers(Rules(meter_id="test", partitions=1))
    for number in range(200):
        meter.runs(f"account-{number}", "2019-01-01 10:00")
    meter.time_is("2019-01-02 12:30")
    half = len(meter.bills())
    meter.time_is("2019-01-02 13:00")
    assert 60 < half < 140
    assert len(meter.bills()) == 200


def test_a_bill_names_its_proof() -> None:
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00")
    meter.runs("B", "2019-01-01 10:00")
    meter.runs("A", "2019-01-01 11:00", region="Tokyo")
    meter.time_is("2019-01-02 12:00")
    proof = meter.bills("A")[0].proof
    assert (proof.journal.partition, proof.journal.first, proof.journal.last) == (0, 1, 3)
    assert (proof.cut, proof.rules_version) == ("2019-01-02T12:00:00.000+08:00", 1)
    assert proof.prices_hash != meter.bills("B")[0].proof.prices_hash


def test_a_step_that_settles_in_blocks_is_the_step_that_settles_at_once() -> None:
    def settled(*blocks: int) -> list[object]:
        meter = Customers()
        for account in "ABCDE":
            meter.runs(account, "2019-01-01 10:00")
        step = Step(meter.partition.state, meter.partition.seen)
        for block in blocks:
            run_due(step, ms("2019-01-02 12:00"), block)
        return [
            step.outputs.bills,
            step.outputs.entries,
            step.outputs.notices,
            list(changes(step)),
            step.journal_entry(),
        ]

    at_once = settled(5)
    assert len(at_once[0]) == 5  # type: ignore[arg-type]
    assert settled(2, 2, 1) == settled(1, 4, 7) == at_once


def test_one_bill_for_account_and_period_whatever_crashes() -> None:
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00")
    meter.crash()
    step = meter.partition.run_due(ms("2019-01-02 12:00"), 10)
    meter.crash()
    assert len(step.outputs.bills) == 1
    meter.time_is("2019-01-05 12:00")
    assert meter.bills() == []  # those of a later step: none


def test_a_day_is_dropped_from_the_state_when_it_is_billed_and_no_job_can_come_any_more() -> None:
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00")
    meter.runs("A", "2019-02-20 10:00")
    meter.time_is("2019-02-21 12:00")
    assert list(meter.partition.state.totals.rows) == [
        ("A", "Mainland China", "2019-01-01"),
        ("A", "Mainland China", "2019-02-20"),
    ]
    meter.runs("A", "2019-02-21 13:00")
    meter.time_is("2019-02-22 12:00")
    assert [day for _, _, day in meter.partition.state.totals.rows] == ["2019-02-20", "2019-02-21"]
    meter.crash()
    assert [day for _, _, day in meter.partition.state.totals.rows] == ["2019-02-20", "2019-02-21"]


def test_months_and_days_are_cut_at_noon_in_the_billing_time_zone() -> None:
    days = BillingDays("Asia/Shanghai")
    assert days.cut_ms("2019-01-01") == ms("2019-01-02 12:00")
    assert days.cut_ms("2019-12") == days.cut_ms("2019-12-31") == ms("2020-01-01 12:00")
    assert days.cut_ms("2020-02") == ms("2020-03-01 12:00")
    assert days.open_day(ms("2019-01-02 11:59")) == "2019-01-01"
    assert days.open_day(ms("2019-01-02 12:00")) == "2019-01-02"
