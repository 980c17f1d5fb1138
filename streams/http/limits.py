"""How often each may ask: a bucket of tokens for each name, filled steadily, in this process alone."""

import math
import time
from collections.abc import Mapping

from streams.http.problems import Problem

#: A bucket holds what comes in within this time, so that a burst after a pause is not refused.
BURST_S = 2.0
MAX_KEPT = 10_000


#: The bucket of all that come new while there are as many as are kept.
_NEWCOMERS = ""


class Buckets:
    """One bucket a name; `per_s` 0: no limit.

    Kept are those that are not full: one that is full again is as good as none. Where others are too many, those that
    come new share one, so that nobody's count is forgotten for the sake of many names that somebody makes up.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._size = max(1.0, per_s * BURST_S)
        self._left: dict[str, tuple[float, float]] = {}  # the one that was asked for longest ago comes first

    def __len__(self) -> int:
        """How many names are kept."""
        return len(self._left)

    def take(self, name: str) -> Mapping[str, str]:
        """Take one. Returns the headers that say what is left. Raises Problem (429) where the bucket is empty."""
        if not self._per_s:
            return {}
        now = time.monotonic()
        name = name if self._has_room(name, now) else _NEWCOMERS
        left, at = self._left.pop(name, (self._size, now))
        left = min(self._size, left + (now - at) * self._per_s)
        self._left[name] = left if left < 1 else left - 1, now
        if left < 1:
            wait_s = math.ceil((1 - left) / self._per_s)
            detail = f"more than {self._per_s:g} requests a second"
            headers = {"Retry-After": str(wait_s), **self._said(left)}
            raise Problem(429, "too_many_requests", detail, headers=headers)
        return self._said(left - 1)

    def _has_room(self, name: str, now: float) -> bool:
        """Whether a name has a bucket, or there is room for it once those are dropped that are full again."""
        while len(self._left) >= MAX_KEPT and name not in self._left:
            oldest = next(iter(self._left))
            if now - self._left[oldest][1] < self._size / self._per_s:
                return False
            del self._left[oldest]
        return True

    def _said(self, left: float) -> Mapping[str, str]:
        """What a bucket holds, how long it takes to fill, what is left and when it is full again (s).

        As draft-ietf-httpapi-ratelimit-headers has it.
        """
        full_in_s = math.ceil((self._size - left) / self._per_s)
        return {
            "RateLimit-Policy": f'"default";q={math.floor(self._size)};w={math.ceil(self._size / self._per_s)}',
            "RateLimit": f'"default";r={math.floor(left)};t={full_in_s}',
        }
