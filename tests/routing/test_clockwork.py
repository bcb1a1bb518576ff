"""Openings, closings, paces and shifts on a real database: each is a timer, and nobody asks a calendar in between.

The clock is moved from deadline to deadline; whatever falls due is decided and distributed at once, as the loops do it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog.testing

from broker.domain import (
    REPLY_FIELDS,
    ChannelId,
    ConversationId,
    Distribution,
    LineId,
    LineSettings,
    LoadKind,
    MessageId,
    NoAnswer,
    OperatorId,
    Outside,
    OutsideCalls,
    PresenceState,
    Weights,
    from_us,
    to_us,
)
from broker.errors import LeaseLost
from broker.events import Close, Decline, Reply, Take
from broker.inbound import accept, enter, prepare, undecided
from broker.leases import free
from broker.ports import Tx
from broker.timers import earliest, fire_due
from routing import clockwork, distributor, worker
from routing.applying import TIMER_OWNER, House, mark_pool, timer_fired
from routing.replies import CATALOGUE
from tests.support.channels import FakeChannel, wrote
from tests.support.clock import MINUTE, SECOND, MovedClock
from tests.support.house import add_channel, add_line, add_operator, load_house, set_presence
from tests.support.replay import differences, journalled
from tests.support.store import MemoryStore, open_store, plain

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")
OFFICE: dict[str, Any] = {"zone": "Europe/Berlin", "week": dict.fromkeys(WEEKDAYS, ("09:00-18:00",))}
DAY = timedelta(days=1)
MORNING = datetime(2026, 3, 3, 8, 0, tzinfo=UTC)
"""Tuesday, nine in Berlin: the office opens."""
NIGHT = MORNING - timedelta(hours=10)
EVENING = MORNING - timedelta(hours=15)
"""Monday, six in Berlin: the office closes."""
SHIFT = {"zone": "UTC", "week": dict.fromkeys(WEEKDAYS, ("12:00-16:00",))}
BUSY = CATALOGUE["no_answer"]["en"]
ONLINE, OFFLINE = PresenceState.ONLINE, PresenceState.OFFLINE


class Place:
    """A line with office hours and Ann, then Bob, both online; it is night."""

    def __init__(
        self,
        at: datetime = NIGHT,
        *,
        people: int = 2,
        shifts: dict[str, Any] | None = None,
        load: LoadKind = LoadKind.CHAT,
        hours: dict[str, Any] | None = OFFICE,
        **settings: Any,
    ) -> None:
        self.clock = MovedClock(at)
        self.store = MemoryStore(self.clock)
        self._numbers = iter(range(1_000_000))
        self._load = load

        def build(tx: Tx) -> tuple[LineId, ChannelId, list[OperatorId]]:
            line = add_line(tx, **({"distribution": Distribution.STRICTLY, "hours": hours} | settings))
            logins = ("ann", "bob")[:people]
            return line, add_channel(tx, line), [add_operator(tx, login, [line], position=n) for n, login in enumerate(logins)]

        self.line, channel, self.people = self.store.write(build)
        self.ann, self.bob = (*self.people, OperatorId(""), OperatorId(""))[:2]
        self.channel = FakeChannel(channel, self.line)
        if shifts is not None:
            self.store.change("UPDATE operators SET hours = ? WHERE id = ?", json.dumps(shifts), self.ann)
        self.start()

    def start(self) -> None:
        """Read the house and keep time, as a start does."""
        self.house: House = self.store.write(lambda tx: load_house(tx, {self.channel.id: self._load}))
        self.store.write(lambda tx: clockwork.keep_time(tx, self.house))
        self.go_on()

    def change(self, **settings: Any) -> None:
        """Change the line's settings."""
        body = msgspec.json.encode(LineSettings(**settings)).decode()
        self.store.change("UPDATE lines SET settings = ?, version = version + 1", body)
        self.start()

    def make_unreadable(self, conversation: ConversationId) -> None:
        """Write the conversation's session as a newer version might."""
        self.store.change(
            'UPDATE sessions SET state = replace(state, \'{"id":\', \'{"of_a_newer_version":1,"id":\') WHERE conversation_id = ?',
            conversation,
        )

    def make_readable(self) -> None:
        """Write it as this one does again."""
        assert self.store.change("UPDATE sessions SET state = replace(state, '\"of_a_newer_version\":1,', '')")

    # --- what people do

    def say(self, key: str, *, language: str = "", responsible: OperatorId | None = None) -> ConversationId:
        """Have the customer *key* write."""
        conversation = self.accept(key)
        self.store.change(
            "UPDATE contacts SET language = ?, responsible_id = ? WHERE id = (SELECT contact_id FROM conversations WHERE id = ?)",
            language,
            responsible,
            conversation,
        )
        self.go_on()
        return conversation

    def accept(self, key: str) -> ConversationId:
        """Have the customer *key* write, and decide nothing yet."""
        prepared = prepare(self.channel, [wrote(f"{next(self._numbers)}", key, f"hello from {key}")], LineSettings())
        accepted = self.store.write(lambda tx: accept(tx, self.channel.id, prepared))
        assert accepted[0].conversation_id is not None
        return accepted[0].conversation_id

    def do(self, who: OperatorId, conversation: ConversationId, deed: Any, **more: Any) -> None:
        """Have an operator do a deed."""
        command = f"k{next(self._numbers)}"
        self.store.write(
            lambda tx: enter(
                tx, "console", command, conversation, lambda at: deed(at=at, operator_id=who, command=command, **more), b"words"
            )
        )
        self.go_on()

    def answer(self, who: OperatorId, conversation: ConversationId) -> None:
        """Have an operator answer, which takes the session."""
        self.do(who, conversation, Reply, message_id=MessageId(f"m{next(self._numbers)}"))

    def set(self, who: OperatorId, state: PresenceState) -> None:
        """Have an operator come or go."""
        self.store.write(lambda tx: set_presence(tx, who, state, [self.line]))
        self.go_on()

    # --- what happens by itself

    def go_on(self) -> None:
        """Decide and distribute what there is."""
        while True:
            conversations, pools = self.store.write(undecided), self.store.write(distributor.marked)
            if not conversations and not pools:
                return
            for conversation in conversations:
                self.store.write(partial(worker.step, conversation_id=conversation, house=self.house))
            for line in pools:
                self.store.write(partial(distributor.step, line_id=line, house=self.house))

    def fire(self) -> int:
        """Enter what is due, as the loop does; return how much there was."""
        fired = self.store.write(
            lambda tx: fire_due(
                tx,
                {
                    TIMER_OWNER: timer_fired,
                    clockwork.LINE: lambda tx, owner, *_: clockwork.line_due(tx, owner, self.house),
                    clockwork.SHIFT: lambda tx, owner, *_: clockwork.shift_due(tx, owner, self.house),
                },
            )
        )
        self.go_on()
        return fired

    def until(self, at: datetime) -> None:
        """Let time pass, keeping each deadline on the way at its moment."""
        while (due := self.store.write(earliest)) is not None and due <= at:
            self.clock.move(max(due - self.clock.now(), timedelta(0)))
            self.fire()
        self.clock.move(at - self.clock.now())

    def jump(self, at: datetime) -> None:
        """Set the clock, forward or back, and let happen what is due then."""
        self.clock.set(at)
        while self.fire():
            pass

    # --- what can be seen

    def offers(self) -> list[tuple[str, OperatorId, datetime]]:
        """Return every offer that was made: to which customer, to whom, when."""
        rows = self.store.rows(
            "SELECT c.key, o.operator_id, o.made_us FROM offers o JOIN sessions s ON s.id = o.session_id "
            "JOIN conversations c ON c.id = s.conversation_id ORDER BY o.id"
        )
        return [(key, operator, from_us(made)) for key, operator, made in rows]

    def status(self, conversation: ConversationId) -> str:
        """Return the status of the conversation's newest session."""
        return str(self.store.one("SELECT status FROM sessions WHERE conversation_id = ? ORDER BY id DESC LIMIT 1", conversation))

    def told(self, conversation: ConversationId) -> list[str]:
        """Return what the line said by itself in the conversation."""
        rows = self.store.rows(
            "SELECT text FROM messages WHERE conversation_id = ? AND author = 'system' ORDER BY seq", conversation
        )
        return [row[0] for row in rows]

    def alerts(self) -> int:
        """Return how often supervisors were told that nobody is there."""
        return int(self.store.one("""SELECT count(*) FROM journal WHERE kind = 'alert' AND body = '{"what":"nobody"}'"""))

    def state(self) -> tuple[bool, datetime | None, datetime | None]:
        """Return whether the line is open, when it opens, and until when it is paced, as everybody reads it."""
        open_, opens_us, paced_us = self.store.rows("SELECT open, opens_us, paced_until_us FROM line_state")[0]
        return bool(open_), from_us(opens_us) if opens_us else None, from_us(paced_us) if paced_us else None

    def timers(self, kind: str) -> dict[str, datetime]:
        """Return the timers of an owner kind."""
        return {name: from_us(due) for name, due in self.store.rows("SELECT name, due_us FROM timers WHERE owner_kind = ?", kind)}


@pytest.fixture
def places() -> Iterator[Any]:
    """Make places; whatever happened in them is decided again from their journals, and must come out the same."""
    made: list[Place] = []

    def make(*args: Any, **settings: Any) -> Place:
        made.append(Place(*args, **settings))
        return made[-1]

    yield make
    for place in made:
        assert differences(journalled(place.store)) == []
        assert place.store.one("SELECT count(*) FROM inputs WHERE dead IS NOT NULL") == 0


# --- outside the hours


@pytest.mark.parametrize(
    ("language", "when"),
    [("en", "We open tomorrow at 09:00."), ("ru", "Откроемся завтра в 09:00."), ("ru-RU", "Откроемся завтра в 09:00.")],
)
def test_who_writes_at_night_is_told_when_we_open(places, language, when):
    """In the contact's language, by the line's clock; once, and without a welcome."""
    place = places()
    conversation = place.say("eve", language=language)
    place.say("eve", language=language)

    (said,) = place.told(conversation)
    assert when in said


@pytest.mark.parametrize(("at", "when"), [(MORNING - MINUTE, "today at 09:00"), (MORNING + 4 * DAY, "on Monday at 09:00")])
def test_the_day_is_the_lines_own(places, at, when):
    """A minute before nine it is today; on a Saturday it is the weekday."""
    place = places(at)

    assert when in place.told(place.say("eve"))[0]


def test_a_line_that_never_opens_promises_nothing(places):
    """The sentence about the opening is left out; the message is kept until the hours are other ones."""
    place = places(hours={"zone": "UTC"})
    conversation = place.say("eve")
    assert place.told(conversation) == ["Hello! We are closed now. Your message is kept, and we will answer it here."]

    place.until(place.clock.now() + 30 * DAY)
    assert (place.status(conversation), place.told(conversation)[1:]) == ("queued", [])
    place.change()

    assert place.status(conversation) == "offered"


def test_at_night_nobody_is_offered_anything(places):
    """Though they are online, with room, and come and go."""
    place = places()
    conversation = place.say("eve")
    place.set(place.ann, OFFLINE)
    place.set(place.ann, ONLINE)
    place.until(MORNING - timedelta(microseconds=1))

    assert (place.offers(), place.status(conversation)) == ([], "queued")


def test_what_waits_can_be_taken_from_the_list_at_night(places):
    """An operator who wants to works when they want to."""
    place = places()
    conversation = place.say("eve")
    place.answer(place.bob, conversation)
    place.until(MORNING + MINUTE)

    assert (place.status(conversation), place.offers()) == ("active", [])
    assert BUSY not in place.told(conversation)


def test_a_line_may_answer_alone_and_loses_nothing(places):
    """The session is closed with that outcome; all that is written joins it, and after the opening it is somebody's."""
    place = places(MORNING - MINUTE, outside=Outside.REPLY)
    conversation = place.say("eve")
    place.say("eve")
    assert place.store.rows("SELECT status, outcome FROM sessions") == [("closed", "outside")]
    assert len(place.told(conversation)) == 1
    place.until(MORNING + SECOND)
    assert place.offers() == []
    place.say("eve")

    assert place.store.rows("SELECT status, outcome FROM sessions") == [("offered", "")]
    assert (
        place.store.one("SELECT 10 * count(DISTINCT session_id) + count(session_id) FROM messages WHERE author = 'contact'") == 13
    )


@pytest.mark.parametrize("how", OutsideCalls)
def test_a_call_at_night_is_a_decision_only(places, how):
    """A channel of calls, weight 50: where it goes stands in the journal and as the session's outcome; nobody's budget is taken."""
    place = places(load=LoadKind.CALL, outside_calls=how)
    place.say("eve")
    place.say("eve")

    assert place.store.rows("SELECT status, outcome, weight FROM sessions") == [("closed", how.value, 50)]
    (first, second) = [json.loads(row[0]) for row in place.store.rows("SELECT body FROM journal WHERE kind = 'contact_message'")]
    assert first["decisions"][0] == {"do": "divert", "to": how.value}
    assert second["decisions"] == [{"do": "ignore", "reason": "they called already"}]
    assert place.store.one("SELECT count(*) FROM messages WHERE session_id IS NULL") == 0
    assert place.store.one("SELECT sum(reserved) FROM budgets") == 0


def test_a_call_within_the_hours_is_offered(places):
    """One call to a phone, however much room there is; the third waits."""
    place = places(MORNING, load=LoadKind.CALL)
    place.store.change("UPDATE operators SET phone = 'PJSIP/' || login")
    place.start()
    for number in range(3):
        place.say(f"v{number}")

    assert [(key, who) for key, who, _ in place.offers()] == [("v0", place.ann), ("v1", place.bob)]
    assert place.store.rows("SELECT reserved, calls FROM budgets") == [(50, 1), (50, 1)]


# --- the opening


def test_at_the_opening_the_oldest_come_first_and_the_rest_at_the_pace(places):
    """One a seat at nine sharp, the next twenty seconds later: a morning does not begin with everything at once."""
    place = places()
    for number in range(5):
        place.say(f"v{number}")
        place.clock.move(1)
    assert place.timers(clockwork.LINE) == {clockwork.HOURS: MORNING}

    place.until(MORNING)
    assert place.offers() == [("v0", place.ann, MORNING), ("v1", place.bob, MORNING)]
    assert place.state() == (True, None, MORNING + 20 * SECOND)
    place.until(MORNING + 41 * SECOND)

    assert place.offers()[2:] == [
        ("v2", place.ann, MORNING + 20 * SECOND),
        ("v3", place.bob, MORNING + 20 * SECOND),
        ("v4", place.ann, MORNING + 40 * SECOND),
    ]
    assert place.timers(clockwork.LINE) == {clockwork.HOURS: EVENING + DAY}


def test_who_writes_while_the_night_is_being_worked_off_stands_behind_it(places):
    """And is then offered without a pace."""
    place = places(people=1)
    for number in range(3):
        place.say(f"v{number}")
    place.until(MORNING + SECOND)
    place.say("day")
    place.until(MORNING + MINUTE - SECOND)

    assert [(key, (at - MORNING).seconds) for key, _, at in place.offers()] == [("v0", 0), ("v1", 20), ("v2", 40), ("day", 40)]


def test_a_night_of_many_pages_is_overtaken_by_nobody(places):
    """Who wrote after the opening stands behind a hundred others, beyond what the distributor reads at a time."""
    place = places(people=1)
    for number in range(distributor.PAGE + 1):
        place.accept(f"v{number:03}")
    place.go_on()
    place.until(MORNING + SECOND)
    place.say("day")
    place.until(MORNING + 41 * SECOND)

    assert [key for key, *_ in place.offers()] == ["v000", "v001", "v002"]


def test_a_line_may_open_as_fast_as_capacity_allows(places):
    """Pace 0: four chats each, at nine."""
    place = places(opening_pace_seconds=0)
    for number in range(9):
        place.say(f"v{number}")
    place.until(MORNING)

    assert [at for *_, at in place.offers()] == [MORNING] * 8


def test_the_pace_of_yesterday_is_none_of_today(places):
    """Each morning begins at once."""
    place = places()
    waits = [place.say(f"v{number}") for number in range(3)]
    place.until(MORNING)
    assert place.state()[2] == MORNING + 20 * SECOND
    for conversation, who in zip(waits, (place.ann, place.bob, place.bob), strict=True):
        place.do(who, conversation, Take)
    place.until(MORNING + DAY)

    assert place.state() == (True, None, None)


def test_an_opening_begins_again_with_whom_everybody_had_let_pass(places):
    """Rounds that were over in the evening: whoever came online at night is asked in the morning, though nothing changes then."""
    place = places(EVENING - timedelta(minutes=5), people=1, rounds=1, no_answer_seconds=0)
    conversation = place.say("eve")
    place.do(place.ann, conversation, Decline)
    place.set(place.ann, OFFLINE)
    place.until(NIGHT)
    place.set(place.ann, ONLINE)
    place.until(MORNING)

    assert [at for *_, at in place.offers()] == [EVENING - timedelta(minutes=5), MORNING]


def test_an_opening_with_nobody_there_is_explained_when_the_time_to_an_answer_has_passed(places):
    """Counted from the opening: at night they were told already; and once."""
    place = places()
    for who in place.people:
        place.set(who, OFFLINE)
    conversation = place.say("eve")
    place.until(MORNING + MINUTE - SECOND)
    assert BUSY not in place.told(conversation)
    place.until(MORNING + DAY)

    assert place.told(conversation).count(BUSY) == 1
    place.set(place.ann, ONLINE)
    assert place.status(conversation) == "offered"


def test_the_responsible_has_their_time_from_the_opening(places):
    """A known customer of the night is their operator's at nine; when they let it pass it is everybody's."""
    place = places()
    place.say("eve", responsible=place.bob)
    place.until(MORNING + MINUTE)

    assert place.offers() == [("eve", place.bob, MORNING), ("eve", place.ann, MORNING + MINUTE)]


def test_what_everybody_reads_follows_the_hours(places):
    """The line's state and the journal's news: open or not, and when it opens."""
    place = places()
    assert place.state() == (False, MORNING, None)
    place.until(MORNING)
    assert place.state() == (True, None, None)
    place.until(EVENING + DAY)
    assert place.state() == (False, MORNING + DAY, None)

    news = [json.loads(row[0]) for row in place.store.rows("SELECT body FROM journal WHERE kind = 'hours' ORDER BY id")]
    assert [each["open"] for each in news] == [True, False]
    assert {each["line"] for each in news} == {place.line}


# --- the closing


def test_a_closing_line_stops_offering(places):
    """What is offered may still be taken until its deadline; what comes back waits for the morning."""
    place = places(EVENING - 30 * SECOND)
    first, second = place.say("eve"), place.say("fay")
    place.until(EVENING + 10 * SECOND)
    place.do(place.ann, first, Decline)
    place.do(place.ann, second, Take)
    assert (place.status(first), place.status(second)) == ("queued", "active")
    place.until(MORNING)

    assert place.offers()[2:] == [("eve", place.bob, MORNING)]


def test_who_waits_when_the_line_closes_is_told_when_it_opens(places):
    """Once, whoever of them; in the morning they come before those who wrote at night, and nobody hears twice that all are busy."""
    place = places(EVENING - MINUTE, people=1)
    place.set(place.ann, OFFLINE)
    waits = [place.say(f"v{number}") for number in range(3)]
    place.until(EVENING + MINUTE)
    place.set(place.ann, ONLINE)
    place.set(place.ann, OFFLINE)
    place.say("night")
    place.until(MORNING - MINUTE)

    for conversation in waits:
        assert [text for text in place.told(conversation) if "We open" in text] == place.told(conversation)[-1:]
        assert "We open tomorrow at 09:00." in place.told(conversation)[-1]
    assert place.offers() == []
    place.set(place.ann, ONLINE)
    place.until(MORNING + 2 * MINUTE)
    assert [key for key, *_ in place.offers()][:3] == ["v0", "v1", "v2"]


def test_what_is_offered_when_the_line_closes_comes_back_to_a_closed_queue(places):
    """The offer runs its time; whoever nobody took then is told when the line opens."""
    place = places(EVENING - SECOND)
    conversation = place.say("eve")
    place.until(EVENING + 30 * SECOND)
    assert (place.status(conversation), [text for text in place.told(conversation) if "We open" in text]) == ("offered", [])
    place.until(EVENING + 2 * MINUTE)

    assert place.status(conversation) == "queued"
    assert "We open tomorrow at 09:00." in place.told(conversation)[-1]


def test_who_waits_learns_of_other_hours_only_while_the_line_is_closed(places):
    """Another opening is told to all who wait for it; a change that leaves it where it was says nothing."""
    place = places(hours={"zone": "UTC"})
    conversation = place.say("eve")
    place.change(hours=OFFICE)
    place.change(hours=OFFICE, welcome_text={"en": "Hi"})

    assert ["We open tomorrow at 09:00." in text for text in place.told(conversation)] == [False, True]
    place.change()
    assert len(place.told(conversation)) == 2


def test_a_line_with_many_who_wait_closes_piece_by_piece(places, monkeypatch):
    """A step tells some of them, the next the rest: no transaction grows with the queue."""
    monkeypatch.setattr(distributor, "TOLD_MAX", 4)
    place = places(EVENING - MINUTE, people=0)
    waits = [place.say(f"v{number}") for number in range(10)]
    place.clock.move(MINUTE)
    place.store.write(lambda tx: clockwork.line_due(tx, place.line, place.house))

    told = []
    while place.store.write(distributor.marked):
        place.store.write(partial(distributor.step, line_id=place.line, house=place.house))
        told.append(sum("We open" in place.told(conversation)[-1] for conversation in waits))
    assert told == [4, 8, 10]


def test_a_line_that_opens_before_its_time_keeps_nobody_for_the_old_one(places):
    """An administrator opens it on a Saturday: what waits for a skill or its responsible does not wait until Monday for them."""
    place = places(MORNING + 4 * DAY, skills=("billing",), skill_seconds=120, responsible_seconds=60)
    place.store.change("UPDATE budgets SET budget = 25 WHERE operator_id = ?", place.ann)
    place.start()
    plain = place.say("eve")
    theirs = place.say("fay", responsible=place.ann)
    began = place.clock.now()
    place.change(skills=("billing",), skill_seconds=120, responsible_seconds=60)
    place.until(began + 5 * MINUTE)

    assert {(key, at) for key, _, at in place.offers()} >= {("eve", began + 2 * MINUTE), ("fay", began)}
    assert (place.status(plain), place.status(theirs)) != ("queued", "queued")


@pytest.mark.parametrize("rounds", [1, 3])
def test_what_nobody_wanted_last_night_is_offered_in_the_morning_also_behind_the_pace(places, rounds):
    """The opening renews the rounds of all who wait, not only of the first of them."""
    place = places(EVENING - 30 * MINUTE, people=1, opening_pace_seconds=20, rounds=rounds)
    first, second = place.say("eve"), place.say("fay")
    place.until(EVENING - MINUTE)
    assert (place.status(first), place.status(second)) == ("queued", "queued")
    place.until(MORNING)
    place.do(place.ann, first, Take)
    place.until(MORNING + MINUTE)

    assert [(key, at) for key, _, at in place.offers() if at >= MORNING] == [("eve", MORNING), ("fay", MORNING + 20 * SECOND)]


def test_a_seat_that_comes_back_is_offered_everything_it_had_let_pass(places):
    """There is room for one at a time: whatever the first of them does, the change was also for the next."""
    place = places(MORNING, people=1, rounds=1)
    place.store.change("UPDATE budgets SET budget = 25")
    place.start()
    first, second = place.say("eve"), place.say("fay")
    place.until(MORNING + 10 * MINUTE)
    assert (place.status(first), place.status(second)) == ("queued", "queued")
    place.set(place.ann, OFFLINE)
    place.set(place.ann, ONLINE)
    assert place.status(first) == "offered"
    place.do(place.ann, first, Decline)

    assert place.status(second) == "offered"


@pytest.mark.parametrize("rule", NoAnswer)
def test_supervisors_learn_that_a_line_has_opened_and_nobody_is_there(places, rule):
    """Whatever the line says to customers; once for each who waits."""
    place = places(people=1, no_answer_does=rule)
    place.set(place.ann, OFFLINE)
    waits = [place.say("eve"), place.say("fay")]
    place.until(MORNING - SECOND)
    assert place.alerts() == 0
    place.until(MORNING)

    assert place.alerts() == 2
    place.set(place.ann, ONLINE)
    place.set(place.ann, OFFLINE)
    place.until(MORNING + 3 * MINUTE)
    assert (BUSY in place.told(waits[1])) is (rule is not NoAnswer.NOTHING)
    assert place.told(waits[1]).count(BUSY) <= 1


@pytest.mark.parametrize("how", [PresenceState.AWAY, OFFLINE, "shift"])
def test_supervisors_learn_that_the_last_one_has_gone(places, how):
    """Who waits for a round was told nothing yet; then there is nobody any more."""
    at = MORNING + timedelta(hours=8, minutes=-1)  # a minute to four
    place = places(at, people=1, shifts=SHIFT)
    conversation = place.say("eve")
    place.do(place.ann, conversation, Decline)
    assert (place.status(conversation), place.alerts(), BUSY in place.told(conversation)) == ("queued", 0, False)
    if how == "shift":
        place.until(at + MINUTE)
    else:
        place.set(place.ann, how)

    assert (place.alerts(), BUSY in place.told(conversation)) == (1, True)


def test_a_welcome_may_tell_the_place_in_the_queue(places):
    """The first is the next; a line that does not say it counts nobody."""
    place = places(MORNING, people=0, welcome_text={"en": "You are number {queue.position}."}, no_answer_seconds=0)

    assert [place.told(place.say(f"v{number}"))[0] for number in range(3)] == [f"You are number {n}." for n in (1, 2, 3)]


def test_nobody_hears_that_nobody_is_there_while_somebody_is(places):
    """At the opening somebody has room for one: those behind are in the queue of people who work it off."""
    place = places(people=1)
    place.store.change("UPDATE budgets SET budget = 25")
    place.start()
    for number in range(3):
        place.say(f"v{number}")
    place.until(MORNING)

    assert (place.alerts(), len(place.offers())) == (0, 1)


def test_a_pile_of_another_pools_marks_hinders_nobody(places):
    """A pool reads its own."""
    place = places(MORNING)
    other = place.store.write(lambda tx: add_line(tx, "other"))
    place.accept("eve")

    def pile(tx: Tx) -> None:
        for _ in range(10_001):
            mark_pool(tx, other, "x")

    place.store.write(pile)
    for conversation in place.store.write(undecided):
        place.store.write(partial(worker.step, conversation_id=conversation, house=place.house))

    assert place.store.write(partial(distributor.step, line_id=place.line, house=place.house)) == 1


def test_a_session_that_nobody_can_read_holds_back_nobody_else(places):
    """It is named in the log; what stands behind it is offered."""
    place = places(MORNING)
    for one in place.people:
        place.set(one, OFFLINE)
    broken, sound = place.say("eve"), place.say("fay")
    place.make_unreadable(broken)
    with structlog.testing.capture_logs() as logged:
        place.set(place.ann, ONLINE)

    assert place.status(sound) == "offered"
    assert {one["session_id"] for one in logged if one["event"] == "session_unreadable"} == {
        place.store.one("SELECT session_id FROM conversations WHERE id = ?", broken)
    }
    place.make_readable()


def test_a_page_with_one_that_nobody_can_read_is_no_shorter_page(places):
    """What stands behind a page that nobody can take yet is looked at all the same."""
    place = places(MORNING, people=1, match_language=True)
    place.set(place.ann, OFFLINE)
    waits = [place.say(f"v{number}", language="fi") for number in range(distributor.PAGE)]
    last = place.say("last", language="en")
    place.make_unreadable(waits[0])
    place.set(place.ann, ONLINE)

    assert place.status(last) == "offered"
    place.make_readable()


def test_every_field_that_a_text_may_name_is_filled_in(places):
    """What the settings allow and what is said are one list."""
    place = places(MORNING, people=0, welcome_text={"en": " ".join(f"<{{{name}}}>." for name in REPLY_FIELDS)})
    said = place.told(place.say("eve", language="en"))[0]

    # It is open, so that when it opens is not said.
    assert (said.count("<"), "{" in said) == (len(REPLY_FIELDS) - 1, False)


def test_a_date_of_its_own_goes_before_the_week(places):
    """The Tuesday is from noon to two; the customer is told so, and it is so."""
    noon = MORNING + timedelta(hours=3)
    place = places(hours={**OFFICE, "dates": [{"on": "2026-03-03", "open": ["12:00-14:00"], "reason": "stocktaking"}]})
    conversation = place.say("eve")
    assert "tomorrow at 12:00" in place.told(conversation)[0]
    place.until(noon)
    assert place.offers() == [("eve", place.ann, noon)]
    place.until(noon + timedelta(hours=2))

    assert place.state() == (False, MORNING + DAY, None)


# --- shifts


def test_who_is_off_shift_is_offered_nothing_until_their_shift_begins(places):
    """Online though they are; and at its first instant they are, without anybody's looking."""
    begins = MORNING + timedelta(hours=4)
    place = places(MORNING, people=1, shifts=SHIFT)
    conversation = place.say("eve")
    assert (place.offers(), place.timers(clockwork.SHIFT)) == ([], {clockwork.HOURS: begins})
    place.until(begins)

    assert place.offers() == [("eve", place.ann, begins)]
    assert place.timers(clockwork.SHIFT) == {clockwork.HOURS: begins + timedelta(hours=4)}
    place.do(place.ann, conversation, Take)
    place.until(begins + timedelta(hours=4))
    place.say("fay")
    assert len(place.offers()) == 1


def test_off_shift_others_have_it(places):
    """The reason says so."""
    place = places(MORNING, shifts=SHIFT)
    place.say("eve")
    (body,) = [row[0] for row in place.store.rows("SELECT body FROM journal WHERE kind = 'distribution'")]

    assert json.loads(body)["result"]["offers"][0]["reasons"] == [[place.ann, "off_shift"], [place.bob, "chosen"]]


def test_the_end_of_a_shift_offers_nothing(places):
    """A seat less is no reason to ask anybody: only to look whether anybody is left."""
    place = places(MORNING + timedelta(hours=4), shifts=SHIFT)
    place.say("eve")
    offers = place.offers()
    place.clock.move(timedelta(hours=4))
    place.store.write(lambda tx: clockwork.shift_due(tx, place.ann, place.house))
    place.go_on()

    assert (place.offers(), place.alerts()) == (offers, 0)


# --- nobody there


def test_when_nobody_can_be_asked_the_customer_is_told_at_once_and_once(places):
    """Everybody is full: no minute of silence, and no second text when it has passed."""
    place = places(MORNING, people=1, weights=Weights(chat=50))
    for key in ("eve", "fay"):
        place.do(place.ann, place.say(key), Take)
    conversation = place.say("gus")
    assert place.told(conversation)[1:] == [BUSY]
    place.say("gus")
    place.until(MORNING + timedelta(hours=1))

    assert place.told(conversation)[1:] == [BUSY]


def test_who_found_the_last_room_taken_is_told_too(places):
    """Two write at once and one seat is left: the second is not offered and knows it."""
    place = places(MORNING, people=1, weights=Weights(chat=50))
    place.do(place.ann, place.say("eve"), Take)

    def build(tx: Tx) -> None:
        desk = add_line(tx, "desk")
        add_operator(tx, "cat", [place.line, desk], state=OFFLINE)
        add_operator(tx, "dan", [desk])

    # Another line of the pool has somebody free, who has no seat here.
    place.store.write(build)
    place.start()
    first, second = place.accept("fay"), place.accept("gus")
    place.go_on()

    assert (place.status(first), place.status(second)) == ("offered", "queued")
    assert (place.told(first)[1:], place.told(second)[1:]) == ([], [BUSY])


def test_whom_a_round_keeps_waiting_is_not_told_that_all_are_busy(places):
    """Somebody is there and let it pass: they are asked again in a moment."""
    place = places(MORNING, people=1)
    conversation = place.say("eve")
    place.do(place.ann, conversation, Decline)

    assert (place.status(conversation), BUSY in place.told(conversation)) == ("queued", False)


def test_a_line_without_seats_keeps_and_tells(places):
    """An empty queue loses nobody: the first who is given a seat has it at once."""
    place = places(MORNING, people=0)
    conversation = place.say("eve")
    assert (place.status(conversation), place.told(conversation)[1:]) == ("queued", [BUSY])

    def seat(tx: Tx) -> OperatorId:
        cat = add_operator(tx, "cat", [place.line])
        mark_pool(tx, place.line, "seats changed", seats=True)
        return cat

    cat = place.store.write(seat)
    place.start()

    assert place.offers() == [("eve", cat, MORNING)]


# --- changes of settings


def test_outstanding_offers_keep_their_deadline_when_the_rule_changes(places):
    """The strategy and the time to answer change: what was promised stands, the next goes by the new rule."""
    place = places(MORNING, hours=None)
    first = place.say("eve")
    place.clock.move(10)
    place.change(distribution=Distribution.ALL_AT_ONCE, offer_seconds=120)
    place.say("fay")

    until = (
        "SELECT c.key, o.operator_id, o.until_us FROM offers o JOIN sessions s ON s.id = o.session_id "
        "JOIN conversations c ON c.id = s.conversation_id ORDER BY o.id"
    )
    at = MORNING + 10 * SECOND
    assert place.store.rows(until) == [
        ("eve", place.ann, to_us(MORNING + MINUTE)),
        ("fay", place.ann, to_us(at + 2 * MINUTE)),
        ("fay", place.bob, to_us(at + 2 * MINUTE)),
    ]
    place.until(MORNING + MINUTE)
    assert place.status(first) == "offered"
    assert place.store.rows(until)[3:] == [("eve", place.bob, to_us(MORNING + 3 * MINUTE))]


def test_new_hours_open_a_line_at_once(places):
    """And close it at once, and are gone at once; each is told in the journal."""
    place = places()
    conversation = place.say("eve")
    place.change(distribution=Distribution.STRICTLY, hours={**OFFICE, "zone": "Asia/Tokyo"})
    # Seven in the morning in Tokyo.
    assert (place.state()[0], place.timers(clockwork.LINE)) == (False, {clockwork.HOURS: MORNING - timedelta(hours=8)})
    place.change(distribution=Distribution.STRICTLY)
    assert (place.state()[0], place.timers(clockwork.LINE), place.status(conversation)) == (True, {}, "offered")
    place.change(hours=OFFICE)

    assert place.state() == (False, MORNING, None)
    assert place.store.one("SELECT count(*) FROM journal WHERE kind = 'hours'") == 2


def test_what_was_distributed_by_the_settings_before_is_distributed_again(places):
    """The mark of a change may be taken by a distributor that has not read it yet: reading it is a mark itself."""
    place = places(MORNING, people=1, shifts=SHIFT)
    place.say("eve")
    place.store.change("UPDATE operators SET hours = NULL")
    place.store.write(lambda tx: mark_pool(tx, place.line, "a person changed", seats=True))
    place.go_on()
    assert place.offers() == []
    place.start()

    assert place.offers() == [("eve", place.ann, MORNING)]
    assert place.timers(clockwork.SHIFT) == {}


def test_a_start_after_an_opening_that_was_slept_through_opens(places):
    """The process was down from the evening to ten: what waits is offered at the start."""
    place = places()
    place.say("eve")
    late = MORNING + timedelta(hours=1)
    place.clock.set(late)
    place.start()

    assert (place.offers(), place.state()[0]) == ([("eve", place.ann, late)], True)
    assert place.timers(clockwork.LINE) == {clockwork.HOURS: EVENING + DAY}


def test_a_timer_of_a_line_that_is_gone_does_nothing(places):
    """It was switched off or never was."""
    place = places()
    before = place.store.rows("SELECT * FROM timers")
    place.store.write(lambda tx: clockwork.line_due(tx, "nowhere", place.house))
    place.store.write(lambda tx: clockwork.shift_due(tx, "nobody", place.house))

    assert place.store.rows("SELECT * FROM timers") == before


def test_the_timekeeper_follows_the_settings(tmp_path: Path):
    """It keeps time when it starts and whenever the settings have changed, and not in between."""

    async def play() -> list[Any]:
        store = open_store(tmp_path, clock=MovedClock(NIGHT))
        line = await store.write(lambda tx: add_line(tx, hours=OFFICE))
        house = await store.read(load_house)
        kept = asyncio.Event()

        class Heard:
            """The store, which says when something was written."""

            async def write(self, work: Any) -> Any:
                done = await store.write(work)
                kept.set()
                return done

        keeper = clockwork.Timekeeper(Heard(), lambda: house, free)  # type: ignore[arg-type]
        running = asyncio.create_task(keeper.run())
        seen = []
        for hours in (None, {**OFFICE, "zone": "UTC"}):
            await asyncio.wait_for(kept.wait(), 10)
            kept.clear()
            seen.append(await store.read(lambda tx: plain(tx, "SELECT open, opens_us FROM line_state").fetchall()))
            body = msgspec.json.encode(LineSettings(hours=hours)).decode()
            await store.write(lambda tx, to=body: plain(tx, "UPDATE lines SET settings = ? WHERE id = ?", to, line).rowcount)  # type: ignore[misc]
            house = await store.read(load_house)
            keeper.settings_changed(house.directory)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()
        return seen

    assert asyncio.run(play()) == [[(0, to_us(MORNING))], [(1, None)]]


def test_a_timekeeper_that_has_lost_the_lease_changes_nothing(tmp_path: Path):
    """Whoever took over may know newer settings: no line is opened, no timer set and no pool marked by those of before."""

    async def play() -> tuple[list[Any], list[Any]]:
        store = open_store(tmp_path, clock=MovedClock(NIGHT))
        await store.write(lambda tx: add_operator(tx, "ann", [add_line(tx, hours=OFFICE)]))
        house = await store.read(load_house)

        def rows(tx: Tx) -> list[Any]:
            tables = ("line_state", "timers", "pool_marks", "journal")
            return [plain(tx, f"SELECT * FROM {table}").fetchall() for table in tables]  # noqa: S608

        def lost(tx: Tx) -> None:
            raise LeaseLost("timers")

        try:
            before = await store.read(rows)
            with pytest.raises(LeaseLost):
                await asyncio.wait_for(clockwork.Timekeeper(store, lambda: house, lost).run(), 10)
            return before, await store.read(rows)
        finally:
            await store.close()

    before, after = asyncio.run(play())
    assert before == after


# --- clocks that jump


def test_a_clock_that_jumps_a_day_ahead_loses_nothing(places):
    """Whatever fell due meanwhile happens once, oldest first: the offer ran out, the customer was told, the line opened and closed."""
    place = places(EVENING - 30 * SECOND)
    offered = place.say("eve")
    for who in place.people:
        place.set(who, OFFLINE)
    place.until(EVENING + MINUTE)
    kept = place.say("fay")
    place.until(MORNING - MINUTE)
    for who in place.people:
        place.set(who, ONLINE)
    place.jump(MORNING + DAY)

    inputs = place.store.rows("SELECT event FROM inputs WHERE origin = 'timer' ORDER BY conversation_id, seq")
    kinds = [json.loads(row[0])["type"] for row in inputs]
    assert kinds == ["no_answer_due", "offer_expired", "no_answer_due"]
    assert [(key, at) for key, _, at in place.offers()[1:]] == [("eve", MORNING + DAY), ("fay", MORNING + DAY)]
    assert (place.told(offered).count(BUSY), place.told(kept).count(BUSY)) == (1, 1)
    assert place.timers(clockwork.LINE) == {clockwork.HOURS: EVENING + 2 * DAY}


def test_a_pace_and_a_closing_that_are_due_together_are_both_kept(places):
    """A process that slept from nine in the morning to the evening finds both."""
    place = places(people=1)
    for number in range(3):
        place.say(f"v{number}")
    place.until(MORNING)
    assert set(place.timers(clockwork.LINE)) == {clockwork.HOURS, clockwork.PACE}
    place.jump(NIGHT + DAY)

    assert place.state()[:2] == (False, MORNING + DAY)
    assert place.timers(clockwork.LINE) == {clockwork.HOURS: MORNING + DAY}


def test_a_clock_that_is_set_back_an_hour_opens_the_line_a_second_time(places):
    """Closed again until nine comes again; what was written in between is told so, and offered then."""
    place = places(MORNING)
    place.clock.move(timedelta(minutes=10))
    place.clock.set(MORNING - timedelta(minutes=50))
    conversation = place.say("eve")
    assert (place.offers(), place.state()[:2]) == ([], (False, MORNING))
    assert "today at 09:00" in place.told(conversation)[0]
    place.until(MORNING)

    assert place.offers() == [("eve", place.ann, MORNING)]
    assert place.state()[0]


def test_a_clock_that_is_set_back_an_hour_begins_the_shift_a_second_time(places):
    """The seat is none until then, and is one at its first instant."""
    begins = MORNING + timedelta(hours=4)
    place = places(begins, people=1, shifts=SHIFT)
    place.clock.move(timedelta(minutes=10))
    place.clock.set(begins - timedelta(minutes=50))
    place.say("eve")
    assert place.offers() == []
    place.until(begins)

    assert place.offers() == [("eve", place.ann, begins)]


def test_a_clock_that_is_set_back_fires_nothing_twice(places):
    """An offer ends by its stored moment, an hour late by the clock; what has happened does not happen again."""
    noon = MORNING + timedelta(hours=4)
    place = places(noon)
    passed = place.say("eve")
    place.until(noon + MINUTE)
    fresh = place.say("fay")
    place.until(noon + 90 * SECOND)
    assert place.offers() == [("eve", place.ann, noon), ("eve", place.bob, noon + MINUTE), ("fay", place.ann, noon + MINUTE)]
    told = place.told(passed)
    place.jump(noon + 90 * SECOND - timedelta(hours=1))
    place.until(noon + 2 * MINUTE - timedelta(microseconds=1))

    assert (place.status(passed), place.status(fresh), len(place.offers())) == ("offered", "offered", 3)
    assert place.told(passed) == told
    place.until(noon + 10 * MINUTE)
    ended = place.store.rows("SELECT o.until_us, o.ended_us FROM offers o WHERE o.ended_us IS NOT NULL")
    assert len(ended) > 3
    assert all(until == at for until, at in ended)
    assert place.store.one("SELECT count(*) - count(DISTINCT external_id) FROM inputs WHERE origin = 'timer'") == 0


def test_what_is_written_in_the_hour_that_comes_twice_is_offered(places):
    """A line without hours knows no such hour: it goes on, and a customer of the first one still has their turn."""
    place = places(MORNING, hours=None, people=1, weights=Weights(chat=50))
    for key in ("eve", "fay"):
        place.do(place.ann, place.say(key), Take)
    first = place.say("gus")
    place.jump(MORNING - timedelta(hours=1))
    second = place.say("hal")
    held = place.store.rows("SELECT conversation_id FROM sessions WHERE status = 'active'")
    for (conversation,) in held:
        place.do(place.ann, conversation, Close)

    assert (place.status(first), place.status(second)) == ("offered", "offered")
