"""Where an operator's consoles are open, when several processes write it at once: on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import psycopg

from broker.domain import OperatorId
from broker.ports import Tx
from broker.store import processes
from broker.store.postgres import Link
from operators import presence
from tests.support import house
from tests.support.clock import CountedIds, MovedClock
from tests.support.store import PostgresMemory

PATIENCE_SECONDS = 30.0
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def _ann_at(*process_ids: str) -> tuple[PostgresMemory, OperatorId]:
    """Return a store in which Ann is online, with a console in each process."""
    store = PostgresMemory()

    def build(tx: Tx) -> OperatorId:
        ann = OperatorId(house.add_operator(tx, "ann", [house.add_line(tx)]))
        for process_id in process_ids:
            presence.arrive(tx, ann, process_id)
        return ann

    return store, store.write(build)


def _together(store: PostgresMemory, first: Callable[[Tx], None], second: Callable[[Tx], None]) -> None:
    """Let *second* begin when *first* has done everything but commit; it commits when the second waits for it, or has ended."""
    did, may_commit = SimpleQueue[None](), SimpleQueue[None]()

    def then_wait(tx: Tx) -> None:
        first(tx)
        did.put(None)
        may_commit.get(timeout=PATIENCE_SECONDS)

    links = [Link(store.database.url, "test", CountedIds(), MovedClock()) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads, psycopg.connect(store.database.url, autocommit=True) as looks:
        one = threads.submit(links[0].run, then_wait)
        did.get(timeout=PATIENCE_SECONDS)
        other = threads.submit(links[1].run, second)
        while looks.execute(_WAITING).fetchone() == (0,) and not other.done():
            pass
        may_commit.put(None)
        for running in (one, other):
            ((answer,), _) = running.result(PATIENCE_SECONDS)
            assert answer.error is None
    for link in links:
        link.close()


def test_who_closes_a_console_in_each_of_two_processes_at_once_is_gone():
    """Each closing sees the other: the one that comes second begins the grace."""
    store, ann = _ann_at("p1", "p2")

    _together(store, lambda tx: presence.depart(tx, ann, "p1"), lambda tx: presence.depart(tx, ann, "p2"))

    assert [] == store.rows("SELECT * FROM consoles")
    assert [(presence.GRACE,)] == store.rows("SELECT name FROM timers")


def test_who_is_in_a_process_that_was_taken_for_dead_stays():
    """It has said again who is in it; whoever thought it dead, and looked before, looks once more."""
    store, ann = _ann_at("p1")
    assert [(ann, "p1")] == store.write(lambda tx: presence.abandoned(tx, "p2"))

    def lives(tx: Tx) -> None:
        processes.enter(tx, processes.Process("p1", "web", "host", 1, "0.1.0", 0, 0))
        presence.arrive(tx, ann, "p1")

    _together(store, lives, lambda tx: presence.abandon(tx, ann, "p1"))

    assert [("p1",)] == store.rows("SELECT process_id FROM consoles")
    assert [] == store.rows("SELECT name FROM timers")


def test_who_was_in_a_process_that_is_dead_is_gone():
    """Their grace begins."""
    store, ann = _ann_at("p1")

    store.write(lambda tx: presence.abandon(tx, ann, "p1"))

    assert [] == store.rows("SELECT * FROM consoles")
    assert [(presence.GRACE,)] == store.rows("SELECT name FROM timers")
