"""The transport of one process: plain calls on the loop's thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from broker import metrics
from broker.ports import Bell
from broker.transport.limits import OwnBuckets

log = structlog.get_logger(__name__)


class MemoryTransport:
    """A `Transport` whose listeners are in this process. A listener that raises harms nobody else."""

    alone = True
    lost: str | None = None
    """There is nobody else to lose."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._buckets = OwnBuckets()
        self._listeners: dict[Bell, list[Callable[[str], None]]] = {bell: [] for bell in Bell}
        self._followers: dict[str, list[Callable[[bytes], None]]] = {}

    def ring(self, bells: Sequence[tuple[Bell, str]], /) -> None:
        """See `Transport.ring`; one bell with one key is heard once however often a batch rang it."""
        for bell, key in dict.fromkeys(bells):
            self._call(self._listeners[bell], key)

    def listen(self, bell: Bell, hear: Callable[[str], None], /) -> Callable[[], None]:
        """See `Transport.listen`."""
        return add_hearer(self._listeners[bell], hear)

    def is_heard(self, bell: Bell) -> bool:
        """Return whether anybody listens to *bell*."""
        return bool(self._listeners[bell])

    def tell(self, topic: str, word: bytes, /) -> None:
        """See `Transport.tell`."""
        self._call(self._followers.get(topic, ()), word)

    def follow(self, topic: str, hear: Callable[[bytes], None], /) -> Callable[[], None]:
        """See `Transport.follow`."""
        followers = self._followers.setdefault(topic, [])
        stop_hearing = add_hearer(followers, hear)

        def stop() -> None:
            stop_hearing()
            if not followers and self._followers.get(topic) is followers:
                del self._followers[topic]

        return stop

    def on_restored(self, hear: Callable[[], None], /) -> Callable[[], None]:
        """See `Transport.on_restored`; never called."""
        return lambda: None

    async def take(self, bucket: str, per_second: float, burst: float) -> float:
        """See `Transport.take`."""
        return self._buckets.take(bucket, per_second, burst, self._monotonic())

    @staticmethod
    def _call(hearers: Sequence[Callable[[Any], None]], word: Any) -> None:
        for hear in tuple(hearers):
            try:
                hear(word)
            except Exception:
                metrics.unexpected_errors_total.labels("transport").inc()
                log.exception("bell_listener_failed")


def add_hearer(hearers: list[Any], hear: Any) -> Callable[[], None]:
    """Let *hear* be one of *hearers*; return how to end that, once for each time it was added."""
    hearers.append(hear)
    listening = True

    def stop() -> None:
        nonlocal listening
        if listening:
            listening = False
            hearers.remove(hear)

    return stop
