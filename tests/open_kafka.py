"""The embedded Kafka with one more door, where everybody gets in: for clients of other makers, and peers in the bench.

The door for those with the secret is there too, and is what the product's own commands find by the data directory.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from streams.broker import BrokerAddress, EmbeddedBroker, EmbeddedCluster
from streams.broker.cluster import NODES, distinct
from streams.broker.config import HOST, Extras, Listener
from streams.broker.ports import free_port

OPEN = "OPEN"


def with_door(extras: Extras, port: int) -> Extras:
    """The same, and the open door on this port."""
    return replace(extras, listeners=[*extras.listeners, Listener(OPEN, port, port)])


class OpenBroker(EmbeddedBroker):
    """An embedded Kafka whose address, on `port`, is that of the open door."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        say: Callable[[str], None] | None = None,
        extras: Extras | None = None,
    ) -> None:
        self.open_port = port or free_port()
        super().__init__(data_dir, port=0, say=say, extras=with_door(extras or Extras(), self.open_port))

    def start(self, timeout_s: float = 60) -> BrokerAddress:
        """As the embedded one does."""
        return replace(super().start(timeout_s), bootstrap_servers=f"{HOST}:{self.open_port}")


class OpenCluster(EmbeddedCluster):
    """Three nodes whose addresses are those of their open doors."""

    def __init__(self, data_dir: Path, *, extras: Mapping[int, Extras] | None = None) -> None:
        self.open_ports = dict(enumerate(distinct(NODES), 1))
        given = extras or {}
        super().__init__(
            data_dir, extras={n: with_door(given.get(n, Extras()), port) for n, port in self.open_ports.items()}
        )

    @property
    def bootstrap_servers(self) -> str:
        """The open door of each node."""
        return ",".join(f"{HOST}:{port}" for port in self.open_ports.values())

    @property
    def locked(self) -> str:
        """The doors for those with the secret."""
        return super().bootstrap_servers
