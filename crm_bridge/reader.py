"""The reader `crm` of the journal: reads a page, says what follows from it, and moves its cursor when that is kept.

What a row of the journal leads to:

    contact_message that opened a session, contact, whatever      the lead is looked at (and its responsible, once there is one)
      gives a session to somebody or closes it
    contact_message that opened a session                         what closed before it cannot open again: frozen
    contact with `moved_from`                                     lead and transcripts follow the merged contact
    whatever closes a session or is said in a closed one          the session's transcript is written, whole
    fate (sent, delivered, read, failed, …) in a closed session   it is written again: the last text of a session leaves after it

A row says only where to look; what is written is the state of the tables now, so a page read late writes what is true and a page
read twice writes the same. A session that is open again is left alone until it closes. Rows of the kind `lead` are our own
doing and lead to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import structlog

from broker.domain import Capabilities, ChannelId, Fate, Status
from broker.errors import Rejected
from broker.leases import Fence
from broker.ports import Crm, LeadDraft, Store, TranscriptDraft, Tx
from broker.store import journal
from broker.store.journal import Entry, Position
from crm_bridge import facts
from crm_bridge.rules import lead_of
from crm_bridge.transcript import transcript_of

log = structlog.get_logger(__name__)

NAME = "crm"
"""The reader's name: its cursor stands in `readers` under it."""
PAGE = 2_000
AT_ONCE = 16
"""Transcripts in memory at a time: each may be a megabyte (crm_bridge.transcript)."""
RECEIPT_REACH = 500
"""How far back a receipt of everything up to a seq may still tell something new."""


class _ContactBody(msgspec.Struct):
    contact: str
    moved_from: str | None = None


class _FateBody(msgspec.Struct):
    fate: Fate
    upto: bool = False


_CONTACT = msgspec.json.Decoder(_ContactBody)
_FATE = msgspec.json.Decoder(_FateBody)
_GIVES = frozenset(("take", "take_over", "transfer", "start", "ring_answered"))
"""Events by which a session becomes somebody's. A reply may be one too, but hardly ever is: what closes the session makes up for it."""
_CLOSES = frozenset(
    (
        *("close", "silence_due", "spam", "call_ended"),
        # A call that nobody answers goes elsewhere as soon as nothing rings for it; what its caller says then comes afterwards.
        *("held", "no_answer_due", "ring_ended", "offer_expired", "operator_gone", "decline", "transfer"),
        *("voicemail_left", "call_rated"),
    )
)
_ON_ITS_WAY = (Fate.QUEUED, Fate.SENDING)


@dataclass(slots=True)
class Noticed:
    """Where a page of the journal says to look, each place once, in the order of the rows."""

    merges: dict[tuple[str, str], None] = field(default_factory=dict)
    """(moved_from, into)."""
    conversations: dict[str, None] = field(default_factory=dict)
    """Whose contact may want a lead."""
    maybe_opened: dict[tuple[str, int], str] = field(default_factory=dict)
    """(session, seq of the input) -> conversation: those that were opened by it want a look too."""
    closed: dict[str, None] = field(default_factory=dict)
    """Sessions whose transcript may have changed."""
    fates: dict[tuple[str, int, int], None] = field(default_factory=dict)
    """(conversation, lowest seq, highest seq)."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page of the journal leads to; *behind* is the position after it."""

    behind: Position
    rows: int
    merges: tuple[tuple[str, str], ...]
    leads: tuple[LeadDraft, ...]
    closed: tuple[str, ...]
    """Sessions whose transcript may have changed."""


class Reader:
    """Reads on, a page a step. One process runs it: another one beside it would write what was true when it had read."""

    def __init__(
        self,
        store: Store,
        crm: Crm,
        capabilities: Callable[[], Mapping[ChannelId, Capabilities]],
        *,
        fence: Fence,
        most: int = PAGE,
    ) -> None:
        """*capabilities* returns those of the channels that run now; *most* is how many rows make a page."""
        self._store = store
        self._crm = crm
        self._capabilities = capabilities
        self.most = most
        self._fence = fence

    async def step(self) -> int:
        """Read a page, keep what follows, move the cursor; return how many rows it had. Raises StoreError, SendError."""
        page = await self._store.read(lambda tx: look(tx, self._capabilities(), self.most))
        if page is None:
            return 0
        for moved_from, into in page.merges:  # in their order: a contact may be moved twice
            await self._keep([("contact", moved_from, self._crm.follow_contact(moved_from, into))])
        await self._keep(("lead", lead.external_id, self._crm.put_lead(lead)) for lead in page.leads)
        for first in range(0, len(page.closed), AT_ONCE):
            some = page.closed[first : first + AT_ONCE]
            drafts = await self._store.read(partial(transcripts_of, session_ids=some))
            await self._keep(("transcript", text.external_id, self._crm.put_transcript(text)) for text in drafts)
        await self._store.write(lambda tx: self._move(tx, page.behind))
        return page.rows

    def _move(self, tx: Tx, behind: Position) -> None:
        self._fence(tx)
        journal.move(tx, NAME, behind)

    async def _keep(self, deeds: Iterable[tuple[str, str, Awaitable[Any]]]) -> None:
        """Do *deeds* side by side, wait for all; what the CRM refuses for good is logged and held against nobody else."""
        named = list(deeds)
        ends = await asyncio.gather(*(deed for _, _, deed in named), return_exceptions=True)
        for (what, external_id, _), end in zip(named, ends, strict=True):
            if isinstance(end, Rejected):
                log.error("crm_refused", what=what, external_id=external_id, code=end.code)
            elif isinstance(end, BaseException):
                raise end


def look(tx: Tx, capabilities: Mapping[ChannelId, Capabilities], most: int = PAGE) -> Page | None:
    """Read the page after the cursor and what it leads to, in one snapshot; None when there is none."""
    stands = journal.position_of(tx, NAME)
    entries, behind = journal.after(tx, stands, most)
    if not entries:
        return None
    noticed = notice(entries)
    if noticed.maybe_opened:
        for session in facts.begun_by(tx, [session for session, _ in noticed.maybe_opened]) & noticed.maybe_opened.keys():
            conversation_id = noticed.maybe_opened[session]
            noticed.conversations[conversation_id] = None
            if (before := facts.superseded_session(tx, session[0])) is not None:
                noticed.closed[before] = None
    for conversation_id, low, high in noticed.fates:
        noticed.closed |= dict.fromkeys(facts.closed_sessions_of_fate(tx, conversation_id, low, high))
    cases = (facts.case_of(tx, conversation_id) for conversation_id in noticed.conversations)
    leads: dict[str, LeadDraft] = {}
    for case in cases:
        if case is not None and (lead := lead_of(case, capabilities)) is not None:
            leads.setdefault(lead.external_id, lead)  # a contact in two conversations: the earlier one says where it came from
    return Page(
        behind=behind,
        rows=len(entries),
        merges=tuple(noticed.merges),
        leads=tuple(leads.values()),
        closed=tuple(noticed.closed),
    )


def transcripts_of(tx: Tx, session_ids: Iterable[str]) -> list[TranscriptDraft]:
    """Return the transcripts of those of the sessions that are closed."""
    records = (facts.closed_session(tx, session_id) for session_id in session_ids)
    return [transcript_of(record) for record in records if record is not None]


def notice(entries: Iterable[Entry]) -> Noticed:
    """Return where *entries* say to look. Pure."""
    noticed = Noticed()
    for entry in entries:
        if entry.conversation_id is not None:
            _notice(noticed, entry, entry.conversation_id)
        elif entry.kind == "contact":  # somebody has changed them, or has found that two are one
            body = _CONTACT.decode(entry.body)
            if body.moved_from is not None:
                noticed.merges[body.moved_from, body.contact] = None
    return noticed


def _notice(noticed: Noticed, entry: Entry, conversation_id: str) -> None:
    closed = entry.status == Status.CLOSED and entry.session_id is not None
    match entry.kind:
        case "contact_message" if entry.status in (Status.QUEUED, Status.CLOSED) and entry.session_id is not None:
            if entry.input_seq is not None:
                noticed.maybe_opened[entry.session_id, entry.input_seq] = conversation_id
            if closed:  # shut outside the hours as soon as it was opened, or a word said after the closing
                noticed.closed[entry.session_id] = None
        case "contact":
            body = _CONTACT.decode(entry.body)
            noticed.conversations[conversation_id] = None
            if body.moved_from is not None:
                noticed.merges[body.moved_from, body.contact] = None
        case kind if kind in _GIVES and entry.status == Status.ACTIVE:
            noticed.conversations[conversation_id] = None
        case kind if kind in _CLOSES and closed:
            noticed.conversations[conversation_id] = None
            noticed.closed[str(entry.session_id)] = None
        case "message" | "reopen_ended" if closed:
            noticed.closed[str(entry.session_id)] = None
        case "changed" if entry.session_id is not None:
            noticed.closed[entry.session_id] = None  # if it is closed, its transcript says now what the message says
        case "fate" if entry.message_seq is not None:
            fate = _FATE.decode(entry.body)
            if fate.fate not in _ON_ITS_WAY:
                low = entry.message_seq - RECEIPT_REACH if fate.upto else entry.message_seq
                noticed.fates[conversation_id, low, entry.message_seq] = None
