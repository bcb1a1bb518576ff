"""Who runs: each process of a house says every few seconds that it is there; who has said nothing for long is taken for dead.

What a dead process held is freed by the others: its leases end by themselves, its consoles begin their grace (operators.attendance), the
rows it was sending are settled when their own leases end (broker.outbound).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import bindparam, delete, or_, select, update

from broker.domain import from_us, to_us
from broker.ports import Tx
from broker.store.sql import cols, insert_new, sql
from broker.store.tables import processes

SEEN_SECONDS = 2.0
"""Between two signs of life."""
DEAD_SECONDS = 10.0

ALL = "all"

_NEW = insert_new(processes, "id roles host pid version started_us seen_us", "id")
_SEEN = sql(update(processes).values(seen_us=bindparam("now")).where(processes.c.id == bindparam("process")))
_BURY = sql(
    delete(processes)
    .where(
        # Nobody is seen in time to come, but before a clock was set back: who lives says so again within SEEN_SECONDS.
        or_(processes.c.seen_us < bindparam("dead"), processes.c.seen_us > bindparam("to_come")),
        processes.c.id != bindparam("process"),
    )
    .returning(processes.c.id)
)
_ALL = sql(
    select(*cols(processes, "id roles host pid version started_us seen_us")).order_by(processes.c.started_us, processes.c.id)
)
_LEAVE = sql(delete(processes).where(processes.c.id == bindparam("process")))
_ALONE = sql(delete(processes).where(processes.c.id != bindparam("process")))


class Process(NamedTuple):
    """One process of the house; times in microseconds since 1970."""

    id: str
    roles: str
    """Space-separated; `ALL` for every one."""
    host: str
    pid: int
    version: str
    started_us: int
    seen_us: int

    def does(self, role: str) -> bool:
        """Return whether it has the role."""
        return self.roles == ALL or role in self.roles.split()


def enter(tx: Tx, process: Process) -> None:
    """Say that *process* runs; its times are now."""
    now = to_us(tx.now)
    tx.run(_NEW, **process._replace(started_us=now, seen_us=now)._asdict())


def enter_alone(tx: Tx, process: Process) -> None:
    """Say that *process* runs, and nobody else: it holds the lock of the data folder."""
    tx.run(_ALONE, process=process.id)
    enter(tx, process)


def seen(tx: Tx, process: Process) -> tuple[bool, list[str]]:
    """Say that *process* is still there; return whether it was known to be, and who has been found dead."""
    known = bool(tx.run(_SEEN, process=process.id, now=to_us(tx.now)))
    if not known:
        enter(tx, process)
    limit = timedelta(seconds=DEAD_SECONDS)
    found = tx.all(_BURY, process=process.id, dead=to_us(tx.now - limit), to_come=to_us(tx.now + limit))
    dead = [id_ for (id_,) in found]
    return known, dead


def leave(tx: Tx, process_id: str) -> None:
    """Say that the process has ended."""
    tx.run(_LEAVE, process=process_id)


def alive(tx: Tx) -> list[Process]:
    """Return every process that runs, the oldest first."""
    return [Process(*row) for row in tx.all(_ALL)]


def told(alive: Sequence[Process], held: Iterable[tuple[str, str, int, int]], now: datetime) -> str:
    """Return a table for a terminal: who runs, and which leases (`broker.leases.held`) each holds."""
    holds: dict[str, list[str]] = {}
    for name, holder, _, until_us in held:
        if until_us > to_us(now):
            holds.setdefault(holder, []).append(name)
    rows = [("ROLES", "VERSION", "HOST", "PID", "RUNS SINCE", "SEEN", "HOLDS")]
    for one in alive:
        since = from_us(one.started_us).strftime("%Y-%m-%d %H:%M UTC")
        seen = f"{max(0.0, (to_us(now) - one.seen_us) / 1_000_000):.0f} s ago"
        holding = ", ".join(holds.get(one.id, ())) or "-"
        rows.append((one.roles.replace(" ", ","), one.version, one.host, str(one.pid), since, seen, holding))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
