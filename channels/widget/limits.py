"""How much one visitor, one address and everybody together may ask of us. Time is passed in, seconds that never go back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from broker.networks import network_of

HOUR = 3600.0
FORGET_ABOVE = 10_000
"""Addresses remembered before those of an hour ago are looked for."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Settings of the visitors' gate."""

    frame_bytes: int = 65_536
    messages_per_second: float = 10.0
    burst: int = 40
    frames_per_second: float = 20.0
    frames_burst: int = 100
    conversations_per_hour: int = 30
    """New ones from one address."""
    callbacks_per_hour: int = 5
    """Calls asked for from one address."""
    sockets_per_address: int = 20
    sockets: int = 5_000
    hello_seconds: float = 5.0
    queue_bytes: int = 262_144
    """Unsent bytes to one socket before it is cut."""
    stall_seconds: float = 10.0
    """How long one write may wait for the visitor's side."""


class Addresses:
    """What each address (IPv6: each /64) has open and has begun lately; forgets it when nothing is left of it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sockets: dict[str, int] = {}
        self._begun = _Hourly(limits.conversations_per_hour)
        self._called = _Hourly(limits.callbacks_per_hour)
        self.total = 0

    def enter(self, address: str) -> bool:
        """Count a socket in; False when the address or the house is full."""
        address = network_of(address)
        if self.total >= self._limits.sockets or self._sockets.get(address, 0) >= self._limits.sockets_per_address:
            return False
        self._sockets[address] = self._sockets.get(address, 0) + 1
        self.total += 1
        return True

    def leave(self, address: str) -> None:
        """Count a socket out."""
        address = network_of(address)
        self.total -= 1
        if self._sockets[address] == 1:
            del self._sockets[address]
        else:
            self._sockets[address] -= 1

    def begin(self, address: str, now: float) -> float:
        """Count a new conversation; return 0, or in how many seconds the next is welcome."""
        wait = self._begun.wait(network_of(address), now)
        if not wait:
            self._begun.count(network_of(address), now)
        return wait

    def call_wait(self, address: str, now: float) -> float:
        """Return in how many seconds the next call may be asked for; 0: now."""
        return self._called.wait(network_of(address), now)

    def count_call(self, address: str, now: float) -> None:
        """Count a call that is asked for."""
        self._called.count(network_of(address), now)

    def give_back_call(self, address: str) -> None:
        """Take back the last one: it was none."""
        self._called.give_back(network_of(address))


class _Hourly:
    """What each address has done within the last hour."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._done: dict[str, deque[float]] = {}
        self._forget_above = FORGET_ABOVE

    def wait(self, address: str, now: float) -> float:
        """Return in how many seconds it may be done again; 0: now."""
        done = self._done.get(address)
        while done and now - done[0] >= HOUR:
            done.popleft()
        return HOUR - (now - done[0]) if done and len(done) >= self._most else 0.0

    def count(self, address: str, now: float) -> None:
        """Say that it was done."""
        self._done.setdefault(address, deque()).append(now)
        if len(self._done) > self._forget_above:
            self._forget(now)

    def give_back(self, address: str) -> None:
        """Say that it was not done after all."""
        if done := self._done.get(address):
            done.pop()

    def _forget(self, now: float) -> None:
        for address in [a for a, done in self._done.items() if not done or now - done[-1] >= HOUR]:
            del self._done[address]
        # Twice what is left: looking at all of them stays rare, however many there are within the hour.
        self._forget_above = max(FORGET_ABOVE, 2 * len(self._done))
