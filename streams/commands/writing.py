"""A command before it is sent: its fields, its record, and the partitions that it goes to."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from meter.commands import command_digest
from meter.periods import BillingDays
from meter.routing import owner
from meter.rules import Rules
from streams.errors import SettingError

#: A command as its record says it.
Command = Mapping[str, Any]


def new_command(kind: str, rules: Rules, at_ms: int, command_id: str | None = None, **fields: Any) -> Command:
    """A command that is issued at its record time; the meter refuses one that was issued long before or after."""
    return {
        "v": 1,
        "command_id": command_id or str(uuid.uuid4()),
        "type": kind,
        "issued_at": issued_at(rules, at_ms),
        **fields,
    }


def issued_at(rules: Rules, at_ms: int) -> str:
    """A record time as a command's `issued_at` says it."""
    return BillingDays(rules.time_zone).text(at_ms)


def asked(command: Command, rules: Rules) -> tuple[int, ...]:
    """The partitions that a command goes to: its account's; all of them where it names none."""
    if "account_id" in command:
        return (owner(command["account_id"], rules.partitions),)
    return tuple(range(rules.partitions))


def written(command: Command) -> bytes:
    """The value of a command's record. Raises SettingError for text that is none."""
    try:
        return json.dumps(command, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise SettingError(f"not text in UTF-8: {error.object!r:.200}") from error


def digest_of(command: Command) -> str:
    """The digest of a command's content, as the meter's answer has it."""
    return command_digest(written(command))
