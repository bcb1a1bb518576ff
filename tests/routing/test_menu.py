"""The greeting and the menu of a line's calls, in the engine: nobody is offered a call before its caller has heard them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from broker.domain import CallMenu, CallSettings, KeyDoes, LineSettings, LoadKind, MenuKey, MessageId, Status
from broker.events import CallEnded, CallReady, ContactMessage, KeyPressed, RoundDue, Take
from routing.engine import GREETING, GREETING_SECONDS_MAX, NO_ANSWER, ROUND
from routing.session import CancelTimer, Divert, Ignore, MarkPool, Session, SetTimer
from tests.support.clock import MINUTE, NOON, SECOND
from tests.support.engine import ANN, BOB, DESK, SHUT, after, conversation, person, view
from tests.support.engine import OFFERED as OFFERED_CHAT
from tests.support.engine import QUEUED as QUEUED_CHAT

MENU = CallMenu(
    sound="custom/menu",
    keys={
        "1": MenuKey(KeyDoes.LINE, line="desk"),
        "2": MenuKey(KeyDoes.OPERATOR, operator="bob"),
        "3": MenuKey(KeyDoes.CALLBACK),
        "4": MenuKey(KeyDoes.VOICEMAIL),
        "5": MenuKey(KeyDoes.FORWARD),
        "0": MenuKey(KeyDoes.QUEUE),
    },
)
LINE = LineSettings(calls=CallSettings(menu=MENU))
UNTIL = NOON + timedelta(seconds=GREETING_SECONDS_MAX)
HEARS = replace(
    QUEUED_CHAT,
    load=LoadKind.CALL,
    weight=50,
    answer_due=None,
    held_until=UNTIL,
    held_why=GREETING,
    needs=("skill:x",),
    responsible_id=ANN,
)
WAITS = replace(HEARS, held_until=None, held_why="")
LATER = NOON + MINUTE


def called(line: LineSettings, **seen: Any) -> tuple[Session, tuple[Any, ...]]:
    """Return the session that a call opens."""
    talk = conversation(load=LoadKind.CALL)
    return after(None, ContactMessage(at=NOON, message_id=MessageId("m1")), view(line, talk=talk, **seen))


def pressed(key: str, before: Session = HEARS, **seen: Any) -> tuple[Session, tuple[Any, ...]]:
    """Return what a key leads to."""
    return after(before, KeyPressed(LATER, key), view(LINE, **seen), LATER)


@pytest.mark.parametrize("calls", [CallSettings(greeting="custom/hello"), CallSettings(menu=MENU)])
def test_a_caller_hears_first_what_there_is_to_hear(calls: CallSettings):
    """Nobody is asked, and how long they wait is not counted yet; should nothing be heard of them any more, a timer goes on."""
    session, decisions = called(LineSettings(calls=calls))

    assert (session.status, session.held_why, session.held_until, session.answer_due) == (Status.QUEUED, GREETING, UNTIL, None)
    assert decisions == (SetTimer(ROUND, UNTIL),)


def test_outside_the_hours_there_is_no_menu():
    """What the line does with calls then is done; its session says why."""
    session, _ = called(LINE, hours=SHUT)

    assert (session.status, session.outcome, session.sent_because) == (Status.CLOSED, "hang_up", "outside")


@pytest.mark.parametrize("event", [CallReady(LATER), RoundDue(LATER), KeyPressed(LATER, "0"), KeyPressed(LATER, "9")])
def test_who_chooses_nothing_waits_in_the_line(event: Any):
    """From now on: the time to an answer, for their own operator, and for a skill begins."""
    session, decisions = after(HEARS, event, view(LINE), LATER)

    assert (session.status, session.held_until, session.held_why) == (Status.QUEUED, None, "")
    assert session.responsible_until == LATER + 60 * SECOND
    assert session.needs_until == LATER + 120 * SECOND
    assert {MarkPool("session queued"), SetTimer(NO_ANSWER, LATER + 120 * SECOND), CancelTimer(ROUND)} <= set(decisions)


def test_a_key_leads_to_another_line():
    """Where they wait as anybody who was passed on."""
    session, decisions = pressed("1")

    assert (session.status, session.line_id, session.held_why) == (Status.QUEUED, DESK, "")
    assert CancelTimer(ROUND) in decisions


def test_a_line_that_is_not_there_leaves_them_in_this_one():
    """It was switched off since."""
    session, decisions = pressed("1", exists=False)

    assert (session.line_id, session.held_why, MarkPool("session queued") in decisions) == (HEARS.line_id, "", True)


@pytest.mark.parametrize("event", [KeyPressed(LATER, "2"), KeyPressed(LATER, "", BOB)])
def test_a_key_or_an_extension_leads_to_an_operator(event: KeyPressed):
    """Who is asked first, whatever the line says of known customers."""
    line = replace_line(responsible_first=False)
    session, _ = after(HEARS, event, view(line, colleague=person(BOB)), LATER)

    assert (session.responsible_id, session.responsible_until) == (BOB, LATER + 60 * SECOND)


def replace_line(**changes: Any) -> LineSettings:
    """Return the line with a menu and *changes*."""
    return LineSettings(calls=CallSettings(menu=MENU), **changes)


@pytest.mark.parametrize("who", [None, person(BOB, active=False)])
def test_an_operator_who_is_not_there_any_more_is_not_waited_for(who: Any):
    """Anybody has the call."""
    session, _ = pressed("2", colleague=who)

    assert (session.responsible_id, session.held_why) == (ANN, "")


@pytest.mark.parametrize(("key", "to"), [("3", "callback"), ("4", "voicemail"), ("5", "forward")])
def test_a_key_sends_the_call_elsewhere(key: str, to: str):
    """At once; the session says that its caller wanted it so."""
    session, decisions = pressed(key)

    assert (session.status, session.outcome, session.elsewhere, session.sent_because) == (Status.CLOSED, to, to, "key")
    assert Divert(to) in decisions


@pytest.mark.parametrize("before", [WAITS, replace(OFFERED_CHAT, load=LoadKind.CALL, weight=50)])
@pytest.mark.parametrize("event", [CallReady(LATER), KeyPressed(LATER, "4")])
def test_what_is_chosen_too_late_is_nothing(before: Session, event: Any):
    """They wait already, or a phone rings for them."""
    session, decisions = after(before, event, view(LINE), LATER)

    assert session == before
    assert all(isinstance(one, Ignore) for one in decisions)


def test_who_hangs_up_in_the_menu_was_missed():
    """As anybody who was not answered."""
    session, _ = after(HEARS, CallEnded(LATER), view(LINE), LATER)

    assert (session.status, session.outcome) == (Status.CLOSED, "missed")


def test_an_operator_may_have_the_call_ring_at_once():
    """From the list: the greeting is not waited for."""
    session, _ = after(HEARS, Take(at=LATER, operator_id=ANN, command="k"), view(LINE, person(phone=True)), LATER)

    assert (session.status, session.held_why) == (Status.OFFERED, "")
