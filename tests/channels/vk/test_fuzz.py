"""Whatever VK, or whoever claims to be VK, sends: it is read, or refused as BadInput, and always has a name."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import BadInput
from broker.extras import Extra, limited, storable, written
from channels.vk import parsing
from channels.vk.settings import VkSettings

EXAMPLES = 1_500
NUMBERS = st.integers(-(2**70), 2**70) | st.sampled_from([0, 1, 7, -1001, 2_000_000_001])
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
_TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=6
)


@st.composite
def anything(draw: Any) -> Any:
    """Return any JSON."""
    return draw(_TREES)


ANYTHING = anything()
KINDS = "photo video audio doc link market market_album wall wall_reply gift sticker poll story graffiti audio_message call article".split()
THING_FIELDS = (
    "id owner_id url title text sizes images orig_photo link_ogg link_mp3 duration ext size type thumb_256 question price artist width"
).split()
SIZES = st.lists(
    st.fixed_dictionaries({}, optional={"url": SCALARS, "width": SCALARS, "height": SCALARS, "type": SCALARS}) | ANYTHING
)
TEXTS = st.text(max_size=40) | st.sampled_from(["[id7|Ann] hi", "x" * 9_000, "\x00", "[club1|", "\udc00"])


def sometimes(fields: list[str], values: Any) -> Any:
    """Return objects that have some of *fields*."""
    return st.dictionaries(st.sampled_from(fields), values, max_size=len(fields))


@st.composite
def attachments(draw: Any) -> Any:
    """Return something attached, most of the time almost as it should be."""
    kind = draw(st.sampled_from(KINDS) | st.text(max_size=8))
    thing = draw(
        sometimes(THING_FIELDS, SCALARS | SIZES | st.sampled_from(["https://sun1.userapi.com/a.jpg", "a\x00b"])) | ANYTHING
    )
    return {"type": kind, kind: thing}


@st.composite
def messages(draw: Any, deep: int = 1) -> Any:
    """Return a message that has most of what messages have, each of it right or wrong."""
    inner = messages(deep - 1) if deep else ANYTHING
    some = {
        "peer_id": NUMBERS | ANYTHING,
        "from_id": NUMBERS | ANYTHING,
        "conversation_message_id": st.integers(-1, 10**12) | ANYTHING,
        "text": TEXTS | ANYTHING,
        "attachments": st.lists(attachments() | ANYTHING, max_size=4) | ANYTHING,
        "geo": ANYTHING
        | st.just({"type": "point", "coordinates": {"latitude": 55.7, "longitude": 37.6}, "place": {"title": "x"}}),
        "payload": ANYTHING | st.just('{"command":"start"}'),
        "reply_message": inner | ANYTHING,
        "fwd_messages": st.lists(inner, max_size=3) | ANYTHING,
        "action": ANYTHING | st.just({"type": "chat_kick_user", "member_id": -1001}),
        "admin_author_id": ANYTHING | st.just(3),
        "ref": ANYTHING,
        "update_time": ANYTHING,
    }
    right = {"peer_id": st.just(7), "from_id": st.just(7), "conversation_message_id": st.just(3), "text": TEXTS}
    given_right = {name: how for name, how in some.items() if name not in right}
    return draw(st.fixed_dictionaries({}, optional=some) | st.fixed_dictionaries(right, optional=given_right))


EVENTS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["message_new"])},
        optional={"object": st.fixed_dictionaries({"message": messages()}) | ANYTHING, "group_id": NUMBERS, "event_id": SCALARS},
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["message_reply", "message_edit"]), "object": messages()},
        optional={"group_id": st.just(1001), "authors": ANYTHING | st.just({"7": "Ann"})},
    ),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from([*parsing.EVENTS, "message_read", "message_typing_state", "wall_post_new", "confirmation"]),
            "object": sometimes(
                ["user_id", "peer_id", "event_id", "payload", "cmid", "reacted_id", "reaction_id"], NUMBERS | ANYTHING
            ),
        }
    ),
    ANYTHING,
)
OPEN, GROUPS = VkSettings(token="vk1.a.1001"), VkSettings(token="vk1.a.1001", groups=True, start="waits")


def read(body: bytes) -> None:
    """Parse *body*, and check what came of it."""
    for given_settings in (OPEN, GROUPS):
        try:
            incoming = parsing.parse(body, given_settings)
        except BadInput:
            continue
        if incoming is None:
            continue
        assert incoming.key
        assert incoming.person.identity
        msgspec.json.encode(incoming)  # it can be kept
        text = getattr(incoming.what, "text", "")
        assert text == storable(text)
        extra = getattr(incoming.what, "extra", None)
        if isinstance(extra, Extra):
            assert written(limited(extra)) is None or extra


@settings(max_examples=EXAMPLES, deadline=None)
@given(EVENTS)
def test_no_event_breaks_the_parser(event: Any):
    """It says something, or nothing, or is BadInput: there is no third way out; and it has one name, whoever tells of it."""
    body = json.dumps(event).encode()
    read(body)
    try:
        told = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return  # what comes is read by the same reader
    name = parsing.name_of(told, 1001)
    again = told | {"secret": "x"} if isinstance(told, dict) else told
    parsing.presses([told])
    parsing.unnamed([told])

    assert name == parsing.name_of(again, 1001) == storable(name)
    assert len(name) < 200


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_break_the_parser(body: bytes):
    """Bytes that are no JSON are BadInput."""
    read(body)


def test_deep_nests_are_refused():
    """Somebody's thousand-fold brackets are no reason to stop."""
    nest = b"[" * 100_000
    deep = b'{"type":"message_new","object":{"message":{"peer_id":7,"from_id":7,"conversation_message_id":1,"fwd_messages":'
    read(nest)
    read(deep + b'[{"fwd_messages":' * 2_000 + b"[]" + b"}]" * 2_000 + b"}}}")
