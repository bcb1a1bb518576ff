"""Carrying a house from SQLite to PostgreSQL: every row of it, or nothing.

    look at the target ──► [nobody writes here any more] ──► copy ──► compare ──► commit ──► the old one is marked as left
                                      └────────── whatever fails: nothing of it stays, and the old one goes on ──┘

Everything is read from one snapshot of the file, which is left as it is, and written in one transaction, in which the new tables are
nobody else's. A row is compared by a hash of its values, a table by the number of its rows and the sum of their hashes: that needs no
order, so each side is read as it lies. Rows pass through one by one; what is in memory does not grow with the house.

Text passes as the bytes that it is. Those that PostgreSQL keeps in no text (NUL, half a surrogate pair) are found by its refusing them:
then all is done again, and what cannot be kept is replaced by U+FFFD and counted.
"""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import psycopg
import structlog
from sqlalchemy import BigInteger, LargeBinary, SmallInteger, String, Table

from broker.errors import ConfigError, Conflict, OmnilineError, StoreBusy, StoreError, StoreFull, StoreUncertain
from broker.store.migrate import migrate_postgres, schema_of
from broker.store.migrations import CHAIN
from broker.store.postgres import OUTCOME_SECONDS, RETRY_SECONDS, connect, cut, refuse_unsafe
from broker.store.sqlite import connect as connect_sqlite
from broker.store.sqlite import driver
from broker.store.tables import metadata, secrets

log = structlog.get_logger(__name__)

Row: TypeAlias = tuple[Any, ...]

FRESH = ("consoles", "leases", "processes")
"""Who runs, and what they hold: nobody who ran on the old database does on the new one."""
_OTHERWISE = {("journal", "xid"): "NULL", ("readers", "under_way"): "''"}
"""Numbers of transactions mean nothing on another server. What is carried was committed long before any of it reads."""
TELL_SECONDS = 0.5
"""Between two words on how far it has come."""
LOOK_SECONDS = 0.5
"""Between two looks at whether it is given up while the new database says nothing."""
_LOOK_ROWS = 1_000
"""Between two looks at the clock, and at whether to go on."""
_HASH_BYTES = 16
_GOES_ON = "nothing was moved, and the house goes on where it is"
_GIVEN_UP = f"the move was given up; {_GOES_ON}"

_encode = msgspec.msgpack.Encoder().encode


@dataclass(slots=True)
class Tally:
    """What rows come to in any order: how many there are, and the sum of their hashes."""

    rows: int = 0
    total: int = 0

    @property
    def hash(self) -> str:
        """Return the sum in hex, of so many digits as one hash has."""
        return f"{self.total % (1 << 8 * _HASH_BYTES):0{2 * _HASH_BYTES}x}"

    def over(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass *rows* on, each of them counted."""
        for row in rows:
            self.rows += 1
            self.total += int.from_bytes(blake2b(_encode(row), digest_size=_HASH_BYTES).digest())
            yield row


@dataclass(frozen=True, slots=True)
class Carried:
    """What was carried over."""

    tables: dict[str, Tally]
    seconds: float
    mended: Counter[str] = field(default_factory=Counter)
    """Texts that held what PostgreSQL cannot keep, by `table.column`."""
    sending: int = 0
    """Messages that a process was sending when it died."""

    @property
    def rows(self) -> int:
        """Return how many rows there were."""
        return sum(tally.rows for tally in self.tables.values())

    def text(self) -> str:
        """Return a table of the tables, and what there is to know beside it."""
        width = max(map(len, self.tables))
        lines = [f"{'table':{width}}  {'rows':>12}  {'hash, the same on both sides':{2 * _HASH_BYTES}}"]
        lines += [f"{name:{width}}  {tally.rows:12,}  {tally.hash}  ok" for name, tally in sorted(self.tables.items())]
        lines += ["", f"{self.rows:,} rows in {self.seconds:.1f} s; empty as at a start: {', '.join(FRESH)}"]
        for place, count in sorted(self.mended.items()):
            lines.append(f"{place}: in {count:,} texts a character that PostgreSQL cannot keep is U+FFFD now")
        if self.sending:
            lines.append(
                f"{self.sending:,} messages were being sent when a process died; the new one settles them when their leases end"
            )
        return "\n".join(lines)


class GivenUp(OmnilineError):
    """Whoever asked for it does not want it any more; nothing of it happened."""


@dataclass(slots=True)
class Watch:
    """What somebody outside knows of a move under way: how far it has come, and whether to go on."""

    tell: Callable[[str], object] = lambda text: None
    given_up: Callable[[], bool] = lambda: False
    _told: float = 0.0

    def over(self, rows: Iterable[Row], what: str, count: int) -> Iterator[Row]:
        """Pass *rows* on, telling of them. Raises GivenUp."""
        self.look(f"{what} …")
        for number, row in enumerate(rows, 1):
            if number % _LOOK_ROWS == 0:
                self.look(f"{what}: {number:,} of {count:,}")
            yield row

    def look(self, text: str) -> None:
        """Say *text* when it is time to say something. Raises GivenUp."""
        if self.given_up():
            raise GivenUp(_GIVEN_UP)
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            self.tell(text)


def look(url: str, *, forced: bool = False) -> None:
    """Return when a house can be carried to the database at *url*, whose schema then is this version's.

    Raises ConfigError, Conflict when somebody's rows are there, StoreTooNew, StoreBusy. *forced* accepts a server that may forget what
    it has committed.
    """
    try:
        with closing(connect(url, "move")) as connection:
            refuse_unsafe(connection, forced=forced)
            if schema_of(connection) is not None:
                # Before its schema is touched: it may be another house's, of an earlier version.
                _refuse_rows(connection)
        migrate_postgres(url, forced=forced)
    except psycopg.Error as error:
        raise _told(error) from error
    except ConfigError as error:
        raise ConfigError(str(error).replace("database_url", "--to")) from error
    except StoreBusy as error:
        raise StoreBusy(str(error).replace("database_url", "--to")) from error


def carry(path: Path, url: str, keys: Mapping[str, bytes], *, settled: Callable[[], None], watch: Watch | None = None) -> Carried:
    """Carry the database at *path*, which nobody may write to meanwhile, and *keys* to the one at *url* (see `look`).

    *settled* is called as soon as it is committed. Raises ConfigError, Conflict, GivenUp, StoreError; then nothing was carried, but for
    StoreUncertain, when that could not be learnt.
    """
    watch = watch or Watch()
    begun = time.monotonic()
    mended: Counter[str] | None = None
    while True:
        try:
            with closing(_Old(path, keys, mended)) as old, closing(_New(url)) as new, _cut_when(watch.given_up, new):
                tables = _all(old, new, watch)
                new.commit()
                sending = old.sending
            break
        except psycopg.errors.CharacterNotInRepertoire as error:
            if mended is not None:
                raise _told(error) from error
            mended = Counter()
        except psycopg.Error as error:
            if watch.given_up():
                raise GivenUp(_GIVEN_UP) from error
            raise _told(error) from error
        except driver().Error as error:
            raise StoreError(f"{path} could not be read ({error}); {_GOES_ON}") from error
    settled()
    return Carried(tables, time.monotonic() - begun, mended or Counter(), sending)


@contextmanager
def _cut_when(given_up: Callable[[], bool], new: _New) -> Iterator[None]:
    """Cut the connection to *new* when the move is given up: its server may stand still, and then nothing else ends the waiting."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_SECONDS):
            if given_up():
                new.cut()
                return

    watching = threading.Thread(target=watch, name="move-watch", daemon=True)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


def _all(old: _Old, new: _New, watch: Watch) -> dict[str, Tally]:
    if new.schema != old.schema:
        is_known = old.schema in CHAIN and new.schema in CHAIN
        remedy = "start this version here once, then move" if is_known else "move with the newer version"
        raise ConfigError(f"the schemas differ, {old.schema} here and {new.schema} there; {remedy}; {_GOES_ON}")
    new.lock()
    tables: dict[str, Tally] = {}
    for table in metadata.sorted_tables:  # whatever a row points at comes before it
        if table.name in FRESH:
            continue
        count = old.count(table)
        written, found = Tally(), Tally()
        try:
            new.write(table, written.over(watch.over(old.rows(table), f"copying {table.name}", count)))
        except (TypeError, OverflowError) as error:
            raise ConfigError(
                f"{table.name}: row {written.rows} holds what its column cannot ({error}); repair it, then move again; {_GOES_ON}"
            ) from error
        for _ in found.over(watch.over(new.rows(table), f"comparing {table.name}", count)):
            pass
        if written != found:
            raise Conflict(
                f"{table.name}: {written.rows:,} rows were written and {found.rows:,} stand there, with the hash {written.hash} here and "
                f"{found.hash} there; look for triggers and rules on the new tables; {_GOES_ON}"
            )
        tables[table.name] = found
        if table.autoincrement_column is not None:
            new.count_on(table, old.highest(table))
    watch.look("taking the measure of every table …")
    new.analyze()
    watch.look("committing …")
    return tables


class _Old:
    """One snapshot of the SQLite file; text is read as bytes. *mended*, when given, counts what is replaced."""

    def __init__(self, path: Path, keys: Mapping[str, bytes], mended: Counter[str] | None) -> None:
        self._keys = keys
        self._mended = mended
        self._connection = connect_sqlite(path, read_only=True)
        self._connection.text_factory = bytes
        self._connection.execute("BEGIN")
        self.schema = str(self._one("SELECT version_num FROM alembic_version")[0], "ascii")
        self.sending = int(self._one("SELECT count(*) FROM outbox WHERE state = 'sending'")[0])

    def close(self) -> None:
        self._connection.close()

    def count(self, table: Table) -> int:
        return int(self._one(f"SELECT count(*) FROM {table.name}")[0])  # noqa: S608  (our own tables, here and below)

    def rows(self, table: Table) -> Iterator[Row]:
        """Yield every row as it is to stand on PostgreSQL, in the order of the columns."""
        columns = ", ".join(_OTHERWISE.get((table.name, column.name), column.name) for column in table.c)
        rows: Iterable[Row] = self._connection.execute(f"SELECT {columns} FROM {table.name}")  # noqa: S608
        if table is secrets:
            rows = [*(row for row in rows if row[0].decode() not in self._keys), *self._of_keys()]
        return iter(rows) if self._mended is None else self._fit(table, rows, self._mended)

    def _of_keys(self) -> Iterator[Row]:
        for name, key in self._keys.items():
            values: dict[str, object] = {secrets.c.name.name: name.encode(), secrets.c.value.name: key}
            yield tuple(values[column.name] for column in secrets.c)

    def highest(self, table: Table) -> int:
        """Return the highest id that was ever given in *table*."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,)).fetchone()
        return int(row[0]) if row else 0

    @staticmethod
    def _fit(table: Table, rows: Iterable[Row], mended: Counter[str]) -> Iterator[Row]:
        texts = [(at, f"{table.name}.{column.name}") for at, column in enumerate(table.c) if isinstance(column.type, String)]
        for row in rows:
            values = list(row)
            for at, place in texts:
                if values[at] is not None and (whole := _whole(values[at])) != values[at]:
                    values[at] = whole
                    mended[place] += 1
            yield tuple(values)

    def _one(self, text: str) -> Row:
        row: Row = self._connection.execute(text).fetchone()
        return row


_UNFIT = re.compile("[\0\ud800-\udfff]")


def _whole(text: bytes) -> bytes:
    """Return *text* with U+FFFD in place of what PostgreSQL keeps in no text."""
    try:
        said = text.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        said = text.decode("utf-8", "replace")
    return _UNFIT.sub("\ufffd", said).encode()


class _New:
    """The one transaction on PostgreSQL."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection = connect(url, "move")
        self.schema = schema_of(self._connection)
        self._execute("BEGIN")
        # All of it is one transaction, and some of its statements are long.
        for name in ("statement_timeout", "idle_in_transaction_session_timeout"):
            self._execute(f"SET LOCAL {name} = 0")
        self._execute("SET LOCAL client_encoding = 'UTF8'")
        self._written: Table | None = None
        """One that rows were written to."""
        self._number = str(self._execute("SELECT pg_current_xact_id()").fetchall()[0][0])

    def close(self) -> None:
        """Let go of it; what was not committed is undone."""
        self._connection.close()

    def cut(self) -> None:
        """Let nobody wait for an answer any more; from another thread."""
        cut(self._connection)

    def lock(self) -> None:
        """Keep everybody else away from the tables. Raises Conflict when somebody has left rows in them."""
        self._execute(f"LOCK TABLE {', '.join(metadata.tables)} IN ACCESS EXCLUSIVE MODE")
        _refuse_rows(self._connection)

    def write(self, table: Table, rows: Iterable[Row]) -> None:
        with self._connection.cursor().copy(f"COPY {_named(table)} FROM STDIN (FORMAT BINARY)".encode()) as copy:
            copy.set_types(_kinds(table))
            for row in rows:
                copy.write_row(row)
                self._written = table

    def rows(self, table: Table) -> Iterator[Row]:
        with self._connection.cursor().copy(f"COPY {_named(table)} TO STDOUT (FORMAT BINARY)".encode()) as copy:
            copy.set_types(_kinds(table))
            yield from copy.rows()

    def count_on(self, table: Table, highest: int) -> None:
        """Let the next row of *table* have an id above *highest*."""
        if highest:
            self._execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", table.name, highest)

    def analyze(self) -> None:
        """Tell the planner what is there: a process plans its statements once, at its start."""
        self._execute(f"ANALYZE {', '.join(metadata.tables)}")

    def commit(self) -> None:
        """Commit; when the answer is lost, find out. Raises psycopg.Error, StoreUncertain."""
        try:
            self._execute("COMMIT")
        except psycopg.OperationalError:
            if not self._was_committed():
                raise

    def _was_committed(self) -> bool:
        until = time.monotonic() + OUTCOME_SECONDS
        while True:
            try:
                with closing(connect(self._url, "move")) as connection:
                    if not self._is_under_way(connection):
                        # Not what became of the number: a crash sets it free, and another has it then. Nobody had written here before.
                        return (
                            self._written is not None
                            and connection.execute(f"SELECT 1 FROM {self._written.name} LIMIT 1".encode()).fetchone() is not None  # noqa: S608
                        )
            except psycopg.OperationalError as error:
                log.warning("move_outcome_unknown", problem=str(error))
            if time.monotonic() >= until:
                raise StoreUncertain(
                    "the connection was lost at the commit and does not come back, so nobody knows whether everything is there; the "
                    "house goes on where it is: empty the new database before you move again"
                )
            time.sleep(RETRY_SECONDS)

    def _is_under_way(self, connection: psycopg.Connection[Any]) -> bool:
        try:
            row = connection.execute("SELECT pg_xact_status(%s::xid8)", [self._number]).fetchone()
        except psycopg.DataError:
            return False  # a number of the future: another server has taken over, and has never seen it
        return row is not None and row[0] == "in progress"

    def _execute(self, text: str, *values: object) -> psycopg.Cursor[Any]:
        return self._connection.execute(text.encode(), values or None)


def _named(table: Table) -> str:
    return f"{table.name} ({', '.join(column.name for column in table.c)})"


def _kinds(table: Table) -> list[str]:
    """Return how each column's values pass: text as the bytes that it is."""
    return [_kind(column.type) for column in table.c]


def _kind(type_: object) -> str:
    match type_:
        case SmallInteger():
            return "int2"
        case BigInteger():
            return "int8"
        case String() | LargeBinary():
            return "bytea"
    raise TypeError(f"nobody has said how {type_!r} is carried")


def _refuse_rows(connection: psycopg.Connection[Any]) -> None:
    """Raise Conflict when any table of ours that is there has rows."""
    there = {
        name
        for (name,) in connection.execute(
            "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL", [list(metadata.tables)]
        )
    }
    taken = []
    for name in (one for one in metadata.tables if one in there):
        found = connection.execute(f"SELECT count(*) FROM (SELECT FROM {name} LIMIT 1000) AS found".encode()).fetchone()  # noqa: S608
        if found is not None and found[0]:
            taken.append(f"{name} ({'1,000 or more' if found[0] == 1_000 else found[0]})")
    if taken:
        raise Conflict(
            f"--to: there are rows already, in {', '.join(taken)}; name a new, empty database (move makes its tables itself, "
            f"`omniline migrate` is not needed before); {_GOES_ON}"
        )


def _told(error: psycopg.Error) -> OmnilineError:
    """Return what went wrong on the new database as whoever moves is to know it."""
    code = error.sqlstate or ""
    said = error.diag.message_primary or " ".join(str(error).split()) or type(error).__name__
    if code == "53100":
        return StoreFull(f"the new database's disk is full ({said}); make room there, then move again; {_GOES_ON}")
    if code == "42501":
        return ConfigError(f"--to: its user may not do this ({said}); let it own the database; {_GOES_ON}")
    if code == "55P03":
        return StoreBusy(f"somebody uses the new database; end what runs on it, then move again; {_GOES_ON}")
    if code[:2] in ("22", "23", "54"):
        where = " ".join((error.diag.context or "").split()) or "in a table"
        return ConfigError(f"something does not fit into the new database: {said} ({where}); {_GOES_ON}")
    if not code or code[:2] in ("08", "53") or code[:3] == "57P":
        return StoreBusy(f"the new database does not answer ({said}); move again when it does; {_GOES_ON}")
    return StoreError(f"the new database refused ({said}); {_GOES_ON}")
