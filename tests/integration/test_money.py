"""The money from the command line, on a meter with a simulated clock: bills, arrears, and what can go wrong."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.money import CHINA, InProcess, advance, cells, fields, money_of, refusal, told
from tests.integration.running import Meter, job
from tests.recount.placement import owner

GUIDE_BILL = "B20190101-559aead08264d579"

#: Of another partition than A.
STRANGER = next(name for name in "NOPQRSTUVW" if owner(name, 2) != owner("A", 2))


@pytest.fixture(scope="module")
def meter(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    """It is the evening of 2019-01-02. Account A had 20 CNY, and used an hour in mainland China the day before."""
    with InProcess(kafka, tmp_path_factory.mktemp("money"), instance_id="worker") as meter:
        meter.create("--clock", "simulated").open_worker()
        meter.submit(job(job_id="job-1", completed_at=f"2019-01-01T12:00:00{CHINA}"))
        told(meter, "topup", "A", "--amount", "20", "--command-id", "payment-1")
        told(meter, "limit", "A", "--below", "5")
        advance(meter, "2019-01-02T18:00:00")
        yield meter


class TestTheGuidesBill:
    """Guide: on 2019-01-01 user A uses 1 hour in mainland China; on 2019-01-02 the bill is 16.8 CNY."""

    def test_it_is_16_80_and_issued_on_the_next_day_after_noon(self, meter: Meter) -> None:
        (bill,) = meter.ask_lines("bills", "list", "--account", "A", "--period", "2019-01")
        assert (bill["bill_id"], bill["period"], bill["payable"]) == (GUIDE_BILL, "2019-01-01", "16.80")
        assert "2019-01-02T12:00:00" <= bill["issued_at"] < "2019-01-02T13:00:00"
        assert (bill["state"], bill["paid_at"], bill["refunded"]) == ("paid", f"2019-01-02T18:00:00.000{CHINA}", "0.00")

    def test_it_is_shown_with_its_line_and_its_proof(self, meter: Meter) -> None:
        done = meter.run("bills", "show", GUIDE_BILL)
        assert (done.returncode, done.stderr) == (0, "")
        shown = fields(done.stdout)
        assert (shown["payable"], shown["rounding"]) == ("16.80 CNY", "0.00 CNY")
        assert shown["proof"].startswith("steps ")
        assert shown["proof"].endswith(f"cut 2019-01-02T12:00:00.000{CHINA}")
        assert cells(done.stdout, "usage") == [["usage", "2019-01-01", "Mainland", "China", "1", "60", "0.28", "16.80"]]

    def test_it_is_deducted_from_the_balance(self, meter: Meter) -> None:
        done = meter.run("account", "show", "A")
        assert (done.returncode, done.stderr) == (0, "")
        shown = fields(done.stdout)
        names = ("balance", "owed", "open bills", "mode", "low balance", "not billed yet")
        assert [shown[name] for name in names] == [
            "3.20 CNY", "0.00 CNY", "none", "daily", "told below 5.00 CNY", "0.00 CNY",
        ]  # fmt: skip
        assert shown["service"] == f"good since 2019-01-01T12:00:01.000{CHINA}"

    def test_the_ledger_has_it_in_three_entries_that_sum_to_zero(self, meter: Meter) -> None:
        ledger = meter.ask("ledger", "--account", "A")
        assert [(e["cause"], e["reference"], [(p["book"], p["amount"]) for p in e["postings"]])
                for e in ledger["entries"][:3]] == [
            ("top_up", "payment-1", [("cash", "20.00"), ("balance", "-20.00")]),
            ("bill", GUIDE_BILL, [("receivable", "16.80"), ("revenue", "-16.80")]),
            ("payment", GUIDE_BILL, [("balance", "16.80"), ("receivable", "-16.80")]),
        ]  # fmt: skip
        assert ledger["sum"] == "0.00"
        (line,) = cells(meter.run("ledger", "--account", "A", "--cause", "bill").stdout, "sums to")
        assert " ".join(line) == "sums to 0.00: receivable 16.80, revenue -16.80"

    def test_the_statement_of_the_month_runs_from_nothing_to_what_is_left(self, meter: Meter) -> None:
        done = meter.run("statement", "A", "--month", "2019-01")
        assert (done.returncode, done.stderr) == (0, "")
        assert [row[-3:] for row in cells(done.stdout, "2019-01-0")[:3]] == [
            ["20.00", "20.00", "0.00"], ["0.00", "20.00", "16.80"], ["-16.80", "3.20", "0.00"],
        ]  # fmt: skip
        (bill,) = cells(done.stdout, GUIDE_BILL)
        assert bill[1:3] == ["2019-01-01", "16.80"]

    def test_the_month_after_it_opens_with_what_the_month_closed_with(self, meter: Meter) -> None:
        closing = meter.ask("statement", "A", "--month", "2019-01")["closing"]
        next_one = meter.ask("statement", "A", "--month", "2019-02")
        assert (next_one["opening"], next_one["entries"], next_one["closing"]) == (closing, [], closing)
        assert meter.ask("statement", "A", "--month", "2018-12")["closing"] == {"balance": "0.00", "unpaid": "0.00"}

    def test_the_customer_who_asked_for_it_is_told_that_the_balance_is_low(self, meter: Meter) -> None:
        (notice,) = meter.ask_lines("notices", "--account", "A")
        assert (notice["kind"], notice["balance"]) == ("low_balance", "3.20")

    def test_it_is_proved_from_the_log_alone(self, meter: Meter) -> None:
        done = meter.run("verify", GUIDE_BILL)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("verify: no difference")

    def test_an_account_that_there_is_not_does_not_seem_to_be_proved(self, meter: Meter) -> None:
        assert meter.run("verify", "--account", "A").returncode == 0
        done = meter.run("verify", "--account", "nobody")
        told = "meter: there is no account 'nobody': nothing of it was verified\n"
        assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


class Story(NamedTuple):
    """What an operator saw of account B."""

    seen: dict[str, Any]
    silent: str
    again: str


class TestAnAccountWithoutBalance:
    """Guide: a notice the same day, the stop 24 hours later, and all works again once it is topped up.

    The worker is killed before the bill and before the payment, and another one goes on.
    """

    @pytest.fixture(scope="class")
    @staticmethod
    def story(meter: Meter) -> Story:
        seen = {}

        def act(moment: str) -> None:
            seen[moment] = meter.ask("account", "show", "B")

        meter.submit(job(account_id="B", job_id="job-2", completed_at=f"2019-01-02T19:00:00{CHINA}"))
        act("used")
        meter.workers[-1].kill()
        meter.open_worker()
        advance(meter, "2019-01-03T13:00:00")
        act("not paid")
        advance(meter, "2019-01-04T12:59:59.999")
        act("a moment before the deadline")
        advance(meter, "2019-01-04T13:00:00")
        meter.submit(job(account_id="B", job_id="job-3", completed_at=f"2019-01-04T14:00:00{CHINA}"))
        act("stopped")
        meter.workers[-1].kill()
        payment = ("account", "topup", "B", "--amount", "16.80", "--command-id", "payment-b")
        silent = meter.run(*payment, "--timeout", "1")
        assert (silent.returncode, silent.stdout, silent.stderr.count("\n")) == (1, "", 1)
        meter.open_worker()
        again = told(meter, *payment[1:])
        act("paid")
        return Story(seen, silent.stderr, again)

    @pytest.mark.parametrize(
        ("moment", "state", "owed", "unbilled"),
        [
            ("used", "good", "0.00", "16.80"),
            ("not paid", "in_arrears", "16.80", "0.00"),
            ("a moment before the deadline", "in_arrears", "16.80", "0.00"),
            ("stopped", "stopped", "16.80", "16.80"),
            ("paid", "good", "0.00", "16.80"),
        ],
    )
    def test_its_service_and_what_it_owes(
        self, story: Story, moment: str, state: str, owed: str, unbilled: str
    ) -> None:
        shown = story.seen[moment]
        assert (shown["service"]["state"], shown["owed"], shown["unbilled"]) == (state, owed, unbilled)

    def test_the_deadline_is_24_hours_after_the_deduction(self, story: Story) -> None:
        service = story.seen["a moment before the deadline"]["service"]
        deadline = f"2019-01-04T13:00:00.000{CHINA}"
        assert (service["since"], service["deadline"]) == (f"2019-01-03T13:00:00.000{CHINA}", deadline)
        assert story.seen["stopped"]["service"]["since"] == deadline

    def test_a_job_that_is_completed_after_the_stop_is_counted_and_billed(self, story: Story) -> None:
        assert story.seen["stopped"]["completed_after_stop"] == 1
        (usage,) = story.seen["stopped"]["unbilled_usage"]
        assert (usage["day"], usage["minutes"], usage["amount"]) == ("2019-01-04", 60, "16.80")

    def test_services_are_told_whether_it_may_start_jobs(self, meter: Meter, story: Story) -> None:
        rows = [row for row in meter.rows("account.service") if row["account_id"] == "B"]
        assert [(row["state"], row["may_start_jobs"]) for row in rows] == [
            ("in_arrears", True), ("stopped", False), ("good", True),
        ]  # fmt: skip

    def test_the_customer_is_told_of_each(self, meter: Meter, story: Story) -> None:
        notices = meter.ask_lines("notices", "--account", "B")
        assert [(notice["kind"], notice["at"][:10]) for notice in notices] == [
            ("arrears", "2019-01-03"), ("stopped", "2019-01-04"), ("restored", "2019-01-04"),
        ]  # fmt: skip
        (row,) = [row for row in meter.run("notices").stdout.splitlines() if " arrears " in row]
        assert row.endswith(f"payable 16.80, owed 16.80, deadline 2019-01-04T13:00:00.000{CHINA}")

    def test_a_command_that_nobody_answers_says_how_to_ask_again(self, story: Story) -> None:
        assert "within 1 s; does a worker run?" in story.silent
        assert story.silent.endswith("ask again with --command-id payment-b\n")

    def test_asked_again_it_is_answered_and_not_done_twice(self, meter: Meter, story: Story) -> None:
        assert story.again == "done: 16.80 CNY were added to the balance of B\n"
        (entry,) = [row for row in meter.rows("billing.ledger") if row["reference"] == "payment-b"]
        assert entry["postings"][0] == {"book": "cash", "amount": "16.80"}
        assert story.seen["paid"]["balance"] == "0.00"

    def test_the_recomputed_log_is_the_one_without_kills(self, meter: Meter, story: Story) -> None:
        meter.verified()
        assert meter.ask("ledger")["sum"] == "0.00"


REFUND = ("refund", "A", "--bill", GUIDE_BILL)
CONTRACT = ("contract", "A", "--from", "2019-03-01")
REFUSALS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("bad_amount", ("topup", "A", "--amount", "0")),
    ("bad_amount", ("topup", "A", "--amount", "-1")),
    ("bad_amount", ("topup", "A", "--amount", "1.005")),
    ("bad_amount", ("adjust", "A", "--amount", "0", "--reason", "none")),
    ("over_balance", ("adjust", "A", "--amount", "-1000", "--reason", "too much")),
    ("unknown_account", ("topup", "nobody", "--amount", "1")),
    ("account_exists", ("open", "A")),
    ("over_paid", (*REFUND, "--ticket", "T-9", "--amount", "16.81")),
    ("not_paid", ("refund", "A", "--bill", "B-none", "--ticket", "T-9", "--amount", "1")),
    ("effective_in_past", ("contract", "A", "--from", "2019-01-01")),
    ("bad_price", (*CONTRACT, "--price", "ap-tokyo=-0.30")),
    ("unknown_region", (*CONTRACT, "--price", "Mars=0.30")),
    ("mode_mid_month", ("contract", "A", "--from", "2019-03-02", "--mode", "monthly")),
    ("bad_fields", (*CONTRACT, "--grace-hours", "24")),
)


class Refused(NamedTuple):
    """The codes of all refusals, and the money before and after."""

    before: list[dict[str, Any]]
    codes: list[str]
    after: list[dict[str, Any]]


class TestRefusals:
    @pytest.fixture(scope="class")
    @staticmethod
    def refused(meter: Meter) -> Refused:
        before = money_of(meter)
        codes = [refusal(meter, *arguments) for _, arguments in REFUSALS]
        return Refused(before, codes, money_of(meter))

    @pytest.mark.parametrize("number", range(len(REFUSALS)), ids=[" ".join(each) for _, each in REFUSALS])
    def test_what_cannot_be_done_is_refused_with_its_code(self, refused: Refused, number: int) -> None:
        assert refused.codes[number] == REFUSALS[number][0]

    def test_what_is_refused_changes_nothing(self, refused: Refused) -> None:
        assert refused.before == refused.after

    def test_a_ticket_refunds_once_and_no_other_amount(self, meter: Meter) -> None:
        refund = (*REFUND, "--ticket", "T-1", "--amount")
        for _ in range(2):
            assert told(meter, *refund, "1.80") == f"done: 1.80 CNY of bill {GUIDE_BILL} were given back to A\n"
        assert refusal(meter, *refund, "1.79") == "ticket_conflict"
        assert refusal(meter, *REFUND, "--ticket", "T-2", "--amount", "15.01") == "over_paid"
        (bill,) = meter.ask_lines("bills", "list", "--account", "A")
        assert bill["refunded"] == "1.80"

    def test_the_same_command_id_gets_the_same_answer_and_changes_nothing(self, meter: Meter) -> None:
        before = money_of(meter)
        for amount in ("20", "20.00"):
            (answer,) = meter.ask("account", "topup", "A", "--amount", amount, "--command-id", "payment-1")
            assert (answer["status"], answer["account_id"]) == ("done", "A")
        assert money_of(meter) == before

    @pytest.mark.parametrize(
        "other", [("topup", "A", "--amount", "7"), ("adjust", "A", "--amount", "20", "--reason", "r")]
    )
    def test_the_meter_refuses_the_id_of_another_command(self, meter: Meter, other: tuple[str, ...]) -> None:
        before = money_of(meter)
        done = meter.run("account", *other, "--command-id", "payment-1")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "refused: id_reused: the id was used for another command of account 'A' at 2019-01-0" in done.stderr
        assert money_of(meter) == before

    @pytest.mark.parametrize("other", [("topup", STRANGER, "--amount", "20"), ("open", STRANGER)])
    def test_an_id_that_was_used_on_another_partition_is_refused_before_it_is_sent(
        self, meter: Meter, other: tuple[str, ...]
    ) -> None:
        sent = len(meter.rows("meter.commands"))
        done = meter.run("account", *other, "--command-id", "payment-1")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert "not done: the id 'payment-1' was used for another command, top_up of A at 2019-01-0" in done.stderr
        assert len(meter.rows("meter.commands")) == sent

    def test_a_time_that_passes_for_an_id_of_another_command_is_refused(self, meter: Meter) -> None:
        done = meter.run("clock", "advance", "--to", f"2019-01-31T00:00:00{CHINA}", "--command-id", "payment-1")
        assert (done.returncode, done.stdout) == (1, "")
        assert "not done: the id 'payment-1' was used for another command" in done.stderr

    def test_a_contract_is_there_to_come_and_cannot_be_overlapped(self, meter: Meter) -> None:
        told(meter, "open", "C")
        terms = ("contract", "C", "--from", "2019-02-01", "--mode", "monthly", "--grace-hours", "72")
        told(meter, *terms, "--price", "*=0.30", "--price", "Frankfurt=0.25", "--command-id", "contract-c")
        assert refusal(meter, "contract", "C", "--from", "2019-02-01") == "overlapping"
        shown = meter.ask("account", "show", "C")
        assert (shown["mode"], shown["contract"]) == ("daily", None)
        assert shown["contracts_to_come"] == [
            {
                "contract_id": "contract-c",
                "effective_from": "2019-02-01",
                "mode": "monthly",
                "prices": {"*": "0.30", "eu-frankfurt": "0.25"},
                "grace_hours": 72,
            }
        ]

    def test_the_clock_does_not_go_back(self, meter: Meter) -> None:
        done = meter.run("clock", "advance", "--to", f"2019-01-01T00:00:00{CHINA}")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert done.stderr.endswith("already: the clock does not go back\n")


class TestANewMeter:
    @pytest.fixture(scope="class")
    @staticmethod
    def new(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
        """No worker, and no record yet."""
        with InProcess(kafka, tmp_path_factory.mktemp("new")) as meter:
            yield meter.create("--clock", "simulated")

    @pytest.mark.parametrize(
        ("arguments", "code", "line"),
        [
            ("bills list", 0, "no bills"),
            ("ledger", 0, "no entries"),
            ("notices", 0, "no notices"),
            ("account show A", 1, "there is no account 'A'"),
            ("statement A --month 2019-01", 1, "the ledger has nothing of account 'A'"),
            ("bills show B1", 1, "there is no bill 'B1'"),
            ("account topup A --amount 1", 2, "this meter's simulated clock has not begun"),
            (
                "clock advance --to 2019-01-02T18:00:00+08:00 --timeout 1",
                1,
                "no answer from partitions 0, 1 within 1 s",
            ),
            ("ledger --cause theft", 2, "there is no cause 'theft'"),
            ("statement A --month 2019-1", 2, "--month is YYYY-MM"),
            ("account limit A", 2, "limit takes --below CNY or --off"),
            ("account contract A --from 2019-03-01 --price 0.30", 2, "--price is REGION=CNY"),
        ],
    )
    def test_it_says_in_one_line_that_there_is_nothing(self, new: Meter, arguments: str, code: int, line: str) -> None:
        done = new.run(*arguments.split())
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
        assert line in done.stderr


def test_on_a_meter_with_the_brokers_clock_a_command_is_issued_now_and_nobody_moves_the_clock(
    kafka: str, tmp_path: Path
) -> None:
    with InProcess(kafka, tmp_path, partitions=1) as meter:
        meter.create().open_worker()
        told(meter, "open", "A")
        told(meter, "adjust", "A", "--amount", "2.50", "--reason", "a present")
        assert meter.ask("account", "show", "A")["balance"] == "2.50"
        done = meter.run("clock", "advance", "--to", "2036-01-01T00:00:00Z")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
