"""The engine's own tests: a session of each status, who looks at it, and how a decision about it is asked for."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from broker.domain import (
    ChannelId,
    ContactId,
    ConversationId,
    LineId,
    LineSettings,
    LoadKind,
    MessageId,
    OperatorId,
    PresenceState,
    Rating,
    SessionId,
    Status,
)
from broker.events import SessionEvent
from routing.engine import decide
from routing.session import Refuse, Session
from routing.view import OPEN, ConversationView, HoursView, OperatorView, TargetView, View
from tests.support.clock import MINUTE, NOON

ANN, BOB = OperatorId("ann"), OperatorId("bob")
SHOP, DESK = LineId("shop"), LineId("desk")
M1 = MessageId("m1")
LINE = LineSettings()
HOUR = timedelta(hours=1)
OPENS = NOON + HOUR
"""When a line that is closed at noon opens."""
SHUT = HoursView(open=False, opens_at=OPENS)

QUEUED = Session(
    id=SessionId("s1"),
    conversation_id=ConversationId("c1"),
    line_id=SHOP,
    channel_id=ChannelId("page"),
    contact_id=ContactId("eve"),
    opened_at=NOON,
    status=Status.QUEUED,
    weight=25,
    queued_at=NOON,
    unanswered_since=NOON,
    answer_due=NOON + MINUTE,
)
OFFERED = replace(
    QUEUED, status=Status.OFFERED, offered_to=(ANN,), offered_until=NOON + MINUTE, offer_no=1, round_no=1, round_began=NOON
)
ACTIVE = replace(QUEUED, status=Status.ACTIVE, operator_id=ANN, queued_at=None)
ANSWERED = replace(ACTIVE, unanswered_since=None, answered_at=NOON, answer_due=None)
CLOSED = replace(ANSWERED, status=Status.CLOSED, closed_at=NOON)


def person(operator: OperatorId = ANN, **changes: Any) -> OperatorView:
    """Return an operator who may do everything an operator may."""
    view = OperatorView(
        operator, active=True, seated=True, supervises=False, presence=PresenceState.ONLINE, budget=100, reserved=0
    )
    return replace(view, **changes)


def conversation(**changes: Any) -> ConversationView:
    """Return a stranger's conversation."""
    view = ConversationView(
        conversation_id=ConversationId("c1"),
        channel_id=ChannelId("page"),
        line_id=SHOP,
        contact_id=ContactId("eve"),
        load=LoadKind.CHAT,
        contact_priority=0,
        first_time=True,
        new_session_id=SessionId("s2"),
    )
    return replace(view, **changes)


def view(
    line: LineSettings = LINE,
    who: OperatorView | None = None,
    hours: HoursView = OPEN,
    *,
    colleague: OperatorView | None = None,
    to: LineId = DESK,
    exists: bool = True,
    target_line: LineSettings = LINE,
    language: str = "",
    contact_priority: int = 0,
    talk: ConversationView | None = None,
    rating: Rating | None = None,
) -> View:
    """Return what a decision may see."""
    target = TargetView(to, exists, language, contact_priority)
    return View(
        line,
        talk or conversation(),
        who,
        hours,
        colleague=colleague,
        target=target,
        target_line=target_line,
        rating=rating,
    )


def after(
    session: Session | None, event: SessionEvent, seen: View | None = None, now: datetime = NOON
) -> tuple[Session, tuple[Any, ...]]:
    """Decide, and return the session, which there must be, with the decisions."""
    made, decisions = decide(session, event, seen or view(who=person()), now)
    assert made is not None
    return made, decisions


def refused(session: Session | None, event: Any, seen: View | None = None) -> str:
    """Decide what must be refused without a trace, and return the code its sender is told."""
    made, decisions = decide(session, event, seen or view(who=person(event.operator_id)), NOON)
    assert made is session
    (refusal,) = decisions
    assert isinstance(refusal, Refuse)
    assert (refusal.operator_id, refusal.command) == (event.operator_id, event.command)
    return refusal.code
