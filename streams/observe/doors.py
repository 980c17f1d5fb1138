"""Connections to a process's own port: few at a time, and none for long, so that they never use up its files.

The library gives an unfinished request all the time it wants.
"""

import asyncio
import time
from collections.abc import Callable

from aiohttp import web

MAX_CONNECTIONS = 64
#: Pages are small, and asked for now and then: a connection that is older is ended, which its client may make anew.
LASTS_S = 60.0
LOOK_EVERY_S = 1.0


async def keep_doors(server: Callable[[], web.Server | None]) -> None:
    """Look at a server's connections now and then, until cancelled. `server` is None until it is there."""
    since_s: dict[web.RequestHandler, float] = {}
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        there = server()
        now_s = time.monotonic()
        since_s = {each: since_s.get(each, now_s) for each in (there.connections if there else ())}
        for each in _too_many(since_s, now_s):
            each.force_close()


def _too_many(since_s: dict[web.RequestHandler, float], now_s: float) -> list[web.RequestHandler]:
    """Those that are too old, and the oldest of those that are too many."""
    ordered = sorted(since_s, key=lambda each: since_s[each])
    too_many = max(0, len(ordered) - MAX_CONNECTIONS)
    return [each for place, each in enumerate(ordered) if place < too_many or now_s - since_s[each] > LASTS_S]
