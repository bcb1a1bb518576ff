"""Two transactions at once, on a real PostgreSQL: the second finds what the first has done and not committed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import psycopg

from broker.ports import Tx
from broker.store.postgres import Link
from tests.support.clock import CountedIds, MovedClock
from tests.support.store import PostgresMemory

PATIENCE_SECONDS = 30.0
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


def together(
    store: PostgresMemory, first: Callable[[Tx], Any], second: Callable[[Tx], Any], *, refused: type[Exception] | None = None
) -> None:
    """Let *second* begin when *first* has done everything but commit; it commits when the second waits for it, or has ended.

    *refused*: what the second is to fail with.
    """
    did, may_commit = SimpleQueue[None](), SimpleQueue[None]()

    def then_wait(tx: Tx) -> None:
        first(tx)
        did.put(None)
        may_commit.get(timeout=PATIENCE_SECONDS)

    links = [Link(store.database.url, "test", CountedIds(start), MovedClock(store.clock.now())) for start in (1 << 20, 2 << 20)]
    with ThreadPoolExecutor(2) as threads, psycopg.connect(store.database.url, autocommit=True) as looks:
        one = threads.submit(links[0].run, then_wait)
        did.get(timeout=PATIENCE_SECONDS)
        other = threads.submit(links[1].run, second)
        while looks.execute(WAITING).fetchone() == (0,) and not other.done():
            pass
        may_commit.put(None)
        for running, fails in ((one, None), (other, refused)):
            ((answer,), _) = running.result(PATIENCE_SECONDS)
            assert (type(answer.error) if answer.error is not None else None) is fails
    for link in links:
        link.close()
