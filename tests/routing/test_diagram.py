"""The documents say what the engine does."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
from msgspec.structs import replace

from broker.domain import (
    CallMenu,
    CallSettings,
    ChannelId,
    ContactId,
    ConversationId,
    KeyDoes,
    LineId,
    LineSettings,
    LoadKind,
    MenuKey,
    MessageId,
    NoAnswer,
    OperatorId,
    Outside,
    PresenceState,
    Rating,
    SessionId,
    Status,
)
from broker.events import (
    CallEnded,
    CallRated,
    CallReady,
    Close,
    Consult,
    ConsultAnswered,
    ConsultEnded,
    ContactMessage,
    CustomerNotReached,
    CustomerReached,
    Decline,
    ForwardEnded,
    Held,
    Hold,
    HoldFailed,
    Invite,
    Join,
    KeyPressed,
    KpiDue,
    LeaveSession,
    Listen,
    ListenBegan,
    ListenEnded,
    NoAnswerDue,
    Note,
    Offered,
    OfferExpired,
    OperatorGone,
    Rated,
    ReopenEnded,
    Reply,
    Resume,
    RingAnswered,
    RingEnded,
    RoundDue,
    Settle,
    SilenceDue,
    Snooze,
    SnoozeEnded,
    Spam,
    Start,
    Take,
    TakeOver,
    TalkEnded,
    TalkMoved,
    Transfer,
    VoicemailLeft,
)
from routing.engine import CALL_TABLE, GREETING, LEADS, TABLE, UNANSWERED, decide
from routing.session import Session
from routing.view import OPEN, ConversationView, HoursView, OperatorView, TargetView, View
from tests.support.clock import NOON
from tests.tools import diagram

ANN, BOB = OperatorId("ann"), OperatorId("bob")
MESSAGE = MessageId("m")
HOUR = timedelta(hours=1)
CALLS = CallSettings(
    menu=CallMenu("custom/menu", {"1": MenuKey(KeyDoes.VOICEMAIL), "2": MenuKey(KeyDoes.LINE, line="desk")}), callback_tries=2
)


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
            return [Session(**base, queued_at=NOON, unanswered_since=NOON, answer_due=NOON, kpi_due=NOON)]
        case Status.OFFERED:
            base |= {"queued_at": NOON, "unanswered_since": NOON, "answer_due": NOON, "offered_until": NOON + HOUR, "offer_no": 1}
            return [
                *(Session(**base, offered_to=offered, round_no=1) for offered in ((ANN,), (ANN, BOB))),
                Session(**base, offered_to=(ANN,), passed_by=BOB, passed=True),
            ]
        case Status.ACTIVE:
            return [
                Session(**base, operator_id=ANN, unanswered_since=NOON, answer_due=NOON, kpi_due=NOON),
                *(
                    Session(**base, operator_id=ANN, answered_at=NOON, quiet_until=NOON, quiet_warned=warned)
                    for warned in (False, True)
                ),
            ]
        case Status.SNOOZED:
            return [Session(**base, operator_id=ANN, snoozed_until=NOON + HOUR, counted=counted) for counted in (True, False)]
        case _:
            return [
                Session(**base, operator_id=ANN, closed_at=closed, frozen=frozen)
                for closed, frozen in ((NOON, False), (NOON, True))
            ]


def calls(status):
    """Return calls of *status* as they come."""
    if status is Status.NEW:
        return [None]
    ringing = [replace(one, load=LoadKind.CALL) for one in sessions(status)]
    match status:
        case Status.SNOOZED:
            return []  # nobody puts a caller by
        case Status.OFFERED:
            return [*ringing, *(replace(one, diverts=UNANSWERED) for one in ringing)]
        case Status.QUEUED:
            return [*ringing, *(replace(one, held_why=GREETING, held_until=NOON + HOUR) for one in ringing)]
        case Status.ACTIVE:
            ringing += [replace(one, outgoing=True, tries=tries) for one in ringing[:1] for tries in (0, 1)]
            held = [replace(one, held=True) for one in ringing]
            asking = [
                replace(one, consulted=BOB, invited=(BOB,), consult_lifted=lifted) for one in held for lifted in (False, True)
            ]
            return [*ringing, *held, *asking]
        case Status.CLOSED:
            sent = [replace(one, outcome=to, elsewhere=to) for one in ringing for to in ("voicemail", "forward")]
            missed = [replace(one, operator_id=None) for one in sent]
            return [*ringing, *missed, *(replace(one, forward_to="100") for one in sent if one.elsewhere == "forward")]
    return ringing


def events(kind):
    """Return events of *kind*, by the right and the wrong person, in time and late."""
    times = [NOON, NOON + HOUR, NOON + 3 * HOUR]
    if kind in (Take, Decline, Close, Join, LeaveSession, TakeOver, Hold, Resume, Listen, Settle):
        return [kind(at=at, operator_id=who, command="x") for at, who in product(times, (ANN, BOB))]
    if kind is Transfer:
        return [
            kind(at=NOON, operator_id=who, command="x", assigned=assigned, by_phone=by_phone, **to)
            for who, assigned, by_phone in product((ANN, BOB), (False, True), (False, True))
            for to in ({"to_operator": BOB}, {"to_line": LineId("l")}, {"to_number": "100"})
        ]
    if kind in (Invite, Consult):
        return [kind(at=NOON, operator_id=who, command="x", colleague=BOB) for who in (ANN, BOB)]
    if kind is Spam:
        return [kind(at=NOON, operator_id=who, command="x", ban=ban) for who, ban in product((ANN, BOB), (False, True))]
    if kind is Snooze:
        return [kind(at=NOON, operator_id=who, command="x", until=NOON + HOUR) for who in (ANN, BOB)]
    if kind is Rated:
        return [kind(at=at, rating=Rating.GOOD) for at in times]
    if kind in (Reply, Note, Start):
        return [kind(at=at, operator_id=who, command="x", message_id=MESSAGE) for at, who in product(times, (ANN, BOB))]
    if kind is ContactMessage:
        wanted = [kind(at=NOON, message_id=MESSAGE, due=NOON, operator_id=ANN, now=now) for now in (False, True)]
        return [*(kind(at=at, message_id=MESSAGE) for at in times), *wanted]
    if kind is OfferExpired:
        return [kind(at=NOON + HOUR, offer_no=number) for number in (0, 1)]
    if kind is Offered:
        return [kind(at=NOON, operators=(ANN,), until=NOON + HOUR, fresh_round=fresh) for fresh in (True, False)]
    if kind is Held:
        whys = ("round", "nobody", "rounds_over")
        return [kind(at=NOON, until=until, why=why) for until in (None, NOON + HOUR) for why in whys]
    if kind in (RingAnswered, ConsultAnswered, ListenBegan, ListenEnded):
        return [kind(at=NOON, operator_id=who) for who in (ANN, BOB)]
    if kind is ConsultEnded:
        return [kind(at=NOON, operator_id=who, how="talked") for who in (ANN, BOB)]
    if kind is TalkEnded:
        return [kind(at=NOON, operator_id=who, missing=missing) for who, missing in product((ANN, BOB), (False, True))]
    if kind is TalkMoved:
        return [kind(at=NOON, operator_id=BOB), kind(at=NOON, number="100")]
    if kind is KeyPressed:
        return [kind(at=NOON, key=key) for key in ("1", "2", "9")]
    if kind in (ForwardEnded, CustomerNotReached):
        return [kind(at=NOON, how="busy")]
    if kind is RingEnded:
        return [kind(at=NOON, operators=(ANN,), offer_no=number, how="busy") for number in (0, 1)]
    if kind is CallRated:
        return [kind(at=NOON, stars=5)]
    if kind is VoicemailLeft:
        return [kind(at=NOON, seconds=9)]
    if kind is OperatorGone:
        return [
            kind(at=NOON, operator_id=ANN, vanished=vanished, removed=removed)
            for vanished, removed in product((False, True), repeat=2)
        ]
    assert kind in (
        RoundDue,
        NoAnswerDue,
        ReopenEnded,
        SnoozeEnded,
        SilenceDue,
        KpiDue,
        CallEnded,
        HoldFailed,
        CallReady,
        CustomerReached,
    )
    return [kind(at=at) for at in times]


def views(load=LoadKind.CHAT):
    """Return views in which the operator may everything, is full, is a stranger, and is nobody."""
    conversation = ConversationView(
        ConversationId("c"), ChannelId("ch"), LineId("l"), ContactId("p"), load, 0, True, SessionId("next")
    )
    able = OperatorView(ANN, True, True, True, PresenceState.ONLINE, 100, 0, phone=True)
    full = OperatorView(ANN, True, True, False, PresenceState.ONLINE, 100, 100)
    stranger = OperatorView(ANN, True, False, False, PresenceState.ONLINE, 100, 0)
    shut = HoursView(open=False, opens_at=NOON + HOUR)
    return [
        View(
            LineSettings(outside=outside, auto_close_seconds=600, no_answer_does=rule, calls=CALLS),
            conversation,
            operator,
            hours,
            colleague=replace(able, operator_id=BOB),
            target=TargetView(LineId("l2"), exists=True),
            target_line=LineSettings(),
        )
        for operator in (able, full, stranger, None)
        for outside, hours, rule in (
            (Outside.KEEP, OPEN, NoAnswer.TEXT),
            (Outside.KEEP, OPEN, NoAnswer.QUEUE),
            (Outside.KEEP, OPEN, NoAnswer.LINE),
            (Outside.KEEP, shut, NoAnswer.TEXT),
            (Outside.REPLY, shut, NoAnswer.TEXT),
        )
    ]


def gone(status, kind, some, load):
    """Return where an event of *kind* leads *some* sessions."""
    found = set()
    for session, event, view in product(some, events(kind), views(load)):
        if session is not None and getattr(event, "due", None):
            continue  # a call that we make is a conversation of its own
        after, _ = decide(session, event, view, event.at)
        found.add(after.status if after is not None else Status.NEW)
    return found - {status}


@pytest.mark.parametrize("pair", list(TABLE), ids=lambda pair: f"{pair[0]}-{pair[1].__name__}")
def test_every_move_is_drawn(pair):
    """Whatever the circumstances, an event leads where LEADS says or nowhere, and each drawn arrow is gone somewhere."""
    status, kind = pair
    ways = gone(status, kind, sessions(status), LoadKind.CHAT)
    if pair not in CALL_TABLE:
        ways |= gone(status, kind, calls(status), LoadKind.CALL)

    assert ways == set(LEADS.get(TABLE[pair], ())) - {status}


@pytest.mark.parametrize("pair", list(CALL_TABLE), ids=lambda pair: f"{pair[0]}-{pair[1].__name__}")
def test_every_move_of_calls_alone_is_drawn(pair):
    """Where the telephone has a rule of its own."""
    status, kind = pair

    assert gone(status, kind, calls(status), LoadKind.CALL) == set(LEADS.get(CALL_TABLE[pair], ())) - {status}
