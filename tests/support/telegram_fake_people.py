"""What people do in the fake of Telegram, and what their bots are told of it.

A place is `{"bot": token}`, the private chat with a bot; `{"chat": id}`, a group; or `{"connection": id, "customer": person}`, the chat
of a business account. Each of `DEEDS` takes the world and what the control API was given, and returns what it answers.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from tests.support.telegram_fake_methods import bare, quotation
from tests.support.telegram_fake_text import read_text
from tests.support.telegram_fake_world import Bot, Connection, Query, Record, Room, Unknown, World

Json = dict[str, Any]
Deed = Callable[[World, Json], object]

ALL_RIGHTS = {"can_reply": True, "can_read_messages": True, "can_delete_sent_messages": True, "can_delete_all_messages": True}


def say(world: World, given: Json) -> object:
    """Post what `content` has, or each of an album; return the messages."""
    person = world.person(given["person"])
    room = _place(world, given["place"], person)
    if room.connection is None and room.chat["type"] == "private" and room.id in room.bots[0].blocked:
        raise Unknown(f"{person['first_name']} has blocked the bot")
    common = _words("text", given.get("text", ""), given.get("entities"))
    common |= {name: given[name] for name in ("contact", "location") if given.get(name)}
    if venue := given.get("venue"):
        common |= {"venue": venue, "location": venue["location"]}
    if given.get("from_offline"):
        common["is_from_offline"] = True
    common |= _forwarded(world, given.get("forwarded")) | _thread(room, given.get("thread"))
    common |= _reply(room, given.get("reply_to"), given.get("quote", ""), common.get("message_thread_id"))
    contents = [_file(world, room, file) for file in given.get("files", [])] or [{}]
    if len(contents) > 1:
        common["media_group_id"] = str(12_000_000_000_000_000 + world.number())
    records = [world.post(room, content | common, person) for content in contents]
    for record in records:
        world.tell(room, record)
    return [record.message for record in records]


def edit(world: World, given: Json) -> object:
    """Say it otherwise: a text, or what stands under a file."""
    record, room = _record(world, given)
    name, entities = ("text", "entities") if "text" in record.message else ("caption", "caption_entities")
    record.versions.append(record.message)
    kept = {key: value for key, value in record.message.items() if key not in {name, entities}}
    record.message = kept | _words(name, given["text"], given.get("entities")) | {"edit_date": world.date()}
    world.tell(room, record, edited=True)
    return record.message


def delete(world: World, given: Json) -> object:
    """Take messages away. Only the bot of a business account is told."""
    room = _place(world, given["place"], world.person(given["person"]))
    for number in given["message_ids"]:
        if number not in room.messages:
            raise Unknown(f"there is no message {number} in {room.id}")
        room.messages[number].deleted = True
    if room.connection is not None:
        told = {"business_connection_id": room.connection.id, "chat": room.chat, "message_ids": given["message_ids"]}
        world.emit(room.connection.bot, "deleted_business_messages", told)
    return True


def press(world: World, given: Json) -> object:
    """Press the button with this data under a message; return the id of the query."""
    person = world.person(given["person"])
    record, room = _record(world, given)
    buttons = [button for row in record.message.get("reply_markup", {}).get("inline_keyboard", []) for button in row]
    if given["data"] not in [button.get("callback_data") for button in buttons] or record.bot is None:
        raise Unknown(f"message {given['message_id']} has no button with {given['data']!r}")
    query = Query(str(4_000_000_000_000_000_000 + world.number()), person["id"], given["data"], world.clock.now())
    record.bot.queries[query.id] = query
    told = {"id": query.id, "from": person, "message": record.message, "chat_instance": str(-room.id), "data": query.data}
    world.emit(record.bot, "callback_query", told)
    return query.id


def react(world: World, given: Json) -> object:
    """React with these emojis, or none, instead of those of before."""
    person = world.person(given["person"])
    record, room = _record(world, given)
    new = [{"type": "emoji", "emoji": emoji} for emoji in given["emojis"]]
    old = record.reactions.get(person["id"], [])
    record.reactions[person["id"]] = new
    told = {"chat": room.chat, "message_id": given["message_id"], "user": person, "date": world.date()}
    for bot in room.bots:
        world.emit(bot, "message_reaction", told | {"old_reaction": old, "new_reaction": new})
    return True


def block(world: World, given: Json) -> object:
    """Want to hear no more of a bot, or with `on` false want to again."""
    bot, person = world.bot(given["bot"]), world.person(given["person"])
    room = world.private_room(bot, person)
    was = person["id"] in bot.blocked
    (bot.blocked.add if given["on"] else bot.blocked.discard)(person["id"])
    if was != given["on"]:
        member, kicked = _member(bot), _kicked(bot)
        _tell_of_membership(world, bot, room, person, *((member, kicked) if given["on"] else (kicked, member)))
    return True


def add_group(world: World, given: Json) -> object:
    """Make a group with bots in it; they are told that they were added, if somebody has added them."""
    bots = [world.bot(token) for token in given["bots"]]
    room = world.add_group(
        given["kind"], given["title"], bots, forum=given.get("forum", False), username=given.get("username", "")
    )
    if given.get("person"):
        person = world.person(given["person"])
        for bot in bots:
            _tell_of_membership(world, bot, room, person, {"status": "left", "user": bot.user}, _member(bot))
    return room.chat


def remove(world: World, given: Json) -> object:
    """Throw a bot out of a group."""
    bot, person = world.bot(given["bot"]), world.person(given["person"])
    room = _group(world, given["chat"])
    bot.kicked.add(room.id)
    _tell_of_membership(world, bot, room, person, _member(bot), _kicked(bot))
    return True


def add_topic(world: World, given: Json) -> object:
    """Open a topic of a forum; return its thread."""
    room = _group(world, given["chat"])
    if not room.chat.get("is_forum"):
        raise Unknown(f"{room.id} is no forum")
    opened = {"name": given["name"], "icon_color": 7322096}
    record = world.post(room, {"forum_topic_created": opened, "is_topic_message": True}, world.person(given["person"]))
    thread = record.message["message_thread_id"] = record.message["message_id"]
    room.topics[thread] = given["name"]
    world.tell(room, record)
    return thread


def migrate(world: World, given: Json) -> object:
    """Have a group become a supergroup; return the new chat."""
    person, room = world.person(given["person"]), _group(world, given["chat"])
    new = world.add_group("supergroup", room.chat["title"], room.bots)
    # Both say so, and a bot is told of both: first by the old chat.
    world.tell(room, world.post(room, {"migrate_to_chat_id": new.id}, person))
    room.migrated_to = new.id
    world.tell(new, world.post(new, {"migrate_from_chat_id": room.id}, person))
    return new.chat


def connect(world: World, given: Json) -> object:
    """Have a bot answer for a business account, or change what it may; return the connection."""
    bot, owner = world.bot(given["bot"]), world.person(given["person"])
    world.private_room(bot, owner)
    rights = {name: value for name, value in (given.get("rights") or ALL_RIGHTS).items() if value}
    connection = next((one for one in bot.connections.values() if one.owner["id"] == owner["id"]), None)
    if connection is None:
        connection = Connection(f"bc{world.number():018}", bot, owner, rights, world.date())
        bot.connections[connection.id] = connection
    connection.rights, connection.enabled = rights, given.get("enabled", True)
    world.emit(bot, "business_connection", connection.shown())
    return connection.shown()


DEEDS: dict[str, Deed] = {
    "say": say,
    "edit": edit,
    "delete": delete,
    "press": press,
    "react": react,
    "block": block,
    "add_group": add_group,
    "remove": remove,
    "add_topic": add_topic,
    "migrate": migrate,
    "connect": connect,
}


def find_room(world: World, place: Json) -> Room | None:
    """Return the room of a place that says whom with: `person` too where it is private. None: it is not there yet."""
    if "chat" in place:
        return _group(world, place["chat"])
    if "connection" in place:
        return _connection(world, place["connection"]).rooms.get(place["customer"])
    return world.bot(place["bot"]).rooms.get(place["person"])


def _place(world: World, place: Json, person: Json) -> Room:
    if "chat" in place:
        return _group(world, place["chat"])
    if "connection" in place:
        return world.business_room(_connection(world, place["connection"]), world.person(place["customer"]))
    return world.private_room(world.bot(place["bot"]), person)


def _group(world: World, chat: int) -> Room:
    if chat not in world.groups:
        raise Unknown(f"there is no group {chat}")
    return world.groups[chat]


def _connection(world: World, number: str) -> Connection:
    for bot in world.bots.values():
        if number in bot.connections:
            return bot.connections[number]
    raise Unknown(f"there is no connection {number}")


def _record(world: World, given: Json) -> tuple[Record, Room]:
    room = _place(world, given["place"], world.person(given["person"]))
    record = room.there(given["message_id"])
    if record is None:
        raise Unknown(f"there is no message {given['message_id']} in {room.id}")
    return record, room


def _words(name: str, text: str, entities: list[Json] | None) -> Json:
    text, found = read_text(text, "", entities)
    if not text:
        return {}
    return {name: text} | ({"entities" if name == "text" else "caption_entities": found} if found else {})


def _file(world: World, room: Room, file: Json) -> Json:
    content = base64.b64decode(file["content"])
    kind, size, bot = file["kind"], file.get("size"), room.bots[0]
    words = _words("caption", file.get("caption", ""), None)
    if kind == "photo":
        made: Json = {"photo": world.photo(bot, content, size)}
        ids = [one["file_id"] for one in made["photo"]]
    else:
        stored = world.store(bot, kind, content, file.get("name", ""), file.get("mime", ""), size)
        made = {kind: world.media(bot, stored, file.get("described", {}))}
        ids = [stored.id]
        if kind == "animation":
            made["document"] = {name: value for name, value in made[kind].items() if name not in {"width", "height", "duration"}}
    for other in room.bots[1:]:
        # The real one has another id of the file for each bot.
        other.files |= {number: bot.files[number] for number in ids}
    return made | words


def _forwarded(world: World, origin: Json | None) -> Json:
    """Return where a message is from: a person, or only the name of one who hides."""
    if origin is None:
        return {}
    date = origin.get("date", world.date())
    if "name" in origin:
        return {"forward_origin": {"type": "hidden_user", "date": date, "sender_user_name": origin["name"]}}
    return {"forward_origin": {"type": "user", "date": date, "sender_user": world.person(origin["person"])}}


def _thread(room: Room, thread: int | None) -> Json:
    if thread is None:
        return {}
    if thread not in room.topics:
        raise Unknown(f"there is no topic {thread} in {room.id}")
    return {"message_thread_id": thread, "is_topic_message": True}


def _reply(room: Room, number: int | None, quote: str, thread: int | None) -> Json:
    if number is None:
        # What is said in a topic passes for a reply to the message that has opened it.
        return {} if thread is None else {"reply_to_message": bare(room.messages[thread].message)}
    record = room.there(number)
    if record is None:
        raise Unknown(f"there is no message {number} in {room.id}")
    return {"reply_to_message": bare(record.message)} | ({"quote": quotation(record.message, quote)} if quote else {})


def _member(bot: Bot) -> Json:
    return {"status": "member", "user": bot.user}


def _kicked(bot: Bot) -> Json:
    return {"status": "kicked", "user": bot.user, "until_date": 0}


def _tell_of_membership(world: World, bot: Bot, room: Room, person: Json, old: Json, new: Json) -> None:
    told = {"chat": room.chat, "from": person, "date": world.date(), "old_chat_member": old, "new_chat_member": new}
    world.emit(bot, "my_chat_member", told)
