"""Waiting: for a condition that must be looked at, and for work, unless the process is asked to stop meanwhile."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar, cast

_T = TypeVar("_T")


class AskedToStop(Exception):  # noqa: N818 - it is none
    """The process was asked to stop while it waited."""


async def unless(asked: asyncio.Event, work: Awaitable[_T]) -> _T:
    """What the work gives. Raises AskedToStop as soon as the process is asked to stop; the work is cancelled then."""
    working = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(asked.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise AskedToStop
        return working.result()
    finally:
        working.cancel()
        stopping.cancel()


async def until(
    look: Callable[[], Awaitable[_T]], is_enough: Callable[[_T], object], *, every_s: float, within_s: float
) -> _T:
    """What a look finds, made again until that is enough, or so many seconds have passed: then, what the last found.

    For what tells nobody when it changes.
    """
    deadline = time.monotonic() + within_s
    while not is_enough(found := await look()) and time.monotonic() <= deadline:  # noqa: ASYNC110 - see above
        await asyncio.sleep(every_s)
    return found


async def in_daemon_thread(work: Callable[[], _T]) -> _T:
    """What blocking work gives, from a thread that the end of the process does not wait for.

    The loop's own threads are waited for, however long a call into a store or a pipe that hangs may take.
    """
    loop = asyncio.get_running_loop()
    result: asyncio.Future[_T] = loop.create_future()

    def settle(found: _T | None, error: Exception | None) -> None:
        if not result.cancelled():
            result.set_result(cast(_T, found)) if error is None else result.set_exception(error)

    def run() -> None:
        found, error = None, None
        try:
            found = work()
        except Exception as failure:  # whatever it is: the one who waits is told
            error = failure
        with suppress(RuntimeError):  # the loop may have ended meanwhile
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=run, daemon=True).start()
    return await result
