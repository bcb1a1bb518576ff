"""The journal as screens read it: rows in pages, folded into what is kept in memory, told to those who may see it.

    read(tx, after, …)   the rows with their messages, and the sessions not known yet: two statements and one for each unknown session
    Board.fold(news)     what changed, session by session; cards, counts and loads in memory move along
    tell(…)              which socket is told what; each update is encoded once for all who get the same

A row holds the session before and after, so what a row changes is known without asking the database. What is loaded in a page is
as new as the page's end or newer; rows that follow only repeat what it has, and lead to the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, get_args

import msgspec
from sqlalchemy import and_, bindparam, case, func, literal, or_, select

from broker.access.authorize import Actor
from broker.domain import Directory, PresenceState, Role, Status
from broker.events import SessionEvent
from broker.ports import Row, Tx
from broker.store import journal
from broker.store.journal import BEGINNING, Position
from broker.store.sql import cols, one_of, sql
from broker.store.tables import budgets, contacts, conversations, messages, offers, session_members, sessions
from broker.store.tables import journal as rows
from operators import cards, pins
from operators.audience import Where, keeps, listed, may_see, may_see_lead
from operators.cards import MISSED, TEXT_SHOWN, Watched, ms
from operators.frames import Alert, Colleague, Counts, FateChange, Shown, Talk, Update
from operators.threads import SHOWN_COLUMNS, shown

PAGE = 500
KEPT = 5_000
"""Sessions in memory; the one known longest goes, and is read again when it has news."""

_KEPT_BACK = "held"
_CHANGED = "changed"
"""A message says something else than it said, or what was awaited for it is here; whose session stands as it stood."""
_CHANNEL = "channel"
_SILENT = ("round_due", "reopen_ended")
"""Events that change nothing on a screen."""
_WROTE = "contact_message"
_TOLD = frozenset(str(event.__struct_config__.tag) for event in get_args(SessionEvent)) - frozenset(_SILENT)
_WITH_BODY = (*sorted(_TOLD - {_WROTE, _KEPT_BACK}), "fate", "contact", "lead", "presence", "alert", _CHANNEL, pins.KIND)
"""Kinds of rows whose bodies are read here; what other kinds there are, screens need not know."""
# A message that changes no status may still take of its operator's budget: of a session that weighs only while it is unanswered.
_SENT_ELSEWHERE = and_(rows.c.kind == _KEPT_BACK, rows.c.status == Status.CLOSED.value)
"""A call that nobody is left to ring for; whatever else is held changes nothing on a screen."""
_WEIGHS = and_(rows.c.kind == _WROTE, rows.c.operator_id.is_not(None), rows.c.body.like('%"do":"reserve"%'))
_PAGE = journal.Following(
    select(
        *cols(rows, "id xid conversation_id session_id line_id kind message_seq at_us status operator_id"),
        # What is not read here is not fetched: a distribution's body holds a whole pool, and most messages change no status.
        case((or_(one_of(rows.c.kind, *_WITH_BODY), _WEIGHS, _SENT_ELSEWHERE), rows.c.body), else_=literal("")),
        *cols(messages, SHOWN_COLUMNS),
    )
    .select_from(rows)
    .outerjoin(
        messages,
        and_(messages.c.conversation_id == rows.c.conversation_id, messages.c.seq == rows.c.message_seq, rows.c.kind != "fate"),
    ),
    PAGE,
)
_NAME = sql(select(contacts.c.name).where(contacts.c.id == bindparam("contact")))
_SESSIONS_OF = sql(select(conversations.c.session_id).where(conversations.c.contact_id == bindparam("contact")).limit(50))
_WAITING = sql(
    select(sessions.c.line_id, func.count()).where(sessions.c.status == Status.QUEUED.value).group_by(sessions.c.line_id)
)
_HELD = select(sessions.c.operator_id, sessions.c.id.label("session_id")).where(
    sessions.c.status != Status.CLOSED.value, sessions.c.operator_id.is_not(None)
)
_OFFERED = select(*cols(offers, "operator_id session_id")).where(offers.c.state == "open")
_JOINED = select(*cols(session_members, "operator_id session_id"))
# Each once: who is invited may be offered it as well.
_CONCERNED = _HELD.union(_OFFERED, _JOINED).subquery()
_MINE = sql(select(_CONCERNED.c.operator_id, func.count()).group_by(_CONCERNED.c.operator_id))
_LOADS = sql(select(*cols(budgets, "operator_id reserved")))

_BODY_OF = sql(select(rows.c.body).where(rows.c.id == bindparam("row")))
_ID, _XID, _CONVERSATION, _SESSION, _LINE, _KIND, _SEQ, _AT, _STATUS, _OPERATOR, _BODY, _MESSAGE = range(12)
"""Where a row of a page has what; its message begins at the last."""
_MESSAGE_AT = _MESSAGE + SHOWN_COLUMNS.split().index("at_us")


class _Side(msgspec.Struct):
    """What screens need of a session before or after an event."""

    id: str
    status: str
    weight: int
    operator_id: str | None = None
    queued_at: datetime | None = None
    offered_to: tuple[str, ...] = ()
    offered_until: datetime | None = None
    unanswered_since: datetime | None = None
    closed_at: datetime | None = None
    outcome: str = ""
    line_id: str = ""
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

    @property
    def where(self) -> Where:
        """Return where it stands."""
        return Where(self.line_id, self.status, self.operator_id, self.offered_to, self.members, self.invited, self.passed_by)

    @property
    def spoken(self) -> bool:
        """Return whether somebody has answered the customer; of a call that we make: whether they have answered."""
        return self.reached if self.outgoing else self.answered_at is not None


class _Decision(msgspec.Struct):
    do: str
    operator_id: str = ""
    command: str = ""
    code: str = ""
    weight: int | None = None


class _Record(msgspec.Struct):
    before: _Side | None
    after: _Side | Literal["unchanged"] | None
    decisions: tuple[_Decision, ...]


class _Fate(msgspec.Struct):
    fate: str
    problem: str = ""
    upto: bool = False


class _Completed(msgspec.Struct):
    contact: str
    moved_from: str | None = None


class _Lead(msgspec.Struct):
    lead: str
    contact: str
    responsible: str | None = None


class _Alert(msgspec.Struct):
    what: Literal["kpi_first", "kpi_next", "nobody"]


class _Pin(msgspec.Struct):
    session: str
    on: bool


class _Channel(msgspec.Struct):
    channel: str


class _Presence(msgspec.Struct):
    operator: str
    state: PresenceState


_record = msgspec.json.Decoder(_Record).decode
_fate = msgspec.json.Decoder(_Fate).decode
_completed = msgspec.json.Decoder(_Completed).decode
_lead = msgspec.json.Decoder(_Lead).decode
_alert = msgspec.json.Decoder(_Alert).decode
_pin = msgspec.json.Decoder(_Pin).decode
_presence = msgspec.json.Decoder(_Presence).decode
_channel = msgspec.json.Decoder(_Channel).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class News:
    """A page of the journal."""

    rows: list[Row]
    behind: Position
    """The position after it."""
    loaded: list[Watched]
    """Sessions that were not known."""
    opening: dict[int, str]
    """The bodies of those messages of customers that changed more than that somebody waits."""
    names: dict[str, str]
    """Of contacts that were completed or changed."""
    pins: dict[str, tuple[str, ...]]
    """Of operators whose pins changed, or are to be known from now on."""

    def messages(self) -> list[tuple[str, int, str]]:
        """Return the messages that the page tells of: conversation, seq and id of each."""
        return [(row[_CONVERSATION], row[_SEQ], row[_MESSAGE]) for row in self.rows if row[_MESSAGE] is not None]

    @property
    def more(self) -> bool:
        """Return whether another page may follow."""
        return len(self.rows) >= PAGE


def read(tx: Tx, after: Position, known: Mapping[str, Watched]) -> News:
    """Return the page after *after* with what the board does not know yet; *known* are its sessions."""
    found, behind = _PAGE.read(tx, after)
    unknown: dict[str, None] = {}
    opening: dict[int, str] = {}
    names: dict[str, str] = {}
    pinned: dict[str, tuple[str, ...]] = {}
    states: dict[str, tuple[str | None, str | None]] = {}
    for row in found:
        session, kind = row[_SESSION], row[_KIND]
        if session is not None:
            state = (row[_STATUS], row[_OPERATOR])
            before = states.get(session)
            if before is None:
                watched = known.get(session)
                if watched is not None:
                    before = None if watched.as_of.has(row[_ID], row[_XID]) else watched.where[1:3]
                else:
                    unknown[session] = None
            if row[_BODY] and kind == _WROTE:
                opening[row[_ID]] = row[_BODY]
            # What is said in a closed session may be what its customer thought of it.
            elif kind == _WROTE and (before != state or row[_STATUS] == Status.CLOSED.value):
                (opening[row[_ID]],) = tx.one(_BODY_OF, row=row[_ID]) or ("",)
            if kind not in ("fate", _CHANGED):
                states[session] = state
        elif kind == "contact":
            contact = _completed(row[_BODY]).contact
            name = tx.one(_NAME, contact=contact)
            names[contact] = name[0] if name is not None else ""
            for (other,) in tx.all(_SESSIONS_OF, contact=contact):
                if other is not None and other not in known:
                    unknown[other] = None
        elif kind == pins.KIND:
            pinned[row[_OPERATOR]] = ()
            told = _pin(row[_BODY])
            if told.on and told.session not in known:
                unknown[told.session] = None
    new = cards.load_all(tx, unknown) if unknown else []
    now = journal.now(tx) if new else BEGINNING
    for watched in new:
        watched.as_of = now
    for operator in pinned:
        pinned[operator] = pins.of(tx, operator)
    return News(found, behind, new, opening, names, pinned)


# --- what a page changes


@dataclass(slots=True)
class Touched:
    """A session a page has news of, and the news in their order."""

    watched: Watched
    before: Where | None
    moved: bool = False
    """It changed its place; *before* is where it was."""
    renamed: bool = False
    """Its contact is another, or has another name, or was spoken with after they had called in vain."""
    messages: list[Shown] = field(default_factory=list)
    fates: list[FateChange] = field(default_factory=list)
    pinned_by: AbstractSet[str] = frozenset()
    """Operators on whose screens its card stays while they may see it, whatever list it leaves."""

    def shown(self, actor: Actor, where: Where) -> bool:
        """Return whether its card is on the screen of *actor* by itself while it stands at *where*."""
        return bool(listed(actor, where)) or (actor.operator_id in self.pinned_by and may_see(actor, where))


@dataclass(frozen=True, slots=True)
class RefusedDeed:
    """The engine decided against a deed."""

    operator_id: str
    command: str
    code: str


@dataclass(frozen=True, slots=True)
class LeadNews:
    """A lead that was made or changed, and what decides who may see it."""

    line_id: str | None
    responsible_id: str | None


@dataclass(frozen=True, slots=True)
class RaisedAlert:
    """Supervisors are to look at a session."""

    watched: Watched
    what: Literal["kpi_first", "kpi_next", "nobody"]


@dataclass(slots=True)
class Folded:
    """What a page changed."""

    touched: dict[str, Touched] = field(default_factory=dict)
    colleagues: dict[str, PresenceState] = field(default_factory=dict)
    refused: list[RefusedDeed] = field(default_factory=list)
    contacts: set[str] = field(default_factory=set)
    """Conversations whose contact was completed or changed, or has another lead."""
    leads: dict[str, LeadNews] = field(default_factory=dict)
    """By id."""
    alerts: list[RaisedAlert] = field(default_factory=list)
    pins: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By operator."""
    pinned: dict[str, dict[str, Watched]] = field(default_factory=dict)
    """By operator: what was just pinned."""
    loads: set[str] = field(default_factory=set)
    """Operators whose load moved."""
    channels: dict[str, None] = field(default_factory=dict)
    """Those that are well no more, or again."""


class Board:
    """What the gateway keeps in memory of the house: sessions lately in the news, how many wait, who holds how much."""

    def __init__(self, at: Position) -> None:
        self.at = at
        """The journal's position up to which everything is in it."""
        self.sessions: dict[str, Watched] = {}
        self.current: dict[str, str] = {}
        """Conversation -> the latest of its sessions that is known."""
        self.waiting: dict[str, int] = {}
        self.mine: dict[str, int] = {}
        self.loads: dict[str, int] = {}
        self.pins: dict[str, frozenset[str]] = {}
        """Operator -> the sessions they have pinned."""
        self.kept = KEPT
        self._pinned_by: dict[str, set[str]] = {}
        self._by_contact: dict[str, set[str]] = {}

    @classmethod
    def load(cls, tx: Tx) -> Board:
        """Return the board of this moment."""
        board = cls(journal.now(tx))
        board.waiting = dict(tx.all(_WAITING))
        board.loads = dict(tx.all(_LOADS))
        board.mine = dict(tx.all(_MINE))
        for operator, pinned in pins.of_each(tx, board.loads).items():
            board._pin(operator, pinned)
        return board

    def counts(self, actor: Actor) -> Counts:
        """Return how many are in the lists of *actor*."""
        waiting = sum(self.waiting.values()) if actor.lines is None else sum(self.waiting.get(line, 0) for line in actor.lines)
        return Counts(self.mine.get(actor.operator_id, 0), waiting)

    def of_conversation(self, conversation: str) -> Watched | None:
        """Return the conversation's latest known session."""
        return self.sessions.get(self.current.get(conversation, ""))

    def learn(self, watched: Watched) -> None:
        """Keep a session that was read elsewhere, unless it is known: then what is known may be newer."""
        if watched.session in self.sessions:
            return
        self.sessions[watched.session] = watched
        if watched.current:
            self.current[watched.conversation] = watched.session
        self._by_contact.setdefault(watched.contact, set()).add(watched.session)

    def _pin(self, operator: str, pinned: Collection[str]) -> None:
        before, self.pins[operator] = self.pins.get(operator, frozenset()), frozenset(pinned)
        for session in before.difference(pinned):
            others = self._pinned_by[session]
            others.discard(operator)
            if not others:
                del self._pinned_by[session]
        for session in self.pins[operator] - before:
            self._pinned_by.setdefault(session, set()).add(operator)

    def _forget(self, session: str) -> None:
        watched = self.sessions.pop(session)
        if self.current.get(watched.conversation) == session:
            del self.current[watched.conversation]
        others = self._by_contact[watched.contact]
        others.discard(session)
        if not others:
            del self._by_contact[watched.contact]

    def fold(self, news: News, directory: Directory, opened: Collection[str]) -> Folded:
        """Take *news* in and return what changed; *opened* are the conversations some screen shows."""
        for watched in news.loaded:
            self.learn(watched)
        for operator, pinned in news.pins.items():
            self._pin(operator, pinned)
        folded = Folded()
        for row in news.rows:
            kind = row[_KIND]
            if kind == _WROTE and row[_ID] not in news.opening:
                self._fold_wrote(folded, self.sessions.get(row[_SESSION]), row, directory)
            elif kind == "fate":
                if row[_CONVERSATION] in opened:
                    self._fold_fate(folded, row)
            elif kind == "contact":
                self._fold_contact(folded, row, news.names)
            elif kind == "lead":
                self._fold_lead(folded, row)
            elif kind == "presence":
                told = _presence(row[_BODY])
                folded.colleagues[told.operator] = told.state
            elif kind == "alert":
                watched_now = self.sessions.get(row[_SESSION])
                if watched_now is not None:
                    folded.alerts.append(RaisedAlert(watched_now, _alert(row[_BODY]).what))
            elif kind == pins.KIND:
                self._fold_pin(folded, row, news.pins[row[_OPERATOR]])
            elif kind == _CHANNEL:
                folded.channels[_channel(row[_BODY]).channel] = None
            elif kind in ("message", _CHANGED):
                self._fold_message(folded, self.sessions.get(row[_SESSION]), row, directory)
            elif kind in _TOLD and (kind != _KEPT_BACK or row[_BODY]):
                self._fold_event(folded, row, news.opening.get(row[_ID]) or row[_BODY], directory)
        for touched in folded.touched.values():
            touched.pinned_by = self._pinned_by.get(touched.watched.session, frozenset())
        # Not before: what the page counts as known must be there while it is folded.
        while len(self.sessions) > self.kept:
            self._forget(next(iter(self.sessions)))
        self.at = news.behind
        return folded

    def _fold_wrote(self, folded: Folded, watched: Watched | None, row: Row, directory: Directory) -> None:
        """The customer wrote, and nothing changed but that they wait, if they did not wait already."""
        if watched is not None:
            if not watched.unanswered:
                watched.unanswered = row[_MESSAGE_AT] // 1000
            self._fold_message(folded, watched, row, directory)

    def _fold_event(self, folded: Folded, row: Row, body: str, directory: Directory) -> None:
        record = _record(body)
        before = record.before
        after = before if record.after == "unchanged" else record.after
        for decision in record.decisions:
            match decision.do:
                case "refuse":
                    folded.refused.append(RefusedDeed(decision.operator_id, decision.command, decision.code))
                case "reserve" | "release" if after is not None:
                    sign = 1 if decision.do == "reserve" else -1
                    weight = after.weight if decision.weight is None else decision.weight
                    self.loads[decision.operator_id] = self.loads.get(decision.operator_id, 0) + sign * weight
                    folded.loads.add(decision.operator_id)
                case "ban" | "make_responsible":
                    folded.contacts.add(row[_CONVERSATION])
        if after is None:
            return
        was = None if before is None or before.id != after.id else before
        old = was.where if was is not None else None
        new = after.where
        if old != new:
            self._count(old, -1)
            self._count(new, 1)
        watched = self.sessions.get(after.id)
        if watched is None:
            return  # erased since
        # Compared with what it was, too: a session that has just been read says it already, and a screen that shows it does not.
        if old != new or _on_card(watched) != _of_side(after) or (was is not None and _of_side(was) != _of_side(after)):
            self._move(folded, watched, row[_AT], old, was, after)
            if after.spoken and (was is None or not was.spoken):
                self._spoken_with(folded, watched)
            self._plan(folded, watched)
        watched.unanswered = ms(after.unanswered_since)
        if row[_MESSAGE] is not None:
            self._fold_message(folded, watched, row, directory)

    def _move(self, folded: Folded, watched: Watched, at_us: int, before: Where | None, was: _Side | None, after: _Side) -> None:
        self._touch(folded, watched, before, moved=True)
        watched.where = after.where
        watched.queued = ms(after.queued_at)
        watched.closed = ms(after.closed_at)
        watched.offered_until = ms(after.offered_until) if after.offered_to else 0
        watched.snoozed_until = ms(after.snoozed_until)
        watched.opens_at = ms(after.opens_at)
        watched.priority = after.priority
        watched.outcome = after.outcome
        watched.rating = after.rating or ""
        watched.changed = at_us // 1000
        if watched.talk is not None:
            watched.talk = _talk(watched.talk, was, after, at_us // 1000)
        if before is None:
            self.current[watched.conversation] = watched.session

    def _spoken_with(self, folded: Folded, watched: Watched) -> None:
        """Take the mark from the contact's calls that were missed before, as far as they are known."""
        for session in self._by_contact.get(watched.contact, ()):
            other = self.sessions[session]
            if other.talk is not None and other.talk.missed and other.opened < watched.opened:
                other.talk = msgspec.structs.replace(other.talk, missed=False)
                folded.touched.setdefault(session, Touched(other, other.where)).renamed = True

    def _plan(self, folded: Folded, watched: Watched) -> None:
        """Write on the contact's missed calls when they are called back, as far as both are known."""
        if watched.talk is None or not (watched.talk.outgoing or watched.talk.missed):
            return
        known = [self.sessions[session] for session in self._by_contact.get(watched.contact, ())]
        planned = min((one.talk.promised for one in known if one.talk and one.talk.outgoing and not one.where.closed), default=0)
        if not planned and not watched.talk.outgoing:
            return  # what is not known here stands on their cards already
        for other in known:
            if other.talk is not None and other.talk.missed and other.talk.planned != planned:
                other.talk = msgspec.structs.replace(other.talk, planned=planned)
                folded.touched.setdefault(other.session, Touched(other, other.where)).renamed = True

    @staticmethod
    def _touch(folded: Folded, watched: Watched, before: Where | None, *, moved: bool) -> None:
        touched = folded.touched.get(watched.session)
        if touched is None:
            touched = folded.touched[watched.session] = Touched(watched, before)
        elif not touched.moved:
            touched.before = before
        touched.moved = touched.moved or moved

    def _count(self, where: Where | None, by: int) -> None:
        if where is None or where.closed:
            return
        if where.waits:
            self.waiting[where.line_id] = self.waiting.get(where.line_id, 0) + by
        for person in where.people:
            self.mine[person] = self.mine.get(person, 0) + by

    def _fold_message(self, folded: Folded, watched: Watched | None, row: Row, directory: Directory) -> None:
        if watched is None or row[_MESSAGE] is None:
            return
        message = shown(row[_MESSAGE:], directory)
        touched = folded.touched.get(watched.session)
        if touched is None:
            touched = folded.touched[watched.session] = Touched(watched, watched.where)
        touched.messages.append(message)
        if message.kind == "said" and message.who != "system" and message.seq >= watched.last_seq:
            watched.last_seq = message.seq
            watched.last_who = message.who
            watched.last_text = message.text[:TEXT_SHOWN]
            watched.last_what = cards.what_of(message.extra) if message.extra is not None and not message.text else ""
            watched.changed = row[_AT] // 1000

    def _fold_fate(self, folded: Folded, row: Row) -> None:
        watched = self.of_conversation(row[_CONVERSATION])
        if watched is None:
            return
        told = _fate(row[_BODY])
        touched = folded.touched.setdefault(watched.session, Touched(watched, watched.where))
        touched.fates.append(FateChange(row[_CONVERSATION], row[_SEQ], told.fate, told.upto, told.problem))

    def _fold_contact(self, folded: Folded, row: Row, names: Mapping[str, str]) -> None:
        told = _completed(row[_BODY])
        if row[_CONVERSATION] is not None:
            folded.contacts.add(row[_CONVERSATION])
        else:  # somebody changed them
            folded.contacts.update(self.sessions[session].conversation for session in self._by_contact.get(told.contact, ()))
        beside = self.of_conversation(row[_CONVERSATION])
        of_both = self._by_contact.get(told.contact, set()) | self._by_contact.get(told.moved_from or "", set())
        for session in of_both | ({beside.session} if beside is not None else set()):
            watched = self.sessions[session]
            name = names.get(told.contact, watched.contact_name)
            if watched.contact == told.contact and watched.contact_name == name and not watched.as_of.has(row[_ID], row[_XID]):
                continue
            self._by_contact[watched.contact].discard(session)
            watched.contact, watched.contact_name = told.contact, name
            self._by_contact.setdefault(told.contact, set()).add(session)
            folded.touched.setdefault(session, Touched(watched, watched.where)).renamed = True

    def _fold_pin(self, folded: Folded, row: Row, pinned: tuple[str, ...]) -> None:
        told = _pin(row[_BODY])
        folded.pins[row[_OPERATOR]] = pinned
        watched = self.sessions.get(told.session) if told.on else None
        if watched is not None:
            folded.pinned.setdefault(row[_OPERATOR], {})[watched.session] = watched

    def _fold_lead(self, folded: Folded, row: Row) -> None:
        told = _lead(row[_BODY])
        folded.leads[told.lead] = LeadNews(row[_LINE], told.responsible)
        folded.contacts.update(self.sessions[session].conversation for session in self._by_contact.get(told.contact, ()))


_SILENCE = Talk()


def _on_card(watched: Watched) -> tuple[object, ...]:
    """Return what a card says that may change while its session stands where it stood: it is snoozed for longer, rated, put on hold."""
    talk = watched.talk or _SILENCE
    return (
        *(watched.snoozed_until, watched.priority, watched.outcome, watched.rating),
        *(talk.held, talk.consulted, talk.lifted, talk.listens, talk.listeners, talk.forward_to),
        *(talk.reached, talk.promised, talk.tries),
    )


def _of_side(side: _Side) -> tuple[object, ...]:
    """Return the same of a record's side."""
    return (
        *(ms(side.snoozed_until), side.priority, side.outcome, side.rating or ""),
        *(ms(side.held_at), side.consulted or "", side.consult_lifted, side.listens or "", side.listeners, side.forward_to),
        *(side.reached, ms(side.promised_at), side.tries),
    )


def _talk(talk: Talk, was: _Side | None, after: _Side, at: int) -> Talk:
    """Return what a call's card says after a decision of the moment *at*."""
    answered = ms(after.answered_at)
    if after.outgoing:
        calling = after.status == Status.ACTIVE.value and not after.reached
        # It begins anew with each try, and with the customer's answer.
        begins = after.reached != (was is not None and was.reached) or (calling and (was is None or was.status != after.status))
        answered = at if begins else talk.answered if after.reached or calling else 0
    return msgspec.structs.replace(
        talk,
        outgoing=after.outgoing,
        reached=after.reached,
        promised=ms(after.promised_at),
        tries=after.tries,
        answered=answered,
        held=ms(after.held_at),
        consulted=after.consulted or "",
        lifted=after.consult_lifted,
        listens=after.listens or "",
        listeners=after.listeners,
        forward_to=after.forward_to,
        missed=after.status == Status.CLOSED.value and after.outcome in MISSED,
    )


# --- who is told what


class Screen(Protocol):
    """One console's socket, as far as news goes."""

    actor: Actor
    conversation: str
    """Of the thread that is open on it; empty: none."""
    lists_all: bool
    """Whether the list of all is on it, or that of calls, or of missed ones."""


class Hall(Protocol):
    """All sockets that are to be told."""

    def of(self, operator_id: str) -> Iterable[Screen]:
        """Return the operator's."""

    def showing(self, conversation: str) -> Collection[Screen]:
        """Return those with the conversation open."""

    def everybody(self) -> Iterable[Screen]:
        """Return all."""


def tell(folded: Folded, hall: Hall, directory: Directory, push: Callable[[Any, bytes], None]) -> None:
    """Give each screen its updates by *push*, encoded."""
    # The older session of a conversation first: what was said in it came before.
    for touched in sorted(folded.touched.values(), key=lambda one: one.watched.opened):
        _tell_session(touched, hall, directory, push)
    for alert in folded.alerts:
        _tell_alert(alert, hall, directory, push)
    for operator, pinned in folded.pins.items():
        for screen in hall.of(operator):
            for watched in folded.pinned.get(operator, {}).values():
                # It may be in no list of theirs: then this is the first they hear of it.
                if may_see(screen.actor, watched.where):
                    push(screen, _encode(Update(card=watched.card_for(screen.actor, directory))))
            push(screen, _encode(Update(pins=pinned)))
    for channel in folded.channels:
        update = _encode(Update(channel=channel))
        for screen in hall.everybody():
            if screen.actor.role is Role.ADMINISTRATOR:
                push(screen, update)
    for lead, where in folded.leads.items():
        update = _encode(Update(lead=lead))
        for screen in hall.everybody():
            if may_see_lead(screen.actor, where.line_id, where.responsible_id):
                push(screen, update)
    for operator, state in folded.colleagues.items():
        person = directory.operators.get(operator)  # type: ignore[call-overload]
        if person is not None:
            update = _encode(Update(colleague=Colleague(operator, person.name, state.value)))
            for screen in hall.everybody():
                push(screen, update)


def _tell_alert(alert: RaisedAlert, hall: Hall, directory: Directory, push: Callable[[Any, bytes], None]) -> None:
    watched = alert.watched
    line = directory.lines.get(watched.where.line_id)  # type: ignore[call-overload]
    name = line.name if line is not None else ""
    update = _encode(Update(alert=Alert(watched.session, alert.what, name, watched.contact_name)))
    for screen in hall.everybody():
        if screen.actor.role is not Role.OPERATOR and screen.actor.sees(watched.where.line_id):
            push(screen, update)


def _tell_session(touched: Touched, hall: Hall, directory: Directory, push: Callable[[Any, bytes], None]) -> None:
    if touched.moved or touched.renamed:
        _tell_move(touched, hall, directory, push)
        return
    watched = touched.watched
    where = watched.where
    showing = hall.showing(watched.conversation)
    if touched.messages:
        made: dict[tuple[bool, bool], list[bytes]] = {}
        for person in where.people:
            for screen in hall.of(person):
                if touched.shown(screen.actor, where):
                    offered, oversees = person in where.offered_to, watched.oversees(screen.actor)
                    updates = made.get((offered, oversees)) or made.setdefault(
                        (offered, oversees), _with_card(touched, directory, reads=True, offered=offered, oversees=oversees)
                    )
                else:
                    updates = _messages(touched)
                for update in updates:
                    push(screen, update)
        for keeper in touched.pinned_by - set(where.people):
            for screen in hall.of(keeper):
                if screen.conversation != watched.conversation and may_see(screen.actor, where):
                    push(screen, _encode(Update(card=watched.card_for(screen.actor, directory))))
    for screen in showing:
        if may_see(screen.actor, where):
            if touched.messages and screen.actor.operator_id not in where.people:
                for update in _with_card(touched, directory, reads=True, oversees=watched.oversees(screen.actor)):
                    push(screen, update)
            for fate in touched.fates:
                push(screen, _encode(Update(fate=fate)))


def _tell_move(touched: Touched, hall: Hall, directory: Directory, push: Callable[[Any, bytes], None]) -> None:
    """Its card is another for everybody who lists it: it may appear on any screen, or go from it."""
    watched = touched.watched
    before, after = touched.before, watched.where
    readers = (*after.people, *before.people) if before is not None else after.people
    made: dict[tuple[bool, bool, bool], list[bytes]] = {}
    for screen in hall.everybody():
        actor = screen.actor
        me = actor.operator_id
        open_here = screen.conversation == watched.conversation and may_see(actor, after)
        reads = bool(touched.messages) and (open_here or me in readers)
        offered = me in after.offered_to
        shows = (
            touched.shown(actor, after)
            or open_here
            or keeps(actor, before, after)
            or (screen.lists_all and may_see(actor, after))
        )
        updates: list[bytes] = []
        if shows:
            as_seen = (reads, offered, watched.oversees(actor))
            updates = made.get(as_seen) or made.setdefault(
                as_seen, _with_card(touched, directory, reads=reads, offered=offered, oversees=as_seen[2])
            )
        elif reads:
            updates = _messages(touched)
        for update in updates:
            push(screen, update)
        if not shows and before is not None and touched.shown(actor, before):
            push(screen, _encode(Update(gone=watched.session)))
        if open_here:
            for fate in touched.fates:
                push(screen, _encode(Update(fate=fate)))


def _with_card(
    touched: Touched, directory: Directory, *, reads: bool, offered: bool = False, oversees: bool = False
) -> list[bytes]:
    """Return the card as it is after all news, and for *reads* the messages: the card goes with the last of them."""
    card = touched.watched.card(directory, offered=offered, oversees=oversees)
    if not reads:
        return [_encode(Update(card=card))]
    *earlier, last = touched.messages
    conversation = touched.watched.conversation
    return [
        *(_encode(Update(message=message, conversation=conversation)) for message in earlier),
        _encode(Update(card=card, message=last)),
    ]


def _messages(touched: Touched) -> list[bytes]:
    conversation = touched.watched.conversation
    return [_encode(Update(message=message, conversation=conversation)) for message in touched.messages]
