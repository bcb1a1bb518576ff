"""The `Channel` socket: what every channel promises to the core.

A real adapter joins by a `Rig` in `RIGS` (tests/channels may append theirs before these tests are collected, or import `promises`
and run it over their own): how to make the channel, payloads of each sort it can parse, and a far side that can be told to
fail. A rig is made for each test and closed after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import pytest

from broker.domain import Capabilities, ChannelId, ConversationId, Delivered, LineId, LineSettings, MessageId, Rating
from broker.errors import BadInput, Rejected, Unavailable, Uncertain
from broker.events import Codec, Incoming, Pressed, Rated, Wrote
from broker.inbound import Accepted, accept, prepare
from broker.ports import Button, Channel, Delivery, Outbound, Raw
from channels.widget.adapter import Envelope, encode
from channels.widget.frames import Details, Press, Say, Seen
from tests.channels.telegram.place import TelegramPlace
from tests.channels.vk.place import VkPlace
from tests.contracts.site import Site
from tests.support.channels import (
    PUSH,
    PUSH_BUTTONS,
    STREAM,
    STREAM_BUTTONS,
    FakeChannel,
    Fault,
    pressed,
    saw,
    told,
    wrote,
)
from tests.support.house import add_channel, add_line
from tests.support.store import MemoryStore

CUSTOMER = "ann_who_buys_a_kettle_"
"""To a channel that is somebody's key; a site knows its visitors by 22 characters."""


class Far(Protocol):
    """A provider's side of a channel, in a test's hands."""

    def shown(self) -> Sequence[Outbound]:
        """Return what the customer sees, in order of arrival."""


@dataclass
class Rig:
    """A channel and everything a test needs to try it."""

    make: Callable[[], Channel]
    far: Callable[[Channel], Far]
    fail: Callable[[Channel, Fault], None] | None
    """Have the next send fail; None: no send of this channel can."""
    messages: Sequence[Raw]
    """Payloads of messages, at least two of one conversation."""
    others: Sequence[Raw] = ()
    """Payloads that are no messages."""
    press: Callable[[str], Raw] | None = None
    """The payload of a button of this value, pressed in the conversation of `messages`; None: the channel has no buttons."""
    broken: Sequence[Raw] = field(
        default_factory=lambda: [Raw("x", body) for body in (b"", b"\xff\xfe", b"{", b"[]", b"null", b"{}")]
    )
    """Payloads nobody can read."""
    close: Callable[[], None] = lambda: None
    """Stop what `make` has started."""


def _fake(capabilities: Capabilities) -> Rig:
    deliveries = [
        Delivery((wrote("1", CUSTOMER, "hello"), wrote("2", CUSTOMER, "again")), "2"),
        Delivery((wrote("3", "bob", "hi"),), "3"),
    ]
    return Rig(
        make=lambda: FakeChannel(ChannelId("c"), LineId("l"), capabilities, deliveries),
        far=lambda channel: channel.far,  # type: ignore[attr-defined]
        fail=lambda channel, fault: channel.script.append(fault),  # type: ignore[attr-defined]
        messages=[wrote("1", CUSTOMER, "hello"), wrote("2", CUSTOMER, "again")],
        others=[told("3", CUSTOMER, name="Ann"), saw("4", CUSTOMER, 3)],
        press=(lambda value: pressed("5", CUSTOMER, value)) if capabilities.buttons else None,
    )


def _widget() -> Rig:
    site = Site(CUSTOMER)

    def payload(id_: str, frame: Say | Details | Press | Seen) -> Raw:
        return Raw(f"{CUSTOMER}:{id_}", encode(Envelope(CUSTOMER, frame, lang="en")))

    return Rig(
        make=site.channel,
        far=lambda _: site,
        # What is sent stands in the visitor's history already, which is the message's own row; the socket only shows it sooner.
        # So nothing can be rejected, postponed or lost on the way, and the adapter raises none of the socket's errors.
        fail=None,
        messages=[payload("frame-01", Say("frame-01", "hello")), payload("frame-02", Say("frame-02", "again"))],
        others=[
            payload("frame-03", Details("frame-03", name="Ann", email="ann@example.com")),
            payload("seen:3:1", Seen(3, read=True)),
        ],
        press=lambda value: payload("frame-05", Press("frame-05", value)),
        close=site.close,
    )


def _telegram() -> Rig:
    place = TelegramPlace(CUSTOMER)
    return Rig(
        make=place.channel,
        far=lambda _: place,
        fail=lambda _, fault: place.fail(fault),
        messages=[place.said(1, "hello"), place.said(2, "again")],
        others=[place.blocked(3), place.said(4, "other words", "edited_message")],
        press=lambda value: place.pressed(5, value),
        close=place.close,
    )


def _vk() -> Rig:
    place = VkPlace(CUSTOMER)
    return Rig(
        make=place.channel,
        far=lambda _: place,
        fail=lambda _, fault: place.fail(fault),
        messages=[place.said(1, "hello"), place.said(2, "again")],
        others=[place.denied(), place.edited(1, "other words")],
        press=place.pressed,
        close=place.close,
    )


RIGS: dict[str, Callable[[], Rig]] = {
    "push": lambda: _fake(PUSH),
    "stream": lambda: _fake(STREAM),
    "push_buttons": lambda: _fake(PUSH_BUTTONS),
    "stream_buttons": lambda: _fake(STREAM_BUTTONS),
    "widget": _widget,
    "telegram": _telegram,
    "vk": _vk,
}
CANNOT_FAIL = {"widget"}
WITHOUT_BUTTONS = {"push", "stream"}


@pytest.fixture(params=list(RIGS))
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Yield a channel's rig."""
    made = RIGS[request.param]()
    yield made
    made.close()


fallible = pytest.mark.parametrize("rig", sorted(RIGS.keys() - CANNOT_FAIL), indirect=True)
with_buttons = pytest.mark.parametrize("rig", sorted(RIGS.keys() - WITHOUT_BUTTONS), indirect=True)
infallible = pytest.mark.parametrize("rig", sorted(CANNOT_FAIL), indirect=True)


BUTTONS = (Button("Good", "good"), Button("Bad", "bad"))


def outbound(token: str = "t1", seq: int = 1, text: str = "good day", buttons: Sequence[Button] = ()) -> Outbound:
    """Return a message on its way out."""
    return Outbound(
        conversation_id=ConversationId("conv"),
        key=CUSTOMER,
        message_id=MessageId(f"m{seq}"),
        token=token,
        seq=seq,
        text=text,
        sender_name="Ann",
        from_operator=True,
        at_ms=0,
        buttons=tuple(buttons),
    )


def test_it_is_a_channel_and_states_what_it_can_do(rig: Rig):
    """Capabilities are data: the core asks them and never a channel's name."""
    channel = rig.make()

    assert isinstance(channel, Channel)
    assert isinstance(channel.capabilities.delivered, Delivered)
    assert channel.capabilities.text_max > 0


def test_parsing_is_pure(rig: Rig):
    """The same payload is the same `Incoming`, however often and by whichever instance it is parsed."""
    for raw in [*rig.messages, *rig.others]:
        parsed = [rig.make().parse(raw) for _ in range(2)]

        assert isinstance(parsed[0], Incoming)
        assert parsed[0] == parsed[1]


def test_messages_name_their_conversation_and_their_writer(rig: Rig):
    """Two payloads of one conversation have one key; a person has an identity."""
    parsed = [incoming for raw in rig.messages if (incoming := rig.make().parse(raw)) is not None]

    assert len(rig.messages) == len(parsed)
    assert len({incoming.key for incoming in parsed}) == 1
    assert all(isinstance(incoming.what, Wrote) and incoming.person.identity for incoming in parsed)


def test_what_cannot_be_read_is_bad_input(rig: Rig):
    """No payload whatever makes the parser raise anything but BadInput."""
    for raw in rig.broken:
        with pytest.raises(BadInput):
            rig.make().parse(raw)


def test_a_send_is_shown_and_answered_with_an_id(rig: Rig):
    """The provider's id comes back; the customer sees the text."""
    channel = rig.make()

    answer = asyncio.run(channel.send(outbound()))

    assert answer
    assert [shown.text for shown in rig.far(channel).shown()] == ["good day"]


def test_sends_arrive_in_the_order_they_were_made(rig: Rig):
    """One after another, they are shown one after another."""
    channel = rig.make()

    async def send() -> None:
        for seq in range(1, 6):
            await channel.send(outbound(f"t{seq}", seq, f"{seq}"))

    asyncio.run(send())

    assert [shown.text for shown in rig.far(channel).shown()] == ["1", "2", "3", "4", "5"]


@fallible
@pytest.mark.parametrize(
    ("fault", "error", "arrived"),
    [
        (Fault.REJECTED, Rejected, False),
        (Fault.UNAVAILABLE, Unavailable, False),
        (Fault.UNCERTAIN_LOST, Uncertain, False),
        (Fault.UNCERTAIN_DELIVERED, Uncertain, True),
    ],
)
def test_errors_say_what_became_of_the_message(rig: Rig, fault: Fault, error: type[Exception], arrived: bool):
    """Rejected and Unavailable promise that nothing was sent; Uncertain promises nothing."""
    assert rig.fail is not None
    channel = rig.make()
    rig.fail(channel, fault)

    with pytest.raises(error):
        asyncio.run(channel.send(outbound()))

    assert bool(rig.far(channel).shown()) is arrived


@infallible
def test_where_no_send_can_fail_nobody_need_be_there(rig: Rig):
    """A message to somebody who is away is answered like any other, and comes to nobody else."""
    assert rig.fail is None
    channel = rig.make()

    answer = asyncio.run(channel.send(replace(outbound(), key="bob")))

    assert answer
    assert not rig.far(channel).shown()


def test_a_repeat_is_shown_once_where_the_channel_says_so(rig: Rig):
    """`idempotent` is a promise: the same token twice is seen once."""
    channel = rig.make()

    async def send() -> None:
        await channel.send(outbound())
        await channel.send(outbound())

    asyncio.run(send())

    assert len(rig.far(channel).shown()) == (1 if channel.capabilities.idempotent else 2)


def taken(rig: Rig, *raws: Raw) -> tuple[MemoryStore, list[Accepted]]:
    """Accept *raws* from the rig's channel, each in a delivery of its own, into an empty house."""
    store = MemoryStore()
    id_ = store.write(lambda tx: add_channel(tx, add_line(tx)))
    prepared = [prepare(rig.make(), [raw], LineSettings()) for raw in raws]
    return store, [store.write(lambda tx, one=one: accept(tx, id_, one))[0] for one in prepared]  # type: ignore[misc]


def test_it_says_truly_whether_it_has_buttons(rig: Rig):
    """The core asks the capabilities and words its questions by them: who says no is never given any."""
    assert (rig.press is not None) is rig.make().capabilities.buttons


@with_buttons
def test_buttons_are_shown_in_their_order(rig: Rig):
    """Beneath their own message, with the words they were given; a message without has none."""
    channel = rig.make()

    async def send() -> None:
        await channel.send(outbound(buttons=BUTTONS))
        await channel.send(outbound("t2", 2, "good-bye"))

    asyncio.run(send())

    assert [shown.buttons for shown in rig.far(channel).shown()] == [BUTTONS, ()]


@with_buttons
@pytest.mark.parametrize("rating", Rating)
def test_a_press_comes_back_once(rig: Rig, rating: Rating):
    """What was pressed, in the conversation it was shown in; the provider's repeat of it is a no-op."""
    assert rig.press is not None
    press = rig.press(rating.value)
    parsed = rig.make().parse(press)
    assert parsed is not None
    assert Pressed(rating.value) == parsed.what

    store, (said, first, again) = taken(rig, rig.messages[0], press, press)

    assert (first.conversation_id, first.fresh, again.fresh, again.seq) == (said.conversation_id, True, False, first.seq)
    events = [Codec.decode(row[0]) for row in store.rows("SELECT event FROM inputs ORDER BY seq")]
    assert [event.rating for event in events if isinstance(event, Rated)] == [rating]


@with_buttons
def test_a_press_of_no_button_of_ours_is_a_dead_letter(rig: Rig):
    """It is kept raw and blocks nobody."""
    assert rig.press is not None

    _, (_, accepted) = taken(rig, rig.messages[0], rig.press("great"))

    assert accepted.dead is not None
    assert "great" in accepted.dead


def test_deliveries_come_in_order_each_with_its_ack():
    """What was received is acknowledged by its own cursor, and only when the core says so."""
    channel = RIGS["push"]().make()
    assert isinstance(channel, FakeChannel)

    async def receive() -> list[str]:
        seen = []
        async for delivery in channel.receive():
            assert delivery.ack is not None
            seen += [raw.external_id for raw in delivery.raws]
            assert delivery.cursor not in channel.acknowledged
            await delivery.ack()
        return seen

    assert asyncio.run(receive()) == ["1", "2", "3"]
    assert channel.acknowledged == ["2", "3"]
