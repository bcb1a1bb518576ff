"""What the rules need to know, read from the other wings' tables: SQL in, plain values out."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import bindparam, select

from broker import extras
from broker.domain import (
    Author,
    ChannelId,
    ContactId,
    Fate,
    LineId,
    LineSettings,
    MessageKind,
    PointKind,
    Source,
    Status,
    from_us,
)
from broker.ports import Row, Tx
from broker.store.sql import among, over_rows, page, sql
from broker.store.tables import calls, channels, contact_points, contacts, conversations, lines, messages, operators, sessions
from crm_bridge.rules import Case, Way
from crm_bridge.transcript import CHARACTERS_MAX, MESSAGES_MAX, Attached, Call, Channel, Facts, Line, Thing

SAID_PAGE = 100

_CASE = sql(
    select(
        contacts.c.id,
        contacts.c.name,
        sessions.c.id,
        sessions.c.operator_id,
        sessions.c.source,
        conversations.c.source,
        lines.c.id,
        lines.c.name,
        lines.c.settings,
        channels.c.kind,
        channels.c.name,
    )
    .select_from(conversations)
    .join(contacts, contacts.c.id == conversations.c.contact_id)
    .join(channels, channels.c.id == conversations.c.channel_id)
    .outerjoin(sessions, sessions.c.id == conversations.c.session_id)
    .join(lines, lines.c.id == channels.c.line_id)
    .where(conversations.c.id == bindparam("conversation"))
)
_SESSION_LINE = sql(
    select(*lines.c["id", "name", "settings"])
    .join_from(sessions, lines, lines.c.id == sessions.c.line_id)
    .where(sessions.c.id == bindparam("session"))
)
_WAYS = sql(
    select(*contact_points.c["kind", "value", "scope"])
    .where(contact_points.c.contact_id == bindparam("contact"))
    .order_by(contact_points.c.created_us, contact_points.c.id)
)
_BEGUN = over_rows(select(*sessions.c["id", "first_seq"]).where(among(sessions.c.id)), [sessions.c.id])
_CLOSED = sql(
    select(
        *sessions.c["id", "conversation_id", "opened_us", "closed_us", "outcome", "frozen", "source", "first_seq"],
        *lines.c["id", "name"],
        *channels.c["id", "name", "kind"],
        *contacts.c["id", "name"],
        *operators.c["id", "name"],
        conversations.c.session_id,
    )
    .select_from(sessions)
    .join(conversations, conversations.c.id == sessions.c.conversation_id)
    # The conversation's contact, not the session's: after a merge a session of before still names the stranger.
    .join(contacts, contacts.c.id == conversations.c.contact_id)
    .join(lines, lines.c.id == sessions.c.line_id)
    .join(channels, channels.c.id == sessions.c.channel_id)
    .outerjoin(operators, operators.c.id == sessions.c.operator_id)
    .where(sessions.c.id == bindparam("session"), sessions.c.status == Status.CLOSED.value)
)
_CALL = sql(
    select(
        *calls.c["number", "called", "came_us", "talk_us", "talk_ended_us", "recording", "voicemail", "outgoing"],
        sessions.c.state,
    )
    .join_from(calls, sessions, sessions.c.conversation_id == calls.c.conversation_id)
    .where(sessions.c.id == bindparam("session"))
)
_SAID = page(
    select(*messages.c["seq", "author", "text", "at_us", "fate", "extra"], operators.c.name)
    .select_from(messages)
    .outerjoin(operators, operators.c.id == messages.c.operator_id)
    .where(
        messages.c.conversation_id == bindparam("conversation"),
        messages.c.seq >= bindparam("first"),
        messages.c.session_id == bindparam("session"),
        messages.c.kind == MessageKind.SAID.value,
    )
    .order_by(messages.c.seq)
    .limit(SAID_PAGE)
)
_TOUCHED = sql(
    select(sessions.c.id)
    .where(
        sessions.c.id.in_(
            select(messages.c.session_id).where(
                messages.c.conversation_id == bindparam("conversation"),
                messages.c.seq >= bindparam("low"),
                messages.c.seq <= bindparam("high"),
                messages.c.author != Author.CONTACT.value,
            )
        ),
        sessions.c.status == Status.CLOSED.value,
    )
    .order_by(sessions.c.opened_us)
)
_later = sessions.alias("later")
_SUPERSEDED = sql(
    select(sessions.c.id)
    .join(_later, _later.c.conversation_id == sessions.c.conversation_id)
    .where(_later.c.id == bindparam("session"), sessions.c.opened_us < _later.c.opened_us)
    .order_by(sessions.c.opened_us.desc())
    .limit(1)
)
_SETTINGS = msgspec.json.Decoder(LineSettings)
_SOURCE = msgspec.json.Decoder(Source)


def case_of(tx: Tx, conversation_id: str) -> Case | None:
    """Return the conversation's contact with its latest session, as the lead rule reads them."""
    row = tx.one(_CASE, conversation=conversation_id)
    if row is None:
        return None
    contact_id, name, session_id, holder, session_source, source, line_id, line_name, settings, kind, channel_name = row
    if session_id is not None and (line := tx.one(_SESSION_LINE, session=session_id)) is not None:
        line_id, line_name, settings = line
    return Case(
        contact_id=ContactId(contact_id),
        contact_name=name,
        ways=ways_of(tx, contact_id),
        session_id=session_id,
        line_id=LineId(line_id),
        line_name=line_name,
        settings=_SETTINGS.decode(settings),
        channel_kind=kind,
        channel_name=channel_name,
        responsible_id=holder,
        source=_source(session_source if session_id is not None else source),
    )


def ways_of(tx: Tx, contact_id: str) -> tuple[Way, ...]:
    """Return the contact's points, the oldest first."""
    return tuple(
        Way(PointKind(kind), value, ChannelId(scope) if scope else None)
        for kind, value, scope in tx.all(_WAYS, contact=contact_id)
    )


def begun_by(tx: Tx, session_ids: Iterable[str]) -> set[tuple[str, int]]:
    """Return the sessions with the seq of what opened each."""
    return {(id_, first_seq) for id_, first_seq in tx.each(_BEGUN, [(id_,) for id_ in dict.fromkeys(session_ids)])}


def superseded_session(tx: Tx, session_id: str) -> str | None:
    """Return the session before this one in its conversation: nothing can open it again, whether or not its time was up."""
    row = tx.one(_SUPERSEDED, session=session_id)
    return str(row[0]) if row else None


def closed_session(tx: Tx, session_id: str) -> Facts | None:
    """Return the session with what was said in it; None when it is open (again)."""
    row = tx.one(_CLOSED, session=session_id)
    if row is None:
        return None
    (id_, conversation_id, opened_us, closed_us, outcome, frozen, source, first_seq) = row[:8]
    line_id, line_name, channel_id, channel_name, channel_kind, contact_id, contact_name, holder_id, holder_name, latest = row[8:]
    said, more = _said(tx, conversation_id, id_, first_seq)
    return Facts(
        session_id=id_,
        conversation_id=conversation_id,
        line=Thing(line_id, line_name),
        channel=Channel(channel_id, channel_name, channel_kind),
        contact=Thing(contact_id, contact_name),
        operator=Thing(holder_id, holder_name) if holder_id is not None else None,
        opened_at=from_us(opened_us),
        closed_at=from_us(closed_us),
        outcome=outcome,
        # Only a conversation's latest session can open again.
        frozen=bool(frozen) or latest != id_,
        source=_source(source),
        messages=[_line(one, contact_name) for one in said],
        more=more,
        call=_call(tx, id_),
    )


class _OfCall(msgspec.Struct):
    """What a session's state says of its call."""

    stars: int = 0
    voicemail_seconds: int = 0
    forward_to: str = ""


_OF_CALL = msgspec.json.Decoder(_OfCall)


def _call(tx: Tx, session_id: str) -> Call | None:
    row = tx.one(_CALL, session=session_id)
    if row is None:
        return None
    number, called, came_us, talk_us, talk_ended_us, recording, voicemail, outgoing, state = row
    told = _OF_CALL.decode(state)
    return Call(
        number=number,
        called=called,
        came_at=from_us(came_us),
        talk_at=from_us(talk_us) if talk_us is not None else None,
        talk_ended_at=from_us(talk_ended_us) if talk_ended_us is not None else None,
        recording=recording,
        voicemail=voicemail if told.voicemail_seconds else "",
        voicemail_seconds=told.voicemail_seconds,
        stars=told.stars,
        outgoing=bool(outgoing),
        forwarded_to=told.forward_to,
    )


def _said(tx: Tx, conversation_id: str, session_id: str, first_seq: int) -> tuple[list[Row], bool]:
    """Return the session's first messages, as many as a transcript holds, and whether there are more."""
    said: list[Row] = []
    characters, first = 0, first_seq
    while True:
        page_ = tx.all(_SAID, conversation=conversation_id, first=first, session=session_id)
        for row in page_:
            if len(said) == MESSAGES_MAX or characters >= CHARACTERS_MAX:
                return said, True
            said.append(row)
            characters += len(row[2])
        if len(page_) < SAID_PAGE:
            return said, False
        first = page_[-1][0] + 1


def _line(said: Row, contact_name: str) -> Line:
    seq, author, text, at_us, fate, kept, operator_name = said
    name = contact_name if author == Author.CONTACT.value else operator_name or ""
    line = Line(seq, Author(author), name, text, from_us(at_us), Fate(fate))
    if kept is None:
        return line
    extra = extras.read(kept)
    place, shared = extra.place, extra.shared
    return msgspec.structs.replace(
        line,
        name=extra.author or name,
        files=tuple(Attached(file.kind.value, file.name, file.media_type, file.size, file.id) for file in extra.files),
        answers=extra.quote.seq if extra.quote is not None else 0,
        edited=bool(extra.versions),
        deleted=bool(extra.deleted_ms),
        place=f"{place.latitude}, {place.longitude}" if place is not None else "",
        shared=" ".join(filter(None, (shared.name, shared.phone))) if shared is not None else "",
    )


def closed_sessions_of_fate(tx: Tx, conversation_id: str, low_seq: int, high_seq: int) -> list[str]:
    """Return the closed sessions whose outgoing messages lie in this stretch of the conversation, the oldest first."""
    return [session_id for (session_id,) in tx.all(_TOUCHED, conversation=conversation_id, low=low_seq, high=high_seq)]


def _source(body: str) -> Source:
    try:
        return _SOURCE.decode(body)
    except msgspec.MsgspecError:
        return Source()
