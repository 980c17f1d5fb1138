"""`meter broker`: the embedded broker in the foreground."""

import time
from collections.abc import Callable
from pathlib import Path

from streams.broker.cluster import EmbeddedCluster
from streams.broker.config import Files
from streams.broker.jars import kafka_version, read_lock
from streams.broker.process import EmbeddedBroker
from streams.process.life import stop_signals_interrupt

LOOK_INTERVAL_S = 0.5


def serve(data_dir: Path, port: int, say: Callable[[str], None]) -> int:
    """Run the broker until SIGINT or SIGTERM. For the main thread. Raises BrokerError when it cannot start.

    Returns the exit code: 0 when asked to stop, 1 when Kafka ended by itself or ran already.
    """
    broker = EmbeddedBroker(data_dir, port=port, say=say)
    with stop_signals_interrupt():
        try:
            return _serve(broker, data_dir, say)
        except KeyboardInterrupt:
            say("stopping Kafka")
            return 0
        finally:
            broker.stop()


def _serve(broker: EmbeddedBroker, data_dir: Path, say: Callable[[str], None]) -> int:
    address = broker.start()
    if not broker.owned:
        say(f"the Kafka of {data_dir} already runs at {address.bootstrap_servers} (process {address.pid})")
        return 1
    kafka = f"Apache Kafka {kafka_version(read_lock())} at {address.bootstrap_servers}"
    say(f"{kafka}, log in {address.log_file}; {_way_in(Files.of(data_dir))}")
    code = broker.wait()
    say(f"Kafka ended by itself with code {code}; its log is {Files.of(data_dir).log}")
    return 1


def _way_in(files: Files) -> str:
    """For others than the commands with this data directory."""
    return f"clients come in with {files.client_properties}"


def serve_cluster(data_dir: Path, nodes: int, port: int, say: Callable[[str], None]) -> int:
    """Run so many nodes until SIGINT or SIGTERM; one that ends by itself is started again. For the main thread.

    Raises BrokerError when it cannot start, or a node cannot start again. Returns 0 when asked to stop.
    """
    cluster = EmbeddedCluster(data_dir, nodes=nodes, port=port, say=say)
    with stop_signals_interrupt():
        try:
            cluster.start()
            kafka = f"Apache Kafka {kafka_version(read_lock())} at {cluster.bootstrap_servers}"
            say(f"{kafka}, logs under {cluster.root}; {_way_in(cluster.nodes[0].files)}")
            while True:
                _start_again(cluster, say)
        except KeyboardInterrupt:
            say("stopping Kafka")
            return 0
        finally:
            cluster.stop()


def _start_again(cluster: EmbeddedCluster, say: Callable[[str], None]) -> None:
    """Wait until a node ends, and start it."""
    time.sleep(LOOK_INTERVAL_S)  # ends of several processes, in whatever order
    for node in cluster.nodes:
        if not node.is_running:
            say(f"node {node.number} ended by itself with code {node.exit_code}, and is started again")
            node.start()
            say(f"node {node.number} is back")
