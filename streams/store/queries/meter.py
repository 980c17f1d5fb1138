"""Whose store this is: the meter's rules, and which billing day it is there."""

from datetime import datetime

from sqlalchemy import Connection, func, select

from meter.periods import BillingDays
from meter.rules import Clock, Rules
from streams.store.schema import command, meter_info, region_total


def rules_of(connection: Connection) -> Rules | None:
    """The rules of the meter whose figures these are; None before a projector has run."""
    found = connection.execute(select(meter_info.c.rules)).scalar()
    return None if found is None else Rules.model_validate_json(found)


def days_of(connection: Connection) -> BillingDays:
    """The billing days of the meter; before a projector has run, those of a new one."""
    return BillingDays((rules_of(connection) or Rules(meter_id="none")).time_zone)


def today(connection: Connection, rules: Rules, now: datetime) -> str:
    """The billing day: of `now`, or on a meter with a simulated clock the latest that the store knows of."""
    days = BillingDays(rules.time_zone)
    if rules.clock is Clock.BROKER:
        return days.day_of(_us(now))
    told = connection.execute(select(func.max(command.c.recorded_at, type_=command.c.recorded_at.type))).scalar()
    used = connection.execute(select(func.max(region_total.c.day, type_=region_total.c.day.type))).scalar()
    known = [*([] if told is None else [days.day_of(_us(told))]), *([] if used is None else [used])]
    return max(known, default=days.day_of(_us(now)))


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
