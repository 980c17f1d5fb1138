"""Commands about money: every code of every command, the same again, and clocks that jump."""

from typing import Any

import pytest

from meter import topics
from meter.commands import command_digest
from meter.models import CommandResult
from meter.routing import owner
from meter.rules import Clock, Rules
from meter.settlement import bill_id_of
from streams.http.words import reason
from tests.builders import Partition, encode
from tests.unit.billing import RULES, Customers, ms

BILL = bill_id_of("A", "2019-01-01")
AT = "2019-01-02 13:00"


def paid() -> Customers:
    """Account A has paid a bill of 16.80 CNY and has 3.20 CNY left."""
    meter = Customers()
    meter.top_up("2019-01-01 08:00", "20.00")
    meter.runs("A", "2019-01-01 10:00")
    meter.time_is("2019-01-02 12:00")
    return meter


def changes(meter: Customers) -> tuple[Any, ...]:
    """What a command could have changed."""
    state = meter.partition.state
    return (
        dict(state.accounts.by_id),
        {k: dict(v) for k, v in state.accounts.documents.items()},
        dict(state.accounts.tickets),
        dict(state.terms.contracts),
    )


TERMS: dict[str, Any] = {"effective_from": "2019-02-01", "mode": "monthly"}
MONEY_REFUSED = [(amount, "bad_amount") for amount in ("0", "0.00", "-0.00", "1.001", "1e3", "+1", " 1", "", "1" * 13)]
MONEY_REFUSED += [(5, "bad_amount"), (None, "bad_amount"), (1.5, "bad_amount")]  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        *(("top_up", {"amount": amount}, code) for amount, code in [*MONEY_REFUSED, ("-1.00", "bad_amount")]),
        ("top_up", {}, "bad_fields"),
        ("top_up", {"amount": "1.00", "account": "B"}, "unknown_account"),
        ("top_up", {"amount": "1.00", "account": ""}, "bad_fields"),
        ("top_up", {"amount": "1.00", "v": 2}, "bad_fields"),
        ("top_up", {"amount": "1.00", "issued_at": "2019-01-02"}, "bad_fields"),
        ("top_up", {"amount": "1.00", "issued_at": "2018-11-28T12:59:59+08:00"}, "too_old"),
        ("top_up", {"amount": "1.00", "issued_at": "2019-01-02T13:05:01+08:00"}, "in_future"),
        ("top_up", {"amount": "0", "account": "B", "issued_at": "2018-01-01T00:00:00Z"}, "bad_amount"),
        *(("adjustment", {"amount": amount, "reason": "r"}, code) for amount, code in MONEY_REFUSED),
        ("adjustment", {"amount": "1.00"}, "bad_fields"),
        ("adjustment", {"amount": "1.00", "reason": ""}, "bad_fields"),
        ("adjustment", {"amount": "1.00", "reason": "r" * 501}, "bad_fields"),
        ("adjustment", {"amount": "-3.21", "reason": "r"}, "over_balance"),
        ("adjustment", {"amount": "1.00", "reason": "r", "account": "B"}, "unknown_account"),
        *(("refund", {"bill_id": BILL, "ticket": "T", "amount": amount}, code) for amount, code in MONEY_REFUSED),
        ("refund", {"bill_id": BILL, "ticket": "T", "amount": "-1.00"}, "bad_amount"),
        ("refund", {"bill_id": BILL, "ticket": "T", "amount": "16.81"}, "over_paid"),
        ("refund", {"bill_id": "B-none", "ticket": "T", "amount": "1.00"}, "not_paid"),
        ("refund", {"bill_id": BILL, "ticket": "", "amount": "1.00"}, "bad_fields"),
        ("refund", {"bill_id": BILL, "ticket": "T", "amount": "1.00", "account": "B"}, "unknown_account"),
        *(("low_balance", {"threshold": amount}, code) for amount, code in MONEY_REFUSED if amount is not None),
        ("low_balance", {}, "bad_fields"),
        ("low_balance", {"threshold": "1.00", "account": "B"}, "unknown_account"),
        ("open_account", {}, "account_exists"),
        ("open_account", {"account": None}, "bad_fields"),
        ("contract", {}, "bad_fields"),
        ("contract", TERMS | {"effective_from": "2019-1-1"}, "bad_fields"),
        ("contract", TERMS | {"effective_from": "2019-02-30"}, "bad_fields"),
        ("contract", TERMS | {"effective_from": "2019-01-01"}, "effective_in_past"),
        ("contract", {"effective_from": "2019-01-02"}, "effective_in_past"),
        ("contract", TERMS | {"effective_from": "2019-01-15"}, "mode_mid_month"),
        ("contract", TERMS | {"mode": "weekly"}, "bad_fields"),
        ("contract", TERMS | {"prices": {"*": "-0.10"}}, "bad_price"),
        ("contract", TERMS | {"prices": {"ap-tokyo": "0.123456789"}}, "bad_price"),
        ("contract", TERMS | {"prices": {"*": "1e-1"}}, "bad_price"),
        ("contract", TERMS | {"prices": {"*": 0.1}}, "bad_fields"),
        ("contract", TERMS | {"prices": {"Atlantis": "0.10"}}, "unknown_region"),
        ("contract", TERMS | {"grace_hours": 0}, "bad_fields"),
        *(("contract", TERMS | {"grace_hours": hours}, "bad_fields") for hours in (8785, 72.5, "72", True)),
        ("contract", {"effective_from": "2019-02-01", "grace_hours": 48}, "bad_fields"),
        ("tick", {}, "not_simulated"),
        ("dance", {}, "unknown_command"),
    ],
)  # fmt: skip
def test_every_refusal_has_its_code_and_changes_nothing(kind: str, fields: dict[str, Any], code: str) -> None:
    meter = paid()
    before = changes(meter)
    result = meter.command(AT, kind, **{"account": "A", **fields})
    assert (result.status, result.code) == ("refused", code)
    assert changes(meter) == before
    assert list(meter.steps[-1].outputs.entries) == []


@pytest.mark.parametrize("amount", ["1,000", "10,50", "¥10", "10 CNY", "1 000"])
def test_an_amount_as_people_write_it_is_told_how_it_is_written(amount: str) -> None:
    message = paid().command(AT, "top_up", account="A", amount=amount).message
    assert message == f"amount: must be a decimal string with at most 2 places, got {amount!r}"
    assert reason("zh", "bad_amount", message) == f"金额：须为最多两位小数的数字，实际为“{amount}”。"


def test_a_command_on_another_accounts_partition_is_refused() -> None:
    rules = Rules(meter_id="test", partitions=2)
    meter = Customers(rules)
    meter.partition = Partition(rules, 1 - owner("A", 2))
    for kind, fields in (
        ("open_account", {}),
        ("top_up", {"amount": "1.00"}),
        ("adjustment", {"amount": "1.00", "reason": "r"}),
        ("refund", {"amount": "1.00", "bill_id": BILL, "ticket": "T"}),
        ("low_balance", {"threshold": "1.00"}),
        ("contract", TERMS),
    ):
        assert meter.command(AT, kind, **fields).code == "wrong_partition"
    assert meter.partition.state.accounts.by_id == {}


def test_a_contract_that_does_not_start_after_the_one_before_overlaps_it() -> None:
    meter = paid()
    assert meter.command(AT, "contract", effective_from="2019-02-01").status == "done"
    for start in ("2019-02-01", "2019-01-15"):
        assert meter.command(AT, "contract", effective_from=start).code == "overlapping"
    assert meter.command(AT, "contract", effective_from="2019-02-02").status == "done"


@pytest.mark.parametrize(("at", "code"), [("2019-01-02 23:00:00", None), ("2019-01-02 23:00:01", "effective_in_past")])
def test_a_contract_needs_an_hours_notice(at: str, code: str | None) -> None:
    assert paid().command(at, "contract", effective_from="2019-01-03").code == code


def test_a_tick_moves_a_simulated_clock() -> None:
    meter = Customers(RULES.model_copy(update={"clock": Clock.SIMULATED}))
    assert meter.command(AT, "tick", None).status == "done"
    assert meter.partition.state.position.record_time == ms(AT)


def test_refunds_stop_at_what_was_paid_however_many_tickets() -> None:
    meter = paid()
    refund = {"bill_id": BILL, "amount": "10.00"}
    assert meter.command(AT, "refund", ticket="T-1", **refund).status == "done"
    assert meter.command(AT, "refund", ticket="T-2", **refund).code == "over_paid"
    assert meter.command(AT, "refund", ticket="T-2", bill_id=BILL, amount="6.80").status == "done"
    assert meter.command(AT, "refund", ticket="T-3", bill_id=BILL, amount="0.01").code == "over_paid"
    assert meter.balance() == meter.account().cash == 20


def test_a_ticket_is_refunded_once_and_its_amount_is_not_changed() -> None:
    meter = paid()
    assert meter.command(AT, "refund", ticket="T", bill_id=BILL, amount="10.00").status == "done"
    before, entries = changes(meter), len(meter.entries())
    assert meter.command(AT, "refund", ticket="T", bill_id=BILL, amount="10").status == "done"
    assert meter.command(AT, "refund", ticket="T", bill_id=BILL, amount="9.99").code == "ticket_conflict"
    assert meter.command(AT, "refund", ticket="T", bill_id="B-other", amount="10.00").code == "ticket_conflict"
    assert (changes(meter), len(meter.entries())) == (before, entries)


COMMANDS: list[dict[str, Any]] = [
    {"type": "open_account", "account_id": "B"},
    {"type": "top_up", "account_id": "A", "amount": "5.00"},
    {"type": "adjustment", "account_id": "A", "amount": "-1.00", "reason": "r"},
    {"type": "refund", "account_id": "A", "bill_id": BILL, "ticket": "T", "amount": "1.00"},
    {"type": "low_balance", "account_id": "A", "threshold": "2.00"},
    {"type": "contract", "account_id": "A", **TERMS},
    {"type": "top_up", "account_id": "nobody", "amount": "5.00"},
    {"type": "refund", "account_id": "A", "bill_id": BILL, "ticket": "U", "amount": "99.00"},
]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("crash", [False, True])
def test_the_same_command_answers_the_same_and_changes_nothing(command: dict[str, Any], crash: bool) -> None:
    meter = paid()
    body = command | {"command_id": "again", "issued_at": "2019-01-02T13:00:00+08:00"}
    first = meter.partition.fold(body, topic=topics.COMMANDS, at=ms(AT))
    before = changes(meter)
    if crash:
        meter.crash()
    later = {**body, "issued_at": "2019-01-20T13:00:00+08:00", "sent": "again"}
    second = meter.partition.fold(body, later, topic=topics.COMMANDS, at=ms("2019-01-20 13:00"))
    said, *again = (CommandResult.read(value) for step in (first, second) for _, value in step.outputs.results)
    for answer in again:
        assert answer.model_copy(update={"source": said.source}) == said
    assert changes(meter) == before
    assert (second.outputs.entries, second.outputs.notices, second.outputs.services) == ([], [], [])


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("crash", [False, True])
def test_the_id_of_another_command_is_refused_and_changes_nothing(command: dict[str, Any], crash: bool) -> None:
    meter = paid()
    body = command | {"command_id": "once", "issued_at": "2019-01-02T13:00:00+08:00"}
    meter.partition.fold(body, topic=topics.COMMANDS, at=ms(AT))
    before = changes(meter)
    if crash:
        meter.crash()
    others = [other | {"command_id": "once", "issued_at": body["issued_at"]} for other in COMMANDS if other != command]
    others += [body | {"account_id": "C"}, body | {"type": "dance"}, body | {"v": 2}]
    step = meter.partition.fold(*others, topic=topics.COMMANDS, at=ms(AT))
    answers = [CommandResult.read(value) for _, value in step.outputs.results]
    assert [(answer.status, answer.code) for answer in answers] == [("refused", "id_reused")] * len(others)
    assert [answer.account_id for answer in answers] == [other.get("account_id") for other in others]
    assert [answer.digest for answer in answers] == [command_digest(encode(other)) for other in others]
    assert changes(meter) == before
    assert (step.outputs.entries, step.outputs.notices, step.outputs.services) == ([], [], [])


# -- clocks that jump ---------------------------------------------------------------------------------------------


def test_a_top_up_is_not_done_again_when_the_clock_was_a_month_ahead_meanwhile() -> None:
    """The clock's month ahead must not make the meter forget ids that could still be sent again."""
    meter = Customers()
    top_up = {"command_id": "once", "type": "top_up", "account_id": "A", "amount": "5.00"}
    top_up["issued_at"] = "2019-01-05T10:00:00+08:00"
    meter.command("2019-01-05 09:00", "open_account")
    meter.partition.fold(top_up, topic=topics.COMMANDS, at=ms("2019-01-05 10:00"))
    for day in ("2019-02-10 10:00", "2019-02-10 11:00"):
        meter.command(day, "tick", None)
    assert "once" not in meter.partition.state.commands
    again = meter.partition.fold(top_up, topic=topics.COMMANDS, at=ms("2019-01-10 10:00"))
    assert CommandResult.read(again.outputs.results[0][1]).code == "too_old"
    assert meter.account().cash == 5


def test_an_id_that_is_let_go_is_let_go_once_though_one_before_it_stays() -> None:
    meter = Customers()
    meter.command("2019-02-01 10:00", "tick", None)  # the clock is ahead
    meter.command("2019-01-01 10:00", "tick", None)
    ticks = [{"command_id": f"t-{n}", "type": "tick"} for n in range(4)]
    meter.partition.fold(*ticks, topic=topics.COMMANDS, at=ms("2019-02-20 10:00"))
    assert set(meter.partition.state.commands) == {"command-1", "t-0", "t-1", "t-2", "t-3"}


def test_no_contract_changes_the_price_or_mode_of_a_day_that_was_metered_before_the_clock_jumped_back() -> None:
    meter = Customers()
    meter.runs("A", "2019-02-01 10:00")
    for terms in (TERMS, {"effective_from": "2019-02-01", "prices": {"*": "0.01"}}):
        assert meter.command("2019-01-30 10:00", "contract", **terms).code == "effective_in_past"
    meter.runs("A", "2019-02-01 11:00")
    meter.time_is("2019-03-02 12:00")
    (bill,) = meter.bills()
    assert (bill.period, bill.total, bill.lines[0].unit_price) == ("2019-02-01", "33.60", "0.28")


def test_settlement_does_not_run_back_with_the_clock() -> None:
    meter = Customers()
    for account in "AB":
        meter.runs(account, "2019-01-01 10:00")
    assert meter.partition.run_due(ms("2019-01-03 12:00"), 1).changes.position.due_until == ms("2019-01-03 12:00")
    step = meter.partition.run_due(ms("2019-01-02 12:00"), 1)
    assert step.taken.due is not None
    assert (step.taken.due.until, len(step.outputs.bills)) == (ms("2019-01-03 12:00"), 1)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("adjustment", {"amount": "-10.00", "reason": "r"}), ("adjustment", {"amount": "-15.00", "reason": "r"})],
)
def test_a_balance_that_is_taken_below_the_threshold_is_told_of(kind: str, fields: dict[str, Any]) -> None:
    meter = Customers()
    meter.top_up("2019-01-01 08:00", "25.00")
    meter.command("2019-01-01 09:00", "low_balance", threshold="20.00")
    meter.command("2019-01-01 10:00", kind, **fields)
    meter.command("2019-01-01 11:00", kind, amount="-1.00", reason="r")
    assert [notice.kind for notice in meter.notices()] == ["low_balance"]
