"""The transport of one process: plain calls on the loop's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from broker.ports import Bell

log = structlog.get_logger(__name__)


class MemoryTransport:
    """A `Transport` whose listeners are in this process. A listener that raises harms nobody else."""

    def __init__(self) -> None:
        self._listeners: dict[Bell, list[Callable[[str], None]]] = {bell: [] for bell in Bell}
        self._followers: dict[str, list[Callable[[bytes], None]]] = {}

    def ring(self, bells: Sequence[tuple[Bell, str]], /) -> None:
        """See `Transport.ring`; one bell with one key is heard once however often a batch rang it."""
        for bell, key in dict.fromkeys(bells):
            self._call(self._listeners[bell], key)

    def listen(self, bell: Bell, hear: Callable[[str], None], /) -> Callable[[], None]:
        """See `Transport.listen`."""
        return self._add(self._listeners[bell], hear)

    def tell(self, topic: str, word: bytes, /) -> None:
        """See `Transport.tell`."""
        self._call(self._followers.get(topic, ()), word)

    def follow(self, topic: str, hear: Callable[[bytes], None], /) -> Callable[[], None]:
        """See `Transport.follow`."""
        followers = self._followers.setdefault(topic, [])
        stop_hearing = self._add(followers, hear)

        def stop() -> None:
            stop_hearing()
            if not followers and self._followers.get(topic) is followers:
                del self._followers[topic]

        return stop

    @staticmethod
    def _add(hearers: list[Any], hear: Any) -> Callable[[], None]:
        hearers.append(hear)
        listening = True

        def stop() -> None:
            nonlocal listening
            if listening:
                listening = False
                hearers.remove(hear)

        return stop

    @staticmethod
    def _call(hearers: Sequence[Callable[[Any], None]], word: Any) -> None:
        for hear in tuple(hearers):
            try:
                hear(word)
            except Exception:
                log.exception("bell_listener_failed")
