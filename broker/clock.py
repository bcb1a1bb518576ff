"""The real clock and the real source of ids; tests bring their own (broker.ports.Clock, Ids)."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import uuid_utils


class SystemClock:
    """Time as the machine tells it."""

    def now(self) -> datetime:
        """Return this moment, aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


class SystemIds:
    """UUIDv7 from the machine's clock and random source: later ids sort later."""

    def new(self) -> str:
        """Return a new id."""
        return str(uuid_utils.uuid7())
