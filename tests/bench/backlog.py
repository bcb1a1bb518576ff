"""What a message costs when many wait before it: the last SLICE of MESSAGES, over the first SLICE.

The default installation, one process on SQLite, and nobody at work: every session waits in the queue, and stays there. Visitors come
one group after another and write MESSAGES_EACH each, so that every slice opens as many sessions as any other.
The first slice finds an empty queue, the last one 45,000 messages of 2,250 visitors.

The cost is the server's CPU time, from a slice's first message until all of it is stored, decided, and its senders have been told that
nobody is there. Time on the clock would be the load's as much as the server's, which share two cores; and what a growing queue makes
dearer is work, not waiting. Before the first slice others have written: a process that is warm is compared with itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import uvloop
from sqlalchemy import func, select

from broker.inbound import undecided
from broker.ports import Tx
from broker.store.sql import sql
from broker.store.sqlite import read_once
from broker.store.tables import outbox, pool_marks, sessions
from tests.bench.measure import BenchError, Report, cpu_seconds, median, progress
from tests.bench.pipeline import WORDS
from tests.bench.product import ProductServer, ProductSubject
from tests.bench.visitor import allow_files
from tests.bench.wsclient import WebSocketError

MESSAGES = 50_000
SLICE = 5_000
MESSAGES_EACH = 20
WARM_UP = 1_000
ROUNDS = 3
SLICE_SECONDS = 120.0
LOOK_SECONDS = 0.1
QUIET_LOOKS = 5
"""So often in a row there must be nothing left to do."""

_WAITING = sql(select(func.count()).select_from(sessions).where(sessions.c.status == "queued"))
_MARKS = sql(select(func.count()).select_from(pool_marks))
_UNSENT = sql(select(func.count()).select_from(outbox).where((outbox.c.state == "queued") | (outbox.c.state == "sending")))


def run(report: Report) -> None:
    """Report `backlog_growth_ratio`."""
    report("backlog_growth_ratio", median([growth_ratio() for _ in range(ROUNDS)]), "x")


def growth_ratio(messages: int = MESSAGES, slice_: int = SLICE, warm_up: int = WARM_UP) -> float:
    """Return the cost of the last *slice_* of *messages* over that of the first, in a fresh house."""
    allow_files((messages + warm_up) // MESSAGES_EACH + 500)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        costs = runner.run(costs_of_slices(messages, slice_, warm_up))
    progress("   ms of CPU a slice: " + ", ".join(f"{seconds * 1000:,.0f}" for seconds in costs))
    return costs[-1] / costs[0]


async def costs_of_slices(messages: int, slice_: int, warm_up: int) -> list[float]:
    """Let the queue grow to *messages*, a slice at a time; return the seconds of CPU of each."""
    subject = ProductSubject()
    subject.operators = 1  # who never comes
    queue = Queue(subject)
    try:
        await subject.start()
        await subject.connect_visitors((messages + warm_up) // MESSAGES_EACH)
        await queue.grow(warm_up)
        return [await queue.grow(slice_) for _ in range(messages // slice_)]
    except (OSError, WebSocketError) as error:
        raise BenchError(f"product: a client could not connect: {error!r}") from error
    finally:
        await subject.stop()


class Queue:
    """The visitors of a house where nobody answers."""

    def __init__(self, subject: ProductSubject) -> None:
        self._subject = subject
        self._written = 0
        """By all visitors; each has written MESSAGES_EACH before the next begins."""
        self._failure = ""
        subject.on_failure = self._fail

    async def grow(self, count: int) -> float:
        """Let visitors who have not written yet write *count* messages; return the seconds of CPU that the server took."""
        server = self._server
        begun = cpu_seconds(server.running.pid)
        first, visitors = self._written // MESSAGES_EACH, count // MESSAGES_EACH
        for number in range(MESSAGES_EACH):
            for visitor in range(first, first + visitors):
                self._subject.visitor_send(visitor, f"{visitor:05d} {WORDS} {number:06d}")
            if not number:
                # Whoever says more before the first words are stored begins a conversation with each, and of those an address has few.
                await self._until(lambda: not self._subject.unacknowledged())
        self._written += count
        await self._until_quiet()
        return cpu_seconds(server.running.pid) - begun

    @property
    def _server(self) -> ProductServer:
        assert isinstance(self._subject.product, ProductServer)
        return self._subject.product

    async def _until_quiet(self) -> None:
        """Return when everything written is stored, decided and answered, and everybody waits."""
        database = self._server.database
        looks = 0

        def quiet() -> bool:
            nonlocal looks
            left = self._subject.unacknowledged() or read_once(database, left_to_do)
            looks = 0 if left else looks + 1
            return looks == QUIET_LOOKS

        await self._until(quiet)
        waiting, written = read_once(database, waiting_sessions), self._written // MESSAGES_EACH
        if waiting != written:
            raise BenchError(f"product: {waiting} sessions wait where {written} visitors have written")

    async def _until(self, done: Callable[[], bool]) -> None:
        """Look again and again until *done*; raise BenchError when something failed, or after SLICE_SECONDS."""
        for _ in range(round(SLICE_SECONDS / LOOK_SECONDS)):
            await asyncio.sleep(LOOK_SECONDS)
            if self._failure:
                raise BenchError(f"product: {self._failure}")
            if done():
                return
        raise BenchError(f"product: after {SLICE_SECONDS:g} s there was still something to do")

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why


def left_to_do(tx: Tx) -> bool:
    """Return whether anything is undecided, undistributed or unsent."""
    counts = [tx.one(statement) for statement in (_MARKS, _UNSENT)]
    return bool(undecided(tx)) or any(row is None or row[0] for row in counts)


def waiting_sessions(tx: Tx) -> int:
    """Return how many sessions wait."""
    row = tx.one(_WAITING)
    return int(row[0]) if row else 0
