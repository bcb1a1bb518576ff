"""The `Store` socket: what every store promises, and what the embedded one adds. What the one on PostgreSQL adds has its own module.

Another store joins by one more entry in `STORES`: an async context that yields a store on a migrated, empty database and the list
of the bells it rang.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import bindparam, select

from broker.errors import StoreBusy, StoreClosed, StoreError, StoreFull, StoreMoving
from broker.ports import Bell, Store, Tx
from broker.store import checkpoints
from broker.store.sql import cols, insert_row, insert_rows, sql, upsert
from broker.store.sqlite import SqliteStore, connect, driver
from broker.store.tables import counters, inputs, seats
from tests.support.clock import NOON, MovedClock
from tests.support.store import on_disk, open_postgres, open_sqlite

T = TypeVar("T")
Opened = tuple[Store, list[tuple[Bell, str]]]
Open = Callable[[Path], AbstractAsyncContextManager[Opened]]

ADD = insert_row(counters, "name value")
PUT = upsert(counters, "name value", "name", "value")
GET = sql(select(counters.c.value).where(counters.c.name == bindparam("name")))
NAMES = sql(select(counters.c.name).order_by(counters.c.value))
STORE_EACH = insert_rows(inputs, "origin external_id id conversation_id seq event raw at_us dead")
STORED = sql(select(*cols(inputs, "seq raw dead")).order_by(inputs.c.at_us))
ORPHAN = insert_row(seats, "line_id operator_id position")
"""Breaks a foreign key."""


@asynccontextmanager
async def _sqlite(folder: Path) -> AsyncIterator[Opened]:
    bells: list[tuple[Bell, str]] = []
    store = open_sqlite(folder, ring=bells.extend)
    try:
        yield store, bells
    finally:
        await store.close()


@asynccontextmanager
async def _postgresql(_: Path) -> AsyncIterator[Opened]:
    bells: list[tuple[Bell, str]] = []
    store = open_postgres(ring=bells.extend)
    try:
        yield store, bells
    finally:
        await store.close()


STORES: dict[str, Open] = {"sqlite": _sqlite, "postgresql": _postgresql}


@pytest.fixture(params=list(STORES.values()), ids=list(STORES))
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[..., Awaitable[T]]], T]:
    """Return what runs a test's body with an open store and its bells."""

    def run(body: Callable[..., Awaitable[T]]) -> T:
        async def whole() -> T:
            async with request.param(tmp_path) as (store, bells):
                return await body(store, bells)

        return asyncio.run(whole())

    return run


def add(name: str, value: int = 0) -> Callable[[Tx], str]:
    """Return a transaction that adds a counter, rings for it, and answers with its name."""

    def work(tx: Tx) -> str:
        tx.run(ADD, name=name, value=value)
        tx.ring(Bell.NEWS, name)
        return name

    return work


def names(tx: Tx) -> list[str]:
    """Return every counter's name, by value."""
    return [row[0] for row in tx.all(NAMES)]


class Refused(Exception):
    """A transaction's own objection."""


def refuse(name: str) -> Callable[[Tx], None]:
    """Return a transaction that writes, rings, and then objects."""

    def work(tx: Tx) -> None:
        add(name)(tx)
        raise Refused(name)

    return work


# --- every store


def test_a_write_answers_with_what_the_function_returned(play):
    """The answer is the function's, and what it wrote is there."""

    async def body(store, bells):
        return await store.write(add("a")), await store.read(names)

    assert play(body) == ("a", ["a"])


def test_a_read_sees_every_commit_answered_before_it(play):
    """Whoever was told that something is stored finds it, each of a hundred times."""

    async def body(store, bells):
        for number in range(100):
            await store.write(add(f"{number}", number))
            assert len(await store.read(names)) == number + 1

    play(body)


def test_a_read_cannot_write(play):
    """A snapshot refuses to be changed, and goes on being usable for others."""

    async def body(store, bells):
        with pytest.raises(Exception, match=r"readonly|read-only"):
            await store.read(add("a"))
        return await store.read(names)

    assert play(body) == []


def test_a_read_is_one_moment(play):
    """Two queries of one read see the same, though a write was committed between them."""
    between, written = threading.Event(), threading.Event()

    def twice(tx: Tx) -> tuple[list[str], list[str]]:
        first = names(tx)
        between.set()
        assert written.wait(10)
        return first, names(tx)

    async def body(store, bells):
        reading = store.read(twice)
        await asyncio.to_thread(between.wait, 10)
        await store.write(add("a"))
        written.set()
        return await reading

    assert play(body) == ([], [])


def test_an_exception_comes_through_and_undoes_everything(play):
    """What a function raises reaches its caller; nothing of it has happened."""

    async def body(store, bells):
        with pytest.raises(Refused):
            await store.write(refuse("a"))
        return await store.read(names), bells

    assert play(body) == ([], [])


def test_an_exception_undoes_only_its_own(play):
    """Of many asked at once, those that object are undone and the others are not."""

    async def body(store, bells):
        asked = [store.write(refuse(f"{n}") if n % 3 == 0 else add(f"{n}", n)) for n in range(30)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [type(answer) for answer in answers], await store.read(names)

    answers, kept = play(body)
    assert answers == [Refused if n % 3 == 0 else str for n in range(30)]
    assert kept == [f"{n}" for n in range(30) if n % 3]


def test_a_broken_constraint_undoes_only_its_own(play):
    """A statement that breaks a UNIQUE fails its function; its neighbours in the batch are stored."""

    async def body(store, bells):
        answers = await asyncio.gather(
            *(store.write(add(name, n)) for n, name in enumerate(("a", "a", "b"))), return_exceptions=True
        )
        return [isinstance(answer, Exception) for answer in answers], await store.read(names)

    answers, kept = play(body)
    assert (sorted(answers[:2]), answers[2]) == ([False, True], False)
    assert kept == ["a", "b"]


def add_each(tx: Tx, wanted: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Add a counter for each, and answer with its name and how many shared the call; a name beginning with "no" is refused."""
    for name, value in wanted:
        if name.startswith("no"):
            raise Refused(name)
        add(name, value)(tx)
    return [(name, len(wanted)) for name, _ in wanted]


@pytest.mark.parametrize(
    "values",
    [
        (
            "",
            " ",
            "NULL",
            "null",
            "{}",
            '{"a": "b, c"}',
            "a,b",
            '"',
            '""',
            "\\",
            '\\"',
            "\\\\x41",
            "\\x",
            "'",
            "%s",
            "%(a)s",
            "$1",
        ),
        ("\n", "\r\n", "\t", "\v", "\x7f", "\u2028", "é", "Ж", "漢", "\U0001f98a", "e\u0301", "\ufeff", "\u200f", "a" * 100_000),
        (None, "", None, '{"\\u0000": null}'),
    ],
)
def test_rows_are_kept_as_they_are_given(play, values):
    """Whatever stands in a text, in bytes or in a number: it is found as it was, beside nothing that was left out."""
    numbers = [0, -1, 1, 2**31, -(2**31) - 1, 2**53, -(2**63), 2**63 - 1]
    rows = [
        (
            f"o{n}",
            f"x{n}",
            f"id {n}",
            None,
            numbers[n % len(numbers)],
            None,
            (value or "\0\\").encode() + bytes(range(256)),
            n,
            value,
        )
        for n, value in enumerate(values)
    ]

    async def body(store, bells):
        await store.write(lambda tx: tx.each(STORE_EACH, rows))
        return await store.read(lambda tx: tx.all(STORED))

    assert [tuple(row) for row in play(body)] == [(row[4], bytes(row[6]), row[8]) for row in rows]


def test_items_have_their_own_answers_whoever_they_shared_a_call_with(play):
    """Each of many gets the answer at its place; all are stored, and found."""

    async def body(store, bells):
        answers = await asyncio.gather(*(store.write_each(add_each, (f"{n}", n)) for n in range(600)))
        return [name for name, _ in answers], await store.read(names)

    asked = [f"{n}" for n in range(600)]
    assert play(body) == (asked, asked)


def test_an_item_that_is_refused_undoes_only_itself(play):
    """The call for many falls apart: who objects has its own error, the others are stored once and ring once."""

    async def body(store, bells):
        asked = ["a", "no 1", "b", "c", "no 2"]
        answers = await asyncio.gather(
            *(store.write_each(add_each, (name, n)) for n, name in enumerate(asked)),
            store.write(add("d", 9)),
            return_exceptions=True,
        )
        told = [str(answer) if isinstance(answer, BaseException) else answer[0] for answer in answers]
        return told, await store.read(names), bells

    answers, kept, bells = play(body)
    assert answers == ["a", "no 1", "b", "c", "no 2", "d"]
    assert kept == ["a", "b", "c", "d"]
    assert sorted(bells) == [(Bell.NEWS, name) for name in "abcd"]


def test_one_bad_item_does_not_make_everybody_go_alone(tmp_path: Path):
    """A stranger can send what cannot be stored: it costs its neighbours a few calls, not one each."""
    calls = []

    def work(tx: Tx, items: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
        calls.append(len(items))
        return add_each(tx, items)

    async def body(store: SqliteStore):
        asked = [("no" if n == 100 else f"{n}", n) for n in range(128)]
        return await asyncio.gather(*(store.write_each(work, item) for item in asked), return_exceptions=True)

    answers = with_sqlite(tmp_path, body)
    assert [n for n, answer in enumerate(answers) if isinstance(answer, Refused)] == [100]
    assert sum(1 for size in calls if size == 1) <= 4
    assert len(calls) < 32


def test_items_of_different_functions_do_not_meet(play):
    """A call is for one function's items; two functions' answers are never exchanged."""

    def double(tx: Tx, items: Sequence[int]) -> list[int]:
        return [item * 2 for item in items]

    def negate(tx: Tx, items: Sequence[int]) -> list[int]:
        return [-item for item in items]

    async def body(store, bells):
        return await asyncio.gather(*(store.write_each(double if n % 2 else negate, n) for n in range(300)))

    assert play(body) == [n * 2 if n % 2 else -n for n in range(300)]


def test_bells_ring_after_the_commit(play):
    """When a bell is heard, what it announces can be read."""

    async def body(store, bells):
        await store.write(add("a"))
        return bells, await store.read(names)

    assert play(body) == ([(Bell.NEWS, "a")], ["a"])


def test_bells_of_what_was_undone_never_ring(play):
    """A function that objected rings for nobody, even when its neighbours were committed with it."""

    async def body(store, bells):
        asked = [store.write(add("a", 1)), store.write(refuse("b")), store.write(add("c", 2))]
        await asyncio.gather(*asked, return_exceptions=True)
        return bells

    assert sorted(play(body)) == [(Bell.NEWS, "a"), (Bell.NEWS, "c")]


def test_a_waiter_that_gave_up_harms_nobody(play):
    """A cancelled write leaves its neighbours' answers alone; the store goes on."""

    async def body(store, bells):
        asked = [asyncio.ensure_future(store.write(add(f"{n}", n))) for n in range(10)]
        asked[3].cancel()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(answers[3], asyncio.CancelledError)
        return [answer for n, answer in enumerate(answers) if n != 3], await store.write(add("last", 99))

    assert play(body) == ([f"{n}" for n in range(10) if n != 3], "last")


def test_one_moment_holds_for_a_whole_transaction(play):
    """`tx.now` is aware and does not move while the function runs."""

    async def body(store, bells):
        return await store.write(lambda tx: (tx.now, tx.now)), await store.read(lambda tx: tx.now)

    assert play(body) == ((NOON, NOON), NOON)


def test_new_ids_differ(play):
    """Ids given out in transactions are never the same twice."""

    async def body(store, bells):
        return await asyncio.gather(*(store.write(lambda tx: tx.new_id()) for _ in range(50)))

    assert len(set(play(body))) == 50


# --- the embedded store


def with_sqlite(folder: Path, body: Callable[[SqliteStore], Awaitable[T]], **parts: Any) -> T:
    """Run *body* with a shipped store in *folder*."""

    async def whole() -> T:
        store = open_sqlite(folder, **parts)
        try:
            return await body(store)
        finally:
            await store.close()

    return asyncio.run(whole())


def limit_pages(store: SqliteStore, spare: int | None) -> None:
    """Leave the database *spare* more pages to grow by, None: as many as it likes. SQLite answers as on a full disk."""
    connection = store._writer._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0] + spare if spare is not None else 1 << 30
    connection.execute(f"PRAGMA max_page_count={pages}").fetchall()


def fill(name: str, size: int = 50_000) -> Callable[[Tx], None]:
    """Return a transaction that needs a lot of space."""

    def work(tx: Tx) -> None:
        for part in range(size // 50):
            tx.run(ADD, name=f"{name}-{part}", value=part)

    return work


def test_writes_happen_in_the_order_of_asking(tmp_path: Path):
    """Two writes of one caller are never exchanged, and each sees what the ones before it did."""
    order: list[int] = []

    def work(tx: Tx, number: int) -> None:
        row = tx.one(GET, name="n")
        assert (row[0] if row else -1) == number - 1
        tx.run(PUT, name="n", value=number)
        order.append(number)

    async def body(store: SqliteStore):
        await asyncio.gather(*(store.write(partial(work, number=n)) for n in range(600)))

    with_sqlite(tmp_path, body)
    assert order == list(range(600))


def test_many_waiting_share_one_commit(tmp_path: Path):
    """Group commit: three hundred writes asked at once take a handful of fsyncs, none waits for a batch to fill."""

    batches: list[int] = []  # bells are rung once a commit, all of its together

    async def body(store: SqliteStore):
        await asyncio.gather(*(store.write(add(f"{n}", n)) for n in range(300)))

    with_sqlite(tmp_path, body, ring=lambda bells: batches.append(len(bells)))
    assert sum(batches) == 300
    assert len(batches) <= 10


def test_items_that_wait_share_a_call(tmp_path: Path):
    """Three hundred items asked at once take a handful of calls, and one alone does not wait for company."""

    async def body(store: SqliteStore):
        alone = await store.write_each(add_each, ("first", -1))
        return alone, await asyncio.gather(*(store.write_each(add_each, (f"{n}", n)) for n in range(300)))

    alone, answers = with_sqlite(tmp_path, body)
    assert alone == ("first", 1)
    assert max(shared for _, shared in answers) > 100


def test_on_a_full_disk_items_share_no_fate(tmp_path: Path):
    """The one that does not fit is told so; those beside it in the same call are stored."""

    def fill_each(tx: Tx, items: Sequence[str]) -> list[str]:
        for name in items:
            fill(name)(tx) if name == "big" else add(name, 1)(tx)
        return list(items)

    async def body(store: SqliteStore):
        limit_pages(store, 4)
        asked = [store.write_each(fill_each, name) for name in ("a", "big", "b")]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [type(answer) for answer in answers], await store.read(names)

    assert with_sqlite(tmp_path, body) == ([str, StoreFull, str], ["a", "b"])


def test_a_database_that_another_program_holds_refuses_and_goes_on(tmp_path: Path):
    """StoreBusy for everybody who asked, once for all of them; as soon as it is let go everything goes through."""

    async def body(store: SqliteStore):
        store._writer._connection.execute("PRAGMA busy_timeout=0")
        other = connect(store.path)
        other.execute("BEGIN IMMEDIATE")
        asked: list[Any] = [store.write(add("a", 1)), store.write(add("b", 2)), store.write_each(add_each, ("c", 3))]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        with pytest.raises(StoreBusy, match="another program"):
            await store.write(add("d", 4))
        other.execute("ROLLBACK")
        other.close()
        await store.write(add("e", 5))
        return [type(answer) for answer in answers], await store.read(names)

    assert with_sqlite(tmp_path, body) == ([StoreBusy] * 3, ["e"])


def test_a_reader_that_cannot_read_says_so_in_our_words(tmp_path: Path):
    """What a driver raises would pass every `except StoreError`."""

    async def body(store: SqliteStore):
        def read(tx: Tx) -> None:
            raise driver().OperationalError("database is locked")

        with pytest.raises(StoreBusy):
            await store.read(read)
        return await store.read(names)

    assert with_sqlite(tmp_path, body) == []


def test_a_file_that_is_no_database_is_told_in_a_sentence(tmp_path: Path):
    """With its path and what to do."""
    (tmp_path / "omniline.db").write_text("garbage" * 200)

    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"omniline\.db is not a database .* restore it from a backup"):
            connect(tmp_path / "omniline.db", read_only=read_only)


def test_the_log_is_kept_short_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A busy log is moved into the database beside the writer and begun anew: it does not grow with what was written."""
    monkeypatch.setattr(checkpoints, "PAGES", 200)
    monkeypatch.setattr(checkpoints, "LATER_PAGES", 100)
    monkeypatch.setattr(checkpoints, "LOOK_AFTER", 10)
    page = 4_096

    async def body(store: SqliteStore):
        for number in range(60):
            await asyncio.gather(*(store.write(fill(f"{number}-{n}", 5_000)) for n in range(10)))
        return (tmp_path / "omniline.db-wal").stat().st_size // page, len(await store.read(names))

    pages, kept = with_sqlite(tmp_path, body)
    assert kept == 60_000
    assert pages < 2_000


def test_what_was_moved_is_synced_beside_the_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The writer's last step would otherwise sync it all, while everybody waits."""
    monkeypatch.setattr(checkpoints, "PAGES", 50)
    monkeypatch.setattr(checkpoints, "LOOK_AFTER", 1)
    synced: list[tuple[bool, bool, bool]] = []
    fsync = os.fsync

    def note(file: int) -> None:
        fsync(file)
        keeper = threading.current_thread().name == "store-keeper"
        synced.append(
            (os.fstat(file).st_ino == (tmp_path / "omniline.db").stat().st_ino, keeper, store_of[0]._keeper._moved.is_set())
        )

    store_of: list[SqliteStore] = []

    async def body(store: SqliteStore):
        store_of.append(store)
        monkeypatch.setattr(os, "fsync", note)
        for number in range(20):
            await store.write(fill(f"{number}", 5_000))

    with_sqlite(tmp_path, body)
    assert synced
    assert set(synced) == {(True, True, False)}


def test_a_reader_that_stays_keeps_the_log_and_harms_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """While somebody reads the log's beginning it cannot be begun anew; writing goes on, and afterwards it can."""
    monkeypatch.setattr(checkpoints, "PAGES", 50)
    monkeypatch.setattr(checkpoints, "LATER_PAGES", 50)
    monkeypatch.setattr(checkpoints, "LOOK_AFTER", 1)

    async def body(store: SqliteStore):
        with closing(connect(store.path, read_only=True)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM counters").fetchone()
            for number in range(20):
                await store.write(fill(f"{number}", 5_000))
            assert other.execute("SELECT count(*) FROM counters").fetchone()[0] == 0
            other.execute("ROLLBACK")
        for number in range(20, 40):
            await store.write(fill(f"{number}", 5_000))
        return len(await store.read(names))

    assert with_sqlite(tmp_path, body) == 4_000


def test_the_settings_that_make_it_durable_are_read_back(tmp_path: Path):
    """WAL, synchronous=FULL and foreign keys on the writer; readers can only query."""

    async def body(store: SqliteStore):
        writer = store._writer._connection
        values = [writer.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")]
        return values, [reader.execute("PRAGMA query_only").fetchone()[0] for reader in store._readers]

    assert with_sqlite(tmp_path, body) == (["wal", 2, 1], [1, 1])


def test_a_commit_that_fails_undoes_the_batch_and_the_innocent_are_stored(tmp_path: Path):
    """COMMIT itself objects (a deferred foreign key): the guilty one is told, the others are run again and answered."""

    def guilty(tx: Tx) -> None:
        tx._cursor.execute("PRAGMA defer_foreign_keys=1")  # type: ignore[attr-defined]
        tx.run(ORPHAN, line_id="nowhere", operator_id="nobody", position=1)

    async def body(store: SqliteStore):
        asked: list[Any] = [store.write(add("a", 1)), store.write(guilty), store.write(add("b", 2))]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [isinstance(answer, driver().IntegrityError) for answer in answers], await store.read(names)

    assert with_sqlite(tmp_path, body) == ([False, True, False], ["a", "b"])


def test_a_commit_that_fails_rings_each_bell_of_the_innocent_once(tmp_path: Path):
    """What was run twice is announced once."""
    bells: list[tuple[Bell, str]] = []

    def guilty(tx: Tx) -> None:
        tx._cursor.execute("PRAGMA defer_foreign_keys=1")  # type: ignore[attr-defined]
        tx.run(ORPHAN, line_id="nowhere", operator_id="nobody", position=1)
        tx.ring(Bell.NEWS, "guilty")

    async def body(store: SqliteStore):
        await asyncio.gather(store.write(add("a", 1)), store.write(guilty), return_exceptions=True)

    with_sqlite(tmp_path, body, ring=bells.extend)
    assert bells == [(Bell.NEWS, "a")]


def test_a_full_disk_refuses_and_goes_on_by_itself(tmp_path: Path):
    """StoreFull for what does not fit, success for what does, and as soon as there is space again everything goes through."""
    clock = MovedClock()

    async def body(store: SqliteStore):
        await store.write(add("before", 1))
        limit_pages(store, 4)
        with pytest.raises(StoreFull, match="disk is full"):
            await store.write(fill("big"))
        assert store.full_since == NOON
        clock.move(60)
        with pytest.raises(StoreFull):
            await store.write(fill("big"))
        assert store.full_since == NOON
        limit_pages(store, None)
        await store.write(fill("big", 100))
        assert store.full_since is None
        return await store.read(names)

    kept = with_sqlite(tmp_path, body, clock=clock)
    assert "before" in kept
    assert len(kept) == 3


def test_on_a_full_disk_the_small_ones_of_a_batch_are_stored(tmp_path: Path):
    """One that does not fit ends the batch's transaction; its neighbours are run again alone and answered."""

    async def body(store: SqliteStore):
        limit_pages(store, 4)
        asked: list[Any] = [store.write(add("a", 1)), store.write(fill("big")), store.write(add("b", 2))]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [type(answer) for answer in answers], await store.read(names)

    assert with_sqlite(tmp_path, body) == ([str, StoreFull, str], ["a", "b"])


def test_a_shut_store_refuses_to_write_and_reads_on(tmp_path: Path):
    """What was asked before is on the disk when it is shut, whoever writes after is told why; reopened, it writes again."""

    async def body(store: SqliteStore):
        asked = [store.write(add(f"{n}", n)) for n in range(50)]
        shutting = asyncio.ensure_future(store.shut(StoreMoving("on the move", retry_after=1.0)))
        await asyncio.sleep(0)
        for late in (store.write(add("late")), store.write_each(lambda tx, items: items, 1)):
            with pytest.raises(StoreMoving, match="on the move"):
                await late
        await shutting
        assert all(one.done() for one in asked)
        assert await store.read(names) == [f"{n}" for n in range(50)]
        store.reopen()
        await store.write(add("again", 50))
        return await store.read(names)

    assert with_sqlite(tmp_path, body)[-1] == "again"


def test_closing_finishes_what_was_asked(tmp_path: Path):
    """Writes and reads asked before `close` are answered; later ones raise StoreClosed."""

    async def body():
        store = open_sqlite(tmp_path)
        asked = [asyncio.ensure_future(store.write(add(f"{n}", n))) for n in range(300)]
        reading = asyncio.ensure_future(store.read(names))
        await store.close()
        assert [f"{n}" for n in range(300)] == await asyncio.gather(*asked)
        assert isinstance(await reading, list)
        for late in (store.write(add("late")), store.read(names)):
            with pytest.raises(StoreClosed):
                await late
        await store.close()

    asyncio.run(body())


def test_another_connection_sees_only_what_was_committed(tmp_path: Path):
    """A second connection, as a backup or a report opens, reads beside the writer and is never in its way."""

    async def body(store: SqliteStore):
        await store.write(add("a", 1))
        with closing(connect(store.path, read_only=True)) as other:
            other.execute("BEGIN")
            before = other.execute("SELECT count(*) FROM counters").fetchone()[0]
            await store.write(add("b", 2))
            during = other.execute("SELECT count(*) FROM counters").fetchone()[0]
            other.execute("ROLLBACK")
            return before, during, other.execute("SELECT count(*) FROM counters").fetchone()[0]

    assert with_sqlite(tmp_path, body) == (1, 1, 2)


def test_what_was_answered_is_there_when_the_file_is_opened_again(tmp_path: Path):
    """Close and open: nothing is forgotten."""
    with_sqlite(tmp_path, lambda store: store.write(add("a")))

    with closing(connect(tmp_path / "omniline.db", read_only=True)) as again:
        assert again.execute("SELECT name FROM counters").fetchall() == [("a",)]


FAILING_DISK = """
import asyncio, os, resource, sys
from pathlib import Path
from broker.errors import StoreBroken
from tests.contracts.test_store import add, names
from tests.support.store import open_sqlite

async def main(folder):
    broken = []
    store = open_sqlite(Path(folder), on_broken=broken.append)
    await store.write(add("safe", 0))
    limit = os.path.getsize(store.path.with_name("omniline.db-wal")) + 200_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    # More than one batch: what waits behind the one that fails must be answered, too.
    asked = [store.write(add(f"{n}-" + "x" * 3000, n + 1)) for n in range(900)]
    answers = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 20)
    late = await asyncio.gather(store.write(add("late")), store.read(names), return_exceptions=True)
    await store.close()
    print(sum(isinstance(a, str) for a in answers), sum(isinstance(a, StoreBroken) for a in answers), len(broken))
    print(*(type(error).__name__ for error in late))

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_failing_disk_ends_the_store_and_everybody_is_answered(tmp_path: Path):
    """An I/O error (a file that may not grow): StoreBroken for all that wait, `on_broken` once, and nothing answered is gone."""
    script = subprocess.run(
        [sys.executable, "-c", FAILING_DISK, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )

    counts, late = script.stdout.splitlines()
    stored, refused, told = map(int, counts.split())
    assert (stored + refused, told) == (900, 1)
    assert refused >= 300
    assert late == "StoreBroken StoreBroken"
    with closing(connect(tmp_path / "omniline.db")) as again:
        assert again.execute("SELECT count(*) FROM counters").fetchone()[0] >= stored + 1
        assert again.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path):
    """Opening something else says so and does not overwrite it."""
    path = tmp_path / "omniline.db"
    path.write_bytes(b"A shopping list: milk, bread. " * 400)

    with pytest.raises((StoreError, driver().DatabaseError)):
        connect(path)

    assert path.read_bytes().startswith(b"A shopping list")


def test_the_database_of_the_tests_is_the_migrated_one(tmp_path: Path):
    """What these tests run on is what the shipped migrations make, to the last index."""
    with closing(connect(on_disk(tmp_path))) as connection:
        found = {row[0] for row in connection.execute("SELECT name FROM sqlite_master").fetchall()}

    assert {"sessions", "outbox", "uq_outbox_in_flight", "uq_sessions_open", "alembic_version"} <= found
