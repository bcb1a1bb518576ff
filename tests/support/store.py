"""Databases for tests: the migrated schema once a process, then copies of it in memory or in a folder; writing as the store does."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from broker.ports import Bell, Clock, Ids, Tx
from broker.store.migrate import migrate_sqlite
from broker.store.sqlite import SqliteStore, Work, Writer, driver
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


class MemoryStore:
    """Transactions on a database in memory by the shipped `Writer`, called synchronously: `write` answers at once."""

    def __init__(self, clock: Clock | None = None, ids: Ids | None = None, connection: Any = None) -> None:
        self.clock = clock or MovedClock()
        self.ids = ids or CountedIds()
        self.connection = connection or in_memory()
        self.writer = Writer(self.connection, self.clock, self.ids)
        self.rung: list[tuple[Bell, str]] = []

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run *work* in a transaction of its own; what it raises comes through, undone."""
        answers, bells = self.writer.run([work])
        self.rung += bells
        if answers[0].error is not None:
            raise answers[0].error
        value: T = answers[0].value
        return value

    def together(self, works: Sequence[Work]) -> list[Any]:
        """Run *works* in one commit and return each one's value or the error that undid it; of an `Each` each item's."""
        answers, bells = self.writer.run(works)
        self.rung += bells
        return [answer.value if answer.error is None else answer.error for answer in answers]

    def rows(self, text: str, *values: object) -> list[Any]:
        """Return what a plain query finds: for asserting, never for the code under test."""
        return list(self.connection.execute(text, values).fetchall())

    def one(self, text: str, *values: object) -> Any:
        """Return the first column of the first row of a plain query."""
        return self.rows(text, *values)[0][0]


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
