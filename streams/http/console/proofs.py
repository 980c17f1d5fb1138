"""Reading the log again takes a processor for a while: one at a time, however many ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from streams.http.problems import Problem

PATIENCE_S = 30.0
_turn = asyncio.Lock()


@asynccontextmanager
async def one_at_a_time() -> AsyncIterator[None]:
    """Wait for one's turn. Raises Problem (503) where that takes too long."""
    try:
        await asyncio.wait_for(_turn.acquire(), PATIENCE_S)
    except TimeoutError:
        raise Problem(503, "busy", "another proof is being made: ask again later") from None
    try:
        yield
    finally:
        _turn.release()
