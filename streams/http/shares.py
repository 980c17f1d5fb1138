"""How much a customer has this process do at a time: a few requests, so that nobody else waits behind all of them.

Others of the same account wait for their turn, which ends when the request is answered; where too many wait, more are
refused. Operators and producers are the company's own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from streams.http.callers import Caller
from streams.http.problems import Problem

#: Of one account.
AT_A_TIME = 3
MAX_WAITING = 32
#: Where a request's state has what ends its turn.
_END = "end_of_turn"


@dataclass
class _Share:
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_A_TIME))
    requests: int = 0


class Shares:
    """The requests of each account that are at work, or wait for it."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share] = {}

    def __len__(self) -> int:
        """How many accounts have a request at work or waiting."""
        return len(self._shares)

    async def take(self, request: Request, who: Caller) -> None:
        """Wait for a turn, where a customer asks. Raises Problem (429) where too many of its requests wait already."""
        if who.account_id is None:
            return
        share = self._shares.setdefault(who.account_id, _Share())
        if share.requests >= AT_A_TIME + MAX_WAITING:
            raise Problem(429, "too_many_requests", "too many requests at a time", headers={"Retry-After": "1"})
        share.requests += 1
        try:
            await share.turns.acquire()
        except BaseException:
            self._leave(who.account_id, share)
            raise
        request.scope["state"][_END] = lambda: self._end(who.account_id or "", share)

    def _end(self, account_id: str, share: _Share) -> None:
        share.turns.release()
        self._leave(account_id, share)

    def _leave(self, account_id: str, share: _Share) -> None:
        share.requests -= 1
        if not share.requests:
            del self._shares[account_id]


class InTurn:
    """Ends the turn of a request once it is answered, however that ends."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        finally:
            end: Callable[[], None] | None = scope.get("state", {}).pop(_END, None)
            if end is not None:
                end()
