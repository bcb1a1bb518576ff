"""Every read of the consoles goes by an index: a year of sessions costs a screen no more than a day of them."""

from __future__ import annotations

import re

import pytest

from broker.store.sql import SQLITE, RowsSql, Sql
from operators import board, cards, deeds, news, pins, presence, reviews, screens, sessions_rest, threads, why_rest
from tests.support.store import MemoryStore

MODULES = (board, cards, deeds, news, pins, presence, reviews, screens, sessions_rest, threads, why_rest)


def texts(statement: object) -> list[str]:
    """Return the SELECTs that *statement* is run as; values are NULL or a number."""
    match statement:
        case Sql():
            made = [re.sub(r":[a-z_]+", "0", statement.text(SQLITE)[0])]
        case RowsSql():
            made = [text.replace("?", "NULL") for _, text in statement.texts()]
        case _:
            made = []
    return [text for text in made if text.startswith("SELECT")]


STATEMENTS = {
    f"{module.__name__}.{name}": made
    for module in MODULES
    for name, statement in vars(module).items()
    if (made := texts(statement))
}
SMALL = ("presence", "budgets", "line_state", "session_members")
"""As many rows as people, or lines, or colleagues in open sessions."""
GIVEN = re.compile(r"SCAN (anon_|\(subquery-|CONSTANT ROW|\d+-ROW VALUES CLAUSE)")
"""What a page has found, and the rows a statement was given."""
OPEN_ONLY = ("ix_sessions_waiting", "ix_offers_open", "uq_sessions_open")
"""Partial indexes: what is open now."""


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_it_uses_an_index(name):
    """SQLite scans nothing that grows with time."""
    plan = [row[3] for text in STATEMENTS[name] for row in MemoryStore().rows(f"EXPLAIN QUERY PLAN {text}")]

    scans = [step for step in plan if step.startswith("SCAN") and not GIVEN.match(step)]
    assert [] == [
        step for step in scans if not step.startswith(tuple(f"SCAN {one}" for one in SMALL)) and not step.endswith(OPEN_ONLY)
    ]


def test_every_statement_is_looked_at():
    """The list above is not empty by mistake."""
    assert {"operators.cards._CARDS", "operators.news._PAGE", "operators.threads._BEFORE", "operators.board._OPENED"} <= set(
        STATEMENTS
    )
