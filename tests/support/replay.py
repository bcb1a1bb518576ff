"""Deciding the journal again, each row from itself alone: the same bytes must come out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from routing.applying import ENCODER, Record, record_of
from routing.distribution import distribute
from routing.distributor import DistributionRecord
from routing.engine import ENGINE, decide
from routing.view import replayed

NO_DECISION = frozenset({"message", "fate", "contact", "presence", "frozen", "lead"})
"""Kinds of rows that tell what happened and decide nothing."""

_RECORD = msgspec.json.Decoder(Record)
_DISTRIBUTION = msgspec.json.Decoder(DistributionRecord)


@dataclass(frozen=True)
class Difference:
    """A row that does not come out as it was written."""

    row: int
    kind: str
    written: str
    again: str


def again(kind: str, body: str) -> str | None:
    """Return the row's body as this engine writes it, from the row alone; None for a row of another engine or no decision."""
    if kind in NO_DECISION:
        return None
    if kind == "distribution":
        old = _DISTRIBUTION.decode(body)
        if old.engine != ENGINE:
            return None
        made = DistributionRecord(old.engine, old.now, old.pool, distribute(old.pool, old.now))
        return ENCODER.encode(made).decode()
    record = _RECORD.decode(body)
    if record.engine != ENGINE:
        return None
    view = replayed(record.view)
    after, decisions = decide(record.before, record.event, view, record.now)
    fresh = record_of(record.settings, record.now, record.event, record.before, view, after, decisions, engine=record.engine)
    return ENCODER.encode(fresh).decode()


def differences(rows: Iterable[tuple[int, str, str]]) -> list[Difference]:
    """Return the rows, of (id, kind, body), that replay to something else."""
    found = []
    for row, kind, body in rows:
        made = again(kind, body)
        if made is not None and made != body:
            found.append(Difference(row, kind, body, made))
    return found


def journalled(store: Any) -> list[tuple[int, str, str]]:
    """Return the journal of a `MemoryStore` as `differences` reads it."""
    return [(row[0], row[1], row[2]) for row in store.rows("SELECT id, kind, body FROM journal ORDER BY id")]
