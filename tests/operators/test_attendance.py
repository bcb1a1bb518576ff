"""Where an operator's consoles are open: when several processes write it at once, on a real PostgreSQL, and as one process counts them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from broker.domain import OperatorId, to_us
from broker.errors import StoreError, StoreUncertain
from broker.ports import Store, Tx
from broker.store import processes
from broker.store.sql import insert_row
from broker.store.tables import logins
from broker.timers import fire_due
from operators import presence
from operators.attendance import Attendance
from tests.support import house
from tests.support.store import MemoryStore, PostgresMemory
from tests.support.together import together


def _ann_at(*process_ids: str) -> tuple[PostgresMemory, OperatorId]:
    """Return a store in which Ann is online, with a console in each process."""
    store = PostgresMemory()

    def build(tx: Tx) -> OperatorId:
        ann = OperatorId(house.add_operator(tx, "ann", [house.add_line(tx)]))
        for process_id in process_ids:
            presence.arrive(tx, ann, process_id)
        return ann

    return store, store.write(build)


def _log_in(tx: Tx, operator: OperatorId) -> None:
    ends_us = to_us(tx.now) + 3_600_000_000
    values = {"token_hash": "t", "operator_id": operator, "created_us": 0, "seen_us": 0, "ends_us": ends_us}
    tx.run(insert_row(logins, " ".join(values)), **values)


def test_who_closes_a_console_in_each_of_two_processes_at_once_is_gone():
    """Each closing sees the other: the one that comes second begins the grace."""
    store, ann = _ann_at("p1", "p2")

    together(store, lambda tx: presence.depart(tx, ann, "p1"), lambda tx: presence.depart(tx, ann, "p2"))

    assert [] == store.rows("SELECT * FROM consoles")
    assert [(presence.GRACE,)] == store.rows("SELECT name FROM timers")


def test_who_is_in_a_process_that_was_taken_for_dead_stays():
    """It has said again who is in it; whoever thought it dead, and looked before, looks once more."""
    store, ann = _ann_at("p1")
    assert [(ann, "p1")] == store.write(lambda tx: presence.abandoned(tx, "p2"))

    def lives(tx: Tx) -> None:
        processes.enter(tx, processes.Process("p1", "web", "host", 1, "0.1.0", 0, 0))
        presence.arrive(tx, ann, "p1")

    together(store, lives, lambda tx: presence.abandon(tx, ann, "p1"))

    assert [("p1",)] == store.rows("SELECT process_id FROM consoles")
    assert [] == store.rows("SELECT name FROM timers")


def test_who_was_in_a_process_that_is_dead_is_gone():
    """Their grace begins."""
    store, ann = _ann_at("p1")

    store.write(lambda tx: presence.abandon(tx, ann, "p1"))

    assert [] == store.rows("SELECT * FROM consoles")
    assert [(presence.GRACE,)] == store.rows("SELECT name FROM timers")


def test_who_comes_back_while_their_grace_runs_out_is_back_for_good():
    """Whoever lets it run out has not committed yet: what they set for later is taken away all the same."""
    store, ann = _ann_at("p1")
    store.write(lambda tx: _log_in(tx, ann))
    store.write(lambda tx: presence.depart(tx, ann, "p1", grace_seconds=0.0))

    together(
        store,
        lambda tx: fire_due(tx, {presence.TIMER_OWNER: presence.grace_over}),
        lambda tx: presence.arrive(tx, ann, "p2"),
    )

    assert [] == store.rows("SELECT name FROM timers")
    assert [("online",)] == store.rows("SELECT state FROM presence")


# --- one process's count of its own


class Interrupted:
    """The house's store, on which something happens *meanwhile*, before the next writing."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.fails: StoreError | None = None
        """What the next writing is answered with, though it happened."""

    async def write(self, work: Callable[[Tx], Any], /) -> Any:
        """See `Store.write`."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        answer = self._store.write(work)
        fails, self.fails = self.fails, None
        if fails is not None:
            raise fails
        return answer

    async def read(self, work: Callable[[Tx], Any], /) -> Any:
        """See `Store.read`."""
        return self._store.read(work)


def _office() -> tuple[MemoryStore, Interrupted, Attendance, OperatorId]:
    store = MemoryStore()
    ann = store.write(lambda tx: OperatorId(house.add_operator(tx, "ann", [house.add_line(tx)])))
    interrupted = Interrupted(store)
    return store, interrupted, Attendance(cast(Store, interrupted), "p1", 30.0), ann


def test_who_leaves_while_it_is_said_once_more_who_is_here_has_left():
    """The others had taken this process for dead; what it says of them then does not stand after their going."""
    store, interrupted, attendance, ann = _office()

    async def leaves() -> None:
        attendance.leave(ann)
        await attendance.settle()

    async def story() -> None:
        attendance.enter(ann)
        await attendance.welcome(ann)
        interrupted.meanwhile = leaves
        await attendance.enter_again()
        await attendance.settle()

    asyncio.run(story())

    assert [] == store.rows("SELECT * FROM consoles")
    assert [(presence.GRACE,)] == store.rows("SELECT name FROM timers")


def test_who_is_back_stays_whatever_became_of_their_going():
    """It was written after their coming, and nobody could say so: it is said again that they are here."""
    store, interrupted, attendance, ann = _office()

    async def comes_back() -> None:
        attendance.enter(ann)
        await attendance.welcome(ann)
        interrupted.fails = StoreUncertain("nobody knows")

    async def story() -> None:
        attendance.enter(ann)
        await attendance.welcome(ann)
        attendance.leave(ann)
        interrupted.meanwhile = comes_back
        await attendance.settle()
        assert [] == store.rows("SELECT * FROM consoles"), "the going stands last"
        await attendance.settle()

    asyncio.run(story())

    assert [("p1",)] == store.rows("SELECT process_id FROM consoles")
    assert [] == store.rows("SELECT name FROM timers")
