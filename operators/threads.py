"""A session's thread, with the notes of colleagues, and the person beside it. Never shown to a customer."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
from sqlalchemy import bindparam, select

from broker import extras
from broker.access.authorize import Actor
from broker.domain import Directory, OperatorId, PointKind, Source
from broker.errors import NotFound
from broker.extras import Extra
from broker.ports import Row, Tx
from broker.store.sql import cols, page, sql
from broker.store.tables import channels, contact_points, contacts, conversations, duplicates, leads, messages, sessions
from operators import cards
from operators.audience import may_see
from operators.cards import Watched
from operators.frames import Alike, Contact, Point, Shown

PAGE = 100
POINTS_MAX = 50
EARLIER_MAX = 10
LEADS_MAX = 10
ALIKE_MAX = 5
VERSIONS_SHOWN = 5
"""Earlier wordings of a message, its first among them: a page of a hundred must stay one."""

SHOWN_COLUMNS = "id seq kind author operator_id text client_id fate problem at_us session_id extra"
_BEFORE = page(
    select(*cols(messages, SHOWN_COLUMNS))
    .where(messages.c.conversation_id == bindparam("conversation"), messages.c.seq < bindparam("before"))
    .order_by(messages.c.seq.desc())
    .limit(PAGE + 1)
)
_AFTER = page(
    select(*cols(messages, SHOWN_COLUMNS))
    .where(messages.c.conversation_id == bindparam("conversation"), messages.c.seq > bindparam("after"))
    .order_by(messages.c.seq)
    .limit(PAGE + 1)
)
_CONTACT = sql(
    select(*cols(contacts, "id name language responsible_id created_us priority banned_us avatar merged_into")).where(
        contacts.c.id == bindparam("contact")
    )
)
_POINTS = sql(
    select(*cols(contact_points, "kind value written evidence"), channels.c.kind, channels.c.name)
    .outerjoin_from(contact_points, channels, channels.c.id == contact_points.c.scope)
    .where(contact_points.c.contact_id == bindparam("contact"))
    .order_by(contact_points.c.created_us)
    .limit(POINTS_MAX)
)
_CONVERSATION = sql(select(*cols(conversations, "source unreachable")).where(conversations.c.id == bindparam("conversation")))
_OF_CONTACT = sql(
    select(sessions.c.id)
    .join_from(conversations, sessions, sessions.c.conversation_id == conversations.c.id)
    .where(conversations.c.contact_id == bindparam("contact"))
    .order_by(sessions.c.opened_us.desc(), sessions.c.id.desc())
    .limit(4 * EARLIER_MAX)
)
_open = duplicates.c.dismissed_us.is_(None)
_ALIKE = select(contacts.c.id, contacts.c.name, *cols(duplicates, "kind value evidence"))
_SUSPECTS = sql(
    _ALIKE.join_from(duplicates, contacts, contacts.c.id == duplicates.c.other_id)
    .where(duplicates.c.contact_id == bindparam("contact"), _open, contacts.c.merged_into.is_(None))
    .limit(20)
)
_SUSPECTED = sql(
    _ALIKE.join_from(duplicates, contacts, contacts.c.id == duplicates.c.contact_id)
    .where(duplicates.c.other_id == bindparam("contact"), _open, contacts.c.merged_into.is_(None))
    .limit(20)
)
_LEADS = sql(
    select(*cols(leads, "id title stage"))
    .where(leads.c.contact_id == bindparam("contact"))
    .order_by(leads.c.created_us.desc())
    .limit(LEADS_MAX)
)
NEWEST = 2**62
"""Before this seq come all of them."""


class ContactRow(NamedTuple):
    """A person, as their own row says it."""

    id: str
    name: str
    language: str
    responsible: str | None
    created_us: int
    priority: int
    banned_us: int | None
    avatar: str

    @property
    def banned(self) -> bool:
        """Return whether what they write opens no session."""
        return self.banned_us is not None


def seen_session(tx: Tx, actor: Actor, session_id: str) -> Watched:
    """Return the session. Raises NotFound also for one that *actor* may not see."""
    watched = cards.load(tx, session_id)
    if watched is None or not may_see(actor, watched.where):
        raise NotFound("there is no such session among those you may see")
    return watched


def before(tx: Tx, conversation_id: str, seq: int, directory: Directory) -> tuple[tuple[Shown, ...], bool]:
    """Return the page of messages before *seq*, oldest first, and whether there is more before it."""
    rows = tx.all(_BEFORE, conversation=conversation_id, before=seq)
    return tuple(shown(row, directory) for row in reversed(rows[:PAGE])), len(rows) > PAGE


def after(tx: Tx, conversation_id: str, seq: int, directory: Directory) -> tuple[tuple[Shown, ...], bool]:
    """Return the page of messages after *seq*, oldest first, and whether there is more after it."""
    rows = tx.all(_AFTER, conversation=conversation_id, after=seq)
    return tuple(shown(row, directory) for row in rows[:PAGE]), len(rows) > PAGE


def shown(row: Row, directory: Directory) -> Shown:
    """Return the message of *row* (SHOWN_COLUMNS) as operators see it."""
    id_, seq, kind, author, operator, text, client_id, fate, problem, at_us, session, extra = row
    name = ""
    if operator is not None:
        person = directory.operators.get(operator)
        name = person.name if person is not None else ""
    return Shown(
        id_,
        seq,
        author,
        kind,
        text,
        at_us // 1000,
        fate,
        name,
        operator or "",
        client_id if author == "operator" and (extra is None or '"elsewhere":true' not in extra) else "",
        problem,
        session or "",
        shown_extra(extra) if extra is not None else None,
    )


def shown_extra(kept: str) -> Extra:
    """Return what a message has beside its words, without the provider's names of files: some of them are keys."""
    extra = extras.read(kept)
    if len(extra.versions) > VERSIONS_SHOWN:
        extra = msgspec.structs.replace(extra, versions=(extra.versions[0], *extra.versions[-VERSIONS_SHOWN + 1 :]))
    return msgspec.structs.replace(extra, files=tuple(msgspec.structs.replace(file, ref="", origin="") for file in extra.files))


def seen_contact(tx: Tx, actor: Actor, contact_id: str) -> ContactRow:
    """Return who that is now, merged or not. Raises NotFound also for somebody with whom *actor* has nothing to do."""
    found = _contact(tx, contact_id)
    # Who sees every line sees everybody, also one who has no session yet.
    if actor.lines is not None and not _sessions(tx, actor, found.id):
        raise _unseen()
    return found


def contact(tx: Tx, actor: Actor, contact_id: str, directory: Directory, watched: Watched | None = None) -> Contact:
    """Return the card of a person, with the sessions *actor* may see; *watched* is the one it stands beside. Raises NotFound."""
    found = _contact(tx, contact_id)
    seen = _sessions(tx, actor, found.id)
    if watched is None and actor.lines is not None and not seen:
        raise _unseen()
    came_by, unreachable = _conversation(tx, watched or (seen[0] if seen else None))
    person = directory.operators.get(OperatorId(found.responsible)) if found.responsible else None
    beside = watched.session if watched is not None else ""
    return Contact(
        id=found.id,
        name=found.name,
        language=found.language,
        # Two browsers of one person are one way to reach them.
        points=tuple(dict.fromkeys(_point(*row) for row in tx.all(_POINTS, contact=found.id))),
        responsible=found.responsible or "",
        responsible_name=person.name if person is not None else "",
        banned=found.banned,
        priority=found.priority,
        since=found.created_us // 1000,
        page=came_by.page,
        title=came_by.title,
        referrer=came_by.referrer,
        utm=came_by.utm,
        earlier=tuple(one.card_for(actor, directory) for one in seen if one.session != beside)[:EARLIER_MAX],
        avatar=bool(found.avatar),
        unreachable=unreachable,
        start=came_by.start,
        alike=_alike(tx, actor, found.id),
        leads=tuple({"id": lead, "title": title, "stage": stage} for lead, title, stage in tx.all(_LEADS, contact=found.id)),
    )


def _contact(tx: Tx, contact_id: str) -> ContactRow:
    row = tx.one(_CONTACT, contact=contact_id)
    if row is not None and row[-1] is not None:
        row = tx.one(_CONTACT, contact=row[-1])
    if row is None:
        raise NotFound("there is no such contact")
    return ContactRow(*row[:-1])


def _sessions(tx: Tx, actor: Actor, contact_id: str) -> list[Watched]:
    """Return the contact's latest sessions that *actor* may see."""
    known = cards.load_all(tx, (session for (session,) in tx.all(_OF_CONTACT, contact=contact_id)))
    return [one for one in known if may_see(actor, one.where)]


def _unseen() -> NotFound:
    return NotFound("there is no such contact among those you may see")


def _point(kind: str, value: str, written: str, evidence: str, channel: str | None, channel_name: str | None) -> Point:
    if channel is None:
        return Point(kind, written or value, evidence, number=value if kind == PointKind.PHONE.value else "")
    # An identity is its adapter's word and says nothing to a person, unless it has another form for them.
    return Point(kind, written if written != value else "", evidence, channel, channel_name or "")


def _alike(tx: Tx, actor: Actor, contact_id: str) -> tuple[Alike, ...]:
    """Return who may be the same person, of those *actor* has to do with."""
    found: dict[str, Alike] = {}
    rows = [*tx.all(_SUSPECTS, contact=contact_id), *tx.all(_SUSPECTED, contact=contact_id)]
    for other, name, kind, value, evidence in rows:
        if other not in found and other != contact_id and (actor.lines is None or _sessions(tx, actor, other)):
            found[other] = Alike(other, name, kind, value, evidence)
    return tuple(found.values())[:ALIKE_MAX]


def _conversation(tx: Tx, watched: Watched | None) -> tuple[Source, str]:
    """Return where the customer came from, and why they take our messages no more."""
    row: tuple[Any, ...] | None = tx.one(_CONVERSATION, conversation=watched.conversation) if watched is not None else None
    return (msgspec.json.decode(row[0], type=Source), row[1]) if row is not None else (Source(), "")
