"""Loopback ports: is one free, and one that is."""

import random
import socket

from streams.broker.config import HOST
from streams.broker.errors import BrokerError

# Below the range from which Linux takes the ports of outgoing connections (32768 and up): there a client that keeps
# trying to reach a stopped broker may connect to itself, and so take the broker's port away.
FREE_PORTS = range(20000, 32000)
TRIES = 100


def is_free(port: int) -> bool:
    """Whether a server may listen on this loopback port now (as Java does it: with SO_REUSEADDR)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A loopback port on which nothing listens now. Another program may still take it before it is used."""
    for _ in range(TRIES):
        port = random.choice(FREE_PORTS)
        if is_free(port):
            return port
    raise BrokerError(f"no free port found on {HOST}")
