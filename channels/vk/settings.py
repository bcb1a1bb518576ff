"""What an administrator sets of a VK channel, and what such a channel can."""

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

KIND = "vk"
SERVER = "https://api.vk.ru"
UPLOAD_MAX = 50 * 1_048_576
"""Bytes of one file that we bring to VK: it takes more, but here a file on its way is held in memory."""
CAPABILITIES = Capabilities(
    delivered=Delivered.PUSH,
    load=LoadKind.CHAT,
    # messages.send knows a message by its random_id.
    idempotent=True,
    reaches_absent=True,
    buttons=True,
    polled=True,
    # dev.vk.com/ru/api/api-requests: twenty calls a second with a community's token.
    rates=(Rate(20.0, 5),),
    files_max=UPLOAD_MAX,
    quotes=True,
    edits=True,
    deletes=True,
    profiles=True,
)
_TOKEN = re.compile(r"[A-Za-z0-9._-]{8,500}")
_SERVER = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,250}(/[A-Za-z0-9._~/-]*)?")
# groups.addCallbackServer takes no other secrets.
_SECRET = re.compile(r"[A-Za-z0-9]{0,50}")


@dataclass(frozen=True, slots=True)
class VkSettings:
    """The settings of a channel of the kind `vk`."""

    token: Annotated[str, Meta(max_length=500)] = ""
    """As the community's management shows it under API usage."""
    group_id: Annotated[int, Meta(ge=0, le=2**53)] = 0
    """The community's number; 0: VK is asked whose token it is."""
    mode: Literal["longpoll", "callback"] = "longpoll"
    """We ask for events, or VK brings them to `public_url`."""
    confirmation: Annotated[str, Meta(max_length=100)] = ""
    """What VK wants to hear from our address before it brings anything; empty: VK is asked for it."""
    secret: Annotated[str, Meta(max_length=50)] = ""
    """What VK shows with each event that it brings; empty: made of the token."""
    groups: bool = False
    """Chats of several people are served too: each chat is one customer of the line."""
    start: Literal["opens", "waits"] = "opens"
    """Pressing Start opens a session at once, or it waits for the first message."""
    names: bool = True
    """An operator's name stands above their answer, as the line's `identity` says it."""
    server: Annotated[str, Meta(max_length=300)] = SERVER
    """Another server that speaks VK's API."""


def settings_of(channel: ChannelRow) -> VkSettings:
    """Return the channel's settings, opened; keys of other versions are ignored."""
    return msgspec.convert(channel.settings, VkSettings)


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return *given* with every default filled in. Raises BadInput naming the key."""
    settings = channel_settings(given, VkSettings)
    if not _TOKEN.fullmatch(settings.token):
        what = "give the community's token" if not settings.token else "this is not a community's token"
        raise BadInput(f"{what}: its management shows it under API usage, as vk1.a.…", field="settings.token")
    if not _SECRET.fullmatch(settings.secret):
        raise BadInput("VK takes Latin letters and digits alone, at most 50", field="settings.secret")
    if not _SERVER.fullmatch(settings.server):
        raise BadInput(f"“{settings.server[:80]}” is not an address; write https://host, as {SERVER}", field="settings.server")
    built: dict[str, Any] = msgspec.to_builtins(settings)
    return built
