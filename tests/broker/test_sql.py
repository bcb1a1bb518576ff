"""Statements written once, for two databases."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from sqlalchemy import bindparam, select, update

from broker.store.sql import POSTGRESQL, SQLITE, Sql, adhoc, insert_new, insert_row, one_of, sql, upsert
from broker.store.tables import counters, metadata, outbox
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


def shipped() -> list[Any]:
    """Return every statement of the core, with a name to show."""
    return [
        pytest.param(statement, id=f"{module}.{name}")
        for module in MODULES
        for name, statement in vars(importlib.import_module(module)).items()
        if isinstance(statement, Sql)
    ]


@pytest.mark.parametrize("statement", shipped())
def test_every_statement_is_written_for_both_databases(statement: Sql):
    """It compiles for SQLite and for PostgreSQL, with nothing but named values left open."""
    for dialect, mark in ((SQLITE, ":"), (POSTGRESQL, "%(")):
        text, fixed = statement.text(dialect)

        assert fixed == {}
        assert "POSTCOMPILE" not in text
        assert text.count("?") == 0 or mark in text


GROWS_FOR_EVER = ("inputs", "messages", "journal", "outbox", "sessions", "offers", "conversations", "contacts", "contact_points")


@pytest.mark.parametrize("statement", shipped())
def test_no_statement_of_the_core_walks_a_table_that_grows(statement: Sql):
    """What runs for every message or every second finds its rows by an index, however long the history."""
    text, _ = statement.text(SQLITE)
    if text.startswith("INSERT"):
        return
    names = set(importlib.import_module("re").findall(r":(\w+)", text))
    plan = [row[3] for row in MemoryStore().connection.execute("EXPLAIN QUERY PLAN " + text, dict.fromkeys(names, 1)).fetchall()]
    # The one row in flight of each conversation; and the newest row, which is the end of the table.
    allowed = ("SCAN outbox USING INDEX uq_outbox_in_flight", "SCAN journal")

    walks = [step for step in plan if step.startswith("SCAN") and step.split()[1] in GROWS_FOR_EVER and step not in allowed]
    assert [step for step in walks if "ix_conversations_undecided" not in step and "ix_outbox_open" not in step] == []


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
    with pytest.raises(Exception, match="UNIQUE"):
        store.write(lambda tx: tx.run(add, name="a", value=4))


def test_many_rows_at_once():
    """`many` executes once for each."""
    store = MemoryStore()
    store.write(lambda tx: tx.many(insert_row(counters, "name value"), [{"name": f"{n}", "value": n} for n in range(5)]))

    assert store.one("SELECT sum(value) FROM counters") == 10


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
    assert {owner.split(".")[0] for owner in OWNERS.values()} <= {"broker", "operators", "routing", "crm_bridge"}
