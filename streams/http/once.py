"""Changes of what is kept in the store alone, tokens and webhooks: done once for a key, and written down.

One SQL transaction holds the change and its row of the audit trail, whose key is unique: of two requests with one key,
the second finds what the first has made. Secrets are no part of that, so that they are shown once.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from streams.http.callers import Caller
from streams.http.placing import command_id, key_reused
from streams.store.kept_tables import audit_entry
from streams.store.queries.commands import command_by_id

#: What a change is asked for, by the names of its fields; text, numbers and lists of them.
Asked = Mapping[str, Any]


class Change(NamedTuple):
    """Who asks for what, from where, under which key; `account_id`: whom it is about."""

    who: Caller
    remote: str | None
    key: str
    action: str
    asked: Asked
    account_id: str | None = None


def once(connection: Connection, change: Change, make: Callable[[], str]) -> tuple[str, bool]:
    """Make something, unless this key has made it before. Returns its id, and whether it was made now.

    `make` does it in this connection, and gives the id. Raises Problem (409) for a key that was used for something
    else, and what `make` raises.
    """
    key = command_id(change.who, change.key)
    command = {"type": change.action, "command_id": key, **change.asked}
    try:
        with connection.begin_nested():
            connection.execute(insert(audit_entry).values(_row(change, key, {"command": command})))
    except IntegrityError:
        known = json.loads(connection.execute(select(audit_entry.c.detail).where(_of(key))).scalar_one())
        if known.get("command") != command:
            raise key_reused() from None
        return known["made"], False
    if command_by_id(connection, key):
        raise key_reused()
    made = make()
    detail = json.dumps({"command": command, "made": made})
    connection.execute(update(audit_entry).where(_of(key)).values(detail=detail))
    return made, True


def write_down(connection: Connection, change: Change) -> None:
    """Write down a change that does no harm when it is done twice, and needs no key."""
    connection.execute(insert(audit_entry).values(_row(change, None, {"command": dict(change.asked)})))


def _of(key: str) -> Any:
    return audit_entry.c.command_id == key


def _row(change: Change, key: str | None, detail: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC),
        "token_id": change.who.token_id,
        "role": change.who.role.value,
        "remote": change.remote,
        "action": change.action,
        "account_id": change.account_id,
        "command_id": key,
        "outcome": "done",
        "detail": json.dumps(detail),
    }
