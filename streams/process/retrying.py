"""What is away is tried again, after a longer pause each time: how long, and by whom it is said, for every process."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")

#: From this to that many seconds, each pause twice as long as the one before: for what a process needs to begin.
FIRST_S, LONGEST_S = 0.5, 15.0


class Backoff:
    """How many seconds to wait before the next try: twice as many each time, up to the longest.

    What ran for `steady_after_s` did work, too: the pause after it is the first one again.
    """

    def __init__(self, first_s: float, longest_s: float, *, steady_after_s: float = math.inf) -> None:
        self._first_s = self._next_s = first_s
        self._longest_s = longest_s
        self._steady_after_s = steady_after_s
        self._began_at = time.monotonic()

    def began(self) -> None:
        """A try was made now."""
        self._began_at = time.monotonic()

    def worked(self) -> None:
        """The next pause is the first one again."""
        self._next_s = self._first_s

    def next_s(self) -> float:
        """The pause before the next try."""
        if time.monotonic() - self._began_at >= self._steady_after_s:
            self.worked()
        delay_s = self._next_s
        self._next_s = min(delay_s * 2, self._longest_s)
        return delay_s


async def patiently(
    work: Callable[[], Awaitable[_T]],
    is_away: Callable[[Exception], bool],
    say: Callable[[Exception, float], None],
    backoff: Backoff | None = None,
) -> _T:
    """What work gives; it is done again, without end, for as long as it raises what says that something `is_away`.

    `say` is told of each, and in how many seconds it is tried again. Raises what else the work raises.
    """
    pauses = backoff or Backoff(FIRST_S, LONGEST_S)
    while True:
        pauses.began()
        try:
            return await work()
        except Exception as error:
            if not is_away(error):
                raise
            delay_s = pauses.next_s()
            say(error, delay_s)
        await asyncio.sleep(delay_s)
