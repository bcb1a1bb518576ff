"""Systemd's watchdog: it hears from us as long as the loop goes round, and only where it has asked."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from broker.watchdog import feed

ASKS = {"WATCHDOG_USEC": "9000000"}


class Enough(Exception):
    """The test has seen what it wanted."""


def fed(environment: dict[str, str], times: int = 3) -> list[float]:
    """Feed the watchdog of *environment* so often; return how long it rested in between."""
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == times:
            raise Enough

    with pytest.raises(Enough):
        asyncio.run(feed(environment, rest))
    return rests


@pytest.mark.parametrize("abstract", [False, True])
def test_it_is_told_three_times_in_its_time(tmp_path: Path, abstract: bool):
    """By the socket that it names, in a folder or in none."""
    address = f"@omniline-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + address[1:] if abstract else address)
        systemd.settimeout(5)

        assert fed({"NOTIFY_SOCKET": address, "WATCHDOG_PID": str(os.getpid())} | ASKS) == [3.0] * 3
        assert [systemd.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3


@pytest.mark.parametrize(
    "environment", [{}, ASKS, {"NOTIFY_SOCKET": "/nowhere"}, {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_PID": "1"} | ASKS]
)
def test_nobody_is_told_who_has_not_asked(environment: dict[str, str]):
    """No systemd, no watchdog, or that of another process whose variables we have inherited."""
    asyncio.run(feed(environment))


def test_a_socket_that_is_gone_is_told_once(tmp_path: Path):
    """And the process goes on."""
    with capture_logs() as logs:
        fed({"NOTIFY_SOCKET": str(tmp_path / "gone")} | ASKS)

    told: list[Any] = [entry["event"] for entry in logs]
    assert told == ["watchdog_not_told"]
