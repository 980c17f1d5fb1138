"""What the pages show, read from the store in one snapshot each. Sums are exact; a share is for drawing only."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from meter.arrears import Service
from meter.contracts import Contract, Contracts, contract_on, contract_price, mode_on
from meter.money import EXACT, ZERO
from meter.periods import BillingDays
from meter.regions import REGIONS, ZONE_OF, ZONES
from meter.rules import Clock, Rules
from streams.http.console.forecast import Forecast, forecasts
from streams.store.queries import accounts, bills, commands, freshness, overview, usage
from streams.store.queries.meter import rules_of, today
from streams.store.queries.rejects import AtRisk, amount_at_risk
from streams.store.schema import command

#: A chart has a colour for each of so many regions; the rest is drawn together.
SERIES = 5
OLD_AFTER = timedelta(seconds=20)


class Fresh(NamedTuple):
    """How old the figures are. `state`: fresh, old, or empty; `waiting`: records that are not shown yet."""

    state: str
    age: timedelta
    waiting: int


class Scene(NamedTuple):
    """What every page needs to know: the meter's rules, the instant and billing day there, how old the figures are."""

    rules: Rules
    now: datetime
    today: str
    fresh: Fresh

    @property
    def days(self) -> BillingDays:
        """Billing days of this meter."""
        return BillingDays(self.rules.time_zone)


def scene(connection: Connection) -> Scene | None:
    """None before a projector has run."""
    rules, clock = rules_of(connection), datetime.now(UTC)
    if rules is None:
        return None
    day = today(connection, rules, clock)
    now = clock if rules.clock is Clock.BROKER else _simulated_now(connection, rules, day)
    return Scene(rules, now, day, fresh(connection, clock))


def _simulated_now(connection: Connection, rules: Rules, day: str) -> datetime:
    """On a simulated clock it is as late as the latest command, or the day's beginning."""
    told: datetime | None = connection.execute(
        select(func.max(command.c.recorded_at, type_=command.c.recorded_at.type))
    ).scalar()
    start = BillingDays(rules.time_zone).start_of(date.fromisoformat(day))
    return start if told is None else max(told, start)


def fresh(connection: Connection, clock: datetime) -> Fresh:
    """How old the figures are by this machine's clock: since the projector last looked at each part of the log."""
    reached = freshness.positions(connection)
    if not reached:
        return Fresh("empty", timedelta(), 0)
    age = max(clock - min(each.polled_at for each in reached), timedelta())
    return Fresh("old" if age > OLD_AFTER else "fresh", age, sum(each.lag for each in reached))


# -- tables for charts ----------------------------------------------------------------------------------------------


class ChartRow(NamedTuple):
    """One day: a value for each series, and their sum."""

    day: str
    values: tuple[Decimal | int, ...]
    sum: Decimal | int


class Series(NamedTuple):
    """A series of a chart: its name, the region or zone that it is of (empty: of several), and its colour's number."""

    name: str
    key: str
    colour: int


class ChartTable(NamedTuple):
    """Days by series, in CNY (`money`) or minutes."""

    series: tuple[Series, ...]
    rows: tuple[ChartRow, ...]
    money: bool


class RegionShare(NamedTuple):
    """A region's part of some usage; `percent` is rounded down, for a bar."""

    region: str
    jobs: int
    minutes: int
    amount: Decimal
    percent: int


def day_range(last: str, count: int) -> list[str]:
    """So many days up to `last`."""
    end = date.fromisoformat(last)
    return [(end - timedelta(days=back)).isoformat() for back in reversed(range(count))]


def chart_table(
    rows: Iterable[usage.Usage], days: Sequence[str], series: Mapping[Series, frozenset[str]], money: bool
) -> ChartTable:
    """Usage by day, in series that are each of some regions."""
    series_of = {region: one for one, regions in series.items() for region in regions}
    cells: dict[tuple[str, Series], Decimal | int] = {}
    for row in rows:
        key = row.day, series_of[row.region]
        cells[key] = _plus(cells.get(key, ZERO if money else 0), row.amount if money else row.minutes)
    table = [tuple(cells.get((day, one), ZERO if money else 0) for one in series) for day in days]
    return ChartTable(
        tuple(series),
        tuple(ChartRow(day, values, _total(values, money)) for day, values in zip(days, table, strict=True)),
        money,
    )


def series_of_region(name: str, region: str) -> Series:
    """A region or zone in a chart: of one colour, whoever's usage it is."""
    return Series(name, region, _COLOURS.get(region, 0))


_COLOURS = {name: number for number, name in enumerate((*ZONES, *(region.code for region in REGIONS)), 1)}


def _plus(a: Decimal | int, b: Decimal | int) -> Decimal | int:
    return EXACT.add(a, b) if isinstance(a, Decimal) else a + int(b)


def _total(values: Iterable[Decimal | int], money: bool) -> Decimal | int:
    total: Decimal | int = ZERO if money else 0
    for value in values:
        total = _plus(total, value)
    return total


def shares(rows: Iterable[usage.Usage]) -> list[RegionShare]:
    """Usage by region, the most expensive first, each with its part of the sum."""
    found: dict[str, list[usage.Usage]] = {}
    every = list(rows)
    for row in every:
        found.setdefault(row.region, []).append(row)
    sums = {region: usage.sum_of(own) for region, own in found.items()}
    whole = usage.sum_of(every).amount
    parts = [
        RegionShare(region, *each, int(100 * each.amount / whole) if whole else 0) for region, each in sums.items()
    ]
    return sorted(parts, key=lambda part: (-part.amount, part.region))


def mark(*shown: Any) -> str:
    """A short text that is another when what is shown is another."""
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:16]


# -- the first page -------------------------------------------------------------------------------------------------


class DayUsage(NamedTuple):
    """A day's usage of all accounts."""

    day: str
    jobs: int
    minutes: int
    amount: Decimal


class Risk(NamedTuple):
    """Refused records that are not put right, and their money; of `unknown` records nobody can say what it is."""

    records: int
    amount: Decimal
    unknown: int

    @classmethod
    def of(cls, rows: Sequence[AtRisk]) -> "Risk":
        """All reasons together."""
        open_records, unknown = sum(each.open_records for each in rows), sum(each.open_unknown for each in rows)
        return cls(open_records, amount_at_risk(rows), unknown)


class OverviewPage(NamedTuple):
    """The operators' first page."""

    day: str
    today: DayUsage
    before: DayUsage
    rejects: Risk
    owed: Decimal
    late_payers: int
    days: ChartTable
    states: list[accounts.StateTotal]
    regions: list[RegionShare]
    attention: list[accounts.StoredAccount]
    mark: str


def overview_page(connection: Connection, here: Scene, zones: Sequence[str] = ZONES) -> OverviewPage:
    """Today's figures of all accounts; `zones`: what the price zones are called."""
    found = overview.overview(connection, here.rules, here.now)
    days = day_range(found.day, 14)
    rows = usage.totals(connection, days[0], days[-1])
    sums = {day: usage.sum_of([row for row in rows if row.day == day]) for day in days[-2:]}
    series = {series_of_region(name, zone): of_zone(zone) for name, zone in zip(zones, ZONES, strict=True)}
    states = list(found.accounts.values())
    shown = OverviewPage(
        found.day,
        DayUsage(days[-1], *sums[days[-1]]),
        DayUsage(days[-2], *sums[days[-2]]),
        Risk.of(found.rejects),
        found.owed,
        sum(each.accounts for each in states if each.state is not Service.GOOD),
        chart_table(rows, days, series, money=True) if rows else ChartTable((), (), True),
        states,
        shares(found.by_region),
        _attention(connection),
        "",
    )
    return shown._replace(mark=mark(shown))


def of_zone(zone: str) -> frozenset[str]:
    """The regions of a price zone; completions may name the zone itself."""
    return frozenset(region for region, of in ZONE_OF.items() if of == zone)


def _attention(connection: Connection, limit: int = 6) -> list[accounts.StoredAccount]:
    """Accounts that are stopped, then those that will be."""
    found: list[accounts.StoredAccount] = []
    for state in (Service.STOPPED, Service.IN_ARREARS):
        found.extend(accounts.accounts(connection, state=state, limit=limit).rows)
    return found[:limit]


# -- an account -----------------------------------------------------------------------------------------------------


class AccountSummary(NamedTuple):
    """An account's figures now."""

    account_id: str
    state: Service
    since: datetime | None
    deadline: datetime | None
    balance: Decimal
    owed: Decimal
    unpaid: Decimal
    open_bills: int
    unbilled: Decimal
    threshold: Decimal | None
    mode: str
    mark: str


def account_contracts(connection: Connection, account_id: str, rules: Rules) -> Contracts:
    """The contracts of an account, by their start."""
    return tuple(each.contract for each in commands.contracts(connection, account_id, rules))


def summary(connection: Connection, here: Scene, account_id: str) -> AccountSummary | None:
    """None where no topic has spoken of the account."""
    found = accounts.account_by_id(connection, account_id)
    if found is None:
        return None
    shown = AccountSummary(
        account_id,
        found.state,
        found.since,
        found.deadline,
        found.balance,
        found.owed,
        found.unpaid,
        len(accounts.open_bills(connection, account_id)),
        usage.sum_of(usage.unbilled(connection, account_id)).amount,
        commands.low_balance(connection, account_id, here.rules),
        mode_on(account_contracts(connection, account_id, here.rules), here.today),
        "",
    )
    return shown._replace(mark=mark(shown))


class UsagePage(NamedTuple):
    """An account's usage in some days: `span` of them, or of the month to date; `show` is amount or minutes."""

    span: str
    show: str
    first: str
    last: str
    table: ChartTable
    regions: list[RegionShare]
    sum: usage.Sum


def usage_page(
    connection: Connection,
    days: Sequence[str],
    account_id: str,
    span: str,
    show: str,
    name: Callable[[str], str],
    other: str,
) -> UsagePage:
    """Some days, as `span` says; `name` of regions, and `other` for those beyond the largest, drawn together."""
    rows = usage.account_usage(connection, account_id, days[0], days[-1])
    parts = shares(rows)
    series = {series_of_region(name(part.region), part.region): frozenset({part.region}) for part in parts[:SERIES]}
    if rest := frozenset(part.region for part in parts[SERIES:]):
        series[Series(other, "", 0)] = rest
    table = chart_table(rows, days, series, money=show == "amount")
    return UsagePage(span, show, days[0], days[-1], table, parts, usage.sum_of(rows))


def account_forecasts(connection: Connection, here: Scene, account_id: str) -> list[Forecast]:
    """The bills to come of an account."""
    agreed = account_contracts(connection, account_id, here.rules)
    return forecasts(usage.unbilled(connection, account_id), agreed, here.days, here.now)


class OwnPrice(NamedTuple):
    """What a region or zone costs an account on a day; `own`: by contract."""

    name: str
    price: Decimal
    own: bool


class AccountTerms(NamedTuple):
    """Contracts of an account, and what its prices are today."""

    now: Contract | None
    all: list[Contract]
    prices: list[OwnPrice]


def terms(connection: Connection, here: Scene, account_id: str) -> AccountTerms:
    """Price zones, and the regions that a contract names."""
    agreed = account_contracts(connection, account_id, here.rules)
    now = contract_on(agreed, here.today)
    named = [name for name, _ in now.prices if name in ZONE_OF and name not in ZONES] if now else []
    books = commands.books_of(commands.price_books(connection, here.rules))
    prices = []
    for name in (*ZONES, *named):
        own = contract_price(agreed, name, here.today)
        price = own or books.price_for(name, here.today)
        prices.append(OwnPrice(name, price.unit_price, own is not None))
    return AccountTerms(now, list(reversed(agreed)), prices)


class ListedAccount(NamedTuple):
    """An account in the list. `mode`: how it is settled today; `month`: CNY used from the 1st of the month on."""

    account: accounts.StoredAccount
    mode: str
    month: Decimal


def account_rows(connection: Connection, here: Scene, found: Sequence[accounts.StoredAccount]) -> list[ListedAccount]:
    """Accounts with what the list shows of them beside."""
    ids = [each.account_id for each in found]
    used = usage.of_accounts(connection, ids, f"{here.today[:7]}-01", here.today)
    modes = [mode_on(account_contracts(connection, each, here.rules), here.today) for each in ids]
    return [ListedAccount(each, mode, used[each.account_id]) for each, mode in zip(found, modes, strict=True)]


def account_total(connection: Connection, state: Service | None) -> int:
    """How many accounts there are."""
    found = accounts.accounts_by_state(connection)
    return sum(each.accounts for each in found.values() if state in {None, each.state})


def paid_bills(connection: Connection, account_id: str) -> tuple[bills.StoredBill, ...]:
    """The latest bills that were paid, of which something can be given back."""
    return bills.bills(connection, account_id=account_id, state="paid", limit=10).rows
