"""REST of calls: what is known of a session's call, and its recordings; calls that are to be made. `/api/v1`.

Who may see a session sees what is known of its call; its recordings hear whoever has it, and supervisors. A call is made from lines of
one's own; what is refused is said in the asker's language, with the codes of operators.deeds.SENTENCES.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter
from fastapi.responses import FileResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import bindparam, select

from broker import metrics
from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import NAME_MAX, LineId, OperatorId, from_us
from broker.errors import Forbidden, NotFound
from broker.ports import Row, Tx
from broker.store import directory
from broker.store.sql import cols, sql
from broker.store.tables import calls, sessions
from broker.web.wiring import May, Parts, PartsOf, StoreOf
from operators import calling, deeds, threads
from operators.calling import Asked, Wish
from operators.cards import Watched
from operators.deeds import Refusal
from operators.deeds_rest import DeedId, Key, id_of, problem
from operators.frames import Talk

__all__ = ["routes"]

routes = APIRouter(prefix="/api/v1", tags=["calls"])

_CALL = sql(
    select(*cols(calls, "number called came_us talk_us talk_ended_us recording voicemail problem"), sessions.c.state)
    .join_from(calls, sessions, sessions.c.conversation_id == calls.c.conversation_id)
    .where(sessions.c.id == bindparam("session"))
)


class CallOut(BaseModel):
    """What is known of a call."""

    number: Annotated[str, Field(description="The customer's, E.164 where it can be; empty: withheld.")]
    called: str
    came_at: Annotated[datetime, Field(description="Of one that we make: when it was asked for.")]
    talk_at: Annotated[
        datetime | None,
        Field(
            description="When an operator's phone was lifted; the recording begins there. Of one that we make: and then the customer's."
        ),
    ]
    talk_ended_at: datetime | None
    outgoing: Annotated[bool, Field(description="We make it, the operator's phone first.")]
    reached: Annotated[bool, Field(description="Of one that we make: the customer has answered.")]
    promised_at: Annotated[datetime | None, Field(description="Of one that we make: when the customer is to be called.")]
    tries: Annotated[int, Field(description="Of one that we make: how often the customer was called and did not answer.")]
    recording: Annotated[bool, Field(description="There is one, and you may hear it.")]
    voicemail: Annotated[bool, Field(description="The caller spoke to the machine, and you may hear it.")]
    voicemail_seconds: int
    stars: Annotated[int, Field(description="What the caller rated the talk, 1 to 5; 0: they did not.")]
    missed: Annotated[bool, Field(description="Nobody answered it, or it was lost, and its caller was not spoken with since.")]
    planned_at: Annotated[datetime | None, Field(description="Of a missed one: when its caller is to be called back.")]
    held: Annotated[bool, Field(description="The caller hears music: they are on hold, or a colleague is asked.")]
    consulted_id: Annotated[str | None, Field(description="The colleague who is asked about it.")]
    consult_lifted: Annotated[bool, Field(description="The colleague has lifted the phone.")]
    listens_id: Annotated[
        str | None, Field(description="The supervisor whose phone rings so that they hear it; to supervisors only.")
    ]
    listeners: Annotated[list[str], Field(description="Who hears it; to supervisors only, and not to who is listened to.")]
    forward_to: Annotated[str, Field(description="The number outside to which an operator has passed it on.")]
    problem: Annotated[str, Field(description="What went wrong with it, for an administrator.")]


class _Wanted(BaseModel):
    # A length, so that what is half a character is refused as text and not met where it is encoded.
    model_config = ConfigDict(extra="forbid", str_max_length=1_000_000)

    id: DeedId = None
    number: Annotated[
        str, Field(max_length=40, description="2 to 20 digits, with a + in front or without; spaces, brackets and dashes go.")
    ]
    line_id: Annotated[
        UUID | None,
        Field(description="From where; else from the line of `session_id` if that can be, else from the first of yours."),
    ] = None
    session_id: Annotated[UUID | None, Field(description="A session of the customer's.")] = None
    contact_id: Annotated[UUID | None, Field(description="The customer.")] = None


class CallWanted(_Wanted):
    """A call by your own phone, at once."""


class CallbackWanted(_Wanted):
    """A call by whoever can make it then."""

    at: Annotated[AwareDatetime | None, Field(description="At most 30 days ahead; else as soon as somebody can.")] = None
    mine: Annotated[bool, Field(strict=True, description="You are asked first.")] = False
    name: Annotated[str, Field(max_length=NAME_MAX, description="The customer's, if they are not known yet.")] = ""


class CallAsked(BaseModel):
    """The call is entered; what comes of it shows in the session of its conversation."""

    id: str
    conversation_id: str | None
    line_id: str
    number: Annotated[str, Field(description="As it is dialled: E.164 where it can be.")]


class _Told(msgspec.Struct):
    """What a session's state says of its call."""

    stars: int = 0
    voicemail_seconds: int = 0


_TOLD = msgspec.json.Decoder(_Told)


@routes.get("/sessions/{session_id}/call")
async def read_call(session_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.READ_SESSIONS)]) -> CallOut:
    """The call of a session that is one."""

    def read(tx: Tx) -> CallOut:
        row, watched = _seen(tx, actor, session_id)
        hears = _may_hear(actor, _thing(watched))
        talk = watched.card_for(actor, directory.load(tx)).talk or Talk()
        number, called, came_us, talk_us, talk_ended_us, recording, voicemail, problem, state = row
        told = _TOLD.decode(state)
        return CallOut(
            number=number,
            called=called,
            came_at=from_us(came_us),
            talk_at=from_us(talk_us) if talk_us is not None else None,
            talk_ended_at=from_us(talk_ended_us) if talk_ended_us is not None else None,
            recording=bool(recording) and talk_ended_us is not None and hears,
            voicemail=bool(voicemail) and bool(told.voicemail_seconds) and hears,
            voicemail_seconds=told.voicemail_seconds,
            stars=told.stars,
            outgoing=talk.outgoing,
            reached=talk.reached,
            promised_at=_at(talk.promised),
            tries=talk.tries,
            missed=talk.missed,
            planned_at=_at(talk.planned),
            held=talk.held > 0,
            consulted_id=talk.consulted or None,
            consult_lifted=talk.lifted,
            listens_id=talk.listens or None,
            listeners=list(talk.listeners),
            forward_to=talk.forward_to,
            problem=problem,
        )

    return await store.read(read)


@routes.get("/sessions/{session_id}/call/{what}", response_class=FileResponse)
async def hear_call(
    session_id: UUID,
    what: Literal["recording", "voicemail"],
    store: StoreOf,
    parts: PartsOf,
    actor: Annotated[Actor, May(Action.HEAR_CALLS)],
) -> FileResponse:
    """The recording of the talk, or what the caller said to the machine: WAV, by parts where a player asks for some."""

    def find(tx: Tx) -> str:
        row, watched = _seen(tx, actor, session_id)
        authorize(actor, Action.HEAR_CALLS, _thing(watched))
        name: str = row[5] if what == "recording" else row[6]
        return name

    name = await store.read(find)
    path = parts.settings.recordings / name
    # The name is ours; that nothing else is ever read from here does not hang on that.
    if not name or Path(name).name != name or not path.is_file():
        raise NotFound("there is no such recording; it has not been made, or its file is gone from the folder of recordings")
    headers = {"Content-Disposition": f'inline; filename="{name}"', "Cache-Control": "private, no-store"}
    return FileResponse(path, media_type="audio/wav", headers=headers)


# --- calls that are to be made


@routes.post("/calls", status_code=202)
async def start_call(
    wanted: CallWanted, parts: PartsOf, actor: Annotated[Actor, May(Action.START_SESSION)], key: Key = None
) -> CallAsked:
    """Let your own phone ring, and the customer's when you have lifted yours."""
    return await _ask(parts, actor, key, wanted, now=True)


@routes.post("/callbacks", status_code=202)
async def promise_call(
    wanted: CallbackWanted, parts: PartsOf, actor: Annotated[Actor, May(Action.START_SESSION)], key: Key = None
) -> CallAsked:
    """Have a customer called: it waits in the line's queue until its time, and then for whoever can."""
    return await _ask(parts, actor, key, wanted, name=wanted.name, mine=wanted.mine, at=wanted.at)


async def _ask(parts: Parts, actor: Actor, key: str | None, wanted: _Wanted, **more: Any) -> CallAsked:
    line, session, contact = (str(id_ or "") for id_ in (wanted.line_id, wanted.session_id, wanted.contact_id))
    wish = Wish(id_of(key, wanted.id), wanted.number, line, session, contact, **more)
    # The settings before: the one writer is kept for the call alone.
    known = await parts.store.read(directory.load)

    def enter(tx: Tx) -> Asked:
        return calling.enter(tx, actor, wish, parts.calls_out, known)

    try:
        asked = await parts.store.write(enter)
    except Refusal as refusal:
        metrics.refused_inputs_total.labels(deeds.ORIGIN, refusal.code).inc()
        raise problem(refusal.code, actor.language) from None
    (metrics.accepted_inputs_total if asked.fresh else metrics.repeated_inputs_total).labels(deeds.ORIGIN).inc()
    return CallAsked(id=wish.id, conversation_id=asked.conversation, line_id=asked.line, number=asked.number)


def _at(at_ms: int) -> datetime | None:
    return from_us(at_ms * 1000) if at_ms else None


def _seen(tx: Tx, actor: Actor, session_id: UUID) -> tuple[Row, Watched]:
    """Return the session's call. Raises NotFound also for one that *actor* may not see."""
    watched = threads.seen_session(tx, actor, str(session_id))
    row = tx.one(_CALL, session=str(session_id))
    if row is None:
        raise NotFound("this session is no call")
    return row, watched


def _thing(watched: Watched) -> Thing:
    where = watched.where
    return Thing(LineId(where.line_id), OperatorId(where.operator_id) if where.operator_id else None)


def _may_hear(actor: Actor, thing: Thing) -> bool:
    try:
        authorize(actor, Action.HEAR_CALLS, thing)
    except Forbidden:
        return False
    return True
