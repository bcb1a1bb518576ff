"""What supervisors change about a person: whose customer they are, whether they are banned, how soon they are served."""

from __future__ import annotations

from uuid import UUID

import msgspec
from sqlalchemy import bindparam, select

from broker import inbound
from broker.access.authorize import Action, Actor, authorize
from broker.domain import ContactId, ConversationId, Directory, OperatorId
from broker.errors import BadInput
from broker.events import ContactDetails
from broker.ports import Tx
from broker.store import journal
from broker.store.sql import sql
from broker.store.tables import conversations
from operators import threads

KIND = "contact"
"""Of its rows in the journal: those of a change have no conversation."""


def join(tx: Tx, actor: Actor, contact_id: str, other_id: str) -> str:
    """Let two contacts be one person, and return who it is from now on: the one known longer. Raises NotFound, BadInput."""
    one, other = _both(tx, actor, contact_id, other_id)
    older, younger = sorted((one, other), key=lambda found: (found.created_us, found.id))
    theirs = [ConversationId(id_) for (id_,) in tx.all(_CONVERSATIONS, contact=younger.id)]
    inbound.join(tx, ContactId(younger.id), ContactId(older.id))
    for conversation_id in theirs:
        # Their sessions follow when they are looked at next: now.
        inbound.enter(tx, KIND, f"joined:{younger.id}:{conversation_id}", conversation_id, lambda at: ContactDetails(at=at))
    body = {"contact": older.id, "added": (), "moved_from": younger.id, "elsewhere": (), "by": actor.operator_id}
    journal.append(tx, KIND, msgspec.json.encode(body).decode())
    return older.id


def part(tx: Tx, actor: Actor, contact_id: str, other_id: str) -> None:
    """Remember that two contacts are two people. Raises NotFound, BadInput."""
    one, other = _both(tx, actor, contact_id, other_id)
    if inbound.part(tx, ContactId(one.id), ContactId(other.id)):
        journal.append(
            tx, KIND, msgspec.json.encode({"contact": one.id, "parted_from": other.id, "by": actor.operator_id}).decode()
        )


def _both(tx: Tx, actor: Actor, contact_id: str, other_id: str) -> tuple[threads.ContactRow, threads.ContactRow]:
    authorize(actor, Action.CHANGE_CONTACTS)
    one, other = threads.seen_contact(tx, actor, contact_id), threads.seen_contact(tx, actor, other_id)
    if one.id == other.id:
        raise BadInput("this is one contact already", field="other_id", code="same_contact")
    return one, other


_CONVERSATIONS = sql(
    select(conversations.c.id).where(conversations.c.contact_id == bindparam("contact")).order_by(conversations.c.id).limit(500)
)


def change(
    tx: Tx,
    actor: Actor,
    contact_id: str,
    directory: Directory,
    *,
    responsible_id: UUID | str | None = "",
    banned: bool | None = None,
    priority: int | None = None,
) -> None:
    """Change what is given and differs, and tell it. *responsible_id*: None takes them from everybody, empty leaves them where they are.

    Raises NotFound for somebody the actor may not see; BadInput for a responsible who is not of the house.
    """
    authorize(actor, Action.CHANGE_CONTACTS)
    found = threads.seen_contact(tx, actor, contact_id)
    contact = ContactId(found.id)
    responsible = OperatorId(str(responsible_id)) if responsible_id else None
    changed: list[str] = []
    if responsible_id != "" and responsible != found.responsible:
        operator = directory.operators.get(responsible) if responsible is not None else None
        if responsible is not None and (operator is None or not operator.active):
            raise BadInput("there is no such person in the house, or they are switched off", field="responsible_id")
        inbound.set_responsible(tx, contact, responsible)
        changed.append("responsible")
    if banned is not None and banned != found.banned:
        inbound.set_banned(tx, contact, banned=banned)
        changed.append("banned")
    if priority is not None and priority != found.priority:
        inbound.set_priority(tx, contact, priority)
        changed.append("priority")
    if changed:
        body = msgspec.json.encode({"contact": contact, "changed": changed, "by": actor.operator_id}).decode()
        journal.append(tx, KIND, body)
