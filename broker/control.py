"""Commands that write speak to the running process: one JSON line there, one back, over a unix socket only its owner may open."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from broker.errors import OmnilineError

log = structlog.get_logger(__name__)

LINE_MAX = 4 * 1024 * 1024
_PATH_MAX = 100
"""Bytes of a unix socket's path that every system allows."""

Handle = Callable[[str, dict[str, object]], Awaitable[str]]
"""(command, arguments) -> what to print."""


def address(path: Path) -> Path:
    """Return where the socket of *path* really lies: a path too long for a socket has a short one in the temporary folder."""
    full = path.resolve()
    if len(os.fsencode(full)) <= _PATH_MAX:
        return full
    name = hashlib.sha256(os.fsencode(full)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"omniline-{os.getuid()}-{name}.sock"


async def listen(path: Path, handle: Handle) -> asyncio.AbstractServer:
    """Serve commands at *path* until the server is closed."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(await reader.readline())
            try:
                answer = {"ok": await handle(request["command"], request["arguments"])}
            except OmnilineError as error:
                answer = {"error": str(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("control_request_unreadable", problem=str(error))
        finally:
            writer.close()

    where = address(path)
    where.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(serve, where, limit=LINE_MAX)
    finally:
        os.umask(mask)


def ask(path: Path, command: str, arguments: dict[str, object]) -> str | None:
    """Have the running process do *command* and return what to print; None when none runs. Raises OmnilineError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(address(path)))
        except OSError:
            return None
        connection.sendall(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
        with connection.makefile("rb") as answers:
            line = answers.readline()
    if not line:
        raise OmnilineError("the running process ended before it answered; try again")
    answer = json.loads(line)
    if "error" in answer:
        raise OmnilineError(answer["error"])
    return str(answer["ok"])
