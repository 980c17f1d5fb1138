"""Days, months and their cuts, in the billing time zone; instants in milliseconds."""

from datetime import UTC, date, datetime, time, timedelta

from xxhash import xxh3_64_intdigest

from tests.recount.rules import BILLING_ZONE

DAY_MS = 24 * 3600 * 1000
NOON = time(12)


def instant_ms(day: date, at: time) -> int:
    return round(datetime.combine(day, at, tzinfo=BILLING_ZONE).timestamp()) * 1000


def text(ms: int) -> str:
    moment = datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)
    return moment.astimezone(BILLING_ZONE).isoformat(timespec="milliseconds")


def day_of(ms: int) -> str:
    return text(ms)[:10]


def day_start_ms(day: str) -> int | None:
    """None where there is no such day."""
    try:
        return instant_ms(date.fromisoformat(day), time.min)
    except (ValueError, OverflowError):
        return None


def cut_ms(period: str) -> int:
    """Noon of the day after a day; noon of the 1st after a month."""
    if len(period) == 10:
        return instant_ms(date.fromisoformat(period) + timedelta(days=1), NOON)
    year, month = map(int, period.split("-"))
    return instant_ms(date(year + month // 12, month % 12 + 1, 1), NOON)


def period_of(day: str, mode: str) -> str:
    return day if mode == "daily" else day[:7]


def open_day(ms: int) -> str:
    """The first day whose cut is later than this instant: before noon it is yesterday."""
    today = text(ms)
    yesterday = date.fromisoformat(today[:10]) - timedelta(days=1)
    return yesterday.isoformat() if int(today[11:13]) < 12 else today[:10]


def settled_at_ms(account_id: str, period: str, spread_s: int) -> int:
    """The cut, and an account's own moment within the spread."""
    moment = xxh3_64_intdigest(account_id.encode()) % (spread_s * 1000) if spread_s else 0
    return cut_ms(period) + moment
