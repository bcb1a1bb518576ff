"""Who may see a session, and in which list. Pure.

    mine      held by me, offered to me, passed on by me and not taken yet, or with me among those who joined or are invited
    waiting   queued in a line of mine (a supervisor's lines are all)

What is in neither list may still be looked at while its line is mine: in the list of all, or opened.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import LineId, OperatorId, Status
from broker.errors import Forbidden

Listed = Literal["mine", "waiting", ""]

_QUEUED = Status.QUEUED.value
_CLOSED = Status.CLOSED.value


class Where(NamedTuple):
    """Where a session stands, as far as it decides who sees it."""

    line_id: str
    status: str
    operator_id: str | None
    """Who holds it; of a closed one who held it last."""
    offered_to: tuple[str, ...]
    members: tuple[str, ...] = ()
    """Who joined."""
    invited: tuple[str, ...] = ()
    passed_by: str | None = None
    """Who passed it on to the colleague to whom it is offered."""

    @property
    def people(self) -> tuple[str, ...]:
        """Who has to do with it: its holder or who passed it on, those it is offered to, who joined and who is invited."""
        holder = tuple(one for one in (self.operator_id, self.passed_by) if one is not None)
        if not holder and not self.members and not self.invited:
            return self.offered_to
        return tuple(dict.fromkeys((*holder, *self.offered_to, *self.members, *self.invited)))

    @property
    def waits(self) -> bool:
        """Return whether it stands in the waiting list of its line."""
        return self.status == _QUEUED

    @property
    def closed(self) -> bool:
        """Return whether it has ended."""
        return self.status == _CLOSED


def listed(actor: Actor, where: Where) -> Listed:
    """Return the list of *actor* in which the session stands."""
    me = actor.operator_id
    if me in where.offered_to or (where.status != _CLOSED and me in where.people):
        return "mine"
    if where.status == _QUEUED and actor.sees(where.line_id):
        return "waiting"
    return ""


def may_see(actor: Actor, where: Where) -> bool:
    """Return whether *actor* may look at the session at all."""
    return actor.sees(where.line_id) or actor.operator_id in where.people


def may_see_lead(actor: Actor, line_id: str | None, responsible_id: str | None) -> bool:
    """Return whether *actor* may look at a lead of the line."""
    try:
        authorize(
            actor,
            Action.READ_LEADS,
            Thing(
                LineId(line_id) if line_id is not None else None,
                OperatorId(responsible_id) if responsible_id is not None else None,
            ),
        )
    except Forbidden:
        return False
    return True


def keeps(actor: Actor, before: Where | None, after: Where) -> bool:
    """Return whether a card that left the lists of *actor* is shown once more instead of taken away: they closed it themselves."""
    return after.closed and before is not None and not before.closed and before.operator_id == actor.operator_id


def holds(actor: Actor, where: Where) -> bool:
    """Return whether *actor* has the session now, or joined it."""
    return actor.operator_id in (where.operator_id, *where.members) and not where.closed
