"""A command about an account: sent, answered, and told; its arguments."""

import asyncio
from typing import Annotated, Any

import typer

from streams.broker.connect import connected
from streams.cli.answers import report
from streams.cli.arguments import read_at, read_command_id
from streams.commands.clock import record_time
from streams.commands.placing import place
from streams.commands.verdict import Outcome
from streams.commands.writing import new_command
from streams.kafka.rights import ORDERER
from streams.kafka.topics import check
from streams.settings import Settings
from streams.terminal.output import note

AccountId = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account id.", show_default=False)]
Amount = Annotated[str, typer.Option(metavar="CNY", help="With at most 2 places, such as 100 or 16.80.")]


def send(
    kind: str,
    done: str,
    account: str,
    command_id: str | None,
    timeout_s: float,
    at: str | None,
    as_json: bool,
    **fields: Any,
) -> int:
    """One command, and what came of it."""
    at_ms, known_id = read_at(at), read_command_id(command_id)
    with connected(note) as settings:
        outcome = asyncio.run(_place(settings, kind, at_ms, known_id, timeout_s, account_id=account, **fields))
    return report(outcome, f"done: {done}", timeout_s, as_json)


async def _place(
    settings: Settings, kind: str, at_ms: int | None, command_id: str | None, timeout_s: float, **fields: Any
) -> Outcome:
    rules = await check(settings, ORDERER)
    now_ms = await record_time(settings, rules, at_ms)
    command = new_command(kind, rules, now_ms, command_id, **fields)
    return await place(settings, rules, command, at_ms=now_ms, timeout_s=timeout_s, id_is_new=command_id is None)
