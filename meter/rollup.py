"""Daily totals: how many jobs, minutes and CNY an account used in a region on a billing day."""

from decimal import Decimal
from typing import NamedTuple

from meter.money import EXACT, ZERO

#: account id, region (as outputs say it), billing day `YYYY-MM-DD`
TotalKey = tuple[str, str, str]


class Total(NamedTuple):
    """A daily total: number of jobs, billable minutes, exact amount in CNY."""

    jobs: int = 0
    minutes: int = 0
    amount: Decimal = ZERO

    def plus(self, jobs: int, minutes: int, amount: Decimal) -> "Total":
        """This total and some more jobs."""
        return Total(self.jobs + jobs, self.minutes + minutes, EXACT.add(self.amount, amount))


NOTHING = Total()
