"""What the pipeline measures: a server that carries visitors' messages to operators' sockets.

The product and the floor each are one `Subject`, driven by the same traffic.
The clients live in the process that measures, so one clock times both ends.
"""

from __future__ import annotations

import asyncio
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import msgspec

from tests.bench.floor import OPERATORS
from tests.bench.measure import HOST, BenchError, Server
from tests.bench.wsclient import Connection, client_frame, connect, connect_many, source_address


class Subject(ABC):
    """One server and its clients. Once started, `stop` must be called, and only once.

    A subject tells its news by calling these, set by the traffic before the first message:

    ``on_operator_message(text)``
        a visitor's message, exactly as given to `visitor_send`, has come in at an operator's socket;
        called once for each frame that carried it, so that a double is seen.
    ``on_session_ended(visitor)``
        what `end_session` asked for is done, or there was nothing to do: the visitor's next message opens a session.
    ``on_failure(why)``
        the run is worth nothing: a socket closed, a message was refused.
    """

    name: str

    def __init__(self) -> None:
        self.on_operator_message: Callable[[str], None] = unheard
        self.on_session_ended: Callable[[int], None] = unheard
        self.on_failure: Callable[[str], None] = unheard

    @property
    @abstractmethod
    def pids(self) -> Mapping[str, int]:
        """The server's processes by what they are; the descendants of each count with it."""

    @property
    def database_pids(self) -> Mapping[str, int]:
        """The processes of the databases that the server stands on; what they use is told apart from the server's own."""
        return {}

    @abstractmethod
    async def start(self) -> None:
        """Start a fresh server with an empty database and return when it serves."""

    @abstractmethod
    async def connect_operators(self, count: int) -> None:
        """Connect *count* operators, ready to be given sessions; called once, before the visitors."""

    @abstractmethod
    async def connect_visitors(self, count: int) -> None:
        """Connect *count* visitors, numbered from 0, from as many loopback addresses as the limits ask for; called once."""

    @abstractmethod
    def visitor_send(self, visitor: int, text: str) -> None:
        """Put *text* on the visitor's socket now, without waiting; message ids are the subject's own.

        *text* is ASCII and holds nothing that JSON escapes.
        """

    @abstractmethod
    def end_session(self, visitor: int) -> None:
        """Have the visitor's session closed, as an operator does.

        All its messages have come in, and none is sent before `on_session_ended`, which may be called at once.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Close the sockets and end the server."""

    async def settled(self) -> None:
        """Return when what the operators did about the messages that have come in is done."""
        return

    def unacknowledged(self) -> int:
        """Return how many messages were sent and not acknowledged to their visitor; asked when the traffic has drained."""
        return 0


def unheard(_: object) -> None:
    """Stand where nobody listens yet."""
    raise BenchError("news came before anybody listened; connect the traffic first")


class OperatorMessage(msgspec.Struct):
    """What the bench reads of the floor's operator frame."""

    text: str


class FloorSubject(Subject):
    """The floor: see floor.py. It has no sessions, so ending one is done at once."""

    name = "floor"

    def __init__(self) -> None:
        super().__init__()
        self._servers: list[Server] = []
        """The first is for visitors, the last for operators."""
        self._connections: list[Connection] = []
        self._write: list[Callable[[bytes], None]] = []
        self._decode = msgspec.json.Decoder(OperatorMessage).decode
        self._sent = 0
        self._accepted = 0
        self._stopping = False

    @property
    def pids(self) -> Mapping[str, int]:
        return {"floor": self._servers[0].pid}

    @property
    def port(self) -> int:
        """Where the floor listens for visitors."""
        return self._servers[0].port

    async def start(self) -> None:
        await self._start("tests.bench.floor", "--data", "{data}")

    async def _start(self, module: str, *arguments: str) -> None:
        server = Server([sys.executable, "-m", module, "--port", "{port}", *arguments])
        self._servers.append(server)
        await asyncio.to_thread(server.start)

    async def connect_operators(self, count: int) -> None:
        if count != OPERATORS:
            raise BenchError(f"the floor spreads its visitors over {OPERATORS} operators, not {count}")
        self._connections += await connect_many(
            count,
            lambda number: connect(
                HOST,
                self._servers[-1].port,
                f"/ws/operator?operator={number}",
                self._on_operator_frame,
                on_close=self._on_close,
            ),
        )

    async def connect_visitors(self, count: int) -> None:
        visitors = await connect_many(
            count,
            lambda number: connect(
                HOST,
                self.port,
                f"/ws/visitor?visitor={number}",
                self._on_visitor_frame,
                source=source_address(number),
                on_close=self._on_close,
            ),
        )
        self._write = [visitor.write for visitor in visitors]
        self._connections += visitors

    def visitor_send(self, visitor: int, text: str) -> None:
        self._sent += 1
        self._write[visitor](client_frame(b'{"type":"message","id":"m%d","text":"%s"}' % (self._sent, text.encode())))

    def end_session(self, visitor: int) -> None:
        self.on_session_ended(visitor)

    async def stop(self) -> None:
        self._stopping = True
        for connection in self._connections:
            connection.abort()
        for server in self._servers:
            await asyncio.to_thread(server.stop)

    def unacknowledged(self) -> int:
        return self._sent - self._accepted

    def _on_visitor_frame(self, frame: bytes) -> None:
        self._accepted += 1  # the floor has nothing else to say to a visitor

    def _on_operator_frame(self, frame: bytes) -> None:
        self.on_operator_message(self._decode(frame).text)

    def _on_close(self, code: int, reason: str) -> None:
        if not self._stopping:
            self.on_failure(f"the floor closed a socket: {code} {reason}")
