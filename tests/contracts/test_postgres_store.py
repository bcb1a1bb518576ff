"""What the store on PostgreSQL promises beside what every store does, on a server that keeps what it commits, as in earnest.

Whatever becomes of a connection or of the server: each write happens once and is answered truly, and nobody waits for ever.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, TypeVar
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy import bindparam, func, select, update

import broker.store.postgres
from broker.clock import SystemClock, SystemIds
from broker.errors import ConfigError, StoreBusy, StoreClosed, StoreFull, StoreUncertain
from broker.ports import Bell, Tx
from broker.store.postgres import Link, PostgresStore, read_once, refuse_unsafe
from broker.store.sql import adhoc, insert_row, insert_rows, postgresql_only, sql
from broker.store.tables import counters
from tests.support.clock import NOON, MovedClock
from tests.support.postgres import DISK_FULL, Server, wait_until
from tests.support.proxy import Break, Proxy

T = TypeVar("T")

ADD = insert_row(counters, "name value")
ADD_EACH = insert_rows(counters, "name value")
BACKEND = postgresql_only(select(func.pg_backend_pid()))
BUMP = sql(update(counters).values(value=counters.c.value + 1).where(counters.c.name == bindparam("name")))
GET = sql(select(counters.c.value).where(counters.c.name == bindparam("name")))
NAMES = sql(select(counters.c.name).order_by(counters.c.value, counters.c.name))
WAIT_SECONDS = 60.0
"""For what must come; a test that runs into it has failed."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Return a server that waits for the disk, and writes nothing to it that nobody waits for."""
    made = Server(durable=True, deadlock_timeout="50ms", wal_writer_delay="10s")
    yield made
    made.remove()


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """Return the name of a migrated, empty database."""
    name = server.migrated()
    yield name
    server.drop(name)


@pytest.fixture
def url(server: Server, database: str) -> str:
    """Return its address."""
    return server.url(database)


@contextmanager
def wire(server: Server) -> Iterator[Proxy]:
    """Return a wire to *server* that breaks on order."""
    made = Proxy(server.port)
    try:
        yield made
    finally:
        made.close()


def play(url: str, body: Callable[[PostgresStore], Awaitable[T]], **parts: Any) -> T:
    """Run *body* with a shipped store on the database at *url*."""

    async def whole() -> T:
        given: dict[str, Any] = {
            "ids": SystemIds(),
            "ring": lambda bells: None,
            "clock": MovedClock(),
            "writers": 2,
            "readers": 2,
        }
        store = PostgresStore(url, **(given | parts))
        try:
            return await asyncio.wait_for(_awaited(body(store)), WAIT_SECONDS)
        finally:
            await asyncio.wait_for(store.close(), WAIT_SECONDS)

    return asyncio.run(whole())


async def _awaited(what: Awaitable[T]) -> T:
    return await what


def told(answer: Any) -> Any:
    """Return the kind of an error, and anything else as it is."""
    return type(answer) if isinstance(answer, BaseException) else answer


def add(name: str, value: int = 0) -> Callable[[Tx], str]:
    """Return a transaction that adds a counter, rings for it, and answers with its name."""

    def work(tx: Tx) -> str:
        tx.run(ADD, name=name, value=value)
        tx.ring(Bell.NEWS, name)
        return name

    return work


def add_each(tx: Tx, names: Sequence[str]) -> list[str]:
    """Add a counter for each, and answer with its name."""
    tx.each(ADD_EACH, [(name, 1) for name in names])
    return list(names)


def names(tx: Tx) -> list[str]:
    """Return every counter's name, by value."""
    return [row[0] for row in tx.all(NAMES)]


class Counting:
    """A transaction that adds a counter whose value, and answer, is how often it has been run."""

    def __init__(self, name: str, meanwhile: Callable[[int], None] = lambda run: None) -> None:
        self.name = name
        self.runs = 0
        self._meanwhile = meanwhile

    def __call__(self, tx: Tx) -> int:
        self.runs += 1
        tx.run(ADD, name=self.name, value=self.runs)
        tx.ring(Bell.NEWS, self.name)
        self._meanwhile(self.runs)
        tx.one(GET, name=self.name)
        return self.runs


def kill(server: Server, database: str) -> None:
    """End every connection of a store, as an administrator may."""
    server.run(f"SELECT pg_terminate_backend(pid, 10000) {_OF_A_STORE.format(database)}")


_OF_A_STORE = "FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE 'omniline %'"


async def when_it_can(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again and again while the store refuses; return the answer."""
    while True:
        try:
            return await ask()
        except StoreBusy:
            continue


# --- a connection that is lost


def test_a_connection_that_was_lost_while_nobody_needed_it_is_made_again(server: Server, database: str, url: str):
    """Whoever asks next does not notice."""

    async def body(store: PostgresStore):
        await asyncio.gather(*(store.write(add(f"{n}", n)) for n in range(4)), store.read(names), store.read(names))
        await asyncio.to_thread(kill, server, database)
        asked = [store.write(add(f"{n}", n)) for n in range(4, 8)]
        return await asyncio.gather(*asked), await store.read(names)

    answers, kept = play(url, body)
    assert answers == [f"{n}" for n in range(4, 8)]
    assert kept == [f"{n}" for n in range(8)]


def test_a_transaction_whose_connection_is_lost_is_run_again(server: Server, database: str, url: str):
    """Nothing of the first time has happened; the answer and the bell are those of the second, once."""
    bells: list[tuple[Bell, str]] = []
    work = Counting("a", lambda run: kill(server, database) if run == 1 else None)

    async def body(store: PostgresStore):
        return await store.write(work), await store.read(lambda tx: tx.one(GET, name="a"))

    assert play(url, body, ring=bells.extend) == (2, (2,))
    assert bells == [(Bell.NEWS, "a")]


def test_a_reading_whose_connection_is_lost_is_run_again(server: Server, database: str, url: str):
    """On one snapshot, from its beginning."""
    runs = []

    def twice(tx: Tx) -> list[str]:
        runs.append(tx.all(NAMES))
        if len(runs) == 1:
            kill(server, database)
        return names(tx)

    async def body(store: PostgresStore):
        await store.write(add("a"))
        return await store.read(twice)

    assert play(url, body) == ["a"]
    assert len(runs) == 2


def test_who_stands_still_in_a_transaction_is_put_out_and_goes_on(server: Server, database: str, url: str):
    """The database does not wait for a process that sleeps; when it wakes, its transaction is run again."""
    connected = f"SELECT 1 {_OF_A_STORE.format(database)}"
    work = Counting("a", lambda run: wait_until(lambda: not server.run(connected)) if run == 1 else None)

    async def body(store: PostgresStore):
        return await store.write(work)

    limit = quote("-c idle_in_transaction_session_timeout=100ms")
    assert play(f"{url}?options={limit}", body, writers=1, readers=0) == 2


# --- a COMMIT whose answer is lost


@pytest.mark.parametrize(("fate", "runs"), [(Break.BEFORE, {2}), (Break.BEHIND, {1}), (Break.AT_ONCE, {1, 2})])
def test_a_commit_whose_answer_is_lost_has_happened_once(server: Server, database: str, fate: Break, runs: set[int]):
    """The database is asked what became of it: done is not done again, and what did not happen is."""
    bells: list[tuple[Bell, str]] = []
    work = Counting("a")

    async def body(store: PostgresStore, wire: Proxy):
        await store.write(add("before"))
        wire.breaks.append(fate)
        answer = await store.write(work)
        return answer, await store.read(lambda tx: tx.all(GET, name="a"))

    with wire(server) as made:
        answer, kept = play(made.url(database), lambda store: body(store, made), ring=bells.extend, writers=1)

    assert made.broken == 1
    assert work.runs in runs
    assert kept == [(work.runs,)] == [(answer,)]
    assert bells == [(Bell.NEWS, "before"), (Bell.NEWS, "a")]


COMMITS_SLOWLY = """
CREATE FUNCTION commits_slowly() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(1); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER commits_slowly AFTER INSERT ON counters DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.name = 'a') EXECUTE FUNCTION commits_slowly()
"""
"""Lets COMMIT itself take a second when the counter `a` was added."""


def test_a_commit_that_is_still_under_way_is_waited_for(server: Server, database: str):
    """Neither done nor undone: its answer is lost, and the server is at it for a second more; it is not done again."""
    server.run(COMMITS_SLOWLY, database)
    work = Counting("a")

    async def body(store: PostgresStore, wire: Proxy):
        await store.write(add("before"))
        wire.breaks.append(Break.AT_ONCE)
        began = time.monotonic()
        answer = await store.write(work)
        return answer, time.monotonic() - began, await store.read(lambda tx: tx.all(GET, name="a"))

    with wire(server) as made:
        answer, waited, kept = play(made.url(database), lambda store: body(store, made), writers=1)

    assert made.broken == 1
    assert (answer, work.runs, kept) == (1, 1, [(1,)])
    assert waited >= 1.0


def test_on_a_wire_that_breaks_again_and_again_everything_happens_once(server: Server, database: str):
    """Functions for themselves and items that share a call, by several writers."""
    chance = random.Random(7)
    bells: list[tuple[Bell, str]] = []
    wanted = [f"{number:02}" for number in range(80)]

    async def body(store: PostgresStore):
        asked = [store.write_each(add_each, name) if chance.random() < 0.5 else store.write(add(name)) for name in wanted]
        return await asyncio.gather(*asked), await store.read(names)

    with wire(server) as made:
        made.breaks.extend(chance.choices([*Break], k=40))
        answers, kept = play(made.url(database), body, ring=bells.extend, writers=3)

    assert answers == wanted
    assert sorted(kept) == wanted
    assert made.broken >= 10
    assert max(Counter(bells).values()) == 1


def test_who_cannot_learn_what_became_of_a_commit_says_so(server: Server, database: str, monkeypatch: pytest.MonkeyPatch):
    """Neither done nor undone is claimed; asked again, the repeat is recognised by what it wrote."""
    monkeypatch.setattr(broker.store.postgres, "OUTCOME_SECONDS", 0.3)

    async def body(store: PostgresStore, wire: Proxy):
        await store.write(add("before"))
        wire.breaks.append(Break.BEHIND)
        wire.closed.set()
        with pytest.raises(StoreUncertain, match=r"lost at the commit .* ask again"):
            await store.write(add("a", 1))
        wire.closed.clear()
        with pytest.raises(psycopg.errors.UniqueViolation):
            await store.write(add("a", 2))
        return await store.read(names)

    with wire(server) as made:
        assert play(made.url(database), lambda store: body(store, made), writers=1, readers=1) == ["before", "a"]


def test_nobody_waits_behind_who_asks_what_became_of_a_commit(server: Server, database: str):
    """That may take half a minute: what came after it is refused as at any standstill, and done when the server is back."""

    async def body(store: PostgresStore, wire: Proxy):
        await store.write(add("before"))
        wire.breaks.append(Break.BEHIND)
        wire.closed.set()
        lost = store.write(add("a", 1))
        behind = store.write(add("b", 2))
        began = time.monotonic()
        with pytest.raises(StoreBusy):
            await behind
        waited = time.monotonic() - began
        wire.closed.clear()
        await lost
        return waited, await store.read(names)

    with wire(server) as made:
        waited, kept = play(made.url(database), lambda store: body(store, made), writers=1, readers=1, patience_seconds=0.5)
    assert kept == ["before", "a"]
    assert waited < broker.store.postgres.OUTCOME_SECONDS / 2


# --- a server that goes


@pytest.mark.parametrize("patience_seconds", [0.1, 45.0])
def test_a_server_that_crashes_under_a_hundred_writes_loses_none_that_was_answered(
    server: Server, url: str, patience_seconds: float
):
    """What was answered is there once; what was refused is not; who was told that nobody knows may find it once."""
    fates: dict[str, Any] = {}
    many, crashed = asyncio.Event(), asyncio.Event()

    async def write_on(store: PostgresStore, who: int) -> None:
        after = 0
        for number in range(100_000):
            name = f"{who}-{number}"
            again = crashed.is_set()
            asked = store.write_each(add_each, name) if number % 3 else store.write(add(name))
            (answer,) = await asyncio.gather(asked, return_exceptions=True)
            fates[name] = answer
            after += again and answer == name
            if len(fates) >= 100:
                many.set()
            if after >= 5:
                return

    async def body(store: PostgresStore):
        writing = [asyncio.create_task(write_on(store, who)) for who in range(12)]
        await many.wait()
        await asyncio.to_thread(server.restart)
        crashed.set()
        await asyncio.gather(*writing)
        return await store.read(names)

    kept = Counter(play(url, body, patience_seconds=patience_seconds))
    assert max(kept.values()) == 1
    refused = {name: fate for name, fate in fates.items() if fate != name}
    assert [fate for fate in refused.values() if not isinstance(fate, StoreBusy | StoreUncertain)] == []
    assert [name for name in fates if name not in refused and name not in kept] == []
    assert [name for name, fate in refused.items() if isinstance(fate, StoreBusy) and name in kept] == []
    assert patience_seconds < 1 or [fate for fate in refused.values() if isinstance(fate, StoreBusy)] == []


def restart(server: Server) -> None:
    """Crash the whole server, as a power cut does."""
    server.restart("immediate")


def kill_a_backend(server: Server) -> None:
    """Crash one of its processes, as a system that is out of memory does: the server ends all others and recovers by itself."""
    checkpointer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
    before = server.run(checkpointer)
    with closing(psycopg.connect(server.socket_url())) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)

    def recovered() -> bool:
        with suppress(psycopg.OperationalError):
            return bool(server.run(checkpointer) != before)
        return False

    wait_until(recovered)


@contextmanager
def nothing_written_ahead(server: Server) -> Iterator[None]:
    """Hold still those of the server's processes that write to the disk what nobody waits for; a crash ends them all the same."""
    which = "SELECT pid FROM pg_stat_activity WHERE backend_type IN ('walwriter', 'background writer', 'checkpointer')"
    held = [pid for (pid,) in server.run(which)]
    assert len(held) == 3
    for pid in held:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("crash", [restart, kill_a_backend])
def test_a_number_that_a_crash_has_set_free_is_not_taken_for_ours(server: Server, database: str, crash: Callable[[Server], None]):
    """What a crash has taken nobody knows of, so its number is given again: that another has committed under it says nothing of us."""
    for name in ("a", "b", "c", "d", "e"):
        if _is_given_again(server, database, crash, name):
            return
    pytest.fail("no crash has set a number free")


def _is_given_again(server: Server, database: str, crash: Callable[[Server], None], name: str) -> bool:
    """Play it; False: by chance the number was on the disk before the crash, and is known to have come to nothing."""
    work = Counting(name)

    def numbered(tx: Tx) -> int:
        cursor: Any = tx._cursor  # type: ignore[attr-defined]
        numbers.append(int(cursor.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()[0]))
        with socket.socket(fileno=os.dup(cursor.connection.fileno())) as ours:
            made.only = ours.getsockname()[1]
        return work(tx)

    def give_again() -> None:
        made.closed.set()  # the store learns that its link is broken at once, and is not to look before the number is another's
        crash(server)
        while not given or given[-1] < numbers[0]:
            given.append(server.run("SELECT pg_current_xact_id()::text::bigint")[0][0])
        made.closed.clear()

    async def body(store: PostgresStore, wire: Proxy) -> tuple[Any, Any]:
        await store.write(add(f"before {name}"))
        # (Others of the store's links may just say COMMIT to whatever they have looked at first.)
        wire.meanwhile, wire.only = give_again, 0
        wire.breaks.append(Break.BEFORE)
        with nothing_written_ahead(server):
            (answer,) = await asyncio.gather(store.write(numbered), return_exceptions=True)
        if given[0] > numbers[0]:
            return answer, None
        return answer, (await store.write(work), await store.read(lambda tx: tx.all(GET, name=name)))

    numbers: list[int] = []
    given: list[int] = []
    with wire(server) as made:
        answer, again = play(made.url(database), lambda store: body(store, made), writers=1, patience_seconds=60)
    if again is None:
        assert answer == 2  # it was done once more
        return False
    assert isinstance(answer, StoreUncertain)
    assert "ask again" in str(answer)
    assert again == (2, [(2,)])
    return True


def test_while_the_server_is_away_calls_are_refused_and_with_it_they_go_through(server: Server, url: str):
    """The first who ask wait as long as one has patience, those after them not at all; nobody need do anything when it is back."""
    patience = 2.0

    async def answers(store: PostgresStore) -> tuple[set[Any], float]:
        began = time.monotonic()
        asked: list[Any] = [*(store.write(add(f"{n}")) for n in range(6)), *(store.read(names) for _ in range(4))]
        found = await asyncio.gather(*asked, return_exceptions=True)
        return {told(answer) for answer in found}, time.monotonic() - began

    async def body(store: PostgresStore):
        await asyncio.gather(*(store.write(add(f"before {n}")) for n in range(4)))
        await asyncio.to_thread(server.stop)
        first, second = await answers(store), await answers(store)
        await asyncio.to_thread(server.start)
        await when_it_can(lambda: store.write(add("after", 1)))
        return first, second, await when_it_can(lambda: store.read(names))

    (first, waited), (second, waited_then), kept = play(url, body, patience_seconds=patience)
    assert first == second == {StoreBusy}
    assert patience <= waited < 2 * patience
    assert waited_then < patience / 2
    assert kept == [*(f"before {n}" for n in range(4)), "after"]


def test_a_server_that_takes_a_call_and_says_nothing_is_given_up_in_time():
    """A host that hangs, a firewall that swallows: who asks is refused after one try to connect, and that ends by itself."""

    async def body(store: PostgresStore):
        began = time.monotonic()
        with pytest.raises(StoreBusy, match="does not answer"):
            await store.write(add("a"))
        return time.monotonic() - began

    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        url = f"postgresql://omniline@127.0.0.1:{mute.getsockname()[1]}/mute"
        waited = play(url, body, writers=1, readers=0, patience_seconds=0.1)

    assert waited < 6


def test_a_server_that_takes_calls_and_says_nothing_keeps_nobody_waiting():
    """A try to connect lasts until it is given up: those who wait behind it are refused together, not after a try each."""

    async def body(store: PostgresStore):
        began = time.monotonic()
        asked = [store.write(add(f"{n}")) for n in range(12)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return {told(answer) for answer in answers}, time.monotonic() - began

    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        url = f"postgresql://omniline@127.0.0.1:{mute.getsockname()[1]}/mute"
        answers, waited = play(url, body, writers=1, readers=0, patience_seconds=0.1)

    assert answers == {StoreBusy}
    assert waited < 12


def test_closing_while_the_server_is_away_answers_everybody(server: Server, url: str):
    """A stop does not hang on a database that does not answer."""

    async def whole() -> list[Any]:
        store = PostgresStore(url, ids=SystemIds(), ring=lambda bells: None, patience_seconds=0.5)
        await store.write(add("before"))
        await asyncio.to_thread(server.stop)
        asked = [store.write(add(f"{n}")) for n in range(20)]
        await asyncio.wait_for(store.close(), WAIT_SECONDS)
        return [told(answer) for answer in await asyncio.gather(*asked, return_exceptions=True)]

    try:
        assert asyncio.run(whole()) == [StoreBusy] * 20
    finally:
        server.start()


@contextmanager
def standing_still(server: Server) -> Iterator[None]:
    """Let *server* answer nobody meanwhile."""
    server.pause()
    try:
        yield
    finally:
        server.pause(paused=False)


def test_a_server_that_stands_still_holds_up_and_loses_nothing(server: Server, url: str):
    """Nobody is answered before it goes on; then everybody is."""

    async def body(store: PostgresStore):
        await asyncio.gather(*(store.write(add(f"before {n}", n)) for n in range(4)))
        with standing_still(server):
            asked = [asyncio.ensure_future(store.write(add(f"{n}", 10 + n))) for n in range(20)]
            done, _ = await asyncio.wait(asked, timeout=0.3)
        return len(done), await asyncio.gather(*asked), await store.read(names)

    wanted = [f"{n}" for n in range(20)]
    assert play(url, body) == (0, wanted, [*(f"before {n}" for n in range(4)), *wanted])


def test_a_server_that_stands_still_for_long_keeps_nobody_waiting(server: Server, url: str):
    """What waits behind calls without an answer is refused; those are cut off in the end, and the store works again when it can."""

    async def body(store: PostgresStore):
        await asyncio.gather(*(store.write(add(f"before {n}", n)) for n in range(4)))
        with standing_still(server):
            begun = [asyncio.ensure_future(store.write(add(f"{n}", 10 + n))) for n in range(4)]
            await asyncio.sleep(0)
            behind = [asyncio.ensure_future(store.write(add(f"{n}", 10 + n))) for n in range(4, 20)]
            refused = await asyncio.wait_for(asyncio.gather(*behind, return_exceptions=True), WAIT_SECONDS)
            cut = await asyncio.wait_for(asyncio.gather(*begun, return_exceptions=True), WAIT_SECONDS)
        await when_it_can(lambda: store.write(add("after", 100)))
        return {told(one) for one in refused}, {told(one) for one in cut}, await store.read(names)

    refused, cut, kept = play(url, body, patience_seconds=0.3, stall_seconds=1.5)
    assert refused == cut == {StoreBusy}
    assert kept == [*(f"before {n}" for n in range(4)), "after"]


def test_a_store_is_closed_though_its_server_stands_still(server: Server, url: str, monkeypatch):
    """The process can end; what was asked is refused."""
    monkeypatch.setattr(broker.store.postgres, "CLOSE_SECONDS", 0.5)

    async def whole() -> list[Any]:
        store = PostgresStore(url, ids=SystemIds(), ring=lambda bells: None, patience_seconds=0.3)
        await asyncio.gather(*(store.write(add(f"before {n}", n)) for n in range(4)))
        with standing_still(server):
            asked = [asyncio.ensure_future(store.write(add(f"{n}", 10 + n))) for n in range(20)]
            await asyncio.wait_for(store.close(), WAIT_SECONDS)
            done, _ = await asyncio.wait(asked, timeout=WAIT_SECONDS)
        return [told(one.exception()) for one in done]

    assert asyncio.run(whole()) == [StoreBusy] * 20


def test_a_server_with_no_connection_left_is_waited_for(server: Server, database: str):
    """It refuses whoever comes: they are told so, and get through when there is room."""
    server.run("DROP ROLE IF EXISTS few")
    server.run("CREATE ROLE few LOGIN CONNECTION LIMIT 1")
    server.run("GRANT ALL ON ALL TABLES IN SCHEMA public TO few", database)
    url = server.url(database).replace("omniline@", "few@")

    async def body(store: PostgresStore):
        with psycopg.connect(url), pytest.raises(StoreBusy, match="too many connections"):
            await store.write(add("a"))
        await when_it_can(lambda: store.write(add("b")))
        return await asyncio.to_thread(server.run, "SELECT name FROM counters", database)

    assert play(url, body, writers=1, readers=0, patience_seconds=0.3) == [("b",)]


def test_a_server_that_only_reads_is_nobody_to_write_to(server: Server, database: str, url: str):
    """A standby is refused until it has become the primary; then nobody need do anything."""

    async def body(store: PostgresStore):
        await store.write(add("a", 1))
        for on in ("on", "off"):
            server.run(f"ALTER DATABASE {database} SET default_transaction_read_only = {on}")
            kill(server, database)
            if on == "on":
                with pytest.raises(StoreBusy, match="read-only"):
                    await store.write(add("b", 2))
        await store.write(add("c", 3))
        return await store.read(names)

    assert play(url, body, patience_seconds=0.3) == ["a", "c"]


# --- what the database does to one transaction


def test_two_that_wait_for_each_other_both_go_through(url: str):
    """The database undoes one of them; it is run again."""
    both = threading.Barrier(2)
    runs: list[str] = []

    def bump(first: str, second: str) -> Callable[[Tx], str]:
        def work(tx: Tx) -> str:
            runs.append(first)
            tx.run(BUMP, name=first)
            if runs.count(first) == 1:
                both.wait(WAIT_SECONDS)
            tx.run(BUMP, name=second)
            return first

        return work

    async def body(store: PostgresStore):
        await store.write(lambda tx: [add(name)(tx) for name in ("a", "b")])
        answers = await asyncio.gather(store.write(bump("a", "b")), store.write(bump("b", "a")))
        return answers, await store.read(lambda tx: [tx.one(GET, name=name) for name in ("a", "b")])

    assert play(url, body) == (["a", "b"], [(2,), (2,)])
    assert len(runs) >= 3


def test_who_waits_too_long_for_a_lock_is_refused_alone(url: str):
    """Those who shared the call with them go through; and so does the same again when the lock is free."""

    def bump_each(tx: Tx, wanted: Sequence[str]) -> list[str]:
        for name in sorted(wanted):
            tx.run(BUMP, name=name)
        return list(wanted)

    async def body(store: PostgresStore):
        await store.write(lambda tx: [add(name)(tx) for name in "abc"])
        with psycopg.connect(url) as other:
            other.execute("UPDATE counters SET value = 7 WHERE name = 'b'")
            asked = [store.write_each(bump_each, name) for name in "abc"]
            answers = await asyncio.gather(*asked, return_exceptions=True)
        assert "lock timeout" in str(answers[1])
        await store.write_each(bump_each, "b")
        return list(map(told, answers)), await store.read(lambda tx: [tx.one(GET, name=name) for name in "abc"])

    limit = quote("-c lock_timeout=200ms")
    assert play(f"{url}?options={limit}", body, writers=1) == (["a", StoreBusy, "c"], [(1,), (8,), (1,)])


def test_every_connection_has_the_limits_that_administrators_are_told_of(url: str):
    """Those of docs/running.md, for writers and readers, whatever the server says of them."""
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

    def shown(tx: Tx) -> list[Any]:
        return [tx.one(adhoc(select(func.current_setting(name)))) for name in limits]

    async def body(store: PostgresStore):
        return [await ask(shown) for ask in (store.write, store.read)]

    assert play(url, body) == [[("30s",), ("10s",), ("30s",)]] * 2


def test_a_statement_that_takes_too_long_is_ended(url: str):
    """A screen's bad query does not hold a connection for ever."""

    def slowly(tx: Tx) -> None:
        tx._cursor.execute("SELECT pg_sleep(60)")  # type: ignore[attr-defined]

    async def body(store: PostgresStore):
        for ask in (store.read, store.write):
            with pytest.raises(Exception, match="statement timeout"):
                await ask(slowly)
        return await store.write(add("a"))

    limit = quote("-c statement_timeout=100ms")
    assert play(f"{url}?options={limit}", body) == "a"


def test_what_breaks_a_constraint_harms_none_of_those_it_shared_a_call_with(url: str):
    """The driver's own error reaches who asked, the others are stored."""

    async def body(store: PostgresStore):
        await store.write(add("b"))
        asked = [store.write_each(add_each, name) for name in "abc"]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return list(map(told, answers)), await store.read(names)

    assert play(url, body, writers=1) == (["a", psycopg.errors.UniqueViolation, "c"], ["b", "a", "c"])


def test_a_transaction_that_cannot_begin_spoils_none_after_it(url: str, monkeypatch: pytest.MonkeyPatch):
    """What is read at its beginning fails when it has begun already: it is undone, and the next begins on the same connection."""

    async def body(store: PostgresStore):
        await store.write(add("a"))
        monkeypatch.setattr(broker.store.postgres, "_BEGIN", b"BEGIN; SELECT 1 / 0")
        refused = await asyncio.gather(store.write(add("b")), return_exceptions=True)
        monkeypatch.undo()
        return told(refused[0]), await store.write(add("c")), await store.read(names)

    assert play(url, body, writers=1) == (StoreBusy, "c", ["a", "c"])


def test_a_text_that_no_database_keeps_harms_none_of_those_it_shared_a_call_with(url: str):
    """A NUL, or half a character: refused before it is sent."""

    async def body(store: PostgresStore):
        asked = [store.write_each(add_each, name) for name in ("a", "b\0", "c", "d\ud800", "e")]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return list(map(told, answers)), await store.read(names)

    answers, kept = play(url, body, writers=1)
    assert answers == ["a", psycopg.DataError, "c", UnicodeEncodeError, "e"]
    assert kept == ["a", "c", "e"]


@pytest.mark.parametrize("value", [True, 1.5, ["a"], {"a": 1}])
def test_what_no_column_of_ours_holds_is_refused_by_its_name(url: str, value: object):
    """A list for the database is flat, and of few kinds: anything else is a mistake, which is told as one."""

    async def body(store: PostgresStore):
        refused = await asyncio.gather(store.write(lambda tx: tx.each(ADD_EACH, [("a", value)])), return_exceptions=True)
        return str(refused[0]), await store.read(names)

    problem, kept = play(url, body)
    assert type(value).__name__ in problem
    assert kept == []


def test_calls_that_come_one_by_one_go_through_one_connection(url: str):
    """The thread that worked last is woken, for its connection's backend has everything at hand; the others rest."""

    async def body(store: PostgresStore):
        return Counter([await store.write(lambda tx: tx.all(BACKEND)[0]) for _ in range(200)])

    # The next call may come before whoever worked last has come to rest again: then a second one has its turn, rarely a third.
    assert sum(calls for _, calls in play(url, body, writers=4).most_common(2)) > 150


def test_a_connection_that_cannot_be_made_leaves_the_calls_to_the_others(url: str):
    """The server may have room for one and not for the next: those who are not in refuse one call each, to learn it, and no more."""

    def make(url: str, name: str, *rest: Any) -> Link:
        return Link(url if name == "writer 2" else "postgresql://127.0.0.1:1/nobody", name, *rest)

    async def body(store: PostgresStore):
        one_by_one = [(await asyncio.gather(store.write(add(f"{n}")), return_exceptions=True))[0] for n in range(12)]
        at_once = await asyncio.gather(*(store.write(add(f"{n}")) for n in range(12, 60)), return_exceptions=True)
        return [isinstance(answer, StoreBusy) for answer in [*one_by_one, *at_once]]

    assert sum(play(url, body, writers=4, patience_seconds=0.1, make_link=make)) <= 3


def test_what_waits_is_done_by_the_first_connection_that_comes_back(url: str):
    """Those in use may be busy for long: whoever could not connect tries again while something waits, not at the next call only."""
    busy, done, up, failed_since = threading.Event(), threading.Event(), threading.Event(), [0]

    class Down(Link):
        def try_again(self) -> None:
            super().try_again()
            if self.lost and busy.is_set():
                failed_since[0] += 1
                if failed_since[0] == 3:
                    self._url = url
                    up.set()

    def make(_: str, name: str, *rest: Any) -> Link:
        return Link(url, name, *rest) if name != "writer 1" else Down("postgresql://127.0.0.1:1/nobody", name, *rest)

    def long(tx: Tx) -> None:
        busy.set()
        done.wait(60)

    async def body(store: PostgresStore):
        _, down = store._writes.links
        while not down.lost:  # a call is refused, and it is known
            await asyncio.gather(*(store.write(names) for _ in range(4)), return_exceptions=True)
        holds = store.write(long)
        await asyncio.to_thread(busy.wait)
        try:
            return await store.write(add("a")), up.is_set(), holds.done()
        finally:
            done.set()
            await holds

    assert play(url, body, writers=2, patience_seconds=0.1, make_link=make) == ("a", True, False)


def test_a_process_without_a_file_descriptor_left_goes_on_when_it_has_one(url: str, monkeypatch: pytest.MonkeyPatch):
    """Connecting fails with what is no error of the database's: calls are refused, no thread ends, and later all is well."""
    real = broker.store.postgres.connect

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(24, "Too many open files")

    async def body(store: PostgresStore):
        monkeypatch.setattr(broker.store.postgres, "connect", refuse)
        refused = await asyncio.gather(store.write(add("a")), store.read(names), return_exceptions=True)
        again = await asyncio.gather(store.write(add("b")), store.read(names), return_exceptions=True)
        monkeypatch.setattr(broker.store.postgres, "connect", real)
        await when_it_can(lambda: store.write(add("c")))
        return list(map(told, [*refused, *again])), "Too many open files" in str(refused[0]), await store.read(names)

    assert play(url, body, writers=1, readers=1, patience_seconds=0.1) == ([StoreBusy] * 4, True, ["c"])


def test_a_full_disk_refuses_and_goes_on_by_itself(server: Server, database: str, url: str):
    """StoreFull for what does not fit, alone; as soon as there is room again everything goes through."""
    server.run(DISK_FULL, database)
    server.run(
        "CREATE TRIGGER disk_full BEFORE INSERT ON counters "
        "FOR EACH ROW WHEN (NEW.name LIKE 'big%') EXECUTE FUNCTION disk_full()",
        database,
    )

    async def body(store: PostgresStore):
        asked = [store.write(add(name)) for name in ("a", "big 1", "b")]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        with pytest.raises(StoreFull, match="disk is full"):
            await store.write(add("big 2"))
        full, since = store.full_since is not None, store.full_since
        with pytest.raises(StoreFull):
            await store.write(add("big 3"))
        assert store.full_since == since
        server.run("DROP FUNCTION disk_full CASCADE", database)
        await store.write(add("big 4", 9))
        return list(map(told, answers)), full, store.full_since, await store.read(names)

    assert play(url, body) == (["a", StoreFull, "b"], True, None, ["a", "b", "big 4"])


def test_a_plan_from_before_a_migration_is_made_anew(server: Server, database: str, url: str):
    """Statements stay prepared for as long as a connection lasts; a newer process may change a table meanwhile."""

    async def body(store: PostgresStore):
        await store.write(add("a"))
        before = await store.read(names)
        server.run("ALTER TABLE counters ALTER name TYPE text", database)
        return before, await store.read(names), await store.write(names)

    assert play(url, body, writers=1, readers=1) == (["a"], ["a"], ["a"])


def test_what_a_function_may_not_do_is_told_it_at_once(url: str):
    """After an error the database does nothing more in a transaction: who passed over one has done nothing, and hears of it."""

    runs = []

    def careless(tx: Tx) -> str:
        runs.append("run")
        with pytest.raises(psycopg.errors.UniqueViolation):
            add("a")(tx)
        return "done"

    async def body(store: PostgresStore):
        await store.write(add("a"))
        runs.clear()
        with pytest.raises(Exception, match=r"COMMIT was answered by|current transaction is aborted"):
            await store.write(careless)

    play(url, body, patience_seconds=0.5)
    assert len(runs) == 1


def test_a_reading_that_writes_is_told_it_at_once(url: str):
    """That is its own fault, not a standby's: it is not tried again."""
    runs = []

    def careless(tx: Tx) -> None:
        runs.append("run")
        add("a")(tx)

    async def body(store: PostgresStore):
        with pytest.raises(Exception, match="read-only"):
            await store.read(careless)

    play(url, body, patience_seconds=0.5)
    assert len(runs) == 1


# --- time


def test_time_is_the_databases(url: str):
    """All processes go by one clock, whatever those of their hosts say; it does not move during a transaction."""

    async def body(store: PostgresStore):
        moments = [await ask(lambda tx: (tx.now, tx.now)) for ask in (store.write, store.read) * 5]
        return [first for first, _ in moments], [first == second for first, second in moments]

    moments, still = play(url, body, clock=None)
    assert all(still)
    assert moments == sorted(moments)
    assert all(abs(SystemClock().now() - moment) < timedelta(minutes=1) for moment in moments)
    assert len(set(moments)) == len(moments)


# --- the end, and beside it


def test_closing_finishes_what_was_asked(url: str):
    """Writes and reads asked before `close` are answered; later ones raise StoreClosed."""

    async def whole() -> None:
        store = PostgresStore(url, ids=SystemIds(), ring=lambda bells: None, clock=MovedClock())
        asked = [asyncio.ensure_future(store.write(add(f"{n}", n))) for n in range(100)]
        reading = asyncio.ensure_future(store.read(names))
        await store.close()
        assert [f"{n}" for n in range(100)] == await asyncio.gather(*asked)
        assert isinstance(await reading, list)
        for late in (store.write(add("late")), store.read(names)):
            with pytest.raises(StoreClosed):
                await late
        await store.close()

    asyncio.run(whole())


def test_a_command_reads_beside_whoever_writes(url: str):
    """On a snapshot of its own; what it may not do comes through."""

    async def body(store: PostgresStore):
        await store.write(add("a"))
        with pytest.raises(Exception, match="read-only"):
            await asyncio.to_thread(read_once, url, add("b"))
        return await asyncio.to_thread(read_once, url, names)

    assert play(url, body) == ["a"]


def test_a_command_that_reads_the_whole_house_takes_its_time(url: str, monkeypatch: pytest.MonkeyPatch):
    """What limits a statement of the store, or a pause between two, does not limit it: a large house is read too."""
    monkeypatch.setitem(broker.store.postgres.SETTINGS, "statement_timeout", "100ms")
    monkeypatch.setitem(broker.store.postgres.SETTINGS, "idle_in_transaction_session_timeout", "100ms")
    asked = (func.pg_sleep(0.3), *map(func.current_setting, ("statement_timeout", "idle_in_transaction_session_timeout")))

    _, *shown = read_once(url, lambda tx: [tx.one(adhoc(select(one))) for one in asked])

    assert shown == [("0",), ("0",)]


def test_a_store_that_serves_one_function_long_serves_others_too(url: str):
    """Several writers: one that takes its time holds up nobody whose rows are others."""
    first, second = threading.Event(), threading.Event()

    def long(tx: Tx) -> str:
        add("long")(tx)
        first.set()
        assert second.wait(WAIT_SECONDS)
        return "long"

    async def body(store: PostgresStore):
        waits = store.write(long)
        await asyncio.to_thread(first.wait, WAIT_SECONDS)
        short = await store.write(add("short"))
        seen = await store.read(names)
        second.set()
        return short, seen, await waits

    assert play(url, body) == ("short", ["short"], "long")


# --- servers that are not safe


def test_a_server_that_may_forget_is_refused(server: Server):
    """Unless the administrator accepts it; each switch that is off is named."""
    unsafe = Server(synchronous_commit="on")
    try:
        with psycopg.connect(unsafe.url()) as connection:
            with pytest.raises(ConfigError, match=r"has fsync, full_page_writes switched off .* set allow_unsafe_disk"):
                refuse_unsafe(connection)
            refuse_unsafe(connection, forced=True)
    finally:
        unsafe.remove()
    with psycopg.connect(server.url()) as connection:
        refuse_unsafe(connection)
        connection.execute("SET synchronous_commit = off")
        with pytest.raises(ConfigError, match="has synchronous_commit switched off"):
            refuse_unsafe(connection)


def test_a_database_that_writes_another_encoding_is_refused(server: Server):
    """It could not keep what people write; the text says how to make one that can."""
    server.run("CREATE DATABASE old_letters ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    try:
        with (
            psycopg.connect(server.url("old_letters")) as connection,
            pytest.raises(ConfigError, match=r"encoded in LATIN1; make one with CREATE DATABASE … ENCODING 'UTF8'"),
        ):
            refuse_unsafe(connection)
    finally:
        server.drop("old_letters")


def test_a_server_that_is_too_old_is_refused():
    """By its version, with the one that is needed."""
    info = SimpleNamespace(server_version=130_012, parameter_status=lambda name: {"server_version": "13.12"}[name])

    with pytest.raises(ConfigError, match=r"is PostgreSQL 13\.12; 14 or newer is needed"):
        refuse_unsafe(SimpleNamespace(info=info))  # type: ignore[arg-type]


def test_what_a_test_sees_as_now_is_its_own(url: str):
    """A store that is given a clock goes by it."""

    async def body(store: PostgresStore):
        return await store.write(lambda tx: tx.now)

    assert play(url, body) == NOON
