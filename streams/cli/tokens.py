"""`meter token`: who may use the API and the console."""

import getpass
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, TypeVar

import typer
from sqlalchemy import Connection

from meter.periods import CALENDAR_END_MS, BillingDays, instant_us
from streams.broker.connect import settings_of_command
from streams.cli.arguments import Json
from streams.cli.times import days_of, local_time
from streams.errors import SettingError
from streams.http.callers import Role
from streams.http.tokens import By, NewToken, Token, create_token, revoke_token, tokens
from streams.process.logs import set_up_logs
from streams.store.database import need_store, open_engine, store_errors, writing
from streams.store.migrate import migrate
from streams.terminal.output import complain, note, say, say_json, say_table

Result = TypeVar("Result")

_LOCKED_OUT = (
    "there are tokens now and none of an operator: nobody can operate the console and the API any more, "
    "until there is one: `meter token create --role operator`"
)


def create(
    role: Annotated[str, typer.Option(metavar="operator|account|producer", help="What it may do.")],
    account: Annotated[str | None, typer.Option(metavar="ID", help="Of role account: whose.")] = None,
    label: Annotated[str | None, typer.Option(help="What it is for, to find it again.")] = None,
    expires: Annotated[
        str | None,
        typer.Option(metavar="TIME|DAY|DAYS", help="When it ends: a time, as a day begins, or in so many days."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a token, and show it: this once.

    An operator may do everything. An account sees itself, and sets its low
    balance. A producer brings completions in and asks for admission. What is
    kept is a hash. With the first token, of whatever role, nobody gets in
    without one any more: make an operator's first.

    Example:
      meter token create --role operator --label me
      meter token create --role account --account A --expires 2027-12-31
    """
    wanted = _read_role(role)

    def make(connection: Connection) -> tuple[NewToken, bool, str]:
        days = days_of(connection)
        ends = _read_expires(expires, days)
        made = create_token(connection, wanted, account, label, ends, _this_user())
        valid = [token for token in tokens(connection) if token.state(datetime.now(UTC)) == "active"]
        return made, any(token.role is Role.OPERATOR for token in valid), local_time(days, ends)

    made, has_operator, until = _in_store(make)
    if as_json:
        say_json({"token_id": made.token_id, "token": made.text})
    else:
        note(f"token {made.token_id}{until and f', until {until}'}; it is shown this once:")
        say(made.text)
    if not has_operator:
        complain(_LOCKED_OUT)


def list_tokens(as_json: Json = False) -> None:
    """List the tokens, without their secrets.

    Example:
      meter token list
    """
    found, days = _in_store(lambda connection: (tokens(connection), days_of(connection)), makes=False)
    now = datetime.now(UTC)
    if as_json:
        for token in found:
            say_json({**_texts(token, days), "state": token.state(now)})
    elif found:
        columns = ("token", "role", "account", "label", "created", "expires", "last used", "state")
        say_table(columns, [(*_cells(token, days), token.state(now)) for token in found])
    else:
        note("there are no tokens: whoever is on this machine may do everything")


def revoke(token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id, from the list.")]) -> None:
    """Revoke a token: within seconds it counts no more.

    Nor do the console's sessions that were begun with it.

    Example:
      meter token revoke k5dq3ioz

    Exit codes: 0 revoked; 1 there is no such token.
    """
    _in_store(lambda connection: revoke_token(connection, token, _this_user()), makes=False)
    say(f"token {token} is revoked")


def _this_user() -> By:
    """Whoever runs this command, as this machine calls them."""
    try:
        return By(user=getpass.getuser())
    except (KeyError, OSError):  # nobody has this number
        return By(user=f"user {os.getuid()}")


def _read_role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise SettingError(f"--role is {', '.join(Role)}, got {text!r}") from None


def _read_expires(text: str | None, days: BillingDays) -> datetime | None:
    """A time; a day, at whose start it ends, in the billing time zone; or a number of days from now."""
    if text is None:
        return None
    if text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 36_500:
        return datetime.now(UTC) + timedelta(days=int(text))
    with suppress(ValueError):
        if (day := date.fromisoformat(text)).isoformat() == text:
            return days.start_of(day)
    instant = instant_us(text)
    if instant is None or instant // 1000 > CALENDAR_END_MS:
        raise SettingError(
            "--expires is a date, a date-time with an offset, or a number of days, "
            f"such as 2027-12-31, 2027-12-31T12:00:00+08:00 or 90, got {text!r}"
        )
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)


def _in_store(work: Callable[[Connection], Result], *, makes: bool = True) -> Result:
    """Do something in the store, which needs no Kafka. Raises BrokerLostError where it is not to be made."""
    settings = settings_of_command()
    set_up_logs(settings)
    if not makes:
        need_store(settings)
    engine = open_engine(settings)
    try:
        migrate(engine)
        with store_errors(engine), writing(engine) as connection:
            return work(connection)
    finally:
        engine.dispose()


def _texts(token: Token, days: BillingDays) -> dict[str, str | None]:
    return {name: _text(value, days) for name, value in token._asdict().items()}


def _text(value: object, days: BillingDays) -> str | None:
    if isinstance(value, datetime):
        return local_time(days, value)
    return None if value is None else str(value)


def _cells(token: Token, days: BillingDays) -> tuple[str, ...]:
    instants = (token.created_at, token.expires_at, token.last_used_at)
    return (
        *(token.token_id, token.role, token.account_id or "", token.label or ""),
        *(local_time(days, instant) for instant in instants),
    )
