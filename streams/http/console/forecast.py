"""What the next bills of an account will probably come to: exact so far, and a stated rule for the rest.

A pure function of what is not billed yet, the contracts and an instant; periods, cuts and rounding are settlement's.
Usage of a period that goes on is continued at the same rate; nothing here is ever billed.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from meter.contracts import Contracts, mode_on
from meter.money import EXACT, ZERO, payable, scaled
from meter.periods import BillingDays, milliseconds
from meter.settlement import late_period, period_of
from streams.store.queries.usage import Usage

#: How long after its cut a period may still wait for its bill (guide, "Settlement"); what is left then is late.
SETTLING_MS = timedelta(hours=6) // timedelta(milliseconds=1)


class Forecast(NamedTuple):
    """One bill to come. `used` and `late` are exact, in CNY; `forecast` is rounded as a bill is.

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
    now_ms = milliseconds(now)
    used: dict[str, Decimal] = {}
    late = ZERO
    for usage in unbilled:
        period = period_of(usage.day, mode_on(contracts, usage.day))
        if days.cut_ms(period) + SETTLING_MS > now_ms:
            used[period] = EXACT.add(used.get(period, ZERO), usage.amount)
        else:
            late = EXACT.add(late, usage.amount)
    if late:
        used.setdefault(late_period(days, contracts, now_ms), ZERO)
    ordered = sorted(used, key=days.cut_ms)
    first = next((period for period in ordered if days.cut_ms(period) > now_ms), None)
    return [_forecast(period, used[period], late if period == first else ZERO, days, now_ms) for period in ordered]


def _forecast(period: str, used: Decimal, late: Decimal, days: BillingDays, now_ms: int) -> Forecast:
    start_ms, end_ms = days.bounds_ms(period)
    length_ms, elapsed_ms = end_ms - start_ms, max(min(now_ms, end_ms) - start_ms, 1)
    if elapsed_ms < length_ms:  # cut off once: a third has no end, and something added to it would have one digit more
        by_time = EXACT.multiply(used, Decimal(length_ms)), EXACT.multiply(late, Decimal(elapsed_ms))
        expected = scaled(EXACT.add(*by_time), 1, elapsed_ms)
    else:
        expected = EXACT.add(used, late)
    cut = datetime.fromtimestamp(days.cut_ms(period) // 1000, UTC)
    return Forecast(period, used, late, payable(expected), now_ms >= end_ms, 100 * elapsed_ms // length_ms, cut)
