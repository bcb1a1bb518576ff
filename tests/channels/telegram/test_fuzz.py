"""Whatever Telegram, or whoever passes for it, sends: it is read, or it is BadInput, and what is read can be kept by any database."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import extras
from broker.domain import NAME_MAX, ChannelId, ChannelRow, LineId, LineSettings
from broker.errors import BadInput
from broker.events import AnsweredOutside, Changed, Incoming, Wrote
from broker.inbound import prepare
from broker.ports import Raw
from channels.telegram.adapter import TelegramChannel
from channels.telegram.parsing import callback_queries, parse
from tests.channels.telegram.payloads import GROUPS, IGNORED, PLAIN, SAID, WAITS
from tests.support.clock import MovedClock

EXAMPLES = 2_000
INDEXED_MAX = 1_000
"""Bytes of what a database looks things up by; its own limit is above two thousand."""
PAYLOADS = [*SAID.values(), *IGNORED.values()]
NUMBERS = st.integers(-(2**70), 2**70) | st.sampled_from([0, 1, -1, 2**31, 2**53, 2**63 - 1, 2**63, 10**4_000])
TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        "",
        "\x00",
        "a\x00b",
        "\ud800",
        "\udc00\ud800",
        "x" * 9_000,
        "👨‍👩‍👧‍👦" * 900,
        "nan",
        "-inf",
        "1e999",
        "/start \x00",
        "79123456789" * 30,
        " \n\t",
        "a:b/c d",
    ]
)
SCALARS = st.none() | st.booleans() | NUMBERS | st.floats() | TEXTS
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container of *tree* with each of its keys."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(tree[key])


@st.composite
def updates(draw: Any) -> Any:
    """Return a recorded update, some of it missing, doubled, of another type, huge, or taken from another."""
    told = copy.deepcopy(draw(st.sampled_from(PAYLOADS)))
    for _ in range(draw(st.integers(0, 4))):
        places = list(_places(told))
        if not places:
            break
        where, key = draw(st.sampled_from(places))
        match draw(st.sampled_from(["missing", "other", "other", "text", "number", "graft", "list"])):
            case "missing" if isinstance(where, dict):
                del where[key]
            case "text":
                where[key] = draw(TEXTS)
            case "number":
                where[key] = draw(NUMBERS)
            case "graft":
                other = copy.deepcopy(draw(st.sampled_from(PAYLOADS)))
                inner, name = draw(st.sampled_from(list(_places(other))))
                where[key] = inner[name]
            case "list":
                where[key] = [where[key]] * draw(st.sampled_from([0, 2, 200]))
            case _:
                where[key] = draw(TREES)
    return told


def _written(told: Any) -> bytes:
    try:
        return json.dumps(told).encode()
    except ValueError:  # a number of more digits than this Python writes
        return b"9" * 5_000


CHANNEL = TelegramChannel(
    ChannelRow(ChannelId("c"), LineId("l"), "bot", "telegram", "Bot", {"token": "1:a", "groups": True, "mode": "webhook"}, 1),
    MovedClock(),
    None,  # type: ignore[arg-type]
    None,
)


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in *value*."""
    match value:
        case str():
            yield value
        case list() | tuple():
            for one in value:
                yield from _texts(one)
        case dict():
            for key, one in value.items():
                yield from (key, *_texts(one))


def storable(incoming: Incoming) -> None:
    """Check that any database takes it, and that it is read as it was written."""
    for text in _texts(msgspec.to_builtins(incoming)):
        assert "\x00" not in text
        text.encode()  # no half of a character
    assert incoming.key
    assert incoming.person.identity
    names = [incoming.key, incoming.person.identity, getattr(incoming.what, "ref", ""), getattr(incoming.what, "album", "")]
    assert all(len(name.encode()) < INDEXED_MAX for name in names)
    assert not any(name.split() != [name] for name in names if name)  # where several are kept there is white space between
    assert max(map(len, (incoming.person.name, incoming.person.nickname, incoming.person.language))) <= NAME_MAX
    match incoming.what:
        case Wrote(extra=extra) | Changed(extra=extra) | AnsweredOutside(extra=extra) if extra:
            assert extra == extras.limited(extra)
            assert extra == extras.read(extras.written(extra))


def read(body: bytes) -> None:
    """Parse *body*, and check what came of it."""
    for asked in (PLAIN, GROUPS, WAITS):
        with suppress(BadInput):  # what it says stands in `prepared.problem` below
            incoming = parse(body, asked)
            if incoming is not None:
                storable(incoming)
    callback_queries([body])
    [prepared] = prepare(CHANNEL, [Raw("1:1", body)], LineSettings(tracker=True))
    for text in (prepared.problem, *(point.value for point in prepared.points)):
        assert "\x00" not in text
        text.encode()


@settings(max_examples=EXAMPLES, deadline=None)
@given(updates())
def test_no_update_breaks_the_parser(told: Any):
    """It says something, or nothing, or is BadInput: there is no other way out."""
    read(_written(told))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | TREES.map(_written))
def test_no_bytes_break_the_parser(body: bytes):
    """What is no update, or not even JSON, is BadInput."""
    read(body)


@settings(max_examples=300, deadline=None)
@given(updates() | TREES)
def test_whatever_is_posted_has_a_name(told: Any):
    """The same each time, storable, and answered; a stranger who knows no secret gets nothing."""
    body = _written(told)
    shown = {"x-telegram-bot-api-secret-token": CHANNEL._hook_secret}

    first, again = CHANNEL.hook(shown, body), CHANNEL.hook(shown, body)

    assert first == again
    [raw] = first.raws
    assert raw.external_id.isascii()
    assert len(raw.external_id) < INDEXED_MAX
    assert raw.body == body
    msgspec.json.decode(first.answer)
    assert CHANNEL.hook({}, body).refused


def test_deep_nests_are_refused():
    """Somebody's thousand-fold brackets are no reason to stop."""
    read(b"[" * 100_000)
    read(b'{"update_id":1,"message":{"message_id":1,"chat":{"id":1},"x":' + b"[" * 50_000 + b"]" * 50_000 + b"}}")
    read(b'{"update_id":1,"message":{"reply_to_message":' * 20_000)
