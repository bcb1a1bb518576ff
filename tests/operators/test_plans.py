"""Every read of the consoles goes by an index: a year of sessions costs a screen no more than a day of them."""

from __future__ import annotations

import re

import pytest

from broker.store import measures
from operators import board, cards, deeds, news, pins, presence, reviews, screens, sessions_rest, threads, why_rest
from tests.support.plans import postgres_scans, sqlite_scans, statements

MODULES = (board, cards, deeds, news, pins, presence, reviews, screens, sessions_rest, threads, why_rest, measures)
STATEMENTS = {f"{module.__name__}.{name}": made for module in MODULES for name, made in statements(module).items()}
SMALL = ("presence", "budgets", "line_state", "session_members", "consoles", "readers", "lines", "channels")
"""As many rows as people, or lines, or channels, or colleagues in open sessions, or open consoles, or readers."""
GIVEN = re.compile(r"SCAN (anon_|\(subquery-|CONSTANT ROW|\d+-ROW VALUES CLAUSE|new$)")
"""What a page has found, and the rows a statement was given."""
OPEN_ONLY = (
    "ix_sessions_waiting",
    "ix_sessions_operator",
    "ix_offers_open",
    "uq_sessions_open",
    "ix_conversations_undecided",
    "ix_outbox_open",
    "ix_outbox_queue",
)
"""Partial indexes: what is open now."""


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_sqlite_uses_an_index(name):
    """SQLite scans nothing that grows with time."""
    scans = [step for step in sqlite_scans(STATEMENTS[name]) if not GIVEN.match(step)]

    small = tuple(f"SCAN {one}" for one in SMALL)
    assert [] == [step for step in scans if not step.startswith(small) and not step.endswith(OPEN_ONLY)]


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_postgresql_uses_an_index(name):
    """Nor does PostgreSQL."""
    scans = postgres_scans(STATEMENTS[name])

    small = (*SMALL, *(f"all by pk_{one}" for one in SMALL))
    assert [] == [step for step in scans if not step.startswith(small) and not step.endswith(OPEN_ONLY)]


def test_every_statement_is_looked_at():
    """The list above is not empty by mistake."""
    assert {"operators.cards._CARDS", "operators.news._PAGE._new", "operators.threads._BEFORE", "operators.board._OPENED"} <= set(
        STATEMENTS
    )
