"""The days after: bills at noon, an account in arrears, a late job, and one bill proved from the log alone."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

from meter.billing_models import BillIssued
from meter.models import CommandResult
from meter.money import ZERO, decimal_text
from meter.rules import Rules
from streams.commands.clock import advance
from streams.commands.placing import place
from streams.commands.writing import new_command
from streams.demo.traffic import ACCOUNTS, Sent, at, late_job
from streams.errors import MeterError
from streams.proof.bill import prove_bill
from streams.proof.reconcile import reconcile
from streams.published.read import bills, notices
from streams.settings import Settings
from streams.terminal.output import say, say_table

PATIENCE_S = 60.0
#: The one that has paid nothing in.
POOR = "studio-42"


class MoneyPlay:
    """What happens on 2019-01-02 and 2019-01-03. `right` is False when a figure is not what it should be."""

    def __init__(self, settings: Settings, rules: Rules, submit: Callable[[list[Sent]], Awaitable[None]]) -> None:
        self.right = True
        self._settings = settings
        self._rules = rules
        self._submit = submit

    async def run(self) -> None:
        """The acts, in order."""
        await self._noon()
        await self._late_and_stopped()
        await self._proof()

    async def _noon(self) -> None:
        _act(f"2019-01-01 ends. All but {POOR} pay something in; the next noon passes, and the day is billed:")
        for account in ("A", *ACCOUNTS):
            if account != POOR:
                await self._top_up(account, "20.00" if account == "A" else "100000.00", at(0, 23, 59))
        await self._time_is(at(1, 13))
        found = await self._bills()
        _print_bills(found)
        self._check([bill.payable for bill in found if bill.account_id == "A"] == ["16.80"])

    async def _late_and_stopped(self) -> None:
        _act(f"A late job of account A comes in at 15:00. {POOR} pays nothing for 24 hours. The second noon passes:")
        await self._submit([late_job(self._rules.partitions)])
        await self._time_is(at(2, 14))
        late = [bill for bill in await self._bills() if bill.period == "2019-01-02"]
        _print_lines(late)
        kinds = [(line.kind, line.amount) for bill in late if bill.account_id == "A" for line in bill.lines]
        self._check(kinds == [("late", "2.80")])
        owed = next(bill.payable for bill in await self._bills() if bill.account_id == POOR)
        await self._top_up(POOR, owed, at(2, 15))
        told = [notice async for notice in notices(self._settings, self._rules, POOR)]
        say_table(("at", "account", "notice"), [(n.at[:16], n.account_id, _told(n.kind, n.owed)) for n in told])
        self._check([notice.kind for notice in told] == ["arrears", "stopped", "restored"])

    async def _proof(self) -> None:
        bill = next(bill for bill in await self._bills() if bill.account_id == "A")
        report = await prove_bill(self._settings, bill.bill_id)
        self._check(report.proved)
        _act(f"verify {bill.bill_id}: {'no difference' if report.proved else report.differences}")
        sums = await reconcile(self._settings, say=lambda _: None)
        self._check(not sums.differences and sums.unprovable is None)
        for text in sums.differences:
            say(text)
        say(f"reconcile: {decimal_text(sums.difference)} CNY between what was priced and what was billed")

    async def _time_is(self, at_ms: int) -> None:
        advanced = await advance(self._settings, self._rules, at_ms, None, PATIENCE_S)
        if advanced.behind or advanced.outcome.silent:
            raise MeterError("the workers do not settle what is due")

    async def _top_up(self, account: str, amount: str, at_ms: int) -> None:
        command = new_command("top_up", self._rules, at_ms, account_id=account, amount=amount)
        outcome = await place(self._settings, self._rules, command, at_ms=at_ms, timeout_s=PATIENCE_S)
        answers: list[CommandResult] = list(outcome.answers.values())
        self._check([answer.status for answer in answers] == ["done"])

    async def _bills(self) -> list[BillIssued]:
        found = [bill async for bill in bills(self._settings, self._rules)]
        return sorted(found, key=lambda bill: (bill.period, bill.account_id))

    def _check(self, holds: bool) -> None:
        if not holds:
            self.right = False
            say("THIS IS WRONG: please report it with the seed.")


def _told(kind: str, owed: str | None) -> str:
    return {
        "arrears": f"{owed} CNY are not paid: the service stops in 24 hours",
        "stopped": f"the service is stopped, {owed} CNY are owed",
        "restored": "all is paid: the service is restored",
    }[kind]


def _print_bills(found: list[BillIssued]) -> None:
    total = decimal_text(sum((Decimal(bill.payable) for bill in found), ZERO))
    rows = [(bill.bill_id, bill.account_id, bill.period, str(len(bill.lines)), bill.payable) for bill in found]
    say_table(("bill", "account", "period", "lines", "amount"), rows, last=("sum", "", "", "", f"{total} CNY"))


def _print_lines(found: list[BillIssued]) -> None:
    rows = [
        (
            bill.bill_id,
            bill.account_id,
            line.kind,
            line.day,
            str(line.minutes),
            line.amount,
            line.original_bill_id or "",
        )
        for bill in found
        for line in bill.lines
    ]
    say_table(("bill", "account", "line", "day", "minutes", "amount", "belongs to"), rows)


def _act(title: str) -> None:
    say("")
    say(title)
