"""The store of several processes or hosts: PostgreSQL, a few connections, many transactions to one commit.

    write(work) ──► jobs ──► a writer thread: BEGIN, work(tx), COMMIT ──► answers, then bells
    read(work)  ──► jobs ──► a reader thread: BEGIN READ ONLY (one snapshot), work(tx), COMMIT

A function for itself has a transaction of its own; the items of `write_each` that wait for the same function share one, and fall apart
when it raises. Several writers commit side by side, and PostgreSQL syncs for all of them at once.

Time is the database's: whatever the clocks of the hosts say, all processes go by one.

What the database does to a transaction is not the function's fault, and functions are repeatable:

    deadlock, cancelled for another's sake      run again at once
    connection lost before COMMIT               run again on a new connection; after PATIENCE_SECONDS without one: StoreBusy
    no answer, and the connection stands        after STALL_SECONDS it is cut, which is the same; what waits behind such calls for
                                                PATIENCE_SECONDS: StoreBusy
    connection lost at COMMIT                   the transaction's own number tells on a new connection whether it was committed
    statement or lock took too long             StoreBusy, for that item alone
    disk full                                   StoreFull, and the store goes on
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, cast

import psycopg
import structlog
from psycopg import pq

from broker import metrics
from broker.domain import from_us
from broker.errors import ConfigError, StoreBusy, StoreClosed, StoreError, StoreFull, StoreUncertain
from broker.ports import Bell, Clock, Ids, Row, RowsStatement, Statement, Tx
from broker.store.arrays import FlatListDumper
from broker.store.calls import BATCH_MAX, WHOLE, After, Answer, Each, Work, answers_due, call, halves, settle
from broker.store.sql import POSTGRESQL, RowsSql, Sql

log = structlog.get_logger(__name__)

A = TypeVar("A")
T = TypeVar("T")

OLDEST = 140_000
"""PostgreSQL 14, as the server tells its version."""
WRITERS = 4
READERS = 4
PATIENCE_SECONDS = 5.0
"""How long a call waits for a database that does not answer; once that has passed, calls are refused at once until it does."""
STALL_SECONDS = 40.0
"""Without an answer for so long the connection is cut: a server that works has ended the statement before (`statement_timeout`)."""
CLOSE_SECONDS = 10.0
"""How long the end of a process waits for what was asked; what stands still then is cut off."""
WATCH_SECONDS = 1.0
RETRY_SECONDS = 0.2
"""Between two tries to connect."""
TRIES = 10
"""How often a transaction is run again after a deadlock; each round one of those in it gets through."""
OUTCOME_SECONDS = 30.0
"""How long we try to learn what became of a COMMIT whose answer was lost."""
SETTINGS = {
    "statement_timeout": "30s",
    "lock_timeout": "10s",
    # A process that stands still in a transaction holds everybody's news back: let it be ended.
    "idle_in_transaction_session_timeout": "30s",
    "timezone": "UTC",
    # A statement of ours is planned once; what is planned for certain values would be planned at each execution.
    "plan_cache_mode": "force_generic_plan",
    # Planned without its values, "since yesterday" is taken for a third of the history, and a walk through all of it for the cheaper way.
    # Each statement has its index (tests/support/plans.py plans all of them by these settings): it is to be used.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
_PATIENT = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # Its statements are few and find much: how much depends on the values (of a page of a range all the rest was sorted otherwise).
    "plan_cache_mode": "force_custom_plan",
    "enable_seqscan": "on",
    "enable_hashjoin": "on",
    "enable_mergejoin": "on",
}
"""For a command that reads the whole house: in a large one that takes as long as it takes, and it holds up nobody."""
_LINK: dict[str, Any] = {
    "connect_timeout": 3,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
    "target_session_attrs": "read-write",
}
"""A link that has died without a word is found out within half a minute; a standby is nobody to write to."""

_NOW = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
_BEGIN = f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT {_NOW}, pg_current_xact_id()".encode()
# The number is taken before anything else: a row's place in the journal is given later, so no row can stand before what is counted as
# read when the transaction began after the reading (broker.store.journal).
# The age is read for the journal's positions: whenever it is asked for again in this transaction, it is that of its beginning.
_BEGIN_READ = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT {_NOW}, 0, age('3'::xid)".encode()
_OUTCOME = "SELECT pg_xact_status(%s::xid8)"
# A crash ends what was under way and sets its numbers free. Of the whole server's the start of the postmaster tells; one of its
# processes that is killed makes it recover and start nothing anew, but a recovery throws the statistics away, and they say since when.
_LIFE = "SELECT pg_postmaster_start_time()::text, coalesce((SELECT stats_reset FROM pg_stat_bgwriter)::text, '')"

_FULL = "53100"
_READ_ONLY = "25006"
_TOO_LONG = ("57014", "55P03")  # statement_timeout, lock_timeout
_AGAIN = ("40001", "40P01")  # serialization failure, deadlock
_AWAY = ("08", "57P", "25006", "53300", "53200", "25P03", "0A000")
"""Connection faults, a server that stops or starts, a standby, no connection or memory left, ours was idle, a plan from before a
migration: another connection may do."""
_ITS_OWN = ("22", "23", "25P02", "42", "54", "P0")
"""Bad data, a broken constraint, a bad statement, a value too long for an index: the function's own fault."""


class _Undone(StoreError):
    """The database has ended the transaction for a reason of its own; *code* is its SQLSTATE, empty when it could say none."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(" ".join(str(error).split()) or type(error).__name__)
        self.code = error.sqlstate or ""

    @property
    def away(self) -> bool:
        """Return whether another connection is needed."""
        return not self.code or self.code.startswith(_AWAY)


def _told(error: psycopg.Error) -> Exception:
    """Return *error* as it is when it is the function's own fault, else as what undid the transaction."""
    code = error.sqlstate or ""
    if code.startswith(_ITS_OWN) or (not code and isinstance(error, psycopg.DataError | psycopg.ProgrammingError)):
        return error
    return _Undone(error)


class _Asked:
    """Since when an answer of the database is waited for, by `time.monotonic`; None: it is not. A wait may be part of a longer one."""

    __slots__ = ("_depth", "since")

    def __init__(self) -> None:
        self.since: float | None = None
        self._depth = 0

    def __enter__(self) -> None:
        if not self._depth:
            self.since = time.monotonic()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self.since = None


class PostgresTx:
    """A `Tx` on one psycopg cursor."""

    shared = True

    __slots__ = ("_asked", "_cursor", "_ids", "_later", "after", "now")

    def __init__(self, cursor: psycopg.Cursor[Any], now: datetime, ids: Ids, asked: _Asked | None = None) -> None:
        self._cursor = cursor
        self._ids = ids
        self._asked = asked or _Asked()
        self._later: dict[RowsSql, list[Row]] = {}
        self.now = now
        self.after = After()

    def new_id(self) -> str:
        return self._ids.new()

    def all(self, statement: Statement, /, **values: object) -> list[Row]:
        self._execute(cast(Sql, statement), values)
        try:
            return self._cursor.fetchall()
        except psycopg.Error as error:
            raise _told(error) from error

    def one(self, statement: Statement, /, **values: object) -> Row | None:
        rows = self.all(statement, **values)
        return rows[0] if rows else None

    def run(self, statement: Statement, /, **values: object) -> int:
        self._execute(cast(Sql, statement), values)
        return self._cursor.rowcount

    def each(self, statement: RowsStatement, rows: Sequence[Row], /) -> list[Row]:
        if not rows:
            return []
        over = cast(RowsSql, statement)
        if over.keys and len(rows) > 1:
            rows = list({row[: over.keys]: row for row in rows}.values())
        try:
            with self._asked:
                self._cursor.execute(over.over_arrays(), [list(column) for column in zip(*rows, strict=True)], prepare=True)
            return self._cursor.fetchall() if self._cursor.description is not None else []
        except psycopg.Error as error:
            raise _told(error) from error

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

    def _execute(self, statement: Sql, values: dict[str, object]) -> None:
        text, fixed = statement.text(POSTGRESQL)
        try:
            # What is made for one request is not prepared: its text may never come again.
            with self._asked:
                self._cursor.execute(text, {**fixed, **values} if fixed else values, prepare=not statement.adhoc)
        except psycopg.Error as error:
            raise _told(error) from error


def connect(url: str, name: str, *, patient: bool = False) -> psycopg.Connection[Any]:
    """Open a connection as the store needs it; *name* is what the database shows of it. Raises psycopg.Error.

    On one that is *patient* a statement may take as long as it takes.
    """
    settings = SETTINGS | (_PATIENT if patient else {})
    options = " ".join(f"-c {key}={value}" for key, value in settings.items())
    given = str(psycopg.conninfo.conninfo_to_dict(url).get("options") or "")
    connection = psycopg.connect(
        url, autocommit=True, application_name=f"omniline {name}", options=f"{options} {given}".strip(), **_LINK
    )
    connection.prepared_max = 2_000
    connection.adapters.register_dumper(list, FlatListDumper)
    return connection


def refuse_unsafe(connection: psycopg.Connection[Any], *, forced: bool = False) -> None:
    """Refuse a server that is too old, writes another encoding or forgets what it has committed. Raises ConfigError."""
    if connection.info.server_version < OLDEST:
        version = connection.info.parameter_status("server_version")
        raise ConfigError(f"database_url: the server is PostgreSQL {version}; 14 or newer is needed")
    found = dict(
        connection.execute(
            "SELECT name, setting FROM pg_settings "
            "WHERE name IN ('server_encoding', 'fsync', 'full_page_writes', 'synchronous_commit')"
        ).fetchall()
    )
    if found["server_encoding"] != "UTF8":
        raise ConfigError(
            f"database_url: the database is encoded in {found['server_encoding']}; make one with CREATE DATABASE … ENCODING 'UTF8'"
        )
    unsafe = [name for name in ("fsync", "full_page_writes", "synchronous_commit") if found[name] == "off"]
    if unsafe and not forced:
        raise ConfigError(
            f"database_url: the server has {', '.join(unsafe)} switched off and may forget what it has committed; "
            "switch that on, or set allow_unsafe_disk to accept that"
        )


def cut(connection: psycopg.Connection[Any]) -> None:
    """Cut the connection, from another thread: whoever waits for an answer hears that there will be none."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


class Link:
    """One connection to the database that comes back when it is lost, and what is done on it; used by one thread at a time."""

    def __init__(
        self,
        url: str,
        name: str,
        ids: Ids,
        clock: Clock | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        *,
        patient: bool = False,
    ) -> None:
        """*patient*: a statement may take as long as it takes."""
        self._url = url
        self._patient = patient
        self._name = name
        self._ids = ids
        self._clock = clock
        self._patience = patience_seconds
        self._connection: psycopg.Connection[Any] | None = None
        self._cursor: psycopg.Cursor[Any] | None = None
        self._server = ""
        """What life of which server the connection is to: see _LIFE."""
        self._tried = 0.0
        self._lost_since: float | None = None
        self._asked = _Asked()
        self._holds = threading.Lock()
        """Nobody closes the connection while another thread cuts it: its number may be another's the next moment."""

    @property
    def lost(self) -> bool:
        """Return whether the latest try to connect failed."""
        return self._lost_since is not None

    def try_again(self) -> None:
        """Connect if that can be done now, while nobody waits for this link."""
        try:
            if self._connection is None:
                self._connect()
        except _Undone:
            self.close()

    def waits_for(self, now: float) -> float:
        """Return for how many seconds the database owes this link an answer; 0: it owes none. *now* is `time.monotonic`."""
        since = self._asked.since
        return now - since if since is not None else 0.0

    def silent_for(self, now: float) -> float:
        """Return for how many seconds the database has been silent: it owes an answer, or it cannot be connected to."""
        lost_since = self._lost_since
        return max(self.waits_for(now), now - lost_since if lost_since is not None else 0.0)

    def cut(self) -> None:
        """Cut the connection, from another thread: whoever waits for an answer hears that there will be none."""
        with self._holds:
            if self._connection is not None and not self._connection.closed:
                cut(self._connection)

    def run(self, work: Work) -> tuple[list[Answer], After]:
        """Run *work* in a transaction, or its parts each in one; return each item's fate and what to do then."""
        after = After()
        return self._run(work, after), after

    def read(self, work: Callable[[Tx], Any]) -> Answer:
        """Run *work* on a snapshot that cannot write."""
        begun = time.monotonic()
        while True:
            try:
                tx, _ = self._begin(_BEGIN_READ)
                try:
                    return Answer(work(tx), None)
                finally:
                    self._undo()
            except _Undone as undone:
                if undone.code == _READ_ONLY:
                    return Answer(None, undone.__cause__)  # it wrote, in a reading
                if not undone.away:
                    return Answer(None, StoreBusy(f"the database could not do it just now ({undone}); try again in a moment"))
                if not self._waits(begun):
                    return Answer(None, _does_not_answer(undone))
            except Exception as error:
                return Answer(None, error)

    def close(self) -> None:
        """Let go of the connection; what is asked next makes another one."""
        connection, self._cursor = self._connection, None
        if connection is not None:
            with self._holds, suppress(Exception):
                self._connection = None
                connection.close()

    def _run(self, work: Work, after: After) -> list[Answer]:
        begun = time.monotonic()
        tries = 0
        while True:
            try:
                values, then = self._once(work)
            except _Undone as undone:
                if undone.away:
                    if self._waits(begun):
                        continue
                    return _same(work, _does_not_answer(undone))
                if undone.code == _FULL:
                    return _same(
                        work, StoreFull("the database's disk is full: free some space; nothing that was accepted is lost")
                    )
                tries += 1
                if undone.code in _AGAIN and tries <= TRIES:
                    metrics.store_retries_total.inc()
                    continue
                if undone.code not in (*_TOO_LONG, *_AGAIN):
                    log.error("database_failed", problem=str(undone), code=undone.code)
                error: Exception = StoreBusy(f"the database could not do it just now ({undone}); try again in a moment")
            except StoreUncertain as uncertain:
                return _same(work, uncertain)
            except Exception as its_own:
                error = its_own
            else:
                after += then
                return [Answer(value, None) for value in values]
            if parts := halves(work):
                return [answer for part in parts for answer in self._run(part, after)]
            return _same(work, error)

    def _once(self, work: Work) -> tuple[Sequence[Any], After]:
        tx, number = self._begin(_BEGIN)
        server = self._server
        try:
            values = call(work, tx)
        except BaseException:
            self._undo()
            raise
        try:
            self._end(b"COMMIT")
        except _Undone as undone:
            if not undone.away:
                self._undo()
                raise
            self.close()
            with self._asked:  # as one question: what waits behind it is told so
                committed = self._committed(number, server)
            if not committed:
                raise
        return values, tx.after

    def _committed(self, number: int, server: str) -> bool:
        """Find out what became of a COMMIT whose answer was lost. Raises StoreUncertain when that cannot be learnt."""
        metrics.store_lost_commits_total.inc()
        until = time.monotonic() + OUTCOME_SECONDS
        why: object = "its backend is still at it"
        while time.monotonic() < until:
            try:
                outcome = self._outcome(number)
            except _Undone as undone:
                self.close()
                why = undone
            else:
                if outcome and self._server != server:
                    # After a crash the number may have been given to another: that it was committed says nothing of ours.
                    raise StoreUncertain(
                        "the server crashed or was started again at the commit; ask again: a repeat is recognised"
                    )
                if outcome is not None:
                    log.info("lost_commit_settled", committed=outcome)
                    return outcome
            time.sleep(RETRY_SECONDS)
        raise StoreUncertain(
            f"the connection was lost at the commit and does not come back ({why}); ask again: a repeat is recognised"
        )

    def _outcome(self, number: int) -> bool | None:
        """Return whether the transaction *number* was committed; None: it is not known yet. Raises _Undone."""
        if self._connection is None:
            self._connect()
        assert self._cursor is not None
        try:
            with self._asked:
                (status,) = self._cursor.execute(_OUTCOME, [str(number)], prepare=False).fetchone() or (None,)
        except psycopg.Error as error:
            if error.sqlstate and error.sqlstate.startswith("22"):
                return False  # a number of the future: another server has taken over, and has never seen it
            raise _Undone(error) from error
        return None if status == "in progress" or status is None else status == "committed"

    def _waits(self, begun: float) -> bool:
        """Let go of the connection, rest before the next try, and return whether there is to be one.

        Once the database has been away for as long as anybody waits, nobody is kept waiting any more.
        """
        self.close()
        now = time.monotonic()
        if now - begun >= self._patience or (self._lost_since is not None and now - self._lost_since >= self._patience):
            return False
        if self._lost_since is not None:
            time.sleep(RETRY_SECONDS)
        return True

    def _begin(self, text: bytes) -> tuple[PostgresTx, int]:
        """Begin a transaction; return it and its number (0 of a reading one). Raises _Undone."""
        if self._connection is None:
            self._connect()
        assert self._cursor is not None
        try:
            result = self._raw(text)
        except _Undone as undone:
            if not undone.away:
                self._undo()  # it has begun: in a transaction that has failed nothing could be begun any more
            raise
        now = self._clock.now() if self._clock is not None else from_us(int(result.get_value(0, 0) or 0))
        number = int(result.get_value(0, 1) or 0) if result.nfields > 1 else 0
        return PostgresTx(self._cursor, now, self._ids, self._asked), number

    def _end(self, text: bytes) -> None:
        """End the transaction with COMMIT or ROLLBACK. Raises _Undone."""
        result = self._raw(text)
        if result.command_status != text:
            # Something in it had failed, and whoever wrote it has passed that over.
            raise StoreError(f"{text.decode()} was answered by {result.command_status!r}: nothing of the transaction happened")

    def _undo(self) -> None:
        """Roll back, or let go of a connection on which that cannot be done."""
        if self._connection is not None:
            try:
                self._end(b"ROLLBACK")
            except _Undone:
                self.close()

    def _raw(self, text: bytes) -> pq.abc.PGresult:
        # The core of the driver: its own BEGIN and COMMIT would each be a statement more.
        assert self._connection is not None
        try:
            with self._asked:
                result = self._connection.pgconn.exec_(text)
        except psycopg.Error as error:
            raise _Undone(error) from error
        if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            raise _Undone(psycopg.errors.error_from_result(result))
        return result

    def _connect(self) -> None:
        now = time.monotonic()
        if self._lost_since is not None and now < self._tried + RETRY_SECONDS:
            raise _Undone(psycopg.OperationalError("the database does not answer"))
        self._tried = now
        try:
            self._connection = connect(self._url, self._name, patient=self._patient)
            self._cursor = self._connection.cursor()
            with self._asked:
                self._server = " ".join(self._cursor.execute(_LIFE, prepare=False).fetchone() or ())
        except (psycopg.Error, OSError) as error:  # the latter: no file descriptor is left
            self._lost_since = self._lost_since or now
            self._tried = time.monotonic()  # a try may have taken seconds
            raise _Undone(error if isinstance(error, psycopg.Error) else psycopg.OperationalError(str(error))) from error
        self._lost_since = None


def _same(work: Work, error: Exception) -> list[Answer]:
    return [Answer(None, error)] * answers_due(work)


def _does_not_answer(undone: _Undone) -> StoreBusy:
    return StoreBusy(f"the database does not answer ({undone}); try again in a moment")


def read_once(url: str, work: Callable[[Tx], T]) -> T:
    """Run *work* on a snapshot of the database at *url*, beside whoever uses it, for as long as it takes. Raises StoreError."""
    value: T = _once(url, lambda link: link.read(work), patient=True)
    return value


def reader(url: str) -> Callable[[Callable[[Tx], T]], T]:
    """Return what does as `read_once` again and again, on one connection."""
    from broker.clock import SystemIds

    link = Link(url, "command", SystemIds(), patient=True)

    def read(work: Callable[[Tx], T]) -> T:
        answer = link.read(work)
        if answer.error is not None:
            raise answer.error
        value: T = answer.value
        return value

    return read


def run_once(url: str, work: Callable[[Tx], T]) -> T:
    """Run *work* in a transaction on the database at *url*, and ring nobody. Raises StoreError."""
    value: T = _once(url, lambda link: link.run(work)[0][0])
    return value


def _once(url: str, do: Callable[[Link], Answer], *, patient: bool = False) -> Any:
    from broker.clock import SystemIds

    link = Link(url, "command", SystemIds(), patient=patient)
    try:
        answer = do(link)
    finally:
        link.close()
    if answer.error is not None:
        raise answer.error
    return answer.value


class _Job(NamedTuple):
    work: Any
    items: list[Any] | None
    """None: it is no function of items."""
    futures: list[asyncio.Future[Any]]
    since: float


class _Jobs:
    """What waits for a thread: functions in the order they came, the items of one function together.

    Of the threads that rest the one that worked last is woken: what its connection needs, here and in the database, is in the caches
    still. Taken in turn, each would find them cold. Those that cannot connect come after all others, and take nothing while there
    is one that can: it would be refused, where a moment later it is done.
    """

    def __init__(self, links: Sequence[Link]) -> None:
        """*links*: one for each thread."""
        self.links = links
        self._lock = threading.Lock()
        self._resting: list[threading.Lock] = []
        self._waiting: deque[_Job] = deque()
        self._open: dict[Any, _Job] = {}
        self._closed = False

    def put(self, work: Any, item: Any, future: asyncio.Future[Any]) -> None:
        with self._lock:
            shared = self._open.get(work) if item is not WHOLE else None
            if shared is not None and shared.items is not None and len(shared.items) < BATCH_MAX:
                shared.items.append(item)
                shared.futures.append(future)
                return
            job = _Job(work, None if item is WHOLE else [item], [future], time.monotonic())
            if job.items is not None:
                self._open[work] = job
            self._waiting.append(job)
            if self._resting:
                self._resting.pop().release()

    def take(self, link: Link) -> tuple[Work, list[asyncio.Future[Any]]] | None:
        """Return what is next to be done on *link*, waiting for it; None when there will be no more."""
        while True:
            if link.lost and not self._closed:
                link.try_again()
            with self._lock:
                if self._waiting and not (link.lost and any(not other.lost for other in self.links)):
                    job = self._take()
                    return (job.work if job.items is None else Each(job.work, job.items)), job.futures
                if self._closed:
                    return None
                rest = threading.Lock()
                rest.acquire()
                self._resting.insert(0 if link.lost else len(self._resting), rest)
                waited_for = bool(self._waiting)
            if not waited_for:
                rest.acquire()
            elif not rest.acquire(timeout=RETRY_SECONDS):
                # It waits for a link that is busy, or hangs: this one may be back before that is.
                with self._lock, suppress(ValueError):
                    self._resting.remove(rest)

    def late(self, before: float) -> list[asyncio.Future[Any]]:
        """Take back what has waited since *before*; return whom it was for."""
        with self._lock:
            futures: list[asyncio.Future[Any]] = []
            while self._waiting and self._waiting[0].since < before:
                futures += self._take().futures
            return futures

    def _take(self) -> _Job:
        job = self._waiting.popleft()
        if job.items is not None and self._open.get(job.work) is job:
            del self._open[job.work]
        return job

    def close(self) -> None:
        with self._lock:
            self._closed = True
            while self._resting:
                self._resting.pop().release()


class PostgresStore:
    """The `Store` of several processes. Make it on a migrated database (broker.store.migrate), use it on one loop."""

    def __init__(
        self,
        url: str,
        *,
        ids: Ids,
        ring: Callable[[Sequence[tuple[Bell, str]]], None],
        clock: Clock | None = None,
        writers: int = WRITERS,
        readers: int = READERS,
        patience_seconds: float = PATIENCE_SECONDS,
        stall_seconds: float = STALL_SECONDS,
        make_link: Callable[..., Link] = Link,
    ) -> None:
        """*clock* is for tests, *make_link* too; without a clock time is the database's."""
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._end: StoreError | None = None
        self.full_since: datetime | None = None
        """When the disk was first found full; None once a commit has gone through again."""
        self._patience = patience_seconds
        self._stall = stall_seconds
        self._stands_still = False
        self._writes, self._reads = self._all_jobs = [
            _Jobs([make_link(url, f"{kind} {number}", ids, clock, patience_seconds) for number in range(count)])
            for kind, count in (("writer", writers), ("reader", readers))
        ]
        self._threads = [
            threading.Thread(target=target, args=(link,), name=f"store-{kind}-{number}", daemon=True)
            for target, jobs, kind in ((self._write_all, self._writes, "writer"), (self._read_all, self._reads, "reader"))
            for number, link in enumerate(jobs.links)
        ]
        for thread in self._threads:
            thread.start()
        self._watching = self._loop.call_later(WATCH_SECONDS, self._watch)

    def write(self, work: Callable[[Tx], T], /) -> asyncio.Future[T]:
        """See `Store.write`."""
        return self._put(self._writes, work, WHOLE)

    def write_each(self, work: Callable[[Tx, Sequence[A]], Sequence[T]], item: A, /) -> asyncio.Future[T]:
        """See `Store.write_each`."""
        return self._put(self._writes, work, item)

    def read(self, work: Callable[[Tx], T], /) -> asyncio.Future[T]:
        """See `Store.read`."""
        return self._put(self._reads, work, WHOLE)

    async def close(self) -> None:
        """Finish what was asked, then close the connections; later calls raise StoreClosed.

        What a database that stands still does not answer within CLOSE_SECONDS is refused, and its connections are cut.
        """
        if self._end is None:
            self._end = StoreClosed("the store has been closed")
        for jobs in self._all_jobs:
            jobs.close()
        ended = asyncio.Event()
        # No executor's thread: the interpreter would wait for it at its end, whatever it waits for.
        threading.Thread(target=self._join, args=(ended,), daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await ended.wait()
        except TimeoutError:
            log.error("database_stands_still", problem="its connections are cut at the end of the process")
            for jobs in self._all_jobs:
                self._refuse(jobs, time.monotonic())
                for link in jobs.links:
                    link.cut()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await ended.wait()
        finally:
            self._watching.cancel()

    def _join(self, ended: asyncio.Event) -> None:
        for thread in self._threads:
            thread.join()
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(ended.set)

    def _watch(self) -> None:
        """Refuse what waits behind calls that are not answered, and cut connections that say nothing for too long."""
        now = time.monotonic()
        stands_still = False
        for jobs in self._all_jobs:
            if jobs.links and all(link.silent_for(now) > self._patience for link in jobs.links):
                stands_still = True
                self._refuse(jobs, now - self._patience)
            for link in jobs.links:
                if link.waits_for(now) > self._stall:
                    link.cut()
        if stands_still and not self._stands_still:
            log.warning("database_stands_still", problem=f"no answer for {self._patience:g} s")
        self._stands_still = stands_still
        self._watching = self._loop.call_later(WATCH_SECONDS, self._watch)

    def _refuse(self, jobs: _Jobs, before: float) -> None:
        for future in jobs.late(before):
            if not future.done():
                future.set_exception(StoreBusy("the database stands still; try again in a moment"))

    def _put(self, jobs: _Jobs, work: Any, item: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._end is not None:
            future.set_exception(self._end)
        else:
            jobs.put(work, item, future)
        return future

    # --- the threads

    def _write_all(self, link: Link) -> None:
        while (job := self._writes.take(link)) is not None:
            work, futures = job
            try:
                answers, after = link.run(work)
            except Exception as error:  # whatever it is: a writer that ends without a word would leave everybody waiting
                metrics.unexpected_errors_total.labels("store").inc()
                log.exception("store_writer_failed")
                link.close()
                answers, after = [Answer(None, error)] * len(futures), After()
            with suppress(RuntimeError):  # the loop has ended before us
                self._loop.call_soon_threadsafe(self._settle, futures, answers, after)
        link.close()

    def _read_all(self, link: Link) -> None:
        while (job := self._reads.take(link)) is not None:
            work, (future,) = job
            answer = link.read(cast(Callable[[Tx], Any], work))
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(settle, future, answer)
        link.close()

    def _settle(self, futures: list[asyncio.Future[Any]], answers: list[Answer], after: After) -> None:
        done = sum(answer.error is None for answer in answers)
        if done:
            metrics.store_commits_total.inc()
            metrics.store_transactions_total.inc(done)
            metrics.store_batch_size.observe(done)
        for future, answer in zip(futures, answers, strict=True):
            if isinstance(answer.error, StoreFull):
                self.full_since = self.full_since or from_us(time.time_ns() // 1000)
            elif answer.error is None:
                self.full_since = None
            settle(future, answer)
        after.carry_out(self._ring)
