"""What there is in the fake: people, communities, their conversations, and the events that come of what people do.

Nothing here knows of HTTP. People act through the verbs of `Community` (`written`, `edited`, `pressed`, ...); a community acts through
its methods, which are in tests.support.vk_fake_methods and use the same words. Every event is held against the published schema.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.support.vk_fake_attachments import Attachment, Library
from tests.support.vk_fake_delivery import CALLBACK_SERVERS_MAX, CallbackServer, LongPoll
from tests.support.vk_schema import MESSAGE_EVENTS, Schema

Json = dict[str, Any]

API_VERSION = "5.199"
CHATS_BEGIN = 2_000_000_000
TEXT_MAX_CHARS = 4096
EDIT_SECONDS = 86_400
PERMISSIONS = {"stories": 1, "photos": 4, "app_widget": 64, "messages": 4096, "wall": 8192, "docs": 131_072, "manage": 262_144}
"""What a community's token may be allowed, each with its bit."""
SENTENCES = {5: "The token is not good", 6: "Too many calls", 9: "Too much of the same", 14: "A captcha is asked for"}
"""What errors say where the published ones are not at hand."""


class Refusal(Exception):
    """The API answers with an error."""

    def __init__(self, code: int, why: str = "", **more: object) -> None:
        """*why* is added to VK's sentence; *more* stands next to it in the error."""
        super().__init__(code, why)
        self.code, self.why, self.more = code, why, more


class Clock:
    """The fake's time: the real one until a test moves it."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0
        self._stopped_at: float | None = None

    def now(self) -> float:
        """Return seconds since 1970."""
        return (time.time() if self._stopped_at is None else self._stopped_at) + self._ahead_seconds

    def stop(self) -> None:
        """Stand still but for `advance`."""
        self._stopped_at, self._ahead_seconds = self.now(), 0.0

    def advance(self, seconds: float) -> None:
        """Go ahead."""
        self._ahead_seconds += seconds


@dataclass(slots=True)
class Person:
    """Somebody with a page. *more* are fields that users.get gives to who asks for them."""

    id: int
    first_name: str
    last_name: str
    more: Json = field(default_factory=dict)
    deactivated: str = ""

    def shown(self, fields: Iterable[str] = ()) -> Json:
        """As the API shows them, with those of *fields* that they have filled in."""
        if self.deactivated:
            return {"id": self.id, "first_name": self.first_name, "last_name": self.last_name, "deactivated": self.deactivated}
        shown: Json = {"id": self.id, "first_name": self.first_name, "last_name": self.last_name}
        shown |= {"can_access_closed": True, "is_closed": False}
        return shown | {name: self.more[name] for name in fields if name in self.more}


@dataclass(slots=True, eq=False)
class Message:
    """A message of either side."""

    id: int
    cmid: int
    peer_id: int
    from_id: int
    date: int
    text: str
    out: bool
    attachments: list[Attachment] = field(default_factory=list)
    geo: Json | None = None
    payload: str = ""
    keyboard: Json | None = None
    reply_to: Message | None = None
    forwarded: list[Message] = field(default_factory=list)
    random_id: int = 0
    update_time: int = 0
    deleted: str = ""
    """for_all, for_community; empty: it is there."""
    version: int = 0
    edits: list[Json] = field(default_factory=list)
    more: Json = field(default_factory=dict)
    """What the caller said besides, for tests to see."""

    def shown(self) -> Json:
        """As the API and events show it."""
        shown = self._common() | {"id": self.id, "out": int(self.out), "peer_id": self.peer_id, "version": self.version}
        shown |= {"random_id": self.random_id, "important": False, "is_hidden": False}
        shown["fwd_messages"] = [message.foreign() for message in self.forwarded]
        if self.reply_to is not None:
            shown["reply_message"] = self.reply_to.foreign()
        if self.keyboard is not None:
            shown["keyboard"] = self.keyboard
        if self.out:
            shown["admin_author_id"] = 0
        shown |= {name: self.more[name] for name in ("ref", "ref_source") if name in self.more}
        return shown

    def foreign(self) -> Json:
        """As it stands within another."""
        shown = self._common() | {"id": self.id, "peer_id": self.peer_id}
        if self.forwarded:
            shown["fwd_messages"] = [message.foreign() for message in self.forwarded]
        return shown

    def seen(self) -> Json:
        """As a test wants to see it."""
        return {
            "id": self.id,
            "cmid": self.cmid,
            "peer_id": self.peer_id,
            "from_id": self.from_id,
            "text": self.text,
            "attachments": [attachment.seen for attachment in self.attachments],
            "keyboard": self.keyboard,
            "random_id": self.random_id,
            "reply_to": self.reply_to.cmid if self.reply_to else None,
            "forwarded": [message.cmid for message in self.forwarded],
            "payload": self.payload,
            "geo": self.geo,
            "edits": self.edits,
            "deleted": self.deleted,
        } | self.more

    def _common(self) -> Json:
        common: Json = {"date": self.date, "from_id": self.from_id, "text": self.text, "conversation_message_id": self.cmid}
        common["attachments"] = [attachment.shown for attachment in self.attachments]
        if self.geo is not None:
            common["geo"] = self.geo
        if self.payload:
            common["payload"] = self.payload
        if self.update_time:
            common["update_time"] = self.update_time
        return common


@dataclass(slots=True)
class Conversation:
    """What was said between a community and a peer."""

    peer_id: int
    messages: list[Message] = field(default_factory=list)
    in_read: int = 0
    """Up to which message the community has read."""
    out_read: int = 0
    """Up to which message the peer has read."""
    answered: bool = True
    activities: list[str] = field(default_factory=list)
    marks_as_read: list[Json] = field(default_factory=list)

    @property
    def there(self) -> list[Message]:
        """The messages that the community can see."""
        return [message for message in self.messages if not message.deleted]

    @property
    def unread_count(self) -> int:
        """How many messages the community has not read."""
        return sum(not message.out and message.id > self.in_read for message in self.there)

    @property
    def unanswered(self) -> bool:
        """Whether the peer has the last word, and nobody said that it needs no answer."""
        return not self.answered and bool(self.there) and not self.there[-1].out

    def numbered(self, cmid: int) -> Message:
        """Return the message with this number in the conversation. Raises Refusal if it is not there."""
        for message in self.messages:
            if message.cmid == cmid and not message.deleted:
                return message
        raise Refusal(100, f"there is no message {cmid} in {self.peer_id}")

    def shown(self) -> Json:
        """As the API shows it."""
        last = self.there[-1]
        kind = "chat" if self.peer_id >= CHATS_BEGIN else "user"
        shown = {
            "peer": {"id": self.peer_id, "type": kind, "local_id": self.peer_id % CHATS_BEGIN},
            "sort_id": {"major_id": 0, "minor_id": last.id},
            "last_message_id": last.id,
            "last_conversation_message_id": last.cmid,
            "in_read": self.in_read,
            "out_read": self.out_read,
            "can_write": {"allowed": True},
            "is_marked_unread": False,
            "important": False,
            "version": last.id,
        }
        if self.unread_count:
            shown["unread_count"] = self.unread_count
        return shown | ({"unanswered": True} if self.unanswered else {})


class Community:
    """A community with one token, its conversations, and the ways in which it is told of events."""

    def __init__(self, world: World, group_id: int, name: str, token: str, permissions: Iterable[str]) -> None:
        self.world = world
        self.id = group_id
        self.name = name
        self.token = token
        self.permissions = set(permissions)
        self.text_max_chars = TEXT_MAX_CHARS
        self.photo = world.library.base + "/files/none"
        self.long_poll = LongPoll()
        self.confirmation = secrets.token_hex(4)
        self.servers: dict[int, CallbackServer] = {}
        self.conversations: dict[int, Conversation] = {}
        self.may_write_to: dict[int, bool] = {}
        """Who has allowed messages, by writing or otherwise, and who has denied them."""
        self.refusals: dict[int, int] = {}
        """Peers to whom nothing gets through, each with its error."""
        self.presses: dict[str, Json] = {}
        """Buttons that were pressed, by event_id, and what they were answered."""
        self.by_random_id: dict[tuple[int, int], Message] = {}
        self._last_event: tuple[str, Json] | None = None
        self._last_message_id = 0
        self._last_server_id = 0

    # --- what people do

    def written(self, person_id: int, peer_id: int, **said: Any) -> Message:
        """Have a person write, to the community itself or in the chat *peer_id*."""
        self.may_write_to[person_id] = True
        message = self.add(peer_id, person_id, out=False, **said)
        self.conversations[peer_id].answered = False
        self.emit("message_new", {"message": message.shown(), "client_info": _CLIENT})
        return message

    def edited(self, message: Message, text: str, attachments: list[Attachment] | None) -> None:
        """Have a person change what they wrote."""
        self.change(message, text, message.attachments if attachments is None else attachments)

    def pressed(self, person_id: int, peer_id: int, payload: object, cmid: int | None) -> str:
        """Have a person press a callback button; return the event's own id, by which it is answered."""
        event_id = secrets.token_hex(6)
        self.presses[event_id] = {"user_id": person_id, "peer_id": peer_id, "payload": payload, "answer": None}
        told = {"user_id": person_id, "peer_id": peer_id, "event_id": event_id, "payload": payload}
        self.emit("message_event", told | ({"conversation_message_id": cmid} if cmid else {}))
        return event_id

    def allowed(self, person_id: int, key: str) -> None:
        """Have a person allow messages."""
        self.may_write_to[person_id] = True
        self.emit("message_allow", {"user_id": person_id, "key": key})

    def denied(self, person_id: int) -> None:
        """Have a person deny messages."""
        self.may_write_to[person_id] = False
        self.emit("message_deny", {"user_id": person_id})

    def typed(self, person_id: int) -> None:
        """Have a person be writing."""
        self.emit("message_typing_state", {"state": "typing", "from_id": person_id, "to_id": -self.id})

    def read(self, person_id: int, cmid: int | None) -> None:
        """Have a person read up to *cmid*, or all there is."""
        conversation = self.conversation(person_id)
        last = conversation.there[-1] if cmid is None else conversation.numbered(cmid)
        conversation.out_read = last.id
        told = {"from_id": person_id, "peer_id": person_id, "read_message_id": last.id}
        self.emit("message_read", told | {"conversation_message_id": last.cmid})

    def reacted(self, person_id: int, peer_id: int, cmid: int, reaction_id: int | None) -> None:
        """Have a person react to a message, or take a reaction back."""
        told = {"reacted_id": person_id, "peer_id": peer_id, "cmid": cmid}
        self.emit("message_reaction_event", told | ({"reaction_id": reaction_id} if reaction_id else {}))

    # --- what both do

    def conversation(self, peer_id: int) -> Conversation:
        """Return the conversation with *peer_id*. Raises Refusal if there is none."""
        if peer_id not in self.conversations:
            raise Refusal(100, f"there is no conversation {peer_id}")
        return self.conversations[peer_id]

    def add(self, peer_id: int, from_id: int, *, out: bool, **said: Any) -> Message:
        """Add a message."""
        conversation = self.conversations.setdefault(peer_id, Conversation(peer_id))
        self._last_message_id += 1
        cmid = len(conversation.messages) + 1
        date = int(self.world.clock.now())
        message = Message(self._last_message_id, cmid, peer_id, from_id, date, said.pop("text", ""), out, **said)
        message.version = 10_000_000 + message.id
        conversation.messages.append(message)
        return message

    def change(self, message: Message, text: str, attachments: list[Attachment]) -> None:
        """Change a message, and tell of it."""
        was = {"text": message.text, "attachments": [attachment.seen for attachment in message.attachments]}
        message.edits.append(was | {"date": int(self.world.clock.now())})
        message.text, message.attachments = text, attachments
        message.update_time = int(self.world.clock.now())
        message.version += 10_000
        self.emit("message_edit", message.shown())

    def message(self, message_id: int) -> Message | None:
        """Return the message that the community knows by this number."""
        every = (message for conversation in self.conversations.values() for message in conversation.there)
        return next((message for message in every if message.id == message_id), None)

    # --- being told

    def emit(self, kind: str, told: Json) -> str:
        """Tell of an event whoever wants to hear of its kind; return its id."""
        event = {"type": kind, "object": told, "group_id": self.id, "v": API_VERSION, "event_id": secrets.token_hex(20)}
        if self.world.schema is not None:
            self.world.faults += self.world.schema.of_event(event)
        event = json.loads(json.dumps(event))  # what is told now does not change with the message
        self._last_event = kind, event
        self._give(kind, event)
        return str(event["event_id"])

    def repeat(self) -> None:
        """Tell of the last event once more, under its own id."""
        if self._last_event is not None:
            self._give(*self._last_event)

    def _give(self, kind: str, event: Json) -> None:
        if self.long_poll.enabled and kind in self.long_poll.on:
            self.long_poll.give(event)
        for server in self.servers.values():
            if kind in server.on:
                server.give(event)

    def emit_raw(self, event: Any) -> None:
        """Tell everybody of what may be no event at all."""
        if self.long_poll.enabled:
            self.long_poll.give(event)
        for server in self.servers.values():
            server.give(event)

    def add_server(self, url: str, title: str, secret: str) -> CallbackServer:
        """Add a server of the Callback API. Raises Refusal when there are too many."""
        if len(self.servers) >= CALLBACK_SERVERS_MAX:
            raise Refusal(2000)
        self._last_server_id += 1
        server = CallbackServer(self._last_server_id, self.id, self.confirmation)
        self.servers[server.id] = server
        server.configure(url, title, secret)
        return server

    # --- who can be written to

    def check_peer(self, peer_id: int) -> None:
        """Raise Refusal if nothing that the community sends can get to *peer_id*."""
        world = self.world
        if peer_id in self.refusals:
            raise Refusal(self.refusals[peer_id])
        if peer_id >= CHATS_BEGIN:
            if self.id not in world.chats.get(peer_id, {}).get("communities", ()):
                raise Refusal(917)
            return
        person = world.people.get(peer_id)
        if person is None:
            raise Refusal(100, f"peer_id {peer_id} is nobody")
        if person.deactivated:
            raise Refusal(18)
        if not self.may_write_to.get(peer_id):
            raise Refusal(901)

    def shown(self) -> Json:
        """As groups.getById shows it."""
        photos = {f"photo_{side}": self.photo for side in (50, 100, 200)}
        return {"id": self.id, "name": self.name, "screen_name": f"club{self.id}", "is_closed": 0, "type": "group"} | photos


class World:
    """Everything there is, for as long as a test runs."""

    def __init__(self, base: str, schema: Schema | None) -> None:
        self.base = base
        self.schema = schema
        self.clock = Clock()
        self.library = Library(base)
        self.people: dict[int, Person] = {}
        self.chats: dict[int, Json] = {}
        self.communities: dict[int, Community] = {}
        self.calls: list[Json] = []
        """The calls that came, and how they were answered."""
        self.rates: dict[str, list[float]] = {}
        """When each token was used within the last second."""
        self.violations: list[str] = []
        """What callers did that the schema does not know."""
        self.faults: list[str] = []
        """What the fake itself did wrong: never anything, or the fake is to be mended."""

    @property
    def event_names(self) -> list[str]:
        """What a community can be told of."""
        names = self.schema.event_names if self.schema is not None else []
        return sorted({*names, *MESSAGE_EVENTS})

    def community_of(self, token: str) -> Community | None:
        """Return the community whose token it is."""
        return next((community for community in self.communities.values() if community.token == token), None)

    def sentence(self, code: int) -> str:
        """Return what an error says."""
        published = self.schema.sentence(code) if self.schema is not None else ""
        return published or SENTENCES.get(code, f"Error {code}")

    def profiles(self, messages: Iterable[Message], fields: Iterable[str]) -> list[Json]:
        """Return the people who wrote *messages*, or to whom they were written."""
        numbers = {number for message in messages for number in (message.from_id, message.peer_id)}
        wanted = ["photo_50", "photo_100", "sex", "screen_name", *fields]
        return [self.people[number].shown(wanted) for number in sorted(numbers) if number in self.people]


_CLIENT = {
    "button_actions": ["text", "vkpay", "open_app", "location", "open_link", "callback"],
    "keyboard": True,
    "inline_keyboard": True,
    "carousel": True,
    "lang_id": 0,
}
