"""REST of sessions and who is in them: lists, threads and what nobody knows to have arrived. `/api/v1`.

Every query is bounded by the lines its asker may see, and by what they hold; anything else does not exist for them (404). What is
done to a session is in operators.deeds_rest.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import bindparam, select, tuple_

from broker.access.authorize import Action, Actor
from broker.domain import Status, from_us
from broker.ports import Tx
from broker.store import directory
from broker.store.sql import cols, sql
from broker.store.tables import channels, messages, outbox
from broker.web.wiring import May, StoreOf
from operators import cards, contacts, threads
from operators.cards import Watched
from operators.frames import Box, Card, Contact, Point
from operators.rest import absent
from operators.threads import SHOWN_COLUMNS

__all__ = ["routes"]

routes = APIRouter(prefix="/api/v1", tags=["sessions"])

UNCONFIRMED_PAGE = 100

_MESSAGES = sql(
    select(*cols(messages, SHOWN_COLUMNS))
    .where(
        messages.c.conversation_id == bindparam("conversation"),
        messages.c.session_id == bindparam("session"),
        messages.c.seq > bindparam("after"),
    )
    .order_by(messages.c.seq)
    .limit(threads.PAGE + 1)
)
_UNCONFIRMED = sql(
    select(
        *cols(outbox, "id created_us conversation_id problem"),
        channels.c.line_id,
        messages.c.id,
        messages.c.seq,
        messages.c.session_id,
        messages.c.text,
    )
    .select_from(outbox)
    .join(channels, channels.c.id == outbox.c.channel_id)
    .join(messages, (messages.c.conversation_id == outbox.c.conversation_id) & (messages.c.seq == outbox.c.seq))
    .where(
        outbox.c.state == "unconfirmed",
        tuple_(outbox.c.created_us, outbox.c.id) > tuple_(bindparam("after_us"), bindparam("after_id")),
    )
    .order_by(outbox.c.created_us, outbox.c.id)
    .limit(UNCONFIRMED_PAGE + 1)
)

Cursor = Annotated[str | None, Query(max_length=200, description="The `next_cursor` of the page before.")]
Number = Annotated[int, Query(ge=0, le=2**53, description="The `next_cursor` of the page before.")]


class SessionOut(BaseModel):
    """One session as its asker sees it."""

    id: str
    conversation_id: str
    line_id: str
    line_name: str
    channel: Annotated[str, Field(description="The channel's kind.")]
    status: Status
    contact_id: str
    contact_name: str
    operator_id: str | None
    operator_name: str
    opened_at: datetime
    queued_at: datetime | None
    closed_at: datetime | None
    offered_until: Annotated[datetime | None, Field(description="To you.")]
    unanswered_since: datetime | None
    last_text: str
    last_what: str
    last_author: str
    outcome: str


class SessionDetail(SessionOut):
    """One session with who is in it and what its customer said of it."""

    members: Annotated[list[str], Field(description="Colleagues who joined.")]
    invited: list[str]
    passed_by: Annotated[str | None, Field(description="Who passed it to the colleague to whom it is offered.")]
    snoozed_until: datetime | None
    rating: Annotated[Literal["good", "bad"] | None, Field(description="The customer's.")]


class SessionPage(BaseModel):
    """A page; narrowed, it may be short or empty and still have a next one."""

    items: list[SessionOut]
    next_cursor: str | None


class MessageOut(BaseModel):
    """One message of a session; a note never reaches the customer, and the text of a call is the caller's number."""

    id: str
    seq: int
    author: Literal["contact", "operator", "system"]
    kind: Literal["said", "note", "call"]
    text: str
    at: datetime
    fate: str
    problem: str
    operator_id: str | None
    extra: Annotated[
        dict[str, Any] | None,
        Field(
            description="What it has beside its words: files, what it answers, a place, what it said before (docs/integrators.md)."
        ),
    ]


class MessagePage(BaseModel):
    items: list[MessageOut]
    next_cursor: int | None


class PointOut(BaseModel):
    """A way to reach a contact. In a channel it says which, and *value* is a name that people use there, mostly empty."""

    kind: str
    value: str
    evidence: str
    channel: str | None
    channel_name: str | None


class AlikeOut(BaseModel):
    """Another contact who may be the same person: what both have, and how that came."""

    id: str
    name: str
    kind: Literal["phone", "email"]
    value: str
    evidence: str


class ContactOut(BaseModel):
    """A person, with the latest sessions you may see."""

    id: str
    name: str
    language: str
    points: list[PointOut]
    responsible_id: str | None
    banned: Annotated[bool, Field(description="What they write opens no session.")]
    priority: Annotated[int, Field(description="Added to the line's, for sessions that open from now on.")]
    since: datetime
    avatar: Annotated[bool, Field(description="There is a picture of them.")]
    alike: Annotated[list[AlikeOut], Field(description="Who may be the same person, at most 5.")]
    sessions: list[SessionOut]


class ContactChange(BaseModel):
    """What is to be another; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    responsible_id: Annotated[UUID | None, Field(description="Who is asked first; null: nobody.")] = absent()
    banned: Annotated[bool, Field(strict=True)] = absent()
    priority: Annotated[int, Field(ge=-100, le=100, strict=True)] = absent()


class UnconfirmedOut(BaseModel):
    """A message that left and of which nobody knows whether it arrived."""

    message_id: str
    session_id: str | None
    conversation_id: str
    seq: int
    text: str
    problem: str
    queued_at: datetime


class UnconfirmedPage(BaseModel):
    items: list[UnconfirmedOut]
    next_cursor: str | None


# --- looking


@routes.get("/sessions")
async def list_sessions(
    store: StoreOf,
    actor: Annotated[Actor, May(Action.READ_SESSIONS)],
    box: Box = "all",
    line: UUID | None = None,
    status: Status | None = None,
    contact: UUID | None = None,
    cursor: Cursor = None,
) -> SessionPage:
    """Sessions: yours, those who wait (highest priority first, then oldest), or all (latest opened first).

    `calls`: those under way, at most 200. `missed`: calls that nobody answered and whose callers were not spoken with since.
    """
    if line is not None and not actor.sees(str(line)):
        return SessionPage(items=[], next_cursor=None)

    def read(tx: Tx) -> SessionPage:
        known = directory.load(tx)
        seen = cards.lines_of(actor, known) if line is None else [str(line)]
        following: str | None = None
        if box == "mine":
            found = cards.mine(tx, actor.operator_id)
        elif box == "waiting":
            found, following = cards.waiting(tx, seen, cursor)
        elif box == "calls":
            found = cards.under_way(tx, seen)
        elif box == "missed":
            found, following = cards.missed(tx, seen, cursor)
        else:
            everything = actor.lines is None and line is None
            found, following = cards.opened(
                tx,
                None if everything else seen,
                cursor,
                status=status.value if status is not None else None,
                contact=str(contact) if contact is not None else None,
            )
        wanted = [one for one in found if _wanted(one, line, status, contact)]
        return SessionPage(items=[_session(one.card_for(actor, known)) for one in wanted], next_cursor=following)

    return await store.read(read)


def _wanted(one: Watched, line: UUID | None, status: Status | None, contact: UUID | None) -> bool:
    return (
        (line is None or one.where.line_id == str(line))
        and (status is None or one.where.status == status.value)
        and (contact is None or one.contact == str(contact))
    )


@routes.get("/sessions/{session_id}")
async def read_session(session_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.READ_SESSIONS)]) -> SessionDetail:
    """One session."""
    card = await store.read(lambda tx: threads.seen_session(tx, actor, str(session_id)).card_for(actor, directory.load(tx)))
    return SessionDetail(
        **_session(card).model_dump(),
        members=list(card.members),
        invited=list(card.invited),
        passed_by=card.passed_by or None,
        snoozed_until=_maybe(card.snoozed_until),
        rating=card.rating or None,  # type: ignore[arg-type]  # the frames' word for none is an empty text
    )


@routes.get("/sessions/{session_id}/messages")
async def list_messages(
    session_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.READ_SESSIONS)], cursor: Number = 0
) -> MessagePage:
    """The session's messages and notes, oldest first."""

    def read(tx: Tx) -> MessagePage:
        watched = threads.seen_session(tx, actor, str(session_id))
        rows = tx.all(_MESSAGES, conversation=watched.conversation, session=watched.session, after=cursor)
        found = [_message(*row) for row in rows[: threads.PAGE]]
        return MessagePage(items=found, next_cursor=found[-1].seq if len(rows) > threads.PAGE else None)

    return await store.read(read)


@routes.get("/contacts/{contact_id}", tags=["contacts"])
async def read_contact(contact_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.READ_CONTACTS)]) -> ContactOut:
    """One person, as far as you have to do with them."""
    return _contact(await store.read(lambda tx: threads.contact(tx, actor, str(contact_id), directory.load(tx))))


@routes.patch("/contacts/{contact_id}", tags=["contacts"])
async def change_contact(
    contact_id: UUID, wanted: ContactChange, store: StoreOf, actor: Annotated[Actor, May(Action.CHANGE_CONTACTS)]
) -> ContactOut:
    """Change whose customer somebody is, whether they are banned, and how soon they are served."""
    # The settings before and the answer after it: the one writer is kept for the change alone.
    known = await store.read(directory.load)
    await store.write(lambda tx: contacts.change(tx, actor, str(contact_id), known, **wanted.model_dump(exclude_unset=True)))
    return _contact(await store.read(lambda tx: threads.contact(tx, actor, str(contact_id), known)))


@routes.post("/contacts/{contact_id}/duplicates/{other_id}/join", tags=["contacts"])
async def join_contacts(
    contact_id: UUID, other_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.CHANGE_CONTACTS)]
) -> ContactOut:
    """Let two contacts be one person: the one known longer has everything from now on, and is answered."""
    kept = await store.write(lambda tx: contacts.join(tx, actor, str(contact_id), str(other_id)))
    return _contact(await store.read(lambda tx: threads.contact(tx, actor, kept, directory.load(tx))))


@routes.delete("/contacts/{contact_id}/duplicates/{other_id}", status_code=204, tags=["contacts"])
async def part_contacts(
    contact_id: UUID, other_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.CHANGE_CONTACTS)]
) -> None:
    """Remember that two contacts are two people, whatever both wrote."""
    await store.write(lambda tx: contacts.part(tx, actor, str(contact_id), str(other_id)))


# --- what is in doubt


@routes.get("/unconfirmed")
async def list_unconfirmed(
    store: StoreOf, actor: Annotated[Actor, May(Action.READ_SESSIONS)], cursor: Cursor = None
) -> UnconfirmedPage:
    """Messages in doubt, the oldest first; a page may hold fewer than others."""
    after_us, after_id = cards.mark(cursor, 1) if cursor else (-1, "")

    def read(tx: Tx) -> UnconfirmedPage:
        rows = tx.all(_UNCONFIRMED, after_us=after_us, after_id=after_id)
        page = rows[:UNCONFIRMED_PAGE]
        return UnconfirmedPage(
            items=[_unconfirmed(*row) for row in page if actor.sees(row[4])],
            next_cursor=f"{page[-1][1]}.{page[-1][0]}" if len(rows) > UNCONFIRMED_PAGE else None,
        )

    return await store.read(read)


def _unconfirmed(
    row_id: str,
    created_us: int,
    conversation: str,
    problem: str,
    line: str,
    message: str,
    seq: int,
    session: str | None,
    text: str,
) -> UnconfirmedOut:
    return UnconfirmedOut(
        message_id=message,
        session_id=session,
        conversation_id=conversation,
        seq=seq,
        text=text,
        problem=problem,
        queued_at=from_us(created_us),
    )


# --- as JSON


def _contact(found: Contact) -> ContactOut:
    return ContactOut(
        id=found.id,
        name=found.name,
        language=found.language,
        points=[_point(point) for point in found.points],
        responsible_id=found.responsible or None,
        banned=found.banned,
        priority=found.priority,
        since=_at(found.since),
        avatar=found.avatar,
        alike=[AlikeOut(**msgspec.to_builtins(one)) for one in found.alike],
        sessions=[_session(card) for card in found.earlier],
    )


def _point(point: Point) -> PointOut:
    return PointOut(
        kind=point.kind,
        value=point.value,
        evidence=point.evidence,
        channel=point.channel or None,
        channel_name=point.channel_name or None,
    )


def _session(card: Card) -> SessionOut:
    return SessionOut(
        id=card.session,
        conversation_id=card.conversation,
        line_id=card.line,
        line_name=card.line_name,
        channel=card.channel,
        status=Status(card.status),
        contact_id=card.contact,
        contact_name=card.contact_name,
        operator_id=card.operator or None,
        operator_name=card.operator_name,
        opened_at=_at(card.opened),
        queued_at=_maybe(card.queued),
        closed_at=_maybe(card.closed),
        offered_until=_maybe(card.offered_until),
        unanswered_since=_maybe(card.unanswered),
        last_text=card.last_text,
        last_what=card.last_what,
        last_author=card.last_who,
        outcome=card.outcome,
    )


def _message(
    id_: str,
    seq: int,
    kind: Any,
    author: Any,
    operator: str | None,
    text: str,
    client_id: str,
    fate: str,
    problem: str,
    at_us: int,
    session: str | None,
    extra: str | None,
) -> MessageOut:
    return MessageOut(
        id=id_,
        seq=seq,
        author=author,
        kind=kind,
        text=text,
        at=from_us(at_us),
        fate=fate,
        problem=problem,
        operator_id=operator,
        extra=msgspec.to_builtins(threads.shown_extra(extra)) if extra is not None else None,
    )


def _at(at_ms: int) -> datetime:
    return from_us(at_ms * 1000)


def _maybe(at_ms: int) -> datetime | None:
    return _at(at_ms) if at_ms else None
