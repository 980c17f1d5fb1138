"""`meter token`: who may use the API and the console."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from streams.cli.arguments import Json, read_at
from streams.cli.output import note, say, say_json, say_table
from streams.errors import SettingError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from streams.http.callers import Role
    from streams.http.tokens import Token

app = typer.Typer(no_args_is_help=True, help="Tokens of the API and the console: make, list and revoke them.")

Result = TypeVar("Result")


@app.command()
def create(
    role: Annotated[str, typer.Option(metavar="operator|account|producer", help="What it may do.")],
    account: Annotated[str | None, typer.Option(metavar="ID", help="Of role account: whose.")] = None,
    label: Annotated[str | None, typer.Option(help="What it is for, to find it again.")] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME|DAYS", help="When it ends: a time, or in so many days.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a token, and show it: this once.

    An operator may do everything. An account sees itself, and sets its low
    balance. A producer brings completions in and asks for admission. What is
    kept is a hash.

    Example:
      meter token create --role producer --label recognition-eu
      meter token create --role account --account A --expires 90
    """
    from streams.http.tokens import create_token

    wanted, ends = _read_role(role), _read_expires(expires)
    made = _in_store(lambda connection: create_token(connection, wanted, account, label, ends))
    if as_json:
        say_json({"token_id": made.token_id, "token": made.text})
        return
    note(f"token {made.token_id}; it is shown this once:")
    say(made.text)


@app.command("list")
def list_tokens(as_json: Json = False) -> None:
    """List the tokens, without their secrets.

    Example:
      meter token list
    """
    from streams.http.tokens import tokens

    found = _in_store(tokens)
    now = datetime.now(UTC)
    if as_json:
        for token in found:
            say_json({**_texts(token), "state": token.state(now)})
    elif found:
        columns = ("token", "role", "account", "label", "created", "expires", "last used", "state")
        say_table(columns, [(*(text or "" for text in _shown(token)), token.state(now)) for token in found])
    else:
        note("there are no tokens: whoever is on this machine may do everything")


@app.command()
def revoke(token: Annotated[str, typer.Argument(metavar="TOKEN", help="Its id, from the list.")]) -> None:
    """Revoke a token: within seconds it counts no more.

    Nor do the console's sessions that were begun with it.

    Example:
      meter token revoke k5dq3ioz

    Exit codes: 0 revoked; 1 there is no such token.
    """
    from streams.http.tokens import revoke_token

    _in_store(lambda connection: revoke_token(connection, token))
    say(f"token {token} is revoked")


def _read_role(text: str) -> "Role":
    from streams.http.callers import Role

    try:
        return Role(text)
    except ValueError:
        raise SettingError(f"--role is {', '.join(Role)}, got {text!r}") from None


def _read_expires(text: str | None) -> datetime | None:
    if text is None:
        return None
    if text.isdecimal() and 1 <= int(text) <= 36_500:
        return datetime.now(UTC) + timedelta(days=int(text))
    at_ms = read_at(text, "--expires")
    assert at_ms is not None
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _in_store(work: "Callable[[Connection], Result]") -> Result:
    """Do something in the store, which needs no Kafka."""
    from streams.connect import settings_of_command
    from streams.store.database import open_engine, store_errors, writing
    from streams.store.migrate import migrate

    engine = open_engine(settings_of_command())
    try:
        migrate(engine)
        with store_errors(engine), writing(engine) as connection:
            return work(connection)
    finally:
        engine.dispose()


def _texts(token: "Token") -> dict[str, str | None]:
    return {name: _text(value) for name, value in token._asdict().items()}


def _text(value: object) -> str | None:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    return None if value is None else str(value)


def _shown(token: "Token") -> list[str | None]:
    texts, instants = _texts(token), ("created_at", "expires_at", "last_used_at")
    return [texts[name] for name in ("token_id", "role", "account_id", "label", *instants)]
