"""What there is in the fake of Telegram: bots, people, rooms with their messages, and files.

A private room belongs to one bot and one person, and its messages are numbered with all others of that bot; a supergroup numbers its
own, so the same number means another message in another chat. A room of a business connection is that of its owner and a customer.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

from tests.support.telegram_fake_delivery import Clock, Inbox, Limits, Refused
from tests.support.telegram_schema import Schema

Json = dict[str, Any]

FOLDERS = {
    "photo": "photos",
    "video": "videos",
    "voice": "voice",
    "audio": "music",
    "video_note": "video_notes",
    "animation": "animations",
    "sticker": "stickers",
    "document": "documents",
}
"""The kinds of files, and the folder that the path of one begins with."""
ENDINGS = {
    "photo": ".jpg",
    "video": ".mp4",
    "voice": ".oga",
    "audio": ".mp3",
    "video_note": ".mp4",
    "animation": ".mp4",
    "sticker": ".webp",
}
TYPES = {
    "video": "video/mp4",
    "voice": "audio/ogg",
    "audio": "audio/mpeg",
    "animation": "video/mp4",
    "document": "application/octet-stream",
}
LINK_SECONDS = 3600
"""How long a path from getFile is good."""
THUMBNAIL = 90
SUPERGROUP_FIRST, GROUP_FIRST = -1_001_600_000_001, -4_100_000_001
"""The first chat of the kind; each next one is below it."""


class Fault(Exception):
    """The fake did what the real one would not."""


class Unable(Exception):
    """The fake cannot do what the real one could."""


class Unknown(Exception):
    """A test speaks of what there is not."""


@dataclass
class StoredFile:
    """A file as one bot knows it."""

    id: str
    unique_id: str
    kind: str
    path: str
    place: Path
    sha256: str
    size: int
    name: str
    mime: str
    width: int = 0
    height: int = 0
    linked_at: float = 0.0

    def reference(self) -> Json:
        """Return what every object that speaks of a file has."""
        return {"file_id": self.id, "file_unique_id": self.unique_id, "file_size": self.size}


@dataclass
class Record:
    """A message with what the API does not tell of it."""

    message: Json
    bot: Bot | None
    """Who sent it; None: a person."""
    method: str = ""
    keyboard: Json | None = None
    reply: Json | None = None
    asked: Json = field(default_factory=dict)
    """The parameters of the call."""
    deleted: bool = False
    read: bool = False
    versions: list[Json] = field(default_factory=list)
    """What it was before it was edited."""
    reactions: dict[int, list[Json]] = field(default_factory=dict)
    """By who reacted."""


@dataclass
class Room:
    """A chat as its bots see it."""

    chat: Json
    bots: list[Bot]
    numbers: Iterator[int]
    messages: dict[int, Record] = field(default_factory=dict)
    topics: dict[int, str] = field(default_factory=dict)
    migrated_to: int | None = None
    connection: Connection | None = None

    @property
    def id(self) -> int:
        """What its messages bear as the chat's id."""
        return int(self.chat["id"])

    def there(self, number: int) -> Record | None:
        """Return the message of this number; None if there is none, or none any more."""
        record = self.messages.get(number)
        return None if record is None or record.deleted else record


@dataclass
class Connection:
    """A business account that a bot answers for."""

    id: str
    bot: Bot
    owner: Json
    rights: Json
    date: int
    enabled: bool = True
    rooms: dict[int, Room] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def shown(self) -> Json:
        """Return it as the API tells of it."""
        owner = self.owner["id"]
        told = {"id": self.id, "user": self.owner, "user_chat_id": owner, "date": self.date}
        return told | {"rights": self.rights, "is_enabled": self.enabled}


@dataclass
class Query:
    """A button that was pressed."""

    id: str
    user_id: int
    data: str
    date: float
    answer: Json | None = None


@dataclass
class Bot:
    """A bot, and what only it knows."""

    token: str
    user: Json
    inbox: Inbox
    rooms: dict[int, Room] = field(default_factory=dict)
    """Private ones by the person's id; a room is there once the person has started the bot."""
    blocked: set[int] = field(default_factory=set)
    kicked: set[int] = field(default_factory=set)
    connections: dict[str, Connection] = field(default_factory=dict)
    queries: dict[str, Query] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    actions: list[Json] = field(default_factory=list)
    commands: list[Json] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    """How often each method was called."""
    ended: Counter[str] = field(default_factory=Counter)
    """The same, of calls that were done or failed."""
    asked: list[tuple[str, Json]] = field(default_factory=list)
    revoked: bool = False

    @property
    def id(self) -> int:
        """Its id as a user."""
        return int(self.user["id"])


class World:
    """See the module. *session* posts to webhooks; files lie in *folder*."""

    def __init__(self, folder: Path, schema: Schema | None, session: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.schema = schema
        self.session = session
        self.clock = Clock()
        self.limits = Limits(self.clock)
        self.bots: dict[str, Bot] = {}
        self.people: dict[int, Json] = {}
        self.avatars: dict[int, list[bytes]] = {}
        self.groups: dict[int, Room] = {}
        self.violations: list[Json] = []
        self._changed = asyncio.Event()
        self._numbers = itertools.count(1)
        self._people_ids = itertools.count(5_000_000_001)  # more than 32 bits, as many have them
        self._bot_ids = itertools.count(7_000_001)
        self._supergroup_ids = itertools.count(SUPERGROUP_FIRST, -1)
        self._group_ids = itertools.count(GROUP_FIRST, -1)

    def change(self) -> None:
        """Have who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def until_change(self) -> None:
        """Return when something has changed."""
        await self._changed.wait()

    def date(self) -> int:
        """The time in seconds, as messages have it."""
        return int(self.clock.now())

    def number(self) -> int:
        """Return a number that has not been used."""
        return next(self._numbers)

    def complain(self, of: str, method: str, complaints: Iterable[str], bot: Bot | None = None) -> list[str]:
        """Record what was not as it should be, and return it."""
        found = list(complaints)
        told = {"of": of, "method": method, "bot": None if bot is None else bot.user["username"]}
        self.violations += [told | {"complaint": complaint} for complaint in found]
        if found:
            self.change()
        return found

    def add_bot(self, username: str, name: str, token: str | None) -> Bot:
        """Add a bot; its token begins with its id."""
        number = int(token.partition(":")[0]) if token else next(self._bot_ids)
        token = token or f"{number}:{hashlib.sha256(str(number).encode()).hexdigest()[:35]}"
        user = {"id": number, "is_bot": True, "first_name": name, "username": username}
        self.bots[token] = Bot(token, user, Inbox(self.clock))
        return self.bots[token]

    def add_person(self, described: Json, avatars: list[bytes]) -> Json:
        """Add a person, with pictures of theirs, the newest first."""
        person = {"id": next(self._people_ids), "is_bot": False} | described
        self.people[person["id"]] = person
        self.avatars[person["id"]] = avatars
        return person

    def add_group(self, kind: str, title: str, bots: list[Bot], *, forum: bool = False, username: str = "") -> Room:
        """Add a group or a supergroup with *bots* in it."""
        chat: Json = {"id": next(self._group_ids if kind == "group" else self._supergroup_ids), "type": kind, "title": title}
        if forum:
            chat["is_forum"] = True
        if username:
            chat["username"] = username
        room = self.groups[chat["id"]] = Room(chat, bots, itertools.count(1))
        return room

    def bot(self, token: str) -> Bot:
        """Raises Unknown."""
        if token not in self.bots:
            raise Unknown(f"there is no bot with the token {token}")
        return self.bots[token]

    def person(self, number: int) -> Json:
        """Raises Unknown."""
        if number not in self.people:
            raise Unknown(f"there is no person {number}")
        return self.people[number]

    def private_room(self, bot: Bot, person: Json) -> Room:
        """Return the room of the two; it is made if there is none."""
        if person["id"] not in bot.rooms:
            bot.rooms[person["id"]] = Room(private_chat(person), [bot], bot.numbers)
        return bot.rooms[person["id"]]

    def business_room(self, connection: Connection, customer: Json) -> Room:
        """Return the room of the account's owner and *customer*; it is made if there is none."""
        if customer["id"] not in connection.rooms:
            room = Room(private_chat(customer), [connection.bot], connection.numbers, connection=connection)
            connection.rooms[customer["id"]] = room
        return connection.rooms[customer["id"]]

    def emit(self, bot: Bot, kind: str, value: Json) -> Json:
        """Tell *bot* of something. Raises Fault if Telegram has no such thing to tell."""
        complaints = self.schema.of("Update", {"update_id": bot.inbox.next_id, kind: value}) if self.schema is not None else []
        if self.complain("update", kind, complaints, bot):
            raise Fault("; ".join(complaints))
        update = bot.inbox.give(kind, value)
        self.change()
        return update

    def post(self, room: Room, content: Json, sender: Json, bot: Bot | None = None) -> Record:
        """Put a message of *sender* into *room*; nobody is told of it yet."""
        number = next(room.numbers)
        message = {"message_id": number, "from": sender, "chat": room.chat, "date": self.date()} | content
        if room.connection is not None:
            message["business_connection_id"] = room.connection.id
        record = Record(message, bot)
        room.messages[number] = record
        self.change()
        return record

    def tell(self, room: Room, record: Record, *, edited: bool = False) -> None:
        """Tell the bots of *room* of a message that is not theirs."""
        kind = "message" if room.connection is None else "business_message"
        for bot in room.bots:
            if record.bot is not bot and room.id not in bot.kicked:
                self.emit(bot, f"edited_{kind}" if edited else kind, record.message)

    def store(self, bot: Bot, kind: str, content: bytes, name: str = "", mime: str = "", size: int | None = None) -> StoredFile:
        """Keep *content* as a file that *bot* knows; *size* where it is to pass for a larger one."""
        number = self.number()
        sha256 = hashlib.sha256(content).hexdigest()
        ending = Path(name).suffix or ENDINGS.get(kind, ".bin")
        place = self.folder / "files" / str(number)
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
        unique = base64.urlsafe_b64encode(hashlib.sha256(f"{kind} {sha256}".encode()).digest()[:12]).decode()
        secret = base64.urlsafe_b64encode(hashlib.sha256(f"{bot.token} {number}".encode()).digest()).decode().rstrip("=")
        width, height = picture_size(content)
        file = StoredFile(
            id=f"AgAD{secret}",
            unique_id=unique,
            kind=kind,
            path=f"{FOLDERS.get(kind, 'documents')}/file_{number}{ending}",
            place=place,
            sha256=sha256,
            size=len(content) if size is None else size,
            name=name,
            mime=mime or TYPES.get(kind, ""),
            width=width,
            height=height,
        )
        bot.files[file.id] = file
        return file

    def photo(self, bot: Bot, content: bytes, size: int | None = None) -> list[Json]:
        """Keep a picture, and return its sizes, the smallest first; the last is what was sent."""
        full = self.store(bot, "photo", content, size=size)
        small = self.store(bot, "photo", _thumbnail(content))
        return [picture(small, THUMBNAIL), picture(full, 1280)]

    def media(self, bot: Bot, file: StoredFile, described: Json) -> Json:
        """Return the object that a message has for *file*, which is no photo; *described* is what its sender said of it."""
        sized = {"width": file.width or 640, "height": file.height or 360, "duration": 3}
        made = file.reference()
        match file.kind:
            case "video" | "animation":
                made |= sized
            case "voice" | "audio":
                made |= {"duration": 3}
            case "video_note":
                made |= {"length": 240, "duration": 3}
            case "sticker":
                square = {"width": file.width or 512, "height": file.height or 512}
                made |= square | {"type": "regular", "is_animated": False, "is_video": False}
        if file.kind in {"video", "animation", "audio", "document"} and file.name:
            made["file_name"] = file.name
        if file.mime and file.kind not in {"video_note", "sticker"}:
            made["mime_type"] = file.mime
        return made | described

    def files_of(self, bot: Bot, message: Json) -> list[StoredFile]:
        """Return the files of a message, of a photo the largest size."""
        found = [message[kind] for kind in FOLDERS if kind in message and kind != "photo"]
        if "animation" in message:
            found = [message["animation"]]  # it is there as a document once more
        if "photo" in message:
            found.append(message["photo"][-1])
        return [bot.files[one["file_id"]] for one in found if one["file_id"] in bot.files]


def private_chat(person: Json) -> Json:
    """Return the chat with *person*."""
    names = {key: person[key] for key in ("username", "first_name", "last_name") if key in person}
    return {"id": person["id"], "type": "private"} | names


def picture(file: StoredFile, side: int) -> Json:
    """Return a PhotoSize; what is no picture passes for one of *side*."""
    return file.reference() | {"width": file.width or side, "height": file.height or side * 9 // 16}


def picture_size(content: bytes) -> tuple[int, int]:
    """Return width and height; zeros if it is no picture."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return 0, 0


def _thumbnail(content: bytes) -> bytes:
    try:
        with Image.open(io.BytesIO(content)) as image:
            small = image.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return content[:64] or b"\0"
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    made = io.BytesIO()
    small.save(made, "JPEG")
    return made.getvalue()


def known(bot: Bot, file_id: str) -> StoredFile:
    """Raises Refused."""
    if file_id not in bot.files:
        raise Refused(400, "Bad Request: invalid file_id")
    return bot.files[file_id]
