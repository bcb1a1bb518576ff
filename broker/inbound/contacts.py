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
from sqlalchemy import bindparam, delete, or_, select, update

from broker.domain import NAME_MAX, ChannelId, ContactId, ConversationId, OperatorId, Person, PointKind, to_us
from broker.extras import cut
from broker.inbound.points import Evidence, Point
from broker.ports import Profile, Tx
from broker.store import journal
from broker.store.sql import cols, insert_new, insert_row, sql
from broker.store.tables import contact_points, contacts, conversations, duplicates

_OWNER = sql(
    select(contact_points.c.contact_id).where(
        contact_points.c.kind == bindparam("kind"),
        contact_points.c.scope == bindparam("scope"),
        contact_points.c.value == bindparam("value"),
    )
)
_OWNER_BY = sql(
    select(contact_points.c.contact_id, contact_points.c.evidence).where(
        contact_points.c.kind == bindparam("kind"), contact_points.c.scope == "", contact_points.c.value == bindparam("value")
    )
)
_VOUCH = sql(
    update(contact_points)
    .values(evidence=Evidence.VOUCHED.value)
    .where(contact_points.c.kind == bindparam("kind"), contact_points.c.scope == "", contact_points.c.value == bindparam("value"))
)
_TAKE_OVER = sql(
    update(contact_points)
    .values(contact_id=bindparam("contact"), evidence=Evidence.VOUCHED.value)
    .where(contact_points.c.kind == bindparam("kind"), contact_points.c.scope == "", contact_points.c.value == bindparam("value"))
)
_SUSPECT = insert_new(duplicates, "contact_id other_id kind value evidence at_us", "contact_id other_id kind value")
_PART = sql(delete(duplicates).where(duplicates.c.contact_id == bindparam("one"), duplicates.c.other_id == bindparam("other")))
_DISMISS = sql(
    update(duplicates)
    .values(dismissed_us=bindparam("now_us"))
    .where(
        duplicates.c.contact_id == bindparam("one"),
        duplicates.c.other_id == bindparam("other"),
        duplicates.c.dismissed_us.is_(None),
    )
)
_CLAIMED_ALL = sql(update(conversations).values(claimed=1).where(conversations.c.contact_id == bindparam("contact")))
_SUSPICIONS = sql(
    select(*cols(duplicates, "contact_id other_id kind value evidence at_us dismissed_us")).where(
        or_(duplicates.c.contact_id == bindparam("contact"), duplicates.c.other_id == bindparam("contact"))
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
    proved: bool = False
    """Their provider vouches for what the contact is known by, by a provider's word."""

    def __bool__(self) -> bool:
        return bool(self.added or self.moved_from or self.elsewhere)


def recognise(tx: Tx, channel: ChannelId, person: Person, points: list[Point]) -> tuple[ContactId, Completed]:
    """Return the contact of a new conversation: by identity, else by what was told, else a new one; completed with *points*."""
    known = contact = _owner(tx, PointKind.CHANNEL, channel, person.identity)
    claimed = False
    if contact is None:
        contact, claimed = _known_by(tx, points)
    made = contact is None
    if contact is None:
        contact = ContactId(tx.new_id())
        now_us = to_us(tx.now)
        tx.run(_NEW, id=contact, name="", language=person.language, created_us=now_us, changed_us=now_us)
    identity = Point(PointKind.CHANNEL, person.identity, (person.nickname or person.identity)[:NAME_MAX], Evidence.IDENTITY)
    if known is None and not _add(tx, contact, identity, channel):
        # Waited for: another process has met them in the same moment.
        if made:
            tx.run(_FORGET, contact=contact)
        met = _owner(tx, PointKind.CHANNEL, channel, person.identity)
        assert met is not None
        contact, claimed = met, False
    return contact, replace(complete(tx, contact, person, points), claimed=claimed)


def complete(tx: Tx, contact: ContactId, person: Person, points: list[Point], *, rename: bool = False) -> Completed:
    """Add what is new of *points* and the name (*rename*: it replaces an older one, for they gave that one too)."""
    moved_from = None
    known, claimed = _known_by(tx, points)
    proved = known == contact and not claimed
    if (
        known not in (None, contact)
        and tx.one(_BANNED, contact=contact) is None  # or typing a phone would let them in again
        and tx.one(_REACHABLE, contact=contact) is None
        and len(tx.all(_IDENTITIES, contact=contact)) <= 1
    ):
        assert known is not None
        moved_from, contact = contact, _move(tx, contact, known, claimed=claimed)
    added: list[str] = []
    elsewhere: list[ContactId] = []
    for point in points:
        if _add(tx, contact, point, ""):
            added.append(point.kind.value)
        elif (owner := _owner(tx, point.kind, "", point.value)) not in (None, contact):
            assert owner is not None
            elsewhere.append(owner)
            _suspect(tx, contact, owner, point)
        elif point.evidence is Evidence.VOUCHED:
            tx.run(_VOUCH, kind=point.kind.value, value=point.value)
    name = person.name.strip()[:NAME_MAX]
    if name and tx.run(_RENAME if rename and moved_from is None else _NAME, contact=contact, new_name=name, now_us=to_us(tx.now)):
        added.append("name")
    elif added:
        tx.run(_TOUCH, contact=contact, now_us=to_us(tx.now))
    return Completed(contact, tuple(added), moved_from, tuple(dict.fromkeys(elsewhere)), proved=proved)


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
        new_avatar=had_avatar or avatar,
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


def _known_by(tx: Tx, points: list[Point]) -> tuple[ContactId | None, bool]:
    """Return who owns one of the points that the person or their provider told of them, and whether that proves nothing.

    Vouched for here and there, it is one person. What a provider vouches for and another has merely written is theirs no longer.
    """
    for point in points:
        if point.evidence is not Evidence.VOUCHED or (found := _owner_by(tx, point)) is None:
            continue
        vouched_for, evidence = found
        if evidence == Evidence.FORM.value:
            # Whoever typed it there may be another: what they wrote proves nothing from now on.
            tx.run(_CLAIMED_ALL, contact=vouched_for)
        if evidence != Evidence.MESSAGE.value:
            return vouched_for, evidence != Evidence.VOUCHED.value
    told = (point for point in points if point.evidence is Evidence.FORM)
    known = next((owner for point in told if (owner := _owner(tx, point.kind, "", point.value)) is not None), None)
    return known, known is not None


def _owner_by(tx: Tx, point: Point) -> tuple[ContactId, str] | None:
    row = tx.one(_OWNER_BY, kind=point.kind.value, value=point.value)
    return (ContactId(row[0]), row[1]) if row else None


def _suspect(tx: Tx, contact: ContactId, owner: ContactId, point: Point) -> None:
    """Keep that two contacts may be one person, and by what; what a provider vouches for moves to whose it is."""
    tx.run(
        _SUSPECT,
        contact_id=contact,
        other_id=owner,
        kind=point.kind.value,
        value=point.value,
        evidence=point.evidence.value,
        at_us=to_us(tx.now),
    )
    if point.evidence is Evidence.VOUCHED and (found := _owner_by(tx, point)) and found[1] == Evidence.MESSAGE.value:
        tx.run(_TAKE_OVER, kind=point.kind.value, value=point.value, contact=contact)


def join(tx: Tx, contact: ContactId, into: ContactId) -> None:
    """Let two contacts be one: *into* has everything from now on. Somebody has looked at both."""
    tx.run(_PART, one=contact, other=into)
    tx.run(_PART, one=into, other=contact)
    for one, other, kind, value, evidence, at_us, dismissed_us in tx.all(_SUSPICIONS, contact=contact):
        alike = {"kind": kind, "value": value, "evidence": evidence, "at_us": at_us}
        ours, theirs = (into, other) if one == contact else (one, into)
        if ours != theirs and tx.run(_SUSPECT, contact_id=ours, other_id=theirs, **alike) and dismissed_us is not None:
            tx.run(_DISMISS, one=ours, other=theirs, now_us=dismissed_us)
    if tx.one(_BANNED, contact=contact) is not None:
        set_banned(tx, into, banned=True)
    _move(tx, contact, into, claimed=False)


def part(tx: Tx, contact: ContactId, other: ContactId) -> bool:
    """Remember that two contacts are two people, whatever they both wrote; False when nobody had thought otherwise."""
    now_us = to_us(tx.now)
    return bool(
        tx.run(_DISMISS, one=contact, other=other, now_us=now_us) + tx.run(_DISMISS, one=other, other=contact, now_us=now_us)
    )


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
