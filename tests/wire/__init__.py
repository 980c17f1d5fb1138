"""A proxy that knows Kafka's frames, between clients and each node of a cluster, and the faults of a network.

The way through it: `frames.py` (what passes), `connection.py` (one client's connection and its two directions),
`door.py` (one node's door, where faults are set), `wire.py` (the doors of a group of clients).

    wire = Wire()                                             # or Wire("W1"): one for each group of clients
    with EmbeddedCluster(data_dir, extras=extras(wire)) as cluster, wire:
        client(bootstrap_servers=wire.bootstrap_servers)      # everything it does goes through the doors
        wire.door(2).cut(answers=True)                        # node 2 is heard no more; requests still come to it
        wire.heal()

What does not pass is not lost: TCP sends again, so it is delivered, in order, when the fault ends, even when the client
has closed its connection meanwhile. That is how a request can arrive late.
"""

from tests.wire.door import Door, HeldDoor
from tests.wire.frames import Request
from tests.wire.wire import Wire, extras

__all__ = ["Door", "HeldDoor", "Request", "Wire", "extras"]
