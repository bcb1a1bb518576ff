"""A conversation that another process has in hand, on a real PostgreSQL: nobody else waits for it, and it is not forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import psycopg
import pytest

from broker.domain import ConversationId
from broker.inbound import undecided
from routing import distributor, worker
from routing.distributor import Taken
from tests.routing.test_worker import Shop
from tests.support.channels import wrote
from tests.support.store import PostgresMemory


@pytest.fixture
def shop() -> Shop:
    """Return a shop on PostgreSQL."""
    return Shop(PostgresMemory)


@contextmanager
def in_hand(shop: Shop, conversation: ConversationId) -> Iterator[None]:
    """Let another process be at work on *conversation* meanwhile, and stand still."""
    with psycopg.connect(cast(PostgresMemory, shop.store).database.url) as other:
        other.execute("SELECT id FROM conversations WHERE id = %s FOR NO KEY UPDATE", [conversation])
        yield


def offered(shop: Shop) -> list[str]:
    """Return the conversations that somebody is offered, the latest offer last."""
    rows = shop.store.rows(
        "SELECT sessions.conversation_id FROM offers JOIN sessions ON sessions.id = offers.session_id ORDER BY offers.id"
    )
    return [row[0] for row in rows]


def test_the_distributor_offers_what_it_can_and_comes_back_for_the_rest(shop: Shop):
    """Of two who wait the first is in other hands: nothing of that distribution has happened, and the second does not wait for it."""
    held, other = shop.take_in(wrote("1", "eve", "hello")), shop.take_in(wrote("2", "adam", "good day"))
    for conversation in (held, other):
        shop.step(conversation)
    session = shop.store.one("SELECT session_id FROM conversations WHERE id = ?", held)

    with in_hand(shop, held):
        with pytest.raises(Taken) as taken:
            shop.distribute()
        assert set(taken.value.sessions) == {session}
        assert offered(shop) == []
        assert shop.store.write(lambda tx: distributor.step(tx, shop.line, shop.house, taken.value.sessions)) == 1
        assert offered(shop) == [other]
        assert shop.store.write(distributor.marked) == [shop.line]

    assert shop.distribute() == 1
    assert offered(shop) == [other, held]


def test_the_worker_decides_the_others_and_comes_back_for_it(shop: Shop):
    """It stays undecided, where the sweep finds it."""
    held, other = shop.take_in(wrote("1", "eve", "hello")), shop.take_in(wrote("2", "adam", "good day"))
    asked = [(held, shop.house), (other, shop.house)]

    with in_hand(shop, held):
        assert shop.store.write(partial(worker.step_each, asked=asked)) == [0, 1]
        assert shop.step(held) == 0

    assert shop.store.write(undecided) == [held]
    assert shop.store.write(partial(worker.step_each, asked=asked)) == [1, 0]
