"""Who is writing just now: words passed on between people, kept by nobody.

A console hears the typing of the conversation it has on its screen and of those its operator holds. Operators' own typing goes the
same way to the customer's channel and to colleagues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from broker.access.authorize import Actor
from broker.ports import Transport
from operators.frames import SomebodyTyping
from operators.sockets import Socket


class _Word(msgspec.Struct):
    """What is told under `typing:{conversation}`; the customer's channel decides whether it shows the name."""

    who: Literal["contact", "operator"]
    name: str = ""
    operator: str = ""


_read = msgspec.json.Decoder(_Word).decode
_write = msgspec.json.Encoder().encode


class Typists:
    """Passes typing on to the sockets that follow a conversation."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._followed: dict[str, tuple[Callable[[], None], dict[Socket, None]]] = {}

    def tell(self, actor: Actor, conversation: str) -> None:
        """Tell that *actor* is writing in the conversation."""
        self._transport.tell(f"typing:{conversation}", _write(_Word("operator", actor.name, actor.operator_id)))

    def follow(self, socket: Socket, conversations: Iterable[str]) -> None:
        """Let *socket* hear who is writing in *conversations*."""
        for conversation in conversations:
            if conversation not in socket.followed:
                socket.followed.add(conversation)
                if conversation not in self._followed:
                    stop = self._transport.follow(f"typing:{conversation}", self._hearer(conversation))
                    self._followed[conversation] = (stop, {})
                self._followed[conversation][1][socket] = None

    def unfollow(self, socket: Socket, conversations: Iterable[str]) -> None:
        """Let it hear no more of *conversations*."""
        for conversation in socket.followed.intersection(conversations):
            socket.followed.discard(conversation)
            stop, sockets = self._followed[conversation]
            sockets.pop(socket, None)
            if not sockets:
                stop()
                del self._followed[conversation]

    def _hearer(self, conversation: str) -> Callable[[bytes], None]:
        def hear(word: bytes) -> None:
            told = _read(word)
            frame = SomebodyTyping(conversation, told.who, told.name)
            for socket in self._followed[conversation][1]:
                if socket.actor.operator_id != told.operator:
                    socket.tell(socket.at, (), [frame])

        return hear
