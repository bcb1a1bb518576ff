"""Calls in the engine: they ring, are lifted, end, go elsewhere; nothing is written to their callers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from broker.domain import CallSettings, LineSettings, LoadKind, MessageId, OperatorId, OutsideCalls, Status, UnansweredCalls
from broker.events import (
    CallEnded,
    CallRated,
    Close,
    ContactMessage,
    Decline,
    Held,
    NoAnswerDue,
    OfferExpired,
    OperatorGone,
    Reply,
    RingAnswered,
    RingEnded,
    Settle,
    Snooze,
    Start,
    Take,
    TakeOver,
    Transfer,
    VoicemailLeft,
)
from routing.engine import NO_ANSWER, OFFER, OUTSIDE, REOPEN, ROUND, UNANSWERED
from routing.session import (
    Alert,
    CancelTimer,
    Divert,
    EndOffers,
    Ignore,
    MakeOffers,
    MarkPool,
    Refuse,
    Release,
    Reserve,
    Say,
    Session,
    SetTimer,
)
from tests.support.clock import MINUTE, NOON, SECOND
from tests.support.engine import ANN, BOB, DESK, SHUT, after, conversation, person, refused, view
from tests.support.engine import OFFERED as OFFERED_CHAT
from tests.support.engine import QUEUED as QUEUED_CHAT

QUEUED = replace(QUEUED_CHAT, load=LoadKind.CALL, weight=50)
RINGS = replace(OFFERED_CHAT, load=LoadKind.CALL, weight=50)
TALKS = replace(
    QUEUED, status=Status.ACTIVE, operator_id=ANN, queued_at=None, unanswered_since=None, answered_at=NOON, answer_due=None
)
CLOSED = replace(TALKS, status=Status.CLOSED, closed_at=NOON)


def line(**calls: Any) -> LineSettings:
    """Return a line with these rules for calls."""
    return LineSettings(calls=CallSettings(**calls))


def called(**seen: Any) -> tuple[Session, tuple[Any, ...]]:
    """Return the session that a call opens."""
    talk = conversation(load=LoadKind.CALL)
    return after(None, ContactMessage(at=NOON, message_id=MessageId("m1")), view(talk=talk, **seen))


# --- it comes


def test_a_call_waits_in_the_queue_and_nothing_is_written_to_its_caller():
    """No welcome: the line greets on the telephone. How long it may wait is the line's rule for calls, not that for chats."""
    session, decisions = called(line=LineSettings(no_answer_seconds=7, calls=CallSettings(no_answer_seconds=90)))

    assert (session.status, session.load, session.weight) == (Status.QUEUED, LoadKind.CALL, 50)
    assert decisions == (MarkPool("session queued"), SetTimer(NO_ANSWER, NOON + 90 * SECOND))


@pytest.mark.parametrize("rule", [{"no_answer_seconds": 0}, {"no_answer_does": UnansweredCalls.WAIT}])
def test_a_line_may_let_its_callers_wait(rule: dict[str, Any]):
    """Until everybody was asked, or for as long as they like: no time is set."""
    assert called(line=line(**rule))[1] == (MarkPool("session queued"),)


@pytest.mark.parametrize("where", list(OutsideCalls))
def test_outside_the_hours_it_goes_where_the_line_says(where: OutsideCalls):
    """It is missed, and its session says where its caller was sent."""
    session, decisions = called(line=LineSettings(outside_calls=where), hours=SHUT)

    assert (session.status, session.outcome, session.operator_id) == (Status.CLOSED, where.value, None)
    assert Divert(where.value) in decisions


# --- it rings


def test_whoever_lifts_the_phone_has_it():
    """The others' phones stop, and give back what the call took of their budgets."""
    session, decisions = after(replace(RINGS, offered_to=(ANN, BOB)), RingAnswered(NOON, BOB))

    assert (session.status, session.operator_id, session.answered_at, session.unanswered_since) == (
        Status.ACTIVE,
        BOB,
        NOON,
        None,
    )
    assert (session.answer_due, session.counted, session.offered_to) == (None, True, ())
    assert decisions == (
        EndOffers((BOB,), "taken"),
        CancelTimer(OFFER),
        CancelTimer(ROUND),
        EndOffers((ANN,), "withdrawn"),
        Release(ANN),
        MarkPool("offers withdrawn", seats=True),
        CancelTimer(NO_ANSWER),
    )


@pytest.mark.parametrize("before", [QUEUED, replace(RINGS, offered_to=(BOB,))])
def test_a_phone_that_is_lifted_after_its_time_has_it_all_the_same(before: Session):
    """They talk, whatever the offer says; room or not."""
    session, decisions = after(before, RingAnswered(NOON, ANN))

    assert (session.status, session.operator_id) == (Status.ACTIVE, ANN)
    assert Reserve(ANN, forced=True) in decisions
    assert before is QUEUED or {EndOffers((BOB,), "withdrawn"), Release(BOB)} <= set(decisions)


def test_a_phone_that_is_lifted_as_the_call_goes_elsewhere_brings_it_back():
    """Its session had been closed a moment ago."""
    sent = replace(
        QUEUED,
        status=Status.CLOSED,
        closed_at=NOON,
        outcome="voicemail",
        elsewhere="voicemail",
        unanswered_since=None,
        answer_due=None,
    )
    session, decisions = after(sent, RingAnswered(NOON, ANN))

    assert (session.status, session.operator_id, session.closed_at) == (Status.ACTIVE, ANN, None)
    assert (session.outcome, session.elsewhere) == ("", "")
    assert decisions == (CancelTimer(REOPEN), Reserve(ANN, forced=True))


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (TALKS, "already theirs"),
        (replace(TALKS, operator_id=BOB), "another one talks"),
        (CLOSED, "the call is over"),
        (replace(CLOSED, operator_id=None, outcome="missed"), "the call is over"),
        (replace(CLOSED, outcome="voicemail"), "the call is over"),  # what whoever closed it has written
        (replace(CLOSED, outcome="forward", elsewhere="forward"), "the call is over"),  # they have passed it on since
    ],
)
def test_a_second_word_of_it_changes_nothing(before: Session, why: str):
    """Asterisk may tell it twice; a call that is over is not brought back."""
    assert after(before, RingAnswered(NOON, ANN)) == (before, (Ignore(why),))


@pytest.mark.parametrize("how", ["declined", "ran_out", "busy", "unreachable", "gone"])
def test_a_phone_that_is_not_lifted_passes_it_on(how: str):
    """Back to the queue, and whoever did not lift it is not asked again in this round."""
    session, decisions = after(RINGS, RingEnded(NOON, (ANN,), 1, how))

    assert (session.status, session.asked) == (Status.QUEUED, (ANN,))
    assert decisions == (EndOffers((ANN,), how), Release(ANN), MarkPool(f"offer {how}"), CancelTimer(OFFER))


def test_of_phones_that_ring_together_one_may_stop():
    """The others ring on."""
    session, decisions = after(replace(RINGS, offered_to=(ANN, BOB)), RingEnded(NOON, (BOB,), 1, "declined"))

    assert (session.status, session.offered_to) == (Status.OFFERED, (ANN,))
    assert CancelTimer(OFFER) not in decisions


@pytest.mark.parametrize("event", [RingEnded(NOON, (ANN,), 0, "busy"), RingEnded(NOON, (BOB,), 1, "busy")])
def test_the_end_of_an_earlier_ringing_ends_none(event: RingEnded):
    """What rings now is another offer, or another's phone."""
    assert after(RINGS, event) == (RINGS, (Ignore("of an earlier offer"),))


def test_who_wants_a_call_that_waits_has_it_ring():
    """A call is not taken by a click."""
    taken = Take(at=NOON, operator_id=ANN, command="k")
    session, decisions = after(QUEUED, taken, view(line(ring_seconds=15), person(phone=True)))
    until = NOON + 15 * SECOND

    assert (session.status, session.offered_to, session.offered_until, session.offer_no) == (Status.OFFERED, (ANN,), until, 1)
    assert decisions == (Reserve(ANN), MakeOffers((ANN,), until), SetTimer(OFFER, until), CancelTimer(ROUND))


def test_who_wanted_a_call_and_did_not_lift_is_asked_again_after_a_round():
    """They may be the only one: a round has begun with them, and ends."""
    taken = Take(at=NOON, operator_id=ANN, command="k")
    rings, _ = after(QUEUED, taken, view(line(), person(phone=True)))
    waits, _ = after(rings, RingEnded(NOON, (ANN,), 1, "ran_out"), view(line()), NOON + MINUTE)

    assert (waits.asked, waits.round_no, waits.round_began) == ((ANN,), 0, NOON)


@pytest.mark.parametrize(
    ("who", "code"),
    [
        ({"phone": False}, "no_phone"),
        ({"calls": 1}, "full"),
        ({"reserved": 60}, "full"),
        ({"seated": False}, "not_yours"),
    ],
)
def test_it_rings_only_where_it_can(who: dict[str, Any], code: str):
    """Somebody with a phone that is free, and room."""
    ann = person(**({"phone": True} | who))
    assert refused(QUEUED, Take(at=NOON, operator_id=ANN, command="k"), view(who=ann)) == code


@pytest.mark.parametrize(
    ("before", "deed", "more"),
    [
        (RINGS, Take, {}),
        (QUEUED, Reply, {"message_id": MessageId("m")}),
        (RINGS, Reply, {"message_id": MessageId("m")}),
        (TALKS, Reply, {"message_id": MessageId("m")}),
        (QUEUED, TakeOver, {}),
        (TALKS, TakeOver, {}),
        (TALKS, Snooze, {"until": NOON + MINUTE}),
        (CLOSED, Start, {"message_id": MessageId("m")}),
    ],
)
def test_what_is_done_with_the_phone_is_not_done_in_the_console(before: Session, deed: Any, more: dict[str, Any]):
    """Who tries is told so."""
    supervisor = person(supervises=True, phone=True)
    assert refused(before, deed(at=NOON, operator_id=ANN, command="k", **more), view(who=supervisor)) == "by_phone"


def test_a_call_that_waits_can_be_passed_on():
    """By a supervisor, to a colleague's phone."""
    passed = Transfer(at=NOON, operator_id=ANN, command="k", to_operator=BOB, assigned=True)
    seen = view(line(ring_seconds=15), person(supervises=True), colleague=person(BOB, phone=True))
    session, _ = after(QUEUED, passed, seen)

    # Also when it is assigned: nobody talks before they have lifted the phone.
    assert (session.status, session.offered_to, session.offered_until) == (Status.OFFERED, (BOB,), NOON + 15 * SECOND)


@pytest.mark.parametrize(("colleague", "code"), [({}, "colleague_no_phone"), ({"phone": True, "calls": 1}, "colleague_full")])
def test_a_call_is_passed_only_to_a_phone_that_is_free(colleague: dict[str, Any], code: str):
    """As the distribution has it."""
    passed = Transfer(at=NOON, operator_id=ANN, command="k", to_operator=BOB)
    seen = view(who=person(supervises=True), colleague=person(BOB, **colleague))
    assert refused(QUEUED, passed, seen) == code


# --- it ends


def test_a_talk_that_ends_closes_its_session():
    """Without a word and without a question: there is nobody left to read them."""
    session, decisions = after(TALKS, CallEnded(NOON))

    assert (session.status, session.operator_id, session.outcome, session.rating_until) == (Status.CLOSED, ANN, "", None)
    assert decisions == (
        Release(ANN),
        SetTimer(REOPEN, NOON + timedelta(seconds=LineSettings().reopen_seconds)),
        MarkPool("session closed", seats=True),
    )


def test_a_talk_whose_end_nobody_has_seen_is_lost():
    """The telephone exchange knows the call no more."""
    assert after(TALKS, CallEnded(NOON, lost=True))[0].outcome == "lost"


@pytest.mark.parametrize("before", [QUEUED, RINGS])
def test_who_hangs_up_before_an_answer_was_missed(before: Session):
    """Phones that ring for them stop."""
    session, decisions = after(before, CallEnded(NOON))

    assert (session.status, session.outcome, session.operator_id) == (Status.CLOSED, "missed", None)
    assert (EndOffers((ANN,), "withdrawn") in decisions) == (before is RINGS)


def test_what_comes_after_the_talk_is_kept_with_it():
    """A rating by key, and what was said to the machine."""
    rated, _ = after(CLOSED, CallRated(NOON, 4))
    left, _ = after(replace(CLOSED, outcome="voicemail"), VoicemailLeft(NOON, 12))

    assert (rated.stars, rated.status, left.voicemail_seconds) == (4, Status.CLOSED, 12)


@pytest.mark.parametrize("outcome", ["missed", "lost", "voicemail", "hang_up"])
def test_somebody_sees_to_a_call_that_nobody_answered(outcome: str):
    """Its caller is not waited for any more; a second time there is nothing to be seen to."""
    settled, decisions = after(replace(CLOSED, outcome=outcome), Settle(NOON, ANN, "k"))
    again, refused = after(settled, Settle(NOON, ANN, "k2"))

    assert (settled, decisions) == (replace(CLOSED, outcome="settled"), ())
    assert (again, [one.code for one in refused if isinstance(one, Refuse)]) == (settled, ["not_missed"])


@pytest.mark.parametrize("before", [QUEUED, RINGS, TALKS, CLOSED, replace(CLOSED, outcome="forward")])
def test_what_was_not_missed_is_not_seen_to(before: Session):
    """Who waits or talks is served otherwise, and whoever was spoken with waits for nothing."""
    session, decisions = after(before, Settle(NOON, ANN, "k"))

    assert (session, [one.code for one in decisions if isinstance(one, Refuse)]) == (before, ["not_missed"])


def test_who_talks_and_closes_their_console_talks_on():
    """The call hangs on the telephone; switched off or gone, nobody takes it from them."""
    for how in ({"vanished": True}, {"vanished": True, "removed": True}):
        assert after(TALKS, OperatorGone(NOON, ANN, **how)) == (TALKS, (Ignore("they talk"),))


def test_a_talk_counts_whatever_else_counts():
    """Also in a line in which only unanswered sessions do, and no silence closes it."""
    from broker.domain import LoadCounts

    settings = LineSettings(load_counts=LoadCounts.UNANSWERED, auto_close_seconds=60)
    session, decisions = after(RINGS, RingAnswered(NOON, ANN), view(settings))

    assert session.counted
    assert session.quiet_until is None
    assert Release(ANN) not in decisions


# --- nobody lifts it


def test_a_caller_who_has_waited_long_enough_goes_where_the_line_says():
    """The session is missed, and says where."""
    session, decisions = after(QUEUED, NoAnswerDue(NOON + MINUTE), view(line(no_answer_does=UnansweredCalls.VOICEMAIL)))

    assert (session.status, session.outcome) == (Status.CLOSED, "voicemail")
    assert Divert("voicemail") in decisions
    assert not [one for one in decisions if isinstance(one, Say)]


def test_while_a_phone_rings_its_caller_goes_nowhere():
    """It may be lifted this very moment; when it is not, then they go."""
    ringing, decisions = after(RINGS, NoAnswerDue(NOON + MINUTE))
    assert (ringing.status, ringing.diverts, decisions) == (Status.OFFERED, UNANSWERED, ())

    lifted, _ = after(ringing, RingAnswered(NOON, ANN))
    assert (lifted.status, lifted.diverts) == (Status.ACTIVE, "")

    for event in (RingEnded(NOON, (ANN,), 1, "busy"), OfferExpired(NOON, 1), Decline(at=NOON, operator_id=ANN, command="k")):
        missed, _ = after(ringing, event)
        assert (missed.status, missed.outcome) == (Status.CLOSED, "voicemail")


def test_where_nobody_is_there_the_caller_goes_at_once():
    """Waiting would not make it better; supervisors are told."""
    session, decisions = after(QUEUED, Held(NOON, None, "nobody"))

    assert (session.status, session.outcome, session.elsewhere) == (Status.CLOSED, "voicemail", "voicemail")
    assert Alert("nobody") in decisions


@pytest.mark.parametrize(("seconds", "status"), [(0, Status.CLOSED), (90, Status.QUEUED)])
def test_everybody_was_rung_as_often_as_the_line_says(seconds: int, status: Status):
    """The caller waits on for those who talk, for as long as the line lets them."""
    held = Held(NOON, None, "rounds_over", rounds_over=True)
    assert after(QUEUED, held, view(line(no_answer_seconds=seconds)))[0].status is status


def test_a_line_that_has_changed_its_mind_lets_its_callers_wait():
    """While a phone rang, what was to be done with its caller was taken back."""
    ringing = replace(RINGS, diverts=UNANSWERED)
    session, _ = after(ringing, RingEnded(NOON, (ANN,), 1, "busy"), view(line(no_answer_does=UnansweredCalls.WAIT)))

    assert (session.status, session.diverts) == (Status.QUEUED, "")


@pytest.mark.parametrize("why", ["rounds_over", "nobody"])
def test_where_callers_wait_they_wait_on(why: str):
    """The line has said so."""
    seen = view(line(no_answer_does=UnansweredCalls.WAIT))
    assert after(QUEUED, Held(NOON, None, why, rounds_over=True), seen)[0].status is Status.QUEUED


def test_another_line_may_have_more_luck_once():
    """Then the caller speaks to the machine."""
    rule = line(no_answer_does=UnansweredCalls.LINE, no_answer_line="desk")
    moved, _ = after(QUEUED, NoAnswerDue(NOON + MINUTE), view(rule, target_line=rule))
    assert (moved.status, moved.line_id, moved.sent_on, moved.diverts) == (Status.QUEUED, DESK, True, "")

    again, _ = after(replace(moved, answer_due=NOON), NoAnswerDue(NOON + MINUTE), view(rule))
    assert (again.status, again.outcome) == (Status.CLOSED, "voicemail")


@pytest.mark.parametrize("seen", [{"exists": False}, {"to": QUEUED.line_id}])
def test_a_line_that_is_not_there_is_the_machine(seen: dict[str, Any]):
    """As is the same line again."""
    rule = line(no_answer_does=UnansweredCalls.LINE, no_answer_line="desk")
    assert after(QUEUED, NoAnswerDue(NOON + MINUTE), view(rule, **seen))[0].outcome == "voicemail"


# --- the line closes


@pytest.mark.parametrize("before", [QUEUED, RINGS])
def test_a_line_that_closes_sends_its_callers_elsewhere(before: Session):
    """Who waits goes at once, whose call rings when it is not lifted."""
    seen = view(LineSettings(outside_calls=OutsideCalls.FORWARD), hours=SHUT)
    event = Held(NOON, None, "hours") if before is QUEUED else RingEnded(NOON, (ANN,), 1, "busy")
    session, decisions = after(before, event, seen)

    assert (session.status, session.outcome) == (Status.CLOSED, "forward")
    assert Divert("forward") in decisions


def test_passed_on_to_a_line_that_is_closed_it_goes_where_that_one_says():
    """Its rules are those of where it is."""
    passed = Transfer(at=NOON, operator_id=OperatorId("sue"), command="k", to_line=DESK)
    there = LineSettings(outside_calls=OutsideCalls.VOICEMAIL)
    session, _ = after(QUEUED, passed, view(who=person(supervises=True), hours=SHUT, target_line=there))

    assert (session.line_id, session.status, session.outcome, session.diverts) == (DESK, Status.CLOSED, "voicemail", "")
    assert OUTSIDE not in session.diverts


def test_a_supervisor_may_close_what_has_hung_up_unseen():
    """The way out when the telephone exchange tells nothing."""
    session, _ = after(TALKS, Close(at=NOON, operator_id=ANN, command="k"), view(who=person(ANN)))
    assert session.status is Status.CLOSED
