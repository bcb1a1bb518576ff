"""Token buckets of one process, by name: all there is in a process alone, and what a process goes by while Redis is lost."""

from __future__ import annotations

from broker.rates import Bucket

REMEMBERED = 1_000
"""Buckets kept at most; a bucket that was forgotten is full again."""


class OwnBuckets:
    """A bucket for each name, rate and burst that asks: with other settings it is another bucket."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, float, float], Bucket] = {}

    def take(self, name: str, per_second: float, burst: float, now: float) -> float:
        """Take one token; return 0, or in how many seconds to come back. *now* is in seconds that never go back."""
        key = (name, per_second, burst)
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= REMEMBERED:
                self._forget(now)
            bucket = self._buckets[key] = Bucket(per_second, whole(burst), now)
        return bucket.take(now)

    def _forget(self, now: float) -> None:
        busy = [(key, bucket) for key, bucket in self._buckets.items() if not bucket.is_full(now)]
        self._buckets = dict(busy[-REMEMBERED // 2 :])


def whole(burst: float) -> int:
    """Return the burst in whole tokens; a bucket that holds less than one would never give any."""
    return max(1, int(burst))
