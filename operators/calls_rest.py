"""REST of calls: what is known of a session's call, and its recordings. `/api/v1`.

Who may see a session sees what is known of its call; its recordings hear whoever has it, and supervisors.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from sqlalchemy import bindparam, select

from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import LineId, OperatorId, from_us
from broker.errors import Forbidden, NotFound
from broker.ports import Row, Tx
from broker.store import directory
from broker.store.sql import cols, sql
from broker.store.tables import calls, sessions
from broker.web.wiring import May, PartsOf, StoreOf
from operators import threads
from operators.cards import Watched
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

    number: Annotated[str, Field(description="The caller's, E.164 where it can be; empty: withheld.")]
    called: str
    came_at: datetime
    talk_at: Annotated[datetime | None, Field(description="When an operator's phone was lifted; the recording begins there.")]
    talk_ended_at: datetime | None
    recording: Annotated[bool, Field(description="There is one, and you may hear it.")]
    voicemail: Annotated[bool, Field(description="The caller spoke to the machine, and you may hear it.")]
    voicemail_seconds: int
    stars: Annotated[int, Field(description="What the caller rated the talk, 1 to 5; 0: they did not.")]
    missed: Annotated[bool, Field(description="Nobody answered it, or it was lost, and its caller was not spoken with since.")]
    held: Annotated[bool, Field(description="The caller hears music: they are on hold, or a colleague is asked.")]
    consulted_id: Annotated[str | None, Field(description="The colleague who is asked about it.")]
    consult_lifted: Annotated[bool, Field(description="The colleague has lifted the phone.")]
    listens_id: Annotated[
        str | None, Field(description="The supervisor whose phone rings so that they hear it; to supervisors only.")
    ]
    listeners: Annotated[list[str], Field(description="Who hears it; to supervisors only, and not to who is listened to.")]
    forward_to: Annotated[str, Field(description="The number outside to which an operator has passed it on.")]
    problem: Annotated[str, Field(description="What went wrong with it, for an administrator.")]


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
            missed=talk.missed,
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
