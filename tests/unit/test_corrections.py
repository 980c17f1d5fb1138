"""Money that is put right: payments that bounced, charges, credit notes, contracts and books that are not to begin.

Each case is told as a history of one customer, and its figures are computed by hand.
"""

from decimal import Decimal
from typing import Any

import pytest

from meter import corrections
from meter.accounts import CORRECTED_MS
from meter.arrears import Service
from meter.billing_models import NoteIssued
from meter.periods import DAY_MS
from meter.settlement import bill_id_of
from tests.builders import price_book
from tests.unit.billing import Customers, ms

BILL = bill_id_of("A", "2019-01-01")
AT = "2019-01-02 13:00"


def customer(paid_in: str = "20.00") -> Customers:
    """Account A has paid in 20.00 CNY (command-2) and has been billed 16.80 CNY on 2019-01-02."""
    meter = Customers()
    meter.top_up("2019-01-01 08:00", paid_in)
    meter.runs("A", "2019-01-01 10:00")
    meter.time_is("2019-01-02 12:00")
    return meter


def figures(meter: Customers) -> tuple[str, str, str]:
    """Balance, what is owed, and the service; the ledger agrees."""
    account = meter.account()
    assert meter.balance() == account.cash
    assert receivable(meter) == account.open_amount
    return f"{account.cash:.2f}", f"{max(account.owed, Decimal(0)):.2f}", account.service


def receivable(meter: Customers) -> Decimal:
    """What is open, as a fold of the ledger."""
    postings = (p for entry in meter.entries() for p in entry.postings if p.book == "receivable")
    return sum((Decimal(posting.amount) for posting in postings), Decimal("0.00"))


def notes(meter: Customers) -> list[NoteIssued]:
    """All notes."""
    return [NoteIssued.read(value) for step in meter.steps for _, value in step.outputs.notes]


def notices(meter: Customers) -> list[str]:
    """The kinds of all notices."""
    return [notice.kind for notice in meter.notices()]


# -- payments that bounced ------------------------------------------------------------------------------------------


def test_a_payment_that_bounced_after_it_paid_a_bill_is_owed_again_and_stops_the_service_in_time() -> None:
    meter = customer()
    assert figures(meter) == ("3.20", "0.00", "good")
    assert meter.command(AT, "payment_reversed", top_up="command-2").status == "done"
    assert figures(meter) == ("3.20", "16.80", "in_arrears")
    (note,) = notes(meter)
    assert (note.kind, note.amount, note.reference, note.day) == (
        "payment_reversed", "20.00", "command-2", "2019-01-02",
    )  # fmt: skip
    assert [bill.bill_id for bill in meter.account().open_bills] == [note.note_id]
    (notice,) = meter.notices()
    assert (notice.kind, notice.bill_id, notice.payable, notice.owed) == ("arrears", note.note_id, "20.00", "16.80")
    assert notice.deadline == "2019-01-03T13:00:00.000+08:00"
    meter.time_is("2019-01-03 12:59:59")
    assert meter.account().service is Service.IN_ARREARS
    meter.time_is("2019-01-03 13:00")
    assert figures(meter) == ("3.20", "16.80", "stopped")
    meter.top_up("2019-01-04 09:00", "16.80")
    assert figures(meter) == ("0.00", "0.00", "good")
    assert len(meter.bills()) == 1  # as it was issued


def test_a_payment_that_bounced_before_it_was_spent_is_taken_from_the_balance() -> None:
    meter = customer("100.00")
    meter.top_up("2019-01-02 12:30", "20.00")
    assert meter.command(AT, "payment_reversed", top_up="command-3").status == "done"
    assert figures(meter) == ("83.20", "0.00", "good")
    assert meter.notices() == []
    entries = [(entry.cause, entry.reference) for entry in meter.entries()[-2:]]
    assert entries == [("payment_reversed", notes(meter)[0].note_id), ("payment", notes(meter)[0].note_id)]


def test_a_payment_that_bounced_waits_behind_older_bills() -> None:
    meter = customer("10.00")
    assert figures(meter) == ("10.00", "6.80", "in_arrears")
    meter.command(AT, "payment_reversed", top_up="command-2")
    assert figures(meter) == ("10.00", "16.80", "in_arrears")
    meter.top_up("2019-01-02 14:00", "6.80")  # the bill is paid, the bounced 10.00 are not
    assert [bill.payable for bill in meter.account().open_bills] == [Decimal("10.00")]
    meter.time_is("2019-01-03 12:00")  # the bill's deadline: something is owed
    assert figures(meter) == ("0.00", "10.00", "stopped")


def test_a_top_up_is_reversed_once() -> None:
    meter = customer("100.00")
    assert meter.command(AT, "payment_reversed", top_up="command-2").status == "done"
    assert meter.command(AT, "payment_reversed", top_up="command-2").code == "already_reversed"
    assert meter.command(AT, "payment_reversed", top_up="command-1").code == "unknown_payment"  # opens the account
    meter.crash()
    assert meter.command(AT, "payment_reversed", top_up="command-2").code == "already_reversed"
    assert len(notes(meter)) == 1


def test_another_accounts_top_up_is_not_reversed() -> None:
    meter = customer()
    meter.top_up("2019-01-02 12:30", "7.00", "B")
    assert meter.command(AT, "payment_reversed", "A", top_up="command-4").code == "unknown_payment"
    assert meter.command(AT, "payment_reversed", "B", top_up="command-4").status == "done"


@pytest.mark.parametrize(("days", "code"), [(92, None), (93, "unknown_payment")])
def test_a_top_up_can_be_reversed_for_92_days(days: int, code: str | None) -> None:
    meter = Customers()
    meter.top_up("2019-01-01 08:00", "20.00")
    assert CORRECTED_MS == 92 * DAY_MS
    day = {92: "2019-04-03", 93: "2019-04-04"}[days]
    assert meter.command(f"{day} 08:00", "payment_reversed", top_up="command-2").code == code


def test_old_payments_and_documents_are_forgotten() -> None:
    meter = customer()
    meter.command("2019-01-02 13:00", "charge", amount="1.00", reason="r")
    meter.top_up("2019-06-01 08:00", "1.00")
    state = meter.partition.state
    assert (list(state.accounts.payments["A"]), state.accounts.documents["A"]) == (["command-4"], {})
    meter.crash()
    assert (list(meter.partition.state.accounts.payments["A"]), meter.partition.state.accounts.documents) == (
        ["command-4"],
        {},
    )


def test_a_payments_number_is_used_once_as_long_as_it_can_be_reversed() -> None:
    meter = Customers()
    meter.top_up("2019-01-01 08:00", "20.00")
    assert meter.command("2019-03-01 08:00", "top_up", amount="20.00", command_id="command-2").code == "id_reused"
    assert meter.command("2019-04-15 08:00", "top_up", amount="20.00", command_id="command-2").status == "done"
    assert figures(meter) == ("40.00", "0.00", "good")


def test_a_refund_of_a_bill_whose_payment_bounced_pays_what_bounced() -> None:
    meter = customer()
    meter.command(AT, "payment_reversed", top_up="command-2")
    assert meter.command("2019-01-02 14:00", "refund", bill_id=BILL, ticket="T", amount="16.80").status == "done"
    assert figures(meter) == ("0.00", "0.00", "good")
    assert meter.command("2019-01-02 15:00", "refund", bill_id=BILL, ticket="U", amount="0.01").code == "over_paid"


def test_an_adjustment_up_pays_what_bounced() -> None:
    meter = customer()
    meter.command(AT, "payment_reversed", top_up="command-2")
    meter.command("2019-01-02 14:00", "adjustment", amount="16.80", reason="goodwill")
    assert figures(meter) == ("0.00", "0.00", "good")


# -- charges --------------------------------------------------------------------------------------------------------


def test_an_under_billed_monthly_customer_is_charged_and_the_bill_stays() -> None:
    meter = Customers()
    meter.command("2019-01-15 10:00", "contract", effective_from="2019-02-01", mode="monthly", grace_hours=72)
    meter.runs("A", "2019-02-10 10:00")
    meter.time_is("2019-03-01 12:00")
    before = meter.bills()
    assert meter.command("2019-03-01 13:00", "charge", amount="5.00", reason="under-billed").status == "done"
    assert figures(meter) == ("0.00", "21.80", "in_arrears")
    assert meter.bills() == before
    (note,) = notes(meter)
    assert (note.kind, note.amount, note.reason) == ("charge", "5.00", "under-billed")
    meter.time_is("2019-03-04 11:59")
    assert meter.account().service is Service.IN_ARREARS
    meter.time_is("2019-03-04 12:00")  # 72 hours after the bill, which a later item does not move
    assert meter.account().service is Service.STOPPED


@pytest.mark.parametrize(
    ("amount", "balance", "owed", "service", "told"),
    [
        ("3.20", "0.00", "0.00", "good", []),
        ("3.21", "3.20", "0.01", "in_arrears", ["arrears"]),
        ("100.00", "3.20", "96.80", "in_arrears", ["arrears"]),
    ],
)
def test_a_charge_is_paid_whole_or_not_at_all(
    amount: str, balance: str, owed: str, service: str, told: list[str]
) -> None:
    meter = customer()
    assert meter.command(AT, "charge", amount=amount, reason="r").status == "done"
    assert figures(meter) == (balance, owed, service)
    assert notices(meter) == told


def test_bills_and_charges_are_paid_in_one_queue_the_oldest_first() -> None:
    meter = customer("16.80")
    meter.command(AT, "charge", amount="50.00", reason="r")
    meter.runs("A", "2019-01-02 14:00", duration_s=60)
    meter.time_is("2019-01-03 12:00")
    assert [bill.payable for bill in meter.account().open_bills] == [Decimal("50.00"), Decimal("0.28")]
    meter.top_up("2019-01-03 12:30", "49.99")
    assert figures(meter) == ("49.99", "0.29", "in_arrears")
    meter.top_up("2019-01-03 12:40", "0.29")
    assert figures(meter) == ("0.00", "0.00", "good")


def test_a_charge_that_takes_the_balance_below_the_threshold_is_told_of() -> None:
    meter = customer("100.00")
    meter.command(AT, "low_balance", threshold="50.00")
    meter.command(AT, "charge", amount="40.00", reason="r")
    assert notices(meter) == ["low_balance"]


def test_a_charge_is_refunded_and_credited_like_a_bill() -> None:
    meter = customer("100.00")
    meter.command(AT, "charge", amount="10.00", reason="r")
    note_id = notes(meter)[0].note_id
    assert meter.command(AT, "refund", bill_id=note_id, ticket="T", amount="4.00").status == "done"
    credit: dict[str, Any] = {"bill_id": note_id, "line": 1, "reason": "r"}
    assert meter.command(AT, "credit_note", **credit, amount="6.01").code == "over_credited"
    assert meter.command(AT, "credit_note", **credit, amount="6.00").status == "done"
    assert meter.command(AT, "refund", bill_id=note_id, ticket="U", amount="0.01").code == "over_paid"
    assert figures(meter) == ("83.20", "0.00", "good")


# -- credit notes ---------------------------------------------------------------------------------------------------


def test_a_credit_note_on_an_open_bill_lowers_what_is_owed() -> None:
    meter = customer("10.00")
    assert figures(meter) == ("10.00", "6.80", "in_arrears")
    credit: dict[str, Any] = {"bill_id": BILL, "line": 1, "reason": "not our customer's video"}
    assert meter.command(AT, "credit_note", **credit, amount="6.79").status == "done"
    assert figures(meter) == ("10.00", "0.01", "in_arrears")
    assert meter.command(AT, "credit_note", **credit, amount="0.01").status == "done"
    assert figures(meter) == ("0.00", "0.00", "good")  # the remaining 10.00 were paid
    assert notices(meter) == ["arrears", "restored"]
    assert [bill.payable for bill in meter.bills()] == ["16.80"]
    assert meter.command(AT, "refund", bill_id=BILL, ticket="T", amount="10.01").code == "over_paid"
    assert meter.command(AT, "refund", bill_id=BILL, ticket="T", amount="10.00").status == "done"


def test_a_credit_note_on_all_of_an_open_bill_settles_it() -> None:
    meter = customer("10.00")
    meter.command(AT, "credit_note", bill_id=BILL, line=1, amount="16.80", reason="r")
    assert figures(meter) == ("10.00", "0.00", "good")
    assert meter.command(AT, "refund", bill_id=BILL, ticket="T", amount="0.01").code == "over_paid"


def test_a_credit_note_on_a_paid_bill_adds_to_the_balance_and_pays_what_is_open() -> None:
    meter = customer()
    meter.command(AT, "charge", amount="10.00", reason="r")
    assert figures(meter) == ("3.20", "6.80", "in_arrears")
    meter.command(AT, "credit_note", bill_id=BILL, line=1, amount="6.80", reason="r")
    assert figures(meter) == ("0.00", "0.00", "good")
    (entry,) = [entry for entry in meter.entries() if entry.cause == "credit_note"]
    assert (entry.reference, entry.entry_id, entry.reason) == (BILL, notes(meter)[-1].note_id, "r")


@pytest.mark.parametrize(
    ("minutes", "line", "amount", "code"),
    [
        # Two lines: 60 minutes in Guangzhou are 16.80; a minute in Frankfurt is 0.3136: payable 17.11.
        (1, 1, "16.80", None),
        (1, 1, "16.81", "over_credited"),
        (1, 2, "0.31", None),
        (1, 2, "0.32", None),  # to the next full cent, and 17.11 is not reached
        (1, 2, "0.33", "over_credited"),
        (1, 3, "0.01", "no_such_line"),
    ],
)
def test_a_line_is_credited_what_it_came_to_and_no_more(minutes: int, line: int, amount: str, code: str | None) -> None:
    meter = Customers()
    meter.top_up("2019-01-01 08:00", "50.00")
    meter.runs("A", "2019-01-01 10:00")
    meter.runs("A", "2019-01-01 11:00", region="eu-frankfurt", duration_s=60 * minutes)
    meter.time_is("2019-01-02 12:00")
    (bill,) = meter.bills()
    assert [(row.region, row.amount) for row in bill.lines] == [
        ("Mainland China", "16.80"), ("eu-frankfurt", "0.3136"),
    ]  # fmt: skip
    assert meter.command(AT, "credit_note", bill_id=BILL, line=line, amount=amount, reason="r").code == code


def test_any_bill_can_be_credited_whole_by_its_lines_and_never_more() -> None:
    meter = Customers()
    meter.top_up("2019-01-01 08:00", "5.00")
    for region in ("eu-frankfurt", "ap-tokyo"):  # 0.3136 each: 0.6272, payable 0.63
        meter.runs("A", "2019-01-01 11:00", region=region, duration_s=60)
    meter.time_is("2019-01-02 12:00")
    for line, amount, code in (
        (1, "0.32", None),
        (2, "0.32", "over_credited"),
        (2, "0.31", None),
        (2, "0.01", "over_credited"),
    ):
        assert meter.command(AT, "credit_note", bill_id=BILL, line=line, amount=amount, reason="r").code == code
    assert figures(meter) == ("5.00", "0.00", "good")


def test_what_was_refunded_is_not_credited_too() -> None:
    meter = customer()
    meter.command(AT, "refund", bill_id=BILL, ticket="T", amount="10.00")
    credit: dict[str, Any] = {"bill_id": BILL, "line": 1, "reason": "r"}
    assert meter.command(AT, "credit_note", **credit, amount="6.81").code == "over_credited"
    assert meter.command(AT, "credit_note", **credit, amount="6.80").status == "done"
    assert figures(meter) == ("20.00", "0.00", "good")


def test_a_credit_note_of_a_bill_that_was_paid_long_ago_is_refused() -> None:
    meter = customer()
    late = "2019-04-05 13:00"
    assert meter.command(late, "credit_note", bill_id=BILL, line=1, amount="1.00", reason="r").code == "unknown_bill"
    assert meter.command(late, "refund", bill_id=BILL, ticket="T", amount="1.00").code == "not_paid"


NOTE = {"bill_id": BILL, "line": 1, "amount": "1.00", "reason": "r"}


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("charge", {"amount": "0.00", "reason": "r"}, "bad_amount"),
        ("charge", {"amount": "-1.00", "reason": "r"}, "bad_amount"),
        ("charge", {"amount": "1.00"}, "bad_fields"),
        ("charge", {"amount": "1.00", "reason": ""}, "bad_fields"),
        ("charge", {"amount": "1.00", "reason": "r", "account": "B"}, "unknown_account"),
        ("credit_note", NOTE | {"amount": "0"}, "bad_amount"),
        ("credit_note", NOTE | {"line": 0}, "bad_fields"),
        ("credit_note", NOTE | {"line": "1"}, "bad_fields"),
        ("credit_note", NOTE | {"line": True}, "bad_fields"),
        ("credit_note", NOTE | {"bill_id": "B-none"}, "unknown_bill"),
        ("credit_note", NOTE | {"reason": "r" * 501}, "bad_fields"),
        ("credit_note", NOTE | {"account": "B"}, "unknown_account"),
        ("payment_reversed", {}, "bad_fields"),
        ("payment_reversed", {"top_up": "x"}, "unknown_payment"),
        ("payment_reversed", {"top_up": "x", "account": "B"}, "unknown_account"),
        ("withdraw_contract", {}, "bad_fields"),
        ("withdraw_contract", {"contract_id": "x"}, "unknown_contract"),
        ("withdraw_contract", {"contract_id": "x", "account": "B"}, "unknown_contract"),
        ("withdraw_price_book", {"version": "x"}, "unknown_version"),
        ("withdraw_price_book", {"version": "guide-2023-09-19"}, "unknown_version"),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing(kind: str, fields: dict[str, Any], code: str) -> None:
    meter = customer()
    before = meter.account(), meter.partition.state.accounts.documents["A"].copy(), list(meter.published())
    assert meter.command(AT, kind, **{"account": "A", **fields}).code == code
    assert (meter.account(), meter.partition.state.accounts.documents["A"], list(meter.published())) == before


def test_notes_are_written_as_the_model_writes_them_with_ids_of_their_own() -> None:
    meter = customer()
    meter.command(AT, "charge", amount="1.00", reason='so "quoted" \\ and ©')
    meter.command(AT, "payment_reversed", top_up="command-2")
    meter.command(AT, "credit_note", bill_id=BILL, line=1, amount="1.00", reason="r")
    written = [value for step in meter.steps for _, value in step.outputs.notes]
    assert [note.canonical() for note in notes(meter)] == written
    assert [note.note_id[:10] for note in notes(meter)] == ["D20190102-", "R20190102-", "C20190102-"]
    assert len({note.note_id for note in notes(meter)}) == 3


def test_who_owes_very_many_documents_is_charged_no_more_until_some_are_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are one record of the state, which Kafka would refuse one day."""
    monkeypatch.setattr(corrections, "MAX_OPEN", 2)
    meter = customer()
    for code in (None, None, "too_many_open"):
        assert meter.command(AT, "charge", amount="5.00", reason="r").code == code
    meter.command(AT, "top_up", amount="100.00")
    assert meter.command(AT, "charge", amount="5.00", reason="r").code is None


def test_a_restart_knows_all_of_it() -> None:
    meter = customer("10.00")
    meter.command(AT, "credit_note", bill_id=BILL, line=1, amount="1.00", reason="r")
    meter.command(AT, "charge", amount="5.00", reason="r")
    meter.command(AT, "payment_reversed", top_up="command-2")
    state = meter.partition.state
    before = dict(state.accounts.by_id), dict(state.accounts.documents), dict(state.accounts.payments)
    meter.crash()
    state = meter.partition.state
    assert (state.accounts.by_id, state.accounts.documents, state.accounts.payments) == before


# -- debt that never stops the service -------------------------------------------------------------------------------


def monthly_then_daily(terms: dict[str, Any] | None = None) -> Customers:
    """A monthly customer without arrears terms who owes 16.80 CNY of February, and is daily from March on."""
    meter = Customers()
    meter.command("2019-01-15 10:00", "contract", effective_from="2019-02-01", mode="monthly", **(terms or {}))
    meter.command("2019-02-15 10:00", "contract", effective_from="2019-03-01", mode="daily")
    meter.runs("A", "2019-02-10 10:00")
    meter.time_is("2019-03-01 12:00")
    assert figures(meter) == ("0.00", "16.80", "in_arrears")
    return meter


def test_old_debt_that_never_stops_the_service_does_not_when_it_swallows_a_top_up() -> None:
    """February's 16.80 are older and are paid first; that the customer has paid for its days is enough."""
    meter = monthly_then_daily()
    for day in range(1, 6):
        meter.runs("A", f"2019-03-0{day} 10:00", duration_s=600)  # 2.80 CNY a day
        meter.top_up(f"2019-03-0{day} 20:00", "2.80")
        meter.time_is(f"2019-03-0{day + 1} 12:00")
        assert meter.account().service is Service.IN_ARREARS
    meter.runs("A", "2019-03-06 10:00", duration_s=600)
    meter.top_up("2019-03-06 20:00", "2.80")  # 16.80 in all: the old debt is paid, and all days are open
    meter.time_is("2019-03-20 12:00")
    assert figures(meter) == ("0.00", "16.80", "in_arrears")
    assert len(meter.account().open_bills) == 6
    assert "stopped" not in notices(meter)


def test_what_is_not_paid_of_the_days_stops_the_service_and_paying_that_restores_it() -> None:
    meter = monthly_then_daily()
    meter.runs("A", "2019-03-01 10:00", duration_s=600)
    meter.time_is("2019-03-02 12:00")
    assert meter.notices()[-1].deadline == "2019-03-03T12:00:00.000+08:00"
    meter.top_up("2019-03-02 13:00", "2.79")
    meter.time_is("2019-03-03 12:00")
    assert figures(meter) == ("2.79", "16.81", "stopped")
    meter.top_up("2019-03-03 13:00", "0.01")
    assert figures(meter) == ("2.80", "16.80", "in_arrears")
    assert (meter.account().deadline_ms, notices(meter)[-1]) == (None, "restored")
    assert meter.services()[-1].may_start_jobs
    meter.top_up("2019-03-03 14:00", "14.00")  # the old debt is paid of it, and the day is as good as paid
    assert figures(meter) == ("0.00", "2.80", "in_arrears")
    meter.time_is("2019-03-20 12:00")
    assert meter.account().service is Service.IN_ARREARS
    meter.top_up("2019-03-20 14:00", "2.80")
    assert figures(meter) == ("0.00", "0.00", "good")


def test_a_deadline_is_lifted_when_what_is_pressing_is_paid() -> None:
    meter = monthly_then_daily()
    meter.runs("A", "2019-03-01 10:00", duration_s=600)
    meter.time_is("2019-03-02 12:00")
    meter.top_up("2019-03-02 13:00", "2.80")
    assert meter.account().deadline_ms is None
    meter.crash()
    meter.runs("A", "2019-03-02 13:10", duration_s=600)
    meter.time_is("2019-03-03 12:00")
    assert figures(meter) == ("2.80", "19.60", "in_arrears")
    assert meter.notices()[-1].deadline == "2019-03-04T12:00:00.000+08:00"


def test_taking_back_what_was_to_pay_for_the_days_makes_them_pressing() -> None:
    meter = monthly_then_daily()
    meter.top_up("2019-03-01 13:00", "2.80")
    meter.runs("A", "2019-03-01 14:00", duration_s=600)
    meter.time_is("2019-03-02 12:00")
    assert (meter.account().deadline_ms, meter.notices()[-1].deadline) == (None, None)
    meter.command("2019-03-02 13:00", "adjustment", amount="-1.00", reason="r")
    assert meter.account().deadline_ms == ms("2019-03-03 13:00")
    assert (notices(meter)[-1], meter.notices()[-1].deadline) == ("arrears", "2019-03-03T13:00:00.000+08:00")
    meter.time_is("2019-03-03 13:00")
    assert meter.account().service is Service.STOPPED


def test_a_credit_note_on_old_debt_leaves_the_days_pressing() -> None:
    meter = monthly_then_daily()
    meter.runs("A", "2019-03-01 10:00", duration_s=600)
    meter.time_is("2019-03-02 12:00")
    meter.command(
        "2019-03-02 13:00", "credit_note", bill_id=bill_id_of("A", "2019-02"), line=1, amount="16.80", reason="r"
    )
    assert figures(meter) == ("0.00", "2.80", "in_arrears")
    meter.time_is("2019-03-03 12:00")
    assert meter.account().service is Service.STOPPED


def test_debt_with_terms_keeps_them_when_the_contract_changes() -> None:
    meter = monthly_then_daily({"grace_hours": 72})
    meter.time_is("2019-03-04 11:59")
    assert meter.account().service is Service.IN_ARREARS
    meter.time_is("2019-03-04 12:00")
    assert meter.account().service is Service.STOPPED


# -- bills of nothing -------------------------------------------------------------------------------------------------


def test_a_bill_of_nothing_is_settled_at_once_and_not_told_of() -> None:
    meter = Customers()
    meter.runs("A", "2019-01-01 10:00")
    meter.command("2019-01-01 11:00", "contract", effective_from="2019-01-02", prices={"*": "0"})
    meter.runs("A", "2019-01-02 11:00")
    meter.time_is("2019-01-03 12:00")
    assert [bill.payable for bill in meter.bills()] == ["16.80", "0.00"]
    assert [notice.payable for notice in meter.notices() if notice.kind == "arrears"] == ["16.80"]
    assert [bill.payable for bill in meter.account().open_bills] == [Decimal("16.80")]
    document = meter.partition.state.accounts.documents["A"][bill_id_of("A", "2019-01-02")]
    assert document.paid_ms == ms("2019-01-03 12:00")


# -- contracts and books that are not to begin -------------------------------------------------------------------------


def test_a_contract_of_2127_is_withdrawn_and_what_it_would_have_replaced_holds() -> None:
    meter = customer()
    assert meter.command(AT, "contract", effective_from="2127-01-01", prices={"*": "0.10"}).status == "done"
    assert meter.command(AT, "contract", effective_from="2019-02-01", prices={"*": "0.20"}).code == "overlapping"
    assert meter.command(AT, "withdraw_contract", contract_id="command-3").status == "done"
    assert meter.command(AT, "withdraw_contract", contract_id="command-3").code == "unknown_contract"
    meter.crash()
    assert meter.command(AT, "contract", effective_from="2019-02-01", prices={"*": "0.20"}).status == "done"
    meter.crash()
    assert [c.effective_from for c in meter.partition.state.terms.contracts["A"]] == ["2019-02-01"]
    meter.runs("A", "2019-02-01 10:00")
    meter.time_is("2019-02-02 12:00")
    assert meter.bills()[-1].total == "12.00"


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ("2019-01-04 22:55:00", None),
        ("2019-01-04 23:00:01", "effective_in_past"),
        ("2019-01-05 10:00", "effective_in_past"),
    ],
)
def test_a_contract_is_withdrawn_before_its_day_is_near(at: str, code: str | None) -> None:
    meter = customer()
    meter.command(AT, "contract", effective_from="2019-01-05", prices={"*": "0.10"})
    assert meter.command(at, "withdraw_contract", contract_id="command-3").code == code


def test_a_contract_between_others_is_withdrawn_where_modes_still_change_with_months() -> None:
    meter = customer()
    meter.command(AT, "contract", effective_from="2019-02-01", mode="monthly")  # command-3
    meter.command(AT, "contract", effective_from="2019-02-10", prices={"*": "0.10"})  # command-4, monthly as before
    meter.command(AT, "contract", effective_from="2019-03-01", mode="daily")  # command-5
    assert meter.command(AT, "withdraw_contract", contract_id="command-3").code == "mode_mid_month"
    assert meter.command(AT, "withdraw_contract", contract_id="command-4").status == "done"
    assert meter.command(AT, "withdraw_contract", contract_id="command-3").status == "done"
    meter.crash()
    assert [c.contract_id for c in meter.partition.state.terms.contracts["A"]] == ["command-5"]
    assert meter.command(AT, "withdraw_contract", contract_id="command-5").status == "done"
    assert "A" not in meter.partition.state.terms.contracts  # as after a restart: no trace of it is left
    meter.crash()
    assert "A" not in meter.partition.state.terms.contracts


def test_a_contracts_id_names_one_contract() -> None:
    meter = customer()
    meter.command("2019-01-02 13:00", "contract", effective_from="2019-06-01", command_id="c")
    late = {"effective_from": "2019-07-01", "command_id": "c"}
    assert meter.command("2019-03-15 13:00", "contract", **late).code == "id_reused"


@pytest.mark.parametrize(("mode", "expected"), [(None, "2019-03"), ("daily", "2019-03-01"), ("monthly", "2019-03")])
def test_a_contract_that_leaves_the_mode_out_keeps_mode_and_arrears_terms(mode: str | None, expected: str) -> None:
    meter = Customers()
    meter.command("2019-01-15 10:00", "contract", effective_from="2019-02-01", mode="monthly", grace_hours=72)
    fields = {} if mode is None else {"mode": mode}
    meter.command("2019-02-15 10:00", "contract", effective_from="2019-03-01", prices={"*": "0.10"}, **fields)
    meter.runs("A", "2019-03-01 10:00")
    meter.time_is("2019-04-01 12:00")
    (bill,) = meter.bills()
    assert (bill.period, bill.total) == (expected, "6.00")
    deadlines = {None: "2019-04-04T12:00:00.000+08:00", "daily": "2019-04-02T12:00:00.000+08:00", "monthly": None}
    assert meter.notices()[0].deadline == deadlines[mode]


def test_a_contract_that_leaves_the_mode_out_may_begin_within_a_month() -> None:
    meter = Customers()
    meter.command("2019-01-15 10:00", "contract", effective_from="2019-02-01", mode="monthly")
    meter.command("2019-02-15 10:00", "contract", effective_from="2019-02-20", grace_hours=48)
    (_, contract) = meter.partition.state.terms.contracts["A"]
    assert (contract.mode, contract.grace_hours) == ("monthly", 48)


def test_a_price_book_that_has_not_begun_is_withdrawn_and_its_version_may_come_again() -> None:
    meter = customer()

    def publish(day: str) -> str | None:
        fields = price_book(version="new", effective_from=day)
        del fields["command_id"], fields["issued_at"], fields["type"]
        return meter.command(AT, "price_book", None, **fields).code

    assert publish("2127-01-01") is None
    assert publish("2019-01-05") == "version_exists"
    assert meter.command(AT, "withdraw_price_book", None, version="new").status == "done"
    assert meter.command(AT, "withdraw_price_book", None, version="new").code == "unknown_version"
    meter.crash()
    assert meter.partition.state.terms.books.published == ()
    assert publish("2019-01-05") is None
    meter.crash()
    meter.runs("A", "2019-01-05 10:00")
    meter.time_is("2019-01-06 12:00")
    assert meter.bills()[-1].total == "33.60"
    too_late = meter.command("2019-01-04 23:00:01", "withdraw_price_book", None, version="new")
    assert too_late.code == "effective_in_past"


def test_a_book_that_is_withdrawn_from_the_middle_leaves_the_others() -> None:
    meter = customer()
    for version, day in (("a", "2019-02-01"), ("b", "2019-02-05"), ("c", "2019-02-09")):
        fields = price_book(version=version, effective_from=day)
        del fields["command_id"], fields["issued_at"], fields["type"]
        meter.command(AT, "price_book", None, **fields)
    meter.command(AT, "withdraw_price_book", None, version="b")
    meter.crash()
    assert [book.version for book in meter.partition.state.terms.books.published] == ["a", "c"]
