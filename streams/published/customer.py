"""One customer as the meter has it now: balance, service, contracts, and what is used and not billed yet."""

import time
from decimal import Decimal
from typing import Any, NamedTuple

from meter.accounts import Account
from meter.agenda import Action
from meter.arrears import may_start_jobs
from meter.contracts import Contract, Contracts, contract_on, mode_on
from meter.money import CURRENCY, EXACT, ZERO, decimal_text
from meter.periods import BillingDays
from meter.routing import owner
from meter.rules import Clock, Rules
from meter.settlement import ShareKey, UnbilledShare
from meter.state import PartitionState
from streams.errors import MeterError
from streams.published.read import partition_state
from streams.settings import Settings

#: After every instant at which something can be due.
FOR_EVER_MS = 2**63


class Customer(NamedTuple):
    """An account, on a billing day, with what belongs to it."""

    account_id: str
    day: str
    account: Account
    contracts: Contracts
    unbilled: tuple[tuple[ShareKey, UnbilledShare], ...]

    @property
    def contract(self) -> Contract | None:
        """The contract in effect."""
        return contract_on(self.contracts, self.day)

    @property
    def to_come(self) -> Contracts:
        """Contracts that begin later."""
        return tuple(contract for contract in self.contracts if contract.effective_from > self.day)

    @property
    def owed(self) -> Decimal:
        """What is missing to pay all open bills, in CNY."""
        return max(self.account.owed, ZERO)

    @property
    def unbilled_amount(self) -> Decimal:
        """What is used and not billed yet, exactly, in CNY."""
        total = ZERO
        for _, share in self.unbilled:
            total = EXACT.add(total, share.amount)
        return total


async def customer(settings: Settings, rules: Rules, account_id: str) -> Customer:
    """A customer as of what is committed. Raises MeterError where there is none of this id."""
    state = await partition_state(settings, rules, owner(account_id, rules.partitions), account_id)
    account = state.accounts.by_id.get(account_id)
    if account is None:
        raise MeterError(f"there is no account {account_id!r}; its first job opens it, or `meter account open`")
    return Customer(
        account_id, _today(state), account, state.terms.contracts.get(account_id, ()), _unbilled(state, account_id)
    )


def _today(state: PartitionState) -> str:
    simulated = state.rules.clock is Clock.SIMULATED
    return state.days.day_of(state.position.record_time * 1000 if simulated else time.time_ns() // 1000)


def _unbilled(state: PartitionState, account_id: str) -> tuple[tuple[ShareKey, UnbilledShare], ...]:
    """Period by period, in the order in which they are settled."""
    waiting = [due for due in state.agenda.until(FOR_EVER_MS) if due.action is Action.SETTLE]
    keys = [key for due in waiting if due.account_id == account_id for key in state.unbilled.of(account_id, due.period)]
    return tuple((key, share) for key in keys if (share := state.unbilled.get(key)) is not None)


def as_document(customer: Customer, rules: Rules) -> dict[str, Any]:
    """A customer for programs. Amounts are decimal strings in CNY, absent terms null."""
    account, text = customer.account, BillingDays(rules.time_zone).text
    return {
        "account_id": customer.account_id,
        "currency": CURRENCY,
        "balance": decimal_text(account.cash),
        "owed": decimal_text(customer.owed),
        "service": {
            "state": account.service,
            "may_start_jobs": may_start_jobs(account.service),
            "since": text(account.since_ms),
            "deadline": None if account.deadline_ms is None else text(account.deadline_ms),
        },
        "open_bills": [{"bill_id": bill.bill_id, "payable": decimal_text(bill.payable)} for bill in account.open_bills],
        "day": customer.day,
        "mode": mode_on(customer.contracts, customer.day),
        "contract": None if customer.contract is None else _terms(customer.contract),
        "contracts_to_come": [_terms(contract) for contract in customer.to_come],
        "low_balance": None if account.low_balance is None else decimal_text(account.low_balance),
        "unbilled": decimal_text(customer.unbilled_amount),
        "unbilled_usage": [_usage(key, share) for key, share in customer.unbilled],
        "completed_after_stop": account.completed_after_stop,
        "opened_at": text(account.opened_ms),
    }


def _terms(contract: Contract) -> dict[str, Any]:
    return {
        "contract_id": contract.contract_id,
        "effective_from": contract.effective_from,
        "mode": contract.mode,
        "prices": {name: decimal_text(price) for name, price in contract.prices},
        "grace_hours": contract.grace_hours,
    }


def _usage(key: ShareKey, share: UnbilledShare) -> dict[str, Any]:
    return {
        "period": key.period,
        "kind": key.kind,
        "day": key.day,
        "region": key.region,
        "jobs": share.jobs,
        "minutes": share.minutes,
        "amount": decimal_text(share.amount),
    }
