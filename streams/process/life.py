"""The life of a process that goes on until it is asked to stop: every one goes through here.

    logs, open files > its work, which waits for what is away and shows its pages > ready > at work > asked to stop > 0

What ends one otherwise is an error with an exit code (`streams.errors`), which its command says in one line.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from streams.errors import Exit
from streams.process.files import raise_file_limit
from streams.process.garbage import collect_less
from streams.process.logs import set_up_logs
from streams.process.readiness import announce
from streams.process.waiting import AskedToStop
from streams.settings import Settings

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def live(settings: Settings, work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> int:
    """Run a process's work, which is told by an event that a signal asks it to stop. For the main thread.

    Returns the exit code. Raises whatever the work raises.
    """
    set_up_logs(settings)
    raise_file_limit()
    asyncio.run(_until_asked(work))
    return Exit.OK


async def _until_asked(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    asked, loop = asyncio.Event(), asyncio.get_running_loop()
    for each in STOP_SIGNALS:
        loop.add_signal_handler(each, asked.set)
    with suppress(AskedToStop):
        await work(asked)


def begin() -> None:
    """All that the work needs is there: it is left aside by the collection of garbage, and whoever waits is told."""
    collect_less()
    announce()


@contextmanager
def stop_signals_interrupt() -> Iterator[None]:
    """For work without a loop: a signal raises KeyboardInterrupt once, wherever it is; then all wait for its end."""

    def interrupt(number: int, frame: object) -> None:
        for each in STOP_SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in STOP_SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
