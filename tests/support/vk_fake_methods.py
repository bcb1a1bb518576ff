"""The methods of VK's API that a community calls, on the fake's world.

`call` is one call from its parameters to its answer, in the order in which VK refuses: version, token, rate, method, permission, then
what the method itself finds wrong. What is refused and why is decided here alone; the published schema only watches.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from tests.support import vk_fake_keyboard
from tests.support.vk_fake_attachments import Attachment, NotAFile
from tests.support.vk_fake_world import (
    API_VERSION,
    CHATS_BEGIN,
    EDIT_SECONDS,
    PERMISSIONS,
    Community,
    Conversation,
    Message,
    Refusal,
    World,
)

Json = dict[str, Any]

CALLS_A_SECOND = 20
INT32 = 1 << 31
ATTACHMENTS_MAX = 10
PEERS_MAX = 100
TITLE_MAX_CHARS = 14
SNACKBAR_MAX_CHARS = 90
ACTIVITIES = ("typing", "audiomessage", "file", "photo", "video")
FILTERS = ("all", "archive", "important", "sorted_chats", "unanswered", "unread")
ATTACHMENT = re.compile(r"(photo|video|audio|doc|wall|market|poll|audio_message|graffiti)(-?\d+)_(\d+)(?:_(\w+))?")


class Parameters:
    """What a call came with. Every reader raises Refusal(100) for what it cannot read."""

    def __init__(self, sent: dict[str, str]) -> None:
        self.sent = sent

    def has(self, name: str) -> bool:
        """Return whether something was sent."""
        return self.sent.get(name, "") != ""

    def text(self, name: str) -> str:
        """Return text; empty if there is none."""
        return self.sent.get(name, "")

    def needed(self, name: str) -> str:
        """Return text that must be there."""
        if not self.has(name):
            raise Refusal(100, f"{name} is undefined")
        return self.sent[name]

    def integer(self, name: str, default: int = 0, *, least: int = -(1 << 63), most: int = 1 << 63) -> int:
        """Return a number."""
        if not self.has(name):
            return default
        sent = self.sent[name]
        if not re.fullmatch(r"[+-]?\d+", sent) or not least <= int(sent) <= most:
            raise Refusal(100, f"{name} is not an integer that fits")
        return int(sent)

    def number(self, name: str, *, least: int = -(1 << 63)) -> int:
        """Return a number that must be there."""
        self.needed(name)
        return self.integer(name, least=least)

    def integers(self, name: str, most: int = 1000, *, least: int = 0) -> list[int]:
        """Return at most *most* numbers, none of them below *least*."""
        parts = [part.strip() for part in self.text(name).split(",") if part.strip()]
        if len(parts) > most or any(not re.fullmatch(r"[+-]?\d+", part) or int(part) < least for part in parts):
            raise Refusal(100, f"{name} is not a list of at most {most} integers that fit")
        return [int(part) for part in parts]

    def words(self, name: str) -> list[str]:
        """Return words."""
        return [part.strip() for part in self.text(name).split(",") if part.strip()]

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return yes or no."""
        return self.text(name) in {"1", "true"} if self.has(name) else default

    def choice(self, name: str, among: Collection[str], default: str) -> str:
        """Return one of *among*."""
        chosen = self.text(name) or default
        if chosen not in among:
            raise Refusal(100, f"{name} is none of {', '.join(among)}")
        return chosen


Body = Callable[[World, Community, Parameters], Any]


@dataclass(frozen=True, slots=True)
class Method:
    """*needs*: the permission without which a token cannot call it; empty: every token can."""

    needs: str
    body: Body


METHODS: dict[str, Method] = {}


def call(world: World, name: str, sent: dict[str, str], fault: Callable[[Community | None], Refusal | None]) -> Json:
    """Return the answer to one call. *fault* says what a test wants to go wrong with the call of a community."""
    try:
        if not re.fullmatch(r"\d+\.\d+", sent.get("v", "")):
            raise Refusal(8, "v is required")
        community = world.community_of(sent.get("access_token", ""))
        if forced := fault(community):
            raise forced
        if community is None:
            raise Refusal(5, "invalid access_token")
        _count(world, community.token)
        method = METHODS.get(name)
        if method is None:
            raise Refusal(3)
        _watch(world, name, sent)
        if method.needs and method.needs not in community.permissions:
            raise Refusal(15, "the token does not have the rights for this method")
        answer = {"response": method.body(world, community, Parameters(sent))}
        wrong = world.schema.of_answer(name, sent, answer) if world.schema is not None else []
        if wrong:
            world.faults += wrong
            raise Refusal(10, wrong[0])
    except Refusal as refusal:
        answer = {"error": _error(world, name, sent, refusal)}
    told = {key: value for key, value in sent.items() if key != "access_token"}
    world.calls.append({"method": name, "parameters": told, "error": answer.get("error", {}).get("error_code")})
    return answer


def _error(world: World, name: str, sent: dict[str, str], refusal: Refusal) -> Json:
    sentence = world.sentence(refusal.code)
    asked = [{"key": "method", "value": name}, {"key": "oauth", "value": "1"}]
    asked += [{"key": key, "value": value} for key, value in sent.items() if key != "access_token"]
    message = f"{sentence}: {refusal.why}" if refusal.why else sentence
    error = {"error_code": refusal.code, "error_msg": message, "request_params": asked} | refusal.more
    if world.schema is not None:
        world.faults += world.schema.of_error(error)
    return error


def _count(world: World, token: str) -> None:
    now = world.clock.now()
    used = [at for at in world.rates.get(token, []) if at > now - 1]
    world.rates[token] = used
    if len(used) >= CALLS_A_SECOND:
        raise Refusal(6)
    used.append(now)


def _watch(world: World, name: str, sent: dict[str, str]) -> None:
    if world.schema is not None and name != "execute":
        world.violations += world.schema.of_call(name, sent)
        if sent["v"] != API_VERSION:
            world.violations.append(f"{name} asks for version {sent['v']}; the shapes here are those of {API_VERSION}")


def _method(name: str, needs: str = "") -> Callable[[Body], Body]:
    def keep(body: Body) -> Body:
        METHODS[name] = Method(needs, body)
        return body

    return keep


# --- the community and how it is told of events


def _own(community: Community, parameters: Parameters) -> None:
    """Raise Refusal unless the call is about the community of its token."""
    if parameters.number("group_id", least=1) != community.id:
        raise Refusal(15, "group_id is another community's")


@_method("execute")
def _execute(world: World, community: Community, parameters: Parameters) -> Any:
    raise Refusal(12, "the fake runs no code")


@_method("groups.getById")
def _groups_get_by_id(world: World, community: Community, parameters: Parameters) -> Any:
    asked = parameters.words("group_ids") or parameters.words("group_id") or [str(community.id)]
    every = {name: found for found in world.communities.values() for name in (str(found.id), f"club{found.id}")}
    found = [every[name].shown() for name in asked if name in every]
    if not found:
        raise Refusal(100, "group_ids is undefined")
    return {"groups": found, "profiles": []}


@_method("groups.getTokenPermissions")
def _get_token_permissions(world: World, community: Community, parameters: Parameters) -> Any:
    named = [{"name": name, "setting": PERMISSIONS[name]} for name in sorted(community.permissions)]
    return {"mask": sum(permission["setting"] for permission in named), "permissions": named}


@_method("groups.getLongPollServer", "manage")
def _get_long_poll_server(world: World, community: Community, parameters: Parameters) -> Any:
    _own(community, parameters)
    poll = community.long_poll
    if not poll.enabled:
        raise Refusal(100, "longpoll for this group is not enabled")
    return {"key": poll.new_key(), "server": f"{world.base}/long_poll/{community.id}", "ts": str(poll.newest)}


@_method("groups.getLongPollSettings", "manage")
def _get_long_poll_settings(world: World, community: Community, parameters: Parameters) -> Any:
    _own(community, parameters)
    poll = community.long_poll
    events = {name: int(name in poll.on) for name in world.event_names}
    return {"api_version": poll.api_version, "events": events, "is_enabled": poll.enabled}


@_method("groups.setLongPollSettings", "manage")
def _set_long_poll_settings(world: World, community: Community, parameters: Parameters) -> Any:
    _own(community, parameters)
    poll = community.long_poll
    if parameters.has("enabled"):
        poll.enabled = parameters.flag("enabled")
    poll.api_version = parameters.text("api_version") or poll.api_version
    _switch(world, poll.on, parameters)
    poll.wake()
    return 1


def _switch(world: World, on: set[str], parameters: Parameters) -> None:
    """Switch the events that *parameters* name; the others stay as they are."""
    for name in world.event_names:
        if parameters.has(name):
            (on.add if parameters.flag(name) else on.discard)(name)


@_method("groups.getCallbackConfirmationCode", "manage")
def _get_callback_confirmation_code(world: World, community: Community, parameters: Parameters) -> Any:
    _own(community, parameters)
    return {"code": community.confirmation}


def _server_address(parameters: Parameters) -> tuple[str, str, str]:
    url, title, secret = parameters.needed("url"), parameters.needed("title"), parameters.text("secret_key")
    if not url.startswith(("http://", "https://")):
        raise Refusal(100, "url is invalid")
    if len(title) > TITLE_MAX_CHARS:
        raise Refusal(100, f"title is longer than {TITLE_MAX_CHARS}")
    if not re.fullmatch(r"[A-Za-z0-9]{0,50}", secret):
        raise Refusal(100, "secret_key has at most 50 Latin letters and digits")
    return url, title, secret


@_method("groups.addCallbackServer", "manage")
def _add_callback_server(world: World, community: Community, parameters: Parameters) -> Any:
    _own(community, parameters)
    return {"server_id": community.add_server(*_server_address(parameters)).id}


@_method("groups.editCallbackServer", "manage")
def _edit_callback_server(world: World, community: Community, parameters: Parameters) -> Any:
    _own(community, parameters)
    _server(community, parameters).configure(*_server_address(parameters))
    return 1


def _server(community: Community, parameters: Parameters) -> Any:
    server = community.servers.get(parameters.number("server_id"))
    if server is None:
        raise Refusal(104)
    return server


@_method("groups.getCallbackServers", "manage")
def _get_callback_servers(world: World, community: Community, parameters: Parameters) -> Any:
    _own(community, parameters)
    wanted = parameters.integers("server_ids")
    found = [server.shown for server in community.servers.values() if not wanted or server.id in wanted]
    return {"count": len(found), "items": found}


@_method("groups.getCallbackSettings", "manage")
def _get_callback_settings(world: World, community: Community, parameters: Parameters) -> Any:
    _own(community, parameters)
    server = _server(community, parameters)
    return {"api_version": server.api_version, "events": {name: int(name in server.on) for name in world.event_names}}


@_method("groups.setCallbackSettings", "manage")
def _set_callback_settings(world: World, community: Community, parameters: Parameters) -> Any:
    _own(community, parameters)
    server = _server(community, parameters)
    server.api_version = parameters.text("api_version") or server.api_version
    _switch(world, server.on, parameters)
    return 1


@_method("groups.deleteCallbackServer", "manage")
def _delete_callback_server(world: World, community: Community, parameters: Parameters) -> Any:
    _own(community, parameters)
    server = _server(community, parameters)
    del community.servers[server.id]
    server.stop()
    return 1


# --- sending


@_method("messages.send", "messages")
def _send(world: World, community: Community, parameters: Parameters) -> Any:
    _about(community, parameters)
    if not parameters.has("random_id"):
        raise Refusal(100, "random_id is undefined")
    random_id = parameters.integer("random_id", least=-INT32, most=INT32 - 1)
    if parameters.has("peer_ids"):
        return [_sent_to_one_of_many(world, community, parameters, peer, random_id) for peer in _peers(parameters)]
    return _sent(world, community, parameters, _peer(world, parameters), random_id).id


def _peers(parameters: Parameters) -> list[int]:
    return list(dict.fromkeys(parameters.integers("peer_ids", PEERS_MAX, least=-(1 << 63))))


def _sent_to_one_of_many(world: World, community: Community, parameters: Parameters, peer_id: int, random_id: int) -> Json:
    try:
        message = _sent(world, community, parameters, peer_id, random_id)
    except Refusal as refusal:
        error = {"code": refusal.code, "description": world.sentence(refusal.code)}
        return {"peer_id": peer_id, "message_id": 0, "conversation_message_id": 0, "error": error}
    return {"peer_id": peer_id, "message_id": message.id, "conversation_message_id": message.cmid}


def _sent(world: World, community: Community, parameters: Parameters, peer_id: int, random_id: int) -> Message:
    if random_id and (repeated := community.by_random_id.get((peer_id, random_id))):
        return repeated
    community.check_peer(peer_id)
    text, attachments = _text(community, parameters), _attachments(world, community, parameters)
    if parameters.has("sticker_id"):
        sticker = {"type": "sticker", "sticker_id": parameters.integer("sticker_id", least=0)}
        attachments.append(world.library.described(sticker, -community.id, int(world.clock.now())))
    reply_to, forwarded = _forwarded(community, parameters, peer_id)
    geo = _place(parameters)
    if not (text or attachments or forwarded or geo):
        raise Refusal(100, "message is empty or invalid")
    message = community.add(
        peer_id,
        -community.id,
        out=True,
        text=text,
        attachments=attachments,
        geo=geo,
        payload=_payload(parameters),
        keyboard=_keyboard(community, parameters),
        reply_to=reply_to,
        forwarded=forwarded,
        random_id=random_id,
        more={name: parameters.sent[name] for name in ("intent", "template", "dont_parse_links") if name in parameters.sent},
    )
    if random_id:
        community.by_random_id[peer_id, random_id] = message
    community.emit("message_reply", message.shown())
    return message


def _about(community: Community, parameters: Parameters) -> None:
    if parameters.integer("group_id") not in {0, community.id}:
        raise Refusal(15, "group_id is another community's")


def _peer(world: World, parameters: Parameters) -> int:
    for name in ("peer_id", "user_id"):
        if parameters.has(name):
            return parameters.integer(name)
    if parameters.has("chat_id"):
        return CHATS_BEGIN + parameters.integer("chat_id", least=1, most=100_000_000)
    if parameters.has("domain"):
        named = [person.id for person in world.people.values() if person.more.get("screen_name") == parameters.text("domain")]
        if named:
            return named[0]
    raise Refusal(100, "none of peer_id, user_id, chat_id, domain, peer_ids says to whom")


def _text(community: Community, parameters: Parameters) -> str:
    text = parameters.text("message")
    if len(text) > community.text_max_chars:
        raise Refusal(914)
    return text.strip()


def _payload(parameters: Parameters) -> str:
    payload = parameters.text("payload")
    if len(payload) > 1000:
        raise Refusal(100, "payload is longer than 1000")
    return payload


def _keyboard(community: Community, parameters: Parameters) -> Json | None:
    if not parameters.has("keyboard"):
        return None
    try:
        keyboard = vk_fake_keyboard.read(parameters.text("keyboard"))
    except vk_fake_keyboard.NotAKeyboard as error:
        raise Refusal(911, str(error)) from error
    return keyboard and keyboard | {"author_id": -community.id}


def _attachments(world: World, community: Community, parameters: Parameters) -> list[Attachment]:
    named = parameters.words("attachment")
    if len(named) > ATTACHMENTS_MAX:
        raise Refusal(100, f"more than {ATTACHMENTS_MAX} attachments")
    return [_attachment(world, community, name) for name in named]


def _attachment(world: World, community: Community, name: str) -> Attachment:
    found = ATTACHMENT.fullmatch(name)
    if found is None:
        raise Refusal(100, f"attachment {name} is invalid")
    kind, owner, number, key = found.groups()
    # What a voice message is saved as may be named as the document that it is.
    made = world.library.made.get(f"{kind}{owner}_{number}") or (
        world.library.made.get(f"audio_message{owner}_{number}") if kind == "doc" else None
    )
    if made is None:
        raise Refusal(100, f"attachment {name} is not there")
    if int(owner) != -community.id and key != made.body.get("access_key"):
        raise Refusal(100, f"attachment {name} is somebody else's, and its key is not given")
    return made


def _place(parameters: Parameters) -> Json | None:
    if not (parameters.has("lat") and parameters.has("long")):
        return None
    try:
        coordinates = {"latitude": float(parameters.text("lat")), "longitude": float(parameters.text("long"))}
    except ValueError as error:
        raise Refusal(100, "lat and long are numbers") from error
    return {"type": "point", "coordinates": coordinates}


def _forwarded(community: Community, parameters: Parameters, peer_id: int) -> tuple[Message | None, list[Message]]:
    """Return what is answered, and what is passed on."""
    if parameters.has("reply_to"):
        answered = community.message(parameters.integer("reply_to"))
        if answered is None or answered.peer_id != peer_id:
            raise Refusal(100, "reply_to is no message here")
        return answered, []
    passed = [community.message(number) for number in parameters.integers("forward_messages")]
    is_reply = False
    if parameters.has("forward"):
        try:
            told = json.loads(parameters.text("forward"))
            numbers = [*_numbers(told.get("conversation_message_ids")), *_numbers(told.get("cmids"))]
            passed += [community.message(number) for number in _numbers(told.get("message_ids"))]
            source = community.conversation(int(told.get("peer_id", peer_id))) if numbers else None
        except (ValueError, AttributeError, TypeError) as error:
            raise Refusal(100, "forward is not what it should be") from error
        passed += [source.numbered(number) for number in numbers] if source else []
        is_reply = bool(told.get("is_reply"))
    found = [message for message in passed if message is not None]
    if len(found) != len(passed):
        raise Refusal(921)
    if not is_reply:
        return None, found
    if len(found) != 1 or found[0].peer_id != peer_id:
        raise Refusal(100, "forward is a reply to one message of the same conversation")
    return found[0], []


def _numbers(told: Any) -> list[int]:
    """Return the numbers of a list, or the one that stands for a list: clients send it so, and VK takes it."""
    listed = told if isinstance(told, list) else [] if told is None else [told]
    return [int(number) for number in listed]


@_method("messages.edit", "messages")
def _edit(world: World, community: Community, parameters: Parameters) -> Any:
    _about(community, parameters)
    peer_id = parameters.number("peer_id")
    community.check_peer(peer_id)
    if parameters.has("message_id"):
        message = community.message(parameters.integer("message_id"))
    else:
        parameters.needed("cmid")
        message = community.conversation(peer_id).numbered(parameters.integer("cmid"))
    if message is None or message.peer_id != peer_id:
        raise Refusal(100, "there is no such message here")
    if not message.out or world.clock.now() - message.date > EDIT_SECONDS:
        raise Refusal(909)
    text, attachments = _text(community, parameters), _attachments(world, community, parameters)
    if not (text or attachments):
        raise Refusal(100, "message is empty or invalid")
    keyboard = _keyboard(community, parameters)
    if not parameters.flag("keep_forward_messages"):
        message.forwarded, message.reply_to = [], None
    message.keyboard = keyboard
    community.change(message, text, attachments)
    return 1


@_method("messages.delete", "messages")
def _delete(world: World, community: Community, parameters: Parameters) -> Any:
    _about(community, parameters)
    for_all = parameters.flag("delete_for_all")
    found: list[tuple[Json, Message | None]] = [
        ({"message_id": number}, community.message(number)) for number in parameters.integers("message_ids")
    ]
    if parameters.has("cmids"):
        conversation = community.conversation(parameters.number("peer_id"))
        by_number = {message.cmid: message for message in conversation.there}
        found += [({"conversation_message_id": cmid}, by_number.get(cmid)) for cmid in parameters.integers("cmids", 100)]
    if not found:
        raise Refusal(100, "message_ids is undefined")
    now = world.clock.now()
    if for_all and any(message and (not message.out or now - message.date > EDIT_SECONDS) for _, message in found):
        raise Refusal(924)
    answers = []
    for named, message in found:
        if message is None:
            answers.append(named | {"response": 0})
            continue
        message.deleted = "for_all" if for_all else "for_community"
        told = {"peer_id": message.peer_id, "message_id": message.id, "conversation_message_id": message.cmid}
        answers.append(told | {"response": 1})
    return answers


@_method("messages.setActivity", "messages")
def _set_activity(world: World, community: Community, parameters: Parameters) -> Any:
    _about(community, parameters)
    kind = parameters.choice("type", ACTIVITIES, "typing")
    peer_id = _peer(world, parameters)
    community.check_peer(peer_id)
    community.conversations.setdefault(peer_id, Conversation(peer_id)).activities.append(kind)
    return 1


@_method("messages.markAsRead", "messages")
def _mark_as_read(world: World, community: Community, parameters: Parameters) -> Any:
    _about(community, parameters)
    conversation = community.conversation(parameters.number("peer_id"))
    if parameters.has("up_to_cmid"):
        last = conversation.numbered(parameters.integer("up_to_cmid")).id
    else:
        last = parameters.integer("start_message_id") or max((message.id for message in conversation.there), default=0)
    conversation.in_read = max(conversation.in_read, last)
    answered = parameters.flag("mark_conversation_as_read")
    conversation.marks_as_read.append({"up_to": last, "mark_conversation_as_read": answered})
    return 1


@_method("messages.markAsAnsweredConversation", "messages")
def _mark_as_answered(world: World, community: Community, parameters: Parameters) -> Any:
    _about(community, parameters)
    community.conversation(parameters.number("peer_id")).answered = parameters.flag("answered", default=True)
    return 1


@_method("messages.sendMessageEventAnswer", "messages")
def _send_message_event_answer(world: World, community: Community, parameters: Parameters) -> Any:
    press = community.presses.get(parameters.needed("event_id"))
    whose = {"user_id": parameters.number("user_id"), "peer_id": parameters.number("peer_id")}
    if press is None or press["answer"] is not None or any(press[name] != value for name, value in whose.items()):
        raise Refusal(100, "event_id is invalid")
    answer: Any = {}
    if parameters.has("event_data"):
        try:
            answer = json.loads(parameters.text("event_data"))
        except ValueError as error:
            raise Refusal(100, "event_data is not JSON") from error
        _check_event_data(answer)
    press["answer"] = answer
    return 1


def _check_event_data(answer: Any) -> None:
    if not isinstance(answer, dict):
        raise Refusal(100, "event_data is no object")
    needs = {"show_snackbar": ("text",), "open_link": ("link",), "open_app": ("app_id", "hash")}.get(str(answer.get("type", "")))
    if needs is None or any(not answer.get(name) for name in needs):
        raise Refusal(100, "event_data is none of the actions, or lacks something")
    if len(str(answer.get("text", ""))) > SNACKBAR_MAX_CHARS:
        raise Refusal(100, f"the text of event_data is longer than {SNACKBAR_MAX_CHARS}")


@_method("messages.isMessagesFromGroupAllowed", "messages")
def _is_messages_from_group_allowed(world: World, community: Community, parameters: Parameters) -> Any:
    _own(community, parameters)
    return {"is_allowed": int(community.may_write_to.get(parameters.number("user_id", least=1), False))}


# --- reading


def _listed(world: World, parameters: Parameters, messages: list[Message], count: int | None = None) -> Json:
    answer: Json = {"count": len(messages) if count is None else count, "items": [message.shown() for message in messages]}
    if parameters.flag("extended"):
        answer |= {"profiles": world.profiles(messages, parameters.words("fields")), "groups": []}
        answer["groups"] = [community.shown() for community in world.communities.values() if _took_part(community, messages)]
    return answer


def _took_part(community: Community, messages: list[Message]) -> bool:
    return any(message.from_id == -community.id for message in messages)


def _page(found: list[Any], parameters: Parameters, first: int = 0) -> list[Any]:
    count = parameters.integer("count", 20, least=0, most=200)
    begin = first + parameters.integer("offset")
    return found[max(begin, 0) : max(begin + count, 0)]


@_method("messages.getHistory", "messages")
def _get_history(world: World, community: Community, parameters: Parameters) -> Any:
    _about(community, parameters)
    peer_id = parameters.integer("peer_id") or parameters.number("user_id")
    conversation = community.conversations.get(peer_id, Conversation(peer_id))
    newest_first = list(reversed(conversation.there))
    first = 0
    if start := parameters.integer("start_message_id"):
        first = next((place for place, message in enumerate(newest_first) if message.id <= start), len(newest_first))
    if parameters.integer("rev", least=0, most=1):
        newest_first.reverse()
        first = len(newest_first) - 1 - first if first else 0
    answer = _listed(world, parameters, _page(newest_first, parameters, first), len(newest_first))
    if parameters.flag("extended") and conversation.there:
        answer["conversations"] = [conversation.shown()]
    return answer


@_method("messages.getConversations", "messages")
def _get_conversations(world: World, community: Community, parameters: Parameters) -> Any:
    _about(community, parameters)
    wanted = parameters.choice("filter", FILTERS, "all")
    there = [conversation for conversation in community.conversations.values() if conversation.there]
    there.sort(key=lambda conversation: conversation.there[-1].id, reverse=True)
    found = [conversation for conversation in there if _passes(conversation, wanted)]
    if start := parameters.integer("start_message_id"):
        found = [conversation for conversation in found if conversation.there[-1].id <= start]
    shown = _page(found, parameters)
    items = [{"conversation": one.shown(), "last_message": one.there[-1].shown()} for one in shown]
    answer: Json = {"count": len(found), "items": items}
    if unread := sum(bool(conversation.unread_count) for conversation in there):
        answer["unread_count"] = unread
    if parameters.flag("extended"):
        last = [conversation.there[-1] for conversation in shown]
        answer |= {"profiles": world.profiles(last, parameters.words("fields")), "groups": [community.shown()]}
    return answer


def _passes(conversation: Conversation, wanted: str) -> bool:
    match wanted:
        case "all":
            return True
        case "unread":
            return conversation.unread_count > 0
        case "unanswered":
            return conversation.unanswered
        case "sorted_chats":
            return conversation.peer_id >= CHATS_BEGIN
    return False


@_method("messages.getConversationsById", "messages")
def _get_conversations_by_id(world: World, community: Community, parameters: Parameters) -> Any:
    _about(community, parameters)
    parameters.needed("peer_ids")
    there = [community.conversations.get(peer_id) for peer_id in _peers(parameters)]
    found = [conversation for conversation in there if conversation is not None and conversation.there]
    answer: Json = {"count": len(found), "items": [conversation.shown() for conversation in found]}
    if parameters.flag("extended"):
        last = [conversation.there[-1] for conversation in found]
        answer |= {"profiles": world.profiles(last, parameters.words("fields")), "groups": [community.shown()]}
    return answer


@_method("messages.getById", "messages")
def _get_by_id(world: World, community: Community, parameters: Parameters) -> Any:
    _about(community, parameters)
    if parameters.has("cmids"):
        return _by_number(world, community, parameters, "cmids")
    parameters.needed("message_ids")
    found = [community.message(number) for number in parameters.integers("message_ids", 100)]
    return _listed(world, parameters, [message for message in found if message is not None])


@_method("messages.getByConversationMessageId", "messages")
def _get_by_conversation_message_id(world: World, community: Community, parameters: Parameters) -> Any:
    _about(community, parameters)
    return _by_number(world, community, parameters, "conversation_message_ids")


def _by_number(world: World, community: Community, parameters: Parameters, name: str) -> Json:
    parameters.needed(name)
    numbers = parameters.integers(name, 100)
    peer_id = parameters.number("peer_id")
    there = community.conversations.get(peer_id, Conversation(peer_id)).there
    return _listed(world, parameters, [message for message in there if message.cmid in numbers])


@_method("users.get")
def _users_get(world: World, community: Community, parameters: Parameters) -> Any:
    parameters.needed("user_ids")
    by_name = {str(person.more.get("screen_name", person.id)): person for person in world.people.values()}
    by_name |= {name: person for person in world.people.values() for name in (str(person.id), f"id{person.id}")}
    found = [by_name[name] for name in parameters.words("user_ids") if name in by_name]
    return [person.shown(parameters.words("fields")) for person in found]


# --- files


def _check_receiver(community: Community, parameters: Parameters) -> None:
    if peer_id := parameters.integer("peer_id"):
        community.check_peer(peer_id)


@_method("photos.getMessagesUploadServer", "photos")
def _photos_get_messages_upload_server(world: World, community: Community, parameters: Parameters) -> Any:
    _check_receiver(community, parameters)
    address = world.library.upload_address("photo", -community.id)
    return {"upload_url": address, "album_id": -64, "user_id": 0, "group_id": community.id}


@_method("photos.saveMessagesPhoto", "photos")
def _save_messages_photo(world: World, community: Community, parameters: Parameters) -> Any:
    photo, key = parameters.needed("photo"), parameters.text("hash")
    parameters.integer("server")
    try:
        saved = world.library.saved_photos(photo, key, int(world.clock.now()))
    except LookupError as error:
        raise Refusal(121) from error
    except NotAFile as error:
        raise Refusal(129) from error
    if not saved:
        raise Refusal(100, "photos_list is invalid")
    return [attachment.body for attachment in saved]


@_method("docs.getMessagesUploadServer", "docs")
def _docs_get_messages_upload_server(world: World, community: Community, parameters: Parameters) -> Any:
    kind = parameters.choice("type", ("doc", "audio_message", "graffiti"), "doc")
    _check_receiver(community, parameters)
    return {"upload_url": world.library.upload_address(kind, -community.id)}


@_method("docs.save", "docs")
def _docs_save(world: World, community: Community, parameters: Parameters) -> Any:
    token = parameters.needed("file")
    try:
        saved = world.library.saved_file(token, parameters.text("title"), int(world.clock.now()))
    except LookupError as error:
        raise Refusal(105) from error
    return {"type": saved.kind, saved.kind: saved.body}
