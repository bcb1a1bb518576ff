"""The record of a session as one document: who said what and when, and what became of it. Pure.

Notes are left out, not flagged: a transcript is shown, mailed and handed to other systems, and what is not in the document cannot
leak from it. Notes stay where operators read them, in the session's thread. Operators stand under their own names, whatever the
line shows to customers: the document is the house's.

`frozen` means that the session will not open again, so the words are final. What became of a message may still be learnt later (a
receipt, a refusal of the provider) and is written in under the same external id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from broker.domain import Author, ContactId, Fate, Source
from broker.ports import TranscriptDraft

MESSAGES_MAX = 2_000
CHARACTERS_MAX = 500_000
"""A transcript has no more messages, and ends with the one that brings its texts to so many characters: who writes without an end, also
after the closing, is written down in the conversation, and makes no document that grows with every word."""
VERSION = 1
"""Grows when a reader of the document must be told apart."""


class Attached(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file of a message: its *id* in the house, where it is kept there; what it is, and how large."""

    kind: str
    name: str = ""
    media_type: str = ""
    size: int = 0
    id: str = ""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message. *who* is contact, operator or system."""

    seq: int
    who: Author
    name: str
    text: str
    at: datetime
    fate: Fate
    files: tuple[Attached, ...] = ()
    answers: int = 0
    """The seq of the message that it answers; 0: none, or one that is not here."""
    edited: bool = False
    """It said something else first."""
    deleted: bool = False
    """It was taken back; these are the words."""
    place: str = ""
    """Latitude and longitude, in degrees."""
    shared: str = ""
    """A contact's card: name and phone."""


class Thing(msgspec.Struct, frozen=True):
    """Somebody or something the session is about, by id and by the name it had when the transcript was written."""

    id: str
    name: str


class Channel(msgspec.Struct, frozen=True):
    """Where the session was held."""

    id: str
    name: str
    kind: str


class Call(msgspec.Struct, frozen=True):
    """What became of a call on the telephone. *recording* and *voicemail* are names of files; *stars* the caller's rating, 0: none."""

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
    """We have called them."""
    forwarded_to: str = ""
    """The number outside to which an operator has passed the call on."""


class Document(msgspec.Struct, frozen=True):
    """The body of a transcript. Times are ISO 8601 in UTC; *first_answer_at* is of the first operator's message, ever."""

    version: int
    session_id: str
    conversation_id: str
    line: Thing
    channel: Channel
    contact: Thing
    operator: Thing | None
    opened_at: datetime
    first_answer_at: datetime | None
    closed_at: datetime
    outcome: str
    source: Source
    messages: tuple[Line, ...]
    more: bool = False
    """More was said than a transcript holds; it is in the conversation."""
    call: Call | None = None
    """Of a call: then *first_answer_at* is when a phone was lifted, if one was."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A closed session with what was said in it, by seq; notes are not among *messages*."""

    session_id: str
    conversation_id: str
    line: Thing
    channel: Channel
    contact: Thing
    operator: Thing | None
    opened_at: datetime
    closed_at: datetime
    outcome: str
    frozen: bool
    source: Source
    messages: Sequence[Line]
    more: bool = False
    """Whether the session has more messages than these, its first."""
    call: Call | None = None


_ENCODER = msgspec.json.Encoder(order="deterministic")
_DECODER = msgspec.json.Decoder(Document)


def transcript_of(facts: Facts) -> TranscriptDraft:
    """Return the transcript of a closed session; the same facts are the same bytes."""
    document = Document(
        version=VERSION,
        session_id=facts.session_id,
        conversation_id=facts.conversation_id,
        line=facts.line,
        channel=facts.channel,
        contact=facts.contact,
        operator=facts.operator,
        opened_at=facts.opened_at,
        first_answer_at=_first_answer(facts),
        closed_at=facts.closed_at,
        outcome=facts.outcome,
        source=facts.source,
        messages=tuple(facts.messages),
        more=facts.more,
        call=facts.call,
    )
    return TranscriptDraft(
        external_id=external_id_of(facts.session_id),
        session_id=facts.session_id,
        contact_id=ContactId(facts.contact.id),
        body=_ENCODER.encode(document).decode(),
        frozen=facts.frozen,
    )


def _first_answer(facts: Facts) -> datetime | None:
    if facts.call is not None:
        return facts.call.talk_at
    return next((line.at for line in facts.messages if line.who is Author.OPERATOR), None)


def read(body: str) -> Document:
    """Return the document written in *body*. Raises msgspec.ValidationError."""
    return _DECODER.decode(body)


def external_id_of(session_id: str) -> str:
    """Return the external id of the session's transcript."""
    return f"session:{session_id}"
