"""Arrears as a table: what happens to an account's service, and when (guide, "Arrears").

    good --deduction failed--> in_arrears --deadline reached with something pressing--> stopped
    in_arrears, stopped --nothing owed--> good
    in_arrears, stopped --nothing pressing--> in_arrears, without a deadline

The deadline is the deduction's instant and 24 hours; later bills and part payments do not move it. A monthly account
is stopped only where its contract says so; what it owes from then on never stops it, whatever contract follows. The
rest of what is owed is *pressing*. Topped up to a balance of exactly 0.00 counts as paid (our reading).
"""

from enum import StrEnum

GRACE_HOURS = 24
HOUR_MS = 3_600_000


class Service(StrEnum):
    """What an account's service is like."""

    GOOD = "good"
    IN_ARREARS = "in_arrears"
    STOPPED = "stopped"


class Event(StrEnum):
    """What moves it."""

    DEDUCTION_FAILED = "deduction_failed"
    DEADLINE_REACHED = "deadline_reached"
    NOTHING_PRESSING = "nothing_pressing"
    NOTHING_OWED = "nothing_owed"


TRANSITIONS: dict[tuple[Service, Event], Service] = {
    (Service.GOOD, Event.DEDUCTION_FAILED): Service.IN_ARREARS,
    (Service.IN_ARREARS, Event.DEDUCTION_FAILED): Service.IN_ARREARS,
    (Service.STOPPED, Event.DEDUCTION_FAILED): Service.STOPPED,
    (Service.IN_ARREARS, Event.DEADLINE_REACHED): Service.STOPPED,
    (Service.IN_ARREARS, Event.NOTHING_PRESSING): Service.IN_ARREARS,
    (Service.STOPPED, Event.NOTHING_PRESSING): Service.IN_ARREARS,
    (Service.GOOD, Event.NOTHING_OWED): Service.GOOD,
    (Service.IN_ARREARS, Event.NOTHING_OWED): Service.GOOD,
    (Service.STOPPED, Event.NOTHING_OWED): Service.GOOD,
}


class IllegalTransitionError(Exception):
    """A bug: the table has no such way."""


def after(service: Service, event: Event) -> Service:
    """The service after an event. Raises IllegalTransitionError, and nothing has changed."""
    try:
        return TRANSITIONS[service, event]
    except KeyError:
        raise IllegalTransitionError(f"{event} cannot happen to an account that is {service}") from None


def may_start_jobs(service: Service) -> bool:
    """Whether new jobs may be started; running ones are completed, and billed, in every state."""
    return service is not Service.STOPPED
