"""REST of sessions: lists, threads, deeds, why an offer was made, and what nobody knows to have arrived. `/api/v1`.

Every query is bounded by the lines its asker may see, and by what they hold; anything else does not exist for them (404). A deed
goes the same way as one from the console: 202 means that it is stored, and what comes of it shows in the session.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import bindparam, select, tuple_

from broker.access.authorize import Action, Actor
from broker.domain import Status, from_us
from broker.errors import BadInput, Conflict, Forbidden, NotFound
from broker.ports import Store, Tx
from broker.store import directory
from broker.store.sql import cols, sql
from broker.store.tables import channels, journal, messages, offers, outbox
from broker.web.wiring import May, StoreOf
from operators import cards, deeds, threads
from operators.cards import Watched
from operators.deeds import Deed, Refusal, Stored, sentence
from operators.frames import Card, Point
from operators.threads import SHOWN_COLUMNS

__all__ = ["routes"]

routes = APIRouter(prefix="/api/v1", tags=["sessions"])

OFFERS_MAX = 200
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
_OFFERS = sql(
    select(*cols(offers, "offer_no operator_id state made_us until_us ended_us"), journal.c.body)
    .select_from(offers)
    .outerjoin(journal, journal.c.id == offers.c.distribution_id)
    .where(offers.c.session_id == bindparam("session"))
    .order_by(offers.c.offer_no.desc(), offers.c.operator_id)
    .limit(OFFERS_MAX)
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
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[A-Za-z0-9_-]{8,64}$",
        description="Your own id of the deed: sent again, it is done once. Or send it as `id`.",
    ),
]
DeedId = Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")]


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
    last_author: str
    outcome: str


class SessionPage(BaseModel):
    """A page; narrowed, it may be short or empty and still have a next one."""

    items: list[SessionOut]
    next_cursor: str | None


class MessageOut(BaseModel):
    """One message of a session; a note never reaches the customer."""

    id: str
    seq: int
    author: Literal["contact", "operator", "system"]
    kind: Literal["said", "note"]
    text: str
    at: datetime
    fate: str
    problem: str
    operator_id: str | None


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


class ContactOut(BaseModel):
    """A person, with the latest sessions you may see."""

    id: str
    name: str
    language: str
    points: list[PointOut]
    responsible_id: str | None
    since: datetime
    sessions: list[SessionOut]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: DeedId = None


class Words(_In):
    text: str


class Ending(_In):
    outcome: Annotated[str, Field(max_length=100)] = ""


class DeedStored(BaseModel):
    """The deed is stored. *refused*: it was sent before, and has been decided against since."""

    id: str
    seq: int
    refused: str


class ReasonOut(BaseModel):
    operator_id: str
    why: Annotated[str, Field(description="chosen, inactive, offline, away, full, asked, later")]


class OfferOut(BaseModel):
    """One offer, and every seat that was considered."""

    offer_no: int
    operator_id: str
    state: Annotated[str, Field(description="open, taken, declined, ran_out, withdrawn")]
    made_at: datetime
    until: datetime
    ended_at: datetime | None
    reasons: list[ReasonOut]


class Routing(BaseModel):
    offers: Annotated[list[OfferOut], Field(description=f"The latest first, at most {OFFERS_MAX}.")]


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
    box: Literal["mine", "waiting", "all"] = "all",
    line: UUID | None = None,
    status: Status | None = None,
    contact: UUID | None = None,
    cursor: Cursor = None,
) -> SessionPage:
    """Sessions: yours, those who wait (highest priority first, then oldest), or all (latest opened first)."""
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
async def read_session(session_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.READ_SESSIONS)]) -> SessionOut:
    """One session."""
    card = await store.read(lambda tx: threads.seen_session(tx, actor, str(session_id)).card_for(actor, directory.load(tx)))
    return _session(card)


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
    found = await store.read(lambda tx: threads.contact(tx, actor, str(contact_id), directory.load(tx)))
    return ContactOut(
        id=found.id,
        name=found.name,
        language=found.language,
        points=[_point(point) for point in found.points],
        responsible_id=found.responsible or None,
        since=_at(found.since),
        sessions=[_session(card) for card in found.earlier],
    )


# --- doing


@routes.post("/sessions/{session_id}/take", status_code=202)
async def take(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.TAKE_SESSION)],
    wanted: _In | None = None,
    key: Key = None,
) -> DeedStored:
    """Take a session that is offered to you or waits in a line of yours."""
    return await _do(store, actor, session_id, "take", key, wanted)


@routes.post("/sessions/{session_id}/decline", status_code=202)
async def decline(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.TAKE_SESSION)],
    wanted: _In | None = None,
    key: Key = None,
) -> DeedStored:
    """Pass on what is offered to you."""
    return await _do(store, actor, session_id, "decline", key, wanted)


@routes.post("/sessions/{session_id}/reply", status_code=202)
async def reply(
    session_id: UUID, wanted: Words, store: StoreOf, actor: Annotated[Actor, May(Action.ANSWER_SESSION)], key: Key = None
) -> DeedStored:
    """Write to the customer; what waits, or is offered to you, is taken by it."""
    return await _do(store, actor, session_id, "reply", key, wanted, text=wanted.text)


@routes.post("/sessions/{session_id}/note", status_code=202)
async def note(
    session_id: UUID, wanted: Words, store: StoreOf, actor: Annotated[Actor, May(Action.NOTE_SESSION)], key: Key = None
) -> DeedStored:
    """Write to colleagues only."""
    return await _do(store, actor, session_id, "note", key, wanted, text=wanted.text)


@routes.post("/sessions/{session_id}/close", status_code=202)
async def close(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.CLOSE_SESSION)],
    wanted: Ending | None = None,
    key: Key = None,
) -> DeedStored:
    """End the session."""
    return await _do(store, actor, session_id, "close", key, wanted, outcome=wanted.outcome if wanted is not None else "")


async def _do(
    store: Store, actor: Actor, session_id: UUID, verb: deeds.Verb, key: str | None, wanted: _In | None, **words: str
) -> DeedStored:
    id_ = key or (wanted.id if wanted is not None else None)
    if id_ is None:
        raise BadInput("send your own id of the deed: the header Idempotency-Key, or `id`", field="id")
    try:
        deed: Deed = deeds.deed(id_, str(session_id), verb, **words)
        stored: Stored = await deeds.do(store, actor, deed)
    except Refusal as refusal:
        raise _refused(refusal.code, actor.language) from None
    return DeedStored(id=id_, seq=stored.seq, refused=stored.refused)


def _refused(code: str, language: str) -> Exception:
    text = sentence(code, language)
    match code:
        case "no_session":
            return NotFound(text)
        case "not_yours":
            return Forbidden(text)
        case "closed":
            return Conflict(text)
        case "id_used":
            return Conflict(text, code=code)
        case _:
            return BadInput(text, field="text", code=code)


# --- why, and what is in doubt


class _Offer(msgspec.Struct):
    session_id: str
    reasons: tuple[tuple[str, str], ...]


class _Result(msgspec.Struct):
    offers: tuple[_Offer, ...]


class _Distribution(msgspec.Struct):
    result: _Result


@routes.get("/sessions/{session_id}/routing")
async def read_routing(session_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.READ_SESSIONS)]) -> Routing:
    """Why it was offered to whom: every seat that was considered, and why it was passed over."""

    def read(tx: Tx) -> Routing:
        watched = threads.seen_session(tx, actor, str(session_id))
        return Routing(offers=[_offer(watched.session, *row) for row in tx.all(_OFFERS, session=watched.session)])

    return await store.read(read)


def _offer(
    session: str, offer_no: int, operator: str, state: str, made_us: int, until_us: int, ended_us: int | None, body: str | None
) -> OfferOut:
    made = msgspec.json.decode(body, type=_Distribution).result.offers if body is not None else ()
    reasons = next((one.reasons for one in made if one.session_id == session), ())
    return OfferOut(
        offer_no=offer_no,
        operator_id=operator,
        state=state,
        made_at=from_us(made_us),
        until=from_us(until_us),
        ended_at=from_us(ended_us) if ended_us is not None else None,
        reasons=[ReasonOut(operator_id=one, why=why) for one, why in reasons],
    )


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
) -> MessageOut:
    return MessageOut(
        id=id_, seq=seq, author=author, kind=kind, text=text, at=from_us(at_us), fate=fate, problem=problem, operator_id=operator
    )


def _at(at_ms: int) -> datetime:
    return from_us(at_ms * 1000)


def _maybe(at_ms: int) -> datetime | None:
    return _at(at_ms) if at_ms else None
