"""The way in of channels that must be asked (a long poll, a mailbox): one receiver each in the whole house, under the channel's lease.

    receive(cursor) ──► a delivery ──► stored with its cursor, in one transaction, under the lease ──► ack ──► the next

What the store refuses is offered to it again and never passed over: the provider has it still. What the provider repeats is recognised
by its id. A receiver that lost its lease stores nothing more; whoever took over begins behind the last cursor that was stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

import structlog
from sqlalchemy import bindparam, select

from broker import metrics
from broker.domain import ChannelId, ConversationId, LineSettings
from broker.errors import AccessLost, LeaseLost, StoreError, Unavailable
from broker.inbound import Prepared, accept, conversation_of, prepare
from broker.leases import Fence, Run
from broker.ports import Channel, Clock, Delivery, Store, Tx
from broker.store import health
from broker.store.sql import sql
from broker.store.tables import channel_cursors

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
"""Between two tries to store a delivery."""
BACKOFF_MAX_SECONDS = 60.0
CALM_SECONDS = 45.0
"""Without another refusal, before a channel that was refused is well again."""
WELL_SECONDS = 60.0
"""How often it is written down that a channel is well."""

_CURSOR = sql(select(channel_cursors.c.cursor).where(channel_cursors.c.channel_id == bindparam("channel")))


class Once(Protocol):
    """Runs something whenever this process may, of all processes of the house (`broker.leases.Leases.run`)."""

    def __call__(self, name: str, run: Run, /) -> Coroutine[Any, Any, None]:
        """Return what runs *run* under the lease *name*, until cancelled."""


def cursor_of(tx: Tx, channel_id: ChannelId) -> str | None:
    """Return the cursor of the last delivery of the channel that was stored."""
    row = tx.one(_CURSOR, channel=channel_id)
    return row[0] if row else None


class Receivers:
    """Runs a receiver for each channel that must be asked, as the settings change."""

    def __init__(
        self,
        store: Store,
        once: Once,
        channels: Callable[[], Mapping[ChannelId, Channel]],
        settings_of: Callable[[Channel], LineSettings],
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        on_typing: Callable[[ConversationId], None] = lambda _: None,
    ) -> None:
        """*channels* are those that are switched on; the same object stands for a channel while nothing of it changes."""
        self._clock = clock
        self._on_typing = on_typing
        self._store = store
        self._once = once
        self._channels = channels
        self._settings_of = settings_of
        self._sleep = sleep
        self._changed = asyncio.Event()
        self._running: dict[ChannelId, tuple[Channel, asyncio.Task[None]]] = {}

    def settings_changed(self, *_: object) -> None:
        """Look soon which channels there are."""
        self._changed.set()

    async def run(self) -> None:
        """Go on until cancelled."""
        try:
            while True:
                self._changed.clear()
                await self._arrange()
                await self._changed.wait()
        finally:
            await self._stop(list(self._running))

    async def _arrange(self) -> None:
        wanted = {id_: channel for id_, channel in self._channels().items() if channel.capabilities.polled}
        await self._stop([id_ for id_, (channel, _) in self._running.items() if wanted.get(id_) is not channel])
        for id_ in wanted.keys() - self._running.keys():
            channel = wanted[id_]
            receiving = self._once(f"channel:{id_}", lambda fence, one=channel: self._receive(one, fence))  # type: ignore[misc]
            task = asyncio.get_running_loop().create_task(receiving, name=f"receiver of {id_}")
            task.add_done_callback(lambda done, one=id_: self._ended(one, done))  # type: ignore[misc]
            self._running[id_] = (channel, task)

    def _ended(self, channel_id: ChannelId, task: asyncio.Task[None]) -> None:
        """A receiver never ends by itself; one that did is a fault of ours, and is begun anew."""
        if task.cancelled() or self._running.get(channel_id, (None, None))[1] is not task:
            return
        del self._running[channel_id]
        metrics.unexpected_errors_total.labels("receivers").inc()
        log.error("receiver_ended", channel_id=channel_id, exc_info=task.exception())
        self._changed.set()

    async def _stop(self, ids: list[ChannelId]) -> None:
        tasks = [self._running.pop(id_)[1] for id_ in ids]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, channel: Channel, fence: Fence) -> None:
        """Receive until the lease is lost; whatever the provider does, ask again."""
        failures = 0
        said = _Said(self._store, channel, fence, self._clock)
        metrics.receiver_failures_total.labels(channel.slug, channel.kind)  # shown before the first there is
        while True:
            try:
                cursor = await self._store.read(lambda tx: cursor_of(tx, channel.id))
                async for delivery in channel.receive(cursor):
                    if delivery.raws or delivery.cursor is not None:
                        await self._accept(channel, delivery, fence)
                    await said.well(came=bool(delivery.raws))
                    for key in delivery.typing:
                        await self._tell_typing(channel.id, key)
                    failures = 0
                wait = RETRY_SECONDS
            except LeaseLost:
                raise
            except Exception as error:
                failures += 1
                wait = self._back_off(error, failures)
                known = isinstance(error, StoreError | Unavailable)
                (log.warning if known else log.exception)(
                    "receiver_waits", channel_id=channel.id, kind=channel.kind, problem=str(error), seconds=wait
                )
                metrics.receiver_failures_total.labels(channel.slug, channel.kind).inc()
                if isinstance(error, Unavailable):
                    await said.unwell(error)
            await self._sleep(wait)

    async def _accept(self, channel: Channel, delivery: Delivery, fence: Fence) -> None:
        prepared = prepare(channel, delivery.raws, self._settings_of(channel))
        while True:
            try:
                accepted = await self._store.write(lambda tx: _store(tx, channel.id, prepared, delivery.cursor, fence))
                break
            except StoreError as error:
                log.warning("delivery_waits_for_store", channel_id=channel.id, problem=str(error))
                await self._sleep(RETRY_SECONDS)
        for counter, what in (
            (metrics.accepted_inputs_total, "fresh"),
            (metrics.repeated_inputs_total, "repeated"),
            (metrics.ignored_inputs_total, "ignored"),
        ):
            counter.labels(channel.kind).inc(accepted.count(what))
        if delivery.ack is not None:
            await delivery.ack()

    async def _tell_typing(self, channel_id: ChannelId, key: str) -> None:
        conversation_id = await self._store.read(lambda tx: conversation_of(tx, channel_id, key))
        if conversation_id is not None:
            self._on_typing(conversation_id)

    @staticmethod
    def _back_off(error: Exception, failures: int) -> float:
        if isinstance(error, Unavailable) and error.retry_after is not None:
            return error.retry_after
        return min(BACKOFF_MAX_SECONDS, RETRY_SECONDS * 2.0 ** min(failures - 1, 10))


class _Said:
    """What was last written down of how a channel is: most of the time nothing of it is new."""

    def __init__(self, store: Store, channel: Channel, fence: Fence, clock: Clock) -> None:
        self._store = store
        self._channel = channel
        self._fence = fence
        self._clock = clock
        self._last: tuple[str, str] | None = None
        self._until = 0.0
        self._came_until = 0.0
        self._calm_at = 0.0
        """Not before is it said to be well again: of two programs that take the same bot's messages each has its turn."""

    async def well(self, *, came: bool) -> None:
        """Write down that the provider was heard; *came*: and gave something."""
        now = self._clock.monotonic()
        if now < self._calm_at or (self._last == ("well", "") and now < (self._came_until if came else self._until)):
            return
        await self._note("well", came=came)
        self._until = now + WELL_SECONDS
        if came:
            self._came_until = now + WELL_SECONDS

    async def unwell(self, error: Unavailable) -> None:
        """Write down why the provider gives nothing."""
        code = error.code if isinstance(error, AccessLost) else ""
        if isinstance(error, AccessLost):
            self._calm_at = self._clock.monotonic() + CALM_SECONDS
        await self._note("refused" if isinstance(error, AccessLost) else "waiting", code, str(error))

    async def _note(self, state: str, code: str = "", problem: str = "", *, came: bool = False) -> None:
        def work(tx: Tx) -> None:
            self._fence(tx)
            health.note(tx, self._channel.id, state, code, problem, came=came)

        try:
            await self._store.write(work)
        except StoreError as error:
            log.warning("health_not_written_down", channel_id=self._channel.id, problem=str(error))
        else:
            self._last = (state, code)
            metrics.channel_refused.labels(self._channel.slug, self._channel.kind).set(state == "refused")


def _store(tx: Tx, channel_id: ChannelId, prepared: list[Prepared], cursor: str | None, fence: Fence) -> list[str]:
    fence(tx)
    accepted = accept(tx, channel_id, prepared, cursor)
    return [
        "fresh" if one.fresh else "ignored" if one.conversation_id is None and one.dead is None else "repeated"
        for one in accepted
    ]
