"""Bills: usage waits for its period to be settled; a bill is all that waits for one account and period."""

import hashlib
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from tests.recount.accounts import Accounts
from tests.recount.periods import cut_ms, open_day, period_of, settled_at_ms, text
from tests.recount.prices import Prices
from tests.recount.rules import money

Row = dict[str, Any]
STOP, SETTLE = 1, 2


class Used(NamedTuple):
    """What waits to be one line of a bill, and the journal steps that priced it."""

    jobs: int
    minutes: int
    amount: Decimal
    seqs: tuple[int, ...]


class Job(NamedTuple):
    """A priced job as a bill sees it."""

    account_id: str
    region: str
    day: str
    minutes: int
    amount: Decimal
    at_ms: int
    seq: int


def bill_id_of(account_id: str, period: str) -> str:
    return f"B{period.replace('-', '')}-{hashlib.sha256(account_id.encode()).hexdigest()[:16]}"


class Billing:
    """What waits to be billed on one partition, and the bills."""

    def __init__(self, partition: int, spread_s: int, prices: Prices, accounts: Accounts) -> None:
        self.partition = partition
        self.spread_s = spread_s
        self.prices = prices
        self.accounts = accounts
        self.settled_until_ms = 0
        self.waiting: dict[tuple[str, str], dict[tuple[str, str, str], Used]] = {}
        self.bills: dict[tuple[str, str], Row] = {}

    def add(self, job: Job) -> None:
        """In time for its own period's bill, or an adjustment on the first one whose cut is later."""
        now_ms = max(job.at_ms, self.settled_until_ms)
        period, kind = period_of(job.day, self.prices.mode(job.account_id, job.day)), "usage"
        if now_ms >= cut_ms(period):
            day = open_day(now_ms)
            period, kind = period_of(day, self.prices.mode(job.account_id, day)), "late"
        lines = self.waiting.setdefault((job.account_id, period), {})
        used = lines.get((kind, job.day, job.region), Used(0, 0, Decimal(0), ()))
        lines[kind, job.day, job.region] = Used(
            used.jobs + 1, used.minutes + job.minutes, used.amount + job.amount, (*used.seqs[:1], job.seq)
        )

    def due(self, until_ms: int) -> list[tuple[int, int, str, str]]:
        """When, what, whose, of which period: everything that is due by an instant, in order."""
        stops = [
            (customer.deadline_ms, STOP, account_id, "")
            for account_id, customer in self.accounts.of.items()
            if customer.deadline_ms is not None
        ]
        settlements = [
            (settled_at_ms(account_id, period, self.spread_s), SETTLE, account_id, period)
            for account_id, period in self.waiting
        ]
        return sorted(action for action in stops + settlements if action[0] <= until_ms)

    def run_due(self, until_ms: int, actions: int) -> int:
        """Do the first so many of what is due; returns how many there were to do."""
        due = self.due(until_ms)
        self.settled_until_ms = until_ms
        for _, what, account_id, period in due[:actions]:
            if what == STOP:
                self.accounts.stop_if_late(account_id, until_ms)
            else:
                self._settle(account_id, period, until_ms)
        return len(due)

    def _settle(self, account_id: str, period: str, at_ms: int) -> None:
        used = sorted(self.waiting.pop((account_id, period)).items(), key=lambda line: (line[0][0] == "late", line[0]))
        total = sum((line.amount for _, line in used), Decimal(0))
        payable = total.quantize(Decimal("0.01"), ROUND_HALF_UP)
        seqs = [seq for _, line in used for seq in line.seqs]
        bill = {
            "v": 1,
            "bill_id": bill_id_of(account_id, period),
            "account_id": account_id,
            "period": period,
            "mode": "daily" if len(period) == 10 else "monthly",
            "lines": [self._line(account_id, *line) for line in used],
            "total": money(total),
            "payable": money(payable),
            "rounding": money(payable - total),
            "currency": "CNY",
            "issued_at": text(settled_at_ms(account_id, period, self.spread_s)),
            "cut": text(cut_ms(period)),
            "journal": {"partition": self.partition, "from": min(seqs), "to": max(seqs)},
        }
        assert (account_id, period) not in self.bills
        self.bills[account_id, period] = bill
        last_day = period if len(period) == 10 else f"{period}-31"
        self.accounts.charge(account_id, at_ms, bill, total, self.prices.contract(account_id, last_day))

    def _line(self, account_id: str, what: tuple[str, str, str], used: Used) -> Row:
        kind, day, region = what
        line = {
            "kind": kind,
            "region": region,
            "day": day,
            "jobs": used.jobs,
            "minutes": used.minutes,
            "unit_price": money(self.prices.of(account_id, region, day)),
            "amount": money(used.amount),
        }
        if kind == "late":
            period = period_of(day, self.prices.mode(account_id, day))
            line["original_bill_id"] = bill_id_of(account_id, period)
        return line
