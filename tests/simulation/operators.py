"""The commands of operators, from a source of chance: good ones, wrong ones, and some that were sent before."""

import json
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from meter.regions import ZONES
from meter.routing import owner
from tests.recount.billing import bill_id_of

AMOUNTS = ["0.01", "20.00", "100", "400.5", "800.00", "2000.00"]
NO_AMOUNTS = ["0.00", "-1.00", "1.001", "1e3", "", None, 5]
KINDS = ["top_up"] * 14 + ["adjustment"] * 4 + ["refund"] * 12 + ["contract"] * 3 + ["low_balance"] * 2
KINDS += ["charge"] * 2 + ["payment_reversed"] * 3 + ["credit_note"] * 5 + ["withdraw_contract"] * 2
KINDS += ["open_account", "tick", "price_book", "withdraw_price_book", "dance"]
JUNK = [b"", b"{", b"[]", None, b'{"command_id":"x"}', b'{"type":"tick"}', b"\xff"]


class Operators:
    """Sends commands as they should and should not be."""

    def __init__(self, chance: random.Random, accounts: list[str], partitions: int) -> None:
        self.chance = chance
        self.accounts = accounts
        self.partitions = partitions
        self._count = 0
        self._sent: list[tuple[list[int], bytes]] = []
        self._tickets: list[dict[str, Any]] = []
        self._given: dict[str, list[dict[str, Any]]] = {}

    def command(self, now_ms: int) -> tuple[list[int], bytes | None]:
        """A record for `meter.commands`, and the partitions that it goes to."""
        roll = self.chance.random()
        if roll < 0.02:
            return [self.chance.randrange(self.partitions)], self.chance.choice(JUNK)
        if roll < 0.12 and self._sent:
            return self.chance.choice(self._sent[-300:])
        fields = self._fields(datetime.fromtimestamp(now_ms / 1000, UTC))
        places = [owner(fields.get("account_id", ""), self.partitions)]
        if "account_id" not in fields:
            places = list(range(self.partitions))
        elif roll > 0.98:
            places = [self.chance.randrange(self.partitions)]
        self._sent.append((places, json.dumps(fields).encode()))
        return self._sent[-1]

    def _fields(self, now: datetime) -> dict[str, Any]:
        self._count += 1
        kind = self.chance.choice(KINDS)
        age_s = self.chance.choice([0, 0, 0, 60, 86_400, -60, 36 * 86_400 if self._count % 50 == 0 else 1])
        fields = {
            "command_id": f"c-{self._count - (self.chance.randrange(60) if self.chance.random() < 0.02 else 0)}",
            "type": kind,
            "issued_at": (now - timedelta(seconds=age_s)).isoformat(timespec="milliseconds"),
        }
        if kind not in {"tick", "price_book", "withdraw_price_book"}:
            fields["account_id"] = self.chance.choice([*self.accounts, *self.accounts, "nobody"])
        makers: dict[str, Callable[[datetime], dict[str, Any]]] = {
            "refund": self._refund,
            "contract": self._contract,
            "price_book": self._book,
        }
        makers |= {"credit_note": self._credit_note, "payment_reversed": self._reversal}
        makers |= {"withdraw_contract": self._withdrawal, "withdraw_price_book": self._book_withdrawal}
        fields |= makers[kind](now) if kind in makers else self._money(kind)
        self._given.setdefault(kind, []).append(fields)
        return fields

    def _one_given(self, kind: str) -> dict[str, Any]:
        """One of the last commands of a kind; of none, one that never was."""
        never = {"account_id": self.chance.choice(self.accounts), "command_id": "never", "version": "never"}
        return self.chance.choice(self._given.get(kind, [])[-40:] or [never])

    def _reversal(self, _: datetime) -> dict[str, Any]:
        """Of a top-up, which may have been refused, or reversed before."""
        given = self._one_given("top_up")
        return {"account_id": given["account_id"], "top_up": given["command_id"]}

    def _withdrawal(self, _: datetime) -> dict[str, Any]:
        given = self._one_given("contract")
        return {"account_id": given["account_id"], "contract_id": given["command_id"]}

    def _book_withdrawal(self, _: datetime) -> dict[str, Any]:
        return {"version": self._one_given("price_book")["version"]}

    def _credit_note(self, now: datetime) -> dict[str, Any]:
        bill_id, account_id = self._bill_of(now)
        amount = self.chance.choice(["0.01", "0.20", "5.00", "50.00", "0.00"])
        line = self.chance.choice([1, 1, 1, 2, 40, 0])
        return {"account_id": account_id, "bill_id": bill_id, "line": line, "amount": amount, "reason": "too much"}

    def _bill_of(self, now: datetime) -> tuple[str, str]:
        """The id of a bill that there may be, mostly of the last days, and its account."""
        day = (now - timedelta(days=self.chance.choice([1, 1, 2, 2, 3, 20, 60, 100]))).date().isoformat()
        account_id = self.chance.choice(self.accounts)
        return bill_id_of(account_id, self.chance.choice([day, day, day[:7]])), account_id

    def _money(self, kind: str) -> dict[str, Any]:
        wrong = self.chance.random() < 0.1
        amount = self.chance.choice(NO_AMOUNTS if wrong else AMOUNTS)
        match kind:
            case "top_up":
                return {"amount": amount}
            case "charge":
                return {"amount": amount, "reason": self.chance.choice(["under-billed", ""])}
            case "adjustment":
                sign = "-" if self.chance.random() < 0.5 and amount else ""
                return {"amount": f"{sign}{amount}", "reason": self.chance.choice(["a gift", "an error", ""])}
            case "low_balance":
                return {"threshold": self.chance.choice([amount, "3000.00", None])}
        return {}

    def _refund(self, now: datetime) -> dict[str, Any]:
        """Mostly of a bill of the last days, now and then by a ticket that was used before."""
        if self._tickets and self.chance.random() < 0.3:
            return self.chance.choice(self._tickets[-30:]) | ({"amount": "0.02"} if self.chance.random() < 0.3 else {})
        bill_id, account_id = self._bill_of(now)
        amount = self.chance.choice(["0.01", "0.01", "10.00", "500.00", "0.00"])
        refund = {"account_id": account_id, "bill_id": bill_id, "ticket": f"t-{self._count}", "amount": amount}
        self._tickets.append(refund)
        return refund

    def _contract(self, now: datetime) -> dict[str, Any]:
        """Mostly from a day soon on, or from the next month on, for which a mode may change."""
        soon = (now + timedelta(days=self.chance.choice([0, 1, 2, 3, 9]))).date()
        next_month = date(now.year + now.month // 12, now.month % 12 + 1, 1)
        return {
            "effective_from": self.chance.choice([soon, soon, next_month]).isoformat(),
            "mode": self.chance.choice(["daily", "monthly", None]),
            "prices": self.chance.choice(
                [{}, {"*": "0.1"}, {"Tokyo": "1"}, {"ap-tokyo": "0.33333333", "*": "0.2"}, {"Mainland China": "0"}]
            ),
            "grace_hours": self.chance.choice([None, None, 1, 48]),
        }

    def _book(self, now: datetime) -> dict[str, Any]:
        prices = {zone: self.chance.choice(["0.2", "0.25", "0.31415926"]) for zone in ZONES}
        if self.chance.random() < 0.2:
            prices.popitem()
        return {
            "version": f"book-{self._count // 2}",
            "effective_from": (now + timedelta(days=self.chance.choice([0, 1, 4]))).date().isoformat(),
            "prices": prices,
        }
