"""The provider of a chaos run: what it takes twice, and who of its customers writes once more."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.provider import FORGETFUL, KIND_NAME, Provider, Standing
from tests.chaos.record import Said

SEED = 20261123


@pytest.mark.parametrize(("kind", "times"), [(KIND_NAME, 1), (FORGETFUL, 2)])
def test_a_message_that_is_sent_again_is_another_one_only_to_who_forgets(kind, times):
    """Under the same token."""
    provider = Provider(SEED, 1, kind)
    (customer,) = provider.customers.values()
    for _ in range(2):
        provider.take({"token": "t1", "chat": customer.name, "seq": 2, "who": "operator", "text": "re: hello"})

    assert (times, 1) == (len(customer.got), provider.repeats)


def left_waiting(standing: Standing) -> Provider:
    """Return a provider whose customer has waited for long, after their turn: nobody writes anything new."""
    provider = Provider(SEED, 1)
    provider.talking = False
    (customer,) = provider.customers.values()
    customer.said.append(Said("1", "p00 1", sends=1))
    customer.last_said = float("-inf")

    async def look(*_: str) -> Standing:
        return standing

    provider.standing = look
    asyncio.run(provider.turn())
    return provider


def test_a_customer_whose_session_was_closed_over_their_words_writes_once_more():
    """And it is counted."""
    provider = left_waiting(Standing(over=True))

    assert (1, 2) == (provider.comebacks, len(provider.customers["p00"].said))


def test_a_customer_who_is_stuck_wakes_nobody():
    """What lies undone is to be seen."""
    provider = left_waiting(Standing(over=False))

    assert (0, 1) == (provider.comebacks, len(provider.customers["p00"].said))
    assert provider.waits


def test_a_customer_does_not_wait_for_an_answer_in_doubt():
    """It may have arrived."""
    provider = left_waiting(Standing(over=True, in_doubt=frozenset({"re: p00 1"})))

    assert [] == provider.waits
    assert provider.comebacks == 0
