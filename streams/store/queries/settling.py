"""How far settlement is: of each period that was closed lately, how many accounts have their bill and how many wait."""

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection, exists, func, select

from meter.contracts import Mode, mode_on
from meter.periods import BillingDays
from meter.rules import Rules
from streams.store.queries.commands import contracts
from streams.store.schema import bill, command, daily_total, priced_usage

#: From a cut on, for so long bills may be on their way (the guide's 12:00 to 18:00); what waits longer is late.
WINDOW = timedelta(hours=6)
#: Of accounts with contracts, whose mode has to be looked up.
MAX_LOOKED_UP = 1000


class Period(NamedTuple):
    """A closed day or month: its cut, the accounts that are billed, and those with usage that wait for their bill."""

    period: str
    cut: datetime
    billed: int
    waiting: int

    def state(self, now: datetime) -> str:
        """`done`, `due` while bills may be on their way, then `late`."""
        if not self.waiting:
            return "done"
        return "due" if now < self.cut + WINDOW else "late"


def closed_periods(connection: Connection, rules: Rules, now: datetime, days: int = 3) -> list[Period]:
    """The last closed days, the latest first, and the last closed month where there are monthly accounts."""
    billing = BillingDays(rules.time_zone)
    today = date.fromisoformat(billing.day_of(int(now.timestamp()) * 1_000_000))
    agreed = _with_contracts(connection)
    found: list[Period] = []
    for back in range(1, days + 2):
        day = (today - timedelta(days=back)).isoformat()
        cut = _cut(day, billing)
        if cut <= now and len(found) < days:
            monthly = {each for each in agreed if _mode(connection, each, rules, day) is Mode.MONTHLY}
            found.append(Period(day, cut, _billed(connection, day), _waiting(connection, day, cut, monthly)))
    return found + _months(connection, rules, now, billing, today, agreed)


def _months(
    connection: Connection, rules: Rules, now: datetime, billing: BillingDays, today: date, agreed: list[str]
) -> list[Period]:
    first = today.replace(day=1)
    months = [(first - timedelta(days=1)).isoformat()[:7], (first - timedelta(days=32)).isoformat()[:7]]
    month = next(each for each in months if _cut(each, billing) <= now or each == months[-1])
    cut = _cut(month, billing)
    monthly = [each for each in agreed if _mode(connection, each, rules, f"{month}-01") is Mode.MONTHLY]
    billed = _billed(connection, month)
    if not monthly and not billed:
        return []
    table = daily_total.c
    used = (
        select(table.account_id)
        .distinct()
        .where(table.account_id.in_(monthly), table.day >= f"{month}-01", table.day <= f"{month}-31")
    )
    has = select(bill.c.account_id).where(bill.c.account_id.in_(monthly), bill.c.period == month)
    waiting = {row[0] for row in connection.execute(used)} - {row[0] for row in connection.execute(has)}
    return [Period(month, cut, billed, len(waiting))]


def _with_contracts(connection: Connection) -> list[str]:
    """The accounts that ever agreed something: all others are settled daily."""
    table = command.c
    query = select(table.account_id).distinct().where(table.type == "contract", table.account_id.is_not(None))
    return [row[0] for row in connection.execute(query.limit(MAX_LOOKED_UP))]


def _mode(connection: Connection, account_id: str, rules: Rules, day: str) -> Mode:
    return mode_on(tuple(each.contract for each in contracts(connection, account_id, rules)), day)


def _cut(period: str, billing: BillingDays) -> datetime:
    return datetime.fromtimestamp(billing.cut_ms(period) // 1000, UTC)


def _billed(connection: Connection, period: str) -> int:
    return connection.execute(select(func.count()).where(bill.c.period == period)).scalar_one()


def _waiting(connection: Connection, day: str, cut: datetime, monthly: set[str]) -> int:
    """Daily accounts with usage that was recorded before the cut, and no bill. What came later is on a later bill."""
    total, job = daily_total.c, priced_usage.c
    billed = exists().where(bill.c.account_id == total.account_id, bill.c.period == day)
    in_time = exists().where(job.account_id == total.account_id, job.day == day, job.recorded_at < cut)
    query = select(total.account_id).distinct().where(total.day == day, total.jobs > 0, ~billed, in_time)
    return sum(1 for row in connection.execute(query) if row[0] not in monthly)
