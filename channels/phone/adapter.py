"""The telephone as a channel: a call is a conversation of its own, named by what Asterisk calls it; nothing is written to its caller.

What is to happen with a call is not sent: the switchboard, which has the call's connection, follows its session (see switchboard.py).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from broker.complaints import channel_settings
from broker.domain import Capabilities, ChannelId, ChannelRow, Delivered, LineId, LoadKind, OperatorId, Person, Source
from broker.errors import BadInput, Rejected
from broker.events import AsksCallback, Incoming, Rang
from broker.inbound import points
from broker.ports import ChannelKind, Delivery, Outbound, Raw

KIND_NAME = "phone"
CAPABILITIES = Capabilities(delivered=Delivered.HELD, load=LoadKind.CALL, idempotent=False, reaches_absent=False)
_NUMBER = re.compile(r"\+?[0-9]{2,20}")
_UNIQUEID = re.compile(r"[A-Za-z0-9._-]{1,100}")


@dataclass(frozen=True, slots=True)
class PhoneSettings:
    """The settings of a channel of the kind `phone`."""

    numbers: Annotated[tuple[Annotated[str, Meta(max_length=21)], ...], Meta(max_length=100)] = ()
    """Those that are called, as the telephone exchange gives them; none: every one that it brings to the line."""


def settings_of(channel: ChannelRow) -> PhoneSettings:
    """Return the channel's settings; keys of other versions are ignored."""
    return msgspec.convert(channel.settings, PhoneSettings)


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return *given* with every default filled in. Raises BadInput naming the key."""
    settings = channel_settings(given, PhoneSettings)
    for number in settings.numbers:
        if not _NUMBER.fullmatch(number):
            raise BadInput(f"“{number}” is not a number; write digits, with or without a + before them", field="settings.numbers")
    built: dict[str, Any] = msgspec.to_builtins(settings)
    return built


class Came(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call as it is stored raw."""

    uniqueid: str
    number: str = ""
    """The caller's: E.164 where it is one, as Asterisk gives it where it is not, empty when it is withheld."""
    phone: bool = False
    """The number is one by which the caller can be reached and recognised."""
    name: str = ""
    """What the caller's side says of their name: anybody may say anything."""
    called: str = ""


class Wanted(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call that is to be made, as it is stored raw."""

    key: str
    """What its conversation is named by, as others are by Asterisk's name of a call."""
    out: str
    """The number to be called."""
    due: datetime
    phone: bool = False
    """The number is one by which the customer is recognised."""
    name: str = ""
    operator_id: OperatorId | None = None
    now: bool = False
    source: Source | None = None
    """Where the customer asked for it."""


_wanted = msgspec.json.Decoder(Wanted).decode
_decode = msgspec.json.Decoder(Came).decode
_encode = msgspec.json.Encoder().encode


def came(uniqueid: str, number: str, name: str, called: str, region: str) -> Came:
    """Return the call that Asterisk tells of; *region* is where a number without its country's code is from. Raises BadInput."""
    if not _UNIQUEID.fullmatch(uniqueid):
        raise BadInput(f"{uniqueid[:60]!r} is no name of a call", code="bad_call")
    try:
        number, phone = points.phone(number, region), True
    except BadInput:
        # An extension inside, a withheld number, or what a prankster's exchange has made up.
        number, phone = "".join(sign for sign in number if sign.isascii() and (sign.isalnum() or sign in "+*#_.-"))[:40], False
    spoken = " ".join("".join(sign if sign.isprintable() else " " for sign in name).split())[:100]
    if not phone and number.lower() in _NOBODY:
        number = ""
    if spoken.lower() in _NOBODY or not any(sign.isalpha() for sign in spoken):
        spoken = ""  # many exchanges give the number once more
    return Came(uniqueid, number, phone, spoken, called[:40])


_NOBODY = frozenset({"", "anonymous", "unknown", "unavailable", "restricted", "private", "withheld", "asterisk"})


def as_told(written: str, region: str) -> str:
    """Return a number in E.164 where it can be, else as it is *written*."""
    try:
        return points.phone(written, region)
    except BadInput:
        return written


def raw_of(call: Came) -> Raw:
    """Return what is stored of *call*: however often Asterisk asks about it, it has come once."""
    return Raw(call.uniqueid, _encode(call))


def wanted(
    key: str,
    number: str,
    due: datetime,
    region: str,
    *,
    name: str = "",
    by: OperatorId | None = None,
    now: bool = False,
    source: Source | None = None,
) -> Wanted:
    """Return a call that is to be made; *region* is where a number without its country's code is from. Raises BadInput."""
    try:
        dialled, phone = points.phone(number, region), True
    except BadInput:
        # A number of the house, or of a town.
        dialled, phone = "".join(sign for sign in number if sign not in " ()-.\u00a0"), False
    if not _NUMBER.fullmatch(dialled):
        raise BadInput(f"“{number[:40]}” is not a number that can be called; write digits, with or without a +", field="number")
    return Wanted(key, dialled, due, phone, name[:100], by, now, source)


def raw_of_wanted(call: Wanted, external_id: str) -> Raw:
    """Return what is stored of *call*; under the same *external_id* it is wanted once."""
    return Raw(external_id, _encode(call))


def _incoming(call: Wanted) -> Incoming:
    person = Person(call.out, name=call.name, phones=(call.out,) if call.phone else ())
    return Incoming(call.key, person, AsksCallback(call.out, call.due, call.operator_id, call.now), call.source)


class PhoneChannel:
    """A `Channel` of the kind `phone`."""

    kind = KIND_NAME
    capabilities = CAPABILITIES

    def __init__(self, row: ChannelRow) -> None:
        self.id: ChannelId = row.id
        self.line_id: LineId = row.line_id
        self.slug = row.slug

    async def receive(self, cursor: str | None = None) -> AsyncIterator[Delivery]:
        """Yield nothing: Asterisk asks by connections of its own, which accept for themselves."""
        return
        yield Delivery(())

    def parse(self, raw: Raw) -> Incoming:
        """See `Channel.parse`."""
        try:
            if b'"out":' in raw.body:
                return _incoming(_wanted(raw.body))
            call = _decode(raw.body)
        except msgspec.MsgspecError as error:
            raise BadInput(f"not a call: {error}") from error
        # Whoever withholds their number is somebody else at each call.
        identity = call.number or f"withheld:{call.uniqueid}"
        person = Person(identity, name=call.name, phones=(call.number,) if call.phone else ())
        return Incoming(call.uniqueid, person, Rang(call.number))

    async def send(self, outbound: Outbound) -> str:
        """Raise Rejected: a caller reads nothing."""
        raise Rejected("nothing can be written to somebody who calls")


KIND = ChannelKind(KIND_NAME, CAPABILITIES, check)
