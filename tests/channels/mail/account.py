"""Somebody with a mailbox on the tests' servers."""

from __future__ import annotations

from dataclasses import dataclass

from channels.mail.server import Password, Server, Token
from tests.support.mail import HOST, MailServers


@dataclass(frozen=True)
class Account:
    """Who they are, and where."""

    servers: MailServers
    user: str
    password: str

    def server(self, port: int, *, host: str = HOST, secret: Password | Token | None = None, trusted: bool = True) -> Server:
        """Return what a client is told of the server at *port*; *host* is the name that its certificate must have."""

        async def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

        ca_file = self.servers.ca_file if trusted else None
        return Server(host, port, self.user, secret or Password(self.password), ca_file, resolve)
