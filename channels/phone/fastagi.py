"""FastAGI: one connection from Asterisk for each call, over asyncio.

    Server   takes connections from the networks of the PBX, reads the header in time and within limits, asks for the secret
    Leg      the connection afterwards: one command at a time, each with its time-out; a hangup is an event, whatever is under way

A command whose reply did not come in time, or that was given up, leaves a reply on its way that would be taken for the next one's; so
does whoever says more than one reply. The connection is closed then, and the dialplan asks again.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

import structlog
from pystrix.agi.agi_core import (
    AGIException,
    AGIHangup,
    AGINoResultError,
    AGISIGPIPEHangup,
    AGIUnknownError,
    _Action,
    _Response,
)

from broker import metrics
from broker.errors import BadInput, Unavailable
from channels.phone.agi import HANGUP, LINE_BYTES_MAX, TRYING, Command, Header, HeaderReader, NoAgi, ReplyReader, encoded

log = structlog.get_logger(__name__)

HEADER_SECONDS = 5.0
"""For the header to come whole: Asterisk says it in one breath."""
COMMAND_SECONDS = 10.0
"""For a command that waits for nobody."""
CONNECTIONS_MAX = 2_000
LINES_AHEAD_MAX = 64
"""Lines that nobody has asked for, or the usage of a command: more come from no Asterisk."""
BACKLOG = 512
KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
"""Seconds, seconds, times, milliseconds: a host that vanished has ended none of its connections."""

Network = IPv4Network | IPv6Network


class Leg:
    """A call's connection to Asterisk after its header."""

    def __init__(self, header: Header, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.header = header
        self.hungup = asyncio.Event()
        """Asterisk said HANGUP, or the connection has ended: the caller has gone, or has been sent elsewhere (a transfer)."""
        self._reader = reader
        self._writer = writer
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._turn = asyncio.Lock()
        self._sleepers: list[asyncio.Event] = []
        self._asking = False
        self._closed = False
        self._pump = asyncio.get_running_loop().create_task(self._read(), name="AGI lines")

    @property
    def closed(self) -> bool:
        """Return whether no command can be given any more."""
        return self._closed

    def wake(self, sleeper: asyncio.Event) -> None:
        """Let *sleeper* be set as soon as the leg is hung up: who waits for that and something else waits for one thing."""
        self._sleepers.append(sleeper)
        if self.hungup.is_set():
            sleeper.set()

    def _hang_up(self) -> None:
        self.hungup.set()
        for sleeper in self._sleepers:
            sleeper.set()

    async def execute(self, action: _Action, seconds: float = COMMAND_SECONDS) -> _Response:
        """Give the command and return what *action* makes of the reply.

        Raises BadInput for what cannot be a command; AGIHangup when the connection has ended; Unavailable when no reply came within
        *seconds*, which ends it; another AGIException for what Asterisk refused.
        """
        data = encoded(action)
        async with self._turn:
            if self._closed:
                raise AGISIGPIPEHangup("the connection has ended")
            self._asking = True
            try:
                async with asyncio.timeout(seconds):
                    self._writer.write(data)
                    await self._writer.drain()
                    reply = await self._reply(check_hangup=action.check_hangup)
            except (AGIUnknownError, AGINoResultError):
                self.close()
                raise
            except TimeoutError:
                self.close()
                raise Unavailable(f"Asterisk did not answer {action.command.split(' ', 1)[0]} within {seconds:g} s") from None
            except OSError as error:
                self.close()
                raise AGISIGPIPEHangup(f"the connection broke: {error}") from error
            except asyncio.CancelledError:
                self.close()
                raise
            finally:
                self._asking = False
        answer: _Response = action.process_response(reply)
        return answer

    async def command(self, words: str, *arguments: object, seconds: float = COMMAND_SECONDS) -> str:
        """Give a command; return its result: a number, a key's code, or nothing."""
        reply = await self.execute(Command(words, *arguments), seconds)
        result: str = reply.items["result"].value
        return result

    async def app(self, name: str, *arguments: object, seconds: float = COMMAND_SECONDS) -> int:
        """Have a dialplan application done; return -1 when the caller hung up in it, -2 when Asterisk has no such application.

        Its options are one argument: `gU(answered^101)`. Raises BadInput for an argument with a comma, which would be two.
        """
        told = [str(argument) for argument in arguments]
        if any("," in one for one in told):
            raise BadInput(f"an argument of {name} has a comma in it", code="comma")
        return int(await self.command(f"EXEC {name}", *([",".join(told)] if told else []), seconds=seconds) or 0)

    async def variable(self, name: str) -> str:
        """Return a variable of the channel, at most 1,023 bytes of it; empty: it is not set."""
        reply = await self.execute(Command("GET VARIABLE", name))
        value: str = reply.items["result"].data
        return value

    async def set_variable(self, name: str, value: object) -> None:
        """Set a variable of the channel."""
        await self.execute(Command("SET VARIABLE", name, value))

    def close(self) -> None:
        """End the connection; what waits for a reply hears that the call has gone."""
        self._end()
        self._pump.cancel()
        self._writer.close()

    async def _reply(self, *, check_hangup: bool) -> _Response:
        reader = ReplyReader()
        while True:
            line = await self._lines.get()
            if line is None:
                self._lines.put_nowait(None)
                raise AGISIGPIPEHangup("the connection has ended")
            try:
                reply = reader.feed(line, check_hangup=check_hangup)
            except AGIException:
                self._check_nothing_follows()
                raise
            if reply is not None:
                self._check_nothing_follows()
                return reply

    def _check_nothing_follows(self) -> None:
        """Raise AGIUnknownError if more than a reply has come: stale or forged, it would be taken for the next command's."""
        while not self._lines.empty():
            line = self._lines.get_nowait()
            if line is None:
                self._lines.put_nowait(None)
                return
            if not line.startswith(TRYING):
                raise AGIUnknownError("more than one reply came")

    async def _read(self) -> None:
        """Be the only one who reads."""
        try:
            while True:
                line = (await self._reader.readuntil(b"\n")).decode("utf-8", "replace").rstrip("\r\n")
                if line == HANGUP:
                    self._hang_up()
                elif not self._asking:
                    log.warning("agi_line_unasked", length=len(line))
                elif self._lines.qsize() < LINES_AHEAD_MAX:
                    self._lines.put_nowait(line)
                else:
                    raise NoAgi("more lines than a reply has")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, NoAgi) as error:
            if not isinstance(error, asyncio.IncompleteReadError):
                log.warning("agi_connection_broken", problem=str(error))
        finally:
            self._end()

    def _end(self) -> None:
        if not self._closed:
            self._closed = True
            self._lines.put_nowait(None)
            self._hang_up()


ACCEPT_TURNS = 3
"""Turns of the loop until a connection that was taken from the system is given to us: a server that is closed before forgets it open."""


class _Refused(Exception):
    """The connection is to be closed without a word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


Handler = Callable[[Leg], Awaitable[None]]


class Server:
    """Listens for Asterisk; *handler* has a leg until it returns."""

    def __init__(
        self,
        handler: Handler,
        *,
        secret: str,
        networks: Sequence[Network],
        header_seconds: float = HEADER_SECONDS,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        """*secret* is what the dialplan's address must say; *networks* are where Asterisk is."""
        self._handler = handler
        self._secret = secret.encode()
        self._networks = tuple(networks)
        self._header_seconds = header_seconds
        self._connections_max = connections_max
        self._servers: list[asyncio.Server] = []
        self._closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str | None = None, port: int | None = None, *, sock: socket.socket | None = None) -> int:
        """Listen at *host* and *port*, or on *sock*, which is bound and ours from now on; return the port. Raises OSError.

        A *port* of 0 is chosen. Called again, it listens there too.
        """
        server = await asyncio.start_server(self._connected, host, port, sock=sock, limit=LINE_BYTES_MAX, backlog=BACKLOG)
        self._servers.append(server)
        number: int = server.sockets[0].getsockname()[1]
        return number

    async def close(self) -> None:
        """Take no more calls and let go of those there are: their dialplan asks whoever listens then. It is not started again."""
        self._closed = True
        loop = asyncio.get_running_loop()
        for server in self._servers:
            for sock in server.sockets:
                loop.remove_reader(sock.fileno())
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:  # it was taken from the system before, and given to us now
            writer.close()
            return
        # A task of ours: of one that the streams make, Python 3.11 takes the end by `close` for a fault.
        task = asyncio.get_running_loop().create_task(self._take(reader, writer), name="AGI connection")
        self._tasks.add(task)

        def done(_: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            writer.close()  # also of one that was cancelled before it began

        task.add_done_callback(done)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            _keep_alive(writer.get_extra_info("socket"))
            header = await self._admit(reader, writer)
            await self._serve(Leg(header, reader, writer))
        except _Refused as refused:
            metrics.refused_calls_total.labels(refused.reason).inc()
            log.warning("agi_connection_refused", reason=refused.reason)
        except (asyncio.IncompleteReadError, OSError):
            pass  # somebody looked whether anybody listens

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Header:
        """Return the header of a call that is the PBX's. Raises _Refused, IncompleteReadError, OSError."""
        if not self._is_ours(writer):
            raise _Refused("network")
        if len(self._tasks) > self._connections_max:
            raise _Refused("all")
        try:
            async with asyncio.timeout(self._header_seconds):
                header = await _header(reader)
        except TimeoutError:
            raise _Refused("slow") from None
        except (NoAgi, asyncio.LimitOverrunError):
            raise _Refused("no_agi") from None
        if not hmac.compare_digest(header.query.get("secret", "").encode(), self._secret):
            raise _Refused("secret")
        return header

    def _is_ours(self, writer: asyncio.StreamWriter) -> bool:
        peer = writer.get_extra_info("peername")
        if not peer:
            return False
        address = ip_address(peer[0].partition("%")[0])
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in self._networks)

    async def _serve(self, leg: Leg) -> None:
        try:
            await self._handler(leg)
        except AGIHangup:
            pass  # the caller hung up, or Asterisk has gone
        except AGIException as error:
            log.warning("agi_refused_a_command", path=leg.header.path, problem=f"{type(error).__name__}: {error}"[:500])
        except Unavailable as error:
            log.warning("agi_did_not_answer", path=leg.header.path, problem=str(error))
        except Exception:
            metrics.unexpected_errors_total.labels("telephone").inc()
            log.exception("call_failed", path=leg.header.path)
        finally:
            leg.close()


def _keep_alive(accepted: socket.socket) -> None:
    """Have the system ask whether the host at the other end is still there, as far as it can. Raises OSError."""
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            accepted.setsockopt(socket.IPPROTO_TCP, option, value)


async def _header(reader: asyncio.StreamReader) -> Header:
    header = HeaderReader()
    while True:
        if (whole := header.feed(await reader.readuntil(b"\n"))) is not None:
            return whole
