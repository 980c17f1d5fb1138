"""What falls due in a step: periods are billed, and accounts whose deadline has passed are stopped."""

from meter.agenda import Action
from meter.contracts import contract_on
from meter.debts import bill_account
from meter.journal import DueRun
from meter.money import EXACT
from meter.outputs import account_texts
from meter.service import expire
from meter.settlement import bill, last_day
from meter.step import Step


def run_due(step: Step, until_ms: int, limit: int) -> int:
    """Do the next actions due by an instant, `limit` at most, before anything is folded. Returns how many.

    Every input must have been folded, by the steps before, up to an end that was taken after `until_ms`. Deductions
    and stops happen at `until_ms`; what is on a bill depends on its cut alone, so the records that this step goes on
    to fold are on later ones.
    """
    assert not step.taken.ranges
    state, changes = step.state, step.changes
    until_ms = max(until_ms, changes.position.due_until)  # a clock that jumped back does not take settlement back
    actions = state.agenda.due(until_ms, changes.actions, limit)
    changes.position.due_until = until_ms
    first_kept = state.days.day_of(state.rules.forgotten_ms(until_ms) * 1000)
    for due in actions:
        if due.action is Action.STOP:
            expire(changes.accounts, due.account_id, until_ms)
        else:
            _settle(step, due.account_id, due.period, until_ms)
            _forget_days(step, due.account_id, first_kept)
    changes.actions += len(actions)
    step.taken.due = DueRun(until=until_ms, actions=changes.actions)
    return len(actions)


def _settle(step: Step, account_id: str, period: str, at_ms: int) -> None:
    """Bill a period of an account, and deduct it."""
    state, changes = step.state, step.changes
    shares = state.unbilled.of(account_id, period)
    contracts = changes.terms.contracts_of(account_id)
    issued = bill(
        account_id,
        period,
        shares,
        days=state.days,
        rules=state.rules,
        partition=state.partition,
        contracts=contracts,
        price_of=changes.terms.price_for,
        meter_version=step.meter_version,
    )
    step.outputs.bills.append((account_texts(account_id)[0], issued.value))
    step.tally.billed = EXACT.add(step.tally.billed, issued.total)
    changes.shares.update(dict.fromkeys(shares))
    bill_account(changes.accounts, account_id, issued, at_ms, contract_on(contracts, last_day(period)))


def _forget_days(step: Step, account_id: str, first_kept: str) -> None:
    """Drop totals to which no job can be added any more."""
    for region, day in step.state.totals.used.get(account_id, ()):
        key = (account_id, region, day)
        if day < first_kept and step.state.unbilled.own(key) is None:
            step.changes.dropped[key] = None
