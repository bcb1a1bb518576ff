"""Presence as a committed input: what it writes, whom it rings, and the grace of those who are gone."""

from __future__ import annotations

import msgspec
import pytest

from broker import timers
from broker.domain import OperatorId, PresenceState
from broker.ports import Bell
from operators import presence
from tests.support import house
from tests.support.store import MemoryStore

ONLINE, AWAY, OFFLINE = PresenceState.ONLINE, PresenceState.AWAY, PresenceState.OFFLINE


@pytest.fixture
def store():
    """Return a store with two lines and ann, offline, in both."""
    made = MemoryStore()
    lines = made.write(lambda tx: [house.add_line(tx, slug) for slug in ("bar", "shop")])
    made.write(lambda tx: house.add_operator(tx, "ann", lines, state=OFFLINE))
    made.rung.clear()
    return made


def _ann(store: MemoryStore) -> OperatorId:
    return OperatorId(store.one("SELECT id FROM operators"))


def test_coming_online_is_journalled_and_marks_every_line_as_a_freed_seat(store):
    """One row of news, a mark with seats on each of the operator's lines, and the pools' bells."""
    assert store.write(lambda tx: presence.set_presence(tx, _ann(store), ONLINE))

    ((body, operator),) = store.rows("SELECT body, operator_id FROM journal WHERE kind = 'presence'")
    assert {"operator": _ann(store), "state": "online"} == msgspec.json.decode(body)
    assert _ann(store) == operator
    assert [(1,), (1,)] == store.rows("SELECT seats FROM pool_marks")
    assert {Bell.NEWS, Bell.POOL} == {bell for bell, _ in store.rung}


@pytest.mark.parametrize(
    ("before", "after", "marks"), [(ONLINE, AWAY, 2), (ONLINE, OFFLINE, 2), (AWAY, OFFLINE, 0), (OFFLINE, AWAY, 0)]
)
def test_only_a_change_of_being_online_concerns_the_pool(store, before, after, marks):
    """Away to offline frees nothing and takes nothing; leaving online marks the pool, without a freed seat."""
    store.write(lambda tx: presence.set_presence(tx, _ann(store), before))
    already = store.one("SELECT count(*) FROM pool_marks")
    store.write(lambda tx: presence.set_presence(tx, _ann(store), after))

    assert marks == store.one("SELECT count(*) FROM pool_marks") - already
    assert 0 == store.one("SELECT count(*) FROM pool_marks WHERE reason != 'presence online' AND seats = 1")


def test_the_same_state_again_writes_nothing(store):
    """A console that says online twice makes no news."""
    store.write(lambda tx: presence.set_presence(tx, _ann(store), ONLINE))

    assert not store.write(lambda tx: presence.set_presence(tx, _ann(store), ONLINE))
    assert 1 == store.one("SELECT count(*) FROM journal")


def test_a_person_of_whom_nothing_is_known_gets_a_row(store):
    """Somebody new says offline: that is known from now on."""
    bob = store.write(lambda tx: house.add_operator(tx, "bob"))
    store.change("DELETE FROM presence WHERE operator_id = ?", bob)

    assert store.write(lambda tx: presence.set_presence(tx, bob, OFFLINE))
    assert "offline" == store.one("SELECT state FROM presence WHERE operator_id = ?", bob)


def test_the_grace_ends_unless_they_come_back(store):
    """The timer falls due after the whole grace, and coming back takes it away; who has no login then is offline."""
    ann = _ann(store)
    enter = {presence.TIMER_OWNER: presence.grace_over}
    store.write(lambda tx: presence.set_presence(tx, ann, ONLINE))
    store.write(lambda tx: presence.begin_grace(tx, ann, 30))
    store.write(lambda tx: presence.come_back(tx, ann))
    store.clock.move(31)
    assert 0 == store.write(lambda tx: timers.fire_due(tx, enter))

    store.write(lambda tx: presence.begin_grace(tx, ann, 30))
    store.clock.move(29)
    assert 0 == store.write(lambda tx: timers.fire_due(tx, enter))
    assert [ann] == store.write(presence.missing)
    store.clock.move(1)
    assert 1 == store.write(lambda tx: timers.fire_due(tx, enter))
    assert "offline" == store.one("SELECT state FROM presence")


def test_who_is_offline_needs_no_grace(store):
    """Closing the console after choosing offline leaves no timer."""
    store.write(lambda tx: presence.begin_grace(tx, _ann(store)))

    assert 0 == store.one("SELECT count(*) FROM timers")
