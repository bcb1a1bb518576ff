"""Who has a console open, and what is done when the last one goes: a grace period, durable, before they have vanished."""

from __future__ import annotations

import structlog

from broker.domain import OperatorId
from broker.errors import StoreError
from broker.ports import Store
from operators import presence

log = structlog.get_logger(__name__)


class Attendance:
    """Counts the sockets of each operator. What the store refused is owed, and tried again by `settle`."""

    def __init__(self, store: Store, grace_seconds: float) -> None:
        self._store = store
        self._grace_seconds = grace_seconds
        self._sockets: dict[OperatorId, int] = {}
        self._back: set[OperatorId] = set()
        """Whose timer was taken away since they came."""
        self._owed: set[OperatorId] = set()

    @property
    def total(self) -> int:
        """Return how many sockets there are."""
        return sum(self._sockets.values())

    def of(self, operator: OperatorId) -> int:
        """Return how many sockets the operator has."""
        return self._sockets.get(operator, 0)

    def enter(self, operator: OperatorId) -> None:
        """Count a socket in."""
        self._sockets[operator] = self.of(operator) + 1

    def leave(self, operator: OperatorId) -> bool:
        """Count a socket out; return whether it was the last: then `settle` has something to do."""
        self._sockets[operator] -= 1
        if self._sockets[operator]:
            return False
        del self._sockets[operator]
        self._back.discard(operator)
        self._owed.add(operator)
        return True

    async def welcome(self, operator: OperatorId) -> None:
        """Let the operator be back: their grace ends, or they get back what they were. Raises StoreError."""
        self._owed.discard(operator)
        if operator not in self._back:
            await self._store.write(lambda tx: presence.come_back(tx, operator))
            self._back.add(operator)

    async def begin(self) -> None:
        """At a start: everybody who is online or away and has not come back has their grace. Raises StoreError."""
        self._owed.update(await self._store.read(presence.present))
        await self.settle()

    async def settle(self) -> None:
        """Begin the grace of everybody who has gone; what the store refuses stays owed."""
        gone = [operator for operator in self._owed if operator not in self._sockets]
        self._owed.difference_update(gone)
        for number, operator in enumerate(gone):
            try:
                await self._store.write(lambda tx, one=operator: presence.begin_grace(tx, one, self._grace_seconds))  # type: ignore[misc]
                if operator in self._back:
                    # They came while this was written, and it stands after what took it away.
                    await self._store.write(lambda tx, one=operator: presence.come_back(tx, one))  # type: ignore[misc]
            except StoreError as error:
                self._owed.add(operator)
                log.warning("grace_waits_for_store", problem=str(error))
            except BaseException:
                self._owed.update(gone[number:])
                raise
