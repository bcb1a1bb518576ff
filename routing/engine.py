"""The decision: one session, one event, what may be seen, and now; out come the session as it is next and what must be done.

    decide(session, event, view, now) -> (session, decisions)

The whole engine is `TABLE`: a handler for every pair of status and event type. A pair that is not there is not an answer but a
fault (IllegalTransition). Handlers are pure; `event.at` is when an input was accepted, `now` when it is decided, and a deadline is
kept against `event.at`: a take accepted in time wins even if it is decided late.

`ENGINE` grows whenever a decision changes for the same input; replay compares only rows of its own version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from broker.domain import (
    KeyDoes,
    LineSettings,
    LoadCounts,
    LoadKind,
    NoAnswer,
    OperatorId,
    Outside,
    Rating,
    Status,
    UnansweredCalls,
    Vanished,
    WelcomeWhen,
    base_language,
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
from routing.session import (
    Alert,
    Ban,
    CancelTimer,
    Decision,
    Deliver,
    Divert,
    EndOffers,
    Freeze,
    Ignore,
    Keep,
    MakeOffers,
    MakeResponsible,
    MarkPool,
    Refuse,
    Release,
    Reserve,
    Say,
    Session,
    SetTimer,
)
from routing.view import OPEN, HoursView, OperatorView, View

ENGINE = 6

Outcome = tuple[Session | None, tuple[Decision, ...]]
Step = tuple[Session, tuple[Decision, ...]]
Handler = Callable[[Any, Any, View, datetime], Outcome]

OFFER, ROUND, NO_ANSWER, REOPEN = "offer", "round", "no_answer", "reopen"
SNOOZE, SILENCE, KPI = "snooze", "silence", "kpi"
"""The names of a session's timers."""
_DUE = {NO_ANSWER: "answer_due", KPI: "kpi_due", SILENCE: "quiet_until"}
"""Where a session says when these are due; None: they are not set."""
SPAM, SILENT, MISSED, LOST, SETTLED = "spam", "silence", "missed", "lost", "settled"
"""Outcomes that the engine itself writes; beside `outside` and where a call goes that nobody answers (voicemail, forward, hang_up).

MISSED: its caller hung up while they waited: before anybody had answered, or again after they had been spoken with. LOST: the telephone
exchange knows no more of a call that was talked. SETTLED: one of those whose callers are to be called back, to which somebody has seen.
"""
_UNANSWERED = frozenset((MISSED, LOST, UnansweredCalls.VOICEMAIL.value, UnansweredCalls.HANG_UP.value))
"""Outcomes of calls whose callers are to be called back."""
NEVER = datetime.max.replace(tzinfo=UTC)
"""The opening of a line whose hours name none."""
MEMBERS_MAX = 20
"""Colleagues who may be with a session beside its operator."""


def decide(session: Session | None, event: SessionEvent, view: View, now: datetime) -> Outcome:
    """Return the session after *event* and what must be done. Raises IllegalTransition for a pair not in the table."""
    status = session.status if session is not None else Status.NEW
    if isinstance(event, OperatorEvent) and event.session_id is not None and (session is None or session.id != event.session_id):
        return _refuse(session, event, "closed")  # another has begun since the operator looked
    pair = (status, type(event))
    handler = (CALL_TABLE.get(pair) if _is_call(session, event, view) else None) or TABLE.get(pair)
    if handler is None:
        raise IllegalTransition(f"no rule for {type(event).__name__} in a session that is {status}")
    after, decisions = handler(session, event, view, now)
    if after is not None and after.load is LoadKind.CALL:
        return _as_call(session, after, decisions, view, now)
    return after, decisions


def _is_call(session: Session | None, event: SessionEvent, view: View) -> bool:
    if session is not None:
        return session.load is LoadKind.CALL
    return isinstance(event, Start) and view.conversation.load is LoadKind.CALL


# --- the customer writes


def _opening(before: Session | None, now: datetime) -> datetime:
    """Return when a session opens: after the one before it, whatever became of the clock, for by that they are put in their order."""
    return now if before is None else max(now, before.opened_at + timedelta(microseconds=1))


def _open(session: Session | None, event: ContactMessage, view: View, now: datetime) -> Outcome:
    conversation = view.conversation
    if conversation.banned:
        return session, (Ignore("banned"),)
    if event.due is not None:
        return _call_out(session, event, event.due, view, now)
    line = view.line
    load = conversation.load
    opened = Session(
        id=conversation.new_session_id,
        conversation_id=conversation.conversation_id,
        line_id=conversation.line_id,
        channel_id=conversation.channel_id,
        contact_id=conversation.contact_id,
        opened_at=_opening(session, now),
        status=Status.QUEUED,
        weight=line.weights.of(load),
        load=load,
        priority=line.priority + conversation.contact_priority,
        unanswered_since=event.at,
    )
    hours = view.hours
    if not hours.open:
        return _open_outside(opened, event, view, now)
    queued = _queue(opened, now, line, hours, conversation.responsible_id, _needs(line, conversation.language))
    if load is LoadKind.CALL and (line.calls.greeting or line.calls.menu.sound):
        # Whoever is free then has all of their time to lift the phone. (A caller of whom nothing is heard any more waits like others.)
        until = now + timedelta(seconds=GREETING_SECONDS_MAX)
        heard = replace(queued, held_until=until, held_why=GREETING)
        return heard, (SetTimer(ROUND, until),)
    decisions: list[Decision] = [MarkPool("session queued")]
    when = line.welcome
    if when is WelcomeWhen.SESSION or (when is WelcomeWhen.FIRST_TIME and conversation.first_time):
        decisions.append(Say("welcome"))
    waits, timers = _await_answer(queued, line, event.at)
    return waits, (*decisions, *timers)


def _open_outside(opened: Session, event: ContactMessage, view: View, now: datetime) -> Outcome:
    """Open a session outside the line's hours: what was written is kept whatever the line does with it."""
    line, conversation, opens_at = view.line, view.conversation, view.hours.opens_at
    # What is shut now may be reopened within the hours, and be somebody's then.
    opened = replace(opened, needs=_needs(line, conversation.language))
    if opened.load is LoadKind.CALL:
        to = line.outside_calls.value
        shut = replace(_shut(opened, view, now, to), elsewhere=to, sent_because=OUTSIDE)
        return shut, (Divert(to), *_await_reopening(view, now))
    match line.outside:
        case Outside.REPLY:
            return _shut(opened, view, now, "outside"), (Say("outside"), *_await_reopening(view, now))
        case Outside.KEEP | Outside.FORM:
            queued = _queue(opened, now, line, view.hours, conversation.responsible_id, opened.needs)
            queued = replace(queued, told_opening=opens_at or NEVER)
            says = Say("outside" if line.outside is Outside.KEEP else "outside_form")
            # The customer knows when somebody will be there: the time to a first answer counts from then.
            waits, timers = _await_answer(queued, line, opens_at)
            return waits, (MarkPool("session queued"), says, *timers)


def _queue(
    session: Session,
    now: datetime,
    line: LineSettings,
    hours: HoursView,
    responsible: OperatorId | None,
    needs: tuple[str, ...],
) -> Session:
    """Let the session begin to wait; what it may wait for is counted from when it can be offered: now, or the opening."""
    begins = now if hours.open else hours.opens_at
    if _on_line(session):
        session = replace(session, diverts="" if hours.open else OUTSIDE)
    first = responsible if line.responsible_first else None
    return replace(
        session,
        status=Status.QUEUED,
        operator_id=None,
        counted=True,
        queued_at=now,
        opens_at=None if hours.open else hours.opens_at,
        responsible_id=first,
        # A line that never opens offers nothing: no moment is to be counted from.
        responsible_until=begins + timedelta(seconds=line.responsible_seconds) if first is not None and begins else None,
        needs=needs,
        needs_until=begins + timedelta(seconds=line.skill_seconds) if needs and begins else None,
        **_NOT_OFFERED,
    )


_NOT_OFFERED: dict[str, Any] = {
    "offered_to": (),
    "offered_until": None,
    "round_no": 0,
    "round_began": None,
    "asked": (),
    "held_until": None,
    "held_why": "",
    "rounds_over": False,
    "over_changes": 0,
    "nobody_told": False,
    "passed_by": None,
    "passed": False,
}


def _needs(line: LineSettings, contact_language: str) -> tuple[str, ...]:
    language = base_language(contact_language) if line.match_language else ""
    return (*((f"language:{language}",) if language else ()), *(f"skill:{tag}" for tag in line.skills))


def _shut(session: Session, view: View, now: datetime, outcome: str) -> Session:
    """Close a session that nobody was asked about."""
    frozen = not view.line.reopen_seconds
    return replace(session, status=Status.CLOSED, closed_at=now, outcome=outcome, frozen=frozen, unanswered_since=None)


def _await_reopening(view: View, now: datetime) -> tuple[Decision, ...]:
    seconds = view.line.reopen_seconds
    return (SetTimer(REOPEN, now + timedelta(seconds=seconds)),) if seconds else ()


def _customer_wrote(session: Session, event: ContactMessage, view: View, now: datetime) -> Outcome:
    if session.unanswered_since is not None:
        return session, ()
    calm, forgotten = _forget(session, SILENCE)
    waiting = _waiting(calm, event.at)
    if session.status is not Status.QUEUED or view.hours.open:
        waits, timers = _await_answer(waiting, view.line, event.at)
        return waits, (*forgotten, *timers)
    waits, timers = _await_answer(waiting, view.line, view.hours.opens_at)
    told, says = _tell_opening(waits, view.hours)
    return told, (*forgotten, *says, *timers)


def _tell_opening(session: Session, hours: HoursView) -> Step:
    """Tell a customer who waits for an answer in the queue of a closed line when it opens: once for each opening."""
    if hours.open or session.unanswered_since is None or session.load is LoadKind.CALL:
        return session, ()
    opening = hours.opens_at or NEVER
    if session.told_opening == opening:
        return session, ()
    return replace(session, told_opening=opening), (Say("outside"),)


def _until_opening(session: Session, line: LineSettings, hours: HoursView, now: datetime) -> Step:
    """Let what is in the queue when the line is closed wait for the opening: whatever is still to come of its waits counts from there."""
    if hours.open:
        return session, ()
    if _on_line(session):
        return replace(session, diverts=OUTSIDE), ()
    waits, timers = _count_from(replace(session, opens_at=hours.opens_at), line, hours.opens_at, now)
    told, says = _tell_opening(waits, hours)
    return told, (*says, *timers)


def _count_from(session: Session, line: LineSettings, begins: datetime | None, now: datetime) -> Step:
    """Count what is still to come of the session's waits from *begins* on; None: nothing is to come, the line never opens."""
    later: dict[str, Any] = {}
    if begins is not None:
        if session.held_why == PROMISED and session.held_until is not None:
            begins = max(begins, session.held_until)  # nobody is asked before
        if session.responsible_until is not None and session.responsible_until > now:
            later["responsible_until"] = begins + timedelta(seconds=line.responsible_seconds)
        if session.needs and (session.needs_until is None or session.needs_until > now):
            later["needs_until"] = begins + timedelta(seconds=line.skill_seconds)
    waits, timers = _await_anew(replace(session, **later), line, begins)
    if waits.kpi_due is None or waits.kpi_due <= now:
        return waits, timers
    waits, forgotten = _forget(waits, KPI)
    waits, more = _await_kpi(waits, line, begins)
    return waits, (*timers, *(more or forgotten))


def _hours_changed(session: Session, view: View, now: datetime) -> Outcome:
    """The line has closed over the session, opens at another time than was said, or is open before that time."""
    line, hours = view.line, view.hours
    if not hours.open:
        return _until_opening(session, line, hours, now)
    if session.opens_at is not None and session.opens_at <= now:
        return session, (Ignore("it is counted already"),)
    promised = session.held_why == PROMISED and session.held_until is not None and session.held_until > now
    free = replace(session, opens_at=None) if promised else replace(session, opens_at=None, held_until=None, held_why="")
    waits, timers = _count_from(free, line, now, now)
    if session.opens_at is None:
        # It began to wait when the line knew of no opening: nothing was promised.
        owed = session.unanswered_since is not None and not _to_be_reached(session)
        waits, promise = _await_kpi(waits, line, now) if owed else (waits, ())
        timers = (*timers, *promise)
    return waits, (*(() if promised else (CancelTimer(ROUND),)), MarkPool("line opened early"), *timers)


def _waiting(session: Session, since: datetime) -> Session:
    """Return the session with a customer who waits for an answer anew."""
    return replace(session, unanswered_since=since, no_answer_said=False, quiet_warned=False)


def _customer_wrote_to_operator(session: Session, event: ContactMessage, view: View, now: datetime) -> Outcome:
    if session.unanswered_since is None and view.line.vanished is not Vanished.KEEP and not _can_come(view.operator):
        # Nobody reads it there: it is anybody's, who then asks them what was said.
        waiting = _waiting(session, event.at)
        queued, decisions = _queue_again(waiting, view, now, MarkPool("operator not there", seats=True))
        waits, promise = _await_kpi(queued, view.line, now if view.hours.open else view.hours.opens_at)
        return waits, (*decisions, *promise)
    after, decisions = _customer_wrote(session, event, view, now)
    if after is None or session.counted:
        return after, decisions
    who = view.operator
    if who is not None and who.reserved + session.weight <= who.budget:
        return replace(after, counted=True), (Reserve(who.operator_id), *decisions)
    # It is theirs whether they have room or not; the next message asks again.
    return after, decisions


def _customer_wrote_after_closing(session: Session, event: ContactMessage, view: View, now: datetime) -> Outcome:
    if session.rating_until is not None and event.at <= session.rating_until and (said := view.rating) is not None:
        return _rate(session, said)
    if view.conversation.banned:
        return session, (Ignore("banned"),)
    if _is_over(session, view, event.at):
        opened, decisions = _open(session, event, view, now)
        return opened, (*_frozen(session), *decisions)
    if session.operator_id is None and not view.hours.open and _answers_alone(session, view):
        # Nobody was asked about it and nobody would be now: the words join what was said, and were answered already.
        return session, (Ignore("outside the hours"),)
    line, hours = view.line, view.hours
    again = replace(_waiting(_reopened(session), event.at), needs=_needs(line, view.conversation.language))
    before = view.operator
    if before is not None and before.seated and _is_there(before) and _has_room(before, again, line):
        active, taken = _activate(again, before.operator_id, view, now)
        waits, timers = _await_answer(active, line, event.at)
        return waits, (*taken, CancelTimer(REOPEN), *timers)
    queued = _queue(again, now, line, hours, view.conversation.responsible_id, again.needs)
    waits, timers = _await_answer(queued, line, event.at if hours.open else hours.opens_at)
    told, says = _tell_opening(waits, hours)
    return told, (MarkPool("session reopened"), CancelTimer(REOPEN), *says, *timers)


def _is_over(session: Session, view: View, at: datetime) -> bool:
    """Return whether a closed session is so for good: what comes now begins another, in the channel's own line."""
    assert session.closed_at is not None
    return (
        session.frozen
        or view.conversation.line_id != session.line_id  # the worker shows another line's only when the window has passed
        or at > session.closed_at + timedelta(seconds=view.line.reopen_seconds)
    )


def _frozen(session: Session) -> tuple[Decision, ...]:
    """Return what ends a closed session for good, if its window's timer has not."""
    return () if session.frozen else (Freeze(), CancelTimer(REOPEN))


def _reopened(session: Session) -> Session:
    """Return a closed session as it begins again."""
    return replace(
        session,
        reopened=session.reopened + 1,
        closed_at=None,
        outcome="",
        elsewhere="",
        sent_because="",
        forward_to="",
        members=(),
        invited=(),
        told_opening=None,
        **_NOT_OFFERED,
    )


def _answers_alone(session: Session, view: View) -> bool:
    return session.load is LoadKind.CALL or view.line.outside is Outside.REPLY


# --- what is due to a customer who waits


def _await_answer(session: Session, line: LineSettings, begins: datetime | None) -> Step:
    """Set what is due to a customer who waits from *begins* on: the line's rule for no answer, and its promise. None: nothing is.

    The rule is for a first answer, and for any that the queue owes.
    """
    if begins is None or session.unanswered_since is None:
        return session, ()
    first = session.answered_at is None
    rule: tuple[Decision, ...] = ()
    if first or session.status is not Status.ACTIVE:
        session, rule = _await_first(session, line, begins)
    session, promise = _await_kpi(session, line, begins)
    return session, (*rule, *promise)


def _await_kpi(session: Session, line: LineSettings, begins: datetime | None) -> Step:
    """Set when what the line promises of its answers is broken, if it promises anything and that is not set."""
    seconds = line.kpi_first_seconds if session.answered_at is None else line.kpi_next_seconds
    if not seconds or begins is None or session.kpi_due is not None:
        return session, ()
    due = begins + timedelta(seconds=seconds)
    return replace(session, kpi_due=due), (SetTimer(KPI, due),)


def _await_first(session: Session, line: LineSettings, begins: datetime) -> Step:
    """Set when the line's rule for no answer is due, if it has anything to do and is not set."""
    if session.load is LoadKind.CALL:
        return _await_lifting(session, line, begins)
    seconds = line.no_answer_seconds
    if not seconds or session.unanswered_since is None or session.answer_due is not None:
        return session, ()
    rule = _rule(session, line)
    if (
        rule is NoAnswer.NOTHING
        or (rule is NoAnswer.TEXT and session.no_answer_said)
        or (rule is NoAnswer.QUEUE and session.status is not Status.ACTIVE)
    ):
        return session, ()
    due = begins + timedelta(seconds=seconds)
    return replace(session, answer_due=due), (SetTimer(NO_ANSWER, due),)


def _await_anew(session: Session, line: LineSettings, begins: datetime | None) -> Step:
    """Let the time to an answer begin again at *begins*; None: not at all."""
    stopped = replace(session, answer_due=None)
    after, timers = _await_first(stopped, line, begins) if begins is not None else (stopped, ())
    if session.answer_due is not None and after.answer_due is None:
        return after, (CancelTimer(NO_ANSWER),)
    return after, timers


def _rule(session: Session, line: LineSettings) -> NoAnswer:
    """Return the line's rule for no answer; what was sent on once is not sent on again: its customer is told."""
    rule = line.no_answer_does
    return NoAnswer.TEXT if rule is NoAnswer.LINE and session.sent_on else rule


def _forget(session: Session, *names: str) -> Step:
    """Forget those of the timers *names* that are set."""
    are_set = tuple(name for name in names if getattr(session, _DUE[name]) is not None)
    if not are_set:
        return session, ()
    return replace(session, **{_DUE[name]: None for name in are_set}), tuple(CancelTimer(name) for name in are_set)


# --- an operator takes, declines


def _take_from_list(session: Session, event: Take | Reply, view: View, now: datetime) -> Outcome:
    who = view.operator
    if who is None or not who.active or not (who.seated or who.supervises):
        return _refuse(session, event, "not_yours")
    if not _has_room(who, session, view.line):
        return _refuse(session, event, "full")
    taken, decisions = _activate(session, who.operator_id, view, now)
    return taken, (*decisions, CancelTimer(ROUND))


def _take_offer(session: Session, event: Take | Reply, view: View, now: datetime) -> Outcome:
    assert session.offered_until is not None
    if session.passed and event.operator_id == session.passed_by:
        return _take_back(session, event, view, now)
    if event.operator_id not in session.offered_to:
        return _refuse(session, event, "not_offered")
    if event.at > session.offered_until:
        return _refuse(session, event, "too_late")
    others = tuple(operator for operator in session.offered_to if operator != event.operator_id)
    decisions: list[Decision] = [EndOffers((event.operator_id,), "taken"), CancelTimer(OFFER), CancelTimer(ROUND)]
    if session.passed:
        decisions.append(MakeResponsible(event.operator_id))
    if others:
        decisions += [
            EndOffers(others, "withdrawn"),
            *(Release(operator) for operator in others),
            MarkPool("offers withdrawn", seats=True),
        ]
    taken, more = _activate(session, event.operator_id, view, now, reserved=True)
    return taken, (*decisions, *more)


def _take_back(session: Session, event: Take | Reply, view: View, now: datetime) -> Outcome:
    """Whoever passed it on has it again, if the colleague has not taken it yet."""
    who = view.operator
    if who is None or not who.active:
        return _refuse(session, event, "not_yours")
    if not _has_room(who, session, view.line):
        return _refuse(session, event, "full")
    freed, let_go = _let_go(session)
    taken, decisions = _activate(freed, who.operator_id, view, now)
    return taken, (*let_go, *decisions, MarkPool("session taken back", seats=True))


def _take_own(session: Session, event: Take, view: View, now: datetime) -> Outcome:
    if event.operator_id == session.operator_id:
        return session, (Ignore("already yours"),)
    return _refuse(session, event, "taken")


def _activate(
    session: Session,
    operator: OperatorId,
    view: View,
    now: datetime,
    *,
    reserved: bool = False,
    begins: datetime | None = None,
) -> Step:
    """Give the session to *operator*, *reserved*: whose budget has it already; what wakes owes an answer from *begins* on, or now."""
    line = view.line
    counts = _weighs(session, line)
    active = replace(
        session,
        status=Status.ACTIVE,
        operator_id=operator,
        queued_at=None,
        opens_at=None,
        snoozed_until=None,
        counted=counts,
        invited=_without(session.invited, operator),
        members=_without(session.members, operator),
        **_NOT_OFFERED,
    )
    decisions: list[Decision] = []
    if counts and not reserved:
        decisions.append(Reserve(operator))
    if reserved and not counts:
        decisions += [Release(operator), MarkPool("session answered", seats=True)]
    if session.unanswered_since is None:
        active, timers = _await_silence(active, line, now)
        return active, (*decisions, *timers)
    if line.no_answer_does is NoAnswer.QUEUE:
        active, timers = _await_anew(active, line, now)
        decisions += timers
    if session.status is Status.SNOOZED:
        active, timers = _await_answer(active, line, begins or now)
        decisions += timers
    return active, tuple(decisions)


def _can_come(who: OperatorView | None) -> bool:
    """Return whether who has a session may answer in it soon: at work, if perhaps away just now."""
    return who is not None and who.active and who.presence != "offline"


def _is_there(who: OperatorView) -> bool:
    return who.active and who.presence == "online" and who.on_shift


def _has_room(who: OperatorView, session: Session, line: LineSettings, theirs: int = 0) -> bool:
    """Return whether the operator may have the session, of whose weight *theirs* is in their budget already."""
    return not _weighs(session, line) or who.reserved - theirs + session.weight <= who.budget


def _weighs(session: Session, line: LineSettings) -> bool:
    """Return whether the session takes of the budget of whoever has it."""
    return counts(line, session.load, answered=session.unanswered_since is None)


def _decline(session: Session, event: Decline, view: View, now: datetime) -> Outcome:
    if event.operator_id not in session.offered_to:
        return _refuse(session, event, "not_offered")
    return _end_offers(session, (event.operator_id,), "declined", view, now)


def _offer_expired(session: Session, event: OfferExpired, view: View, now: datetime) -> Outcome:
    if event.offer_no != session.offer_no:
        return session, (Ignore("of an earlier offer"),)
    return _end_offers(session, session.offered_to, "ran_out", view, now)


def _give_back(session: Session, how: str, view: View, now: datetime) -> Outcome:
    """The colleague to whom it was passed does not take it: it is again with whoever had it, or in the queue."""
    ends: tuple[Decision, ...] = (
        EndOffers(session.offered_to, how),
        *(Release(operator) for operator in session.offered_to),
        CancelTimer(OFFER),
        MarkPool(f"offer {how}"),
    )
    skipped = replace(session, skips=session.skips + (how != "gone"))
    before = view.operator
    at_hand = before is not None and before.active and before.presence == "online" and session.load is not LoadKind.CALL
    if before is not None and at_hand and _has_room(before, skipped, view.line):
        back, decisions = _activate(skipped, before.operator_id, view, now)
        return back, (*ends, *decisions)
    queued = replace(skipped, status=Status.QUEUED, operator_id=None, **_NOT_OFFERED)
    if session.needs and session.needs_until is None:
        # It has not waited before (an operator reopened it by writing): its demand ends too.
        queued = replace(queued, needs_until=now + timedelta(seconds=view.line.skill_seconds))
    if how != "gone":
        queued = _asked(queued, session.offered_to, now)
    if session.load is LoadKind.CALL and session.passed_by is not None:
        # Whoever spoke with them before is rung first.
        until = now + timedelta(seconds=view.line.responsible_seconds)
        queued = replace(queued, responsible_id=session.passed_by, responsible_until=until)
    if not view.hours.open:
        waits, timers = _until_opening(queued, view.line, view.hours, now)
    else:
        waits, timers = _await_first(queued, view.line, now)
    return waits, (*ends, *timers)


def _asked(session: Session, operators: tuple[OperatorId, ...], now: datetime) -> Session:
    """Return a session that begins to wait, in whose first round *operators* need not be asked: for as long as a round lasts."""
    return replace(session, round_began=now, asked=operators) if operators else session


def _end_offers(session: Session, operators: Sequence[OperatorId], how: str, view: View, now: datetime) -> Outcome:
    if session.passed:
        return _give_back(session, how, view, now)
    # Of a line that asks everybody at once these are all its people.
    ended, before = frozenset(operators), frozenset(session.asked)
    left = tuple(operator for operator in session.offered_to if operator not in ended)
    passed_on = tuple(operator for operator in operators if operator not in before)
    after = replace(session, offered_to=left, asked=(*session.asked, *passed_on), skips=session.skips + len(operators))
    decisions: list[Decision] = [
        EndOffers(tuple(operators), how),
        *(Release(operator) for operator in operators),
        MarkPool(f"offer {how}"),
    ]
    if left:
        return after, tuple(decisions)
    waits, more = _until_opening(replace(after, status=Status.QUEUED, offered_until=None), view.line, view.hours, now)
    return waits, (*decisions, CancelTimer(OFFER), *more)


def _gone_from_queue(session: Session, event: OperatorGone, view: View, now: datetime) -> Outcome:
    """Let who is of the house no more not stand among those who are with the session, and nothing else."""
    me = event.operator_id
    if not event.removed or me not in (*session.members, *session.invited):
        return session, (Ignore("not theirs"),)
    return replace(session, members=_without(session.members, me), invited=_without(session.invited, me)), ()


def _gone_from_offer(session: Session, event: OperatorGone, view: View, now: datetime) -> Outcome:
    if event.operator_id not in session.offered_to:
        return _gone_from_queue(session, event, view, now)
    if session.passed:
        return _give_back(session, "gone", view, now)
    # They did not skip it: they are asked again in this round if they come back.
    left = tuple(operator for operator in session.offered_to if operator != event.operator_id)
    decisions: list[Decision] = [
        EndOffers((event.operator_id,), "gone"),
        Release(event.operator_id),
        MarkPool("offer gone"),
    ]
    if left:
        return replace(session, offered_to=left), tuple(decisions)
    queued = replace(session, status=Status.QUEUED, offered_to=(), offered_until=None)
    waits, more = _until_opening(queued, view.line, view.hours, now)
    return waits, (*decisions, CancelTimer(OFFER), *more)


def _gone_from_session(session: Session, event: OperatorGone, view: View, now: datetime) -> Outcome:
    if event.operator_id != session.operator_id:
        return _gone_from_queue(session, event, view, now)
    if not event.removed:
        if not event.vanished:
            return session, (Ignore("they keep what they hold"),)
        rule = view.line.vanished
        if rule is Vanished.KEEP or (rule is Vanished.UNANSWERED and session.unanswered_since is None):
            return session, (Ignore("the line leaves it with them"),)
    return _queue_again(session, view, now, MarkPool("operator gone", seats=True))


def _gone_from_snoozed(session: Session, event: OperatorGone, view: View, now: datetime) -> Outcome:
    if event.operator_id != session.operator_id:
        return _gone_from_queue(session, event, view, now)
    if not event.removed:
        return session, (Ignore("it wakes without them"),)
    return _queue_again(session, view, now, MarkPool("operator gone", seats=True))


def _queue_again(
    session: Session,
    view: View,
    now: datetime,
    mark: MarkPool,
    *,
    responsible: OperatorId | None = None,
    asked: tuple[OperatorId, ...] = (),
    begins: datetime | None = None,
    recall: bool = False,
) -> Step:
    """Bring what somebody had back to the queue: it waits as anew, for an answer too; what wakes owes one from *begins* on, or now.

    *recall*: for the *responsible* first, whatever the line says of customers in general.
    """
    line, hours = view.line, view.hours
    freed, decisions = _let_go(session)
    queued = _asked(_queue(freed, now, line, hours, responsible, session.needs), asked, now)
    if recall and responsible is not None:
        queued = replace(queued, responsible_id=responsible, responsible_until=now + timedelta(seconds=line.responsible_seconds))
    begins = (begins or now) if hours.open else hours.opens_at
    waits, timers = _await_anew(queued, line, begins)
    if session.status is Status.SNOOZED:
        waits, more = _await_answer(waits, line, begins)
        timers = (*timers, *more)
    told, says = _tell_opening(waits, hours)
    return told, (*decisions, mark, *says, *timers)


# --- the distributor proposes


def _offer(session: Session, event: Offered, view: View, now: datetime) -> Outcome:
    round_no, asked, began = session.round_no, session.asked, session.round_began
    if event.renewed:
        round_no = 0
    if event.fresh_round or event.renewed:
        round_no, asked, began = round_no + 1, (), now
    elif round_no == 0:
        # Whoever is not to be asked in the first round is not.
        round_no, began = 1, now
    after = replace(
        session,
        status=Status.OFFERED,
        offered_to=event.operators,
        offered_until=event.until,
        offer_no=session.offer_no + 1,
        round_no=round_no,
        round_began=began,
        asked=asked,
        held_until=None,
        held_why="",
        rounds_over=False,
        over_changes=0,
        nobody_told=False,
    )
    return after, (
        *(Reserve(operator) for operator in event.operators),
        MakeOffers(event.operators, event.until),
        SetTimer(OFFER, event.until),
        CancelTimer(ROUND),
    )


def _hold(session: Session, event: Held, view: View, now: datetime) -> Outcome:
    if event.why == "nobody":
        return _nobody(session, view)
    if event.why == "rounds_over" and _on_line(session) and _has_rule(view.line) and not view.line.calls.no_answer_seconds:
        # Everybody was rung as often as the line says, and it waits no longer for those who talk.
        return replace(session, diverts=UNANSWERED), ()
    if event.why == "hours":
        return _hours_changed(session, view, now)
    until = event.until
    after = replace(session, held_until=until, held_why=event.why, rounds_over=event.rounds_over, over_changes=event.changes)
    if event.why == "skill" and until is None:
        # It began to wait when its line knew of no opening: what it demands is counted from the first time it stood in its way.
        until = now + timedelta(seconds=view.line.skill_seconds)
        after = replace(after, held_until=until, needs_until=until)
    if event.renewed:
        after = replace(after, round_no=0, round_began=None, asked=())
    return after, (SetTimer(ROUND, until) if until is not None else CancelTimer(ROUND),)


def _nobody(session: Session, view: View) -> Outcome:
    """Tell supervisors that there is nobody, once, and the customer if they wait for an answer and the line is not silent."""
    if session.nobody_told:
        return session, (Ignore("told already"),)
    if session.held_why == PROMISED:
        return session, (Ignore("nobody is wanted yet"),)  # it is asked again at its time
    line, told = view.line, replace(session, nobody_told=True)
    if session.load is LoadKind.CALL:
        return _unanswered_soon(told, line) if _on_line(told) else told, (Alert("nobody"),)
    silent = session.no_answer_said or session.unanswered_since is None or not line.no_answer_seconds
    if silent or (rule := _rule(session, line)) is NoAnswer.NOTHING:
        return told, (Alert("nobody"),)
    if session.opens_at is not None and session.answer_due is not None and rule is NoAnswer.TEXT:
        # The line has just opened and somebody may yet come: their time to an answer runs from there.
        return told, (Alert("nobody"),)
    # What the time to an answer would have said is said.
    after, forgotten = _forget(told, NO_ANSWER) if rule is NoAnswer.TEXT else (told, ())
    return replace(after, no_answer_said=True), (Alert("nobody"), Say("no_answer"), *forgotten)


def _round_due(session: Session, event: RoundDue, view: View, now: datetime) -> Outcome:
    if session.held_why == GREETING:
        return _wait_from(session, view.line, now)
    # Held no longer: to a clock that is set back the same moment comes again, and must be said and timed again.
    due = replace(session, held_until=None, held_why="") if session.held_until is not None else session
    return due, (MarkPool("round due"),)


# --- an operator speaks, closes


def _reply(session: Session, event: Reply, view: View, now: datetime) -> Outcome:
    if event.operator_id != session.operator_id and event.operator_id not in session.members:
        return _refuse(session, event, "not_yours")
    line = view.line
    answered = replace(session, unanswered_since=None, answered_at=session.answered_at or now, rating_asked=False)
    after, forgotten = _forget(answered, NO_ANSWER, KPI)
    decisions: list[Decision] = [Deliver(event.message_id, event.operator_id), *forgotten]
    if session.counted and session.operator_id is not None and not _weighs(after, line):
        after = replace(after, counted=False)
        decisions += [Release(session.operator_id), MarkPool("session answered", seats=True)]
    after, timers = _await_silence(after, line, now) if session.status is Status.ACTIVE else (after, ())
    return after, (*decisions, *timers)


def counts(line: LineSettings, load: LoadKind, *, answered: bool) -> bool:
    """Return whether a session that somebody has takes of their budget."""
    if load is LoadKind.CALL:
        return True  # while they talk
    return not answered or (load is not LoadKind.MAIL and line.load_counts is not LoadCounts.UNANSWERED)


def _take_and_reply(take: Handler) -> Handler:
    """Return a handler for an answer written before the session was taken: writing takes it."""

    def handle(session: Session, event: Reply, view: View, now: datetime) -> Outcome:
        if event.operator_id in session.members and event.operator_id not in session.offered_to:
            return _reply(session, event, view, now)  # who joined answers beside whoever has it
        taken, decisions = take(session, event, view, now)
        if taken is None or taken.status is not Status.ACTIVE:
            return taken, decisions
        replied, more = _reply(taken, event, view, now)
        return replied, (*decisions, *more)

    handle.__name__ = f"{take.__name__}_and_reply"
    return handle


def _note(session: Session, event: Note, view: View, now: datetime) -> Outcome:
    who = view.operator
    joined = (*session.members, *session.invited) if session.status is not Status.CLOSED else ()
    with_us = event.operator_id == session.operator_id or event.operator_id in joined
    if who is None or not who.active or not (who.seated or who.supervises or with_us):
        return _refuse(session, event, "not_yours")
    return session, (Keep(event.message_id, event.operator_id),)


def _close(session: Session, event: Close, view: View, now: datetime) -> Outcome:
    who = view.operator
    holder = _holder(session)
    # A call that is to be made is nobody's yet: anybody of its line may see that it is not needed any more.
    waits = session.status is Status.QUEUED and _to_be_reached(session)
    may = who is not None and who.active and (who.supervises or (waits and who.seated))
    if event.operator_id != holder and not may:
        return _refuse(session, event, "not_yours")
    return _end(session, view, now, event.outcome)


def _holder(session: Session) -> OperatorId | None:
    """Return whose session it is: who has it, had it when it closed, or passed it on to a colleague who has not taken it yet."""
    return session.passed_by if session.passed else session.operator_id


def _end(session: Session, view: View, now: datetime, outcome: str) -> Step:
    """Close the session, and say so; spam is closed without a word."""
    line = view.line
    freed, let_go = _let_go(session)
    still, forgotten = _forget(freed, NO_ANSWER, KPI)
    decisions: list[Decision] = [*let_go, *forgotten]
    # Not a second time about the same answers: who says thanks after the closing and is closed again has been asked.
    spoken = session.load is LoadKind.CALL  # its caller is asked on the telephone, if at all
    asks = line.rating and session.answered_at is not None and not session.rating_asked and outcome != SPAM and not spoken
    if line.close_says and outcome != SPAM:
        decisions.append(Say("close"))
    if asks:
        decisions.append(Say("rating"))
    reopen_seconds = line.reopen_seconds
    if reopen_seconds:
        decisions.append(SetTimer(REOPEN, now + timedelta(seconds=reopen_seconds)))
    closed = replace(
        still,
        status=Status.CLOSED,
        operator_id=_holder(session),
        closed_at=now,
        outcome=outcome,
        frozen=not reopen_seconds,
        queued_at=None,
        opens_at=None,
        unanswered_since=None,
        diverts="",
        counted=True,
        invited=(),
        # Who was asked before, and is not now, may still answer; what they said stands until they say something else.
        rating_until=now + timedelta(hours=line.rating_hours) if asks else None if outcome == SPAM else session.rating_until,
        rating_asked=session.rating_asked or asks,
        rating_thanked=session.rating_thanked and not asks,
        **_NOT_OFFERED,
    )
    return closed, (*decisions, MarkPool("session closed", seats=True))


# --- time


def _no_answer(session: Session, event: NoAnswerDue, view: View, now: datetime) -> Outcome:
    due, line = session.answer_due, view.line
    if due is None:
        return session, (Ignore("answered already"),)
    if event.at < due:
        return _STALE(session, event, view, now)  # it fell due in an earlier wait, and is decided in this one
    waits = replace(session, answer_due=None)
    if not line.no_answer_seconds:
        return waits, (Ignore("switched off"),)
    match _rule(session, line):
        case NoAnswer.NOTHING:
            return waits, (Ignore("switched off"),)
        case NoAnswer.QUEUE:
            if session.status is not Status.ACTIVE or session.operator_id is None:
                return waits, (Ignore("it waits for anybody"),)
            return _queue_again(waits, view, now, MarkPool("no answer", seats=True), asked=(session.operator_id,))
        case NoAnswer.LINE if view.target.exists and view.target.line_id != session.line_id and view.hours.open:
            return _move(replace(waits, sent_on=True), view, now, "session sent on")
        case _:
            if session.no_answer_said:
                return waits, (Ignore("told already"),)
            return replace(waits, no_answer_said=True), (Say("no_answer"),)


def _freeze(session: Session, event: ReopenEnded, view: View, now: datetime) -> Outcome:
    if session.closed_at is not None and event.at < session.closed_at:
        return _STALE(session, event, view, now)  # the window before: it has been reopened and closed since
    return replace(session, frozen=True), ()


# --- an operator passes the session on


def _transfer(session: Session, event: Transfer, view: View, now: datetime) -> Outcome:
    who = view.operator
    supervises = who is not None and who.active and who.supervises
    if event.operator_id != _holder(session) and not supervises:
        return _refuse(session, event, "not_yours")
    if event.assigned and not supervises:
        return _refuse(session, event, "not_allowed")
    if event.to_number:
        return _to_number(session, event, view, now)
    if event.to_line is not None:
        return _to_line(session, event, view, now)
    return _to_colleague(session, event, view, now)


def _to_line(session: Session, event: Transfer, view: View, now: datetime) -> Outcome:
    if not view.target.exists:
        return _refuse(session, event, "no_line")
    moved, decisions = _move(session, view, now, "session passed on")
    return moved, (*decisions, *_noted(event))


def _to_number(session: Session, event: Transfer, view: View, now: datetime) -> Outcome:
    """Send a call to a number outside: it is over here, until that number turns out not to answer."""
    if session.load is not LoadKind.CALL:
        return _refuse(session, event, "not_a_call")
    sent, decisions = _divert(session, view, now, UnansweredCalls.FORWARD.value)
    return replace(sent, forward_to=event.to_number), (*decisions, *_noted(event))


def _move(session: Session, view: View, now: datetime, why: str, hours: HoursView | None = None) -> Step:
    """Put the session into the queue of the line in view; whoever had it is not asked in its first round, what waited keeps its age."""
    target, hours = view.target_line, hours or view.hours
    weight = target.weights.of(session.load)
    freed, let_go = _let_go(session, weight=session.weight if session.weight != weight else None)
    moved = replace(
        freed,
        line_id=view.target.line_id,
        weight=weight,
        priority=target.priority + view.target.contact_priority,
        members=(),
        invited=(),
    )
    queued = _queue(moved, now, target, hours, None, _needs(target, view.target.language))
    held_by = _holder(session)
    queued = _asked(replace(queued, queued_at=session.queued_at or now), (held_by,) if held_by is not None else (), now)
    begins = now if hours.open else hours.opens_at
    waits, timers = _await_anew(queued, target, begins)
    if session.status is Status.SNOOZED:
        waits, more = _await_answer(waits, target, begins)
        timers = (*timers, *more)
    told, says = _tell_opening(waits, hours)
    marks = [MarkPool(why, seats=held_by is not None)]
    if session.line_id != moved.line_id:
        marks.append(MarkPool("session left the line", seats=True, line_id=session.line_id))
    return told, (*let_go, *marks, *says, *timers)


def _to_colleague(session: Session, event: Transfer, view: View, now: datetime) -> Outcome:
    colleague = view.colleague
    if colleague is None or not colleague.active or not (colleague.seated or colleague.supervises):
        return _refuse(session, event, "no_colleague")
    to = colleague.operator_id
    if to == _holder(session):
        return _refuse(session, event, "theirs_already")
    rings = session.load is LoadKind.CALL
    if rings and to in session.offered_to:
        return _refuse(session, event, "theirs_already")
    if rings and not colleague.phone:
        return _refuse(session, event, "colleague_no_phone")
    if rings and colleague.calls:
        return _refuse(session, event, "colleague_full")
    theirs = session.weight if to in session.offered_to else 0
    # An offer takes of the budget whatever the session does when it is taken.
    has_room = colleague.reserved - theirs + session.weight <= colleague.budget
    assigned = event.assigned and not rings  # nobody talks before they have lifted the phone
    if not has_room and not (assigned and _has_room(colleague, session, view.line, theirs)):
        return _refuse(session, event, "colleague_full")
    freed, let_go = _let_go(session)
    if assigned:
        given, decisions = _activate(freed, to, view, now)
        mark = MarkPool("session assigned", seats=True)
        return given, (*let_go, *decisions, MakeResponsible(to), mark, *_noted(event))
    if colleague.presence != "online" or not colleague.on_shift:
        return _refuse(session, event, "colleague_away")
    seconds = view.line.calls.ring_seconds if rings else view.line.transfer_seconds
    until = now + timedelta(seconds=seconds)
    offered = replace(
        freed,
        **_NOT_OFFERED
        | {
            "status": Status.OFFERED,
            "operator_id": None,
            "counted": True,
            "queued_at": session.queued_at or now,
            "offered_to": (to,),
            "offered_until": until,
            "offer_no": session.offer_no + 1,
            # Passed on a second time before anybody took it, it is still the first one's.
            "passed_by": session.passed_by if session.status not in _HELD else session.operator_id,
            "passed": True,
        },
    )
    timers: tuple[Decision, ...] = ()
    if session.status is Status.SNOOZED:
        offered, timers = _await_answer(offered, view.line, now)
    mark = MarkPool("session passed on", seats=True)
    return offered, (*let_go, Reserve(to), MakeOffers((to,), until), SetTimer(OFFER, until), mark, *timers, *_noted(event))


_HELD = (Status.ACTIVE, Status.SNOOZED)
"""Somebody has it."""


def _let_go(session: Session, weight: int | None = None) -> Step:
    """Give back whatever the session takes of anybody's budget, and forget the timers that mean something in its status only."""
    decisions: list[Decision] = []
    if session.offered_to:
        decisions.append(EndOffers(session.offered_to, "withdrawn"))
        decisions += [Release(operator, weight) for operator in session.offered_to]
    elif session.operator_id is not None and session.counted and session.status in _HELD:
        decisions.append(Release(session.operator_id, weight))
    calm, forgotten = _forget(session, SILENCE)
    if (name := _TIMER_OF.get(session.status)) is not None:
        forgotten = (*forgotten, CancelTimer(name))
    return replace(calm, snoozed_until=None, quiet_warned=False), (*decisions, *forgotten)


_TIMER_OF = {Status.QUEUED: ROUND, Status.OFFERED: OFFER, Status.SNOOZED: SNOOZE}


def _noted(event: Transfer) -> tuple[Decision, ...]:
    return (Keep(event.message_id, event.operator_id),) if event.message_id is not None else ()


def _without(people: tuple[OperatorId, ...], operator: OperatorId) -> tuple[OperatorId, ...]:
    return tuple(one for one in people if one != operator)


def _take_over(session: Session, event: TakeOver, view: View, now: datetime) -> Outcome:
    who, me = view.operator, event.operator_id
    if who is None or not who.active or not who.supervises:
        return _refuse(session, event, "not_allowed")
    if me == session.operator_id and session.status is Status.ACTIVE:
        return session, (Ignore("already yours"),)
    has_it = me in session.offered_to or (me == session.operator_id and session.counted)
    if not _has_room(who, session, view.line, session.weight if has_it else 0):
        return _refuse(session, event, "full")
    freed, let_go = _let_go(session)
    taken, decisions = _activate(freed, me, view, now)
    return taken, (*let_go, *decisions, MarkPool("session taken over", seats=True))


# --- colleagues


def _invite(session: Session, event: Invite, view: View, now: datetime) -> Outcome:
    if not _takes_part(session, event.operator_id, view):
        return _refuse(session, event, "not_yours")
    colleague = view.colleague
    if colleague is None or not colleague.active:
        return _refuse(session, event, "no_colleague")
    to = colleague.operator_id
    if to == session.operator_id or to in session.members or to in session.invited:
        return session, (Ignore("with us already"),)
    if len(session.members) + len(session.invited) >= MEMBERS_MAX:
        return _refuse(session, event, "too_many")
    return replace(session, invited=(*session.invited, to)), ()


def _join(session: Session, event: Join, view: View, now: datetime) -> Outcome:
    who, me = view.operator, event.operator_id
    if me == session.operator_id or me in session.members:
        return session, (Ignore("with us already"),)
    if who is None or not who.active or not (me in session.invited or who.supervises):
        return _refuse(session, event, "not_invited")
    if len(session.members) >= MEMBERS_MAX:
        return _refuse(session, event, "too_many")
    return replace(session, members=(*session.members, me), invited=_without(session.invited, me)), ()


def _leave(session: Session, event: LeaveSession, view: View, now: datetime) -> Outcome:
    me = event.operator_id
    if me == session.operator_id:
        return _refuse(session, event, "pass_it_on")
    if me not in session.members and me not in session.invited:
        return session, (Ignore("not with us"),)
    return replace(session, members=_without(session.members, me), invited=_without(session.invited, me)), ()


def _takes_part(session: Session, operator: OperatorId, view: View) -> bool:
    """Return whether the operator has the session, joined it, or supervises."""
    who = view.operator
    mine = operator == session.operator_id or operator in session.members
    return who is not None and who.active and (mine or who.supervises)


# --- spam, snoozing, writing first


def _spam(session: Session, event: Spam, view: View, now: datetime) -> Outcome:
    who = view.operator
    if who is None or not who.active or not (who.supervises or _may_judge(session, who)):
        return _refuse(session, event, "not_yours")
    ban: tuple[Decision, ...] = (Ban(),) if event.ban else ()
    if session.status is Status.CLOSED:
        if session.outcome == SPAM and not event.ban:
            return session, (Ignore("spam already"),)
        return replace(session, outcome=SPAM, rating_until=None), ban
    closed, decisions = _end(session, view, now, SPAM)
    return closed, (*decisions, *ban)


def _may_judge(session: Session, who: OperatorView) -> bool:
    """Return whether the operator may say that the session is spam: anybody of the line while it is nobody's, else whose it is."""
    holder = _holder(session)
    if holder is None:
        return who.seated
    joined = session.members if session.status is not Status.CLOSED else ()
    return who.operator_id == holder or who.operator_id in joined


def _snooze(session: Session, event: Snooze, view: View, now: datetime) -> Outcome:
    if event.operator_id != session.operator_id:
        return _refuse(session, event, "not_yours")
    if event.until <= now:
        return _refuse(session, event, "past")
    keeps = view.line.load_counts is LoadCounts.CLOSED
    quiet, forgotten = _forget(session, NO_ANSWER, SILENCE, KPI)
    snoozed = replace(
        quiet,
        status=Status.SNOOZED,
        snoozed_until=event.until,
        counted=session.counted and keeps,
        quiet_warned=False,
    )
    decisions: list[Decision] = [SetTimer(SNOOZE, event.until), *forgotten]
    if session.counted and not keeps:
        decisions += [Release(event.operator_id), MarkPool("session snoozed", seats=True)]
    return snoozed, tuple(decisions)


def _wake(session: Session, view: View, now: datetime, begins: datetime) -> Step:
    """Bring a snoozed session back to whoever put it by, or to the queue when they are not there or have no room."""
    who = view.operator
    if who is not None and _is_there(who) and (session.counted or _has_room(who, session, view.line)):
        awake, decisions = _activate(session, who.operator_id, view, now, reserved=session.counted, begins=begins)
        return awake, (CancelTimer(SNOOZE), *decisions)
    responsible = who.operator_id if who is not None and who.active else None
    mark = MarkPool("session woke", seats=session.counted)
    return _queue_again(session, view, now, mark, responsible=responsible, begins=begins)


def _snooze_ended(session: Session, event: SnoozeEnded, view: View, now: datetime) -> Outcome:
    if session.snoozed_until is not None and event.at < session.snoozed_until:
        return _STALE(session, event, view, now)
    return _wake(session, view, now, now)


def _wrote_to_snoozed(session: Session, event: ContactMessage, view: View, now: datetime) -> Outcome:
    waits = _waiting(session, event.at) if session.unanswered_since is None else session
    return _wake(waits, view, now, event.at)


def _take_snoozed(session: Session, event: Take | Reply, view: View, now: datetime) -> Outcome:
    if event.operator_id != session.operator_id:
        return _refuse(session, event, "taken")
    who = view.operator
    if who is None or not who.active:
        return _refuse(session, event, "not_yours")
    if not session.counted and not _has_room(who, session, view.line):
        return _refuse(session, event, "full")
    awake, decisions = _activate(session, event.operator_id, view, now, reserved=session.counted)
    return awake, (CancelTimer(SNOOZE), *decisions)


def _start(session: Session | None, event: Start, view: View, now: datetime) -> Outcome:
    """Open a session by writing first; one whose reopen window has not passed goes on instead."""
    who, conversation, line = view.operator, view.conversation, view.line
    if who is None or not who.active or not (who.seated or who.supervises):
        return _refuse(session, event, "not_yours")
    if conversation.banned:
        return _refuse(session, event, "banned")
    weight = line.weights.of(conversation.load)
    first: tuple[Decision, ...] = ()
    if session is not None and not _is_over(session, view, event.at):
        begun = replace(_reopened(session), weight=weight)
        first = (CancelTimer(REOPEN),)
    else:
        first = _frozen(session) if session is not None else ()
        begun = Session(
            id=conversation.new_session_id,
            conversation_id=conversation.conversation_id,
            line_id=conversation.line_id,
            channel_id=conversation.channel_id,
            contact_id=conversation.contact_id,
            opened_at=_opening(session, now),
            status=Status.ACTIVE,
            weight=weight,
            load=conversation.load,
            priority=line.priority + conversation.contact_priority,
            needs=_needs(line, conversation.language),
        )
    if not _has_room(who, begun, line):
        return _refuse(session, event, "full")
    active, decisions = _activate(replace(begun, answered_at=now, rating_asked=False), event.operator_id, view, now)
    return active, (*first, *decisions, Deliver(event.message_id, event.operator_id))


# --- what time brings: silence, a broken promise


def _silence(session: Session, event: SilenceDue, view: View, now: datetime) -> Outcome:
    due, line = session.quiet_until, view.line
    if due is None:
        return session, (Ignore("somebody has written"),)
    if event.at < due:
        return _STALE(session, event, view, now)
    quiet = replace(session, quiet_until=None)
    if not line.auto_close_seconds:
        return quiet, (Ignore("switched off"),)
    warns = _warn_seconds(line)
    if warns and not session.quiet_warned:
        closes = now + timedelta(seconds=warns)
        return replace(quiet, quiet_warned=True, quiet_until=closes), (Say("auto_close"), SetTimer(SILENCE, closes))
    return _end(quiet, view, now, SILENT)


def _await_silence(session: Session, line: LineSettings, now: datetime) -> Step:
    """Set what closes a session in which nobody writes any more."""
    seconds = line.auto_close_seconds
    if not seconds or session.load is LoadKind.CALL:
        return _forget(session, SILENCE)
    due = now + timedelta(seconds=seconds - _warn_seconds(line))
    return replace(session, quiet_until=due, quiet_warned=False), (SetTimer(SILENCE, due),)


def _warn_seconds(line: LineSettings) -> int:
    """Return how long before it is closed the customer is told: no more than half of the silence."""
    return min(line.auto_close_warn_seconds, line.auto_close_seconds // 2)


def _kpi(session: Session, event: KpiDue, view: View, now: datetime) -> Outcome:
    due, line = session.kpi_due, view.line
    if due is None:
        return session, (Ignore("answered already"),)
    if event.at < due:
        return _STALE(session, event, view, now)
    told, first = replace(session, kpi_due=None), session.answered_at is None
    if not (line.kpi_first_seconds if first else line.kpi_next_seconds):
        return told, (Ignore("switched off"),)
    return replace(told, kpi_missed=session.kpi_missed + 1), (Alert("kpi_first" if first else "kpi_next"),)


# --- what the customer says of it


def _rated(session: Session, event: Rated, view: View, now: datetime) -> Outcome:
    """Take a pressed button, also in a session that has been reopened since it was asked."""
    if event.session_id not in (None, session.id):
        return session, (Ignore("of an earlier session"),)
    if session.rating_until is None:
        return session, (Ignore("not asked"),)
    if event.at > session.rating_until:
        says = (Say("rating_late"),) if session.rating is None else ()
        return replace(session, rating_until=None), (Ignore("too late"), *says)
    return _rate(session, event.rating)


def _rate(session: Session, rating: Rating) -> Outcome:
    """Keep the rating; the last word counts, and thanks are said once."""
    if session.rating is rating and session.rating_thanked:
        return session, (Ignore("said already"),)
    says = () if session.rating_thanked else (Say("rating_thanks"),)
    return replace(session, rating=rating, rating_thanked=True), says


# --- calls


GREETING = "greeting"
"""Why a call is kept back that has just come: its caller hears the greeting or the menu."""
GREETING_SECONDS_MAX = 300
PROMISED = "promised"
"""Why a call that we make is kept back (`Session.held_why`): its customer is to be called later."""
NOT_REACHED = "not_reached"
"""The outcome of a call that we made, and that was not answered."""
AWAY = "away"
"""Where a caller is whom a phone has passed on to a number outside: they talk there already (`Session.elsewhere`)."""
UNANSWERED, OUTSIDE = "unanswered", "outside"
"""Why a call goes elsewhere (`Session.diverts`)."""


def _as_call(before: Session | None, session: Session, decisions: tuple[Decision, ...], view: View, now: datetime) -> Step:
    """Return what a decision about a call comes to: it is spoken with and not written to, and waits only where it may be answered."""
    more: tuple[Decision, ...] = ()
    if before is not None and before.held and session.held and not _talk_goes_on(before, session):
        session, more = _without_consult(before, session)
    if before is not None and (session.listeners or session.listens) and session.status is not Status.ACTIVE:
        session = replace(session, listens=None, listeners=())
    if session.status is Status.QUEUED and session.mine_only and _to_be_reached(session):
        session, ended = _end(session, view, now, NOT_REACHED)  # nobody else's
        more = (*more, *ended)
    if _is_early(session, now):
        moved = before is not None and before.line_id != session.line_id
        session, ended = _promise_again(session, view.target_line if moved else view.line)
        more = (*more, *ended)
    if session.status is Status.QUEUED and session.diverts == UNANSWERED:
        session, ended = _unanswered(session, view, now)
        more = (*more, *ended)
    if session.status is Status.QUEUED and session.diverts == OUTSIDE:
        moved = before is not None and before.line_id != session.line_id
        line = view.target_line if moved else view.line
        session, ended = _divert(session, view, now, line.outside_calls.value, OUTSIDE)
        more = (*more, *ended)
    return session, tuple(one for one in (*decisions, *more) if not isinstance(one, Say))


def _unanswered(session: Session, view: View, now: datetime) -> Step:
    """Do what the line does with a call that nobody has answered."""
    rule = view.line.calls.no_answer_does
    if rule is UnansweredCalls.WAIT:
        return replace(session, diverts=""), ()  # the line has changed its mind
    if rule is UnansweredCalls.LINE:
        target = view.target
        if target.exists and target.open and target.line_id != session.line_id and not session.sent_on:
            return _move(replace(session, sent_on=True), view, now, "call sent on", OPEN)
        rule = UnansweredCalls.VOICEMAIL
    return _divert(session, view, now, rule.value)


def _divert(session: Session, view: View, now: datetime, to: str, why: str = UNANSWERED) -> Step:
    """Send the call elsewhere: as a session it is over, and missed; what its caller says to a machine is added to it."""
    ended, decisions = _end(session, view, now, to)
    return replace(ended, elsewhere=to, sent_because=why), (Divert(to), *decisions)


def _ready(session: Session, event: CallReady, view: View, now: datetime) -> Outcome:
    """Let the caller wait, who has heard what there is to hear: how long is counted from now on."""
    if session.held_why != GREETING:
        return session, (Ignore("waits already"),)
    return _wait_from(session, view.line, now)


def _wait_from(session: Session, line: LineSettings, now: datetime) -> Step:
    later: dict[str, Any] = {}
    if session.responsible_id is not None:
        later["responsible_until"] = now + timedelta(seconds=line.responsible_seconds)
    if session.needs:
        later["needs_until"] = now + timedelta(seconds=line.skill_seconds)
    waits, timers = _await_answer(replace(session, held_until=None, held_why="", **later), line, now)
    return waits, (CancelTimer(ROUND), MarkPool("session queued"), *timers)


def _key_pressed(session: Session, event: KeyPressed, view: View, now: datetime) -> Outcome:
    """Do what the key does in the line's menu; one that does nothing, or what cannot be, lets the caller wait."""
    if session.held_why != GREETING:
        return session, (Ignore("waits already"),)
    line = view.line
    does, free = line.calls.menu.keys.get(event.key), replace(session, held_until=None, held_why="")
    if event.operator_id is not None or (does is not None and does.does is KeyDoes.OPERATOR):
        who = view.colleague
        waits, decisions = _wait_from(session, line, now)
        if who is None or not who.active:
            return waits, decisions
        until = now + timedelta(seconds=line.responsible_seconds)
        return replace(waits, responsible_id=who.operator_id, responsible_until=until), decisions
    if does is None:
        return _wait_from(session, line, now)
    match does.does:
        case KeyDoes.LINE if view.target.exists and view.target.line_id != session.line_id:
            moved, decisions = _move(free, view, now, "chosen by key")
            return moved, (CancelTimer(ROUND), *decisions)
        case KeyDoes.CALLBACK | KeyDoes.VOICEMAIL | KeyDoes.FORWARD:
            return _divert(free, view, now, does.does.value, "key")
        case _:
            return _wait_from(session, line, now)


def _to_be_reached(session: Session) -> bool:
    """Return whether it is a call that we make, and its customer has not answered."""
    return session.outgoing and not session.reached


def _on_line(session: Session) -> bool:
    """Return whether it is a call whose customer is on the line."""
    return session.load is LoadKind.CALL and not _to_be_reached(session)


def _call_out(session: Session | None, event: ContactMessage, due: datetime, view: View, now: datetime) -> Outcome:
    """Open a call that we make: it waits in the queue until it is due, for whoever then has a phone that is free."""
    conversation, line, hours = view.conversation, view.line, view.hours
    opened = Session(
        id=conversation.new_session_id,
        conversation_id=conversation.conversation_id,
        line_id=conversation.line_id,
        channel_id=conversation.channel_id,
        contact_id=conversation.contact_id,
        opened_at=_opening(session, now),
        status=Status.QUEUED,
        weight=line.weights.of(LoadKind.CALL),
        load=LoadKind.CALL,
        priority=line.priority + conversation.contact_priority,
        outgoing=True,
        promised_at=due,
        mine_only=event.now,
        unanswered_since=event.at,
    )
    if event.now:
        return _call_now(opened, view, now)
    first = event.operator_id or (conversation.responsible_id if line.responsible_first else None)
    queued = _queue(opened, now, line, hours, None, _needs(line, conversation.language))
    waits, timers = _promise(queued, max(due, now), first, line)
    return waits, (MarkPool("session queued"), *timers)


def _promise(session: Session, due: datetime, first: OperatorId | None, line: LineSettings) -> Step:
    """Let a call that we make wait until *due*; *first*: for whom it then waits before it is everybody's."""
    # They begin to wait then: whoever waits now is before them until then.
    waits = replace(session, responsible_id=first, promised_at=due, queued_at=due, held_until=due, held_why=PROMISED)
    begins = max(due, session.opens_at or due)
    if first is not None:
        waits = replace(waits, responsible_until=begins + timedelta(seconds=line.responsible_seconds))
    if session.needs:
        waits = replace(waits, needs_until=begins + timedelta(seconds=line.skill_seconds))
    return waits, (SetTimer(ROUND, due),)


def _is_early(session: Session, now: datetime) -> bool:
    """Return whether a promised call has come back to the queue before its time: somebody wanted to make it early, or it was passed on."""
    waits = session.status is Status.QUEUED and _to_be_reached(session) and session.held_why != PROMISED
    return waits and session.promised_at is not None and session.promised_at > now


def _promise_again(session: Session, line: LineSettings) -> Step:
    assert session.promised_at is not None
    return _promise(replace(session, **_NOT_OFFERED), session.promised_at, session.responsible_id, line)


def _call_now(session: Session, view: View, now: datetime) -> Outcome:
    """Ring the phone of whoever wants to call, at once; when that cannot be, the call is over."""
    who = view.operator
    can = who is not None and who.active and who.phone and not who.calls and _has_room(who, session, view.line)
    if who is None or not can:
        return _shut(session, view, now, NOT_REACHED), _await_reopening(view, now)
    return _ring_at(session, who.operator_id, view, now)


def _ring_at(session: Session, operator: OperatorId, view: View, now: datetime) -> Step:
    until = now + timedelta(seconds=view.line.calls.ring_seconds)
    rings = replace(
        session,
        status=Status.OFFERED,
        queued_at=session.queued_at or now,
        offered_to=(operator,),
        offered_until=until,
        offer_no=session.offer_no + 1,
        # Who is not to be asked again before a round is over has been asked in one.
        round_began=session.round_began or now,
        held_until=None,
        held_why="",
    )
    return rings, (Reserve(operator), MakeOffers((operator,), until), SetTimer(OFFER, until), CancelTimer(ROUND))


def _reached(session: Session, event: CustomerReached, view: View, now: datetime) -> Outcome:
    return replace(session, reached=True), ()


def _not_reached(session: Session, event: CustomerNotReached, view: View, now: datetime) -> Outcome:
    """Try again later, as often as the line says; whoever called then is asked first."""
    if _on_line(session):
        return session, (Ignore("on the line already"),)
    return _call_later(session, view, now)


def _call_later(session: Session, view: View, now: datetime) -> Outcome:
    calls = view.line.calls
    tried = replace(session, tries=session.tries + 1)
    if session.mine_only or tried.tries >= calls.callback_tries:
        return _end(tried, view, now, NOT_REACHED)
    queued, decisions = _queue_again(_waiting(tried, now), view, now, MarkPool("not reached", seats=True))
    due, timers = _promise(queued, now + timedelta(seconds=calls.callback_retry_seconds), session.operator_id, view.line)
    return due, (*decisions, *timers)


def _has_rule(line: LineSettings) -> bool:
    return line.calls.no_answer_does is not UnansweredCalls.WAIT


def _unanswered_soon(session: Session, line: LineSettings) -> Session:
    """Return a call with which the line's rule is done as soon as no phone rings: who lifts one until then has it."""
    return replace(session, diverts=UNANSWERED) if _has_rule(line) else session


def _await_lifting(session: Session, line: LineSettings, begins: datetime) -> Step:
    """Set how long a caller waits before the line's rule for calls is done."""
    seconds = line.calls.no_answer_seconds if _on_line(session) else 0
    if not seconds or session.unanswered_since is None or session.answer_due is not None or not _has_rule(line):
        return session, ()
    due = begins + timedelta(seconds=seconds)
    return replace(session, answer_due=due), (SetTimer(NO_ANSWER, due),)


def _call_waited(session: Session, event: NoAnswerDue, view: View, now: datetime) -> Outcome:
    if session.answer_due is None:
        return session, (Ignore("answered already"),)
    if event.at < session.answer_due:
        return _STALE(session, event, view, now)  # it fell due in an earlier wait, and is decided in this one
    return _unanswered_soon(replace(session, answer_due=None), view.line), ()


def _call_waited_ringing(session: Session, event: NoAnswerDue, view: View, now: datetime) -> Outcome:
    """Let the phones ring on: whoever lifts one in time has it."""
    return _call_waited(session, event, view, now)


def _transfer_call(session: Session, event: Transfer, view: View, now: datetime) -> Outcome:
    """Pass on a call that nobody talks yet; not one that somebody makes alone, nor to a number outside whom nobody has reached."""
    if _to_be_reached(session) and (session.mine_only or event.to_number):
        return _refuse(session, event, "nobody_talks")
    return _transfer(session, event, view, now)


def _transfer_talk(session: Session, event: Transfer, view: View, now: datetime) -> Outcome:
    """Pass on a call in the midst of the talk: its caller waits for whoever is next from now on."""
    if not _on_line(session):
        return _refuse(session, event, "nobody_talks")
    if event.by_phone and session.operator_id is not None:
        # Whoever's it has become meanwhile: the caller has been taken from them.
        event = replace(event, operator_id=session.operator_id)
    passed, decisions = _pass_talk(session, event, view, now)
    refused = any(isinstance(one, Refuse) for one in decisions)
    if not refused:
        return passed, decisions
    if not event.by_phone:
        return session, decisions
    return _talks_no_more(session, event.at, view, now, "not passed on")


def _pass_talk(session: Session, event: Transfer, view: View, now: datetime) -> Outcome:
    if event.to_operator is None or event.to_operator != session.consulted:
        return _transfer(_waiting(session, event.at), event, view, now)
    if event.operator_id != session.operator_id:
        return _refuse(session, event, "not_yours")
    if not session.consult_lifted:
        return _refuse(session, event, "not_lifted")
    given, decisions = _hand_over(session, view, now)
    return given, (*decisions, *_noted(event))


def _talk_goes_on(before: Session, session: Session) -> bool:
    return session.status is Status.ACTIVE and session.operator_id == before.operator_id


def _without_consult(before: Session, session: Session) -> Step:
    """Return the session with its caller no longer on hold and no colleague asked, whose budget is given back.

    A colleague who was with the session before they were asked stays with it.
    """
    free = replace(session, held=False, held_at=None, consulted=None, consult_lifted=False, consult_invited=False)
    if before.consulted is None:
        return free, ()
    if before.consult_invited:
        without = (_without(people, before.consulted) for people in (free.members, free.invited))
        free = replace(free, members=next(without), invited=next(without))
    return free, (Release(before.consulted, before.weight), MarkPool("colleague asked no more", seats=True))


def _talks_no_more(session: Session, at: datetime, view: View, now: datetime, why: str) -> Step:
    """Let the caller, with whom nobody speaks any more, wait again: for whoever spoke with them first."""
    waits = _waiting(session, at)
    return _queue_again(waits, view, now, MarkPool(why, seats=True), responsible=session.operator_id, recall=True)


def _hold_call(session: Session, event: Hold, view: View, now: datetime) -> Outcome:
    if not _on_line(session):
        return _refuse(session, event, "nobody_talks")
    if event.operator_id != session.operator_id:
        return _refuse(session, event, "not_yours")
    if session.held:
        return session, (Ignore("on hold already"),)
    return replace(session, held=True, held_at=now), ()


def _resume(session: Session, event: Resume, view: View, now: datetime) -> Outcome:
    if event.operator_id != session.operator_id:
        return _refuse(session, event, "not_yours")
    if not session.held:
        return session, (Ignore("not on hold"),)
    return _without_consult(session, session)


def _consult(session: Session, event: Consult, view: View, now: datetime) -> Outcome:
    """Ring a colleague's phone from the operator's, while the caller hears music."""
    if not _on_line(session):
        return _refuse(session, event, "nobody_talks")
    if event.operator_id != session.operator_id:
        return _refuse(session, event, "not_yours")
    if session.consulted is not None:
        if session.consulted == event.colleague:
            return session, (Ignore("asked already"),)
        return _refuse(session, event, "one_at_a_time")
    colleague = view.colleague
    if colleague is None or not colleague.active or event.colleague == session.operator_id:
        return _refuse(session, event, "no_colleague")
    if not colleague.phone:
        return _refuse(session, event, "colleague_no_phone")
    if colleague.presence != "online" or not colleague.on_shift:
        return _refuse(session, event, "colleague_away")
    if colleague.calls or colleague.reserved + session.weight > colleague.budget:
        return _refuse(session, event, "colleague_full")
    to = colleague.operator_id
    invites = to not in (*session.members, *session.invited)
    asks = replace(
        session,
        held=True,
        held_at=session.held_at or now,
        consulted=to,
        consult_no=session.consult_no + 1,
        consult_lifted=False,
        consult_invited=invites,
        invited=(*session.invited, to) if invites else session.invited,
    )
    return asks, (Reserve(to),)


def _consult_answered(session: Session, event: ConsultAnswered, view: View, now: datetime) -> Outcome:
    me = event.operator_id
    if me != session.consulted:
        return session, (Ignore("not asked"),)
    return replace(session, consult_lifted=True), ()


def _consult_ended(session: Session, event: ConsultEnded, view: View, now: datetime) -> Outcome:
    """Let the operator speak with their caller again when the colleague is there no more, or has not come."""
    if event.operator_id != session.consulted:
        return session, (Ignore("not asked"),)
    return _without_consult(session, session)


def _hand_over(session: Session, view: View, now: datetime) -> Step:
    """Give the call to the colleague whom the operator has asked: they have lifted the phone already."""
    to, before = session.consulted, session.operator_id
    assert to is not None
    assert before is not None
    free = replace(session, held=False, held_at=None, consulted=None, consult_lifted=False, consult_invited=False)
    given, decisions = _activate(free, to, view, now, reserved=True)
    mark = MarkPool("session handed over", seats=True)
    return given, (Release(before), *decisions, MakeResponsible(to), mark)


def _talk_ended(session: Session, event: TalkEnded, view: View, now: datetime) -> Outcome:
    """Close the call that its operator has hung up; one that is on hold is not theirs to end so."""
    if event.operator_id != session.operator_id:
        return session, (Ignore("another one talks"),)
    if _to_be_reached(session):
        return _call_later(session, view, now)
    if not session.held and not event.missing:
        return _end(session, view, now, "")
    if session.held and session.consult_lifted:
        return _hand_over(session, view, now)
    return _talks_no_more(session, event.at, view, now, "put down while on hold")


def _talk_moved(session: Session, event: TalkMoved, view: View, now: datetime) -> Outcome:
    """Follow the phones: the operator has passed the talk on without a word to us."""
    to, before = event.operator_id, session.operator_id
    if to == before:
        return session, (Ignore("already theirs"),)
    if to is None and _to_be_reached(session):
        return session, (Ignore("nobody is on the line"),)
    free, decisions = _without_consult(session, session)
    if to is None:
        sent, more = _divert(free, view, now, UnansweredCalls.FORWARD.value)
        return replace(sent, forward_to=event.number, elsewhere=AWAY), (*decisions, *more)
    assert before is not None
    given, more = _activate(free, to, view, now, reserved=True)
    return given, (
        *decisions,
        Release(before),
        Reserve(to, forced=True),
        *more,
        MakeResponsible(to),
        MarkPool("session handed over", seats=True),
    )


def _listen(session: Session, event: Listen, view: View, now: datetime) -> Outcome:
    """Let a supervisor's phone ring, by which they hear the talk; one rings at a time."""
    if not _on_line(session):
        return _refuse(session, event, "nobody_talks")
    who = view.operator
    if who is None or not who.active or not who.supervises:
        return _refuse(session, event, "not_allowed")
    if event.operator_id in (session.operator_id, session.consulted):
        return _refuse(session, event, "yours_already")
    if not who.phone:
        return _refuse(session, event, "no_phone")
    if event.operator_id == session.listens or event.operator_id in session.listeners:
        return session, (Ignore("listens already"),)
    if who.calls:
        return _refuse(session, event, "on_phone")
    if session.listens is not None or len(session.listeners) >= MEMBERS_MAX:
        return _refuse(session, event, "too_many")
    return replace(session, listens=event.operator_id, listens_how=event.how, listen_no=session.listen_no + 1), ()


def _listen_began(session: Session, event: ListenBegan, view: View, now: datetime) -> Outcome:
    me = event.operator_id
    listens = None if session.listens == me else session.listens
    return replace(session, listens=listens, listeners=(*_without(session.listeners, me), me)), ()


def _listen_ended(session: Session, event: ListenEnded, view: View, now: datetime) -> Outcome:
    me = event.operator_id
    listens = None if session.listens == me else session.listens
    return replace(session, listens=listens, listeners=_without(session.listeners, me)), ()


def _hold_failed(session: Session, event: HoldFailed, view: View, now: datetime) -> Outcome:
    if not session.held:
        return session, (Ignore("not on hold"),)
    return _without_consult(session, session)


def _forward_ended(session: Session, event: ForwardEnded, view: View, now: datetime) -> Outcome:
    """Bring back a call whose number outside did not answer: to whoever sent it there, or to the machine."""
    if session.elsewhere != UnansweredCalls.FORWARD:
        return session, (Ignore("not sent there"),)
    if not session.forward_to:
        to = UnansweredCalls.VOICEMAIL.value
        # What somebody has made of it meanwhile (spam) stands.
        outcome = to if session.outcome == session.elsewhere else session.outcome
        return replace(session, elsewhere=to, outcome=outcome), (Divert(to),)
    again = replace(_reopened(_waiting(session, event.at)), frozen=False)
    before = session.operator_id
    queued = _queue(again, now, view.line, view.hours, None, again.needs)
    if before is not None:
        queued = replace(queued, responsible_id=before, responsible_until=now + timedelta(seconds=view.line.responsible_seconds))
    waits, timers = _await_answer(queued, view.line, now)
    return waits, (MarkPool("call came back"), CancelTimer(REOPEN), *timers)


def _ring_me(session: Session, event: Take, view: View, now: datetime) -> Outcome:
    """Let a call that waits ring at the phone of whoever wants it."""
    who, line = view.operator, view.line
    if who is None or not who.active or not (who.seated or who.supervises):
        return _refuse(session, event, "not_yours")
    if not who.phone:
        return _refuse(session, event, "no_phone")
    if who.calls or not _has_room(who, session, line):
        return _refuse(session, event, "full")
    return _ring_at(session, who.operator_id, view, now)


def _ring_answered(session: Session, event: RingAnswered, view: View, now: datetime) -> Outcome:
    """Give the call to who has lifted the phone: they talk already, so it is theirs even if the offer is over or another's."""
    me = event.operator_id
    if session.status is Status.ACTIVE:
        return session, (Ignore("already theirs" if session.operator_id == me else "another one talks"),)
    ends, left = _withdrawn(session, me)
    talks = replace(session, unanswered_since=None, answered_at=session.answered_at or now, diverts="")
    if session.status is Status.CLOSED:
        if not session.elsewhere or me == session.operator_id:  # who has passed it on lifted their phone long ago
            return session, (Ignore("the call is over"),)
        # It was sent elsewhere in the moment in which they lifted it.
        talks = replace(_reopened(talks), frozen=False)
        ends = (CancelTimer(REOPEN),)
    talks, forgotten = _forget(talks, NO_ANSWER, KPI)
    active, decisions = _activate(talks, me, view, now, reserved=me in left)
    forced = tuple(Reserve(me, forced=True) if isinstance(one, Reserve) else one for one in decisions)
    return active, (*ends, *forgotten, *forced)


def _withdrawn(session: Session, me: OperatorId) -> tuple[tuple[Decision, ...], tuple[OperatorId, ...]]:
    """Return what ends the offers of a call that *me* has answered, and to whom it was offered."""
    if session.status is not Status.OFFERED:
        return (CancelTimer(ROUND),), ()
    others = _without(session.offered_to, me)
    ends: list[Decision] = [CancelTimer(OFFER), CancelTimer(ROUND)]
    if me in session.offered_to:
        ends.insert(0, EndOffers((me,), "taken"))
    if session.passed:
        ends.append(MakeResponsible(me))
    if others:
        ends += [EndOffers(others, "withdrawn"), *(Release(one) for one in others), MarkPool("offers withdrawn", seats=True)]
    return tuple(ends), session.offered_to


def _ring_ended(session: Session, event: RingEnded, view: View, now: datetime) -> Outcome:
    still = tuple(one for one in event.operators if one in session.offered_to)
    if event.offer_no != session.offer_no or not still:
        return session, (Ignore("of an earlier offer"),)
    return _end_offers(session, still, event.how, view, now)


def _call_ended(session: Session, event: CallEnded, view: View, now: datetime) -> Outcome:
    if _to_be_reached(session):
        return session, (Ignore("nobody is on the line"),)
    return _end(session, view, now, MISSED)


def _talk_is_over(session: Session, event: CallEnded, view: View, now: datetime) -> Outcome:
    if _to_be_reached(session):
        return _call_later(session, view, now)
    return _end(session, view, now, LOST if event.lost else "")


def _settle(session: Session, event: Settle, view: View, now: datetime) -> Outcome:
    if session.outcome not in _UNANSWERED:
        return _refuse(session, event, "not_missed")
    return replace(session, outcome=SETTLED), ()


def _call_rated(session: Session, event: CallRated, view: View, now: datetime) -> Outcome:
    return replace(session, stars=event.stars), ()


def _voicemail_left(session: Session, event: VoicemailLeft, view: View, now: datetime) -> Outcome:
    return replace(session, voicemail_seconds=event.seconds), ()


# --- refusals


def _refuse(session: Session | None, event: OperatorEvent, code: str) -> Outcome:
    return session, (Refuse(event.operator_id, event.command, code),)


def _refused(code: str) -> Handler:
    def handle(session: Session | None, event: OperatorEvent, view: View, now: datetime) -> Outcome:
        return _refuse(session, event, code)

    handle.__name__ = f"refused_{code}"
    return handle


def _ignored(reason: str) -> Handler:
    def handle(session: Session | None, event: SessionEvent, view: View, now: datetime) -> Outcome:
        return session, (Ignore(reason),)

    handle.__name__ = "ignored_" + reason.replace(" ", "_")
    return handle


_STALE = _ignored("its time is past")

_NO_SESSION = _refused("no_session")
_SHUT = _refused("closed")
_LATE = _ignored("closed already")
_ORDER = (Status.NEW, Status.QUEUED, Status.OFFERED, Status.ACTIVE, Status.SNOOZED, Status.CLOSED)
_OF_CALLS: tuple[type[SessionEvent], ...] = (
    RingAnswered,
    RingEnded,
    CallEnded,
    CallRated,
    VoicemailLeft,
    TalkEnded,
    TalkMoved,
    ConsultAnswered,
    ConsultEnded,
    ListenBegan,
    ListenEnded,
    HoldFailed,
    ForwardEnded,
    CustomerReached,
    CustomerNotReached,
    CallReady,
    KeyPressed,
)
_ROWS: dict[type[SessionEvent], tuple[Handler, Handler, Handler, Handler, Handler, Handler]] = {
    # the customer
    ContactMessage: (
        _open,
        _customer_wrote,
        _customer_wrote,
        _customer_wrote_to_operator,
        _wrote_to_snoozed,
        _customer_wrote_after_closing,
    ),
    Rated: (_ignored("not asked"), *(_rated,) * 5),
    # an operator
    Take: (_NO_SESSION, _take_from_list, _take_offer, _take_own, _take_snoozed, _SHUT),
    Decline: (_NO_SESSION, _refused("not_offered"), _decline, *(_refused("not_offered"),) * 2, _SHUT),
    Reply: (
        _NO_SESSION,
        _take_and_reply(_take_from_list),
        _take_and_reply(_take_offer),
        _reply,
        _take_and_reply(_take_snoozed),
        _SHUT,
    ),
    Note: (_NO_SESSION, *(_note,) * 5),
    Close: (_NO_SESSION, *(_close,) * 4, _SHUT),
    Transfer: (_NO_SESSION, *(_transfer,) * 4, _SHUT),
    TakeOver: (_NO_SESSION, *(_take_over,) * 4, _SHUT),
    Invite: (_NO_SESSION, *(_refused("take_first"),) * 2, *(_invite,) * 2, _SHUT),
    Join: (_NO_SESSION, *(_refused("take_first"),) * 2, *(_join,) * 2, _SHUT),
    LeaveSession: (_NO_SESSION, *(_leave,) * 4, _ignored("not with us")),
    Spam: (_NO_SESSION, *(_spam,) * 5),
    Snooze: (_NO_SESSION, *(_refused("take_first"),) * 2, *(_snooze,) * 2, _SHUT),
    Start: (_start, *(_refused("open_already"),) * 4, _start),
    OperatorGone: (
        _STALE,
        _gone_from_queue,
        _gone_from_offer,
        _gone_from_session,
        _gone_from_snoozed,
        _LATE,
    ),
    # time
    OfferExpired: (*(_STALE,) * 2, _offer_expired, *(_STALE,) * 3),
    RoundDue: (_STALE, _round_due, *(_STALE,) * 4),
    NoAnswerDue: (_STALE, *(_no_answer,) * 3, *(_STALE,) * 2),
    SnoozeEnded: (*(_STALE,) * 4, _snooze_ended, _STALE),
    SilenceDue: (*(_STALE,) * 3, _silence, *(_STALE,) * 2),
    KpiDue: (_STALE, *(_kpi,) * 3, *(_STALE,) * 2),
    ReopenEnded: (*(_STALE,) * 5, _freeze),
    # the telephone
    **dict.fromkeys((Hold, Resume, Consult, Listen), (_NO_SESSION, *(_refused("not_a_call"),) * 5)),
    Settle: (_NO_SESSION, *(_refused("not_missed"),) * 5),
    **dict.fromkeys(_OF_CALLS, (_ignored("not a call"),) * 6),
    # the distributor
    Offered: (_STALE, _offer, _ignored("offered already"), *(_ignored("taken already"),) * 2, _LATE),
    Held: (_STALE, _hold, _ignored("offered already"), *(_ignored("taken already"),) * 2, _LATE),
}
TABLE: dict[tuple[Status, type[SessionEvent]], Handler] = {
    (status, event): handler for event, handlers in _ROWS.items() for status, handler in zip(_ORDER, handlers, strict=True)
}
"""The engine: what each event does to a session of each status."""

_BY_PHONE = _refused("by_phone")
_IN_TALK: dict[Status, Handler] = {
    **dict.fromkeys((Status.QUEUED, Status.OFFERED), _refused("nobody_talks")),
    Status.CLOSED: _SHUT,
}
_WITHOUT_TALK: dict[Status, Handler] = dict.fromkeys((Status.QUEUED, Status.OFFERED, Status.CLOSED), _STALE)
_CALL_ROWS: dict[type[SessionEvent], dict[Status, Handler]] = {
    ContactMessage: dict.fromkeys(_ORDER[1:], _ignored("they called already")),
    Take: {Status.QUEUED: _ring_me, Status.OFFERED: _BY_PHONE},
    Reply: dict.fromkeys(_ORDER[1:5], _BY_PHONE),
    TakeOver: dict.fromkeys(_ORDER[1:5], _BY_PHONE),
    Transfer: {Status.QUEUED: _transfer_call, Status.OFFERED: _transfer_call, Status.ACTIVE: _transfer_talk},
    Snooze: {Status.ACTIVE: _BY_PHONE},
    Start: {Status.NEW: _BY_PHONE, Status.CLOSED: _BY_PHONE},
    OperatorGone: {Status.ACTIVE: _ignored("they talk")},
    NoAnswerDue: {Status.QUEUED: _call_waited, Status.OFFERED: _call_waited_ringing, Status.ACTIVE: _STALE},
    RingAnswered: dict.fromkeys((Status.QUEUED, Status.OFFERED, Status.ACTIVE, Status.CLOSED), _ring_answered),
    RingEnded: {Status.OFFERED: _ring_ended} | dict.fromkeys((Status.QUEUED, Status.ACTIVE, Status.CLOSED), _STALE),
    CallEnded: dict.fromkeys((Status.QUEUED, Status.OFFERED), _call_ended) | {Status.ACTIVE: _talk_is_over, Status.CLOSED: _LATE},
    Hold: _IN_TALK | {Status.ACTIVE: _hold_call},
    Resume: _IN_TALK | {Status.ACTIVE: _resume},
    Consult: _IN_TALK | {Status.ACTIVE: _consult},
    Listen: _IN_TALK | {Status.ACTIVE: _listen},
    Settle: {Status.CLOSED: _settle},
    ListenBegan: _WITHOUT_TALK | {Status.ACTIVE: _listen_began},
    ListenEnded: _WITHOUT_TALK | {Status.ACTIVE: _listen_ended},
    TalkEnded: _WITHOUT_TALK | {Status.ACTIVE: _talk_ended},
    TalkMoved: _WITHOUT_TALK | {Status.ACTIVE: _talk_moved},
    ConsultAnswered: _WITHOUT_TALK | {Status.ACTIVE: _consult_answered},
    ConsultEnded: _WITHOUT_TALK | {Status.ACTIVE: _consult_ended},
    HoldFailed: _WITHOUT_TALK | {Status.ACTIVE: _hold_failed},
    CallReady: _WITHOUT_TALK | {Status.QUEUED: _ready, Status.ACTIVE: _STALE},
    KeyPressed: _WITHOUT_TALK | {Status.QUEUED: _key_pressed, Status.ACTIVE: _STALE},
    CustomerReached: _WITHOUT_TALK | {Status.ACTIVE: _reached},
    CustomerNotReached: _WITHOUT_TALK | {Status.ACTIVE: _not_reached},
    ForwardEnded: _WITHOUT_TALK | {Status.ACTIVE: _STALE, Status.CLOSED: _forward_ended},
    CallRated: dict.fromkeys((Status.ACTIVE, Status.CLOSED), _call_rated),
    VoicemailLeft: {Status.CLOSED: _voicemail_left},
}
CALL_TABLE: dict[tuple[Status, type[SessionEvent]], Handler] = {
    (status, event): handler for event, handlers in _CALL_ROWS.items() for status, handler in handlers.items()
}
"""Where a call is another thing than a chat: it is answered by lifting a phone, and nothing is written to its caller."""

LEADS: dict[Handler, tuple[Status, ...]] = {
    _open: (Status.QUEUED, Status.OFFERED, Status.CLOSED),
    _customer_wrote_after_closing: (Status.QUEUED, Status.ACTIVE),
    _customer_wrote_to_operator: (Status.QUEUED,),
    _wrote_to_snoozed: (Status.ACTIVE, Status.QUEUED),
    _snooze_ended: (Status.ACTIVE, Status.QUEUED),
    _take_from_list: (Status.ACTIVE,),
    _take_offer: (Status.ACTIVE,),
    _take_snoozed: (Status.ACTIVE,),
    TABLE[Status.QUEUED, Reply]: (Status.ACTIVE,),
    TABLE[Status.OFFERED, Reply]: (Status.ACTIVE,),
    TABLE[Status.SNOOZED, Reply]: (Status.ACTIVE,),
    _decline: (Status.QUEUED, Status.ACTIVE, Status.CLOSED),
    _gone_from_offer: (Status.QUEUED, Status.ACTIVE, Status.CLOSED),
    _gone_from_session: (Status.QUEUED,),
    _gone_from_snoozed: (Status.QUEUED,),
    _offer_expired: (Status.QUEUED, Status.ACTIVE, Status.CLOSED),
    _hold: (Status.CLOSED,),
    _ring_me: (Status.OFFERED,),
    _ring_answered: (Status.ACTIVE,),
    _ring_ended: (Status.QUEUED, Status.CLOSED),
    _call_ended: (Status.CLOSED,),
    _talk_is_over: (Status.QUEUED, Status.CLOSED),
    _talk_ended: (Status.CLOSED, Status.QUEUED),
    _talk_moved: (Status.CLOSED,),
    _forward_ended: (Status.QUEUED,),
    _not_reached: (Status.QUEUED, Status.CLOSED),
    _key_pressed: (Status.CLOSED,),
    _transfer_talk: (Status.QUEUED, Status.OFFERED, Status.CLOSED),
    _offer: (Status.OFFERED,),
    _close: (Status.CLOSED,),
    _spam: (Status.CLOSED,),
    _silence: (Status.CLOSED,),
    _no_answer: (Status.QUEUED,),
    _transfer: (Status.QUEUED, Status.OFFERED, Status.ACTIVE),
    _transfer_call: (Status.QUEUED, Status.OFFERED, Status.CLOSED),
    _call_waited: (Status.CLOSED,),
    _take_over: (Status.ACTIVE,),
    _snooze: (Status.SNOOZED,),
    _start: (Status.ACTIVE,),
}
"""Where a handler may lead, beside staying; handlers that never move a session are not here. The documents are drawn from it."""
