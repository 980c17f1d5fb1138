"""`meter broker`: the embedded Kafka."""

from pathlib import Path
from typing import Annotated

import typer

from streams.broker import serve, serve_cluster
from streams.broker.connect import settings_of_command
from streams.cli.ports import DEFAULT_PORT, Port
from streams.terminal.output import say


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
    if nodes == 2:
        raise typer.BadParameter("two nodes cannot lose one: choose 1 or 3", param_hint="--nodes")
    if nodes > 1 and 65535 - port < nodes - 1:
        raise typer.BadParameter(f"its {nodes} nodes need the ports after it too", param_hint="--port")
    directory = data_dir or settings_of_command().data_dir
    return serve(directory, port, say) if nodes == 1 else serve_cluster(directory, nodes, port, say)
