"""Commands that write speak to the running process: one JSON line there, one back, over a unix socket only its owner may open.

Before the answer come as many lines as a long command has to tell. Whoever hangs up meanwhile has taken their word back, where the
command looks for that.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import structlog

from broker import metrics
from broker.errors import ConfigError, OmnilineError

log = structlog.get_logger(__name__)

LINE_MAX = 8 * 1024 * 1024
"""Bytes of a request: a whole house as a file, with every byte of it escaped."""
_PATH_MAX = 100
"""Bytes of a unix socket's path that every system allows."""


class Asker:
    """Who asked for a command, and waits for its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def gone(self) -> bool:
        """Return whether they have hung up."""
        return self._reader.at_eof() or self._writer.is_closing()

    def tell(self, text: str) -> None:
        """Say how far it has come; on the loop's thread."""
        if not self.gone:
            self._writer.write(json.dumps({"told": text}).encode() + b"\n")


Handle = Callable[[str, dict[str, object], Asker], Awaitable[str]]
"""(command, arguments, who asked) -> what to print."""


def address(path: Path) -> Path:
    """Return where the socket of *path* really lies: a path too long for a socket has a short one in the temporary folder."""
    full = path.resolve()
    if len(os.fsencode(full)) <= _PATH_MAX:
        return full
    name = hashlib.sha256(os.fsencode(full)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"omniline-{os.getuid()}-{name}.sock"


async def listen(path: Path, handle: Handle) -> asyncio.AbstractServer:
    """Serve commands at *path* until the server is closed. Raises ConfigError when there can be no socket."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await _answer(reader, handle, Asker(reader, writer))
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except OSError as error:
            log.warning("control_asker_gone", problem=str(error))
        finally:
            writer.close()

    where = address(path)
    mask = os.umask(0o177)
    try:
        where.unlink(missing_ok=True)
        return await asyncio.start_unix_server(serve, where, limit=LINE_MAX)
    except OSError as error:
        raise ConfigError(
            f"data: the socket for commands {where} cannot be made ({error.strerror}); move away what is there"
        ) from error
    finally:
        os.umask(mask)


async def _answer(reader: asyncio.StreamReader, handle: Handle, asker: Asker) -> dict[str, str]:
    """Return what became of one request. The outermost loop of commands: whatever one raises is answered and logged here."""
    try:
        request = json.loads(await reader.readline())
        command, arguments = request["command"], request["arguments"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("control_request_unreadable", problem=str(error))
        return {"error": "the running process cannot read this request; use the omniline that it was started with"}
    try:
        return {"ok": await handle(command, arguments, asker)}
    except OmnilineError as error:
        return {"error": str(error)}
    except Exception as error:
        metrics.unexpected_errors_total.labels("control").inc()
        log.exception("control_command_failed", command=command)
        return {"error": f"{command} failed in the running process ({type(error).__name__}), which goes on; its log says where"}


def ask(path: Path, command: str, arguments: dict[str, object], hear: Callable[[str], object] = lambda text: None) -> str | None:
    """Have the running process do *command* and return what to print; None when none runs. Raises OmnilineError.

    *hear* is called with what it tells meanwhile.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(str(address(path)))
        except OSError:
            return None
        request = json.dumps({"command": command, "arguments": arguments}).encode() + b"\n"
        answer: dict[str, str] = {}
        # It may answer, and hang up, before it has read everything: then the answer lies here all the same.
        with suppress(OSError):
            connection.sendall(request)
        with suppress(OSError), connection.makefile("rb") as answers:
            for line in answers:
                answer = json.loads(line)
                if "told" not in answer:
                    break
                hear(answer["told"])
    if "error" in answer:
        raise OmnilineError(answer["error"])
    if "ok" not in answer:
        raise OmnilineError("the running process ended before it answered; try again")
    return answer["ok"]
