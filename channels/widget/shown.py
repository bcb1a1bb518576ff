"""What is put on a visitor's open screens, passed to whichever process has them: a word of the transport for each message.

    <socket that said it, or nothing> SP <seq> LF <frame>

A word may be lost with the transport of who tells it or of who hears it; the gate then reads what it missed (`VisitorGate.run`). Who told
words that were lost says so before anything else, when they are heard again: nobody else can know, and the next word would overtake.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from broker.domain import ChannelId
from broker.ports import Outbound, Transport
from channels.widget import history
from channels.widget.frames import Message, Shown

_encode = msgspec.json.Encoder().encode


class Word(NamedTuple):
    """One message for a visitor's screens."""

    said_by: str
    """The socket that has it already."""
    seq: int
    frame: str


def topic(channel_id: ChannelId, visitor: str) -> str:
    """Return what the gate follows for a visitor who is here."""
    return f"shown:{channel_id}:{visitor}"


def tell(transport: Transport, channel_id: ChannelId, visitor: str, message: Shown, said_by: str = "") -> None:
    """Pass *message* to every open screen of the visitor but the one that said it."""
    transport.tell(topic(channel_id, visitor), b"%b %d\n%b" % (said_by.encode(), message.seq, _encode(Message(message))))


def read(word: bytes) -> Word:
    """Return what a word says."""
    head, _, frame = word.partition(b"\n")
    said_by, _, seq = head.partition(b" ")
    return Word(said_by.decode(), int(seq), frame.decode())


LOST = "shown-lost"
"""The topic under which a process tells that words of its own were lost."""


def shower(transport: Transport) -> Callable[[ChannelId, Outbound], None]:
    """Return what puts an outgoing message on its visitor's screens, wherever they are."""
    transport.on_restored(lambda: transport.tell(LOST, b""))

    def show(channel_id: ChannelId, outbound: Outbound) -> None:
        who = "operator" if outbound.from_operator else "system"
        message = Shown(
            outbound.seq,
            who,  # type: ignore[arg-type]
            outbound.text,
            outbound.at_ms,
            name=outbound.sender_name,
            buttons=history.buttons(outbound.buttons),
        )
        tell(transport, channel_id, outbound.key, message)

    return show
