"""Deadlines that survive a restart."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import cast

import psycopg
import pytest

from broker.domain import to_us
from broker.errors import LeaseLost, NotFound
from broker.leases import free
from broker.ports import Bell, Tx
from broker.timers import Enter, TimerFailed, TimerLoop, cancel_timer, earliest, fire_due, set_timer
from broker.transport.memory import MemoryTransport
from tests.crm_bridge.house import House
from tests.support.clock import MINUTE, NOON, SECOND, MovedClock
from tests.support.store import MemoryStore, PostgresMemory, open_store, plain


class Timed(MemoryStore):
    """A store at noon, and the clock it stands on."""

    def __init__(self) -> None:
        self.clock: MovedClock = MovedClock()
        super().__init__(self.clock)


class Entered:
    """Where due timers go: a kind of owner that keeps what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.ids: list[str] = []

    def __call__(self, tx: Tx, owner: str, timer: str, event: str) -> None:
        self.seen.append((owner, event))
        self.ids.append(timer)


@pytest.fixture
def store() -> Timed:
    """Return an empty store at noon."""
    return Timed()


def put(store: Timed, name: str, due: datetime, owner: str = "c1", event: str = "") -> None:
    """Set a conversation's timer."""
    store.write(lambda tx: set_timer(tx, "conversation", owner, name, due, event or name))


def fire(store: Timed) -> list[tuple[str, str]]:
    """Fire what is due and return it."""
    entered = Entered()
    store.write(lambda tx: fire_due(tx, {"conversation": entered}))
    return entered.seen


def test_a_timer_falls_due_at_its_moment_and_once(store: Timed):
    """Not a microsecond before; and then it is gone."""
    put(store, "offer", NOON + MINUTE)
    store.clock.move(59.999999)
    assert fire(store) == []
    store.clock.move(0.000001)
    assert fire(store) == [("c1", "offer")]
    assert fire(store) == []


def test_what_is_due_is_entered_oldest_first(store: Timed):
    """After a stop of an hour the deadlines come in their order."""
    for name, due in (("c", 3), ("a", 1), ("b", 2)):
        put(store, name, NOON + due * SECOND)
    store.clock.move(3600)

    assert [event for _, event in fire(store)] == ["a", "b", "c"]


def test_setting_a_timer_again_moves_it(store: Timed):
    """One timer for each owner and name; the new one has its own id, so that it is another input when it falls due."""
    put(store, "offer", NOON + SECOND, event="first")
    (before,) = store.rows("SELECT id FROM timers")
    put(store, "offer", NOON + MINUTE, event="second")
    (after,) = store.rows("SELECT id FROM timers")
    store.clock.move(2)

    assert before != after
    assert fire(store) == []
    store.clock.move(60)
    assert fire(store) == [("c1", "second")]


def test_a_cancelled_timer_does_nothing(store: Timed):
    """Only its own name of its own owner is cancelled; cancelling what is not there is no fault."""
    for owner, name in (("c1", "offer"), ("c1", "round"), ("c2", "offer")):
        put(store, name, NOON, owner=owner)
    store.write(lambda tx: cancel_timer(tx, "conversation", "c1", "offer"))
    store.write(lambda tx: cancel_timer(tx, "conversation", "c3", "offer"))

    assert sorted(fire(store)) == [("c1", "round"), ("c2", "offer")]


def test_a_timer_whose_entering_fails_is_still_there(store: Timed):
    """Removing it and entering its event is one transaction."""
    put(store, "offer", NOON)

    def broken(tx: Tx, owner: str, timer: str, event: str) -> None:
        raise RuntimeError(event)

    with pytest.raises(TimerFailed):
        store.write(lambda tx: fire_due(tx, {"conversation": broken}))

    assert fire(store) == [("c1", "offer")]


def test_a_timer_that_cannot_be_entered_holds_up_nobody(tmp_path: Path):
    """It is tried again in a minute; meanwhile the others fall due."""

    async def body() -> tuple[list[tuple[str, str]], list[tuple[str]]]:
        transport = MemoryTransport()
        store = open_store(tmp_path, clock=MovedClock(), ring=transport.ring)
        entered, done = Entered(), asyncio.Event()

        def enter(tx: Tx, owner: str, timer: str, event: str) -> None:
            if owner == "c1":
                raise RuntimeError(event)
            entered(tx, owner, timer, event)
            tx.ring(Bell.NEWS)

        stop = transport.listen(Bell.NEWS, lambda _: done.set())
        await store.write(lambda tx: set_timer(tx, "conversation", "c1", "first", NOON - SECOND, "broken"))
        await store.write(lambda tx: set_timer(tx, "conversation", "c2", "then", NOON, "sound"))
        loop = asyncio.create_task(TimerLoop(store, transport, {"conversation": enter}, free).run())
        await asyncio.wait_for(done.wait(), 10)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        stop()
        left = await store.read(lambda tx: list(plain(tx, "SELECT owner_id FROM timers").fetchall()))
        await store.close()
        return entered.seen, left

    assert asyncio.run(body()) == ([("c2", "sound")], [("c1",)])


def after_the_loss(tmp_path: Path, enter: Enter, *, transactions: int) -> list[tuple[str, int]]:
    """Have the loop's lease taken over after its first *transactions*, with a timer that is due; return the timers that are left."""
    left = iter(range(transactions))

    def fence(tx: Tx) -> None:
        if next(left, None) is None:
            raise LeaseLost("timers")

    async def body() -> list[tuple[str, int]]:
        transport = MemoryTransport()
        store = open_store(tmp_path, clock=MovedClock(), ring=transport.ring)
        try:
            await store.write(lambda tx: set_timer(tx, "conversation", "c1", "offer", NOON, "offer"))
            with pytest.raises(LeaseLost):
                await asyncio.wait_for(TimerLoop(store, transport, {"conversation": enter}, fence).run(), 10)
            return await store.read(lambda tx: list(plain(tx, "SELECT owner_id, due_us FROM timers").fetchall()))
        finally:
            await store.close()

    return asyncio.run(body())


def test_a_loop_that_has_lost_the_lease_fires_nothing(tmp_path: Path):
    """What is due is for whoever took over; the loop ends."""
    entered = Entered()

    assert after_the_loss(tmp_path, entered, transactions=0) == [("c1", to_us(NOON))]
    assert entered.seen == []


def test_a_loop_that_has_lost_the_lease_puts_nothing_off(tmp_path: Path):
    """What it could not enter may be no trouble to whoever took over: it stays due."""

    def broken(tx: Tx, owner: str, timer: str, event: str) -> None:
        raise RuntimeError(event)

    assert after_the_loss(tmp_path, broken, transactions=1) == [("c1", to_us(NOON))]


def test_timers_of_a_conversation_that_somebody_has_in_hand_hold_up_no_others():
    """Their process may stand still, with the lock, until the database ends its transaction: deadlines of all others are kept."""
    house = House(cast(type[MemoryStore], PostgresMemory))
    site = house.channel(house.line())
    store = cast(PostgresMemory, house.store)
    held, others = house.say(site, "v1", "hello"), house.say(site, "v2", "good day")
    for conversation in (held, others):
        house.do(lambda tx, whose=conversation: set_timer(tx, "conversation", whose, "offer", tx.now, "offer"))  # type: ignore[misc]
    entered = Entered()
    enter = {"conversation": entered}

    with psycopg.connect(store.database.url) as frozen:
        frozen.execute("SELECT id FROM conversations WHERE id = %s FOR NO KEY UPDATE", [held])
        assert [house.do(lambda tx: fire_due(tx, enter)) for _ in range(2)] == [1, 0]
        assert entered.seen == [(others, "offer")]
    assert house.do(lambda tx: fire_due(tx, enter)) == 1
    assert [owner for owner, _ in entered.seen] == [others, held]


def test_of_two_who_set_a_timer_at_once_the_last_has_the_word():
    """One fires it and sets it anew while the other moves it: whoever waited does not see the new one, and sets it all the same."""
    store = PostgresMemory()
    store.write(lambda tx: set_timer(tx, "line", "l1", "hours", NOON, "{}"))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(store.database.url) as first, psycopg.connect(store.database.url, autocommit=True) as looks:
        first.execute("DELETE FROM timers")
        first.execute(
            "INSERT INTO timers (id, owner_kind, owner_id, name, due_us, event) VALUES ('t2', 'line', 'l1', 'hours', 7, '{}')"
        )
        with ThreadPoolExecutor(1) as other:
            second = other.submit(store.write, lambda tx: set_timer(tx, "line", "l1", "hours", NOON + MINUTE, "{}"))
            while looks.execute(waiting).fetchone() == (0,) and not second.done():
                pass
            first.commit()
            second.result(10)

    assert [(to_us(NOON + MINUTE),)] == store.rows("SELECT due_us FROM timers")


def test_the_earliest_is_known(store: Timed):
    """The loop sleeps to it; None when there is none."""
    assert store.write(earliest) is None
    put(store, "b", NOON + MINUTE)
    put(store, "a", NOON + SECOND)

    assert store.write(earliest) == NOON + SECOND


def test_setting_rings(store: Timed):
    """With the moment, so that the loop need not look up one that falls due after what it sleeps to."""
    put(store, "offer", NOON)

    assert store.rung == [(Bell.TIMERS, str(to_us(NOON)))]


def test_the_loop_fires_what_is_due_when_it_is_rung(tmp_path: Path):
    """A timer set for now is entered at once, without waiting for the sweep."""

    async def body() -> list[tuple[str, str]]:
        transport = MemoryTransport()
        clock = MovedClock()
        store = open_store(tmp_path, clock=clock, ring=transport.ring)
        done = asyncio.Event()
        entered = Entered()

        def enter(tx: Tx, owner: str, timer: str, event: str) -> None:
            entered(tx, owner, timer, event)
            tx.ring(Bell.NEWS)

        stop = transport.listen(Bell.NEWS, lambda _: done.set())
        loop = asyncio.create_task(TimerLoop(store, transport, {"conversation": enter}, free).run())
        await store.write(lambda tx: set_timer(tx, "conversation", "c1", "later", NOON + MINUTE, "later"))
        await store.write(lambda tx: set_timer(tx, "conversation", "c1", "now", NOON, "now"))
        await asyncio.wait_for(done.wait(), 10)
        loop.cancel()
        stop()
        await store.close()
        return entered.seen

    assert asyncio.run(body()) == [("c1", "now")]


def test_a_timer_without_owner_holds_up_nobody(store: Timed):
    """A timer whose conversation is gone, or of a kind nobody knows, is removed; the others are entered."""
    entered = Entered()

    def gone(tx: Tx, owner: str, timer: str, event: str) -> None:
        raise NotFound(owner)

    def set_all(tx: Tx) -> None:
        for kind, owner in (("gone", "a"), ("unknown", "b"), ("known", "c")):
            set_timer(tx, kind, owner, "tick", NOON, "event")

    store.write(set_all)
    fired = 0
    while one := store.write(lambda tx: fire_due(tx, {"gone": gone, "known": entered})):
        fired += one

    assert (3, [("c", "event")]) == (fired, entered.seen)
    assert store.rows("SELECT * FROM timers") == []
