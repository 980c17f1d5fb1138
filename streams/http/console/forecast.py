"""What the next bills of an account will probably come to: exact so far, and a stated rule for the rest.

A pure function of what is not billed yet, the contracts and an instant. Usage of a period that goes on is continued at
the same rate; nothing here is ever billed.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from meter.contracts import Contracts, Mode, mode_on
from meter.money import EXACT, ZERO
from meter.periods import BillingDays, milliseconds
from streams.store.queries.usage import Usage

#: How long after its cut a period may still wait for its bill; what is left then is late.
SETTLING = timedelta(hours=6)


class Forecast(NamedTuple):
    """One bill to come. `used` and `late` are exact, in CNY; `forecast` is rounded half up to 0.01.

    `over`: the period has ended, and only jobs that are reported before `cut` can change the bill. `percent`: how much
    of the period is over.
    """

    period: str
    used: Decimal
    late: Decimal
    forecast: Decimal
    over: bool
    percent: int
    cut: datetime


def forecasts(unbilled: Iterable[Usage], contracts: Contracts, days: BillingDays, now: datetime) -> list[Forecast]:
    """The bills to come, the next one first; none where there is nothing to bill."""
    used: dict[str, Decimal] = {}
    late = ZERO
    for usage in unbilled:
        period = period_of(usage.day, contracts)
        if cut_of(period, days) + SETTLING > now:
            used[period] = EXACT.add(used.get(period, ZERO), usage.amount)
        else:
            late = EXACT.add(late, usage.amount)
    if late:
        used.setdefault(_open_period(contracts, days, now), ZERO)
    ordered = sorted(used, key=lambda period: cut_of(period, days))
    first = next((period for period in ordered if cut_of(period, days) > now), None)
    return [_forecast(period, used[period], late if period == first else ZERO, days, now) for period in ordered]


def period_of(day: str, contracts: Contracts) -> str:
    """The billing period of a day: itself, or its month."""
    return day[:7] if mode_on(contracts, day) is Mode.MONTHLY else day


def cut_of(period: str, days: BillingDays) -> datetime:
    """The cut of a period."""
    return datetime.fromtimestamp(days.cut_ms(period) // 1000, UTC)


def _open_period(contracts: Contracts, days: BillingDays, now: datetime) -> str:
    """The first period whose cut is still to come."""
    return period_of(days.open_day(milliseconds(now)), contracts)


def _forecast(period: str, used: Decimal, late: Decimal, days: BillingDays, now: datetime) -> Forecast:
    start, end = _bounds(period, days)
    over = now >= end
    elapsed = Fraction(1) if over else Fraction(max(milliseconds(now) - milliseconds(start), 1), _ms(start, end))
    expected = Fraction(used) / elapsed + Fraction(late)
    return Forecast(period, used, late, _cents(expected), over, int(100 * elapsed), cut_of(period, days))


def _ms(start: datetime, end: datetime) -> int:
    return milliseconds(end) - milliseconds(start)


def _bounds(period: str, days: BillingDays) -> tuple[datetime, datetime]:
    if len(period) == 10:
        first = date.fromisoformat(period)
        return days.start_of(first), days.start_of(first + timedelta(days=1))
    first = date.fromisoformat(f"{period}-01")
    return days.start_of(first), days.start_of((first + timedelta(days=32)).replace(day=1))


def _cents(amount: Fraction) -> Decimal:
    """Half up, as a bill is rounded; from a fraction, since a rate need not be a decimal."""
    doubled = 2 * amount * 100
    return Decimal((doubled.numerator + doubled.denominator) // (2 * doubled.denominator)).scaleb(-2)
