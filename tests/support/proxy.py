"""A wire to a PostgreSQL server that breaks on order: before a COMMIT has passed, or behind it, when only its answer is lost.

Clients connect to its address instead of the server's; what they and the server say passes through it untouched until it is told to
break. It reads the frontend's messages (a byte for the kind, four for the length) so far as to know a COMMIT.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

_COMMIT, _TERMINATE = b"COMMIT\0", b"X\0\0\0\4"


class Break(Enum):
    """What becomes of the next COMMIT."""

    NOTHING = "it passes, and so does its answer"
    BEFORE = "it never reaches the server"
    BEHIND = "the server has committed and says so to nobody"
    AT_ONCE = "it is on its way to the server when the wire breaks"


class Proxy:
    """A wire to the server at *port* of this host; *breaks* are the fates of the COMMITs to come, in their order."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.breaks: deque[Break] = deque()
        self.only: int | None = None
        """The port from which a client calls whose COMMITs they are; None: anybody's."""
        self.broken = 0
        """How often it has broken."""
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens while the one at the client's end still waits for the answer to a COMMIT that never reaches the server."""
        self.closed = threading.Event()
        """While it is set nobody gets through any more, as when the line is dead."""
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database: str) -> str:
        """Return the address of *database* over this wire."""
        return f"postgresql://omniline@127.0.0.1:{self.port}/{database}?sslmode=disable&gssencmode=disable"

    def close(self) -> None:
        """Break every connection, and take no more."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            _cut(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self.closed.is_set():
                _cut(client)
                continue
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._server)
        except OSError:
            _cut(client)
            return
        with self._lock:
            self._ends |= {client, server}
        deaf = threading.Event()  # what the server says from now on is lost
        back = threading.Thread(target=_answers, args=(server, client, deaf), daemon=True)
        back.start()
        with suppress(OSError):
            if self._questions(client, server, deaf) is Break.BEHIND:
                server.sendall(_TERMINATE)  # it closes when it has done everything that came before
                back.join()
        # The server's end first: whoever learns that the wire is broken finds that the server knows it, too.
        _cut(server)
        back.join()
        _cut(client)
        with self._lock:
            self._ends -= {client, server}

    def _questions(self, client: socket.socket, server: socket.socket, deaf: threading.Event) -> Break:
        """Pass on what *client* says until the wire breaks, and return how. Raises OSError when an end has gone."""
        length = int.from_bytes(_read(client, 4), "big")  # the start-up has no kind
        server.sendall(length.to_bytes(4, "big") + _read(client, length - 4))
        while True:
            head = _read(client, 5)
            body = _read(client, int.from_bytes(head[1:], "big") - 4)
            fate = self._fate(client) if head[:1] == b"Q" and body == _COMMIT else Break.NOTHING
            if fate is Break.BEFORE:
                self.meanwhile()
                return fate
            if fate is not Break.NOTHING:
                deaf.set()
            server.sendall(head + body)
            if fate is not Break.NOTHING:
                return fate

    def _fate(self, client: socket.socket) -> Break:
        with self._lock:
            if self.only is not None and client.getpeername()[1] != self.only:
                return Break.NOTHING
            fate = self.breaks.popleft() if self.breaks else Break.NOTHING
            self.broken += fate is not Break.NOTHING
            return fate


def _answers(server: socket.socket, client: socket.socket, deaf: threading.Event) -> None:
    """Pass on what *server* says until it closes."""
    with suppress(OSError):
        while said := server.recv(65_536):
            if not deaf.is_set():
                client.sendall(said)
    if not deaf.is_set():
        _cut(client)


def _read(end: socket.socket, count: int) -> bytes:
    said = b""
    while len(said) < count:
        more = end.recv(count - len(said))
        if not more:
            raise ConnectionResetError
        said += more
    return said


def _cut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
