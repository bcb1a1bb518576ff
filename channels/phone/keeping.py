"""How long recordings are kept: what is older is deleted, the file first and then its name in the table of calls.

A process that dies between the two finds the file gone at the next look, and takes the name away. Two processes do it side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import structlog

from broker.errors import StoreError
from broker.ports import Clock, Store, Tx
from channels.phone import ledger

log = structlog.get_logger(__name__)

EVERY_SECONDS = 3_600.0
AT_ONCE = 200
"""Calls of one transaction."""


class Keeping:
    """Looks again and again; `look` is one time."""

    def __init__(
        self, store: Store, clock: Clock, folder: Path, days: int, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """*folder* is that of recordings; what ended *days* ago, 1 or more, is deleted."""
        self._store = store
        self._clock = clock
        self._folder = folder
        self._kept = timedelta(days=days)
        self._sleep = sleep

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.warning("keeping_waits_for_store", problem=str(error))
            await self._sleep(EVERY_SECONDS)

    async def look(self) -> int:
        """Delete what is older; return of how many calls. Raises StoreError."""
        deleted = 0
        while (gone := await self._look_at_some()) == AT_ONCE:
            deleted += gone
        return deleted + gone

    async def _look_at_some(self) -> int:
        """Delete what there is of the oldest calls; return of how many: fewer than AT_ONCE when no more can be."""
        before = self._clock.now() - self._kept
        gone = []
        for call, *names in await self._store.read(lambda tx: ledger.old_sounds(tx, before, AT_ONCE)):
            if not await asyncio.to_thread(self._delete, names):
                break  # the next ones are in the same folder
            gone.append(call)

        def tell(tx: Tx) -> None:
            for call in gone:
                ledger.deleted(tx, call)

        if gone:
            await self._store.write(tell)
            log.info("recordings_deleted", calls=len(gone))
        return len(gone)

    def _delete(self, names: list[str]) -> bool:
        for name in filter(None, names):
            # The names are ours; that nothing else is ever deleted does not hang on that.
            if Path(name).name != name:
                continue
            try:
                (self._folder / name).unlink(missing_ok=True)
            except OSError as error:
                log.error("recording_not_deleted", file=name, problem=str(error), remedy=f"may we delete in {self._folder}?")
                return False
        return True


__all__ = ["Keeping"]
