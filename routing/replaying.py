"""Deciding the journal again: each row from itself alone, and the same bytes must come out.

    tally = Tally()
    for difference in replay(between(read), tally): ...          or of_session(read, session_id)

A row that says which engine made it is a decision: of a session (its body is a `Record`) or of a pool (a `DistributionRecord`).
Another engine may decide otherwise, or have kept other things: its rows are counted and not decided again. What cannot be read, or
not be decided from what it kept, is a difference as well, and the rows behind it are looked at all the same.

*read* runs a function on a snapshot, once for each page: rows of the journal never change, so the pages need not be of one moment,
and a long replay holds nothing up. No more than a page is in memory.

A range of time is found by the order of ids, for moments have no index. Ids grow with the commits; the machine's clock may be set
back in between. So the ends are searched with SET_BACK to spare, and each row between them is asked for its moment. Only where the
clock went further back than that from where it had been may rows of the range be missed: replay such a journal whole, or by session.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import unified_diff
from functools import partial
from typing import Any, Protocol, TypeVar, get_args

import msgspec
from sqlalchemy import ColumnElement, LargeBinary, Select, bindparam, cast, select

from broker.domain import MICROSECOND, from_us, to_us
from broker.errors import NotFound
from broker.events import Held, SessionEvent
from broker.ports import Tx
from broker.store.journal import distribution_of, last
from broker.store.sql import Sql, cols, sql
from broker.store.tables import journal, offers, sessions
from routing.applying import ENCODER, Record, record_of
from routing.distribution import distribute
from routing.distributor import DistributionRecord
from routing.engine import ENGINE, decide
from routing.view import replayed

T = TypeVar("T")

PAGE = 500
SET_BACK = timedelta(days=2)
"""How far a clock may have gone back from where it had been: a day that it was ahead by mistake, and as much again."""
_POOL, _HELD = "distribution", Held.__struct_config__.tag
_DECISIONS = frozenset(event.__struct_config__.tag for event in get_args(SessionEvent)) | {_POOL}
"""Kinds of rows that must say which engine made them."""


class Read(Protocol):
    """Runs a function on a snapshot of the store and returns its answer."""

    def __call__(self, work: Callable[[Tx], T], /) -> T:
        """Run *work*."""


@dataclass(frozen=True, slots=True)
class Written:
    """A row of the journal, as far as it is decided again."""

    id: int
    seq: int | None
    """Its place in its conversation."""
    kind: str
    session_id: str | None
    at_us: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that does not come out as it was written. *again*: what comes out, None when nothing does."""

    row: Written
    reason: str
    again: bytes | None = None

    def diff(self) -> list[str]:
        """Return the two, a value a line, as a unified diff; where the values are the same, the bytes that are not."""
        if self.again is None:
            return []
        old, new = _lines(self.row.body), _lines(self.again)
        if old == new:
            start = max(_first_apart(self.row.body, self.again) - 20, 0)
            old, new = ([repr(body[start : start + 60])] for body in (self.row.body, self.again))
        return [printable(line) for line in unified_diff(old, new, f"row {self.row.id}", "decided again", lineterm="")]

    def text(self) -> str:
        """Return it as lines for a terminal."""
        row = self.row
        session = f", session {row.session_id}" if row.session_id else ""
        return "\n".join([f"row {row.id}, {_moment(row.at_us)}, {printable(row.kind)}{session}: {self.reason}", *self.diff()])

    def json(self) -> str:
        """Return it as one line for a program."""
        row = self.row
        told = {"row": row.id, "at": _moment(row.at_us), "kind": row.kind, "session": row.session_id}
        return msgspec.json.encode({**told, "reason": self.reason, "diff": "\n".join(self.diff())}).decode()


@dataclass(slots=True)
class Tally:
    """How many rows came out how."""

    same: int = 0
    different: int = 0
    other_engine: Counter[int] = field(default_factory=Counter)
    """By the version of the engine that made them."""
    no_decision: int = 0

    def text(self) -> str:
        """Return it as a line for a terminal."""
        versions = ", ".join(str(version) for version in sorted(self.other_engine))
        others = f"{self.other_engine.total()}" + (f" (version {versions}; this is {ENGINE})" if versions else "")
        return f"the same: {self.same}, different: {self.different}, of another engine: {others}, no decision: {self.no_decision}"

    def json(self) -> str:
        """Return it as one line for a program."""
        counts = {
            "same": self.same,
            "different": self.different,
            "other_engine": self.other_engine,
            "no_decision": self.no_decision,
        }
        return msgspec.json.encode({"engine": ENGINE, **counts}).decode()


def replay(rows: Iterable[Written], tally: Tally) -> Iterator[Difference]:
    """Decide each of *rows* again, count it in *tally*, and yield those that come out otherwise."""
    for row in rows:
        difference = _judge(row, tally)
        if difference is not None:
            tally.different += 1
            yield difference


# --- which rows


def _rows(*where: ColumnElement[bool], order: ColumnElement[Any] = journal.c.id, most: int = PAGE) -> Sql:
    def found(body: ColumnElement[Any]) -> Select[Any]:
        return select(*cols(journal, "id seq kind session_id at_us"), body).where(*where).order_by(order).limit(most)

    # As bytes: what is no text any more must be told of, and not stop the reading. PostgreSQL lets no such thing in.
    return Sql({"any": found(journal.c.body), "sqlite": found(cast(journal.c.body, LargeBinary))})


_BETWEEN = _rows(
    journal.c.id > bindparam("after"),
    journal.c.id < bindparam("end"),
    journal.c.at_us >= bindparam("since_us"),
    journal.c.at_us < bindparam("until_us"),
)
_OF_SESSION = _rows(
    journal.c.conversation_id == bindparam("conversation"),
    journal.c.seq > bindparam("after"),
    journal.c.session_id == bindparam("session"),
    order=journal.c.seq,
)
_ONE = _rows(journal.c.id == bindparam("id"))
_FROM = sql(select(*cols(journal, "id at_us")).where(journal.c.id >= bindparam("id")).order_by(journal.c.id).limit(1))
_CONVERSATION = sql(select(sessions.c.conversation_id).where(sessions.c.id == bindparam("session")))
_OFFERING = sql(select(offers.c.distribution_id).where(offers.c.session_id == bindparam("session")).distinct())
_EVER_US = 2**62
_SET_BACK_US = SET_BACK // MICROSECOND


def between(read: Read, since: datetime | None = None, until: datetime | None = None) -> Iterator[Written]:
    """Yield the rows from *since* until before *until*, both aware, by their ids; without *until*, all there are by now."""
    since_us = to_us(since) if since is not None else -_EVER_US
    until_us = to_us(until) if until is not None else _EVER_US
    first, end = read(lambda tx: ids_between(tx, since_us, until_us))
    return _pages(read, _BETWEEN, lambda row: row.id, first - 1, end=end, since_us=since_us, until_us=until_us)


def of_session(read: Read, session_id: str) -> Iterator[Written]:
    """Yield the distributions that offered the session, then its rows, each that holds it behind the distribution that did.

    Raises NotFound.
    """
    known = read(lambda tx: tx.one(_CONVERSATION, session=session_id))
    if known is None:
        raise NotFound(f"there is no session {session_id}; GET /api/v1/sessions lists those there are, with their ids")
    for (distribution,) in read(lambda tx: tx.all(_OFFERING, session=session_id)):
        yield from read(_find(_ONE, id=distribution))
    for row in _pages(read, _OF_SESSION, lambda row: row.seq or 0, 0, conversation=known[0], session=session_id):
        if row.kind == _HELD:
            held_by = read(partial(distribution_of, row=row.id, at_us=row.at_us))
            if held_by is not None:
                yield from read(_find(_ONE, id=held_by))
        yield row


def ids_between(tx: Tx, since_us: int, until_us: int) -> tuple[int, int]:
    """Return the first id, and that behind the last, between which all rows of a time stand, whatever its clock has done."""
    behind = last(tx) + 1
    return _first_of(tx, since_us - _SET_BACK_US, behind), _first_of(tx, until_us + _SET_BACK_US, behind)


def _first_of(tx: Tx, us: int, behind: int) -> int:
    """Return the first id of *us* or later if moments grew with ids, *behind* if there is none."""
    low, high = 1, behind
    while low < high:
        middle = (low + high) // 2
        row = tx.one(_FROM, id=middle)
        if row is not None and row[1] < us:
            low = row[0] + 1
        else:
            high = middle
    return low


def _pages(read: Read, statement: Sql, place: Callable[[Written], int], after: int, **values: object) -> Iterator[Written]:
    """Yield what *statement* finds, a page a snapshot, each from behind the *place* of the last row before it."""
    while True:
        rows = read(_find(statement, after=after, **values))
        yield from rows
        if len(rows) < PAGE:
            return
        after = place(rows[-1])


def _find(statement: Sql, **values: object) -> Callable[[Tx], list[Written]]:
    def find(tx: Tx) -> list[Written]:
        return [
            Written(id_, seq, kind, session_id, at_us, body.encode() if isinstance(body, str) else body)
            for id_, seq, kind, session_id, at_us, body in tx.all(statement, **values)
        ]

    return find


# --- one row


class _Maker(msgspec.Struct, frozen=True):
    """What every decision's body begins with, whatever engine made it."""

    engine: int | None = None


_MAKER = msgspec.json.Decoder(_Maker)
_RECORD = msgspec.json.Decoder(Record)
_DISTRIBUTION = msgspec.json.Decoder(DistributionRecord)


def _judge(row: Written, tally: Tally) -> Difference | None:
    try:
        engine = _MAKER.decode(row.body).engine
        if engine is None and row.kind not in _DECISIONS:
            tally.no_decision += 1
            return None
        if engine not in (None, ENGINE):
            tally.other_engine[engine] += 1
            return None
        record = (_DISTRIBUTION if row.kind == _POOL else _RECORD).decode(row.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return Difference(row, f"cannot be read: {error}")
    try:
        again = ENCODER.encode(_decided(record))
    except Exception as error:  # whatever a handler stumbles over: the rows behind this one are still to be looked at
        return Difference(row, f"cannot be decided again: {_told(error)}")
    if again != row.body:
        return Difference(row, "comes out otherwise", again)
    if isinstance(record, Record) and (kind := type(record.event).__struct_config__.tag) != row.kind:
        return Difference(row, f"is not of its kind: what it decided about is {kind}")
    tally.same += 1
    return None


def _decided(old: Record | DistributionRecord) -> Record | DistributionRecord:
    """Return what this engine makes of what *old* was made from."""
    if isinstance(old, DistributionRecord):
        return DistributionRecord(old.engine, old.now, old.pool, distribute(old.pool, old.now))
    view = replayed(old.view)
    after, decisions = decide(old.before, old.event, view, old.now)
    return record_of(old.settings, old.now, old.event, old.before, view, after, decisions, engine=old.engine)


def _told(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it asks for {error}, which the row does not have: what was not looked at then was not kept"
    return f"{type(error).__name__}: {error}"


# --- how it reads


def _moment(us: int) -> str:
    try:
        return from_us(us).isoformat()
    except (OverflowError, TypeError):
        return f"at {us!r}, which is no moment"


def _lines(body: bytes) -> list[str]:
    try:
        return msgspec.json.format(body, indent=2).decode().split("\n")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return [repr(body)]


def _first_apart(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def printable(line: str) -> str:
    """Return *line* so that it does nothing to a terminal but stand there."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)
