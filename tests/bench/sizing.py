"""`python -m tests.bench.sizing`: how much one machine takes, in each way of running it; the table of docs/running.md, as Markdown.

No measure of `make bench`: on the machine that runs the load and the databases too, more processes are no help, and what they would do
elsewhere cannot be told from here. It is what this machine did.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import uvloop

from tests.bench.cluster import ClusterSubject
from tests.bench.idle import IDLE_SECONDS
from tests.bench.measure import median, progress, rss_kib
from tests.bench.pipeline import PACE, Round, median_rate, take_rounds
from tests.bench.product import ProductSubject
from tests.bench.subject import Subject

ROLES = ("web", "router", "sender", "channels", "crm")


class Together(ClusterSubject):
    """All roles in one process, on PostgreSQL and Redis."""

    name = "all roles in one process"
    roles = (",".join(ROLES),)


class InTwo(ClusterSubject):
    """Sockets in one process, everything else in another."""

    name = "`web` and the rest"


class Apart(ClusterSubject):
    """A process for each role."""

    name = "a process for each role"
    roles = ROLES


HOUSES: dict[str, Callable[[], Subject]] = {
    "one process, SQLite": ProductSubject,
    Together.name: Together,
    InTwo.name: InTwo,
    Apart.name: Apart,
}


def main() -> None:
    """Print the table."""
    at_rest = {name: resting_mib(make) for name, make in HOUSES.items()}
    rounds = take_rounds(HOUSES)
    rows: dict[str, list[str]] = {
        "measured": list(HOUSES),
        "---": ["---"] * len(HOUSES),
        "messages a second, to an operator's screen": [f"{median_rate(rounds[name]):,.0f}" for name in HOUSES],
        f"from the customer's words to that screen at {PACE} a second, median and 99 % in ms": [
            f"{median([one.p50_ms for one in rounds[name]]):.1f}, {median([one.p99_ms for one in rounds[name]]):.0f}"
            for name in HOUSES
        ],
        "CPU of the processes, of PostgreSQL and of Redis for each message, us": [used(rounds[name]) for name in HOUSES],
        "memory of its processes at rest, MiB": [told(at_rest[name]) for name in HOUSES],
    }
    for name, cells in rows.items():
        print(f"| {' | '.join([name, *cells])} |", flush=True)


def used(rounds: list[Round]) -> str:
    """Return the medians of what a message takes of the processes and of the databases."""
    parts = [median([sum(one.full.server_us.values()) for one in rounds])]
    parts += [median([one.full.database_us[name] for one in rounds]) for name in rounds[0].full.database_us]
    return ", ".join(f"{part:.0f}" for part in parts)


def told(mib: dict[str, float]) -> str:
    """Return the memory of each process in words."""
    return ", ".join(f"{name} {each:.0f}" if len(mib) > 1 else f"{each:.0f}" for name, each in mib.items())


def resting_mib(make: Callable[[], Subject]) -> dict[str, float]:
    """Return the memory of a house's processes while nobody is there."""

    async def rest(subject: Subject) -> dict[str, float]:
        try:
            await subject.start()
            await asyncio.to_thread(time.sleep, IDLE_SECONDS)
            return {name: rss_kib(pid) / 1024 for name, pid in subject.pids.items()}
        finally:
            await subject.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(rest(make()))
    progress(f"   at rest: {told(found)} MiB")
    return found


if __name__ == "__main__":
    main()
