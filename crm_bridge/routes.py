"""REST of leads and transcripts. Everybody sees what is of their lines or their own; the rest does not exist for them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy import Select, and_, bindparam, exists, or_, select

from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import LineId, OperatorId, from_us
from broker.errors import BadInput, Forbidden, NotFound
from broker.ports import Row, Tx
from broker.store.sql import adhoc, cols, sql
from broker.store.tables import contacts, leads, lines, operators, sessions, transcripts
from broker.web.wiring import May, StoreOf
from crm_bridge import transcript as documents
from crm_bridge.builtin import MERGED

PAGE = 50
PAGE_MAX = 200

routes = APIRouter(prefix="/api/v1", tags=["crm"])


class Named(BaseModel):
    """Somebody or something, by id and name."""

    id: str
    name: str


class LeadItem(BaseModel):
    """A lead in a list. *transcript*: the session it came from has one."""

    id: str
    title: str
    stage: str
    source: str
    source_details: dict[str, Any]
    contact: Named
    responsible: Named | None
    line: Named | None
    session_id: str | None
    transcript: bool
    created_at: datetime


class LeadPage(BaseModel):
    """A page of leads, the newest first; *next_cursor* is None on the last."""

    items: list[LeadItem]
    next_cursor: str | None


class TranscriptItem(BaseModel):
    """A transcript of a lead's contact, without its words."""

    session_id: str
    frozen: bool
    written_at: datetime


class Lead(LeadItem):
    """A lead with the transcripts that are attached to it, the oldest first."""

    transcripts: list[TranscriptItem]


class Said(BaseModel):
    """One message. *who* is contact, operator or system; *fate* what had become of it when the transcript was written."""

    seq: int
    who: str
    name: str
    text: str
    at: datetime
    fate: str


class CallOf(BaseModel):
    """What became of a call; its recordings are at `/api/v1/sessions/{id}/call`."""

    number: str
    called: str
    came_at: datetime
    talk_at: datetime | None
    talk_ended_at: datetime | None
    recording: str
    voicemail: str
    voicemail_seconds: int
    stars: int
    outgoing: bool = False
    forwarded_to: str = ""


class Transcript(BaseModel):
    """What was said in a session; notes are not in it. *frozen*: the session will not open again."""

    session_id: str
    frozen: bool
    written_at: datetime
    line: Named
    channel: Named
    contact: Named
    operator: Named | None
    opened_at: datetime
    first_answer_at: datetime | None
    closed_at: datetime
    outcome: str
    source: dict[str, Any]
    messages: list[Said]
    call: CallOf | None = None


_LEADS = (
    select(
        *cols(leads, "id title stage source source_details session_id created_us"),
        *cols(contacts, "id name"),
        *cols(operators, "id name"),
        *cols(lines, "id name"),
        exists().where(transcripts.c.external_id == documents.external_id_of("") + leads.c.session_id),
    )
    .select_from(leads)
    .join(contacts, contacts.c.id == leads.c.contact_id)
    .outerjoin(operators, operators.c.id == leads.c.responsible_id)
    .outerjoin(lines, lines.c.id == leads.c.line_id)
    .where(leads.c.stage != MERGED)
)
_LEAD = sql(_LEADS.where(leads.c.id == bindparam("lead")))
_OF_LEAD = sql(
    select(*cols(transcripts, "session_id frozen written_us"), *cols(sessions, "line_id operator_id"))
    .join_from(transcripts, sessions, sessions.c.id == transcripts.c.session_id)
    .where(transcripts.c.lead_id == bindparam("lead"))
    .order_by(sessions.c.opened_us, sessions.c.id)
)
_TRANSCRIPT = sql(
    select(*cols(transcripts, "body frozen written_us"), *cols(sessions, "line_id operator_id"))
    .join_from(transcripts, sessions, sessions.c.id == transcripts.c.session_id)
    .where(transcripts.c.external_id == bindparam("external"))
)


@routes.get("/leads")
async def list_leads(
    store: StoreOf,
    asking: Annotated[Actor, May(Action.READ_LEADS)],
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE,
) -> LeadPage:
    """Leads of the lines you may see, the newest first."""
    after = _place(cursor) if cursor is not None else None
    return await store.read(lambda tx: page_of_leads(tx, asking, after, limit))


@routes.get("/leads/{lead_id}")
async def read_lead(store: StoreOf, asking: Annotated[Actor, May(Action.READ_LEADS)], lead_id: str) -> Lead:
    """One lead with the list of its transcripts."""
    return await store.read(lambda tx: lead_by_id(tx, asking, lead_id))


@routes.get("/sessions/{session_id}/transcript")
async def read_transcript(store: StoreOf, asking: Annotated[Actor, May(Action.READ_TRANSCRIPTS)], session_id: str) -> Transcript:
    """What was said in a closed session."""
    return await store.read(lambda tx: transcript_of(tx, asking, session_id))


def page_of_leads(tx: Tx, asking: Actor, after: tuple[int, str] | None, limit: int) -> LeadPage:
    """Return at most *limit* leads after the place *after* (moment, id), the newest first."""
    statement: Select[Any] = _LEADS.order_by(leads.c.created_us.desc(), leads.c.id.desc()).limit(limit + 1)
    if asking.lines is not None:
        mine = leads.c.responsible_id == asking.operator_id
        statement = statement.where(or_(leads.c.line_id.in_(sorted(asking.lines)), mine))
    if after is not None:
        created_us, id_ = after
        statement = statement.where(
            or_(leads.c.created_us < created_us, and_(leads.c.created_us == created_us, leads.c.id < id_))
        )
    rows = tx.all(adhoc(statement))
    last = rows[limit - 1] if len(rows) > limit else None
    return LeadPage(
        items=[LeadItem(**_lead(row)) for row in rows[:limit]], next_cursor=f"{last[6]}.{last[0]}" if last is not None else None
    )


def lead_by_id(tx: Tx, asking: Actor, lead_id: str) -> Lead:
    """Return the lead with its transcripts. Raises NotFound."""
    row = tx.one(_LEAD, lead=lead_id)
    if row is None or not _may(asking, Action.READ_LEADS, row[11], row[9]):
        raise NotFound(f"there is no lead {lead_id}")
    attached = [
        TranscriptItem(session_id=session, frozen=bool(frozen), written_at=from_us(written_us))
        for session, frozen, written_us, line, holder in tx.all(_OF_LEAD, lead=lead_id)
        if _may(asking, Action.READ_TRANSCRIPTS, line, holder)
    ]
    return Lead(**_lead(row), transcripts=attached)


def transcript_of(tx: Tx, asking: Actor, session_id: str) -> Transcript:
    """Return the session's transcript. Raises NotFound: for a session of another's line, and for one that never closed."""
    row = tx.one(_TRANSCRIPT, external=documents.external_id_of(session_id))
    if row is None or not _may(asking, Action.READ_TRANSCRIPTS, row[3], row[4]):
        raise NotFound(f"there is no transcript of a session {session_id}; it is written when the session closes")
    body, frozen, written_us, *_ = row
    document = documents.read(body)
    return Transcript.model_validate(
        {
            **msgspec.to_builtins(document, builtin_types=(datetime,)),
            "frozen": bool(frozen),
            "written_at": from_us(written_us),
        }
    )


def _may(asking: Actor, action: Action, line_id: str | None, holder_id: str | None) -> bool:
    """Tell whether it exists for *asking*: what may not be seen is not found, so that nobody learns that it is there."""
    line = LineId(line_id) if line_id is not None else None
    holder = OperatorId(holder_id) if holder_id is not None else None
    try:
        authorize(asking, action, Thing(line, holder))
    except Forbidden:
        return False
    return True


def _lead(row: Row) -> dict[str, Any]:
    id_, title, stage, source, details, session_id, created_us, *people, has_transcript = row
    contact_id, contact_name, holder_id, holder_name, line_id, line_name = people
    return {
        "id": id_,
        "title": title,
        "stage": stage,
        "source": source,
        "source_details": msgspec.json.decode(details),
        "contact": Named(id=contact_id, name=contact_name),
        "responsible": Named(id=holder_id, name=holder_name) if holder_id is not None else None,
        "line": Named(id=line_id, name=line_name) if line_id is not None else None,
        "session_id": session_id,
        "transcript": bool(has_transcript),
        "created_at": from_us(created_us),
    }


def _place(cursor: str) -> tuple[int, str]:
    moment, _, id_ = cursor.partition(".")
    if not moment.isdecimal() or len(moment) > 18 or not id_:
        raise BadInput("this cursor was not given by us; begin again without one", field="cursor", code="bad_cursor")
    return int(moment), id_
