"""Carrying a decision out: the one place where the engine's answer becomes rows.

`Work` is a conversation taken under its lock, with its session; `apply` decides one event and writes what follows; `flush` writes
the session and the conversation back. All of it inside one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal, assert_never

import msgspec
from sqlalchemy import BigInteger, String, bindparam, delete, func, insert, literal, select, tuple_, update

from broker import extras, metrics, outbound
from broker.domain import (
    Author,
    ChannelId,
    ContactId,
    ConversationId,
    Directory,
    Fate,
    Line,
    LineId,
    LoadKind,
    MessageId,
    MessageKind,
    NoAnswer,
    Operator,
    OperatorId,
    PresenceState,
    Rating,
    Role,
    SessionId,
    Status,
    UnansweredCalls,
    Vanished,
    base_language,
    rank_of,
    to_us,
)
from broker.events import (
    CallEnded,
    Consult,
    ContactDetails,
    ContactMessage,
    CustomerNotReached,
    Decline,
    Event,
    ForwardEnded,
    Held,
    Invite,
    KeyPressed,
    KpiDue,
    NoAnswerDue,
    OfferExpired,
    OperatorEvent,
    OperatorGone,
    Rated,
    Receipt,
    ReopenEnded,
    Reply,
    Reword,
    RingEnded,
    RoundDue,
    SessionEvent,
    SilenceDue,
    SnoozeEnded,
    Start,
    TakeBack,
    TalkEnded,
    Transfer,
)
from broker.events import Codec as EventCodec
from broker.extras import Attachment, Extra, FileKind, FileState
from broker.inbound import enter, said, set_banned, set_responsible
from broker.ports import Bell, Button, Row, Tx
from broker.store import journal
from broker.store.sql import among, cols, insert_new, insert_row, insert_rows, over_rows, sql, update_rows
from broker.store.tables import (
    budgets,
    contacts,
    conversations,
    files,
    inputs,
    messages,
    offers,
    operators,
    pool_marks,
    presence,
    seats,
    session_members,
    sessions,
)
from broker.timers import CONVERSATION, cancel_timer, set_timer
from routing import replies
from routing.engine import ENGINE, KPI, NO_ANSWER, OFFER, REOPEN, ROUND, SILENCE, SNOOZE, decide
from routing.openings import Openings
from routing.session import (
    Alert,
    Ban,
    CancelTimer,
    Decision,
    Deliver,
    Divert,
    EndOffers,
    Freeze,
    Ignore,
    Keep,
    MakeOffers,
    MakeResponsible,
    MarkPool,
    Refuse,
    Release,
    Reserve,
    Say,
    Session,
    SetTimer,
)
from routing.view import ConversationView, HoursView, OperatorView, TargetView, View

TIMER_OWNER = CONVERSATION

_CONVERSATION = select(*cols(conversations, "id channel_id contact_id session_id last_seq input_seq worked_seq journal_seq"))
_WORK = _CONVERSATION.add_columns(sessions.c.state).outerjoin(sessions, sessions.c.id == conversations.c.session_id)
_CLAIM = sql(_WORK.where(conversations.c.id == bindparam("conversation")))
_CLAIM_EACH = over_rows(_WORK.where(among(conversations.c.id)).order_by(conversations.c.id), [conversations.c.id])
# Where others write beside us the session is read when the conversation has been locked: a row that was changed between a statement's
# beginning and its lock is given as it is now, what is joined to it as it was.
_LOCKED = over_rows(
    _CONVERSATION.where(among(conversations.c.id)).order_by(conversations.c.id).with_for_update(skip_locked=True, key_share=True),
    [conversations.c.id],
)
_STATES = over_rows(select(*cols(sessions, "id state")).where(among(sessions.c.id)), [sessions.c.id])
_SAVE_CONVERSATION = sql(
    update(conversations)
    .values(
        session_id=bindparam("session"),
        last_seq=bindparam("last"),
        worked_seq=bindparam("worked"),
        journal_seq=bindparam("journalled"),
    )
    .where(conversations.c.id == bindparam("conversation"))
)
_SAVE_CONVERSATIONS = update_rows(conversations, "id", "session_id last_seq worked_seq journal_seq")
_SESSION_COLUMNS = (
    "id conversation_id line_id channel_id contact_id status operator_id rank weight first_seq opened_us queued_us answered_us closed_us "
    "changed_us frozen outcome source state"
)
_NEW_SESSION = insert_row(sessions, _SESSION_COLUMNS)
_SAVED = "status operator_id rank queued_us answered_us closed_us changed_us frozen outcome state"
_SAVE_SESSION = update_rows(sessions, "id", _SAVED)
# By itself, for it hardly ever changes: what an UPDATE names it moves in its indexes, also to where it was.
_SAVE_CONTACT = update_rows(sessions, "id", "contact_id")
_SAVE_LINE = update_rows(sessions, "id", "line_id weight")
_JOINED = insert_new(session_members, "operator_id session_id", "operator_id session_id")
_LEFT = sql(
    delete(session_members).where(
        session_members.c.operator_id == bindparam("operator"), session_members.c.session_id == bindparam("session")
    )
)
_EARLIER = sql(
    select(sessions.c.state).where(
        sessions.c.id == bindparam("session"),
        sessions.c.conversation_id == bindparam("conversation"),
        sessions.c.status == "closed",
    )
)
_STRAY = sql(
    select(*cols(sessions, "id state")).where(
        sessions.c.conversation_id == bindparam("conversation"), sessions.c.contact_id != bindparam("contact")
    )
)
_FOLLOW = sql(
    update(sessions).values(contact_id=bindparam("to"), state=bindparam("new_state")).where(sessions.c.id == bindparam("session"))
)
_SOURCE = sql(select(conversations.c.source).where(conversations.c.id == bindparam("conversation")))
_CONTACT = sql(
    select(*cols(contacts, "name language priority responsible_id banned_us")).where(contacts.c.id == bindparam("contact"))
)
_ADDRESSED = sql(
    select(conversations.c.told_name, contacts.c.language, conversations.c.told)
    .join_from(conversations, contacts, contacts.c.id == conversations.c.contact_id)
    .where(conversations.c.id == bindparam("conversation"))
)
_AHEAD = sql(
    select(func.count())
    .select_from(sessions)
    .where(
        sessions.c.status == "queued",
        sessions.c.line_id == bindparam("line"),
        tuple_(sessions.c.rank, sessions.c.queued_us, sessions.c.id)
        < tuple_(bindparam("rank_is"), bindparam("queued"), bindparam("session")),
    )
)
_EARLIER_SESSION = sql(select(sessions.c.id).where(sessions.c.contact_id == bindparam("contact")).limit(1))
_OPERATOR = sql(
    select(operators.c.active, operators.c.role, seats.c.line_id, presence.c.state, *cols(budgets, "budget reserved calls"))
    .select_from(operators)
    .outerjoin(seats, (seats.c.operator_id == operators.c.id) & (seats.c.line_id == bindparam("line")))
    .outerjoin(presence, presence.c.operator_id == operators.c.id)
    .outerjoin(budgets, budgets.c.operator_id == operators.c.id)
    .where(operators.c.id == bindparam("operator"))
)
_SAID = sql(
    select(messages.c.text).where(messages.c.conversation_id == bindparam("conversation"), messages.c.seq == bindparam("seq"))
)
_CANCEL = sql(
    update(messages)
    .values(fate=Fate.CANCELLED.value)
    .where(messages.c.conversation_id == bindparam("conversation"), messages.c.seq == bindparam("number"))
)
_TEXT = sql(select(inputs.c.raw).where(inputs.c.conversation_id == bindparam("conversation"), inputs.c.seq == bindparam("seq")))
_ATTACH = update_rows(messages, "conversation_id seq", "session_id")
_MESSAGE = insert_rows(messages, "id conversation_id seq session_id kind author operator_id text client_id fate at_us extra")
_FILES = over_rows(
    select(*cols(files, "id conversation_id kind name media_type size preview width height")).where(among(files.c.id)),
    [files.c.id],
)
_RESERVE = sql(
    update(budgets)
    .values(reserved=budgets.c.reserved + bindparam("weight"))
    .where(budgets.c.operator_id == bindparam("operator"), budgets.c.reserved + bindparam("weight") <= budgets.c.budget)
)
_RELEASE = sql(
    update(budgets)
    .values(reserved=budgets.c.reserved - bindparam("weight"))
    .where(budgets.c.operator_id == bindparam("operator"))
)
_ONE_MORE = {"reserved": budgets.c.reserved + bindparam("weight"), "calls": budgets.c.calls + 1}
_RESERVE_CALL = sql(
    update(budgets)
    .values(_ONE_MORE)
    .where(
        budgets.c.operator_id == bindparam("operator"),
        budgets.c.calls == 0,
        budgets.c.reserved + bindparam("weight") <= budgets.c.budget,
    )
)
_RESERVE_TALK = sql(update(budgets).values(_ONE_MORE).where(budgets.c.operator_id == bindparam("operator")))
_RELEASE_CALL = sql(
    update(budgets)
    .values(reserved=budgets.c.reserved - bindparam("weight"), calls=budgets.c.calls - 1)
    .where(budgets.c.operator_id == bindparam("operator"))
)
_OFFER = insert_rows(offers, "id session_id operator_id offer_no state made_us until_us distribution_id")
_END_OFFER = sql(
    update(offers)
    .values(state=bindparam("how"), ended_us=bindparam("now_us"))
    .where(offers.c.session_id == bindparam("session"), offers.c.operator_id == bindparam("operator"), offers.c.state == "open")
)
_MARK = insert_rows(pool_marks, "line_id reason seats session_id at_us")

_MARK_EACH = sql(
    insert(pool_marks).from_select(
        ["line_id", "reason", "seats", "session_id", "at_us"],
        select(
            sessions.c.line_id,
            bindparam("reason", type_=String),
            literal(0),
            sessions.c.id,
            bindparam("now_us", type_=BigInteger),
        )
        .where(sessions.c.status == "queued", sessions.c.line_id == bindparam("line"))
        .order_by(sessions.c.rank, sessions.c.queued_us, sessions.c.id),
    )
)

_TIMER_EVENTS: dict[str, Any] = {
    ROUND: RoundDue,
    NO_ANSWER: NoAnswerDue,
    SNOOZE: SnoozeEnded,
    SILENCE: SilenceDue,
    KPI: KpiDue,
    REOPEN: ReopenEnded,
}


class BudgetExceeded(Exception):
    """The budget was taken meanwhile: the decision was made on an old view and must be made again."""


class Record(msgspec.Struct, frozen=True):
    """The body of a decision's journal row: all that replay needs."""

    engine: int
    settings: int
    now: datetime
    event: SessionEvent
    before: Session | None
    view: dict[str, Any]
    after: Session | Literal["unchanged"] | None
    """Most messages leave the session as it was: saying so takes a third off their row."""
    decisions: tuple[Decision, ...]


def record_of(
    settings: int,
    now: datetime,
    event: SessionEvent,
    before: Session | None,
    view: View,
    after: Session | None,
    decisions: tuple[Decision, ...],
    engine: int = ENGINE,
) -> Record:
    """Return the record of a decision of today's engine; replay makes it again and compares."""
    kept = "unchanged" if after is before and after is not None else after
    return Record(engine, settings, now, event, before, view.read(), kept, decisions)  # type: ignore[arg-type]


ENCODER = msgspec.json.Encoder(order="deterministic")


@dataclass(slots=True)
class Work:
    """A conversation under its lock, while one transaction works on it."""

    id: ConversationId
    channel_id: ChannelId
    contact_id: ContactId
    session_id: SessionId | None
    last_seq: int
    input_seq: int
    worked_seq: int
    journal_seq: int
    session: Session | None
    line: Line
    load: LoadKind
    stored: Session | None = None
    """The session as the table has it."""
    first_seq: int = 0
    """Of the message that opens a new session."""
    timers: dict[str, tuple[datetime, str] | None] = field(default_factory=dict)
    """Those to be set, with their events, and those to be cancelled: the last word on each."""


@dataclass(frozen=True, slots=True)
class House:
    """What a decision needs to know of the house: settings, the load kind of each channel, and which of them have buttons."""

    directory: Directory
    loads: dict[ChannelId, LoadKind] = field(default_factory=dict)
    buttons: frozenset[ChannelId] = frozenset()
    openings: Openings = field(init=False, repr=False, compare=False)
    skills: dict[OperatorId, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    """What a session's `needs` are looked up in."""
    phones: frozenset[OperatorId] = field(init=False, repr=False, compare=False)
    """Whose phone calls can ring."""

    def __post_init__(self) -> None:
        """Read the calendars that the directory's hours describe, and what its people can do."""
        object.__setattr__(self, "openings", Openings(self.directory))
        object.__setattr__(self, "skills", {id_: skills_of(one) for id_, one in self.directory.operators.items()})
        object.__setattr__(self, "phones", frozenset(id_ for id_, one in self.directory.operators.items() if one.phone))


def skills_of(operator: Operator) -> tuple[str, ...]:
    """Return what the operator has of what a session may need: languages, then tags."""
    languages = operator.languages or (base_language(operator.language),)
    return (*(f"language:{language}" for language in languages), *(f"skill:{tag}" for tag in operator.skills))


_STATE = msgspec.json.Decoder(Session)
_NOBODY: frozenset[OperatorId] = frozenset()


def claim(tx: Tx, conversation_id: ConversationId, house: House) -> Work | None:
    """Take the conversation's lock; None when another works on it or its channel is switched off."""
    if tx.shared:
        return next(iter(claim_each(tx, [conversation_id], house)), None)
    row = tx.one(_CLAIM, conversation=conversation_id)
    return _work(row, house) if row else None


def claim_each(tx: Tx, conversations: Collection[ConversationId], house: House) -> list[Work]:
    """Take the locks of many conversations; those that `claim` would refuse are left out."""
    ids = [(id_,) for id_ in conversations]
    rows = _locked(tx, ids) if tx.shared else tx.each(_CLAIM_EACH, ids)
    return [work for row in rows if (work := _work(row, house)) is not None]


def _locked(tx: Tx, ids: list[Row]) -> list[Row]:
    rows = tx.each(_LOCKED, ids)
    states: dict[str, str] = dict(tx.each(_STATES, [(row[3],) for row in rows if row[3] is not None]))
    return [(*row, states.get(row[3])) for row in rows]


def _work(row: Row, house: House) -> Work | None:
    id_, channel_id, contact_id, session_id, last_seq, input_seq, worked_seq, journal_seq, state = row
    channel = house.directory.channels.get(channel_id)
    line = house.directory.lines.get(channel.line_id) if channel is not None else None
    if line is None:
        return None
    stored = session = _STATE.decode(state) if state is not None else None
    if session is not None and session.contact_id != contact_id:
        # A form has shown who the stranger is. Before any decision, so that the journal's row can be decided again.
        session = msgspec.structs.replace(session, contact_id=contact_id)
    if session is not None and session.line_id != line.id:
        line = house.directory.lines.get(session.line_id, line)
    return Work(
        id_,
        channel_id,
        contact_id,
        session_id,
        last_seq,
        input_seq,
        worked_seq,
        journal_seq,
        session,
        line,
        house.loads.get(channel_id, LoadKind.CHAT),
        stored=stored,
    )


def concerned(work: Work, events: Iterable[Event]) -> set[OperatorId]:
    """Return the operators whose budgets deciding *events* may change: most messages change nobody's."""
    session = work.session
    people = {session.operator_id, session.passed_by, session.consulted, *session.offered_to} if session is not None else set()
    weighs = session is not None and session.status in _RESERVED and session.counted
    # Whose operator is gone, and who waits for nothing yet: it may be taken from them (`vanished`).
    may_go = session is not None and session.unanswered_since is None and work.line.settings.vanished is not Vanished.KEEP
    found: set[OperatorId] = set()
    for event in events:
        if (
            isinstance(event, ContactMessage)
            and event.operator_id is None
            and (session is None or session.status is Status.QUEUED or (weighs and not may_go))
        ):
            continue
        if isinstance(event, Receipt | ContactDetails | Rated):
            continue
        found |= {one for one in (*people, *(getattr(event, name, None) for name in _NAMES_OF_OPERATORS)) if one is not None}
    return found


_RESERVED = (Status.ACTIVE, Status.OFFERED)
_NAMES_OF_OPERATORS = ("operator_id", "to_operator", "colleague")
"""Fields of events that name somebody."""


def apply(
    tx: Tx,
    work: Work,
    event: SessionEvent,
    house: House,
    *,
    input_seq: int | None = None,
    message_session: str | None = None,
    distribution_id: int | None = None,
) -> tuple[Decision, ...]:
    """Decide *event* and write all that follows; the session itself waits for `flush`. Raises IllegalTransition, BudgetExceeded."""
    before = work.session
    line = work.line = _line_of(work, event, house)
    view = _view(tx, work, event, house, input_seq)
    after, decisions = decide(before, event, view, tx.now)
    if after is not None and after is not before:
        if before is not None and after.id != before.id:
            if any(isinstance(decision, Freeze) for decision in decisions):
                work.session = msgspec.structs.replace(before, frozen=True)
            _save_session(tx, work)
            tx.settle()  # a conversation has one open session: the old one is closed before the new one is there
            work.stored = None
        if before is None or after.id != before.id:
            work.first_seq = input_seq or work.last_seq
        work.session, work.session_id = after, after.id
    if after is not None and after.line_id != line.id:
        work.line = house.directory.lines.get(after.line_id, line)
    message_seq = _message_seq(work, event, input_seq, message_session, tx)
    # The engine's own record first, then what it caused: readers see a take before the answer that took it.
    said = [_carry_out(tx, work, decision, event, input_seq, distribution_id, house) for decision in decisions]
    delivered = next((seq for seq, own in said if own), None)
    _journal(tx, work, line.version, event, before, view, after, decisions, input_seq, message_seq or delivered)
    for decision, (seq, own) in zip(decisions, said, strict=True):
        if isinstance(decision, Alert):
            _alert(tx, work, decision.what, input_seq)
        elif seq is not None and not own:
            _journal_message(tx, work, seq, input_seq)
    _count(tx, before, after)
    return decisions


_WAITS = (Status.QUEUED, Status.OFFERED)


def _count(tx: Tx, before: Session | None, after: Session | None) -> None:
    """Count what has become of the session, once it is committed."""
    if after is None or after is before:
        return
    if before is None or before.id != after.id:
        tx.count(metrics.sessions_opened_total.inc)
        before = None
    if after.status is Status.CLOSED and (before is None or before.status is not Status.CLOSED):
        tx.count(metrics.sessions_closed_total.inc)
    if before is not None and before.status in _WAITS and after.status is Status.ACTIVE and before.queued_at is not None:
        tx.count(partial(metrics.wait_seconds.observe, (tx.now - before.queued_at).total_seconds()))


def apply_to_earlier(tx: Tx, work: Work, event: Rated, house: House, *, input_seq: int) -> None:
    """Decide *event* in the session that it names, which is not the conversation's present one: their customer rates it late.

    A session that the conversation has never had is nothing that could be rated.
    """
    row = tx.one(_EARLIER, session=event.session_id, conversation=work.id)
    if row is None:
        apply(tx, work, event, house, input_seq=input_seq)
        return
    present = work.session, work.stored, work.session_id, work.line
    work.session = work.stored = _STATE.decode(row[0])
    work.session_id = work.session.id
    work.line = house.directory.lines.get(work.session.line_id, work.line)
    apply(tx, work, event, house, input_seq=input_seq)
    _save_session(tx, work)
    work.session, work.stored, work.session_id, work.line = present


def _line_of(work: Work, event: SessionEvent, house: House) -> Line:
    """Return the line by whose settings *event* is decided: the session's, or its channel's own when another session begins."""
    session, line = work.session, work.line
    if session is None or session.closed_at is None or not isinstance(event, ContactMessage | Start):
        return line
    if not session.frozen and event.at <= session.closed_at + timedelta(seconds=line.settings.reopen_seconds):
        return line
    return house.directory.lines[house.directory.channels[work.channel_id].line_id]


def _message_seq(work: Work, event: SessionEvent, input_seq: int | None, message_session: str | None, tx: Tx) -> int | None:
    if not isinstance(event, ContactMessage):
        return None
    if message_session != work.session_id:
        tx.later(_ATTACH, (work.id, input_seq, work.session_id))
    return input_seq


def _view(tx: Tx, work: Work, event: SessionEvent, house: House, input_seq: int | None) -> View:
    """Load what the decision about *event* may look at, and nothing else."""
    session, settings = work.session, work.line.settings

    def person(operator_id: OperatorId | None, line: LineId | None = None) -> OperatorView | None:
        return _operator_view(tx, line or work.line.id, operator_id, house) if operator_id is not None else None

    def hours(line: LineId | None = None) -> HoursView:
        return house.openings.view(line or work.line.id, tx.now)

    if session is not None and session.load is LoadKind.CALL and isinstance(event, _MAY_DIVERT):
        return _view_of_call(tx, work, session, house)
    match event:
        case ContactMessage():
            if session is not None and session.status is not Status.CLOSED:
                asks = session.unanswered_since is None or not session.counted or session.status is Status.SNOOZED
                return View(settings, operator=person(session.operator_id if asks else None), hours=hours())
            return View(
                settings,
                _conversation_view(tx, work),
                person(session.operator_id if session is not None else event.operator_id),
                hours(),
                rating=_said_of_it(tx, work, event, input_seq),
            )
        case Transfer(operator_id=me, to_operator=to, to_line=target):
            line = house.directory.lines.get(target) if target is not None else None
            return View(
                settings,
                operator=person(me),
                hours=hours(target if line is not None and line.active else None),
                colleague=person(to),
                target=_target(tx, work, target, exists=line is not None and line.active),
                target_line=line.settings if line is not None else settings,
            )
        case Invite(operator_id=me, colleague=to) | Consult(operator_id=me, colleague=to):
            return View(settings, operator=person(me), colleague=person(to))
        case KeyPressed(key=key, operator_id=chosen):
            return _view_of_key(tx, work, key, chosen, house)
        case Start(operator_id=me):
            return View(settings, _conversation_view(tx, work), person(me))
        case Decline() | OfferExpired() | OperatorGone():
            return View(settings, operator=person(session.passed_by if session is not None else None), hours=hours())
        case NoAnswerDue() if settings.no_answer_does is NoAnswer.LINE:
            line = next((line for line in house.directory.lines.values() if line.slug == settings.no_answer_line), None)
            return View(
                settings,
                hours=hours(line.id if line is not None else None),
                target=_target(tx, work, line.id if line is not None else None, exists=line is not None and line.active),
                target_line=line.settings if line is not None else settings,
            )
        case NoAnswerDue() | Held(why="hours"):
            return View(settings, hours=hours())
        case SnoozeEnded():
            return View(settings, operator=person(session.operator_id if session is not None else None), hours=hours())
        case OperatorEvent(operator_id=me):
            return View(settings, operator=person(me))
        case _:
            return View(settings)


def _view_of_key(tx: Tx, work: Work, key: str, chosen: OperatorId | None, house: House) -> View:
    """Load what a key of the line's menu may lead to."""
    settings, directory = work.line.settings, house.directory
    does = settings.calls.menu.keys.get(key)
    line = next((one for one in directory.lines.values() if does is not None and does.line and one.slug == does.line), None)
    if chosen is None and does is not None and does.operator:
        chosen = next((one.id for one in directory.operators.values() if one.login == does.operator), None)
    return View(
        settings,
        colleague=_operator_view(tx, work.line.id, chosen, house) if chosen is not None else None,
        hours=house.openings.view(line.id if line is not None and line.active else work.line.id, tx.now),
        target=_target(tx, work, line.id if line is not None else None, exists=line is not None and line.active),
        target_line=line.settings if line is not None else settings,
    )


_MAY_DIVERT = (
    Decline,
    OfferExpired,
    OperatorGone,
    RingEnded,
    NoAnswerDue,
    Held,
    TalkEnded,
    ForwardEnded,
    CustomerNotReached,
    CallEnded,
)
"""After these a call may have nobody left to ring for it."""


def _view_of_call(tx: Tx, work: Work, session: Session, house: House) -> View:
    """Load what is needed to send a call elsewhere: the hours, and the line to which it may go on."""
    settings = work.line.settings
    before = session.passed_by
    line = None
    if settings.calls.no_answer_does is UnansweredCalls.LINE:
        slug = settings.calls.no_answer_line
        line = next((line for line in house.directory.lines.values() if line.slug == slug), None)
    target = _target(tx, work, line.id if line is not None else None, exists=line is not None and line.active)
    is_open = line is None or house.openings.view(line.id, tx.now).open
    return View(
        settings,
        operator=_operator_view(tx, work.line.id, before, house) if before is not None else None,
        hours=house.openings.view(work.line.id, tx.now),
        target=msgspec.structs.replace(target, open=is_open),
        target_line=line.settings if line is not None else settings,
    )


def _target(tx: Tx, work: Work, line_id: LineId | None, *, exists: bool) -> TargetView:
    row = tx.one(_CONTACT, contact=work.contact_id) if exists else None
    return TargetView(line_id or work.line.id, exists, row[1] if row else "", row[2] if row else 0)


def _said_of_it(tx: Tx, work: Work, event: ContactMessage, input_seq: int | None) -> Rating | None:
    """Return what the message says of the session that was closed, if its customer was asked and this may be the answer."""
    session = work.session
    if session is None or session.rating_until is None or event.at > session.rating_until:
        return None
    row = tx.one(_SAID, conversation=work.id, seq=input_seq)
    return replies.rating_in(row[0]) if row is not None else None


def _conversation_view(tx: Tx, work: Work) -> ConversationView:
    row = tx.one(_CONTACT, contact=work.contact_id)
    return ConversationView(
        conversation_id=work.id,
        channel_id=work.channel_id,
        line_id=work.line.id,
        contact_id=work.contact_id,
        load=work.load,
        contact_priority=row[2] if row else 0,
        first_time=work.session is None and tx.one(_EARLIER_SESSION, contact=work.contact_id) is None,
        new_session_id=SessionId(tx.new_id()),
        responsible_id=row[3] if row else None,
        language=row[1] if row else "",
        banned=row is not None and row[4] is not None,
    )


def _operator_view(tx: Tx, line_id: LineId, operator_id: OperatorId, house: House) -> OperatorView | None:
    row = tx.one(_OPERATOR, line=line_id, operator=operator_id)
    if row is None:
        return None
    active, role, seat, state, budget, reserved, calls = row
    return OperatorView(
        operator_id=operator_id,
        active=bool(active),
        seated=seat is not None,
        supervises=Role(role) is not Role.OPERATOR,
        presence=PresenceState(state or PresenceState.OFFLINE),
        budget=budget or 0,
        reserved=reserved or 0,
        on_shift=house.openings.of_operator(operator_id, tx.now).open,
        phone=operator_id in house.phones,
        calls=calls or 0,
    )


def _carry_out(
    tx: Tx, work: Work, decision: Decision, event: Event, input_seq: int | None, distribution_id: int | None, house: House
) -> tuple[int | None, bool]:
    """Write what *decision* asks for; return the seq of a message it added, and whether the event itself carried it."""
    match decision:
        case Deliver(message_id=message_id, operator_id=operator_id):
            return _speak(tx, work, MessageKind.SAID, message_id, operator_id, event, input_seq), True
        case Keep(message_id=message_id, operator_id=operator_id):
            return _speak(tx, work, MessageKind.NOTE, message_id, operator_id, event, input_seq), True
        case Say(reply=reply):
            return _say(tx, work, reply, house), False
        case SetTimer(name=name, due=due):
            work.timers[name] = (due, _timer_event(work, name, due))
        case CancelTimer(name=name):
            work.timers[name] = None
        case Reserve(operator_id=operator_id, forced=forced):
            call = _RESERVE_TALK if forced else _RESERVE_CALL
            reserve = call if _session(work).load is LoadKind.CALL else _RESERVE
            if not tx.run(reserve, operator=operator_id, weight=_session(work).weight) and not forced:
                raise BudgetExceeded(operator_id)
        case Release(operator_id=operator_id, weight=weight):
            release = _RELEASE_CALL if _session(work).load is LoadKind.CALL else _RELEASE
            tx.run(release, operator=operator_id, weight=_session(work).weight if weight is None else weight)
            _mark_own_pool(tx, work, operator_id, house)
        case MakeOffers(operators=offered, until=until):
            session = _session(work)
            if work.stored is None:
                _save_session(tx, work)  # which its offers name
            for operator in offered:
                made, ends = to_us(tx.now), to_us(until)
                tx.later(_OFFER, (tx.new_id(), session.id, operator, session.offer_no, "open", made, ends, distribution_id))
            tx.count(partial(metrics.offers_total.labels("made").inc, len(offered)))
        case EndOffers(operators=ended, how=how):
            for operator in ended:
                if tx.run(_END_OFFER, session=_session(work).id, operator=operator, how=how, now_us=to_us(tx.now)):
                    tx.count(metrics.offers_total.labels(how).inc)
        case MarkPool(reason=reason, seats=seats_freed, line_id=line_id):
            waits = work.session
            untold = line_id is None and waits is not None and waits.status is Status.QUEUED and not waits.nobody_told
            mark_pool(tx, line_id or work.line.id, reason, seats=seats_freed, session_id=work.session_id if untold else None)
        case Ban():
            set_banned(tx, work.contact_id, banned=True)
        case MakeResponsible(operator_id=operator_id):
            set_responsible(tx, work.contact_id, operator_id)
        case Alert() | Divert() | Freeze() | Refuse() | Ignore():
            pass
        case _:
            assert_never(decision)
    return None, False


def _alert(tx: Tx, work: Work, what: str, input_seq: int | None) -> None:
    """Tell supervisors by the journal, as everybody learns everything."""
    session = _session(work)
    work.journal_seq += 1
    journal.append(
        tx,
        "alert",
        ENCODER.encode({"what": what}).decode(),
        conversation_id=work.id,
        seq=work.journal_seq,
        session_id=session.id,
        line_id=session.line_id,
        input_seq=input_seq,
        status=session.status.value,
        operator_id=session.operator_id,
    )


def _mark_own_pool(tx: Tx, work: Work, operator_id: OperatorId, house: House) -> None:
    """Who held a session of a line they have no seat in (a supervisor) is free again where they have one: another pool."""
    seated = house.directory.seats
    if operator_id in seated.get(work.line.id, ()):
        return  # the decision itself marks this line's pool
    own = next((line for line, people in seated.items() if operator_id in people), None)
    if own is not None:
        mark_pool(tx, own, "seat freed elsewhere", seats=True)


def mark_pool(
    tx: Tx, line_id: LineId, reason: str, *, seats: bool = False, session_id: SessionId | None = None, ring: bool = True
) -> None:
    """Ask for the line's pool to be distributed; *seats*: because a seat was added, freed or came online.

    *session_id*: a session that waits; its customer is told if it turns out that nobody can be asked.
    """
    tx.later(_MARK, (line_id, reason, int(seats), session_id, to_us(tx.now)))
    if ring:
        tx.ring(Bell.POOL, line_id)


def mark_each_waiting(tx: Tx, line_id: LineId, reason: str) -> None:
    """Mark the line's pool once for each session that waits in it, the first in the queue first."""
    tx.run(_MARK_EACH, line=line_id, reason=reason, now_us=to_us(tx.now))
    tx.ring(Bell.POOL, line_id)


def _session(work: Work) -> Session:
    assert work.session is not None
    return work.session


def _timer_event(work: Work, name: str, due: datetime) -> str:
    if name == OFFER:
        return EventCodec.encode(OfferExpired(at=due, offer_no=_session(work).offer_no))
    return EventCodec.encode(_TIMER_EVENTS[name](at=due))


def _speak(
    tx: Tx, work: Work, kind: MessageKind, message_id: MessageId, operator_id: OperatorId, event: Event, input_seq: int | None
) -> int:
    """Put an operator's words into the conversation: a reply also goes out, a note never does."""
    row = tx.one(_TEXT, conversation=work.id, seq=input_seq)
    assert row is not None
    assert isinstance(event, OperatorEvent)
    seq = _add_message(
        tx,
        work,
        kind,
        Author.OPERATOR,
        message_id,
        bytes(row[0]).decode(),
        operator_id=operator_id,
        client_id=event.command,
        extra=_beside(tx, work, event) if isinstance(event, Reply) else None,
    )
    if kind is MessageKind.SAID:
        outbound.post(tx, work.id, seq, work.channel_id, message_id)
    return seq


def _beside(tx: Tx, work: Work, reply: Reply) -> Extra | None:
    """Return what an operator's answer has beside its words; files of other conversations are not there."""
    if not (reply.files or reply.answers or reply.asks_phone):
        return None
    known = (
        {row[0]: row[2:] for row in tx.each(_FILES, [(id_,) for id_ in reply.files]) if row[1] == work.id} if reply.files else {}
    )
    attached = tuple(
        Attachment(FileKind(kind), FileState.READY, name, media_type, size, 0, width, height, id=id_, preview=bool(preview))
        for id_ in reply.files
        if id_ in known
        for kind, name, media_type, size, preview, width, height in (known[id_],)
    )
    quote = said.quote_of(tx, work.id, reply.answers) if reply.answers else None
    return Extra(files=attached, quote=quote, asks_phone=reply.asks_phone)


def change_sent(tx: Tx, work: Work, event: Reword | TakeBack, input_seq: int) -> None:
    """Let what an operator said be worded anew or taken back, here and where it was sent; what has not left yet never leaves as it was."""
    there = said.at(tx, work.id, event.message_seq)
    if there is None or not there.ours or there.was_not_sent or there.extra.deleted_ms:
        return
    now_ms = to_us(tx.now) // 1000
    if isinstance(event, Reword):
        row = tx.one(_TEXT, conversation=work.id, seq=input_seq)
        assert row is not None
        text, what, does = bytes(row[0]).decode(), "edited", "reword"
        extra = extras.reworded(there.extra, there.text, now_ms)
    else:
        text, what, does = there.text, "deleted", "take_back"
        extra = msgspec.structs.replace(there.extra, deleted_ms=now_ms)
    work.journal_seq += 1
    by = event.operator_id
    said.rewrite(tx, there, text, extra, what, input_seq=input_seq, journal_seq=work.journal_seq, by=by)
    if does == "take_back" and outbound.withdraw(tx, work.id, there.seq):
        _cancelled(tx, work, there.seq, input_seq)
    elif does == "take_back" or not outbound.is_queued(tx, work.id, there.seq):
        outbound.post(tx, work.id, input_seq, work.channel_id, MessageId(tx.new_id()), does=does, target_seq=there.seq)


def _cancelled(tx: Tx, work: Work, seq: int, input_seq: int) -> None:
    """Tell that the message *seq* will never leave."""
    tx.run(_CANCEL, conversation=work.id, number=seq)
    work.journal_seq += 1
    journal.append(
        tx,
        "fate",
        ENCODER.encode({"fate": Fate.CANCELLED.value, "problem": ""}).decode(),
        conversation_id=work.id,
        seq=work.journal_seq,
        input_seq=input_seq,
        message_seq=seq,
    )


def _say(tx: Tx, work: Work, reply: str, house: House) -> int | None:
    # The name that they gave here: the contact's may be somebody else's, whose e-mail they typed.
    name, language, told = tx.one(_ADDRESSED, conversation=work.id) or ("", "", "")
    session = _session(work)
    operator = house.directory.operators.get(session.operator_id) if session.operator_id else None
    buttons: tuple[Button, ...] = ()
    if reply == "outside_form" and told:
        reply = "outside"  # how to reach them they have said in a form already
    if reply == "rating" and work.channel_id in house.buttons:
        reply = "rating_buttons"
        buttons = tuple(
            Button(replies.text_of(f"rating_{one.value}", work.line.settings, language), f"{one.value}:{session.id}")
            for one in Rating
        )
    template = replies.text_of(reply, work.line.settings, language)
    text = replies.render(
        template,
        {
            "contact.name": name,
            "operator.name": operator.name if operator else "",
            "line.name": work.line.name,
            "opens_at": _opens_at(tx, work, language or work.line.settings.language, house),
            "queue.position": _position(tx, session) if "{queue.position}" in template else "",
        },
    )
    if not text:
        return None
    message_id = MessageId(tx.new_id())
    seq = _add_message(tx, work, MessageKind.SAID, Author.SYSTEM, message_id, text)
    outbound.post(tx, work.id, seq, work.channel_id, message_id, buttons)
    return seq


def _opens_at(tx: Tx, work: Work, language: str, house: House) -> str:
    """Return when the line opens, in words and in its own time; empty: it is open, or never opens."""
    calendar = house.openings.calendar(work.line.id)
    opens_at = house.openings.view(work.line.id, tx.now).opens_at
    if calendar is None or opens_at is None:
        return ""
    return replies.opens_at_text(calendar.local(opens_at), calendar.local(tx.now), language)


def _position(tx: Tx, session: Session) -> str:
    """Return which in its line's queue the session is, 1 for the next; empty: it does not wait."""
    if session.status is not Status.QUEUED or session.queued_at is None:
        return ""
    rank = rank_of(session.queued_at, session.priority)
    row = tx.one(_AHEAD, line=session.line_id, rank_is=rank, queued=to_us(session.queued_at), session=session.id)
    return str(1 + (row[0] if row else 0))


def _add_message(
    tx: Tx,
    work: Work,
    kind: MessageKind,
    author: Author,
    message_id: MessageId,
    text: str,
    *,
    operator_id: OperatorId | None = None,
    client_id: str = "",
    extra: Extra | None = None,
) -> int:
    work.last_seq += 1
    fate = (Fate.NOTED if kind is MessageKind.NOTE else Fate.QUEUED).value
    place = (message_id, work.id, work.last_seq, work.session_id)
    at_us = to_us(tx.now)
    tx.later(_MESSAGE, (*place, kind.value, author.value, operator_id, text, client_id, fate, at_us, extras.written(extra)))
    return work.last_seq


def _journal(
    tx: Tx,
    work: Work,
    settings: int,
    event: SessionEvent,
    before: Session | None,
    view: View,
    after: Session | None,
    decisions: tuple[Decision, ...],
    input_seq: int | None,
    message_seq: int | None,
) -> None:
    record = record_of(settings, tx.now, event, before, view, after, decisions)
    work.journal_seq += 1
    journal.append(
        tx,
        type(event).__struct_config__.tag,  # type: ignore[arg-type]
        ENCODER.encode(record).decode(),
        conversation_id=work.id,
        seq=work.journal_seq,
        session_id=after.id if after is not None else None,
        line_id=work.line.id,
        input_seq=input_seq,
        message_seq=message_seq,
        status=after.status.value if after is not None else None,
        operator_id=after.operator_id if after is not None else None,
    )


def _journal_message(tx: Tx, work: Work, message_seq: int, input_seq: int | None) -> None:
    session = _session(work)
    work.journal_seq += 1
    journal.append(
        tx,
        "message",
        "{}",
        conversation_id=work.id,
        seq=work.journal_seq,
        session_id=session.id,
        line_id=work.line.id,
        input_seq=input_seq,
        message_seq=message_seq,
        status=session.status.value,
        operator_id=session.operator_id,
    )


def timer_fired(tx: Tx, conversation_id: str, timer_id: str, event: str) -> None:
    """Enter what a conversation's due timer says, as of now."""
    due = EventCodec.decode(event)
    enter(tx, "timer", timer_id, ConversationId(conversation_id), lambda at: msgspec.structs.replace(due, at=at))


def follow_contact(tx: Tx, work: Work) -> None:
    """Let every session of the conversation be the conversation's contact's: a form may have shown who the stranger is."""
    if work.session is not None and work.session.contact_id != work.contact_id:
        work.session = msgspec.structs.replace(work.session, contact_id=work.contact_id)
    for id_, state in tx.all(_STRAY, conversation=work.id, contact=work.contact_id):
        if id_ != work.session_id:
            moved = msgspec.structs.replace(_STATE.decode(state), contact_id=work.contact_id)
            tx.run(_FOLLOW, session=id_, to=work.contact_id, new_state=ENCODER.encode(moved).decode())


def flush(tx: Tx, work: Work) -> None:
    """Write the session, its timers and the conversation back."""
    _save_session(tx, work)
    _save_timers(tx, work)
    tx.run(
        _SAVE_CONVERSATION,
        session=work.session_id,
        last=work.last_seq,
        worked=work.worked_seq,
        journalled=work.journal_seq,
        conversation=work.id,
    )


def flush_each(tx: Tx, works: Sequence[Work]) -> None:
    """Write many sessions and conversations back."""
    for work in works:
        _save_session(tx, work)
        _save_timers(tx, work)
    tx.each(_SAVE_CONVERSATIONS, [(work.id, work.session_id, work.last_seq, work.worked_seq, work.journal_seq) for work in works])


def _save_timers(tx: Tx, work: Work) -> None:
    for name, what in work.timers.items():
        if what is None:
            cancel_timer(tx, TIMER_OWNER, work.id, name)
        else:
            set_timer(tx, TIMER_OWNER, work.id, name, *what)
    work.timers.clear()


def _looks(session: Session) -> tuple[Status, OperatorId | None]:
    """Return what the session is to its customer, who waits the same whether somebody is being asked or not."""
    return Status.QUEUED if session.status is Status.OFFERED else session.status, session.operator_id


def _save_session(tx: Tx, work: Work) -> None:
    session = work.session
    if session is None:
        return
    now_us = to_us(tx.now)
    if session is work.stored:
        return
    values: dict[str, Any] = {
        "status": session.status.value,
        "operator_id": session.operator_id,
        "rank": rank_of(session.queued_at, session.priority) if session.queued_at else 0,
        "queued_us": to_us(session.queued_at) if session.queued_at else None,
        "answered_us": to_us(session.answered_at) if session.answered_at else None,
        "closed_us": to_us(session.closed_at) if session.closed_at else None,
        "changed_us": now_us,
        "frozen": int(session.frozen),
        "outcome": session.outcome,
        "state": ENCODER.encode(session).decode(),
    }
    stored = work.stored
    # A call's connection follows whatever becomes of it, its ringing too.
    if stored is None or session.load is LoadKind.CALL or _looks(stored) != _looks(session):
        tx.ring(Bell.SESSION, work.id)
    if stored is None:
        source = tx.one(_SOURCE, conversation=work.id)
        tx.run(
            _NEW_SESSION,
            id=session.id,
            conversation_id=session.conversation_id,
            line_id=session.line_id,
            channel_id=session.channel_id,
            contact_id=session.contact_id,
            weight=session.weight,
            first_seq=work.first_seq,
            opened_us=to_us(session.opened_at),
            source=source[0] if source else "{}",
            **values,
        )
    else:
        tx.later(_SAVE_SESSION, (session.id, *values.values()))
        if stored.contact_id != session.contact_id:
            tx.later(_SAVE_CONTACT, (session.id, session.contact_id))
        if stored.line_id != session.line_id or stored.weight != session.weight:
            tx.later(_SAVE_LINE, (session.id, session.line_id, session.weight))
        _save_members(tx, stored, session)
    work.stored = session


def _save_members(tx: Tx, stored: Session, session: Session) -> None:
    """Keep who is with an open session beside its operator, or is passing it on, where their lists find it."""
    before, after = _with_us(stored), _with_us(session)
    for operator in sorted(before - after):
        tx.run(_LEFT, operator=operator, session=session.id)
    for operator in sorted(after - before):
        tx.run(_JOINED, operator_id=operator, session_id=session.id)


def _with_us(session: Session) -> frozenset[OperatorId]:
    passing = (session.passed_by,) if session.passed_by is not None else ()
    if session.status is Status.CLOSED or not (session.members or session.invited or passing):
        return _NOBODY
    return frozenset((*session.members, *session.invited, *passing))
