"""Instants as the contract has them, for people and in JSON: RFC 3339 in the billing time zone."""

from datetime import datetime

from sqlalchemy import Connection

from meter.periods import BillingDays, milliseconds
from streams.store.queries import meter


def days_of(connection: Connection) -> BillingDays:
    """The billing days of a store's meter; before a projector has told of it, those of a new one."""
    return meter.days_of(connection)


def local_time(days: BillingDays, instant: datetime | str | None) -> str:
    """An instant, or one as JSON says it; nothing for none."""
    if instant is None:
        return ""
    return days.text(milliseconds(datetime.fromisoformat(instant) if isinstance(instant, str) else instant))
