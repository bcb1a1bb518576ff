"""What an administrator sets of a site channel."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from broker.complaints import channel_settings
from broker.domain import ChannelRow
from broker.errors import BadInput

Field = Literal["name", "email", "phone"]
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class WidgetSettings:
    """The settings of a channel of the kind `widget`."""

    allowed_origins: Annotated[tuple[Annotated[str, Meta(max_length=300)], ...], Meta(max_length=100)] = ()
    """Exact `scheme://host[:port]` of the sites that may embed it; empty: our own host only; `*`: any."""
    ask: tuple[Field, ...] = ("name", "email")
    """Fields of the form before the chat; empty: no form."""
    required: tuple[Field, ...] = ()
    callback: bool = False
    """Visitors may ask to be called, where the line has a number to call from."""
    callback_abroad: bool = False
    """Also in other countries than the line's `region`."""


def settings_of(channel: ChannelRow) -> WidgetSettings:
    """Return the channel's settings; keys of other versions are ignored."""
    return msgspec.convert(channel.settings, WidgetSettings)


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return *given* with every default filled in. Raises BadInput naming the key."""
    settings = channel_settings(given, WidgetSettings)
    for origin in settings.allowed_origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise BadInput(
                f"“{origin}” is not an origin; write https://shop.example.com, without a path, or *",
                field="settings.allowed_origins",
            )
    if missing := [field for field in settings.required if field not in settings.ask]:
        raise BadInput(f"{', '.join(missing)} is required but not asked for; add it to ask", field="settings.required")
    built: dict[str, Any] = msgspec.to_builtins(settings)
    return built
