"""How the house stands in numbers, for `/metrics`: what waits, since when, and how far the journal's readers are behind.

Each is bounded by what is open now, never by what there has been.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Float, bindparam, cast, func, literal_column, select, text

from broker.domain import to_us
from broker.ports import Tx
from broker.store.journal import Position
from broker.store.sql import postgresql_only, sql
from broker.store.tables import channels, conversations, inputs, journal, lines, outbox, readers, sessions

CONVERSATIONS_MAX = 1_000
_OPEN = sql(
    select(lines.c.slug, sessions.c.status, func.count(), func.min(sessions.c.queued_us))
    .join_from(sessions, lines, lines.c.id == sessions.c.line_id)
    .where(sessions.c.status != literal_column("'closed'"))
    .group_by(lines.c.slug, sessions.c.status)
)
_some = (
    select(conversations.c.id, conversations.c.worked_seq)
    .where(literal_column("input_seq > worked_seq"))
    .order_by(conversations.c.id)
    .limit(CONVERSATIONS_MAX)
    .subquery()
)
_first = (
    select(inputs.c.at_us)
    .where(inputs.c.conversation_id == _some.c.id, inputs.c.seq > _some.c.worked_seq)
    .order_by(inputs.c.seq)
    .limit(1)
    .scalar_subquery()
)
_UNDECIDED = sql(select(func.min(_first)).select_from(_some))
_UNSENT = sql(
    # Since when they wait, and not since when they are due: what backs off is due again and again, and never long.
    select(channels.c.slug, func.count(), func.min(outbox.c.created_us))
    .join_from(outbox, channels, channels.c.id == outbox.c.channel_id)
    .where(text("state IN ('queued', 'sending')"))
    .group_by(channels.c.slug)
)
_READERS = sql(select(readers.c.name, readers.c.cursor))
_LAST = sql(select(func.max(journal.c.id)))
_FIRST_AFTER = sql(select(journal.c.at_us).where(journal.c.id > bindparam("after")).order_by(journal.c.id).limit(1))
_OLDEST_WRITER = postgresql_only(
    select(cast(func.max(literal_column("extract(epoch FROM now() - xact_start)")), Float))
    .select_from(text("pg_stat_activity"))
    .where(text("backend_xid IS NOT NULL AND datname = current_database()"))
)


@dataclass(frozen=True, slots=True)
class Behind:
    """How much a reader of the journal has still to read."""

    rows: int
    """At most: numbers that nobody used count too."""
    seconds: float
    """The age of the oldest of them."""


@dataclass(frozen=True, slots=True)
class Measures:
    """How the house stands; ages in seconds."""

    open: Mapping[tuple[str, str], int]
    """(line's slug, status) -> sessions."""
    longest_wait: Mapping[str, float]
    """Line's slug -> the age of the stay in the queue that is longest."""
    oldest_undecided: float
    unsent: Mapping[str, tuple[int, float]]
    """Channel's slug -> how many messages are due, and for how long the first."""
    readers: Mapping[str, Behind]
    oldest_writer: float


def measure(tx: Tx, reading: Mapping[str, Position] = {}) -> Measures:
    """Return how the house stands; *reading*: readers that keep their place elsewhere."""
    now = to_us(tx.now)

    def age(at_us: Any) -> float:
        return max(0, now - int(at_us)) / 1e6 if at_us is not None else 0.0

    found = tx.all(_OPEN)
    longest: dict[str, float] = {}
    for line, status, _, queued_us in found:
        if status in ("queued", "offered"):
            longest[line] = max(longest.get(line, 0.0), age(queued_us))
        else:
            longest.setdefault(line, 0.0)
    (undecided,) = tx.one(_UNDECIDED) or (None,)
    (last,) = tx.one(_LAST) or (0,)
    places = {name: int(cursor) for name, cursor in tx.all(_READERS)} | {name: at.last for name, at in reading.items()}
    behind = {}
    for name, place in places.items():
        (at_us,) = tx.one(_FIRST_AFTER, after=place) or (None,)
        behind[name] = Behind(max(0, (last or 0) - place) if at_us is not None else 0, age(at_us))
    return Measures(
        {(line, status): count for line, status, count, _ in found},
        longest,
        age(undecided),
        {channel: (count, age(created_us)) for channel, count, created_us in tx.all(_UNSENT)},
        behind,
        float((tx.one(_OLDEST_WRITER) or (0.0,))[0] or 0.0) if tx.shared else 0.0,
    )
