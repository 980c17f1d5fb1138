"""The forecast of a day that is over is the bill that settlement makes of it, whatever was used."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from meter.contracts import Contract, Contracts, Mode
from meter.periods import BillingDays
from meter.prices import price_of
from meter.rules import Rules
from meter.settlement import Kind, ShareKey, UnbilledShare, bill
from streams.http.console.forecast import forecasts
from streams.store.queries.usage import Usage

DAYS = BillingDays("Asia/Shanghai")
MONTHLY: Contracts = (Contract("c", "2019-01-01", Mode.MONTHLY),)
minutes = st.integers(1, 10**9)
prices = st.decimals("0.00000001", "99", places=8)
usages = st.dictionaries(
    st.sampled_from(["ap-tokyo", "ap-guangzhou", "na-ashburn"]), st.tuples(minutes, prices), min_size=1
)


@given(usages, st.booleans())
def test_what_is_over_is_its_bill(used: dict[str, tuple[int, Decimal]], monthly: bool) -> None:
    day, period, contracts = "2019-01-31", "2019-01" if monthly else "2019-01-31", MONTHLY if monthly else ()
    amounts = {region: price * count for region, (count, price) in used.items()}
    shares = {
        ShareKey("A", period, Kind.USAGE, region, day): UnbilledShare(1, used[region][0], amount, 1, 1)
        for region, amount in amounts.items()
    }
    made = bill(
        "A",
        period,
        shares,
        days=DAYS,
        rules=Rules(meter_id="m", partitions=1),
        partition=0,
        contracts=contracts,
        price_of=lambda _, region, __: price_of(used[region][1], "v"),
        meter_version="0",
    )
    unbilled = [Usage(day, region, 1, used[region][0], amount) for region, amount in amounts.items()]
    (found,) = forecasts(unbilled, contracts, DAYS, datetime(2019, 1, 31, 16, tzinfo=UTC))
    assert (found.period, found.used, found.forecast, found.over) == (period, made.total, made.open.payable, True)


amounts = st.decimals("0.00000001", "999999999999", places=8)


@given(amounts, amounts | st.none(), st.integers(1, 86_399_999))
def test_what_goes_on_is_continued_at_the_same_rate_and_rounded_once(
    amount: Decimal, late: Decimal | None, elapsed_ms: int
) -> None:
    now = datetime(2019, 1, 30, 16, tzinfo=UTC) + timedelta(milliseconds=elapsed_ms)
    left = [Usage("2019-01-02", "ap-tokyo", 1, 1, late)] if late else []
    *before, found = forecasts([Usage("2019-01-31", "ap-tokyo", 1, 1, amount), *left], (), DAYS, now)
    exact = Fraction(amount) * 86_400_000 / elapsed_ms + Fraction(0 if before else late or 0)
    assert abs(Fraction(found.forecast) - exact) <= Fraction(1, 200)
    assert Fraction(found.forecast) - exact > -Fraction(1, 200)  # half a cent is rounded up
