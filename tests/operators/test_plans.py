"""Every read of the consoles goes by an index: a year of sessions costs a screen no more than a day of them."""

from __future__ import annotations

import re

import pytest

from broker.store.sql import SQLITE, Sql
from operators import cards, deeds, news, presence, screens, sessions_rest, threads
from tests.support.store import MemoryStore

MODULES = (cards, deeds, news, presence, screens, sessions_rest, threads)
STATEMENTS = {
    f"{module.__name__}.{name}": statement
    for module in MODULES
    for name, statement in vars(module).items()
    if isinstance(statement, Sql) and statement.text(SQLITE)[0].startswith("SELECT")
}
SMALL = ("presence", "budgets")
"""As many rows as people."""
OPEN_ONLY = ("ix_sessions_waiting", "ix_offers_open", "uq_sessions_open")
"""Partial indexes: what is open now."""


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_it_uses_an_index(name):
    """SQLite scans nothing that grows with time."""
    text = re.sub(r":[a-z_]+", "0", STATEMENTS[name].text(SQLITE)[0])
    plan = [row[3] for row in MemoryStore().rows(f"EXPLAIN QUERY PLAN {text}")]

    scans = [step for step in plan if step.startswith("SCAN") and not step.startswith("SCAN anon_")]  # what a page has found
    assert [] == [
        step for step in scans if not step.startswith(tuple(f"SCAN {one}" for one in SMALL)) and not step.endswith(OPEN_ONLY)
    ]


def test_every_statement_is_looked_at():
    """The list above is not empty by mistake."""
    assert {"operators.cards._CARD", "operators.news._PAGE", "operators.threads._BEFORE"} <= set(STATEMENTS)
