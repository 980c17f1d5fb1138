"""The recount's own rules of money, on hand-made partitions; and that each kind of difference is found and named."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from tests.recount.compare import Published, fold_journal
from tests.recount.compare_money import money_differences
from tests.recount.count import COMMANDS, COMPLETED, PartitionCount, Record
from tests.recount.periods import cut_ms, open_day
from tests.recount.rules import BILLING_ZONE
from tests.recount.test_rules import GUIDE

RULES = {"settlement_spread_s": 0}


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BILLING_ZONE).timestamp() * 1000)


class Story:
    """One partition and its only customer, A."""

    def __init__(self) -> None:
        self.count = PartitionCount(0, 1, RULES)
        self.offsets = dict.fromkeys((COMMANDS, COMPLETED), 0)

    def _fold(self, topic: str, at: str, fields: dict[str, Any]) -> None:
        offset = self.offsets[topic]
        self.offsets[topic] += 1
        self.count.fold([Record(topic, 0, offset, ms(at), json.dumps(fields).encode())], offset + 1)

    def job(self, at: str, **changes: Any) -> None:
        done = datetime.fromisoformat(at).replace(tzinfo=BILLING_ZONE).isoformat()
        job_id = f"j-{self.offsets[COMPLETED]}"
        self._fold(COMPLETED, at, GUIDE | {"job_id": job_id, "completed_at": done} | changes)

    def command(self, at: str, kind: str, **fields: Any) -> str | None:
        issued = datetime.fromisoformat(at).replace(tzinfo=BILLING_ZONE).isoformat()
        command_id = f"c-{self.offsets[COMMANDS]}"
        body = {"command_id": command_id, "type": kind, "issued_at": issued, "account_id": "A"}
        self._fold(COMMANDS, at, body | fields)
        return self.count.commands.answers[-1][-1].code

    def noon(self, day: str, hour: str = "12:00") -> int:
        return self.count.billing.run_due(ms(f"{day} {hour}"), 1000)

    def totals(self) -> dict[str, str]:
        return {period: bill["total"] for (_, period), bill in self.count.billing.bills.items()}


def guide() -> Story:
    """The guide's hour, billed the next day at noon and paid; then a day that cannot be paid, and a late job."""
    story = Story()
    story.command("2019-01-01 08:00", "open_account")
    story.command("2019-01-01 08:00", "top_up", amount="20.00")
    story.job("2019-01-01 10:00")
    story.noon("2019-01-02")
    story.job("2019-01-02 13:00", region="ap-tokyo", duration_s=61)
    story.job("2019-01-02 13:00", completed_at="2019-01-01T23:00:00+08:00")
    story.noon("2019-01-03")
    return story


def test_the_guides_bill_is_16_80_on_2019_01_02() -> None:
    story = guide()
    bill = story.count.billing.bills["A", "2019-01-01"]
    assert (bill["total"], bill["payable"], bill["issued_at"]) == ("16.80", "16.80", "2019-01-02T12:00:00.000+08:00")
    second = story.count.billing.bills["A", "2019-01-02"]
    assert [(line["kind"], line["amount"]) for line in second["lines"]] == [("usage", "0.6272"), ("late", "16.80")]
    assert second["lines"][1]["original_bill_id"] == bill["bill_id"]
    assert (second["total"], second["payable"], second["rounding"]) == ("17.4272", "17.43", "0.0028")
    customer = story.count.accounts.of["A"]
    assert (customer.cash, customer.owed, customer.service) == (Decimal("3.20"), Decimal("14.23"), "in_arrears")


@pytest.mark.parametrize(
    ("stop_at", "top_up", "service"),
    [
        ("11:59", None, "in_arrears"),
        ("12:00", None, "stopped"),
        ("12:00", "14.22", "stopped"),
        ("12:00", "14.23", "good"),
    ],
)
def test_the_service_stops_after_24_hours_with_something_owed(stop_at: str, top_up: str | None, service: str) -> None:
    story = guide()
    if top_up:
        story.command("2019-01-04 11:59", "top_up", amount=top_up)
    story.noon("2019-01-04", stop_at)
    assert story.count.accounts.of["A"].service == service


def test_by_contract_a_month_is_billed_on_the_1st_at_its_own_price() -> None:
    story = Story()
    assert story.command("2019-01-15 10:00", "contract", effective_from="2019-02-01", mode="monthly",
                         prices={"*": "0.1"}) is None  # fmt: skip
    story.job("2019-01-31 10:00")
    story.job("2019-02-01 10:00")
    story.job("2019-02-28 10:00")
    assert story.noon("2019-03-01", "11:59") == 1
    assert story.noon("2019-03-01") == 1
    assert story.totals() == {"2019-01-31": "16.80", "2019-02": "12.00"}
    assert [notice.get("deadline") for notice in story.count.accounts.notices][1:] == ["2019-03-02T11:59:00.000+08:00"]


def test_cuts_are_at_noon_and_the_open_day_is_the_first_that_is_not_cut() -> None:
    assert cut_ms("2019-01-01") == ms("2019-01-02 12:00")
    assert cut_ms("2019-12") == cut_ms("2019-12-31") == ms("2020-01-01 12:00")
    assert (open_day(ms("2019-01-02 11:59")), open_day(ms("2019-01-02 12:00"))) == ("2019-01-01", "2019-01-02")


def published(count: PartitionCount) -> Published:
    """What a faultless meter would have put out."""
    results = [
        {"command_id": command_id, "account_id": a.account_id, "status": "refused" if a.code else "done",
         "source": {"offset": offset}} | ({"code": a.code} if a.code else {})
        for offset, command_id, a in count.commands.answers
    ]  # fmt: skip
    bills = [
        {name: value for name, value in bill.items() if name not in {"cut", "journal"}}
        | {"proof": {"cut": bill["cut"], "journal": bill["journal"]}}
        for bill in count.billing.bills.values()
    ]
    rows = (results, bills, count.accounts.entries, count.accounts.notices, count.accounts.services)
    return Published([], list(count.priced.values()), {}, [], *deepcopy(rows))


def test_a_faultless_meter_shows_no_difference() -> None:
    count = guide().count
    assert list(money_differences(count, published(count))) == []


FIRST, SECOND = "B20190101-559aead08264d579", "B20190102-559aead08264d579"
FAULTS: list[tuple[Callable[[Any], Any], str]] = [
    (lambda out: out.bills.append(out.bills[0]), "account A, 2019-01-01: billed 2 times"),
    (lambda out: out.bills.pop(), f"account A, 2019-01-02: bill {SECOND} of 17.43 CNY was never issued"),
    (lambda out: out.bills.pop(), "17.4272 are neither billed nor waiting"),
    (lambda out: out.bills[0].update(period="2019-01-07"), "account A, 2019-01-07: billed for nothing"),
    (lambda out: out.bills[0].update(payable="16.79"), f"bill {FIRST} of account A: payable is '16.79'"),
    (lambda out: out.bills[1]["lines"][1].update(minutes=61), f"bill {SECOND} of account A, line 2 is"),
    (lambda out: out.bills[1]["lines"].pop(), "of account A has 1 lines, recounted 2"),
    (lambda out: out.bills[0]["proof"].update(cut="noon"), "of account A, proof: cut is 'noon'"),
    (lambda out: out.ledger.pop(), "account A, ledger: 3 rows, recounted 4"),
    (lambda out: out.ledger.append(out.ledger[0]), "is there 2 times"),
    (lambda out: out.ledger[0]["postings"][0].update(amount="21.00"), "sums to 1.00"),
    (lambda out: out.ledger[0]["postings"].pop(), "account A: balance folds to 16.80"),
    (lambda out: out.ledger[-1].update(at="later"), "account A, ledger, row 4 is"),
    (lambda out: out.notices.pop(), "account A, notices: 0 rows, recounted 1"),
    (lambda out: out.notices[0].update(owed="0.00"), "account A, notices, row 1 is"),
    (lambda out: out.services[-1].update(state="good"), "account A, services, row 1 is"),
    (lambda out: out.results.pop(), "command 'c-1' at 1 of partition 0 was never answered"),
    (lambda out: out.results.append(out.results[0]), "a command was answered twice"),
    (lambda out: out.results[0].update(status="refused", code="not_paid"), "code is 'not_paid', recounted None"),
    (lambda out: out.results[0]["source"].update(offset=9), "an answer to no command: 'c-0' at 9"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), FAULTS)
def test_each_kind_of_fault_is_found_and_named(change: Callable[[Any], Any], words: str) -> None:
    count = guide().count
    out = published(count)
    change(out)
    assert words in "\n".join(money_differences(count, out))


@pytest.mark.parametrize(
    ("due", "words"),
    [
        ([(ms("2019-01-02 12:00"), 2)], "says that 2 actions were due, recounted 1"),
        ([(ms("2019-01-02 11:59"), 1)], "says that 1 actions were due, recounted 0"),
        ([(ms("2019-01-02 12:00"), 1), (ms("2019-01-02 11:00"), 0)], "after 1546401600000"),
    ],
)
def test_a_journal_that_settles_what_is_not_due_is_found(due: list[tuple[int, int]], words: str) -> None:
    counts = {"read": 1, "priced": 1, "duplicate": 0, "rejected": 0, "rerouted": 0, "commands": 0}
    first = {"seq": 1, "inputs": [{"topic": COMPLETED, "from": 0, "to": 1}], **counts}
    later = [
        {"seq": seq, "inputs": [], **dict.fromkeys(counts, 0), "due": {"until": until, "actions": actions}}
        for seq, (until, actions) in enumerate(due, 2)
    ]
    inputs = {COMPLETED: [Record(COMPLETED, 0, 0, ms("2019-01-01 10:05"), json.dumps(GUIDE).encode())]}
    found = fold_journal(PartitionCount(0, 1, RULES), inputs, [{"kind": "rules"}, first, *later])
    assert words in " ".join(found)
