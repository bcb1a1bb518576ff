"""Talks in the engine: passed on, put on hold, a colleague asked, moved by the phones, listened to; whose budget has them meanwhile."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from broker.domain import (
    CallSettings,
    LineSettings,
    LoadKind,
    MessageId,
    OperatorId,
    OutsideCalls,
    PresenceState,
    Status,
    UnansweredCalls,
    Weights,
)
from broker.events import (
    CallEnded,
    Close,
    Consult,
    ConsultAnswered,
    ConsultEnded,
    ForwardEnded,
    Hold,
    HoldFailed,
    Listen,
    ListenBegan,
    ListenEnded,
    OfferExpired,
    OperatorGone,
    Resume,
    RingAnswered,
    RingEnded,
    SessionEvent,
    Spam,
    TalkEnded,
    TalkMoved,
    Transfer,
)
from routing.engine import AWAY, KPI, MEMBERS_MAX, NO_ANSWER, OFFER, OUTSIDE, REOPEN
from routing.session import (
    CancelTimer,
    Divert,
    EndOffers,
    Ignore,
    Keep,
    MakeOffers,
    MakeResponsible,
    MarkPool,
    Refuse,
    Release,
    Reserve,
    Session,
    SetTimer,
)
from routing.view import View
from tests.support.clock import MINUTE, NOON, SECOND
from tests.support.engine import ANN, BOB, DESK, SHOP, SHUT, after, person, refused, view
from tests.support.engine import ANSWERED as CHAT
from tests.support.engine import OFFERED as OFFERED_CHAT
from tests.support.engine import QUEUED as QUEUED_CHAT

SUE, CAT = OperatorId("sue"), OperatorId("cat")
QUEUED = replace(QUEUED_CHAT, load=LoadKind.CALL, weight=50)
RINGS = replace(OFFERED_CHAT, load=LoadKind.CALL, weight=50)
TALKS = replace(CHAT, load=LoadKind.CALL, weight=50)
HELD = replace(TALKS, held=True, held_at=NOON)
ASKS = replace(HELD, consulted=BOB, consult_no=1, consult_invited=True, invited=(BOB,))
LIFTED = replace(ASKS, consult_lifted=True)
PASSED = replace(
    TALKS,
    status=Status.OFFERED,
    operator_id=None,
    queued_at=NOON,
    unanswered_since=NOON,
    offered_to=(BOB,),
    offered_until=NOON + MINUTE,
    offer_no=2,
    passed_by=ANN,
    passed=True,
)
CLOSED = replace(TALKS, status=Status.CLOSED, closed_at=NOON)
SENT = replace(CLOSED, outcome="forward", elsewhere="forward", forward_to="+100")

RECALL = NOON + 45 * SECOND
BUSY_PHONE = {"phone": True, "calls": 1}


def line(**settings: Any) -> LineSettings:
    """Return a line that asks nobody first, but for what is told here, with these settings."""
    return LineSettings(**{"responsible_first": False, "responsible_seconds": 45} | settings)


LINE = line()


def hold(who: OperatorId = ANN) -> Hold:
    return Hold(at=NOON, operator_id=who, command="k")


def resume(who: OperatorId = ANN) -> Resume:
    return Resume(at=NOON, operator_id=who, command="k")


def consult(who: OperatorId = ANN, colleague: OperatorId = BOB) -> Consult:
    return Consult(at=NOON, operator_id=who, command="k", colleague=colleague)


def listen(who: OperatorId = SUE, how: str = "listen") -> Listen:
    return Listen(at=NOON, operator_id=who, command="k", how=how)


def transfer(who: OperatorId = ANN, **to: Any) -> Transfer:
    return Transfer(at=NOON, operator_id=who, command="k", **to)


def close() -> Close:
    return Close(at=NOON, operator_id=ANN, command="k")


def seen(rule: LineSettings = LINE, who: OperatorId = ANN, colleague: dict[str, Any] | None = None, **more: Any) -> View:
    """Return a view with a colleague who has a phone that is free, changed by *colleague*."""
    other = person(BOB, **({"phone": True} | (colleague or {})))
    return view(rule, person(who), colleague=other, **more)


def budgets(before: Session, decisions: tuple[Any, ...]) -> dict[OperatorId, int]:
    """Return what budgets have of the session after *decisions*, who had it *before* counted."""
    held = dict.fromkeys(_holders(before), before.weight)
    for one in decisions:
        if isinstance(one, Reserve):
            held[one.operator_id] = held.get(one.operator_id, 0) + before.weight
        elif isinstance(one, Release):
            held[one.operator_id] = held.get(one.operator_id, 0) - (before.weight if one.weight is None else one.weight)
    return {who: weight for who, weight in held.items() if weight}


def _holders(session: Session) -> list[OperatorId]:
    if session.status is Status.OFFERED:
        return list(session.offered_to)
    if session.status is not Status.ACTIVE:
        return []
    return [who for who in (session.operator_id, session.consulted) if who is not None]


# --- passed on


def test_a_talk_is_passed_on_to_a_colleague():
    """Their phone rings for as long as the line's phones do, and the caller waits for an answer again."""
    rule = line(calls=CallSettings(ring_seconds=15), transfer_seconds=99)
    session, decisions = after(TALKS, transfer(to_operator=BOB, message_id=MessageId("m")), seen(rule))
    until = NOON + 15 * SECOND

    assert (session.status, session.operator_id, session.passed_by, session.passed) == (Status.OFFERED, None, ANN, True)
    assert (session.offered_to, session.offered_until, session.unanswered_since) == ((BOB,), until, NOON)
    assert decisions == (
        Release(ANN),
        Reserve(BOB),
        MakeOffers((BOB,), until),
        SetTimer(OFFER, until),
        MarkPool("session passed on", seats=True),
        Keep(MessageId("m"), ANN),
    )


def test_a_colleague_who_lifts_the_phone_has_the_talk():
    """And the contact."""
    session, decisions = after(PASSED, RingAnswered(NOON, BOB))

    assert (session.status, session.operator_id, session.passed_by, session.unanswered_since) == (Status.ACTIVE, BOB, None, None)
    assert MakeResponsible(BOB) in decisions


@pytest.mark.parametrize("event", [RingEnded(NOON, (BOB,), 2, "busy"), OfferExpired(NOON, 2), OperatorGone(NOON, BOB)])
@pytest.mark.parametrize("first", [False, True])
def test_a_colleague_who_does_not_lift_it_gives_the_talk_back(event: SessionEvent, first: bool):
    """To the queue, and whoever passed it on is rung first, whatever the line says of customers in general."""
    session, decisions = after(PASSED, event, view(line(responsible_first=first), person(ANN)))

    assert (session.status, session.operator_id, session.passed_by) == (Status.QUEUED, None, None)
    assert (session.responsible_id, session.responsible_until) == (ANN, RECALL)
    assert budgets(PASSED, decisions) == {}


def test_a_talk_that_comes_back_to_a_closed_line_goes_where_that_one_says():
    """Nobody would be rung."""
    rule = line(outside_calls=OutsideCalls.VOICEMAIL)
    session, decisions = after(PASSED, OfferExpired(NOON, 2), view(rule, person(ANN), SHUT))

    assert (session.status, session.outcome) == (Status.CLOSED, "voicemail")
    assert Divert("voicemail") in decisions


def test_a_talk_is_passed_on_to_a_line():
    """It waits there, and weighs what it weighs there; what it took is given back as it was."""
    there = LineSettings(weights=Weights(call=30))
    session, decisions = after(TALKS, transfer(to_line=DESK), seen(target_line=there))

    assert (session.status, session.line_id, session.weight, session.operator_id) == (Status.QUEUED, DESK, 30, None)
    assert Release(ANN, 50) in decisions


def test_a_talk_is_passed_on_to_a_number():
    """It is over here: its caller is called on to there."""
    session, decisions = after(TALKS, transfer(to_number="+100", message_id=MessageId("m")), seen())

    assert (session.status, session.outcome, session.elsewhere, session.forward_to) == (
        Status.CLOSED,
        "forward",
        "forward",
        "+100",
    )
    assert (session.operator_id, session.unanswered_since) == (ANN, None)
    assert decisions == (
        Divert("forward"),
        Release(ANN),
        SetTimer(REOPEN, NOON + timedelta(seconds=LINE.reopen_seconds)),
        MarkPool("session closed", seats=True),
        Keep(MessageId("m"), ANN),
    )


@pytest.mark.parametrize("before", [QUEUED, RINGS, PASSED])
def test_what_nobody_talks_yet_may_go_to_a_number_too(before: Session):
    """By a supervisor, or by whoever has passed it on."""
    session, decisions = after(before, transfer(to_number="+100"), view(LINE, person(supervises=True)))

    assert (session.status, session.forward_to) == (Status.CLOSED, "+100")
    assert budgets(before, decisions) == {}


def test_a_supervisor_may_pass_on_anothers_talk():
    """Whoever spoke with the caller is whoever it comes back to."""
    supervisor = view(LINE, person(SUE, supervises=True), colleague=person(BOB, phone=True))
    session, _ = after(TALKS, transfer(SUE, to_operator=BOB), supervisor)

    assert (session.status, session.passed_by) == (Status.OFFERED, ANN)


@pytest.mark.parametrize(
    ("event", "colleague", "code"),
    [
        (transfer(BOB, to_operator=CAT), {}, "not_yours"),
        (transfer(to_operator=BOB), {"active": False}, "no_colleague"),
        (transfer(to_operator=BOB), {"seated": False}, "no_colleague"),
        (transfer(to_operator=BOB), {"phone": False}, "colleague_no_phone"),
        (transfer(to_operator=BOB), {"calls": 1}, "colleague_full"),
        (transfer(to_operator=BOB), {"reserved": 60}, "colleague_full"),
        (transfer(to_operator=BOB), {"presence": PresenceState.AWAY}, "colleague_away"),
        (transfer(to_operator=BOB), {"on_shift": False}, "colleague_away"),
        (transfer(to_operator=ANN), {"operator_id": ANN}, "theirs_already"),
        (transfer(to_operator=BOB, assigned=True), {}, "not_allowed"),
    ],
)
def test_a_talk_is_passed_only_to_whom_it_can_ring(event: Transfer, colleague: dict[str, Any], code: str):
    """Who cannot have it is told of; the talk goes on."""
    other = replace(person(BOB, phone=True), **colleague)
    assert refused(TALKS, event, view(LINE, person(event.operator_id), colleague=other)) == code


def test_a_talk_is_passed_only_to_a_line_that_there_is():
    """The talk goes on."""
    assert refused(TALKS, transfer(to_line=DESK), seen(exists=False)) == "no_line"


def test_a_chat_goes_to_no_number():
    """Numbers are for callers."""
    assert refused(CHAT, transfer(to_number="+100")) == "not_a_call"


# --- passed on by the phone itself


@pytest.mark.parametrize("colleague", [{"phone": False}, BUSY_PHONE, {"presence": PresenceState.OFFLINE}, {"active": False}])
@pytest.mark.parametrize("before", [TALKS, HELD, ASKS])
def test_what_a_phone_cannot_pass_on_waits_for_its_operator(before: Session, colleague: dict[str, Any]):
    """The caller has been taken from them: there is no talk to go on."""
    session, decisions = after(before, transfer(to_operator=BOB, by_phone=True), seen(colleague=colleague))

    assert (session.status, session.operator_id, session.unanswered_since) == (Status.QUEUED, None, NOON)
    assert (session.responsible_id, session.responsible_until, session.asked) == (ANN, RECALL, ())
    assert (session.held, session.consulted, session.invited) == (False, None, ())
    assert budgets(before, decisions) == {}
    assert not [one for one in decisions if isinstance(one, Refuse)]


@pytest.mark.parametrize("to", [{}, {"to_line": DESK}])
def test_what_a_phone_passes_on_to_nobody_waits_for_its_operator(to: dict[str, Any]):
    """A number that is nobody's, a line that is not there."""
    nobody = view(LINE, person(), exists=False)
    session, _ = after(TALKS, transfer(by_phone=True, **to), nobody)

    assert (session.status, session.responsible_id, session.line_id) == (Status.QUEUED, ANN, SHOP)


@pytest.mark.parametrize(
    ("to", "status"),
    [
        ({"to_operator": BOB}, Status.OFFERED),
        ({"to_line": DESK}, Status.QUEUED),
        ({"to_number": "+100"}, Status.CLOSED),
    ],
)
@pytest.mark.parametrize("holder", [ANN, CAT])
def test_a_phone_passes_on_as_a_console_does(to: dict[str, Any], status: Status, holder: OperatorId):
    """Also when the session has become another's meanwhile: their caller has been taken, whoever has it."""
    before = replace(TALKS, operator_id=holder)
    session, decisions = after(before, transfer(by_phone=True, **to), seen())

    assert session.status is status
    assert Release(holder, 50 if session.line_id == DESK else None) in decisions or Release(holder) in decisions
    assert session.passed_by == (holder if status is Status.OFFERED else None)


def test_a_phone_may_hand_over_to_the_colleague_who_was_asked():
    """They have lifted theirs: the caller is given to them."""
    session, _ = after(LIFTED, transfer(to_operator=BOB, by_phone=True), seen())
    assert (session.status, session.operator_id) == (Status.ACTIVE, BOB)


# --- a number outside


def test_a_number_that_does_not_answer_sends_the_caller_back():
    """To whoever sent them there, first of all."""
    session, decisions = after(SENT, ForwardEnded(NOON, "busy"), view(LINE))

    assert (session.status, session.operator_id, session.closed_at, session.frozen) == (Status.QUEUED, None, None, False)
    assert (session.outcome, session.elsewhere, session.forward_to, session.reopened) == ("", "", "", 1)
    assert (session.responsible_id, session.responsible_until, session.unanswered_since) == (ANN, RECALL, NOON)
    assert decisions == (
        MarkPool("call came back"),
        CancelTimer(REOPEN),
        SetTimer(NO_ANSWER, NOON + timedelta(seconds=LINE.calls.no_answer_seconds)),
    )


def test_of_a_call_that_nobody_had_nobody_is_rung_first():
    """A supervisor sent it there out of the queue."""
    session, _ = after(replace(SENT, operator_id=None), ForwardEnded(NOON, "busy"), view(LINE))
    assert (session.status, session.responsible_id) == (Status.QUEUED, None)


def test_a_caller_who_comes_back_to_a_closed_line_goes_where_it_says():
    """And not to the number again."""
    rule = line(outside_calls=OutsideCalls.FORWARD)
    session, decisions = after(SENT, ForwardEnded(NOON, "busy"), view(rule, hours=SHUT))

    assert (session.status, session.elsewhere, session.forward_to, session.diverts) == (Status.CLOSED, "forward", "", "")
    assert Divert("forward") in decisions
    assert OUTSIDE not in session.diverts


def test_the_lines_own_number_that_does_not_answer_is_the_machine():
    """Nobody here is there, or it would not have been called."""
    sent = replace(SENT, operator_id=None, forward_to="")
    session, decisions = after(sent, ForwardEnded(NOON, "busy"), view(LINE))

    assert (session.status, session.outcome, session.elsewhere) == (Status.CLOSED, "voicemail", "voicemail")
    assert decisions == (Divert("voicemail"),)


def test_what_was_marked_as_spam_stays_spam_at_the_machine():
    """The outcome is a person's word."""
    sent = replace(SENT, operator_id=None, forward_to="", outcome="spam")
    assert after(sent, ForwardEnded(NOON, "busy"), view(LINE))[0].outcome == "spam"


@pytest.mark.parametrize("before", [CLOSED, replace(CLOSED, elsewhere="voicemail"), replace(SENT, elsewhere=AWAY)])
def test_what_was_not_sent_there_does_not_come_back(before: Session):
    """A call that is over, one at the machine, one that talks elsewhere."""
    assert after(before, ForwardEnded(NOON, "busy"), view(LINE)) == (before, (Ignore("not sent there"),))


def test_a_phone_that_is_lifted_as_the_call_goes_to_a_number_brings_it_back():
    """What the number was is forgotten: it is not the line's."""
    session, _ = after(SENT, RingAnswered(NOON, BOB))
    assert (session.status, session.operator_id, session.elsewhere, session.forward_to) == (Status.ACTIVE, BOB, "", "")


# --- on hold


def test_a_caller_is_put_on_hold_and_is_spoken_with_again():
    """It stays the operator's, with all that it takes of their budget."""
    held, decisions = after(TALKS, hold())
    assert (held, decisions) == (HELD, ())

    again, decisions = after(held, resume())
    assert (again, decisions) == (TALKS, ())


@pytest.mark.parametrize(("before", "event", "why"), [(HELD, hold(), "on hold already"), (TALKS, resume(), "not on hold")])
def test_a_second_click_changes_nothing(before: Session, event: SessionEvent, why: str):
    """Also from another window."""
    assert after(before, event) == (before, (Ignore(why),))


def test_an_exchange_that_does_not_take_them_apart_lets_them_talk_on():
    """They never stopped."""
    assert after(HELD, HoldFailed(NOON)) == (TALKS, ())
    assert after(TALKS, HoldFailed(NOON)) == (TALKS, (Ignore("not on hold"),))


def test_a_phone_that_is_put_down_ends_the_talk():
    """As it does everywhere."""
    session, decisions = after(TALKS, TalkEnded(NOON, ANN))

    assert (session.status, session.operator_id, session.outcome, session.elsewhere) == (Status.CLOSED, ANN, "", "")
    assert budgets(TALKS, decisions) == {}


@pytest.mark.parametrize(("before", "event"), [(HELD, TalkEnded(NOON, ANN)), (TALKS, TalkEnded(NOON, ANN, missing=True))])
def test_a_caller_on_hold_whose_operator_is_gone_waits_for_them(before: Session, event: TalkEnded):
    """They are not hung up on: their operator is rung first, and may be rung at once."""
    session, decisions = after(before, event, view(LINE))

    assert (session.status, session.operator_id, session.unanswered_since) == (Status.QUEUED, None, NOON)
    assert (session.responsible_id, session.responsible_until, session.asked, session.held) == (ANN, RECALL, (), False)
    assert budgets(before, decisions) == {}
    assert MarkPool("put down while on hold", seats=True) in decisions


def test_a_caller_on_hold_in_a_closed_line_goes_where_it_says():
    """Nobody would be rung."""
    rule = line(outside_calls=OutsideCalls.VOICEMAIL)
    session, decisions = after(ASKS, TalkEnded(NOON, ANN), view(rule, hours=SHUT))

    assert (session.status, session.outcome) == (Status.CLOSED, "voicemail")
    assert budgets(ASKS, decisions) == {}


@pytest.mark.parametrize("before", [TALKS, HELD, LIFTED])
def test_anothers_phone_that_is_put_down_ends_no_talk(before: Session):
    """The session has become another's since."""
    assert after(before, TalkEnded(NOON, BOB)) == (before, (Ignore("another one talks"),))


# --- a colleague is asked


def test_a_colleague_is_asked():
    """The caller hears music; the colleague's budget has the call, and their list."""
    session, decisions = after(replace(TALKS, consult_no=3), consult(), seen())

    assert (session.status, session.operator_id, session.held) == (Status.ACTIVE, ANN, True)
    assert (session.consulted, session.consult_no, session.consult_lifted, session.invited) == (BOB, 4, False, (BOB,))
    assert decisions == (Reserve(BOB),)


@pytest.mark.parametrize("joined", [{"members": (BOB,)}, {"invited": (BOB,)}])
def test_a_colleague_who_is_with_the_session_is_not_invited_twice(joined: dict[str, Any]):
    """They see it already, and stay with it when they are asked no more."""
    before = replace(TALKS, **joined)
    session, _ = after(before, consult(), seen())
    assert (*session.members, *session.invited) == (BOB,)

    for event in (ConsultEnded(NOON, BOB, "busy"), resume(), TalkEnded(NOON, ANN)):
        over, decisions = after(session, event, seen())
        assert (over.members, over.invited, over.consulted) == (before.members, before.invited, None)
        assert BOB in [one.operator_id for one in decisions if isinstance(one, Release)]


@pytest.mark.parametrize(
    ("before", "event", "colleague", "code"),
    [
        (TALKS, consult(CAT), {}, "not_yours"),
        (replace(ASKS, consulted=CAT), consult(), {}, "one_at_a_time"),
        (TALKS, consult(), {"active": False}, "no_colleague"),
        (TALKS, consult(colleague=ANN), {"operator_id": ANN}, "no_colleague"),
        (TALKS, consult(), {"phone": False}, "colleague_no_phone"),
        (TALKS, consult(), {"presence": PresenceState.AWAY}, "colleague_away"),
        (TALKS, consult(), {"on_shift": False}, "colleague_away"),
        (TALKS, consult(), {"calls": 1}, "colleague_full"),
        (TALKS, consult(), {"reserved": 51}, "colleague_full"),
    ],
)
def test_a_colleague_is_asked_only_when_they_can_be(before: Session, event: Consult, colleague: dict[str, Any], code: str):
    """At a phone that is free, with room, one at a time."""
    other = replace(person(BOB, phone=True), **colleague)
    assert refused(before, event, view(LINE, person(), colleague=other)) == code


def test_a_colleague_of_another_line_may_be_asked():
    """Nothing is passed on yet."""
    assert after(TALKS, consult(), seen(colleague={"seated": False}))[0].consulted == BOB


def test_nobody_is_asked_who_is_not_there():
    """No such person."""
    assert refused(TALKS, consult(), view(LINE, person())) == "no_colleague"


def test_who_is_asked_already_is_not_asked_again():
    """A second click."""
    assert after(ASKS, consult(), seen(colleague=BUSY_PHONE)) == (ASKS, (Ignore("asked already"),))


def test_the_colleague_lifts_the_phone():
    """From then on the call may be handed over."""
    assert after(ASKS, ConsultAnswered(NOON, BOB)) == (LIFTED, ())


@pytest.mark.parametrize("before", [ASKS, LIFTED])
@pytest.mark.parametrize(
    "event", [resume(), HoldFailed(NOON), ConsultEnded(NOON, BOB, "talked"), ConsultEnded(NOON, BOB, "busy")]
)
def test_when_the_colleague_is_asked_no_more_the_talk_goes_on(before: Session, event: SessionEvent):
    """Their budget is given back, and they see it no more."""
    session, decisions = after(before, event)

    assert session == replace(TALKS, consult_no=1)
    assert decisions == (Release(BOB, 50), MarkPool("colleague asked no more", seats=True))


@pytest.mark.parametrize("event", [ConsultAnswered(NOON, CAT), ConsultEnded(NOON, CAT, "busy")])
@pytest.mark.parametrize("before", [TALKS, HELD, ASKS])
def test_who_was_asked_before_changes_nothing(before: Session, event: SessionEvent):
    """Another is asked by now, or nobody."""
    assert after(before, event) == (before, (Ignore("not asked"),))


@pytest.mark.parametrize("event", [transfer(to_operator=BOB), TalkEnded(NOON, ANN)])
def test_the_call_is_handed_over_to_the_colleague_who_has_lifted(event: SessionEvent):
    """At once, by a deed or by putting down the phone: they speak with the caller now, whose operator they are from now on."""
    session, decisions = after(LIFTED, event, seen(colleague=BUSY_PHONE))

    assert (session.status, session.operator_id, session.held, session.consulted) == (Status.ACTIVE, BOB, False, None)
    assert (session.consult_lifted, session.invited, session.members, session.unanswered_since) == (False, (), (), None)
    assert decisions == (Release(ANN), MakeResponsible(BOB), MarkPool("session handed over", seats=True))
    assert budgets(LIFTED, decisions) == {BOB: 50}


def test_what_is_noted_as_it_is_handed_over_is_kept():
    """As when it is passed on."""
    assert Keep(MessageId("m"), ANN) in after(LIFTED, transfer(to_operator=BOB, message_id=MessageId("m")), seen())[1]


@pytest.mark.parametrize(
    ("before", "event", "code"),
    [
        (ASKS, transfer(to_operator=BOB), "not_lifted"),
        (ASKS, transfer(CAT, to_operator=BOB), "not_yours"),
        (LIFTED, transfer(CAT, to_operator=BOB), "not_yours"),
    ],
)
def test_the_call_is_handed_over_only_to_who_has_lifted(before: Session, event: Transfer, code: str):
    """And by its operator."""
    assert refused(before, event, seen(who=event.operator_id)) == code


@pytest.mark.parametrize(
    "event",
    [
        close(),
        CallEnded(NOON),
        CallEnded(NOON, lost=True),
        Spam(at=NOON, operator_id=ANN, command="k", ban=False),
        transfer(to_operator=CAT),
        transfer(to_line=DESK),
        transfer(to_number="+100"),
        transfer(by_phone=True),
        resume(),
        ConsultEnded(NOON, BOB, "talked"),
        TalkEnded(NOON, ANN),
        TalkEnded(NOON, ANN, missing=True),
        TalkMoved(NOON, BOB),
        TalkMoved(NOON, CAT),
        TalkMoved(NOON, number="+100"),
        HoldFailed(NOON),
    ],
    ids=lambda event: f"{type(event).__name__}-{getattr(event, 'to_operator', '')}",
)
@pytest.mark.parametrize("before", [ASKS, LIFTED], ids=["asks", "lifted"])
def test_whatever_becomes_of_a_call_the_budgets_are_those_of_its_people(before: Session, event: SessionEvent):
    """What was taken is given back on every way out: to the operator, and to the colleague who was asked."""
    cat = None if getattr(event, "by_phone", False) else person(CAT, phone=True)
    there = LineSettings(weights=Weights(call=30))
    session, decisions = after(before, event, view(LINE, person(), colleague=cat, target_line=there))
    now = dict.fromkeys(_holders(session), before.weight)

    assert budgets(before, decisions) == now
    assert (session.held, session.consulted, session.consult_lifted) == (False, None, False)
    assert BOB not in (*session.members, *session.invited)


# --- the phones move it


@pytest.mark.parametrize("before", [TALKS, ASKS, LIFTED])
@pytest.mark.parametrize("to", [BOB, CAT])
def test_a_talk_that_the_phones_have_moved_is_whose_it_is_now(before: Session, to: OperatorId):
    """They speak with each other already: room or not."""
    session, decisions = after(before, TalkMoved(NOON, to))

    assert (session.status, session.operator_id, session.held) == (Status.ACTIVE, to, False)
    assert {Reserve(to, forced=True), MakeResponsible(to)} <= set(decisions)
    if before.consulted == to:
        # Given back before it is taken: nobody's budget has it twice.
        assert decisions.index(Release(to, 50)) < decisions.index(Reserve(to, forced=True))
    assert budgets(before, decisions) == {to: 50}


def test_a_talk_that_was_not_moved_stays():
    """Told of a second time."""
    assert after(TALKS, TalkMoved(NOON, ANN)) == (TALKS, (Ignore("already theirs"),))


def test_a_talk_that_the_phones_have_moved_outside_is_over_here():
    """They talk there: nobody calls the number once more."""
    session, decisions = after(TALKS, TalkMoved(NOON, number="+100"))

    assert (session.status, session.operator_id, session.outcome) == (Status.CLOSED, ANN, "forward")
    assert (session.elsewhere, session.forward_to) == (AWAY, "+100")
    assert budgets(TALKS, decisions) == {}


# --- somebody listens

BOSS = person(SUE, supervises=True, phone=True)


@pytest.mark.parametrize("how", ["listen", "whisper", "barge"])
def test_a_supervisor_hears_a_talk(how: str):
    """Their phone rings; when they have lifted it they hear it, until one of them hangs up."""
    asks, decisions = after(TALKS, listen(how=how), view(who=BOSS))
    assert (asks, decisions) == (replace(TALKS, listens=SUE, listens_how=how, listen_no=1), ())

    hears, decisions = after(asks, ListenBegan(NOON, SUE))
    assert (hears.listens, hears.listeners, decisions) == (None, (SUE,), ())
    assert after(hears, ListenBegan(NOON, SUE))[0].listeners == (SUE,)

    over, decisions = after(hears, ListenEnded(NOON, SUE))
    assert (over.listens, over.listeners, decisions) == (None, (), ())


def test_a_supervisor_who_does_not_lift_the_phone_hears_nothing():
    """And others hear on."""
    asks = replace(TALKS, listens=SUE, listeners=(CAT,))
    assert after(asks, ListenEnded(NOON, SUE))[0] == replace(asks, listens=None)
    assert after(asks, ListenBegan(NOON, BOB))[0] == replace(asks, listeners=(CAT, BOB))
    assert after(asks, ListenEnded(NOON, CAT))[0] == replace(asks, listeners=())


@pytest.mark.parametrize(
    ("before", "event", "who", "code"),
    [
        (TALKS, listen(), {"supervises": False}, "not_allowed"),
        (TALKS, listen(), {"active": False}, "not_allowed"),
        (replace(TALKS, operator_id=SUE), listen(), {}, "yours_already"),
        (replace(ASKS, consulted=SUE), listen(), {}, "yours_already"),
        (TALKS, listen(), {"phone": False}, "no_phone"),
        (TALKS, listen(), {"calls": 1}, "on_phone"),
        (replace(TALKS, listeners=tuple(OperatorId(f"s{n}") for n in range(MEMBERS_MAX))), listen(), {}, "too_many"),
        (replace(TALKS, listens=CAT), listen(), {}, "too_many"),
    ],
)
def test_who_may_not_hear_it_is_told_why(before: Session, event: Listen, who: dict[str, Any], code: str):
    """Supervisors with a phone that is free, in calls that are not their own."""
    assert refused(before, event, view(who=replace(BOSS, **who))) == code


@pytest.mark.parametrize("before", [replace(TALKS, listens=SUE), replace(TALKS, listeners=(SUE,))])
def test_who_hears_it_is_not_rung_again(before: Session):
    """A second click."""
    assert after(before, listen(), view(who=BOSS)) == (before, (Ignore("listens already"),))


@pytest.mark.parametrize(
    "event", [close(), CallEnded(NOON), TalkEnded(NOON, ANN), transfer(to_operator=BOB), transfer(to_line=DESK)]
)
def test_when_nobody_talks_nobody_listens(event: SessionEvent):
    """What there was to hear is over."""
    heard = replace(TALKS, listens=SUE, listeners=(CAT,))
    session, _ = after(heard, event, seen())

    assert session.status is not Status.ACTIVE
    assert (session.listens, session.listeners) == (None, ())


@pytest.mark.parametrize(
    ("before", "event"), [(TALKS, hold()), (LIFTED, transfer(to_operator=BOB)), (TALKS, TalkMoved(NOON, BOB))]
)
def test_while_somebody_talks_they_listen_on(before: Session, event: SessionEvent):
    """Whoever it is."""
    heard = replace(before, listeners=(CAT,))
    assert after(heard, event, seen())[0].listeners == (CAT,)


# --- where nobody talks

DEEDS = [hold(), resume(), consult(), listen()]
TOLD: list[SessionEvent] = [
    TalkEnded(NOON, ANN),
    TalkMoved(NOON, BOB),
    ConsultAnswered(NOON, BOB),
    ConsultEnded(NOON, BOB, "talked"),
    ListenBegan(NOON, SUE),
    ListenEnded(NOON, SUE),
    HoldFailed(NOON),
    ForwardEnded(NOON, "busy"),
]


@pytest.mark.parametrize(
    ("before", "code"),
    [(QUEUED, "nobody_talks"), (RINGS, "nobody_talks"), (CLOSED, "closed"), (CHAT, "not_a_call"), (None, "no_session")],
    ids=["queued", "rings", "closed", "chat", "none"],
)
@pytest.mark.parametrize("event", DEEDS, ids=lambda event: type(event).__name__)
def test_what_is_done_to_a_talk_needs_a_talk(before: Session | None, event: Any, code: str):
    """Who tries is told so."""
    assert refused(before, event, seen(who=event.operator_id)) == code


@pytest.mark.parametrize("event", [hold(BOB), resume(BOB)], ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("before", [TALKS, HELD])
def test_a_caller_is_put_on_hold_only_by_their_operator(before: Session, event: Any):
    """Not by a supervisor either."""
    assert refused(before, event, view(who=person(BOB, supervises=True))) == "not_yours"


@pytest.mark.parametrize("before", [QUEUED, RINGS, CLOSED], ids=["queued", "rings", "closed"])
@pytest.mark.parametrize("event", TOLD, ids=lambda event: type(event).__name__)
def test_what_is_told_of_a_talk_that_is_over_changes_nothing(before: Session, event: SessionEvent):
    """It was passed on, or has ended, meanwhile."""
    session, decisions = after(before, event, seen())

    assert session == before
    assert [type(one) for one in decisions] == [Ignore]


@pytest.mark.parametrize("event", TOLD, ids=lambda event: type(event).__name__)
def test_a_chat_has_no_talk(event: SessionEvent):
    """Nothing of the telephone's means anything in it."""
    assert after(CHAT, event, seen()) == (CHAT, (Ignore("not a call"),))


def test_a_number_that_rings_for_a_talk_is_an_earlier_one():
    """A phone was lifted meanwhile."""
    assert after(TALKS, ForwardEnded(NOON, "busy"), seen()) == (TALKS, (Ignore("its time is past"),))


# --- how long they wait


def test_who_comes_back_waits_for_as_long_as_the_line_lets_callers():
    """From then on; the promise of a next answer counts from then too when they come from outside."""
    rule = line(kpi_next_seconds=30, calls=CallSettings(no_answer_seconds=90, no_answer_does=UnansweredCalls.VOICEMAIL))
    now = NOON + MINUTE
    due = SetTimer(NO_ANSWER, now + 90 * SECOND)

    assert due in _later(HELD, TalkEnded(now, ANN), rule, now)
    assert due in _later(PASSED, RingEnded(now, (BOB,), 2, "busy"), rule, now)
    assert {due, SetTimer(KPI, now + 30 * SECOND)} <= set(_later(SENT, ForwardEnded(now, "busy"), rule, now))


def _later(before: Session, event: SessionEvent, rule: LineSettings, now: datetime) -> tuple[Any, ...]:
    return after(before, event, view(rule, person()), now)[1]


def test_a_line_that_rings_nobody_first_for_long_rings_everybody():
    """The line's own seconds are how long the passer is waited for."""
    session, _ = after(HELD, TalkEnded(NOON, ANN), view(line(responsible_seconds=0)))
    assert session.responsible_until == NOON


def test_who_passed_it_on_has_had_their_chance_of_ending_it():
    """An offer that is withdrawn by the caller's hanging up is over with them, and whoever had passed it on had it last."""
    session, decisions = after(PASSED, CallEnded(NOON))

    assert (session.status, session.operator_id) == (Status.CLOSED, ANN)
    assert EndOffers((BOB,), "withdrawn") in decisions
    assert budgets(PASSED, decisions) == {}
