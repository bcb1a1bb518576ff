"""Who is writing: finding the contact by a point, making a new one, completing one with what it told.

A point belongs to one contact. A phone that a provider vouches for is its writer's, whoever they are. Details told in a form may show that
a stranger is a contact we know: when the stranger has nothing but this channel's identity, their conversation moves to the known
contact. What is merely written in a message never moves anything; a point that is somebody else's is left there and noted for the CRM's
search for duplicates.

Typing a phone or an e-mail proves nothing: anybody may type yours. It puts the dialogue on the known contact's card, where an operator
sees it; it shows the customer nothing of that contact and changes nothing that is there. Such a conversation is `claimed`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
from sqlalchemy import bindparam, delete, select, update

from broker.domain import NAME_MAX, ChannelId, ContactId, ConversationId, OperatorId, Person, PointKind, to_us
from broker.extras import cut
from broker.inbound.points import Evidence, Point
from broker.ports import Profile, Tx
from broker.store import journal
from broker.store.sql import cols, insert_new, insert_row, sql
from broker.store.tables import contact_points, contacts, conversations

_OWNER = sql(
    select(contact_points.c.contact_id).where(
        contact_points.c.kind == bindparam("kind"),
        contact_points.c.scope == bindparam("scope"),
        contact_points.c.value == bindparam("value"),
    )
)
_POINT = insert_new(contact_points, "id contact_id kind scope value written evidence created_us", "kind scope value")
_NEW = insert_row(contacts, "id name language created_us changed_us")
_FORGET = sql(delete(contacts).where(contacts.c.id == bindparam("contact")))
_NAME = sql(
    update(contacts)
    .values(name=bindparam("new_name"), changed_us=bindparam("now_us"))
    .where(contacts.c.id == bindparam("contact"), contacts.c.name == "")
)
_TOUCH = sql(update(contacts).values(changed_us=bindparam("now_us")).where(contacts.c.id == bindparam("contact")))
_RENAME = sql(
    update(contacts)
    .values(name=bindparam("new_name"), changed_us=bindparam("now_us"))
    .where(contacts.c.id == bindparam("contact"), contacts.c.name != bindparam("new_name"))
)
_REACHABLE = sql(
    select(contact_points.c.id)
    .where(contact_points.c.contact_id == bindparam("contact"), contact_points.c.kind != PointKind.CHANNEL.value)
    .limit(1)
)
_IDENTITIES = sql(
    select(contact_points.c.id)
    .where(contact_points.c.contact_id == bindparam("contact"), contact_points.c.kind == PointKind.CHANNEL.value)
    .limit(2)
)
_MOVE_POINTS = sql(
    update(contact_points).values(contact_id=bindparam("to")).where(contact_points.c.contact_id == bindparam("contact"))
)
_MOVE_CONVERSATIONS = sql(
    update(conversations)
    .values(contact_id=bindparam("to"), claimed=bindparam("by_word"))
    .where(conversations.c.contact_id == bindparam("contact"))
)
_BANNED = sql(select(contacts.c.id).where(contacts.c.id == bindparam("contact"), contacts.c.banned_us.is_not(None)))
_BANNED_IN = sql(
    select(contacts.c.id)
    .join_from(conversations, contacts, contacts.c.id == conversations.c.contact_id)
    .where(conversations.c.id == bindparam("conversation"), contacts.c.banned_us.is_not(None))
)
_BANNED_AT = sql(
    select(contacts.c.id)
    .join_from(contact_points, contacts, contacts.c.id == contact_points.c.contact_id)
    .where(
        contact_points.c.kind == PointKind.PHONE.value,
        contact_points.c.scope == "",
        contact_points.c.value == bindparam("number"),
        contacts.c.banned_us.is_not(None),
    )
)
_BAN = sql(
    update(contacts)
    .values(banned_us=bindparam("since_us"), changed_us=bindparam("now_us"))
    .where(contacts.c.id == bindparam("contact"))
)
_PRIORITY = sql(
    update(contacts)
    .values(priority=bindparam("new_priority"), changed_us=bindparam("now_us"))
    .where(contacts.c.id == bindparam("contact"))
)
_RESPONSIBLE = sql(
    update(contacts)
    .values(responsible_id=bindparam("operator"), changed_us=bindparam("now_us"))
    .where(contacts.c.id == bindparam("contact"))
)
_LEARNING = sql(
    select(*cols(conversations, "contact_id channel_id told_name"), *cols(contacts, "name language avatar"))
    .join_from(conversations, contacts, contacts.c.id == conversations.c.contact_id)
    .where(conversations.c.id == bindparam("conversation"))
)
_LEARN = sql(
    update(contacts)
    .values(
        name=bindparam("new_name"),
        language=bindparam("new_language"),
        avatar=bindparam("new_avatar"),
        changed_us=bindparam("now_us"),
    )
    .where(contacts.c.id == bindparam("contact"))
)
_TOLD_NAME = sql(
    update(conversations).values(told_name=bindparam("new_name")).where(conversations.c.id == bindparam("conversation"))
)
_NICKNAME = sql(
    update(contact_points)
    .values(written=bindparam("nickname"))
    .where(
        contact_points.c.contact_id == bindparam("contact"),
        contact_points.c.kind == PointKind.CHANNEL.value,
        contact_points.c.scope == bindparam("channel"),
    )
)
_MERGED = sql(
    update(contacts)
    .values(merged_into=bindparam("to"), changed_us=bindparam("now_us"))
    .where(contacts.c.id == bindparam("contact"))
)


@dataclass(frozen=True, slots=True)
class Completed:
    """What completing a contact did; empty when nothing was new."""

    contact_id: ContactId
    added: tuple[str, ...] = ()
    """Kinds of points, and `name`."""
    moved_from: ContactId | None = None
    elsewhere: tuple[ContactId, ...] = ()
    """Other contacts that own a point which this one wrote: possible duplicates."""
    claimed: bool = False
    """The contact was known by nothing but what was told."""

    def __bool__(self) -> bool:
        return bool(self.added or self.moved_from or self.elsewhere)


def recognise(tx: Tx, channel: ChannelId, person: Person, points: list[Point]) -> tuple[ContactId, Completed]:
    """Return the contact of a new conversation: by identity, else by what was told, else a new one; completed with *points*."""
    known = contact = _owner(tx, PointKind.CHANNEL, channel, person.identity)
    claimed = False
    if contact is None and (contact := _known_by(tx, points, Evidence.VOUCHED)) is None:
        claimed = (contact := _known_by(tx, points, Evidence.FORM)) is not None
    if contact is None:
        contact = ContactId(tx.new_id())
        now_us = to_us(tx.now)
        tx.run(_NEW, id=contact, name="", language=person.language, created_us=now_us, changed_us=now_us)
    identity = Point(PointKind.CHANNEL, person.identity, (person.nickname or person.identity)[:NAME_MAX], Evidence.IDENTITY)
    if known is None and not _add(tx, contact, identity, channel):
        # Waited for: another process has met them in the same moment.
        if not claimed:
            tx.run(_FORGET, contact=contact)
        met = _owner(tx, PointKind.CHANNEL, channel, person.identity)
        assert met is not None
        contact, claimed = met, False
    return contact, replace(complete(tx, contact, person, points), claimed=claimed)


def complete(tx: Tx, contact: ContactId, person: Person, points: list[Point], *, rename: bool = False) -> Completed:
    """Add what is new of *points* and the name (*rename*: it replaces an older one, for they gave that one too)."""
    moved_from = None
    vouched = _known_by(tx, points, Evidence.VOUCHED)
    known = vouched or _known_by(tx, points, Evidence.FORM)
    if (
        known not in (None, contact)
        and tx.one(_BANNED, contact=contact) is None  # or typing a phone would let them in again
        and tx.one(_REACHABLE, contact=contact) is None
        and len(tx.all(_IDENTITIES, contact=contact)) <= 1
    ):
        assert known is not None
        moved_from, contact = contact, _move(tx, contact, known, claimed=vouched is None)
    added: list[str] = []
    elsewhere: list[ContactId] = []
    for point in points:
        if _add(tx, contact, point, ""):
            added.append(point.kind.value)
        elif (owner := _owner(tx, point.kind, "", point.value)) not in (None, contact):
            assert owner is not None
            elsewhere.append(owner)
    name = person.name.strip()[:NAME_MAX]
    if name and tx.run(_RENAME if rename and moved_from is None else _NAME, contact=contact, new_name=name, now_us=to_us(tx.now)):
        added.append("name")
    elif added:
        tx.run(_TOUCH, contact=contact, now_us=to_us(tx.now))
    return Completed(contact, tuple(added), moved_from, tuple(dict.fromkeys(elsewhere)))


def learn(tx: Tx, conversation: ConversationId, profile: Profile, avatar: str) -> None:
    """Fill in of the conversation's contact what a provider tells of them, where nothing is known; *avatar*: their picture's sha256."""
    row = tx.one(_LEARNING, conversation=conversation)
    if row is None:
        return
    contact, channel, told_name, name, language, had_avatar = row
    new_name, new_language = cut(profile.name), profile.language.strip()[:35]
    now_us = to_us(tx.now)
    tx.run(
        _LEARN,
        contact=contact,
        new_name=name or new_name,
        new_language=language or new_language,
        new_avatar=avatar or had_avatar,
        now_us=now_us,
    )
    if new_name and not told_name:
        tx.run(_TOLD_NAME, conversation=conversation, new_name=new_name)
    if profile.nickname:
        tx.run(_NICKNAME, contact=contact, channel=channel, nickname=cut(profile.nickname))
    added = ("name",) if new_name and not name else ()
    body = msgspec.json.encode({"contact": contact, "added": added, "moved_from": None, "elsewhere": ()}).decode()
    journal.append(tx, "contact", body, conversation_id=conversation, seq=journal.next_seq(tx, conversation))


def set_banned(tx: Tx, contact: ContactId, *, banned: bool) -> None:
    """Let what the contact writes from now on open no session, or open one again; it is kept either way."""
    now_us = to_us(tx.now)
    tx.run(_BAN, contact=contact, since_us=now_us if banned else None, now_us=now_us)


def is_banned(tx: Tx, conversation: ConversationId) -> bool:
    """Return whether the conversation's contact is banned."""
    return tx.one(_BANNED_IN, conversation=conversation) is not None


def is_banned_at(tx: Tx, number: str) -> bool:
    """Return whether the contact whose phone *number* is, E.164, is banned."""
    return tx.one(_BANNED_AT, number=number) is not None


def set_responsible(tx: Tx, contact: ContactId, operator: OperatorId | None) -> None:
    """Let the contact be *operator*'s: asked first when they write again; None: nobody's."""
    tx.run(_RESPONSIBLE, contact=contact, operator=operator, now_us=to_us(tx.now))


def set_priority(tx: Tx, contact: ContactId, priority: int) -> None:
    """Let sessions of the contact that open from now on have *priority* more than their line's."""
    tx.run(_PRIORITY, contact=contact, new_priority=priority, now_us=to_us(tx.now))


def _known_by(tx: Tx, points: list[Point], evidence: Evidence) -> ContactId | None:
    """Return the contact that owns one of the points we know by *evidence*."""
    told = (point for point in points if point.evidence is evidence)
    return next((owner for point in told if (owner := _owner(tx, point.kind, "", point.value)) is not None), None)


def _owner(tx: Tx, kind: PointKind, scope: str, value: str) -> ContactId | None:
    row = tx.one(_OWNER, kind=kind.value, scope=scope, value=value)
    return ContactId(row[0]) if row else None


def _add(tx: Tx, contact: ContactId, point: Point, scope: str) -> bool:
    return bool(
        tx.run(
            _POINT,
            id=tx.new_id(),
            contact_id=contact,
            kind=point.kind.value,
            scope=scope,
            value=point.value,
            written=point.written,
            evidence=point.evidence.value,
            created_us=to_us(tx.now),
        )
    )


def _move(tx: Tx, stranger: ContactId, known: ContactId, *, claimed: bool) -> ContactId:
    tx.run(_MOVE_POINTS, contact=stranger, to=known)
    tx.run(_MOVE_CONVERSATIONS, contact=stranger, to=known, by_word=int(claimed))
    tx.run(_MERGED, contact=stranger, to=known, now_us=to_us(tx.now))
    return known
