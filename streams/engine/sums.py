"""What was priced is billed or not billed yet: held at every scrape, for as long as a partition is open."""

from decimal import Decimal

from meter.money import EXACT
from meter.partition import Step
from meter.state import PartitionState


class Sums:
    """Priced and billed amounts since a partition was opened, in CNY, against what its state says is unbilled."""

    def __init__(self, state: PartitionState) -> None:
        self._state = state
        self.expected = state.unbilled.amount()

    def add(self, step: Step) -> None:
        """A step was committed."""
        for _, amount in step.usage_by_region.values():
            self.expected = EXACT.add(self.expected, amount)
        self.expected = EXACT.subtract(self.expected, step.billed_amount)

    def look(self) -> tuple[Decimal, Decimal]:
        """The unbilled amount, and by how much it differs from what was priced less what was billed: zero."""
        unbilled = self._state.unbilled.amount()
        return unbilled, EXACT.subtract(unbilled, self.expected)
