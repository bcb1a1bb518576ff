"""A clock that is moved and ids that are counted: the same test is the same run, to the byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday at noon: where tests begin unless they care."""
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


class MovedClock:
    """A `Clock` that stands still until it is moved."""

    def __init__(self, at: datetime = NOON) -> None:
        self._now = at
        self._monotonic = 1_000.0

    def now(self) -> datetime:
        """Return the moment it was moved to."""
        return self._now

    def monotonic(self) -> float:
        """Return seconds that follow `move`, never `set`."""
        return self._monotonic

    def move(self, by: timedelta | float) -> datetime:
        """Let time pass: *by* is a timedelta or seconds, not negative."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        assert step >= timedelta(0), "time passes forwards; `set` turns the wall clock back"
        self._now += step
        self._monotonic += step.total_seconds()
        return self._now

    def set(self, at: datetime) -> None:
        """Turn the wall clock, as an administrator or NTP would: no time passes."""
        self._now = at


class CountedIds:
    """Ids shaped like UUIDv7, each greater than the one before; *start* keeps two sources apart."""

    def __init__(self, start: int = 0) -> None:
        self._last = start

    def new(self) -> str:
        """Return the next id."""
        self._last += 1
        return f"01900000-0000-7000-8000-{self._last:012x}"
