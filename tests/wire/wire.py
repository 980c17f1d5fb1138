"""The doors of a group of clients, one for each node: they come in by these and by no others."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Self

from streams.broker.cluster import NODES
from streams.broker.config import HOST, Extras, Listener
from tests.wire.door import Door, HeldDoor
from tests.wire.frames import Request


class Wire:
    """Doors to a cluster that is given this wire's listeners (`extras`). `name` is theirs: one for each group."""

    def __init__(self, name: str = "PROXIED", nodes: int = NODES) -> None:
        self.name = name
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"wire-{name}", daemon=True)
        self._thread.start()
        self.doors = [Door(number, self._run) for number in range(1, nodes + 1)]
        for door in self.doors:
            self._run(door.open())

    def _run(self, what: Coroutine[Any, Any, Any]) -> Any:
        """Do it on the wire's own thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(60)

    @property
    def bootstrap_servers(self) -> str:
        """For the clients of this group."""
        return ",".join(f"{HOST}:{door.port}" for door in self.doors)

    def door(self, number: int) -> Door:
        """The door of a node, by the node's number."""
        return self.doors[number - 1]

    def listener(self, number: int) -> Listener:
        """What a node is given, so that these clients come back to its door."""
        door = self.door(number)
        return Listener(self.name, door.node_port, door.port)

    def hold(self, api_key: int, where: Callable[[Request], bool] = lambda _: True) -> HeldDoor:
        """Stop the next request of this kind, whichever node it is for: see `Door.hold`."""
        held = HeldDoor(self._run, lambda request: request.api_key == api_key and where(request))
        for door in self.doors:
            door.stop_next(held)
        return held

    def heal(self) -> None:
        """End all faults."""
        for door in self.doors:
            door.heal()

    def close(self) -> None:
        """End everything that passes."""
        if self._loop.is_running():
            for door in self.doors:
                self._run(door.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def extras(*wires: Wire, nodes: int = NODES) -> Mapping[int, Extras]:
    """What the nodes of a cluster are given, so that each wire's clients stay behind its doors."""
    return {n: Extras(listeners=[wire.listener(n) for wire in wires]) for n in range(1, nodes + 1)}
