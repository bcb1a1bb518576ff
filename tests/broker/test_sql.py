"""Statements written once, for two databases."""

from __future__ import annotations

import importlib
import re
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update

from broker.ports import Tx
from broker.store import journal
from broker.store.sql import (
    POSTGRESQL,
    SQLITE,
    RowsSql,
    Sql,
    adhoc,
    among,
    insert_new,
    insert_row,
    insert_rows,
    one_of,
    over_rows,
    sql,
    update_rows,
    upsert,
)
from broker.store.tables import contacts, counters, metadata, outbox
from tests.support.plans import postgres_scans, sqlite_scans, statements
from tests.support.store import MemoryStore

MODULES = (
    "broker.inbound.accept",
    "broker.inbound.contacts",
    "broker.outbound",
    "broker.timers",
    "broker.store.journal",
    "broker.store.directory",
    "routing.applying",
    "routing.worker",
    "routing.distributor",
)


def _shipped(kind: type[Sql] | type[RowsSql]) -> list[Any]:
    return [
        pytest.param(statement, id=f"{module}.{name}")
        for module in MODULES
        for name, statement in statements(importlib.import_module(module)).items()
        if isinstance(statement, kind)
    ]


def shipped() -> list[Any]:
    """Return every statement of the core, with a name to show."""
    return _shipped(Sql)


def over_many() -> list[Any]:
    """Return every statement over rows of the core, with a name to show."""
    return _shipped(RowsSql)


@pytest.mark.parametrize("statement", over_many())
def test_every_statement_over_rows_is_written_for_both_databases(statement: RowsSql):
    """Its values go by position in both; PostgreSQL is told their types, for an array tells it nothing."""
    for size, text in statement.texts():
        assert text.count("?") == size * len(statement.empty)
        assert ":" not in text
    assert len(re.findall(r"%s::(text|bigint|smallint|bytea)\[\]", statement.over_arrays())) == len(statement.empty)


@pytest.mark.parametrize("statement", shipped())
def test_every_statement_is_written_for_both_databases(statement: Sql):
    """It compiles for SQLite and for PostgreSQL, with nothing but named values left open."""
    dialects = ((SQLITE, ":"), (POSTGRESQL, "%("))
    for dialect, mark in dialects if statement.everywhere else dialects[1:]:
        text, fixed = statement.text(dialect)

        assert fixed == {}
        assert "POSTCOMPILE" not in text
        assert text.count("?") == 0 or mark in text


GROWS_FOR_EVER = ("inputs", "messages", "journal", "outbox", "sessions", "offers", "conversations", "contacts", "contact_points")


IN_FLIGHT_OR_QUEUED = ("uq_outbox_in_flight", "ix_outbox_queue", "ix_outbox_open", "ix_conversations_undecided")
"""Partial indexes: what there is to do now."""


@pytest.mark.parametrize("statement", [*shipped(), *over_many()])
def test_no_statement_of_the_core_walks_a_table_that_grows(statement: Sql | RowsSql):
    """What runs for every message or every second finds its rows by an index, however long the history."""
    walks = [step for step in sqlite_scans(statement) if step.split()[1] in GROWS_FOR_EVER and not _is_short(step)]

    assert [step for step in walks if step != "SCAN journal" or statement is not journal._LAST] == []


@pytest.mark.parametrize("statement", [*shipped(), *over_many()])
def test_nor_does_one_on_postgresql(statement: Sql | RowsSql):
    """The same promise of the plans that it makes once, for whatever values come."""
    walks = [step for step in postgres_scans(statement) if step.startswith((*GROWS_FOR_EVER, "all by")) and not _is_short(step)]

    # The newest row is the end of the index.
    assert [step for step in walks if step != "journal by pk_journal" or statement is not journal._LAST] == []


def _is_short(step: str) -> bool:
    return any(index in step for index in IN_FLIGHT_OR_QUEUED)


def test_constants_are_written_into_the_statement():
    """SQLite uses a partial index only for a condition it can read: the code's own values are text, the caller's are not."""
    statement = sql(select(outbox.c.id).where(outbox.c.state == "it's", outbox.c.seq == bindparam("seq")))

    assert statement.text(SQLITE)[0].endswith("WHERE outbox.state = 'it''s' AND outbox.seq = :seq")
    assert "outbox.state = 'it''s'" in statement.text(POSTGRESQL)[0]
    assert "outbox.seq = %(seq)s" in statement.text(POSTGRESQL)[0]


def test_nothing_but_text_numbers_and_none_is_a_constant():
    """A float or a date written into a statement would depend on the driver."""
    with pytest.raises(TypeError, match="must be text"):
        sql(update(counters).values(value=1.5)).text(SQLITE)


def test_an_insert_of_something_new_counts_its_rows():
    """insert_new does nothing when the name is taken; upsert sets what it is told to; insert_row objects."""
    store = MemoryStore()
    new, put, add = (
        insert_new(counters, "name value", "name"),
        upsert(counters, "name value", "name", "value"),
        insert_row(counters, "name value"),
    )

    assert store.write(lambda tx: [tx.run(new, name="a", value=value) for value in (1, 2)]) == [1, 0]
    assert store.one("SELECT value FROM counters") == 1
    store.write(lambda tx: tx.run(put, name="a", value=3))
    assert store.one("SELECT value FROM counters") == 3
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        store.write(lambda tx: tx.run(add, name="a", value=4))


ADD_ALL = insert_rows(counters, "name value")
SET_ALL = update_rows(counters, "name", "value")
FIND_ALL = over_rows(select(counters.c.name, counters.c.value).where(among(counters.c.name)), [counters.c.name])
ADD_CONTACTS = insert_rows(contacts, "id name created_us changed_us")
FIND_CONTACTS = over_rows(select(contacts.c.name, contacts.c.created_us).where(among(contacts.c.id)), [contacts.c.id])
FIND_PAIRS = over_rows(
    select(counters.c.name).where(among(counters.c.name, counters.c.value)), [counters.c.name, counters.c.value]
)


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5, 16, 63, 64, 65, 256, 257, 600])
def test_a_statement_over_rows_takes_any_number(count: int):
    """Whatever fills its shapes up adds, changes and finds nothing; no row is left out at the shapes' borders."""
    store = MemoryStore()
    rows = [(f"{n}", n) for n in range(count)]

    store.write(lambda tx: tx.each(ADD_ALL, rows))
    assert store.rows("SELECT name, value FROM counters ORDER BY value") == rows

    store.write(lambda tx: tx.each(SET_ALL, [(name, value + 1) for name, value in rows[::2]]))
    assert sum(value for _, value in store.rows("SELECT name, value FROM counters")) == sum(range(count)) + (count + 1) // 2

    found = store.write(lambda tx: tx.each(FIND_ALL, [(name,) for name, _ in rows] + [("nobody",)]))
    assert sorted(found) == sorted(store.rows("SELECT name, value FROM counters"))
    pairs = store.write(lambda tx: tx.each(FIND_PAIRS, [(name, value + 1) for name, value in rows]))
    assert sorted(pairs) == sorted((name,) for name, _ in rows[::2])


@pytest.mark.parametrize(
    "text", ["", "it's", 'say "no"', "new\nline\ttab", "\x1f\x7f", "Привет 👋🏽", "null", "[1]", "x" * 10_000]
)
def test_what_is_found_over_rows_is_what_was_written(text: str):
    """Rows come back packed into one text: nothing a stranger wrote may look otherwise for it."""
    store = MemoryStore()
    store.write(lambda tx: tx.each(ADD_CONTACTS, [("c", text, 2**53 + 1, 0)]))

    assert store.write(lambda tx: tx.each(FIND_CONTACTS, [("c",)])) == [(text, 2**53 + 1)]


def test_what_was_put_off_is_written_before_the_commit_and_in_its_order():
    """`later` is one statement at the end; `settle` does it earlier; an objection undoes it like everything else."""
    store = MemoryStore()

    def work(tx: Tx) -> list[Any]:
        tx.later(ADD_ALL, ("a", 1))
        tx.later(ADD_ALL, ("b", 2))
        before = tx.all(sql(select(counters.c.name)))
        tx.settle()
        return [before, tx.all(sql(select(counters.c.name)))]

    def refuse(tx: Tx) -> None:
        tx.later(ADD_ALL, ("c", 3))
        raise LookupError

    assert store.write(work) == [[], [("a",), ("b",)]]
    store.write(lambda tx: tx.later(ADD_ALL, ("d", 4)))
    with pytest.raises(LookupError):
        store.write(refuse)
    with pytest.raises(Exception, match=r"UNIQUE|unique"):
        store.write(lambda tx: tx.later(ADD_ALL, ("a", 5)))
    assert store.rows("SELECT name FROM counters") == [("a",), ("b",), ("d",)]


def test_an_adhoc_statement_brings_its_values():
    """A filter made for one request keeps its values beside the text: they are a person's, not the code's."""
    store = MemoryStore()
    store.write(lambda tx: tx.run(insert_row(counters, "name value"), name="'; DROP TABLE counters; --", value=1))
    found = adhoc(select(counters.c.value).where(counters.c.name.in_(["'; DROP TABLE counters; --", "b"])))

    assert "DROP" not in found.text(SQLITE)[0]
    assert store.write(lambda tx: tx.all(found)) == [(1,)]


def test_one_of_some_values():
    """A condition that compiles once, where `in_` would at each use."""
    text, _ = sql(select(outbox.c.id).where(one_of(outbox.c.state, "queued", "sending"))).text(SQLITE)

    assert "outbox.state = 'queued' OR outbox.state = 'sending'" in text


def test_every_table_has_an_owner_among_the_packages():
    """The only package that writes it."""
    from broker.store.tables import OWNERS

    assert set(OWNERS) == set(metadata.tables)
    assert {owner.split(".")[0] for owner in OWNERS.values()} <= {"broker", "operators", "routing", "crm_bridge", "channels"}
