"""Arrears as the guide has them, told as histories of one customer."""

from decimal import Decimal

import pytest

from meter.arrears import TRANSITIONS, Event, IllegalTransitionError, Service, after
from tests.unit.billing import Customers


def in_arrears(at: str = "2019-01-02 12:00") -> Customers:
    """Account A, nothing paid in, 16.80 CNY billed."""
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00")
    meter.time_is(at)
    return meter


def test_a_failed_deduction_is_notified_the_same_day() -> None:
    meter = in_arrears()
    (notice,) = meter.notices()
    assert (notice.kind, notice.at, notice.owed) == ("arrears", "2019-01-02T12:00:00.000+08:00", "16.80")
    assert notice.deadline == "2019-01-03T12:00:00.000+08:00"
    assert notice.bill_id == meter.bills()[0].bill_id
    (service,) = meter.services()
    assert (service.state, service.may_start_jobs) == ("in_arrears", True)


def test_the_service_stops_after_24_hours_and_not_a_second_before() -> None:
    meter = in_arrears()
    meter.time_is("2019-01-03 11:59:59")
    assert meter.account().service is Service.IN_ARREARS
    meter.time_is("2019-01-03 12:00:00")
    assert meter.account().service is Service.STOPPED
    assert (meter.services()[-1].state, meter.services()[-1].may_start_jobs) == ("stopped", False)
    assert [notice.kind for notice in meter.notices()] == ["arrears", "stopped"]


def test_topped_up_within_24_hours_there_is_no_stop() -> None:
    meter = in_arrears()
    assert meter.top_up("2019-01-03 11:59:59", "16.80").status == "done"
    meter.time_is("2019-01-10 12:00")
    assert [service.state for service in meter.services()] == ["in_arrears", "good"]
    assert meter.account().cash == Decimal("0.00")


def test_a_top_up_folded_before_the_stop_ran_but_after_its_deadline_does_not_undo_it() -> None:
    meter = in_arrears()
    meter.top_up("2019-01-03 12:00:00", "16.80")
    assert [service.state for service in meter.services()] == ["in_arrears", "stopped", "good"]


@pytest.mark.parametrize(("amount", "state"), [("16.79", "stopped"), ("16.80", "good"), ("100.00", "good")])
def test_exactly_nothing_owed_restores(amount: str, state: str) -> None:
    meter = in_arrears()
    meter.time_is("2019-01-03 12:00")
    meter.top_up("2019-01-05 09:00", amount)
    assert meter.account().service == state


def test_running_jobs_are_completed_first_and_billed_after_the_stop_and_counted() -> None:
    meter = in_arrears()
    meter.time_is("2019-01-03 12:00")
    meter.runs("A", "2019-01-03 12:30")
    meter.runs("A", "2019-01-03 12:31", completed="2019-01-03 11:00")  # it was done before
    assert meter.account().completed_after_stop == 1
    meter.time_is("2019-01-04 12:00")
    assert [bill.total for bill in meter.bills()] == ["16.80", "33.60"]
    assert meter.account().owed == Decimal("50.40")


def test_later_bills_and_part_payments_do_not_move_the_deadline() -> None:
    meter = in_arrears()
    meter.runs("A", "2019-01-02 13:00")
    meter.top_up("2019-01-03 10:00", "10.00")
    meter.time_is("2019-01-03 12:00")
    assert meter.account().service is Service.STOPPED


def test_bills_are_paid_whole_and_the_oldest_first() -> None:
    meter = in_arrears()
    meter.runs("A", "2019-01-02 10:00", duration_s=60)
    meter.time_is("2019-01-03 12:00")
    meter.top_up("2019-01-03 13:00", "16.79")
    assert [bill.payable for bill in meter.account().open_bills] == [Decimal("16.80"), Decimal("0.28")]
    meter.top_up("2019-01-03 14:00", "0.01")
    assert [bill.payable for bill in meter.account().open_bills] == [Decimal("0.28")]
    assert meter.account().service is Service.STOPPED
    meter.top_up("2019-01-03 15:00", "0.28")
    assert meter.account().service is Service.GOOD


def test_a_monthly_account_without_terms_is_told_and_never_stopped() -> None:
    meter = Customers()
    meter.command("2019-01-15 10:00", "contract", effective_from="2019-02-01", mode="monthly")
    meter.runs("A", "2019-02-10 10:00")
    meter.time_is("2019-06-01 12:00")
    assert [(n.kind, n.deadline) for n in meter.notices()] == [("arrears", None)]
    assert meter.account().service is Service.IN_ARREARS


def test_a_monthly_contract_may_set_its_grace() -> None:
    meter = Customers()
    meter.command("2019-01-15 10:00", "contract", effective_from="2019-02-01", mode="monthly", grace_hours=72)
    meter.runs("A", "2019-02-10 10:00")
    meter.time_is("2019-03-01 12:00")
    meter.time_is("2019-03-04 11:59:59")
    assert meter.account().service is Service.IN_ARREARS
    meter.time_is("2019-03-04 12:00")
    assert meter.account().service is Service.STOPPED


def test_low_balance_is_told_once_when_it_is_crossed() -> None:
    meter = Customers()
    meter.top_up("2019-01-01 08:00", "50.00")
    assert meter.command("2019-01-01 09:00", "low_balance", threshold="20.00").status == "done"
    for day in ("2019-01-01", "2019-01-02", "2019-01-03"):
        meter.runs("A", f"{day} 10:00", duration_s=3000)
    meter.time_is("2019-01-04 12:00")
    assert [(n.kind, n.balance) for n in meter.notices()] == [("low_balance", "8.00")]


def test_the_table_has_every_way_and_no_other() -> None:
    for service in Service:
        for event in Event:
            if (service, event) in TRANSITIONS:
                assert after(service, event) in Service
            else:
                with pytest.raises(IllegalTransitionError):
                    after(service, event)
    assert (Service.GOOD, Event.DEADLINE_REACHED) not in TRANSITIONS
