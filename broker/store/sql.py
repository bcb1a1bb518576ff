"""Statements written once: SQLAlchemy Core in, the driver's own text and values out.

Core's execution costs about 10 us a statement, the driver's 2 us. So a statement is compiled once per dialect and run on the
driver's cursor; what Core gives us is one way of writing for SQLite and PostgreSQL.

Constants of the code are written into the text, only what the caller names is bound. With a bound constant SQLite cannot use a
partial index, and a bound LIMIT makes it plan the statement anew at every execution (25 us).

    FIND = sql(select(contacts.c.id).where(contacts.c.name == bindparam("name")))
    tx.one(FIND, name="Ann")
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, FromClause, Insert, Select, Update, bindparam, or_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import Table

SQLITE: Dialect = sqlite.dialect(paramstyle="named")
POSTGRESQL: Dialect = postgresql.dialect(paramstyle="pyformat")  # type: ignore[no-untyped-call]


class Sql:
    """One statement; immutable. `fixed` are the values written into it, the rest are named by the caller."""

    __slots__ = ("_adhoc", "_compiled", "_sources")

    def __init__(self, sources: Mapping[str, ClauseElement], *, adhoc: bool = False) -> None:
        self._sources = sources
        self._adhoc = adhoc
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    def text(self, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        """Return the driver's text, and the values of an ad-hoc statement that came with it."""
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            source = self._sources[dialect.name if dialect.name in self._sources else "any"]
            made: Any = source.compile(dialect=dialect, compile_kwargs={"render_postcompile": self._adhoc})
            asked = {name for name, bind in made.binds.items() if bind.required}
            fixed = {name: value for name, value in made.params.items() if name not in asked}
            compiled = (str(made), fixed) if self._adhoc else (_inlined(str(made), fixed, dialect), {})
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


def sql(source: ClauseElement) -> Sql:
    """Return *source* as a statement for every database."""
    return Sql({"any": source})


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
