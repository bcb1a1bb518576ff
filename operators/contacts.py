"""What supervisors change about a person: whose customer they are, whether they are banned, how soon they are served."""

from __future__ import annotations

from uuid import UUID

import msgspec

from broker import inbound
from broker.access.authorize import Action, Actor, authorize
from broker.domain import ContactId, Directory, OperatorId
from broker.errors import BadInput
from broker.ports import Tx
from broker.store import journal
from operators import threads

KIND = "contact"
"""Of its rows in the journal: those of a change have no conversation."""


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
