"""Calls that we make, in the engine: promised for a time, made by whoever is free then, tried again, or for one operator at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from broker.domain import CallSettings, LineSettings, LoadKind, MessageId, OperatorId, OutsideCalls, Status, UnansweredCalls
from broker.events import (
    CallEnded,
    Close,
    Consult,
    ContactMessage,
    CustomerNotReached,
    CustomerReached,
    Decline,
    Held,
    Hold,
    Listen,
    NoAnswerDue,
    OfferExpired,
    OperatorGone,
    RingAnswered,
    RingEnded,
    RoundDue,
    Take,
    TalkEnded,
    TalkMoved,
    Transfer,
)
from routing.engine import NOT_REACHED, OFFER, PROMISED, ROUND, decide
from routing.session import Alert, EndOffers, Ignore, MakeOffers, MarkPool, Release, Reserve, Session, SetTimer
from tests.support.clock import MINUTE, NOON, SECOND
from tests.support.engine import ANN, BOB, DESK, OPENS, SHUT, after, conversation, person, refused, view

DUE = NOON + 5 * MINUTE
LINE = LineSettings(calls=CallSettings(callback_tries=2, callback_retry_seconds=600))
TALK = conversation(load=LoadKind.CALL)
ABLE = person(phone=True)
SUE = OperatorId("sue")
CHIEF = person(SUE, supervises=True, seated=False, phone=True)


def wanted(line: LineSettings = LINE, *, by: OperatorId | None = None, now: bool = False, **seen: Any) -> tuple[Session, Any]:
    """Return the session that a call which is to be made opens."""
    event = ContactMessage(NOON, MessageId("m1"), NOON if now else DUE, by, now)
    return after(None, event, view(line, talk=seen.pop("talk", TALK), **seen))


WAITS = wanted()[0]
RINGS = replace(
    WAITS, status=Status.OFFERED, held_until=None, held_why="", offered_to=(ANN,), offered_until=DUE + 20 * SECOND, offer_no=1
)
CALLS = replace(RINGS, status=Status.ACTIVE, operator_id=ANN, offered_to=(), offered_until=None, queued_at=None, answered_at=DUE)
MINE = replace(CALLS, mine_only=True)
REACHED = replace(CALLS, reached=True)


# --- promised


def test_a_call_that_is_promised_waits_for_its_time():
    """It stands in the queue, and is nobody's before; no rule for callers who wait holds for it."""
    session, decisions = wanted()

    assert (session.status, session.load, session.outgoing, session.reached) == (Status.QUEUED, LoadKind.CALL, True, False)
    assert (session.held_until, session.held_why, session.promised_at, session.answer_due) == (DUE, PROMISED, DUE, None)
    assert decisions == (MarkPool("session queued"), SetTimer(ROUND, DUE))


def test_what_was_due_before_is_due_now():
    """A request that took its time."""
    session, _ = after(None, ContactMessage(NOON, MessageId("m1"), NOON - MINUTE), view(LINE, talk=TALK))

    assert session.held_until == NOON


@pytest.mark.parametrize(
    ("by", "known", "first", "who"),
    [(BOB, None, True, BOB), (BOB, ANN, True, BOB), (None, ANN, True, ANN), (None, ANN, False, None), (BOB, ANN, False, BOB)],
)
def test_whoever_was_named_is_asked_first(by: OperatorId | None, known: OperatorId | None, first: bool, who: OperatorId | None):
    """Else the customer's own operator, where the line asks them first; from the promised time on."""
    line = LineSettings(responsible_first=first)
    session, _ = wanted(line, by=by, talk=replace(TALK, responsible_id=known))

    assert session.responsible_id == who
    assert session.responsible_until == (DUE + 60 * SECOND if who is not None else None)


def test_the_closed_line_calls_at_its_opening():
    """Nothing is sent elsewhere: there is nobody on the line."""
    session, _ = wanted(hours=SHUT)

    assert (session.status, session.opens_at, session.diverts, session.elsewhere) == (Status.QUEUED, OPENS, "", "")


SKILLED = LineSettings(skills=("billing",), skill_seconds=45, calls=LINE.calls)


@pytest.mark.parametrize("due", [DUE, OPENS + MINUTE])
def test_what_it_waits_for_is_counted_from_when_it_may_be_made(due: Any):
    """Its time, or the opening when that is later: for an operator of its own, and for somebody with the skills."""
    begins = max(due, OPENS)
    event = ContactMessage(NOON, MessageId("m1"), due, BOB)
    shut, _ = after(None, event, view(SKILLED, talk=TALK, hours=SHUT))
    opened, _ = after(None, event, view(SKILLED, talk=TALK))

    assert (shut.responsible_until, shut.needs_until) == (begins + 60 * SECOND, begins + 45 * SECOND)
    assert (opened.responsible_until, opened.needs_until) == (due + 60 * SECOND, due + 45 * SECOND)
    # The line closes over it, whether it will open before that time or not.
    closes, _ = after(opened, Held(NOON, None, "hours"), view(SKILLED, hours=SHUT), NOON)
    assert (closes.held_until, closes.held_why, closes.opens_at) == (due, PROMISED, OPENS)
    assert (closes.responsible_until, closes.needs_until) == (shut.responsible_until, shut.needs_until)


def test_no_promise_to_those_who_wait_holds_for_who_does_not():
    """A line of which no opening was known has one."""
    session = replace(WAITS, opens_at=None)
    waits, _ = after(session, Held(NOON, None, "hours"), view(LineSettings(kpi_first_seconds=60)), NOON)

    assert waits.kpi_due is None


def test_nobody_is_missed_before_the_time():
    """Supervisors are told when it is due, if there is nobody then."""
    assert after(WAITS, Held(NOON, None, "nobody"), view(LINE)) == (WAITS, (Ignore("nobody is wanted yet"),))


def test_a_rule_for_who_waits_does_not_concern_it():
    """A timer of which nothing is known."""
    assert after(WAITS, NoAnswerDue(DUE), view(LINE), DUE) == (WAITS, (Ignore("answered already"),))


# --- wanted before its time


def take(who: OperatorId = ANN) -> Take:
    return Take(at=NOON, operator_id=who, command="k")


@pytest.mark.parametrize("by", [None, BOB])
@pytest.mark.parametrize(
    "event",
    [
        RingEnded(NOON, (ANN,), 1, "declined"),
        OfferExpired(NOON, 1),
        OperatorGone(NOON, ANN),
    ],
    ids=lambda event: type(event).__name__,
)
def test_who_would_call_early_and_does_not_gives_it_to_nobody_before_its_time(event: Any, by: OperatorId | None):
    """It waits as before, for the same, and whoever had it may be asked again."""
    waits, _ = wanted(by=by)
    rings, taken = after(waits, take(), view(LINE, ABLE))
    assert (rings.status, rings.offered_to, Reserve(ANN) in taken) == (Status.OFFERED, (ANN,), True)

    back, decisions = after(rings, event, view(LINE, ABLE))
    assert replace(back, offer_no=0, skips=0) == replace(waits, offer_no=0)
    assert {Release(ANN), SetTimer(ROUND, DUE)} <= set(decisions)


def test_who_would_call_when_it_is_due_gives_it_to_the_others():
    """Nothing keeps it back then."""
    rings, _ = after(WAITS, take(), view(LINE, ABLE), DUE)
    back, _ = after(rings, OfferExpired(DUE + MINUTE, 1), view(LINE), DUE + MINUTE)

    assert (back.status, back.held_until, back.held_why, back.asked) == (Status.QUEUED, None, "", (ANN,))


@pytest.mark.parametrize("hours", [{}, {"hours": SHUT}])
def test_another_line_keeps_the_promise(hours: dict[str, Any]):
    """It is not made before its time there either; what that line demands is counted from then."""
    event = Transfer(at=NOON, operator_id=SUE, command="k", to_line=DESK)
    moved, decisions = after(WAITS, event, view(LINE, CHIEF, target_line=SKILLED, **hours))
    begins = OPENS if hours else DUE

    assert (moved.status, moved.line_id, moved.held_until, moved.held_why) == (Status.QUEUED, DESK, DUE, PROMISED)
    assert (moved.needs, moved.needs_until) == (("skill:billing",), begins + 45 * SECOND)
    assert decisions[-1] == SetTimer(ROUND, DUE)


@pytest.mark.parametrize("before", [WAITS, RINGS])
def test_nobody_is_sent_to_a_number_who_was_not_reached(before: Session):
    """There is nobody on the line."""
    event = Transfer(at=NOON, operator_id=SUE, command="k", to_number="+100")

    assert refused(before, event, view(LINE, CHIEF)) == "nobody_talks"


def test_a_supervisor_may_say_who_calls():
    """As with any call that waits."""
    event = Transfer(at=NOON, operator_id=SUE, command="k", to_operator=BOB)
    session, decisions = after(WAITS, event, view(LINE, CHIEF, colleague=person(BOB, phone=True)))
    back, _ = after(session, RingEnded(NOON, (BOB,), 1, "busy"), view(LINE), NOON)

    assert (session.status, session.offered_to, Reserve(BOB) in decisions) == (Status.OFFERED, (BOB,), True)
    assert (back.status, back.held_until, back.held_why) == (Status.QUEUED, DUE, PROMISED)


def test_the_time_has_come():
    """It is distributed like any that waits."""
    session, decisions = after(WAITS, RoundDue(DUE), view(LINE), DUE)

    assert (session.held_until, session.held_why) == (None, "")
    assert decisions == (MarkPool("round due"),)


def test_a_line_that_opens_early_does_not_call_early():
    """What was promised is kept."""
    shut = replace(WAITS, opens_at=OPENS)
    session, _ = after(shut, Held(NOON, None, "hours"), view(LINE), NOON + MINUTE)

    assert (session.opens_at, session.held_until, session.held_why) == (None, DUE, PROMISED)


def test_the_banned_are_not_called():
    """Nothing is opened."""
    event = ContactMessage(NOON, MessageId("m1"), DUE)

    assert decide(None, event, view(LINE, talk=replace(TALK, banned=True)), NOON) == (None, (Ignore("banned"),))


def test_rounds_that_are_over_and_nobody_there_send_it_nowhere():
    """Supervisors are told."""
    waits = replace(WAITS, held_until=None, held_why="")
    over, _ = after(waits, Held(DUE, None, "rounds_over", rounds_over=True), view(LINE), DUE)
    nobody, decisions = after(waits, Held(DUE, None, "nobody"), view(LINE), DUE)

    assert (over.status, over.diverts, nobody.status, nobody.diverts) == (Status.QUEUED, "", Status.QUEUED, "")
    assert decisions == (Alert("nobody"),)


# --- a click on a number


def test_a_click_rings_the_phone_of_whoever_clicked():
    """At once, and takes of their budget."""
    session, decisions = wanted(by=ANN, now=True, who=ABLE)
    until = NOON + 20 * SECOND

    assert (session.status, session.offered_to, session.offered_until, session.mine_only) == (Status.OFFERED, (ANN,), until, True)
    assert {Reserve(ANN), MakeOffers((ANN,), until), SetTimer(OFFER, until)} <= set(decisions)


@pytest.mark.parametrize(
    "who", [None, person(), person(phone=True, calls=1), person(phone=True, reserved=80), person(active=False)]
)
def test_a_click_without_a_phone_that_is_free_is_over_at_once(who: Any):
    """No phone, on a call, no room, gone: nothing rings."""
    session, decisions = wanted(by=ANN, now=True, who=who)

    assert (session.status, session.outcome) == (Status.CLOSED, NOT_REACHED)
    assert not any(isinstance(one, Reserve) for one in decisions)


@pytest.mark.parametrize(
    "event",
    [
        RingEnded(NOON, (ANN,), 1, "busy"),
        OfferExpired(DUE + MINUTE, 1),
        OperatorGone(DUE, ANN),
        Decline(at=DUE, operator_id=ANN, command="k"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_click_whose_phone_is_not_lifted_is_nobody_elses(event: Any):
    """It is over, and their budget is free."""
    session, decisions = after(replace(RINGS, mine_only=True), event, view(LINE), DUE)

    assert (session.status, session.outcome, session.offered_to) == (Status.CLOSED, NOT_REACHED, ())
    assert [one.operators for one in decisions if isinstance(one, EndOffers)] == [(ANN,)]
    assert [one for one in decisions if isinstance(one, Release)] == [Release(ANN)]


@pytest.mark.parametrize("where", [{"to_operator": BOB}, {"to_line": DESK}, {"to_number": "+100"}])
def test_a_click_is_not_passed_on(where: dict[str, Any]):
    """Not even by a supervisor: it is theirs, or nobody's."""
    event = Transfer(at=NOON, operator_id=SUE, command="k", **where)
    seen = view(LINE, CHIEF, colleague=person(BOB, phone=True))

    assert refused(replace(RINGS, mine_only=True), event, seen) == "nobody_talks"


@pytest.mark.parametrize("event", [CustomerNotReached(DUE, "busy"), TalkEnded(DUE, ANN)])
def test_a_click_is_not_repeated(event: Any):
    """Whoever wanted to call sees that nobody answered."""
    session, decisions = after(MINE, event, view(LINE), DUE)

    assert (session.status, session.outcome, session.tries) == (Status.CLOSED, NOT_REACHED, 1)
    assert Release(ANN) in decisions


# --- made


def test_the_customer_answers():
    """From then on it is a call like others."""
    session, decisions = after(CALLS, CustomerReached(DUE), view(LINE), DUE)

    assert (session.reached, session.status, decisions) == (True, Status.ACTIVE, ())


@pytest.mark.parametrize(
    "event", [CustomerNotReached(DUE, "busy"), TalkEnded(DUE, ANN), CallEnded(DUE), CallEnded(DUE, lost=True)]
)
def test_a_customer_who_does_not_answer_is_called_again_later(event: Any):
    """By the same operator first; also when that one put down the phone before they could."""
    session, decisions = after(CALLS, event, view(LineSettings(responsible_first=False, calls=LINE.calls)), DUE)
    again = DUE + 600 * SECOND

    assert (session.status, session.tries, session.held_until, session.held_why) == (Status.QUEUED, 1, again, PROMISED)
    assert (session.responsible_id, session.responsible_until) == (ANN, again + 60 * SECOND)
    assert {Release(ANN), SetTimer(ROUND, again)} <= set(decisions)


def test_one_that_is_tried_again_waits_for_the_opening():
    """If the line closes before: what the same operator has of time to be free is counted from then."""
    session, _ = after(CALLS, CustomerNotReached(DUE, "busy"), view(LINE, hours=SHUT), DUE)

    assert (session.status, session.held_until, session.opens_at) == (Status.QUEUED, DUE + 600 * SECOND, OPENS)
    assert (session.responsible_id, session.responsible_until) == (ANN, OPENS + 60 * SECOND)


@pytest.mark.parametrize("before", [WAITS, RINGS])
def test_an_end_of_a_call_that_nobody_has_made_ends_nothing(before: Session):
    """Its customer is still to be called."""
    assert after(before, CallEnded(NOON), view(LINE)) == (before, (Ignore("nobody is on the line"),))


def test_the_last_try_is_the_last():
    """As often as the line says."""
    session, decisions = after(replace(CALLS, tries=1), CustomerNotReached(DUE, "ran_out"), view(LINE), DUE)

    assert (session.status, session.outcome, session.tries, session.operator_id) == (Status.CLOSED, NOT_REACHED, 2, ANN)
    assert Release(ANN) in decisions


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (REACHED, CustomerNotReached(DUE, "busy")),
        (replace(REACHED, outgoing=False, reached=False), CustomerNotReached(DUE, "busy")),
        (WAITS, CustomerNotReached(DUE, "busy")),
        (WAITS, TalkEnded(DUE, ANN)),
        (CALLS, TalkEnded(DUE, BOB)),
        (CALLS, OfferExpired(DUE, 1)),
        (CALLS, RingEnded(DUE, (ANN,), 1, "ran_out")),
        (CALLS, OperatorGone(DUE, ANN, vanished=True, removed=True)),
        (CALLS, TalkMoved(DUE, number="+100")),
        (RINGS, CustomerReached(DUE)),
        (replace(CALLS, status=Status.CLOSED, closed_at=NOON), CustomerReached(DUE)),
    ],
)
def test_what_comes_late_is_nothing(before: Session, event: Any):
    """They talk already, or it is over."""
    session, decisions = after(before, event, view(LINE), DUE)

    assert session == before
    assert all(isinstance(one, Ignore) for one in decisions)


@pytest.mark.parametrize("deed", [Hold, Consult, Transfer])
def test_nobody_is_put_on_hold_who_is_not_there(deed: Any):
    """Not before the customer has answered."""
    more = {Consult: {"colleague": BOB}, Transfer: {"to_operator": BOB}}.get(deed, {})
    event = deed(at=DUE, operator_id=ANN, command="k", **more)
    seen = view(LINE, ABLE, colleague=person(BOB, phone=True))

    assert refused(CALLS, event, seen) == "nobody_talks"
    assert after(REACHED, event, seen, DUE)[0] != REACHED


def test_there_is_nothing_to_hear_before_the_customer_has_answered():
    """Nobody speaks."""
    event = Listen(at=DUE, operator_id=SUE, command="k")

    assert refused(CALLS, event, view(LINE, CHIEF)) == "nobody_talks"
    assert after(REACHED, event, view(LINE, CHIEF), DUE)[0].listens == SUE


def test_a_talk_that_we_have_made_ends_as_any():
    """When either hangs up."""
    for event in (CallEnded(DUE), TalkEnded(DUE, ANN)):
        session, decisions = after(REACHED, event, view(LINE), DUE)
        assert (session.status, session.outcome, Release(ANN) in decisions) == (Status.CLOSED, "", True)


def test_one_that_was_reached_and_passed_on_waits_as_a_caller_does():
    """The line's rule for callers who wait holds for them then."""
    event = Transfer(at=DUE, operator_id=ANN, command="k", to_operator=BOB)
    passed, _ = after(REACHED, event, view(LINE, ABLE, colleague=person(BOB, phone=True)), DUE)
    back, _ = after(passed, RingEnded(DUE, (BOB,), 2, "declined"), view(LINE, person(phone=True)), DUE)

    assert (passed.status, back.status, back.answer_due) == (Status.OFFERED, Status.QUEUED, DUE + timedelta(seconds=120))
    over, _ = after(back, NoAnswerDue(DUE + 120 * SECOND), view(LINE), DUE + 120 * SECOND)
    assert (over.status, over.outcome) == (Status.CLOSED, "voicemail")


def test_the_phone_is_lifted_by_whoever_was_asked():
    """As with any call."""
    session, _ = after(RINGS, RingAnswered(DUE, ANN), view(LINE), DUE)

    assert (session.status, session.operator_id, session.reached) == (Status.ACTIVE, ANN, False)


@pytest.mark.parametrize("before", [WAITS, RINGS, CALLS])
def test_a_supervisor_may_close_it(before: Session):
    """Nobody is called any more; whatever it took is free."""
    chief = person(OperatorId("sue"), supervises=True)
    session, decisions = after(before, Close(at=DUE, operator_id=OperatorId("sue"), command="k"), view(LINE, chief), DUE)

    assert session.status is Status.CLOSED
    assert (Release(ANN) in decisions) == (before is not WAITS)


def test_anybody_of_the_line_may_see_that_it_is_not_needed():
    """While it is nobody's, and nobody has been called."""
    event = Close(at=DUE, operator_id=BOB, command="k")

    assert after(WAITS, event, view(LINE, person(BOB)), DUE)[0].status is Status.CLOSED
    assert refused(WAITS, event, view(LINE, person(BOB, seated=False))) == "not_yours"
    assert refused(replace(WAITS, reached=True), event, view(LINE, person(BOB))) == "not_yours"
    for before in (RINGS, CALLS):
        assert refused(before, event, view(LINE, person(BOB))) == "not_yours"


# --- promised to a caller


def test_nobody_answers_and_a_call_is_promised():
    """The telephone then asks for it."""
    line = LineSettings(calls=CallSettings(no_answer_does=UnansweredCalls.CALLBACK, no_answer_seconds=60))
    waits, _ = after(None, ContactMessage(at=NOON, message_id=MessageId("m1")), view(line, talk=TALK))
    session, _ = after(waits, NoAnswerDue(NOON + MINUTE), view(line), NOON + MINUTE)

    assert (session.status, session.outcome, session.elsewhere) == (Status.CLOSED, "callback", "callback")


def test_outside_the_hours_a_call_is_promised():
    """For the opening."""
    line = LineSettings(outside_calls=OutsideCalls.CALLBACK)
    session, _ = after(None, ContactMessage(at=NOON, message_id=MessageId("m1")), view(line, talk=TALK, hours=SHUT))

    assert (session.outcome, session.elsewhere, session.sent_because) == ("callback", "callback", "outside")
