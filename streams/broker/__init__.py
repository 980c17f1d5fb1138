"""Apache Kafka on this machine, from one command: no Java to install, no Docker, no root."""

from streams.broker.cluster import EmbeddedCluster
from streams.broker.errors import BrokerError
from streams.broker.foreground import serve, serve_cluster
from streams.broker.process import DEFAULT_PORT, EmbeddedBroker, broker_for
from streams.broker.state import BrokerAddress, running_broker

__all__ = [
    "DEFAULT_PORT",
    "BrokerAddress",
    "BrokerError",
    "EmbeddedBroker",
    "EmbeddedCluster",
    "broker_for",
    "running_broker",
    "serve",
    "serve_cluster",
]
