"""Every statement of the house goes by an index, on either database: a year of sessions costs it no more than a day of them."""

from __future__ import annotations

import importlib
import pkgutil
import re

import pytest

import broker
import channels
import crm_bridge
import operators
import routing
from broker.store.sql import RowsSql, Sql
from tests.support.plans import postgres_scans, sqlite_scans, statements

ASKED_OF_ALL = ("broker.store.reconcile", "broker.store.moving")
"""They read the whole house: the one plans for it (`patient`), the other walks every table from its beginning to its end."""
SMALL = {
    *("lines", "channels", "operators", "seats", "presence", "budgets", "line_state", "sounds", "channel_health"),
    *("consoles", "session_members", "logins", "login_failures"),
    *("readers", "processes", "leases", "pool_marks"),
}
"""As many rows as people, lines, channels, sounds, open consoles, colleagues in open sessions, readers, processes, lines to distribute."""
OPEN_ONLY = {
    *("ix_sessions_waiting", "ix_sessions_operator", "uq_sessions_open", "ix_offers_open", "ix_conversations_undecided"),
    *("ix_outbox_open", "ix_outbox_queue", "uq_outbox_in_flight", "ix_timers_due", "ix_calls_open"),
}
"""Indexes of what is open now."""
ONE_ROW = {"broker.store.journal._LAST"}
"""What walks a table in its own order and stops at the first row."""
GIVEN = re.compile(r"SCAN (anon_|\(subquery-|CONSTANT ROW|\d+-ROW VALUES CLAUSE|\d+ CONSTANT ROWS|new$)")
"""What a page has found, and the rows a statement was given."""
SQLITE_SCAN = re.compile(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?")


def _all() -> dict[str, Sql | RowsSql]:
    found: dict[str, Sql | RowsSql] = {}
    for package in (broker, channels, crm_bridge, operators, routing):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if ".migrations" in module.name or module.name in ASKED_OF_ALL:
                continue
            for name, made in statements(importlib.import_module(module.name)).items():
                if made not in found.values():
                    found[f"{module.name}.{name}"] = made
    return {name: made for name, made in found.items() if name not in ONE_ROW and not (isinstance(made, Sql) and made.adhoc)}


STATEMENTS = _all()


def unbounded(table: str, index: str) -> bool:
    """Return whether going through all of *table*, or of its *index*, costs more the longer the house has been."""
    return table not in SMALL and index not in OPEN_ONLY


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_sqlite_uses_an_index(name: str):
    """SQLite scans nothing that grows with time."""
    scans = [step for step in sqlite_scans(STATEMENTS[name]) if not GIVEN.match(step)]

    found = [SQLITE_SCAN.match(step) for step in scans]
    assert [] == [step for step, scan in zip(scans, found, strict=True) if scan is None or unbounded(scan[1], scan[2] or "")]


@pytest.mark.parametrize("name", sorted(STATEMENTS))
def test_postgresql_uses_an_index(name: str):
    """Nor does PostgreSQL, as the store connects: without the values, "since yesterday" is to it a third of all there was."""
    scans = [step.partition(" by ") for step in postgres_scans(STATEMENTS[name])]

    assert [] == [
        (table, index) for table, _, index in scans if unbounded(index.removeprefix("pk_") if table == "all" else table, index)
    ]


def test_every_statement_is_looked_at():
    """The list above is not empty by mistake."""
    assert {
        "broker.inbound.accept._FIND_EACH",
        "broker.outbound._LEASE",
        "crm_bridge.builtin._REWRITE",
        "operators.board._OPENED",
        "operators.news._PAGE._new",
        "operators.threads._BEFORE",
        "routing.applying._CLAIM_EACH",
    } <= set(STATEMENTS)
