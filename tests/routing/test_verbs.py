"""What people do with a session, verb by verb, decided by the engine alone; and what time does to what they did."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import pytest
from msgspec.structs import replace

from broker.domain import (
    LineSettings,
    LoadCounts,
    LoadKind,
    NoAnswer,
    OperatorId,
    PresenceState,
    Rating,
    SessionId,
    Status,
    Vanished,
    Weights,
)
from broker.events import (
    Close,
    ContactMessage,
    Decline,
    Held,
    Invite,
    Join,
    KpiDue,
    LeaveSession,
    NoAnswerDue,
    Note,
    OfferExpired,
    OperatorEvent,
    OperatorGone,
    Rated,
    Reply,
    SessionEvent,
    SilenceDue,
    Snooze,
    SnoozeEnded,
    Spam,
    Start,
    Take,
    TakeOver,
    Transfer,
)
from routing.engine import KPI, MEMBERS_MAX, NO_ANSWER, OFFER, REOPEN, ROUND, SILENCE, SNOOZE, decide
from routing.session import (
    Alert,
    Ban,
    CancelTimer,
    Deliver,
    EndOffers,
    Freeze,
    Ignore,
    Keep,
    MakeOffers,
    MakeResponsible,
    MarkPool,
    Release,
    Reserve,
    Say,
    Session,
    SetTimer,
)
from routing.view import OperatorView, View
from tests.support.clock import MINUTE, NOON, SECOND
from tests.support.engine import (
    ACTIVE,
    ANN,
    ANSWERED,
    BOB,
    CLOSED,
    DESK,
    HOUR,
    LINE,
    M1,
    OFFERED,
    OPENS,
    QUEUED,
    SHOP,
    SHUT,
    after,
    conversation,
    person,
    refused,
    view,
)

T = TypeVar("T")
SUE = OperatorId("sue")
LATER = OPENS
UNANSWERED = LineSettings(load_counts=LoadCounts.UNANSWERED)
UNTIL_CLOSED = LineSettings(load_counts=LoadCounts.CLOSED)
KPIS = LineSettings(kpi_first_seconds=30, kpi_next_seconds=90)
QUIET = LineSettings(auto_close_seconds=600, auto_close_warn_seconds=60)
TO_QUEUE = LineSettings(no_answer_does=NoAnswer.QUEUE)
TO_LINE = LineSettings(no_answer_does=NoAnswer.LINE, no_answer_line="desk")

PASSED = replace(
    ACTIVE,
    status=Status.OFFERED,
    operator_id=None,
    queued_at=NOON,
    offered_to=(BOB,),
    offered_until=NOON + MINUTE,
    offer_no=1,
    passed_by=ANN,
    passed=True,
)
SNOOZED = replace(ANSWERED, status=Status.SNOOZED, snoozed_until=LATER, counted=False)
OPEN_ONES = [QUEUED, OFFERED, ACTIVE, SNOOZED]
by_status = partial(pytest.mark.parametrize, "before", ids=lambda session: session.status if session else "new")


BOSS = person(SUE, seated=False, supervises=True)


def ignored(session: Session, event: SessionEvent, seen: View | None = None) -> str:
    """Decide what must mean nothing, and return why."""
    made, (decision,) = after(session, event, seen)
    assert made is session
    assert isinstance(decision, Ignore)
    return decision.reason


def deed(kind: Callable[..., T], who: OperatorId = ANN, **more: Any) -> T:
    """Return what *who* does at noon."""
    return kind(at=NOON, operator_id=who, command="k1", **more)


def to_bob(who: OperatorId = ANN, **more: Any) -> Transfer:
    return deed(Transfer, who, to_operator=BOB, **more)


def to_desk(who: OperatorId = ANN, **more: Any) -> Transfer:
    return deed(Transfer, who, to_line=DESK, **more)


def said(at: datetime = NOON) -> ContactMessage:
    return ContactMessage(at=at, message_id=M1)


def reply(who: OperatorId = ANN) -> Reply:
    return deed(Reply, who, message_id=M1)


# --- passing on to a colleague


def test_a_session_is_passed_to_a_colleague_who_is_asked():
    """ACTIVE to OFFERED: the weight moves from one budget to the other; whose it was is remembered; the customer waits as before."""
    before = replace(ACTIVE, members=(SUE,), invited=(BOB,), kpi_due=LATER)
    session, decisions = after(before, to_bob(), view(who=person(), colleague=person(BOB)), NOON + SECOND)

    until = NOON + SECOND + MINUTE
    assert (session.status, session.operator_id, session.offered_to, session.offered_until) == (
        Status.OFFERED,
        None,
        (BOB,),
        until,
    )
    assert (session.passed_by, session.passed, session.offer_no, session.queued_at) == (ANN, True, 1, NOON + SECOND)
    assert (session.members, session.answer_due, session.kpi_due) == ((SUE,), NOON + MINUTE, LATER)
    assert decisions == (
        Release(ANN),
        Reserve(BOB),
        MakeOffers((BOB,), until),
        SetTimer(OFFER, until),
        MarkPool("session passed on", seats=True),
    )


def test_the_line_says_how_long_a_colleague_has():
    """transfer_seconds, not the time of an offer from the queue."""
    seen = view(LineSettings(transfer_seconds=300), person(), colleague=person(BOB))

    assert after(ACTIVE, to_bob(), seen)[0].offered_until == NOON + 5 * MINUTE


@pytest.mark.parametrize(
    ("before", "event", "who", "colleague", "code"),
    [
        (ACTIVE, to_bob(BOB), person(BOB), person(BOB), "not_yours"),
        (QUEUED, to_bob(), person(), person(BOB), "not_yours"),
        (OFFERED, to_bob(), person(), person(BOB), "not_yours"),
        (replace(ACTIVE, members=(BOB,)), to_bob(BOB), person(BOB), person(BOB), "not_yours"),
        (ACTIVE, to_bob(SUE), replace(BOSS, active=False), person(BOB), "not_yours"),
        (ACTIVE, to_bob(SUE), None, person(BOB), "not_yours"),
        (ACTIVE, to_bob(), person(), None, "no_colleague"),
        (ACTIVE, to_bob(), person(), person(BOB, active=False), "no_colleague"),
        (ACTIVE, to_bob(), person(), person(BOB, seated=False), "no_colleague"),
        (ACTIVE, to_bob(), person(), person(BOB, reserved=76), "colleague_full"),
        (ACTIVE, to_bob(), person(), person(BOB, presence=PresenceState.AWAY), "colleague_away"),
        (ACTIVE, to_bob(), person(), person(BOB, presence=PresenceState.OFFLINE), "colleague_away"),
        (ACTIVE, to_bob(), person(), person(BOB, on_shift=False), "colleague_away"),
        (ACTIVE, to_bob(assigned=True), person(), person(BOB), "not_allowed"),
        (ACTIVE, deed(Transfer, to_operator=ANN), person(), person(), "theirs_already"),
        (CLOSED, to_bob(), person(), person(BOB), "closed"),
        (None, to_bob(), person(), person(BOB), "no_session"),
    ],
)
def test_who_may_pass_on_and_to_whom(
    before: Session | None, event: Transfer, who: OperatorView | None, colleague: OperatorView | None, code: str
):
    """The holder or a supervisor, to somebody of the line who is there and has room; the note of what is refused is not kept."""
    event = replace(event, message_id=M1)

    assert refused(before, event, view(who=who, colleague=colleague)) == code


def test_a_supervisor_without_a_seat_may_be_passed_a_session():
    """Who supervises has a place in every line."""
    assert after(ACTIVE, deed(Transfer, to_operator=SUE), view(who=person(), colleague=BOSS))[0].offered_to == (SUE,)


def test_the_note_goes_along():
    """It is kept among operators."""
    for event in (to_bob(message_id=M1), to_desk(message_id=M1)):
        assert after(ACTIVE, event, view(who=person(), colleague=person(BOB)))[1][-1] == Keep(M1, ANN)


@by_status([PASSED, replace(PASSED, passed_by=None)])
def test_the_colleague_takes_it_and_the_contact_is_theirs(before: Session):
    """OFFERED to ACTIVE, the weight is in their budget already; from now on the contact is asked for with them."""
    session, decisions = after(before, deed(Take, BOB), view(who=person(BOB)))

    assert (session.status, session.operator_id, session.passed_by, session.passed) == (Status.ACTIVE, BOB, None, False)
    assert MakeResponsible(BOB) in decisions
    assert not any(isinstance(made, Reserve | Release) for made in decisions)


def test_taking_what_the_queue_offers_makes_nobody_responsible():
    """Only passing on by name does."""
    assert MakeResponsible(ANN) not in after(OFFERED, deed(Take))[1]


NOT_TAKEN: list[tuple[SessionEvent, str]] = [
    (deed(Decline, BOB), "declined"),
    (OfferExpired(at=NOON + MINUTE, offer_no=1), "ran_out"),
    (OperatorGone(at=NOON, operator_id=BOB), "gone"),
]


@pytest.mark.parametrize(("event", "how"), NOT_TAKEN)
def test_what_a_colleague_does_not_take_is_whose_it_was(event: SessionEvent, how: str):
    """OFFERED to ACTIVE: each weight is given back and taken once; a skip is one who was asked."""
    session, decisions = after(PASSED, event, view(who=person()))

    assert (session.status, session.operator_id, session.offered_to, session.passed) == (Status.ACTIVE, ANN, (), False)
    assert session.skips == (how != "gone")
    assert decisions == (EndOffers((BOB,), how), Release(BOB), CancelTimer(OFFER), MarkPool(f"offer {how}"), Reserve(ANN))


@pytest.mark.parametrize(("event", "how"), NOT_TAKEN)
@pytest.mark.parametrize(
    "passer",
    [None, person(active=False), person(presence=PresenceState.AWAY), person(reserved=76)],
    ids=["nobody", "removed", "away", "full"],
)
def test_what_nobody_can_have_back_waits_as_long_as_it_has(event: SessionEvent, how: str, passer: OperatorView | None):
    """OFFERED to QUEUED at its age; the colleague who did not want it is not asked again in this round."""
    session, decisions = after(PASSED, event, view(who=passer), NOON + MINUTE)

    assert (session.status, session.operator_id, session.queued_at, session.answer_due) == (
        Status.QUEUED,
        None,
        NOON,
        NOON + MINUTE,
    )
    assert (session.passed_by, session.passed) == (None, False)
    assert (session.asked, session.round_no) == (((), 0) if how == "gone" else ((BOB,), 0))
    assert decisions == (EndOffers((BOB,), how), Release(BOB), CancelTimer(OFFER), MarkPool(f"offer {how}"))


def test_what_has_not_waited_before_stops_demanding_in_time():
    """Reopened by an operator's own words, passed on and not taken: its demand has an end, and one that runs keeps its own."""
    before = replace(PASSED, needs=("skill:billing",))

    assert after(before, deed(Decline, BOB), view(who=None))[0].needs_until == NOON + 2 * MINUTE
    assert after(replace(before, needs_until=LATER), deed(Decline, BOB), view(who=None))[0].needs_until == LATER
    assert after(PASSED, deed(Decline, BOB), view(who=None))[0].needs_until is None


def test_a_customer_who_wrote_before_it_was_passed_on_is_told_in_the_queue_too():
    """An answered session has no time to a first answer; in the queue, with somebody waiting, it has one."""
    before = replace(PASSED, answered_at=NOON, answer_due=None)
    session, decisions = after(before, deed(Decline, BOB), view(who=None), NOON + SECOND)

    assert (session.answer_due, decisions[-1]) == (NOON + MINUTE + SECOND, SetTimer(NO_ANSWER, NOON + MINUTE + SECOND))


def test_what_a_supervisor_passes_on_goes_back_to_whose_it_was():
    """Not to the supervisor, who never had it."""
    session, _ = after(ACTIVE, to_bob(SUE), view(who=BOSS, colleague=person(BOB)))

    assert session.passed_by == ANN


@by_status([QUEUED, OFFERED])
def test_what_nobody_had_goes_back_to_the_queue(before: Session):
    """Passed from the queue by a supervisor: there is nobody to have it back, and it is nobody's customer yet."""
    passed, decisions = after(before, to_bob(SUE), view(who=BOSS, colleague=person(BOB)), NOON + SECOND)
    back, _ = after(passed, deed(Decline, BOB), view())

    assert (passed.status, passed.offered_to, passed.passed_by, passed.queued_at) == (Status.OFFERED, (BOB,), None, NOON)
    withdrawn = {EndOffers((ANN,), "withdrawn"), Release(ANN), CancelTimer(OFFER)} if before is OFFERED else {CancelTimer(ROUND)}
    assert withdrawn < set(decisions)
    assert (back.status, back.passed, back.skips) == (Status.QUEUED, False, 1)


def test_passed_on_twice_it_is_still_the_first_ones():
    """A supervisor passes on what a colleague has not taken yet."""
    carol = OperatorId("carol")
    event = deed(Transfer, SUE, to_operator=carol)
    session, decisions = after(PASSED, event, view(who=BOSS, colleague=person(carol)))

    assert (session.passed_by, session.offered_to, session.offer_no) == (ANN, (carol,), 2)
    assert decisions[:2] == (EndOffers((BOB,), "withdrawn"), Release(BOB))


def test_who_is_asked_already_needs_no_more_room():
    """The weight of the offer that is withdrawn makes room for the one that follows."""
    seen = view(who=BOSS, colleague=person(ANN, reserved=100))

    assert after(OFFERED, deed(Transfer, SUE, to_operator=ANN), seen)[0].passed
    assert after(OFFERED, deed(Transfer, SUE, to_operator=ANN, assigned=True), seen)[0].operator_id == ANN


def test_a_snoozed_session_is_passed_on_awake():
    """Its timer is forgotten and nothing is given back that was not taken; who waits is promised an answer again."""
    waits = replace(SNOOZED, unanswered_since=NOON, answered_at=None)
    session, decisions = after(waits, to_bob(), view(KPIS, person(), colleague=person(BOB)))

    assert (session.status, session.snoozed_until, session.passed_by) == (Status.OFFERED, None, ANN)
    assert CancelTimer(SNOOZE) in decisions
    assert Release(ANN) not in decisions
    assert {SetTimer(NO_ANSWER, NOON + MINUTE), SetTimer(KPI, NOON + 30 * SECOND)} < set(decisions)


def test_a_colleague_who_was_with_us_is_so_still_when_they_decline():
    """Being passed the session takes no place away."""
    before = replace(ACTIVE, members=(BOB,))
    passed, _ = after(before, to_bob(), view(who=person(), colleague=person(BOB)))
    back, _ = after(passed, deed(Decline, BOB), view(who=person()))
    taken, _ = after(passed, deed(Take, BOB), view(who=person(BOB)))

    assert (back.members, taken.members) == ((BOB,), ())


# --- assigning


@by_status(OPEN_ONES)
def test_a_supervisor_assigns_without_asking(before: Session):
    """Whatever its status, to ACTIVE with the colleague, there or not; who had it or was asked is free; the contact is theirs."""
    seen = view(who=BOSS, colleague=person(BOB, presence=PresenceState.OFFLINE, on_shift=False))
    session, decisions = after(replace(before, invited=(BOB, SUE)), to_bob(SUE, assigned=True), seen)

    assert (session.status, session.operator_id, session.queued_at, session.snoozed_until) == (Status.ACTIVE, BOB, None, None)
    assert (session.offered_to, session.invited, session.counted) == ((), (SUE,), True)
    freed = Release(ANN) in decisions
    assert freed is (before in (OFFERED, ACTIVE))
    assert decisions[-3:] == (Reserve(BOB), MakeResponsible(BOB), MarkPool("session assigned", seats=True))


def test_an_assignment_needs_room_too():
    """One budget, for supervisors' deeds as well; what weighs nothing needs none."""
    full = view(who=BOSS, colleague=person(BOB, reserved=76))
    light = view(UNANSWERED, BOSS, colleague=person(BOB, reserved=100))

    assert refused(ACTIVE, to_bob(SUE, assigned=True), full) == "colleague_full"
    assert refused(ACTIVE, to_bob(SUE, assigned=True), light) == "colleague_full"
    session, decisions = after(replace(ANSWERED, counted=False), to_bob(SUE, assigned=True), light)
    assert (session.operator_id, session.counted) == (BOB, False)
    assert not any(isinstance(made, Reserve | Release) for made in decisions)


def test_being_asked_needs_room_even_for_what_weighs_nothing():
    """An offer takes of the budget; what it turns out to weigh is known when it is taken."""
    calm = replace(ANSWERED, counted=False)

    assert refused(calm, to_bob(), view(UNANSWERED, person(), colleague=person(BOB, reserved=76))) == "colleague_full"


def test_whoever_passed_it_on_may_have_it_back():
    """Before the colleague has taken it: by taking, by answering, by passing it to somebody else, by closing it."""
    back, decisions = after(PASSED, deed(Take), view(who=person()))
    answered, said_ = after(PASSED, reply(), view(who=person()))
    other, _ = after(PASSED, deed(Transfer, to_operator=SUE), view(who=person(), colleague=person(SUE)))
    queued, _ = after(PASSED, deed(Transfer, to_line=DESK), view(who=person()))
    closed, _ = after(PASSED, deed(Close), view(who=person()))

    assert (back.status, back.operator_id, back.offered_to, back.passed) == (Status.ACTIVE, ANN, (), False)
    assert decisions == (
        EndOffers((BOB,), "withdrawn"),
        Release(BOB),
        CancelTimer(OFFER),
        Reserve(ANN),
        MarkPool("session taken back", seats=True),
    )
    assert (answered.status, answered.operator_id, Deliver(M1, ANN) in said_) == (Status.ACTIVE, ANN, True)
    assert (other.offered_to, other.passed_by) == ((SUE,), ANN)
    assert (queued.status, queued.asked) == (Status.QUEUED, (ANN,))
    assert (closed.status, closed.operator_id) == (Status.CLOSED, ANN)
    assert refused(PASSED, deed(Take), view(who=person(reserved=76))) == "full"
    assert refused(PASSED, deed(Take), view(who=person(active=False))) == "not_yours"
    assert refused(PASSED, deed(Take, SUE), view(who=person(SUE))) == "not_offered"


def test_what_is_closed_while_it_is_passed_on_was_whose_it_was():
    """A supervisor closes it: the answers, the rating and what the customer writes next are theirs who had it."""
    before = replace(PASSED, answered_at=NOON, unanswered_since=None)
    closed, _ = after(before, deed(Close, SUE), view(who=BOSS))

    assert (closed.operator_id, closed.rating_asked) == (ANN, True)
    assert after(closed, said(NOON + SECOND), view(who=person()))[0].operator_id == ANN


@by_status([PASSED, SNOOZED])
def test_who_joined_answers_while_it_is_put_by_or_passed_on(before: Session):
    """It stays with whom it is."""
    joined = replace(before, members=(SUE,), unanswered_since=NOON)
    session, decisions = after(joined, reply(SUE), view(who=person(SUE)))

    assert (session.status, session.operator_id, session.offered_to) == (before.status, before.operator_id, before.offered_to)
    assert (session.unanswered_since, session.quiet_until, decisions[0]) == (None, None, Deliver(M1, SUE))


# --- passing on to a line


def test_a_session_goes_to_another_lines_queue():
    """It takes the line's weight, priority and demands; the weight it had is given back; its colleagues stay behind."""
    line, desk = (
        LineSettings(priority=2),
        LineSettings(priority=5, weights=Weights(chat=40), skills=("billing",), skill_seconds=30),
    )
    before = replace(
        ACTIVE, priority=3, needs=("language:ru", "skill:returns"), members=(BOB,), invited=(SUE,), responsible_id=ANN
    )
    session, decisions = after(before, to_desk(), view(line, person(), target_line=desk, contact_priority=1), NOON + SECOND)

    assert (session.status, session.line_id, session.operator_id, session.weight) == (Status.QUEUED, DESK, None, 40)
    assert (session.priority, session.queued_at, session.responsible_id) == (6, NOON + SECOND, None)
    assert (session.needs, session.needs_until) == (("skill:billing",), NOON + 31 * SECOND)
    assert (session.members, session.invited) == ((), ())
    assert decisions == (
        Release(ANN, 25),
        MarkPool("session passed on", seats=True),
        MarkPool("session left the line", seats=True, line_id=SHOP),
        SetTimer(NO_ANSWER, NOON + MINUTE + SECOND),
    )


@pytest.mark.parametrize("needs", [("language:ru", "skill:returns"), ()], ids=["as before", "not asked before"])
def test_a_line_that_matches_languages_asks_for_the_customers(needs: tuple[str, ...]):
    """Whether the line before did or not; what else that one demanded it does not."""
    seen = view(who=person(), target_line=LineSettings(match_language=True), language="ru-RU")

    assert after(replace(ACTIVE, needs=needs), to_desk(), seen)[0].needs == ("language:ru",)


def test_who_passes_a_session_to_their_own_queue_is_not_asked_first():
    """ACTIVE to QUEUED in the same line: the seat that was freed is told, and is not asked for as long as a round lasts."""
    event = deed(Transfer, to_line=SHOP)
    session, decisions = after(ACTIVE, event, view(who=person(), to=SHOP), NOON + SECOND)

    assert (session.asked, session.round_no, session.round_began) == ((ANN,), 0, NOON + SECOND)
    assert decisions[:2] == (Release(ANN), MarkPool("session passed on", seats=True))
    assert not any(isinstance(made, MarkPool) and made.line_id for made in decisions)


@by_status([QUEUED, OFFERED])
def test_what_waits_keeps_its_age_in_another_queue(before: Session):
    """A supervisor moves it; nobody has had it, and anybody may be asked."""
    session, decisions = after(before, to_desk(SUE), view(who=BOSS), NOON + MINUTE)

    assert (session.status, session.queued_at, session.asked, session.round_no) == (Status.QUEUED, NOON, (), 0)
    assert (EndOffers((ANN,), "withdrawn") in decisions) is (before is OFFERED)
    assert MarkPool("session passed on") in decisions


def test_a_line_that_is_not_there_takes_nothing():
    """Switched off, or unknown."""
    assert refused(ACTIVE, to_desk(message_id=M1), view(who=person(), exists=False)) == "no_line"


def test_passed_to_a_line_that_is_shut_it_waits_for_the_opening():
    """All that is counted is counted from then."""
    seen = view(who=person(), hours=SHUT, target_line=LineSettings(skills=("billing",)))
    session, decisions = after(ACTIVE, to_desk(), seen)

    assert (session.opens_at, session.needs_until, session.answer_due) == (LATER, LATER + 2 * MINUTE, LATER + MINUTE)
    assert decisions[-1] == SetTimer(NO_ANSWER, LATER + MINUTE)


def test_a_line_that_keeps_silent_tells_nobody():
    """The time to an answer is the line's where it waits; what was set elsewhere is forgotten."""
    session, decisions = after(ACTIVE, to_desk(), view(who=person(), target_line=LineSettings(no_answer_seconds=0)))

    assert (session.answer_due, decisions[-1]) == (None, CancelTimer(NO_ANSWER))


# --- taking over


@by_status(OPEN_ONES)
def test_a_supervisor_takes_over(before: Session):
    """To ACTIVE with the supervisor; who had it or was asked is free; a member who takes over is a member no more."""
    session, decisions = after(replace(before, members=(SUE, BOB)), deed(TakeOver, SUE), view(who=BOSS))

    assert (session.status, session.operator_id, session.members, session.offered_to) == (Status.ACTIVE, SUE, (BOB,), ())
    assert (Release(ANN) in decisions) is (before in (OFFERED, ACTIVE))
    assert [made for made in decisions if isinstance(made, Reserve)] == [Reserve(SUE)]
    assert MarkPool("session taken over", seats=True) in decisions
    timer = {Status.QUEUED: ROUND, Status.OFFERED: OFFER, Status.SNOOZED: SNOOZE}.get(before.status)
    assert timer is None or CancelTimer(timer) in decisions


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (person(SUE), "not_allowed"),
        (None, "not_allowed"),
        (replace(BOSS, active=False), "not_allowed"),
        (replace(BOSS, reserved=76), "full"),
    ],
)
def test_who_may_not_take_over(who: OperatorView | None, code: str):
    """A supervisor with room."""
    for before in OPEN_ONES:
        assert refused(before, deed(TakeOver, SUE), view(who=who)) == code
    assert refused(CLOSED, deed(TakeOver, SUE), view(who=BOSS)) == "closed"


def test_what_a_supervisor_holds_already_makes_its_own_room():
    """Offered to them, or put by and counted: the weight is in their budget."""
    full = view(UNTIL_CLOSED, replace(BOSS, reserved=100))
    for before in (replace(OFFERED, offered_to=(SUE, BOB)), replace(SNOOZED, operator_id=SUE, counted=True)):
        session, decisions = after(before, deed(TakeOver, SUE), full)

        assert (session.status, session.operator_id) == (Status.ACTIVE, SUE)
        assert decisions.index(Release(SUE)) < decisions.index(Reserve(SUE))


def test_taking_over_ones_own_is_nothing():
    """A double click."""
    assert ignored(replace(ACTIVE, operator_id=SUE), deed(TakeOver, SUE), view(who=BOSS)) == "already yours"


# --- colleagues


@by_status([ACTIVE, SNOOZED])
def test_a_colleague_is_invited_joins_and_leaves(before: Session):
    """Nothing but the lists of who is with the session changes."""
    invited, nothing = after(before, deed(Invite, colleague=BOB), view(who=person(), colleague=person(BOB, seated=False)))
    joined, nothing_too = after(invited, deed(Join, BOB), view(who=person(BOB, seated=False)))
    left, nothing_either = after(joined, deed(LeaveSession, BOB), view(who=person(BOB)))

    assert invited == replace(before, invited=(BOB,))
    assert joined == replace(before, members=(BOB,))
    assert left == before
    assert nothing == nothing_too == nothing_either == ()


@pytest.mark.parametrize(
    ("before", "event", "who", "colleague", "code"),
    [
        (ACTIVE, deed(Invite, BOB, colleague=SUE), person(BOB), BOSS, "not_yours"),
        (replace(ACTIVE, invited=(BOB,)), deed(Invite, BOB, colleague=SUE), person(BOB), BOSS, "not_yours"),
        (ACTIVE, deed(Invite, colleague=BOB), person(), None, "no_colleague"),
        (ACTIVE, deed(Invite, colleague=BOB), person(), person(BOB, active=False), "no_colleague"),
        (QUEUED, deed(Invite, colleague=BOB), person(), person(BOB), "take_first"),
        (OFFERED, deed(Invite, colleague=BOB), person(), person(BOB), "take_first"),
        (CLOSED, deed(Invite, colleague=BOB), person(), person(BOB), "closed"),
        (ACTIVE, deed(Join, BOB), person(BOB), None, "not_invited"),
        (replace(ACTIVE, invited=(BOB,)), deed(Join, BOB), None, None, "not_invited"),
        (replace(ACTIVE, invited=(BOB,)), deed(Join, BOB), person(BOB, active=False), None, "not_invited"),
        (replace(QUEUED, invited=(BOB,)), deed(Join, BOB), person(BOB), None, "take_first"),
        (CLOSED, deed(Join, SUE), BOSS, None, "closed"),
        (ACTIVE, deed(LeaveSession), person(), None, "pass_it_on"),
        (SNOOZED, deed(LeaveSession), person(), None, "pass_it_on"),
        (None, deed(Invite, colleague=BOB), person(), person(BOB), "no_session"),
        (None, deed(Join, BOB), person(BOB), None, "no_session"),
        (None, deed(LeaveSession), person(), None, "no_session"),
    ],
)
def test_who_may_not_invite_join_or_leave(
    before: Session | None, event: OperatorEvent, who: OperatorView | None, colleague: OperatorView | None, code: str
):
    """Who has the session or is with it invites, the invited join, and the holder passes it on instead of leaving."""
    assert refused(before, event, view(who=who, colleague=colleague)) == code


def test_members_and_supervisors_invite_and_supervisors_join_unasked():
    """Their right is to be with every session of their lines."""
    with_bob = replace(ACTIVE, members=(BOB,))
    carol = OperatorId("carol")

    assert after(with_bob, deed(Invite, BOB, colleague=carol), view(who=person(BOB), colleague=person(carol)))[0].invited == (
        carol,
    )
    assert after(ACTIVE, deed(Invite, SUE, colleague=carol), view(who=BOSS, colleague=person(carol)))[0].invited == (carol,)
    assert after(ACTIVE, deed(Join, SUE), view(who=BOSS))[0].members == (SUE,)


def test_being_with_us_twice_is_being_with_us_once():
    """Inviting whoever is there, joining twice, leaving what one is not in."""
    both = replace(ACTIVE, members=(BOB,), invited=(SUE,))

    assert ignored(both, deed(Invite, colleague=BOB), view(who=person(), colleague=person(BOB))) == "with us already"
    assert ignored(both, deed(Invite, colleague=SUE), view(who=person(), colleague=BOSS)) == "with us already"
    assert ignored(both, deed(Invite, BOB, colleague=ANN), view(who=person(BOB), colleague=person())) == "with us already"
    assert ignored(both, deed(Join, BOB), view(who=person(BOB))) == "with us already"
    assert ignored(both, deed(Join), view(who=person())) == "with us already"
    for before in (QUEUED, OFFERED, ACTIVE, SNOOZED, CLOSED):
        assert ignored(before, deed(LeaveSession, BOB), view(who=person(BOB))) == "not with us"


def test_a_session_has_room_for_so_many_colleagues():
    """MEMBERS_MAX of those who joined and those who are invited."""
    crowd = tuple(OperatorId(f"o{number}") for number in range(MEMBERS_MAX))
    almost = replace(ACTIVE, members=crowd[:10], invited=crowd[11:])

    assert after(almost, deed(Invite, colleague=BOB), view(who=person(), colleague=person(BOB)))[0].invited[-1] == BOB
    invited = replace(almost, invited=(*almost.invited, BOB))
    assert refused(invited, deed(Invite, colleague=SUE), view(who=person(), colleague=BOSS)) == "too_many"
    assert refused(replace(ACTIVE, members=crowd), deed(Join, SUE), view(who=BOSS)) == "too_many"


@by_status([QUEUED, OFFERED])
def test_who_joined_may_leave_while_it_waits_again(before: Session):
    """Passed on, it keeps its colleagues, and they their way out; an invitation can be declined."""
    both = replace(before, members=(BOB,), invited=(SUE,))

    assert after(both, deed(LeaveSession, BOB), view(who=person(BOB)))[0].members == ()
    assert after(both, deed(LeaveSession, SUE), view(who=BOSS))[0].invited == ()


def test_who_joined_may_answer_and_who_is_only_invited_may_not():
    """A member's answer is the session's answer: what it frees is the holder's."""
    both = replace(ACTIVE, members=(BOB,), invited=(SUE,))
    session, decisions = after(both, reply(BOB), view(UNANSWERED, person(BOB)))

    assert (session.operator_id, session.unanswered_since, session.counted) == (ANN, None, False)
    assert decisions == (Deliver(M1, BOB), CancelTimer(NO_ANSWER), Release(ANN), MarkPool("session answered", seats=True))
    assert refused(both, reply(SUE), view(who=BOSS)) == "not_yours"


def test_the_invited_may_note_before_they_join():
    """Among operators, without a seat."""
    assert after(replace(ACTIVE, invited=(BOB,)), deed(Note, BOB, message_id=M1), view(who=person(BOB, seated=False)))[1] == (
        Keep(M1, BOB),
    )


def test_closing_forgets_invitations_and_keeps_who_was_there():
    """Until it is reopened, with nobody beside its operator."""
    session, _ = after(replace(ANSWERED, members=(BOB,), invited=(SUE,)), deed(Close))
    again, _ = after(session, said(NOON + SECOND))

    assert (session.members, session.invited) == ((BOB,), ())
    assert (again.status, again.members) == (Status.ACTIVE, ())


# --- spam


@by_status(OPEN_ONES)
def test_spam_is_closed_without_a_word(before: Session):
    """Nothing is said and nothing asked; what it took is free; *ban* says the rest."""
    session, decisions = after(before, deed(Spam), view(who=person()))

    assert (session.status, session.outcome, session.rating_until) == (Status.CLOSED, "spam", None)
    assert not any(isinstance(made, Say | Ban) for made in decisions)
    assert (Release(ANN) in decisions) is (before in (OFFERED, ACTIVE))
    assert decisions[-1] == MarkPool("session closed", seats=True)
    assert after(before, deed(Spam, ban=True), view(who=person()))[1][-1] == Ban()


def test_what_was_closed_may_turn_out_to_be_spam():
    """Also for good; what nobody had also by anybody of the line: its outcome changes and nothing else; it is rated no more."""
    nobodys = replace(CLOSED, operator_id=None)
    for before, who in ((CLOSED, ANN), (replace(CLOSED, frozen=True, rating_until=LATER), ANN), (nobodys, BOB)):
        session, decisions = after(before, deed(Spam, who, ban=True), view(who=person(who)))

        assert session == replace(before, outcome="spam", rating_until=None)
        assert decisions == (Ban(),)
    spam = replace(CLOSED, outcome="spam")
    assert ignored(spam, deed(Spam)) == "spam already"
    assert after(spam, deed(Spam, ban=True))[1] == (Ban(),)


@pytest.mark.parametrize(
    ("before", "who"),
    [
        (QUEUED, person(BOB, seated=False)),
        (QUEUED, person(BOB, active=False)),
        (QUEUED, None),
        (ACTIVE, person(BOB)),
        (SNOOZED, person(BOB)),
        (CLOSED, person(BOB)),
        (replace(CLOSED, members=(BOB,)), person(BOB)),
        (PASSED, person(BOB)),
    ],
)
def test_who_may_not_call_it_spam(before: Session, who: OperatorView | None):
    """What nobody has: the line's people; what somebody has, had or is passing on: they, their colleagues with it, a supervisor."""
    assert refused(before, deed(Spam, BOB), view(who=who)) == "not_yours"
    assert refused(None, deed(Spam, BOB), view(who=who)) == "no_session"
    joined = replace(before, members=(BOB,))
    if before.status is not Status.CLOSED:
        assert after(joined, deed(Spam, BOB), view(who=person(BOB)))[0].outcome == "spam"
    assert after(before, deed(Spam, SUE), view(who=BOSS))[0].outcome == "spam"


@pytest.mark.parametrize("before", [None, CLOSED, replace(CLOSED, frozen=True)], ids=["new", "closed", "frozen"])
def test_what_a_banned_contact_writes_opens_nothing(before: Session | None):
    """Nor does it open again what was closed."""
    banned = view(who=person(), talk=conversation(banned=True))

    assert decide(before, said(), banned, NOON) == (before, (Ignore("banned"),))


# --- snoozing


def test_a_session_is_put_by():
    """ACTIVE to SNOOZED: its place in the budget is free, and nothing else is due until then."""
    before = replace(ACTIVE, kpi_due=LATER)
    session, decisions = after(before, deed(Snooze, until=LATER))

    assert (session.status, session.operator_id, session.snoozed_until, session.counted) == (Status.SNOOZED, ANN, LATER, False)
    assert (session.answer_due, session.kpi_due, session.unanswered_since) == (None, None, NOON)
    assert decisions == (
        SetTimer(SNOOZE, LATER),
        CancelTimer(NO_ANSWER),
        CancelTimer(KPI),
        Release(ANN),
        MarkPool("session snoozed", seats=True),
    )


def test_put_by_it_may_be_put_by_longer():
    """Only the time changes: nothing is given back twice."""
    until = LATER + HOUR

    assert after(SNOOZED, deed(Snooze, until=until)) == (replace(SNOOZED, snoozed_until=until), (SetTimer(SNOOZE, until),))


def test_a_line_may_count_what_is_put_by():
    """load_counts closed: it keeps its place, and wakes in it."""
    snoozed, decisions = after(ACTIVE, deed(Snooze, until=LATER), view(UNTIL_CLOSED, person()))
    woken, waking = after(snoozed, SnoozeEnded(at=LATER), view(UNTIL_CLOSED, person(reserved=100)), LATER)

    assert (snoozed.counted, woken.counted, woken.status) == (True, True, Status.ACTIVE)
    assert not any(isinstance(made, Release | Reserve) for made in (*decisions, *waking))


@pytest.mark.parametrize(
    ("before", "event", "code"),
    [
        (ACTIVE, deed(Snooze, BOB, until=LATER), "not_yours"),
        (replace(ACTIVE, members=(BOB,)), deed(Snooze, BOB, until=LATER), "not_yours"),
        (ACTIVE, deed(Snooze, until=NOON), "past"),
        (ACTIVE, deed(Snooze, until=NOON - HOUR), "past"),
        (QUEUED, deed(Snooze, until=LATER), "take_first"),
        (OFFERED, deed(Snooze, until=LATER), "take_first"),
        (CLOSED, deed(Snooze, until=LATER), "closed"),
        (None, deed(Snooze, until=LATER), "no_session"),
    ],
)
def test_who_may_not_put_it_by(before: Session | None, event: Snooze, code: str):
    """Who has it, until a moment to come."""
    assert refused(before, event) == code


def test_when_its_time_comes_it_is_with_whoever_put_it_by():
    """SNOOZED to ACTIVE, within their budget."""
    session, decisions = after(SNOOZED, SnoozeEnded(at=LATER), view(who=person(reserved=75)), LATER)

    assert session == replace(ANSWERED, status=Status.ACTIVE, counted=True)
    assert decisions == (CancelTimer(SNOOZE), Reserve(ANN))


def test_an_earlier_time_is_past():
    """Put by longer before the first timer was decided."""
    assert ignored(SNOOZED, SnoozeEnded(at=LATER - SECOND)) == "its time is past"


@pytest.mark.parametrize("event", [SnoozeEnded(at=LATER), said(LATER)], ids=["its time", "the customer"])
@pytest.mark.parametrize(
    ("who", "responsible"),
    [
        (person(presence=PresenceState.AWAY), ANN),
        (person(on_shift=False), ANN),
        (person(reserved=76), ANN),
        (person(active=False), None),
        (None, None),
    ],
    ids=["away", "off shift", "full", "switched off", "removed"],
)
def test_what_wakes_without_its_operator_waits(event: SessionEvent, who: OperatorView | None, responsible: OperatorId | None):
    """SNOOZED to QUEUED, first for whoever put it by while they work here; nothing is given back that was not taken."""
    session, decisions = after(SNOOZED, event, view(who=who), LATER)

    assert (session.status, session.operator_id, session.responsible_id) == (Status.QUEUED, None, responsible)
    assert (session.queued_at, session.snoozed_until, session.counted) == (LATER, None, True)
    assert decisions[:2] == (CancelTimer(SNOOZE), MarkPool("session woke"))
    counted, more = after(replace(SNOOZED, counted=True), event, view(UNTIL_CLOSED, person(presence=PresenceState.AWAY)), LATER)
    assert (counted.counted, more[0], MarkPool("session woke", seats=True) in more) == (True, Release(ANN), True)


def test_the_customer_wakes_it():
    """They wait from now, and the promise is of a next answer."""
    session, decisions = after(SNOOZED, said(NOON + MINUTE), view(KPIS, person()), NOON + MINUTE + SECOND)

    due = NOON + MINUTE + 90 * SECOND
    assert (session.status, session.unanswered_since, session.kpi_due) == (Status.ACTIVE, NOON + MINUTE, due)
    assert decisions == (CancelTimer(SNOOZE), Reserve(ANN), SetTimer(KPI, due))


def test_who_was_never_answered_is_promised_a_first_answer_on_waking():
    """Putting a session by is no answer: both watches begin again with its time."""
    before = replace(SNOOZED, unanswered_since=NOON, answered_at=None)
    session, decisions = after(before, SnoozeEnded(at=LATER), view(KPIS, person()), LATER)

    assert (session.answer_due, session.kpi_due) == (LATER + MINUTE, LATER + 30 * SECOND)
    assert {SetTimer(NO_ANSWER, LATER + MINUTE), SetTimer(KPI, LATER + 30 * SECOND)} < set(decisions)


@pytest.mark.parametrize(
    ("event", "who"),
    [
        (deed(Take), person()),
        (deed(TakeOver, SUE), BOSS),
        (deed(Transfer, SUE, to_operator=BOB, assigned=True), BOSS),
        (deed(Transfer, SUE, to_line=SHOP), BOSS),
        (OperatorGone(at=NOON, operator_id=ANN, removed=True), None),
    ],
    ids=["taken back", "taken over", "assigned", "to the queue", "operator removed"],
)
def test_whoever_brings_it_back_brings_its_promises_back(event: SessionEvent, who: OperatorView | None):
    """The customer has waited since before it was put by: what was forgotten then is set again from now."""
    before = replace(SNOOZED, unanswered_since=NOON, answered_at=None)
    session, decisions = after(before, event, view(KPIS, who, colleague=person(BOB), to=SHOP, target_line=KPIS), LATER)

    assert (session.answer_due, session.kpi_due) == (LATER + MINUTE, LATER + 30 * SECOND)
    assert {SetTimer(NO_ANSWER, LATER + MINUTE), SetTimer(KPI, LATER + 30 * SECOND)} < set(decisions)


def test_outside_the_hours_the_customer_is_told_when_we_open():
    """Who wakes a session that nobody can have now."""
    session, decisions = after(SNOOZED, said(), view(KPIS, None, SHUT))
    by_time, silent = after(SNOOZED, SnoozeEnded(at=LATER), view(KPIS, None, SHUT), LATER)

    assert (session.opens_at, session.answer_due, session.kpi_due) == (LATER, LATER + MINUTE, LATER + 90 * SECOND)
    assert Say("outside") in decisions
    assert by_time.status is Status.QUEUED
    assert not any(isinstance(made, Say) for made in silent)
    assert after(SNOOZED, said(), view(LINE, person(), SHUT))[1] == (CancelTimer(SNOOZE), Reserve(ANN))


def test_its_operator_takes_it_back_or_answers():
    """SNOOZED to ACTIVE before its time; nobody else may, and it takes room."""
    taken, decisions = after(SNOOZED, deed(Take))
    answered, more = after(SNOOZED, reply())

    assert (taken.status, taken.snoozed_until, decisions) == (Status.ACTIVE, None, (CancelTimer(SNOOZE), Reserve(ANN)))
    assert (answered.status, more) == (Status.ACTIVE, (CancelTimer(SNOOZE), Reserve(ANN), Deliver(M1, ANN)))
    for event in (deed(Take), reply()):
        assert refused(SNOOZED, event, view(who=person(reserved=76))) == "full"
        assert refused(SNOOZED, replace(event, operator_id=BOB), view(who=person(BOB))) == "taken"
        assert refused(SNOOZED, event, view(who=person(active=False))) == "not_yours"
    counted = replace(SNOOZED, counted=True)
    assert after(counted, deed(Take), view(UNTIL_CLOSED, person(reserved=100)))[1] == (CancelTimer(SNOOZE),)


def test_a_snoozed_session_is_closed_as_any():
    """By who put it by; its timer goes, and nothing is given back that was not taken."""
    session, decisions = after(SNOOZED, deed(Close))

    assert (session.status, session.snoozed_until) == (Status.CLOSED, None)
    assert decisions[0] == CancelTimer(SNOOZE)
    assert Release(ANN) not in decisions
    assert refused(SNOOZED, deed(Close, BOB)) == "not_yours"


def test_who_vanishes_keeps_what_they_put_by_and_who_is_removed_does_not():
    """It wakes without them, or waits for somebody at once."""
    vanished = OperatorGone(at=NOON, operator_id=ANN, vanished=True)

    assert ignored(SNOOZED, vanished, view(LineSettings(vanished=Vanished.QUEUE))) == "it wakes without them"
    session, decisions = after(replace(SNOOZED, counted=True), replace(vanished, removed=True), view())
    assert (session.status, session.operator_id, session.snoozed_until) == (Status.QUEUED, None, None)
    assert decisions == (Release(ANN), CancelTimer(SNOOZE), MarkPool("operator gone", seats=True))


# --- writing first


def start(who: OperatorId = ANN, at: datetime = NOON) -> Start:
    return Start(at=at, operator_id=who, command="k1", message_id=M1)


def test_an_operator_writes_first():
    """NEW to ACTIVE, answered already: nobody waits; it weighs as any."""
    line = LineSettings(priority=2, weights=Weights(chat=30))
    session, decisions = after(None, start(), view(line, person(), talk=conversation(contact_priority=3)))

    assert (session.id, session.status, session.operator_id, session.weight, session.priority) == (
        "s2",
        Status.ACTIVE,
        ANN,
        30,
        5,
    )
    assert (session.unanswered_since, session.answered_at, session.counted) == (None, NOON, True)
    assert decisions == (Reserve(ANN), Deliver(M1, ANN))


def test_what_was_closed_goes_on_while_it_may():
    """CLOSED to ACTIVE with whoever writes first, though another had it."""
    session, decisions = after(CLOSED, start(BOB, NOON + 10 * MINUTE), view(who=person(BOB)), NOON + 10 * MINUTE)

    assert (session.id, session.status, session.operator_id, session.reopened) == ("s1", Status.ACTIVE, BOB, 1)
    assert (session.closed_at, session.answered_at) == (None, NOON + 10 * MINUTE)
    assert decisions == (CancelTimer(REOPEN), Reserve(BOB), Deliver(M1, BOB))


def test_after_its_window_another_begins():
    """Frozen already, or its timer not decided yet: then it is frozen now."""
    late = start(at=NOON + 10 * MINUTE + timedelta(microseconds=1))
    overdue, decisions = after(CLOSED, late, now=late.at)
    frozen, more = after(replace(CLOSED, frozen=True), start())

    assert (overdue.id, frozen.id) == ("s2", "s2")
    assert decisions == (Freeze(), CancelTimer(REOPEN), Reserve(ANN), Deliver(M1, ANN))
    assert more == (Reserve(ANN), Deliver(M1, ANN))


def test_another_begins_in_the_channels_own_line():
    """Passed to another line, a session is over with its window: what follows is no business of that line."""
    elsewhere = replace(CLOSED, line_id=DESK)

    for event in (start(), said()):
        session, decisions = after(elsewhere, event)
        assert (session.id, session.line_id) == ("s2", SHOP)
        assert decisions[:2] == (Freeze(), CancelTimer(REOPEN))


@pytest.mark.parametrize("before", [None, CLOSED, replace(CLOSED, frozen=True)], ids=["new", "closed", "frozen"])
@pytest.mark.parametrize(
    ("who", "banned", "code"),
    [
        (person(), True, "banned"),
        (person(reserved=76), False, "full"),
        (person(seated=False), False, "not_yours"),
        (person(active=False), False, "not_yours"),
        (None, False, "not_yours"),
    ],
)
def test_who_may_not_write_first(before: Session | None, who: OperatorView | None, banned: bool, code: str):
    """Whoever has a seat in the line and room, to whoever is not banned."""
    assert refused(before, start(), view(who=who, talk=conversation(banned=banned))) == code


@by_status(OPEN_ONES)
def test_what_is_open_is_answered_not_begun(before: Session):
    """There is one open session in a conversation."""
    assert refused(before, start()) == "open_already"


def test_what_weighs_nothing_is_begun_without_room():
    """Mail counts only while it is unanswered, and this is an answer."""
    session, decisions = after(None, start(), view(who=person(reserved=100), talk=conversation(load=LoadKind.MAIL)))

    assert (session.counted, session.weight, decisions) == (False, 5, (Deliver(M1, ANN),))


def test_a_supervisor_writes_first_without_a_seat():
    """As they may take without one."""
    assert after(None, start(SUE), view(who=BOSS))[0].operator_id == SUE


# --- what counts in a budget

MAIL = replace(ACTIVE, load=LoadKind.MAIL, weight=5)


@pytest.mark.parametrize(
    ("line", "before"),
    [(LINE, MAIL), (UNTIL_CLOSED, MAIL), (UNANSWERED, MAIL), (UNANSWERED, ACTIVE)],
    ids=["mail"] * 3 + ["chat"],
)
def test_what_is_answered_may_weigh_nothing(line: LineSettings, before: Session):
    """Given back once with the answer, taken again with the customer's next message if there is room, asked again if there is not."""
    answered, decisions = after(before, reply(), view(line, person()))
    twice, nothing = after(answered, reply(), view(line, person()))
    waits, taken = after(answered, said(), view(line, person(reserved=100 - before.weight)))
    full, not_taken = after(answered, said(), view(line, person(reserved=100)))
    room, taken_later = after(full, said(), view(line, person()))

    assert decisions[-2:] == (Release(ANN), MarkPool("session answered", seats=True))
    assert (answered.counted, twice.counted, nothing) == (False, False, (Deliver(M1, ANN),))
    assert (waits.counted, taken) == (True, (Reserve(ANN),))
    assert (full.counted, full.unanswered_since, not_taken) == (False, NOON, ())
    assert (room.counted, taken_later) == (True, (Reserve(ANN),))
    closed, more = after(answered, deed(Close), view(line, person()))
    assert Release(ANN) not in more
    assert closed.counted


def test_a_chat_counts_while_it_is_open():
    """An answer gives nothing back."""
    for line in (LINE, UNTIL_CLOSED):
        session, decisions = after(ACTIVE, reply(), view(line, person()))
        assert (session.counted, decisions) == (True, (Deliver(M1, ANN), CancelTimer(NO_ANSWER)))


def test_an_answered_mail_weighs_nothing_for_whoever_takes_it():
    """From the list by somebody who is full; from an offer, whose weight is given back; back from a colleague who was asked."""
    waits = replace(QUEUED, load=LoadKind.MAIL, weight=5, unanswered_since=None, answered_at=NOON, answer_due=None)
    passed = replace(PASSED, load=LoadKind.MAIL, weight=5, unanswered_since=None, answered_at=NOON, answer_due=None)
    full = view(who=person(reserved=100))
    taken, decisions = after(waits, deed(Take), full)
    accepted, more = after(passed, deed(Take, BOB), view(who=person(BOB, reserved=5)))
    back, ends = after(passed, deed(Decline, BOB), full)

    assert (taken.counted, decisions) == (False, (CancelTimer(ROUND),))
    assert (accepted.counted, more[-2:]) == (False, (Release(BOB), MarkPool("session answered", seats=True)))
    assert (back.status, back.operator_id, back.counted) == (Status.ACTIVE, ANN, False)
    assert [made for made in ends if isinstance(made, Reserve | Release)] == [Release(BOB)]


# --- silence


def test_a_session_that_nobody_writes_in_is_warned_of_and_closed():
    """The answer starts the time; at its end but for the warning the customer is told, and at its end it closes."""
    answered, decisions = after(ACTIVE, reply(), view(QUIET, person()))
    warns = NOON + 9 * MINUTE
    warned, words = after(answered, SilenceDue(at=warns), view(QUIET), warns)
    closed, end = after(warned, SilenceDue(at=warns + MINUTE), view(QUIET), warns + MINUTE)

    assert (answered.quiet_until, decisions[-1]) == (warns, SetTimer(SILENCE, warns))
    assert (warned.quiet_warned, warned.quiet_until, warned.status) == (True, warns + MINUTE, Status.ACTIVE)
    assert words == (Say("auto_close"), SetTimer(SILENCE, warns + MINUTE))
    assert (closed.status, closed.outcome, closed.quiet_until, closed.quiet_warned) == (Status.CLOSED, "silence", None, False)
    assert end[0] == Release(ANN)
    assert closed.rating_until is not None


def test_a_line_may_close_without_a_warning():
    """auto_close_warn_seconds 0: at the end of the silence, without another word before."""
    line = LineSettings(auto_close_seconds=600, auto_close_warn_seconds=0)
    answered, _ = after(ACTIVE, reply(), view(line, person()))

    assert answered.quiet_until == NOON + 10 * MINUTE
    assert after(answered, SilenceDue(at=NOON + 10 * MINUTE), view(line))[0].status is Status.CLOSED


def test_a_warning_comes_no_sooner_than_half_of_the_silence():
    """A line whose warning is longer than its silence does not ask who is there right after an answer."""
    line = LineSettings(auto_close_seconds=100, auto_close_warn_seconds=300)

    assert after(ACTIVE, reply(), view(line, person()))[0].quiet_until == NOON + 50 * SECOND


@pytest.mark.parametrize("warned", [False, True])
def test_a_customer_who_writes_ends_the_silence(warned: bool):
    """After the warning too: the time begins anew with the next answer, with another warning."""
    quiet = replace(ANSWERED, quiet_until=LATER, quiet_warned=warned)
    waits, decisions = after(quiet, said(), view(QUIET, person()))
    answered, _ = after(waits, reply(), view(QUIET, person()))

    assert (waits.quiet_until, waits.quiet_warned, decisions) == (None, False, (CancelTimer(SILENCE),))
    assert ignored(waits, SilenceDue(at=LATER), view(QUIET)) == "somebody has written"
    assert (answered.quiet_until, answered.quiet_warned) == (NOON + 9 * MINUTE, False)


def test_an_operator_who_is_silent_closes_nothing():
    """While the customer waits there is no such time."""
    assert ignored(ACTIVE, SilenceDue(at=LATER), view(QUIET)) == "somebody has written"


def test_a_silence_that_was_broken_in_time_is_past():
    """The timer fell due before the answer that set another was decided."""
    assert ignored(replace(ANSWERED, quiet_until=LATER), SilenceDue(at=LATER - SECOND), view(QUIET)) == "its time is past"


def test_another_answer_begins_the_silence_anew():
    """Also after the warning."""
    warned = replace(ANSWERED, quiet_until=NOON + SECOND, quiet_warned=True)

    assert after(warned, reply(), view(QUIET, person()))[0] == replace(ANSWERED, quiet_until=NOON + 9 * MINUTE)


@pytest.mark.parametrize(
    ("before", "event", "who"),
    [
        (replace(QUEUED, unanswered_since=None, answered_at=NOON, answer_due=None), deed(Take), person()),
        (replace(PASSED, unanswered_since=None, answered_at=NOON, answer_due=None), deed(Take, BOB), person(BOB)),
        (replace(PASSED, unanswered_since=None, answered_at=NOON, answer_due=None), deed(Decline, BOB), person()),
        (ANSWERED, deed(TakeOver, SUE), BOSS),
        (ANSWERED, deed(Transfer, SUE, to_operator=BOB, assigned=True), BOSS),
        (SNOOZED, SnoozeEnded(at=LATER), person()),
        (SNOOZED, deed(Take), person()),
        (None, start(), person()),
    ],
    ids=["taken", "taken from a colleague", "given back", "taken over", "assigned", "woken", "taken back", "begun"],
)
def test_an_answered_session_is_watched_for_silence_whoever_gets_it(
    before: Session | None, event: SessionEvent, who: OperatorView
):
    """However it becomes somebody's, it does not stay open for ever."""
    session, decisions = after(before, event, view(QUIET, who, colleague=person(BOB)))

    assert (session.status, session.quiet_until) == (Status.ACTIVE, NOON + 9 * MINUTE)
    assert SetTimer(SILENCE, NOON + 9 * MINUTE) in decisions


@pytest.mark.parametrize(
    "event",
    [
        deed(Snooze, until=LATER),
        to_bob(),
        to_desk(),
        deed(Close),
        deed(Spam),
        OperatorGone(at=NOON, operator_id=ANN, removed=True),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_session_that_is_not_with_somebody_is_not_watched(event: SessionEvent):
    """Its timer goes with it."""
    quiet = replace(ANSWERED, quiet_until=LATER, quiet_warned=True)
    session, decisions = after(quiet, event, view(QUIET, person(), colleague=person(BOB)))

    assert (session.quiet_until, session.quiet_warned) == (None, False)
    assert CancelTimer(SILENCE) in decisions


def test_a_line_that_closes_nothing_any_more():
    """Switched off while the time ran: it means nothing, and an answer forgets it."""
    quiet = replace(ANSWERED, quiet_until=NOON)

    assert after(quiet, SilenceDue(at=NOON), view()) == (ANSWERED, (Ignore("switched off"),))
    assert after(quiet, reply())[1] == (Deliver(M1, ANN), CancelTimer(SILENCE))


# --- promises of an answer


def test_supervisors_are_told_when_an_answer_takes_too_long():
    """The first and the next have their own times; each missed one is told once and counted."""
    opened, decisions = after(None, said(), view(KPIS))
    first = NOON + 30 * SECOND
    missed, alert = after(opened, KpiDue(at=first), view(KPIS), first)

    assert (opened.kpi_due, SetTimer(KPI, first) in decisions) == (first, True)
    assert (missed.kpi_missed, missed.kpi_due, alert) == (1, None, (Alert("kpi_first"),))
    assert ignored(missed, KpiDue(at=LATER), view(KPIS)) == "answered already"
    waits, more = after(replace(ANSWERED, kpi_missed=1), said(LATER), view(KPIS, person()))
    assert more == (SetTimer(KPI, LATER + 90 * SECOND),)
    again, alert = after(waits, KpiDue(at=LATER + 90 * SECOND), view(KPIS))
    assert (again.kpi_missed, alert) == (2, (Alert("kpi_next"),))


def test_an_answer_in_time_keeps_the_promise():
    """Its timer is forgotten, if there is one; what fell due for an earlier wait is past."""
    waits = replace(ACTIVE, kpi_due=LATER)
    answered, decisions = after(waits, reply(), view(KPIS, person()))

    assert (answered.kpi_due, decisions) == (None, (Deliver(M1, ANN), CancelTimer(NO_ANSWER), CancelTimer(KPI)))
    assert ignored(answered, KpiDue(at=LATER), view(KPIS)) == "answered already"
    assert ignored(waits, KpiDue(at=LATER - SECOND), view(KPIS)) == "its time is past"


def test_a_promise_runs_through_all_that_is_done_with_the_session():
    """Passing on, offers and taking do not move it; more messages neither."""
    kpi = {"kpi_due": LATER}
    steps: list[tuple[Session, SessionEvent]] = [
        (ACTIVE, to_bob()),
        (ACTIVE, to_desk()),
        (QUEUED, deed(Take)),
        (PASSED, deed(Decline, BOB)),
        (ACTIVE, said(LATER)),
        (ACTIVE, OperatorGone(at=NOON, operator_id=ANN, vanished=True)),
    ]
    for before, event in steps:
        session, decisions = after(replace(before, **kpi), event, view(KPIS, person(), colleague=person(BOB)))
        assert session.kpi_due == LATER
        assert not any(getattr(made, "name", "") == KPI for made in decisions)


def test_a_promise_that_is_not_made_any_more():
    """Switched off while the time ran."""
    due = replace(ACTIVE, kpi_due=NOON)

    assert after(due, KpiDue(at=NOON), view()) == (ACTIVE, (Ignore("switched off"),))


def test_outside_the_hours_a_promise_counts_from_the_opening():
    """In what was opened then, and in what is written into it."""
    opened, _ = after(None, said(), view(KPIS, hours=SHUT))
    answered = replace(opened, unanswered_since=None, answered_at=NOON, kpi_due=None, answer_due=None)
    waits, _ = after(answered, said(NOON + MINUTE), view(KPIS, hours=SHUT))

    assert (opened.kpi_due, opened.answer_due) == (LATER + 30 * SECOND, LATER + MINUTE)
    assert (waits.kpi_due, waits.answer_due) == (LATER + 90 * SECOND, LATER + MINUTE)


# --- no answer in time


def no_answer(at: datetime = NOON + MINUTE) -> NoAnswerDue:
    return NoAnswerDue(at=at)


def test_a_line_that_only_says_so():
    """TEXT: once in a wait; after an answer, in the queue again, it may be said again."""
    told, decisions = after(ACTIVE, no_answer())
    answered, _ = after(told, reply())
    waits, _ = after(answered, said(LATER))
    queued, again = after(waits, to_desk(), view(who=person()), LATER)

    assert (told.no_answer_said, told.answer_due, decisions) == (True, None, (Say("no_answer"),))
    assert (waits.no_answer_said, waits.answer_due) == (False, None)
    assert (queued.answer_due, again[-1]) == (LATER + MINUTE, SetTimer(NO_ANSWER, LATER + MINUTE))
    not_again, _ = after(told, to_desk(), view(who=person()), LATER)
    assert (not_again.answer_due, not_again.no_answer_said) == (None, True)


def test_who_writes_while_an_answered_session_waits_is_told_too():
    """Passed on to the queue in peace; then the customer writes, and nobody has it."""
    calm = replace(QUEUED, unanswered_since=None, answered_at=NOON, answer_due=None, no_answer_said=True)
    session, decisions = after(calm, said(NOON + SECOND))

    assert (session.no_answer_said, decisions) == (False, (SetTimer(NO_ANSWER, NOON + MINUTE + SECOND),))
    assert after(session, no_answer(NOON + MINUTE + SECOND))[1] == (Say("no_answer"),)


def test_a_line_that_gives_it_to_somebody_else():
    """QUEUE: the time runs from the taking; whoever has not answered loses it, and is not asked again in the round."""
    opened, decisions = after(None, said(), view(TO_QUEUE))
    taken, timers = after(opened, deed(Take), view(TO_QUEUE, person()), NOON + 5 * MINUTE)
    back, freed = after(taken, no_answer(NOON + 6 * MINUTE), view(TO_QUEUE), NOON + 6 * MINUTE)

    assert (opened.answer_due, any(isinstance(made, SetTimer) for made in decisions)) == (None, False)
    assert (taken.answer_due, SetTimer(NO_ANSWER, NOON + 6 * MINUTE) in timers) == (NOON + 6 * MINUTE, True)
    assert (back.status, back.operator_id, back.asked, back.round_no) == (Status.QUEUED, None, (ANN,), 0)
    assert (back.round_began, back.answer_due, back.no_answer_said) == (NOON + 6 * MINUTE, None, False)
    assert freed == (Release(ANN), MarkPool("no answer", seats=True))


def test_whoever_answered_keeps_it():
    """Nor does a further answer that takes long give it away."""
    taken, _ = after(QUEUED, deed(Take), view(TO_QUEUE, person()))
    answered, decisions = after(taken, reply(), view(TO_QUEUE, person()))
    waits, nothing = after(answered, said(LATER), view(TO_QUEUE, person()))

    assert (answered.answer_due, CancelTimer(NO_ANSWER) in decisions) == (None, True)
    assert (waits.answer_due, nothing) == (None, ())
    assert ignored(waits, no_answer(), view(TO_QUEUE)) == "answered already"


def test_who_takes_it_next_has_the_whole_time():
    """Passed on and taken shortly before: the watch of who had it before does not count."""
    taken, decisions = after(PASSED, deed(Take, BOB), view(TO_QUEUE, person(BOB)), NOON + 59 * SECOND)

    assert taken.answer_due == NOON + 119 * SECOND
    assert SetTimer(NO_ANSWER, NOON + 119 * SECOND) in decisions
    assert after(PASSED, no_answer(), view(TO_QUEUE)) == (replace(PASSED, answer_due=None), (Ignore("it waits for anybody"),))


def test_reopened_with_who_had_it_it_may_be_lost_again():
    """They have the line's time from the customer's message on."""
    again, decisions = after(CLOSED, said(NOON + MINUTE), view(TO_QUEUE, person()), NOON + MINUTE)

    assert (again.status, again.answer_due) == (Status.ACTIVE, NOON + 2 * MINUTE)
    assert decisions == (Reserve(ANN), SetTimer(NO_ANSWER, NOON + 2 * MINUTE), CancelTimer(REOPEN))


@by_status([QUEUED, OFFERED, ACTIVE])
def test_a_line_that_sends_it_on(before: Session):
    """LINE: to the other line's queue, whoever had it or was asked is free; there it is not sent on again."""
    session, decisions = after(before, no_answer(), view(TO_LINE, target_line=TO_LINE), NOON + MINUTE)

    assert (session.status, session.line_id, session.sent_on, session.operator_id) == (Status.QUEUED, DESK, True, None)
    assert session.queued_at == (NOON + MINUTE if before is ACTIVE else NOON)
    assert (Release(ANN) in decisions) is (before is not QUEUED)
    assert MarkPool("session left the line", seats=True, line_id=SHOP) in decisions
    assert decisions[-1] == SetTimer(NO_ANSWER, NOON + 2 * MINUTE)
    there, words = after(session, no_answer(NOON + 2 * MINUTE), view(TO_LINE, to=SHOP, target_line=TO_LINE), NOON + 2 * MINUTE)
    assert (there.line_id, there.answer_due, words) == (DESK, None, (Say("no_answer"),))


@pytest.mark.parametrize("rule", [NoAnswer.NOTHING, NoAnswer.QUEUE])
def test_what_was_sent_on_follows_the_rule_of_the_line_where_it_waits(rule: NoAnswer):
    """Only sending on is for once."""
    session, decisions = after(QUEUED, no_answer(), view(TO_LINE, target_line=LineSettings(no_answer_does=rule)))

    assert (session.sent_on, session.answer_due) == (True, None)
    assert not any(isinstance(made, SetTimer) for made in decisions)


@pytest.mark.parametrize(
    "seen",
    [view(TO_LINE, exists=False), view(TO_LINE, to=SHOP), view(TO_LINE, hours=SHUT)],
    ids=["not there", "the same", "shut"],
)
def test_what_cannot_be_sent_on_is_said(seen: View):
    """A line that is switched off, itself, or shut now would be no help."""
    assert after(QUEUED, no_answer(), seen) == (replace(QUEUED, answer_due=None, no_answer_said=True), (Say("no_answer"),))


def test_a_line_that_does_nothing():
    """NOTHING, or no time at all: nothing is set, and what was set before means nothing."""
    for line in (LineSettings(no_answer_does=NoAnswer.NOTHING), LineSettings(no_answer_seconds=0)):
        opened, decisions = after(None, said(), view(line))
        assert (opened.answer_due, any(isinstance(made, SetTimer) for made in decisions)) == (None, False)
        assert after(ACTIVE, no_answer(), view(line)) == (replace(ACTIVE, answer_due=None), (Ignore("switched off"),))


def test_that_nobody_is_there_does_not_keep_it_from_being_sent_on():
    """The customer is told at once, and again nothing is said where it cannot go."""
    told, decisions = after(QUEUED, Held(at=NOON, until=None, why="nobody"), view(TO_LINE))

    assert (told.answer_due, decisions) == (NOON + MINUTE, (Alert("nobody"), Say("no_answer")))
    assert after(told, no_answer(), view(TO_LINE, target_line=LINE))[0].line_id == DESK
    taken, _ = after(told, deed(Take), view(TO_LINE, person()))
    vanished = OperatorGone(at=NOON, operator_id=ANN, vanished=True)
    assert after(taken, vanished, view(TO_LINE), LATER)[0].answer_due == LATER + MINUTE
    assert after(told, no_answer(), view(TO_LINE, exists=False))[1] == (Ignore("told already"),)


# --- what the customer says of it

ASKED = replace(CLOSED, rating_until=NOON + 24 * HOUR, rating_asked=True)


def rated(rating: Rating = Rating.GOOD, at: datetime = NOON) -> Rated:
    return Rated(at=at, rating=rating)


def test_the_customer_is_asked_after_an_answered_session():
    """And only then: not where nothing was answered, by a line that does not ask, or of spam."""
    closed, decisions = after(ANSWERED, deed(Close), view(LineSettings(rating_hours=2), person()))

    assert (closed.rating_until, closed.rating) == (NOON + 2 * HOUR, None)
    assert [made.reply for made in decisions if isinstance(made, Say)] == ["close", "rating"]
    for before, event, line in (
        (ACTIVE, deed(Close), LINE),
        (ANSWERED, deed(Close), LineSettings(rating=False)),
        (ANSWERED, deed(Spam), LINE),
    ):
        made, decisions = after(before, event, view(line, person()))
        assert made.rating_until is None
        assert Say("rating") not in decisions


def test_thanks_after_the_closing_are_no_new_question():
    """The operator closes again without a word: the session is an answered one still, and the customer is not asked a second time."""
    thanks, decisions = after(ASKED, said(NOON + MINUTE), view(who=person()), NOON + MINUTE)
    closed, more = after(thanks, deed(Close), view(who=person()), NOON + 2 * MINUTE)

    assert (thanks.answered_at, thanks.answer_due, thanks.kpi_due) == (NOON, None, None)
    assert not any(isinstance(made, SetTimer) for made in decisions)
    assert [made.reply for made in more if isinstance(made, Say)] == ["close"]
    assert (closed.answered_at, closed.rating_until) == (NOON, ASKED.rating_until)


def test_a_button_and_a_word_say_the_same():
    """Kept and thanked for once; repeated it is nothing; the last word counts."""
    pressed_, thanks = after(ASKED, rated())
    worded, thanks_too = after(ASKED, said(), view(rating=Rating.GOOD))

    assert pressed_ == worded == replace(ASKED, rating=Rating.GOOD, rating_thanked=True)
    assert thanks == thanks_too == (Say("rating_thanks"),)
    assert ignored(pressed_, rated()) == ignored(pressed_, said(), view(rating=Rating.GOOD)) == "said already"
    assert after(pressed_, rated(Rating.BAD)) == (replace(pressed_, rating=Rating.BAD), ())


def test_other_words_are_no_rating():
    """They reopen the session, or begin another."""
    assert after(ASKED, said(), view(who=person()))[0].status is Status.ACTIVE
    assert after(replace(ASKED, frozen=True), said())[0].id == "s2"


def test_a_frozen_session_is_rated_as_well():
    """The time to rate is longer than the window to reopen."""
    assert after(replace(ASKED, frozen=True), said(LATER), view(rating=Rating.BAD))[0].rating is Rating.BAD
    assert after(replace(ASKED, frozen=True), rated(at=LATER))[0].rating is Rating.GOOD


def test_what_is_said_too_late():
    """A button is answered once; a word begins a session, for it may mean something else. The time is the acceptance's."""
    late = NOON + 24 * HOUR + SECOND
    session, decisions = after(ASKED, rated(at=late), now=late)

    assert (session.rating, session.rating_until, decisions) == (None, None, (Ignore("too late"), Say("rating_late")))
    assert ignored(session, rated(at=late)) == "not asked"
    good = replace(ASKED, rating=Rating.GOOD, rating_thanked=True)
    assert after(good, rated(Rating.BAD, late))[1] == (Ignore("too late"),)
    assert after(ASKED, said(late), view(rating=Rating.GOOD), late)[0].id == "s2"
    assert after(ASKED, rated(at=late - SECOND), now=late + HOUR)[0].rating is Rating.GOOD


def test_a_button_that_asks_nothing():
    """Of a session that was never asked about, and where there is none."""
    for before in (QUEUED, OFFERED, ACTIVE, SNOOZED, CLOSED):
        assert ignored(before, rated()) == "not asked"
    assert decide(None, rated(), view(), NOON) == (None, (Ignore("not asked"),))


def test_a_button_of_another_session_says_nothing_of_this_one():
    """What it names counts."""
    for before in (ASKED, replace(ACTIVE, rating_until=LATER)):
        assert ignored(before, replace(rated(), session_id=SessionId("s0"))) == "of an earlier session"
        assert after(before, replace(rated(), session_id=before.id))[0].rating is Rating.GOOD


def test_a_button_pressed_after_the_session_was_reopened_still_counts():
    """Who says thanks and then presses the button; a word in an open session is a word."""
    reopened, _ = after(ASKED, said(NOON + SECOND))
    session, decisions = after(reopened, rated())

    assert (reopened.status, session.status, session.rating) == (Status.ACTIVE, Status.ACTIVE, Rating.GOOD)
    assert decisions == (Say("rating_thanks"),)
    assert after(reopened, said(), view(rating=Rating.GOOD))[0].rating is None


def test_what_was_said_before_stands_until_something_else_is_said():
    """Closed a second time: asked again if it was answered again, and thanked again; else the first answer is the last."""
    good = replace(ASKED, rating=Rating.GOOD, rating_thanked=True)
    reopened, _ = after(good, said(NOON + SECOND))
    unanswered, _ = after(reopened, deed(Close), now=NOON + MINUTE)
    answered, decisions = after(after(reopened, reply())[0], deed(Close), now=NOON + MINUTE)

    assert (unanswered.rating, unanswered.rating_thanked, unanswered.rating_until) == (Rating.GOOD, True, ASKED.rating_until)
    assert Say("rating") in decisions
    assert (answered.rating, answered.rating_until) == (Rating.GOOD, NOON + MINUTE + 24 * HOUR)
    assert after(answered, rated())[1] == (Say("rating_thanks"),)


def test_another_session_has_its_own_rating():
    """A button of the one before says nothing of it."""
    other, _ = after(replace(ASKED, frozen=True, rating=Rating.BAD), said())

    assert (other.id, other.rating, other.rating_until) == ("s2", None, None)
    assert ignored(other, rated()) == "not asked"
