"""Reconciling: is everything that was accepted stored, routed, and answered, closed or waiting? Proved row by row.

A check joins two tables that must agree and returns the rows that do not; nothing is believed because a counter says so. What it
says names the table whose row is missing or wrong. Foreign keys are checked by joins as well, so the proof is the same on every
database and finds what was lost behind the store's back.

    accepted    every input; those of customers' messages are the ledger's left side
    stored      each has its message, each place (seq) of a conversation is taken by an input or a message
    routed      each decided input has its row in the journal, each routed message its session
    answered    an operator wrote after it in its session; closed: nobody did and the session is over; waiting: it is not

What waits (to be routed, to be sent, for the CRM's reader) and dead letters are listed and are no fault. The functions only read:
run them in one `store.read`, so that all of it is of one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, islice, repeat
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    except_,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    union,
    union_all,
)
from sqlalchemy.schema import Column, Table

from broker.domain import Author, Fate, LoadKind, MessageKind, PointKind, PresenceState, Status, rank_of, to_us
from broker.ports import Row, Tx
from broker.store.journal import position_of
from broker.store.sql import Sql, adhoc, among, cols, one_of, over_rows, sql
from broker.store.tables import (
    budgets,
    calls,
    channels,
    contact_points,
    contacts,
    conversations,
    counters,
    fetches,
    inputs,
    journal,
    leads,
    line_state,
    lines,
    message_refs,
    messages,
    metadata,
    offers,
    operators,
    outbox,
    pins,
    pool_marks,
    presence,
    readers,
    reviews,
    seats,
    session_members,
    sessions,
    timers,
    transcripts,
    turns,
)

LISTED = 20
"""Ids a finding shows of those it counts."""
PAGE = 2_000
"""Rows read at once of what is more than fits into memory: documents of all sessions, of all offers, of all transcripts."""
CRM_READER = "crm"
MERGED = "merged"
"""The stage of a lead that another lead of the same contact has replaced."""


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: *find* returns what breaks it, one text a place. *table* is where the row is missing or wrong."""

    table: str
    says: str
    find: Callable[[Tx], Iterable[str]]
    over: str = ""
    """The table whose rows were looked at, when it is another one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: how many, and the first of them."""

    table: str
    says: str
    count: int
    ids: tuple[str, ...]
    looked_at: int
    """Rows of the table that was looked at."""


@dataclass(slots=True)
class Report:
    """The answer: kept promises, broken ones, what waits, and where every message of a customer is."""

    kept: list[Finding] = field(default_factory=list)
    broken: list[Finding] = field(default_factory=list)
    waiting: list[Finding] = field(default_factory=list)
    ledger: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Tell whether every promise was kept."""
        return not self.broken

    @property
    def exit_code(self) -> int:
        """Return what the command ends with: 0 when clean, 1 when not."""
        return 0 if self.ok else 1

    def text(self) -> str:
        """Return the report as lines for a terminal."""
        said = [f"OK    {kept.table}: {kept.says} ({kept.looked_at})" for kept in self.kept]
        said += [_said("wait", waiting) for waiting in self.waiting]
        said += [_said("FAIL", broken) for broken in self.broken]
        left = " + ".join(f"{count} {where}" for where, count in self.ledger.items() if count) or "0"
        said.append(f"messages of customers: {sum(self.ledger.values())} accepted = {left}")
        said.append("clean" if self.ok else f"NOT CLEAN: {len(self.broken)} of {len(self.broken) + len(self.kept)} checks failed")
        return "\n".join(said)


def _said(mark: str, finding: Finding) -> str:
    more = f", and {finding.count - len(finding.ids)} more" if finding.count > len(finding.ids) else ""
    return f"{mark}  {finding.table}: {finding.says}: {finding.count} ({', '.join(finding.ids)}{more})"


def reconcile(tx: Tx) -> Report:
    """Prove everything that can be proved; the report says what could not."""
    report = Report()
    rows = {name: int(tx.all(count)[0][0]) for name, count in _ROWS.items()}
    for check in CHECKS:
        found = _found(tx, check, rows)
        (report.broken if found.count else report.kept).append(found)
    report.waiting = [found for check in WAITING if (found := _found(tx, check, rows)).count]
    report.ledger = dict.fromkeys(_PLACES, 0)
    for where, count in tx.all(adhoc(_LEDGER)):
        report.ledger[where] += count
    return report


_ROWS = {name: sql(select(func.count()).select_from(table)) for name, table in metadata.tables.items()}


def _found(tx: Tx, check: Check, rows: dict[str, int]) -> Finding:
    looked_at = rows[check.over or check.table]
    try:
        rest = iter(check.find(tx))
        first = tuple(islice(rest, LISTED))
        return Finding(check.table, check.says, len(first) + sum(1 for _ in rest), first, looked_at)
    except msgspec.MsgspecError as error:
        return Finding(check.table, check.says, 1, (f"a document that cannot be read: {error}",), looked_at)


def _ids(row: Row) -> str:
    return "/".join(str(part) for part in row)


def _query(statement: Select[Any], made: Callable[[Select[Any]], Sql] = sql) -> Callable[[Tx], Iterable[str]]:
    """Return how to find the rows of *statement*; when they are many the database counts them and only the first are fetched."""
    # Found whole: to find a few of what is hardly ever there PostgreSQL would go through all rows for each row.
    found = statement.cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
    first = made(select(found).limit(LISTED))
    count = made(select(func.count()).select_from(statement.order_by(None).subquery()))

    def find(tx: Tx) -> Iterator[str]:
        listed = tx.all(first)
        yield from (_ids(row) for row in listed)
        if len(listed) == LISTED and (row := tx.one(count)) is not None:
            yield from repeat("", row[0] - LISTED)

    return find


# --- references: by joins, never by the database's own word

_UUID = "_" * 8 + "-" + "-".join(["_" * 4] * 3) + "-" + "_" * 12

_SOFT: tuple[tuple[Column[Any], Column[Any]], ...] = (
    (contacts.c.merged_into, contacts.c.id),
    (conversations.c.session_id, sessions.c.id),
    (inputs.c.conversation_id, conversations.c.id),
    (messages.c.session_id, sessions.c.id),
    (messages.c.operator_id, operators.c.id),
    (pool_marks.c.line_id, lines.c.id),
    (metadata.tables["files"].c.conversation_id, conversations.c.id),
    (journal.c.conversation_id, conversations.c.id),
    (journal.c.session_id, sessions.c.id),
    (journal.c.line_id, lines.c.id),
    (journal.c.operator_id, operators.c.id),
    (sessions.c.operator_id, operators.c.id),
    (offers.c.distribution_id, journal.c.id),
    (turns.c.line_id, lines.c.id),
    (turns.c.operator_id, operators.c.id),
    (leads.c.session_id, sessions.c.id),
    (leads.c.line_id, lines.c.id),
    (leads.c.responsible_id, operators.c.id),
    (transcripts.c.session_id, sessions.c.id),
    (transcripts.c.contact_id, contacts.c.id),
    (transcripts.c.lead_id, leads.c.id),
)
"""References that no constraint of the schema states, beside those that one does."""


def _references() -> Iterator[Check]:
    for table in metadata.tables.values():
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            yield _reference(key.parent, key.column)
    for child, parent in _SOFT:
        yield _reference(child, parent)
    yield _reference(contact_points.c.scope, channels.c.id, contact_points.c.scope != "")
    yield _reference(inputs.c.origin, channels.c.id, inputs.c.origin.like(_UUID))
    yield _reference(timers.c.owner_id, conversations.c.id, timers.c.owner_kind == "conversation")
    yield _reference(timers.c.owner_id, operators.c.id, timers.c.owner_kind == "operator")


def _reference(child: Column[Any], parent: Column[Any], when: ColumnElement[bool] | None = None) -> Check:
    owner = parent.table.alias("owner")
    missing = select(child).where(child.is_not(None), not_(exists().where(owner.c[parent.name] == child))).distinct()
    if when is not None:
        missing = missing.where(when)
    return Check(
        _name(parent.table),
        f"every {_name(child.table)}.{child.name} exists",
        _query(missing.order_by(child)),
        _name(child.table),
    )


def _name(table: Any) -> str:
    return str(table.name)


# --- accepted = stored


def _set_aside(told: Table) -> ColumnElement[bool]:
    """Of an accepted message: it was decided that it opens no session, for who wrote it is banned."""
    return exists().where(
        journal.c.conversation_id == told.c.conversation_id,
        journal.c.input_seq == told.c.seq,
        journal.c.kind == "contact_message",
        journal.c.session_id.is_(None),
    )


def _is(event: str) -> ColumnElement[bool]:
    # Canonical JSON begins with the tag.
    return inputs.c.event.like('{"type":"' + event + '"%')


def _same_place(one: Table, other: Any) -> ColumnElement[bool]:
    return and_(one.c.conversation_id == other.c.conversation_id, one.c.seq == other.c.seq)


def _empty_places() -> Any:
    """Return (conversation_id, seq) of places below a conversation's last that neither an input nor a message takes."""
    taken = union_all(
        select(inputs.c.conversation_id, inputs.c.seq).where(inputs.c.conversation_id.is_not(None), inputs.c.seq > 1),
        select(messages.c.conversation_id, messages.c.seq).where(messages.c.seq > 1),
    ).subquery("taken")
    following = select(taken.c.conversation_id, (taken.c.seq - 1).label("seq"))
    last = select(conversations.c.id.label("conversation_id"), conversations.c.last_seq.label("seq")).where(
        conversations.c.last_seq > 0
    )
    wanted = union(following, last).subquery("wanted")
    return (
        select(wanted.c.conversation_id, wanted.c.seq)
        .where(not_(exists().where(_same_place(inputs, wanted))), not_(exists().where(_same_place(messages, wanted))))
        .subquery("empty")
    )


def _stored() -> Iterator[Check]:
    yield Check(
        "messages",
        "every accepted message is stored",
        _query(
            select(inputs.c.conversation_id, inputs.c.seq).where(
                _is("contact_message"),
                not_(exists().where(_same_place(messages, inputs), messages.c.author == Author.CONTACT.value)),
            )
        ),
    )
    yield Check(
        "inputs",
        "every message of a customer was accepted",
        _query(
            select(messages.c.conversation_id, messages.c.seq).where(
                messages.c.author == Author.CONTACT.value,
                not_(exists().where(_same_place(inputs, messages), _is("contact_message"))),
            )
        ),
    )
    empty = _empty_places()
    of_message = exists().where(
        journal.c.conversation_id == empty.c.conversation_id, journal.c.message_seq == empty.c.seq, journal.c.kind != "fate"
    )
    yield Check("messages", "no message's place is empty", _query(select(empty).where(of_message)))
    yield Check("inputs", "no input's place is empty", _query(select(empty).where(not_(of_message))))
    beyond = union_all(
        select(inputs.c.conversation_id)
        .join_from(inputs, conversations, conversations.c.id == inputs.c.conversation_id)
        .where(or_(inputs.c.seq > conversations.c.input_seq, inputs.c.seq > conversations.c.last_seq)),
        select(messages.c.conversation_id)
        .join_from(messages, conversations, conversations.c.id == messages.c.conversation_id)
        .where(messages.c.seq > conversations.c.last_seq),
        select(journal.c.conversation_id)
        .join_from(journal, conversations, conversations.c.id == journal.c.conversation_id)
        .where(journal.c.seq > conversations.c.journal_seq),
        select(conversations.c.id).where(conversations.c.worked_seq > conversations.c.input_seq),
    ).subquery("beyond")
    yield Check("conversations", "no row lies beyond its conversation's last", _query(select(beyond).distinct()))
    yield Check(
        "inputs",
        "every conversation's last input exists",
        _query(
            select(conversations.c.id, conversations.c.input_seq).where(
                conversations.c.input_seq > 0,
                not_(exists().where(inputs.c.conversation_id == conversations.c.id, inputs.c.seq == conversations.c.input_seq)),
            )
        ),
    )
    yield Check(
        "inputs",
        "an input has a conversation, a place and an event, or is a dead letter",
        _query(
            select(inputs.c.id).where(
                inputs.c.dead.is_(None),
                or_(inputs.c.conversation_id.is_(None), inputs.c.seq.is_(None), inputs.c.event.is_(None)),
            )
        ),
    )


# --- stored = routed


_UNDECIDED = ("receipt", "contact_details", "message_changed", "answered_elsewhere", "reach_changed", "reword", "take_back")
"""Events that change messages or the contact and are no decision about a session."""


def _routed() -> Iterator[Check]:
    decided = and_(inputs.c.seq <= conversations.c.worked_seq, inputs.c.dead.is_(None))
    yield Check(
        "journal",
        "every decided input has its decision",
        _query(
            select(inputs.c.conversation_id, inputs.c.seq)
            .join_from(inputs, conversations, conversations.c.id == inputs.c.conversation_id)
            .where(
                decided,
                *(not_(_is(event)) for event in _UNDECIDED),
                not_(
                    exists().where(
                        journal.c.conversation_id == inputs.c.conversation_id,
                        journal.c.input_seq == inputs.c.seq,
                        inputs.c.event.like(literal('{"type":"') + journal.c.kind + literal('"%')),
                    )
                ),
            )
        ),
    )
    yield Check(
        "inputs",
        "every decision has its input",
        _query(
            select(journal.c.conversation_id, journal.c.input_seq).where(
                journal.c.input_seq.is_not(None),
                not_(exists().where(inputs.c.conversation_id == journal.c.conversation_id, inputs.c.seq == journal.c.input_seq)),
            )
        ),
    )
    yield Check(
        "messages",
        "every message that the journal speaks of exists",
        _query(
            select(journal.c.conversation_id, journal.c.message_seq).where(
                journal.c.message_seq.is_not(None),
                journal.c.kind != "fate",
                not_(
                    exists().where(
                        messages.c.conversation_id == journal.c.conversation_id, messages.c.seq == journal.c.message_seq
                    )
                ),
            )
        ),
    )
    yield Check(
        "journal",
        "every message of ours is in the journal",
        _query(
            select(messages.c.conversation_id, messages.c.seq).where(
                messages.c.author != Author.CONTACT.value,
                not_(
                    exists().where(
                        journal.c.conversation_id == messages.c.conversation_id,
                        journal.c.message_seq == messages.c.seq,
                        journal.c.kind != "fate",
                    )
                ),
            )
        ),
    )
    yield Check(
        "messages",
        "every routed message has its session",
        _query(
            select(messages.c.conversation_id, messages.c.seq)
            .join_from(messages, conversations, conversations.c.id == messages.c.conversation_id)
            .where(
                messages.c.session_id.is_(None),
                messages.c.seq <= conversations.c.worked_seq,
                not_(exists().where(_same_place(inputs, messages), inputs.c.dead.is_not(None))),
                not_(_set_aside(messages)),
                # Who answered in the provider's own program asked nobody here.
                not_(exists().where(_same_place(inputs, messages), _is("answered_elsewhere"))),
            )
        ),
    )
    yield Check(
        "messages",
        "a message and its session are of one conversation",
        _query(
            select(messages.c.id)
            .join_from(messages, sessions, sessions.c.id == messages.c.session_id)
            .where(sessions.c.conversation_id != messages.c.conversation_id)
        ),
    )
    yield Check(
        "messages",
        "every message that a provider has a name for exists",
        _query(
            select(message_refs.c.channel_id, message_refs.c.ref).where(not_(exists().where(_same_place(messages, message_refs))))
        ),
    )
    yield Check(
        "fetches",
        "what a message awaits of its provider is asked for",
        _query(
            select(messages.c.conversation_id, messages.c.seq).where(
                messages.c.extra.like('%"ref":"%'), not_(exists().where(_same_place(fetches, messages)))
            )
        ),
    )
    before = journal.alias("before")
    holes = union(
        select(journal.c.conversation_id, (journal.c.seq - 1).label("seq")).where(
            journal.c.seq > 1,
            not_(exists().where(before.c.conversation_id == journal.c.conversation_id, before.c.seq == journal.c.seq - 1)),
        ),
        select(conversations.c.id, conversations.c.journal_seq).where(
            conversations.c.journal_seq > 0,
            not_(exists().where(before.c.conversation_id == conversations.c.id, before.c.seq == conversations.c.journal_seq)),
        ),
    ).subquery("holes")
    yield Check("journal", "no conversation's journal has a hole", _query(select(holes)))


# --- routed = answered, closed or waiting

_PLACES = ("answered", "closed", "waiting for an answer", "waiting to be routed", "dead letters", "set aside", "nowhere")
# Once for each session: to look behind each message would be to go through a long conversation for each of its words.
_ANSWERS = (
    select(messages.c.session_id, func.max(messages.c.seq).label("last"))
    .where(messages.c.author == Author.OPERATOR.value, messages.c.kind == MessageKind.SAID.value)
    .group_by(messages.c.session_id)
).subquery("answers")
_PLACE = case(
    (inputs.c.dead.is_not(None), "dead letters"),
    (inputs.c.seq > conversations.c.worked_seq, "waiting to be routed"),
    (_ANSWERS.c.last > messages.c.seq, "answered"),
    (sessions.c.status == Status.CLOSED.value, "closed"),
    (sessions.c.status.is_not(None), "waiting for an answer"),
    (_set_aside(inputs), "set aside"),
    else_="nowhere",
).label("place")
_ACCEPTED = (
    select(inputs.c.id, _PLACE)
    .select_from(inputs)
    .outerjoin(messages, _same_place(messages, inputs))
    .outerjoin(sessions, sessions.c.id == messages.c.session_id)
    .outerjoin(_ANSWERS, _ANSWERS.c.session_id == messages.c.session_id)
    .outerjoin(conversations, conversations.c.id == inputs.c.conversation_id)
    .where(_is("contact_message"))
).subquery("accepted")
_LEDGER = select(_ACCEPTED.c.place, func.count()).group_by(_ACCEPTED.c.place)


def _sends(sending: Table, message: Table) -> ColumnElement[bool]:
    return and_(_same_place(sending, message), sending.c.message_id == message.c.id)


def _answered() -> Iterator[Check]:
    yield Check(
        "sessions",
        "every accepted message is answered, closed or waiting",
        _query(select(_ACCEPTED.c.id).where(_ACCEPTED.c.place == "nowhere")),
    )
    ours = and_(messages.c.author != Author.CONTACT.value, messages.c.kind == MessageKind.SAID.value)
    # What our side said in the provider's own program has gone by it already.
    elsewhere = and_(messages.c.extra.is_not(None), messages.c.extra.like('%"elsewhere":true%'))
    yield Check(
        "outbox",
        "every message to a customer was given to its channel",
        _query(select(messages.c.id).where(ours, not_(elsewhere), not_(exists().where(_sends(outbox, messages))))),
    )
    yield Check(
        "messages",
        "every message that is sent was said",
        _query(select(outbox.c.id).where(outbox.c.does == "send", not_(exists().where(_sends(outbox, messages))))),
    )
    changed = and_(messages.c.conversation_id == outbox.c.conversation_id, messages.c.seq == outbox.c.target_seq)
    yield Check(
        "messages",
        "every message that is changed where it was sent is there",
        _query(select(outbox.c.id).where(outbox.c.does != "send", not_(exists().where(changed)))),
    )
    yield Check(
        "outbox",
        "what is sent was said to customers, and leaves by their channel",
        _query(
            select(outbox.c.id)
            .join_from(outbox, messages, _sends(outbox, messages))
            .join(conversations, conversations.c.id == outbox.c.conversation_id)
            .where(not_(and_(ours, outbox.c.channel_id == conversations.c.channel_id)))
        ),
    )
    yield Check(
        "outbox",
        "every sending agrees with the message's fate",
        _query(
            select(outbox.c.id)
            .join_from(outbox, messages, _sends(outbox, messages))
            .where(messages.c.fate != outbox.c.state, not_(one_of(messages.c.fate, Fate.DELIVERED.value, Fate.READ.value)))
        ),
    )
    yield Check(
        "messages",
        "what came in is received, what was whispered is noted",
        _query(
            select(messages.c.id).where(
                or_(
                    and_(messages.c.author == Author.CONTACT.value, messages.c.fate != Fate.RECEIVED.value),
                    and_(messages.c.kind == MessageKind.NOTE.value, messages.c.fate != Fate.NOTED.value),
                )
            )
        ),
    )


# --- sessions, offers, budgets, timers


class _State(msgspec.Struct):
    """What a session's state says, as far as rows elsewhere must agree with it."""

    id: str
    conversation_id: str
    line_id: str
    channel_id: str
    contact_id: str
    opened_at: datetime
    status: Status
    weight: int
    priority: int = 0
    operator_id: str | None = None
    queued_at: datetime | None = None
    offered_to: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    held_until: datetime | None = None
    rounds_over: bool = False
    answered_at: datetime | None = None
    answer_due: datetime | None = None
    kpi_due: datetime | None = None
    quiet_until: datetime | None = None
    closed_at: datetime | None = None
    frozen: bool = False
    outcome: str = ""
    counted: bool = True
    members: tuple[str, ...] = ()
    invited: tuple[str, ...] = ()
    passed_by: str | None = None
    consulted: str | None = None
    load: LoadKind = LoadKind.CHAT


_STATE = msgspec.json.Decoder(_State)
_SESSIONS = sql(
    select(
        *sessions.c["id", "conversation_id", "line_id", "channel_id", "contact_id", "status", "operator_id", "rank", "weight"],
        *sessions.c["opened_us", "queued_us", "answered_us", "closed_us", "frozen", "outcome", "state"],
    )
    .where(sessions.c.id > bindparam("after"))
    .order_by(sessions.c.id)
    .limit(bindparam("page"))
)


def _us(at: datetime | None) -> int | None:
    return to_us(at) if at is not None else None


def _pages(read: Callable[[Any], list[Row]], after: str | int) -> Iterator[list[Row]]:
    """Yield what *read* finds, page by page: it returns the next rows whose first column is after the one it is given, in that order."""
    while rows := read(after):
        yield rows
        after = rows[-1][0]


def _unlike_their_state(tx: Tx) -> Iterator[str]:
    for *columns, body in chain.from_iterable(_pages(lambda after: tx.all(_SESSIONS, after=after, page=PAGE), "")):
        try:
            state = _STATE.decode(body)
        except msgspec.MsgspecError:
            yield str(columns[0])
            continue
        told = [
            state.id,
            state.conversation_id,
            state.line_id,
            state.channel_id,
            state.contact_id,
            state.status.value,
            state.operator_id,
            rank_of(state.queued_at, state.priority) if state.queued_at is not None else 0,
            state.weight,
            _us(state.opened_at),
            _us(state.queued_at),
            _us(state.answered_at),
            _us(state.closed_at),
            int(state.frozen),
            state.outcome,
        ]
        if columns != told:
            yield state.id


def _states(tx: Tx, *where: ColumnElement[bool]) -> Iterator[_State]:
    for (body,) in tx.all(adhoc(select(sessions.c.state).where(*where))):
        try:
            yield _STATE.decode(body)
        except msgspec.MsgspecError:
            pass  # named by another check


def _offers_unlike_sessions(tx: Tx) -> Iterator[str]:
    opened: dict[str, set[str]] = {}
    statement = select(offers.c.session_id, offers.c.operator_id).where(offers.c.state == "open")
    for session, operator in tx.all(adhoc(statement)):
        opened.setdefault(session, set()).add(operator)
    for state in _states(tx, sessions.c.status == Status.OFFERED.value):
        if not state.offered_to or set(state.offered_to) != opened.pop(state.id, set()):
            yield state.id
    yield from opened  # offers of sessions that are not offered


class _MadeOffers(msgspec.Struct):
    do: str
    operators: tuple[str, ...] = ()


class _OfferedEvent(msgspec.Struct):
    rule: str = ""


class _OfferedAfter(msgspec.Struct):
    offer_no: int = 0


class _OfferedBody(msgspec.Struct):
    event: _OfferedEvent
    decisions: tuple[_MadeOffers, ...]
    after: _OfferedAfter | None = None


_OFFERED = msgspec.json.Decoder(_OfferedBody)


class _Offered(NamedTuple):
    """An offer that the journal tells of: *by* a distribution, of whose *rule*, or by who passed it on or had it ring for them."""

    session: str
    number: int
    operator: str
    line: str
    by: str
    rule: str

    @property
    def key(self) -> tuple[str, int, str]:
        return self.session, self.number, self.operator


_OFFERS_TOLD = sql(
    select(*cols(journal, "id session_id line_id kind body"))
    .where(
        journal.c.id > bindparam("after"),
        one_of(journal.c.kind, "offered", "transfer", "take", "contact_message"),
        journal.c.session_id.is_not(None),
        journal.c.body.like('%"make_offers"%'),
    )
    .order_by(journal.c.id)
    .limit(bindparam("page"))
)


def _offered_by_page(tx: Tx) -> Iterator[list[_Offered]]:
    """Yield the offers that the journal tells of, page by page."""
    for rows in _pages(lambda after: tx.all(_OFFERS_TOLD, after=after, page=PAGE), 0):
        page = []
        for _, session, line, kind, body in rows:
            told = _OFFERED.decode(body)
            for made in told.decisions:
                if made.do == "make_offers":
                    number = told.after.offer_no if told.after else 0
                    page += [_Offered(session, number, operator, line, kind, told.event.rule) for operator in made.operators]
        yield page


def _offered(tx: Tx) -> Iterator[_Offered]:
    return chain.from_iterable(_offered_by_page(tx))


_OFFERS_OF = over_rows(
    select(*cols(offers, "session_id offer_no operator_id")).where(among(offers.c.session_id)), [offers.c.session_id]
)


def _offers_of_journal(tx: Tx) -> Iterator[str]:
    for page in _offered_by_page(tx):
        kept = set(tx.each(_OFFERS_OF, [(session,) for session in {told.session for told in page}]))
        yield from ("/".join(map(str, told.key)) for told in page if told.key not in kept)


def _offers_of_nobody(tx: Tx) -> Iterator[str]:
    """Yield offers that no distribution made, nor an operator."""
    statement = select(*cols(offers, "id session_id offer_no operator_id")).where(
        not_(exists().where(journal.c.id == offers.c.distribution_id, journal.c.kind == "distribution"))
    )
    if rows := tx.all(adhoc(statement)):
        passed = {told.key for told in _offered(tx) if told.by != "offered"}
        yield from (id_ for id_, *key in rows if tuple(key) not in passed)


def _turns_of_offers(tx: Tx) -> Iterator[str]:
    kept = set(tx.all(adhoc(select(turns.c.line_id, turns.c.operator_id))))
    told = {(told.line, told.operator) for told in _offered(tx) if told.by == "offered" and told.rule != "responsible"}
    yield from (f"{line}/{operator}" for line, operator in sorted(told - kept))


def _budgets_unlike_load(tx: Tx) -> Iterator[str]:
    load: dict[str, tuple[int, int]] = {}
    for state in _states(tx, one_of(sessions.c.status, Status.OFFERED.value, Status.ACTIVE.value, Status.SNOOZED.value)):
        if state.status is not Status.OFFERED and not state.counted:
            continue
        holders = state.offered_to if state.status is Status.OFFERED else (state.operator_id, state.consulted)
        for holder in holders:
            if holder is not None:
                weight, rings = load.get(holder, (0, 0))
                load[holder] = weight + state.weight, rings + (state.load is LoadKind.CALL)
    for operator, *reserved in tx.all(adhoc(select(*cols(budgets, "operator_id reserved calls")))):
        if tuple(reserved) != load.pop(operator, (0, 0)):
            yield operator
    yield from load


def _members_unlike_sessions(tx: Tx) -> Iterator[str]:
    kept = set(tx.all(adhoc(select(session_members.c.session_id, session_members.c.operator_id))))
    with_us = or_(*(sessions.c.state.like(f'%"{who}":%') for who in ("members", "invited", "passed_by")))
    for state in _states(tx, sessions.c.status != Status.CLOSED.value, with_us):
        for operator in {*state.members, *state.invited, *([state.passed_by] if state.passed_by else [])}:
            if (state.id, operator) not in kept:
                yield f"{state.id}/{operator}"
            kept.discard((state.id, operator))
    yield from (f"{session}/{operator}" for session, operator in sorted(kept))


def _missing_timers(tx: Tx) -> Iterator[str]:
    """Yield conversation/name of deadlines that nobody keeps; one that fell due and is not yet decided is kept by its input."""
    statement = select(timers.c.owner_id, timers.c.name).where(timers.c.owner_kind == "conversation")
    kept = set(tx.all(adhoc(statement)))
    undecided = {
        row[0] for row in tx.all(adhoc(select(conversations.c.id).where(conversations.c.input_seq > conversations.c.worked_seq)))
    }
    latest = and_(
        exists().where(conversations.c.id == sessions.c.conversation_id, conversations.c.session_id == sessions.c.id),
        or_(sessions.c.status != Status.CLOSED.value, sessions.c.frozen == 0),
    )
    for state in _states(tx, latest):
        if state.conversation_id in undecided:
            continue
        for name in _deadlines(tx, state):
            if (state.conversation_id, name) not in kept:
                yield f"{state.conversation_id}/{name}"


def _deadlines(tx: Tx, state: _State) -> Iterator[str]:
    match state.status:
        case Status.CLOSED:
            yield "reopen"
        case Status.OFFERED:
            yield "offer"
        case Status.SNOOZED:
            yield "snooze"
        case Status.QUEUED if state.held_until is not None and state.held_until > tx.now:
            yield "round"
        case _:
            pass
    if state.answer_due is not None:
        yield "no_answer"
    if state.kpi_due is not None:
        yield "kpi"
    if state.quiet_until is not None:
        yield "silence"


def _waiting_beside_a_seat(tx: Tx) -> Iterator[str]:
    """Yield sessions that wait although a seat fits them and nobody was told to distribute.

    A session that is held, and a line that is shut or paced, wait for their time. A shift is known to the calendar only: of who has one
    nothing is said.
    """
    marked = {row[0] for row in tx.all(adhoc(select(pool_marks.c.line_id)))}
    fit: dict[str, list[tuple[str, int]]] = {}
    lines_of: dict[str, set[str]] = {}
    for line, operator, free in tx.all(_FREE_SEATS):
        fit.setdefault(line, []).append((operator, free))
        lines_of.setdefault(operator, set()).add(line)
    resting = {row[0] for row in tx.all(_RESTING, now_us=to_us(tx.now))}
    for state in _states(tx, sessions.c.status == Status.QUEUED.value):
        held = state.held_until is not None and state.held_until > tx.now
        if state.rounds_over or held or state.line_id in marked or state.line_id in resting:
            continue
        # Whatever frees a seat marks the line where it was freed; that is a line of the same operator.
        if any(
            free >= state.weight and operator not in state.asked and not lines_of[operator] & marked
            for operator, free in fit.get(state.line_id, ())
        ):
            yield state.id


_FREE_SEATS = sql(
    select(seats.c.line_id, seats.c.operator_id, budgets.c.budget - budgets.c.reserved)
    .join_from(seats, operators, operators.c.id == seats.c.operator_id)
    .join(presence, presence.c.operator_id == operators.c.id)
    .join(budgets, budgets.c.operator_id == operators.c.id)
    .where(operators.c.active == 1, operators.c.hours.is_(None), presence.c.state == PresenceState.ONLINE.value)
)
_RESTING = sql(select(line_state.c.line_id).where(or_(line_state.c.open == 0, line_state.c.paced_until_us > bindparam("now_us"))))


def _served() -> Iterator[Check]:
    later = sessions.alias("later")
    yield Check("sessions", "every session's columns agree with its state", _unlike_their_state)
    yield Check(
        "conversations",
        "every conversation knows its latest session, and an open one is the latest",
        _query(
            select(sessions.c.conversation_id, sessions.c.id)
            .join_from(sessions, conversations, conversations.c.id == sessions.c.conversation_id)
            .where(
                or_(
                    and_(
                        or_(conversations.c.session_id.is_(None), conversations.c.session_id != sessions.c.id),
                        or_(
                            sessions.c.status != Status.CLOSED.value,
                            not_(
                                exists().where(
                                    later.c.id == conversations.c.session_id,
                                    later.c.conversation_id == sessions.c.conversation_id,
                                    later.c.opened_us >= sessions.c.opened_us,
                                )
                            ),
                        ),
                    ),
                    sessions.c.channel_id != conversations.c.channel_id,
                )
            )
        ),
    )
    yield Check(
        "sessions",
        "every session that is held has a holder",
        _query(select(sessions.c.id).where(sessions.c.status == Status.ACTIVE.value, sessions.c.operator_id.is_(None))),
    )
    yield Check("offers", "every open offer is its session's, and every offered session has its offers", _offers_unlike_sessions)
    yield Check("offers", "every offer that the journal tells of exists", _offers_of_journal)
    yield Check(
        "journal",
        "every offer has the distribution that made it, or whoever passed the session on",
        _offers_of_nobody,
        "offers",
    )
    yield Check("turns", "every seat that was offered something has its turn", _turns_of_offers)
    yield Check("budgets", "every budget has reserved what its operator holds and is offered", _budgets_unlike_load)
    yield Check(
        "budgets",
        "every operator has a budget",
        _query(select(operators.c.id).where(not_(exists().where(budgets.c.operator_id == operators.c.id)))),
    )
    yield Check(
        "presence",
        "everybody who was offered something, or whose presence changed, has a presence",
        _query(
            select(operators.c.id).where(
                not_(exists().where(presence.c.operator_id == operators.c.id)),
                or_(
                    exists().where(offers.c.operator_id == operators.c.id),
                    exists().where(journal.c.operator_id == operators.c.id, journal.c.kind == "presence"),
                ),
            )
        ),
    )
    yield Check(
        "session_members",
        "who joined an open session, is invited or is passing it on, is listed, and nobody else",
        _members_unlike_sessions,
    )
    yield Check("timers", "every deadline of a session is kept", _missing_timers)
    yield Check("pool_marks", "nobody waits beside a fit seat without a mark", _waiting_beside_a_seat)


# --- what operators keep for themselves and say of each other's work


class _PinBody(msgspec.Struct):
    session: str
    on: bool


class _ReviewBody(msgspec.Struct):
    session: str
    stars: int
    before: int | None = None


_PIN = msgspec.json.Decoder(_PinBody)
_REVIEW = msgspec.json.Decoder(_ReviewBody)
_PINNED = select(pins.c.operator_id, pins.c.session_id)
_PIN_ROWS = select(journal.c.operator_id, journal.c.body).where(journal.c.kind == "pin").order_by(journal.c.id)
_REVIEWED = select(reviews.c.session_id, reviews.c.stars)
_REVIEW_ROWS = select(journal.c.body).where(journal.c.kind == "review").order_by(journal.c.id)


def _lost_pins(tx: Tx) -> Iterator[str]:
    kept = set(tx.all(adhoc(_PINNED)))
    told: dict[tuple[str, str], bool] = {}
    for operator, body in tx.all(adhoc(_PIN_ROWS)):
        pin = _PIN.decode(body)
        told[operator, pin.session] = pin.on
    yield from ("/".join(place) for place, on in told.items() if on and place not in kept)


def _untold_pins(tx: Tx) -> Iterator[str]:
    """Yield pins whose putting or taking away the journal does not tell of: a session is pinned and unpinned in turn."""
    told: dict[tuple[str, str], bool] = {}
    for operator, body in tx.all(adhoc(_PIN_ROWS)):
        pin = _PIN.decode(body)
        if told.get((operator, pin.session), False) == pin.on:
            yield f"{operator}/{pin.session}"
        told[operator, pin.session] = pin.on
    yield from ("/".join(place) for place in sorted(tx.all(adhoc(_PINNED))) if not told.get(place, False))


def _lost_reviews(tx: Tx) -> Iterator[str]:
    kept: dict[str, int] = dict(tx.all(adhoc(_REVIEWED)))
    told = {review.session: review.stars for review in _reviews_of_journal(tx)}
    yield from (session for session, stars in told.items() if kept.get(session) != stars)


def _untold_reviews(tx: Tx) -> Iterator[str]:
    """Yield reviews that the journal does not tell of: each row names the stars of the one before."""
    told: dict[str, int] = {}
    for review in _reviews_of_journal(tx):
        if told.get(review.session) != review.before:
            yield review.session
        told[review.session] = review.stars
    yield from (session for session, _ in sorted(tx.all(adhoc(_REVIEWED))) if session not in told)


def _reviews_of_journal(tx: Tx) -> Iterator[_ReviewBody]:
    yield from (_REVIEW.decode(body) for (body,) in tx.all(adhoc(_REVIEW_ROWS)))


def _told_by_operators() -> Iterator[Check]:
    yield Check("pins", "every pin that the journal tells of is kept", _lost_pins)
    yield Check("journal", "every pin was told, and its taking away", _untold_pins, "pins")
    yield Check("reviews", "every review that the journal tells of is kept, with its stars", _lost_reviews)
    yield Check("journal", "every review was told, each after the one before", _untold_reviews, "reviews")


# --- contacts


class _ContactBody(msgspec.Struct):
    contact: str
    added: tuple[str, ...] = ()
    moved_from: str | None = None


_CONTACT = msgspec.json.Decoder(_ContactBody)


def _contact_rows(tx: Tx) -> Iterator[_ContactBody]:
    for (body,) in tx.all(adhoc(select(journal.c.body).where(journal.c.kind == "contact").order_by(journal.c.id))):
        yield _CONTACT.decode(body)


def _merges(tx: Tx) -> dict[str, str | None]:
    return dict(tx.all(adhoc(select(contacts.c.id, contacts.c.merged_into))))


def _root(merged: dict[str, str | None], contact: str) -> str:
    seen = {contact}
    while (into := merged.get(contact)) is not None and into not in seen:
        seen.add(into)
        contact = into
    return contact


def _contacts_of_journal(tx: Tx) -> Iterator[str]:
    merged = _merges(tx)
    for told in _contact_rows(tx):
        if told.contact not in merged:
            yield told.contact
        if told.moved_from is not None and _root(merged, told.moved_from) == told.moved_from:
            yield told.moved_from


def _points_of_journal(tx: Tx) -> Iterator[str]:
    """Yield contacts that have fewer phones or e-mails than the journal says were added."""
    merged = _merges(tx)
    missing: dict[tuple[str, str], int] = {}
    for told in _contact_rows(tx):
        for kind in told.added:
            if kind in (PointKind.PHONE.value, PointKind.EMAIL.value):
                place = (_root(merged, told.contact), kind)
                missing[place] = missing.get(place, 0) + 1
    for contact, kind in tx.all(adhoc(select(contact_points.c.contact_id, contact_points.c.kind))):
        if (place := (_root(merged, contact), kind)) in missing:
            missing[place] -= 1
    yield from (f"{contact}/{kind}" for (contact, kind), count in missing.items() if count > 0)


def _sessions_of_other_contacts(tx: Tx) -> Iterator[str]:
    merged = _merges(tx)
    statement = select(sessions.c.id, sessions.c.contact_id, conversations.c.contact_id).join_from(
        sessions, conversations, conversations.c.id == sessions.c.conversation_id
    )
    for session, contact, owner in tx.all(adhoc(statement)):
        if _root(merged, contact) != _root(merged, owner):
            yield session


def _known() -> Iterator[Check]:
    gone = contacts.alias("gone")
    nameless = except_(
        select(conversations.c.contact_id, conversations.c.channel_id),
        select(contact_points.c.contact_id, contact_points.c.scope).where(contact_points.c.kind == PointKind.CHANNEL.value),
    ).subquery("nameless")
    yield Check(
        "contact_points",
        "every conversation's contact has an identity in its channel",
        _query(select(nameless)),
    )
    yield Check("contact_points", "every phone and e-mail that the journal says was added is there", _points_of_journal)
    yield Check("contacts", "every contact that the journal tells of exists, and what was moved is marked", _contacts_of_journal)
    left = union_all(
        select(conversations.c.contact_id).where(
            exists().where(gone.c.id == conversations.c.contact_id, gone.c.merged_into.is_not(None))
        ),
        select(contact_points.c.contact_id).where(
            exists().where(gone.c.id == contact_points.c.contact_id, gone.c.merged_into.is_not(None))
        ),
    ).subquery("left")
    yield Check("contacts", "nothing was left with a contact that was merged", _query(select(left).distinct()))
    yield Check("sessions", "a session and its conversation are of one contact", _sessions_of_other_contacts)


# --- the CRM's side: only what its reader has passed

_Unread = ColumnElement[bool]
"""Of a row of the journal: the CRM's reader has not had it."""


def _unread(tx: Tx) -> _Unread:
    at = position_of(tx, CRM_READER)
    late: list[int] = []
    if at.first_open:
        oldest = min((at.first_open, *at.under_way))
        statement = select(journal.c.id, journal.c.xid).where(journal.c.id <= at.last, journal.c.xid >= oldest)
        late = [row for row, xid in tx.all(adhoc(statement)) if not at.has(row, xid)]
    return or_(journal.c.id > at.last, journal.c.id.in_(late)) if late else journal.c.id > at.last


def _query_of_read(make: Callable[[_Unread], Select[Any]]) -> Callable[[Tx], Iterable[str]]:
    """Return how to find the rows of a statement that goes by what the CRM's reader has had."""
    return lambda tx: _query(make(_unread(tx)), adhoc)(tx)


class _TranscriptLine(msgspec.Struct):
    seq: int
    text: str


class _TranscriptBody(msgspec.Struct):
    messages: tuple[_TranscriptLine, ...]
    more: bool = False


_TRANSCRIPT = msgspec.json.Decoder(_TranscriptBody)


_SAID = sql(
    select(messages.c.seq, messages.c.text)
    .where(
        messages.c.conversation_id == bindparam("conversation"),
        messages.c.seq >= bindparam("first"),
        messages.c.session_id == bindparam("session"),
        messages.c.kind == MessageKind.SAID.value,
    )
    .order_by(messages.c.seq)
    .limit(bindparam("most"))
)


def _wrong_transcripts(tx: Tx) -> Iterator[str]:
    news = exists().where(
        journal.c.conversation_id == sessions.c.conversation_id,
        # A row of the next session too: what was said before that was decided lay with this one.
        journal.c.kind.not_in([literal("fate"), literal("lead")]),
        _unread(tx),
    )
    statement = (
        select(*cols(sessions, "id conversation_id first_seq"), transcripts.c.body)
        .join_from(sessions, transcripts, _of_session())
        .where(sessions.c.status == Status.CLOSED.value, not_(news))
        .order_by(sessions.c.id)
        .limit(PAGE)
    )
    pages = _pages(lambda after: tx.all(adhoc(statement.where(sessions.c.id > after))), "")
    for session, conversation, first_seq, body in chain.from_iterable(pages):
        try:
            transcript = _TRANSCRIPT.decode(body)
        except msgspec.MsgspecError:
            yield session
            continue
        written = [(line.seq, line.text) for line in transcript.messages]
        # One more than it has: whether there is any it says itself.
        said = tx.all(_SAID, conversation=conversation, first=first_seq, session=session, most=len(written) + 1)
        if written != said[: len(written)] or transcript.more != (len(said) > len(written)):
            yield session


class _LeadBody(msgspec.Struct):
    lead: str


_LEAD = msgspec.json.Decoder(_LeadBody)


def _leads_of_journal(tx: Tx) -> dict[str, None]:
    """Return the leads that the journal tells of, in its order."""
    statement = select(journal.c.body).where(journal.c.kind == "lead").order_by(journal.c.id)
    return dict.fromkeys(_LEAD.decode(body).lead for (body,) in tx.all(adhoc(statement)))


def _lost_leads(tx: Tx) -> Iterator[str]:
    kept = set(tx.all(adhoc(select(leads.c.id))))
    yield from (lead for lead in _leads_of_journal(tx) if (lead,) not in kept)


def _untold_leads(tx: Tx) -> Iterator[str]:
    told = _leads_of_journal(tx)
    yield from (lead for (lead,) in tx.all(adhoc(select(leads.c.id).order_by(leads.c.id))) if lead not in told)


def _of_session() -> ColumnElement[bool]:
    return transcripts.c.external_id == literal("session:") + sessions.c.id


_CLOSING = (
    *("close", "silence_due", "spam", "call_ended", "held", "no_answer_due", "ring_ended", "offer_expired", "operator_gone"),
    *("decline", "transfer"),
)
"""Kinds of rows by which a session may close; those after the third close calls."""


def _passed(unread: _Unread, *kinds: str) -> ColumnElement[bool]:
    return exists().where(
        journal.c.conversation_id == sessions.c.conversation_id,
        journal.c.session_id == sessions.c.id,
        one_of(journal.c.kind, *kinds),
        journal.c.status == Status.CLOSED.value,
        not_(unread),
    )


def _bridged() -> Iterator[Check]:
    yield Check("journal", "every lead has its row in the journal", _untold_leads, "leads")
    yield Check("leads", "every lead that the journal tells of exists", _lost_leads)
    yield Check(
        "transcripts",
        "every closed session has its transcript",
        _query_of_read(
            lambda unread: select(sessions.c.id).where(
                sessions.c.status == Status.CLOSED.value,
                _passed(unread, *_CLOSING),
                not_(exists().where(_of_session())),
            )
        ),
    )
    yield Check(
        "transcripts",
        "the transcript of a session that cannot open again is frozen",
        _query_of_read(
            lambda unread: (
                select(sessions.c.id)
                .join_from(sessions, transcripts, _of_session())
                .where(sessions.c.frozen == 1, _passed(unread, "reopen_ended"), transcripts.c.frozen == 0)
            )
        ),
    )
    yield Check("transcripts", "every transcript says what was said", _wrong_transcripts)
    yield Check(
        "transcripts",
        "every transcript of a contact with a lead is with that lead",
        _query(
            select(transcripts.c.external_id)
            .join_from(transcripts, leads, leads.c.contact_id == transcripts.c.contact_id)
            .where(leads.c.stage != MERGED, transcripts.c.lead_id.is_(None))
        ),
    )
    passed = select(readers.c.cursor).where(readers.c.name == CRM_READER).scalar_subquery()
    kept = union_all(select(leads.c.id.label("id")), select(transcripts.c.external_id)).subquery("kept")
    yield Check(
        "readers",
        "whoever has kept something has a cursor",
        _query(select(literal(CRM_READER)).where(exists(select(kept.c.id)), func.coalesce(passed, 0) == 0)),
    )
    ahead = select(readers.c.name).where(readers.c.cursor > select(func.coalesce(func.max(journal.c.id), 0)).scalar_subquery())
    yield Check("readers", "no reader is ahead of the journal", _query(ahead))
    fence = select(func.coalesce(func.max(outbox.c.fence), 0)).scalar_subquery()
    known = select(func.coalesce(func.max(counters.c.value), 0)).where(counters.c.name == "fence").scalar_subquery()
    yield Check("counters", "no sending has a fence that was never given", _query(select(fence).where(fence > known)))


def _without_lead(unread: _Unread) -> Select[Any]:
    news = exists().where(
        journal.c.conversation_id == conversations.c.id,
        one_of(journal.c.kind, "contact", "contact_message", "take", "close"),
        unread,
    )
    return (
        select(conversations.c.contact_id)
        .join_from(conversations, sessions, sessions.c.id == conversations.c.session_id)
        .join(lines, lines.c.id == sessions.c.line_id)
        .where(
            not_(lines.c.settings.like('%"lead_rule":"nothing"%')),
            exists().where(contact_points.c.contact_id == conversations.c.contact_id, contact_points.c.scope == ""),
            not_(exists().where(leads.c.contact_id == conversations.c.contact_id)),
            not_(news),
        )
        .distinct()
    )


def _telephoned() -> Iterator[Check]:
    of_call = calls.c.conversation_id == messages.c.conversation_id
    yield Check(
        "calls",
        "every call that came is known to the telephone",
        _query(
            select(messages.c.conversation_id).where(
                messages.c.kind == MessageKind.CALL.value, not_(exists(select(calls.c.conversation_id).where(of_call)))
            )
        ),
    )
    yield Check(
        "calls",
        "no session waits or talks whose call is over",
        _query(
            select(sessions.c.id)
            .join_from(calls, conversations, conversations.c.id == calls.c.conversation_id)
            .join(sessions, sessions.c.id == conversations.c.session_id)
            .where(
                calls.c.ended_us.is_not(None),
                sessions.c.status != Status.CLOSED.value,
                conversations.c.worked_seq >= conversations.c.input_seq,
            )
        ),
    )


CHECKS: tuple[Check, ...] = (
    *_stored(),
    *_routed(),
    *_answered(),
    *_served(),
    *_told_by_operators(),
    *_telephoned(),
    *_known(),
    *_bridged(),
    *_references(),
)
"""Every promise, in the order of a message's way; references last."""

WAITING: tuple[Check, ...] = (
    Check(
        "inputs",
        "waiting to be routed",
        _query(
            select(inputs.c.conversation_id, inputs.c.seq)
            .join_from(inputs, conversations, conversations.c.id == inputs.c.conversation_id)
            .where(inputs.c.seq > conversations.c.worked_seq)
        ),
    ),
    Check("inputs", "dead letters", _query(select(inputs.c.id).where(inputs.c.dead.is_not(None)))),
    Check("outbox", "waiting to be sent", _query(select(outbox.c.id).where(one_of(outbox.c.state, "queued", "sending")))),
    Check(
        "outbox",
        "failed or unconfirmed: an operator decides",
        _query(select(outbox.c.id).where(one_of(outbox.c.state, "failed", "unconfirmed"))),
    ),
    Check(
        "journal",
        "news that the CRM has not read",
        _query_of_read(lambda unread: select(journal.c.id).where(unread).order_by(journal.c.id)),
    ),
    Check(
        "leads",
        "contacts one could call or write to, in a line that makes leads, without a lead: made before the line did, or lost",
        _query_of_read(_without_lead),
    ),
    Check(
        "seats",
        "a turn without a seat: somebody was unseated, or the row of the seat was lost",
        _query(
            select(turns.c.line_id, turns.c.operator_id).where(
                not_(exists().where(seats.c.line_id == turns.c.line_id, seats.c.operator_id == turns.c.operator_id))
            )
        ),
    ),
)
"""What is listed and is no fault."""
