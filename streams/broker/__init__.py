"""Apache Kafka on this machine, from one command: no Java to install, no Docker, no root."""

from streams.broker.cluster import EmbeddedCluster
from streams.broker.config import MECHANISM, USER
from streams.broker.errors import BrokerError
from streams.broker.foreground import serve, serve_cluster
from streams.broker.process import DEFAULT_PORT, EmbeddedBroker, broker_for
from streams.broker.secret import secret_for
from streams.broker.state import BrokerAddress, has_kafka, running_broker

__all__ = [
    "DEFAULT_PORT",
    "MECHANISM",
    "USER",
    "BrokerAddress",
    "BrokerError",
    "EmbeddedBroker",
    "EmbeddedCluster",
    "broker_for",
    "has_kafka",
    "running_broker",
    "secret_for",
    "serve",
    "serve_cluster",
]
