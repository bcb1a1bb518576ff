"""Who has a console open, and what is done when the last one goes: a grace period, durable, before they have vanished.

Each process counts the sockets of its own; which operators are in which process is in the table `consoles`, so that a console that is
closed here is nobody's going while another is open elsewhere, and what a dead process had is cleared by the others.
"""

from __future__ import annotations

import structlog

from broker.domain import OperatorId
from broker.errors import StoreError
from broker.ports import Store, Tx
from operators import presence

log = structlog.get_logger(__name__)


class Attendance:
    """Counts the sockets of each operator. What the store refused is owed, and tried again by `settle`."""

    def __init__(self, store: Store, process_id: str, grace_seconds: float) -> None:
        self._store = store
        self._process_id = process_id
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
            await self._store.write(lambda tx: presence.arrive(tx, operator, self._process_id))
            self._back.add(operator)

    async def begin(self) -> None:
        """At a start: everybody who is online or away and has not come back has their grace. Raises StoreError."""
        self._owed.update(await self._store.read(presence.missing))
        await self.settle()

    async def enter_again(self) -> None:
        """Say once more who is here: the others have taken this process for dead. Raises StoreError."""
        for operator in list(self._back):
            if operator in self._back:
                await self._arrive(operator)

    async def clear(self) -> None:
        """Begin the grace of everybody whose console was in a process that is dead. Raises StoreError."""
        for operator, process in await self._store.read(lambda tx: presence.abandoned(tx, self._process_id)):
            await self._store.write(
                lambda tx, one=operator, where=process: presence.abandon(tx, one, where, self._grace_seconds)  # type: ignore[misc]
            )

    async def settle(self) -> None:
        """Begin the grace of everybody who has gone; what the store refuses stays owed."""
        # Who is back meanwhile and still owed may stand as gone: whether the last writing happened, nobody has said.
        owed = [operator for operator in self._owed if operator not in self._sockets or operator in self._back]
        self._owed.difference_update(owed)
        for number, operator in enumerate(owed):
            try:
                if operator not in self._back:
                    await self._store.write(lambda tx, one=operator: self._depart(tx, one))  # type: ignore[misc]
                if operator in self._back:
                    # They came while this was written, and it stands after what took it away.
                    await self._arrive(operator)
            except StoreError as error:
                self._owed.add(operator)
                log.warning("grace_waits_for_store", problem=str(error))
            except BaseException:
                self._owed.update(owed[number:])
                raise

    async def _arrive(self, operator: OperatorId) -> None:
        await self._store.write(lambda tx: presence.arrive(tx, operator, self._process_id))
        if operator not in self._back:
            self._owed.add(operator)  # they have gone while this was written, and it stands after what said so

    def _depart(self, tx: Tx, operator: OperatorId) -> None:
        presence.depart(tx, operator, self._process_id, self._grace_seconds)
