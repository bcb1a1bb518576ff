"""The documents say what the engine does."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from broker.domain import (
    ChannelId,
    ContactId,
    ConversationId,
    LineId,
    LineSettings,
    LoadKind,
    MessageId,
    OperatorId,
    Outside,
    PresenceState,
    SessionId,
    Status,
)
from broker.events import (
    Close,
    ContactMessage,
    Decline,
    Held,
    NoAnswerDue,
    Note,
    Offered,
    OfferExpired,
    OperatorGone,
    ReopenEnded,
    Reply,
    RoundDue,
    Take,
)
from routing.engine import LEADS, TABLE, decide
from routing.session import Session
from routing.view import OPEN, ConversationView, HoursView, OperatorView, View
from tests.support.clock import NOON
from tests.tools import diagram

ANN, BOB = OperatorId("ann"), OperatorId("bob")
MESSAGE = MessageId("m")
HOUR = timedelta(hours=1)


def test_the_drawn_table_is_in_step():
    """The document in docs/ is what the table says now."""
    assert diagram.PATH.read_text(encoding="utf-8") == diagram.render()


def sessions(status):
    """Return sessions of *status* as they come."""
    if status is Status.NEW:
        return [None]
    base = {
        "id": SessionId("s"),
        "conversation_id": ConversationId("c"),
        "line_id": LineId("l"),
        "channel_id": ChannelId("ch"),
        "contact_id": ContactId("p"),
        "opened_at": NOON,
        "status": status,
        "weight": 25,
    }
    match status:
        case Status.QUEUED:
            return [Session(**base, queued_at=NOON)]
        case Status.OFFERED:
            return [
                Session(**base, queued_at=NOON, offered_to=offered, offered_until=NOON + HOUR, offer_no=1, round_no=1)
                for offered in ((ANN,), (ANN, BOB))
            ]
        case Status.ACTIVE:
            return [Session(**base, operator_id=ANN)]
        case _:
            return [
                Session(**base, operator_id=ANN, closed_at=closed, frozen=frozen)
                for closed, frozen in ((NOON, False), (NOON, True))
            ]


def events(kind):
    """Return events of *kind*, by the right and the wrong person, in time and late."""
    times = [NOON, NOON + HOUR, NOON + 3 * HOUR]
    if kind in (Take, Decline, Close):
        return [kind(at=at, operator_id=who, command="x") for at, who in product(times, (ANN, BOB))]
    if kind in (Reply, Note):
        return [kind(at=at, operator_id=who, command="x", message_id=MESSAGE) for at, who in product(times, (ANN, BOB))]
    if kind is ContactMessage:
        return [kind(at=at, message_id=MESSAGE) for at in times]
    if kind is OfferExpired:
        return [kind(at=NOON + HOUR, offer_no=number) for number in (0, 1)]
    if kind is Offered:
        return [kind(at=NOON, operators=(ANN,), until=NOON + HOUR, fresh_round=fresh) for fresh in (True, False)]
    if kind is Held:
        return [kind(at=NOON, until=until, why=why) for until in (None, NOON + HOUR) for why in ("round", "nobody")]
    if kind is OperatorGone:
        return [
            kind(at=NOON, operator_id=ANN, vanished=vanished, removed=removed)
            for vanished, removed in product((False, True), repeat=2)
        ]
    assert kind in (RoundDue, NoAnswerDue, ReopenEnded)
    return [kind(at=NOON)]


def views():
    """Return views in which the operator may everything, is full, is a stranger, and is nobody."""
    conversation = ConversationView(
        ConversationId("c"), ChannelId("ch"), LineId("l"), ContactId("p"), LoadKind.CHAT, 0, True, SessionId("next")
    )
    able = OperatorView(ANN, True, True, True, PresenceState.ONLINE, 100, 0)
    full = OperatorView(ANN, True, True, False, PresenceState.ONLINE, 100, 100)
    stranger = OperatorView(ANN, True, False, False, PresenceState.ONLINE, 100, 0)
    shut = HoursView(open=False, opens_at=NOON + HOUR)
    return [
        View(LineSettings(outside=outside), conversation, operator, hours)
        for operator in (able, full, stranger, None)
        for outside, hours in ((Outside.KEEP, OPEN), (Outside.KEEP, shut), (Outside.REPLY, shut))
    ]


@pytest.mark.parametrize("pair", list(TABLE), ids=lambda pair: f"{pair[0]}-{pair[1].__name__}")
def test_every_move_is_drawn(pair):
    """Whatever the circumstances, an event leads where LEADS says or nowhere, and each drawn arrow is gone somewhere."""
    status, kind = pair
    gone = set()
    for session, event, view in product(sessions(status), events(kind), views()):
        after, _ = decide(session, event, view, event.at)
        gone.add(after.status if after is not None else Status.NEW)

    drawn = set(LEADS.get(TABLE[pair], ()))

    assert gone - {status} == drawn - {status}
