"""Is Kafka silent, as a whole or for one partition? Whether it is does not depend on what is assigned, or moves.

Silence is counted in the time in which this process was awake: one that was frozen, and has not read yet what came
meanwhile, has nothing to complain of.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from faust.types import TP

from streams.engine.clocks import MachineClock
from streams.errors import BrokerLostError
from streams.settings import Settings

#: How often to look.
LOOK_S = 0.5
#: A Kafka that answers nothing for so many session timeouts is lost: heartbeats and fetches are answered at once.
SILENCE_SESSIONS = 3
#: A worker that hears nothing for this part of that asks a question of its own.
ASK_AFTER = 1 / 6


class Ears(Protocol):
    """What the consumer knows of Kafka's answers, as instants of the monotonic clock."""

    def heard_at(self) -> float: ...
    def answered_at(self, tp: TP) -> float: ...
    def ask(self) -> None: ...


class Quiet:
    """For how long something was not heard."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._heard_at = 0.0

    def pass_by(self, awake_s: float, heard_at: float) -> None:
        """So long this process was awake, and it heard last at this instant."""
        self.seconds = self.seconds + awake_s if heard_at == self._heard_at else 0.0
        self._heard_at = heard_at


class Watch:
    """Counts silences. Raises BrokerLostError where one has lasted too long."""

    def __init__(self, settings: Settings, clock: MachineClock) -> None:
        self._clock = clock
        self._servers = settings.bootstrap_servers
        self._silence_s = SILENCE_SESSIONS * settings.session_timeout_s
        #: A leader may be elected meanwhile; the other partitions would have to pay for an end that comes too soon.
        self._unanswered_s = max(self._silence_s, settings.stalled_after_s)
        self._all = Quiet()
        self._fetches: dict[TP, Quiet] = {}
        self._looked_at = self._clock.monotonic()

    def look(self, ears: Ears, fetching: Iterable[TP]) -> None:
        """Look once. `fetching` are the inputs that are being asked for records."""
        now = self._clock.monotonic()
        awake_s, self._looked_at = min(now - self._looked_at, 2 * LOOK_S), now
        self._all.pass_by(awake_s, ears.heard_at())
        if self._all.seconds > self._silence_s:
            raise BrokerLostError(f"Kafka at {self._servers} has not answered for {self._silence_s:.0f} s")
        if self._all.seconds > ASK_AFTER * self._silence_s:
            ears.ask()
        before, self._fetches = self._fetches, {}
        for tp in fetching:
            quiet = self._fetches[tp] = before.get(tp) or Quiet()
            quiet.pass_by(awake_s, ears.answered_at(tp))
            if quiet.seconds > self._unanswered_s:
                raise BrokerLostError(
                    f"the leader of {tp.topic}[{tp.partition}] has not answered for {self._unanswered_s:.0f} s"
                )

    async def run(self, ears: Ears, fetching: Callable[[], Iterable[TP]], also: Callable[[], None]) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            also()
            self.look(ears, fetching())
