"""Updates as the Bot API sends them, of every kind that the channel reads and of some that concern nobody."""

from __future__ import annotations

import json
from typing import Any

from channels.telegram.settings import TelegramSettings

Json = dict[str, Any]

ANN, OWNER, SHOP, GROUP = 5_000_001, 5_000_099, 7_000_001, -1_001_234_567_890
PLAIN = TelegramSettings(token=f"{SHOP}:of_the_tests")
GROUPS = TelegramSettings(token=f"{SHOP}:of_the_tests", groups=True)
WAITS = TelegramSettings(token=f"{SHOP}:of_the_tests", start="waits")
CONNECTION = "W_Xb5kAAAFpGAgAB"
PERSON: Json = {
    "id": ANN,
    "is_bot": False,
    "first_name": "Анна",
    "last_name": "Иванова",
    "username": "ann_i",
    "language_code": "ru",
}
BOT: Json = {"id": SHOP, "is_bot": True, "first_name": "Shop", "username": "shop_bot"}
PRIVATE: Json = {"id": ANN, "type": "private", "first_name": "Анна", "last_name": "Иванова", "username": "ann_i"}
SUPERGROUP: Json = {"id": GROUP, "type": "supergroup", "title": "Соседи", "username": "neighbours"}
FORUM: Json = {**SUPERGROUP, "is_forum": True}
SIZES = [
    {"file_id": "AgAC-small", "file_unique_id": "u1", "file_size": 1_253, "width": 90, "height": 67},
    {"file_id": "AgAC-large", "file_unique_id": "u3", "file_size": 182_110, "width": 1_280, "height": 960},
    {"file_id": "AgAC-middle", "file_unique_id": "u2", "file_size": 20_001, "width": 320, "height": 240},
]


def update(number: int = 800_000_001, **what: Any) -> Json:
    """Return an update."""
    return {"update_id": number, **what}


def said(**content: Any) -> Json:
    """Return the update of a message of Ann's; *content* is what it has, or what differs."""
    return update(message=message(**content))


def message(**content: Any) -> Json:
    """Return a message of Ann's to the bot."""
    return {"message_id": 40, "from": PERSON, "chat": PRIVATE, "date": 1_795_890_074, **content}


def in_group(**content: Any) -> Json:
    """Return the update of a message of Ann's in the group."""
    return said(**{"chat": SUPERGROUP, **content})


def business(**content: Any) -> Json:
    """Return the update of a message of Ann's to a business account."""
    return update(business_message=message(business_connection_id=CONNECTION, **content))


def file(kind: str, **more: Any) -> Json:
    """Return what a file of this kind is told as."""
    return {"file_id": f"BQAC-{kind}", "file_unique_id": f"u-{kind}", "file_size": 4_096, **more}


def member(status: str, chat: Json | None = None, was: str = "member") -> Json:
    """Return the update of what the bot is in a chat from now on."""
    told = {"chat": chat or PRIVATE, "from": PERSON, "date": 1_795_890_074}
    old, new = {"user": BOT, "status": was}, {"user": BOT, "status": status, "until_date": 0}
    return update(my_chat_member={**told, "old_chat_member": old, "new_chat_member": new})


ALBUM = "13456789012345678"
SAID: dict[str, Json] = {
    "text": said(text="Здравствуйте! 👋"),
    "start": said(text="/start", entities=[{"type": "bot_command", "offset": 0, "length": 6}]),
    "start_payload": said(text="/start site_42-utm"),
    "link": said(
        text="👋 see here please", entities=[{"type": "text_link", "offset": 3, "length": 8, "url": "https://example.test/a"}]
    ),
    "photo": said(photo=SIZES, caption="Вот"),
    "album": said(photo=SIZES, media_group_id=ALBUM),
    "video": said(video=file("video", duration=12, width=640, height=360, mime_type="video/mp4", file_name="a.mp4")),
    "video_note": said(video_note=file("video_note", duration=5, length=240)),
    "voice": said(voice=file("voice", duration=7, mime_type="audio/ogg")),
    "audio": said(audio=file("audio", duration=200, performer="Кино", title="Группа крови", mime_type="audio/mpeg")),
    "animation": said(animation=file("animation", duration=2, width=320, height=200), document=file("animation")),
    "document": said(document=file("document", file_name="счёт.pdf", mime_type="application/pdf")),
    "too_large": said(document=file("document", file_name="film.mkv", mime_type="video/x-matroska") | {"file_size": 20_971_521}),
    "sticker": said(
        sticker=file("sticker", width=512, height=512, type="regular", is_animated=False, is_video=False, emoji="😀")
    ),
    "moving_sticker": said(sticker=file("sticker", width=512, height=512, type="regular", is_animated=False, is_video=True)),
    "location": said(location={"latitude": 55.75, "longitude": 37.61}),
    "venue": said(
        location={"latitude": 55.75, "longitude": 37.61},
        venue={"location": {"latitude": 55.75, "longitude": 37.61}, "title": "Кафе", "address": "Тверская, 1"},
    ),
    "own_contact": said(contact={"phone_number": "79123456789", "first_name": "Анна", "last_name": "И", "user_id": ANN}),
    "other_contact": said(contact={"phone_number": "+79000000107", "first_name": "Боб", "user_id": 5_000_777}),
    "unknown_contact": said(contact={"phone_number": "+79000000107", "first_name": "Боб"}),
    "reply": said(
        text="Да",
        reply_to_message={"message_id": 39, "from": BOT, "chat": PRIVATE, "date": 1_795_890_000, "text": "Вам удобно завтра?"},
    ),
    "quote": said(
        text="Да",
        reply_to_message={"message_id": 39, "from": BOT, "chat": PRIVATE, "date": 1_795_890_000, "text": "Вам удобно завтра?"},
        quote={"text": "завтра", "position": 11, "is_manual": True},
    ),
    "reply_to_operator": said(
        text="Да",
        reply_to_message={
            "message_id": 39,
            "from": BOT,
            "chat": PRIVATE,
            "date": 1_795_890_000,
            "text": "Оля 😀\nВам удобно завтра?",
            "entities": [{"type": "bold", "offset": 0, "length": 6}],
        },
    ),
    "forwarded": said(
        text="Смотрите",
        forward_origin={"type": "user", "date": 1, "sender_user": {"id": 5_000_777, "is_bot": False, "first_name": "Боб"}},
    ),
    "forwarded_hidden": said(text="Смотрите", forward_origin={"type": "hidden_user", "date": 1, "sender_user_name": "Кто-то"}),
    "forwarded_channel": said(
        text="Смотрите",
        forward_origin={"type": "channel", "date": 1, "message_id": 3, "chat": {"id": -1, "type": "channel", "title": "Новости"}},
    ),
    "poll": said(poll={"id": "1", "question": "Кофе?", "options": [], "total_voter_count": 0}),
    "dice": said(dice={"emoji": "🎲", "value": 5}),
    "story": said(story={"id": 4, "chat": PRIVATE}),
    "group": in_group(text="Есть кто?"),
    "old_group": said(chat={"id": -4_567, "type": "group", "title": "Соседи"}, text="Есть кто?"),
    "group_contact": in_group(contact={"phone_number": "79123456789", "first_name": "Анна", "user_id": ANN}),
    "anonymous": in_group(
        **{"from": {"id": 1_087_968_824, "is_bot": True, "first_name": "Group"}}, sender_chat=SUPERGROUP, text="Мы тут"
    ),
    "topic": in_group(
        chat=FORUM,
        text="По теме",
        message_thread_id=17,
        is_topic_message=True,
        reply_to_message={"message_id": 17, "from": PERSON, "chat": FORUM, "date": 1, "forum_topic_created": {"name": "x"}},
    ),
    "topic_reply": in_group(
        chat=FORUM,
        text="Ответ",
        message_thread_id=17,
        is_topic_message=True,
        reply_to_message={"message_id": 20, "from": PERSON, "chat": FORUM, "date": 1, "text": "По теме"},
    ),
    "business": business(text="Сколько стоит?"),
    "business_by_hand": update(
        business_message=message(
            **{"from": {"id": OWNER, "is_bot": False, "first_name": "Ольга"}},
            business_connection_id=CONNECTION,
            text="Сто рублей",
        )
    ),
    "edited": update(edited_message=message(text="Здравствуйте!", edit_date=1_795_890_100)),
    "edited_caption": update(edited_message=message(photo=SIZES, caption="Вот так")),
    "edited_business": update(edited_business_message=message(business_connection_id=CONNECTION, text="А сколько?")),
    "deleted": update(deleted_business_messages={"business_connection_id": CONNECTION, "chat": PRIVATE, "message_ids": [40, 41]}),
    "reaction": update(
        message_reaction={
            "chat": PRIVATE,
            "message_id": 39,
            "user": PERSON,
            "date": 1,
            "old_reaction": [],
            "new_reaction": [{"type": "emoji", "emoji": "👍"}, {"type": "custom_emoji", "custom_emoji_id": "5"}],
        }
    ),
    "reaction_taken_back": update(
        message_reaction={
            "chat": PRIVATE,
            "message_id": 39,
            "user": PERSON,
            "date": 1,
            "old_reaction": [{"type": "emoji", "emoji": "👍"}],
            "new_reaction": [],
        }
    ),
    "pressed": update(
        callback_query={
            "id": "4382bfdwdsb323b2d9",
            "from": PERSON,
            "message": {"message_id": 39, "from": BOT, "chat": PRIVATE, "date": 1, "text": "Как вам?"},
            "chat_instance": "-3",
            "data": "good",
        }
    ),
    "pressed_of_old": update(
        callback_query={
            "id": "4382bfdwdsb323b2d9",
            "from": PERSON,
            "message": {"message_id": 39, "chat": PRIVATE, "date": 0},
            "chat_instance": "-3",
            "data": "bad",
        }
    ),
    "blocked": member("kicked"),
    "unblocked": member("member", was="kicked"),
    "thrown_out": member("kicked", SUPERGROUP),
    "left": member("left", SUPERGROUP),
    "added": member("member", SUPERGROUP, was="left"),
    "moved": said(chat={"id": -4_567, "type": "group", "title": "Соседи"}, migrate_to_chat_id=GROUP),
}
"""By names of the tests; those of groups are read where groups are served."""
IGNORED: dict[str, Json] = {
    "bot": said(**{"from": {"id": 9, "is_bot": True, "first_name": "Other"}}, text="beep"),
    "own_business": business(
        **{"from": {"id": OWNER, "is_bot": False, "first_name": "Ольга"}}, text="Сто", sender_business_bot=BOT
    ),
    "edited_by_hand": update(
        edited_business_message=message(
            **{"from": {"id": OWNER, "is_bot": False, "first_name": "Ольга"}}, business_connection_id=CONNECTION, text="Двести"
        )
    ),
    "joined": in_group(new_chat_members=[PERSON], new_chat_member=PERSON),
    "went": in_group(left_chat_member=PERSON),
    "pinned": in_group(pinned_message={"message_id": 4, "chat": SUPERGROUP, "date": 1, "text": "x"}),
    "topic_opened": in_group(chat=FORUM, forum_topic_created={"name": "x", "icon_color": 1}, message_thread_id=17),
    "moved_here": in_group(migrate_from_chat_id=-4_567),
    "channel": update(
        channel_post={"message_id": 4, "chat": {"id": -1, "type": "channel", "title": "News"}, "date": 1, "text": "x"}
    ),
    "connection": update(
        business_connection={
            "id": CONNECTION,
            "user": {"id": OWNER, "is_bot": False, "first_name": "Ольга"},
            "user_chat_id": OWNER,
            "date": 1,
            "rights": {"can_reply": True},
            "is_enabled": True,
        }
    ),
    "inline_press": update(
        callback_query={"id": "1", "from": PERSON, "inline_message_id": "x", "chat_instance": "1", "data": "good"}
    ),
    "game_press": update(
        callback_query={"id": "1", "from": PERSON, "message": message(), "chat_instance": "1", "game_short_name": "x"}
    ),
    "nothing_deleted": update(
        deleted_business_messages={"business_connection_id": CONNECTION, "chat": PRIVATE, "message_ids": []}
    ),
    "unheard_of": update(levitation={"height": 3}),
}
"""What says nothing that concerns anybody here."""


def body(told: object) -> bytes:
    """Return *told* as it comes."""
    return json.dumps(told, ensure_ascii=False).encode()
