"""The decision: one session, one event, what may be seen, and now; out come the session as it is next and what must be done.

    decide(session, event, view, now) -> (session, decisions)

The whole engine is `TABLE`: a handler for every pair of status and event type. A pair that is not there is not an answer but a
fault (IllegalTransition). Handlers are pure; `event.at` is when an input was accepted, `now` when it is decided, and a deadline is
kept against `event.at`: a take accepted in time wins even if it is decided late.

`ENGINE` grows whenever a decision changes for the same input; replay compares only rows of its own version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from broker.domain import LineSettings, LoadKind, OperatorId, Outside, Status, Vanished, WelcomeWhen
from broker.errors import IllegalTransition
from broker.events import (
    Close,
    ContactMessage,
    Decline,
    Held,
    NoAnswerDue,
    Note,
    Offered,
    OfferExpired,
    OperatorEvent,
    OperatorGone,
    ReopenEnded,
    Reply,
    RoundDue,
    SessionEvent,
    Take,
)
from routing.session import (
    CancelTimer,
    Decision,
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
from routing.view import ConversationView, View

ENGINE = 2

Outcome = tuple[Session | None, tuple[Decision, ...]]
Handler = Callable[[Any, Any, View, datetime], Outcome]

OFFER, ROUND, NO_ANSWER, REOPEN = "offer", "round", "no_answer", "reopen"
"""The names of a session's timers."""


def decide(session: Session | None, event: SessionEvent, view: View, now: datetime) -> Outcome:
    """Return the session after *event* and what must be done. Raises IllegalTransition for a pair not in the table."""
    status = session.status if session is not None else Status.NEW
    handler = TABLE.get((status, type(event)))
    if handler is None:
        raise IllegalTransition(f"no rule for {type(event).__name__} in a session that is {status}")
    return handler(session, event, view, now)


# --- the customer writes


def _open(session: Session | None, event: ContactMessage, view: View, now: datetime) -> Outcome:
    conversation = view.conversation
    line = view.line
    load = conversation.load
    opened = Session(
        id=conversation.new_session_id,
        conversation_id=conversation.conversation_id,
        line_id=conversation.line_id,
        channel_id=conversation.channel_id,
        contact_id=conversation.contact_id,
        opened_at=now,
        status=Status.QUEUED,
        weight=line.weights.of(load),
        load=load,
        priority=line.priority + conversation.contact_priority,
        unanswered_since=event.at,
    )
    hours = view.hours
    if not hours.open:
        return _open_outside(opened, event, view, now)
    queued = _queue(opened, now, view, conversation.responsible_id, _needs(line, conversation))
    decisions: list[Decision] = [MarkPool("session queued")]
    when = line.welcome
    if when is WelcomeWhen.SESSION or (when is WelcomeWhen.FIRST_TIME and conversation.first_time):
        decisions.append(Say("welcome"))
    return queued, (*decisions, *_await_answer(view, event.at))


def _open_outside(opened: Session, event: ContactMessage, view: View, now: datetime) -> Outcome:
    """Open a session outside the line's hours: what was written is kept whatever the line does with it."""
    line, conversation, opens_at = view.line, view.conversation, view.hours.opens_at
    # What is shut now may be reopened within the hours, and be somebody's then.
    opened = replace(opened, needs=_needs(line, conversation))
    if opened.load is LoadKind.CALL:
        to = line.outside_calls.value
        return _shut(opened, view, now, to), (Divert(to), *_await_reopening(view, now))
    match line.outside:
        case Outside.REPLY:
            return _shut(opened, view, now, "outside"), (Say("outside"), *_await_reopening(view, now))
        case Outside.KEEP | Outside.FORM:
            queued = _queue(opened, now, view, conversation.responsible_id, opened.needs)
            says = Say("outside" if line.outside is Outside.KEEP else "outside_form")
            # The customer knows when somebody will be there: the time to a first answer counts from then.
            waits = _await_answer(view, opens_at) if opens_at is not None else ()
            return queued, (MarkPool("session queued"), says, *waits)


def _queue(session: Session, now: datetime, view: View, responsible: OperatorId | None, needs: tuple[str, ...]) -> Session:
    """Let the session begin to wait; what it may wait for is counted from when it can be offered: now, or the opening."""
    line, hours = view.line, view.hours
    begins = now if hours.open else hours.opens_at
    first = responsible if line.responsible_first else None
    return replace(
        session,
        status=Status.QUEUED,
        operator_id=None,
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
}


def _needs(line: LineSettings, conversation: ConversationView) -> tuple[str, ...]:
    language = conversation.language.split("-", maxsplit=1)[0].lower() if line.match_language else ""
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
    return replace(session, unanswered_since=event.at), ()


def _customer_wrote_after_closing(session: Session, event: ContactMessage, view: View, now: datetime) -> Outcome:
    assert session.closed_at is not None
    if session.frozen:
        return _open(None, event, view, now)
    if event.at > session.closed_at + timedelta(seconds=view.line.reopen_seconds):
        opened, decisions = _open(None, event, view, now)
        return opened, (Freeze(), CancelTimer(REOPEN), *decisions)
    if session.operator_id is None and not view.hours.open and _answers_alone(session, view):
        # Nobody was asked about it and nobody would be now: the words join what was said, and were answered already.
        return session, (Ignore("outside the hours"),)
    again = replace(
        session,
        closed_at=None,
        outcome="",
        reopened=session.reopened + 1,
        unanswered_since=event.at,
        answered_at=None,
        no_answer_said=False,
        **_NOT_OFFERED,
    )
    before = view.operator
    if (
        before is not None
        and before.active
        and before.seated
        and before.presence == "online"
        and before.reserved + session.weight <= before.budget
    ):
        active = replace(again, status=Status.ACTIVE, operator_id=before.operator_id, queued_at=None, opens_at=None)
        return active, (Reserve(before.operator_id), CancelTimer(REOPEN), *_await_answer(view, event.at))
    hours = view.hours
    queued = _queue(again, now, view, view.conversation.responsible_id, session.needs)
    again_queued = (MarkPool("session reopened"), CancelTimer(REOPEN))
    if not hours.open:
        waits = _await_answer(view, hours.opens_at) if hours.opens_at is not None else ()
        return queued, (*again_queued, Say("outside"), *waits)
    return queued, (*again_queued, *_await_answer(view, event.at))


def _answers_alone(session: Session, view: View) -> bool:
    return session.load is LoadKind.CALL or view.line.outside is Outside.REPLY


def _await_answer(view: View, since: datetime) -> tuple[Decision, ...]:
    seconds = view.line.no_answer_seconds
    return (SetTimer(NO_ANSWER, since + timedelta(seconds=seconds)),) if seconds else ()


# --- an operator takes, declines


def _take_from_list(session: Session, event: Take | Reply, view: View, now: datetime) -> Outcome:
    who = view.operator
    if who is None or not who.active or not (who.seated or who.supervises):
        return _refuse(session, event, "not_yours")
    if who.reserved + session.weight > who.budget:
        return _refuse(session, event, "full")
    return _activate(session, who.operator_id), (Reserve(who.operator_id), CancelTimer(ROUND))


def _take_offer(session: Session, event: Take | Reply, view: View, now: datetime) -> Outcome:
    assert session.offered_until is not None
    if event.operator_id not in session.offered_to:
        return _refuse(session, event, "not_offered")
    if event.at > session.offered_until:
        return _refuse(session, event, "too_late")
    others = tuple(operator for operator in session.offered_to if operator != event.operator_id)
    decisions: list[Decision] = [EndOffers((event.operator_id,), "taken"), CancelTimer(OFFER), CancelTimer(ROUND)]
    if others:
        decisions += [
            EndOffers(others, "withdrawn"),
            *(Release(operator) for operator in others),
            MarkPool("offers withdrawn", seats=True),
        ]
    return _activate(session, event.operator_id), tuple(decisions)


def _take_own(session: Session, event: Take, view: View, now: datetime) -> Outcome:
    if event.operator_id == session.operator_id:
        return session, (Ignore("already yours"),)
    return _refuse(session, event, "taken")


def _activate(session: Session, operator: OperatorId) -> Session:
    return replace(
        session,
        status=Status.ACTIVE,
        operator_id=operator,
        queued_at=None,
        opens_at=None,
        **_NOT_OFFERED,
    )


def _decline(session: Session, event: Decline, view: View, now: datetime) -> Outcome:
    if event.operator_id not in session.offered_to:
        return _refuse(session, event, "not_offered")
    return _end_offers(session, (event.operator_id,), "declined")


def _offer_expired(session: Session, event: OfferExpired, view: View, now: datetime) -> Outcome:
    if event.offer_no != session.offer_no:
        return session, (Ignore("of an earlier offer"),)
    return _end_offers(session, session.offered_to, "ran_out")


def _end_offers(session: Session, operators: Sequence[OperatorId], how: str) -> Outcome:
    left = tuple(operator for operator in session.offered_to if operator not in operators)
    passed_on = tuple(operator for operator in operators if operator not in session.asked)
    after = replace(session, offered_to=left, asked=(*session.asked, *passed_on), skips=session.skips + len(operators))
    decisions: list[Decision] = [
        EndOffers(tuple(operators), how),
        *(Release(operator) for operator in operators),
        MarkPool(f"offer {how}"),
    ]
    if not left:
        after = replace(after, status=Status.QUEUED, offered_until=None)
        decisions.append(CancelTimer(OFFER))
    return after, tuple(decisions)


def _gone_from_offer(session: Session, event: OperatorGone, view: View, now: datetime) -> Outcome:
    if event.operator_id not in session.offered_to:
        return session, (Ignore("not offered to them"),)
    # They did not skip it: they are asked again in this round if they come back.
    left = tuple(operator for operator in session.offered_to if operator != event.operator_id)
    decisions: list[Decision] = [
        EndOffers((event.operator_id,), "gone"),
        Release(event.operator_id),
        MarkPool("offer gone"),
    ]
    if left:
        return replace(session, offered_to=left), tuple(decisions)
    return replace(session, status=Status.QUEUED, offered_to=(), offered_until=None), (*decisions, CancelTimer(OFFER))


def _gone_from_session(session: Session, event: OperatorGone, view: View, now: datetime) -> Outcome:
    if event.operator_id != session.operator_id:
        return session, (Ignore("not theirs"),)
    if not event.removed:
        if not event.vanished:
            return session, (Ignore("they keep what they hold"),)
        rule = view.line.vanished
        if rule is Vanished.KEEP or (rule is Vanished.UNANSWERED and session.unanswered_since is None):
            return session, (Ignore("the line leaves it with them"),)
    decisions: list[Decision] = [Release(event.operator_id), MarkPool("operator gone", seats=True)]
    hours = view.hours
    queued = _queue(session, now, view, None, session.needs)
    if session.unanswered_since is not None and hours.open and not session.no_answer_said:
        decisions += _await_answer(view, now)
    return replace(queued, answered_at=None), tuple(decisions)


# --- the distributor proposes


def _offer(session: Session, event: Offered, view: View, now: datetime) -> Outcome:
    round_no, asked, began = session.round_no, session.asked, session.round_began
    if event.renewed:
        round_no = 0
    if event.fresh_round or event.renewed or round_no == 0:
        round_no, asked, began = round_no + 1, (), now
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
    )
    return after, (
        *(Reserve(operator) for operator in event.operators),
        MakeOffers(event.operators, event.until),
        SetTimer(OFFER, event.until),
        CancelTimer(ROUND),
    )


def _hold(session: Session, event: Held, view: View, now: datetime) -> Outcome:
    if event.why == "nobody":
        # Told once, and not again when the time to a first answer has passed; who waits for no answer is told nothing.
        waits = session.unanswered_since is not None and session.answered_at is None
        if session.no_answer_said or not waits or not view.line.no_answer_seconds:
            return session, (Ignore("told already"),)
        return replace(session, no_answer_said=True), (Say("no_answer"), CancelTimer(NO_ANSWER))
    after = replace(session, held_until=event.until, held_why=event.why, rounds_over=event.rounds_over)
    if event.renewed:
        after = replace(after, round_no=0, round_began=None, asked=())
    return after, (SetTimer(ROUND, event.until) if event.until is not None else CancelTimer(ROUND),)


def _round_due(session: Session, event: RoundDue, view: View, now: datetime) -> Outcome:
    return session, (MarkPool("round due"),)


# --- an operator speaks, closes


def _reply(session: Session, event: Reply, view: View, now: datetime) -> Outcome:
    if event.operator_id != session.operator_id:
        return _refuse(session, event, "not_yours")
    after = replace(session, unanswered_since=None, answered_at=session.answered_at or now)
    decisions: list[Decision] = [Deliver(event.message_id, event.operator_id)]
    if session.answered_at is None:
        decisions.append(CancelTimer(NO_ANSWER))
    return after, tuple(decisions)


def _take_and_reply(take: Handler) -> Handler:
    """Return a handler for an answer written before the session was taken: writing takes it."""

    def handle(session: Session, event: Reply, view: View, now: datetime) -> Outcome:
        taken, decisions = take(session, event, view, now)
        if taken is None or taken.status is not Status.ACTIVE:
            return taken, decisions
        replied, more = _reply(taken, event, view, now)
        return replied, (*decisions, *more)

    handle.__name__ = f"{take.__name__}_and_reply"
    return handle


def _note(session: Session, event: Note, view: View, now: datetime) -> Outcome:
    who = view.operator
    if who is None or not who.active or not (who.seated or who.supervises or event.operator_id == session.operator_id):
        return _refuse(session, event, "not_yours")
    return session, (Keep(event.message_id, event.operator_id),)


def _close(session: Session, event: Close, view: View, now: datetime) -> Outcome:
    who = view.operator
    if event.operator_id != session.operator_id and not (who is not None and who.active and who.supervises):
        return _refuse(session, event, "not_yours")
    decisions: list[Decision] = [CancelTimer(NO_ANSWER), CancelTimer(OFFER), CancelTimer(ROUND)]
    if session.offered_to:
        decisions.append(EndOffers(session.offered_to, "withdrawn"))
        decisions += [Release(operator) for operator in session.offered_to]
    if session.status is Status.ACTIVE and session.operator_id is not None:
        decisions.append(Release(session.operator_id))
    if view.line.close_says:
        decisions.append(Say("close"))
    reopen_seconds = view.line.reopen_seconds
    if reopen_seconds:
        decisions.append(SetTimer(REOPEN, now + timedelta(seconds=reopen_seconds)))
    closed = replace(
        session,
        status=Status.CLOSED,
        closed_at=now,
        outcome=event.outcome,
        frozen=not reopen_seconds,
        queued_at=None,
        opens_at=None,
        unanswered_since=None,
        **_NOT_OFFERED,
    )
    return closed, (*decisions, MarkPool("session closed", seats=True))


# --- time


def _no_answer(session: Session, event: NoAnswerDue, view: View, now: datetime) -> Outcome:
    if session.no_answer_said or session.answered_at is not None:
        return session, (Ignore("answered already"),)
    since = session.unanswered_since
    if since is not None and event.at < since + timedelta(seconds=view.line.no_answer_seconds):
        return _STALE(session, event, view, now)  # it fell due in the session before, and is decided after this one's opening
    return replace(session, no_answer_said=True), (Say("no_answer"),)


def _freeze(session: Session, event: ReopenEnded, view: View, now: datetime) -> Outcome:
    if session.closed_at is not None and event.at < session.closed_at:
        return _STALE(session, event, view, now)  # the window before: it has been reopened and closed since
    return replace(session, frozen=True), ()


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

TABLE: dict[tuple[Status, type[SessionEvent]], Handler] = {
    (Status.NEW, ContactMessage): _open,
    (Status.NEW, Take): _refused("no_session"),
    (Status.NEW, Decline): _refused("no_session"),
    (Status.NEW, Reply): _refused("no_session"),
    (Status.NEW, Note): _refused("no_session"),
    (Status.NEW, Close): _refused("no_session"),
    (Status.NEW, OperatorGone): _STALE,
    (Status.NEW, OfferExpired): _STALE,
    (Status.NEW, RoundDue): _STALE,
    (Status.NEW, NoAnswerDue): _STALE,
    (Status.NEW, ReopenEnded): _STALE,
    (Status.NEW, Offered): _STALE,
    (Status.NEW, Held): _STALE,
    (Status.QUEUED, ContactMessage): _customer_wrote,
    (Status.QUEUED, Take): _take_from_list,
    (Status.QUEUED, Decline): _refused("not_offered"),
    (Status.QUEUED, Reply): _take_and_reply(_take_from_list),
    (Status.QUEUED, Note): _note,
    (Status.QUEUED, Close): _close,
    (Status.QUEUED, OperatorGone): _ignored("not offered to them"),
    (Status.QUEUED, OfferExpired): _STALE,
    (Status.QUEUED, RoundDue): _round_due,
    (Status.QUEUED, NoAnswerDue): _no_answer,
    (Status.QUEUED, ReopenEnded): _STALE,
    (Status.QUEUED, Offered): _offer,
    (Status.QUEUED, Held): _hold,
    (Status.OFFERED, ContactMessage): _customer_wrote,
    (Status.OFFERED, Take): _take_offer,
    (Status.OFFERED, Decline): _decline,
    (Status.OFFERED, Reply): _take_and_reply(_take_offer),
    (Status.OFFERED, Note): _note,
    (Status.OFFERED, Close): _close,
    (Status.OFFERED, OperatorGone): _gone_from_offer,
    (Status.OFFERED, OfferExpired): _offer_expired,
    (Status.OFFERED, RoundDue): _STALE,
    (Status.OFFERED, NoAnswerDue): _no_answer,
    (Status.OFFERED, ReopenEnded): _STALE,
    (Status.OFFERED, Offered): _ignored("offered already"),
    (Status.OFFERED, Held): _ignored("offered already"),
    (Status.ACTIVE, ContactMessage): _customer_wrote,
    (Status.ACTIVE, Take): _take_own,
    (Status.ACTIVE, Decline): _refused("not_offered"),
    (Status.ACTIVE, Reply): _reply,
    (Status.ACTIVE, Note): _note,
    (Status.ACTIVE, Close): _close,
    (Status.ACTIVE, OperatorGone): _gone_from_session,
    (Status.ACTIVE, OfferExpired): _STALE,
    (Status.ACTIVE, RoundDue): _STALE,
    (Status.ACTIVE, NoAnswerDue): _no_answer,
    (Status.ACTIVE, ReopenEnded): _STALE,
    (Status.ACTIVE, Offered): _ignored("taken already"),
    (Status.ACTIVE, Held): _ignored("taken already"),
    (Status.CLOSED, ContactMessage): _customer_wrote_after_closing,
    (Status.CLOSED, Take): _refused("closed"),
    (Status.CLOSED, Decline): _refused("closed"),
    (Status.CLOSED, Reply): _refused("closed"),
    (Status.CLOSED, Note): _note,
    (Status.CLOSED, Close): _refused("closed"),
    (Status.CLOSED, OperatorGone): _ignored("closed already"),
    (Status.CLOSED, OfferExpired): _STALE,
    (Status.CLOSED, RoundDue): _STALE,
    (Status.CLOSED, NoAnswerDue): _STALE,
    (Status.CLOSED, ReopenEnded): _freeze,
    (Status.CLOSED, Offered): _ignored("closed already"),
    (Status.CLOSED, Held): _ignored("closed already"),
}
"""The engine: what each event does to a session of each status."""

LEADS: dict[Handler, tuple[Status, ...]] = {
    _open: (Status.QUEUED, Status.CLOSED),
    _customer_wrote_after_closing: (Status.QUEUED, Status.ACTIVE),
    _take_from_list: (Status.ACTIVE,),
    _take_offer: (Status.ACTIVE,),
    TABLE[Status.QUEUED, Reply]: (Status.ACTIVE,),
    TABLE[Status.OFFERED, Reply]: (Status.ACTIVE,),
    _decline: (Status.QUEUED,),
    _gone_from_offer: (Status.QUEUED,),
    _gone_from_session: (Status.QUEUED,),
    _offer_expired: (Status.QUEUED,),
    _offer: (Status.OFFERED,),
    _close: (Status.CLOSED,),
}
"""Where a handler may lead, beside staying; handlers that never move a session are not here. The documents are drawn from it."""
