"""Money that is put right from the command line, on a real log: documents of their own, and proof of all of it."""

import json
from collections.abc import Iterator

import pytest

from tests.integration.money import CHINA, InProcess, advance, refusal, told
from tests.integration.running import Meter, job

BILL = "B20190101-559aead08264d579"


@pytest.fixture(scope="module")
def meter(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meter]:
    """It is the evening of 2019-01-02. Account A had 20 CNY, and has paid a bill of 16.80 CNY."""
    with InProcess(kafka, tmp_path_factory.mktemp("corrections"), instance_id="worker") as meter:
        meter.create("--clock", "simulated").open_worker()
        meter.submit(job(job_id="job-1", completed_at=f"2019-01-01T12:00:00{CHINA}"))
        told(meter, "topup", "A", "--amount", "20", "--command-id", "payment-1")
        advance(meter, "2019-01-02T18:00:00")
        yield meter


def figures(meter: Meter) -> tuple[str, str, str, list[str]]:
    shown = meter.ask("account", "show", "A")
    open_bills = [bill["payable"] for bill in shown["open_bills"]]
    return shown["balance"], shown["owed"], shown["service"]["state"], open_bills


def test_what_bounced_and_what_was_charged_is_owed_and_what_is_credited_is_not(meter: Meter) -> None:
    said = told(meter, "reverse", "A", "--topup", "payment-1")
    assert said == "done: top-up payment-1 of A was reversed\n"
    assert refusal(meter, "reverse", "A", "--topup", "payment-1") == "already_reversed"
    assert refusal(meter, "reverse", "A", "--topup", "payment-2") == "unknown_payment"
    assert figures(meter) == ("3.20", "16.80", "in_arrears", ["20.00"])
    told(meter, "charge", "A", "--amount", "5.00", "--reason", "under-billed")
    assert figures(meter) == ("3.20", "21.80", "in_arrears", ["20.00", "5.00"])
    credit = ("credit", "A", "--bill", BILL, "--reason", "black")
    assert refusal(meter, *credit, "--line", "2", "--amount", "1") == "no_such_line"
    assert refusal(meter, *credit, "--line", "1", "--amount", "16.81") == "over_credited"
    told(meter, *credit, "--line", "1", "--amount", "16.80")
    assert figures(meter) == ("0.00", "5.00", "in_arrears", ["5.00"])


def test_each_is_a_note_and_the_bill_is_as_it_was(meter: Meter) -> None:
    notes = meter.ask_lines("notes", "--account", "A")
    assert [(note["kind"], note["amount"], note.get("reference"), note.get("line")) for note in notes] == [
        ("payment_reversed", "20.00", "payment-1", None), ("charge", "5.00", None, None),
        ("credit_note", "16.80", BILL, 1),
    ]  # fmt: skip
    table = meter.run("notes").stdout.splitlines()
    assert f"{BILL}, line 1" in table[-1]
    (bill,) = meter.ask_lines("bills", "list")
    assert (bill["payable"], bill["state"], bill["refunded"], bill["credited"]) == ("16.80", "paid", "0.00", "16.80")
    (note_id,) = (note["note_id"] for note in notes if note["kind"] == "charge")
    told(meter, "credit", "A", "--bill", note_id, "--line", "1", "--amount", "5.00", "--reason", "it was not")
    assert figures(meter) == ("0.00", "0.00", "good", [])


def test_a_contract_and_a_book_of_2127_are_withdrawn(meter: Meter) -> None:
    told(meter, "contract", "A", "--from", "2127-01-01", "--command-id", "typo")
    assert refusal(meter, "contract", "A", "--from", "2019-02-01", "--mode", "monthly") == "overlapping"
    told(meter, "withdraw", "A", "--contract", "typo")
    assert refusal(meter, "withdraw", "A", "--contract", "typo") == "unknown_contract"
    told(meter, "contract", "A", "--from", "2019-02-01", "--mode", "monthly")
    told(meter, "contract", "A", "--from", "2019-03-01", "--price", "*=0.10")
    shown = meter.ask("account", "show", "A")
    assert [(terms["effective_from"], terms["mode"]) for terms in shown["contracts_to_come"]] == [
        ("2019-02-01", "monthly"), ("2019-03-01", "monthly"),
    ]  # fmt: skip
    zones = json.loads(meter.run("prices", "show", "--json").stdout)["books"][0]["prices"]
    path = meter.root / "book.json"
    path.write_text(json.dumps({"version": "2127", "effective_from": "2127-01-01", "prices": zones}))
    assert meter.run("prices", "publish", str(path)).returncode == 0
    done = meter.run("prices", "withdraw", "2127")
    assert (done.returncode, done.stdout) == (0, f"done on {meter.partitions} partitions: 2127 is withdrawn\n")
    again = meter.run("prices", "withdraw", "2127")
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert "unknown_version" in again.stderr
    assert len(json.loads(meter.run("prices", "show", "--json").stdout)["books"]) == 1


def test_it_is_all_proved_and_reconciled(meter: Meter) -> None:
    meter.verified()
    sums = meter.ask("reconcile")
    assert (sums["charged"], sums["credited"], sums["balances"], sums["receivable"]) == (
        "25.00", "21.80", "0.00", "0.00",
    )  # fmt: skip
    assert (sums["difference"], sums["differences"]) == ("0.00", [])
    assert meter.ask("ledger")["sum"] == "0.00"
