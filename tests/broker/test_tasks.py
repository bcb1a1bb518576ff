"""Loops that go on together: the first that fails ends all, and whoever is cancelled is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from broker.tasks import until_one_fails


def test_first_failure_ends_the_others_and_is_raised():
    ended = []

    async def fails():
        await asyncio.sleep(0)
        raise ValueError("broken")

    async def goes_on():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            ended.append("in order")

    with pytest.raises(ValueError, match="broken"):
        asyncio.run(until_one_fails(goes_on(), fails()))

    assert ended == ["in order"]


def test_cancelled_in_the_moment_of_a_failure_it_is_cancelled():
    """A loop around it that goes on after a failure would never end otherwise."""

    async def journey():
        broken = asyncio.get_running_loop().create_future()

        async def fails():
            await broken

        running = asyncio.create_task(until_one_fails(fails(), asyncio.Event().wait()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        broken.set_exception(ValueError("broken"))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return running.cancelled()

    assert asyncio.run(journey())
