"""Databases for tests: the migrated schema once a process, then copies of it in memory or in a folder; writing as the store does."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from broker.ports import Bell, Clock, Ids, Tx
from broker.store.calls import Answer, Work
from broker.store.migrate import migrate_sqlite
from broker.store.postgres import Link
from broker.store.sqlite import SqliteStore, SqliteTx, Writer, driver
from tests.support.clock import CountedIds, MovedClock

T = TypeVar("T")


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

    def _run(self, works: Sequence[Work]) -> tuple[list[Answer], list[tuple[Bell, str]]]:
        raise NotImplementedError

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run *work* in a transaction of its own; what it raises comes through, undone."""
        answers, bells = self._run([work])
        self.rung += bells
        value: T = _value(answers[0])
        return value

    def together(self, works: Sequence[Work]) -> list[Any]:
        """Run *works* and return each one's value or the error that undid it; of an `Each` each item's."""
        answers, bells = self._run(works)
        self.rung += bells
        return [answer.value if answer.error is None else answer.error for answer in answers]

    def rows(self, text: str, *values: object) -> list[Any]:
        """Return what a plain query finds: for asserting, never for the code under test."""
        raise NotImplementedError

    def one(self, text: str, *values: object) -> Any:
        """Return the first column of the first row of a plain query."""
        return self.rows(text, *values)[0][0]


def _value(answer: Answer) -> Any:
    if answer.error is not None:
        raise answer.error
    return answer.value


class SqliteMemory(_Memory):
    """On SQLite in memory by the shipped `Writer`; all that is asked together is one commit."""

    def __init__(self, clock: Clock | None = None, ids: Ids | None = None, connection: Any = None) -> None:
        self.clock = clock or MovedClock()
        self.ids = ids or CountedIds()
        self.connection = connection or in_memory()
        self.writer = Writer(self.connection, self.clock, self.ids)
        self.rung = []

    def _run(self, works: Sequence[Work]) -> tuple[list[Answer], list[tuple[Bell, str]]]:
        return self.writer.run(works)

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run *work* as a reader does."""
        return work(SqliteTx(self.connection.cursor(), self.clock.now(), self.ids))

    def rows(self, text: str, *values: object) -> list[Any]:
        """Return what a plain query finds."""
        return list(self.connection.execute(text, values).fetchall())


class PostgresMemory(_Memory):
    """On a database of PostgreSQL's by the shipped `Link`."""

    def __init__(self, clock: Clock | None = None, ids: Ids | None = None) -> None:
        from tests.support import postgres

        self.clock = clock or MovedClock()
        self.ids = ids or CountedIds()
        self._server = postgres.server()
        self._name = self._server.migrated()
        self.link = Link(self._server.socket_url(self._name), "test", self.ids, self.clock)
        self.rung = []
        weakref.finalize(self, _forget, self.link, self._server, self._name)

    @property
    def connection(self) -> PostgresMemory:
        """Return what executes plain statements, as the other one's connection does."""
        return self

    def execute(self, text: str, values: Sequence[object] = ()) -> Any:
        """Execute a plain statement with SQLite's marks."""
        if self.link._connection is None:
            self.link._connect()
        assert self.link._connection is not None
        return self.link._connection.execute(text.replace("%", "%%").replace("?", "%s").encode(), list(values))

    def _run(self, works: Sequence[Work]) -> tuple[list[Answer], list[tuple[Bell, str]]]:
        fates = [self.link.run(work) for work in works]
        return [answer for answers, _ in fates for answer in answers], [bell for _, bells in fates for bell in bells]

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run *work* as a reader does."""
        value: T = _value(self.link.read(work))
        return value

    def rows(self, text: str, *values: object) -> list[Any]:
        """Return what a plain query finds, in SQLite's words."""
        cursor = self.execute(text, values)
        return list(cursor.fetchall()) if cursor.description is not None else []


def _forget(link: Link, server: Any, name: str) -> None:
    link.close()
    server.drop(name)


# OMNILINE_TEST_STORE=postgresql: everything that asks for a store of its own is tried on PostgreSQL.
ON_POSTGRESQL = os.environ.get("OMNILINE_TEST_STORE") == "postgresql"
MemoryStore = SqliteMemory
if ON_POSTGRESQL and not TYPE_CHECKING:
    MemoryStore = PostgresMemory


def open_store(
    folder: Path,
    *,
    clock: Clock | None = None,
    ids: Ids | None = None,
    ring: Callable[[Sequence[tuple[Bell, str]]], None] = lambda bells: None,
    on_broken: Callable[[Any], None] = lambda error: None,
) -> SqliteStore:
    """Return the shipped store on a new migrated file in *folder*; call it on a running loop, and close it."""
    return SqliteStore(
        on_disk(folder), clock=clock or MovedClock(), ids=ids or CountedIds(), ring=ring, on_broken=on_broken, readers=2
    )
