"""What may run once in the house: one holder, fenced by its token, taken over when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.errors import LeaseLost, StoreBusy
from broker.leases import LEASE_SECONDS, RENEW_SECONDS, TRY_SECONDS, Fence, Lease, Leases, Run, give_up, held, hold, renew, take
from broker.ports import Tx
from broker.store import processes
from broker.store.postgres import Link
from broker.store.processes import DEAD_SECONDS, Process
from broker.store.secret_keys import key_of
from tests.support.clock import CountedIds, MovedClock
from tests.support.store import MemoryStore, PostgresMemory, open_store, plain


def _store() -> tuple[MemoryStore, MovedClock]:
    clock = MovedClock()
    return MemoryStore(clock), clock


def _taken(store: MemoryStore, name: str, holder: str) -> Lease:
    lease = store.write(lambda tx: take(tx, name, holder))
    assert lease is not None
    return lease


def test_one_holds_and_the_other_waits():
    """Whoever comes second has nothing while the first renews."""
    store, clock = _store()
    first = _taken(store, "timers", "a")
    assert first == Lease("timers", 1)

    for _ in range(3):
        clock.move(LEASE_SECONDS - 0.001)
        assert store.write(lambda tx: take(tx, "timers", "b")) is None
        assert store.write(lambda tx: renew(tx, first)) is True
    assert store.write(lambda tx: take(tx, "crm", "b")) == Lease("crm", 1)


def test_a_dead_holders_lease_is_taken_over_and_its_work_refused():
    """The token grows: the dead one, should it wake, commits nothing and renews nothing."""
    store, clock = _store()
    first = _taken(store, "timers", "a")
    clock.move(LEASE_SECONDS)
    second = store.write(lambda tx: take(tx, "timers", "b"))
    assert second == Lease("timers", 2)

    def late_work(tx: Tx) -> None:
        key_of(tx, "written by a zombie", 32)
        hold(tx, first)

    with pytest.raises(LeaseLost, match="timers"):
        store.write(late_work)
    assert store.rows("SELECT name FROM secrets") == []
    assert store.write(lambda tx: renew(tx, first)) is False
    store.write(lambda tx: give_up(tx, first))
    store.write(lambda tx: hold(tx, second))
    assert [(name, holder, token) for name, holder, token, _ in store.read(held)] == [("timers", "b", 2)]


@pytest.mark.parametrize(("back", "token"), [(LEASE_SECONDS, None), (300.0, 2)])
def test_a_dead_holders_lease_does_not_last_because_the_clock_was_set_back(back: float, token: int | None):
    """A standby took over whose clock is behind: nobody who lives holds a lease for so long."""
    store, clock = _store()
    _taken(store, "timers", "a")
    clock.set(clock.now() - timedelta(seconds=back))

    assert store.write(lambda tx: take(tx, "timers", "b")) == (Lease("timers", token) if token else None)


def test_what_is_given_up_is_anybodys_at_once():
    """A process that ends in order keeps nobody waiting, not even by a renewal that it had asked for and that comes late."""
    store, _ = _store()
    first = _taken(store, "timers", "a")
    store.write(lambda tx: give_up(tx, first))
    assert store.write(lambda tx: renew(tx, first)) is False

    assert store.write(lambda tx: take(tx, "timers", "b")) == Lease("timers", 3)
    with pytest.raises(LeaseLost):
        store.write(lambda tx: hold(tx, first))


def test_nobody_takes_over_in_the_middle_of_fenced_work():
    """A holder whose time is over, but whom nobody has followed, keeps everybody out to the end of the transaction that has asked."""
    clock = MovedClock()
    store = PostgresMemory(clock)
    first = store.write(lambda tx: take(tx, "timers", "a"))
    assert first is not None
    clock.move(LEASE_SECONDS)
    other = Link(store.database.url, "test", CountedIds(1 << 20), clock)

    def take_over(tx: Tx) -> Lease | None:
        plain(tx, "SET LOCAL lock_timeout = '200ms'")
        return take(tx, "timers", "b")

    def fenced(tx: Tx) -> type[BaseException] | None:
        hold(tx, first)
        ((answer,), _) = other.run(take_over)
        return type(answer.error) if answer.error is not None else None

    try:
        assert store.write(fenced) is StoreBusy
        assert [answer.value for answer in other.run(take_over)[0]] == [Lease("timers", 2)]
    finally:
        other.close()


class Asked:
    """A store that knows how many are waiting for its answers."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._waiting = 0

    async def write(self, work: Any) -> Any:
        """See `Store.write`."""
        return await self._wait(self._store.write(work))

    async def read(self, work: Any) -> Any:
        """See `Store.read`."""
        return await self._wait(self._store.read(work))

    async def write_each(self, work: Any, item: Any) -> Any:
        """See `Store.write_each`."""
        return await self._wait(self._store.write_each(work, item))

    async def _wait(self, answer: Any) -> Any:
        self._waiting += 1
        try:
            return await answer
        finally:
            self._waiting -= 1

    async def quiet(self) -> None:
        """Wait until nobody waits for an answer, nor asks anything because of one."""
        for _ in range(5):
            await self._store.read(lambda tx: None)
            while self._waiting:
                await self._store.read(lambda tx: None)


class Hall:
    """Two processes on one store whose sleeps move one clock, one after the other."""

    def __init__(self, store: Any, clock: MovedClock) -> None:
        self.clock = clock
        self.store = Asked(store)
        self.paused: set[str] = set()
        self.refused: set[str] = set()
        """Whom the store does nothing for: their way to the database is broken."""
        self.unanswered: set[str] = set()
        """Whom it never answers."""
        self.running: dict[str, Fence] = {}
        self.changed = asyncio.Event()
        self.waiting: list[tuple[Any, str, asyncio.Future[None]]] = []

    def leases(self, process: str) -> Leases:
        return Leases(Own(self, process), self.clock, process, lambda seconds: self._sleep(process, seconds))  # type: ignore[arg-type]

    async def _sleep(self, process: str, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self.waiting.append((self.clock.now() + timedelta(seconds=seconds), process, future))
        await future

    def run(self, process: str) -> Run:
        async def work(fence: Fence) -> None:
            self.running[process] = fence
            self.changed.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                del self.running[process]
                self.changed.set()

        return work

    @asynccontextmanager
    async def a_before_b(self) -> AsyncIterator[None]:
        """Let a have the lease, and b wait for it."""
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(self.leases("a").run("timers", self.run("a")))
            while "a" not in self.running:
                await self.pass_time(0.5)
            second = tasks.create_task(self.leases("b").run("timers", self.run("b")))
            yield
            first.cancel()
            second.cancel()

    async def pass_time(self, seconds: float) -> None:
        """Let time go on in small steps, and everybody who is not paused with it."""
        for _ in range(round(seconds / 0.5)):
            self.clock.move(0.5)
            due = [one for one in self.waiting if one[0] <= self.clock.now() and one[1] not in self.paused]
            self.waiting = [one for one in self.waiting if one not in due]
            for _, _, future in due:
                if not future.done():
                    future.set_result(None)
            await self.store.quiet()


class Own:
    """The store as one process has it."""

    def __init__(self, hall: Hall, process: str) -> None:
        self._hall = hall
        self._process = process

    async def write(self, work: Callable[[Tx], Any]) -> Any:
        """See `Store.write`."""
        if self._process in self._hall.refused:
            raise StoreBusy("the database does not answer; try again in a moment")
        if self._process in self._hall.unanswered:
            await asyncio.get_running_loop().create_future()
        return await self._hall.store.write(work)


def played(tmp_path: Path, story: Callable[[Hall], Awaitable[None]]) -> None:
    """Play *story* on the shipped store."""

    async def whole() -> None:
        clock = MovedClock()
        store = open_store(tmp_path, clock=clock)
        try:
            await story(Hall(store, clock))
        finally:
            await store.close()

    asyncio.run(whole())


def test_a_process_that_stands_still_is_taken_over_within_ten_seconds(tmp_path: Path):
    """It runs in one process at a time; the one that stood still stops by itself when it wakes, and its work is refused before that."""

    async def story(hall: Hall) -> None:
        async with hall.a_before_b():
            await hall.pass_time(20)
            assert set(hall.running) == {"a"}

            zombie = hall.running["a"]
            hall.paused.add("a")
            await hall.pass_time(LEASE_SECONDS + TRY_SECONDS + 0.5)
            assert set(hall.running) == {"a", "b"}  # it believes so still
            with pytest.raises(LeaseLost):
                await hall.store.write(zombie)
            await hall.store.write(hall.running["b"])

            hall.paused.clear()
            await hall.pass_time(RENEW_SECONDS)
            assert set(hall.running) == {"b"}

    assert LEASE_SECONDS + TRY_SECONDS < 10
    played(tmp_path, story)


def test_work_goes_on_while_the_store_refuses_until_the_lease_has_ended(tmp_path: Path):
    """Nobody takes over before that, and nobody can be asked after it: it stops by itself, and is there again when the store is."""

    async def story(hall: Hall) -> None:
        running = asyncio.create_task(hall.leases("a").run("timers", hall.run("a")))
        while "a" not in hall.running:
            await hall.pass_time(0.5)
        hall.refused.add("a")

        await hall.pass_time(LEASE_SECONDS - 0.5)
        assert set(hall.running) == {"a"}
        assert await hall.store.write(lambda tx: take(tx, "timers", "b")) is None
        await hall.pass_time(0.5)
        assert (set(hall.running), running.done()) == (set(), False)

        hall.refused.clear()
        await hall.pass_time(TRY_SECONDS)
        assert set(hall.running) == {"a"}
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    played(tmp_path, story)


def test_who_gets_no_answer_stops_when_the_lease_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One connection hangs and all others go on: whoever takes over is alone."""
    monkeypatch.setattr("broker.leases.GIVE_UP_SECONDS", 0.0)

    async def story(hall: Hall) -> None:
        async with hall.a_before_b():
            hall.unanswered.add("a")
            await hall.pass_time(LEASE_SECONDS - 0.5)
            assert set(hall.running) == {"a"}
            await hall.pass_time(0.5 + TRY_SECONDS)
            assert set(hall.running) == {"b"}

    played(tmp_path, story)


def test_a_store_that_refuses_for_a_moment_costs_nobody_their_lease(tmp_path: Path):
    """It is asked again in time: the work goes on under the same token."""

    async def story(hall: Hall) -> None:
        async with hall.a_before_b():
            hall.refused.add("a")
            await hall.pass_time(LEASE_SECONDS - RENEW_SECONDS - 0.5)
            hall.refused.clear()
            await hall.pass_time(3 * LEASE_SECONDS)

            assert set(hall.running) == {"a"}
            assert [(holder, token) for _, holder, token, _ in await hall.store.read(held)] == [("a", 1)]

    played(tmp_path, story)


def test_who_cannot_ask_for_a_lease_asks_again(tmp_path: Path):
    """A store that refuses ends no process: what is nobody's is taken when it answers."""

    async def story(hall: Hall) -> None:
        hall.refused.add("a")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(hall.leases("a").run("timers", hall.run("a")))
            await hall.pass_time(3 * TRY_SECONDS)
            assert set(hall.running) == set()
            hall.refused.clear()
            await hall.pass_time(TRY_SECONDS)

            assert set(hall.running) == {"a"}
            running.cancel()

    played(tmp_path, story)


def test_work_that_is_refused_by_its_fence_ends_nobodys_process(tmp_path: Path):
    """Who slept learns from its own work that another has taken over, before it asks for more time: it waits for its next turn."""

    async def story(hall: Hall) -> None:
        woken = asyncio.Event()
        begun = []

        async def work(fence: Fence) -> None:
            begun.append(fence)
            await woken.wait()
            await hall.store.write(fence)

        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(hall.leases("a").run("timers", work))
            while not begun:
                await hall.pass_time(0.5)
            second = tasks.create_task(hall.leases("b").run("timers", hall.run("b")))
            hall.paused.add("a")
            await hall.pass_time(LEASE_SECONDS + TRY_SECONDS)
            assert set(hall.running) == {"b"}
            woken.set()
            await hall.pass_time(0.5)
            woken.clear()
            assert len(begun) == 1

            second.cancel()
            hall.paused.clear()
            await hall.pass_time(TRY_SECONDS)
            assert len(begun) == 2
            await hall.store.write(begun[1])
            first.cancel()

    played(tmp_path, story)


def test_a_process_that_ends_gives_up_what_it_holds(tmp_path: Path):
    """The next one need not wait for the lease's end."""

    async def story(hall: Hall) -> None:
        first = asyncio.create_task(hall.leases("a").run("crm", hall.run("a")))
        while "a" not in hall.running:
            await hall.pass_time(0.5)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(hall.leases("b").run("crm", hall.run("b")))
        await hall.pass_time(0.5)

        assert set(hall.running) == {"b"}
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)

    played(tmp_path, story)


def test_what_fails_by_itself_comes_through(tmp_path: Path):
    """A loop's own error is its process's, and the lease is free for others."""

    async def story(hall: Hall) -> None:
        async def broken(fence: Fence) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await hall.leases("a").run("crm", broken)
        assert await hall.store.write(lambda tx: take(tx, "crm", "b")) == Lease("crm", 3)

    played(tmp_path, story)


# --- who runs


def test_a_process_that_says_nothing_is_taken_for_dead():
    """The others bury it, once; should it only have slept, it learns so and is there again."""
    store, clock = _store()
    a, b = (Process(name, "all", "here", 1, "1", 0, 0) for name in ("a", "b"))
    for one in (a, b):
        store.write(lambda tx, one=one: processes.enter(tx, one))  # type: ignore[misc]
    clock.move(DEAD_SECONDS)
    assert store.write(lambda tx: processes.seen(tx, b)) == (True, [])
    clock.move(0.001)

    assert store.write(lambda tx: processes.seen(tx, b)) == (True, ["a"])
    assert store.write(lambda tx: processes.seen(tx, b)) == (True, [])
    assert [one.id for one in store.read(processes.alive)] == ["b"]
    assert store.write(lambda tx: processes.seen(tx, a)) == (False, [])
    assert {one.id for one in store.read(processes.alive)} == {"a", "b"}
    store.write(lambda tx: processes.leave(tx, "b"))
    assert [one.id for one in store.read(processes.alive)] == ["a"]


def test_who_was_seen_in_time_to_come_is_taken_for_dead():
    """The clock was set back since: whoever lives says so again soon, and the others would seem to live for as long as that."""
    store, clock = _store()
    a, b = (Process(name, "all", "here", 1, "1", 0, 0) for name in ("a", "b"))
    for one in (a, b):
        store.write(lambda tx, one=one: processes.enter(tx, one))  # type: ignore[misc]
    clock.set(clock.now() - timedelta(minutes=5))

    assert store.write(lambda tx: processes.seen(tx, b)) == (True, ["a"])
    assert store.write(lambda tx: processes.seen(tx, a)) == (False, [])
    assert {one.id for one in store.read(processes.alive)} == {"a", "b"}


def test_who_is_alone_buries_everybody_else():
    """The lock of the data folder says that nobody else runs."""
    store, _ = _store()
    for name in ("a", "b"):
        store.write(lambda tx, name=name: processes.enter_alone(tx, Process(name, "all", "here", 1, "1", 0, 0)))  # type: ignore[misc]

    assert [one.id for one in store.read(processes.alive)] == ["b"]


def test_a_key_of_the_house_is_made_once():
    """Whoever asks finds the first one's."""
    store, _ = _store()
    made = store.write(lambda tx: key_of(tx, "visitors", 32))

    assert len(made) == 32
    assert store.write(lambda tx: key_of(tx, "visitors", 32)) == made
    assert store.write(lambda tx: key_of(tx, "others", 16)) != made[:16]
