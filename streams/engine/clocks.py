"""This machine's clocks, handed to whatever asks for the time: tests and the simulation hand in one that they turn.

No rule asks them: record time is the broker's (see `due.py`). They say how long something took, or was quiet.
"""

import time

SAY_EVERY_S = 60.0


class MachineClock:
    """The two clocks of this machine."""

    def monotonic(self) -> float:
        """Seconds that have passed, from an instant that means nothing; never set back."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """What this machine takes for the time, in milliseconds; somebody may set it."""
        return time.time_ns() // 1_000_000


class Seldom:
    """Lets the same thing be said once a minute: an error that lasts must not fill the disk."""

    def __init__(self, clock: MachineClock) -> None:
        self._clock = clock
        self._said_at = -SAY_EVERY_S

    def may_say(self) -> bool:
        """Whether to say it now."""
        now = self._clock.monotonic()
        if now - self._said_at < SAY_EVERY_S:
            return False
        self._said_at = now
        return True


class Movement:
    """When a partition moved last: a part of its state was read, or a step committed."""

    def __init__(self, clock: MachineClock) -> None:
        self._clock = clock
        #: On the monotonic clock, in seconds.
        self.last_s = clock.monotonic()

    def moved(self) -> float:
        """It did just now. Returns when that is, in seconds of the monotonic clock."""
        self.last_s = self._clock.monotonic()
        return self.last_s
