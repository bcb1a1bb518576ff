"""What may run once in the whole house (the timers, the CRM's reader, a mailbox): one process holds it, another takes over when it dies.

    free ─take─► held(holder, token) ─renewed every RENEW_SECONDS─► … ─given up, or not renewed for LEASE_SECONDS─► free

A lease is a row, and its token grows with each new holder. Whoever works under a lease lets each of their transactions ask first whether
the token is still theirs (`Fence`): a process that slept through the end of its lease and believes in it still changes nothing. The row
stays locked until such a transaction ends, so nobody takes over in the middle of one.

Time is the store's. A process of its own database holds everything for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import bindparam, or_, select, update

from broker import metrics
from broker.domain import to_us
from broker.errors import LeaseLost, StoreError
from broker.ports import Clock, Store, Tx
from broker.store.sql import cols, insert_new, sql
from broker.store.tables import leases

log = structlog.get_logger(__name__)

LEASE_SECONDS = 6.0
RENEW_SECONDS = 2.0
GIVE_UP_SECONDS = 5.0
TRY_SECONDS = 1.0
"""Between two tries to take what another holds: so it is taken over within 7 seconds of a death."""

Fence = Callable[[Tx], None]
"""Raises LeaseLost in a transaction that must not be committed any more."""
Run = Callable[[Fence], Coroutine[Any, Any, None]]
"""What runs under a lease; it calls the fence first in each of its transactions that writes."""

_NEW = insert_new(leases, "name holder token until_us", "name")
_TAKE = sql(
    update(leases)
    .values(holder=bindparam("me"), token=leases.c.token + 1, until_us=bindparam("until"))
    .where(
        leases.c.name == bindparam("lease"),
        # Nobody takes it for longer than LEASE_SECONDS: what reaches further was written before the store's clock was set back (a standby
        # took over, say), and a holder that lives has renewed it since, or learns from its token that it was taken.
        or_(leases.c.until_us <= bindparam("now"), leases.c.until_us > bindparam("farthest")),
    )
    .returning(leases.c.token)
)
_RENEW = sql(
    update(leases)
    .values(until_us=bindparam("until"))
    .where(leases.c.name == bindparam("lease"), leases.c.token == bindparam("mine"))
)
_HOLD = sql(
    select(leases.c.token)
    .where(leases.c.name == bindparam("lease"), leases.c.token == bindparam("mine"))
    .with_for_update(read=True)
)
# With another token: a renewal that was asked for before, and is done after it, is nobody's.
_GIVE_UP = sql(
    update(leases)
    .values(until_us=0, token=leases.c.token + 1)
    .where(leases.c.name == bindparam("lease"), leases.c.token == bindparam("mine"))
)
_HELD = sql(select(*cols(leases, "name holder token until_us")).order_by(leases.c.name))


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run *name* while *token* is the row's."""

    name: str
    token: int


def free(tx: Tx) -> None:
    """Be the fence of who needs none: nobody else has this database."""


def take(tx: Tx, name: str, holder: str) -> Lease | None:
    """Take what nobody holds, or whose holder has not renewed it; None while another has it."""
    now = to_us(tx.now)
    until = to_us(tx.now + timedelta(seconds=LEASE_SECONDS))
    if tx.run(_NEW, name=name, holder=holder, token=1, until_us=until):
        return Lease(name, 1)
    farthest = to_us(tx.now + timedelta(seconds=2 * LEASE_SECONDS))
    row = tx.one(_TAKE, lease=name, me=holder, now=now, farthest=farthest, until=until)
    return Lease(name, int(row[0])) if row else None


def renew(tx: Tx, lease: Lease) -> bool:
    """Hold it for longer; False when another has taken over."""
    return bool(tx.run(_RENEW, lease=lease.name, mine=lease.token, until=to_us(tx.now + timedelta(seconds=LEASE_SECONDS))))


def hold(tx: Tx, lease: Lease) -> None:
    """Let nobody take over before the end of this transaction. Raises LeaseLost when somebody has."""
    if tx.one(_HOLD, lease=lease.name, mine=lease.token) is None:
        raise LeaseLost(f"another process has taken over {lease.name}")


def give_up(tx: Tx, lease: Lease) -> None:
    """Let another have it at once."""
    tx.run(_GIVE_UP, lease=lease.name, mine=lease.token)


def held(tx: Tx) -> list[tuple[str, str, int, int]]:
    """Return every lease: name, holder, token, and until when, in epoch microseconds."""
    return [(name, holder, token, until) for name, holder, token, until in tx.all(_HELD)]


class Leases:
    """Runs in this process what it holds the lease of."""

    def __init__(
        self, store: Store, clock: Clock, process: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._store = store
        self._sleep = sleep
        self._clock = clock
        self._process = process

    async def run(self, name: str, run: Run) -> None:
        """Run *run* whenever this process holds *name*, until cancelled; whatever else *run* raises comes through."""
        while True:
            lease, until = await self._take(name)
            metrics.leases_held.labels(name).set(1)
            log.info("lease_taken", lease=name, fence=lease.token)
            try:
                await self._work(lease, until, run)
            finally:
                metrics.leases_held.labels(name).set(0)
            log.warning("lease_lost", lease=name, fence=lease.token)

    async def _take(self, name: str) -> tuple[Lease, float]:
        """Return the lease, and until when it is ours at least, on this process's clock."""
        while True:
            asked = self._clock.monotonic()
            with suppress(StoreError):
                lease = await self._store.write(lambda tx: take(tx, name, self._process))
                if lease is not None:
                    return lease, asked + LEASE_SECONDS
            await self._sleep(TRY_SECONDS)

    async def _work(self, lease: Lease, until: float, run: Run) -> None:
        """Return when the lease is lost."""
        work = asyncio.get_running_loop().create_task(run(lambda tx: hold(tx, lease)), name=lease.name)
        renewing = asyncio.get_running_loop().create_task(self._renew(lease, until))
        try:
            await asyncio.wait((work, renewing), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                with suppress(LeaseLost):
                    work.result()
            else:
                renewing.result()
        finally:
            for task in (work, renewing):
                task.cancel()
            await asyncio.gather(work, renewing, return_exceptions=True)
            # A database that stands still is not waited for: the lease ends by itself.
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(GIVE_UP_SECONDS):
                    await self._store.write(lambda tx: give_up(tx, lease))

    async def _renew(self, lease: Lease, until: float) -> None:
        """Return when the lease is another's, or may be by now: at *until*, if nothing has been heard of it before."""
        while True:
            await self._sleep(RENEW_SECONDS)
            asked = self._clock.monotonic()
            if asked >= until:
                return
            try:
                if not await self._within(until - asked, self._store.write(lambda tx: renew(tx, lease))):
                    return
            except StoreError as error:
                log.warning("lease_not_renewed", lease=lease.name, problem=str(error))
            else:
                until = asked + LEASE_SECONDS

    async def _within(self, seconds: float, answer: Awaitable[bool]) -> bool:
        """Return the answer, False when there is none after so long. Raises StoreError."""
        asked, patience = asyncio.ensure_future(answer), asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait((asked, patience), return_when=asyncio.FIRST_COMPLETED)
            return asked.done() and asked.result()
        finally:
            for one in (asked, patience):
                one.cancel()
            await asyncio.gather(asked, patience, return_exceptions=True)
