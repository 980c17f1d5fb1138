"""Arguments that several commands take, read into what the meter calls them."""

from datetime import date
from typing import Annotated

import typer

from meter.hints import nearest_region
from meter.periods import CALENDAR_END_MS, instant_us
from meter.regions import REGION_CODES, REGIONS
from streams.errors import SettingError

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def _named(account: str | None) -> str | None:
    """What an empty variable of a shell leaves is no account: it would be told to have nothing."""
    if account == "":
        raise typer.BadParameter("it is empty; without the option it is all accounts")
    return account


Account = Annotated[str | None, typer.Option(help="Only this account id.", callback=_named)]
At = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Record time (RFC 3339), on a meter with a simulated clock."),
]
CommandId = Annotated[
    str | None,
    typer.Option(
        help="To ask again after a timeout, word for word: the same id, the same answer.", show_default="a new one"
    ),
]
Timeout = Annotated[float, typer.Option(min=1, max=86_400, help="Seconds to wait for the workers' answers.")]


FIRST_YEAR, LAST_YEAR = "1970", "9998"


def read_day(text: str | None, option: str = "--day") -> str | None:
    """A billing day, YYYY-MM-DD."""
    if text is None or _is_day(text, option):
        return text
    raise SettingError(f"{option} is YYYY-MM-DD, such as 2026-11-23, got {text!r}")


def read_period(text: str | None) -> str | None:
    """A billing period: a day, YYYY-MM-DD, or a month, YYYY-MM."""
    if text is None or _is_day(text, "--period") or _is_day(f"{text}-01", "--period"):
        return text
    raise SettingError(f"--period is YYYY-MM or YYYY-MM-DD, such as 2026-11 or 2026-11-23, got {text!r}")


def read_month(text: str, option: str = "--month") -> str:
    """A month, YYYY-MM."""
    if _is_day(f"{text}-01", option):
        return text
    raise SettingError(f"{option} is YYYY-MM, such as 2026-11, got {text!r}")


def _is_day(text: str, option: str) -> bool:
    """Whether it is one. Raises SettingError for one that no meter can have: it and its neighbours need a date."""
    try:
        is_day = date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
    if is_day and not FIRST_YEAR <= text[:4] <= LAST_YEAR:
        raise SettingError(f"{option} lies beyond the meter's calendar, {FIRST_YEAR} to {LAST_YEAR}, got {text!r}")
    return is_day


def read_region(text: str | None) -> str | None:
    """A region's code, from its code or one of its names."""
    if text is None or text in REGION_CODES:
        return None if text is None else REGION_CODES[text]
    near = nearest_region(text)
    if near is not None:
        raise SettingError(f"unknown region {text!r}; did you mean {near!r}?")
    raise SettingError(f"unknown region {text!r}; there are {', '.join(region.code for region in REGIONS)}")


def read_at(text: str | None, option: str = "--at") -> int | None:
    """A record time in milliseconds."""
    instant = None if text is None else instant_us(text)
    if text is not None and (instant is None or instant < 0):
        raise SettingError(f"{option} is a date-time with an offset, such as 2019-01-01T12:00:00+08:00, got {text!r}")
    if instant is not None and instant // 1000 > CALENDAR_END_MS:
        raise SettingError(f"{option} lies beyond the meter's calendar, which ends with the year 9998, got {text!r}")
    return None if instant is None else instant // 1000


def read_command_id(text: str | None) -> str | None:
    """The id of a command; one that the meter could not read would never be answered."""
    if text is not None and not 1 <= len(text) <= 128:
        raise SettingError(f"--command-id has 1 to 128 characters, got {len(text)}")
    return text
