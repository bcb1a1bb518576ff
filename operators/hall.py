"""All consoles that are told news: whose they are, and which thread each has on its screen."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from operators.sockets import Socket


class Hall:
    """The sockets that have said hello; a `news.Hall`."""

    def __init__(self, sockets: Iterable[Socket] = ()) -> None:
        self._all: dict[Socket, None] = {}
        self._of: dict[str, dict[Socket, None]] = {}
        self._showing: dict[str, dict[Socket, None]] = {}
        for socket in sockets:
            self.enter(socket)

    def __len__(self) -> int:
        return len(self._all)

    def enter(self, socket: Socket) -> None:
        """Let *socket* be told news from now on."""
        self._all[socket] = None
        self._of.setdefault(socket.actor.operator_id, {})[socket] = None

    def leave(self, socket: Socket) -> None:
        """Let it be told no more."""
        self.hide(socket)
        self._all.pop(socket, None)
        _drop(self._of, socket.actor.operator_id, socket)

    def show(self, socket: Socket, session: str, conversation: str) -> None:
        """Note that the session's thread is on the screen of *socket*, and no other."""
        self.hide(socket)
        socket.session, socket.conversation = session, conversation
        self._showing.setdefault(conversation, {})[socket] = None

    def hide(self, socket: Socket) -> None:
        """Note that no thread is on its screen."""
        _drop(self._showing, socket.conversation, socket)
        socket.session = socket.conversation = ""

    def of(self, operator_id: str) -> Collection[Socket]:
        """Return the operator's."""
        return self._of.get(operator_id, ())

    def showing(self, conversation: str) -> Collection[Socket]:
        """Return those with the conversation on the screen."""
        return self._showing.get(conversation, ())

    def everybody(self) -> Collection[Socket]:
        """Return all."""
        return self._all

    @property
    def shown(self) -> Collection[str]:
        """Return the conversations that are on some screen."""
        return self._showing


def _drop(index: dict[str, dict[Socket, None]], key: str, socket: Socket) -> None:
    sockets = index.get(key)
    if sockets is not None:
        sockets.pop(socket, None)
        if not sockets:
            del index[key]
