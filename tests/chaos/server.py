"""Omniline's server with crash points: `python -m tests.chaos.server [--crash POINT:N] serve`.

At the N-th pass of the point the process kills itself with SIGKILL: nothing is flushed, closed or said.

    before_commit   the statements have run, their COMMIT has not
    after_commit    the COMMIT has returned, nobody has been answered and no bell has rung
    before_send     the outbox row is leased and committed, nothing has left
    after_send      the message is on the visitor's screens, its row is not marked

At SIGUSR1 it reads what is wrong with its machine from the file that CHAOS_MISCHIEF names, as at its start: `{"clock": 30.0}`, the wall
clock is so many seconds ahead; `{"full": true}`, the disk of its SQLite database is full.

Everything else is what `omniline serve` runs: the points sit in subclasses that the composition root is given.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import omniline
from broker import config, log
from broker.clock import SystemClock, SystemIds
from broker.domain import ChannelRow
from broker.events import Incoming
from broker.ports import Channel, Delivery, Outbound, Raw
from broker.store.postgres import Link
from broker.store.sqlite import SqliteStore, Writer
from tests.chaos import provider

POINTS = ("before_commit", "after_commit", "before_send", "after_send")

Pass = Callable[[str], None]
"""Tells that the process has come to a point."""


class CrashPoint:
    """Counts the passes of one point; the last one is the process's end."""

    def __init__(self, point: str, left: int) -> None:
        self._point = point
        self._left = left

    def __call__(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Mischief:
    """What is wrong with the machine: read from *file*, when there is one."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.ahead = timedelta()
        self.full = False
        self.read()

    def read(self, *_: object) -> None:
        """Read it anew."""
        if self._file is not None and self._file.exists():
            wrong = json.loads(self._file.read_text())
            self.ahead = timedelta(seconds=wrong.get("clock", 0.0))
            self.full = wrong.get("full", False)

    def now(self) -> datetime:
        """Return what the wall clock shows."""
        return datetime.now(UTC) + self.ahead

    def new(self) -> str:
        """Return an id as it is made by that clock: a UUIDv7 (RFC 9562), with its moment to the quarter of a microsecond."""
        micros = (self.now() - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        parts = (micros // 1_000) << 80 | 7 << 76 | (micros % 1_000 * 4) << 64 | 2 << 62 | secrets.randbits(62)
        return str(uuid.UUID(int=parts))


mischief = Mischief(Path(os.environ["CHAOS_MISCHIEF"]) if "CHAOS_MISCHIEF" in os.environ else None)


class _Cursor:
    """The writer's cursor, with a point on either side of its COMMIT, on a disk that may be full."""

    def __init__(self, cursor: Any, passed: Pass) -> None:
        self._cursor = cursor
        self._passed = passed
        self._full = False

    def execute(self, text: str, *values: Any) -> Any:
        if text.startswith("BEGIN") and self._full != mischief.full:
            self._full = mischief.full
            # No page more than there are; SQLite takes its largest number for no limit.
            self._cursor.execute(f"PRAGMA max_page_count = {1 if self._full else 4_294_967_294}").fetchall()
        if text != "COMMIT":
            return self._cursor.execute(text, *values)
        self._passed("before_commit")
        done = self._cursor.execute(text)
        self._passed("after_commit")
        return done

    def executemany(self, text: str, rows: Any) -> Any:
        return self._cursor.executemany(text, rows)


class _Writer(Writer):
    def __init__(self, writer: Writer, passed: Pass) -> None:
        super().__init__(writer._connection, writer._clock, writer._ids)
        self._cursor = _Cursor(self._cursor, passed)


class _Channel:
    """A channel with a point on either side of its send."""

    def __init__(self, inner: Channel, passed: Pass) -> None:
        self.kind = inner.kind
        self.capabilities = inner.capabilities
        self.id = inner.id
        self.line_id = inner.line_id
        self.slug = inner.slug
        self._inner = inner
        self._passed = passed

    def receive(self, cursor: str | None = None) -> AsyncIterator[Delivery]:
        return self._inner.receive(cursor)

    def parse(self, raw: Raw) -> Incoming | None:
        return self._inner.parse(raw)

    async def send(self, outbound: Outbound) -> str:
        self._passed("before_send")
        external_id = await self._inner.send(outbound)
        # The frame must have left for the crash to leave a doubt: the socket's own task writes it at its next turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._passed("after_send")
        return external_id


class _Link(Link):
    """A connection to PostgreSQL with a point on either side of its COMMIT."""

    passed: Pass

    def _end(self, text: bytes) -> None:
        if text != b"COMMIT":
            super()._end(text)
            return
        self.passed("before_commit")
        super()._end(text)
        self.passed("after_commit")


class _Process(omniline.Process):
    def __init__(self, settings: config.Settings, ground: omniline.Ground, roles: Collection[str], passed: Pass) -> None:
        self._passed = passed
        super().__init__(settings, ground, roles)
        self.kinds |= provider.KINDS

    def _make_channel(self, row: ChannelRow) -> Channel:
        channel = provider.ProviderChannel(row) if row.kind in provider.KINDS else super()._make_channel(row)
        return _Channel(channel, self._passed)


async def serve(settings: config.Settings, roles: Collection[str], passed: Pass) -> int:
    """Do what omniline.serve does, with a process that has crash points."""

    def make_sqlite(*arguments: Any, **more: Any) -> SqliteStore:
        store = SqliteStore(*arguments, **more)
        store._writer = _Writer(store._writer, passed)  # nothing has been written yet
        return store

    def make_link(*arguments: Any) -> Link:
        link = _Link(*arguments)
        link.passed = passed
        return link

    if settings.database_url is None:
        with omniline.embedded(settings, make_sqlite) as ground:
            return await _Process(settings, ground, omniline.ROLES, passed).live()
    with omniline.shared(settings, roles, make_link) as ground:
        return await _Process(settings, ground, roles, passed).live()


def crash_point(text: str) -> CrashPoint:
    """Return the point that `POINT:N` names. Raises ArgumentTypeError."""
    point, _, number = text.partition(":")
    if point not in POINTS or not number.isdigit() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"write POINT:N; points are {', '.join(POINTS)}")
    return CrashPoint(point, int(number))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.server", description="omniline serve, with crash points")
    parser.add_argument("--crash", type=crash_point, default=CrashPoint("", 0), metavar="POINT:N")
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--role", type=omniline._roles, default=frozenset(omniline.ROLES))
    parser.add_argument("command", choices=["serve"])
    options = parser.parse_args()
    settings = config.read_settings(options.config)
    log.set_up(settings.log.level, settings.log.format)
    signal.signal(signal.SIGUSR1, mischief.read)
    SystemClock.now = mischief.now  # type: ignore[assignment, method-assign]
    SystemIds.new = mischief.new  # type: ignore[assignment, method-assign]
    try:
        import uvloop
    except ImportError:
        return asyncio.run(serve(settings, options.role, options.crash))
    return uvloop.run(serve(settings, options.role, options.crash))


if __name__ == "__main__":
    sys.exit(main())
