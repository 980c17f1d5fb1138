"""A customer of a meter in a test: what it runs, pays and is billed, told in instants of the billing time zone."""

import json
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from meter import topics
from meter.accounts import Account
from meter.billing_models import AccountService, BillIssued, LedgerEntry, Notice
from meter.models import CommandResult
from meter.rules import Rules
from meter.step import Step
from tests.builders import Partition, completion

CHINA = ZoneInfo("Asia/Shanghai")
#: Everything settles at its cut, so that a test can say when.
RULES = Rules(meter_id="test", partitions=1, settlement_spread_s=0)


def ms(text: str) -> int:
    """Milliseconds of `2019-01-02 12:00` in China."""
    return int(datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp() * 1000)


class Customers:
    """One partition, its customers, and a clock that the test turns."""

    def __init__(self, rules: Rules = RULES) -> None:
        self.partition = Partition(rules)
        self.steps: list[Step] = []
        self._commands = 0
        self._jobs = 0

    # -- what happens ----------------------------------------------------------------------------------------

    def runs(self, account: str, at: str, *, completed: str | None = None, **fields: Any) -> Step:
        """A job's completion comes in at an instant; completed then, or earlier."""
        self._jobs += 1
        done = datetime.fromisoformat(completed or at).replace(tzinfo=CHINA).isoformat()
        job = {"job_id": f"job-{self._jobs}", "account_id": account, "region": "Mainland China", "completed_at": done}
        return self._keep(self.partition.fold(completion(**(job | fields)), at=ms(at)))

    def command(self, at: str, kind: str, account: str | None = "A", **fields: Any) -> CommandResult:
        """A command comes in at an instant; its answer."""
        self._commands += 1
        issued = datetime.fromisoformat(at).replace(tzinfo=CHINA).isoformat()
        body = {"command_id": f"command-{self._commands}", "type": kind, "issued_at": issued, **fields}
        if account is not None:
            body["account_id"] = account
        step = self._keep(self.partition.fold(body, topic=topics.COMMANDS, at=ms(at)))
        return CommandResult.read(step.outputs.results[0][1])

    def top_up(self, at: str, amount: str, account: str = "A") -> CommandResult:
        """Money comes in, for an account that is opened first where it has to be."""
        if account not in self.partition.state.accounts.by_id:
            self.command(at, "open_account", account)
        return self.command(at, "top_up", account, amount=amount)

    def time_is(self, at: str, slice_of: int = 10_000) -> None:
        """What is due by an instant is done, so many actions a step."""
        while (due := self.partition.state.agenda.next_ms()) is not None and due <= ms(at):
            self._keep(self.partition.run_due(ms(at), slice_of))

    def crash(self) -> None:
        """The process dies and another takes over."""
        self.partition.reopen()

    def _keep(self, step: Step) -> Step:
        self.steps.append(step)
        return step

    # -- what comes out --------------------------------------------------------------------------------------

    def account(self, account: str = "A") -> Account:
        """The account as the meter has it."""
        return self.partition.state.accounts.by_id[account]

    def bills(self, account: str | None = None) -> list[BillIssued]:
        """All bills, or those of one account, in the order of the log."""
        found = [BillIssued.read(value) for step in self.steps for _, value in step.outputs.bills]
        return [bill for bill in found if account in (None, bill.account_id)]

    def entries(self) -> list[LedgerEntry]:
        """The ledger."""
        return [LedgerEntry.read(value) for step in self.steps for _, value in step.outputs.entries]

    def notices(self) -> list[Notice]:
        """The notices."""
        return [Notice.read(value) for step in self.steps for _, value in step.outputs.notices]

    def services(self) -> list[AccountService]:
        """What services were told about accounts."""
        return [AccountService.read(value) for step in self.steps for _, value in step.outputs.services]

    def published(self) -> Iterator[tuple[bytes, bytes]]:
        """All records of the money, as bytes."""
        for step in self.steps:
            yield from (*step.outputs.bills, *step.outputs.entries, *step.outputs.notices, *step.outputs.services)

    def balance(self, account: str = "A") -> Decimal:
        """The balance as a fold of the ledger."""
        postings = (p for e in self.entries() if e.account_id == account for p in e.postings if p.book == "balance")
        return -sum((Decimal(posting.amount) for posting in postings), Decimal("0.00"))


def lines(bill: BillIssued) -> list[tuple[str, str, str, int, str]]:
    """A bill's lines in short: kind, day, region, minutes, amount."""
    return [(line.kind, line.day, line.region, line.minutes, line.amount) for line in bill.lines]


def fields_of(value: bytes) -> dict[str, Any]:
    """A record as a dict."""
    fields: dict[str, Any] = json.loads(value)
    return fields
