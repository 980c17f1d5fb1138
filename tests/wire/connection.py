"""One client's connection: a pump for each direction, which delivers in order what may pass."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.wire.frames import Request, correlation_of, read_frame, request_of

if TYPE_CHECKING:
    from tests.wire.door import Door

RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no time: close sends RST


class Direction:
    """One way through a door: whether frames pass, and how long each takes."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.passes = asyncio.Event()
        self.passes.set()


class HeldRequest:
    """A request that was stopped on its way; what follows it on its connection waits behind it."""

    def __init__(self, request: Request, connection: "WireConnection") -> None:
        self.request = request
        self.released = asyncio.Event()
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.connection = connection


class WireConnection:
    """A client's connection and the one to the node that belongs to it."""

    def __init__(
        self, door: "Door", client: asyncio.StreamWriter, from_client: asyncio.StreamReader, upstream: tuple[str, int]
    ) -> None:
        self._door = door
        self._client = client
        self._from_client = from_client
        self._upstream = upstream
        self._node: asyncio.StreamWriter | None = None
        self._awaited: dict[int, asyncio.Future[bytes]] = {}
        self._is_half_open = False

    async def run(self) -> None:
        """Until both sides are done."""
        try:
            from_node, self._node = await asyncio.open_connection(*self._upstream, limit=1 << 20)
        except OSError:
            reset(self._client)
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._requests(self._node))
                both.create_task(self._answers(from_node))
        finally:
            self._node.close()
            self._client.close()

    async def _requests(self, node: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue()
        intake = asyncio.create_task(self._take_in(self._from_client, self._door.requests, queue))
        try:
            while (frame := await self._next(self._door.requests, queue)) is not None:
                await self._pass_on(node, frame)
            if not self._is_half_open:
                node.write_eof()
        except (OSError, RuntimeError):  # the node is gone: so is the client's connection
            if not self._is_half_open:
                reset(self._client)
        finally:
            intake.cancel()

    async def _pass_on(self, node: asyncio.StreamWriter, frame: bytes) -> None:
        if self._is_half_open:
            return
        request = request_of(self._door.number, frame)
        held = self._door.stop(request, self)
        if held is not None:
            await held.released.wait()
            self._awaited[request.correlation_id] = held.answer
        self._door.seen[request.api_key] += 1
        node.write(frame)
        await node.drain()
        if held is not None:
            # The end of the client's side may be next, and a node need not answer one that has gone.
            await asyncio.wait([held.answer], timeout=30)

    async def _answers(self, from_node: asyncio.StreamReader) -> None:
        queue: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue()
        intake = asyncio.create_task(self._take_in(from_node, self._door.answers, queue))
        try:
            while (frame := await self._next(self._door.answers, queue)) is not None:
                if (awaited := self._awaited.pop(correlation_of(frame), None)) is not None and not awaited.done():
                    awaited.set_result(frame)
                with suppress(ConnectionError):
                    # The client may be gone: what it has sent is answered all the same.
                    if not self._client.transport.is_closing():
                        self._client.write(frame)
                        await self._client.drain()
            if not self._is_half_open:
                self._client.close()
        finally:
            intake.cancel()

    async def _take_in(
        self, reader: asyncio.StreamReader, way: Direction, queue: asyncio.Queue[tuple[float, bytes | None]]
    ) -> None:
        while (frame := await read_frame(reader)) is not None:
            queue.put_nowait((asyncio.get_running_loop().time() + way.delay_s, frame))
        queue.put_nowait((0.0, None))

    async def _next(self, way: Direction, queue: asyncio.Queue[tuple[float, bytes | None]]) -> bytes | None:
        due, frame = await queue.get()
        ahead_s = due - asyncio.get_running_loop().time()
        if ahead_s > 0:
            await asyncio.sleep(ahead_s)
        await way.passes.wait()
        return frame

    def reset(self) -> None:
        """RST to both sides."""
        reset(self._client)
        if self._node is not None:
            reset(self._node)

    def reset_client(self) -> None:
        """RST to the client alone; what it has sent is still on its way."""
        reset(self._client)

    def half_open(self) -> None:
        """The node's side is gone, and nothing tells the client."""
        self._is_half_open = True
        if self._node is not None:
            reset(self._node)

    def end_half_open(self) -> None:
        """What has lost its other side is reset."""
        if self._is_half_open:
            self.reset()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
