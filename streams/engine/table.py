"""The daily totals as a Faust table with a window of one billing day, and one partition's view of it.

Faust's own changelog is switched off: a total changes when its transaction is committed and not before, and
`meter.state` is what it is read back from.
"""

from collections.abc import Iterator, MutableMapping
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from faust.tables.table import Table
from faust.windows import Window

from meter.periods import BillingDays
from meter.rollup import Total, TotalKey
from meter.routing import owner

WindowRange = tuple[float, float]


class BillingDay(Window):
    """Tumbling windows of one day in the billing time zone: Faust's own align to the UTC epoch, 08:00 in China."""

    expires = None

    def __init__(self, days: BillingDays) -> None:
        self.days = days
        self.range_of_day = lru_cache(maxsize=4096)(self._range_of_day)

    def _range_of_day(self, day: str) -> WindowRange:
        first = date.fromisoformat(day)
        return (
            self.days.start_of(first).timestamp(),
            self.days.start_of(first + timedelta(days=1)).timestamp(),
        )

    def day_of_range(self, window: WindowRange) -> str:
        """The billing day of a window, `YYYY-MM-DD`."""
        return self.days.day_of(int(window[0] * 1_000_000))

    def ranges(self, timestamp: float) -> list[WindowRange]:
        """The one window of an instant in seconds."""
        return [self.current(timestamp)]

    def current(self, timestamp: float) -> WindowRange:
        """The window of an instant in seconds."""
        return self.range_of_day(self.days.day_of(int(timestamp * 1_000_000)))

    def earliest(self, timestamp: float) -> WindowRange:
        """The same: windows do not overlap."""
        return self.current(timestamp)

    def delta(self, timestamp: float, d: Any) -> WindowRange:
        """The window of an instant some time before."""
        return self.current(timestamp - (d.total_seconds() if isinstance(d, timedelta) else float(d)))

    def stale(self, timestamp: float, latest_timestamp: float) -> bool:
        """Never: a day goes on counting late jobs."""
        return False


class CommittedTable(Table):
    """A table that is written after the commit, so that it needs no changelog of its own."""

    async def on_start(self) -> None:
        """Start the store alone: there is no changelog topic to declare."""
        await self.add_runtime_dependency(self.data)

    def on_key_set(self, key: Any, value: Any) -> None:
        """No changelog: the step's transaction holds the change already."""

    def on_key_del(self, key: Any) -> None:
        """No changelog, as above."""


class PartitionTotals(MutableMapping[TotalKey, Total]):
    """One partition's daily totals within the table, by (account, region, day)."""

    def __init__(self, table: Any, window: BillingDay, partition: int, partitions: int) -> None:
        self._table = table
        self._range = window.range_of_day
        self._window = window
        self._partition = partition
        self._partitions = partitions

    def _key(self, key: TotalKey) -> tuple[tuple[str, str], WindowRange]:
        return (key[0], key[1]), self._range(key[2])

    def __getitem__(self, key: TotalKey) -> Total:
        total: Total = self._table.data[self._key(key)]
        return total

    def __setitem__(self, key: TotalKey, total: Total) -> None:
        self._table[self._key(key)] = total

    def __delitem__(self, key: TotalKey) -> None:
        del self._table[self._key(key)]

    def __iter__(self) -> Iterator[TotalKey]:
        for (account, region), window in list(self._table.data):
            if owner(account, self._partitions) == self._partition:
                yield account, region, self._window.day_of_range(window)

    def __len__(self) -> int:
        return sum(1 for _ in self)
