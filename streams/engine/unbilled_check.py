"""What was priced is billed or not billed yet: held at every scrape, for as long as a partition is open.

No scrape adds up all that is unbilled. What it comes to is kept with each change of the state, and must be what the
outputs of the steps make of it. That the state itself is right is audited beside that, some periods at each scrape, in
turn: the usage that is to be billed against the daily totals, which are added up by themselves.
"""

from decimal import Decimal

from meter.agenda import Action, Due
from meter.money import EXACT, ZERO
from meter.settlement import Kind, ShareKey, UnbilledShare
from meter.state import PartitionState
from meter.step import Step

#: Periods of accounts that one look audits.
AUDITED = 100


class UnbilledCheck:
    """Priced and billed amounts since a partition was opened, in CNY, against what its state says is unbilled."""

    def __init__(self, state: PartitionState) -> None:
        self._state = state
        self._expected = state.unbilled.amount()
        self._audited: Due | None = None
        self._found = self._found_before = ZERO

    def add(self, step: Step) -> None:
        """A step was committed."""
        for _, amount in step.tally.usage.values():
            self._expected = EXACT.add(self._expected, amount)
        self._expected = EXACT.subtract(self._expected, step.tally.billed)

    def look(self) -> tuple[Decimal, Decimal]:
        """The unbilled amount, and by how much it differs from what was priced less what was billed: zero.

        What the audit has found, in this round or the one before, is added to that.
        """
        self._audit()
        unbilled = self._state.unbilled.amount()
        difference = EXACT.subtract(unbilled, self._expected)
        return unbilled, EXACT.add(difference, self._found or self._found_before)

    def _audit(self) -> None:
        waiting = self._state.agenda.after(self._audited, AUDITED)
        for due in waiting:
            if due.action is Action.SETTLE:
                self._found = EXACT.add(self._found, self._difference(due))
        if len(waiting) == AUDITED:
            self._audited = waiting[-1]
        else:
            self._audited = None
            self._found_before, self._found = self._found, ZERO

    def _difference(self, due: Due) -> Decimal:
        """By how much a period's usage is off. Before its cut no job is late: then it is the whole of the totals."""
        state, difference = self._state, ZERO
        may_be_late = max(state.position.record_time, state.position.due_until) >= state.days.cut_ms(due.period)
        for key, share in state.unbilled.of(due.account_id, due.period).items():
            if key.kind is Kind.USAGE:
                more = self._more_than_used(key, share)
                difference = EXACT.add(difference, max(more, ZERO) if may_be_late else more)
        return difference

    def _more_than_used(self, key: ShareKey, share: UnbilledShare) -> Decimal:
        total = self._state.totals.rows.get((key.account_id, key.region, key.day))
        return share.amount if total is None else EXACT.subtract(share.amount, total.amount)
