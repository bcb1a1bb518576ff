"""The distributor on a real database: in which order it gives the queue out, what calls it, and when it asks nobody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.domain import ContactId, ConversationId, LineId, PresenceState
from broker.inbound import set_priority
from broker.ports import Bell, Tx
from routing import distributor
from routing.applying import mark_each_waiting, mark_pool
from tests.routing.test_clockwork import OFFICE, Place
from tests.support.channels import FakeChannel
from tests.support.clock import MINUTE, NOON
from tests.support.house import add_channel, add_line, add_operator

ONLINE, OFFLINE = PresenceState.ONLINE, PresenceState.OFFLINE
NEW_YEAR = datetime(2027, 1, 1, 9, 0, tzinfo=UTC)
"""A Friday, noon in Moscow: a public holiday, as is every day up to the eighth."""


class TwoLines(Place):
    """The shop, and a desk whose customers come before the shop's: Ann sits in both, has room for five, and is not there yet."""

    def __init__(self) -> None:
        super().__init__(NOON, people=0, hours=None)

        def build(tx: Tx) -> None:
            desk = add_line(tx, "desk", priority=1)
            self.desk = FakeChannel(add_channel(tx, desk, "desk"), desk)
            self.ann = add_operator(tx, "ann", [self.line, desk], budget=125, state=OFFLINE)

        self.shop = self.channel
        self.store.write(build)
        self.start()

    def waits(self, key: str, channel: FakeChannel, priority: int = 0) -> None:
        """Have the customer *key*, of whom *priority* is known, write to *channel*."""
        self.channel = channel
        knows(self, self.accept(key), priority)
        self.go_on()


def knows(place: Place, conversation: ConversationId, priority: int) -> None:
    """Let it be known of the conversation's contact what *priority* they have."""
    contact = ContactId(place.store.one("SELECT contact_id FROM conversations WHERE id = ?", conversation))
    place.store.write(lambda tx: set_priority(tx, contact, priority))


# --- the order


def test_the_queue_of_a_pool_is_given_out_by_rank():
    """What the line and the contact count for, each point ten minutes of waiting, then age: over every line at which Ann sits."""
    place = TwoLines()
    place.waits("first", place.shop)
    place.waits("least", place.shop, -3)
    place.clock.move(9 * MINUTE)
    place.waits("desk", place.desk)
    place.clock.move(2 * MINUTE)
    place.waits("late at the desk", place.desk)
    place.waits("late", place.shop)
    place.waits("known at the desk", place.desk, 2)
    place.waits("known", place.shop, 4)
    place.set(place.ann, ONLINE)

    assert [key for key, *_ in place.offers()] == ["known", "known at the desk", "desk", "first", "late at the desk"]


def test_whoever_comes_first_is_found_behind_a_page_of_others():
    """The newest of more sessions than are read at a time, and of the highest priority."""
    place = Place(NOON, people=1, hours=None)
    place.set(place.ann, OFFLINE)
    for number in range(distributor.PAGE):
        place.accept(f"v{number:03}")
    knows(place, place.accept("known"), 1)
    place.go_on()
    place.set(place.ann, ONLINE)

    assert [key for key, *_ in place.offers()] == ["known", "v000", "v001", "v002"]


# --- the bell


@pytest.mark.parametrize("mark", [mark_pool, mark_each_waiting])
def test_whoever_marks_a_pool_rings_for_it(mark: Callable[[Tx, LineId, str], None]):
    """With the line: the distributor comes at once, not when it next looks for marks by itself."""
    place = Place(NOON)
    place.store.rung.clear()
    place.store.write(lambda tx: mark(tx, place.line, "a reason"))

    assert [(Bell.POOL, place.line)] == place.store.rung


# --- public holidays


def test_nobody_is_asked_on_a_public_holiday_of_the_line():
    """Within the hours of its week: the customer is told the first working day, and is offered then."""
    hours: dict[str, Any] = {**OFFICE, "zone": "Europe/Moscow", "holidays": ["RU"]}
    place = Place(NEW_YEAR, hours=hours)
    opens_at = NEW_YEAR + timedelta(days=10, hours=-3)
    conversation = place.say("eve", language="en")

    assert (place.offers(), place.state()) == ([], (False, opens_at, None))
    assert ["We open on 11 January at 09:00." in text for text in place.told(conversation)] == [True]
    place.until(opens_at)
    assert place.offers() == [("eve", place.ann, opens_at)]
