"""A session as the engine knows it, and what the engine may decide. Pure values, canonical JSON.

Offers of one moment share a deadline and a number: all at once offers many, the other rules one.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from broker.domain import (
    ChannelId,
    ContactId,
    ConversationId,
    LineId,
    LoadKind,
    MessageId,
    OperatorId,
    Rating,
    SessionId,
    Status,
)


class Session(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One episode of service; replaced whole by each decision."""

    id: SessionId
    conversation_id: ConversationId
    line_id: LineId
    channel_id: ChannelId
    contact_id: ContactId
    opened_at: datetime
    status: Status
    weight: int
    """What it takes of an operator's budget."""
    priority: int = 0
    operator_id: OperatorId | None = None
    """Who holds it while ACTIVE, who held it last when CLOSED."""
    queued_at: datetime | None = None
    """Since when it waits; its age in the queue."""

    offered_to: tuple[OperatorId, ...] = ()
    offered_until: datetime | None = None
    offer_no: int = 0
    round_no: int = 0
    round_began: datetime | None = None
    asked: tuple[OperatorId, ...] = ()
    """Who declined or let an offer run out in this round."""
    held_until: datetime | None = None
    held_why: str = ""
    """Why fit seats must wait for it: round, rounds_over, responsible, skill."""
    rounds_over: bool = False
    """All rounds are done: it waits for a change in the pool."""
    over_changes: int = 0
    """How often the pool had changed by then: at a later count its rounds begin again."""
    skips: int = 0
    """Offers of it that were declined or ran out, over all rounds."""

    load: LoadKind = LoadKind.CHAT
    responsible_id: OperatorId | None = None
    """Whose customer it is; asked first until *responsible_until*."""
    responsible_until: datetime | None = None
    needs: tuple[str, ...] = ()
    """What an operator must have until *needs_until*: `language:ru`, `skill:billing`."""
    needs_until: datetime | None = None
    opens_at: datetime | None = None
    """It waits for the line's hours: when these begin."""

    told_opening: datetime | None = None
    """The opening of which its customer was told last; routing.engine.NEVER: that there is none."""
    unanswered_since: datetime | None = None
    answered_at: datetime | None = None
    no_answer_said: bool = False
    """The customer was told that everybody is busy, since they were answered last."""
    nobody_told: bool = False
    """Supervisors were told that there is nobody, since it began to wait or was offered last."""
    answer_due: datetime | None = None
    """When the line's rule for an answer that does not come is due; None: none is."""
    kpi_due: datetime | None = None
    """When supervisors are told that the customer has waited longer than was promised."""
    sent_on: bool = False
    """It went to another line because nobody answered: not a second time."""
    closed_at: datetime | None = None
    frozen: bool = False
    outcome: str = ""
    reopened: int = 0

    counted: bool = True
    """While ACTIVE or SNOOZED: its weight is taken from its operator's budget."""
    passed_by: OperatorId | None = None
    """While OFFERED: who had it when it was passed on, and has it again if the colleague does not take it."""
    passed: bool = False
    """While OFFERED: to a colleague by name, who becomes the contact's responsible by taking it."""
    members: tuple[OperatorId, ...] = ()
    """Colleagues who joined."""
    invited: tuple[OperatorId, ...] = ()
    snoozed_until: datetime | None = None
    quiet_until: datetime | None = None
    """While ACTIVE: when it is closed, or its customer warned, if nobody writes."""
    quiet_warned: bool = False
    """The customer was told that it will be closed."""
    kpi_missed: int = 0
    rating: Rating | None = None
    rating_until: datetime | None = None
    """Until when an answer of the customer is taken as a rating; None: they were not asked."""
    rating_asked: bool = False
    """The customer was asked since they were answered last."""
    rating_thanked: bool = False
    """Thanks were said since it was last asked."""
    diverts: str = ""
    """Of a call: why it is to go elsewhere as soon as no phone rings for it. unanswered: it has waited as long as its line lets it;
    outside: the line has closed."""
    sent_because: str = ""
    """Of a call that was sent elsewhere: unanswered, outside, or key: its caller wanted it so."""
    elsewhere: str = ""
    """Where its caller was sent when nobody answered: voicemail, forward, hang_up; away: where a phone has passed them on to."""
    outgoing: bool = False
    """A call that we make: its customer is on the line only when *reached*."""
    reached: bool = False
    promised_at: datetime | None = None
    """When its customer is to be called."""
    mine_only: bool = False
    """It is made by whoever wanted it, and by nobody else."""
    tries: int = 0
    """How often its customer was called and did not answer."""
    forward_to: str = ""
    """The number outside to which an operator has passed it on; empty: its line's."""
    held: bool = False
    """Of a call while ACTIVE: its caller hears music, for the operator has put them on hold or asks a colleague."""
    held_at: datetime | None = None
    """Since when it is held."""
    consulted: OperatorId | None = None
    """Of a call while held: the colleague who is asked about it, whose budget has its weight."""
    consult_no: int = 0
    """How often a colleague was asked."""
    consult_lifted: bool = False
    """The colleague has lifted the phone."""
    consult_invited: bool = False
    """They are invited because they are asked, and only for as long."""
    listens: OperatorId | None = None
    """Of a call while ACTIVE: the supervisor whose phone is to ring so that they hear it."""
    listens_how: str = ""
    listen_no: int = 0
    """How often somebody wanted to hear it."""
    listeners: tuple[OperatorId, ...] = ()
    """Supervisors who hear it."""
    stars: int = 0
    """What its caller rated the talk by key, 1 to 5; 0: they did not."""
    voicemail_seconds: int = 0
    """How long its caller spoke to the machine; 0: they did not."""


class _Decision(msgspec.Struct, frozen=True, tag_field="do", omit_defaults=True):
    """The root of decisions: what the worker must do beside keeping the new session."""


class Say(_Decision, frozen=True, tag="say"):
    """The line says one of its texts: a key of routing.replies.CATALOGUE."""

    reply: str


class Divert(_Decision, frozen=True, tag="divert"):
    """The call goes elsewhere than to an operator: voicemail, forward, hang_up; the session's outcome says the same."""

    to: str


class Deliver(_Decision, frozen=True, tag="deliver"):
    """The operator's message goes to the customer."""

    message_id: MessageId
    operator_id: OperatorId


class Keep(_Decision, frozen=True, tag="keep"):
    """The operator's note stays among operators."""

    message_id: MessageId
    operator_id: OperatorId


class SetTimer(_Decision, frozen=True, tag="set_timer"):
    """Enter the event of *name* at *due*."""

    name: str
    due: datetime


class CancelTimer(_Decision, frozen=True, tag="cancel_timer"):
    """Forget the timer *name*."""

    name: str


class Alert(_Decision, frozen=True, tag="alert"):
    """Supervisors are told: kpi_first, kpi_next, nobody."""

    what: str


class Ban(_Decision, frozen=True, tag="ban"):
    """What the contact writes from now on opens no session."""


class MakeResponsible(_Decision, frozen=True, tag="make_responsible"):
    """The contact is the operator's from now on."""

    operator_id: OperatorId


class Reserve(_Decision, frozen=True, tag="reserve"):
    """Take the session's weight from the operator's budget; the store refuses what would exceed it, and a second call.

    *forced*: whether there is room or not, for they have it already.
    """

    operator_id: OperatorId
    forced: bool = False


class Release(_Decision, frozen=True, tag="release"):
    """Give the session's weight back to the operator's budget; *weight*: what it weighed, if it weighs another now."""

    operator_id: OperatorId
    weight: int | None = None


class MakeOffers(_Decision, frozen=True, tag="make_offers"):
    """Record the offers of the session's present `offer_no`."""

    operators: tuple[OperatorId, ...]
    until: datetime


class EndOffers(_Decision, frozen=True, tag="end_offers"):
    """Record how the offers to *operators* ended: taken, declined, ran_out, withdrawn, gone; of a call also busy, unreachable."""

    operators: tuple[OperatorId, ...]
    how: str


class MarkPool(_Decision, frozen=True, tag="mark_pool"):
    """The pool must be distributed again; *seats*: because a seat was freed; *line_id*: of another line than the session's."""

    reason: str
    seats: bool = False
    line_id: LineId | None = None


class Freeze(_Decision, frozen=True, tag="freeze"):
    """The session before this one is over for good: a new one took its place before its reopen window was noticed to have passed."""


class Refuse(_Decision, frozen=True, tag="refuse"):
    """The deed cannot be done; its sender is told *code*."""

    operator_id: OperatorId
    command: str
    code: str


class Ignore(_Decision, frozen=True, tag="ignore"):
    """The event means nothing here, and that is right."""

    reason: str


Decision = (
    Say
    | Alert
    | Ban
    | MakeResponsible
    | Divert
    | Deliver
    | Keep
    | SetTimer
    | CancelTimer
    | Reserve
    | Release
    | MakeOffers
    | EndOffers
    | MarkPool
    | Freeze
    | Refuse
    | Ignore
)
