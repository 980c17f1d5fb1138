"""`meter clock`: the time of a meter that was created with a simulated clock."""

import asyncio
from typing import Annotated

import typer

from streams.broker.connect import connected
from streams.cli.answers import report
from streams.cli.arguments import CommandId, Json, Timeout, read_at, read_command_id
from streams.commands.clock import Advanced
from streams.commands.clock import advance as advance_to
from streams.commands.placing import transactional_id
from streams.errors import Exit
from streams.kafka.rights import CLOCK
from streams.kafka.topics import check
from streams.settings import Settings
from streams.terminal.output import complain, note


# With one command alone typer would take the group for the command.
def advance(
    to: Annotated[str, typer.Option(metavar="TIME", help="What time it becomes, RFC 3339 with an offset.")],
    command_id: CommandId = None,
    timeout: Timeout = 30,
    as_json: Json = False,
) -> int:
    """Let time pass on a meter with a simulated clock.

    What falls due by then is done before the command returns: bills are
    issued and deducted from 12:00 on, services stop whose deadline passes.
    Such a clock moves with record times alone; it never goes back.

    Example:
      meter clock advance --to 2019-01-02T18:00:00+08:00

    Exit codes: 0 done; 1 not done in time, or the clock is later already;
    2 the meter's clock is the broker's.
    """
    to_ms, known_id = read_at(to, "--to"), read_command_id(command_id)
    assert to_ms is not None
    with connected(note) as settings:
        advanced = asyncio.run(_advance(settings, to_ms, known_id, timeout))
    code = report(advanced.outcome, f"done: it is {to}", timeout, as_json)
    if code == Exit.OK and advanced.behind:
        behind = ", ".join(map(str, advanced.behind))
        complain(f"after {timeout:g} s there is still something to do on partitions {behind}; it will be done")
        return Exit.FAILED
    return code


async def _advance(settings: Settings, to_ms: int, command_id: str | None, timeout_s: float) -> Advanced:
    rules = await check(settings, CLOCK, [transactional_id(settings)])
    return await advance_to(settings, rules, to_ms, command_id, timeout_s)
