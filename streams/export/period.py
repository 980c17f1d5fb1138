"""Which jobs belong to a period's export.

A billing day's export has what the bills of daily accounts have: the jobs of the day that were recorded before its cut
(12:00 of the day after), and the late ones: of earlier days, recorded between the cut before and this one. So each job
is in the export of one day, ever, and a day that is over never changes. A month is all of its days: that is also what
its monthly bills have, since a month's cut is that of its last day.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from meter.periods import BillingDays


class ExportPeriod(NamedTuple):
    """A period, `YYYY-MM-DD` or `YYYY-MM`, with its days, first to last."""

    period: str
    days: tuple[str, ...]

    @property
    def last(self) -> str:
        """The last day, which is the last to be settled."""
        return self.days[-1]


class Window(NamedTuple):
    """Of one day's export: a job of `day` recorded before `until` is in it; of an earlier day, from `since` on.

    No job of a day before `oldest` can be recorded in it.
    """

    day: str
    since: datetime
    until: datetime
    oldest: str


def span_of(period: str) -> ExportPeriod:
    """The days of a period."""
    if len(period) == 10:
        return ExportPeriod(period, (period,))
    first = date.fromisoformat(f"{period}-01")
    month = (first + timedelta(days=n) for n in range(31))
    return ExportPeriod(period, tuple(day.isoformat() for day in month if day.month == first.month))


def windows(span: ExportPeriod, days: BillingDays, horizon_days: int) -> Iterator[Window]:
    """The windows of a period, day by day."""
    for day in span.days:
        here = date.fromisoformat(day)
        before = (here - timedelta(days=1)).isoformat()
        # Whatever the zone: a day for the offset of `completed_at`, one for the hours up to the cut.
        oldest = (here - timedelta(days=horizon_days + 2)).isoformat()
        yield Window(day, moment(days.cut_ms(before)), moment(days.cut_ms(day)), oldest)


def moment(instant_ms: int) -> datetime:
    """Milliseconds since the epoch as an aware datetime."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant_ms)
