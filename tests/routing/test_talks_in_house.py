"""Talks in the whole house: whatever is done to them in whatever order, every row agrees, and every decision is made again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from broker.domain import LineId, LoadKind, OperatorId, Person, PresenceState, Role, Status
from broker.events import (
    AsksCallback,
    CallEnded,
    Close,
    Consult,
    ConsultAnswered,
    ConsultEnded,
    CustomerNotReached,
    CustomerReached,
    Event,
    ForwardEnded,
    Hold,
    HoldFailed,
    Incoming,
    Listen,
    ListenBegan,
    ListenEnded,
    Resume,
    RingAnswered,
    RingEnded,
    Spam,
    Take,
    TalkEnded,
    TalkMoved,
    Transfer,
)
from broker.store.reconcile import reconcile
from channels.phone import ledger
from routing.session import Session
from tests.crm_bridge.house import House
from tests.support.channels import STREAM
from tests.support.replay import differences, journalled

CLOSED_NOW = {"zone": "UTC", "week": {"mon": ["13:00-20:00"]}}
DEEDS = 60


class Exchange:
    """A house whose people have phones, three lines (one is closed now, one was switched off while it was), and a call."""

    def __init__(self, **settings: Any) -> None:
        self.house = House()
        calls = {"no_answer_does": "wait", "ring_seconds": 20}
        self.shop = self.house.line("shop", calls=calls, **settings)
        self.shut = self.house.line("shut", hours=CLOSED_NOW, outside_calls="voicemail")
        self.gone = self.house.line("gone", hours=CLOSED_NOW)
        self.house.store.change("UPDATE lines SET active = 0 WHERE slug = 'gone'")
        self.ann, self.bob, self.cat = (self.house.operator(who, self.shop, self.shut) for who in ("ann", "bob", "cat"))
        self.sue = self.house.operator("sue", role=Role.SUPERVISOR)
        self.house.store.change("UPDATE operators SET phone = 'PJSIP/' || login")
        self.number = self.house.channel(self.shop, "number", replace(STREAM, load=LoadKind.CALL))
        self.calls = 0
        self.ring()

    def ring(self) -> None:
        """Let somebody call."""
        self.calls += 1
        self.call = self.house.call(self.number, f"call-{self.calls}", f"+7912000{self.calls:04}")
        self.house.settle()

    def want(self, due: datetime, by: OperatorId | None, *, now: bool = False) -> None:
        """Let somebody be called."""
        self.calls += 1
        number = f"+7912000{self.calls:04}"
        asked = AsksCallback(number, due, by, now)
        accepted = self.house.receive(self.number, Incoming(f"call-{self.calls}", Person(number, phones=(number,)), asked))
        assert accepted.conversation_id is not None
        self.call = accepted.conversation_id
        self.house.do(lambda tx: ledger.begin_out(tx, self.call, self.number.id, number))
        self.house.settle()

    def happens(self, make: Callable[[datetime, str], Event]) -> None:
        """Let something happen to the call."""
        self.house.enter(self.call, make)
        self.house.settle()

    def tell(self, what: type[Any], **more: Any) -> None:
        """Let the telephone tell something."""
        self.happens(lambda at, command: what(at=at, **more))

    def do(self, who: OperatorId, deed: type[Any], **more: Any) -> None:
        """Let somebody do a deed."""
        self.happens(lambda at, command: deed(at=at, operator_id=who, command=command, **more))

    @property
    def session(self) -> dict[str, Any]:
        """The call's."""
        return self.house.session(self.call)

    def proof(self) -> None:
        """Every row agrees with the others, and every decision is made again from its own."""
        report = self.house.do(reconcile)
        assert report.ok, report.text()
        assert self.house.rows("inputs", dead=None) == self.house.rows("inputs")
        assert differences(journalled(self.house.store)) == []


def _whatever(exchange: Exchange, chance: random.Random) -> None:
    """Let anything happen to the call: most often what may happen to one that stands as it does."""
    people = (exchange.ann, exchange.bob, exchange.cat, exchange.sue)
    lines: tuple[LineId, ...] = (exchange.shop, exchange.shut, exchange.gone, LineId("nowhere"))
    who, other = chance.choice(people), chance.choice(people)
    session = exchange.session
    me = OperatorId(session["operator_id"] or who)
    where: dict[str, Any] = chance.choice(
        ({"to_operator": other}, {"to_line": chance.choice(lines)}, {"to_number": "+100"}, {"by_phone": True})
    )
    by_phone: dict[str, Any] = chance.choice(({}, {"by_phone": True}))
    if session["status"] == "closed":
        due = exchange.house.clock.now() + timedelta(seconds=chance.choice((0, 20, 300)))
        chance.choice(
            (
                exchange.ring,
                lambda: exchange.tell(ForwardEnded, how="busy"),
                lambda: exchange.want(due, chance.choice((None, who))),
                lambda: exchange.want(due, who, now=True),
            )
        )()
        return
    state = msgspec.json.decode(session["state"], type=Session)
    if state.outgoing and not state.reached and chance.random() < 0.7:
        _calls_them(exchange, chance, state)
        return
    if session["status"] != "active" and chance.random() < 0.7:
        if chance.random() < 0.7:
            exchange.tell(RingAnswered, operator_id=who)
        else:
            number = exchange.house.store.one("SELECT max(offer_no) FROM offers WHERE session_id = ?", session["id"]) or 0
            exchange.tell(RingEnded, operators=people, offer_no=number, how="busy")
        return
    chance.choice(
        (
            lambda: exchange.do(me, chance.choice((Hold, Resume, Close, Take))),
            lambda: exchange.do(me, Consult, colleague=other),
            lambda: exchange.do(me, Consult, colleague=other),
            lambda: exchange.tell(ConsultAnswered, operator_id=other),
            lambda: exchange.tell(ConsultEnded, operator_id=other, how="talked"),
            lambda: exchange.do(me, Transfer, **where | by_phone),
            lambda: exchange.do(who, Transfer, **where | by_phone),
            lambda: exchange.tell(TalkEnded, operator_id=me, missing=chance.random() < 0.5),
            lambda: exchange.tell(TalkMoved, operator_id=other),
            lambda: exchange.tell(TalkMoved, number="+100"),
            lambda: exchange.do(exchange.sue, Listen),
            lambda: exchange.tell(chance.choice((ListenBegan, ListenEnded)), operator_id=exchange.sue),
            lambda: exchange.tell(HoldFailed),
            lambda: exchange.tell(CallEnded),
            lambda: exchange.do(exchange.sue, Spam, ban=False),
            lambda: exchange.house.presence(other, chance.choice((PresenceState.ONLINE, PresenceState.AWAY))),
            lambda: exchange.house.later(seconds=chance.choice((1, 25, 90))),
        )
    )()


def _calls_them(exchange: Exchange, chance: random.Random, state: Session) -> None:
    """Let happen what may happen to a call that we make, before its customer has answered."""
    me = state.operator_id or chance.choice((exchange.ann, exchange.bob, exchange.cat))
    if state.status is Status.ACTIVE:
        how: dict[str, Any]
        what, how = chance.choice(
            (
                (CustomerReached, {}),
                (CustomerNotReached, {"how": "busy"}),
                (TalkEnded, {"operator_id": me}),
                (CallEnded, {"lost": True}),
            )
        )
        exchange.tell(what, **how)
    elif state.status is Status.OFFERED:
        ends = {"operators": state.offered_to, "offer_no": state.offer_no, "how": "ran_out"}
        chance.choice(
            (
                lambda: exchange.tell(RingAnswered, operator_id=state.offered_to[0]),
                lambda: exchange.tell(RingAnswered, operator_id=state.offered_to[0]),
                lambda: exchange.tell(RingEnded, **ends),
            )
        )()
    else:
        chance.choice(
            (
                lambda: exchange.do(me, Take),
                lambda: exchange.do(exchange.sue, Transfer, to_line=exchange.shop),
                lambda: exchange.house.later(seconds=chance.choice((1, 25, 90, 900))),
            )
        )()


@pytest.mark.parametrize("seed", range(25))
def test_whatever_happens_to_talks_every_row_agrees(seed: int):
    """Deeds, phones and time at random: nothing cannot be decided, no budget leaks, no decision saw more than it kept."""
    chance = random.Random(seed)
    exchange = Exchange()
    for _ in range(DEEDS):
        _whatever(exchange, chance)
    exchange.proof()


def test_a_phone_that_passes_on_to_a_line_that_is_switched_off_leaves_the_caller_here():
    """The hours that count are those of where the caller waits, not those of the line that cannot have them."""
    exchange = Exchange()
    exchange.tell(RingAnswered, operator_id=exchange.ann)
    exchange.house.presence(exchange.ann, PresenceState.AWAY)
    exchange.do(exchange.ann, Transfer, to_line=exchange.gone, by_phone=True)

    assert exchange.session["line_id"] == exchange.shop
    assert exchange.session["status"] in ("queued", "offered")
    exchange.proof()


def test_a_caller_who_comes_back_rings_at_whoever_spoke_with_them():
    """Of the whole line, once more and first: by the distribution."""
    exchange = Exchange(responsible_first=False)
    exchange.tell(RingAnswered, operator_id=exchange.cat)
    exchange.do(exchange.cat, Hold)
    exchange.tell(TalkEnded, operator_id=exchange.cat)

    assert [exchange.cat] == [row["operator_id"] for row in exchange.house.rows("offers", state="open")]
    exchange.proof()


def test_a_click_on_a_number_is_an_offer_that_an_operator_made():
    """No distribution: it stands with the session, which is new, and every row agrees."""
    exchange = Exchange()
    exchange.tell(CallEnded)
    exchange.want(exchange.house.clock.now(), exchange.bob, now=True)

    assert (exchange.session["status"], exchange.house.row("budgets", operator_id=exchange.bob)["calls"]) == ("offered", 1)
    assert [exchange.bob] == [row["operator_id"] for row in exchange.house.rows("offers", state="open")]
    exchange.proof()
    exchange.tell(RingAnswered, operator_id=exchange.bob)
    exchange.tell(CustomerNotReached, how="busy")
    assert (exchange.session["outcome"], exchange.house.row("budgets", operator_id=exchange.bob)["calls"]) == ("not_reached", 0)
    exchange.proof()


def test_a_call_that_is_promised_rings_at_its_time():
    """Not before, whoever is free."""
    exchange = Exchange()
    exchange.tell(CallEnded)
    exchange.want(exchange.house.clock.now() + timedelta(seconds=90), exchange.bob)
    exchange.house.later(seconds=89)
    assert (exchange.session["status"], exchange.house.rows("offers", state="open")) == ("queued", [])

    exchange.house.later(seconds=1)
    assert [exchange.bob] == [row["operator_id"] for row in exchange.house.rows("offers", state="open")]
    exchange.proof()
