"""Updates of the Bot API, read: who wrote, in which conversation, and what. Pure.

    key     the conversation: CHAT, CHAT/TOPIC of a forum, bCONNECTION/CHAT of a business account that the bot serves
    ref     a message in it: CHAT:MESSAGE, bCONNECTION/CHAT:MESSAGE
    file    by which a file is fetched: the provider's file_id, another each time; by file_unique_id it is known as the same

What concerns nobody here (a channel's posts, who joined a group, what other bots say) is no input. What cannot be read is BadInput, and
becomes a dead letter: an update is let go by the provider only once, so it is kept whatever it is.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from broker.domain import NAME_MAX, Person, Source
from broker.errors import BadInput
from broker.events import (
    AnsweredOutside,
    Changed,
    Deleted,
    Incoming,
    Moved,
    Pressed,
    Reach,
    Reacted,
    Told,
    Wrote,
)
from broker.extras import Attachment, Extra, FileKind, FileState, Place, Quote, SharedContact, cut, limited, storable
from channels.telegram.settings import DOWNLOAD_MAX, TelegramSettings

ALLOWED_UPDATES = [
    "message",
    "edited_message",
    "callback_query",
    "message_reaction",
    "my_chat_member",
    "business_connection",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
]
"""What the provider is asked for; it remembers the list, and sends reactions only where they are named."""


_Id = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_Name = Annotated[str, Meta(pattern=r"^[!-~]{0,200}\Z")]
"""A word of the provider's own by which something is found again."""


class _User(Struct):
    id: _Id
    is_bot: bool = False
    first_name: str = ""
    last_name: str = ""
    username: str = ""
    language_code: str = ""

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


class _Chat(Struct):
    id: _Id
    type: str = "private"
    title: str = ""
    username: str = ""
    first_name: str = ""
    last_name: str = ""


class _Entity(Struct):
    type: str
    offset: int
    length: int
    url: str = ""


class _File(Struct):
    """Any of the provider's files: each kind has some of these."""

    file_id: _Name
    file_unique_id: _Name = ""
    file_name: str = ""
    mime_type: str = ""
    file_size: int = 0
    duration: int = 0
    width: int = 0
    height: int = 0
    length: int = 0
    emoji: str = ""
    is_animated: bool = False
    is_video: bool = False
    title: str = ""
    performer: str = ""


class _Location(Struct):
    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.latitude + self.longitude):
            raise ValueError("this is nowhere")


class _Venue(Struct):
    location: _Location
    title: str = ""
    address: str = ""


class _Contact(Struct):
    phone_number: str = ""
    first_name: str = ""
    last_name: str = ""
    user_id: _Id = 0


class _Poll(Struct):
    question: str = ""


class _Dice(Struct):
    emoji: str = ""
    value: int = 0


class _Origin(Struct):
    sender_user: _User | None = None
    sender_user_name: str = ""
    sender_chat: _Chat | None = None
    chat: _Chat | None = None

    @property
    def name(self) -> str:
        if self.sender_user is not None:
            return self.sender_user.name
        chat = self.sender_chat or self.chat
        return self.sender_user_name or (chat.title if chat is not None else "")


class _TextQuote(Struct):
    text: str = ""


class _Replied(Struct):
    message_id: _Id
    text: str = ""
    caption: str = ""
    entities: list[_Entity] = []
    caption_entities: list[_Entity] = []
    sender_business_bot: _User | None = None
    from_: _User | None = msgspec.field(name="from", default=None)

    @property
    def words(self) -> str:
        """What it says, without the operator's name that we have put above it."""
        text = self.text or self.caption
        first = next(iter(self.entities if self.text else self.caption_entities), None)
        ours = self.sender_business_bot is not None or (self.from_ is not None and self.from_.is_bot)
        if not ours or first is None or first.type != "bold" or first.offset != 0 or first.length < 0:
            return text
        behind = text.encode("utf-16-le", "surrogatepass")[first.length * 2 :].decode("utf-16-le", "replace")
        return behind.removeprefix("\n") if behind[:1] in ("", "\n") else text


class _Message(Struct):
    message_id: _Id
    chat: _Chat
    from_: _User | None = msgspec.field(name="from", default=None)
    sender_chat: _Chat | None = None
    sender_business_bot: _User | None = None
    business_connection_id: _Name = ""
    message_thread_id: _Id = 0
    is_topic_message: bool = False
    text: str = ""
    caption: str = ""
    entities: list[_Entity] = []
    caption_entities: list[_Entity] = []
    media_group_id: _Name = ""
    reply_to_message: _Replied | None = None
    quote: _TextQuote | None = None
    forward_origin: _Origin | None = None
    photo: list[_File] = []
    video: _File | None = None
    video_note: _File | None = None
    voice: _File | None = None
    audio: _File | None = None
    animation: _File | None = None
    document: _File | None = None
    sticker: _File | None = None
    location: _Location | None = None
    venue: _Venue | None = None
    contact: _Contact | None = None
    poll: _Poll | None = None
    dice: _Dice | None = None
    migrate_to_chat_id: _Id = 0


class _CallbackQuery(Struct):
    id: str
    from_: _User = msgspec.field(name="from")
    message: _Message | None = None
    data: str = ""


class _ReactionType(Struct):
    type: str = ""
    emoji: str = ""


class _Reaction(Struct):
    chat: _Chat
    message_id: _Id
    user: _User | None = None
    new_reaction: list[_ReactionType] = []


class _Member(Struct):
    status: str


class _MemberChange(Struct):
    chat: _Chat
    from_: _User = msgspec.field(name="from")
    new_chat_member: _Member


class _DeletedMessages(Struct):
    business_connection_id: _Name
    chat: _Chat
    message_ids: list[_Id] = []


class _Update(Struct):
    update_id: int
    message: _Message | None = None
    edited_message: _Message | None = None
    business_message: _Message | None = None
    edited_business_message: _Message | None = None
    deleted_business_messages: _DeletedMessages | None = None
    callback_query: _CallbackQuery | None = None
    message_reaction: _Reaction | None = None
    my_chat_member: _MemberChange | None = None


_decode = msgspec.json.Decoder(_Update, strict=False).decode
_OTHER = ("game", "invoice", "story", "checklist", "gift", "paid_media", "giveaway", "passport_data", "successful_payment")
"""What a message may be instead of words and files, told by the provider's word for it."""
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
DELETED_MAX = 1_000
"""Messages that one update may take back."""


def parse(body: bytes, settings: TelegramSettings) -> Incoming | None:
    """Return what the update *body* says, None for what concerns nobody here. Raises BadInput."""
    try:
        update = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"not an update of the Bot API: {error}") from None
    for message in (update.message, update.business_message):
        if message is not None:
            return _said(message, settings, body)
    for message in (update.edited_message, update.edited_business_message):
        if message is not None:
            return _edited(message, settings, body)
    if update.callback_query is not None:
        return _pressed(update.callback_query, settings)
    if update.message_reaction is not None:
        return _reacted(update.message_reaction, settings)
    if update.my_chat_member is not None:
        return _reached(update.my_chat_member, settings)
    if update.deleted_business_messages is not None:
        return _deleted(update.deleted_business_messages)
    return None


def callback_queries(bodies: list[bytes]) -> list[str]:
    """Return the ids of presses among the updates *bodies*: each wants an answer, or a clock turns on the customer's button."""
    found = []
    for body in bodies:
        if b'"callback_query"' in body:
            try:
                update = _decode(body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            if update.callback_query is not None:
                found.append(update.callback_query.id)
    return found


def _served(chat: _Chat, settings: TelegramSettings) -> bool:
    return chat.type == "private" or (settings.groups and chat.type in ("group", "supergroup"))


def _chat_of(message: _Message) -> str:
    return f"b{message.business_connection_id}/{message.chat.id}" if message.business_connection_id else str(message.chat.id)


def _key(message: _Message) -> str:
    chat = _chat_of(message)
    return f"{chat}/{message.message_thread_id}" if message.is_topic_message and message.message_thread_id else chat


def _person(message: _Message) -> Person:
    """Return whose conversation it is: in a group the group's."""
    chat, sender = message.chat, message.from_
    if chat.type != "private":
        return Person(str(chat.id), cut(chat.title), nickname=_nickname(chat.username))
    if message.business_connection_id or sender is None or sender.id != chat.id:
        # The customer is whose chat it is, whoever wrote.
        name = cut(f"{chat.first_name} {chat.last_name}")
        language = sender.language_code if sender is not None and sender.id == chat.id else ""
        return Person(str(chat.id), name, language=cut(language, 35), nickname=_nickname(chat.username), profile=str(chat.id))
    return Person(
        str(sender.id),
        cut(sender.name),
        language=cut(sender.language_code, 35),
        nickname=_nickname(sender.username),
        profile=str(sender.id),
    )


def _nickname(username: str) -> str:
    return cut(f"@{username}", NAME_MAX) if username else ""


def _said(message: _Message, settings: TelegramSettings, body: bytes) -> Incoming | None:
    chat, sender = message.chat, message.from_
    if not _served(chat, settings):
        return None
    if message.migrate_to_chat_id:
        return Incoming(str(chat.id), _person(message), Moved(str(message.migrate_to_chat_id)))
    if message.sender_business_bot is not None:
        return None  # what we said comes back
    if sender is not None and sender.is_bot and message.sender_chat is None:
        return None
    ref = f"{_chat_of(message)}:{message.message_id}"
    text, extra = _content(message, body)
    if not text and not extra:
        return None  # who joined, what was pinned: a note of the provider's own
    answers, extra = _answered(message, extra)
    if message.business_connection_id and (sender is None or sender.id != chat.id):
        return Incoming(_key(message), _person(message), AnsweredOutside(text, ref, extra, answers))
    person = _person(message)
    # In a group the conversation is the group's: one member's phone is not everybody's.
    if chat.type == "private" and extra.shared is not None and extra.shared.own and extra.shared.phone:
        person = msgspec.structs.replace(person, vouched_phones=(extra.shared.phone,))
    if chat.type != "private":
        writer = message.sender_chat.title if message.sender_chat is not None else sender.name if sender is not None else ""
        extra = msgspec.structs.replace(extra, author=cut(writer))
    source = None
    if chat.type == "private" and (text == "/start" or text.startswith("/start ")):
        source = Source(start=cut(text.removeprefix("/start").lstrip(), 64)) if text != "/start" else None
        if settings.start == "waits":
            return Incoming(_key(message), person, Told(), source)
    # Its name is its writer's own, too: by that the broker finds what an answer is to quote.
    said = Wrote(text, client_id=ref, ref=ref, extra=extra, answers=answers, album=message.media_group_id)
    return Incoming(_key(message), person, said, source)


def _edited(message: _Message, settings: TelegramSettings, body: bytes) -> Incoming | None:
    chat, sender = message.chat, message.from_
    if not _served(chat, settings) or message.sender_business_bot is not None:
        return None
    if message.business_connection_id and (sender is None or sender.id != chat.id):
        return None  # their own correction of what they wrote by hand: the customer's word is what counts here
    if sender is not None and sender.is_bot and message.sender_chat is None:
        return None
    text, extra = _content(message, body)
    if not text and not extra:
        return None
    return Incoming(_key(message), _person(message), Changed(f"{_chat_of(message)}:{message.message_id}", text, extra))


def _answered(message: _Message, extra: Extra) -> tuple[str, Extra]:
    replied = message.reply_to_message
    if replied is None or (message.is_topic_message and replied.message_id == message.message_thread_id):
        return "", extra  # a topic's messages all answer its first one
    part = message.quote.text if message.quote is not None else ""
    said = part or replied.words
    name = replied.from_.name if replied.from_ is not None else ""
    return f"{_chat_of(message)}:{replied.message_id}", msgspec.structs.replace(extra, quote=Quote(0, cut(said, 300), cut(name)))


def _content(message: _Message, body: bytes) -> tuple[str, Extra]:
    """Return the words and what is beside them."""
    words = message.text or message.caption
    text = storable(_with_links(words, message.entities if message.text else message.caption_entities))
    files = tuple(_files(message))
    place = None
    if message.venue is not None:
        where = message.venue.location
        place = Place(where.latitude, where.longitude, message.venue.title, message.venue.address)
    elif message.location is not None:
        place = Place(message.location.latitude, message.location.longitude)
    shared = None
    if message.contact is not None:
        given = message.contact
        own = message.from_ is not None and given.user_id == message.from_.id
        shared = SharedContact(f"{given.first_name} {given.last_name}".strip(), _with_plus(given.phone_number), own=own)
    what = ""
    if message.poll is not None:
        what, text = "poll", text or storable(message.poll.question)
    elif message.dice is not None:
        what, text = "dice", text or storable(f"{message.dice.emoji} {message.dice.value}")
    elif not text and not files and place is None and shared is None:
        what = _other(body)
    origin = message.forward_origin
    if not (files or origin or place or shared or what):
        return text, Extra()
    name = origin.name if origin is not None else ""
    return text, limited(Extra(files=files, forwarded_from=name, place=place, shared=shared, what=what))


def _other(body: bytes) -> str:
    """Return the provider's word for what the message is; empty: it is none of a customer's."""
    update = _decode_any(body)
    message = next((value for value in update.values() if isinstance(value, dict)), {})
    return next((word for word in _OTHER if word in message), "")


def _with_plus(phone: str) -> str:
    return phone if not phone or phone.startswith("+") else f"+{phone}"


def _files(message: _Message) -> list[Attachment]:
    if message.photo:
        largest = max(message.photo, key=lambda size: size.width * size.height)
        return [_file(FileKind.PHOTO, largest, "image/jpeg")]
    if message.animation is not None:
        return [_file(FileKind.ANIMATION, message.animation, "video/mp4")]
    if message.sticker is not None:
        kind = (
            "video/webm"
            if message.sticker.is_video
            else "application/x-tgsticker"
            if message.sticker.is_animated
            else "image/webp"
        )
        return [_file(FileKind.STICKER, message.sticker, kind, message.sticker.emoji)]
    if message.video_note is not None:
        note = message.video_note
        round_ = msgspec.structs.replace(note, width=note.length, height=note.length)
        return [_file(FileKind.VIDEO, round_, "video/mp4")]
    for kind, file, media_type in (
        (FileKind.VIDEO, message.video, "video/mp4"),
        (FileKind.VOICE, message.voice, "audio/ogg"),
        (FileKind.AUDIO, message.audio, "audio/mpeg"),
        (FileKind.DOCUMENT, message.document, "application/octet-stream"),
    ):
        if file is not None:
            song = " – ".join(filter(None, (file.performer, file.title)))
            return [_file(kind, file, media_type, song)]
    return []


def _file(kind: FileKind, file: _File, media_type: str, name: str = "") -> Attachment:
    large = file.file_size > DOWNLOAD_MAX
    return Attachment(
        kind,
        FileState.TOO_LARGE if large else FileState.AWAITED,
        cut(file.file_name or name),
        cut(file.mime_type or media_type, 100).lower(),
        file.file_size,
        file.duration,
        file.width,
        file.height,
        ref="" if large else file.file_id,
        origin=file.file_unique_id,
        problem="Telegram gives bots no more than 20 MB" if large else "",
    )


def _with_links(text: str, entities: list[_Entity]) -> str:
    """Return *text* with the addresses of links that hide behind words after these. Offsets are UTF-16 code units."""
    links = [one for one in entities if one.type == "text_link" and one.url]
    if not links:
        return text
    wide = text.encode("utf-16-le", "surrogatepass")
    for link in sorted(links, key=lambda one: one.offset, reverse=True):
        end = (link.offset + link.length) * 2
        if 0 <= end <= len(wide):
            wide = wide[:end] + f" ({link.url})".encode("utf-16-le", "surrogatepass") + wide[end:]
    return wide.decode("utf-16-le", "replace")


def _pressed(query: _CallbackQuery, settings: TelegramSettings) -> Incoming | None:
    message = query.message
    if message is None or not query.data or not _served(message.chat, settings):
        return None
    person = _person(message) if message.chat.type != "private" else _person(msgspec.structs.replace(message, from_=query.from_))
    return Incoming(_key(message), person, Pressed(cut(query.data)))


def _reacted(reaction: _Reaction, settings: TelegramSettings) -> Incoming | None:
    if not _served(reaction.chat, settings):
        return None
    signs = tuple(cut(one.emoji, 40) or "★" for one in reaction.new_reaction)
    key = str(reaction.chat.id)
    return Incoming(key, Person(key), Reacted(f"{key}:{reaction.message_id}", signs))


def _reached(change: _MemberChange, settings: TelegramSettings) -> Incoming | None:
    if not _served(change.chat, settings):
        return None
    key = str(change.chat.id)
    gone = change.new_chat_member.status in ("kicked", "left")
    why = ("blocked" if change.chat.type == "private" else "left") if gone else ""
    return Incoming(key, Person(key), Reach(why))


def _deleted(deleted: _DeletedMessages) -> Incoming | None:
    key = f"b{deleted.business_connection_id}/{deleted.chat.id}"
    if not deleted.message_ids:
        return None
    refs = tuple(f"{key}:{one}" for one in deleted.message_ids[:DELETED_MAX])
    return Incoming(key, Person(str(deleted.chat.id)), Deleted(refs))
