"""The watchdog of systemd: told again and again that the loop goes round. When it is told nothing for WatchdogSec, it kills us.

A process that stands still is worse than one that has died: its sockets are open, and whoever asks waits. Callers of the telephone
wait without an end (Asterisk has no time-out there); of a process that has died they are told at once, and another serves them.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Mapping

import structlog

log = structlog.get_logger(__name__)


async def feed(environment: Mapping[str, str] = os.environ, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Tell systemd that we go on, three times in its time, until cancelled; return at once where nobody asks for that."""
    address, period = environment.get("NOTIFY_SOCKET", ""), environment.get("WATCHDOG_USEC", "")
    if not address or not period.isdigit() or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return
    told = False
    # A name that begins with @ is one of the kernel's, in no folder.
    place = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
        wire.setblocking(False)
        while True:
            try:
                wire.sendto(b"WATCHDOG=1", place)
            except OSError as error:
                if not told:
                    log.warning("watchdog_not_told", problem=str(error))
                told = True
            await sleep(int(period) / 3_000_000)
