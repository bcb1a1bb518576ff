"""One connection to Redis: commands sent in one piece, their answers, and how long they may take.

A thin shell around redis-py's connection, which knows addresses, TLS, passwords and the protocol. Its client and its pipelines are
left out: a flush is one write and a few reads, and costs a fifth of what a pipeline costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import Any, Protocol, cast

import hiredis
from redis.asyncio.connection import Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from broker.errors import ConfigError

Command = tuple[str | bytes | int | float, ...]

# Its stub takes tuples of one.
_pack = cast("Callable[[Command], bytes]", hiredis.pack_command)


class Connects(Protocol):
    """As much of redis-py's connection as is used here."""

    async def connect(self) -> None: ...

    async def disconnect(self, nowait: bool = False) -> None: ...

    async def send_packed_command(self, command: bytes, check_health: bool = True) -> None: ...

    async def read_response(self, disable_decoding: bool = False, timeout: float | None = None) -> Any: ...  # noqa: ASYNC109 -- redis-py's


class Line:
    """A connection that is open inside `async with`. What takes longer than *answer_seconds* raises TimeoutError."""

    def __init__(self, connection: Connects, answer_seconds: float) -> None:
        self._connection = connection
        self._answer_seconds = answer_seconds

    async def __aenter__(self) -> Line:
        try:
            async with asyncio.timeout(self._answer_seconds):
                await self._connection.connect()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.disconnect(nowait=True)

    async def ask(self, *commands: Command, wait_seconds: float = 0.0) -> list[Any]:
        """Return the answers, one a command. Raises the first that is an error, when all have come."""
        answers = await self.attempt(*commands, wait_seconds=wait_seconds)
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise answer
        return answers

    async def attempt(self, *commands: Command, wait_seconds: float = 0.0) -> list[Any]:
        """Return the answers, one a command; an error stands in its place. *wait_seconds*: how long a command may block."""
        async with asyncio.timeout(self._answer_seconds + wait_seconds):
            await self._connection.send_packed_command(b"".join(map(_pack, commands)), check_health=False)
            return [await self._answer() for _ in commands]

    async def say(self, command: Command) -> None:
        """Send *command* without waiting for what comes of it."""
        async with asyncio.timeout(self._answer_seconds):
            await self._connection.send_packed_command(_pack(command), check_health=False)

    async def heard_within(self, seconds: float) -> Any:
        """Return what the server says next; None when it says nothing for so long."""
        return await self._connection.read_response(disable_decoding=True, timeout=seconds)

    async def _answer(self) -> Any:
        try:
            return await self._connection.read_response(disable_decoding=True, timeout=inf)
        except ResponseError as error:
            return error


class Address:
    """Where a Redis is and how to enter: redis://, rediss:// or unix://. Raises ConfigError for anything else."""

    def __init__(self, url: str) -> None:
        try:
            self._options: dict[str, Any] = {**parse_url(url)}
            self._kind: Callable[..., Any] = self._options.pop("connection_class", Connection)
            self._options.pop("max_connections", None)
            # The time-outs are a line's: one for all commands of a flush. RESP 2 says everything with lists.
            self._options |= {"socket_timeout": None, "health_check_interval": 0, "protocol": 2, "driver_info": None}
            self._options |= {"retry": Retry(NoBackoff(), 0), "decode_responses": False}
            self.database = int(self._kind(**self._options).db)
        except (ValueError, TypeError, RedisError):
            # What they say may hold a part of the password.
            raise ConfigError(
                "redis_url: not the address of a Redis; write redis://[[user]:password@]host[:port][/database], rediss://... or "
                "unix:///path, and percent-encode what a password has of / @ : ? #"
            ) from None

    def dial(self, name: str, answer_seconds: float) -> Line:
        """Return a line, not yet open, that the server knows by *name*."""
        return Line(self._kind(**self._options, client_name=name), answer_seconds)

    def without_secret(self, text: str) -> str:
        """Return *text* as a log may have it."""
        secret = self._options.get("password")
        return text.replace(secret, "***") if secret else text
