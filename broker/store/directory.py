"""The settings of the whole house, read at once into one immutable `Directory`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec
import structlog
from sqlalchemy import select

from broker.domain import (
    ChannelId,
    ChannelRow,
    Directory,
    Line,
    LineId,
    LineSettings,
    Operator,
    OperatorId,
    OurSound,
    Role,
    pools_of,
)
from broker.errors import StoreError, StoreTooNew
from broker.ports import Bell, Store, Transport, Tx
from broker.store.sql import cols, sql
from broker.store.tables import channels, lines, operators, seats, sounds

log = structlog.get_logger(__name__)

SWEEP_SECONDS = 10.0
RETRY_SECONDS = 1.0

_LINES = sql(select(*cols(lines, "id slug name version settings active")).order_by(lines.c.slug))
_CHANNELS = sql(select(*cols(channels, "id line_id slug kind name settings version active")).order_by(channels.c.slug))
_OPERATORS = sql(
    select(*cols(operators, "id login name role language active hours languages skills phone")).order_by(operators.c.login)
)
_SEATS = sql(select(*cols(seats, "line_id operator_id")).order_by(seats.c.line_id, seats.c.position, seats.c.operator_id))
_SOUNDS = sql(select(*cols(sounds, "slug digest milliseconds music")).order_by(sounds.c.slug))


def load(tx: Tx) -> Directory:
    """Return every line, channel and operator, switched off ones too, who sits where, and the sounds.

    Raises StoreTooNew when something is set to what this version does not know: a newer one has been at it.
    """
    known_lines = {
        LineId(id_): Line(LineId(id_), slug, name, version, _settings(slug, settings), bool(active))
        for id_, slug, name, version, settings, active in tx.all(_LINES)
    }
    known_channels = {
        ChannelId(id_): ChannelRow(
            ChannelId(id_), LineId(line), slug, kind, name, msgspec.json.decode(settings), version, bool(active)
        )
        for id_, line, slug, kind, name, settings, version, active in tx.all(_CHANNELS)
    }
    people = {
        OperatorId(id_): Operator(
            OperatorId(id_),
            login,
            name,
            _role(login, role),
            language,
            bool(active),
            msgspec.json.decode(hours) if hours is not None else None,
            tuple(msgspec.json.decode(languages)),
            tuple(msgspec.json.decode(skills)),
            phone,
        )
        for id_, login, name, role, language, active, hours, languages, skills, phone in tx.all(_OPERATORS)
    }
    sitting: dict[LineId, tuple[OperatorId, ...]] = dict.fromkeys(known_lines, ())
    for line, operator in tx.all(_SEATS):
        if line in sitting and people[operator].active:
            sitting[line] += (operator,)
    ours = {row[0]: OurSound(*row) for row in tx.all(_SOUNDS)}
    return Directory(known_lines, known_channels, people, sitting, pools_of(sitting), ours)


def _settings(slug: str, settings: str) -> LineSettings:
    try:
        return msgspec.json.decode(settings, type=LineSettings)
    except msgspec.MsgspecError as error:
        raise StoreTooNew(f"line {slug} is set to what this version does not know ({error}); start a newer one") from error


def _role(login: str, role: str) -> Role:
    try:
        return Role(role)
    except ValueError as error:
        raise StoreTooNew(f"{login} is a {role}, which this version does not know; start a newer one") from error


class LiveDirectory:
    """The directory of this moment: read at the start, and again whenever settings change."""

    def __init__(self, store: Store, transport: Transport, *, shared: bool = False) -> None:
        """*shared*: others change the settings too, and may not be able to say so."""
        self._store = store
        self._transport = transport
        self._shared = shared
        self._now = Directory({}, {}, {}, {}, {})
        self._changed = asyncio.Event()
        self._hearers: list[Callable[[Directory], None]] = []

    def __call__(self) -> Directory:
        """Return the settings as last read."""
        return self._now

    def on_change(self, hear: Callable[[Directory], None]) -> Callable[[], None]:
        """Call *hear* with each new directory, after it has become the present one; returns how to stop."""
        self._hearers.append(hear)
        return lambda: self._hearers.remove(hear)

    async def refresh(self) -> None:
        """Read the settings now."""
        self._take(await self._store.read(load))

    def _take(self, directory: Directory) -> None:
        self._now = directory
        for hear in tuple(self._hearers):
            hear(directory)

    async def run(self) -> None:
        """Follow the settings until cancelled. Where others may change them their bell may be lost: then they are looked at anyhow."""
        stops = (
            self._transport.listen(Bell.SETTINGS, lambda _: self._changed.set()),
            self._transport.on_restored(self._changed.set),
        )
        try:
            while True:
                await self._rung()
                try:
                    if (found := await self._store.read(load)) != self._now:
                        self._take(found)
                except StoreTooNew as error:
                    # Whoever can read it goes on by it, and this process by what was set before.
                    log.error("settings_not_understood", problem=str(error))
                except StoreError as error:
                    self._changed.set()
                    log.warning("settings_wait_for_store", problem=str(error))
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            for stop in stops:
                stop()

    async def _rung(self) -> None:
        """Return when the settings are to be looked at."""
        with suppress(TimeoutError):
            async with asyncio.timeout(SWEEP_SECONDS if self._shared else None):
                await self._changed.wait()
        self._changed.clear()
