"""Tokens of the API: 256 random bits that are shown once and kept as their SHA-256; an id in front finds them.

A random secret of this length needs no slow hash: there is nothing to guess.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, Row, delete, insert, select, update

from streams.errors import MeterError, SettingError
from streams.http.callers import Caller, Role
from streams.store.database import once_committed
from streams.store.kept_tables import api_token, audit_entry, console_session
from streams.store.queries.pages import RowPage, page

security = structlog.get_logger(__name__, log="security")

PREFIX = "mtr"
ID_BYTES = 5
SECRET_BYTES = 32
MAX_CHARS = 200


class By(NamedTuple):
    """Who makes and revokes tokens: a token's id and its address, or a user of this machine.

    `is_written_down`: the audit trail has a row of it already.
    """

    token_id: str | None = None
    remote: str | None = None
    user: str | None = None
    is_written_down: bool = False


UNKNOWN = By()


class NewToken(NamedTuple):
    """A token that was made. `text` is all of it, and is nowhere else."""

    token_id: str
    text: str


class Token(NamedTuple):
    """A token as it is kept, without its secret."""

    token_id: str
    role: Role
    account_id: str | None
    label: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def state(self, now: datetime) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"

    def caller(self) -> Caller:
        """Whom it stands for."""
        return Caller(self.role, self.token_id, self.account_id, self.label)


def hash_of(secret: str) -> str:
    """What is kept of a secret: its SHA-256, in hex."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def create_token(
    connection: Connection,
    role: Role,
    account_id: str | None = None,
    label: str | None = None,
    expires_at: datetime | None = None,
    by: By = UNKNOWN,
) -> NewToken:
    """Make a token, and write down `by` whom.

    Raises SettingError where role and account do not go together, or it has expired already.
    """
    now = datetime.now(UTC)
    if (role is Role.ACCOUNT) is (account_id is None):
        raise SettingError("a token of role account names its account, and no other does")
    if account_id is not None and not 1 <= len(account_id) <= 128:
        raise SettingError(f"an account id has 1 to 128 characters, got {len(account_id)}")
    if expires_at is not None and expires_at <= now:
        raise SettingError(f"the token would have expired at {expires_at.isoformat()} already")
    token_id = base64.b32encode(secrets.token_bytes(ID_BYTES)).decode().lower()
    secret = secrets.token_urlsafe(SECRET_BYTES)
    values = {
        "token_id": token_id,
        "secret_hash": hash_of(secret),
        "role": role.value,
        "account_id": account_id,
        "label": label,
        "created_at": now,
        "expires_at": expires_at,
    }
    connection.execute(insert(api_token).values(values))
    said = {"role": role.value, "label": label, "expires_at": None if expires_at is None else expires_at.isoformat()}
    _note(connection, "create_token", token_id, account_id, by, said)
    return NewToken(token_id, f"{PREFIX}_{token_id}_{secret}")


def tokens(connection: Connection) -> list[Token]:
    """All tokens, in the order in which they were made."""
    return [_token(row) for row in connection.execute(select(api_token).order_by(api_token.c.created_at))]


def token_page(connection: Connection, *, after: str | None = None, limit: int = 100) -> RowPage[Token]:
    """All tokens, the latest first."""
    order = (api_token.c.created_at, api_token.c.token_id)
    return page(connection, select(api_token), order, _token, after=after, limit=limit, descending=True)


def token_by_id(connection: Connection, token_id: str) -> Token | None:
    """A token, also one that counts no more."""
    row = connection.execute(select(api_token).where(api_token.c.token_id == token_id)).first()
    return None if row is None else _token(row)


def revoke_token(connection: Connection, token_id: str, by: By = UNKNOWN) -> None:
    """From now on the token counts no more; its sessions are over. Raises MeterError where there is none of this id."""
    known = connection.execute(select(api_token).where(api_token.c.token_id == token_id)).first()
    if known is None:
        raise MeterError(f"there is no token {token_id!r}; `meter token list` shows what there is")
    still_valid = (api_token.c.token_id == token_id) & api_token.c.revoked_at.is_(None)
    connection.execute(update(api_token).where(still_valid).values(revoked_at=datetime.now(UTC)))
    connection.execute(delete(console_session).where(console_session.c.token_id == token_id))
    if known.revoked_at is None:
        _note(connection, "revoke_token", token_id, known.account_id, by, {"role": known.role, "label": known.label})


def any_token(connection: Connection) -> bool:
    """Whether a token was ever made: one that has expired does not open the door again."""
    return connection.execute(select(api_token.c.token_id).limit(1)).first() is not None


def find_token(connection: Connection, text: str) -> Token | None:
    """The token of a text, if it is one and valid now."""
    prefix, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    if prefix != PREFIX or not secret or len(text) > MAX_CHARS:
        return None
    row = connection.execute(select(api_token).where(api_token.c.token_id == token_id)).first()
    kept = row.secret_hash if row is not None else hash_of("")
    # Compared also where there is none of this id, so that the time that it takes says nothing.
    same = hmac.compare_digest(kept, hash_of(secret))
    return valid(row) if row is not None and same else None


def token_of(connection: Connection, token_id: str) -> Token | None:
    """The token of an id, if it is valid now."""
    row = connection.execute(select(api_token).where(api_token.c.token_id == token_id)).first()
    return valid(row) if row is not None else None


def valid(row: Row[tuple[object, ...]]) -> Token | None:
    """The token of a row, if it is valid now."""
    token = _token(row)
    return token if token.state(datetime.now(UTC)) == "active" else None


def used(connection: Connection, token_id: str, at: datetime) -> None:
    """Note when a token was last used."""
    connection.execute(update(api_token).where(api_token.c.token_id == token_id).values(last_used_at=at))


def _note(
    connection: Connection, action: str, token_id: str, account_id: str | None, by: By, said: Mapping[str, str | None]
) -> None:
    """A row of the audit trail, and a line of the log once it is committed."""
    what = {"token": token_id} | {name: value for name, value in said.items() if value is not None}
    row = {
        "at": datetime.now(UTC),
        "token_id": by.token_id,
        "role": Role.OPERATOR.value,
        "remote": by.remote,
        "action": action,
        "account_id": account_id,
        "outcome": "done",
        "detail": json.dumps(what | ({} if by.user is None else {"user": by.user})),
    }
    if not by.is_written_down:
        connection.execute(insert(audit_entry).values(row))
    made = "a token was made" if action == "create_token" else "a token was revoked"
    who = {"account_id": account_id, "remote": by.remote, "by": by.token_id or by.user}
    line = what | {name: value for name, value in who.items() if value is not None}
    once_committed(connection, lambda: security.info(made, **line))


def _token(row: Row[tuple[object, ...]]) -> Token:
    return Token(
        row.token_id,
        Role(row.role),
        row.account_id,
        row.label,
        row.created_at,
        row.expires_at,
        row.revoked_at,
        row.last_used_at,
    )
