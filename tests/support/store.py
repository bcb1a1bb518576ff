"""Databases for tests: the migrated schema once a process, then copies of it in memory or in a folder; writing as the store does.

With OMNILINE_TEST_STORE=postgresql everything that asks for a store of its own is tried on PostgreSQL, by the same tests. What speaks
of SQLite alone asks for `SqliteMemory` and `open_sqlite`.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

import broker.store.postgres
import broker.store.sqlite
from broker.ports import Bell, Clock, Ids, Tx
from broker.store.calls import After, Answer, Work
from broker.store.migrate import migrate_sqlite
from broker.store.postgres import Link, PostgresStore, PostgresTx
from broker.store.sqlite import SqliteStore, SqliteTx, Writer, driver
from tests.support import postgres
from tests.support.clock import CountedIds, MovedClock
from tests.support.counting import CountingCursor

T = TypeVar("T")
ON_POSTGRESQL = os.environ.get("OMNILINE_TEST_STORE") == "postgresql"


def fewer(examples: int) -> int:
    """Return how many of *examples* made at random are tried in this pass: on PostgreSQL each takes as long as several on SQLite."""
    return examples // 4 if ON_POSTGRESQL else examples


@cache
def _migrated() -> bytes:
    """Return a database file that the shipped migrations made."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "omniline.db"
        migrate_sqlite(path)
        with closing(driver().connect(str(path))) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
        return path.read_bytes()


@cache
def _template() -> Any:
    """Return a connection to the migrated schema in memory: copying from it takes a fraction of a millisecond."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "omniline.db"
        path.write_bytes(_migrated())
        memory = driver().connect(":memory:", check_same_thread=False)
        with closing(driver().connect(str(path))) as connection:
            connection.backup(memory)
    return memory


def in_memory() -> Any:
    """Return a connection to a migrated, empty database in memory, set as the store sets its writer where memory allows."""
    connection = driver().connect(":memory:", isolation_level=None, check_same_thread=False, cached_statements=512)
    _template().backup(connection)
    connection.execute("PRAGMA foreign_keys=1")
    return connection


def on_disk(folder: Path) -> Path:
    """Write a migrated, empty database into *folder* and return its path."""
    path = folder / "omniline.db"
    path.write_bytes(_migrated())
    return path


class _Memory:
    """Transactions called synchronously on a database of its own: `write` answers at once."""

    clock: Clock
    ids: Ids
    rung: list[tuple[Bell, str]]

    def _run(self, works: Sequence[Work]) -> tuple[list[Answer], After]:
        raise NotImplementedError

    def _plain(self, text: str, values: Sequence[object]) -> Any:
        """Return the cursor that has executed *text*, of which each question mark is a value."""
        raise NotImplementedError

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run *work* as a reader does."""
        raise NotImplementedError

    def looking(self) -> Tx:
        """Return what asks on the connection as it is, outside of any transaction or within `undone`."""
        raise NotImplementedError

    def executed(self) -> AbstractContextManager[list[str]]:
        """Return a context that lists the statements executed in it, but for what begins and ends transactions."""
        raise NotImplementedError

    def spent(self) -> AbstractContextManager[list[int]]:
        """Return a context that says at its end what was gone through in it, in the database's own steps (not seconds)."""
        raise NotImplementedError

    def undone(self) -> AbstractContextManager[None]:
        """Return a context in which anything can be broken, foreign keys or not; all of it is undone at the end."""
        raise NotImplementedError

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run *work* in a transaction of its own; what it raises comes through, undone."""
        answers, after = self._run([work])
        after.carry_out(self.rung.extend)
        value: T = _value(answers[0])
        return value

    def together(self, works: Sequence[Work]) -> list[Any]:
        """Run *works* and return each one's value or the error that undid it; of an `Each` each item's."""
        answers, after = self._run(works)
        after.carry_out(self.rung.extend)
        return [answer.value if answer.error is None else answer.error for answer in answers]

    def rows(self, text: str, *values: object) -> list[Any]:
        """Return what a plain query finds: for asserting, never for the code under test."""
        return list(self._plain(text, values).fetchall())

    def one(self, text: str, *values: object) -> Any:
        """Return the first column of the first row of a plain query."""
        return self.rows(text, *values)[0][0]

    def change(self, text: str, *values: object) -> int:
        """Execute a plain statement, to break or to furnish; return how many rows it changed."""
        return int(self._plain(text, values).rowcount)


def _value(answer: Answer) -> Any:
    if answer.error is not None:
        raise answer.error
    return answer.value


_NOT_COUNTED = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "--")  # a comment: what a trigger or a constraint does beside


class SqliteMemory(_Memory):
    """On SQLite in memory by the shipped `Writer`; all that is asked together is one commit."""

    def __init__(self, clock: Clock | None = None, ids: Ids | None = None, connection: Any = None) -> None:
        self.clock = clock or MovedClock()
        self.ids = ids or CountedIds()
        self.connection = connection or in_memory()
        self.writer = Writer(self.connection, self.clock, self.ids)
        self.rung = []

    def _run(self, works: Sequence[Work]) -> tuple[list[Answer], After]:
        return self.writer.run(works)

    def _plain(self, text: str, values: Sequence[object]) -> Any:
        return self.connection.execute(text, values)

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run *work* as a reader does."""
        return work(self.looking())

    def looking(self) -> Tx:
        """See `_Memory.looking`."""
        return SqliteTx(self.connection.cursor(), self.clock.now(), self.ids)

    @contextmanager
    def executed(self) -> Iterator[list[str]]:
        """See `_Memory.executed`."""
        seen: list[str] = []
        self.connection.set_trace_callback(lambda text: seen.append(text) if not text.startswith(_NOT_COUNTED) else None)
        yield seen
        self.connection.set_trace_callback(None)

    @contextmanager
    def spent(self) -> Iterator[list[int]]:
        """See `_Memory.spent`: tens of instructions of SQLite's machine."""
        steps: list[int] = []
        self.connection.set_progress_handler(lambda: steps.append(1), 10)
        said: list[int] = []
        yield said
        self.connection.set_progress_handler(None, 0)
        said.append(len(steps))

    @contextmanager
    def undone(self) -> Iterator[None]:
        """See `_Memory.undone`."""
        self.connection.execute("PRAGMA foreign_keys=0")
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("ROLLBACK")
            self.connection.execute("PRAGMA foreign_keys=1")


class _TellingCursor(psycopg.Cursor[Any]):
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection)
        self.executed: list[str] = []

    def execute(self, query: Any, *values: Any, **how: Any) -> Any:
        self.executed.append(str(query))
        return super().execute(query, *values, **how)


class PostgresMemory(_Memory):
    """On a database of PostgreSQL's by the shipped `Link`."""

    def __init__(self, clock: Clock | None = None, ids: Ids | None = None) -> None:
        self.clock = clock or MovedClock()
        self.ids = ids or CountedIds()
        self.server = postgres.server()
        self.database = self.server.lend()
        self.link = Link(self.database.url, "test", self.ids, self.clock)
        self.link._connection, self.link._cursor = self.database.connection, self.database.connection.cursor()
        self.rung = []
        weakref.finalize(self, self.server.take_back, self.database)

    def _run(self, works: Sequence[Work]) -> tuple[list[Answer], After]:
        answers: list[Answer] = []
        after = After()
        for work in works:
            fates, then = self.link.run(work)
            answers += fates
            after += then
        return answers, after

    def _plain(self, text: str, values: Sequence[object]) -> Any:
        return self.database.connection.execute(_pyformat(text), values)

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run *work* as a reader does."""
        value: T = _value(self.link.read(work))
        return value

    def looking(self) -> Tx:
        """See `_Memory.looking`."""
        return PostgresTx(self.database.connection.cursor(), self.clock.now(), self.ids)

    @contextmanager
    def executed(self) -> Iterator[list[str]]:
        """See `_Memory.executed`."""
        self.link._cursor, before = _TellingCursor(self.database.connection), self.link._cursor
        yield self.link._cursor.executed
        self.link._cursor = before

    @contextmanager
    def spent(self) -> Iterator[list[int]]:
        """See `_Memory.spent`: rows, as `EXPLAIN ANALYZE` counts them."""
        self.change("ANALYZE outbox")
        cursor, before = CountingCursor(self.database.connection), self.link._cursor
        self.link._cursor = cursor
        said: list[int] = []
        yield said
        self.link._cursor = before
        said.append(sum(cursor.went_through.values()))

    @contextmanager
    def undone(self) -> Iterator[None]:
        """See `_Memory.undone`."""
        with self.database.connection.transaction(force_rollback=True):
            self.change("SET LOCAL session_replication_role = replica")
            yield


def _pyformat(text: str) -> bytes:
    return text.replace("%", "%%").replace("?", "%s").encode()


def plain(tx: Tx, text: str, *values: object) -> Any:
    """Return the cursor that has executed *text*, of which each question mark is a value, in a transaction of either store."""
    match tx:
        case SqliteTx():
            return tx._cursor.execute(text, values)
        case PostgresTx():
            return tx._cursor.execute(_pyformat(text), values)
    raise TypeError(tx)


def set_full(tx: Tx, full: bool) -> None:
    """Let the database answer as on a full disk from now on, or as on one with room again."""
    if not tx.shared:
        pages = plain(tx, "PRAGMA page_count").fetchone()[0] if full else 1 << 30
        plain(tx, f"PRAGMA max_page_count = {pages}")
        return
    if not full:
        plain(tx, "DROP FUNCTION disk_full CASCADE")
        return
    plain(tx, postgres.DISK_FULL)
    for table in ("inputs", "messages", "journal", "sessions"):
        plain(tx, f"CREATE TRIGGER disk_full BEFORE INSERT ON {table} EXECUTE FUNCTION disk_full()")


MemoryStore = SqliteMemory
if ON_POSTGRESQL and not TYPE_CHECKING:
    MemoryStore = PostgresMemory


Ring = Callable[[Sequence[tuple[Bell, str]]], None]


def open_sqlite(
    folder: Path,
    *,
    clock: Clock | None = None,
    ids: Ids | None = None,
    ring: Ring = lambda bells: None,
    on_broken: Callable[[Any], None] = lambda error: None,
) -> SqliteStore:
    """Return the shipped store on a new migrated file in *folder*; call it on a running loop, and close it."""
    return SqliteStore(
        on_disk(folder), clock=clock or MovedClock(), ids=ids or CountedIds(), ring=ring, on_broken=on_broken, readers=2
    )


class LentPostgresStore(PostgresStore):
    """The shipped store on a migrated database of its own on the server of this process of tests."""

    def __init__(self, clock: Clock, ids: Ids, ring: Ring) -> None:
        self.server = postgres.server()
        self.database = self.server.lend()
        super().__init__(self.database.url, clock=clock, ids=ids, ring=ring, writers=2, readers=2)

    async def close(self) -> None:
        """Close it, and let the next test have the database."""
        first = self._end is None
        await super().close()
        if first:
            self.server.take_back(self.database)


def open_postgres(*, clock: Clock | None = None, ids: Ids | None = None, ring: Ring = lambda bells: None) -> LentPostgresStore:
    """Return the shipped store on PostgreSQL; call it on a running loop, and close it."""
    return LentPostgresStore(clock or MovedClock(), ids or CountedIds(), ring)


AnyStore = SqliteStore | LentPostgresStore


Opens = Callable[..., SqliteStore | PostgresStore]


@contextmanager
def store_opener(folder: Path) -> Iterator[Opens]:
    """Make a migrated, empty database; yields what opens a shipped store on it, again and again, as starts of a process do."""
    if not ON_POSTGRESQL:
        yield partial(SqliteStore, on_disk(folder))
        return
    server = postgres.server()
    lent = server.lend()
    yield partial(PostgresStore, lent.url, writers=2, readers=2)
    server.take_back(lent)


def open_store(folder: Path, *, clock: Clock | None = None, ids: Ids | None = None, ring: Ring = lambda bells: None) -> AnyStore:
    """Return a shipped store on a new migrated database, a file in *folder* if it is SQLite's; close it."""
    if ON_POSTGRESQL:
        return open_postgres(clock=clock, ids=ids, ring=ring)
    return open_sqlite(folder, clock=clock, ids=ids, ring=ring)


def read_once(store: AnyStore, work: Callable[[Tx], T]) -> T:
    """Run *work* beside *store* by the shipped `read_once`, as commands do and threads that compute."""
    if isinstance(store, SqliteStore):
        return broker.store.sqlite.read_once(store.path, work)
    return broker.store.postgres.read_once(store.database.url, work)
