"""Talks in the whole house: whatever is done to them in whatever order, every row agrees, and every decision is made again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from broker.domain import LineId, LoadKind, OperatorId, PresenceState, Role
from broker.events import (
    CallEnded,
    Close,
    Consult,
    ConsultAnswered,
    ConsultEnded,
    Event,
    ForwardEnded,
    Hold,
    HoldFailed,
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
        chance.choice((exchange.ring, lambda: exchange.tell(ForwardEnded, how="busy")))()
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
