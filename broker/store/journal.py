"""The journal: what happened, in the order it was committed, for everybody who must learn it.

A row belongs to a conversation (its `seq` orders it there) or to nobody (a distribution, a presence). Readers keep a cursor each
and so miss nothing while they are down. On SQLite `id` is the order of commits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from sqlalchemy import bindparam, select, update

from broker.domain import to_us
from broker.ports import Bell, Tx
from broker.store.sql import Sql, cols, insert_rows, page, sql, upsert
from broker.store.tables import conversations, journal, readers

_COLUMNS = "conversation_id seq session_id line_id kind input_seq message_seq status operator_id at_us body"
_APPEND = insert_rows(journal, "kind conversation_id seq session_id line_id input_seq message_seq status operator_id at_us body")
_APPEND_NUMBERED = sql(journal.insert().values({name: bindparam(name) for name in _COLUMNS.split()}).returning(journal.c.id))
_NEXT = sql(
    update(conversations)
    .values(journal_seq=conversations.c.journal_seq + 1)
    .where(conversations.c.id == bindparam("conversation"))
    .returning(conversations.c.journal_seq)
)


@lru_cache(maxsize=8)
def _after(most: int) -> Sql:
    # Its own statement for each size: a bound LIMIT would be planned anew at every reading.
    return page(
        select(*cols(journal, "id " + _COLUMNS)).where(journal.c.id > bindparam("after")).order_by(journal.c.id).limit(most)
    )


_LAST = sql(select(journal.c.id).order_by(journal.c.id.desc()).limit(1))
_CURSOR = sql(select(readers.c.cursor).where(readers.c.name == bindparam("name")))
_MOVE = upsert(readers, "name cursor", "name", "cursor")


STEP_ROWS = 1_000
"""More than one distribution makes: its own row is no further before those of its sessions."""
_DISTRIBUTION_OF = sql(
    select(journal.c.id)
    .where(
        journal.c.id < bindparam("row"),
        journal.c.id >= bindparam("earliest"),
        journal.c.kind == "distribution",
        journal.c.at_us == bindparam("at_us"),
    )
    .order_by(journal.c.id.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the journal.

    *kind* is an event's type, or one of: distribution, message, fate, contact, presence, frozen, lead, alert, pin, review, hours.
    """

    id: int
    conversation_id: str | None
    seq: int | None
    session_id: str | None
    line_id: str | None
    kind: str
    input_seq: int | None
    message_seq: int | None
    status: str | None
    operator_id: str | None
    at_us: int
    body: str


def append(
    tx: Tx,
    kind: str,
    body: str,
    *,
    conversation_id: str | None = None,
    seq: int | None = None,
    session_id: str | None = None,
    line_id: str | None = None,
    input_seq: int | None = None,
    message_seq: int | None = None,
    status: str | None = None,
    operator_id: str | None = None,
) -> None:
    """Add a row at the transaction's end and ring the news; *seq* must be the conversation's next, taken under its lock."""
    tx.later(
        _APPEND,
        (
            kind,
            conversation_id,
            seq,
            session_id,
            line_id,
            input_seq,
            message_seq,
            status,
            operator_id,
            to_us(tx.now),
            body,
        ),
    )
    tx.ring(Bell.NEWS)


def append_numbered(tx: Tx, kind: str, body: str, *, line_id: str | None = None) -> int:
    """Add a row of no conversation and return its id, for others to point at."""
    values = dict.fromkeys(_COLUMNS.split()) | {"kind": kind, "body": body, "line_id": line_id, "at_us": to_us(tx.now)}
    tx.settle()  # what was put off came before
    row = tx.one(_APPEND_NUMBERED, **values)
    assert row is not None
    tx.ring(Bell.NEWS)
    return int(row[0])


def next_seq(tx: Tx, conversation_id: str) -> int:
    """Take the next journal number of the conversation, and its lock with it."""
    row = tx.one(_NEXT, conversation=conversation_id)
    assert row is not None, f"conversation {conversation_id} is gone"
    return int(row[0])


def after(tx: Tx, cursor: int, most: int = 500) -> list[Entry]:
    """Return at most *most* rows after *cursor*, oldest first."""
    return [Entry(*row) for row in tx.all(_after(most), after=cursor)]


def last(tx: Tx) -> int:
    """Return the newest row's id, 0 for an empty journal."""
    row = tx.one(_LAST)
    return int(row[0]) if row else 0


def distribution_of(tx: Tx, row: int, at_us: int) -> int | None:
    """Return the id of the distribution that held a session: the row *row* of *at_us* says so and does not name it.

    One transaction, so one moment, wrote both.
    """
    found = tx.one(_DISTRIBUTION_OF, row=row, earliest=row - STEP_ROWS, at_us=at_us)
    return int(found[0]) if found else None


def read_on(tx: Tx, name: str, apply: Callable[[Tx, Entry], None], most: int = 500) -> int:
    """Let the reader *name* apply what follows its cursor and move it, in this transaction; return how many rows it read."""
    entries = after(tx, cursor(tx, name), most)
    for entry in entries:
        apply(tx, entry)
    if entries:
        move(tx, name, entries[-1].id)
    return len(entries)


def cursor(tx: Tx, name: str) -> int:
    """Return where the reader *name* stands; a new reader stands at the beginning."""
    row = tx.one(_CURSOR, name=name)
    return int(row[0]) if row else 0


def move(tx: Tx, name: str, to: int) -> None:
    """Set the reader's cursor."""
    tx.run(_MOVE, name=name, cursor=to)
