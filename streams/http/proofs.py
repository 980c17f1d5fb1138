"""Proofs of bills on request. Each reads a partition's whole log, so it has a process of its own, and there are few.

Operators have a slot that no customer's request can take. An account waits between two proofs. What was found is kept
for a while, and whoever asks about a bill that is being proved waits for the same proof, as long as a request may; then
it is told that the proof goes on.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from streams.errors import BrokerLostError, MeterError
from streams.http.callers import Caller, Role
from streams.http.problems import Problem, unavailable
from streams.process.apart import apart
from streams.proof.bill import prove_bill
from streams.proof.differences import Report
from streams.settings import Settings

#: How long a request waits for a proof, and how long a proof may take.
WAIT_S = 20.0
PATIENCE_S = 3_600.0
#: How many at a time: for operators, and for all customers together.
SLOTS = 1
#: How long an account waits after the end of a proof that it asked for.
PAUSE_S = 60.0
#: How long a proof is kept that found all as it must be, and any other.
KEPT_S = 600.0
KEPT_OTHERS_S = 30.0
MAX_KEPT = 1_000

Work = Callable[[Settings, str], Coroutine[Any, Any, Report]]


class DatedReport(NamedTuple):
    """What was found, and when."""

    report: Report
    at: datetime


class _Kept(NamedTuple):
    proof: DatedReport
    until_s: float


class Proofs:
    """The proofs of one process. `work` proves a bill; raises what `prove_bill` does, and TimeoutError."""

    def __init__(self, settings: Settings, work: Work | None = None) -> None:
        self._settings = settings
        self._work = work or _in_a_process
        self._running: dict[str, asyncio.Task[DatedReport]] = {}
        self._kept: dict[str, _Kept] = {}
        self._busy: Counter[Role] = Counter()
        self._paused: dict[str, float] = {}

    async def prove(self, who: Caller, bill_id: str) -> DatedReport | None:
        """What a proof of the bill found; None: it goes on. Raises Problem: 429, 503."""
        kept = self._kept.get(bill_id)
        if kept is not None and kept.until_s > time.monotonic():
            return kept.proof
        task = self._running.get(bill_id) or self._begin(who, bill_id)
        await asyncio.wait({task}, timeout=WAIT_S)
        return task.result() if task.done() else None

    async def close(self) -> None:
        """End all that are going on."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, who: Caller, bill_id: str) -> asyncio.Task[DatedReport]:
        lane = Role.ACCOUNT if who.role is Role.ACCOUNT else Role.OPERATOR
        self._need_no_pause(who)
        if self._busy[lane] >= SLOTS:
            raise Problem(503, "busy", "another bill is being verified", headers={"Retry-After": "5"})
        self._busy[lane] += 1
        if who.account_id is not None:
            self._paused[who.account_id] = math.inf
        task = asyncio.create_task(self._prove(lane, who.account_id, bill_id))
        task.add_done_callback(_looked_at)
        self._running[bill_id] = task
        return task

    def _need_no_pause(self, who: Caller) -> None:
        """Raises Problem (429) where an account has asked for a proof just now."""
        if who.account_id is None:
            return
        wait_s = self._paused.get(who.account_id, 0.0) - time.monotonic()
        if wait_s > 0:
            seconds = math.ceil(min(wait_s, PAUSE_S))
            detail = f"an account may have one bill verified, and another after {PAUSE_S:g} seconds"
            raise Problem(429, "too_many_requests", detail, headers={"Retry-After": str(seconds)})

    async def _prove(self, lane: Role, account_id: str | None, bill_id: str) -> DatedReport:
        try:
            report = await self._work(self._settings, bill_id)
        except (BrokerLostError, TimeoutError) as error:
            raise unavailable("kafka", f"the log could not be read: {error or 'it took too long'}", 60) from error
        except MeterError as error:
            raise unavailable("proof", f"the bill could not be verified: {error}", 60) from error
        finally:
            self._running.pop(bill_id, None)
            self._busy[lane] -= 1
            if account_id is not None:
                self._pause(account_id)
        proof = DatedReport(report, datetime.now(UTC))
        self._keep(bill_id, proof)
        return proof

    def _pause(self, account_id: str) -> None:
        now_s = time.monotonic()
        self._paused = {account: until_s for account, until_s in self._paused.items() if until_s > now_s}
        self._paused[account_id] = now_s + PAUSE_S

    def _keep(self, bill_id: str, proof: DatedReport) -> None:
        now_s = time.monotonic()
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[bill_id] = _Kept(proof, now_s + (KEPT_S if proof.report.proved else KEPT_OTHERS_S))


async def _in_a_process(settings: Settings, bill_id: str) -> Report:
    return await apart(prove_bill, settings, bill_id, patience_s=PATIENCE_S)


def _looked_at(task: "asyncio.Task[DatedReport]") -> None:
    """Whoever began it may have gone: nobody else asks how it ended."""
    with suppress(asyncio.CancelledError):
        task.exception()
