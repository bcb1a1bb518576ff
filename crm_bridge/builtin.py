"""The CRM that is built in: leads and transcripts as rows beside everything else.

Each deed is one transaction that may be repeated. A lead that is lost is made again when the reader next looks at its contact.
When a lead is converted its external id is given up, and the contact's next request makes a new one; until then every repeat
finds the first.

Whatever changes a lead appends a row of the kind `lead` to the journal, in the same transaction, and a repeat that changes nothing
appends none: screens learn of leads there. Our own reader finds nothing to do in such a row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec
from sqlalchemy import bindparam, or_, select, update

from broker.domain import ConversationId, to_us
from broker.leases import Fence, free
from broker.ports import LeadDraft, Store, TranscriptDraft, Tx
from broker.store import journal, locks
from broker.store.sql import insert_new, sql
from broker.store.tables import conversations, leads, sessions, transcripts
from crm_bridge.rules import external_id_of

T = TypeVar("T")

NEW = "new"
"""The stage a lead begins in."""
MERGED = "merged"
"""The stage of a lead whose contact turned out to be one who had a lead already; kept, because a merge can be undone."""

_LEAD = insert_new(
    leads,
    "id external_id contact_id session_id line_id responsible_id title stage source source_details created_us changed_us",
    "external_id",
)
_FIND = sql(select(leads.c.id).where(leads.c.external_id == bindparam("external")).with_for_update())
_FILL_RESPONSIBLE = sql(
    update(leads)
    .values(responsible_id=bindparam("responsible"), changed_us=bindparam("now_us"))
    .where(leads.c.id == bindparam("lead"), leads.c.responsible_id.is_(None))
)
_FILL_SESSION = sql(
    update(leads)
    .values(session_id=bindparam("session"), changed_us=bindparam("now_us"))
    .where(leads.c.id == bindparam("lead"), leads.c.session_id.is_(None))
)
_RENAME = sql(
    update(leads).values(external_id=bindparam("external"), changed_us=bindparam("now_us")).where(leads.c.id == bindparam("lead"))
)
_MERGE = sql(
    update(leads)
    .values(stage=MERGED, changed_us=bindparam("now_us"))
    .where(leads.c.id == bindparam("lead"), leads.c.stage != MERGED)
)
_MOVE_LEADS = sql(update(leads).values(contact_id=bindparam("to")).where(leads.c.contact_id == bindparam("contact")))
_TRANSCRIPT = insert_new(transcripts, "external_id session_id contact_id lead_id body frozen written_us", "external_id")
# A draft made before the freezing may come after it: what is frozen stays so.
_REWRITE = sql(
    update(transcripts)
    .values(
        contact_id=bindparam("contact"),
        lead_id=bindparam("lead"),
        body=bindparam("new_body"),
        frozen=bindparam("new_frozen"),
        written_us=bindparam("now_us"),
    )
    .where(
        transcripts.c.external_id == bindparam("external"),
        transcripts.c.frozen <= bindparam("new_frozen"),
        or_(
            transcripts.c.body != bindparam("new_body"),
            transcripts.c.frozen != bindparam("new_frozen"),
            transcripts.c.contact_id != bindparam("contact"),
        ),
    )
)
_ATTACH = sql(
    update(transcripts)
    .values(lead_id=bindparam("lead"))
    .where(transcripts.c.contact_id == bindparam("contact"), transcripts.c.lead_id.is_(None))
)
_REATTACH = sql(update(transcripts).values(lead_id=bindparam("to")).where(transcripts.c.lead_id == bindparam("lead")))
_MOVE_TRANSCRIPTS = sql(
    update(transcripts).values(contact_id=bindparam("to")).where(transcripts.c.contact_id == bindparam("contact"))
)
_ATTACHED_TO = sql(select(transcripts.c.lead_id).where(transcripts.c.external_id == bindparam("external")))
_SHOWN = sql(
    select(leads.c.contact_id, leads.c.session_id, leads.c.line_id, leads.c.responsible_id).where(leads.c.id == bindparam("lead"))
)
_CONVERSATION = sql(select(sessions.c.conversation_id).where(sessions.c.id == bindparam("session")))
_LATEST_CONVERSATION = sql(
    select(conversations.c.id)
    .where(conversations.c.contact_id == bindparam("contact"))
    .order_by(conversations.c.created_us.desc(), conversations.c.id.desc())
    .limit(1)
)
_encode = msgspec.json.Encoder(order="deterministic").encode


class BuiltInCrm:
    """A `Crm` in the store's own tables `leads` and `transcripts`; the fence keeps out who writes what was true before."""

    def __init__(self, store: Store, fence: Fence = free) -> None:
        self._store = store
        self._fence = fence

    async def put_lead(self, lead: LeadDraft) -> str:
        """See `Crm.put_lead`. Raises StoreError, LeaseLost."""
        return await self._write(lambda tx: put_lead(tx, lead))

    async def put_transcript(self, transcript: TranscriptDraft) -> None:
        """See `Crm.put_transcript`. Raises StoreError, LeaseLost."""
        await self._store.write_each(self._put_transcripts, transcript)

    async def follow_contact(self, moved_from: str, into: str) -> None:
        """See `Crm.follow_contact`. Raises StoreError, LeaseLost."""
        await self._write(lambda tx: follow_contact(tx, moved_from, into))

    def _put_transcripts(self, tx: Tx, transcripts_: Sequence[TranscriptDraft]) -> list[None]:
        self._fence(tx)
        put_transcripts(tx, transcripts_)
        return [None] * len(transcripts_)

    def _write(self, work: Callable[[Tx], T]) -> Awaitable[T]:
        def held(tx: Tx) -> T:
            self._fence(tx)
            return work(tx)

        return self._store.write(held)


def put_lead(tx: Tx, lead: LeadDraft) -> str:
    """Create the lead, or fill what the one we have did not know yet; return its id."""
    now_us = to_us(tx.now)
    lead_id = tx.new_id()
    created = tx.run(
        _LEAD,
        id=lead_id,
        external_id=lead.external_id,
        contact_id=lead.contact_id,
        session_id=lead.session_id,
        line_id=lead.line_id,
        responsible_id=lead.responsible_id,
        title=lead.title,
        stage=NEW,
        source=lead.source,
        source_details=_encode(lead.source_details).decode(),
        created_us=now_us,
        changed_us=now_us,
    )
    if not created and (row := tx.one(_FIND, external=lead.external_id)) is not None:
        if _fill(tx, row[0], lead, now_us):
            _tell(tx, row[0], "filled")
        return str(row[0])
    tx.run(_ATTACH, lead=lead_id, contact=lead.contact_id)
    _tell(tx, lead_id, "made")
    return lead_id


def _fill(tx: Tx, lead_id: str, lead: LeadDraft, now_us: int) -> int:
    filled = 0
    if lead.responsible_id is not None:
        filled += tx.run(_FILL_RESPONSIBLE, lead=lead_id, responsible=lead.responsible_id, now_us=now_us)
    if lead.session_id is not None:
        filled += tx.run(_FILL_SESSION, lead=lead_id, session=lead.session_id, now_us=now_us)
    return filled


def _tell(tx: Tx, lead_id: str, what: str) -> None:
    """Write into the journal that the lead is another now: *what* is made, filled, transcript, moved or merged."""
    row = tx.one(_SHOWN, lead=lead_id)
    assert row is not None
    contact_id, _, line_id, responsible_id = row
    conversation_id = _home(tx, lead_id)
    body = _encode({"lead": lead_id, "contact": contact_id, "what": what, "responsible": responsible_id}).decode()
    journal.append(
        tx,
        "lead",
        body,
        conversation_id=conversation_id,
        seq=journal.next_seq(tx, conversation_id) if conversation_id is not None else None,
        line_id=line_id,
    )


def _home(tx: Tx, lead_id: str) -> ConversationId | None:
    """Return the conversation in whose journal the lead's changes stand: of its session, else the contact's latest."""
    row = tx.one(_SHOWN, lead=lead_id)
    assert row is not None
    contact_id, session_id = row[:2]
    home = tx.one(_CONVERSATION, session=session_id) if session_id is not None else None
    home = home or tx.one(_LATEST_CONVERSATION, contact=contact_id)
    return home[0] if home is not None else None


def put_transcripts(tx: Tx, drafts: Sequence[TranscriptDraft]) -> None:
    """Create or replace the transcripts, attached to their contacts' leads; the same ones again leave no trace."""
    # Leads and conversations are locked in one order: of several that were locked one by one, two transactions could wait for each other.
    ordered = sorted(drafts, key=lambda draft: draft.contact_id)
    told = [lead for one in ordered if (lead := _put_transcript(tx, one)) is not None]
    locks.conversations(tx, filter(None, (_home(tx, lead) for lead in told)))
    for lead in told:
        _tell(tx, lead, "transcript")


def _put_transcript(tx: Tx, transcript: TranscriptDraft) -> str | None:
    """Write it; return the lead to which it has been attached just now, of which the journal is to tell."""
    lead = tx.one(_FIND, external=external_id_of(transcript.contact_id))
    lead_id = lead[0] if lead else None
    frozen = int(transcript.frozen)
    now_us = to_us(tx.now)
    before = tx.one(_ATTACHED_TO, external=transcript.external_id)
    written = tx.run(
        _TRANSCRIPT,
        external_id=transcript.external_id,
        session_id=transcript.session_id,
        contact_id=transcript.contact_id,
        lead_id=lead_id,
        body=transcript.body,
        frozen=frozen,
        written_us=now_us,
    )
    if not written:
        written = tx.run(
            _REWRITE,
            external=transcript.external_id,
            contact=transcript.contact_id,
            lead=lead_id,
            new_body=transcript.body,
            new_frozen=frozen,
            now_us=now_us,
        )
    # Receipts rewrite a transcript again and again; who looks at the lead is told of the first time.
    return lead_id if written and lead_id is not None and before != (lead_id,) else None


def follow_contact(tx: Tx, moved_from: str, into: str) -> None:
    """Move leads and transcripts to the contact *into*; where both had a lead, that of *into* stays and takes the transcripts."""
    now_us = to_us(tx.now)
    theirs = tx.one(_FIND, external=external_id_of(moved_from))
    kept = tx.one(_FIND, external=external_id_of(into))
    tx.run(_MOVE_LEADS, contact=moved_from, to=into)
    tx.run(_MOVE_TRANSCRIPTS, contact=moved_from, to=into)
    if theirs is not None and kept is None:
        tx.run(_RENAME, lead=theirs[0], external=external_id_of(into), now_us=now_us)
        _tell(tx, theirs[0], "moved")
    elif theirs is not None and kept is not None:
        tx.run(_REATTACH, lead=theirs[0], to=kept[0])
        if tx.run(_MERGE, lead=theirs[0], now_us=now_us):
            _tell(tx, theirs[0], "merged")
    lead = kept or theirs
    if lead is not None:
        tx.run(_ATTACH, lead=lead[0], contact=into)
