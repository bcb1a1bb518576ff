"""The engine's table, row by row: what each event does to a session of each status."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from broker.domain import (
    LineId,
    LineSettings,
    LoadKind,
    NoAnswer,
    OperatorId,
    Outside,
    OutsideCalls,
    PresenceState,
    Rating,
    SessionId,
    Status,
    Vanished,
    Weights,
    WelcomeWhen,
)
from broker.errors import IllegalTransition
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
    OperatorEvent,
    OperatorGone,
    Rated,
    Receipt,
    ReopenEnded,
    Reply,
    Resume,
    RingAnswered,
    RingEnded,
    RoundDue,
    SessionEvent,
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
from routing.engine import KPI, NO_ANSWER, OFFER, REOPEN, ROUND, TABLE, decide
from routing.session import (
    Alert,
    CancelTimer,
    Deliver,
    Divert,
    EndOffers,
    Freeze,
    Ignore,
    Keep,
    MakeOffers,
    MarkPool,
    Refuse,
    Release,
    Reserve,
    Say,
    Session,
    SetTimer,
)
from routing.view import OPEN, HoursView, OperatorView, TargetView, View, replayed
from tests.support.clock import MINUTE, NOON, SECOND
from tests.support.engine import (
    ACTIVE,
    ANN,
    ANSWERED,
    BOB,
    CLOSED,
    HOUR,
    LINE,
    M1,
    OFFERED,
    OPENS,
    QUEUED,
    SHUT,
    after,
    conversation,
    person,
    refused,
    view,
)

NEVER = HoursView(open=False)

SNOOZED = replace(
    ACTIVE, status=Status.SNOOZED, snoozed_until=NOON + MINUTE, counted=False, unanswered_since=None, answer_due=None
)
SESSIONS: dict[Status, Session | None] = {
    Status.NEW: None,
    Status.QUEUED: QUEUED,
    Status.OFFERED: OFFERED,
    Status.ACTIVE: ACTIVE,
    Status.SNOOZED: SNOOZED,
    Status.CLOSED: CLOSED,
}


def wrote(at: datetime = NOON) -> ContactMessage:
    return ContactMessage(at=at, message_id=M1)


def take(operator: OperatorId = ANN, at: datetime = NOON) -> Take:
    return Take(at=at, operator_id=operator, command="k1")


def reply(operator: OperatorId = ANN, at: datetime = NOON) -> Reply:
    return Reply(at=at, operator_id=operator, command="k1", message_id=M1)


def note(operator: OperatorId = ANN) -> Note:
    return Note(at=NOON, operator_id=operator, command="k1", message_id=M1)


def close(operator: OperatorId = ANN) -> Close:
    return Close(at=NOON, operator_id=operator, command="k1", outcome="sold")


def decline(operator: OperatorId = ANN) -> Decline:
    return Decline(at=NOON, operator_id=operator, command="k1")


EVENTS: list[SessionEvent] = [
    wrote(),
    take(),
    decline(),
    reply(),
    note(),
    close(),
    OfferExpired(at=NOON, offer_no=1),
    RoundDue(at=NOON),
    NoAnswerDue(at=NOON),
    ReopenEnded(at=NOON),
    Offered(at=NOON, operators=(ANN,), until=NOON + MINUTE, fresh_round=False),
    Held(at=NOON, until=None, why="rounds_over", rounds_over=True),
    OperatorGone(at=NOON, operator_id=ANN, vanished=True),
    Transfer(at=NOON, operator_id=ANN, command="k1", to_operator=BOB),
    Invite(at=NOON, operator_id=ANN, command="k1", colleague=BOB),
    Join(at=NOON, operator_id=ANN, command="k1"),
    LeaveSession(at=NOON, operator_id=ANN, command="k1"),
    TakeOver(at=NOON, operator_id=ANN, command="k1"),
    Spam(at=NOON, operator_id=ANN, command="k1"),
    Start(at=NOON, operator_id=ANN, command="k1", message_id=M1),
    Snooze(at=NOON, operator_id=ANN, command="k1", until=NOON + MINUTE),
    Rated(at=NOON, rating=Rating.GOOD),
    SnoozeEnded(at=NOON),
    SilenceDue(at=NOON),
    KpiDue(at=NOON),
    RingAnswered(at=NOON, operator_id=ANN),
    RingEnded(at=NOON, operators=(ANN,), offer_no=1, how="busy"),
    CallEnded(at=NOON),
    CallRated(at=NOON, stars=5),
    VoicemailLeft(at=NOON, seconds=7),
    Hold(at=NOON, operator_id=ANN, command="k1"),
    Resume(at=NOON, operator_id=ANN, command="k1"),
    Consult(at=NOON, operator_id=ANN, command="k1", colleague=BOB),
    ConsultAnswered(at=NOON, operator_id=BOB),
    ConsultEnded(at=NOON, operator_id=BOB, how="talked"),
    Listen(at=NOON, operator_id=ANN, command="k1"),
    Settle(at=NOON, operator_id=ANN, command="k1"),
    ListenBegan(at=NOON, operator_id=ANN),
    ListenEnded(at=NOON, operator_id=ANN),
    HoldFailed(at=NOON),
    TalkEnded(at=NOON, operator_id=ANN),
    TalkMoved(at=NOON, operator_id=BOB),
    ForwardEnded(at=NOON, how="busy"),
    CallReady(at=NOON),
    KeyPressed(at=NOON, key="1"),
    CustomerReached(at=NOON),
    CustomerNotReached(at=NOON, how="busy"),
]

# --- the table as a whole


def test_the_table_is_complete():
    """Every status that is reached has a row for every type of event, and there are no rows beside."""
    assert {type(event) for event in EVENTS} == set(get_args(SessionEvent))
    assert {(status, type(event)) for status in SESSIONS for event in EVENTS} == set(TABLE)


@pytest.mark.parametrize("status", SESSIONS)
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_pair_is_a_move_an_ignore_or_a_refusal(status: Status, event: SessionEvent):
    """No pair raises; what an operator does to a session that cannot take it is always answered with a refusal."""
    made, decisions = decide(SESSIONS[status], event, view(who=person()), NOON)

    if made == SESSIONS[status] and isinstance(event, OperatorEvent):
        assert any(isinstance(decision, Refuse | Ignore | Keep | Deliver | SetTimer) for decision in decisions)
    assert made is None or made.status in SESSIONS


def test_a_pair_that_is_not_in_the_table_is_a_fault():
    """What no row of the table tells is said, not guessed."""
    with pytest.raises(IllegalTransition, match="Receipt in a session that is queued"):
        decide(QUEUED, Receipt(at=NOON, upto=1), view(), NOON)  # type: ignore[arg-type]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("status", SESSIONS)
def test_what_a_decision_saw_is_enough_to_make_it_again(status: Status, event: SessionEvent):
    """A view made of what was recorded gives the same session, the same decisions and the same record."""
    seen = view(who=person())
    first = decide(SESSIONS[status], event, seen, NOON)
    again = replayed(seen.read())

    assert first == decide(SESSIONS[status], event, again, NOON)
    assert seen.read() == again.read()


# --- opening


def test_a_first_message_opens_a_session_in_the_queue():
    """NEW to QUEUED: weight by the channel's load, age from now, the pool is told, a welcome, a watch for the answer."""
    session, decisions = after(None, wrote())

    assert (session.id, session.status, session.weight, session.queued_at) == ("s2", Status.QUEUED, 25, NOON)
    assert decisions == (MarkPool("session queued"), Say("welcome"), SetTimer(NO_ANSWER, NOON + MINUTE))


@pytest.mark.parametrize(("load", "weight"), [(LoadKind.CHAT, 1), (LoadKind.MAIL, 2), (LoadKind.CALL, 3)])
def test_the_weight_is_the_lines_for_the_channels_load(load: LoadKind, weight: int):
    """A session weighs what its line says a chat, a mail or a call weighs."""
    line = LineSettings(weights=Weights(chat=1, mail=2, call=3))

    assert weight == after(None, wrote(), View(line, conversation(load=load), hours=OPEN))[0].weight


def test_priorities_of_line_and_contact_add_up():
    """A VIP in a preferred line goes before either."""
    seen = View(LineSettings(priority=5), conversation(contact_priority=10), hours=OPEN)

    assert after(None, wrote(), seen)[0].priority == 15


@pytest.mark.parametrize(
    ("when", "first_time", "said"),
    [
        (WelcomeWhen.SESSION, True, True),
        (WelcomeWhen.SESSION, False, True),
        (WelcomeWhen.FIRST_TIME, True, True),
        (WelcomeWhen.FIRST_TIME, False, False),
        (WelcomeWhen.NEVER, True, False),
    ],
)
def test_the_welcome_is_said_when_the_line_says(when: WelcomeWhen, first_time: bool, said: bool):
    """Each session, the contact's first only, or never."""
    seen = View(LineSettings(welcome=when), conversation(first_time=first_time), hours=OPEN)

    assert said is (Say("welcome") in after(None, wrote(), seen)[1])


def test_a_line_may_keep_silent_while_nobody_answers():
    """no_answer_seconds = 0 sets no timer."""
    assert not any(isinstance(made, SetTimer) for made in after(None, wrote(), view(LineSettings(no_answer_seconds=0)))[1])


def test_more_messages_do_not_change_how_long_it_waits():
    """The customer's clock runs from the first unanswered message."""
    session, decisions = after(QUEUED, wrote(NOON + MINUTE))

    assert (session.unanswered_since, decisions) == (NOON, ())


def test_a_message_after_an_answer_is_unanswered_again():
    """An active session notes since when the customer waits."""
    assert after(replace(ACTIVE, unanswered_since=None), wrote(NOON + MINUTE))[0].unanswered_since == NOON + MINUTE


# --- the responsible and skills


def test_whose_customer_it_is_is_asked_first_for_a_while():
    """From now on, for the line's seconds; a line may leave that out, and a stranger is nobody's."""
    seen = View(LineSettings(responsible_seconds=30), conversation(responsible_id=BOB), hours=OPEN)
    session, _ = after(None, wrote(), seen)
    assert (session.responsible_id, session.responsible_until) == (BOB, NOON + 30 * SECOND)

    for line, known in ((LineSettings(responsible_first=False), BOB), (LINE, None)):
        session, _ = after(None, wrote(), View(line, conversation(responsible_id=known), hours=OPEN))
        assert (session.responsible_id, session.responsible_until) == (None, None)


@pytest.mark.parametrize(
    ("line", "language", "needs"),
    [
        (LINE, "ru", ()),
        (LineSettings(match_language=True), "ru", ("language:ru",)),
        (LineSettings(match_language=True), "pt-BR", ("language:pt",)),
        (LineSettings(match_language=True), "RU", ("language:ru",)),
        (LineSettings(match_language=True), "", ()),
        (LineSettings(skills=("billing", "vip")), "ru", ("skill:billing", "skill:vip")),
        (LineSettings(match_language=True, skills=("billing",)), "en", ("language:en", "skill:billing")),
    ],
)
def test_a_session_needs_what_its_line_and_its_language_demand(line: LineSettings, language: str, needs: tuple[str, ...]):
    """The contact's base language where the line matches languages and it is known; the line's tags; for two minutes."""
    session, _ = after(None, wrote(), View(line, conversation(language=language), hours=OPEN))

    assert (session.needs, session.needs_until) == (needs, NOON + 2 * MINUTE if needs else None)


# --- outside the hours


def closed(line: LineSettings = LINE, hours: HoursView = SHUT, who: OperatorView | None = None, **changes: Any) -> View:
    """Return what a decision may see of a line that is closed."""
    return View(line, conversation(**changes), who, hours)


def outside(how: Outside, **changes: Any) -> LineSettings:
    return LineSettings(outside=how, **changes)


@pytest.mark.parametrize(("how", "said"), [(Outside.KEEP, "outside"), (Outside.FORM, "outside_form")])
def test_what_is_written_outside_the_hours_waits_for_the_opening(how: Outside, said: str):
    """NEW to QUEUED: the customer is told when we open instead of welcomed, and the time to a first answer counts from then."""
    session, decisions = after(None, wrote(), closed(outside(how)))

    assert (session.status, session.queued_at, session.opens_at) == (Status.QUEUED, NOON, OPENS)
    assert decisions == (MarkPool("session queued"), Say(said), SetTimer(NO_ANSWER, OPENS + MINUTE))


def test_what_it_may_wait_for_is_counted_from_the_opening():
    """The responsible and the able have their time when they are there to use it."""
    line = LineSettings(skills=("billing",), responsible_seconds=30, skill_seconds=90)
    session, _ = after(None, wrote(), closed(line, responsible_id=BOB))

    assert (session.responsible_until, session.needs_until) == (OPENS + 30 * SECOND, OPENS + 90 * SECOND)


def test_a_line_that_never_opens_keeps_without_an_end():
    """The message waits for other hours; no moment is counted from an opening there is not."""
    session, decisions = after(None, wrote(), closed(LineSettings(skills=("billing",)), NEVER, responsible_id=BOB))

    assert (session.status, session.opens_at, session.responsible_until, session.needs_until) == (Status.QUEUED, None, None, None)
    assert decisions == (MarkPool("session queued"), Say("outside"))


def test_a_line_may_keep_silent_after_the_opening_too():
    """no_answer_seconds = 0 sets no timer for the opening either."""
    assert after(None, wrote(), closed(LineSettings(no_answer_seconds=0)))[1] == (MarkPool("session queued"), Say("outside"))


def test_a_line_may_answer_alone():
    """REPLY, NEW to CLOSED: told, and closed with that outcome; it may be reopened as any other, and nobody is asked."""
    session, decisions = after(None, wrote(), closed(outside(Outside.REPLY)))

    assert (session.id, session.status, session.outcome, session.closed_at) == ("s2", Status.CLOSED, "outside", NOON)
    assert (session.operator_id, session.queued_at, session.unanswered_since, session.frozen) == (None, None, None, False)
    assert decisions == (Say("outside"), SetTimer(REOPEN, NOON + 10 * MINUTE))


@pytest.mark.parametrize("how", OutsideCalls)
def test_a_call_outside_the_hours_is_diverted(how: OutsideCalls):
    """Voicemail, forward or hang up, whatever becomes of messages: the decision, and a session closed with that outcome."""
    for messages in Outside:
        line = LineSettings(outside=messages, outside_calls=how)
        session, decisions = after(None, wrote(), closed(line, load=LoadKind.CALL))

        assert (session.status, session.outcome, session.weight) == (Status.CLOSED, how.value, 50)
        assert decisions == (Divert(how.value), SetTimer(REOPEN, NOON + 10 * MINUTE))


@pytest.mark.parametrize("load", [LoadKind.CHAT, LoadKind.CALL])
def test_without_a_reopen_window_what_nobody_was_asked_about_is_final(load: LoadKind):
    """No window, no timer: the next message is another session."""
    session, decisions = after(None, wrote(), closed(outside(Outside.REPLY, reopen_seconds=0), load=load))

    assert session.frozen
    assert not any(isinstance(made, SetTimer) for made in decisions)


def shut_outside(line: LineSettings, **changes: Any) -> Session:
    """Return a session that was closed at noon because nobody was asked about it."""
    return after(None, wrote(), closed(line, **changes))[0]


def test_more_words_outside_the_hours_join_what_was_said():
    """The customer was answered already: no second reply, the session stays as it is."""
    line = outside(Outside.REPLY)
    before = shut_outside(line)

    assert after(before, wrote(NOON + MINUTE), closed(line), NOON + MINUTE) == (before, (Ignore("outside the hours"),))


def test_after_the_opening_what_nobody_was_asked_about_is_queued():
    """CLOSED to QUEUED: the same session, and everything that it needs is needed still."""
    line = outside(Outside.REPLY, skills=("billing",))
    at = NOON + MINUTE
    session, decisions = after(shut_outside(line), wrote(at), View(line, conversation(), None, OPEN), at)

    assert (session.id, session.status, session.outcome, session.queued_at) == ("s2", Status.QUEUED, "", at)
    assert (session.needs, session.needs_until) == (("skill:billing",), at + 2 * MINUTE)
    assert decisions == (MarkPool("session reopened"), CancelTimer(REOPEN), SetTimer(NO_ANSWER, at + MINUTE))


def test_a_message_long_after_the_line_answered_alone_opens_another_session():
    """The window has passed: as a first message, with its own reply."""
    line = outside(Outside.REPLY)
    at = NOON + 11 * MINUTE
    session, decisions = after(shut_outside(line), wrote(at), closed(line, new_session_id=SessionId("s3")), at)

    assert (session.id, session.outcome) == ("s3", "outside")
    assert decisions == (Freeze(), CancelTimer(REOPEN), Say("outside"), SetTimer(REOPEN, at + 10 * MINUTE))


@pytest.mark.parametrize("how", Outside)
def test_a_session_somebody_had_waits_for_the_opening_when_it_is_reopened(how: Outside):
    """CLOSED to QUEUED, also in a line that answers alone: it was somebody's. The customer is told when we open."""
    session, decisions = after(CLOSED, wrote(NOON + MINUTE), closed(outside(how), who=None), NOON + MINUTE)

    assert (session.status, session.opens_at, session.reopened) == (Status.QUEUED, OPENS, 1)
    assert decisions == (
        MarkPool("session reopened"),
        CancelTimer(REOPEN),
        Say("outside"),
        SetTimer(NO_ANSWER, OPENS + MINUTE),
    )


def test_who_had_it_and_is_there_still_goes_on_outside_the_hours():
    """CLOSED to ACTIVE: an operator who stayed on answers in the session they had."""
    session, decisions = after(CLOSED, wrote(NOON + MINUTE), closed(who=person()), NOON + MINUTE)

    assert (session.status, session.operator_id, session.opens_at) == (Status.ACTIVE, ANN, None)
    assert decisions == (Reserve(ANN), CancelTimer(REOPEN))


def test_reopened_in_a_line_that_never_opens_sets_no_watch():
    """There is no opening to count from."""
    assert after(CLOSED, wrote(), closed(hours=NEVER))[1] == (
        MarkPool("session reopened"),
        CancelTimer(REOPEN),
        Say("outside"),
    )


def test_taking_outside_the_hours():
    """The hours bind the distributor, not an operator who wants to: they are not even looked at."""
    waits = after(None, wrote(), closed())[0]
    session, _ = after(waits, take(), View(LINE, operator=person()))

    assert (session.status, session.operator_id, session.opens_at) == (Status.ACTIVE, ANN, None)


@pytest.mark.parametrize("how", Outside)
@pytest.mark.parametrize("load", LoadKind)
@pytest.mark.parametrize("hours", [OPEN, SHUT, NEVER], ids=["open", "closed", "never open"])
@pytest.mark.parametrize("before", [None, CLOSED, "shut"], ids=["new", "closed", "shut"])
def test_what_a_decision_about_hours_saw_is_enough_to_make_it_again(how: Outside, load: LoadKind, hours: HoursView, before: Any):
    """The calendar's answer stands in the record: replay needs neither zones nor holidays."""
    line = LineSettings(outside=how, skills=("billing",))
    session = shut_outside(line, load=load) if before == "shut" else before
    seen = closed(line, hours, load=load)
    first = decide(session, wrote(), seen, NOON)

    assert first == decide(session, wrote(), replayed(seen.read()), NOON)


# --- offers


def test_an_offer_reserves_and_sets_its_deadline():
    """QUEUED to OFFERED: budget taken, offer recorded, deadline a timer, the first round begun."""
    event = Offered(at=NOON, operators=(ANN, BOB), until=NOON + MINUTE, fresh_round=False)

    session, decisions = after(QUEUED, event)

    assert (session.status, session.offered_to, session.offered_until) == (Status.OFFERED, (ANN, BOB), NOON + MINUTE)
    assert (session.offer_no, session.round_no, session.round_began) == (1, 1, NOON)
    assert decisions == (
        Reserve(ANN),
        Reserve(BOB),
        MakeOffers((ANN, BOB), NOON + MINUTE),
        SetTimer(OFFER, NOON + MINUTE),
        CancelTimer(ROUND),
    )


def test_an_offer_in_the_same_round_keeps_who_was_asked():
    """The next seat of a round: the round goes on."""
    session, _ = after(
        replace(QUEUED, round_no=2, round_began=NOON - MINUTE, asked=(ANN,), offer_no=4),
        Offered(at=NOON, operators=(BOB,), until=NOON + MINUTE, fresh_round=False),
    )

    assert (session.round_no, session.round_began, session.asked, session.offer_no) == (2, NOON - MINUTE, (ANN,), 5)


def test_a_fresh_round_forgets_who_was_asked():
    """Everybody may be asked again; the gate of the next round counts from now."""
    session, _ = after(
        replace(QUEUED, round_no=1, round_began=NOON - MINUTE, asked=(ANN,), held_until=NOON),
        Offered(at=NOON, operators=(ANN,), until=NOON + MINUTE, fresh_round=True),
    )

    assert (session.round_no, session.round_began, session.asked, session.held_until) == (2, NOON, (), None)


def test_a_changed_pool_begins_at_round_one():
    """A session whose rounds were over begins again, from the first."""
    session, _ = after(
        replace(QUEUED, round_no=3, asked=(ANN,), rounds_over=True),
        Offered(at=NOON, operators=(ANN,), until=NOON + MINUTE, fresh_round=False, renewed=True),
    )

    assert (session.round_no, session.asked, session.rounds_over) == (1, (), False)


def test_taking_an_offer_in_time():
    """OFFERED to ACTIVE: the offer is taken, its reservation becomes the session's, its timers are forgotten."""
    session, decisions = after(OFFERED, take())

    assert (session.status, session.operator_id, session.queued_at, session.offered_to) == (Status.ACTIVE, ANN, None, ())
    assert decisions == (EndOffers((ANN,), "taken"), CancelTimer(OFFER), CancelTimer(ROUND))


@pytest.mark.parametrize(("late", "status"), [(timedelta(0), Status.ACTIVE), (timedelta(microseconds=1), Status.OFFERED)])
def test_the_deadline_is_kept_against_the_acceptance(late: timedelta, status: Status):
    """A take accepted at the deadline wins even if it is decided an hour later; a microsecond after it is too late."""
    event = take(at=NOON + MINUTE + late)
    session, decisions = after(OFFERED, event, now=NOON + timedelta(hours=1))

    assert session.status is status
    assert (Refuse(ANN, "k1", "too_late") in decisions) is bool(late)


def test_a_take_withdraws_the_others_offers():
    """All at once: the first to take it has it, the others' budget is free again and the pool is told of the seats."""
    session, decisions = after(replace(OFFERED, offered_to=(ANN, BOB)), take(BOB))

    assert session.operator_id == BOB
    assert decisions[-3:] == (EndOffers((ANN,), "withdrawn"), Release(ANN), MarkPool("offers withdrawn", seats=True))
    assert Release(BOB) not in decisions


def test_only_who_was_offered_may_take_an_offer():
    """Somebody else's offer is refused."""
    assert [refused(OFFERED, take(BOB)), refused(OFFERED, reply(BOB))] == ["not_offered", "not_offered"]


def test_declining_goes_on_to_the_next():
    """OFFERED to QUEUED: its budget is free, it is asked again only in the next round, the pool is told."""
    session, decisions = after(OFFERED, decline())

    assert (session.status, session.offered_to, session.asked, session.queued_at) == (Status.QUEUED, (), (ANN,), NOON)
    assert decisions == (EndOffers((ANN,), "declined"), Release(ANN), MarkPool("offer declined"), CancelTimer(OFFER))


def test_who_was_asked_before_stays_asked():
    """In the same round."""
    assert after(replace(OFFERED, asked=(BOB,)), decline())[0].asked == (BOB, ANN)


def test_one_of_many_declining_leaves_the_others_their_offer():
    """All at once: the session stays offered to the rest, until the same deadline."""
    session, decisions = after(replace(OFFERED, offered_to=(ANN, BOB)), decline())

    assert (session.status, session.offered_to, session.offered_until) == (Status.OFFERED, (BOB,), NOON + MINUTE)
    assert CancelTimer(OFFER) not in decisions


def test_an_offer_that_runs_out_goes_back_to_the_queue():
    """OFFERED to QUEUED: everybody it was offered to counts as asked."""
    session, decisions = after(replace(OFFERED, offered_to=(ANN, BOB)), OfferExpired(at=NOON + MINUTE, offer_no=1))

    assert (session.status, session.asked) == (Status.QUEUED, (ANN, BOB))
    assert decisions[:3] == (EndOffers((ANN, BOB), "ran_out"), Release(ANN), Release(BOB))


def test_skips_are_counted_over_all_rounds():
    """Each operator who declined or let it pass counts once an offer; who took it away with them does not."""
    session = replace(OFFERED, offered_to=(ANN, BOB), skips=3)
    assert after(session, decline())[0].skips == 4
    assert after(session, OfferExpired(at=NOON + MINUTE, offer_no=1))[0].skips == 5
    assert after(session, gone())[0].skips == 3

    asked_before = replace(OFFERED, asked=(ANN,), skips=1)
    assert after(asked_before, decline())[0].skips == 2
    assert after(asked_before, Offered(at=NOON, operators=(ANN,), until=NOON, fresh_round=True))[0].skips == 1


def test_the_run_out_of_an_earlier_offer_means_nothing():
    """A timer that fired for offer 1 leaves offer 2 alone."""
    session, decisions = after(replace(OFFERED, offer_no=2), OfferExpired(at=NOON, offer_no=1))

    assert (session.status, decisions) == (Status.OFFERED, (Ignore("of an earlier offer"),))


def test_a_hold_waits_for_the_round_or_for_a_change():
    """The gate is a timer; without one the session waits for the pool to change."""
    gate = NOON + MINUTE

    assert after(QUEUED, Held(at=NOON, until=gate, why="round")) == (
        replace(QUEUED, held_until=gate, held_why="round"),
        (SetTimer(ROUND, gate),),
    )
    assert after(QUEUED, Held(at=NOON, until=None, why="rounds_over", rounds_over=True)) == (
        replace(QUEUED, held_why="rounds_over", rounds_over=True),
        (CancelTimer(ROUND),),
    )


@pytest.mark.parametrize("why", ["responsible", "skill"])
def test_a_hold_says_why(why: str):
    """And an offer forgets it."""
    held, decisions = after(QUEUED, Held(at=NOON, until=OPENS, why=why))
    assert (held.held_until, held.held_why, decisions) == (OPENS, why, (SetTimer(ROUND, OPENS),))

    session, _ = after(held, Offered(at=NOON, operators=(ANN,), until=NOON + MINUTE, fresh_round=False))
    assert (session.held_until, session.held_why) == (None, "")


def test_whoever_is_left_out_of_the_first_round_is_left_out_of_it():
    """They had it and gave it back; the next round is for everybody."""
    back = replace(QUEUED, asked=(BOB,), round_began=NOON)
    first, _ = after(back, Offered(at=NOON, operators=(ANN,), until=NOON + MINUTE, fresh_round=False), now=NOON + SECOND)
    next_, _ = after(back, Offered(at=NOON, operators=(BOB,), until=NOON + MINUTE, fresh_round=True))

    assert (first.round_no, first.round_began, first.asked) == (1, NOON + SECOND, (BOB,))
    assert (next_.round_no, next_.asked) == (1, ())


def test_a_hold_after_a_change_in_the_pool_begins_again():
    """A session whose rounds were over is held for somebody who came: when that is over everybody may be asked, from round one."""
    over = replace(QUEUED, round_no=3, round_began=NOON, asked=(ANN, BOB), held_why="rounds_over", rounds_over=True)
    session, _ = after(over, Held(at=NOON, until=OPENS, why="responsible", renewed=True))

    assert (session.round_no, session.round_began, session.asked, session.rounds_over) == (0, None, (), False)


@pytest.mark.parametrize("line", [LINE, LineSettings(outside=Outside.FORM)])
def test_that_nobody_is_there_is_said_once(line: LineSettings):
    """At once, and not again by a second look or when the time to a first answer has passed."""
    nobody = Held(at=NOON, until=None, why="nobody")
    session, decisions = after(QUEUED, nobody, view(line))

    assert (session, decisions) == (
        replace(QUEUED, no_answer_said=True, nobody_told=True, answer_due=None),
        (Alert("nobody"), Say("no_answer"), CancelTimer(NO_ANSWER)),
    )
    assert after(session, nobody, view(line)) == (session, (Ignore("told already"),))
    assert after(session, NoAnswerDue(at=NOON + MINUTE), view(line)) == (session, (Ignore("answered already"),))


@pytest.mark.parametrize(
    ("before", "line"),
    [
        (QUEUED, LineSettings(no_answer_seconds=0)),
        (QUEUED, LineSettings(no_answer_does=NoAnswer.NOTHING)),
        (replace(QUEUED, unanswered_since=None), LINE),
    ],
    ids=["a silent line", "a line that does nothing", "a customer who waits for nothing"],
)
def test_nobody_is_told_that_all_are_busy_without_need(before: Session, line: LineSettings):
    """A line that keeps silent, and customers who have their answer: supervisors alone are told, once."""
    nobody = Held(at=NOON, until=None, why="nobody")
    session, decisions = after(before, nobody, view(line))

    assert decisions == (Alert("nobody"),)
    assert after(session, nobody, view(line)) == (session, (Ignore("told already"),))


def test_when_the_round_is_due_the_pool_is_marked():
    """The timer of the gate asks for a distribution."""
    assert after(QUEUED, RoundDue(at=NOON)) == (QUEUED, (MarkPool("round due"),))


# --- an operator is gone


def gone(operator: OperatorId = ANN, **how: bool) -> OperatorGone:
    return OperatorGone(at=NOON, operator_id=operator, **how)


def test_the_offer_of_who_is_gone_returns_at_once():
    """OFFERED to QUEUED: their budget is free; they were not asked, so they may be when they are back in the same round."""
    session, decisions = after(OFFERED, gone())

    assert (session.status, session.offered_to, session.offered_until, session.asked) == (Status.QUEUED, (), None, ())
    assert (session.round_no, session.queued_at) == (1, NOON)
    assert decisions == (EndOffers((ANN,), "gone"), Release(ANN), MarkPool("offer gone"), CancelTimer(OFFER))


def test_the_others_of_an_offer_keep_it():
    """All at once: one of them is gone, the others' deadline stands."""
    session, decisions = after(replace(OFFERED, offered_to=(ANN, BOB)), gone())

    assert (session.status, session.offered_to, session.offered_until) == (Status.OFFERED, (BOB,), NOON + MINUTE)
    assert decisions == (EndOffers((ANN,), "gone"), Release(ANN), MarkPool("offer gone"))


@pytest.mark.parametrize(
    ("rule", "before", "stays"),
    [
        (Vanished.KEEP, ACTIVE, True),
        (Vanished.KEEP, ANSWERED, True),
        (Vanished.UNANSWERED, ACTIVE, False),
        (Vanished.UNANSWERED, ANSWERED, True),
        (Vanished.QUEUE, ACTIVE, False),
        (Vanished.QUEUE, ANSWERED, False),
    ],
)
def test_the_session_of_who_has_vanished_goes_by_the_lines_rule(rule: Vanished, before: Session, stays: bool):
    """It stays theirs, or ACTIVE to QUEUED with their budget free."""
    session, decisions = after(before, gone(vanished=True), view(LineSettings(vanished=rule)), NOON + MINUTE)

    if stays:
        assert (session, decisions) == (before, (Ignore("the line leaves it with them"),))
    else:
        assert (session.status, session.operator_id, session.queued_at) == (Status.QUEUED, None, NOON + MINUTE)
        assert decisions[:2] == (Release(ANN), MarkPool("operator gone", seats=True))


@pytest.mark.parametrize("rule", Vanished)
@pytest.mark.parametrize("before", [ACTIVE, ANSWERED], ids=["unanswered", "answered"])
def test_the_session_of_who_was_removed_goes_back_whatever_the_rule(rule: Vanished, before: Session):
    """There is nobody any more who could keep it."""
    session, _ = after(before, gone(vanished=True, removed=True), view(LineSettings(vanished=rule)))

    assert (session.status, session.operator_id) == (Status.QUEUED, None)


def test_who_only_left_keeps_what_they_hold():
    """Away by choice: their sessions are theirs in every line."""
    for rule in Vanished:
        assert after(ACTIVE, gone(), view(LineSettings(vanished=rule))) == (ACTIVE, (Ignore("they keep what they hold"),))


def test_what_comes_back_waits_as_anew():
    """At the end of the queue, its rounds from the beginning, not kept for who has gone, its demand running again."""
    before = replace(ACTIVE, needs=("skill:billing",), responsible_id=ANN, responsible_until=NOON)
    session, _ = after(before, gone(vanished=True), now=NOON + MINUTE)

    assert (session.queued_at, session.round_no, session.asked) == (NOON + MINUTE, 0, ())
    assert (session.responsible_id, session.responsible_until) == (None, None)
    assert (session.needs, session.needs_until) == (("skill:billing",), NOON + 3 * MINUTE)


def test_a_customer_who_waits_is_told_again_from_then():
    """The time to an answer counts anew for who waits, was not told yet, and might be heard; for nobody else."""
    waits = SetTimer(NO_ANSWER, NOON + 2 * MINUTE)

    def set_at(before: Session, hours: HoursView = OPEN) -> bool:
        line = LineSettings(vanished=Vanished.QUEUE)
        return waits in after(before, gone(vanished=True), closed(line, hours), NOON + MINUTE)[1]

    assert set_at(ACTIVE)
    assert not set_at(ANSWERED)
    assert not set_at(replace(ACTIVE, no_answer_said=True))
    assert not set_at(ACTIVE, SHUT)


def test_what_comes_back_outside_the_hours_waits_for_the_opening():
    """It is counted from then."""
    before = replace(ACTIVE, needs=("skill:billing",))
    session, _ = after(before, gone(vanished=True), closed())

    assert (session.status, session.opens_at, session.needs_until) == (Status.QUEUED, OPENS, OPENS + 2 * MINUTE)


# --- who waits when the line closes

CLOSES = Held(at=NOON, until=None, why="hours")


def test_who_waits_when_the_line_closes_is_told_when_it_opens():
    """Once for each opening; what is still to come of the waits counts from there, and the place in the queue stays."""
    line = LineSettings(responsible_seconds=30, kpi_first_seconds=20, skill_seconds=50)
    before = replace(
        QUEUED,
        responsible_id=BOB,
        responsible_until=NOON + SECOND,
        needs=("skill:billing",),
        needs_until=NOON + SECOND,
        kpi_due=NOON + SECOND,
    )
    session, decisions = after(before, CLOSES, closed(line))

    assert (session.status, session.queued_at, session.opens_at, session.told_opening) == (Status.QUEUED, NOON, OPENS, OPENS)
    assert (session.responsible_until, session.needs_until) == (OPENS + 30 * SECOND, OPENS + 50 * SECOND)
    assert (session.answer_due, session.kpi_due) == (OPENS + MINUTE, OPENS + 20 * SECOND)
    assert decisions == (Say("outside"), SetTimer(NO_ANSWER, OPENS + MINUTE), SetTimer(KPI, OPENS + 20 * SECOND))
    assert Say("outside") not in after(session, CLOSES, closed(line))[1]
    assert after(session, CLOSES, closed(line, HoursView(open=False, opens_at=OPENS + HOUR)))[1][0] == Say("outside")


def test_what_is_over_when_the_line_closes_stays_over():
    """A wait that has ended does not begin again."""
    before = replace(
        QUEUED,
        responsible_id=BOB,
        responsible_until=NOON,
        needs=("skill:billing",),
        needs_until=NOON,
        kpi_due=NOON,
        answer_due=None,
    )
    session, _ = after(before, CLOSES, closed())

    assert (session.responsible_until, session.needs_until, session.kpi_due) == (NOON, NOON, NOON)


def test_a_line_that_closes_for_good():
    """No moment is counted from an opening there is not; the customer knows that their words are kept."""
    line = LineSettings(kpi_first_seconds=20)
    session, decisions = after(replace(QUEUED, kpi_due=NOON + SECOND), CLOSES, closed(line, NEVER))

    assert (session.opens_at, session.answer_due, session.kpi_due) == (None, None, None)
    assert decisions == (Say("outside"), CancelTimer(NO_ANSWER), CancelTimer(KPI))
    assert after(session, CLOSES, closed(line, NEVER))[1] == ()


def test_who_waits_for_no_answer_is_told_nothing_at_closing():
    """Their question was answered before it went back to the queue."""
    session, decisions = after(replace(QUEUED, unanswered_since=None, answer_due=None), CLOSES, closed())

    assert session.opens_at == OPENS
    assert Say("outside") not in decisions


def test_more_words_in_the_queue_of_a_closed_line_are_answered_by_when_it_opens():
    """Who was answered, given back and writes again: nobody would say a word until the opening."""
    line = LineSettings(kpi_next_seconds=20)
    before = replace(QUEUED, unanswered_since=None, answered_at=NOON, answer_due=None)
    session, decisions = after(before, wrote(NOON), closed(line))

    assert (session.unanswered_since, session.told_opening) == (NOON, OPENS)
    assert decisions == (Say("outside"), SetTimer(NO_ANSWER, OPENS + MINUTE), SetTimer(KPI, OPENS + 20 * SECOND))
    assert after(session, wrote(NOON + SECOND), closed(line))[1] == ()


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (OFFERED, OfferExpired(at=NOON, offer_no=1)),
        (OFFERED, Decline(at=NOON, operator_id=ANN, command="k1")),
        (OFFERED, OperatorGone(at=NOON, operator_id=ANN, vanished=True)),
        (replace(OFFERED, passed=True, passed_by=BOB), OfferExpired(at=NOON, offer_no=1)),
        (ACTIVE, OperatorGone(at=NOON, operator_id=ANN, vanished=True, removed=True)),
    ],
    ids=["ran out", "declined", "gone", "passed on", "given back"],
)
def test_what_comes_back_after_closing_is_told_when_the_line_opens(before: Session, event: SessionEvent):
    """The offer was made while it was open; whoever waits learns that nobody will answer before it opens, and only once."""
    session, decisions = after(before, event, closed())

    assert (session.status, session.opens_at, session.told_opening, session.answer_due) == (
        Status.QUEUED,
        OPENS,
        OPENS,
        OPENS + MINUTE,
    )
    assert [made for made in decisions if isinstance(made, Say)] == [Say("outside")]
    assert not any(isinstance(made, Say) for made in after(replace(before, told_opening=OPENS), event, closed())[1])


def test_a_demand_of_a_time_without_an_opening_ends_too():
    """It was written when the line named no opening: what it demands is counted from the first time it stands in its way."""
    before = replace(QUEUED, needs=("skill:billing",))
    session, decisions = after(before, Held(at=NOON, until=None, why="skill"), View(LineSettings(skill_seconds=50)))

    until = NOON + 50 * SECOND
    assert (session.needs_until, session.held_until, session.held_why) == (until, until, "skill")
    assert decisions == (SetTimer(ROUND, until),)


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (None, "its time is past"),
        (QUEUED, "not theirs"),
        (OFFERED, "not theirs"),
        (ACTIVE, "not theirs"),
        (CLOSED, "closed already"),
    ],
)
def test_somebody_elses_going_changes_nothing(before: Session | None, why: str):
    """Bob is gone; nothing here was his."""
    assert decide(before, gone(BOB, vanished=True, removed=True), view(), NOON) == (before, (Ignore(why),))


@pytest.mark.parametrize("who", [None, person(presence=PresenceState.OFFLINE), person(active=False)])
def test_who_writes_to_somebody_who_is_not_there_any_more_is_anybodys(who: OperatorView | None):
    """They were answered and the operator went home: the words go to the queue, with the promise of an answer to them."""
    line = LineSettings(kpi_next_seconds=30)
    session, decisions = after(ANSWERED, wrote(NOON), View(line, operator=who, hours=OPEN))

    assert (session.status, session.operator_id, session.unanswered_since) == (Status.QUEUED, None, NOON)
    assert (session.answer_due, session.kpi_due) == (NOON + MINUTE, NOON + 30 * SECOND)
    assert decisions == (
        Release(ANN),
        MarkPool("operator not there", seats=True),
        SetTimer(NO_ANSWER, NOON + MINUTE),
        SetTimer(KPI, NOON + 30 * SECOND),
    )
    shut, decisions = after(ANSWERED, wrote(NOON), View(line, operator=who, hours=SHUT))
    assert (shut.answer_due, shut.kpi_due) == (OPENS + MINUTE, OPENS + 30 * SECOND)
    assert Say("outside") in decisions


@pytest.mark.parametrize(
    ("line", "presence"),
    [(LINE, PresenceState.AWAY), (LINE, PresenceState.ONLINE), (LineSettings(vanished=Vanished.KEEP), PresenceState.OFFLINE)],
)
def test_who_writes_to_somebody_who_comes_back_waits_for_them(line: LineSettings, presence: PresenceState):
    """Away is not gone; and a line may keep everything with whoever has it."""
    session, _ = after(ANSWERED, wrote(), View(line, operator=person(presence=presence), hours=OPEN))

    assert (session.status, session.operator_id) == (Status.ACTIVE, ANN)


@pytest.mark.parametrize("before", [session for session in SESSIONS.values() if session is not None], ids=lambda one: one.status)
@pytest.mark.parametrize("kind", [Take, Decline, Close, TakeOver, Join, LeaveSession, Spam])
def test_a_deed_for_an_earlier_session_is_not_done_to_the_present_one(before: Session, kind: Any):
    """Another has begun between the operator's look and the deed's turn."""
    event = kind(at=NOON, operator_id=ANN, command="k1", session_id=SessionId("s0"))
    seen = View(LINE, operator=person(supervises=True), hours=OPEN)

    assert decide(before, event, seen, NOON) == (before, (Refuse(ANN, "k1", "closed"),))
    assert decide(None, event, seen, NOON) == (None, (Refuse(ANN, "k1", "closed"),))
    assert decide(before, replace(event, session_id=before.id), seen, NOON) == decide(
        before, replace(event, session_id=None), seen, NOON
    )


def test_who_opens_a_session_by_writing_first_opens_one_that_demands_what_the_line_does():
    """It may come to the queue, where others are chosen for it."""
    line = LineSettings(skills=("billing",), match_language=True)
    start = Start(at=NOON, operator_id=ANN, command="k1", message_id=M1)
    session, _ = after(None, start, View(line, conversation(language="ru-RU"), person()))

    assert session.needs == ("language:ru", "skill:billing")


def test_a_session_that_is_passed_to_a_line_has_its_demands_and_priority():
    """Also a language that the line before did not ask about; and what the contact adds, whatever either line adds now."""
    before = replace(ACTIVE, priority=-5)
    target = TargetView(LineId("desk"), exists=True, language="ru-RU", contact_priority=3)
    seen = View(
        LINE,
        operator=person(),
        hours=OPEN,
        target=target,
        target_line=LineSettings(priority=2, match_language=True, skills=("vip",)),
    )
    session, _ = after(before, Transfer(at=NOON, operator_id=ANN, command="k1", to_line=LineId("desk")), seen)

    assert (session.needs, session.priority) == (("language:ru", "skill:vip"), 5)


def test_a_colleague_who_had_joined_writes_no_note_into_what_is_over():
    """With the session their part in it ended."""
    note = Note(at=NOON, operator_id=BOB, command="k1", message_id=M1)
    stranger = View(LINE, operator=person(BOB, seated=False))

    assert after(replace(ACTIVE, members=(BOB,)), note, stranger)[1] == (Keep(M1, BOB),)
    assert after(replace(CLOSED, members=(BOB,)), note, stranger)[1] == (Refuse(BOB, "k1", "not_yours"),)


def test_supervisors_are_told_of_nobody_though_the_customer_knows():
    """Who was told by the time to an answer that all are busy is still a reason to tell supervisors that nobody is there."""
    nobody = Held(at=NOON, until=None, why="nobody")
    session, decisions = after(replace(QUEUED, no_answer_said=True, answer_due=None), nobody)

    assert (session.nobody_told, decisions) == (True, (Alert("nobody"),))
    offered, _ = after(session, Offered(at=NOON, operators=(ANN,), until=NOON + MINUTE, fresh_round=False))
    assert not offered.nobody_told


def test_at_the_opening_the_customer_is_not_told_at_once_that_nobody_is_there():
    """Supervisors are; the customer when the time to an answer has passed, which began at the opening."""
    before = replace(QUEUED, opens_at=NOON)
    session, decisions = after(before, Held(at=NOON, until=None, why="nobody"))

    assert (session.nobody_told, session.no_answer_said, decisions) == (True, False, (Alert("nobody"),))
    line = LineSettings(no_answer_does=NoAnswer.QUEUE)
    assert after(replace(before, answer_due=None), Held(at=NOON, until=None, why="nobody"), View(line))[1] == (
        Alert("nobody"),
        Say("no_answer"),
    )


def test_a_line_that_opens_before_its_time_counts_from_then():
    """An administrator changed the hours: nothing waits for an opening that is not awaited any more."""
    line = LineSettings(responsible_seconds=30, kpi_first_seconds=20, skill_seconds=50)
    before = replace(
        QUEUED,
        opens_at=OPENS,
        responsible_id=BOB,
        responsible_until=OPENS + MINUTE,
        needs=("skill:billing",),
        needs_until=OPENS + MINUTE,
        answer_due=OPENS + MINUTE,
        kpi_due=OPENS + MINUTE,
        held_until=OPENS + MINUTE,
        held_why="skill",
    )
    session, decisions = after(before, CLOSES, View(line, hours=OPEN))

    assert (session.opens_at, session.held_until, session.held_why) == (None, None, "")
    assert (session.responsible_until, session.needs_until) == (NOON + 30 * SECOND, NOON + 50 * SECOND)
    assert (session.answer_due, session.kpi_due) == (NOON + MINUTE, NOON + 20 * SECOND)
    assert decisions == (
        CancelTimer(ROUND),
        MarkPool("line opened early"),
        SetTimer(NO_ANSWER, NOON + MINUTE),
        SetTimer(KPI, NOON + 20 * SECOND),
    )
    assert after(replace(before, opens_at=NOON), CLOSES, View(line, hours=OPEN))[1] == (Ignore("it is counted already"),)


def test_a_line_without_an_opening_that_opens_promises_answers_from_then():
    """Nothing was counted while nobody knew when; now it is."""
    line = LineSettings(kpi_first_seconds=20, skill_seconds=50)
    session, _ = after(replace(QUEUED, answer_due=None, needs=("skill:billing",)), CLOSES, View(line, hours=OPEN))

    assert (session.answer_due, session.kpi_due, session.needs_until) == (NOON + MINUTE, NOON + 20 * SECOND, NOON + 50 * SECOND)


# --- taking from the list


def test_taking_from_the_list():
    """QUEUED to ACTIVE: a seated operator picks it, within budget."""
    session, decisions = after(QUEUED, take())

    assert (session.status, session.operator_id) == (Status.ACTIVE, ANN)
    assert decisions == (Reserve(ANN), CancelTimer(ROUND))


def test_whoever_takes_it_ends_its_rounds():
    """What was kept of them while it waited is nothing to its next waiting."""
    waits = replace(QUEUED, round_no=2, round_began=NOON, asked=(BOB,), held_until=OPENS, held_why="round", rounds_over=True)

    assert after(waits, take())[0] == replace(ACTIVE, queued_at=None)


@pytest.mark.parametrize(
    ("who", "code"),
    [
        (None, "not_yours"),
        (person(active=False), "not_yours"),
        (person(seated=False), "not_yours"),
        (person(reserved=76), "full"),
        (person(budget=0), "full"),
    ],
)
def test_who_may_not_take_from_the_list(who: OperatorView | None, code: str):
    """No right to the line, or no budget: refused, by name."""
    assert [refused(QUEUED, take(), view(who=who)), refused(QUEUED, reply(), view(who=who))] == [code, code]


@pytest.mark.parametrize("who", [person(reserved=75), person(seated=False, supervises=True), person(presence=PresenceState.AWAY)])
def test_who_may_take_from_the_list(who: OperatorView):
    """The last of the budget, a supervisor without a seat, somebody who is away: a deed of one's own needs no offer."""
    assert after(QUEUED, take(), view(who=who))[0].status is Status.ACTIVE


def test_taking_twice_is_taking_once():
    """A double click means nothing; somebody else is told that it is taken."""
    assert after(ACTIVE, take())[1] == (Ignore("already yours"),)
    assert refused(ACTIVE, take(BOB)) == "taken"


# --- speaking


def test_an_answer_is_delivered_and_ends_the_waiting():
    """The first answer forgets the no-answer text; the customer waits no longer."""
    session, decisions = after(ACTIVE, reply(), now=NOON + SECOND)

    assert (session.unanswered_since, session.answered_at) == (None, NOON + SECOND)
    assert decisions == (Deliver(M1, ANN), CancelTimer(NO_ANSWER))


def test_only_the_first_answer_counts_as_first():
    """Later answers keep the moment of the first."""
    session, decisions = after(replace(ANSWERED, unanswered_since=NOON), reply(), now=NOON + MINUTE)

    assert (session.answered_at, decisions) == (NOON, (Deliver(M1, ANN),))


def test_writing_takes_the_session():
    """An answer written before the session was taken takes it, from the list as from an offer, and is delivered."""
    for before in (QUEUED, OFFERED):
        session, decisions = after(before, reply())

        assert (session.status, session.operator_id, session.unanswered_since) == (Status.ACTIVE, ANN, None)
        assert decisions[-2:] == (Deliver(M1, ANN), CancelTimer(NO_ANSWER))


def test_writing_too_late_is_refused_and_not_delivered():
    """An answer after the deadline does not reach the customer; its writer is told."""
    assert refused(OFFERED, reply(at=NOON + MINUTE + SECOND)) == "too_late"


def test_somebody_elses_session_cannot_be_answered():
    """One voice at a time."""
    assert refused(ACTIVE, reply(BOB)) == "not_yours"


@pytest.mark.parametrize("before", [QUEUED, OFFERED, ACTIVE, CLOSED], ids=lambda session: session.status)
def test_a_note_stays_among_operators(before: Session):
    """Whoever sits in the line may note, whatever the session's status; nothing is delivered."""
    assert after(before, note(BOB), view(who=person(BOB))) == (before, (Keep(M1, BOB),))
    assert refused(before, note(BOB), view(who=person(BOB, seated=False))) == "not_yours"


def test_the_holder_may_note_without_a_seat():
    """Who has the session speaks in it, even after the seat is gone."""
    assert after(ACTIVE, note(), view(who=person(seated=False)))[1] == (Keep(M1, ANN),)


@pytest.mark.parametrize("event", [take(), decline(), reply(), note(), close()], ids=lambda event: type(event).__name__)
def test_without_a_session_there_is_nothing_to_do(event: OperatorEvent):
    """Deeds in a conversation that never had a session are refused."""
    assert refused(None, event) == "no_session"


# --- closing and reopening


def test_closing_gives_everything_back():
    """ACTIVE to CLOSED: budget, timers; a last word; the window in which it may reopen."""
    session, decisions = after(ACTIVE, close(), now=NOON + MINUTE)

    assert (session.status, session.closed_at, session.outcome, session.frozen) == (Status.CLOSED, NOON + MINUTE, "sold", False)
    assert session.operator_id == ANN
    assert decisions == (
        Release(ANN),
        CancelTimer(NO_ANSWER),
        Say("close"),
        SetTimer(REOPEN, NOON + 11 * MINUTE),
        MarkPool("session closed", seats=True),
    )


def test_closing_withdraws_offers():
    """A supervisor may close what is offered: each offer ends, each reservation is given back."""
    session, decisions = after(replace(OFFERED, offered_to=(ANN, BOB)), close(BOB), view(who=person(BOB, supervises=True)))

    assert (session.status, session.offered_to) == (Status.CLOSED, ())
    assert decisions[:3] == (EndOffers((ANN, BOB), "withdrawn"), Release(ANN), Release(BOB))


@pytest.mark.parametrize("before", [QUEUED, OFFERED, replace(ACTIVE, operator_id=BOB)], ids=lambda session: session.status)
def test_only_the_holder_or_a_supervisor_closes(before: Session):
    """A seat in the line is not enough."""
    for who in (person(), person(supervises=True, active=False), None):
        assert refused(before, close(), view(who=who)) == "not_yours"
    assert after(before, close(), view(who=person(supervises=True)))[0].status is Status.CLOSED


def test_a_line_may_close_in_silence_and_for_good():
    """No last word; without a reopen window the session is frozen at once."""
    session, decisions = after(ACTIVE, close(), view(LineSettings(close_says=False, reopen_seconds=0), person()))

    assert session.frozen
    assert not any(isinstance(made, Say | SetTimer) for made in decisions)


@pytest.mark.parametrize("event", [take(), decline(), reply(), close()], ids=lambda event: type(event).__name__)
def test_a_closed_session_is_closed(event: OperatorEvent):
    """Deeds come too late, and their sender is told."""
    assert refused(CLOSED, event) == "closed"


def test_a_message_inside_the_window_reopens_with_who_had_it():
    """CLOSED to ACTIVE: same session, same operator, if they are there and have room."""
    session, decisions = after(CLOSED, wrote(NOON + 10 * MINUTE), now=NOON + 10 * MINUTE)

    assert (session.id, session.status, session.operator_id, session.reopened) == ("s1", Status.ACTIVE, ANN, 1)
    assert (session.closed_at, session.answered_at, session.unanswered_since) == (None, NOON, NOON + 10 * MINUTE)
    assert decisions == (Reserve(ANN), CancelTimer(REOPEN))


@pytest.mark.parametrize(
    "who",
    [
        None,
        person(active=False),
        person(seated=False),
        person(presence=PresenceState.AWAY),
        person(presence=PresenceState.OFFLINE),
        person(reserved=80),
    ],
)
def test_a_message_inside_the_window_is_queued_when_that_operator_cannot(who: OperatorView | None):
    """CLOSED to QUEUED: same session, anybody's, at the end of the queue, its rounds from the beginning."""
    before = replace(CLOSED, asked=(BOB,), round_no=3, rounds_over=True)
    session, decisions = after(before, wrote(NOON + MINUTE), view(who=who), NOON + MINUTE)

    assert (session.id, session.status, session.operator_id, session.queued_at) == ("s1", Status.QUEUED, None, NOON + MINUTE)
    assert (session.asked, session.round_no, session.rounds_over) == ((), 0, False)
    assert decisions[0] == MarkPool("session reopened")


@pytest.mark.parametrize(
    ("before", "at"), [(CLOSED, NOON + 10 * MINUTE + timedelta(microseconds=1)), (replace(CLOSED, frozen=True), NOON)]
)
def test_a_message_after_the_window_opens_another_session(before: Session, at: datetime):
    """The old one stays as it is; the new one is as a first."""
    session, decisions = after(before, wrote(at), now=at)

    assert (session.id, session.status, session.reopened) == ("s2", Status.QUEUED, 0)
    assert Say("welcome") in decisions


def test_the_window_is_kept_against_the_acceptance():
    """A message accepted in the window reopens even if it is decided after it."""
    assert after(CLOSED, wrote(NOON + 10 * MINUTE), now=NOON + timedelta(hours=1))[0].id == "s1"


def test_when_the_window_has_passed_the_session_is_frozen():
    """Its transcript is final."""
    assert after(CLOSED, ReopenEnded(at=NOON + 10 * MINUTE)) == (replace(CLOSED, frozen=True), ())


def test_the_end_of_an_earlier_window_means_nothing():
    """Closed, reopened and closed again before the first window's timer was decided: that timer freezes nothing."""
    session, decisions = after(replace(CLOSED, closed_at=NOON + 11 * MINUTE), ReopenEnded(at=NOON + 10 * MINUTE))

    assert (session.frozen, decisions) == (False, (Ignore("its time is past"),))


# --- waiting for an answer


@pytest.mark.parametrize("before", [QUEUED, OFFERED, ACTIVE], ids=lambda session: session.status)
def test_silence_is_explained_once(before: Session):
    """The no-answer text is said, and not again."""
    session, decisions = after(before, NoAnswerDue(at=NOON + MINUTE))

    assert (session.no_answer_said, decisions) == (True, (Say("no_answer"),))
    assert after(session, NoAnswerDue(at=NOON + MINUTE))[1] == (Ignore("answered already"),)


def test_an_answered_customer_is_told_nothing():
    """Who has had an answer is not told that everybody is busy."""
    assert after(ANSWERED, NoAnswerDue(at=NOON + MINUTE))[1] == (Ignore("answered already"),)


def test_the_silence_of_an_earlier_session_means_nothing():
    """A timer that fired for the session before says nothing in this one."""
    assert after(QUEUED, NoAnswerDue(at=NOON + 59 * SECOND)) == (QUEUED, (Ignore("its time is past"),))


@pytest.mark.parametrize(
    ("before", "event"),
    [
        (None, OfferExpired(at=NOON, offer_no=1)),
        (QUEUED, OfferExpired(at=NOON, offer_no=1)),
        (QUEUED, ReopenEnded(at=NOON)),
        (OFFERED, RoundDue(at=NOON)),
        (ACTIVE, RoundDue(at=NOON)),
        (ACTIVE, OfferExpired(at=NOON, offer_no=1)),
        (CLOSED, NoAnswerDue(at=NOON)),
        (CLOSED, RoundDue(at=NOON)),
        (OFFERED, Offered(at=NOON, operators=(BOB,), until=NOON, fresh_round=False)),
        (ACTIVE, Offered(at=NOON, operators=(BOB,), until=NOON, fresh_round=False)),
        (CLOSED, Held(at=NOON, until=None, why="rounds_over")),
    ],
)
def test_what_comes_too_late_changes_nothing(before: Session | None, event: SessionEvent):
    """Time and the distributor may be overtaken by what people do."""
    made, decisions = decide(before, event, view(), NOON)

    assert made == before
    assert [type(decision) for decision in decisions] == [Ignore]
