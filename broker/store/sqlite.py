"""The embedded store: one SQLite file, one writer thread, many transactions to one fsync.

    write(work) ──► queue ──► writer thread: BEGIN, [SAVEPOINT, work(tx), RELEASE]…, COMMIT ──► answers, then bells
    read(work)  ──► reader threads: BEGIN, work(tx), ROLLBACK, on connections that cannot write

What waited while the last fsync ran goes into one batch; nobody waits to fill a batch. The items of `write_each` that meet in a
batch share a call, and fall apart when it raises. A savepoint gives each function its own fate: its exception undoes it alone.
When a statement ends the outer transaction, or COMMIT fails, nothing of the batch has happened; none is answered, and each function
is run again in a transaction of its own. So a function must be repeatable.

A full disk refuses and the store goes on (StoreFull). An I/O error may have left the file in an unknown state: the store calls
`on_broken` and answers nothing more (StoreBroken); only a reopening tells what is there.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from broker import metrics
from broker.errors import SqliteTooOld, StoreBroken, StoreBusy, StoreClosed, StoreError, StoreFull
from broker.ports import Bell, Clock, Ids, Row, RowsStatement, Statement, Tx
from broker.store.calls import BATCH_MAX, WHOLE, After, Answer, Work, answers_due, call, calls_of, halves, settle
from broker.store.checkpoints import Keeper
from broker.store.sql import SQLITE, RowsSql, Sql

A = TypeVar("A")
T = TypeVar("T")

OLDEST = (3, 51, 3)
"""Older ones have the WAL-reset race between two connections (SQLite 3.7.0 to 3.51.2)."""
_FULL, _IOERR, _CORRUPT, _NOTADB, _CANTOPEN = 13, 10, 11, 26, 14
_DISK = (_IOERR, _CORRUPT, _NOTADB, _CANTOPEN)
_BUSY, _LOCKED, _NOMEM, _READONLY, _PROTOCOL = 5, 6, 7, 8, 15
_AWHILE = (_BUSY, _LOCKED, _NOMEM, _READONLY, _PROTOCOL)
"""Nobody's fault and nothing broken: another program holds the file, say; the same may go through later."""


def driver() -> Any:
    """Return the DB-API module whose SQLite is new enough. Raises SqliteTooOld."""
    found = []
    for name in ("pysqlite3.dbapi2", "sqlite3"):
        with suppress(ImportError):
            module: Any = __import__(name, fromlist=["connect"])
            if module.sqlite_version_info >= OLDEST:
                return module
            found.append(f"{name} has {module.sqlite_version}")
    raise SqliteTooOld(
        f"SQLite 3.51.3 or newer is needed, older ones can corrupt the database ({'; '.join(found)}); "
        "install the package pysqlite3 into this environment: pip install 'pysqlite3>=0.6.1'"
    )


_KEEP_NONE: Any = {}.get
"""Makes None of None. Where nobody says what to make of it, the driver asks for two protocols that None has not, and words an error
for each that it then drops: 1.2 us a value against 0.04, and rows are full of them."""


_unpack = msgspec.json.Decoder(list[tuple[Any, ...]]).decode


class SqliteTx:
    """A `Tx` on one SQLite cursor."""

    shared = False

    __slots__ = ("_cursor", "_ids", "_later", "after", "now")

    def __init__(self, cursor: Any, now: datetime, ids: Ids) -> None:
        self._cursor = cursor
        self._ids = ids
        self._later: dict[RowsSql, list[Row]] = {}
        self.now = now
        self.after = After()

    def new_id(self) -> str:
        return self._ids.new()

    def all(self, statement: Statement, /, **values: object) -> list[Row]:
        made = cast(Sql, statement)
        text, fixed = made.text(SQLITE)
        rows: list[Row] = self._cursor.execute(text, {**fixed, **values} if fixed else values).fetchall()
        return _unpack(rows[0][0]) if made.packed else rows

    def one(self, statement: Statement, /, **values: object) -> Row | None:
        # Everything is fetched: a RETURNING left half read would keep its statement open over the commit.
        rows = self.all(statement, **values)
        return rows[0] if rows else None

    def run(self, statement: Statement, /, **values: object) -> int:
        text, fixed = cast(Sql, statement).text(SQLITE)
        return self._cursor.execute(text, {**fixed, **values} if fixed else values).rowcount  # type: ignore[no-any-return]

    def each(self, statement: RowsStatement, rows: Sequence[Row], /) -> list[Row]:
        over = cast(RowsSql, statement)
        shapes = over.texts()
        most = shapes[-1][0]
        found: list[Row] = []
        for begin in range(0, len(rows), most):
            part = rows[begin : begin + most]
            size, text = next(shape for shape in shapes if shape[0] >= len(part))
            values = [value for row in part for value in row]
            values += over.empty * (size - len(part))
            answer = self._cursor.execute(text, values).fetchall()
            found += _unpack(answer[0][0]) if over.packed else answer
        return found

    def later(self, statement: RowsStatement, row: Row, /) -> None:
        self._later.setdefault(cast(RowsSql, statement), []).append(row)

    def settle(self) -> None:
        if self._later:
            later, self._later = self._later, {}
            for statement, rows in later.items():
                self.each(statement, rows)

    def ring(self, bell: Bell, key: str = "", /) -> None:
        self.after.bells.append((bell, key))

    def count(self, do: Callable[[], None], /) -> None:
        self.after.counts.append(do)


class Writer:
    """Runs functions on the one writing connection; knows nothing of threads or loops."""

    def __init__(self, connection: Any, clock: Clock, ids: Ids) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._clock = clock
        self._ids = ids
        self.error_class: type[Exception] = driver().Error

    def run(self, works: Sequence[Work]) -> tuple[list[Answer], After]:
        """Run *works* in one commit, or, when that cannot be, each in its own; return their fates and what to do then.

        First as if none of them could fail: a savepoint round each costs copies of the pages it writes. When one does fail, all are
        undone and run again, each within its savepoint.

        An `Each` has a fate for each of its items, in their order. Raises StoreBroken when the disk failed.
        """
        answers: list[Answer] = []
        after = After()
        if len(works) > 1 or halves(works[0]):
            for run in (self._bare, self._within):
                if self._together(works, run, answers, after):
                    return answers, after
                answers, after = [], After()
        for work in works:
            self._alone(work, answers, after)
        return answers, after

    def _together(
        self,
        works: Sequence[Work],
        run: Callable[[Work, list[Answer], After], bool],
        answers: list[Answer],
        after: After,
    ) -> bool:
        try:
            if (busy := self._begin()) is not None:
                answers += [Answer(None, busy) for work in works for _ in range(answers_due(work))]
                return True
            for work in works:
                if not run(work, answers, after):
                    self._undo()
                    return False
            self._cursor.execute("COMMIT")
        except self.error_class as error:
            self._give_up(error)
            return False
        return True

    def _bare(self, work: Work, answers: list[Answer], after: After) -> bool:
        tx = SqliteTx(self._cursor, self._clock.now(), self._ids)
        try:
            values = call(work, tx)
        except Exception as error:
            if _code(error) in (_FULL, *_DISK):
                raise
            return False
        answers += [Answer(value, None) for value in values]
        after += tx.after
        return True

    def _within(self, work: Work, answers: list[Answer], after: After) -> bool:
        """Run *work* under a savepoint; False when its error has ended the transaction around it."""
        execute = self._cursor.execute
        tx = SqliteTx(self._cursor, self._clock.now(), self._ids)
        execute("SAVEPOINT one")
        try:
            values = call(work, tx)
        except Exception as error:
            if not self._connection.in_transaction:
                return False
            if _code(error) in (_FULL, *_DISK):
                raise
            execute("ROLLBACK TO one")
            execute("RELEASE one")
            if parts := halves(work):
                return all(self._within(part, answers, after) for part in parts)
            answers.append(Answer(None, _told(error)))
        else:
            execute("RELEASE one")
            answers += [Answer(value, None) for value in values]
            after += tx.after
        return True

    def _alone(self, work: Work, answers: list[Answer], after: After) -> None:
        tx = SqliteTx(self._cursor, self._clock.now(), self._ids)
        try:
            if (busy := self._begin()) is not None:
                raise busy
            values = call(work, tx)
            self._cursor.execute("COMMIT")
        except Exception as error:
            if isinstance(error, self.error_class):
                self._give_up(error)
            else:
                self._undo()
            if (parts := halves(work)) and not isinstance(error, StoreBusy):
                for part in parts:
                    self._alone(part, answers, after)
            else:
                answers += [Answer(None, _told(error)) for _ in range(answers_due(work))]
        else:
            answers += [Answer(value, None) for value in values]
            after += tx.after

    def _begin(self) -> StoreBusy | None:
        """Begin a transaction, or return why it cannot be: once for all that asked, for each try waits its five seconds."""
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
        except self.error_class as error:
            if isinstance(told := _told(error), StoreBusy):
                return told
            raise
        return None

    def _give_up(self, error: Exception) -> None:
        """Undo the transaction; an error of the disk itself is the end of this connection."""
        if _code(error) in _DISK:
            with suppress(Exception):
                self._undo()
            raise _told(error) from error
        self._undo()

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._cursor.execute("ROLLBACK")


_WORDS = {
    "database or disk is full": _FULL,
    "disk I/O error": _IOERR,
    "database disk image is malformed": _CORRUPT,
    "file is not a database": _NOTADB,
    "unable to open database file": _CANTOPEN,
    "database is locked": _BUSY,
}


def _code(error: BaseException) -> int:
    """Return SQLite's result code of *error*; 0: it is not SQLite's."""
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & 0xFF
    return _WORDS.get(str(error), 0)  # a driver without codes says it in words


def _told(error: Exception) -> Exception:
    """Return *error* as whoever asked is to know it: what the disk or another program did, in our words; all else as it is."""
    code = _code(error)
    if code == _FULL:
        return StoreFull("the disk is full: free some space; nothing that was accepted is lost")
    if code in _AWHILE:
        return StoreBusy(f"the database cannot be used just now ({error}); if another program holds it open, let that end")
    if code in _DISK:
        return StoreBroken(f"the database's disk failed ({error}); check the disk, then start again")
    return error


def connect(path: Path, *, read_only: bool = False) -> Any:
    """Open a connection as the store needs it, and read the settings back. Raises StoreError, SqliteTooOld."""
    module = driver()
    try:
        return _connect(module, path, read_only=read_only)
    except module.Error as error:
        if _code(error) in (_NOTADB, _CORRUPT):
            raise StoreError(
                f"{path} is not a database ({error}); restore it from a backup, or move it away to begin anew"
            ) from error
        if _code(error) == _CANTOPEN:
            raise StoreError(f"{path} cannot be opened; look at its permissions and its folder's") from error
        raise _told(error) from error


def _connect(module: Any, path: Path, *, read_only: bool) -> Any:
    module.register_adapter(type(None), _KEEP_NONE)
    connection = module.connect(str(path), isolation_level=None, check_same_thread=False, cached_statements=512, timeout=5.0)
    if read_only:
        wanted = {"query_only": 1}
    else:
        wanted = {"synchronous": 2, "foreign_keys": 1}
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise StoreError(f"{path}: SQLite answered journal_mode={mode} instead of wal; use a local disk")
        connection.execute("PRAGMA fullfsync=1")  # macOS: the drive's own cache too
        connection.execute("PRAGMA wal_autocheckpoint=4000")
    for name, value in wanted.items():
        connection.execute(f"PRAGMA {name}={value}")
        got = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if got != value:
            raise StoreError(f"{path}: SQLite answered {name}={got} instead of {value}")
    connection.execute("PRAGMA cache_size=-32768" if not read_only else "PRAGMA cache_size=-8192")
    connection.execute("PRAGMA temp_store=MEMORY")
    return connection


class SqliteStore:
    """The `Store` of the embedded default. Make it on a migrated database (broker.store.migrate), use it on one loop."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        ids: Ids,
        ring: Callable[[Sequence[tuple[Bell, str]]], None],
        on_broken: Callable[[StoreBroken], None] = lambda error: None,
        readers: int = 2,
    ) -> None:
        self.path = path
        self._clock = clock
        self._ids = ids
        self._ring = ring
        self._on_broken = on_broken
        self._loop = asyncio.get_running_loop()
        self._writes: queue.SimpleQueue[tuple[Callable[..., Any], Any, asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._reads: queue.SimpleQueue[tuple[Callable[[Tx], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._end: StoreError | None = None
        self._shut: StoreError | None = None
        self.full_since: datetime | None = None
        """When the disk was first found full; None once a commit has gone through again."""
        self.commits = 0
        self.committed = 0
        self._writer = Writer(connect(path), clock, ids)
        self._keeper = Keeper(self._writer._connection, path, connect)
        self._threads = [threading.Thread(target=self._write_all, name="store-writer", daemon=True)]
        self._readers = [connect(path, read_only=True) for _ in range(readers)]
        self._threads += [
            threading.Thread(target=self._read_all, args=(connection,), name=f"store-reader-{number}", daemon=True)
            for number, connection in enumerate(self._readers)
        ]
        for thread in self._threads:
            thread.start()

    def write(self, work: Callable[[Tx], T], /) -> asyncio.Future[T]:
        """See `Store.write`."""
        return self._put(self._writes, work, WHOLE)

    def write_each(self, work: Callable[[Tx, Sequence[A]], Sequence[T]], item: A, /) -> asyncio.Future[T]:
        """See `Store.write_each`."""
        return self._put(self._writes, work, item)

    def read(self, work: Callable[[Tx], T], /) -> asyncio.Future[T]:
        """See `Store.read`."""
        return self._put(self._reads, work)

    async def shut(self, reason: StoreError) -> None:
        """Answer with *reason* whatever would write, until `reopen`; return when what was asked before is on the disk."""
        last = self._put(self._writes, _nothing, WHOLE)
        self._shut = reason
        await last

    def reopen(self) -> None:
        """Write again what is asked from now on."""
        self._shut = None

    async def close(self) -> None:
        """Finish what was asked, then close the file; later calls raise StoreClosed."""
        if self._end is None:
            self._end = StoreClosed("the store has been closed")
        self._writes.put(None)
        for _ in self._readers:
            self._reads.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._join)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()
        for connection in [*self._readers, self._writer._connection]:
            with suppress(Exception):
                connection.close()
        self._keeper.close()

    def _put(self, where: queue.SimpleQueue[Any], *job: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        refusal = self._end or (self._shut if where is self._writes else None)
        if refusal is not None:
            future.set_exception(refusal)
        else:
            where.put((*job, future))
        return future

    # --- the writer thread

    def _write_all(self) -> None:
        get, get_now = self._writes.get, self._writes.get_nowait
        while (first := get()) is not None:
            batch = [first]
            last = False
            with suppress(queue.Empty):
                while len(batch) < BATCH_MAX:
                    following = get_now()
                    if following is None:
                        last = True
                        break
                    batch.append(following)
            works, futures = calls_of(batch)
            try:
                answers, after = self._writer.run(works)
            except Exception as error:  # whatever it is: a writer that ends without a word would leave everybody waiting
                broken = error if isinstance(error, StoreBroken) else StoreBroken(f"the store's writer failed: {error!r}")
                self._end = broken
                self._hand_back([(future, Answer(None, broken)) for future in futures], After(), broken=broken)
                return
            self.commits += 1
            self.committed += len(batch)
            self._hand_back(list(zip(futures, answers, strict=True)), after)
            self._keeper.committed(len(batch))
            if last:
                return

    def _hand_back(
        self, settled: list[tuple[asyncio.Future[Any], Answer]], after: After, broken: StoreBroken | None = None
    ) -> None:
        with suppress(RuntimeError):  # the loop has ended before us
            self._loop.call_soon_threadsafe(self._settle, settled, after, broken)

    def _settle(self, settled: list[tuple[asyncio.Future[Any], Answer]], after: After, broken: StoreBroken | None) -> None:
        done = sum(answer.error is None for _, answer in settled)
        if done:
            metrics.store_commits_total.inc()
            metrics.store_transactions_total.inc(done)
            metrics.store_batch_size.observe(done)
        for future, answer in settled:
            if isinstance(answer.error, StoreFull):
                self.full_since = self.full_since or self._clock.now()
            elif answer.error is None:
                self.full_since = None
            settle(future, answer)
        after.carry_out(self._ring)
        if broken is not None:
            self._refuse_queued(broken)
            self._on_broken(broken)

    def _refuse_queued(self, broken: StoreBroken) -> None:
        """Answer what nobody will do any more: on the loop's thread, where `_put` runs, so that nothing comes in behind."""
        with suppress(queue.Empty):
            while True:
                job = self._writes.get_nowait()
                if job is not None and not job[-1].done():
                    job[-1].set_exception(broken)

    # --- the reader threads

    def _read_all(self, connection: Any) -> None:
        cursor = connection.cursor()
        while (job := self._reads.get()) is not None:
            work, future = job
            try:
                cursor.execute("BEGIN")
                try:
                    answer = Answer(work(SqliteTx(cursor, self._clock.now(), self._ids)), None)
                finally:
                    if connection.in_transaction:
                        cursor.execute("ROLLBACK")
            except Exception as error:
                answer = Answer(None, _told(error))
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(settle, future, answer)


def _nothing(tx: Tx) -> None:
    """Do nothing, after everything that was asked before."""


def read_once(path: Path, work: Callable[[Tx], T]) -> T:
    """Run *work* on a snapshot of the database at *path*, beside whoever owns it. Raises StoreError."""
    from broker.clock import SystemClock, SystemIds

    connection = connect(path, read_only=True)
    try:
        cursor = connection.cursor()
        cursor.execute("BEGIN")
        return work(SqliteTx(cursor, SystemClock().now(), SystemIds()))
    except driver().Error as error:
        raise _told(error) from error
    finally:
        connection.close()
