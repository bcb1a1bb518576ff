"""What a chaos run reads in the house's own database: letters that nobody meant to be dead, and customers whom nobody will answer."""

from __future__ import annotations

import pytest

from broker.domain import LineSettings
from broker.inbound import accept, bury, prepare
from broker.ports import Raw
from routing.worker import step
from tests.chaos.provider import KIND_NAME
from tests.chaos.trials import left_behind, standing
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
