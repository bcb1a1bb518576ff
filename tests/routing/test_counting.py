"""What routing counts for `/metrics`: sessions, offers and waits, each once and only when it is committed."""

from __future__ import annotations

from functools import partial

import pytest

from broker.domain import PresenceState
from broker.events import Close, Decline
from broker.metrics import REGISTRY
from broker.ports import Tx
from routing import distributor, worker
from tests.routing.test_clockwork import Place
from tests.support.clock import NOON

NAMES = {
    "opened": "omniline_sessions_opened_total",
    "closed": "omniline_sessions_closed_total",
    "waits": "omniline_wait_seconds_count",
    "waited": "omniline_wait_seconds_sum",
}
OUTCOMES = ("made", "taken", "declined", "ran_out", "withdrawn", "gone")


class Counted:
    """What has been counted since it was made: the numbers are the process's, not the test's."""

    def __init__(self) -> None:
        self._before = self._all()

    @staticmethod
    def _all() -> dict[str, float]:
        found = {short: REGISTRY.get_sample_value(name) or 0.0 for short, name in NAMES.items()}
        for outcome in OUTCOMES:
            found[outcome] = REGISTRY.get_sample_value("omniline_offers_total", {"outcome": outcome}) or 0.0
        return found

    def now(self) -> dict[str, float]:
        """Return what has changed, and by how much."""
        return {name: value - self._before[name] for name, value in self._all().items() if value != self._before[name]}


def test_a_session_is_counted_on_its_way():
    """Offered and declined, offered again and taken after a while, closed."""
    counted = Counted()
    place = Place(NOON, hours=None)
    conversation = place.say("eve")
    first = place.offers()[0][1]
    place.do(first, conversation, Decline)
    place.clock.move(7.5)
    (second,) = {place.ann, place.bob} - {first}
    place.answer(second, conversation)
    place.do(second, conversation, Close, outcome="solved")

    assert counted.now() == {"opened": 1, "closed": 1, "made": 2, "declined": 1, "taken": 1, "waits": 1, "waited": 7.5}


def test_an_offer_that_runs_out_and_one_whose_operator_goes():
    """Each is told apart; nobody who waits still has waited."""
    counted = Counted()
    place = Place(NOON, people=1, hours=None, offer_seconds=30, rounds=5)
    place.say("eve")
    place.until(place.offers()[-1][2].replace(second=31))
    place.set(place.ann, PresenceState.OFFLINE)

    found = counted.now()
    assert found["ran_out"] == 1
    assert "waits" not in found


@pytest.mark.parametrize("stage", ["decided", "offered"])
def test_what_is_undone_is_not_counted(stage: str):
    """The transaction did all its work and failed at its end: nothing of it has happened, in the numbers neither."""
    place = Place(NOON, hours=None)
    conversation = place.accept("eve")
    step = partial(worker.step, conversation_id=conversation, house=place.house)
    if stage == "offered":
        place.store.write(step)
        step = partial(distributor.step, line_id=place.line, house=place.house)

    def failing(tx: Tx) -> None:
        assert step(tx)
        raise ConnectionError("lost at the end")

    counted = Counted()
    with pytest.raises(ConnectionError):
        place.store.write(failing)
    assert counted.now() == {}

    place.go_on()
    assert counted.now() == {"opened": 1, "made": 1} if stage == "decided" else {"made": 1}
