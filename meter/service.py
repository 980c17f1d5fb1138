"""What the service makes of an account's money: arrears when a deduction fails, stop at the deadline, restored."""

from meter.account_changes import AccountChanges
from meter.accounts import Account, OpenBill
from meter.arrears import HOUR_MS, Event, Service, after
from meter.money import CURRENCY, decimal_text


def expire(changes: AccountChanges, account_id: str, at_ms: int) -> None:
    """Stop the service when the deadline has been reached with something pressing."""
    account = changes.find(account_id)
    if account is None or account.deadline_ms is None or account.deadline_ms > at_ms or account.pressing <= 0:
        return
    changes.stopped.add(account_id)
    pressing = f"{decimal_text(account.pressing)} {CURRENCY}"
    deadline = account.deadline_ms
    changes.serve(account_id, Event.DEADLINE_REACHED, deadline, f"{pressing} were not paid in time", None)
    changes.notify(account_id, "stopped", deadline, str(deadline), {"owed": decimal_text(account.owed)})


def money_changed(changes: AccountChanges, account_id: str, account: Account, at_ms: int, cause_id: str) -> None:
    """What the service makes of a change of the balance, or of what is open. `cause_id`: what is behind it."""
    if account.service is Service.GOOD:
        return
    restored = account.owed <= 0 or (account.service is Service.STOPPED and account.pressing <= 0)
    if account.owed <= 0:
        changes.serve(account_id, Event.NOTHING_OWED, at_ms, "nothing is owed", None)
    elif account.pressing <= 0 and (account.service is Service.STOPPED or account.deadline_ms is not None):
        changes.serve(account_id, Event.NOTHING_PRESSING, at_ms, "what is owed does not stop the service", None)
    if restored:
        changes.notify(account_id, "restored", at_ms, cause_id, {"balance": decimal_text(account.cash)})


def deduction_failed(changes: AccountChanges, account_id: str, bill: OpenBill, at_ms: int, cause_id: str) -> None:
    """A bill could not be paid: the grace period begins, where it has not, and the customer is told."""
    account = changes.accounts[account_id]
    deadline = account.deadline_ms
    if account.service is not Service.STOPPED and deadline is None and account.pressing > 0:
        assert bill.grace_hours is not None
        deadline = at_ms + bill.grace_hours * HOUR_MS
    if account.service is Service.GOOD:
        changes.serve(account_id, Event.DEDUCTION_FAILED, at_ms, f"bill {bill.bill_id} is not paid", deadline)
    else:
        service = after(account.service, Event.DEDUCTION_FAILED)
        changes.accounts[account_id] = account._replace(service=service, deadline_ms=deadline)
    fields = {"bill_id": bill.bill_id, "payable": decimal_text(bill.payable), "owed": decimal_text(account.owed)}
    if deadline is not None:
        fields["deadline"] = changes.text(deadline)
    changes.notify(account_id, "arrears", at_ms, cause_id, fields)
