"""The widget as a channel: what its parser makes of frames, and of everything else."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain import ChannelId, ChannelRow, LineId
from broker.errors import BadInput
from broker.events import Pressed, Saw, Told, Wrote
from broker.ports import Channel, Raw
from channels.widget import settings
from channels.widget.adapter import Envelope, WidgetChannel, encode
from channels.widget.frames import Details, Press, Say, Seen

ROW = ChannelRow(ChannelId("c"), LineId("l"), "shop", "widget", "Shop", {}, 1)
CHANNEL = WidgetChannel(ROW, lambda channel, outbound: None)


def parsed(frame):
    """Return what the channel reads in *frame* of the visitor `v`."""
    return CHANNEL.parse(Raw("v:1", encode(Envelope("v", frame, lang="ru"))))


def test_it_is_a_channel():
    """It fits the socket."""
    assert isinstance(CHANNEL, Channel)


def test_message_keeps_its_client_id():
    """A message is read with the id its writer gave it, in the visitor's own conversation."""
    incoming = parsed(Say("client-1", "hello"))

    assert incoming.what == Wrote("hello", "client-1")
    assert (incoming.key, incoming.person.identity, incoming.person.language) == ("v", "v", "ru")


def test_details_are_the_persons_own_word():
    """A form tells name, e-mail and phone; a field left empty tells nothing."""
    incoming = parsed(Details("client-1", name=" Ann ", email="ann@example.com"))

    assert incoming.what == Told()
    assert (incoming.person.name, incoming.person.emails, incoming.person.phones) == ("Ann", ("ann@example.com",), ())


def test_receipt_is_read():
    """What the visitor has seen is told by its highest seq."""
    assert parsed(Seen(7, read=True)).what == Saw(7, read=True)


def test_press_says_the_buttons_value():
    """What the button says to us, whatever it says to the visitor."""
    assert parsed(Press("client-1", "good")).what == Pressed("good")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_anything_else_is_bad_input(body):
    """Whatever bytes were stored, the parser answers with an Incoming or BadInput, never with another error."""
    with contextlib.suppress(BadInput):
        CHANNEL.parse(Raw("x", body))


@pytest.mark.parametrize(
    ("given_settings", "says"),
    [
        ({"alowed_origins": []}, "did you mean allowed_origins"),
        ({"allowed_origins": ["https://shop.example.com/path"]}, "without a path"),
        ({"ask": ["name"], "required": ["email"]}, "not asked for"),
        ({"ask": ["age"]}, "ask"),
    ],
)
def test_wrong_settings_say_what_is_wrong(given_settings, says):
    """An administrator is told the key and what to do."""
    with pytest.raises(BadInput, match=says):
        settings.check(given_settings)
