"""Channels that must be asked: every delivery stored before its provider is told, under a lease, whatever the provider does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from broker.clock import SystemClock
from broker.domain import ChannelId, LineId, LineSettings
from broker.errors import LeaseLost, StoreBusy, Unavailable
from broker.leases import Run, free
from broker.ports import Channel, Delivery, Tx
from broker.receiving import Receivers, cursor_of
from tests.support.channels import PUSH, FakeChannel, wrote
from tests.support.clock import MovedClock
from tests.support.house import add_channel, add_line
from tests.support.store import open_store

SETTINGS = LineSettings()


class Provider(FakeChannel):
    """A provider that keeps what nobody has confirmed, and gives it again to whoever asks from before it."""

    def __init__(self, id_: ChannelId, line_id: LineId, count: int) -> None:
        super().__init__(id_, line_id, replace(PUSH, polled=True))
        self.waiting = [f"{number}" for number in range(1, count + 1)]
        self.asked: list[str | None] = []
        self.fails: list[Exception] = []
        self.confirmed = asyncio.Event()
        self.left = asyncio.Event()
        """Nobody asks any more."""

    async def receive(self, cursor: str | None = None) -> AsyncIterator[Delivery]:
        self.asked.append(cursor)
        if self.fails:
            raise self.fails.pop(0)
        while self.waiting:
            number = self.waiting[0]

            async def ack(number: str = number) -> None:
                self.acknowledged.append(number)
                self.waiting = [one for one in self.waiting if int(one) > int(number)]
                if not self.waiting:
                    self.confirmed.set()

            yield Delivery((wrote(number, f"customer {int(number) % 3}", f"text {number}"),), number, ack)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.left.set()


class Refusing:
    """A store that refuses some writes."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.refusals = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, work: Callable[[Tx], Any]) -> Any:
        if self.refusals:
            self.refusals -= 1
            future = asyncio.get_running_loop().create_future()
            future.set_exception(StoreBusy("another has it"))
            return future
        return self._store.write(work)


async def _at_once(seconds: float) -> None:
    await asyncio.sleep(0)


async def _alone(name: str, run: Run) -> None:
    await run(free)


def played(tmp_path: Path, story: Callable[[Refusing, Provider], Awaitable[None]]) -> None:
    """Play *story* with a store and a provider that has five messages."""

    async def whole() -> None:
        store = Refusing(open_store(tmp_path, clock=MovedClock()))

        def make(tx: Tx) -> tuple[ChannelId, LineId]:
            line = add_line(tx)
            return add_channel(tx, line), line

        try:
            channel, line = await store.write(make)
            await story(store, Provider(channel, line, 5))
        finally:
            await store.close()

    asyncio.run(asyncio.wait_for(whole(), 20))


async def _run(receivers: Receivers, until: asyncio.Event) -> None:
    running = asyncio.create_task(receivers.run())
    await until.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def _stored(store: Any, channel: ChannelId) -> tuple[list[str], str | None]:
    from sqlalchemy import select

    from broker.store.sql import sql
    from broker.store.tables import inputs

    found = sql(select(inputs.c.external_id).order_by(inputs.c.id))
    ids, cursor = await store.read(lambda tx: ([row[0] for row in tx.all(found)], cursor_of(tx, channel)))
    return ids, cursor


def receivers(store: Any, *channels: Channel, once: Any = _alone) -> Receivers:
    """Return the receivers of *channels*."""
    return Receivers(store, once, lambda: {one.id: one for one in channels}, lambda _: SETTINGS, SystemClock(), _at_once)


def test_everything_is_stored_before_it_is_confirmed(tmp_path: Path):
    """Each delivery with its cursor, in the provider's order."""

    async def story(store: Refusing, provider: Provider) -> None:
        await _run(receivers(store, provider), provider.confirmed)

        assert await _stored(store, provider.id) == (["1", "2", "3", "4", "5"], "5")
        assert provider.acknowledged == ["1", "2", "3", "4", "5"]
        assert provider.asked == [None]

    played(tmp_path, story)


def test_a_store_that_refuses_is_asked_again_and_nothing_is_passed_over(tmp_path: Path):
    """The provider is told nothing meanwhile."""

    async def story(store: Refusing, provider: Provider) -> None:
        store.refusals = 7
        await _run(receivers(store, provider), provider.confirmed)

        assert (await _stored(store, provider.id))[0] == ["1", "2", "3", "4", "5"]
        assert provider.acknowledged == ["1", "2", "3", "4", "5"]

    played(tmp_path, story)


def test_a_provider_that_fails_is_asked_again_from_where_it_stood(tmp_path: Path):
    """Whatever it fails with: known or not, the receiver goes on behind the last cursor that was stored."""

    async def story(store: Refusing, provider: Provider) -> None:
        provider.fails = [Unavailable("resting", retry_after=3.0), ZeroDivisionError(), OSError("connection reset")]
        await _run(receivers(store, provider), provider.confirmed)
        again = asyncio.Event()
        provider.waiting, provider.confirmed = ["5", "6"], again
        await _run(receivers(store, provider), again)

        assert (await _stored(store, provider.id)) == (["1", "2", "3", "4", "5", "6"], "6")
        assert provider.asked == [None, None, None, None, "5"]

    played(tmp_path, story)


def test_who_lost_the_lease_stores_nothing_more(tmp_path: Path):
    """Fenced in the transaction that would store it; the provider still has it for whoever took over."""

    async def story(store: Refusing, provider: Provider) -> None:
        ended = asyncio.Event()

        async def losing(name: str, run: Run) -> None:
            assert name == f"channel:{provider.id}"
            stored = 0

            def fence(tx: Tx) -> None:
                nonlocal stored
                stored += 1
                if stored > 3:  # two deliveries, and that the provider was heard
                    raise LeaseLost(name)

            with suppress(LeaseLost):
                await run(fence)
            ended.set()
            await asyncio.get_running_loop().create_future()

        await _run(receivers(store, provider, once=losing), ended)

        assert (await _stored(store, provider.id)) == (["1", "2"], "2")
        assert provider.acknowledged == ["1", "2"]

    played(tmp_path, story)


def test_channels_come_and_go_with_the_settings(tmp_path: Path):
    """One that is switched off is asked no more, a new one is asked at once; who is not to be asked never is."""

    async def story(store: Refusing, provider: Provider) -> None:
        here: dict[ChannelId, Channel] = {}
        never = FakeChannel(ChannelId("never"), provider.line_id)
        here[never.id] = never
        asked = Receivers(store, _alone, lambda: here, lambda _: SETTINGS, SystemClock(), _at_once)
        running = asyncio.create_task(asked.run())
        await asyncio.sleep(0)
        assert provider.asked == []
        here[provider.id] = provider
        asked.settings_changed()
        await provider.confirmed.wait()
        del here[provider.id]
        asked.settings_changed()
        await provider.left.wait()

        provider.waiting = ["6"]
        assert provider.asked == [None]
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    played(tmp_path, story)
