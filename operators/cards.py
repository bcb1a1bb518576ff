"""Sessions as cards of a list: one session's card, and the lists mine, waiting, all, and calls under way or missed, page by page.

A list is made in two steps. Its order comes from an index alone and gives ids; then each card is read by its id. So a list over
many lines reads no more cards than it shows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from heapq import merge
from itertools import islice

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
)

from broker import extras
from broker.access.authorize import Actor
from broker.domain import Author, Directory, LineId, MessageKind, Role, Status, to_us
from broker.errors import BadInput
from broker.extras import Extra
from broker.ports import Row, Tx
from broker.store.journal import BEGINNING, Position
from broker.store.sql import among, cols, one_of, over_rows, sql
from broker.store.tables import calls, channels, contacts, conversations, messages, offers, session_members, sessions
from operators.audience import Where
from operators.frames import Card, Talk

PAGE = 50
FIRST_SCREEN = 100
"""Waiting cards in a snapshot."""
MINE_MAX = 200
CALLS_MAX = 200
MISSED_AMONG = 500
"""The latest calls among which a page of missed ones is looked for: what it costs is bounded, however few were missed."""
TEXT_SHOWN = 140
MISSED = frozenset(("missed", "voicemail", "hang_up", "lost"))
"""Outcomes of calls whose callers are to be called back."""

_CLOSED = Status.CLOSED.value
_later = sessions.alias("later")
_since = sessions.alias("since")
_called = calls.alias("called")
_back = sessions.alias("back")
_back_call = calls.alias("back_call")
_earlier_message = messages.alias("earlier_message")
_last = messages.alias("last_message")
# A session's messages are those from its first to the next session's first: no index by session is needed.
_NEXT_FIRST = (
    select(_later.c.first_seq)
    .where(_later.c.conversation_id == sessions.c.conversation_id, _later.c.opened_us > sessions.c.opened_us)
    .order_by(_later.c.opened_us)
    .limit(1)
    .correlate(sessions)
    .scalar_subquery()
)
_LAST_SEQ = (
    select(_earlier_message.c.seq)
    .where(
        _earlier_message.c.conversation_id == sessions.c.conversation_id,
        _earlier_message.c.seq >= sessions.c.first_seq,
        _earlier_message.c.seq < func.coalesce(_NEXT_FIRST, literal_column(str(2**62), BigInteger)),
        _earlier_message.c.kind == MessageKind.SAID.value,
        _earlier_message.c.author != Author.SYSTEM.value,
    )
    .order_by(_earlier_message.c.seq.desc())
    .limit(1)
    .correlate(sessions)
    .scalar_subquery()
)
# A phone that an operator has lifted to call somebody is no talk before they lift theirs.
_SPOKEN_SINCE = exists().where(
    _since.c.contact_id == sessions.c.contact_id,
    _since.c.opened_us > sessions.c.opened_us,
    _since.c.answered_us.is_not(None),
    ~exists().where(_called.c.conversation_id == _since.c.conversation_id, _called.c.outgoing == 1, _called.c.uniqueid == ""),
)
_MISSED: ColumnElement[bool] = and_(
    sessions.c.status == _CLOSED, one_of(sessions.c.outcome, *sorted(MISSED)), ~_SPOKEN_SINCE.correlate(sessions)
)
_CALLED_BACK = (
    select(_back.c.state)
    .join_from(_back, _back_call, _back_call.c.conversation_id == _back.c.conversation_id)
    .where(_back.c.contact_id == sessions.c.contact_id, _back.c.status != _CLOSED, _back_call.c.outgoing == 1)
    .order_by(_back.c.opened_us)
    .limit(1)
    .correlate(sessions)
    .scalar_subquery()
)
_CARDS = over_rows(
    select(
        *cols(sessions, "id conversation_id line_id status operator_id opened_us queued_us closed_us changed_us outcome state"),
        channels.c.kind,
        contacts.c.id,
        contacts.c.name,
        func.substr(_last.c.text, 1, TEXT_SHOWN, type_=Text),
        case((_last.c.text == "", _last.c.extra), else_=null()),
        _last.c.author,
        _last.c.seq,
        conversations.c.session_id,
        calls.c.number,
        # Of what is no call nothing more is looked for.
        case((calls.c.number.is_not(None), case((_MISSED, 1), else_=0)), else_=0),
        calls.c.talk_us,
        case((and_(calls.c.number.is_not(None), _MISSED), _CALLED_BACK), else_=null()),
    )
    .select_from(sessions)
    .join(conversations, conversations.c.id == sessions.c.conversation_id)
    .join(channels, channels.c.id == sessions.c.channel_id)
    .join(contacts, contacts.c.id == conversations.c.contact_id)
    .outerjoin(calls, calls.c.conversation_id == sessions.c.conversation_id)
    .outerjoin(_last, (_last.c.conversation_id == sessions.c.conversation_id) & (_last.c.seq == _LAST_SEQ))
    .where(among(sessions.c.id)),
    [sessions.c.id],
)
_HELD = sql(
    select(sessions.c.id)
    .where(sessions.c.operator_id == bindparam("operator"), sessions.c.status != _CLOSED)
    .order_by(sessions.c.id)
    .limit(MINE_MAX)
)
_OFFERED = sql(
    select(offers.c.session_id)
    .where(offers.c.operator_id == bindparam("operator"), offers.c.state == "open")
    .order_by(offers.c.session_id)
    .limit(MINE_MAX)
)
_JOINED = sql(
    select(session_members.c.session_id)
    .where(session_members.c.operator_id == bindparam("operator"))
    .order_by(session_members.c.session_id)
    .limit(MINE_MAX)
)
_QUEUE = (sessions.c.rank, sessions.c.queued_us, sessions.c.id)
_WAITING = sql(
    select(*_QUEUE)
    .where(
        sessions.c.status == Status.QUEUED.value,
        sessions.c.line_id == bindparam("line"),
        tuple_(*_QUEUE) > tuple_(bindparam("rank_is"), bindparam("queued"), bindparam("after_id")),
    )
    .order_by(*_QUEUE)
    .limit(FIRST_SCREEN + 1)
)
_NEWEST = (sessions.c.opened_us, sessions.c.id)
_SINCE = (
    select(*_NEWEST)
    .where(tuple_(*_NEWEST) < tuple_(bindparam("opened"), bindparam("after_id")))
    .order_by(sessions.c.opened_us.desc(), sessions.c.id.desc())
    .limit(PAGE + 1)
)
_OPENED_ALL = sql(_SINCE)
_OPENED_LINE = sql(_SINCE.where(sessions.c.line_id == bindparam("line")))
_OPENED_CONTACT = sql(_SINCE.where(sessions.c.contact_id == bindparam("contact")))
# Sums, so that SQLite takes the index of open sessions and not the one along the whole history.
_OPENED = sessions.c.opened_us + 0
_OPENED_NOW = sql(
    select(*_NEWEST)
    .where(
        sessions.c.status != _CLOSED,
        sessions.c.status == bindparam("status_is"),
        tuple_(_OPENED, sessions.c.id) < tuple_(bindparam("opened"), bindparam("after_id")),
    )
    .order_by(_OPENED.desc(), sessions.c.id.desc())
    .limit(PAGE + 1)
)
_UNDER_WAY = sql(
    select(*_NEWEST, sessions.c.line_id)
    .join_from(sessions, calls, calls.c.conversation_id == sessions.c.conversation_id)
    # One that is promised is not under way before an operator's phone rings.
    .where(
        sessions.c.status != _CLOSED, or_(sessions.c.status != Status.QUEUED.value, calls.c.outgoing == 0, calls.c.uniqueid != "")
    )
    .order_by(_OPENED.desc(), sessions.c.id.desc())
)
# Calls by the ids of their conversations, which grow with the time.
_LATEST = sql(
    select(calls.c.conversation_id)
    .where(calls.c.conversation_id < bindparam("before"))
    .order_by(calls.c.conversation_id.desc())
    .limit(MISSED_AMONG)
)
_MISSED_CALLS = over_rows(
    select(*cols(sessions, "conversation_id opened_us line_id id")).where(among(sessions.c.conversation_id), _MISSED),
    [sessions.c.conversation_id],
)
_NUMBER = re.compile(r"-?[0-9]{1,18}")


class _State(msgspec.Struct):
    """What a card needs of the engine's state of a session."""

    offered_to: tuple[str, ...] = ()
    offered_until: datetime | None = None
    unanswered_since: datetime | None = None
    members: tuple[str, ...] = ()
    invited: tuple[str, ...] = ()
    snoozed_until: datetime | None = None
    opens_at: datetime | None = None
    passed_by: str | None = None
    rating: str | None = None
    priority: int = 0
    answered_at: datetime | None = None
    held_at: datetime | None = None
    consulted: str | None = None
    consult_lifted: bool = False
    listens: str | None = None
    listeners: tuple[str, ...] = ()
    forward_to: str = ""
    outgoing: bool = False
    reached: bool = False
    promised_at: datetime | None = None
    tries: int = 0


_state = msgspec.json.Decoder(_State).decode


class Watched(msgspec.Struct):
    """A session as the gateway keeps it in memory: the card that each viewer's own is made of. Times are epoch milliseconds."""

    session: str
    conversation: str
    where: Where
    channel: str
    contact: str
    contact_name: str
    opened: int
    queued: int
    closed: int
    changed: int
    unanswered: int
    offered_until: int
    snoozed_until: int
    opens_at: int
    rating: str
    priority: int
    outcome: str
    last_text: str
    last_who: str
    last_seq: int
    current: bool
    """Whether it was its conversation's latest session when it was read."""
    talk: Talk | None = None
    """Of a call, with all that only supervisors are told."""
    last_what: str = ""
    as_of: Position = BEGINNING
    """Where the journal stood when it was read: up to there it may be newer than the news that are told."""

    def card(self, directory: Directory, *, offered: bool = False, oversees: bool = False) -> Card:
        """Return the card; *offered*: as those see it to whom it is offered; *oversees*: as those who are told who listens."""
        where = self.where
        talk = self.talk
        if talk is not None and (talk.listens or talk.listeners) and not oversees:
            talk = msgspec.structs.replace(talk, listens="", listeners=())
        operator = where.operator_id or ""
        line = directory.lines.get(where.line_id)  # type: ignore[call-overload]
        person = directory.operators.get(operator) if operator else None  # type: ignore[call-overload]
        return Card(
            self.session,
            self.conversation,
            where.line_id,
            line.name if line is not None else "",
            self.channel,
            where.status,
            self.contact,
            self.contact_name,
            self.opened,
            self.queued,
            self.closed,
            self.changed,
            operator,
            person.name if person is not None else "",
            self.offered_until if offered else 0,
            self.unanswered,
            self.last_text,
            self.last_who,
            self.last_seq,
            self.outcome,
            where.members,
            where.invited,
            self.snoozed_until,
            self.opens_at,
            where.passed_by or "",
            self.rating,
            self.priority,
            talk,
            self.last_what,
        )

    def card_for(self, actor: Actor, directory: Directory) -> Card:
        """Return the card as *actor* sees it."""
        return self.card(directory, offered=actor.operator_id in self.where.offered_to, oversees=self.oversees(actor))

    def oversees(self, actor: Actor) -> bool:
        """Return whether *actor* is told who listens, if anybody does: whoever is listened to is not."""
        talk = self.talk
        if talk is None or not (talk.listens or talk.listeners):
            return False
        return actor.role is not Role.OPERATOR and actor.operator_id not in (self.where.operator_id, talk.consulted)


def ms(at: datetime | None) -> int:
    """Return *at* as epoch milliseconds, 0 for None."""
    return 0 if at is None else to_us(at) // 1000


def load(tx: Tx, session_id: str) -> Watched | None:
    """Return the session as it stands; None when there is none."""
    return next(iter(load_all(tx, [session_id])), None)


def load_all(tx: Tx, ids: Iterable[str]) -> list[Watched]:
    """Return the sessions of *ids*, in their order."""
    wanted = list(ids)
    found = {row[0]: row for row in tx.each(_CARDS, [(id_,) for id_ in dict.fromkeys(wanted)])}
    return [_watched(found[id_]) for id_ in wanted if id_ in found]


def _watched(row: Row) -> Watched:
    id_, conversation, line, status, operator, opened, queued, closed, changed, outcome, state, *more = row
    channel, contact, contact_name, last_text, extra, last_who, last_seq, current, number, missed, talk_us, called_back = more
    known = _state(state)
    talk: Talk | None = None
    if number is not None:
        talk = Talk(
            number=number,
            outgoing=known.outgoing,
            reached=known.reached,
            promised=ms(known.promised_at),
            tries=known.tries,
            answered=(talk_us or 0) // 1000 if known.outgoing else ms(known.answered_at),
            held=ms(known.held_at),
            consulted=known.consulted or "",
            lifted=known.consult_lifted,
            listens=known.listens or "",
            listeners=known.listeners,
            forward_to=known.forward_to,
            missed=bool(missed),
            planned=ms(_state(called_back).promised_at) if called_back is not None else 0,
        )
    return Watched(
        id_,
        conversation,
        Where(line, status, operator, known.offered_to, known.members, known.invited, known.passed_by),
        channel=channel,
        contact=contact,
        contact_name=contact_name,
        opened=opened // 1000,
        queued=(queued or 0) // 1000,
        closed=(closed or 0) // 1000,
        changed=changed // 1000,
        unanswered=ms(known.unanswered_since),
        offered_until=ms(known.offered_until) if known.offered_to else 0,
        snoozed_until=ms(known.snoozed_until),
        opens_at=ms(known.opens_at),
        rating=known.rating or "",
        priority=known.priority,
        outcome=outcome,
        last_text=last_text or "",
        last_who=last_who or "",
        last_seq=last_seq or 0,
        current=current == id_,
        talk=talk,
        last_what=what_of(extras.read(extra)) if extra is not None else "",
    )


def what_of(extra: Extra) -> str:
    """Return in a word what a message is that has no words."""
    if extra.files:
        return extra.files[0].kind.value
    return "place" if extra.place is not None else "contact" if extra.shared is not None else extra.what


def lines_of(actor: Actor, directory: Directory) -> list[LineId]:
    """Return the lines *actor* may see."""
    return sorted(directory.lines if actor.lines is None else actor.lines)


# --- the lists


def mine(tx: Tx, operator_id: str) -> list[Watched]:
    """Return what is offered to the operator, what they hold or are passing on, and what they joined or are invited to."""
    ids = [row for statement in (_OFFERED, _HELD, _JOINED) for row in tx.all(statement, operator=operator_id)]
    return load_all(tx, dict.fromkeys(id_ for (id_,) in ids))


def waiting(tx: Tx, lines: Iterable[str], after: str | None = None, most: int = PAGE) -> tuple[list[Watched], str | None]:
    """Return a page of those who wait in *lines*, the highest priority first, then the oldest; and the next page's mark."""
    rank, queued, after_id = mark(after, 2) if after else (-(2**62), 0, "")
    heads = [tx.all(_WAITING, line=line, rank_is=rank, queued=queued, after_id=after_id) for line in lines]
    return _page(tx, list(islice(merge(*heads), most + 1)), most)


def opened(
    tx: Tx, lines: Sequence[str] | None, after: str | None = None, *, status: str | None = None, contact: str | None = None
) -> tuple[list[Watched], str | None]:
    """Return a page of all sessions of *lines* (None: of every line), the latest opened first; and the next page's mark.

    Narrowed to a *status* or a *contact*, a page may be short, or empty, and still have a next one.
    """
    began, after_id = mark(after, 1) if after else (2**62, "~")
    seek = {"opened": began, "after_id": after_id}
    if contact is not None:
        found = tx.all(_OPENED_CONTACT, contact=contact, **seek)
    elif status not in (None, _CLOSED):
        found = tx.all(_OPENED_NOW, status_is=status, **seek)
    elif lines is None:
        found = tx.all(_OPENED_ALL, **seek)
    else:
        found = list(islice(merge(*(tx.all(_OPENED_LINE, line=line, **seek) for line in lines), reverse=True), PAGE + 1))
    page, following = _page(tx, found, PAGE)
    kept = [card for card in page if (lines is None or card.where.line_id in lines) and status in (None, card.where.status)]
    return kept, following


def under_way(tx: Tx, lines: Collection[str] | None) -> list[Watched]:
    """Return the calls of *lines* (None: of every line) that are not over, the latest first."""
    found = (session for _, session, line in tx.all(_UNDER_WAY) if lines is None or line in lines)
    return load_all(tx, islice(found, CALLS_MAX))


def missed(tx: Tx, lines: Collection[str] | None, after: str | None = None) -> tuple[list[Watched], str | None]:
    """Return a page of missed calls whose callers were not spoken with since, the latest first; and the next page's mark.

    A page may be short, or empty, and still have a next one.
    """
    (before,) = mark(after, 0) if after else ("~",)
    latest = tx.all(_LATEST, before=before)
    rows = sorted(tx.each(_MISSED_CALLS, latest), reverse=True) if latest else []
    found = [row for row in rows if lines is None or row[2] in lines]
    shown = load_all(tx, (session for *_, session in found[:PAGE]))
    if len(found) > PAGE:
        return shown, str(found[PAGE - 1][0])
    return shown, str(latest[-1][0]) if len(latest) == MISSED_AMONG else None


def _page(tx: Tx, found: list[Row], most: int) -> tuple[list[Watched], str | None]:
    shown = found[:most]
    following = ".".join(str(part) for part in shown[-1]) if len(found) > most else None
    return load_all(tx, (row[-1] for row in shown)), following


def mark(after: str, numbers: int) -> tuple[int | str, ...]:
    """Return what a page's mark says. Raises BadInput for one we never gave."""
    *parts, id_ = after.split(".")
    if len(parts) != numbers or not all(_NUMBER.fullmatch(part) for part in parts):
        raise BadInput("that page's mark is not one of ours; begin at the first page", field="after")
    return (*(int(part) for part in parts), id_)
