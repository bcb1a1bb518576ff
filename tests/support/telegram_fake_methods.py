"""The methods of the Bot API: what each takes, refuses and answers.

`METHODS` has them by their names in small letters, for Telegram does not mind how they are written. Sentences of refusals are Telegram's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.telegram_fake_delivery import UPDATES_MAX, Refused, Webhook
from tests.support.telegram_fake_text import MODES, CannotParse, read_text, units
from tests.support.telegram_fake_world import (
    FOLDERS,
    Bot,
    Record,
    Room,
    StoredFile,
    Unable,
    World,
    known,
    picture_size,
)

Json = dict[str, Any]
Method = Callable[["Call"], Awaitable[object]]

TEXT_MAX, CAPTION_MAX = 4096, 1024
BUTTON_DATA_MAX_BYTES = 64
DOWNLOAD_MAX_BYTES = 20 * 1024 * 1024
PHOTO_MAX_BYTES = 10 * 1024 * 1024
PHOTO_SIDES_MAX = 10_000
ALBUM = range(2, 11)
DELETED_AT_ONCE_MAX = 100
DELETABLE_SECONDS = 48 * 3600
ANSWERABLE_SECONDS = 60
"""Telegram does not say how long; a minute is seen to be too long."""
ANSWER_MAX = 200
ACTIONS = frozenset(
    "typing upload_photo record_video upload_video record_voice upload_voice upload_document choose_sticker find_location "
    "record_video_note upload_video_note".split()
)
INLINE_ACTIONS = frozenset(
    "url callback_data web_app login_url switch_inline_query switch_inline_query_current_chat switch_inline_query_chosen_chat "
    "copy_text callback_game pay".split()
)
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
_TRUE = frozenset({"true", "yes", "1"})
_UNMODIFIED = (
    "message is not modified: specified new message content and reply markup are exactly the same as a current content and reply "
    "markup of the message"
)


def bad(sentence: str) -> Refused:
    """Return the commonest refusal."""
    return Refused(400, f"Bad Request: {sentence}")


@dataclass(frozen=True)
class Upload:
    """A file that came with a call."""

    name: str
    mime: str
    content: bytes


@dataclass
class Call:
    """One call. Parameters are what JSON said, or text if they came in a form."""

    world: World
    bot: Bot
    method: str
    given: Mapping[str, object]
    files: Mapping[str, Upload] = field(default_factory=dict)
    description: str | None = None
    """What the answer says besides its result."""

    def text(self, name: str) -> str:
        """Return a parameter as text; empty if it was not given."""
        value = self.given.get(name)
        if value is None:
            return ""
        return value if isinstance(value, str) else json.dumps(value)

    def number(self, name: str, default: int = 0) -> int:
        """Return a whole number; what is none counts as not given, as there."""
        text = self.text(name)
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else default

    def decimal(self, name: str) -> float:
        """Return a number; zero if it is none."""
        try:
            return float(self.text(name))
        except ValueError:
            return 0.0

    def flag(self, name: str) -> bool:
        """Return whether something was asked for."""
        return self.text(name).lower() in _TRUE

    def json(self, name: str, kind: type, what: str) -> Any:
        """Return a parameter that is JSON, None if it was not given; *what* is how its refusal calls it."""
        value = self.given.get(name)
        if isinstance(value, str):
            if not value:
                return None
            try:
                value = json.loads(value)
            except ValueError:
                raise bad(f"can't parse {what} JSON object") from None
        if value is not None and not isinstance(value, kind):
            raise bad(f"can't parse {what} JSON object")
        return value

    def room(self, name: str = "chat_id", *, writing: bool = True) -> Room:
        """Return the chat that is spoken of. Raises Refused; with *writing* also if the bot may not write there."""
        chat = self.text(name)
        if not chat:
            raise bad("chat_id is empty")
        if connection_id := self.text("business_connection_id"):
            return self._business_room(connection_id, chat)
        if chat.startswith("@"):
            rooms = [one for one in self.world.groups.values() if one.chat.get("username", "").lower() == chat[1:].lower()]
            room = rooms[0] if rooms else None
        else:
            room = self._room(self.number(name))
        if room is None or self.bot not in room.bots:
            raise bad("chat not found")
        if room.migrated_to is not None:
            sentence = "Bad Request: group chat was upgraded to a supergroup chat"
            raise Refused(400, sentence, migrate_to_chat_id=room.migrated_to)
        if writing and room.id in self.bot.blocked:
            raise Refused(403, "Forbidden: bot was blocked by the user")
        if room.id in self.bot.kicked:
            raise Refused(403, f"Forbidden: bot was kicked from the {room.chat['type']} chat")
        return room

    def _room(self, chat: int) -> Room | None:
        if chat in self.bot.rooms:
            return self.bot.rooms[chat]
        if chat in self.world.people or any(chat == bot.id for bot in self.world.bots.values()):
            raise Refused(403, "Forbidden: bot can't initiate conversation with a user")
        return self.world.groups.get(chat)

    def _business_room(self, connection_id: str, chat: str) -> Room:
        connection = self.bot.connections.get(connection_id)
        if connection is None or not connection.enabled:
            raise bad("business connection not found")
        if not (chat.lstrip("-").isdigit() and int(chat) in connection.rooms):
            raise bad("BUSINESS_PEER_INVALID")
        if not connection.rights.get("can_reply"):
            raise bad("not enough rights to send messages on behalf of the business account")
        return connection.rooms[int(chat)]

    def words(self, name: str, most: int, entities: str = "entities") -> tuple[str, list[Json]]:
        """Return a text with its entities. Raises Refused if it is longer than *most* UTF-16 units."""
        source, mode = self.text(name), self.text("parse_mode")
        return read_words(
            source, mode, self.json(entities, list, "entities"), most, "message" if name == "text" else "message caption"
        )


def read_words(source: str, mode: str, entities: list[Json] | None, most: int, what: str) -> tuple[str, list[Json]]:
    """Return *source* as it is shown. Raises Refused."""
    if mode.lower() not in MODES:
        raise Unable(f"texts in {mode} are not parsed here")
    try:
        text, found = read_text(source, mode, entities)
    except CannotParse as error:
        raise bad(f"can't parse entities: {error}") from None
    if units(text) > most:
        raise bad(f"{what} is too long")
    return text, found


async def get_me(call: Call) -> object:
    """Return who the bot is."""
    can = {"can_join_groups": True, "can_read_all_group_messages": True, "supports_inline_queries": False}
    return call.bot.user | can | {"can_connect_to_business": True, "has_main_web_app": False}


async def get_updates(call: Call) -> object:
    """Return what is not confirmed, now or when it comes."""
    limit = min(max(call.number("limit", UPDATES_MAX), 1), UPDATES_MAX)
    allowed = call.json("allowed_updates", list, "allowed updates")
    return await call.bot.inbox.poll(call.number("offset"), limit, call.number("timeout"), allowed)


async def set_webhook(call: Call) -> object:
    """Have updates posted. Telegram wants HTTPS; here plain HTTP will do, as with a Bot API server of one's own."""
    inbox, url, secret = call.bot.inbox, call.text("url"), call.text("secret_token")
    if not url:
        return await delete_webhook(call)
    if not re.match(r"https?://[^/\s]+", url):
        raise bad("bad webhook: An HTTPS URL must be provided for webhook")
    if secret and not _SECRET.fullmatch(secret):
        raise bad("secret token contains unallowed characters")
    allowed = call.json("allowed_updates", list, "allowed updates")
    most = min(max(call.number("max_connections", 40), 1), 100)
    webhook = Webhook(url, secret, most, own_certificate="certificate" in call.files)
    if call.flag("drop_pending_updates"):
        inbox.drop()
    call.description = "Webhook was set" if inbox.webhook is None or inbox.webhook.url != url else "Webhook is already set"
    inbox.set_webhook(webhook, allowed, call.world.session)
    return True


async def delete_webhook(call: Call) -> object:
    """Have updates wait for the bot to ask."""
    inbox = call.bot.inbox
    if call.flag("drop_pending_updates"):
        inbox.drop()
    call.description = "Webhook is already deleted" if inbox.webhook is None else "Webhook was deleted"
    inbox.set_webhook(None, None, call.world.session)
    return True


async def get_webhook_info(call: Call) -> object:
    """Return where updates are posted and what went wrong with it."""
    inbox = call.bot.inbox
    webhook = inbox.webhook
    told: Json = {"url": "", "has_custom_certificate": False, "pending_update_count": len(inbox.pending)}
    if webhook is not None:
        told |= {
            "url": webhook.url,
            "has_custom_certificate": webhook.own_certificate,
            "max_connections": webhook.max_connections,
        }
        if webhook.last_error is not None:
            told["last_error_date"], told["last_error_message"] = webhook.last_error
    if inbox.allowed is not None:
        told["allowed_updates"] = inbox.allowed
    return told


async def send_message(call: Call) -> object:
    """Send text."""
    text, entities = call.words("text", TEXT_MAX)
    if not text:
        raise bad("message text is empty")
    return _send(call, _words("text", text, entities))


def _sends(kind: str) -> Method:
    async def send(call: Call) -> object:
        caption, entities = (
            ("", []) if kind in {"sticker", "video_note"} else call.words("caption", CAPTION_MAX, "caption_entities")
        )
        content = _media(call, kind, call.given.get(kind), call.files.get(kind))
        for asked, shown in (("show_caption_above_media", "show_caption_above_media"), ("has_spoiler", "has_media_spoiler")):
            if call.flag(asked):
                content[shown] = True
        return _send(call, content | _words("caption", caption, entities))

    return send


async def send_media_group(call: Call) -> object:
    """Send an album: several messages that bear one media_group_id."""
    items = call.json("media", list, "media")
    if items is None or len(items) not in ALBUM:
        raise bad("group send failed" if items else "there are no messages to send")
    kinds = {str(item.get("type")) for item in items}
    if not (kinds <= {"photo", "video"} or kinds in ({"audio"}, {"document"})):
        raise bad("Can't use the media of the specified type in the album")
    contents = []
    for item in items:
        attached = str(item.get("media", "")).removeprefix("attach://")
        upload = call.files.get(attached) if str(item.get("media", "")).startswith("attach://") else None
        words = read_words(
            str(item.get("caption", "")),
            str(item.get("parse_mode", "")),
            item.get("caption_entities"),
            CAPTION_MAX,
            "message caption",
        )
        contents.append(_media(call, str(item["type"]), item.get("media"), upload) | _words("caption", *words))
    group = {"media_group_id": str(13_000_000_000_000_000 + call.world.number())}
    sending = _Sending.of(call, len(contents))
    return [sending.post(content | group).message for content in contents]


async def send_location(call: Call) -> object:
    """Send a place on the map."""
    if not call.text("latitude") or not call.text("longitude"):
        raise bad("latitude is empty" if not call.text("latitude") else "longitude is empty")
    return _send(call, {"location": {"latitude": call.decimal("latitude"), "longitude": call.decimal("longitude")}})


async def send_venue(call: Call) -> object:
    """Send a place that has a name and an address."""
    place = {"latitude": call.decimal("latitude"), "longitude": call.decimal("longitude")}
    return _send(
        call, {"venue": {"location": place, "title": call.text("title"), "address": call.text("address")}, "location": place}
    )


async def send_contact(call: Call) -> object:
    """Send somebody's number."""
    if not call.text("phone_number"):
        raise bad("phone number is empty")
    if not call.text("first_name"):
        raise bad("first name is empty")
    names = ("phone_number", "first_name", "last_name", "vcard")
    return _send(call, {"contact": {name: call.text(name) for name in names if call.text(name)}})


async def send_chat_action(call: Call) -> object:
    """Show that the bot is busy."""
    room = call.room()
    if call.text("action") not in ACTIONS:
        raise bad("wrong parameter action in request")
    thread = _thread(call, room)
    call.bot.actions.append({"chat_id": room.id, "action": call.text("action"), "date": call.world.date()} | thread)
    return True


async def edit_message_text(call: Call) -> object:
    """Say it otherwise."""
    text, entities = call.words("text", TEXT_MAX)
    if not text:
        raise bad("message text is empty")
    record = _own(call)
    if "text" not in record.message:
        raise bad("there is no text in the message to edit")
    return _edit(call, record, {"text": text, "entities": entities})


async def edit_message_caption(call: Call) -> object:
    """Say otherwise what stands under the file."""
    caption, entities = call.words("caption", CAPTION_MAX, "caption_entities")
    record = _own(call)
    if not any(kind in record.message for kind in FOLDERS):
        raise bad("there is no caption in the message to edit")
    return _edit(call, record, {"caption": caption, "caption_entities": entities})


async def edit_message_reply_markup(call: Call) -> object:
    """Put other buttons there, or none."""
    return _edit(call, _own(call), {})


async def delete_message(call: Call) -> object:
    """Take a message away."""
    room = call.room(writing=False)
    record = room.there(call.number("message_id"))
    if record is None:
        raise bad("message to delete not found")
    if not _deletable(call, room, record):
        raise bad("message can't be deleted")
    record.deleted = True
    call.world.change()
    return True


async def delete_messages(call: Call) -> object:
    """Take several away; those that cannot be found are passed over."""
    room = call.room(writing=False)
    numbers = call.json("message_ids", list, "message identifiers")
    if not numbers:
        raise bad("message identifiers are not specified")
    if len(numbers) > DELETED_AT_ONCE_MAX:
        raise bad("too many message identifiers specified")
    for number in numbers:
        record = room.there(int(number))
        if record is not None and _deletable(call, room, record):
            record.deleted = True
    call.world.change()
    return True


async def answer_callback_query(call: Call) -> object:
    """Let the button rest."""
    query = call.bot.queries.get(call.text("callback_query_id"))
    if query is None or query.answer is not None or query.date < call.world.clock.now() - ANSWERABLE_SECONDS:
        raise bad("query is too old and response timeout expired or query ID is invalid")
    if units(call.text("text")) > ANSWER_MAX:
        raise bad("MESSAGE_TOO_LONG")
    query.answer = {"text": call.text("text"), "show_alert": call.flag("show_alert"), "url": call.text("url")}
    call.world.change()
    return True


async def set_message_reaction(call: Call) -> object:
    """React, or react no more."""
    room = call.room()
    record = room.there(call.number("message_id"))
    if record is None:
        raise bad("message to react not found")
    reactions = call.json("reaction", list, "reaction types") or []
    if len(reactions) > 1:
        raise bad("REACTIONS_TOO_MANY")
    known_emojis = call.world.schema.reactions if call.world.schema is not None else None
    if any(known_emojis is not None and one.get("type") == "emoji" and one.get("emoji") not in known_emojis for one in reactions):
        raise bad("REACTION_INVALID")
    record.reactions[call.bot.id] = reactions
    call.world.change()
    return True


async def get_file(call: Call) -> object:
    """Return where a file can be had."""
    file = known(call.bot, call.text("file_id"))
    if file.size > DOWNLOAD_MAX_BYTES:
        raise bad("file is too big")
    file.linked_at = call.world.clock.now()
    return file.reference() | {"file_path": file.path}


async def get_user_profile_photos(call: Call) -> object:
    """Return the pictures of a person, the newest first."""
    number = call.number("user_id")
    if number not in call.world.people:
        raise bad("user not found")
    first, most = call.number("offset"), min(max(call.number("limit", 100), 1), 100)
    pictures = call.world.avatars[number]
    shown = [call.world.photo(call.bot, picture) for picture in pictures[first : first + most]]
    return {"total_count": len(pictures), "photos": shown}


async def get_chat(call: Call) -> object:
    """Return what is known of a chat."""
    room = call.room(writing=False)
    gifts = {"unlimited_gifts": True, "limited_gifts": True, "unique_gifts": True, "premium_subscription": True}
    told: Json = room.chat | {"accent_color_id": room.id % 7, "max_reaction_count": 11}
    told["accepted_gift_types"] = gifts | {"gifts_from_channels": True}
    if username := room.chat.get("username"):
        told["active_usernames"] = [username]
    if pictures := call.world.avatars.get(room.id):
        small, big = call.world.photo(call.bot, pictures[0])
        told["photo"] = {
            "small_file_id": small["file_id"],
            "small_file_unique_id": small["file_unique_id"],
            "big_file_id": big["file_id"],
            "big_file_unique_id": big["file_unique_id"],
        }
    return told


async def forward_message(call: Call) -> object:
    """Show in one chat what was said in another, and by whom."""
    record = _other(call, "message to forward not found")
    message = record.message
    origin = message.get("forward_origin") or {"type": "user", "sender_user": message["from"], "date": message["date"]}
    return _send(call, _content(message) | {"forward_origin": origin})


async def copy_message(call: Call) -> object:
    """Say in one chat what was said in another."""
    record = _other(call, "message to copy not found")
    content = _content(record.message)
    if call.text("caption"):
        words = call.words("caption", CAPTION_MAX, "caption_entities")
        content = {key: value for key, value in content.items() if not key.startswith("caption")} | _words("caption", *words)
    return {"message_id": _send(call, content)["message_id"]}


async def read_business_message(call: Call) -> object:
    """Mark what a customer wrote as read."""
    connection = call.bot.connections.get(call.text("business_connection_id"))
    if connection is None or not connection.enabled:
        raise bad("business connection not found")
    if not connection.rights.get("can_read_messages"):
        raise bad("not enough rights to read messages on behalf of the business account")
    room = connection.rooms.get(call.number("chat_id"))
    record = room.there(call.number("message_id")) if room is not None else None
    if room is None:
        raise bad("chat not found")
    if record is None:
        raise bad("message not found")
    record.read = True
    call.world.change()
    return True


async def get_business_connection(call: Call) -> object:
    """Return a connection with its rights."""
    connection = call.bot.connections.get(call.text("business_connection_id"))
    if connection is None:
        raise bad("business connection not found")
    return connection.shown()


async def set_my_commands(call: Call) -> object:
    """Keep the list of commands."""
    commands = call.json("commands", list, "commands") or []
    if any(not re.fullmatch(r"/?[a-z0-9_]{1,32}", str(one.get("command"))) for one in commands):
        raise bad("BOT_COMMAND_INVALID")
    call.bot.commands = commands
    return True


METHODS: dict[str, Method] = {
    "getme": get_me,
    "getupdates": get_updates,
    "setwebhook": set_webhook,
    "deletewebhook": delete_webhook,
    "getwebhookinfo": get_webhook_info,
    "sendmessage": send_message,
    **{f"send{kind.replace('_', '')}": _sends(kind) for kind in FOLDERS},
    "sendmediagroup": send_media_group,
    "sendlocation": send_location,
    "sendvenue": send_venue,
    "sendcontact": send_contact,
    "sendchataction": send_chat_action,
    "editmessagetext": edit_message_text,
    "editmessagecaption": edit_message_caption,
    "editmessagereplymarkup": edit_message_reply_markup,
    "deletemessage": delete_message,
    "deletemessages": delete_messages,
    "answercallbackquery": answer_callback_query,
    "setmessagereaction": set_message_reaction,
    "getfile": get_file,
    "getuserprofilephotos": get_user_profile_photos,
    "getchat": get_chat,
    "forwardmessage": forward_message,
    "copymessage": copy_message,
    "readbusinessmessage": read_business_message,
    "getbusinessconnection": get_business_connection,
    "setmycommands": set_my_commands,
}


@dataclass(frozen=True)
class _Sending:
    """Where and how something is sent; everything has been asked that could be refused."""

    call: Call
    room: Room
    common: Json
    reply: Json | None
    markup: Json | None

    @classmethod
    def of(cls, call: Call, count: int = 1) -> _Sending:
        """Raises Refused."""
        markup = _markup(call)
        room = call.room()
        reply, common = _reply(call, room)
        common |= _thread(call, room)
        if markup is not None and "inline_keyboard" in markup:
            common["reply_markup"] = markup
        if call.flag("protect_content"):
            common["has_protected_content"] = True
        call.world.limits.take(call.bot.id, room.id, count)
        return cls(call, room, common, reply, markup)

    def post(self, content: Json) -> Record:
        connection = self.room.connection
        sender = self.call.bot.user if connection is None else connection.owner
        behind = {} if connection is None else {"sender_business_bot": self.call.bot.user}
        record = self.call.world.post(self.room, content | self.common | behind, sender, self.call.bot)
        record.method = self.call.method
        record.keyboard = self.markup
        record.reply = self.reply
        record.asked = dict(self.call.given)
        return record


def _send(call: Call, content: Json) -> Json:
    return _Sending.of(call).post(content).message


def _words(name: str, text: str, entities: list[Json]) -> Json:
    if not text:
        return {}
    return {name: text} | ({"entities" if name == "text" else "caption_entities": entities} if entities else {})


def _content(message: Json) -> Json:
    names = {"text", "entities", "caption", "caption_entities", "contact", "location", "venue", *FOLDERS}
    return {name: value for name, value in message.items() if name in names}


def _media(call: Call, kind: str, given: object, upload: Upload | None) -> Json:
    """Return what a message of this *kind* has. Raises Refused."""
    if upload is None and isinstance(given, str) and given.startswith("attach://"):
        upload = call.files.get(given.removeprefix("attach://"))
    if upload is None and not given:
        raise bad(f"there is no {kind.replace('_', ' ')} in the request")
    if upload is None and re.match(r"https?://", str(given)):
        raise Unable("files by their addresses are not fetched here")
    if upload is not None and not upload.content:
        raise bad("file must be non-empty")
    if kind == "photo":
        return _photo(call, str(given), upload)
    file = _again(call, kind, str(given)) if upload is None else _stored(call, kind, upload)
    names = {"duration": int, "width": int, "height": int, "length": int, "performer": str, "title": str, "emoji": str}
    fitting = {
        "video": {"duration", "width", "height"},
        "animation": {"duration", "width", "height"},
        "voice": {"duration"},
        "audio": {"duration", "performer", "title"},
        "video_note": {"duration", "length"},
        "sticker": {"emoji"},
    }.get(kind, set())
    described = {name: names[name](call.text(name)) for name in fitting if call.text(name)}
    made = {kind: call.world.media(call.bot, file, described)}
    if kind == "animation":
        made["document"] = {key: value for key, value in made[kind].items() if key not in {"width", "height", "duration"}}
    return made


def _photo(call: Call, given: str, upload: Upload | None) -> Json:
    if upload is None:
        file = _again(call, "photo", given)
        return {"photo": call.world.photo(call.bot, file.place.read_bytes(), file.size)}
    if len(upload.content) > PHOTO_MAX_BYTES:
        raise bad(f"file of size {len(upload.content)} bytes is too big for a photo; the maximum size is {PHOTO_MAX_BYTES} bytes")
    width, height = picture_size(upload.content)
    if not width:
        raise bad("IMAGE_PROCESS_FAILED")
    if width + height > PHOTO_SIDES_MAX or max(width, height) > 20 * min(width, height):
        raise bad("PHOTO_INVALID_DIMENSIONS")
    return {"photo": call.world.photo(call.bot, upload.content)}


def _stored(call: Call, kind: str, upload: Upload) -> StoredFile:
    return call.world.store(call.bot, kind, upload.content, upload.name, upload.mime)


def _again(call: Call, kind: str, file_id: str) -> StoredFile:
    file = call.bot.files.get(file_id)
    if file is None:
        raise bad("wrong file identifier/HTTP URL specified")
    if file.kind != kind:
        raise bad(f"can't use file of type {file.kind.title()} as {kind.title()}")
    return file


def _thread(call: Call, room: Room) -> Json:
    number = call.number("message_thread_id")
    if not number:
        return {}
    if number not in room.topics:
        raise bad("message thread not found")
    return {"message_thread_id": number, "is_topic_message": True}


def _reply(call: Call, room: Room) -> tuple[Json | None, Json]:
    """Return the parameters of a reply, and what the message has because of them. Raises Refused."""
    asked = call.json("reply_parameters", dict, "reply parameters")
    if not asked or not asked.get("message_id"):
        return asked, {}
    if str(asked.get("chat_id", room.id)) != str(room.id):
        raise Unable("replies to messages of other chats are not known here")
    record = room.there(int(asked["message_id"]))
    if record is None:
        if asked.get("allow_sending_without_reply"):
            return asked, {}
        raise bad("message to be replied not found")
    made: Json = {"reply_to_message": bare(record.message)}
    if quote := asked.get("quote"):
        quoted, entities = read_words(
            quote, str(asked.get("quote_parse_mode", "")), asked.get("quote_entities"), CAPTION_MAX, "quote"
        )
        made["quote"] = quotation(record.message, quoted)
        if entities:
            made["quote"]["entities"] = entities
    return asked, made


def bare(message: Json) -> Json:
    """Return *message* as it stands in a reply to it: without what it replies to itself."""
    return {name: value for name, value in message.items() if name not in {"reply_to_message", "quote"}}


def quotation(message: Json, quoted: str) -> Json:
    """Return the quote of a reply. Raises Refused if *message* does not have it."""
    text = message.get("text") or message.get("caption") or ""
    place = text.find(quoted)
    if place < 0:
        raise bad("QUOTE_TEXT_INVALID")
    return {"text": quoted, "position": units(text[:place]), "is_manual": True}


def _markup(call: Call) -> Json | None:
    """Return the keyboard. Raises Refused."""
    markup: Json | None = call.json("reply_markup", dict, "reply keyboard markup")
    for row in (markup or {}).get("inline_keyboard", []):
        if not isinstance(row, list) or not all(isinstance(button, dict) for button in row):
            raise bad("can't parse reply keyboard markup JSON object")
        for button in row:
            if not button.get("text"):
                raise bad("can't parse inline keyboard button: Text buttons must have non-empty text")
            if not INLINE_ACTIONS & button.keys():
                raise bad("can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
            if len(str(button.get("callback_data", "")).encode()) > BUTTON_DATA_MAX_BYTES or button.get("callback_data") == "":
                raise bad("BUTTON_DATA_INVALID")
            if "url" in button and not re.match(r"(https?|tg)://\S+$", button["url"]):
                raise bad(f"inline keyboard button URL '{button['url']}' is invalid: Wrong HTTP URL")
    for row in (markup or {}).get("keyboard", []):
        if any(isinstance(button, dict) and not button.get("text") for button in row):
            raise bad("can't parse keyboard button: Text buttons must have non-empty text")
    return markup


def _own(call: Call) -> Record:
    """Return the message that is to be edited. Raises Refused."""
    if call.text("inline_message_id"):
        raise Unable("messages by inline queries are not known here")
    room = call.room()
    record = room.there(call.number("message_id"))
    if record is None:
        raise bad("message to edit not found")
    if record.bot is not call.bot or "forward_origin" in record.message:
        raise bad("message can't be edited")
    return record


def _edit(call: Call, record: Record, changes: Json) -> Json:
    markup = _markup(call)
    if markup is not None and "inline_keyboard" not in markup:
        raise bad("inline keyboard expected")
    if markup is not None and not markup["inline_keyboard"]:
        markup = None
    new = dict(record.message)
    for name, value in (changes | {"reply_markup": markup}).items():
        if value:
            new[name] = value
        else:
            new.pop(name, None)
    if new == record.message:
        raise bad(_UNMODIFIED)
    record.versions.append(record.message)
    record.message = new | {"edit_date": call.world.date()}
    record.keyboard = markup
    call.world.change()
    return record.message


def _deletable(call: Call, room: Room, record: Record) -> bool:
    if record.message["date"] < call.world.clock.now() - DELETABLE_SECONDS:
        return False
    return record.bot is call.bot or room.chat["type"] == "private"


def _other(call: Call, sentence: str) -> Record:
    record = call.room("from_chat_id", writing=False).there(call.number("message_id"))
    if record is None or not _content(record.message):
        raise bad(sentence)
    return record
