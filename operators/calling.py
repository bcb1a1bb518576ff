"""Calls that people of the house have made: a click on a number, and a call that somebody is promised.

They are entered like what comes from customers, and the engine decides about them as about those. What can be seen to be wrong is
refused at once, with the codes of operators.deeds.SENTENCES; a wish that is said again under its id is accepted again and done once.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, select

from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import ConversationId, Directory, Line, LineId, LoadKind
from broker.errors import BadInput, Forbidden
from broker.events import Codec, ContactMessage, Event
from broker.inbound import is_banned_at, points
from broker.ports import Tx
from broker.store.sql import cols, sql
from broker.store.tables import budgets, inputs, messages
from broker.web.wiring import CallsOut
from operators import threads
from operators.cards import Watched
from operators.deeds import Refusal, dialled

DAYS_MAX = 30
"""How far ahead a call may be promised."""

_BUDGET = sql(select(*cols(budgets, "budget reserved calls")).where(budgets.c.operator_id == bindparam("operator")))
_STORED = sql(
    select(*cols(inputs, "conversation_id seq event")).where(
        inputs.c.origin == bindparam("channel"), inputs.c.external_id == bindparam("external")
    )
)
_NUMBER = sql(
    select(messages.c.text).where(messages.c.conversation_id == bindparam("conversation"), messages.c.seq == bindparam("seq"))
)


@dataclass(frozen=True, slots=True)
class Wish:
    """A call that somebody wants to be made. *id* is their own, unique among the operator's."""

    id: str
    number: str
    """As people write it."""
    line: str = ""
    """From where; empty: from the line of *session* if that can be, else from the first of theirs."""
    session: str = ""
    """The customer's, and so is *contact*: whom it is about."""
    contact: str = ""
    name: str = ""
    """The customer's, for one who is not known yet."""
    now: bool = False
    """By their own phone, at once."""
    mine: bool = False
    """By themselves if they can."""
    at: datetime | None = None
    """None: as soon as somebody can."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The call is entered."""

    conversation: ConversationId | None
    line: LineId
    number: str
    """As it is dialled."""
    fresh: bool = True
    """It had not been before."""


def calls_from(out: CallsOut | None) -> AbstractSet[LineId]:
    """Return the lines from which can be called; none: there is no telephone."""
    return out.lines() if out is not None else frozenset()


def has_phone(actor: Actor, directory: Directory) -> bool:
    """Return whether calls can ring at *actor*."""
    person = directory.operators.get(actor.operator_id)
    return person is not None and person.phone != ""


def lines_of(actor: Actor, directory: Directory, can: AbstractSet[LineId]) -> list[Line]:
    """Return those of the lines *can* that are the actor's, by name."""
    theirs = [line for id_, line in directory.lines.items() if id_ in can and actor.sees(id_)]
    return sorted(theirs, key=lambda line: (line.name.casefold(), line.id))


def enter(tx: Tx, actor: Actor, wish: Wish, out: CallsOut | None, directory: Directory) -> Asked:
    """Enter the call.

    Raises Refusal: no_telephone, no_number, not_your_line, bad_number, bad_time, banned, no_phone, on_phone, full, id_used. Raises NotFound
    for a session or a contact that the actor may not see.
    """
    external_id = f"{actor.operator_id}:{wish.id}"
    # What was accepted stays accepted, however all has changed since.
    if (before := _stored(tx, actor, wish, external_id, directory)) is not None:
        return before
    can = calls_from(out)
    if out is None or not can:
        raise Refusal("no_telephone")
    watched = threads.seen_session(tx, actor, wish.session) if wish.session else None
    about = wish.contact or (watched.contact if watched is not None else "")
    contact = threads.seen_contact(tx, actor, about) if about else None
    line = _line(actor, wish, watched, directory, can)
    number = _as_dialled(wish.number, line.settings.region)
    if (contact is not None and contact.banned) or is_banned_at(tx, number):
        raise Refusal("banned")
    due = _due(tx, wish)
    _refuse_without_phone(tx, actor, wish, line, directory)
    try:
        conversation = out.ask(
            tx,
            line.id,
            external_id,
            number,
            due,
            customer=wish.name or (contact.name if contact is not None else ""),
            by=actor.operator_id if wish.now or wish.mine else None,
            now=wish.now,
        )
    except BadInput as problem:
        raise Refusal("no_number" if problem.field == "line_id" else "bad_number") from None
    return Asked(conversation, line.id, number)


def _stored(tx: Tx, actor: Actor, wish: Wish, external_id: str, directory: Directory) -> Asked | None:
    """Return what was entered under this id before. Raises Refusal: id_used."""
    for channel in directory.channels.values():
        row = tx.one(_STORED, channel=channel.id, external=external_id)
        if row is None:
            continue
        conversation, seq, encoded = row
        event = Codec.decode(encoded)
        line = directory.lines[channel.line_id]
        number = _as_dialled(wish.number, line.settings.region)
        called = tx.one(_NUMBER, conversation=conversation, seq=seq)
        if called is None or called[0] != number or not _is(actor, wish, event):
            raise Refusal("id_used")  # accepted, it would be lost without a word
        return Asked(ConversationId(conversation), line.id, number, fresh=False)
    return None


def _is(actor: Actor, wish: Wish, event: Event) -> bool:
    if not isinstance(event, ContactMessage):
        return False
    by = actor.operator_id if wish.now or wish.mine else None
    return (event.now, event.operator_id) == (wish.now, by) and wish.at in (None, event.due)


def _line(actor: Actor, wish: Wish, watched: Watched | None, directory: Directory, can: AbstractSet[LineId]) -> Line:
    if wish.line:
        line = directory.lines.get(LineId(wish.line))
        try:
            authorize(actor, Action.START_SESSION, Thing(line.id if line is not None else None))
        except Forbidden:
            raise Refusal("not_your_line") from None
        if line is None or line.id not in can:
            raise Refusal("no_number")
        return line
    theirs = lines_of(actor, directory, can)
    if not theirs:
        raise Refusal("no_telephone")
    return next((line for line in theirs if watched is not None and line.id == watched.where.line_id), theirs[0])


def _as_dialled(written: str, region: str) -> str:
    """Return the number in E.164 where it can be; *region* is where one without its country's code is from. Raises Refusal: bad_number."""
    bare = dialled(written)
    try:
        return points.phone(bare, region)
    except BadInput:
        return bare  # of the house, or of a town


def _due(tx: Tx, wish: Wish) -> datetime:
    if wish.at is None:
        return tx.now
    if not tx.now <= wish.at <= tx.now + timedelta(days=DAYS_MAX):
        raise Refusal("bad_time")
    return wish.at.astimezone(UTC)


def _refuse_without_phone(tx: Tx, actor: Actor, wish: Wish, line: Line, directory: Directory) -> None:
    if not (wish.now or wish.mine):
        return
    if not has_phone(actor, directory):
        raise Refusal("no_phone")
    budget, reserved, calls = tx.one(_BUDGET, operator=actor.operator_id) or (0, 0, 0)
    if wish.now and calls:
        raise Refusal("on_phone")
    if wish.now and reserved + line.settings.weights.of(LoadKind.CALL) > budget:
        raise Refusal("full")
