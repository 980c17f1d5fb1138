"""How often each may ask: a bucket of tokens for each name, filled steadily, in this process alone."""

import math
import time

from streams.http.problems import Problem

#: A bucket holds what comes in within this time, so that a burst after a pause is not refused.
BURST_S = 2.0
MAX_KEPT = 10_000


class Buckets:
    """One bucket a name; `per_s` 0: no limit."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._size = max(1.0, per_s * BURST_S)
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> None:
        """Take one. Raises Problem (429) where the bucket is empty."""
        if not self._per_s:
            return
        now = time.monotonic()
        left, at = self._left.get(name, (self._size, now))
        left = min(self._size, left + (now - at) * self._per_s)
        if left < 1:
            self._left[name] = left, now
            wait_s = math.ceil((1 - left) / self._per_s)
            detail = f"more than {self._per_s:g} requests a second"
            raise Problem(429, "too_many_requests", detail, headers={"Retry-After": str(wait_s)})
        if len(self._left) >= MAX_KEPT:
            self._left.clear()
        self._left[name] = left - 1, now
