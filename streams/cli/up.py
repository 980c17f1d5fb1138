"""`meter up`: all of a meter on this machine."""

from typing import Annotated

import typer

from streams.broker.connect import settings_of_command
from streams.cli.ports import DEFAULT_PORT, Port
from streams.supervise.detached import detach as in_background
from streams.supervise.up import run_up
from streams.terminal.output import say


def up(
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many workers share the partitions.")] = 2,
    port: Port = DEFAULT_PORT,
    detach: Annotated[bool, typer.Option("--detach", help="In the background: return when it is ready.")] = False,
) -> int:
    """Run it all on this machine, until Ctrl-C: Kafka, topics, workers, console.

    The projector, the webhooks' sender and the API with the console are
    started too; the console's address is printed. What exits is started
    again. Without METER_BOOTSTRAP_SERVERS Kafka is the embedded one, and
    missing topics are created as by `meter topics create`; on a configured
    Kafka create them first, since it is for you to say how many replicas it
    keeps. Worker n serves its metrics on
    METER_WEB_PORT + n (8321, 8322, ...; 0: none), the projector and the
    webhooks' sender after them.

    With --detach it goes on in the background; what it says is in up.log in
    the data directory. The command returns when all is ready, or with the
    reason and an exit code, and then nothing is left running.

    Example:
      meter up --workers 3

    Example:
      meter up --detach && meter status && meter down

    Exit codes: 0 stopped by Ctrl-C or SIGTERM, or ready; 2 another one runs
    on this data directory, or a port is taken; 2 or 3 a worker refuses to
    run, its line says why.
    """
    run = in_background if detach else run_up
    return run(settings_of_command(), workers, port, say)
