"""The journal: what happened, in the order it was committed, for everybody who must learn it.

A row belongs to a conversation (its `seq` orders it there) or to nobody (a distribution, a presence). Readers keep a position each
and so miss nothing while they are down.

On SQLite `id` is the order of commits, and a position is the last row's. On PostgreSQL a row with a lower id may be committed after one
with a higher: whoever reads on by `id` alone never sees it. So a position also tells which transactions had not ended when it was
taken: a list, in which PostgreSQL's snapshot and the next number that it would give stand for all there were. What follows it is

    every row above the last one, and of those up to it the rows of the transactions that had not ended

A transaction takes its number before its first row takes an id: what begins after the reading stands above the last row. Rows come in
the order of their ids, which is that of causes: who works on a conversation holds its lock until the commit, and takes ids after that.
Nobody waits for the transactions of strangers, however long they last.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, bindparam, func, literal_column, select, text, update

from broker.domain import to_us
from broker.errors import StoreBusy
from broker.ports import Bell, Row, Tx
from broker.store.sql import Sql, among, cols, insert_rows, over_rows, page, postgresql_only, sql, upsert, with_rows
from broker.store.tables import conversations, journal, readers

_COLUMNS = "conversation_id seq session_id line_id kind input_seq message_seq status operator_id at_us body"
_APPEND = insert_rows(journal, "kind conversation_id seq session_id line_id input_seq message_seq status operator_id at_us body")
_APPEND_NUMBERED = sql(journal.insert().values({name: bindparam(name) for name in _COLUMNS.split()}).returning(journal.c.id))
_NEXT = sql(
    update(conversations)
    .values(journal_seq=conversations.c.journal_seq + 1)
    .where(conversations.c.id == bindparam("conversation"))
    .returning(conversations.c.journal_seq, conversations.c.input_seq - conversations.c.worked_seq)
)

_NEXT_EACH = with_rows(
    "id",
    [conversations.c.id],
    "UPDATE conversations SET journal_seq = conversations.journal_seq + 1 FROM new WHERE conversations.id = new.id "
    "RETURNING conversations.id, conversations.journal_seq, conversations.input_seq - conversations.worked_seq",
)
_LAST = sql(select(journal.c.id).order_by(journal.c.id.desc()).limit(1))
_POSITION = sql(select(*cols(readers, "cursor under_way")).where(readers.c.name == bindparam("name")))
_MOVE = upsert(readers, "name cursor under_way", "name", "cursor under_way")
TEXT_MAX = 4_000
"""Characters of a position that is told to others: two hundred transactions under way and more. A console's hello has room for it."""
UNDER_WAY_MAX = 100_000
"""Transactions that a position names. Subtransactions have numbers too: somebody else's job may begin very many before anything ends."""
# The age of the first number there is tells the next one to be given, in 32 bits, as of when the transaction's snapshot was taken or just
# after it, never before (broker.store.postgres).
_SNAPSHOT = postgresql_only(select(literal_column("pg_current_snapshot()::text"), literal_column("age('3'::xid)")))
_FIRST_XID = 3


@dataclass(frozen=True, slots=True)
class Position:
    """How far somebody has read: every row up to *last*, but for those of transactions that had not ended."""

    last: int = 0
    first_open: int = 0
    """The transactions from this number on had not begun; 0: there are none, on SQLite."""
    under_way: tuple[int, ...] = ()
    """Those below it that had not ended."""

    def has(self, row: int, xid: int | None) -> bool:
        """Return whether the row *row* of the transaction *xid* has been read."""
        if row > self.last:
            return False
        return xid is None or not self.first_open or (xid < self.first_open and xid not in self.under_way)

    def text(self) -> str:
        """Return the position in digits and dashes; empty, which is no position, when that would be longer than TEXT_MAX."""
        text = "-".join(map(str, (self.last, self.first_open, *self.under_way)))
        return text if len(text) <= TEXT_MAX else ""

    @classmethod
    def read(cls, text: str) -> Position | None:
        """Return the position that *text* is, None for anything else."""
        parts = text.split("-")
        if len(parts) < 2 or not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in parts):
            return None
        last, first_open, *under_way = map(int, parts)
        return cls(last, first_open, tuple(under_way))


BEGINNING = Position()


class Following:
    """What follows a position, a page at a time: *source* selects from the journal, the row's id first."""

    def __init__(self, source: Select[Any], most: int) -> None:
        # Its own statement for each size: a bound LIMIT would be planned anew at every reading.
        self._new = page(source.where(journal.c.id > bindparam("after")).order_by(journal.c.id).limit(most))
        self._late = over_rows(source.where(among(journal.c.id)), [journal.c.id])
        self.most = most

    def read(self, tx: Tx, position: Position) -> tuple[list[Row], Position]:
        """Return the next rows in the order of their ids, and the position behind them. *tx* must be a reading one."""
        rows = tx.all(self._new, after=position.last)
        if not tx.shared:
            return rows, Position(rows[-1][0]) if rows else position
        late = tx.each(self._late, late_rows(tx, position))
        last = rows[-1][0] if rows else position.last
        return sorted([*late, *rows], key=lambda row: row[0]) if late else rows, _position(tx, last)


# Numbers alone: they are few, and what belongs to them is then looked up by them. `+ 0` keeps the planner from the index of ids, of which
# nearly all are below.
_LATE = postgresql_only(
    select(journal.c.id)
    .where(text("journal.id + 0 <= :after AND journal.xid = ANY(CAST(:under_way AS bigint[]))"))
    .limit(bindparam("most"))
)


def late_rows(tx: Tx, position: Position, most: int | None = None) -> list[Row]:
    """Return the ids of rows below *position* that were not there when it was taken (of *most* of them), a row each.

    *tx* must be a reading one.
    """
    if not tx.shared or not position.under_way:
        return []
    return tx.all(_LATE, after=position.last, under_way=list(position.under_way), most=most)


@lru_cache(maxsize=8)
def _following(most: int) -> Following:
    return Following(select(*cols(journal, "id " + _COLUMNS)), most)


STEP_ROWS = 1_000
"""More than one distribution makes: its own row is no further before those of its sessions."""
_EARLIER_DISTRIBUTION = (
    select(journal.c.id)
    .where(journal.c.id < bindparam("row"), journal.c.kind == "distribution", journal.c.at_us == bindparam("at_us"))
    .order_by(journal.c.id.desc())
    .limit(1)
)
_own = journal.alias("own")
_OWN_XID = select(_own.c.xid).where(_own.c.id == bindparam("row")).scalar_subquery()
_NEAR = _EARLIER_DISTRIBUTION.where(journal.c.id >= bindparam("earliest"))
_DISTRIBUTION_OF = Sql(
    {
        "sqlite": _NEAR,
        "postgresql": select(
            func.coalesce(
                # Rows of others stand between those of one transaction, however many.
                _EARLIER_DISTRIBUTION.where(journal.c.xid == _OWN_XID).scalar_subquery(),
                # Not between those that were carried over from SQLite (broker.store.moving).
                _NEAR.where(journal.c.xid.is_(None), _OWN_XID.is_(None)).scalar_subquery(),
            )
        ),
    }
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
    if row[1] and tx.shared:
        # A worker may have passed it over while it was locked here.
        tx.ring(Bell.CONVERSATION, conversation_id)
    return int(row[0])


def next_seq_each(tx: Tx, conversation_ids: Collection[str]) -> dict[str, int]:
    """Take the next journal number of each of many conversations; see `next_seq`."""
    taken: dict[str, int] = {}
    for id_, seq, undecided in tx.each(_NEXT_EACH, [(id_,) for id_ in sorted(set(conversation_ids))]):
        taken[id_] = int(seq)
        if undecided and tx.shared:
            tx.ring(Bell.CONVERSATION, id_)
    return taken


def after(tx: Tx, position: Position, most: int = 500) -> tuple[list[Entry], Position]:
    """Return about *most* rows after *position*, oldest first, and the position behind them. *tx* must be a reading one."""
    rows, behind = _following(most).read(tx, position)
    return [Entry(*row) for row in rows], behind


def now(tx: Tx) -> Position:
    """Return the position behind everything that *tx*, a reading one, can see."""
    return _position(tx, last(tx)) if tx.shared else Position(last(tx))


def last(tx: Tx) -> int:
    """Return the id of the newest row that *tx* can see, 0 for an empty journal."""
    row = tx.one(_LAST)
    return int(row[0]) if row else 0


def _position(tx: Tx, last: int) -> Position:
    """Return the position behind the row *last* for a reading *tx*. Raises StoreBusy while more is under way than it can name."""
    row = tx.one(_SNAPSHOT)
    assert row is not None
    snapshot, age = row
    _, not_ended, listed = str(snapshot).split(":")
    # From here on nobody had ended, yet the next may have begun by then: to leave them open would be to look through all rows since.
    begun_above = (int(age) + _FIRST_XID - int(not_ended)) % 2**32
    if begun_above >= 2**31:
        begun_above = 0  # a writing transaction: the age tells its own number, and others have ended since
    if begun_above > UNDER_WAY_MAX:
        raise StoreBusy(f"{begun_above} transactions have begun on the server since the last one ended; try again in a moment")
    under_way = (*(int(xid) for xid in listed.split(",") if xid), *range(int(not_ended), int(not_ended) + begun_above))
    return Position(last, int(not_ended) + begun_above, under_way)


def distribution_of(tx: Tx, row: int, at_us: int) -> int | None:
    """Return the id of the distribution that held a session: the row *row* of *at_us* says so and does not name it.

    One transaction, so one moment, wrote both.
    """
    (found,) = tx.one(_DISTRIBUTION_OF, row=row, earliest=row - STEP_ROWS, at_us=at_us) or (None,)
    return int(found) if found is not None else None


def position_of(tx: Tx, name: str) -> Position:
    """Return where the reader *name* stands; a new reader stands at the beginning."""
    row = tx.one(_POSITION, name=name)
    if row is None:
        return BEGINNING
    first_open, *under_way = (int(xid) for xid in row[1].split() or ("0",))
    return Position(int(row[0]), first_open, tuple(under_way))


def move(tx: Tx, name: str, to: Position) -> None:
    """Set the reader's position."""
    tx.run(_MOVE, name=name, cursor=to.last, under_way=" ".join(map(str, (to.first_open, *to.under_way))))
