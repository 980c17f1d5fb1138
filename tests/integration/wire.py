"""A wire to one broker that knows Kafka's frames: it holds a request back, and delivers it when told to."""

import select
import socket
import struct
import threading
from contextlib import suppress
from typing import Self

PRODUCE, ADD_PARTITIONS, END_TXN = 0, 24, 26
METADATA_HOST = b"127.0.0.1"


class Held:
    """A request that was held on its way: its client's connection is gone, the broker's is still there."""

    def __init__(self) -> None:
        self.caught = threading.Event()
        self._frame = b""
        self._broker: socket.socket | None = None

    def keep(self, frame: bytes, broker: socket.socket) -> None:
        self._frame, self._broker = frame, broker
        self.caught.set()

    def deliver(self) -> bytes:
        """Let it go on. Returns the body of the broker's answer."""
        assert self._broker is not None
        self._broker.sendall(self._frame)
        return read_frame(self._broker)[8:]


class Wire:
    """Within `with`: an address that leads to a broker on loopback, and whose every answer says so."""

    def __init__(self, bootstrap_servers: str) -> None:
        host, _, port = bootstrap_servers.rpartition(":")
        self._broker = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        self._holds: dict[int, Held] = {}
        self._swallows: set[int] = set()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    @property
    def servers(self) -> str:
        """Where clients go."""
        return f"127.0.0.1:{self._port}"

    def hold(self, api_key: int) -> Held:
        """Hold the next request of a kind and reset the connection that it came over."""
        held = self._holds[api_key] = Held()
        return held

    def swallow(self, *api_keys: int) -> None:
        """From now on requests of these kinds vanish, as packets do; of no kind: none."""
        self._swallows = set(api_keys)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(self._broker)
                self._sockets += [client, broker]
                held = threading.Event()
                threading.Thread(target=self._requests, args=(client, broker, held), daemon=True).start()
                threading.Thread(target=self._answers, args=(client, broker, held), daemon=True).start()

    def _requests(self, client: socket.socket, broker: socket.socket, held: threading.Event) -> None:
        with suppress(OSError, EOFError):
            while True:
                frame = read_frame(client)
                (api_key,) = struct.unpack(">h", frame[4:6])
                if api_key in self._swallows:
                    continue
                if (hold := self._holds.pop(api_key, None)) is not None:
                    held.set()
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.shutdown(socket.SHUT_RD)
                    client.close()
                    hold.keep(frame, broker)
                    return
                broker.sendall(frame)
        broker.close()

    def _answers(self, client: socket.socket, broker: socket.socket, held: threading.Event) -> None:
        """The broker's address in them becomes this one's; it has as many bytes."""
        theirs, ours = (METADATA_HOST + struct.pack(">i", port) for port in (self._broker[1], self._port))
        with suppress(OSError, EOFError, ValueError):
            while not held.is_set():
                readable, _, _ = select.select([broker], [], [], 0.1)
                if readable and not held.is_set():
                    client.sendall(read_frame(broker).replace(theirs, ours))
        if not held.is_set():
            client.close()


def read_frame(connection: socket.socket) -> bytes:
    """One request or answer, with its length. Raises EOFError."""
    size = _read(connection, 4)
    return size + _read(connection, struct.unpack(">i", size)[0])


def _read(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        if not part:
            raise EOFError
        found += part
    return found
