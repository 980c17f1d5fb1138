"""The door of one node: where its clients come in, and where faults are set. Its methods are for other threads."""

import asyncio
import concurrent.futures
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from streams.broker.config import HOST
from streams.broker.ports import free_port
from tests.wire import connection
from tests.wire.connection import Direction, WireConnection
from tests.wire.frames import Request

PATIENCE_S = 60.0


class HeldDoor:
    """A request to come that is stopped at the first door that it comes to: see `Door.hold`."""

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any], matches: Callable[[Request], bool]) -> None:
        self.matches = matches
        self.stopped: concurrent.futures.Future[connection.HeldRequest] = concurrent.futures.Future()
        self._run = run

    def wait(self, patience_s: float = PATIENCE_S) -> Request:
        """Wait until there is one. Raises TimeoutError."""
        return self.stopped.result(patience_s).request

    def reset_client(self) -> None:
        """Reset the connection that it came by; it is still on its way to the node."""
        held = self.stopped.result(0)
        self._run(_call(held.connection.reset_client))

    def release(self) -> None:
        """Let it go on to its node."""
        held = self.stopped.result(0)
        self._run(_call(held.released.set))

    def answer(self, patience_s: float = 30.0) -> bytes:
        """What the node answers once it is released, with length and correlation id. Raises TimeoutError."""
        held = self.stopped.result(0)
        return bytes(self._run(_answer(held, patience_s)))


class Door:
    """One node's door. `requests` and `answers` are its two directions, `seen` counts requests by api key."""

    def __init__(self, number: int, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.number = number
        self.port = 0
        #: Where the node itself listens.
        self.node_port = free_port()
        self.requests = Direction()
        self.answers = Direction()
        self.seen: Counter[int] = Counter()
        self._run = run
        self._server: asyncio.Server | None = None
        self._connections: dict[WireConnection, asyncio.Task[None]] = {}
        self._to_hold: list[HeldDoor] = []
        self._holding: list[connection.HeldRequest] = []

    async def open(self) -> None:
        """Listen. On the wire's own thread."""
        self._server = await asyncio.start_server(self._serve, HOST, self.port or free_port(), limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more, and end what there is. On the wire's own thread."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections.values()):
            task.cancel()
        await asyncio.gather(*self._connections.values(), return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        each = WireConnection(self, writer, reader, (HOST, self.node_port))
        task = asyncio.current_task()
        assert task is not None
        self._connections[each] = task
        try:
            await each.run()
        except asyncio.CancelledError:
            each.reset()
        finally:
            del self._connections[each]

    def stop(self, request: Request, on: WireConnection) -> connection.HeldRequest | None:
        """Whether somebody waits for this request to hold it. On the wire's own thread."""
        for wanted in self._to_hold:
            if not wanted.stopped.done() and wanted.matches(request):
                held = connection.HeldRequest(request, on)
                self._holding.append(held)
                wanted.stopped.set_result(held)
                return held
        return None

    # -- faults ----------------------------------------------------------------------------------------------

    def delay(self, seconds: float, *, requests: bool = True, answers: bool = True) -> None:
        """From now on each frame takes so long, one way or both."""
        self._each(requests, answers, lambda way: setattr(way, "delay_s", seconds))

    def cut(self, *, requests: bool = False, answers: bool = False) -> None:
        """Nothing passes this way, the connections stay. Both ways: a black hole."""
        self._each(requests, answers, lambda way: way.passes.clear())

    def half_open(self) -> None:
        """Every connection loses its node, and no client is told. New connections are as ever."""
        self._run(_call(lambda: [each.half_open() for each in self._connections]))

    def reset(self) -> None:
        """Reset every connection, both sides. New connections are as ever."""
        self._run(_call(lambda: [each.reset() for each in list(self._connections)]))

    def hold(self, api_key: int, where: Callable[[Request], bool] = lambda _: True) -> HeldDoor:
        """Stop the next request of this kind for which `where` holds, and what follows it on its connection."""
        return self.stop_next(HeldDoor(self._run, lambda request: request.api_key == api_key and where(request)))

    def stop_next(self, held: HeldDoor) -> HeldDoor:
        """The same for one that other doors may stop as well."""
        self._run(_call(lambda: self._to_hold.append(held)))
        return held

    def heal(self) -> None:
        """Everything passes at once again, in its order; what is held is released, what is half open is reset."""
        self._run(_call(self._heal))

    def _heal(self) -> None:
        for way in (self.requests, self.answers):
            way.delay_s = 0.0
            way.passes.set()
        self._to_hold.clear()
        for held in self._holding:
            held.released.set()
        self._holding.clear()
        for each in list(self._connections):
            each.end_half_open()

    def _each(self, requests: bool, answers: bool, change: Callable[[Direction], None]) -> None:
        ways = [way for way, wanted in ((self.requests, requests), (self.answers, answers)) if wanted]
        self._run(_call(lambda: [change(way) for way in ways]))


async def _call(what: Callable[[], Any]) -> None:
    what()


async def _answer(held: connection.HeldRequest, patience_s: float) -> bytes:
    async with asyncio.timeout(patience_s):
        return await asyncio.shield(held.answer)
