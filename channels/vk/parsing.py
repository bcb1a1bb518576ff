"""Events of VK, read: who wrote, in which conversation, and what. Pure.

    key     the conversation: PEER, a person's number or a chat's (above two thousand million)
    ref     a message in it: PEER:NUMBER, the number being the conversation's own (conversation_message_id)
    file    by which a file is fetched: its address, which VK gives with the message

An event is named so that whoever tells of it, the long poll, the Callback API or a look into the history, gives it one name: a customer's
message by its ref and date, a message that was changed by its version besides, everything else by VK's event_id.

What concerns nobody here (who joined a chat, what other programs send) is no input; somebody's being about to write is none yet, nor is
what they have read, which VK tells by the number of a message. What cannot be read is BadInput, and becomes a dead letter. One thing
attached that is not as expected costs its message nothing else.
"""

from __future__ import annotations

import hashlib
import mimetypes
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from broker.domain import TEXT_MAX, Person, Source
from broker.errors import BadInput
from broker.events import AnsweredOutside, Changed, Incoming, Pressed, Reach, Reacted, Saw, Told, Wrote
from broker.extras import QUOTED_MAX, Attachment, Extra, FileKind, FileState, Place, Quote, cut, storable
from channels.vk.settings import VkSettings

T = TypeVar("T")

EVENTS = (
    "message_new",
    "message_reply",
    "message_edit",
    "message_allow",
    "message_deny",
    "message_event",
    "message_reaction_event",
    "message_read",
    "message_typing_state",
)
"""What VK is to tell of."""
CHATS_BEGIN = 2_000_000_000
VALUE_KEY = "value"
"""Under which a button's payload has our value."""
FORWARDED_DEEP = 5
FORWARDED_MOST = 100
_REACTIONS = "❤️ 🔥 😂 👍 💩 ❓ 😭 😡 👎 👌 😃 🤔 🙏 😘 😍 🎉".split()
"""By reaction_id, from 1."""
_MENTION = re.compile(r"\[(?:id|club|public|event)\d{1,20}\|([^\[\]|]{1,200})\]")
_NAME_MAX = 120
_NOTHING = msgspec.Raw(b"null")


class _Event(Struct):
    type: str
    object: msgspec.Raw = msgspec.Raw(b"{}")
    group_id: int = 0
    authors: dict[str, str] = {}
    """Names of people by their numbers, as far as the adapter knew them."""


class _Action(Struct):
    type: str = ""
    member_id: int = 0


class _Message(Struct):
    peer_id: int
    from_id: int
    conversation_message_id: int = 0
    cmid: int = 0
    text: str = ""
    attachments: msgspec.Raw = _NOTHING
    geo: msgspec.Raw = _NOTHING
    payload: Any = None
    reply_message: msgspec.Raw = _NOTHING
    fwd_messages: msgspec.Raw = _NOTHING
    action: msgspec.Raw = _NOTHING
    admin_author_id: int | None = None
    ref: Any = None
    ref_source: Any = None

    @property
    def key(self) -> str:
        return str(self.peer_id)

    @property
    def name(self) -> str:
        number = self.conversation_message_id or self.cmid
        if number <= 0:
            raise BadInput("a message without its number in the conversation")
        return f"{self.peer_id}:{number}"


class _MessageNew(Struct):
    message: _Message


class _Foreign(Struct):
    """A message within another."""

    from_id: int = 0
    conversation_message_id: int = 0
    text: str = ""
    attachments: msgspec.Raw = _NOTHING
    fwd_messages: msgspec.Raw = _NOTHING


class _Press(Struct):
    user_id: int
    peer_id: int
    event_id: str = ""
    payload: Any = None


class _Allowance(Struct):
    user_id: int


class _Reaction(Struct):
    peer_id: int
    cmid: int
    reacted_id: int = 0
    reaction_id: int = 0


class _ReadMark(Struct):
    from_id: int
    peer_id: int = 0
    conversation_message_id: int = 0


class _Typing(Struct):
    from_id: int


class _Coordinates(Struct):
    latitude: float
    longitude: float


class _GeoPlace(Struct):
    title: str = ""
    city: str = ""
    country: str = ""


class _Geo(Struct):
    coordinates: _Coordinates
    place: _GeoPlace | None = None


class _Size(Struct):
    url: str = ""
    width: int = 0
    height: int = 0
    type: str = ""


_decode = msgspec.json.Decoder(_Event).decode
_decode_any = msgspec.json.Decoder().decode
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


# --- names


def name_of(event: object, group_id: int) -> str:
    """Return what *event* is known by for ever: its group's number, and its own name or what it says."""
    known = event if isinstance(event, dict) else {}
    kind, told = known.get("type"), known.get("object")
    if isinstance(told, dict):
        message = told.get("message") if kind == "message_new" else told if kind == "message_edit" else None
        if isinstance(message, dict) and (place := _place_of(message)):
            return f"{group_id}:{place}" if kind == "message_new" else f"{group_id}:{place}:{_version_of(message)}"
    id_ = known.get("event_id")
    if isinstance(id_, str) and 0 < len(id_) <= 100:
        return f"{group_id}:{storable(id_)}"
    said = {key: value for key, value in known.items() if key not in ("secret", "authors")} if known else event
    return f"{group_id}:{hashlib.sha256(msgspec.json.encode(said, order='deterministic')).hexdigest()}"


def _place_of(message: Mapping[str, Any]) -> str:
    """Return where *message* stands; its date, too: should VK ever count a conversation anew, nothing of it is taken for a repeat."""
    peer, number = message.get("peer_id"), message.get("conversation_message_id")
    known = type(peer) is int and type(number) is int and number > 0
    return f"{peer}:{number}:{_short(message.get('date'))}" if known else ""


def _short(value: object) -> str:
    return storable(str(value)[:20])


def _version_of(message: Mapping[str, Any]) -> str:
    said = zlib.crc32(str(message.get("text")).encode("utf-8", "replace"))
    return f"{_short(message.get('update_time'))}.{_short(message.get('version'))}.{said}"


def from_history(message: Mapping[str, Any], group_id: int) -> list[dict[str, Any]]:
    """Return the events that VK would have told of *message*, which is one of its history."""
    if message.get("out") == 1 or (type(message.get("from_id")) is int and message["from_id"] < 0):
        # Named apart from the event that VK may have told: that it is here is found out by its ref.
        place = f"history:{_place_of(message)}"
        return [{"type": "message_reply", "object": dict(message), "group_id": group_id, "event_id": place}]
    events: list[dict[str, Any]] = [{"type": "message_new", "object": {"message": dict(message)}, "group_id": group_id}]
    if message.get("update_time"):
        events.append({"type": "message_edit", "object": dict(message), "group_id": group_id})
    return events


class Press(NamedTuple):
    """A press of a button, which VK wants answered, or a clock turns on it."""

    event_id: str
    user_id: int
    peer_id: int


def presses(events: Sequence[object]) -> list[Press]:
    """Return the presses among *events*."""
    found = []
    for event in events:
        if isinstance(event, dict) and event.get("type") == "message_event":
            try:
                press = msgspec.convert(event.get("object"), _Press)
            except (msgspec.ValidationError, RecursionError):
                continue
            if press.event_id:
                found.append(Press(press.event_id, press.user_id, press.peer_id))
    return found


def unnamed(events: Sequence[object]) -> set[int]:
    """Return the people among *events* whom an operator should see by a name, and whom VK tells by a number only."""
    found: set[int] = set()
    for event in events:
        told = event.get("object") if isinstance(event, dict) else None
        message = told.get("message", told) if isinstance(told, dict) else None
        if isinstance(message, dict):
            if type(message.get("peer_id")) is int and message["peer_id"] > CHATS_BEGIN:
                found |= _writers([message], 1)
            found |= _writers([message.get("reply_message")], 1) | _writers(message.get("fwd_messages"), FORWARDED_DEEP)
    return {number for number in found if 0 < number < CHATS_BEGIN}


def _writers(messages: object, deep: int) -> set[int]:
    found: set[int] = set()
    for one in messages[:FORWARDED_MOST] if isinstance(messages, list) and deep else ():
        if isinstance(one, dict):
            if type(one.get("from_id")) is int:
                found.add(one["from_id"])
            found |= _writers(one.get("fwd_messages"), deep - 1)
    return found


# --- what they say


def parse(body: bytes, settings: VkSettings) -> Incoming | None:
    """Return what the event *body* says, None for what concerns nobody here. Raises BadInput."""
    try:
        event = _decode(body)
        match event.type:
            case "message_new":
                return _said(_read(event, _MessageNew).message, event, settings)
            case "message_reply":
                return _answered_outside(_read(event, _Message), event, settings)
            case "message_edit":
                return _edited(_read(event, _Message), event, settings)
            case "message_event":
                return _pressed(_read(event, _Press), settings)
            case "message_allow":
                return _reached(_read(event, _Allowance), "")
            case "message_deny":
                return _reached(_read(event, _Allowance), "denied")
            case "message_reaction_event":
                return _reacted(_read(event, _Reaction), settings)
            case "message_read":
                return _saw(_read(event, _ReadMark), settings)
    except _UNREADABLE as error:
        raise BadInput(f"not an event of VK: {error}") from None
    return None


def _read(event: _Event, kind: type[T]) -> T:
    return msgspec.json.decode(event.object, type=kind)


def _served(peer_id: int, settings: VkSettings) -> bool:
    return 0 < peer_id < CHATS_BEGIN or (settings.groups and peer_id > CHATS_BEGIN)


def _person(peer_id: int) -> Person:
    """Return whose conversation it is; what they are called VK tells who asks."""
    return Person(str(peer_id), profile=str(peer_id))


def _said(message: _Message, event: _Event, settings: VkSettings) -> Incoming | None:
    if not _served(message.peer_id, settings):
        return None
    action = _convert(message.action, _Action)
    if action is not None and event.group_id and action.member_id == -event.group_id:
        gone = action.type == "chat_kick_user"
        return Incoming(message.key, Person(message.key), Reach("left" if gone else ""))
    if message.from_id <= 0:
        return None  # what programs say, we too
    text, extra = _content(message, event.authors)
    if not text and not extra:
        return None  # who joined, what was pinned: a note of VK's own
    ref, person = message.name, _person(message.peer_id)
    answers, extra = _answered(message, extra, event.authors)
    if message.peer_id > CHATS_BEGIN:
        extra = msgspec.structs.replace(extra, author=_called(message.from_id, event.authors))
    source = Source(start=start) if (start := _start_word(message)) else None
    if settings.start == "waits" and _payload(message.payload).get("command") == "start":
        return Incoming(message.key, person, Told(), source or Source())
    return Incoming(message.key, person, Wrote(text, ref=ref, extra=extra, answers=answers), source)


def _start_word(message: _Message) -> str:
    return cut(message.ref, 64) if isinstance(message.ref, str) else ""


def _answered_outside(message: _Message, event: _Event, settings: VkSettings) -> Incoming | None:
    # Without an administrator it is what a program said: most of the time we.
    if not _served(message.peer_id, settings) or not (message.admin_author_id or 0) > 0:
        return None
    text, extra = _content(message, event.authors)
    if not text and not extra:
        return None
    answers, extra = _answered(message, extra, event.authors)
    return Incoming(message.key, _person(message.peer_id), AnsweredOutside(text, message.name, extra, answers))


def _edited(message: _Message, event: _Event, settings: VkSettings) -> Incoming | None:
    if not _served(message.peer_id, settings) or message.from_id <= 0:
        return None  # our side's own correction: the customer's word is what counts here
    text, extra = _content(message, event.authors)
    if not text and not extra:
        return None
    if message.peer_id > CHATS_BEGIN:
        extra = msgspec.structs.replace(extra, author=_called(message.from_id, event.authors))
    return Incoming(message.key, _person(message.peer_id), Changed(message.name, text, extra))


def _pressed(press: _Press, settings: VkSettings) -> Incoming | None:
    value = _payload(press.payload).get(VALUE_KEY)
    if not isinstance(value, str) or not _served(press.peer_id, settings):
        return None  # a button of another program's
    return Incoming(str(press.peer_id), _person(press.peer_id), Pressed(storable(value)))


def _reached(allowance: _Allowance, why: str) -> Incoming | None:
    key = str(allowance.user_id)
    return Incoming(key, Person(key), Reach(why)) if 0 < allowance.user_id < CHATS_BEGIN else None


def _reacted(reaction: _Reaction, settings: VkSettings) -> Incoming | None:
    if not _served(reaction.peer_id, settings) or reaction.reacted_id <= 0 or reaction.cmid <= 0:
        return None
    key, number = str(reaction.peer_id), reaction.reaction_id
    known = 0 < number <= len(_REACTIONS)
    signs = (_REACTIONS[number - 1] if known else "★",) if number > 0 else ()
    return Incoming(key, Person(key), Reacted(f"{key}:{reaction.cmid}", signs))


def _saw(mark: _ReadMark, settings: VkSettings) -> Incoming | None:
    peer = mark.peer_id or mark.from_id
    if mark.from_id <= 0 or mark.conversation_message_id <= 0 or not _served(peer, settings):
        return None
    return Incoming(str(peer), Person(str(peer)), Saw(read=True, ref=f"{peer}:{mark.conversation_message_id}"))


def typing(bodies: Sequence[bytes]) -> tuple[str, ...]:
    """Return the conversations whose customer is writing just now, by the events *bodies*."""
    found: dict[str, None] = {}
    for body in bodies:
        if b'"message_typing_state"' not in body:
            continue
        try:
            event = _decode(body)
            if event.type == "message_typing_state" and (who := _read(event, _Typing).from_id) > 0:
                found[str(who)] = None
        except _UNREADABLE:
            continue
    return tuple(found)


def _payload(payload: object) -> dict[str, Any]:
    """Return a button's payload, which comes as JSON or as text that is JSON."""
    if isinstance(payload, str):
        try:
            payload = _decode_any(payload)
        except (*_UNREADABLE, UnicodeEncodeError):
            return {}
    return payload if isinstance(payload, dict) else {}


def _called(number: int, authors: Mapping[str, str]) -> str:
    """Return how whoever has this number is called: by their name, or by the address of their page."""
    return cut(authors.get(str(number), "")) or (f"vk.com/id{number}" if number > 0 else f"vk.com/club{-number}")


def _answered(message: _Message, extra: Extra, authors: Mapping[str, str]) -> tuple[str, Extra]:
    replied = _convert(message.reply_message, _Foreign)
    if replied is None:
        return "", extra
    name = cut(authors.get(str(replied.from_id), "")) if replied.from_id != message.peer_id else ""
    quote = Quote(0, cut(_plain(replied.text), QUOTED_MAX), name)
    number = replied.conversation_message_id
    return f"{message.peer_id}:{number}" if number > 0 else "", msgspec.structs.replace(extra, quote=quote)


def _convert(raw: msgspec.Raw, kind: type[T]) -> T | None:
    """Return a part of an event, None if it is not as expected: what stands beside it is worth reading all the same."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except _UNREADABLE:
        return None


def _each(raw: msgspec.Raw) -> list[msgspec.Raw]:
    return _convert(raw, list[msgspec.Raw]) or []


def _plain(text: str) -> str:
    """Return *text* as people see it: of a mention its name."""
    return storable(_MENTION.sub(r"\1", text) if "|" in text else text)


# --- words and what is beside them


def _content(message: _Message, authors: Mapping[str, str]) -> tuple[str, Extra]:
    """Return the words and what is beside them."""
    beside = _Beside()
    beside.add(message.attachments)
    words = [_plain(message.text), *beside.lines(message.text)]
    forwarded = _forwarded(message.fwd_messages, FORWARDED_DEEP)
    origin = ""
    if len(forwarded) == 1 and not any(words):
        one = forwarded[0]
        inner = _Beside()
        inner.add(one.attachments)
        words, origin = [_plain(one.text), *inner.lines(one.text)], _called(one.from_id, authors)
        beside.take(inner)
    else:
        for one in forwarded:
            inner = _Beside()
            inner.add(one.attachments)
            words.append(
                "\n".join(filter(None, (f"↪ {_called(one.from_id, authors)}:", _plain(one.text), *inner.lines(one.text))))
            )
            beside.take(inner)
    place = _place(message.geo)
    text = "\n".join(filter(None, words))[:TEXT_MAX].strip()
    extra = Extra(files=tuple(beside.files), forwarded_from=origin, place=place, what=beside.what)
    return text, extra


def _forwarded(raws: msgspec.Raw, deep: int) -> list[_Foreign]:
    """Return what is forwarded, and what is forwarded within it after it."""
    found: list[_Foreign] = []
    for raw in _each(raws)[:FORWARDED_MOST] if deep else ():
        if (one := _convert(raw, _Foreign)) is not None:
            if one.text or _each(one.attachments):
                found.append(one)
            found += _forwarded(one.fwd_messages, deep - 1)
    return found[:FORWARDED_MOST]


def _place(raw: msgspec.Raw) -> Place | None:
    geo = _convert(raw, _Geo)
    if geo is None:
        return None
    where = geo.place or _GeoPlace()
    address = ", ".join(filter(None, (where.country, where.city)))
    return Place(geo.coordinates.latitude, geo.coordinates.longitude, storable(where.title), storable(address))


class _Beside:
    """What is attached: files, and what is told in words because it is none."""

    def __init__(self) -> None:
        self.files: list[Attachment] = []
        self.what = ""
        self._said: list[tuple[str, str]] = []
        """A line about each thing that is no file, and the address in it."""

    def add(self, raws: msgspec.Raw) -> None:
        """Add attachments as VK tells of them."""
        for raw in _each(raws):
            one = _convert(raw, dict[str, Any])
            kind = one.get("type") if one is not None else None
            thing = one.get(kind) if one is not None and isinstance(kind, str) else None
            if not isinstance(kind, str):
                continue
            if isinstance(thing, dict) and (file := _file(kind, thing)) is not None:
                self.files.append(file)
                if kind != "gift":
                    continue
            self._tell(kind, thing if isinstance(thing, dict) else {})

    def take(self, other: _Beside) -> None:
        """Take the files of *other*, and what it is if nothing was before."""
        self.files += other.files
        self.what = self.what or other.what

    def lines(self, text: str) -> list[str]:
        """Return what is told in words, but for links that stand in *text* already."""
        return [line for line, address in self._said if line and not (address and address in text)]

    def _tell(self, kind: str, thing: Mapping[str, Any]) -> None:
        line, address = _line(kind, thing)
        self._said.append((storable(line), address))
        if kind != "link":
            self.what = self.what or cut(kind, 40)


def _text(thing: Mapping[str, Any], *names: str) -> str:
    """Return the first of the words *names* that *thing* has."""
    return next((value for name in names if isinstance(value := thing.get(name), str) and value.strip()), "")


def _number(thing: Mapping[str, Any], *names: str) -> int:
    return next((value for name in names if type(value := thing.get(name)) is int), 0)


def _line(kind: str, thing: Mapping[str, Any]) -> tuple[str, str]:
    """Return a line about what is no file, and the address at which it can be looked at; empty: there is nothing to look at."""
    id_ = _number(thing, "id")
    owner = _number(thing, "owner_id", "to_id", "from_id")
    address = ""
    said = _text(thing, "title", "question", "name")[:_NAME_MAX]
    match kind:
        case "video" | "story" | "wall" | "poll" if id_:
            address = f"https://vk.com/{kind}{owner}_{id_}"
        case "market" if id_:
            address = f"https://vk.com/product{owner}_{id_}"
        case "market_album" if id_:
            address = f"https://vk.com/market{owner}?section=album_{id_}"
        case "wall_reply" if id_:
            address = f"https://vk.com/wall{owner}_{_number(thing, 'post_id')}?reply={id_}"
        case "link":
            address = _text(thing, "url")[:2_000]
        case "article":
            address = _text(thing, "view_url", "url")[:2_000]
    match kind:
        case "wall" | "wall_reply":
            said = _plain(_text(thing, "text"))[:500]
        case "audio":
            said = " – ".join(filter(None, (_text(thing, "artist"), said)))[:_NAME_MAX]
        case "market":
            price = thing.get("price")
            said = ", ".join(filter(None, (said, _text(price, "text")[:60] if isinstance(price, dict) else "")))
        case "poll":
            address = ""
        case "link":
            said = "" if said == address else said
    return "\n".join(filter(None, (said.strip(), address))), address


def _file(kind: str, thing: Mapping[str, Any]) -> Attachment | None:
    """Return the file that is attached; None if it is none, or cannot be fetched."""
    match kind:
        case "photo":
            size = _largest([thing.get("orig_photo"), *_listed(thing.get("sizes"))])
            return _made(FileKind.PHOTO, size.url, "image/jpeg", width=size.width, height=size.height)
        case "doc":
            return _document(thing)
        case "audio_message":
            ogg, seconds = _text(thing, "link_ogg"), _number(thing, "duration")
            if ogg:
                return _made(FileKind.VOICE, ogg, "audio/ogg", seconds=seconds)
            return _made(FileKind.VOICE, _text(thing, "link_mp3"), "audio/mpeg", seconds=seconds)
        case "graffiti":
            width, height = _number(thing, "width"), _number(thing, "height")
            return _made(FileKind.STICKER, _text(thing, "url"), "image/png", width=width, height=height)
        case "sticker":
            size = _largest(_listed(thing.get("images")))
            return _made(FileKind.STICKER, size.url, "image/png", width=size.width, height=size.height)
        case "gift":
            return _made(FileKind.STICKER, _text(thing, "thumb_512", "thumb_256", "thumb_96", "thumb_48"), "image/jpeg")
    return None


def _document(thing: Mapping[str, Any]) -> Attachment | None:
    name, suffix = _text(thing, "title"), _text(thing, "ext").lower()
    if suffix and not name.lower().endswith(f".{suffix}"):
        name = f"{name}.{suffix}"
    media_type = mimetypes.guess_type(f"x.{suffix}")[0] if suffix else None
    kind = FileKind.DOCUMENT
    match _number(thing, "type"):
        case 3:
            kind, media_type = FileKind.ANIMATION, media_type or "image/gif"
        case 5:
            kind = FileKind.AUDIO
        case 6:
            kind = FileKind.VIDEO
    return _made(kind, _text(thing, "url"), media_type or "application/octet-stream", name=name, size=_number(thing, "size"))


def _made(
    kind: FileKind, url: str, media_type: str, *, name: str = "", size: int = 0, seconds: int = 0, width: int = 0, height: int = 0
) -> Attachment | None:
    if not url or len(url) > 2_000 or storable(url) != url:
        return None
    return Attachment(kind, FileState.AWAITED, cut(name), media_type, size, seconds, width, height, ref=url)


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _largest(told: Sequence[object]) -> _Size:
    """Return the largest picture; of old ones VK does not know the size, and their letters tell it."""
    sizes = []
    for one in told:
        try:
            sizes.append(msgspec.convert(one, _Size))
        except (msgspec.ValidationError, RecursionError):
            continue
    there = [size for size in sizes if size.url]
    return max(there, key=lambda size: (size.width * size.height, "smopqrxyzw".find(size.type)), default=_Size())
