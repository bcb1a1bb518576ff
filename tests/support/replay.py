"""Deciding again, by what `omniline replay` does, what tests have left in a journal."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from broker.store.sqlite import read_once
from routing.replaying import Difference, Tally, Written, between, replay


def differences(rows: Iterable[tuple[int, str, str]]) -> list[Difference]:
    """Return the rows, of (id, kind, body), that replay to something else."""
    return list(replay((Written(row, None, kind, None, 0, body.encode()) for row, kind, body in rows), Tally()))


def journalled(store: Any) -> list[tuple[int, str, str]]:
    """Return the journal of a `MemoryStore` as `differences` reads it."""
    return [(row[0], row[1], row[2]) for row in store.rows("SELECT id, kind, body FROM journal ORDER BY id")]


def unlike(database: Path) -> list[str]:
    """Return what in the journal of *database* replays to something else, or was not decided by this engine; empty: nothing."""
    tally = Tally()
    found = [difference.text() for difference in replay(between(partial(read_once, database)), tally)]
    return found + ([tally.text()] if tally.other_engine else [])
