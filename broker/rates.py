"""How often something may be done: token buckets, alone and one for each of many. Time is passed in, seconds that never go back."""

from __future__ import annotations

FORGET_ABOVE = 10_000
"""Keys remembered before those that are at rest are looked for."""


class Bucket:
    """A token bucket: *rate* a second, at most *burst* at once."""

    __slots__ = ("_burst", "_left", "_rate", "_then")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._left = float(burst)
        self._then = now

    def take(self, now: float) -> float:
        """Take one; return 0, or in how many seconds to come back."""
        left = self._left + (now - self._then) * self._rate
        self._left = left if left < self._burst else self._burst
        self._then = now
        if self._left >= 1.0:
            self._left -= 1.0
            return 0.0
        return (1.0 - self._left) / self._rate

    def is_full(self, now: float) -> bool:
        """Return whether it is as if nothing had ever been taken."""
        return self._left + (now - self._then) * self._rate >= self._burst


class Rates:
    """A bucket for each key that asks; forgets those that have filled again."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, Bucket] = {}
        self._forget_above = FORGET_ABOVE

    def take(self, key: str, now: float) -> float:
        """Take one for *key*; return 0, or in how many seconds to come back."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._forget_above:
                self._buckets = {key: bucket for key, bucket in self._buckets.items() if not bucket.is_full(now)}
                # Twice what is left: looking at all of them stays rare, however many there are.
                self._forget_above = max(FORGET_ABOVE, 2 * len(self._buckets))
            bucket = self._buckets[key] = Bucket(self._rate, self._burst, now)
        return bucket.take(now)
