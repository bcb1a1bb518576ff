"""What is put on a visitor's open screens, passed to whichever process has them: a word of the transport for each message.

    <socket that said it, or nothing> SP <seq> SP <seq of what went out before it, or nothing> LF <frame>

A word may be lost with the transport of who tells it or of who hears it. Whoever hears the next one sees by what it comes after that one is
missing, and reads it first (`VisitorGate.run`): what the visitor wrote themselves comes after nothing.
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
    after: int | None
    """What went out before it; None: it did not go out, the visitor wrote it."""
    frame: str


def topic(channel_id: ChannelId, visitor: str) -> str:
    """Return what the gate follows for a visitor who is here."""
    return f"shown:{channel_id}:{visitor}"


def tell(
    transport: Transport, channel_id: ChannelId, visitor: str, message: Shown, *, said_by: str = "", after: int | None = None
) -> None:
    """Pass *message* to every open screen of the visitor but the one that said it."""
    head = f"{said_by} {message.seq} {'' if after is None else after}\n"
    transport.tell(topic(channel_id, visitor), head.encode() + _encode(Message(message)))


def read(word: bytes) -> Word:
    """Return what a word says."""
    head, _, frame = word.partition(b"\n")
    said_by, seq, after = head.decode().split(" ")
    return Word(said_by, int(seq), int(after) if after else None, frame.decode())


def shower(transport: Transport) -> Callable[[ChannelId, Outbound], None]:
    """Return what puts an outgoing message on its visitor's screens, wherever they are."""

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
        tell(transport, channel_id, outbound.key, message, after=outbound.after)

    return show
