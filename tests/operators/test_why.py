"""Why me? Stories decided by the shipped worker and distributor, told as a person reads them, in both languages."""

from __future__ import annotations

import ast
import inspect
import string
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import ModuleType
from typing import Any, get_args

import pytest

from broker import inbound, timers
from broker.access.authorize import Actor
from broker.domain import (
    CallMenu,
    CallSettings,
    ConversationId,
    Distribution,
    KeyDoes,
    LineId,
    LineSettings,
    LoadKind,
    MenuKey,
    MessageId,
    NoAnswer,
    OperatorId,
    Outside,
    OutsideCalls,
    Person,
    PresenceState,
    Role,
    SessionId,
    UnansweredCalls,
)
from broker.errors import NotFound
from broker.events import (
    AsksCallback,
    CallEnded,
    Close,
    Consult,
    ConsultAnswered,
    ConsultEnded,
    CustomerNotReached,
    CustomerReached,
    Decline,
    ForwardEnded,
    Hold,
    HoldFailed,
    Incoming,
    Invite,
    Join,
    KeyPressed,
    LeaveSession,
    Listen,
    ListenBegan,
    ListenEnded,
    OperatorGone,
    Reply,
    Resume,
    RingAnswered,
    RingEnded,
    SessionEvent,
    Settle,
    Snooze,
    Spam,
    Take,
    TakeOver,
    TalkEnded,
    TalkMoved,
    Transfer,
)
from broker.ports import Tx
from broker.store import directory
from operators import presence, why, why_rows, why_words
from operators.why_rest import SEATS_MAX, SPAN, SPANS_MAX, Routing, routing_of
from routing import applying, clockwork, distribution, distributor, engine, worker
from routing.applying import timer_fired
from routing.distributor import marked
from tests.simulation.world import World
from tests.support import house
from tests.support.channels import FakeChannel, wrote
from tests.support.clock import NOON, MovedClock
from tests.support.store import MemoryStore

ONLINE, AWAY, OFFLINE = PresenceState.ONLINE, PresenceState.AWAY, PresenceState.OFFLINE
MORNING = {"zone": "UTC", "week": {"mon": ["12:10-18:00"]}}


def _supervisor(language: str) -> Actor:
    return Actor(OperatorId("sue"), "sue", "Sue", Role.SUPERVISOR, language, password_generated=False, lines=None)


class Shop:
    """A line `Shop` and people in its queue in the order they are named; everything that follows from a deed is decided at once."""

    def __init__(self, *people: str, loads: LoadKind = LoadKind.CHAT, **settings: Any) -> None:
        self.clock = MovedClock()
        self.store = MemoryStore(self.clock)
        self.ids: dict[str, OperatorId] = {}
        self.load = loads

        def build(tx: Tx) -> None:
            self.line = house.add_line(tx, **{"offer_seconds": 60, **settings})
            self.channel = FakeChannel(house.add_channel(tx, self.line), self.line)

        self.store.write(build)
        for position, login in enumerate(people):
            self.ids[login] = self.store.write(lambda tx: house.add_operator(tx, login, [self.line], position=position))  # noqa: B023
        self.store.write(lambda tx: clockwork.keep_time(tx, self.house(tx)))
        self._numbers = iter(range(100_000))
        self.go_on()

    def house(self, tx: Tx) -> applying.House:
        """Return the house as its settings are now."""
        return house.load_house(tx, {self.channel.id: self.load})

    def change(self, who: str, **values: Any) -> None:
        """Write columns of a person."""
        for name, value in values.items():
            table = "budgets" if name in ("budget", "reserved") else "operators"
            key = "operator_id" if table == "budgets" else "id"
            self.store.change(f"UPDATE {table} SET {name} = ? WHERE {key} = ?", value, self.ids[who])  # noqa: S608

    def go_on(self) -> None:
        """Decide and distribute what there is."""
        known = self.store.write(self.house)
        while True:
            inputs, pools = self.store.write(inbound.undecided), self.store.write(marked)
            if not inputs and not pools:
                return
            for conversation in inputs:
                self.store.write(partial(worker.step, conversation_id=conversation, house=known))
            for line in pools:
                self.store.write(partial(distributor.step, line_id=line, house=known))

    def say(self, key: str = "v", *, responsible: str = "") -> ConversationId:
        """Have the customer *key* write; *responsible*: whose customer they are."""
        prepared = inbound.prepare(self.channel, [wrote(f"{key}{next(self._numbers)}", key, "hello")], LineSettings())
        (accepted,) = self.store.write(lambda tx: inbound.accept(tx, self.channel.id, prepared))
        assert accepted.conversation_id is not None
        if responsible:
            self.store.change("UPDATE contacts SET responsible_id = ?", self.ids[responsible])
        self.go_on()
        return accepted.conversation_id

    def do(self, who: str, conversation: ConversationId, deed: Any, **more: Any) -> None:
        """Have somebody do a deed."""
        command, operator = f"k{next(self._numbers)}", self.ids[who]
        self.store.write(
            lambda tx: inbound.enter(
                tx,
                "console",
                command,
                conversation,
                lambda at: deed(at=at, operator_id=operator, command=command, **more),
                b"words",
            )
        )
        self.go_on()

    def tell(self, conversation: ConversationId, what: type[Any], **more: Any) -> None:
        """Have the telephone tell something."""
        self.store.write(
            lambda tx: inbound.enter(tx, "phone", f"t{next(self._numbers)}", conversation, lambda at: what(at=at, **more))
        )
        self.go_on()

    def reply(self, who: str, conversation: ConversationId) -> None:
        """Have somebody answer."""
        self.do(who, conversation, Reply, message_id=MessageId(f"m{next(self._numbers)}"))

    def vanish(self, who: str, conversation: ConversationId) -> None:
        """Let somebody who holds the session be gone for longer than the grace."""
        gone = partial(OperatorGone, operator_id=self.ids[who], vanished=True)
        self.store.write(lambda tx: inbound.enter(tx, "presence", who, conversation, lambda at: gone(at=at)))
        self.go_on()

    def set(self, who: str, state: PresenceState) -> None:
        """Let somebody choose where they are."""
        self.store.write(lambda tx: presence.set_presence(tx, self.ids[who], state))
        self.go_on()

    def wait(self, seconds: float) -> None:
        """Let time pass, and fire what falls due."""
        until = self.clock.now() + timedelta(seconds=seconds)
        known = self.store.write(self.house)
        fire = {
            presence.TIMER_OWNER: presence.grace_over,
            applying.TIMER_OWNER: timer_fired,
            clockwork.LINE: lambda tx, owner, *_: clockwork.line_due(tx, owner, known),
            clockwork.SHIFT: lambda tx, owner, *_: clockwork.shift_due(tx, owner, known),
        }
        while (due := self.store.write(timers.earliest)) is not None and due <= until:
            self.clock.move(max(due - self.clock.now(), timedelta(0)))
            self.store.write(lambda tx: timers.fire_due(tx, fire))
            self.go_on()
        self.clock.move(until - self.clock.now())

    def session(self, conversation: ConversationId) -> str:
        """Return the conversation's latest session."""
        return str(self.store.one("SELECT session_id FROM conversations WHERE id = ?", conversation))

    def page(self, conversation: ConversationId, language: str = "en", cursor: int | None = None, session: str = "") -> Routing:
        """Return a page of the story."""
        session = session or self.session(conversation)
        return self.store.write(lambda tx: routing_of(tx, _supervisor(language), directory.load(tx), session, cursor))

    def story(self, conversation: ConversationId, language: str = "en") -> list[str]:
        """Return the story as its sentences, from its beginning."""
        return [decision.text for decision in reversed(self.page(conversation, language).decisions)]

    def latest(self, conversation: ConversationId, kind: str, language: str = "en") -> why.RoutingDecision:
        """Return the latest decision of *kind*."""
        return next(one for one in self.page(conversation, language).decisions if one.kind == kind)

    def seats(self, conversation: ConversationId, kind: str = "offered", language: str = "en") -> dict[str, tuple[str, str]]:
        """Return why and in which words each seat of the latest decision of *kind* was chosen or passed over."""
        return {seat.name: (seat.why, seat.text) for seat in self.latest(conversation, kind, language).seats}


# --- stories


def test_a_session_that_two_are_asked_about():
    """From the opening to the closing: who was asked by which rule, who declined, who did not answer, who has it."""
    shop = Shop("ann", "bob", rounds=2)
    session = shop.say()
    shop.do("ann", session, Decline)
    shop.wait(60)
    shop.do("ann", session, Take)
    shop.do("ann", session, Close, outcome="helped")

    assert shop.story(session) == [
        "A new session. It waits in the line “Shop”.",
        "Offered to Ann: of those who can take it, nobody has waited longer for their turn.",
        "Ann declined. It goes on to the next.",
        "Offered to Bob: of those who can take it, nobody has waited longer for their turn.",
        "Bob did not answer in time. It goes on.",
        "Offered to Ann: of those who can take it, nobody has waited longer for their turn. Round 2 of 2.",
        "Ann took it.",
        "Ann closed it. Outcome: helped.",
    ]
    assert shop.story(session, "ru-RU") == [
        "Новый диалог. Он ждёт в линии «Shop».",
        "Диалог предложен: Ann. Из тех, кто может его взять, никто не ждёт своей очереди дольше.",
        "Ann отказывается. Диалог идёт дальше.",
        "Диалог предложен: Bob. Из тех, кто может его взять, никто не ждёт своей очереди дольше.",
        "Ответа вовремя нет: Bob. Диалог идёт дальше.",
        "Диалог предложен: Ann. Из тех, кто может его взять, никто не ждёт своей очереди дольше. Круг 2 из 2.",
        "Ann берёт диалог.",
        "Ann закрывает диалог. Итог: helped.",
    ]


def test_a_decision_names_its_rule_its_versions_and_what_became_of_it():
    """When, by which rule, settings and engine, to whom and until when, and how each offer ended."""
    shop = Shop("ann", "bob", distribution=Distribution.ALL_AT_ONCE)
    session = shop.say()
    shop.wait(5)
    shop.do("bob", session, Take)
    page = shop.page(session)
    offered = page.decisions[1]

    assert (offered.at, offered.kind, offered.rule) == (NOON, "offered", "all_at_once")
    assert (offered.settings_version, offered.engine, offered.offer_no) == (1, engine.ENGINE, 1)
    assert (offered.chosen, offered.until) == ([shop.ids["ann"], shop.ids["bob"]], NOON + timedelta(seconds=60))
    assert [(one.name, one.state, one.text) for one in offered.offers] == [
        ("Ann", "withdrawn", "The offer was withdrawn."),
        ("Bob", "taken", "Took it."),
    ]
    assert [one.ended_at for one in offered.offers] == [NOON + timedelta(seconds=5)] * 2
    assert offered.text == ("Offered at once to everybody who can take it, 2 people: Ann, Bob. Whoever takes it first has it.")
    assert page.decisions[0].chosen == [shop.ids["bob"]]
    assert [seat.why for seat in offered.seats] == ["chosen", "chosen"]


def test_each_decision_names_the_settings_of_its_moment():
    """Whoever made it, a distribution or not: what was decided before a change keeps the version of before."""
    shop = Shop("ann", no_answer_does=NoAnswer.QUEUE, no_answer_seconds=30)
    session = shop.say()
    later: list[Callable[[], None]] = [
        lambda: shop.do("ann", session, Take),
        lambda: shop.do("ann", session, Transfer, to_line=shop.line),
        lambda: shop.do("ann", session, Take),
        lambda: shop.wait(31),
        lambda: shop.do("ann", session, Take),
        lambda: shop.do("ann", session, Close),
    ]
    for version, happens in enumerate(later, start=2):
        shop.store.change("UPDATE lines SET version = ?", version)
        happens()

    assert [(one.kind, one.settings_version) for one in reversed(shop.page(session).decisions)] == [
        ("opened", 1),
        ("offered", 1),
        ("taken", 2),
        ("passed_on", 3),
        ("held", 3),
        ("taken", 4),
        ("returned", 5),
        ("held", 5),
        ("taken", 6),
        ("closed", 7),
    ]


def test_everybody_is_named_up_to_five():
    """A long list of people is cut; how many more there are stands at its end, in the number's own form."""
    shop = Shop(*(f"p{number}" for number in range(22)), distribution=Distribution.ALL_AT_ONCE)
    session = shop.say()

    assert "22 people: P0, P1, P2, P3, P4 and 17 more." in shop.latest(session, "offered").text
    assert "22 человека: P0, P1, P2, P3, P4 и ещё 17." in shop.latest(session, "offered", "ru").text


def test_each_seat_says_why_it_was_passed_over():
    """Away, off shift, switched off, full with its numbers, later in the order: in the queue's order."""
    shop = Shop("ann", "bob", "cat", "dan", "eve", "fay", distribution=Distribution.STRICTLY)
    shop.set("ann", AWAY)
    shop.set("bob", OFFLINE)
    shop.change("cat", reserved=90)
    shop.change("dan", hours='{"zone": "UTC", "week": {"tue": ["09:00-18:00"]}}')
    session = shop.say()

    assert list(shop.seats(session).items()) == [
        ("Ann", ("away", "Away.")),
        ("Bob", ("offline", "Offline.")),
        ("Cat", ("full", "No room: 90 of 100 taken, and this session takes 25.")),
        ("Dan", ("off_shift", "Off shift.")),
        ("Eve", ("chosen", "Chosen: the first in the queue's order who can take it.")),
        ("Fay", ("later", "Can take it, but stands later in the queue's order.")),
    ]
    assert [text for _, text in shop.seats(session, language="ru").values()] == [
        "Нет на месте.",
        "Не в сети.",
        "Нет места: занято 90 из 100, а диалог занимает 25.",
        "Вне смены.",
        "Выбор: по порядку очереди раньше всех, кто может взять.",
        "Может взять, но по порядку очереди стоит дальше.",
    ]


def test_turns_explain_evenly():
    """Who was never offered one goes first; then whoever was offered one longest ago, with both numbers."""
    shop = Shop("ann", "bob")
    first, second, third = (shop.say(key) for key in ("v", "w", "x"))

    assert shop.seats(first) == {
        "Ann": ("chosen", "Chosen: nothing has been offered to them in this line before."),
        "Bob": ("later", "Can take it, but stands later in the queue's order."),
    }
    assert shop.seats(second)["Ann"] == (
        "later",
        "Can take it, but was offered one more recently (turn 1; the chosen: 0).",
    )
    assert shop.seats(third) == {
        "Ann": ("chosen", "Chosen: nobody has waited longer since their last offer (turn 1)."),
        "Bob": ("later", "Can take it, but was offered one more recently (turn 2; the chosen: 1)."),
    }


def test_numbers_are_those_of_the_moment():
    """What was offered to others just before, in the same distribution, counts in the budgets and in the turns."""
    shop = Shop("ann", "bob")
    for who in ("ann", "bob"):
        shop.set(who, AWAY)
    sessions = [shop.say(key) for key in "abcdef"]
    shop.change("ann", budget=50)
    for who in ("ann", "bob"):
        shop.store.write(lambda tx: house.set_presence(tx, shop.ids[who], ONLINE, [shop.line]))  # noqa: B023
    shop.go_on()

    assert 1 == shop.store.one("SELECT count(DISTINCT distribution_id) FROM offers")
    assert shop.seats(sessions[1])["Ann"][1] == "Can take it, but was offered one more recently (turn 1; the chosen: 0)."
    assert shop.seats(sessions[2])["Ann"][1] == "Chosen: nobody has waited longer since their last offer (turn 1)."
    assert shop.seats(sessions[4])["Ann"][1] == "No room: 50 of 50 taken, and this session takes 25."


def test_loads_explain_least_loaded():
    """How much of each budget was taken, in percents."""
    shop = Shop("ann", "bob", "cat", distribution=Distribution.LEAST_LOADED)
    shop.change("ann", reserved=50)
    shop.change("bob", reserved=25)
    shop.change("cat", reserved=25)
    session = shop.say()

    assert shop.latest(session, "offered").text.endswith("Of their budget 25% was taken.")
    assert shop.seats(session) == {
        "Ann": ("later", "Can take it, but has more to do (50% taken; the chosen: 25%)."),
        "Bob": ("chosen", "Chosen: nobody has less to do (25 of 100 taken)."),
        "Cat": ("later", "Can take it, but stands later in the queue's order."),
    }


def test_the_responsible_is_asked_first_or_waited_for():
    """Whose customer it is: kept for them while they are there and full, everybody's after that."""
    shop = Shop("ann", "bob", responsible_seconds=30)
    known = shop.say("v", responsible="ann")
    assert shop.story(known)[1] == "Offered to Ann: the customer is theirs, so they are asked first."
    assert shop.seats(known) == {
        "Ann": ("chosen", "Chosen: the customer is theirs."),
        "Bob": ("kept", "The customer's own operator goes first."),
    }
    shop.do("ann", known, Close)
    shop.do("ann", known, Take)
    shop.do("ann", known, Close)
    shop.wait(601)
    shop.change("ann", reserved=100)
    kept = shop.say("v")

    (waits, held, _) = shop.page(kept).decisions
    text = "Kept for Ann: the customer is theirs, and they are there but have no room just now. After that it is everybody's."
    assert [waits.text, held.text] == [text, text]
    assert [(one.kind, one.rule, one.engine) for one in (waits, held)] == [
        ("waits", "responsible", None),
        ("held", "responsible", engine.ENGINE),
    ]
    assert waits.until == held.until == shop.clock.now() + timedelta(seconds=30)
    assert shop.seats(kept, "held")["Bob"][0] == "kept"
    shop.wait(30)
    assert shop.latest(kept, "offered").rule == "evenly"


def test_a_skill_is_missed_and_then_given_up():
    """Which skill nobody has who has room, until when it is asked for, and that it may go to anybody after that."""
    shop = Shop("ann", skills=("billing",), match_language=True, skill_seconds=45)
    session = shop.say()

    assert shop.latest(session, "held").text == (
        "Nobody who has room has what it asks for: skill “billing”. It waits for somebody who has. "
        "When that time is over it may go to anybody, whatever they can."
    )
    assert shop.seats(session, "held") == {"Ann": ("unskilled", "Does not have what it asks for: skill “billing”.")}
    assert shop.seats(session, "held", "ru") == {"Ann": ("unskilled", "Нет того, что нужно диалогу: навык «billing».")}
    assert (shop.latest(session, "waits").rule, shop.latest(session, "waits").until) == ("skill", NOON + timedelta(seconds=45))
    shop.wait(45)
    assert shop.latest(session, "offered").text.endswith("took it in time, so it may go to anybody.")


def test_between_rounds_the_skill_is_not_given_up_yet():
    """Only a wait that ends with the demand says that it may go to anybody after that."""
    shop = Shop("ann", "bob", skills=("billing",), skill_seconds=120)
    shop.change("ann", skills='["billing"]')
    session = shop.say()
    shop.do("ann", session, Decline)

    held = shop.latest(session, "held")
    assert held.text == "Everybody who could take it has been asked in round 1 of 3. The next round begins later."
    assert {seat.name: seat.why for seat in held.seats} == {"Ann": "asked", "Bob": "unskilled"}


def test_whoever_gives_it_back_is_left_out_for_a_while():
    """Their line has nobody else: that is no round in which everybody was asked."""
    shop = Shop("ann")
    session = shop.say()
    shop.do("ann", session, Take)
    shop.do("ann", session, Transfer, to_line=shop.line)
    held = shop.latest(session, "held")

    assert held.text == "Only whoever has just had it could take it. They are asked again, but not at once."
    assert shop.seats(session, "held") == {"Ann": ("asked", "Had it just now.")}
    assert shop.latest(session, "held", "ru").seats[0].text == "Диалог только что был здесь."
    assert shop.latest(session, "waits").text == held.text


def test_rounds_end_and_somebody_comes():
    """Between rounds and after the last one it waits, and says for what; who comes begins the rounds anew."""
    shop = Shop("ann", rounds=2)
    session = shop.say()
    shop.do("ann", session, Decline)

    assert shop.latest(session, "waits").text == (
        "Everybody who could take it has been asked in round 1 of 2. The next round begins later."
    )
    assert shop.latest(session, "waits").until == NOON + timedelta(seconds=60)
    assert shop.seats(session, "held") == {"Ann": ("asked", "Asked already in round 1.")}
    shop.wait(60)
    shop.do("ann", session, Decline)
    shop.wait(60)
    over = "Everybody who could take it has been asked, in all 2 rounds. It waits until somebody comes or has room."
    assert (shop.latest(session, "waits").text, shop.latest(session, "waits").until) == (over, None)
    assert "прошло 2 круга" in shop.latest(session, "held", "ru").text
    shop.set("ann", AWAY)
    assert shop.latest(session, "waits").rule == "rounds_over"
    shop.set("ann", ONLINE)
    assert "The rounds began anew: somebody had come or had room again." in shop.latest(session, "offered").text


def test_nobody_is_there():
    """That there was nobody, that the customer and the supervisors were told, and that it waits."""
    shop = Shop("ann")
    shop.set("ann", AWAY)
    session = shop.say()

    assert shop.story(session) == [
        "A new session. It waits in the line “Shop”.",
        "There was nobody whom it could be offered. The customer was told that everybody is busy. Supervisors were told.",
        "It waits: just now there is nobody whom it could be offered.",
    ]
    assert shop.latest(session, "waits").rule == "nobody"


def test_nobody_is_left():
    """Whoever was asked goes: the seats of that earlier offer are not told again for the wait that follows."""
    shop = Shop("ann")
    session = shop.say()
    shop.set("ann", AWAY)

    assert [one.kind for one in reversed(shop.page(session).decisions)] == ["opened", "offered", "gone", "held", "waits"]
    assert (shop.latest(session, "held").rule, shop.latest(session, "held").seats) == ("nobody", [])


def test_a_closed_line_opens_at_its_pace():
    """Written outside the hours it waits for the opening; then what waited is given out one by one."""
    shop = Shop("ann", hours=MORNING, opening_pace_seconds=20)
    first, second = shop.say("v"), shop.say("w")
    opens = NOON + timedelta(minutes=10)

    opened, waits = reversed(shop.page(first).decisions)
    assert [opened.text, waits.text] == [
        "A new session, outside the working hours of the line “Shop”. It waits for the opening.",
        "The line is closed. It waits for the opening.",
    ]
    assert (waits.rule, waits.until, opened.until) == ("closed", opens, opens)
    shop.wait(600)
    assert "It had waited for the opening." in shop.latest(first, "offered").text
    assert (shop.latest(second, "waits").rule, shop.latest(second, "waits").until) == ("pace", opens + timedelta(seconds=20))


def test_who_writes_to_somebody_who_has_gone_home():
    """It was answered and stayed with them; the words after that are anybody's."""
    shop = Shop("ann")
    session = shop.say()
    shop.reply("ann", session)
    shop.set("ann", OFFLINE)
    shop.say()

    assert shop.latest(session, "returned").text == (
        "The customer wrote again, and Ann, who had it, is not at work any more: back in the queue."
    )


def test_a_line_that_closes_over_who_waits():
    """That it closed, until when it is so, and that the customer knows."""
    open_now = {"zone": "UTC", "week": {"mon": ["00:00-12:10"], "tue": ["09:00-18:00"]}}
    shop = Shop("ann", hours=open_now)
    shop.set("ann", AWAY)
    session = shop.say()
    shop.wait(660)

    held = shop.latest(session, "held")
    assert (held.text, held.rule, held.seats) == (
        "The line is closed. It waits for the opening. The customer was told when it opens.",
        "closed",
        [],
    )
    assert held.until == shop.latest(session, "waits").until == NOON + timedelta(hours=21)


def test_a_paced_seat_says_until_when():
    """Who was just given one of what had waited is passed over for the next, and it says until when."""
    shop = Shop("ann", "bob", hours=MORNING, opening_pace_seconds=20)
    shop.say("v")
    second = shop.say("w")
    shop.wait(600)
    opens = NOON + timedelta(minutes=10)

    (paced,) = (seat for seat in shop.latest(second, "offered").seats if seat.why == "paced")
    assert (paced.name, paced.until) == ("Ann", opens + timedelta(seconds=20))


@pytest.mark.parametrize(
    ("load", "settings", "text"),
    [
        (
            LoadKind.CHAT,
            {"outside": Outside.REPLY},
            "It came outside the working hours of the line “Shop”, which answers by itself then: nobody was asked.",
        ),
        (
            LoadKind.CALL,
            {"outside_calls": OutsideCalls.VOICEMAIL},
            "A call outside the working hours of the line “Shop”: to voicemail, nobody was asked.",
        ),
    ],
)
def test_nobody_is_asked_outside_the_hours(load, settings, text):
    """A line that answers by itself, and a call that goes elsewhere, say that nobody was asked."""
    shop = Shop("ann", loads=load, hours=MORNING, **settings)

    assert shop.story(shop.say()) == [text]


def test_it_is_passed_on():
    """To a colleague who declines, to one who is told, taken over, put back, put by, joined, left: by whom and to whom."""
    shop = Shop("ann", "bob", "sue")
    shop.change("sue", role="supervisor")
    session = shop.say()
    shop.do("ann", session, Take)
    shop.do("ann", session, Transfer, to_operator=shop.ids["bob"])
    passed = shop.latest(session, "passed_on")
    shop.do("bob", session, Decline)
    shop.do("sue", session, Transfer, to_operator=shop.ids["bob"], assigned=True)
    shop.do("bob", session, Invite, colleague=shop.ids["ann"])
    shop.do("ann", session, Join)
    shop.do("ann", session, LeaveSession)
    shop.do("sue", session, TakeOver)
    shop.do("sue", session, Snooze, until=shop.clock.now() + timedelta(hours=1))
    shop.wait(3_600)
    shop.do("sue", session, Transfer, to_line=shop.line)

    assert shop.story(session)[2:12] == [
        "Ann took it.",
        "Ann passed it on to Bob, who is asked.",
        "Bob declined. Ann has it again.",
        "Sue assigned it to Bob. Bob is responsible for the customer from now on.",
        "Bob asked Ann to join.",
        "Ann joined.",
        "Ann left.",
        "Sue took it over from Bob.",
        "Sue put it by.",
        "Its time has come. Sue has it again.",
    ]
    assert shop.story(session, "ru")[3:13] == [
        "Ann передаёт диалог, ждём ответа: Bob.",
        "Bob отказывается. Диалог снова здесь: Ann.",
        "Sue назначает диалог: Bob. Ответственный за клиента теперь: Bob.",
        "Bob приглашает в диалог: Ann.",
        "Ann присоединяется.",
        "Ann выходит из диалога.",
        "Sue забирает диалог себе. Раньше он был здесь: Bob.",
        "Sue откладывает диалог.",
        "Срок наступил. Диалог снова здесь: Sue.",
        "Sue возвращает диалог в очередь.",
    ]
    assert (passed.chosen, passed.until) == ([shop.ids["bob"]], NOON + timedelta(seconds=60))
    assert [(one.name, one.state) for one in passed.offers] == [("Bob", "open")]
    assert {one.kind for one in shop.page(session).decisions if one.seats} == {"offered"}
    assert {one.kind for one in shop.page(session).decisions if one.offers} == {"offered", "passed_on"}


def test_it_comes_back():
    """Reopened with whoever had it, or in the queue when they are not there; spam; somebody who vanishes."""
    shop = Shop("ann")
    session = shop.say()
    shop.do("ann", session, Take)
    shop.do("ann", session, Close)
    shop.say()
    shop.do("ann", session, Close)
    shop.set("ann", AWAY)
    shop.say()
    shop.set("ann", ONLINE)
    shop.do("ann", session, Take)
    shop.vanish("ann", session)
    shop.do("ann", session, Take)
    shop.do("ann", session, Spam, ban=True)
    told = [one for one in shop.page(session).decisions if one.kind in ("reopened", "returned", "spam")]

    assert [one.text for one in reversed(told)] == [
        "The customer wrote again. Ann had it before, is there and has room: it is theirs again.",
        "The customer wrote again, and whoever had it before is not there or has no room. It waits in the queue.",
        "Ann, who had it, is not there any more. By the line's rule it went back to the queue.",
        "Ann marked it as spam. The contact is banned.",
    ]


def test_people_are_named_as_they_are_now():
    """A new name stands in old decisions too; who is switched off is a former colleague; who is not there any more has no name."""
    shop = Shop("ann", "bob")
    session = shop.say()
    shop.do("ann", session, Take)
    shop.change("ann", name="Anna {who}", active=0)
    teller = why.Teller(shop.store.write(shop.house).directory, "ru")

    assert shop.story(session)[2] == "Anna {who} (former colleague) took it."
    assert shop.story(session, "ru")[2] == "Anna {who} (бывший коллега) берёт диалог."
    assert teller.name("01900000-0000-7000-8000-ffffffffffff") == "(бывший коллега)"


def test_another_language_is_told_in_english():
    """What is not translated yet is read in English."""
    shop = Shop("ann")
    session = shop.say()

    assert shop.story(session, "pl") == shop.story(session, "en")


def test_what_a_distribution_had_done_before_it_came_to_a_session():
    """Budgets count offers of every line; turns those of the session's own line that the responsible did not get."""
    ann, bob, own, other = OperatorId("ann"), OperatorId("bob"), LineId("own"), LineId("other")
    ids = [SessionId(name) for name in ("elsewhere", "known", "plain", "last")]
    opened, paced = NOON - timedelta(hours=1), NOON + timedelta(seconds=7)
    seats = (distribution.SeatState(ann, 3), distribution.SeatState(bob, 8, paced))
    pool = distribution.Pool(
        tuple(
            distribution.LineState(id_, 5, Distribution.EVENLY, 60, 3, seats, opened_at=opened, pace_seconds=20)
            for id_ in (own, other)
        ),
        (distribution.OperatorState(ann, True, ONLINE, 100, 10), distribution.OperatorState(bob, True, ONLINE, 100, 95)),
        tuple(
            distribution.Waiting(id_, line, 25, NOON, responsible_id=ann, responsible_until=until)
            for id_, line, until in zip(ids, (other, own, own, own), (None, NOON + timedelta(hours=1), None, None), strict=True)
        ),
    )
    made = distributor.DistributionRecord(engine.ENGINE, NOON, pool, distribution.distribute(pool, NOON))
    read = why_rows.distribution(applying.ENCODER.encode(made).decode())
    assert read is not None

    turns = [why_rows.Sight(read, id_).turns[ann] for id_ in ids[1:3]]
    assert turns == [3, 3]
    assert [why_rows.Sight(read, id_).taken[ann] for id_ in ids[:3]] == [10, 35, 60]
    assert [why_rows.Sight(read, ids[2]).paced_until(who) for who in (ann, bob)] == [NOON + timedelta(seconds=20), paced]


# --- pages


def test_a_long_story_is_read_page_by_page():
    """Each decision stands on one page, the latest first; what holds it now stands on the first alone."""
    shop = Shop("ann", "bob", rounds=100)
    session = shop.say()
    for _ in range(35):
        shop.wait(61)
    for who in ("ann", "bob"):
        shop.set(who, AWAY)
    shop.wait(61)
    whole, waits, cursor = [], [], None
    while True:
        page = shop.page(session, cursor=cursor)
        whole += [(one.at, one.kind, one.offer_no) for one in page.decisions if one.kind != "waits"]
        waits.append([number for number, one in enumerate(page.decisions) if one.kind == "waits"])
        cursor = page.next_cursor
        if cursor is None:
            break

    kept = shop.store.rows("SELECT kind FROM journal WHERE session_id = ? ORDER BY seq DESC", shop.session(session))
    kinds = {"contact_message": "opened", "offer_expired": "ran_out", "operator_gone": "gone"}
    assert [kind for _, kind, _ in whole] == [kinds.get(kind, kind) for (kind,) in kept if kind in ("offered", "held", *kinds)]
    assert whole == sorted(whole, key=lambda one: one[0], reverse=True)
    assert len(waits) > 2
    assert waits == [[0], *([] for _ in waits[1:])]


def test_a_page_of_a_great_line_holds_fewer_decisions():
    """What a page costs is bounded by the seats that it tells, not by its decisions alone."""
    shop = Shop(*(f"p{number}" for number in range(SEATS_MAX // 4)), rounds=100)
    session = shop.say()
    for _ in range(8):
        shop.wait(61)

    page = shop.page(session)
    assert 4 == sum(one.kind == "offered" for one in page.decisions)
    assert page.next_cursor is not None


def test_what_was_said_is_passed_over_without_being_read():
    """Behind a long talk stands the taking: the first page has it, and no row of the talk is told."""
    shop = Shop("ann")
    session = shop.say()
    shop.do("ann", session, Take)
    for _ in range(SPAN):
        shop.reply("ann", session)
        shop.say()

    assert shop.store.one("SELECT max(seq) FROM journal") > 2 * SPAN
    assert [one.kind for one in shop.page(session).decisions] == ["taken", "offered", "opened"]
    assert shop.page(session).next_cursor is None


def test_each_session_of_a_conversation_has_its_own_story():
    """What was decided about the sessions before and after is not told."""
    shop = Shop("ann")
    ids = []
    for _ in range(5):
        conversation = shop.say()
        ids.append(shop.session(conversation))
        shop.do("ann", conversation, Take)
        shop.reply("ann", conversation)
        shop.do("ann", conversation, Close)
        shop.wait(601)

    assert 5 == len(set(ids))
    for number, id_ in enumerate(ids):
        page = shop.page(conversation, session=id_)
        assert [one.kind for one in page.decisions] == ["closed", "taken", "offered", "opened"]
        assert {NOON + timedelta(seconds=601 * number)} == {one.at for one in page.decisions}


def test_a_later_session_costs_nothing():
    """However long the conversation has gone on since, an old session's story stands on its first page."""
    shop = Shop("ann")
    conversation = shop.say()
    old = shop.session(conversation)
    shop.do("ann", conversation, Close)
    shop.do("ann", conversation, Take)
    shop.do("ann", conversation, Close)
    shop.wait(601)
    shop.say()
    shop.store.change(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= ?) "
        "INSERT INTO journal (conversation_id, seq, session_id, kind, status, at_us, body) "
        "SELECT c.id, c.journal_seq + i, c.session_id, 'message', 'active', 0, '{}' FROM n, conversations c",
        SPAN * (SPANS_MAX + 1),
    )
    shop.store.change("UPDATE conversations SET journal_seq = (SELECT max(seq) FROM journal)")

    assert [one.kind for one in shop.page(conversation, session=old).decisions] == ["closed", "taken", "offered", "opened"]
    later = shop.page(conversation)
    assert (later.decisions, later.next_cursor is not None) == ([], True)
    assert [one.kind for one in shop.page(conversation, cursor=later.next_cursor).decisions] == ["offered", "opened"]


def test_a_session_that_may_not_be_seen_is_not_there():
    """Another's line and an unknown id answer alike."""
    shop = Shop("ann")
    session = shop.session(shop.say())
    stranger = Actor(OperatorId("eve"), "eve", "Eve", Role.OPERATOR, "en", password_generated=False, lines=frozenset())

    for id_ in (session, "01900000-0000-7000-8000-ffffffffffff"):
        with pytest.raises(NotFound):
            shop.store.write(lambda tx: routing_of(tx, stranger, directory.load(tx), id_))  # noqa: B023


def test_a_row_that_cannot_be_read_is_told_as_such():
    """Nothing of the story is lost for one row; a distribution that cannot be read leaves the offer without its seats."""
    shop = Shop("ann")
    session = shop.say()
    shop.do("ann", session, Take)
    shop.store.change("UPDATE journal SET body = '{' WHERE kind IN ('take', 'distribution')")

    taken, offered, _ = shop.page(session).decisions
    assert (taken.kind, taken.text) == ("unreadable", "Something was decided here that this version cannot read.")
    assert (offered.rule, offered.seats, offered.text.startswith("Offered to Ann")) == ("evenly", [], True)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("queue", "Ann, who had it, did not answer in time. By the line's rule it went back to the queue."),
        ("line", "Nobody answered in time. By the line's rule it went to the line “Desk”."),
        ("text", None),
    ],
)
def test_what_is_not_answered_in_time(rule: NoAnswer, told: str | None):
    """Back to the queue, or to another line; a text to the customer moves nothing."""
    shop = Shop("ann", "bob", no_answer_does=rule, no_answer_line="desk", no_answer_seconds=30)
    shop.store.write(lambda tx: house.add_line(tx, "desk"))
    session = shop.say()
    shop.do("ann", session, Take)
    shop.wait(31)

    assert [one.text for one in shop.page(session).decisions if one.kind == "returned"] == ([told] if told else [])


# --- talks


class Phones(Shop):
    """A line whose people have phones; Ann has a call."""

    def __init__(self, **settings: Any) -> None:
        super().__init__("ann", "bob", "sue", loads=LoadKind.CALL, **{"responsible_first": False, **settings})
        for number, who in enumerate(self.ids):
            self.change(who, phone=f"PJSIP/10{number}", budget=200)
        self.change("sue", role="supervisor")
        self.call = self.say()
        self.lift("ann")
        self.told = len(self.story(self.call))

    def lift(self, who: str) -> None:
        """Let somebody lift the phone that rings for the call."""
        self.tell(self.call, RingAnswered, operator_id=self.ids[who])

    def rings(self, who: str, how: str) -> None:
        """Let somebody's phone that rings stop."""
        number = self.store.one("SELECT max(offer_no) FROM offers")
        self.tell(self.call, RingEnded, operators=(self.ids[who],), offer_no=number, how=how)

    def since(self, language: str = "en") -> list[str]:
        """Return what has been told since Ann has it."""
        return self.story(self.call, language)[self.told :]

    def kinds(self) -> Sequence[str]:
        """Return its kinds."""
        return [one.kind for one in reversed(self.page(self.call).decisions)][self.told :]


def test_a_talk_on_hold():
    """Who put the caller on hold and who spoke with them again; that the exchange could not."""
    shop = Phones()
    shop.do("ann", shop.call, Hold)
    shop.do("ann", shop.call, Hold)
    shop.do("ann", shop.call, Resume)
    shop.do("ann", shop.call, Hold)
    shop.tell(shop.call, HoldFailed)

    assert shop.since() == [
        "Ann put the caller on hold.",
        "Ann speaks with the caller again.",
        "Ann put the caller on hold.",
        "The telephone exchange could not put the caller on hold: Ann talks on with them.",
    ]
    assert shop.since("ru") == [
        "Ann ставит звонок на удержание.",
        "Ann снова говорит с клиентом.",
        "Ann ставит звонок на удержание.",
        "АТС не смогла поставить звонок на удержание: Ann говорит с клиентом дальше.",
    ]
    assert shop.kinds() == ["on_hold", "resumed", "on_hold", "resumed"]


def test_a_missed_call_is_seen_to():
    """By whom."""
    shop = Phones()
    missed = shop.say("w")
    shop.tell(missed, CallEnded)
    shop.do("ann", missed, Settle)

    assert (shop.story(missed)[-1], shop.story(missed, "ru")[-1]) == (
        "Ann has seen to it: the caller is not waited for any more.",
        "Разобрано, звонка больше не ждут: Ann.",
    )


def test_a_colleague_is_asked():
    """Who asked whom, whether they lifted the phone, and that the talk goes on."""
    shop = Phones()
    asked, bob = partial(shop.do, "ann", shop.call, Consult, colleague=shop.ids["bob"]), shop.ids["bob"]
    asked()
    shop.tell(shop.call, ConsultEnded, operator_id=bob, how="busy")
    asked()
    shop.tell(shop.call, ConsultAnswered, operator_id=bob)
    shop.tell(shop.call, ConsultEnded, operator_id=bob, how="talked")
    shop.tell(shop.call, ConsultEnded, operator_id=bob, how="talked")
    asked()
    shop.do("ann", shop.call, Resume)

    assert shop.since() == [
        "Ann calls Bob to ask about the call. The caller is on hold.",
        "Bob was busy on the phone. Ann speaks with the caller again.",
        "Ann calls Bob to ask about the call. The caller is on hold.",
        "Bob lifted the phone and speaks with Ann.",
        "Bob has been asked. Ann speaks with the caller again.",
        "Ann calls Bob to ask about the call. The caller is on hold.",
        "Ann speaks with the caller again, and Bob is asked no more.",
    ]
    assert shop.since("ru")[:5] == [
        "Ann звонит, чтобы посоветоваться: Bob. Клиент на удержании.",
        "Телефон занят: Bob. Ann снова говорит с клиентом.",
        "Ann звонит, чтобы посоветоваться: Bob. Клиент на удержании.",
        "Bob снимает трубку. Разговор с коллегой: Ann.",
        "Разговор с коллегой окончен: Bob. Ann снова говорит с клиентом.",
    ]
    assert shop.kinds() == ["consulted", "resumed", "consulted", "consulted", "resumed", "consulted", "resumed"]


@pytest.mark.parametrize(
    ("by_hand", "told"),
    [
        (True, "Ann handed the call over to Bob, who was on the phone already."),
        (False, "Ann put down the phone: Bob, who was asked, has the call now."),
    ],
)
def test_a_talk_is_handed_over(by_hand: bool, told: str):
    """To the colleague who was asked: by a deed, or by putting down the phone."""
    shop = Phones()
    shop.do("ann", shop.call, Consult, colleague=shop.ids["bob"])
    shop.tell(shop.call, ConsultAnswered, operator_id=shop.ids["bob"])
    if by_hand:
        shop.do("ann", shop.call, Transfer, to_operator=shop.ids["bob"])
    else:
        shop.tell(shop.call, TalkEnded, operator_id=shop.ids["ann"])

    latest = shop.latest(shop.call, "handed_over")
    assert latest.text == f"{told} Bob is responsible for the customer from now on."
    assert latest.chosen == [shop.ids["bob"]]


def test_a_talk_is_passed_on_and_comes_back():
    """To whom, by the console or by the phone; who is rung first when they do not take it."""
    shop = Phones()
    shop.do("ann", shop.call, Transfer, to_operator=shop.ids["bob"])
    shop.rings("bob", "busy")
    shop.lift("ann")
    shop.do("ann", shop.call, Transfer, to_operator=shop.ids["bob"], by_phone=True)
    shop.lift("bob")

    assert shop.since() == [
        "Ann passed it on to Bob, who is asked.",
        "Bob was busy on the phone. It goes on. The caller waits again, and Ann is rung first.",
        "Offered to Ann: the customer is theirs, so they are asked first.",
        "Ann lifted the phone.",
        "Ann passed it on by phone to Bob, whose phone rings.",
        "Bob lifted the phone. Bob is responsible for the customer from now on.",
    ]
    assert shop.since("ru")[1] == "Телефон занят: Bob. Диалог идёт дальше. Клиент снова ждёт, первым звоним сюда: Ann."
    assert shop.latest(shop.call, "passed_on").until is not None


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ({"to_operator": "bob"}, "Ann passed it on by phone to Bob, who cannot have it now."),
        ({}, "Ann passed it on by phone to where there is nobody."),
    ],
)
def test_what_a_phone_could_not_pass_on(to: dict[str, str], told: str):
    """That it went back to the queue, and for whom."""
    shop = Phones()
    shop.set("bob", AWAY)
    shop.do("ann", shop.call, Transfer, by_phone=True, **{key: shop.ids[who] for key, who in to.items()})

    assert shop.latest(shop.call, "returned").text == f"{told} The caller waits again, and Ann is rung first."


@pytest.mark.parametrize(
    ("number", "shown"),
    [("+79121234567", "the number …4567"), ("101", "the number 101"), ("*21#", "a number outside")],
)
@pytest.mark.parametrize(("by_phone", "how"), [(False, ""), (True, " by phone")])
def test_a_talk_goes_to_a_number(number: str, shown: str, by_phone: bool, how: str):
    """Of which only the end is shown; and not that nobody had answered."""
    shop = Phones()
    shop.do("ann", shop.call, Transfer, to_number=number, by_phone=by_phone)

    assert shop.since() == [f"Ann passed it on{how} to {shown}."]


def test_a_number_that_does_not_answer():
    """The caller is with us again."""
    shop = Phones()
    shop.do("ann", shop.call, Transfer, to_number="+79121234567")
    shop.tell(shop.call, ForwardEnded, how="busy")

    back = shop.latest(shop.call, "returned")
    assert back.text == "The number outside did not answer. The caller waits again, and Ann is rung first."
    assert shop.latest(shop.call, "offered").rule == "responsible"


def test_the_lines_own_number_that_does_not_answer():
    """The caller speaks to the machine."""
    shop = Phones(calls={"no_answer_seconds": 30, "no_answer_does": "forward"})
    shop.tell(shop.call, CallEnded)
    call = shop.say("w")
    for who in shop.ids:
        shop.set(who, AWAY)
    shop.wait(31)
    shop.tell(call, ForwardEnded, how="busy")

    assert shop.story(call)[-1] == "The number outside did not answer. Nobody answered: the caller was asked to leave a message."


def test_a_phone_that_is_put_down():
    """It ends the talk; while the caller is on hold it ends nothing."""
    shop = Phones()
    shop.do("ann", shop.call, Hold)
    shop.tell(shop.call, TalkEnded, operator_id=shop.ids["ann"])
    shop.lift("ann")
    shop.tell(shop.call, TalkEnded, operator_id=shop.ids["ann"], missing=True)
    shop.lift("ann")
    shop.tell(shop.call, TalkEnded, operator_id=shop.ids["ann"])
    told = [one for one, kind in zip(shop.since(), shop.kinds(), strict=True) if kind in ("returned", "closed")]

    assert told == [
        "Ann put down the phone while the caller was on hold. The caller waits again, and Ann is rung first.",
        "Ann was not on the phone any more when the caller was to speak with them again. "
        "The caller waits again, and Ann is rung first.",
        "Ann put down the phone: the talk is over.",
    ]


@pytest.mark.parametrize(
    ("to", "told"),
    [
        (
            {"operator_id": "bob"},
            "Ann passed the talk on by phone: Bob speaks with the caller now. Bob is responsible for the customer from now on.",
        ),
        ({"number": "+79121234567"}, "Ann passed the talk on by phone: the caller speaks with the number …4567 now."),
        (
            {"number": "pjsip/trunk"},
            "Ann passed the talk on by phone: the caller speaks with a phone that is nobody's here now.",
        ),
    ],
)
def test_a_talk_that_the_phones_have_moved(to: dict[str, str], told: str):
    """Who speaks with the caller now."""
    shop = Phones()
    shop.tell(shop.call, TalkMoved, **{key: shop.ids.get(what, what) for key, what in to.items()})

    assert shop.since() == [told]


@pytest.mark.parametrize(
    ("how", "wants", "hears"),
    [
        ("listen", "Sue wants to hear the talk: their phone rings.", "Sue hears the talk."),
        (
            "whisper",
            "Sue wants to hear the talk and to whisper to the operator: their phone rings.",
            "Sue hears the talk, and the operator hears them.",
        ),
        ("barge", "Sue wants to join the talk: their phone rings.", "Sue joined the talk: operator and caller hear them."),
    ],
)
def test_a_supervisor_listens(how: str, wants: str, hears: str):
    """Who and how, and until when; and that they did not lift the phone."""
    shop, sue = Phones(), {}
    sue["operator_id"] = shop.ids["sue"]
    shop.do("sue", shop.call, Listen, how=how)
    shop.tell(shop.call, ListenBegan, **sue)
    shop.tell(shop.call, ListenBegan, **sue)
    shop.tell(shop.call, ListenEnded, **sue)
    shop.do("sue", shop.call, Listen, how=how)
    shop.tell(shop.call, ListenEnded, **sue)
    shop.tell(shop.call, ListenEnded, **sue)

    assert shop.since() == [wants, hears, "Sue hears the talk no more.", wants, "Sue did not lift the phone to hear the talk."]
    assert set(shop.kinds()) == {"listened"}


def test_a_caller_who_hangs_up_on_the_way():
    """Somebody has spoken with them before."""
    shop = Phones()
    shop.do("ann", shop.call, Hold)
    shop.tell(shop.call, TalkEnded, operator_id=shop.ids["ann"])
    shop.tell(shop.call, CallEnded)

    assert shop.since()[-1] == "The caller hung up before anybody spoke with them again."


def test_what_could_not_be_done_is_not_told():
    """A refusal moved nobody."""
    shop = Phones()
    shop.do("bob", shop.call, Hold)
    shop.do("ann", shop.call, Consult, colleague=shop.ids["ann"])
    shop.do("bob", shop.call, Listen)
    shop.do("bob", shop.call, Transfer, to_number="+100")
    shop.tell(shop.call, TalkEnded, operator_id=shop.ids["bob"])
    shop.tell(shop.call, ForwardEnded, how="busy")

    assert shop.since() == []


# --- words


def _constants(module: ModuleType, *functions: str) -> set[str]:
    """Return the words that stand in *functions* of *module* as a result, as `why`, or among the arguments of a call."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.FunctionDef) and node.name in functions:
            for part in ast.walk(node):
                match part:
                    case ast.Assign(targets=[ast.Name(id="why")], value=value):
                        found |= _texts(value)
                    case ast.Return(value=ast.expr() as value):
                        found |= _texts(value)
                    case ast.Call(args=args) if functions[0] != "_reasons":
                        found |= set().union(*(_texts(one) for one in args)) if args else set()
    return found


def _texts(node: ast.expr) -> set[str]:
    match node:
        case ast.Constant(value=str() as text):
            return {text}
        case ast.IfExp(body=body, orelse=orelse):
            return _texts(body) | _texts(orelse)
    return set()


def _called_with(module: ModuleType, name: str, place: int) -> set[str]:
    """Return the words that stand at *place* in calls of *name*."""
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Call)]
    named = [call for call in calls if ast.unparse(call.func).split(".")[-1] == name]
    return set().union(*(_texts(call.args[place]) for call in named if len(call.args) > place))


WHY = _constants(distribution, "_reasons") | _constants(distribution, "_without_room") | {AWAY.value, OFFLINE.value}
HELD = _called_with(distribution, "_hold", 3)
ENDS = _called_with(engine, "EndOffers", 1) | _called_with(engine, "_end_offers", 2) | _called_with(engine, "_give_back", 1)
RULES = {rule.value for rule in Distribution} | {"responsible"}


def test_the_codes_are_found_where_they_are_made():
    """The sets below are read from the engine and the distribution; they are not empty by mistake."""
    assert {"chosen", "inactive", "offline", "away", "off_shift", "full", "later", "kept", "unskilled", "asked", "paced"} <= WHY
    assert {"round", "rounds_over", "responsible", "skill"} <= HELD
    assert {"taken", "declined", "ran_out", "withdrawn", "gone"} <= ENDS


@pytest.mark.parametrize(
    "key",
    [
        *(f"offered.{rule}" for rule in sorted(RULES)),
        *(f"seat.chosen.{rule}" for rule in sorted(RULES)),
        *(f"seat.{code}" for code in sorted(WHY)),
        *(f"held.{code}" for code in sorted(HELD | {"nobody", "pace", "closed", engine.PROMISED, engine.GREETING})),
        *(f"offer.{code}" for code in sorted(ENDS | {"open"})),
        *(f"opened.shut.{code}" for code in sorted({"outside", *(one.value for one in OutsideCalls)})),
        *(f"diverted.outside.{one.value}" for one in OutsideCalls),
        *(f"diverted.unanswered.{code}" for code in ("voicemail", "forward", "hang_up", "callback")),
        *(f"key.{code}" for code in ("voicemail", "forward", "callback")),
        *(f"offer.{code}" for code in ("busy", "unreachable")),
        *(f"hung_up.{code}" for code in (engine.MISSED, engine.LOST)),
        *(f"consult_ended.{how}" for how in ("talked", "declined", "ran_out", "busy", "unreachable")),
        *(f"{told}.{how}" for told in ("listens", "hears") for how in ("whisper", "barge")),
    ],
)
def test_every_code_has_words(key):
    """A new code of the engine or the distribution needs a sentence of its own."""
    assert key in why_words.WORDS


def test_every_event_is_told_or_known_to_tell_nothing():
    """A new event of the engine must be told, or be named among those that move a session to nobody."""
    events = {str(event.__struct_config__.tag) for event in get_args(SessionEvent)}

    assert events == set(why.TOLD) | why.UNTOLD
    assert not set(why.TOLD) & why.UNTOLD


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("key", sorted(why_words.WORDS))
def test_every_text_is_complete(key):
    """In every language, in all its plural forms, with the same values."""
    texts = why_words.WORDS[key]

    assert set(texts) == set(why_words.LANGUAGES)
    forms = {language: text if isinstance(text, tuple) else (text,) for language, text in texts.items()}
    assert len({frozenset(_fields(form)) for every in forms.values() for form in every}) == 1
    assert all(len(every) in (1, why_words.PLURAL_FORMS[language]) for language, every in forms.items())
    assert all(form.strip() == form != "" for every in forms.values() for form in every)


@pytest.mark.parametrize(
    ("language", "forms"),
    [("en", {1: 0, 0: 1, 2: 1, 11: 1, 21: 1}), ("ru", {1: 0, 21: 0, 101: 0, 2: 1, 24: 1, 5: 2, 0: 2, 11: 2, 12: 2, 111: 2})],
)
def test_plural_forms(language, forms):
    """As CLDR has them for whole numbers."""
    assert forms == {number: why_words.plural(number, language) for number in forms}


@pytest.mark.parametrize("language", why_words.LANGUAGES)
def test_whatever_happens_can_be_told(language):
    """Histories at random, with crashes: every session's story is told to its beginning, and never in the words for what is unknown."""
    unknown = {why_words.WORDS[key][language] for key in ("seat", "held", "offer", "unreadable", "opened.shut")}
    kinds: set[str] = set()
    for seed in range(12):
        world = World(seed).run()
        for (session,) in world.connection.execute("SELECT id FROM sessions").fetchall():
            told: list[why.RoutingDecision] = []
            cursor: int | None = None
            while not told or cursor is not None:
                page = world._now(lambda tx: routing_of(tx, _supervisor(language), directory.load(tx), session, cursor))  # noqa: B023
                told += page.decisions
                cursor = page.next_cursor
            kinds |= {one.kind for one in told}
            assert ("opened", "started").count(told[-1].kind) == 1
            said = [one.text for one in told]
            said += [seat.text for one in told for seat in one.seats]
            said += [end.text for one in told for end in one.offers]
            assert [] == [text for text in said if text in unknown or not text]
            assert all(one.seats for one in told if one.kind == "offered" or (one.kind == "held" and one.rule != "nobody"))

    assert {"opened", "offered", "held", "taken", "declined", "ran_out", "closed", "reopened"} <= kinds


# --- calls that we make, and menus


class Numbers(Shop):
    """A line with a telephone, whose calls are made or chosen by key."""

    def __init__(self, **settings: Any) -> None:
        super().__init__("ann", "bob", loads=LoadKind.CALL, **settings)
        for number, who in enumerate(self.ids):
            self.change(who, phone=f"PJSIP/10{number}", budget=200)

    def wanted(self, *, seconds: int = 0, by: str = "", now: bool = False) -> ConversationId:
        """Let a customer be called; return the conversation."""
        (plain,) = inbound.prepare(self.channel, [wrote(f"w{next(self._numbers)}", "+100", "")], LineSettings())
        due = self.clock.now() + timedelta(seconds=seconds)
        what = AsksCallback("+100", due, self.ids[by] if by else None, now)
        asked = replace(plain, incoming=Incoming("out-1", Person("+100"), what))
        (accepted,) = self.store.write(lambda tx: inbound.accept(tx, self.channel.id, [asked]))
        assert accepted.conversation_id is not None
        self.go_on()
        return accepted.conversation_id


def test_a_call_that_is_promised_and_made():
    """When it is due, who lifted the phone, that the customer answered."""
    shop = Numbers()
    call = shop.wanted(seconds=60)
    assert shop.latest(call, "opened").until is not None
    shop.wait(60)
    shop.tell(call, RingAnswered, operator_id=shop.ids["ann"])
    shop.tell(call, CustomerReached)

    assert shop.story(call) == [
        "The customer is to be called from the line “Shop”: nobody is asked before that time.",
        "Offered to Ann: of those who can take it, nobody has waited longer for their turn.",
        "Ann lifted the phone.",
        "The customer answered.",
    ]
    assert shop.story(call, "ru")[-1] == "Клиент ответил."


def test_a_customer_who_is_not_reached():
    """That they are called again, by whom, and that they are not any more."""
    shop = Numbers(calls=CallSettings(callback_tries=2, callback_retry_seconds=60))
    call = shop.wanted()
    shop.wait(1)
    shop.tell(call, RingAnswered, operator_id=shop.ids["ann"])
    shop.tell(call, CustomerNotReached, how="busy")
    shop.wait(60)
    shop.tell(call, RingAnswered, operator_id=shop.ids["ann"])
    shop.tell(call, TalkEnded, operator_id=shop.ids["ann"])

    told = shop.story(call)
    assert "The customer did not answer. They are called again, by Ann if they are there." in told
    assert told[-1] == "Ann put down the phone before the customer had answered. They are not called again."


def test_what_is_promised_is_kept_back_until_then():
    """What holds it now, until when; not that nobody is there."""
    shop = Numbers()
    for who in ("ann", "bob"):
        shop.change(who, phone="")
    call = shop.wanted(seconds=60)
    waits = shop.latest(call, "waits")

    assert (waits.rule, waits.until) == ("promised", NOON + timedelta(seconds=60))
    assert waits.text == "The customer was promised a call then: nobody is asked before."
    assert [one.kind for one in shop.page(call).decisions] == ["waits", "opened"]
    shop.wait(60)
    assert "There was nobody whom it could be offered. Supervisors were told." in shop.story(call)


@pytest.mark.parametrize(("seconds", "rule", "until"), [(60, "closed", 600), (600, "promised", 600), (900, "promised", 900)])
def test_what_is_promised_of_a_line_that_is_closed(seconds: int, rule: str, until: int):
    """It waits for whichever is later, its time or the opening."""
    shop = Numbers(hours=MORNING)
    call = shop.wanted(seconds=seconds)

    for kind in ("waits", "opened"):
        assert shop.latest(call, kind).until == NOON + timedelta(seconds=until)
    assert shop.latest(call, "waits").rule == rule
    assert shop.latest(call, "opened").text.endswith("it waits for the opening.") == (rule == "closed")


def test_a_call_that_somebody_wants_to_make_early():
    """And does not, or it is passed on: it keeps its time."""
    shop = Numbers()
    desk = shop.store.write(lambda tx: house.add_line(tx, "desk"))
    sue = shop.store.write(lambda tx: house.add_operator(tx, "sue", [], role=Role.SUPERVISOR))
    shop.ids["sue"] = sue
    call = shop.wanted(seconds=60)
    shop.do("ann", call, Take)
    shop.tell(call, RingEnded, operators=(shop.ids["ann"],), offer_no=1, how="declined")
    shop.do("sue", call, Transfer, to_line=desk)

    told = shop.page(call).decisions
    assert [one.text for one in told[1:3]] == [
        "Sue passed it on to the line “Desk”. Nobody is asked before the time that was promised to the customer.",
        "Ann did not make the call before its time. Nobody is asked before the time that was promised to the customer.",
    ]
    assert [one.until for one in told[:3]] == [NOON + timedelta(seconds=60)] * 3


def test_a_call_whose_end_the_exchange_tells_before_anybody_was_reached():
    """They are called again; where nobody has called them there is nothing to tell."""
    shop = Numbers(calls=CallSettings(callback_retry_seconds=60))
    call = shop.wanted()
    shop.wait(1)
    before = shop.story(call)
    shop.tell(call, CallEnded)
    assert shop.story(call) == before
    shop.tell(call, RingAnswered, operator_id=shop.ids["ann"])
    shop.tell(call, CallEnded, lost=True)

    assert "The customer did not answer. They are called again, by Ann if they are there." in shop.story(call)


def test_a_caller_who_hears_the_greeting():
    """What holds the call."""
    shop = Numbers(calls=CallSettings(greeting="custom/hello"))
    waits = shop.latest(shop.say(), "waits")

    assert (waits.rule, waits.until is not None) == ("greeting", True)
    assert waits.text == "The caller hears the greeting or the menu: no phone rings before that is over."


def test_a_call_is_promised_to_a_caller():
    """Nobody answered, or the line is closed."""
    nobody = Numbers(calls=CallSettings(no_answer_does=UnansweredCalls.CALLBACK, no_answer_seconds=10))
    call = nobody.say()
    nobody.wait(120)
    closed = Numbers(hours=MORNING, outside_calls="callback")

    assert nobody.story(call)[-1].endswith("Nobody answered: the caller is called back.")
    assert nobody.story(call, "ru")[-1].endswith("Никто не ответил: клиенту перезвонят.")
    assert closed.story(closed.say()) == [
        "A call outside the working hours of the line “Shop”: to be called back at the opening, nobody was asked."
    ]


def test_a_click_on_a_number():
    """Whose phone rings, and that nobody was called when it is not lifted, or there is none."""
    shop = Numbers()
    call = shop.wanted(by="bob", now=True)
    shop.tell(call, RingEnded, operators=(shop.ids["bob"],), offer_no=1, how="declined")

    assert shop.story(call) == [
        "Bob calls the customer: their own phone rings first.",
        "Bob did not lift the phone: the customer was not called.",
    ]
    nobody = Numbers()
    nobody.change("bob", phone="")
    assert nobody.story(nobody.wanted(by="bob", now=True)) == ["Bob wanted to call the customer, and had no phone that was free."]


MENU = CallMenu(
    "menu",
    {
        "1": MenuKey(KeyDoes.OPERATOR, operator="bob"),
        "2": MenuKey(KeyDoes.CALLBACK),
        "3": MenuKey(KeyDoes.VOICEMAIL),
        "4": MenuKey(KeyDoes.FORWARD),
    },
)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("1", "The caller chose Bob by key: they are asked first."),
        ("2", "The caller chose to be called back."),
        ("3", "The caller chose to leave a message."),
        ("4", "The caller chose to be put through to a number outside."),
    ],
)
def test_what_a_caller_chooses_by_key(key: str, told: str):
    """And nothing of somebody who did not answer."""
    shop = Numbers(calls=CallSettings(menu=MENU, forward_to="100"))
    call = shop.say()
    shop.tell(call, KeyPressed, key=key)

    assert told in shop.story(call)
    assert not any("Nobody answered" in one for one in shop.story(call))
