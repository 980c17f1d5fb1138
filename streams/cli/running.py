"""`meter up`, `meter worker`, `meter broker`: the processes of a meter."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.arguments import Json
from streams.terminal.output import note, say, say_json, say_table

DEFAULT_PORT = 19092

Port = Annotated[int, typer.Option(min=0, max=65535, help="Of the embedded Kafka; 0: any free one.")]


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
    from streams.broker.connect import settings_of_command
    from streams.supervise.detached import detach as in_background
    from streams.supervise.up import run_up

    run = in_background if detach else run_up
    return run(settings_of_command(), workers, port, say)


def down() -> int:
    """Stop the `meter up` of this data directory, and wait for its end.

    However it was started, and also what is left of one that was killed.
    What is metered stays; `meter up` goes on from there. Where none runs
    that is said, and is no error.

    Example:
      meter down

    Exit codes: 0 nothing runs any more; 1 something does not end.
    """
    from streams.broker.connect import settings_of_command
    from streams.supervise.detached import down as stop

    return stop(settings_of_command(), say)


def status(as_json: Json = False) -> int:
    """Show what `meter up` runs on this data directory, where, and if it is ready.

    Each part is asked, where it has a page.

    Example:
      meter status --json

    Exit codes: 0 all is ready; 1 it runs, and something is not ready; 5
    nothing runs.
    """
    from streams.broker.connect import settings_of_command
    from streams.supervise.status import as_json as for_programs
    from streams.supervise.status import look

    settings = settings_of_command()
    code, lines = look(settings)
    if as_json:
        say_json(for_programs(code, lines))
    elif lines:
        rows = [(line.name, line.state, str(line.pid or ""), line.where) for line in lines]
        say_table(("what", "state", "process", "where"), rows)
    else:
        note(f"nothing runs on {settings.data_dir}: `meter up` starts it")
    return code


def worker() -> int:
    """Run one worker, until Ctrl-C or SIGTERM.

    It shares the partitions with the others of METER_APP_ID. Topics must be
    there (`meter topics create`). Logs go to standard error; /metrics,
    /healthz and /readyz are on METER_WEB_PORT. METER_INSTANCE_ID gives it
    back its partitions at once after a restart. Without
    METER_BOOTSTRAP_SERVERS it uses the embedded Kafka of METER_DATA_DIR, or
    starts it.

    Example:
      METER_INSTANCE_ID=meter-0 meter worker

    Exit codes: 0 asked to stop; 2 wrong setting; 3 refuses to start;
    4 fenced by another worker; 5 Kafka lost; 6 a step failed. After 4, 5
    and 6 start it again: nothing is lost or counted twice.
    """
    from streams.broker.connect import connected
    from streams.broker.taken_ports import look_at_pages
    from streams.engine.worker import run_worker

    with connected(note, port=DEFAULT_PORT, first=look_at_pages) as settings:
        return run_worker(settings)


def broker(
    data_dir: Annotated[
        Path | None, typer.Option(help="Where it keeps its records; METER_DATA_DIR when not given.")
    ] = None,
    port: Port = DEFAULT_PORT,
    nodes: Annotated[int, typer.Option(min=1, max=3, help="1, or 3: a cluster that can lose one.")] = 1,
) -> int:
    """Run the embedded Kafka, until Ctrl-C.

    Apache Kafka on 127.0.0.1, with no Java or Docker to install. Other
    commands with the same data directory find it, whatever its port.
    With three nodes every record is kept three times and written at least
    twice; they listen on this port and the next two, and one that ends by
    itself is started again.

    Example:
      meter broker --data-dir /var/lib/meter --port 19092

    Example:
      meter broker --nodes 3

    Exit codes: 0 stopped; 1 Kafka could not start, ended by itself, or runs
    already.
    """
    from streams.broker import serve, serve_cluster
    from streams.broker.connect import settings_of_command

    if nodes == 2:
        raise typer.BadParameter("two nodes cannot lose one: choose 1 or 3", param_hint="--nodes")
    if nodes > 1 and 65535 - port < nodes - 1:
        raise typer.BadParameter(f"its {nodes} nodes need the ports after it too", param_hint="--port")
    directory = data_dir or settings_of_command().data_dir
    return serve(directory, port, say) if nodes == 1 else serve_cluster(directory, nodes, port, say)
