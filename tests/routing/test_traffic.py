"""The traffic of a time as it is read from what the shipped core wrote: lives to play, what really came of them, and who was there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from broker import inbound
from broker.domain import ConversationId, LineId, LoadCounts, LoadKind, OperatorId, Outside, PresenceState, Role
from broker.events import CallEnded, Event, ForwardEnded, RingAnswered, RingEnded, Snooze, Transfer
from broker.ports import Tx
from broker.store import journal
from routing.traffic import Found, gather, kept
from routing.what_if import Ending, Habit, Lived
from tests.crm_bridge.house import House, Provider
from tests.support.channels import STREAM
from tests.support.clock import NOON

ONLINE, AWAY = PresenceState.ONLINE, PresenceState.AWAY
HOUR = timedelta(hours=1)
CLOSED_NOW = {"zone": "UTC", "week": {"mon": ["13:00-20:00"]}}


class Desk:
    """A house with a line and Ann; what is done is done at a second after NOON."""

    def __init__(self, **settings: Any) -> None:
        self.house = House()
        self.shop = self.house.line(**settings)
        self.site = self.house.channel(self.shop)
        self.ann = self.house.operator("ann", self.shop)
        self.house.settle()

    def at(self, second: float) -> House:
        """Return the house when so much of the day has passed."""
        self.house.later(seconds=(NOON + timedelta(seconds=second) - self.house.clock.now()).total_seconds())
        return self.house

    def take(self, second: float, conversation: ConversationId, operator: OperatorId) -> None:
        self.at(second).take(conversation, operator)
        self.house.settle()

    def decline(self, second: float, conversation: ConversationId, operator: OperatorId) -> None:
        self.at(second).decline(conversation, operator)
        self.house.settle()

    def reply(self, second: float, conversation: ConversationId, operator: OperatorId, text: str) -> None:
        self.at(second).reply(conversation, operator, text)
        self.house.settle()

    def end(self, second: float, conversation: ConversationId, operator: OperatorId) -> None:
        self.at(second).end(conversation, operator)
        self.house.settle()

    def enter(self, conversation: ConversationId, make: Callable[[datetime], Event]) -> None:
        """Let something be done that `House` has no word for."""
        self.house.do(lambda tx: inbound.enter(tx, "console", tx.new_id(), conversation, make))
        self.house.settle()

    def found(self, since: datetime = NOON, until: datetime = NOON + HOUR, lines: tuple[LineId, ...] = ()) -> Found:
        return gather(self.house.do, self.house.do(kept), lines or (self.shop,), since, until)


def story(lived: Lived) -> list[tuple[float, str]]:
    """Return the steps of a life."""
    return [(step.after_seconds, step.deed.value) for step in lived.steps]


def say(desk: Desk, key: str = "eve", site: Provider | None = None) -> ConversationId:
    conversation = desk.house.say(site or desk.site, key, "hello")
    desk.house.settle()
    return conversation


def test_a_session_from_its_first_words_to_its_end():
    """When it began, who took the offer and after how long, and how long they had it."""
    desk = Desk()
    eve = say(desk)
    desk.take(7, eve, desk.ann)
    desk.reply(30, eve, desk.ann, "hi")
    desk.end(107, eve, desk.ann)
    desk.at(200)
    found = desk.found()

    (lived,) = found.traffic.sessions
    assert (NOON, desk.shop, LoadKind.CHAT, True) == (
        lived.began_at,
        lived.conversation.line_id,
        lived.conversation.load,
        lived.counts,
    )
    assert [(23, "answered"), (77, "closed")] == story(lived)
    assert {desk.ann: Habit((7.0,))} == found.traffic.habits
    assert {(desk.shop, LoadKind.CHAT): (100.0,)} == found.traffic.handling
    (wait,) = found.actual.waits
    assert (Ending.TAKEN, NOON + timedelta(seconds=7), desk.ann) == (wait.ending, wait.ended_at, wait.taken_by)
    assert 100.0 == sum((hold.end - hold.start).total_seconds() for hold in found.actual.holds)
    assert {"made": 1, "taken": 1} == found.actual.offers[desk.shop, desk.ann]


def test_offers_declined_and_run_out():
    """Each is a habit of whoever was asked, and counted."""
    desk = Desk(rounds=1)
    eve = say(desk)
    desk.decline(4, eve, desk.ann)
    desk.at(10)
    say(desk, "mia")
    desk.at(100)
    found = desk.found()

    assert Habit((), (4.0,), 1) == found.traffic.habits[desk.ann]
    assert {"made": 2, "declined": 1, "ran_out": 1} == found.actual.offers[desk.shop, desk.ann]
    assert [Ending.WAITING] * 2 == [wait.ending for wait in found.actual.waits]


def test_put_by_passed_on_and_back_again():
    """Each is a step; the time in which it waits in a queue is nobody's."""
    desk = Desk(rating=False)
    house = desk.house
    repairs = house.line("repairs")
    bob = house.operator("bob", repairs)
    eve = say(desk)
    desk.take(5, eve, desk.ann)
    desk.at(15)
    until = NOON + timedelta(seconds=75)
    desk.enter(eve, lambda at: Snooze(at=at, operator_id=desk.ann, command="", until=until))
    # The customer's next words wake it before its time.
    desk.at(45)
    say(desk)
    desk.at(50)
    desk.enter(eve, lambda at: Transfer(at=at, operator_id=desk.ann, command="", to_line=repairs))
    desk.take(60, eve, bob)
    desk.end(80, eve, bob)
    desk.at(100)
    say(desk)
    desk.end(130, eve, bob)
    desk.at(200)

    (lived,) = desk.found(lines=(desk.shop, repairs)).traffic.sessions
    steps = [(10, "snoozed"), (30, "woke"), (5, "passed_on"), (20, "closed"), (20, "reopened"), (30, "closed")]
    assert steps == story(lived)
    assert repairs == lived.steps[2].line_id
    (alone,) = desk.found().traffic.sessions
    assert [(10, "snoozed"), (30, "woke"), (5, "closed")] == story(alone)
    (other,) = desk.found(lines=(repairs,)).traffic.sessions
    assert (NOON + timedelta(seconds=50), steps[3:]) == (other.began_at, story(other))


def test_who_was_closed_while_they_waited():
    """It is known after how long; it has no handling to tell."""
    desk = Desk()
    boss = desk.house.operator("boss", role=Role.SUPERVISOR)
    eve = say(desk)
    desk.end(20, eve, boss)
    desk.at(30)
    found = desk.found()

    assert [20.0] == [lived.given_up_seconds for lived in found.traffic.sessions]
    assert ([Ending.GIVEN_UP], {}) == ([wait.ending for wait in found.actual.waits], found.traffic.handling)


@pytest.mark.parametrize(("outside", "ending"), [(Outside.KEEP, Ending.WAITING), (Outside.REPLY, Ending.SHUT)])
def test_written_outside_the_hours(outside, ending):
    """The wait counts from the opening; what was only replied to is shut."""
    desk = Desk(hours=CLOSED_NOW, outside=outside)
    say(desk)
    (wait,) = desk.found(until=NOON + timedelta(minutes=30)).actual.waits

    assert (ending, NOON) == (wait.ending, wait.began_at)
    assert (NOON + HOUR if ending is Ending.WAITING else NOON) == wait.counted_from


def test_what_was_open_when_the_time_began():
    """Who had it has it, with what was left of it; who waited waits since they did; what was over is over. None is counted."""
    desk = Desk()
    over, held = say(desk, "over"), say(desk, "held")
    desk.take(5, over, desk.ann)
    desk.take(6, held, desk.ann)
    desk.end(50, over, desk.ann)
    desk.house.presence(desk.ann, AWAY)
    waits = say(desk, "waits")
    since = NOON + timedelta(seconds=100)
    desk.end(206, held, desk.ann)
    desk.at(300)
    found = desk.found(since)

    lived = {one.conversation.conversation_id: one for one in found.traffic.sessions}
    assert {held, waits} == lived.keys()
    assert (since, desk.ann, [(106, "closed")]) == (lived[held].began_at, lived[held].held_by, story(lived[held]))
    assert (NOON + timedelta(seconds=50), None) == (lived[waits].began_at, lived[waits].held_by)
    assert ({False}, ()) == ({one.counts for one in lived.values()}, found.actual.waits)
    assert 2 == found.remarks.carried


def test_what_is_still_open_takes_as_long_as_it_has():
    """Nobody knows its end: it is held at least until now."""
    desk = Desk()
    eve = say(desk)
    desk.take(10, eve, desk.ann)
    desk.at(500)
    found = desk.found(until=NOON + timedelta(seconds=60))

    assert [(490, "closed")] == story(found.traffic.sessions[0])
    assert (1, {}) == (found.remarks.unfinished, found.traffic.handling)


def test_taken_from_the_list_is_told():
    """The play cannot do it, so its reader hears of it."""
    desk = Desk(rounds=1)
    eve = say(desk)
    desk.take(70, eve, desk.ann)

    assert 1 == desk.found().remarks.from_list


def test_only_the_unanswered_counts_where_that_is_the_rule():
    """What happened is measured by the line's way of counting."""
    desk = Desk(load_counts=LoadCounts.UNANSWERED)
    eve = say(desk)
    desk.take(10, eve, desk.ann)
    desk.reply(40, eve, desk.ann, "hi")
    desk.end(100, eve, desk.ann)
    desk.at(200)

    assert [30.0] == [(hold.end - hold.start).total_seconds() for hold in desk.found().actual.holds]


def test_what_older_engines_left_is_read_as_far_as_it_goes():
    """An opening row that cannot be read any more: what the session itself says is enough to play it."""
    desk = Desk(skills=("billing",))
    say(desk)
    desk.house.store.change("UPDATE journal SET body = '{' WHERE kind = 'contact_message'")
    (lived,) = desk.found().traffic.sessions

    assert (LoadKind.CHAT, 0, "") == (
        lived.conversation.load,
        lived.conversation.contact_priority,
        lived.conversation.language,
    )


def test_a_talk_that_is_passed_on_and_comes_back():
    """Not taken by a colleague, not answered outside, put into the queue, and rung by whoever wanted it there: taken once."""
    desk = Desk(calls={"no_answer_does": "wait"})
    house, ann = desk.house, desk.ann
    bob = house.operator("bob", desk.shop)
    house.store.change("UPDATE operators SET phone = 'PJSIP/100'")
    number = house.channel(desk.shop, "number", replace(STREAM, load=LoadKind.CALL))
    call = house.call(number, "call-1", "+79120000001")
    house.settle()
    desk.at(5)
    desk.enter(call, lambda at: RingAnswered(at, ann))
    desk.at(25)
    desk.enter(call, lambda at: Transfer(at=at, operator_id=ann, command="", to_operator=bob))
    desk.at(30)
    desk.enter(call, lambda at: RingEnded(at, (bob,), 2, "busy"))
    desk.at(35)
    desk.enter(call, lambda at: RingAnswered(at, ann))
    desk.at(45)
    desk.enter(call, lambda at: Transfer(at=at, operator_id=ann, command="", to_number="+79120000002"))
    desk.at(60)
    desk.enter(call, lambda at: ForwardEnded(at, "busy"))
    desk.at(65)
    desk.enter(call, lambda at: RingAnswered(at, ann))
    house.presence(bob, AWAY)
    desk.at(70)
    desk.enter(call, lambda at: Transfer(at=at, operator_id=ann, command="", to_line=desk.shop))
    desk.take(80, call, bob)
    desk.at(82)
    desk.enter(call, lambda at: RingAnswered(at, bob))
    desk.at(100)
    desk.enter(call, CallEnded)
    desk.at(200)
    found = desk.found()

    (lived,), (wait,) = found.traffic.sessions, found.actual.waits
    assert [(25, "given_back"), (10, "closed"), (15, "reopened"), (5, "passed_on"), (18, "closed")] == story(lived)
    assert (Ending.TAKEN, NOON + timedelta(seconds=5), ann) == (wait.ending, wait.ended_at, wait.taken_by)
    assert {"made": 2, "busy": 1, "taken": 1} == found.actual.offers[desk.shop, bob]
    assert (0, 0) == (found.remarks.from_list, found.remarks.by_name)


# --- where people were


def came(desk: Desk, second: float, who: OperatorId, state: PresenceState) -> None:
    """Write a change of presence as operators.presence does."""
    body = msgspec.json.encode({"operator": who, "state": state.value}).decode()

    def change(tx: Tx) -> None:
        journal.append(tx, "presence", body, operator_id=who)

    desk.at(second).do(change)


def test_people_are_where_they_were():
    """Each change with its moment, and the last one before the time."""
    desk = Desk()
    came(desk, 10, desk.ann, AWAY)
    came(desk, 20, desk.ann, ONLINE)
    came(desk, 90, desk.ann, AWAY)
    found = desk.found(NOON + timedelta(seconds=50), NOON + timedelta(seconds=60))

    assert (NOON + timedelta(seconds=20), ONLINE) == found.presence[desk.ann][-1]
    assert 0 == found.remarks.guessed_presence


def test_who_leaves_first_was_there():
    """Their coming is further back than anybody looks: it is taken to have been, and told."""
    desk = Desk()
    came(desk, 90, desk.ann, AWAY)
    found = desk.found()

    assert ((NOON, ONLINE), (NOON + timedelta(seconds=90), AWAY)) == found.presence[desk.ann]
    assert 1 == found.remarks.guessed_presence


def test_who_never_changed_is_where_they_are():
    """Nothing in the journal, but the table knows since when."""
    desk = Desk()

    assert ((NOON, ONLINE),) == desk.found().presence[desk.ann]


def test_a_long_time_is_read_page_by_page():
    """More sessions than a page has: all of them, in their order, each once."""
    desk = Desk()
    for number in range(20):
        desk.house.say(desk.site, f"v{number}", "hello")
    desk.house.settle()
    pages = 0

    def read(work):
        nonlocal pages
        pages += 1
        return desk.house.do(work)

    found = gather(read, desk.house.do(kept), (desk.shop,), NOON, NOON + HOUR, most=6)

    ids = [lived.conversation.new_session_id for lived in found.traffic.sessions]
    assert (20, sorted(ids)) == (len(set(ids)), ids)
    assert pages > 8
