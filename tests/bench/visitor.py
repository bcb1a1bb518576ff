"""What an idle visitor costs: resident memory of 2,000 connected ones, from 100 addresses."""

from __future__ import annotations

import asyncio
import resource

import uvloop

from tests.bench.measure import BenchError, Report, progress, rss_kib
from tests.bench.product import ProductSubject

VISITORS = 2000
SETTLE_SECONDS = 3.0
FILES = VISITORS + 500


def run(report: Report) -> None:
    """Report `visitor_idle_kib`."""
    allow_files(FILES)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report("visitor_idle_kib", runner.run(kib_each()), "KiB")


def allow_files(count: int) -> None:
    """Let this process, and the servers it starts, have *count* files open. Raises BenchError where the system forbids it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    except (OSError, ValueError) as error:
        raise BenchError(f"{count} open files are needed and {hard} are allowed; raise `ulimit -Hn`") from error


async def kib_each() -> float:
    """Return how much the server grows for each visitor that has said hello and then nothing."""
    subject = ProductSubject()
    subject.on_failure = failed
    try:
        await subject.start()
        await asyncio.sleep(SETTLE_SECONDS)
        before = rss_kib(subject.pid)
        await subject.connect_visitors(VISITORS)
        await asyncio.sleep(SETTLE_SECONDS)
        after = rss_kib(subject.pid)
    finally:
        await subject.stop()
    progress(f"   {before / 1024:.1f} MiB without visitors, {after / 1024:.1f} MiB with {VISITORS}")
    return (after - before) / VISITORS


def failed(why: str) -> None:
    """A socket closed while nothing was asked of it."""
    raise BenchError(f"product: {why}")
