"""What an administrator sets of a Telegram channel, and what such a channel can."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from broker.complaints import channel_settings
from broker.domain import Capabilities, ChannelRow, Delivered, LoadKind, Rate
from broker.errors import BadInput

KIND = "telegram"
SERVER = "https://api.telegram.org"
DOWNLOAD_MAX = 20 * 1_048_576
"""Bytes that the provider gives to bots (core.telegram.org/bots/api#getfile)."""
UPLOAD_MAX = 50 * 1_048_576
"""Bytes that it takes of them."""
CAPABILITIES = Capabilities(
    delivered=Delivered.PUSH,
    load=LoadKind.CHAT,
    idempotent=False,
    reaches_absent=True,
    buttons=True,
    polled=True,
    # core.telegram.org/bots/faq: one a second in a chat, thirty a second in all; a little below, for bursts are counted there.
    rates=(Rate(1.0, 3, of="conversation"), Rate(25.0, 4)),
    files_max=UPLOAD_MAX,
    quotes=True,
    edits=True,
    deletes=True,
    asks_phone=True,
    profiles=True,
)
_TOKEN = re.compile(r"[0-9]{1,20}:[A-Za-z0-9_-]{1,100}")
_SERVER = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,250}(/[A-Za-z0-9._~/-]*)?")


@dataclass(frozen=True, slots=True)
class TelegramSettings:
    """The settings of a channel of the kind `telegram`."""

    token: Annotated[str, Meta(max_length=150)] = ""
    """As @BotFather gives it."""
    mode: Literal["polling", "webhook"] = "polling"
    """We ask for messages, or Telegram brings them to `public_url`."""
    groups: bool = False
    """Chats of several people are served too: each group is one customer of the line."""
    start: Literal["opens", "waits"] = "opens"
    """Pressing Start opens a session at once, or it waits for the first message."""
    names: bool = True
    """An operator's name stands above their answer, as the line's `identity` says it."""
    phone_label: Annotated[str, Meta(min_length=1, max_length=60)] = "📱 +7 …"
    """What stands on the button by which a customer tells their phone."""
    server: Annotated[str, Meta(max_length=300)] = SERVER
    """Another server that speaks the Bot API, of one's own."""

    @property
    def bot_id(self) -> str:
        """Return the bot's own id, the first half of its token."""
        return self.token.partition(":")[0]


def settings_of(channel: ChannelRow) -> TelegramSettings:
    """Return the channel's settings, opened; keys of other versions are ignored."""
    return msgspec.convert(channel.settings, TelegramSettings)


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return *given* with every default filled in. Raises BadInput naming the key."""
    settings = channel_settings(given, TelegramSettings)
    if not _TOKEN.fullmatch(settings.token):
        what = "give the bot's token" if not settings.token else "this is not a bot's token"
        raise BadInput(f"{what}: @BotFather shows it as 123456789:AAE…, digits, a colon and letters", field="settings.token")
    if not _SERVER.fullmatch(settings.server):
        raise BadInput(f"“{settings.server[:80]}” is not an address; write https://host, as {SERVER}", field="settings.server")
    built: dict[str, Any] = msgspec.to_builtins(settings)
    return built
