"""What people do with a session in a house: each verb from the deed to the rows, on the shipped worker, distributor, timers, sender.

After every test the auditor finds nothing wrong, `reconcile` proves its promises, every decision replays to the byte, and no channel
has delivered what was said among operators.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import msgspec
import pytest
from msgspec.structs import replace

from broker.domain import (
    ConversationId,
    Distribution,
    LineSettings,
    LoadKind,
    MessageId,
    NoAnswer,
    OperatorId,
    PresenceState,
    Rating,
    Role,
    Status,
    Weights,
    from_us,
)
from broker.events import (
    Close,
    ContactMessage,
    Decline,
    Event,
    Invite,
    Join,
    LeaveSession,
    Note,
    OperatorGone,
    Reply,
    Snooze,
    Spam,
    Start,
    Take,
    TakeOver,
    Transfer,
)
from broker.inbound import accept, enter, prepare, set_banned, set_priority, undecided
from broker.outbound import Sender
from broker.outbound import due as due_to_send
from broker.ports import Raw, Tx
from broker.store.reconcile import reconcile
from broker.store.sql import insert_row
from broker.store.tables import counters
from broker.timers import earliest, fire_due
from routing import clockwork, distributor, worker
from routing.applying import TIMER_OWNER, claim, concerned, timer_fired
from routing.engine import NO_ANSWER, OFFER, REOPEN, SILENCE, SNOOZE
from routing.session import (
    Session,
)
from tests.support.audit import Seen, audit
from tests.support.channels import FakeChannel, pressed, wrote
from tests.support.clock import MovedClock
from tests.support.house import add_channel, add_line, add_operator, load_house, set_presence
from tests.support.store import MemoryStore

T = TypeVar("T")
HOUR = timedelta(hours=1)
_DECIDED = (
    "SELECT j.body FROM journal j JOIN inputs i ON i.conversation_id = j.conversation_id AND i.seq = j.input_seq "
    "WHERE i.external_id = ? ORDER BY j.seq LIMIT 1"
)


class Answered:
    """A store that answers at once, awaited: what the sender expects."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def write(self, work: Callable[[Tx], T], /) -> T:
        return self._store.write(work)

    async def write_each(self, work: Callable[[Tx, Sequence[Any]], Sequence[T]], item: Any, /) -> T:
        return self._store.write(lambda tx: work(tx, (item,)))[0]

    read = write


class Shop:
    """Two lines: the shop with Ann and Bob, in that order, and the desk with Cat; Sue supervises. Eve writes to the shop's page."""

    def __init__(self, load: LoadKind = LoadKind.CHAT, desk: dict[str, Any] | None = None, **settings: Any) -> None:
        self.clock = MovedClock()
        self.store = MemoryStore(self.clock)
        self.seen = Seen()
        self.count = 0
        strictly: dict[str, Any] = {"distribution": Distribution.STRICTLY, "rating": False}

        def build(tx: Tx) -> None:
            self.line = add_line(tx, "shop", **(strictly | settings))
            self.desk = add_line(tx, "desk", **(strictly | (desk or {})))
            self.channel = FakeChannel(add_channel(tx, self.line), self.line)
            self.ann = add_operator(tx, "ann", [self.line], position=1)
            self.bob = add_operator(tx, "bob", [self.line], position=2)
            self.cat = add_operator(tx, "cat", [self.desk])
            self.sue = add_operator(tx, "sue", role=Role.SUPERVISOR)
            tx.run(insert_row(counters, "name value"), name="fence", value=1)

        self.store.write(build)
        self.house = self.store.write(lambda tx: load_house(tx, {self.channel.id: load}))
        self.store.write(lambda tx: clockwork.keep_time(tx, self.house))
        self.settle()

    def writes(self, text: str, key: str = "eve") -> ConversationId:
        """A customer writes, and all that follows is done."""
        conversation = self.accepts(text, wrote(self.name("x"), key, text), key)
        self.settle()
        return conversation

    def presses(self, value: str, key: str = "eve") -> None:
        """A customer presses a button."""
        self.accepts("", pressed(self.name("x"), key, value), key)
        self.settle()

    def accepts(self, text: str, raw: Raw, key: str = "eve") -> ConversationId:
        """What a customer says is stored, and no more."""
        prepared = prepare(self.channel, [raw], LineSettings())
        (accepted,) = self.store.write(lambda tx: accept(tx, self.channel.id, prepared))
        assert accepted.conversation_id is not None
        self.seen.acknowledged[self.channel.id, raw.external_id] = text
        if text:
            self.seen.said_in_order.setdefault((self.channel.id, key), []).append(text)
        return accepted.conversation_id

    def name(self, kind: str) -> str:
        """Return a name that nothing else has."""
        self.count += 1
        return f"{kind}{self.count}"

    def does(self, who: OperatorId, conversation: ConversationId, kind: Any, text: str = "", **more: Any) -> str:
        """An operator does something; return the code of its refusal, empty: it was done."""
        command = self.name("k")
        if text:
            more["message_id"] = MessageId(self.name("m"))

        def make(at: datetime) -> Event:
            event: Event = kind(at=at, operator_id=who, command=command, **more)
            return event

        self.store.write(lambda tx: enter(tx, "console", command, conversation, make, text.encode()))
        self.seen.answered[command] = text
        self.settle()
        body = self.store.one(_DECIDED, command)
        made = msgspec.json.decode(body)["decisions"]
        return next((one["code"] for one in made if one["do"] == "refuse"), "")

    def goes(self, who: OperatorId, state: PresenceState, conversation: ConversationId | None = None, **how: bool) -> None:
        """An operator comes or goes; *conversation*: and whoever watches presence says so there."""
        change = self.name("g")

        def write(tx: Tx) -> None:
            set_presence(tx, who, state, [line for line, people in self.house.directory.seats.items() if who in people])
            if conversation is not None:
                enter(tx, "presence", change, conversation, lambda at: OperatorGone(at=at, operator_id=who, **how))

        self.store.write(write)
        self.settle()

    def passes(self, seconds: float) -> None:
        """Time passes; each deadline on the way is kept at its moment."""
        until = self.clock.now() + timedelta(seconds=seconds)
        enters: dict[str, Any] = {
            TIMER_OWNER: timer_fired,
            clockwork.LINE: lambda tx, owner, *_: clockwork.line_due(tx, owner, self.house),
        }
        while (due := self.store.write(earliest)) is not None and due <= until:
            self.clock.move(max(due - self.clock.now(), timedelta(0)))
            self.store.write(lambda tx: fire_due(tx, enters))
            self.settle()
        self.clock.move(until - self.clock.now())

    def settle(self) -> None:
        """Let the worker and the distributor do what there is to do."""
        while (conversations := self.store.write(undecided)) or (pools := self.store.write(distributor.marked)):
            for conversation in conversations:
                self.store.write(partial(worker.step, conversation_id=conversation, house=self.house))
            for line in [] if conversations else pools:
                self.store.write(partial(distributor.step, line_id=line, house=self.house))

    def deliver(self) -> list[str]:
        """Send what is queued, by the shipped sender, and return all that the customers were shown."""
        sender = Sender(
            Answered(self.store), self.clock, lambda _: self.channel, lambda channel, operator: "Shop", owner="test", fence=1
        )
        while conversations := self.store.write(due_to_send):
            for conversation in conversations:
                asyncio.run(sender.step(conversation))
        return [sent.text for sent in self.channel.far.delivered]

    def session(self, key: str = "eve") -> Session:
        """Return the customer's present session."""
        row = self.store.one("SELECT s.state FROM sessions s JOIN conversations c ON c.session_id = s.id WHERE c.key = ?", key)
        return msgspec.json.decode(row, type=Session)

    def held(self) -> Session:
        """Return the session, which must be as its columns say."""
        session = self.session()
        row = self.store.rows("SELECT status, operator_id, line_id, weight FROM sessions WHERE id = ?", session.id)[0]
        assert row == (session.status, session.operator_id, session.line_id, session.weight)
        return session

    def reserved(self, *people: OperatorId) -> list[int]:
        """Return what is taken of each one's budget."""
        return [self.store.one("SELECT reserved FROM budgets WHERE operator_id = ?", who) for who in people]

    def timers(self) -> dict[str, datetime]:
        """Return the conversations' timers."""
        rows = self.store.rows("SELECT name, due_us FROM timers WHERE owner_kind = 'conversation'")
        return {name: from_us(due_us) for name, due_us in rows}

    def offers(self) -> list[tuple[str, str]]:
        """Return to whom it was offered and what became of that."""
        rows = self.store.rows("SELECT p.login, o.state FROM offers o JOIN operators p ON p.id = o.operator_id ORDER BY o.id")
        return [(row[0], row[1]) for row in rows]

    def alerts(self) -> list[str]:
        """Return what supervisors were told."""
        return [
            msgspec.json.decode(row[0])["what"]
            for row in self.store.rows("SELECT body FROM journal WHERE kind = 'alert' ORDER BY id")
        ]

    def faults(self) -> list[str]:
        """Return all that is wrong, when everything has come to rest."""
        shown = self.deliver()
        self.seen.delivered = {self.channel.id: self.channel.far.delivered}
        self.seen.idempotent = {self.channel.id: True}
        found = audit(self.store.rows, self.seen)
        found += [f"{broken.table}: {broken.says}: {broken.ids}" for broken in self.store.write(reconcile).broken]
        notes = self.store.rows("SELECT conversation_id, seq, text FROM messages WHERE kind = 'note'")
        for conversation, seq, text in notes:
            if text in shown or self.store.rows("SELECT 1 FROM outbox WHERE conversation_id = ? AND seq = ?", conversation, seq):
                found.append(f"the note {text!r} went out")
        return found


Shops = Callable[..., Shop]


@pytest.fixture
def shops() -> Iterator[Shops]:
    """Return how to open shops; what they left behind is looked through at the end."""
    opened: list[Shop] = []

    def open_one(*args: Any, **settings: Any) -> Shop:
        opened.append(Shop(*args, **settings))
        return opened[-1]

    yield open_one
    assert opened
    for shop in opened:
        assert shop.faults() == []


def taken(shop: Shop, text: str = "hello", key: str = "eve") -> ConversationId:
    """Let a customer write and Ann take it."""
    conversation = shop.writes(text, key)
    assert shop.does(shop.ann, conversation, Take) == ""
    return conversation


def answered(shop: Shop) -> ConversationId:
    """Let Eve write, and Ann take and answer."""
    conversation = taken(shop)
    assert shop.does(shop.ann, conversation, Reply, "hi, I am Ann") == ""
    return conversation


def test_a_session_goes_from_hand_to_hand(shops: Shops):
    """Passed on with a note and taken: offers, budgets, the responsible and the history follow; the customer sees no note."""
    shop = shops()
    conversation = answered(shop)
    assert shop.does(shop.ann, conversation, Transfer, "she is angry", to_operator=shop.bob) == ""

    assert (shop.held().status, shop.reserved(shop.ann, shop.bob)) == (Status.OFFERED, [0, 25])
    assert shop.does(shop.bob, conversation, Take) == ""
    assert (shop.held().operator_id, shop.reserved(shop.ann, shop.bob)) == (shop.bob, [0, 25])
    assert shop.offers() == [("ann", "taken"), ("bob", "taken")]
    assert shop.store.rows("SELECT responsible_id FROM contacts") == [(shop.bob,)]
    assert shop.store.rows("SELECT kind, author, operator_id, text, fate FROM messages WHERE kind = 'note'") == [
        ("note", "operator", shop.ann, "she is angry", "noted")
    ]
    assert shop.deliver()[1:] == ["hi, I am Ann"]


@pytest.mark.parametrize("how", ["declined", "ran_out", "gone"])
def test_what_a_colleague_does_not_take_comes_back_in_the_house(shops: Shops, how: str):
    """By their deed, by time, or because they went: each budget is right, and no timer is left over."""
    shop = shops(auto_close_seconds=3600)
    conversation = answered(shop)
    shop.does(shop.ann, conversation, Transfer, to_operator=shop.bob)
    if how == "declined":
        shop.does(shop.bob, conversation, Decline)
    elif how == "ran_out":
        shop.passes(60)
    else:
        shop.goes(shop.bob, PresenceState.AWAY, conversation)

    assert (shop.held().operator_id, shop.reserved(shop.ann, shop.bob)) == (shop.ann, [25, 0])
    assert shop.offers()[-1] == ("bob", how)
    assert set(shop.timers()) == {SILENCE}


def _concerned(shop: Shop, conversation: ConversationId, event: Event) -> set[OperatorId]:
    work = shop.store.write(lambda tx: claim(tx, conversation, shop.house))
    assert work is not None
    return concerned(work, [event])


def test_whose_budgets_may_change_is_known_before(shops: Shops):
    """They are locked in one order: whoever is missing would be locked when another has been."""
    shop = shops()
    conversation = answered(shop)
    wrote_again = ContactMessage(at=shop.clock.now(), message_id=MessageId("m"))
    assert _concerned(shop, conversation, wrote_again) == {shop.ann}, "she may be gone, and then it is taken from her"
    shop.writes("and now?")
    assert _concerned(shop, conversation, wrote_again) == set(), "it waits for her already"

    shop.does(shop.ann, conversation, Transfer, to_operator=shop.bob)
    declines = Decline(at=shop.clock.now(), operator_id=shop.bob, command="k")
    assert _concerned(shop, conversation, declines) == {shop.ann, shop.bob}, "it comes back to who passed it on"


@pytest.mark.parametrize("begins", ["customer", "operator"])
def test_a_clock_that_is_turned_back_leaves_sessions_in_their_order(shops: Shops, begins: str):
    """One that ran an hour ahead: the next session of the same conversation opens after the last, whatever it shows by then."""
    shop = shops()
    shop.clock.move(HOUR)
    conversation = answered(shop)
    assert shop.does(shop.ann, conversation, Close) == ""
    before = shop.held()
    shop.passes(660)
    shop.clock.set(shop.clock.now() - HOUR)
    if begins == "customer":
        shop.writes("me again")
    else:
        assert shop.does(shop.ann, conversation, Start, "one more thing") == ""

    assert shop.held().id != before.id
    assert before.opened_at + timedelta(microseconds=1) == shop.held().opened_at


def test_what_is_passed_on_by_who_has_gone_since_is_anybodys(shops: Shops):
    """Ann goes home while Bob thinks: it waits, and is offered to nobody who was just asked."""
    shop = shops()
    conversation = taken(shop)
    shop.does(shop.ann, conversation, Transfer, to_operator=shop.bob)
    shop.goes(shop.ann, PresenceState.OFFLINE, conversation, vanished=True)
    shop.does(shop.bob, conversation, Decline)

    assert (shop.held().status, shop.reserved(shop.ann, shop.bob)) == (Status.QUEUED, [0, 0])
    shop.goes(shop.ann, PresenceState.ONLINE)
    assert shop.held().offered_to == (shop.ann,)


def test_a_supervisor_passes_somebody_elses_session(shops: Shops):
    """It is Ann's again, and nothing of the supervisor's budget is touched."""
    shop = shops()
    conversation = taken(shop)
    assert shop.does(shop.sue, conversation, Transfer, "please", to_operator=shop.bob) == ""
    shop.passes(60)

    assert (shop.held().operator_id, shop.reserved(shop.ann, shop.bob, shop.sue)) == (shop.ann, [25, 0, 0])


def test_a_session_is_assigned_to_somebody_who_is_not_there(shops: Shops):
    """Without asking; it is theirs when they come."""
    shop = shops()
    conversation = shop.writes("hello")
    shop.goes(shop.bob, PresenceState.OFFLINE)
    assert shop.does(shop.ann, conversation, Transfer, to_operator=shop.bob, assigned=True) == "not_yours"
    assert shop.does(shop.sue, conversation, Transfer, "for tomorrow", to_operator=shop.bob, assigned=True) == ""

    assert (shop.held().operator_id, shop.reserved(shop.ann, shop.bob)) == (shop.bob, [0, 25])
    assert shop.offers() == [("ann", "withdrawn")]


def test_a_session_goes_to_the_desk_and_the_next_one_begins_in_the_shop(shops: Shops):
    """Another line's weight and people; reopened there, and when its window has passed the customer begins where they write."""
    shop = shops(desk={"weights": Weights(chat=40), "reopen_seconds": 60})
    conversation = answered(shop)
    shop.does(shop.ann, conversation, Transfer, "billing", to_line=shop.desk)

    assert (shop.held().line_id, shop.held().offered_to) == (shop.desk, (shop.cat,))
    assert shop.reserved(shop.ann, shop.cat) == [0, 40]
    assert shop.does(shop.ann, conversation, Reply, "wait") == "not_offered"
    shop.does(shop.cat, conversation, Take)
    shop.does(shop.cat, conversation, Reply, "hi, I am Cat")
    shop.does(shop.cat, conversation, Close)
    first = shop.held().id
    shop.writes("one more thing")
    assert (shop.held().id, shop.held().line_id, shop.held().operator_id) == (first, shop.desk, shop.cat)
    shop.does(shop.cat, conversation, Close)
    shop.passes(61)
    shop.writes("hello again")
    assert (shop.held().line_id, shop.held().weight, shop.held().offered_to) == (shop.line, 25, (shop.ann,))
    assert shop.store.rows("SELECT frozen FROM sessions WHERE id = ?", first) == [(1,)]


def test_who_writes_first_after_the_window_begins_in_the_channels_line(shops: Shops):
    """The session that was passed on is over, though its timer has not said so."""
    shop = shops(desk={"reopen_seconds": 60})
    conversation = taken(shop)
    shop.does(shop.ann, conversation, Transfer, to_line=shop.desk)
    shop.does(shop.cat, conversation, Take)
    shop.does(shop.cat, conversation, Close)
    shop.clock.move(61)  # the timer is late
    assert shop.does(shop.cat, conversation, Start, "hello?") == "not_yours"
    assert shop.does(shop.ann, conversation, Start, "anything else?") == ""

    assert (shop.held().line_id, shop.held().operator_id, shop.reserved(shop.ann, shop.cat)) == (shop.line, shop.ann, [25, 0])
    assert "reopen" not in shop.timers()
    assert shop.store.rows("SELECT line_id, status, frozen FROM sessions ORDER BY id") == [
        (shop.desk, "closed", 1),
        (shop.line, "active", 0),
    ]


def test_whoever_passes_to_their_own_queue_sees_it_go_to_the_next(shops: Shops):
    """Strictly or not: it is not offered back."""
    shop = shops()
    conversation = taken(shop)
    shop.does(shop.ann, conversation, Transfer, to_line=shop.line)

    assert (shop.held().offered_to, shop.reserved(shop.ann, shop.bob)) == ((shop.bob,), [0, 25])


def test_what_the_contact_counts_for_goes_with_them(shops: Shops):
    """As the database has it: beside their line's own priority when they write, and beside the desk's when they are passed on."""
    shop = shops(priority=1, desk={"priority": 2})
    conversation = shop.accepts("hello", wrote(shop.name("x"), "eve", "hello"))
    (contact,) = shop.store.rows("SELECT id FROM contacts")[0]
    shop.store.write(lambda tx: set_priority(tx, contact, 30))
    shop.settle()

    assert shop.held().priority == 1 + 30
    shop.does(shop.ann, conversation, Take)
    shop.does(shop.ann, conversation, Transfer, to_line=shop.desk)
    assert (shop.held().line_id, shop.held().priority) == (shop.desk, 2 + 30)


def test_only_what_is_distributed_counts_as_a_turn(shops: Shops):
    """Not what people take by hand, by an answer, over somebody or from a colleague: the next offers alternate as if it were not."""
    shop = shops(distribution=Distribution.EVENLY, responsible_first=False)
    first, second = shop.writes("hello", "v1"), shop.writes("hello", "v2")
    turns = shop.store.rows("SELECT * FROM turns ORDER BY operator_id")
    assert shop.offers() == [("ann", "open"), ("bob", "open")]
    shop.does(shop.ann, first, Take)
    shop.does(shop.bob, second, Take)
    for who in (shop.ann, shop.bob):
        shop.goes(who, PresenceState.AWAY)
    waiting = [shop.writes("hello", key) for key in ("v3", "v4")]

    deeds: list[tuple[OperatorId, ConversationId, Any, str, dict[str, Any]]] = [
        (shop.ann, waiting[0], Take, "", {}),
        (shop.ann, waiting[1], Reply, "hi, I am Ann", {}),
        (shop.sue, waiting[0], TakeOver, "", {}),
        (shop.sue, waiting[0], Transfer, "", {"to_operator": shop.ann, "assigned": True}),
    ]
    for who, conversation, deed, text, more in deeds:
        assert shop.does(who, conversation, deed, text, **more) == ""
    for who in (shop.ann, shop.bob):
        shop.goes(who, PresenceState.ONLINE)
    assert shop.does(shop.ann, first, Transfer, to_operator=shop.bob) == ""
    assert shop.does(shop.bob, first, Take) == ""

    assert turns == shop.store.rows("SELECT * FROM turns ORDER BY operator_id")
    for key in ("v5", "v6"):
        shop.writes("hello", key)
    assert [login for login, state in shop.offers() if state == "open"] == ["ann", "bob"]


def test_a_supervisor_takes_over_and_their_seatless_budget_counts(shops: Shops):
    """From Ann; from an offer; refused when they are full."""
    shop = shops(weights=Weights(chat=50))
    first, second, third = (shop.writes("hello", key) for key in ("eve", "fay", "gus"))
    shop.does(shop.ann, first, Take)
    assert shop.does(shop.bob, first, TakeOver) == "not_allowed"
    assert [shop.does(shop.sue, conversation, TakeOver) for conversation in (first, second, third)] == ["", "", "full"]

    assert (shop.held().operator_id, shop.reserved(shop.sue)) == (shop.sue, [100])
    shop.does(shop.sue, first, Close)
    assert shop.reserved(shop.sue) == [50]


def test_colleagues_come_together_and_write(shops: Shops):
    """Invited, joined, an answer and a note of theirs, left: the customer sees the answer only."""
    shop = shops()
    conversation = taken(shop)
    assert shop.does(shop.cat, conversation, Join) == "not_invited"
    assert shop.does(shop.ann, conversation, Invite, colleague=shop.cat) == ""
    assert shop.does(shop.cat, conversation, Note, "coming") == ""
    assert shop.does(shop.cat, conversation, Join) == ""
    assert shop.does(shop.cat, conversation, Reply, "I am Cat") == ""
    assert shop.does(shop.cat, conversation, LeaveSession) == ""
    assert shop.does(shop.cat, conversation, Reply, "and another thing") == "not_yours"
    assert shop.does(shop.cat, conversation, Note, "bye") == "not_yours"

    assert (shop.held().operator_id, shop.held().members, shop.reserved(shop.ann, shop.cat)) == (shop.ann, (), [25, 0])
    assert shop.deliver()[1:] == ["I am Cat"]


def test_a_note_is_never_delivered_whatever_its_session_is(shops: Shops):
    """While it waits, is offered, held, put by and closed; what the customer gets is counted."""
    shop = shops(close_says=False)
    conversation = shop.writes("hello")
    shop.does(shop.bob, conversation, Note, "note offered")
    shop.does(shop.ann, conversation, Take)
    shop.does(shop.ann, conversation, Note, "note active")
    shop.does(shop.ann, conversation, Snooze, until=shop.clock.now() + HOUR)
    shop.does(shop.bob, conversation, Note, "note snoozed")
    shop.does(shop.ann, conversation, Close)
    shop.does(shop.sue, conversation, Note, "note closed")

    assert shop.store.one("SELECT count(*) FROM messages WHERE kind = 'note'") == 4
    assert shop.store.one("SELECT count(*) FROM outbox") == 1
    assert [text.startswith("note") for text in shop.deliver()] == [False]


def test_spam_is_silent_and_a_ban_lasts(shops: Shops):
    """Nothing is said, the contact opens nothing any more, what they write is kept; the ban can be lifted."""
    shop = shops(rating=True)
    conversation = answered(shop)
    shop.does(shop.ann, conversation, Spam, ban=True)
    shop.writes("buy now")

    assert (shop.held().status, shop.held().outcome, shop.reserved(shop.ann)) == (Status.CLOSED, "spam", [0])
    assert shop.deliver()[1:] == ["hi, I am Ann"]
    assert shop.does(shop.ann, conversation, Start, "hello?") == "banned"
    contact = shop.session().contact_id
    shop.store.write(lambda tx: set_banned(tx, contact, banned=False))
    shop.writes("it was my brother")
    assert shop.held().operator_id == shop.ann
    assert shop.store.one("SELECT count(*) FROM messages WHERE author = 'contact'") == 3


def test_a_stranger_who_is_banned_opens_no_session(shops: Shops):
    """Their words are kept without one."""
    shop = shops()
    conversation = taken(shop)
    shop.does(shop.ann, conversation, Spam, ban=True)
    shop.passes(601)
    shop.writes("hello again")

    assert shop.store.one("SELECT count(*) FROM sessions") == 1
    assert shop.held().frozen


def test_a_session_is_put_by_and_wakes(shops: Shops):
    """Its place is free meanwhile, and taken again at its time."""
    shop = shops()
    conversation = answered(shop)
    assert shop.does(shop.bob, conversation, Snooze, until=shop.clock.now() + HOUR) == "not_yours"
    shop.does(shop.ann, conversation, Snooze, until=shop.clock.now() + HOUR)

    assert (shop.held().status, shop.reserved(shop.ann), set(shop.timers())) == (Status.SNOOZED, [0], {SNOOZE})
    shop.passes(3600)
    assert (shop.held().status, shop.held().operator_id, shop.reserved(shop.ann)) == (Status.ACTIVE, shop.ann, [25])
    assert shop.timers() == {}


def test_the_customer_wakes_what_nobody_can_have(shops: Shops):
    """Ann has gone: it waits for her first, and is Bob's when she does not come."""
    shop = shops(responsible_seconds=0)
    conversation = answered(shop)
    shop.does(shop.ann, conversation, Snooze, until=shop.clock.now() + HOUR)
    shop.goes(shop.ann, PresenceState.OFFLINE, conversation, vanished=True)
    assert shop.held().status is Status.SNOOZED
    shop.writes("are you there?")

    assert (shop.held().offered_to, shop.reserved(shop.ann, shop.bob)) == ((shop.bob,), [0, 25])
    assert set(shop.timers()) == {OFFER, NO_ANSWER}


def test_an_operator_writes_first_and_is_answered(shops: Shops):
    """To a known contact whose session is over; the customer's answer is in the same one."""
    shop = shops()
    conversation = answered(shop)
    shop.does(shop.ann, conversation, Close)
    shop.passes(601)
    assert shop.does(shop.bob, conversation, Start, "your order has come") == ""
    begun = shop.held()
    shop.writes("thank you")

    assert (begun.operator_id, begun.answered_at, shop.reserved(shop.ann, shop.bob)) == (shop.bob, shop.clock.now(), [0, 25])
    assert shop.held() == replace(begun, unanswered_since=shop.clock.now())
    assert shop.deliver()[-1] == "your order has come"
    assert shop.does(shop.bob, conversation, Start, "again") == "open_already"


def test_mail_takes_a_place_only_while_it_waits(shops: Shops):
    """Twenty unanswered ones fill an operator; an answered one makes room for another."""
    shop = shops(LoadKind.MAIL, weights=Weights(mail=50))
    first = taken(shop)
    taken(shop, key="fay")
    assert shop.reserved(shop.ann) == [100]
    shop.does(shop.ann, first, Reply, "hi, I am Ann")
    assert shop.reserved(shop.ann) == [50]
    taken(shop, key="gus")
    shop.writes("and another thing")

    assert (shop.held().counted, shop.reserved(shop.ann)) == (False, [100])
    shop.does(shop.ann, first, Transfer, to_operator=shop.bob)
    assert shop.reserved(shop.ann, shop.bob) == [100, 50]
    shop.does(shop.bob, first, Take)
    shop.does(shop.bob, first, Reply, "I am Bob")
    assert shop.reserved(shop.ann, shop.bob) == [100, 0]


def test_a_silent_customer_is_warned_and_the_session_closes(shops: Shops):
    """In time, in words, and with nothing left over."""
    shop = shops(auto_close_seconds=600, auto_close_warn_seconds=60, close_says=False)
    answered(shop)
    shop.passes(539)
    assert len(shop.deliver()) == 2
    shop.passes(1)
    assert shop.deliver()[2].startswith("Are you still there?")
    shop.writes("yes")
    shop.passes(600)
    assert shop.held().status is Status.ACTIVE
    shop.does(shop.ann, shop.session().conversation_id, Reply, "good")
    shop.passes(600)

    assert (shop.held().status, shop.held().outcome, shop.reserved(shop.ann)) == (Status.CLOSED, "silence", [0])
    assert set(shop.timers()) == {REOPEN}


def test_supervisors_are_told_of_broken_promises(shops: Shops):
    """By rows of the journal, each after the decision that made it."""
    shop = shops(kpi_first_seconds=30, kpi_next_seconds=90, no_answer_seconds=0)
    conversation = shop.writes("hello")
    shop.passes(30)
    assert shop.alerts() == ["kpi_first"]
    shop.does(shop.ann, conversation, Take)
    shop.does(shop.ann, conversation, Reply, "hi, I am Ann")
    shop.writes("where is it?")
    shop.passes(600)

    assert shop.alerts() == ["kpi_first", "kpi_next"]
    assert shop.held().kpi_missed == 2
    kinds = [row[0] for row in shop.store.rows("SELECT kind FROM journal WHERE conversation_id IS NOT NULL ORDER BY seq")]
    assert [kinds[number - 1] for number, kind in enumerate(kinds) if kind == "alert"] == ["kpi_due", "kpi_due"]


def test_nobody_there_is_told_once_to_customers_and_supervisors(shops: Shops):
    """At once, and not again when the time to an answer has passed."""
    shop = shops()
    for who in (shop.ann, shop.bob):
        shop.goes(who, PresenceState.OFFLINE)
    shop.writes("hello")
    shop.passes(600)

    assert shop.alerts() == ["nobody"]
    assert len(shop.deliver()) == 2
    assert shop.timers() == {}


def test_who_does_not_answer_loses_the_session_to_the_next(shops: Shops):
    """The line's rule is the queue: from Ann to Bob, who answers."""
    shop = shops(no_answer_does=NoAnswer.QUEUE, no_answer_seconds=120)
    conversation = shop.writes("hello")
    shop.passes(50)
    shop.does(shop.ann, conversation, Take)
    shop.passes(119)
    assert shop.held().operator_id == shop.ann
    shop.passes(1)

    assert (shop.held().offered_to, shop.reserved(shop.ann, shop.bob)) == ((shop.bob,), [0, 25])
    shop.does(shop.bob, conversation, Take)
    shop.does(shop.bob, conversation, Reply, "I am Bob")
    shop.writes("hello?")
    shop.passes(600)
    assert (shop.held().operator_id, len(shop.deliver())) == (shop.bob, 2)


def test_what_nobody_answers_goes_to_the_desk_once(shops: Shops):
    """Each line names the other; it does not go round."""
    back = {"no_answer_does": NoAnswer.LINE, "no_answer_line": "shop", "no_answer_seconds": 30}
    shop = shops(desk=back, no_answer_does=NoAnswer.LINE, no_answer_line="desk", no_answer_seconds=120)
    conversation = taken(shop)
    shop.passes(120)

    assert (shop.held().line_id, shop.held().offered_to) == (shop.desk, (shop.cat,))
    assert shop.reserved(shop.ann, shop.cat) == [0, 25]
    shop.passes(31)
    assert (shop.held().line_id, shop.held().no_answer_said) == (shop.desk, True)
    shop.does(shop.cat, conversation, Take)
    shop.does(shop.cat, conversation, Reply, "I am Cat")


@pytest.mark.parametrize("slug", ["", "nowhere", "shop"])
def test_a_line_that_names_no_other_tells_the_customer(shops: Shops, slug: str):
    """Its settings may be older than the other line's end."""
    shop = shops(no_answer_does=NoAnswer.LINE, no_answer_line=slug)
    taken(shop)
    shop.passes(60)

    assert (shop.held().operator_id, shop.held().no_answer_said, len(shop.deliver())) == (shop.ann, True, 2)


def test_the_customer_rates_by_words_and_by_buttons(shops: Shops):
    """A word, changed by a button, repeated; kept in the session, and nothing opens."""
    shop = shops(rating=True, close_says=False)
    conversation = answered(shop)
    shop.does(shop.ann, conversation, Close)
    shop.writes("1")
    assert (shop.held().status, shop.held().rating) == (Status.CLOSED, Rating.GOOD)
    shop.presses("bad")
    shop.presses("bad")

    assert (shop.held().rating, shop.reserved(shop.ann)) == (Rating.BAD, [0])
    assert [text.split()[0] for text in shop.deliver()[2:]] == ["Did", "Thank"]
    shop.passes(601)
    shop.presses("good")
    assert (shop.held().rating, shop.held().frozen) == (Rating.GOOD, True)
    shop.passes(24 * 3600)
    shop.presses("bad")
    assert shop.held().rating is Rating.GOOD
    shop.writes("yes")
    assert (shop.held().status, shop.held().rating) == (Status.OFFERED, None)
    shop.presses("bad")
    assert shop.held().rating is None


def test_a_word_that_came_in_time_and_is_decided_late_is_a_rating(shops: Shops):
    """The worker was behind."""
    shop = shops(rating=True, rating_hours=1)
    conversation = answered(shop)
    shop.does(shop.ann, conversation, Close)
    shop.passes(601)
    shop.accepts("1", wrote("late", "eve", "1"))
    shop.clock.move(2 * HOUR)
    shop.settle()

    assert shop.held().rating is Rating.GOOD


def test_a_button_of_the_question_counts_in_the_session_that_went_on(shops: Shops):
    """Thanks, which reopen it, then the button; asked again after the next answer, it is thanked for again."""
    shop = shops(rating=True, close_says=False)
    conversation = answered(shop)
    shop.does(shop.ann, conversation, Close)
    shop.writes("thank you so much")
    shop.presses("good")
    assert (shop.held().status, shop.held().rating) == (Status.ACTIVE, Rating.GOOD)
    shop.does(shop.ann, conversation, Close)

    assert (shop.held().rating, len(shop.deliver())) == (Rating.GOOD, 4)
