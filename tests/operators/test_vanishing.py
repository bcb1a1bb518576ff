"""Operators who are not there any more: what they were offered and what they held goes on, decided by the shipped worker."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from broker import inbound, timers
from broker.access import logins as doors
from broker.config import Settings
from broker.domain import (
    ConversationId,
    Distribution,
    LineSettings,
    LoadKind,
    MessageId,
    OperatorId,
    PresenceState,
    Vanished,
    to_us,
)
from broker.events import Close, Invite, Join, Reply, Take
from broker.ports import Tx
from broker.store.sql import insert_row
from broker.store.tables import logins
from operators import lines, people, presence
from routing import distributor, worker
from routing.applying import timer_fired
from routing.distributor import marked
from tests.support import house
from tests.support.channels import FakeChannel, wrote
from tests.support.clock import MovedClock
from tests.support.replay import differences, journalled
from tests.support.store import MemoryStore

ONLINE, AWAY, OFFLINE = PresenceState.ONLINE, PresenceState.AWAY, PresenceState.OFFLINE
GRACE_SECONDS = 30
_LOGIN = insert_row(logins, "token_hash operator_id created_us seen_us ends_us")


class Shop:
    """A line with Ann, then Bob, both online and logged in; everything that follows from a deed is decided at once."""

    def __init__(self, **settings: Any) -> None:
        self.clock = MovedClock()
        self.store = MemoryStore(self.clock)

        def build(tx: Tx) -> None:
            self.line = house.add_line(tx, distribution=Distribution.STRICTLY, offer_seconds=3_600, **settings)
            self.channel = FakeChannel(house.add_channel(tx, self.line), self.line)
            self.ann = house.add_operator(tx, "ann", [self.line], position=1)
            self.bob = house.add_operator(tx, "bob", [self.line], position=2)
            for operator in (self.ann, self.bob):
                ends = to_us(tx.now + timedelta(days=1))
                tx.run(_LOGIN, token_hash=operator, operator_id=operator, created_us=0, seen_us=to_us(tx.now), ends_us=ends)

        self.store.write(build)
        self._numbers = iter(range(1_000))

    def go_on(self) -> None:
        """Decide and distribute what there is."""
        known = self.store.write(lambda tx: house.load_house(tx, {self.channel.id: LoadKind.CHAT}))

        while True:
            inputs, pools = self.store.write(inbound.undecided), self.store.write(marked)
            if not inputs and not pools:
                return
            for conversation in inputs:
                self.store.write(partial(worker.step, conversation_id=conversation, house=known))
            for line in pools:
                self.store.write(partial(distributor.step, line_id=line, house=known))

    def say(self, key: str) -> ConversationId:
        """Have the customer *key* write."""
        prepared = inbound.prepare(self.channel, [wrote(f"{key}{next(self._numbers)}", key, "hello")], LineSettings())
        accepted = self.store.write(lambda tx: inbound.accept(tx, self.channel.id, prepared))
        self.go_on()
        assert accepted[0].conversation_id is not None
        return accepted[0].conversation_id

    def do(self, who: OperatorId, conversation: ConversationId, deed: Any, **more: Any) -> None:
        """Have an operator do a deed."""
        command = f"k{next(self._numbers)}"
        self.store.write(
            lambda tx: inbound.enter(
                tx, "console", command, conversation, lambda at: deed(at=at, operator_id=who, command=command, **more), b"words"
            )
        )
        self.go_on()

    def hold(self, who: OperatorId, key: str, *, answered: bool = False) -> ConversationId:
        """Have *who* take the session of the customer *key*, and answer it or not."""
        conversation = self.say(key)
        self.do(who, conversation, Take)
        if answered:
            self.do(who, conversation, Reply, message_id=MessageId(f"m{next(self._numbers)}"))
        return conversation

    def close_laptop(self, who: OperatorId) -> None:
        """Let the last console of *who* be gone."""
        self.store.write(lambda tx: presence.begin_grace(tx, who, GRACE_SECONDS))

    def open_laptop(self, who: OperatorId) -> None:
        """Let a console of *who* be there again."""
        self.store.write(lambda tx: presence.come_back(tx, who))
        self.go_on()

    def wait(self, seconds: float) -> None:
        """Let time pass, and fire what falls due."""
        self.clock.move(seconds)
        fire = {presence.TIMER_OWNER: presence.grace_over, "conversation": timer_fired}
        while self.store.write(lambda tx: timers.fire_due(tx, fire)):
            self.go_on()

    def vanish(self, who: OperatorId) -> None:
        """Let *who* be gone for longer than the grace."""
        self.close_laptop(who)
        self.wait(GRACE_SECONDS)

    def set(self, who: OperatorId, state: PresenceState) -> None:
        """Let *who* choose where they are."""
        self.store.write(lambda tx: presence.set_presence(tx, who, state))
        self.go_on()

    def state(self, who: OperatorId) -> PresenceState:
        """Return where *who* is."""
        return self.store.write(lambda tx: presence.state_of(tx, who))

    def session(self, conversation: ConversationId) -> tuple[str, str | None]:
        """Return the status of the conversation's session, and who holds it or is offered it."""
        rows = self.store.rows(
            "SELECT s.status, coalesce(s.operator_id, o.operator_id) FROM sessions s "
            "LEFT JOIN offers o ON o.session_id = s.id AND o.state = 'open' WHERE s.conversation_id = ?",
            conversation,
        )
        status, who = rows[0]
        return status, who

    def reserved(self, who: OperatorId) -> int:
        """Return how much of their budget is taken."""
        return int(self.store.one("SELECT reserved FROM budgets WHERE operator_id = ?", who))

    def gone_inputs(self) -> int:
        """Return how many conversations were told that somebody is gone."""
        return int(self.store.one("SELECT count(*) FROM inputs WHERE origin = 'presence'"))


# --- leaving by choice


@pytest.mark.parametrize("state", [AWAY, OFFLINE])
def test_an_offer_returns_at_once_when_its_operator_leaves(state):
    """The next seat has it in the same moment, nobody waits for the deadline, and it counts as no skip."""
    shop = Shop()
    conversation = shop.say("eve")
    assert ("offered", shop.ann) == shop.session(conversation)

    shop.set(shop.ann, state)

    assert ("offered", shop.bob) == shop.session(conversation)
    assert [("gone",)] == shop.store.rows("SELECT state FROM offers WHERE operator_id = ?", shop.ann)
    assert (0, 25) == (shop.reserved(shop.ann), shop.reserved(shop.bob))
    assert [] == differences(journalled(shop.store))


@pytest.mark.parametrize("before", [ONLINE, AWAY])
@pytest.mark.parametrize(
    ("rule", "answered", "stays"),
    [
        (Vanished.KEEP, False, True),
        (Vanished.UNANSWERED, False, False),
        (Vanished.UNANSWERED, True, True),
        (Vanished.QUEUE, True, False),
    ],
)
def test_what_the_offline_hold_goes_by_the_lines_rule(before: PresenceState, rule: Vanished, answered: bool, stays: bool):
    """Away keeps everything, in a line whose rule is the hardest; going home is for good, chosen or not."""
    shop = Shop(vanished=rule)
    held = shop.hold(shop.ann, "eve", answered=answered)
    if before is AWAY:
        shop.set(shop.ann, AWAY)
    assert ("active", shop.ann) == shop.session(held)
    shop.set(shop.ann, OFFLINE)

    assert shop.session(held) == (("active", shop.ann) if stays else ("offered", shop.bob))
    assert [] == differences(journalled(shop.store))


def test_a_customer_who_writes_to_somebody_who_has_gone_home_is_passed_on():
    """Hours later: an answered session stayed with whoever answered, and nobody would read what comes now."""
    shop = Shop()
    held = shop.hold(shop.ann, "eve", answered=True)
    shop.set(shop.ann, OFFLINE)
    shop.wait(3 * 3_600)
    assert ("active", shop.ann) == shop.session(held)
    shop.say("eve")

    assert ("offered", shop.bob) == shop.session(held)
    assert [] == differences(journalled(shop.store))


def test_an_offer_returns_each_time_its_operator_leaves():
    """A second leave is an input of its own, not a repeat of the first."""
    shop = Shop()
    shop.set(shop.bob, AWAY)
    conversation = shop.say("eve")
    for _ in range(2):
        assert ("offered", shop.ann) == shop.session(conversation)
        shop.set(shop.ann, AWAY)
        assert ("queued", None) == shop.session(conversation)
        shop.set(shop.ann, ONLINE)

    assert 2 == shop.gone_inputs()


# --- the closed laptop


def test_a_closed_laptop_keeps_its_offer_for_the_grace_and_no_longer():
    """Then its operator is away and the offer is the next seat's."""
    shop = Shop()
    conversation = shop.say("eve")

    shop.close_laptop(shop.ann)
    shop.wait(GRACE_SECONDS - 1)
    assert (ONLINE, ("offered", shop.ann)) == (shop.state(shop.ann), shop.session(conversation))
    shop.wait(1)

    assert (AWAY, ("offered", shop.bob)) == (shop.state(shop.ann), shop.session(conversation))
    assert [] == differences(journalled(shop.store))


@pytest.mark.parametrize(
    ("rule", "answered", "moves"),
    [
        (Vanished.KEEP, False, False),
        (Vanished.UNANSWERED, True, False),
        (Vanished.UNANSWERED, False, True),
        (Vanished.QUEUE, True, True),
    ],
)
def test_what_the_vanished_hold_goes_by_the_lines_rule(rule, answered, moves):
    """Kept, or given to the next seat when its customer waits, or given in any case; the budget follows."""
    shop = Shop(vanished=rule)
    conversation = shop.hold(shop.ann, "eve", answered=answered)

    shop.vanish(shop.ann)

    assert (("offered", shop.bob) if moves else ("active", shop.ann)) == shop.session(conversation)
    assert (0 if moves else 25) == shop.reserved(shop.ann)
    assert [] == differences(journalled(shop.store))


def test_everything_of_the_vanished_is_told_once():
    """Offers and held sessions, many at once, an input each; what is others' and what is closed is left alone."""
    shop = Shop(vanished=Vanished.QUEUE)
    closed = shop.hold(shop.ann, "joe")
    shop.do(shop.ann, closed, Close)
    held = [shop.hold(shop.ann, key) for key in ("eve", "fay")]
    offered = [shop.say(key) for key in ("gus", "hal")]
    others = shop.say("ida")
    shop.do(shop.bob, others, Take)

    shop.vanish(shop.ann)

    assert sorted([*held, *offered]) == sorted(
        row[0] for row in shop.store.rows("SELECT conversation_id FROM inputs WHERE origin = 'presence'")
    )
    assert (("active", shop.bob), ("closed", shop.ann)) == (shop.session(others), shop.session(closed))
    assert (0, 100) == (shop.reserved(shop.ann), shop.reserved(shop.bob))


def test_who_is_back_within_the_grace_has_been_nowhere():
    """No change, no news, no input; offers and sessions are where they were."""
    shop = Shop(vanished=Vanished.QUEUE)
    held, offered = shop.hold(shop.ann, "eve"), shop.say("fay")
    news = shop.store.one("SELECT count(*) FROM journal")

    shop.close_laptop(shop.ann)
    shop.wait(GRACE_SECONDS - 1)
    shop.open_laptop(shop.ann)
    shop.wait(1)

    assert (ONLINE, ("active", shop.ann), ("offered", shop.ann)) == (
        shop.state(shop.ann),
        shop.session(held),
        shop.session(offered),
    )
    assert news == shop.store.one("SELECT count(*) FROM journal")


def test_who_is_back_later_is_online_again():
    """What we took is given back, and with it a place for who waits; the time to offline is not counted any more."""
    shop = Shop()
    shop.set(shop.bob, OFFLINE)
    shop.vanish(shop.ann)
    waiting = shop.say("eve")
    assert ("queued", None) == shop.session(waiting)

    shop.open_laptop(shop.ann)

    assert (ONLINE, ("offered", shop.ann)) == (shop.state(shop.ann), shop.session(waiting))
    shop.wait(presence.GONE_SECONDS)
    assert ONLINE is shop.state(shop.ann)
    assert ["away", "online"] == _told(shop, shop.ann)


def test_who_chose_away_before_vanishing_is_away_when_they_are_back():
    """We give back what we took, and they had chosen this; what they held went by the rule all the same."""
    shop = Shop(vanished=Vanished.QUEUE)
    held = shop.hold(shop.ann, "eve")
    shop.set(shop.ann, AWAY)
    shop.vanish(shop.ann)
    assert ("offered", shop.bob) == shop.session(held)

    shop.open_laptop(shop.ann)

    assert AWAY is shop.state(shop.ann)
    assert ["away"] == _told(shop, shop.ann)


def test_who_is_not_back_is_offline_after_a_while():
    """Ten minutes after the grace, and what they are given back then is their console's to say."""
    shop = Shop()
    shop.vanish(shop.ann)
    shop.wait(presence.GONE_SECONDS - 1)
    assert AWAY is shop.state(shop.ann)
    shop.wait(1)
    assert OFFLINE is shop.state(shop.ann)

    shop.open_laptop(shop.ann)

    assert OFFLINE is shop.state(shop.ann)
    assert ["away", "offline"] == _told(shop, shop.ann)


def test_half_a_minute_and_ten():
    """As administrators are told: unless they set another grace it is 30 s to away, and from there ten minutes to offline."""
    shop = Shop()
    grace = Settings().presence_grace_seconds
    shop.store.write(lambda tx: presence.begin_grace(tx, shop.ann, grace))

    seen = []
    for seconds in (29, 1, 10 * 60 - 1, 1):
        shop.wait(seconds)
        seen.append(shop.state(shop.ann))
    assert [ONLINE, AWAY, AWAY, OFFLINE] == seen


def test_a_customer_who_writes_to_the_vanished_is_passed_on_when_they_are_given_up():
    """An answered session stays with the vanished; once its customer waits again, the rule is applied a second time."""
    shop = Shop(vanished=Vanished.UNANSWERED)
    held = shop.hold(shop.ann, "eve", answered=True)
    shop.vanish(shop.ann)
    shop.say("eve")
    assert ("active", shop.ann) == shop.session(held)

    shop.wait(presence.GONE_SECONDS)

    assert ("offered", shop.bob) == shop.session(held)


def test_who_has_logged_out_is_offline_after_the_grace():
    """They went by the door: their offers return, and what they hold goes by the line's rule at once."""
    shop = Shop(vanished=Vanished.UNANSWERED)
    held, offered = shop.hold(shop.ann, "eve"), shop.say("fay")
    shop.store.write(lambda tx: doors.end_others(tx, shop.ann))

    shop.vanish(shop.ann)

    assert (OFFLINE, ("offered", shop.bob), ("offered", shop.bob)) == (
        shop.state(shop.ann),
        shop.session(held),
        shop.session(offered),
    )
    assert 0 == shop.store.one("SELECT count(*) FROM timers WHERE owner_kind = 'operator'")


def test_a_login_that_has_run_out_is_none():
    """A row that only waits to be swept keeps nobody logged in."""
    shop = Shop()
    shop.clock.move(timedelta(days=1))

    shop.vanish(shop.ann)

    assert OFFLINE is shop.state(shop.ann)


def test_who_logs_out_is_offline_at_once():
    """Nobody is offered anything at a door that somebody has just closed; who has another login stays."""
    shop = Shop()
    offered = shop.say("eve")
    shop.close_laptop(shop.ann)
    shop.store.write(lambda tx: presence.logged_out(tx, shop.ann))
    assert (ONLINE, ("offered", shop.ann)) == (shop.state(shop.ann), shop.session(offered))

    shop.store.write(lambda tx: doors.end_others(tx, shop.ann))
    shop.store.write(lambda tx: presence.logged_out(tx, shop.ann))
    shop.go_on()

    assert (OFFLINE, ("offered", shop.bob)) == (shop.state(shop.ann), shop.session(offered))
    assert 0 == shop.store.one("SELECT count(*) FROM timers WHERE owner_kind = 'operator'")


def test_who_chose_offline_in_the_grace_does_not_vanish():
    """The timer of an operator who is offline by then does nothing."""
    shop = Shop(vanished=Vanished.KEEP)
    held = shop.hold(shop.ann, "eve")
    shop.close_laptop(shop.ann)
    shop.set(shop.ann, OFFLINE)

    shop.wait(GRACE_SECONDS)

    assert (OFFLINE, ("active", shop.ann)) == (shop.state(shop.ann), shop.session(held))


def test_a_restart_forgets_neither_the_grace_nor_what_the_vanished_were():
    """A start begins the grace of everybody present: of who is gone already nothing is begun anew, and nothing is told twice."""
    shop = Shop()
    shop.vanish(shop.ann)
    told = shop.gone_inputs()
    timer = "SELECT name, due_us FROM timers WHERE owner_id = ?"
    before = shop.store.rows(timer, shop.ann)

    for operator in shop.store.write(presence.missing):
        shop.close_laptop(operator)
    assert before == shop.store.rows(timer, shop.ann)
    shop.wait(GRACE_SECONDS)

    assert (AWAY, AWAY, told) == (shop.state(shop.ann), shop.state(shop.bob), shop.gone_inputs())
    shop.open_laptop(shop.ann)
    assert ONLINE is shop.state(shop.ann)


# --- switched off


def test_nothing_of_who_is_switched_off_is_lost():
    """Offers and held sessions go to the next seat even in a line that keeps those of the vanished; they are offline at once."""
    shop = Shop(vanished=Vanished.KEEP)
    held, offered = shop.hold(shop.ann, "eve", answered=True), shop.say("fay")

    shop.store.write(lambda tx: people.change(tx, shop.ann, {"active": False}))
    shop.go_on()

    assert (("offered", shop.bob), ("offered", shop.bob)) == (shop.session(held), shop.session(offered))
    assert (OFFLINE, 0) == (shop.state(shop.ann), shop.reserved(shop.ann))
    assert [] == differences(journalled(shop.store))


def test_who_is_switched_off_is_with_nobodys_session_any_more():
    """Invited by a colleague, or joined: they are struck from it, and the session is its holder's as before."""
    shop = Shop()
    held, other = shop.hold(shop.ann, "eve", answered=True), shop.hold(shop.ann, "fay", answered=True)
    shop.do(shop.ann, held, Invite, colleague=shop.bob)
    shop.do(shop.ann, other, Invite, colleague=shop.bob)
    shop.do(shop.bob, other, Join)
    shop.go_on()
    assert 2 == len(shop.store.rows("SELECT session_id FROM session_members WHERE operator_id = ?", shop.bob))

    shop.store.write(lambda tx: people.change(tx, shop.bob, {"active": False}))
    shop.go_on()

    assert [] == shop.store.rows("SELECT session_id FROM session_members WHERE operator_id = ?", shop.bob)
    assert (("active", shop.ann), ("active", shop.ann)) == (shop.session(held), shop.session(other))
    assert [] == differences(journalled(shop.store))


@pytest.mark.parametrize("before", ["vanished", "offline"])
def test_who_is_switched_off_after_they_have_gone_is_gone_for_good(before):
    """What they kept by the line's rule or by their choice goes back, and no timer of theirs is left."""
    shop = Shop(vanished=Vanished.KEEP)
    held = shop.hold(shop.ann, "eve")
    if before == "vanished":
        shop.vanish(shop.ann)
    else:
        shop.set(shop.ann, OFFLINE)

    shop.store.write(lambda tx: people.change(tx, shop.ann, {"active": False}))
    shop.go_on()

    assert (OFFLINE, ("offered", shop.bob)) == (shop.state(shop.ann), shop.session(held))
    assert 0 == shop.store.one("SELECT count(*) FROM timers WHERE owner_kind = 'operator'")


def test_what_was_taken_in_the_moment_of_switching_off_goes_back_too():
    """A take that waits to be decided comes before the news that its operator is gone."""
    shop = Shop()
    conversation = shop.say("eve")
    shop.store.write(
        lambda tx: inbound.enter(tx, "console", "k", conversation, lambda at: Take(at=at, operator_id=shop.ann, command="k"))
    )

    shop.store.write(lambda tx: people.change(tx, shop.ann, {"active": False}))
    shop.go_on()

    assert ("offered", shop.bob) == shop.session(conversation)


def test_another_change_of_a_person_takes_nothing_from_them():
    """Only being switched off does, and only once."""
    shop = Shop()
    held = shop.hold(shop.ann, "eve")
    shop.store.write(lambda tx: people.change(tx, shop.ann, {"name": "Anna"}))
    shop.go_on()
    assert ("active", shop.ann) == shop.session(held)

    shop.store.write(lambda tx: people.change(tx, shop.ann, {"active": False}))
    shop.store.write(lambda tx: people.change(tx, shop.ann, {"name": "Ann"}))
    shop.store.write(lambda tx: people.change(tx, shop.ann, {"active": True}))

    assert 1 == shop.gone_inputs()


def test_who_loses_their_seat_keeps_what_they_hold():
    """The queue of a line says who is offered new sessions, not who may finish theirs."""
    shop = Shop()
    held = shop.hold(shop.ann, "eve")

    shop.store.write(lambda tx: lines.set_seats(tx, shop.line, [shop.bob]))
    shop.go_on()

    assert ("active", shop.ann) == shop.session(held)


def _told(shop: Shop, who: OperatorId) -> list[str]:
    """Return the states of *who* that the journal tells, in order."""
    rows = shop.store.rows("SELECT body FROM journal WHERE kind = 'presence' AND operator_id = ? ORDER BY id", who)
    return [msgspec.json.decode(body)["state"] for (body,) in rows]
