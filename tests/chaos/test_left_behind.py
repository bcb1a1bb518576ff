"""What a chaos run reads in the house's own database: letters that nobody meant to be dead, and customers whom nobody will answer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.domain import LineSettings, to_us
from broker.inbound import accept, bury, prepare
from broker.ports import Raw
from routing.worker import step
from tests.chaos.cluster import weigh
from tests.chaos.provider import ANSWERED, FORGETFUL, KIND_NAME, NO_ANSWER
from tests.chaos.record import House
from tests.chaos.trials import STOPPED, Doubt, in_doubt, left_behind, standing
from tests.support.channels import FakeChannel, wrote
from tests.support.house import add_channel, add_line, load_house
from tests.support.store import MemoryStore

UNREADABLE = Raw("1", b"not JSON")


class Site:
    """A house with the provider's channel, and a customer in one of its chats."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        line = self.store.write(add_line)
        self.channel = FakeChannel(self.store.write(lambda tx: add_channel(tx, line, kind=KIND_NAME)), line)

    def come(self, *raws: Raw) -> str:
        """Have updates come; return the last one's conversation."""
        prepared = prepare(self.channel, raws, LineSettings())
        conversation = self.store.write(lambda tx: accept(tx, self.channel.id, prepared))[-1].conversation_id
        return conversation or ""

    def decide(self) -> None:
        """Have everything decided."""
        house = self.store.read(load_house)
        for (conversation,) in self.store.rows("SELECT id FROM conversations"):
            self.store.write(lambda tx, c=conversation: step(tx, c, house))  # type: ignore[misc]

    def is_over(self, last_words: str) -> bool:
        """Ask of the customer."""
        return self.store.read(lambda tx: standing(tx, KIND_NAME, "p00", last_words)).over


@pytest.fixture
def site() -> Site:
    return Site()


def test_what_nobody_can_read_is_to_be_a_dead_letter_and_nothing_else_is(site):
    """Of updates that the run sent for that it is told only when one is none."""
    site.come(UNREADABLE)

    kept = site.store.read(lambda tx: left_behind(tx, {KIND_NAME: {"1"}}))
    assert ([], []) == (kept.dead, kept.unkept)
    told = site.store.read(lambda tx: left_behind(tx, {KIND_NAME: {"2"}}))
    assert [f"{KIND_NAME}/2"] == told.unkept
    (letter,) = told.dead
    assert letter.startswith(f"{KIND_NAME}/1/")


def test_a_message_that_was_buried_is_told_whatever_its_number(site):
    """It could be read: that nobody decided it is no fault of the provider's."""
    conversation = site.come(wrote("1", "p00", "p00 1"))
    site.store.write(lambda tx: bury(tx, conversation, 1, "no rule"))

    (letter,) = site.store.read(lambda tx: left_behind(tx, {KIND_NAME: {"1"}})).dead
    assert f"{KIND_NAME}/1/{conversation}/1/no rule" == letter


def test_a_customer_is_left_without_an_answer_only_when_nothing_is_under_way(site):
    """Until then whoever is stuck must not be woken by their next words."""
    assert not site.is_over("1")
    site.come(wrote("1", "p00", "p00 1"))
    assert not site.is_over("1")  # it is not decided
    site.decide()
    assert not site.is_over("1")  # it waits for somebody
    site.store.change("UPDATE sessions SET status = 'closed'")
    assert not site.is_over("1")  # the welcome has not left
    site.store.change("UPDATE outbox SET state = 'sent'")
    assert not site.is_over("2")  # this has not come
    assert site.is_over("1")


def test_a_house_rests_when_no_timer_is_about_to_fall_due(site):
    """A closed session may be reopened for two seconds: the end of that is an input, and somebody is to decide it."""
    site.come(wrote("1", "p00", "p00 1"))
    site.decide()
    site.store.change("UPDATE sessions SET status = 'closed'")
    site.store.change("UPDATE outbox SET state = 'sent'")
    site.store.change("DELETE FROM timers")
    assert site.store.read(left_behind).due == []
    for name, due in (("soon", timedelta(seconds=2)), ("overdue", -timedelta(hours=1)), ("tomorrow", timedelta(days=1))):
        site.store.change(
            "INSERT INTO timers (id, owner_kind, owner_id, name, due_us, event) VALUES (?, 'conversation', 'c', ?, ?, '{}')",
            name,
            name,
            to_us(site.store.clock.now() + due),
        )

    left = site.store.read(left_behind)
    assert sorted(left.due) == ["c/overdue", "c/soon"]
    assert not House(due=left.due).rests
    assert House().rests


def test_what_comes_as_everything_stops_is_the_next_starts(site):
    """What was undecided, due or unread while all processes ran counts, and nothing that came after."""
    after = House(unrouted=["late"], due=["late"], unread=["late"], open_sessions=["open"])
    after.found_at_rest(House(unrouted=["stuck"]))

    assert (after.unrouted, after.due, after.unread, after.open_sessions) == (["stuck"], [], [], ["open"])


def test_what_is_in_doubt_is_read_with_whom_it_is_for(site):
    """Their customer waits for no more of it; its token is what the provider knows it by."""
    site.come(wrote("1", "p00", "p00 1"))
    site.decide()
    site.store.change("UPDATE outbox SET state = 'unconfirmed', problem = ?", STOPPED)

    (doubt,) = site.store.read(in_doubt)
    token = site.store.one("SELECT id FROM outbox")
    assert (KIND_NAME, "p00", token, 2, STOPPED) == (doubt.kind, doubt.key, doubt.token, doubt.seq, doubt.reason)
    assert frozenset({doubt.text}) == site.store.read(lambda tx: standing(tx, KIND_NAME, "p00", "1")).in_doubt


def _doubt(problem: str, seq: int = 2, kind: str = FORGETFUL) -> Doubt:
    return Doubt(kind, "f00", f"token-{seq}", seq, "re: f00 1", problem)


def test_doubt_has_reason_where_the_provider_forgets_and_did_not_answer_or_its_sender_ended():
    """Each of these may have arrived."""
    doubts = [_doubt(f"{NO_ANSWER}: ReadTimeout"), _doubt(f"{ANSWERED} 500", seq=3), _doubt(f"{STOPPED}; who knows", seq=5)]

    assert ({"f00": {2, 3, 5}}, []) == weigh(doubts, {"token-3"}, stopped_max=1)


@pytest.mark.parametrize(
    "doubt",
    [
        pytest.param(_doubt(f"{NO_ANSWER}: ReadTimeout", kind=KIND_NAME), id="a repeat would have done no harm"),
        pytest.param(_doubt(f"{ANSWERED} 500"), id="the provider knows nothing of it"),
        pytest.param(_doubt("the channel failed: KeyError"), id="another reason"),
        pytest.param(_doubt(STOPPED), id="more than senders ended"),
    ],
)
def test_doubt_without_a_reason_is_told(doubt):
    """It is counted as unconfirmed."""
    places, (told,) = weigh([doubt], {"token-9"}, stopped_max=0)

    assert {} == places
    assert doubt.problem in told
