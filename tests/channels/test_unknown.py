"""A channel of a newer version, in a process of this one: nothing is asked of it, nothing is lost by it."""

from __future__ import annotations

import asyncio

import pytest

from broker.domain import ChannelId, ChannelRow, LineId
from broker.errors import BadInput
from broker.ports import Channel, Raw
from channels.unknown import CAPABILITIES, UnknownChannel
from tests.broker.test_outbound import Post


def unknown(id_: str = "c") -> UnknownChannel:
    """Return a channel of a kind of the next release."""
    return UnknownChannel(ChannelRow(ChannelId(id_), LineId("l"), "next", "of the next release", "Next", {}, 1))


def test_it_receives_nothing_and_reads_nothing():
    """Its provider is asked by those who know it."""
    channel = unknown()

    async def all_of_it() -> list[object]:
        return [delivery async for delivery in channel.receive()]

    assert isinstance(channel, Channel)
    assert asyncio.run(all_of_it()) == []
    with pytest.raises(BadInput, match="does not know the channel kind of the next release"):
        channel.parse(Raw("1", b"{}"))


def test_what_is_to_be_sent_waits_for_a_process_that_knows_it():
    """It goes back to the queue, however often, and has not failed; then it is sent."""
    post = Post(CAPABILITIES)
    post.say(2)
    known, post.channel = post.channel, unknown(post.channel.id)
    for _ in range(20):
        assert post.step() is True
        post.clock.move(5.001)

    assert (post.states(), post.fates()) == (["queued"], ["queued"])
    post.channel = known
    post.step()
    assert (post.arrived(), post.fates()) == (["2"], ["sent"])
