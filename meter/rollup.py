"""Daily totals: how many jobs, minutes and CNY an account used in a region on a billing day."""

from collections.abc import MutableMapping
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


class DayTotals:
    """The daily totals of a partition, as long as a job can be added to them."""

    def __init__(self, rows: MutableMapping[TotalKey, Total] | None = None) -> None:
        """`rows`: where they are kept; a worker's table, or else a dictionary of its own."""
        self.rows: MutableMapping[TotalKey, Total] = {} if rows is None else rows
        #: account id -> regions and days that have a total
        self.used: dict[str, dict[tuple[str, str], None]] = {}
        #: The latest billing day of which a job was ever metered; empty: of none.
        self.metered_day = ""

    def put(self, key: TotalKey, total: Total) -> None:
        """A total as it is now."""
        self.rows[key] = total
        self.used.setdefault(key[0], {})[key[1:]] = None
        self.metered_day = max(self.metered_day, key[2])

    def drop(self, key: TotalKey) -> None:
        """A total to which no job can be added any more."""
        del self.rows[key]
        days = self.used[key[0]]
        del days[key[1:]]
        if not days:
            del self.used[key[0]]
