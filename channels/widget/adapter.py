"""The widget as a channel: parsing is pure, sending puts the message on the visitor's open screens.

Its delivery is a stream: a message is sent when it stands in the visitor's history, which is the message's own row; whoever is
connected sees it at once, who is not finds it at the next visit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

from broker.domain import Capabilities, ChannelId, ChannelRow, Delivered, LineId, LoadKind, Person, Source
from broker.errors import BadInput
from broker.events import Incoming, Pressed, Saw, Told, Wrote
from broker.ports import Delivery, Outbound, Raw
from channels.widget.frames import Callback, Details, Press, Say, Seen

KIND = "widget"
CAPABILITIES = Capabilities(delivered=Delivered.STREAM, load=LoadKind.CHAT, idempotent=True, reaches_absent=False, buttons=True)


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """A visitor's frame as it is stored raw: what they said, who they are, where they were."""

    visitor: str
    frame: Say | Details | Seen | Press | Callback
    source: Source | None = None
    lang: str = ""


_decode = msgspec.json.Decoder(Envelope).decode
encode = msgspec.json.Encoder().encode


def same(body: bytes, frame: Say | Details | Seen | Press | Callback) -> bool:
    """Return whether the stored *body* holds what *frame* says; the page it was said from may be another."""
    stored = _decode(body).frame
    if isinstance(stored, Say) and isinstance(frame, Say):
        return stored.text == frame.text
    return stored == frame


class WidgetChannel:
    """A `Channel` of the kind `widget`; *show* puts an outgoing message on the visitor's screens."""

    kind = KIND
    capabilities = CAPABILITIES

    def __init__(self, row: ChannelRow, show: Callable[[ChannelId, Outbound], None]) -> None:
        self.id: ChannelId = row.id
        self.line_id: LineId = row.line_id
        self.slug = row.slug
        self._show = show

    async def receive(self, cursor: str | None = None) -> AsyncIterator[Delivery]:
        """Yield nothing: visitors come by their sockets, which accept for themselves."""
        return
        yield Delivery(())

    def parse(self, raw: Raw) -> Incoming:
        """See `Channel.parse`."""
        try:
            envelope = _decode(raw.body)
        except msgspec.MsgspecError as error:
            raise BadInput(f"not a visitor's frame: {error}") from error
        frame = envelope.frame
        person = Person(envelope.visitor, language=envelope.lang)
        if isinstance(frame, Say):
            return Incoming(envelope.visitor, person, Wrote(frame.text, frame.id), envelope.source)
        if isinstance(frame, Seen):
            return Incoming(envelope.visitor, person, Saw(frame.upto, frame.read))
        if isinstance(frame, Press):
            return Incoming(envelope.visitor, person, Pressed(frame.value))
        email = frame.email if isinstance(frame, Details) else ""
        told = Person(
            envelope.visitor,
            name=frame.name.strip(),
            emails=(email,) if email.strip() else (),
            phones=(frame.phone,) if frame.phone.strip() else (),
            language=envelope.lang,
        )
        return Incoming(envelope.visitor, told, Told(), envelope.source)

    async def send(self, outbound: Outbound) -> str:
        """See `Channel.send`; the message's row is the visitor's history, so this cannot fail."""
        self._show(self.id, outbound)
        return str(outbound.seq)
