"""The figures of the first page: today's usage, money at risk, accounts by state, and how old all of that is."""

from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection

from meter.arrears import Service
from meter.money import EXACT, ZERO
from meter.rules import Rules
from streams.store.queries.accounts import StateTotal, accounts_by_state
from streams.store.queries.freshness import data_as_of
from streams.store.queries.meter import today
from streams.store.queries.rejects import AtRisk, amount_at_risk, at_risk
from streams.store.queries.usage import Sum, Usage, sum_of, totals


class Overview(NamedTuple):
    """What an operator wants to see first. `as_of`: the time up to which it is surely complete; None: not yet."""

    day: str
    by_region: list[Usage]
    usage: Sum
    rejects: list[AtRisk]
    amount_at_risk: Decimal
    accounts: dict[Service, StateTotal]
    owed: Decimal
    as_of: datetime | None


def overview(connection: Connection, rules: Rules, now: datetime) -> Overview:
    """The figures as of now."""
    day = today(connection, rules, now)
    by_region = totals(connection, day, day)
    rejects = at_risk(connection)
    states = accounts_by_state(connection)
    owed = ZERO
    for state in states.values():
        owed = EXACT.add(owed, state.owed)
    return Overview(
        day, by_region, sum_of(by_region), rejects, amount_at_risk(rejects), states, owed, data_as_of(connection)
    )
