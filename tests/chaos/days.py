"""Thirty simulated days of a meter's customers: what they run, pay and agree, from a seed.

Daily and monthly accounts, some that never pay; late jobs, duplicates, refunds of bills that were paid and of others,
the same command twice. Everything is stamped with its simulated time, day by day.
"""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any, NamedTuple

from tests.recount.placement import owner

CHINA = timezone(timedelta(hours=8))
FIRST_DAY = datetime(2026, 1, 20, tzinfo=CHINA)
COMPLETED, COMMANDS = "recognition.jobs.completed", "meter.commands"
REGIONS = ["ap-guangzhou", "ap-tokyo", "na-ashburn", "Mainland China", "eu-frankfurt"]


class DayEvent(NamedTuple):
    """One record: topic, partition, simulated record time in ms, key, value."""

    topic: str
    partition: int
    at_ms: int
    key: bytes
    value: bytes


class Days:
    """The events of each day, in the order of their time."""

    def __init__(self, seed: int, accounts: int, partitions: int) -> None:
        self._rng = Random(seed)
        self._partitions = partitions
        self._accounts = [f"customer-{number}" for number in range(accounts)]
        self._monthly = set(self._rng.sample(self._accounts, accounts // 5))
        self._poor = set(self._rng.sample(self._accounts, accounts // 10))
        self._numbers = iter(range(1, 10**9))
        self._recent: list[dict[str, Any]] = []
        self._paid_in: list[tuple[str, str]] = []  # account and command id of top-ups

    def day(self, number: int) -> list[DayEvent]:
        """What happens on one day; day 0 opens and pays in."""
        start = FIRST_DAY + timedelta(days=number)
        events = [*self._opening(start)] if number == 0 else []
        events += [*self._payments(start), *self._jobs(start), *self._odd_commands(start, number)]
        return sorted(events, key=lambda event: event.at_ms)

    def tick(self, moment: datetime) -> list[DayEvent]:
        """Time passes on every partition, also where nothing happens."""
        body = {"v": 1, "command_id": f"tick-{moment.isoformat()}", "type": "tick", "issued_at": moment.isoformat()}
        value = json.dumps(body).encode()
        return [DayEvent(COMMANDS, p, _ms(moment), b"tick", value) for p in range(self._partitions)]

    def _opening(self, start: datetime) -> Iterator[DayEvent]:
        for account in self._accounts:
            yield self._command(start, "open_account", account)
            if account not in self._poor:
                amount = f"{self._rng.randrange(1, 400)}.{self._rng.randrange(100):02d}"
                yield self._command(start + timedelta(seconds=1), "top_up", account, amount=amount)
            if account in self._monthly:
                terms: dict[str, Any] = {"effective_from": "2026-02-01", "mode": "monthly"}
                if self._rng.random() < 0.5:
                    terms |= {"grace_hours": 48, "prices": {"*": "0.21"}}
                yield self._command(start + timedelta(seconds=2), "contract", account, **terms)
            if self._rng.random() < 0.3:
                yield self._command(start + timedelta(seconds=3), "low_balance", account, threshold="50.00")

    def _payments(self, start: datetime) -> Iterator[DayEvent]:
        for account in self._accounts:
            if account not in self._poor and self._rng.random() < 0.12:
                at = start + timedelta(seconds=self._rng.randrange(86_400))
                amount = f"{self._rng.choice((self._rng.randrange(1, 300), 2000))}.00"
                event = self._command(at, "top_up", account, amount=amount)
                yield event
                self._paid_in.append((account, event.key.decode()))
                if self._rng.random() < 0.1:
                    yield event._replace(at_ms=event.at_ms + 5)

    def _jobs(self, start: datetime) -> Iterator[DayEvent]:
        for account in self._accounts:
            for _ in range(self._rng.choice((0, 1, 1, 2, 3))):
                yield from self._job(account, start + timedelta(seconds=self._rng.randrange(86_400)))

    def _job(self, account: str, moment: datetime) -> Iterator[DayEvent]:
        rng = self._rng
        late = timedelta(hours=rng.randrange(1, 90)) if rng.random() < 0.08 else timedelta()
        job = {
            "job_id": f"job-{next(self._numbers)}",
            "account_id": account,
            "region": rng.choice(REGIONS),
            "kinds": ["face"],
            "duration_s": rng.randrange(1, 9_000),
            "completed_at": (moment - late).isoformat(),
        }
        self._recent = [*self._recent[-200:], job]
        yield self._completion(job, moment)
        if rng.random() < 0.03:
            yield self._completion(rng.choice(self._recent), moment + timedelta(seconds=1))

    def _completion(self, job: dict[str, Any], moment: datetime) -> DayEvent:
        home = owner(job["account_id"], self._partitions)
        astray = self._rng.randrange(self._partitions) if self._rng.random() < 0.02 else home
        return DayEvent(COMPLETED, astray, _ms(moment), job["account_id"].encode(), json.dumps(job).encode())

    def _odd_commands(self, start: datetime, number: int) -> Iterator[DayEvent]:
        """Refunds, adjustments, and commands that must be refused."""
        for account in self._rng.sample(self._accounts, max(1, len(self._accounts) // 50)):
            at = start + timedelta(seconds=self._rng.randrange(86_400))
            day = start - timedelta(days=self._rng.randrange(1, 6))
            bill = f"B{day:%Y%m%d}-{hashlib.sha256(account.encode()).hexdigest()[:16]}"
            ticket = f"T-{account}-{number}"
            yield self._command(at, "refund", account, bill_id=bill, ticket=ticket, amount="0.28")
            amount = self._rng.choice(("-1.00", "2.50", "0.00"))
            yield self._command(at, "adjustment", account, amount=amount, reason="by hand")
            yield self._command(at, "top_up", account, amount=self._rng.choice(("-5.00", "1.234", "0")))
            yield self._command(
                at, "charge", account, amount=self._rng.choice(("0.50", "25.00")), reason="under-billed"
            )
            credit = {"bill_id": bill, "line": self._rng.choice((1, 1, 2)), "amount": "0.28", "reason": "black"}
            yield self._command(at, "credit_note", account, **credit)
            yield from self._corrections(at)

    def _corrections(self, at: datetime) -> Iterator[DayEvent]:
        """A top-up that bounced, now and then twice; a contract that is taken back."""
        if self._paid_in:
            account, top_up = self._rng.choice(self._paid_in[-100:])
            yield self._command(at, "payment_reversed", account, top_up=top_up)
        account = self._rng.choice(self._accounts)
        typo = self._command(at, "contract", account, effective_from="2127-01-01", prices={"*": "0.01"})
        yield typo
        later = at + timedelta(seconds=self._rng.randrange(1, 60))
        yield self._command(later, "withdraw_contract", account, contract_id=typo.key.decode())

    def _command(self, moment: datetime, kind: str, account: str, **fields: Any) -> DayEvent:
        command_id = f"command-{next(self._numbers)}"
        body = {"v": 1, "command_id": command_id, "type": kind, "issued_at": moment.isoformat(), "account_id": account}
        place = owner(account, self._partitions)
        return DayEvent(COMMANDS, place, _ms(moment), command_id.encode(), json.dumps(body | fields).encode())


def _ms(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
