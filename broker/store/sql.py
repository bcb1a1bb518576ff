"""Statements written once: SQLAlchemy Core in, the driver's own text and values out.

Core's execution costs about 10 us a statement, the driver's 2 us. So a statement is compiled once per dialect and run on the
driver's cursor; what Core gives us is one way of writing for SQLite and PostgreSQL.

Constants of the code are written into the text, only what the caller names is bound. With a bound constant SQLite cannot use a
partial index, and a bound LIMIT makes it plan the statement anew at every execution (25 us).

    FIND = sql(select(contacts.c.id).where(contacts.c.name == bindparam("name")))
    tx.one(FIND, name="Ann")

A statement over rows takes many rows of values at once. Each execution lets go of the interpreter and waits to have it back: beside a
busy loop that costs more than the statement, so what can be done for a hundred conversations in one statement is. SQLite takes the rows
as a VALUES list, PostgreSQL as an array for each column: a third less for it, and one prepared statement for any number of rows.

    FIND_ALL = over_rows(select(contacts.c.id).where(among(contacts.c.name)), [contacts.c.name])
    tx.each(FIND_ALL, [("Ann",), ("Bob",)])
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ClauseElement,
    ColumnElement,
    FromClause,
    Insert,
    LargeBinary,
    Select,
    SmallInteger,
    Update,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import Table

SQLITE: Dialect = sqlite.dialect(paramstyle="named")
POSTGRESQL: Dialect = postgresql.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]


class Sql:
    """One statement; immutable. `fixed` are the values written into it, the rest are named by the caller."""

    __slots__ = ("_compiled", "_sources", "adhoc", "packed")

    def __init__(self, sources: Mapping[str, ClauseElement], *, adhoc: bool = False, packed: bool = False) -> None:
        self._sources = sources
        self.adhoc = adhoc
        """It is made for one request; the values come with it."""
        self.packed = packed
        """On SQLite the answer is one row with one JSON text of all rows."""
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    @property
    def everywhere(self) -> bool:
        """Return whether it is written for every database."""
        return "any" in self._sources or "sqlite" in self._sources

    def text(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        """Return the driver's text, and the values of an ad-hoc statement that came with it."""
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            source = self._sources[dialect.name if dialect.name in self._sources else "any"]
            made: Any = source.compile(dialect=dialect, compile_kwargs={"render_postcompile": self.adhoc})
            asked = {name for name, bind in made.binds.items() if bind.required}
            fixed = {name: value for name, value in made.params.items() if name not in asked}
            compiled = (str(made), fixed) if self.adhoc else (_inlined(str(made), fixed, dialect), {})
            self._compiled[dialect.name] = compiled
        return compiled


def _inlined(text: str, constants: Mapping[str, Any], dialect: Dialect) -> str:
    """Return *text* with its own constants written into it; they are the code's, never a request's."""
    for name, value in constants.items():
        match value:
            case None:
                literal = "NULL"
            case int():
                literal = str(int(value))
            case str():
                literal = "'" + value.replace("'", "''") + "'"
            case _:
                raise TypeError(f"the constant {value!r} of a statement must be text, a whole number or None")
        if dialect.paramstyle == "named":
            text = re.sub(rf":{name}\b", lambda _, made=literal: made, text)  # type: ignore[misc]
        else:
            text = text.replace(f"%({name})s", literal.replace("%", "%%"))
    return text


ROWS_AT_ONCE = (1, 4, 16, 64, 256)
"""The shapes of a statement over rows, few enough to stay prepared; one that is not full is filled up with rows of NULLs."""
_ROWS = "__rows__"


class RowsSql:
    """A statement over rows of values, whose first is never NULL; immutable."""

    __slots__ = ("_arrays", "_columns", "_shapes", "_source", "empty", "keys", "packed")

    def __init__(self, source: ClauseElement | str, columns: Sequence[ColumnElement[Any]], keys: int = 0) -> None:
        self._source = source
        self._columns = columns
        self._shapes: tuple[tuple[int, str], ...] | None = None
        self._arrays: str | None = None
        self.empty: tuple[None, ...] = (None,) * len(columns)
        """What fills a shape up; it finds, changes and adds nothing."""
        self.keys = keys
        """How many of the columns, from the first, name what is changed: of two rows with the same the last word counts."""
        self.packed = isinstance(source, Select)
        """On SQLite the answer is one row with one JSON text of all rows, as `page` has it."""

    def texts(self) -> tuple[tuple[int, str], ...]:
        """Return (how many rows, SQLite's text), the smallest first; values go by position, row by row."""
        if self._shapes is None:
            source = _packed(self._source) if isinstance(self._source, Select) else self._source
            text = source if isinstance(source, str) else sql(source).text(SQLITE)[0]
            row = f"({', '.join('?' * len(self._columns))})"
            self._shapes = tuple((size, text.replace(_ROWS, f"VALUES {', '.join([row] * size)}")) for size in ROWS_AT_ONCE)
        return self._shapes

    def over_arrays(self) -> str:
        """Return PostgreSQL's text for any number of rows; it takes an array for each column, by position."""
        if self._arrays is None:
            text = self._source if isinstance(self._source, str) else sql(self._source).text(POSTGRESQL)[0]
            arrays = ", ".join(f"%s::{_kind(column)}[]" for column in self._columns)
            self._arrays = text.replace(_ROWS, f"SELECT * FROM unnest({arrays})")  # noqa: S608  (types of our own columns)
        return self._arrays


def _packed(source: Select[Any]) -> ClauseElement:
    rows = source.subquery()
    return select(func.json_group_array(func.json_array(*rows.c)))


def _kind(column: ColumnElement[Any]) -> str:
    """Return the name of the column's type in PostgreSQL, which takes what comes in an array for what it is told."""
    kinds = {BigInteger: "bigint", SmallInteger: "smallint", LargeBinary: "bytea"}
    return next((name for kind, name in kinds.items() if isinstance(column.type, kind)), "text")


def over_rows(source: ClauseElement, columns: Sequence[ColumnElement[Any]]) -> RowsSql:
    """Return *source*, in which `among` stands, as a statement over rows of values for *columns*."""
    return RowsSql(source, columns)


def among(*columns: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that *columns* are those of one of the rows a statement over rows is given."""
    left: Any = columns[0] if len(columns) == 1 else tuple_(*columns)
    condition: ColumnElement[bool] = left.op("IN", is_comparison=True)(literal_column(f"({_ROWS})"))
    return condition


def with_rows(names: str, columns: Sequence[ColumnElement[Any]], text: str, keys: int = 0) -> RowsSql:
    """Return *text*, in which `new` is a table of the rows given, with the columns *names* (space-separated), typed as *columns* are.

    The first is never NULL. Of rows with the same first *keys* values the last word counts.
    """
    return RowsSql(f"WITH new ({', '.join(names.split())}) AS ({_ROWS}) {text}", columns, keys)


def insert_rows(table: Table, columns: str, conflict: str = "", changes: str = "") -> RowsSql:
    """Return an INSERT of many rows with the named *columns* (space-separated), the first of them never NULL.

    Where *conflict* is taken, when it is given, *changes* are set to the new values instead; none: nothing is done there.
    """
    names = columns.split()
    listed = ", ".join(names)
    sets = ", ".join(f"{name} = excluded.{name}" for name in changes.split())
    does = f"UPDATE SET {sets}" if sets else "NOTHING"
    instead = f" ON CONFLICT ({', '.join(conflict.split())}) DO {does}" if conflict else ""
    return with_rows(
        columns,
        cols(table, columns),
        f"INSERT INTO {table.name} ({listed}) SELECT {listed} FROM new WHERE {names[0]} IS NOT NULL{instead}",  # noqa: S608  (the names of our own tables)
    )


def update_rows(table: Table, key: str, columns: str) -> RowsSql:
    """Return an UPDATE that sets *columns* of many rows, each found by the columns of *key*, which come first (space-separated)."""
    keys = key.split()
    changes = ", ".join(f"{name} = new.{name}" for name in columns.split())
    found = " AND ".join(f"{table.name}.{name} = new.{name}" for name in keys)
    every = f"{key} {columns}"
    text = f"UPDATE {table.name} SET {changes} FROM new WHERE {found}"  # noqa: S608  (the names of our own tables)
    return with_rows(every, cols(table, every), text, len(keys))


def sql(source: ClauseElement) -> Sql:
    """Return *source* as a statement for every database."""
    return Sql({"any": source})


def postgresql_only(source: ClauseElement) -> Sql:
    """Return *source* as a statement for what only a shared database has to be asked (`Tx.shared`)."""
    return Sql({"postgresql": source})


def page(source: Select[Any]) -> Sql:
    """Return *source*, which finds many rows of text and whole numbers, as a statement for every database.

    On SQLite they come as one text: the driver lets go of the interpreter for each row it fetches, and beside a busy loop to get it
    back costs more than the row.
    """
    return Sql({"any": source, "sqlite": _packed(source)}, packed=True)


def cols(table: FromClause, names: str) -> list[ColumnElement[Any]]:
    """Return the columns *names* (space-separated) of *table*, for a select or a returning."""
    return [table.c[name] for name in names.split()]


def insert_row(table: Table, columns: str) -> Sql:
    """Return an INSERT of the named *columns* (space-separated); the others take their defaults."""
    return sql(table.insert().values({name: bindparam(name) for name in columns.split()}))


def insert_new(table: Table, columns: str, conflict: str) -> Sql:
    """Return an INSERT that does nothing when *conflict* (columns) is taken: the caller counts the rows."""
    return _upsert(table, columns, conflict, "")


def upsert(table: Table, columns: str, conflict: str, changes: str) -> Sql:
    """Return an INSERT that, when *conflict* is taken, sets *changes* to the new values instead."""
    return _upsert(table, columns, conflict, changes)


def _upsert(table: Table, columns: str, conflict: str, changes: str) -> Sql:
    made: dict[str, ClauseElement] = {}
    for name, insert in (("sqlite", sqlite_insert), ("postgresql", postgresql_insert)):
        statement: Any = insert(table).values({column: bindparam(column) for column in columns.split()})
        if changes:
            made[name] = statement.on_conflict_do_update(
                index_elements=conflict.split(), set_={column: statement.excluded[column] for column in changes.split()}
            )
        else:
            made[name] = statement.on_conflict_do_nothing(index_elements=conflict.split())
    return Sql(made)


def adhoc(source: Select[Any] | Insert | Update) -> Sql:
    """Return a statement whose shape depends on the request (a filter, a page); compiled at each use."""
    return Sql({"any": source}, adhoc=True)


def one_of(column: ColumnElement[Any], *values: str) -> ColumnElement[bool]:
    """Return the condition that *column* is one of *values*, in a form that compiles once (`in_` expands at each use)."""
    return or_(*(column == value for value in values))
