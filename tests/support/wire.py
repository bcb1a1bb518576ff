"""A wire to a server of this host that can be cut and frozen, whatever is said over it.

    with Wire(port) as wire:
        wire.port             # clients connect here
        wire.freeze()         # from now on nothing passes, and nobody is told
        wire.cut()            # both ends learn that the other has gone

It reads nothing of what passes, so TLS may go through it; it counts what clients say, so it can break in the midst of a sentence.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType


class Wire:
    """A wire to the server at *port* of this host."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.connections = 0
        """How many have been made."""
        self.cut_after: int | None = None
        """Cut when a client of a new connection has said so many bytes: what it said before has passed."""
        self.freeze_after: int | None = None
        """Freeze when a client has said so many bytes on one connection."""
        self.freeze_answers_at: int | None = None
        """Freeze when the server has said so many bytes on one connection."""
        self.frozen = threading.Event()
        """Set while it is frozen."""
        self.cut_answer_after: int | None = None
        """Cut when a client has said so many bytes and the server answers: the answer is lost."""
        self.cut_answers_at: int | None = None
        """Cut when the server has said so many bytes on one connection."""
        self.pause_seconds = 0.0
        """How long each piece of an answer is held back."""
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Cut every connection, and take no more."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.thaw()
        self.cut()
        self._accepting.join()

    def cut(self) -> None:
        """End every connection there is; new ones are carried as before."""
        with self._lock:
            ends = list(self._ends)
        for end in ends:
            _shut(end)

    def freeze(self) -> None:
        """Let nothing pass, in either direction, on any connection."""
        self._flowing.clear()
        self.frozen.set()

    def thaw(self) -> None:
        """Let everything pass again, first what was held back."""
        self.frozen.clear()
        self._flowing.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        said = _Said()
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        with self._lock:
            self._ends |= {client, server}
        back = threading.Thread(target=self._answers, args=(server, client, said), daemon=True)
        back.start()
        with suppress(OSError):
            while heard := client.recv(65_536):
                said.count += len(heard)
                if self.freeze_after is not None and said.count >= self.freeze_after:
                    self.freeze()
                self._flowing.wait()
                if self.cut_after is not None and said.count >= self.cut_after:
                    server.sendall(heard[: len(heard) - (said.count - self.cut_after)])
                    break
                server.sendall(heard)
        _shut(server)
        _shut(client)
        back.join()
        with self._lock:
            self._ends -= {client, server}
        client.close()
        server.close()

    def _answers(self, server: socket.socket, client: socket.socket, said: _Said) -> None:
        answered = 0
        with suppress(OSError):
            while heard := server.recv(65_536):
                answered += len(heard)
                if self.freeze_answers_at is not None and answered >= self.freeze_answers_at:
                    self.freeze()
                self._flowing.wait()
                if self.cut_answer_after is not None and said.count >= self.cut_answer_after:
                    break
                if self.cut_answers_at is not None and answered >= self.cut_answers_at:
                    break
                time.sleep(self.pause_seconds)
                client.sendall(heard)
        _shut(client)


class _Said:
    """What a client has said of one connection, in bytes."""

    count = 0


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
