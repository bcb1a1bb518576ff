"""A provider's mail server: where it is, how one logs in there, and the way to it.

Both wires begin with it, `channels.mail.imap` and `channels.mail.smtp`. Names become addresses by `Server.resolve` alone: who must not
be connected to is refused there, and no later look-up can answer differently.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

WORDS_MAX = 200
"""Characters of what a server says that are told on."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Return the addresses of a host that may be connected to. Raises Forbidden, with a sentence, if none may be; OSError if it has none."""


async def addresses(host: str, port: int) -> list[str]:
    """Return every address of *host*; whoever it is."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


@dataclass(frozen=True, slots=True)
class Password:
    """A password, or what a provider gives to programs in its place."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of OAuth 2; *ask* gives one that is still good, for each login. What it raises is raised by whoever logs in."""

    ask: Callable[[], Awaitable[str]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the other side may take."""

    connect_seconds: float = 20.0
    answer_seconds: float = 30.0
    """For an answer, and for room to say more."""
    verdict_seconds: float = 300.0
    """For the answer to a whole mail. RFC 5321 4.5.3.2.6 asks for 600; after 300 an operator asks."""
    bytes_a_second: int = 16_384
    """What is long in bytes may take so much longer."""

    def for_bytes(self, count: int) -> float:
        """Return the seconds for an answer of *count* bytes."""
        return self.answer_seconds + count / self.bytes_a_second


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and an account on it."""

    host: str
    port: int
    user: str
    secret: Password | Token
    ca_file: Path | None = None
    """The authorities to believe in, instead of the system's."""
    resolve: Resolve = addresses

    @property
    def place(self) -> str:
        """Host and port, as an administrator writes them."""
        return f"{self.host}:{self.port}"

    def tls(self) -> ssl.SSLContext:
        """Return how to speak TLS with it: its certificate is always checked. Raises OSError when `ca_file` cannot be read."""
        return ssl.create_default_context(cafile=self.ca_file)


async def reach(server: Server, seconds: float) -> socket.socket:
    """Connect to the first address of *server* that answers. Raises Forbidden; OSError, which TimeoutError is, when none does."""
    found = await asyncio.wait_for(server.resolve(server.host, server.port), seconds)
    fault = OSError("it has no address")
    for address in found:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        tried = socket.socket(family, socket.SOCK_STREAM)
        try:
            tried.setblocking(False)
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(tried, (address, server.port)), seconds)
        except OSError as error:
            tried.close()
            fault = error
        except BaseException:
            tried.close()
            raise
        else:
            tried.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _keep_alive(tried)
            return tried
    raise fault


def _keep_alive(connected: socket.socket) -> None:
    """Let the system find out within minutes that nobody is at the other end: a wait for mail says nothing for as long."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def not_reached(server: Server, error: OSError) -> str:
    """Return the sentence for a server that could not be connected to."""
    if isinstance(error, socket.gaierror):
        return f"{server.place} was not found: no address is known for this name; check the host, and this machine's DNS"
    if isinstance(error, TimeoutError):
        return f"{server.place} did not answer in time; check host and port, and that no firewall is in the way"
    return f"{server.place} could not be reached ({words(str(error))}); check host and port"


def not_believed(server: Server, error: ssl.SSLCertVerificationError) -> str:
    """Return the sentence for a server that does not show who it is."""
    told = words(error.verify_message or str(error))
    return (
        f"{server.place} showed a certificate that cannot be believed ({told}); set host to the name in its certificate, or, "
        "if it is your own server, ca_file to the authority that signed it"
    )


def words(said: str | bytes) -> str:
    """Return what a server said in one printable line, cut."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said.encode("utf-8", "replace").decode()
    line = _UNPRINTABLE.sub(" ", text).strip()
    return line if len(line) <= WORDS_MAX else line[: WORDS_MAX - 1] + "…"
